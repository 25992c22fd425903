"""TensorBoard's files: what tensorboardX's own writer puts there, and an error instead of a wait on a full disk."""

import errno
import os
import resource
import struct
import sys
import threading

import pytest
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import RecordWriter

from gluon_fg.training.board import Board


def events(folder):
    """All events of a folder's one file, without their times."""
    (file,) = folder.iterdir()
    data, read = file.read_bytes(), []
    while data:
        (length,) = struct.unpack('<Q', data[:8])
        event = Event.FromString(data[12 : 12 + length])
        event.ClearField('wall_time')
        read.append(event)
        data = data[16 + length :]
    return read


@pytest.mark.parametrize('first', [0, 7])
def test_the_events_are_tensorboardxs(tmp_path, first):
    values = {'train/loss': 2.5, 'train/top1': 0.25, 'a tag: of its own': 1}
    theirs = SummaryWriter(str(tmp_path / 'theirs'), purge_step=first or None)
    for name, value in values.items():
        theirs.add_scalar(name, value, 9)
    theirs.close()
    ours = Board(tmp_path / 'ours', first)
    ours.add(values, 9)
    before = events(tmp_path / 'ours')  # there at once: nothing waits for the end
    ours.close()
    assert events(tmp_path / 'ours') == before == events(tmp_path / 'theirs')
    assert len(before) == 1 + 2 * bool(first) + 3


@pytest.mark.parametrize('step', [0, 1, 127, 128, 300_000])
def test_the_file_is_tensorboardxs_to_the_byte(tmp_path, step):
    """Lengths, checksums and the order of fields; a tag's length takes a second byte from 128 on."""
    board = Board(tmp_path / 'ours')
    board.add({'a': -1.5, 'b' * 130: 0.0, 'Größe': 1e30, 'beyond float32': 1e300}, step)
    board.close()
    assert events(tmp_path / 'ours')[-1].summary.value[0].simple_value == float('inf')
    (ours,) = (tmp_path / 'ours').iterdir()
    assert ours.name.startswith('events.out.tfevents.')
    theirs, data = RecordWriter(str(tmp_path / 'theirs')), ours.read_bytes()
    while data:
        (length,) = struct.unpack('<Q', data[:8])
        theirs.write(Event.FromString(data[12 : 12 + length]).SerializeToString())
        data = data[16 + length :]
    theirs.close()
    assert (tmp_path / 'theirs').read_bytes() == ours.read_bytes()


def test_boards_begun_one_behind_the_other_keep_their_files(tmp_path):
    for step in range(3):  # a run that is stopped and begun again within a second
        board = Board(tmp_path)
        board.add({'train/loss': 1.0}, step)
        board.close()
    assert [b'train/loss' in file.read_bytes() for file in tmp_path.iterdir()] == [True] * 3


def test_it_loads_nothing_of_other_packages(tmp_path, monkeypatch):
    """PyTorch, which tensorboardX brings in where there is one, takes seconds to load."""
    for name in ('tensorboardX', 'torch'):
        monkeypatch.setitem(sys.modules, name, None)
    board = Board(tmp_path / 'board', 3)
    board.add({'train/loss': 1.0}, 3)
    board.close()
    assert len(events(tmp_path / 'board')) == 4


def test_a_full_disk_is_an_error_and_no_wait(tmp_path):
    before = set(threading.enumerate())  # those of other tests may end meanwhile
    board = Board(tmp_path / 'board')
    assert set(threading.enumerate()) <= before
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(OSError) as caught:
            for step in range(40):
                board.add({'train/loss': 1.0}, step)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG and caught.value.filename == str(tmp_path / 'board')
    board.close()
    assert os.path.getsize(next((tmp_path / 'board').iterdir())) > 200  # what was not written then
