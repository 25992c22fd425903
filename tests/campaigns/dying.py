"""A command that dies, or is asked to stop, at a chosen change to the disk: the part of `kills` in the dying process.

A change is whatever Python's audit events tell of (a file made, emptied, renamed or removed; a folder made or removed).
Between two of them a file may grow, from C++ too: a kill may therefore also cut what has grown since the change before,
as one in the middle of a write would.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import random
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

# Of `sys.addaudithook`; where in its arguments the path stands, and the folder's descriptor that it is relative to.
_CHANGES = {
    'os.rename': (0, 2),
    'os.remove': (0, 1),
    'os.mkdir': (0, 2),
    'os.rmdir': (0, 1),
    'os.link': (1, 3),
    'os.symlink': (1, 2),
    'os.truncate': (0, None),
}
_WRITING = os.O_WRONLY | os.O_RDWR


class Blow(NamedTuple):
    """What happens to a process, and when.

    Parameters
    ----------
    at
        before which change to the disk, counted from 1
    kind
        the signal: 'SIGKILL', 'SIGTERM' or 'SIGINT'
    cut
        a seed: what has grown since the change before is cut at random; None: it stays whole
    victim
        file with the number of the process to hit, in place of this one: another rank
    share
        in place of `at`: the moment, as a share of the time that the command takes
    """

    at: int
    kind: str = 'SIGKILL'
    cut: Optional[int] = None
    victim: Optional[str] = None
    share: Optional[float] = None


class Watch:
    """Counts the changes under a folder, in this process, and deals the blow."""

    def __init__(self, folder: Path, blow: Optional[Blow] = None):
        self.folder, self.blow = os.path.realpath(folder) + os.sep, blow
        self.seen: List[str] = []
        self._sizes: Dict[str, int] = {}
        self._busy, self._lock = threading.local(), threading.RLock()
        self._sizes = self._now()
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: Tuple[Any, ...]) -> None:
        if event != 'open' and event not in _CHANGES or getattr(self._busy, 'on', False):
            return
        path = self._path(event, args)
        if path is None or not path.startswith(self.folder):
            return
        self._busy.on = True
        try:
            with self._lock:
                self.seen.append(f'{event} {path[len(self.folder) :]}')
                self._strike(path, self._path(event, args, 1) if event == 'os.rename' else None)
        finally:
            self._busy.on = False

    @staticmethod
    def _path(event: str, args: Tuple[Any, ...], target: int = 0) -> Optional[str]:
        """What changes, absolute; of a rename `target` 1 gives the new name. None: nothing does."""
        if event == 'open':
            path, base = args[0], None
            if not args[2] & _WRITING:
                return None
        else:
            at, place = _CHANGES[event]
            at, place = at + target, None if place is None else place + target
            path, base = args[at], None if place is None or len(args) <= place else args[place]
        if isinstance(path, int):
            return None
        folder = os.readlink(f'/proc/self/fd/{base}') if isinstance(base, int) and base >= 0 else os.getcwd()
        path = os.path.normpath(os.path.join(folder, os.fsdecode(path)))
        there = os.path.lexists(path)
        if event == 'open':  # in the end an empty file stays empty, and a file that is there stays
            idle = there and not (args[2] & os.O_TRUNC and os.path.getsize(path))
        else:
            idle = there if event == 'os.mkdir' else event.startswith('os.r') and not there
        return None if idle and not target else path

    def _strike(self, path: str, target: Optional[str]) -> None:
        blow, count = self.blow, len(self.seen)
        if blow is None:
            return
        if count == blow.at - 1:
            self._sizes = self._now()
            if target is not None:  # what is about to have another name is not about to grow
                moved = {
                    target + name[len(path) :]: size for name, size in self._sizes.items() if name.startswith(path)
                }
                self._sizes.update(moved)
        if count != blow.at:
            return
        if blow.cut is not None:
            chance = random.Random(blow.cut)
            for name, size in sorted(self._now().items()):
                former = min(self._sizes.get(name, 0), size)
                if size > former:
                    os.truncate(name, chance.randrange(former, size))
        victim = int(Path(blow.victim).read_text()) if blow.victim else os.getpid()
        os.kill(victim, getattr(signal, blow.kind))

    def _now(self) -> Dict[str, int]:
        sizes = {}
        for base, _, names in os.walk(self.folder):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    path = os.path.join(base, name)
                    sizes[path] = os.stat(path).st_size
        return sizes


def run(words: Sequence[str]) -> int:
    """The command that the words name, in this process; its exit code."""
    from gluon_fg.cli import main

    try:
        main(list(words))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def die(words: Sequence[str], folder: Path, log: Path, blow: Optional[Blow], told: Path) -> None:
    """Run a command in this process, which was forked for it and ends with it.

    Parameters
    ----------
    words
        of the command
    folder
        where it runs, and whose changes count
    log
        gets what it prints
    blow
        what happens to it; None: nothing
    told
        gets the changes as JSON, where the command ends by itself
    """
    code = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for number in (1, 2):
            os.dup2(output, number)
        os.chdir(folder)
        watch = Watch(folder, blow)
        code = run(words)
        threading._shutdown()  # type: ignore[attr-defined]  # threads that keep a process alive: waited for as usual
        atexit._run_exitfuncs()
        told.write_text(json.dumps(watch.seen))
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == '__main__':  # a rank of a job: dying.py SETTINGS.json WORD...
    settings = json.loads(Path(sys.argv[1]).read_text())
    rank = int(os.environ.get('HOROVOD_RANK', '0'))
    Path(settings['pids'], str(rank)).write_text(str(os.getpid()))
    watched = Watch(Path(settings['folder']), Blow(**settings['blow']) if settings['blow'] and rank == 0 else None)
    sys.argv[:2] = ['gluon-fg']
    ended = run(sys.argv[1:])
    if rank == 0:
        Path(settings['told']).write_text(json.dumps(watched.seen))
    sys.exit(ended)
