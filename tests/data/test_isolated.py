"""Films decoded in processes of their own: one that ends or hangs costs the file at fault alone."""

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numbered import read_number

from gluon_fg.data import isolated
from gluon_fg.data.datasets import VideoDataset, VideoRecord
from gluon_fg.data.isolated import IsolatedReader, open_isolated, start_seconds
from gluon_fg.data.labels import LabelSet
from gluon_fg.data.loader import Reading, TrainLoader
from gluon_fg.data.scans import ScanCache
from gluon_fg.data.transforms import TrainTransform
from gluon_fg.data.video import open_video
from gluon_fg.errors import VideoError
from gluon_fg.input_spec import InputSpec

SPEC = InputSpec(frames=4, frame_stride=1, short_side=32, crop_size=28)


def kill(process, how=signal.SIGKILL):
    os.kill(process._popen.pid, how)


@pytest.fixture
def harmful(monkeypatch):
    """Files called `bad` end the process that decodes a frame of them, as a crash would; counts the processes."""
    ended = []
    ask = isolated._Process.ask

    def asked(self, request, *rest):
        bad = 'bad' in os.path.basename(request.get('open', ''))
        self.bad = getattr(self, 'bad', set()) | ({request['reader']} if bad else set())
        if 'numbers' in request and request['reader'] in self.bad:
            ended.append(self)
            kill(self)
        return ask(self, request, *rest)

    monkeypatch.setattr(isolated._Process, 'ask', asked)
    return ended


def test_frames_and_what_is_known_are_those_of_this_process(plain_video):
    scans = ScanCache()
    with open_isolated(str(plain_video), scans) as there, open_video(str(plain_video)) as here:
        assert isinstance(there, IsolatedReader)
        assert (len(there), there.fps, there.size, there.backend) == (len(here), here.fps, here.size, here.backend)
        assert np.array_equal(there.times, here.times)
        for numbers, size in (([5, 3, 3, 39], None), ([0], (20, 30)), (list(range(40)), (300, 400)), ([7], (8, 8))):
            assert (there.get_batch(numbers, size) == here.get_batch(numbers, size)).all()
    assert len(scans) == 1  # it need not be scanned again


def test_a_path_is_meant_from_where_the_program_is_now(plain_video, tmp_path, monkeypatch):
    """The process may have been started elsewhere."""
    with open_isolated(str(plain_video)) as reader:
        first = reader.get_batch([0])
    monkeypatch.chdir(Path(plain_video).parent)
    with open_isolated(Path(plain_video).name) as reader:
        assert reader.path == Path(plain_video).name
        monkeypatch.chdir(tmp_path)
        np.testing.assert_array_equal(reader.get_batch([0]), first)
    (tmp_path / 'damaged.mp4').write_bytes(b'no film')
    with pytest.raises(VideoError) as caught:
        open_isolated('damaged.mp4')
    assert caught.value.path == 'damaged.mp4'


def test_readers_of_several_threads_do_not_mix(plain_video):
    readers = [open_isolated(str(plain_video)) for _ in range(5)]
    with ThreadPoolExecutor(5) as pool:
        places = [(place * 7 + number * 3) % 40 for place in range(12) for number in range(5)]
        read = list(pool.map(lambda job: read_number(readers[job[0] % 5].get_batch([job[1]])[0]), enumerate(places)))
    assert read == places
    for reader in readers:
        reader.close()
        reader.close()


def test_a_file_that_ends_its_process_is_named_and_the_next_is_read(plain_video, tmp_path, harmful):
    shutil.copy(plain_video, tmp_path / 'bad.mp4')
    with open_isolated(str(plain_video)) as other, open_isolated(str(tmp_path / 'bad.mp4')) as bad:
        assert read_number(other.get_batch([3])[0]) == 3
        with pytest.raises(VideoError, match=r'bad\.mp4: decoding it ends the process that does it \(by SIGKILL\)'):
            bad.get_batch([0])
        assert len(harmful) == 2 and harmful[0] is not harmful[1]  # once more, in a new process
        assert read_number(other.get_batch([4])[0]) == 4


