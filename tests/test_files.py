"""Files are whole or not there, whatever ends their writer, and the next writer removes what was left over."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from gluon_fg import files
from gluon_fg.errors import UserError

REPO = Path(__file__).resolve().parents[1]
DAY = 24 * 3600


@pytest.fixture(autouse=True)
def _first_writing(monkeypatch):
    """Each test as in a process that has written nothing yet."""
    monkeypatch.setattr(files, '_swept', set())


def held(folder):
    """Names in a folder, of all that lies there."""
    return sorted(os.listdir(folder))


def killed_writer(folder, lines):
    """Run Python that writes with `files` into a folder and kills itself half way."""
    code = f'import os, signal, sys\nfrom gluon_fg import files\n{lines}\nos.kill(os.getpid(), signal.SIGKILL)'
    argv = [sys.executable, '-c', 'import sys; sys.argv = ["gluon-fg"]; ' + f'exec({code!r})']
    done = subprocess.run(argv, cwd=folder, env={**os.environ, 'PYTHONPATH': str(REPO)}, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_what_a_kill_leaves_is_removed_by_the_next_writer(tmp_path):
    (tmp_path / 'old.csv').write_text('former')
    killed_writer(
        tmp_path,
        'a = files.atomic_path("old.csv"); open(a.__enter__(), "w").write("half")\n'
        'b = files.atomic_write("new.npz", "wb"); b.__enter__().write(b"half")\n'
        'c = files.atomic_folder("run"); (c.__enter__() / "x").write_text("half")\n'
        'd = files.temporary_folder("."); (d.__enter__() / "x").write_text("half")',
    )
    left = [name for name in held(tmp_path) if name != 'old.csv']
    assert len(left) == 4 and all(map(files.is_temporary, left))
    assert (tmp_path / 'old.csv').read_text() == 'former'
    with files.atomic_write(tmp_path / 'new.csv') as stream:
        stream.write('whole')
        assert len(held(tmp_path)) == 2  # this one, and the former
    assert held(tmp_path) == ['new.csv', 'old.csv'] and (tmp_path / 'new.csv').read_text() == 'whole'


def test_what_another_writes_is_not_swept(tmp_path):
    with files.atomic_path(tmp_path / 'a.params') as first, files.atomic_folder(tmp_path / 'run') as second:
        Path(first).write_text('whole')
        (second / 'x').write_text('whole')
        for path in (first, second):
            os.utime(path, (0, 0))
        code = f'import sys; sys.argv = ["gluon-fg"]; from gluon_fg import files; files.sweep({str(tmp_path)!r})'
        subprocess.run([sys.executable, '-c', code], cwd=REPO, check=True)
        files.sweep(tmp_path)
    assert held(tmp_path) == ['a.params', 'run'] and (tmp_path / 'run' / 'x').read_text() == 'whole'
    assert (tmp_path / 'a.params').read_text() == 'whole'


@pytest.mark.parametrize(
    'name, age',
    [
        ('.gluon-fg-{host}-0123abcd', 0),
        ('.gluon-fg-{host}-0123abcd.params', 0),
        ('.gluon-fg-ffffff-0123abcd.params', DAY),  # of another host
        ('.best.params.k3_x9ab2.params', DAY),
        ('.import-abcd_123', DAY),
        ('.publish-abcd_123', DAY),
        ('.checkpoint-00000012.partial', DAY),
        ('.gluon-fg-{host}-0123abcd.params.mine', None),
        ('.gluon-fg-notes', None),
        ('gluon-fg-{host}-0123abcd.params', None),
        ('.best.params', None),
        ('.vimrc.settings', None),
        ('.movie.mp4.Xy12Ab', None),  # rsync's
        ('.best.params.k3_x9ab2.npz', None),
        ('checkpoint-00000012', None),
        ('.import-csv', None),
    ],
)
@pytest.mark.parametrize('folder', [False, True])
def test_what_is_swept(tmp_path, name, age, folder):
    """`age`: from how many seconds on it goes; None: never."""
    path = tmp_path / name.format(host=files._HOST)
    for days, gone in ((0, age == 0), (2, age is not None)):
        if folder:
            path.mkdir(exist_ok=True)
            (path / 'x').touch()
        else:
            path.touch()
        then = time.time() - days * DAY
        os.utime(path, (then, then))
        files.sweep(tmp_path)
        assert path.exists() != gone
        assert files.is_temporary(path.name) == (age is not None)


def test_links_lead_nowhere(tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'film.mp4').touch()
    link = tmp_path / 'top' / f'.gluon-fg-{files._HOST}-0123abcd'
    link.parent.mkdir()
    link.symlink_to(tmp_path / 'mine')
    os.mkfifo(tmp_path / 'top' / f'.gluon-fg-{files._HOST}-0123abce')  # which must not be waited for
    files.sweep(tmp_path / 'top')
    files.sweep(tmp_path / 'nowhere')
    assert (tmp_path / 'mine' / 'film.mp4').exists() and link.is_symlink()


def test_writers_sweep_and_write_at_once(tmp_path):
    """Each thread removes left-overs over and over while the others write: nobody loses a file."""
    failed = []

    def work(number):
        try:
            for turn in range(60):
                with files.atomic_write(tmp_path / f'{number}-{turn}') as stream:
                    stream.write('whole')
                files.sweep(tmp_path)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and len(held(tmp_path)) == 240 and {len(p.read_text()) for p in tmp_path.iterdir()} == {5}


def test_files_get_the_mode_of_any_other(tmp_path):
    umask = os.umask(0o027)
    try:
        with files.atomic_write(tmp_path / 'a.csv') as stream:
            stream.write('x')
        with files.atomic_folder(tmp_path / 'run'):
            pass
    finally:
        os.umask(umask)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ('a.csv', 'run')] == [0o640, 0o750]


@pytest.mark.parametrize('length', [100, 240])
def test_names_may_be_as_long_as_the_disk_allows(tmp_path, length):
    name = '\u00e9'.encode('latin-1') + b'x' * length + b'.csv'
    with files.atomic_write(os.path.join(tmp_path, os.fsdecode(name))) as stream:
        stream.write('x')
    assert os.listdir(os.fsencode(tmp_path)) == [name]


@pytest.mark.parametrize('kind', ['device', 'pipe'])
def test_a_device_keeps_its_place(tmp_path, kind):
    path = tmp_path / 'pipe'
    os.mkfifo(path)
    path = Path(os.devnull) if kind == 'device' else path
    with pytest.raises(UserError, match=f'{path} is a device or a pipe; choose the name of a file'):
        with files.atomic_write(path) as stream:
            stream.write('x')
    assert not path.is_file()


def test_an_error_leaves_what_was_there(tmp_path):
    (tmp_path / 'a.csv').write_text('former')
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'x').write_text('former')
    for error in (ValueError, KeyboardInterrupt, UserError):
        with pytest.raises(error), files.atomic_write(tmp_path / 'a.csv') as stream:
            stream.write('half')
            raise error
        with pytest.raises(error), files.atomic_folder(tmp_path / 'run') as folder:
            (folder / 'x').write_text('half')
            raise error
    assert held(tmp_path) == ['a.csv', 'run'] and (tmp_path / 'a.csv').read_text() == 'former'
    assert (tmp_path / 'run' / 'x').read_text() == 'former'


def test_a_folder_takes_anothers_place(tmp_path):
    for content in ('first', 'second'):
        with files.atomic_folder(tmp_path / 'run') as folder:
            (folder / content).write_text(content)
    assert held(tmp_path) == ['run'] and held(tmp_path / 'run') == ['second']


def full(number=errno.ENOSPC, *names):
    return OSError(number, os.strerror(number), *names)


def raises(error, cause=None):
    """Raise one error while another is handled, as libraries do."""
    if cause is None:
        raise error
    try:
        raise cause
    except OSError:
        raise error  # noqa: B904


@pytest.mark.parametrize(
    'error, cause, name',
    [
        (full(), None, 'a.csv'),
        (full(errno.EDQUOT), None, 'a.csv'),
        (full(errno.EFBIG), None, 'a.csv'),
        (ValueError('open handle'), full(), 'a.csv'),
        (full(errno.EROFS, 'TEMPORARY'), None, 'a.csv'),
        (full(errno.EACCES, 'other.csv'), None, 'other.csv'),
        (full(errno.ENOSPC, 'source', None, 'TEMPORARY'), None, 'a.csv'),  # shutil.copyfile's
        (full(errno.ENOSPC, 'source', None, 'target'), None, 'source'),
    ],
)
def test_the_disks_answers_name_what_was_written(tmp_path, error, cause, name):
    with pytest.raises(OSError) as caught, files.atomic_path(tmp_path / 'a.csv') as temporary:
        for place in ('filename', 'filename2'):
            if getattr(error, place, None) == 'TEMPORARY':
                setattr(error, place, temporary)
        raises(error, cause)
    number = error.errno if isinstance(error, OSError) else cause.errno
    assert caught.value.errno == number and caught.value.filename.endswith(name) and not held(tmp_path)


def test_what_is_not_the_disks_stays_as_it_is(tmp_path):
    for error in (KeyError('x'), ConnectionResetError(errno.ECONNRESET, 'reset'), OSError('plain')):
        with pytest.raises(type(error)) as caught, files.atomic_write(tmp_path / 'a.csv'):
            raise error
        assert caught.value is error


def test_a_full_disk_in_an_archive(tmp_path, monkeypatch):
    """As zipfile says it: what it was asked, and what it makes of it when it is closed."""

    class Full(zipfile.ZipFile):
        def writestr(self, *args):
            raise full()

    with pytest.raises(OSError) as caught, files.atomic_path(tmp_path / 'a.zip') as temporary:
        with Full(temporary, 'w') as archive:
            archive.writestr('x', b'y')
    assert caught.value.filename == str(tmp_path / 'a.zip') and not held(tmp_path)


def test_names_in_a_folder_that_is_not_whole_yet(tmp_path):
    with pytest.raises(OSError) as caught, files.atomic_folder(tmp_path / 'run') as folder:
        raise full(errno.ENOSPC, str(folder / 'net.params'))
    assert caught.value.filename == str(tmp_path / 'run' / 'net.params') and not held(tmp_path)
