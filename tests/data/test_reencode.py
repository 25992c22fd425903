"""Encoding anew: every frame in its place, upright, close in color; stopped and gone on with; sources untouched."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numbered import numbered_frame, read_number

from gluon_fg.data import build_dataset, encoding, packets, reencode
from gluon_fg.data.encoding import GROUP, SHORT_SIDE, Job, encode, fitted
from gluon_fg.data.manifest import FOLDER
from gluon_fg.data.prepare import prepare
from gluon_fg.data.video import open_video
from gluon_fg.errors import UserError

REPO = Path(__file__).resolve().parents[2]
UNEVEN = [0, 40, 80, 95, 170, 300, 301, 380, 420, 460, 500, 540, 580, 660, 700, 701, 760, 800, 840, 1000]


def all_frames(path):
    with open_video(path, 'pyav') as reader:
        return reader.get_batch(np.arange(len(reader)))


@pytest.mark.parametrize(
    'name, options',
    [
        ('encode.mp4', dict(bf='3', frames=40)),
        ('uneven.mkv', dict(bf='2', frames=20, times=UNEVEN)),
        ('encode.avi', dict(codec='mpeg4', bf='2', frames=20, rate=30)),
        ('thirty.mp4', dict(frames=35, rate=30)),
    ],
)
def test_every_frame_stays_in_its_place(write_video, tmp_path, name, options):
    source = write_video(name, **options)
    scan, target = packets.scan(str(source)), tmp_path / 'out' / 'new.mp4'
    assert encode(Job(str(source), str(target), scan.dump())) == ''
    made = packets.scan(str(target))
    assert (made.length, made.size, made.turns) == (options['frames'], (64, 48), 0)
    assert made.keys.tolist() == list(range(0, made.length, GROUP)) and made.not_decord == ''
    if scan.times is not None:
        np.testing.assert_allclose(made.times, scan.times, atol=1e-9)
    assert made.fps == pytest.approx(scan.fps, rel=0.06) or name == 'uneven.mkv'
    before, after = all_frames(source), all_frames(target)
    assert [read_number(frame) for frame in after] == list(range(options['frames']))
    assert np.abs(before.astype(int) - after).mean() < 3
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['new.mp4']


def test_the_short_side_is_256(write_video, tmp_path):
    source = write_video('large.mp4', frames=6, size=(600, 810))
    target = tmp_path / 'new.mp4'
    assert encode(Job(str(source), str(target), packets.scan(str(source)).dump())) == ''
    before, after = all_frames(source), all_frames(target)
    assert after.shape == (6, SHORT_SIDE, 346, 3)
    small = np.stack([cv2.resize(frame, (346, 256), interpolation=cv2.INTER_AREA) for frame in before])
    assert np.abs(small.astype(int) - after).mean() < 6  # its stripes have hard edges
    assert [fitted(*size) for size in ((1920, 1080), (480, 853), (340, 256), (255, 91))] == [
        (456, 256), (256, 454), (340, 256), (256, 92),
    ]  # fmt: skip


def test_a_turned_film_is_written_upright(write_video, tmp_path):
    """With the turn given by hand, as a file of another display matrix has it."""
    source = write_video('large.mp4', frames=6, size=(600, 810))
    scan, target = packets.scan(str(source)), tmp_path / 'new.mp4'
    turned = scan._replace(turns=1, size=(600, 810))
    assert encode(Job(str(source), str(target), turned.dump())) == ''
    after = all_frames(target)
    assert after.shape == (6, 346, SHORT_SIDE, 3)
    upright = [cv2.resize(np.rot90(frame), (256, 346), interpolation=cv2.INTER_AREA) for frame in all_frames(source)]
    assert np.abs(np.stack(upright).astype(int) - after).mean() < 6
    assert np.abs(np.stack(upright)[:, ::-1, ::-1].astype(int) - after).mean() > 30


TAGGED = """
import sys
import av, numpy as np
frames = np.load(sys.argv[1])
with av.open(sys.argv[2], 'w') as container:
    stream = container.add_stream('libx264', rate=25, options={'crf': '4'})
    stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], sys.argv[3]
    stream.codec_context.colorspace = int(sys.argv[4])
    stream.codec_context.color_range = int(sys.argv[5])
    for picture in frames:
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24').reformat(format=sys.argv[3])))
    container.mux(stream.encode())
