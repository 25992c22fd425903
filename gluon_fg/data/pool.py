"""Work on many files in several processes, where a file that ends its process costs that file alone."""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from tqdm import tqdm

from .. import _runtime
from ..errors import UserError
from ..files import naming
from ..interrupts import kept_from_children


def in_processes(
    work: Callable[[Any], Any], jobs: Mapping[str, Any], workers: int, crashed: Callable[[Any], Any]
) -> Iterator[Tuple[str, Any]]:
    """Do a piece of work for each job and give (name, result) as they are done, in no order.

    Where a process is killed by its work (a decoder that crashes, memory that is not there), the jobs under way are
    done again one by one, so that only the one at fault is lost. Where the work is interrupted or raises, the processes
    are ended at once, as a kill would: it must leave nothing that passes for whole.

    Parameters
    ----------
    work
        a function that the processes can import; what it raises is raised here
    jobs
        by name; each is the argument of `work`
    workers
        processes; 0: this one does it all, and crashes with it
    crashed
        gives the result of a job that ends its process

    Raises
    ------
    UserError
        fewer workers than 0
    """
    if workers < 0:
        raise UserError(f'workers must be 0 or more, got {workers}')
    if workers == 0:
        for name, job in jobs.items():
            yield name, work(job)
        return
    waiting: List[str] = list(jobs)[::-1]  # the last is next
    alone: List[str] = []
    while waiting or alone:
        queue, processes, room = (alone, 1, 1) if alone else (waiting, min(workers, len(waiting)), 3 * workers)
        running: Dict[Future[Any], str] = {}
        context = multiprocessing.get_context('spawn')  # a fork of MXNet and FFmpeg with their threads may hang
        with naming('/dev/shm, which several processes need (with --workers 0 they do not)'):
            executor = ProcessPoolExecutor(processes, context, _runtime.load_in_child, (os.getpid(),))
        with executor as pool:
            try:
                while queue or running:
                    while queue and len(running) < room:
                        with kept_from_children():
                            running[pool.submit(work, jobs[queue[-1]])] = queue[-1]
                        queue.pop()
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        result = future.result()
                        yield running.pop(future), result
            except BrokenProcessPool:
                if queue is waiting:
                    alone = list(running.values())
                for name in running.values() if queue is not waiting else ():
                    yield name, crashed(jobs[name])
            except BaseException:  # Ctrl-C, a full disk: leaving the pool waits for all that is under way, or queued
                for process in list((pool._processes or {}).values()):
                    process.terminate()
                raise


def worker_count(asked: Optional[int], files: int) -> int:
    """Tell how many processes to start: as asked, else one for each processor, at most 8, and 1 for 16 files."""
    return max(1, min(8, len(os.sched_getaffinity(0)), files // 16)) if asked is None else asked


def progress_bar(desc: str, unit: str, total: int, done: int, shown: bool) -> tqdm:
    """Make a bar with the time left; where there is no terminal, a line a minute, and none of shorter work."""
    terminal = sys.stderr.isatty()
    pace: Dict[str, Any] = {'dynamic_ncols': True} if terminal else {'mininterval': 60, 'delay': 60, 'ncols': 80}
    return tqdm(desc=desc, unit=unit, total=total, initial=done, disable=not shown, smoothing=0.05, **pace)
