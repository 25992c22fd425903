"""What the disk, the memory or Ctrl-C does to a command: one line and its code, whatever it was at."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from gluon_fg import errors, interrupts
from gluon_fg.data import label_set
from gluon_fg.errors import UserError
from gluon_fg.evaluation.score import Scores

REPO = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, 'PYTHONPATH': str(REPO)}


def ended(capfd, main):
    """Exit code and lines on stderr of `errors.run`."""
    with pytest.raises(SystemExit) as stop:
        errors.run(main)
    return stop.value.code, capfd.readouterr().err.splitlines()


def fails(error, cause=None):
    def main():
        try:
            if cause is not None:
                raise cause
        except BaseException:
            raise error from None
        raise error

    return main


def refused(number, *names):
    return OSError(number, os.strerror(number), *names)


class MXNetError(RuntimeError):
    """By its name alone errors.py knows it."""


@pytest.mark.parametrize(
    'error, line',
    [
        (refused(errno.ENOSPC, 'a.npz'), 'a.npz: No space left on device; free some space, or choose another folder'),
        (refused(errno.EDQUOT, 'a.npz'), 'a.npz: Disk quota exceeded; free some'),
        (refused(errno.EFBIG, 'a.npz'), 'a.npz: File too large; it would be larger than files may be'),
        (refused(errno.EROFS, 'a.npz'), 'a.npz: Read-only file system; choose a folder that can be written'),
        (refused(errno.EACCES, 'a.npz'), 'a.npz: Permission denied; choose another place'),
        (refused(errno.EIO, 'a.npz'), 'a.npz: Input/output error; the disk fails'),
        (refused(errno.ESTALE, 'a.npz'), 'a.npz: Stale file handle; the disk fails'),
        (refused(errno.ENAMETOOLONG, 'a.npz'), 'a.npz: File name too long; choose a shorter name'),
        (refused(errno.ENOENT, b'caf\xe9\n'), 'caf\\udce9 : No such file or directory'),
        (refused(errno.EISDIR, 'runs'), 'runs: Is a directory'),
        (refused(errno.ENOSPC, 'from', None, 'to'), 'to: No space left'),
        (refused(errno.ENOMEM), 'not enough memory'),
        (MemoryError(), 'not enough memory'),
        (MXNetError('Failed to allocate CPU Memory'), 'not enough memory'),
        (MXNetError('cudaMalloc retry failed: out of memory'), 'not enough memory'),
        (RuntimeError("can't start new thread"), 'no more threads'),
        (UserError('two\nlines \x1b[31m'), 'two lines \\x1b[31m'),
    ],
)
def test_what_is_no_defect_is_one_line(capfd, error, line):
    code, lines = ended(capfd, fails(error))
    assert code == 2 and len(lines) == 1 and lines[0].startswith(f'error: {line}')


@pytest.mark.parametrize(
    'error',
    [KeyError('x'), OSError('plain'), ConnectionResetError(errno.ECONNRESET, 'x'), MXNetError('shape'), RuntimeError()],
)
def test_defects_keep_their_traceback(error):
    with pytest.raises(type(error)) as caught:
        errors.run(fails(error))
    assert caught.value is error


@pytest.mark.parametrize('error', [KeyboardInterrupt(), ImportError('numpy.core'), RuntimeError('Aborted!')])
def test_what_libraries_make_of_an_interrupt_is_one(capfd, error):
    assert ended(capfd, fails(error, KeyboardInterrupt())) == (130, ['interrupted'])


def test_a_thread_that_the_disk_refuses_ends_the_command(capfd):
    def main():
        thread = threading.Thread(target=fails(refused(errno.ENOSPC, 'events')))
        thread.start()
        thread.join()

    hook = threading.excepthook
    code, lines = ended(capfd, main)
    assert code == 2 and lines == ['error: events: No space left on device; free some space, or choose another folder']
    assert threading.excepthook is hook


def test_an_interrupt_in_a_destructor_is_not_lost(capfd):
    class Closing:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    def main():
        Closing()
        time.sleep(20)

    began = time.monotonic()
    assert ended(capfd, main) == (130, ['interrupted']) and time.monotonic() - began < 15


def test_standard_output_may_be_full():
    with open('/dev/full', 'w') as full:
        done = subprocess.run(
            [sys.executable, '-m', 'gluon_fg', 'zoo', '--help'],
            cwd=REPO,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith('error: standard output: No space left on device')


@pytest.mark.parametrize('module', ['click', 'mxnet'])
@pytest.mark.parametrize('swallowed', [False, True])
def test_an_interrupt_while_libraries_load(tmp_path, module, swallowed):
    """At the command's start, and when it has loaded the rest; some libraries make nothing of it."""
    (tmp_path / f'{module}.py').write_text(
        'import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\n'
        f'except BaseException:\n    {"pass" if swallowed else "raise"}\nraise ImportError("a library")\n'
    )
    done = subprocess.run(
        [sys.executable, '-m', 'gluon_fg', 'predict', 'x.mp4'],
        env={**ENVIRONMENT, 'PYTHONPATH': f'{tmp_path}:{REPO}'},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr, done.stdout) == (130, 'interrupted\n', '')