def test_a_process_that_is_killed_from_outside_costs_nothing(plain_video):
    with open_isolated(str(plain_video)) as reader:
        for number in (7, 8):
            kill(reader._process)
            assert read_number(reader.get_batch([number])[0]) == number


def test_the_wait_for_a_process_is_known_and_is_of_one_thread(plain_video, monkeypatch):
    monkeypatch.setattr(isolated, '_pool', isolated._Pool())
    before = start_seconds()
    with open_isolated(str(plain_video)):
        first = start_seconds()
    with open_isolated(str(plain_video)):
        assert start_seconds() == first > before + 0.01, 'it has started'
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(start_seconds).result() == 0
    isolated._pool.end()


def test_a_decoder_that_hangs_is_ended(plain_video, monkeypatch):
    with open_isolated(str(plain_video)) as reader:
        process, reader._patience = reader._process, 0.2
        kill(process, signal.SIGSTOP)
        with pytest.raises(VideoError, match=r'decoding it does not end \(no answer in 0 s\)'):
            reader.get_batch([0])
        assert process._popen.poll() == -signal.SIGKILL
        reader._patience = 60
        assert read_number(reader.get_batch([9])[0]) == 9


def test_an_interrupt_leaves_no_half_answer(plain_video, monkeypatch):
    with open_isolated(str(plain_video)) as reader:
        with monkeypatch.context() as patched:
            patched.setattr(isolated.Hearing, 'message', lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                reader.get_batch([0])
        assert read_number(reader.get_batch([12])[0]) == 12


@pytest.mark.parametrize('workers', [0, 2])
def test_training_goes_on_where_a_decoder_crashes(plain_video, tmp_path, harmful, caplog, workers):
    names = ['a.mp4', 'b.mp4', 'bad.mp4', 'c.mp4']
    for name in names:
        shutil.copy(plain_video, tmp_path / name)
    data = VideoDataset([VideoRecord(name, at % 2) for at, name in enumerate(names)], LabelSet(('x', 'y')), tmp_path)
    loader = TrainLoader(data, SPEC, TrainTransform(SPEC), 4, seed=3, reading=Reading(workers))
    batches = list(loader.batches(0))
    assert [batch.clips.shape for batch in batches] == [(4, 3, 4, 28, 28)]
    assert list(loader.failed) == [str(tmp_path / 'bad.mp4')] and 'by SIGKILL' in caplog.text


def test_what_can_not_be_read_is_told_as_in_this_process(tmp_path):
    (tmp_path / 'text.mp4').write_text('no film\n' * 99)
    os.mkfifo(tmp_path / 'pipe.mp4')
    for name in ('text.mp4', 'pipe.mp4', 'absent.mp4'):
        path = str(tmp_path / name)
        with pytest.raises(VideoError) as here:
            open_video(path)
        with pytest.raises(VideoError) as there:
            open_isolated(path)
        assert str(there.value) == str(here.value)


def test_where_no_process_starts_films_are_read_in_this_one(plain_video, monkeypatch, caplog):
    monkeypatch.setattr(isolated, '_pool', isolated._Pool())
    monkeypatch.setattr(isolated, '_told', [])
    monkeypatch.setattr(isolated.sys, 'executable', '/nowhere/python')
    for _ in range(2):
        with open_isolated(str(plain_video)) as reader:
            assert read_number(reader.get_batch([5])[0]) == 5 and not isinstance(reader, IsolatedReader)
    assert caplog.text.count('decoded in this process') == 1
    monkeypatch.setattr(isolated.sys, 'executable', '/bin/false')
    monkeypatch.setattr(isolated, '_told', [])
    with open_isolated(str(plain_video)) as reader:
        assert not isinstance(reader, IsolatedReader) and 'ends at its start' in caplog.text


def test_a_fork_starts_processes_of_its_own(monkeypatch):
    pool = isolated._processes()
    monkeypatch.setattr(isolated, '_pool', pool)
    assert isolated._processes() is pool
    monkeypatch.setattr(isolated.os, 'getpid', lambda: -1)
    assert isolated._processes() is not pool