"""


@pytest.mark.parametrize('pixels, space, full', [('yuv420p', 1, 1), ('yuvj420p', 6, 2), ('yuv444p', 1, 1)])
def test_colors_are_kept_as_they_are_coded(tmp_path, pixels, space, full):
    """What a file says of its colors goes with them, so that a reader shows the same, whichever it honors."""
    np.save(tmp_path / 'frames.npy', np.stack([numbered_frame(number, 48, 64) for number in range(3)]))
    source, target = tmp_path / 'source.mp4', tmp_path / 'new.mp4'
    words = [tmp_path / 'frames.npy', source, pixels, space, full]
    subprocess.run([sys.executable, '-c', TAGGED, *map(str, words)], check=True, timeout=60)
    assert encode(Job(str(source), str(target), packets.scan(str(source)).dump())) == ''
    tags, planes = [], []
    for path in (source, target):
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            tags.append((int(frame.colorspace), int(frame.color_range)))
            planes.append(
                frame.to_ndarray()[:48, :64] if pixels != 'yuv444p' or path == target else frame.to_ndarray()[0]
            )
    assert tags[0] == tags[1] == (space, full)
    assert np.abs(planes[0].astype(int) - planes[1]).mean() < 2  # luma
    assert np.abs(all_frames(source).astype(int) - all_frames(target)).mean() < 4


def test_folders_of_frames_become_films(tmp_path):
    folder = tmp_path / 'clip'
    folder.mkdir()
    for number in range(9):
        cv2.imwrite(str(folder / f'{number}.png'), numbered_frame(number, 50, 64)[..., ::-1])
    assert encode(Job(str(folder), str(tmp_path / 'clip.mp4'), '')) == ''
    frames = all_frames(tmp_path / 'clip.mp4')
    assert [read_number(frame) for frame in frames] == list(range(9))
    assert np.abs(all_frames(folder).astype(int) - frames).mean() < 4


def test_a_broken_source_leaves_nothing(write_video, tmp_path):
    source = write_video('encode.mp4', bf='3', frames=40)
    cut, scan = tmp_path / 'cut.mp4', packets.scan(str(source)).dump()
    cut.write_bytes(source.read_bytes()[:3000])
    assert encode(Job(str(cut), str(tmp_path / 'out' / 'new.mp4'), scan))
    assert list((tmp_path / 'out').iterdir()) == []


# A whole dataset ------------------------------------------------------------------------------------------------------


@pytest.fixture
def listed(write_video, tmp_path):
    """Two splits with groups, clips by their times, two files that differ in their suffix, and broken ones."""
    root = tmp_path / 'set'
    (root / 'deep').mkdir(parents=True)
    first = write_video('encode.mp4', bf='3', frames=40)
    shutil.copy(first, root / 'deep/a.mp4')
    shutil.copy(write_video('encode.avi', codec='mpeg4', bf='2', frames=20, rate=30), root / 'deep/a.avi')
    shutil.copy(write_video('uneven.mkv', bf='2', frames=20, times=UNEVEN), root / 'c.mkv')
    shutil.copy(first, tmp_path / 'elsewhere.mp4')
    (root / 'cut.mp4').write_bytes(first.read_bytes()[:3000])
    (root / 'train.csv').write_text(
        'path,label,class,group,start,end\n'
        'deep/a.mp4,0,turn left,turn,0.2,0.8\ndeep/a.mp4,1,turn right,turn,0.8,\ndeep/a.avi,0,turn left,turn,,\n'
        f'cut.mp4,2,stand,rest,,\nc.mkv,2,stand,rest,0.1,0.5\n{tmp_path / "elsewhere.mp4"},-1,,,,\n'
    )
    (root / 'val.csv').write_text('path,label\nc.mkv,1\nnone.mp4,0\n')
    return root


def state(root):
    """Names, times and contents of all files in a folder but for what a check writes."""
    files = [path for path in sorted(root.rglob('*')) if path.is_file() and FOLDER not in path.parts]
    return [(path, path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]


def test_the_new_folder_is_the_same_dataset(listed, tmp_path):
    before, new = state(listed), tmp_path / 'new'
    prepared = prepare('csv', listed, workers=0)
    made = reencode.reencode(prepared.manifest, new, workers=0)
    assert state(listed) == before and set(made.left_out) == {'cut.mp4', 'none.mp4'}
    assert {path for path in made.left_out.values()} >= {'missing'}
    old, given = build_dataset('csv', 'train', listed), build_dataset('csv', 'train', new)
    kept = [i for i, record in enumerate(old.records) if record.path != 'cut.mp4']
    assert [(r.label, r.start, r.end) for r in given.records] == [(*old.records[i][1:],) for i in kept]
    assert given.labels == old.labels and given.labels.groups == ('turn', 'turn', 'rest')
    assert [r.path for r in given.records[:4]] == ['deep/a.mp4.mp4', 'deep/a.mp4.mp4', 'deep/a.avi.mp4', 'c.mp4']
    assert given.records[4].path.startswith('outside/') and given.records[4].path.endswith('_elsewhere.mp4')
    for place, i in enumerate(kept):
        with old.open(i) as a, given.open(place) as b:
            assert len(a) == len(b)
            assert [read_number(f) for f in a.get_batch([0, len(a) - 1])] == [
                read_number(f) for f in b.get_batch([0, len(b) - 1])
            ]
    shutil.rmtree(new / FOLDER)  # by its lists, the same
    again = build_dataset('csv', 'train', new)
    assert (again.records, again.labels) == (given.records, given.labels)
    assert len(build_dataset('csv', 'val', new)) == 1


def test_a_stopped_encoding_goes_on(listed, tmp_path, monkeypatch):
    manifest = prepare('csv', listed, workers=0).manifest
    whole = reencode.reencode(manifest, tmp_path / 'whole', workers=0)
    done = []

    def stop(job):
        if len(done) == 2:
            done.append('stopped')
            (Path(job.target).parent / f'.{Path(job.target).name}.x1.mp4').write_bytes(b'half')  # as a kill leaves it
            raise KeyboardInterrupt
        done.append(Path(job.target).name)
        return encode(job)

    monkeypatch.setattr(reencode, 'encode', stop)
    new = tmp_path / 'new'
    with pytest.raises(KeyboardInterrupt):
        reencode.reencode(manifest, new, workers=0)
    made = reencode.reencode(manifest, new, workers=0)
    assert len(done) == 1 + 4 and len(set(done)) == 5  # each once
    names = sorted(path.relative_to(new) for path in new.rglob('*.*') if path.is_file() and FOLDER not in path.parts)
    assert len(names) == 6 and all(path.name[0] != '.' for path in names)
    for name in names:
        a, b = new / name, tmp_path / 'whole' / name
        assert a.read_bytes() == b.read_bytes() or np.abs(all_frames(a).astype(int) - all_frames(b)).max() < 9
    assert [(row.path, row.frames) for row in made.manifest.rows()] == [
        (row.path, row.frames) for row in whole.manifest.rows()
    ]
    # a source that has changed is encoded again, and it alone
    done.clear()
    shutil.copy(listed / 'deep/a.avi', listed / 'c.mkv')
    reencode.reencode(prepare('csv', listed, workers=0).manifest, new, workers=0)
    assert done == ['c.mp4']


def test_killed_it_goes_on(listed, tmp_path):
    new, root = tmp_path / 'new', listed
    words = [sys.executable, '-m', 'gluon_fg', 'data', 'prepare', 'csv', root, '--reencode', new, '--workers', '0']
    process = subprocess.Popen(list(map(str, words)), cwd=REPO, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(new.rglob('*.mp4')) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    made = reencode.reencode(prepare('csv', root, workers=0).manifest, new, workers=0)
    assert not any(row.problems and row.problems != ['no label'] for row in made.manifest.rows())
    assert not list(new.rglob('.*.mp4')) and len(list(new.rglob('*.mp4'))) == 4


@pytest.mark.parametrize('place', ['.', 'inside', '..'])
def test_the_source_is_never_written_to(listed, place, error_line):
    line = error_line('data', 'prepare', 'csv', listed, '--reencode', listed / place, '--workers', 0)
    assert 'choose a folder outside the dataset' in line and not (listed / FOLDER).exists()


def test_nothing_of_a_user_is_replaced(listed, tmp_path, error_line):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/c.mp4').write_bytes(b'mine')
    line = error_line('data', 'prepare', 'csv', listed, '--reencode', tmp_path / 'mine', '--workers', 0)
    assert 'holds other files; choose an empty folder' in line and (tmp_path / 'mine/c.mp4').read_bytes() == b'mine'


def test_a_full_disk_is_one_line(listed, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, 'No space left on device')

    manifest = prepare('csv', listed, workers=0).manifest
    monkeypatch.setattr(encoding, '_write', full)
    with pytest.raises(UserError, match='a.mp4.mp4: No space left on device; free some'):
        reencode.reencode(manifest, tmp_path / 'new', workers=0)
    assert not [path for path in (tmp_path / 'new').rglob('*') if 'mp4' in path.name]


def test_the_command_says_what_it_did(listed, tmp_path, command):
    new = tmp_path / 'new'
    code, out, err = command('data', 'prepare', 'csv', listed, '--reencode', new, '--workers', 0)
    assert code == 2 and 'encoded anew: 4 of 6 videos, ' in out and 'not encoded: cut.mp4: broken' in err
    assert f'next: gluon-fg data prepare csv {new}; train with data.root={new}' in out
    code, out, _ = command('data', 'prepare', 'csv', new, '--workers', 0)
    assert code == 0 and '  train     5 videos of 3 classes, 5 there, 5 usable' in out
    assert os.path.isfile(new / FOLDER / 'csv' / 'report.html')
