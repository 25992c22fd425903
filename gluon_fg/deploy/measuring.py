"""Times of several things in one run: each in a process of its own, in turn, A B C C B A ...

A busy moment of the machine then touches all of them, and the ratio of two is taken within each round. Memory is that
of the process alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from typing import IO, Any, Callable, Dict, Iterator, List, Optional, Sequence

from ..errors import UserError
from ..interrupts import kept_from_children
from .contender import Contender, quantized_file

_START = "import sys; sys.path[:] = sys.argv[2].split('\\n'); from gluon_fg.deploy.worker import main; main()"
_ROUND = 60.0  # ms that one thing runs in a round, where it is faster than that
_PAUSE = 0.1  # seconds until the threads of the one before, which wait in a loop for more to do, have gone to sleep
Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Measured:
    """What came of a contender.

    Parameters
    ----------
    contender
        what was measured
    rounds
        times of each round's calls, ms; empty where there was a problem
    ready_s
        seconds from an empty process to the first answers
    peak_mb
        the most memory that its process held; None where the system does not say
    outputs
        of the network on its input
    problem
        why it could not be measured; '' if it was
    """

    contender: Contender
    rounds: Sequence[Sequence[float]] = ()
    ready_s: float = 0.0
    peak_mb: Optional[float] = None
    outputs: Optional[List[List[float]]] = None
    problem: str = ''

    @property
    def ms(self) -> float:
        """The median of the rounds' medians."""
        return statistics.median(map(statistics.median, self.rounds))

    @property
    def p90(self) -> float:
        """What nine of ten calls are below."""
        calls = sorted(time for times in self.rounds for time in times)
        return calls[min(len(calls) - 1, int(0.9 * len(calls)))]

    def over(self, other: Measured) -> float:
        """How many times as long this takes as another of the same run: the median of the rounds' ratios."""
        pairs = zip(map(statistics.median, self.rounds), map(statistics.median, other.rounds))
        return statistics.median(a / b for a, b in pairs)


class _Process:
    """The process of one contender."""

    def __init__(self, contender: Contender):
        self.log: IO[bytes] = tempfile.TemporaryFile()
        kind = 'with mxnet' if contender.loads_mxnet else 'gluon_fg.deploy.worker'  # for `_runtime.running_benchmark`
        with kept_from_children():
            self._popen = subprocess.Popen(
                [sys.executable, '-c', _START, kind, '\n'.join(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.log,
                env=contender.environment(),
                text=True,
            )
        self.label = f'{contender.label} {contender.precision}'

    def send(self, **request: Any) -> None:
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `answer` then says how it ended
            self._popen.stdin.write(json.dumps(request) + '\n')
            self._popen.stdin.flush()

    def answer(self) -> Dict[str, Any]:
        """Wait for what it says; a process that ended is a problem too, with its last line."""
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if line:
            return json.loads(line)
        code = self._popen.wait()
        self.log.seek(0)
        said = self.log.read().decode(errors='replace').strip().splitlines()[-1:]
        return {'problem': f'{self.label} ended with code {code}' + ''.join(f': {text}' for text in said)}

    def end(self) -> None:
        self._popen.kill()
        self._popen.communicate()
        self.log.close()


@contextlib.contextmanager
def _processes(contenders: Sequence[Contender]) -> Iterator[List[_Process]]:
    processes: List[_Process] = []
    try:
        for contender in contenders:
            processes.append(_Process(contender))
        yield processes
    finally:
        for process in processes:
            process.end()


def side_by_side(contenders: Sequence[Contender], rounds: int, say: Say = lambda text: None) -> List[Measured]:
    """Time several things in turn.

    Parameters
    ----------
    contenders
        what is measured; their processes live until all is done
    rounds
        times that each gets its turn
    say
        called with a line on what is under way

    Returns
    -------
    One record each, in their order. One that cannot be measured says so in its `problem` and ends nothing.
    """
    with _processes(contenders) as processes:
        ready: List[Dict[str, Any]] = []
        for number, (contender, process) in enumerate(zip(contenders, processes)):
            problem = quantized(contender, say) if contender.precision == 'int8' and contender.folder else ''
            if problem:
                ready.append({'problem': problem})
                continue
            say(f'{number + 1} of {len(contenders)}: {contender.label} {contender.precision} {contender.model}')
            process.send(make=dataclasses.asdict(contender))  # one after another: they would want the same processors
            ready.append(process.answer())
        times: List[List[List[float]]] = [[] for _ in contenders]
        for turn in range(rounds):
            say(f'round {turn + 1} of {rounds}')
            order = list(enumerate(processes))
            for number, process in order if turn % 2 else reversed(order):  # nobody always comes behind the same
                if 'problem' not in ready[number]:
                    time.sleep(_PAUSE)
                    process.send(run=_ROUND)
                    answer = process.answer()
                    if 'problem' in answer:
                        ready[number] = answer
                    else:
                        times[number].append(answer['times'])
        records = []
        for contender, process, state, taken in zip(contenders, processes, ready, times):
            if 'problem' in state:
                records.append(Measured(contender, problem=state['problem']))
                continue
            process.send(facts=True)
            facts = process.answer()
            records.append(Measured(contender, taken, state['seconds'], facts['peak_mb'], state['outputs']))
    return records


def quantized(contender: Contender, say: Say = lambda text: None) -> str:
    """Make the INT8 form of a contender in a process of its own, where it is not there yet; returns why not, or ''."""
    if quantized_file(contender).is_file():
        return ''
    say(f'INT8 for {contender.label} is made once')
    with _processes([contender]) as (process,):
        process.send(quantize=dataclasses.asdict(contender))
        return str(process.answer().get('problem', ''))


def at_once(contender: Contender, ranks: int, rounds: int) -> List[float]:
    """Time as many equal processes at the same time.

    Returns
    -------
    For each round the ms until the last of them was done with one call.

    Raises
    ------
    UserError
        it cannot be measured
    """
    with _processes([contender] * ranks) as processes:
        for process in processes:
            process.send(make=dataclasses.asdict(contender))
            answer = process.answer()
            if 'problem' in answer:
                raise UserError(answer['problem'])
        taken = []
        for _ in range(rounds):
            for process in processes:
                process.send(run=0)
            answers = [process.answer() for process in processes]
            for answer in answers:
                if 'problem' in answer:
                    raise UserError(answer['problem'])
            taken.append(max(answer['times'][-1] for answer in answers))
    return taken
