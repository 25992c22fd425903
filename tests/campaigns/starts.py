"""Ways to start a command and to disturb it: forked, as a user does, and as a job of two ranks."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence

from campaigns.dying import Blow, die

TIMEOUT = 240  # seconds until a command counts as stuck
HOROVODRUN = shutil.which('horovodrun', path=f'{Path(sys.executable).parent}{os.pathsep}{os.environ.get("PATH", "")}')


class Ended(NamedTuple):
    """How a start ended.

    Parameters
    ----------
    code
        its exit code; below 0: by that signal; None: stuck
    text
        what it printed
    changes
        to the disk, in words, where they were counted
    seconds
        how long it took
    """

    code: Optional[int]
    text: str
    changes: List[str]
    seconds: float


def forked(words: Sequence[str], folder: Path, blow: Optional[Blow] = None) -> Ended:
    """Run a command in a fork of this process, which has loaded the libraries: quickly, its changes counted."""
    log, told = _outputs(folder)
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        die(words, folder, log, blow, told)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code: Optional[int] = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            break
        if time.monotonic() - began > TIMEOUT:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            code = None
            break
        time.sleep(0.005)
    if not _alone(child):  # processes of its own that outlive it
        code = None
    return _ended(code, folder, began)


def _alone(group: int) -> bool:
    """Whether, within a minute, nothing of a process group lives; else what does is killed."""
    for _ in range(600):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    return False


def by_a_user(words: Sequence[str], folder: Path, blow: Optional[Blow] = None, seconds: float = 0) -> Ended:
    """Run a command as a user does; the blow comes after so many seconds, wherever the command is then."""
    return _watched([sys.executable, '-m', 'gluon_fg', *words], folder, blow, seconds)


def as_a_job(words: Sequence[str], folder: Path, blow: Optional[Blow] = None) -> Ended:
    """Run a command on two ranks; the blow comes at a change to the disk by rank 0, for it or for rank 1."""
    log, told = _outputs(folder)
    pids = folder.with_suffix('.pids')
    pids.mkdir(exist_ok=True)
    if blow and blow.victim:
        blow = blow._replace(victim=str(pids / blow.victim))
    settings = folder.with_suffix('.settings')
    given = {'pids': str(pids), 'folder': str(folder), 'told': str(told), 'blow': blow and blow._asdict()}
    settings.write_text(json.dumps(given))
    script = str(Path(__file__).with_name('dying.py'))
    return _watched([str(HOROVODRUN), '-np', '2', sys.executable, script, str(settings), *words], folder)


def _watched(command: Sequence[str], folder: Path, blow: Optional[Blow] = None, seconds: float = 0) -> Ended:
    log, _ = _outputs(folder)
    began = time.monotonic()
    with open(log, 'w') as stream:
        process = subprocess.Popen(command, cwd=folder, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            if blow:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)
                process.send_signal(getattr(signal, blow.kind))
            code: Optional[int] = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with contextlib.suppress(ProcessLookupError):  # also what a killed command has left running
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return _ended(code, folder, began)


def _outputs(folder: Path) -> List[Path]:
    """Files for a start's output and its changes, beside its folder; without those of the start before."""
    paths = [folder.with_suffix('.log'), folder.with_suffix('.changes')]
    for path in paths:
        path.unlink(missing_ok=True)
    return paths


def _ended(code: Optional[int], folder: Path, began: float) -> Ended:
    log, told = folder.with_suffix('.log'), folder.with_suffix('.changes')
    text = log.read_text(errors='replace') if log.is_file() else ''
    changes = json.loads(told.read_text()) if told.is_file() else []
    return Ended(code, text, changes, time.monotonic() - began)
