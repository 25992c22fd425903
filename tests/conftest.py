"""Shared fixtures. Imports gluon_fg before anything else: mxnet, decord and horovod crash in any other order."""

import contextlib
import ctypes
import gc
import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')  # sums in another order differ in the last bits
_HOME = tempfile.TemporaryDirectory(prefix='gluon_fg-tests-')  # weights that a user has fetched change no test
os.environ['MXNET_HOME'] = _HOME.name
os.environ.setdefault('GLUON_FG_RUNTIME', 'mxnet')  # compiles nothing; what other runtimes do has tests of its own
os.environ['GLUON_FG_CACHE'] = os.path.join(_HOME.name, 'converted')

import gluon_fg  # noqa: E402, F401  isort: skip
import mxnet as mx  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from gluon_fg.cli import main  # noqa: E402

REPO = Path(__file__).resolve().parents[1]

# A busy machine is no failure. Elsewhere than in CI every run draws new examples
settings.register_profile('gluon_fg', deadline=None, derandomize=bool(os.environ.get('CI')))
settings.load_profile('gluon_fg')


def pytest_make_parametrize_id(val, argname):
    """Number what is given as bytes: an archive holds the time of its making, and workers must agree on all names."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Write names that are no text as Python does: a worker's report of a test that shows one would end the worker."""
    report = (yield).get_result()
    report.sections = [(title, text.encode('utf-8', 'backslashreplace').decode()) for title, text in report.sections]


def pytest_runtest_setup(item):
    """The same random networks whatever ran before: now and then one has a dead ReLU that a test trips over."""
    mx.random.seed(0)
    np.random.seed(0)


def pytest_runtest_teardown(item):
    """Let what a test has queued end before its networks are freed, which once crashed MXNet's engine.

    Networks refer to themselves and few Python objects hold much memory: they are freed where they have come to much,
    or a worker grows until a test that forks it gets no memory.
    """
    with contextlib.suppress(mx.MXNetError):  # of a test that was about an error
        mx.nd.waitall()
    global _collect_at
    if _resident() > _collect_at:
        gc.collect()
        mx.nd.waitall()
        with contextlib.suppress(OSError, AttributeError):  # not glibc
            ctypes.CDLL(None).malloc_trim(0)  # else what was freed stays the process's
        _collect_at = max(_MUCH, _resident() + _MUCH // 2)


# Files whose tests take minutes, the longest first.
_LONG = (
    'tests/test_readme.py',
    'tests/test_zoo.py',
    'tests/training/test_stages.py',
    'tests/training/test_recipe.py',
    'tests/training/test_jobs.py',
    'tests/studies/test_study.py',
    'tests/cli/test_wheel.py',
    'tests/cli/test_demo_command.py',
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Hand the long files out first: xdist's order, most tests first, has them last, where the other workers wait."""
    from xdist.scheduler import LoadFileScheduling

    class LongFirst(LoadFileScheduling):
        def _assign_work_unit(self, node):
            first = [scope for scope in self.workqueue if scope in _LONG]
            for scope in sorted(first, key=_LONG.index, reverse=True):
                self.workqueue.move_to_end(scope, last=False)
            super()._assign_work_unit(node)

    return LongFirst(config, log) if config.getvalue('dist') == 'loadfile' else None


_MUCH = 2 * 10**9  # bytes
_collect_at = _MUCH


def _resident():
    try:
        return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    except OSError:  # not Linux
        return 0


@pytest.fixture(scope='session', autouse=True)
def curves_drawn_once():
    """Runs get the picture of this process's first one: to draw one takes longer than most trainings of the tests."""
    from gluon_fg import files
    from gluon_fg.training import log, loop

    drawn = []

    def write(records, path):
        if not drawn:
            log.plot_curves(records, path)
            drawn.append(Path(path).read_bytes())
        with files.atomic_path(path) as temporary:
            Path(temporary).write_bytes(drawn[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, 'plot_curves', write)
        yield


@pytest.fixture(scope='session')
def tiny_synthfg(tmp_path_factory):
    """Root of a SynthFG of 48 training, 24 validation and 24 test clips."""
    from gluon_fg.data import synthfg

    root = tmp_path_factory.mktemp('data') / 'synthfg'
    synthfg.generate(root, train=48, val=24, test=24, seed=0, progress=False)
    return root


@pytest.fixture(scope='session')
def run_script():
    """Run a script of the repository as a user does; returns the finished process with text output."""

    def run(name, *args, timeout=300, env=None, launcher=()):
        return subprocess.run(
            [*launcher, sys.executable, str(REPO / 'scripts' / name), *map(str, args)],
            cwd=REPO,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture(scope='session')
def run_command():
    """Run the command as a user does; returns the finished process with text output."""

    def run(*words, timeout=300, env=None, launcher=(), cwd=REPO):
        return subprocess.run(
            [*launcher, sys.executable, '-m', 'gluon_fg', *map(str, words)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture
def command(capfd):
    """`command('predict', ...)` -> (exit code, stdout, stderr), in this process: each start of MXNet costs seconds."""

    def run(*words):
        capfd.readouterr()
        loggers = [logging.getLogger(name) for name in (None, 'gluon_fg')]
        before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
        handler = signal.getsignal(signal.SIGTERM)
        try:
            with pytest.raises(SystemExit) as stop:
                main([str(word) for word in words])
        finally:  # what a command sets up for its own process must not stay in this one
            signal.signal(signal.SIGTERM, handler)
            for logger, (handlers, level, propagate) in zip(loggers, before):
                logger.handlers[:], logger.propagate = handlers, propagate
                logger.setLevel(level)
        return (stop.value.code, *capfd.readouterr())

    return run


@pytest.fixture
def error_line(command):
    """`error_line('predict', ...)` -> the one line on stderr of a command that must end with exit code 2."""

    def run(*words):
        code, _, err = command(*words)
        lines = err.strip().splitlines()
        assert code == 2 and len(lines) == 1 and lines[0].startswith('error: '), err
        return lines[0]

    return run


@pytest.fixture
def command_done(command):
    """As `command`, with the result in the form of a finished process."""
    return lambda *words: subprocess.CompletedProcess(words, *command(*words))
