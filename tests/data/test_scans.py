"""A file's packets are read once; a file that changed is read again; what is kept has a bound."""

import os
import shutil

import numpy as np
import pytest

from gluon_fg.data import packets, scans
from gluon_fg.data.datasets import VideoDataset, VideoRecord
from gluon_fg.data.labels import LabelSet
from gluon_fg.data.scans import ScanCache, Stamp
from gluon_fg.errors import VideoError


@pytest.fixture
def counted(monkeypatch):
    """Paths that were scanned."""
    read = []
    monkeypatch.setattr(VideoDataset, 'isolated', False)  # in this process, where it can be seen
    monkeypatch.setattr(scans, 'scan', lambda path: read.append(path) or packets.scan(path))
    return read


def equal(a, b):
    return all(np.array_equal(x, y) and type(x) is type(y) for x, y in zip(a, b))


@pytest.mark.parametrize(
    'name, options',
    [
        ('steady.mp4', dict(bf='3')),
        ('steady.mkv', dict(bf='3', rate=30)),
        ('unsteady.mp4', dict(bf='2', times=np.cumsum(np.random.default_rng(0).integers(10, 200, 40)).tolist())),
        ('untimed.avi', dict(codec='mpeg4', bf='2')),
        ('one.mp4', dict(frames=1)),
    ],
)
def test_a_scan_survives_as_text(write_video, name, options):
    info = packets.scan(write_video(name, **options))
    again = packets.load_scan(info.dump())
    assert equal(info, again) and np.array_equal(info.times, again.times)


def test_steady_files_take_little_text(plain_video):
    assert len(packets.scan(plain_video).dump()) < 250
    for wrong in ('', '{}', '[1]', '{"pts": [0, [1, 2]], "size": [1, 2], "keys": []}', 'x', 'null'):
        with pytest.raises(ValueError):
            packets.load_scan(wrong)


def test_a_dataset_scans_each_file_once_until_it_changes(plain_video, write_video, tmp_path, counted):
    path = tmp_path / 'x.mp4'
    shutil.copy(plain_video, path)
    data = VideoDataset([VideoRecord('x.mp4', 0)], LabelSet(('a',)), tmp_path)
    for _ in range(3):
        with data.open(0) as reader:
            assert len(reader) == 40
    data.probe()
    assert counted == [str(path)]
    shutil.copy(write_video('other.mp4', frames=20, rate=10), path)  # another size
    with data.open(0) as reader:
        assert (len(reader), reader.fps) == (20, 10)
    before = os.stat(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))  # the same size, written anew
    data.open(0).close()
    assert len(counted) == 3
    path.unlink()
    with pytest.raises(VideoError, match='no such file'):
        data.open(0)


def test_known_scans_are_taken_and_what_is_kept_is_bounded(plain_video, counted):
    path = str(plain_video)
    known = ScanCache()
    known.put(path, Stamp.of(path), packets.scan(path).dump())
    VideoDataset([VideoRecord(path, 0)], LabelSet(('a',)), scans=known).open(0).close()
    assert counted == []
    small = ScanCache(limit=3000)
    for number in range(100):
        small.put(str(number), Stamp(1, 1), 'x' * 100)
    assert len(small) == 5 and small.bytes <= 3000
    small.put('99', Stamp(2, 1), 'x')
    assert len(small) == 5
