"""One job at a time in a run's folder, whatever happens to the one that has it."""

import multiprocessing
import os
import shutil
import socket
import threading
import time

import pytest

from gluon_fg.errors import UserError
from gluon_fg.training import lock
from gluon_fg.training.distributed import World
from gluon_fg.training.lock import LOCK, remove_left, run_lock

FORK = multiprocessing.get_context('fork')


def hold(out, held):
    with run_lock(out):
        held.set()
        time.sleep(600)


def test_a_second_job_is_told_who_has_the_folder_until_that_one_is_killed(tmp_path):
    out = tmp_path / 'runs' / 'mine'
    held = FORK.Event()
    first = FORK.Process(target=hold, args=(out, held), daemon=True)
    first.start()
    try:
        assert held.wait(60)
        with pytest.raises(UserError) as caught, run_lock(out):
            pass
        assert str(caught.value) == (
            f'{out} is in use by process {first.pid} on {socket.gethostname()}; wait for its end, or choose another '
            '--out'
        )
    finally:
        first.kill()
        first.join()
    assert (out / LOCK).exists()  # nobody was left to remove it
    with run_lock(out):
        assert (out / LOCK).read_text().split()[1] == str(os.getpid())
    assert list(out.iterdir()) == []  # of the process that was killed, so it stays


def test_a_folder_that_nothing_came_into_goes_again_with_those_made_for_it(tmp_path):
    (tmp_path / 'runs').mkdir()
    with run_lock(tmp_path / 'runs' / 'a' / 'b'):
        assert (tmp_path / 'runs/a/b' / LOCK).is_file()
    assert (tmp_path / 'runs').is_dir() and not (tmp_path / 'runs/a').exists()
    with run_lock(tmp_path / 'runs' / 'a'):
        (tmp_path / 'runs/a/config.yaml').touch()
    assert [path.name for path in (tmp_path / 'runs/a').iterdir()] == ['config.yaml']


def test_threads_exclude_each_other_and_a_thread_may_take_it_twice(tmp_path):
    answers = []

    def attempt():
        try:
            with run_lock(tmp_path):
                answers.append('held')
        except UserError as error:
            answers.append(str(error))

    with run_lock(tmp_path) as outer, run_lock(tmp_path / '.') as inner:
        assert inner is outer
        other = threading.Thread(target=attempt)
        other.start()
        other.join()
    attempt()
    assert f'in use by process {os.getpid()} ' in answers[0] and answers[1:] == ['held']


def test_a_child_that_outlives_the_job_does_not_keep_the_folder(tmp_path):
    going = FORK.Event()
    with run_lock(tmp_path):
        child = FORK.Process(target=going.wait, daemon=True)
        child.start()
    try:
        with run_lock(tmp_path):
            assert child.is_alive()
    finally:
        going.set()
        child.join()


@pytest.mark.parametrize('change', ['deleted', 'moved', 'replaced', 'emptied'])
def test_a_folder_that_is_gone_is_noticed(change, tmp_path):
    out = tmp_path / 'run'
    with run_lock(out) as lock:
        (out / 'config.yaml').touch()
        lock.check()
        if change == 'emptied':
            (out / 'config.yaml').unlink()
        elif change == 'deleted':
            shutil.rmtree(out)
        else:
            out.rename(tmp_path / 'elsewhere')
        if change == 'replaced':
            shutil.copytree(tmp_path / 'elsewhere', out)
        with pytest.raises(UserError, match='run was deleted or moved while it was in use'):
            lock.check()
    assert not (tmp_path / 'elsewhere' / LOCK).exists()
    assert (out / LOCK).exists() == (change == 'replaced')  # another's, as far as we know


def test_no_such_folder_is_one_line(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='file/run: Not a directory; choose another --out'), run_lock(
        tmp_path / 'file' / 'run'
    ):
        pass
    (tmp_path / 'run' / LOCK).mkdir(parents=True)
    with pytest.raises(UserError, match='run: Is a directory'), run_lock(tmp_path / 'run'):
        pass


def test_what_a_killed_job_left_goes_where_nobody_has_the_folder(tmp_path):
    remove_left(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / LOCK).write_text('process 1 on a host that was switched off\n')
    with run_lock(tmp_path):
        remove_left(tmp_path)
        assert (tmp_path / LOCK).is_file()
    (tmp_path / LOCK).write_text('process 1 on a host that was switched off\n')
    remove_left(tmp_path)
    assert list(tmp_path.iterdir()) == []


class Second(World):
    """Rank 1 of two, where rank 0 says what it is given."""

    rank, size = 1, 2

    def __init__(self, *said):
        self.said = list(said)

    def gather_objects(self, value):
        return [self.said.pop(0), value]


@pytest.mark.parametrize('there', [None, 'process 7 on another\n', 'process 7 on first\n'])
def test_a_rank_that_has_another_folder_than_rank_0_is_refused(there, tmp_path, monkeypatch):
    monkeypatch.setattr(lock, '_SHOWN_WITHIN', 0.2)
    if there:
        (tmp_path / LOCK).write_text(there)
    world, taken = Second(None, 'process 7 on first\n', None), []
    if there == 'process 7 on first\n':
        with run_lock(tmp_path, world):
            taken.append(True)
    else:
        with pytest.raises(UserError, match='rank 1 on .* does not see in .* choose an --out on a disk that all'):
            with run_lock(tmp_path, world):
                taken.append(True)
    assert taken == [True] * (there == 'process 7 on first\n')


def test_a_folder_that_shows_late_is_waited_for(tmp_path):
    late = threading.Timer(0.3, (tmp_path / LOCK).write_text, ('process 7 on first\n',))
    late.start()
    with run_lock(tmp_path, Second(None, 'process 7 on first\n', None)):
        assert (tmp_path / LOCK).is_file()
    late.join()