def test_a_program_that_imports_us_keeps_its_interrupts():
    code = 'import signal\nfrom importlib import util\n' + (
        f'spec = util.spec_from_file_location("interrupts", {str(REPO / "gluon_fg" / "interrupts.py")!r})\n'
        'module = util.module_from_spec(spec)\nspec.loader.exec_module(module)\n'
        'print(module.COMMAND, signal.getsignal(2) is signal.default_int_handler)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout == 'False True\n', done.stderr


def test_children_are_not_interrupted():
    """The signal waits for us until the child has been started."""
    with pytest.raises(KeyboardInterrupt), interrupts.kept_from_children():
        child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)  # other threads of MXNet's would take it at once
        status = dict(line.split(':\t') for line in Path(f'/proc/{child.pid}/status').read_text().splitlines())
        blocked = int(status['SigBlk'], 16) >> (signal.SIGINT - 1) & 1
    child.kill()
    child.wait()
    assert blocked and signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


# Commands on small disks ----------------------------------------------------------------------------------------------


def scores(path, seed):
    """Random ones of SynthFG's test videos."""
    labels, rng = label_set('synthfg'), np.random.default_rng(seed)
    Scores(
        ids=[f'{number}.mp4' for number in range(48)],
        labels=np.arange(48) % 24,
        probabilities=rng.dirichlet(np.ones(24), (48, 2)).astype(np.float32),
        branch_names=('avg', 'max'),
        classes=labels.classes,
        groups=labels.groups,
        protocol='1x1',
        failed={},
        model='i3d_tiny_synthfg',
        dataset='synthfg',
        logits=rng.standard_normal((48, 24)).astype(np.float32),
    ).save(path)


# words, with OUT for a file on the disk, and the bytes of a disk that is too small for it
COMMANDS = {
    'compare': ('compare A B --per-class 3 --csv OUT.csv --out OUT.json --chart OUT.png', 8192),
    'fuse': ('fuse A B --names a b --out OUT.npz', 8192),
    'confusion': ('explain confusion A --out OUT.png', 8192),
    'filters': ('explain weights --models topheavy_tiny_synthfg_u2s --out OUT.png', 8192),
    'bundle': ('zoo bundle OUT.tar i3d_tiny_synthfg_dfb', 65536),
    'images': ('data prepare synthfg_images --root OUT --train 24 --val 24 --test 24', 65536),
    'videos': ('data prepare synthfg --root OUT --train 24 --val 24 --test 24', 65536),
    'predict': ('predict FILM --model i3d_tiny_synthfg_dfb --film OUT.mp4', 8192),
    'vectors': ('features LIST --model i3d_tiny_synthfg --stage 5 --pool --out OUT', 4096),
}


@pytest.fixture(scope='module')
def small_disks(tmp_path_factory, tiny_synthfg):
    """Exit code, stderr and what was left of each command, on a small disk and on one that is read-only."""
    folder = tmp_path_factory.mktemp('disks')
    scores(folder / 'a.npz', 0)
    scores(folder / 'b.npz', 1)
    film = tiny_synthfg / 'test' / '00000.mp4'
    (folder / 'list.csv').write_text(f'path,label\n{film},0\n')
    places = {'A': folder / 'a.npz', 'B': folder / 'b.npz', 'FILM': film, 'LIST': folder / 'list.csv'}
    jobs = []
    for words, size in COMMANDS.values():
        words = [str(places.get(word, word)).replace('OUT', f'{folder}/disk/out') for word in words.split()]
        jobs += [(size, False, words), (1 << 24, True, words)]
    command = [sys.executable, str(REPO / 'tests' / 'full_disks.py'), str(folder)]
    done = subprocess.run(command, input=json.dumps(jobs), env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    if isinstance(results, str):
        pytest.skip(f'disks cannot be mounted here: {results}')
    return dict(zip(COMMANDS, zip(results[::2], results[1::2])))


@pytest.mark.parametrize('name', sorted(COMMANDS))
def test_a_small_or_closed_disk_is_one_line(small_disks, name):
    for (code, err, left), reason in zip(small_disks[name], ('no space left', 'read-only file system')):
        assert code == 2 and len(err.splitlines()) == 1 and not left, err
        assert err.startswith('error: ') and '/disk' in err and reason in err.lower()
