"""Kill commands at their changes to the disk, start them again, and compare with what nobody disturbed.

    make kill-test                                              all of it; prints a table, writes JSON
    PYTHONPATH=tests python -m campaigns.kills --only train --kills 20 --seed 3

Of each command in `CASES` every change to the disk is counted first (`dying.Watch`). Then, again and again, it is
killed before one of these changes, or in the middle of what it writes before it, or asked to stop there; and started
anew, now and then killed once more. In the end there must be what an undisturbed command leaves, to the last bit but
for times, and nothing beside it.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from campaigns.cases import CASES, Case, set_up
from campaigns.contents import contents, differences, halves
from campaigns.dying import Blow
from campaigns.starts import HOROVODRUN, Ended, as_a_job, by_a_user, forked

# killed before a change to the disk; in the middle of what is written before it; asked to stop there; killed in its
# second start, too; hit at any moment, as a user would start it; one of its two ranks lost, or asked to stop
KINDS = ('killed', 'cut', 'asked', 'twice', 'any moment', 'a rank')
FAULTS = ('stuck', 'different', 'half a file', 'left over', 'traceback')
OURS = re.compile(r'^ *File ".*/gluon_fg/', re.MULTILINE)  # in a traceback; horovodrun has one of its own
SIGNALS = ('SIGKILL', 'SIGTERM', 'SIGINT')


@dataclasses.dataclass
class Trial:
    """A command that is disturbed so many times, and then not.

    Parameters
    ----------
    case, kind
        name of the case; one of `KINDS`
    blows
        one a start
    faults
        of `FAULTS` -> what is wrong; empty where all is well
    """

    case: str
    kind: str
    blows: List[Blow]
    faults: Dict[str, str] = dataclasses.field(default_factory=dict)


class Reference(NamedTuple):
    """What an undisturbed command leaves, its changes to the disk, and how long it takes a user."""

    files: Dict[str, Any]
    changes: List[str]
    seconds: float


def undisturbed(case: Case, folder: Path, base: Path) -> Reference:
    """Run a case twice in peace: what it leaves must be the same, or nothing could be compared with it."""
    run = as_a_job if case.ranks > 1 else forked
    left: List[Dict[str, Any]] = []
    for name in ('a', 'b'):
        case.lay_out(folder / name, base)
        ended = run(case.words, folder / name)
        if ended.code != case.code:
            raise RuntimeError(f'{case.name} ended with {ended.code}: {ended.text[-2000:]}')
        left.append(contents(folder / name))
        shutil.rmtree(folder / name)
    if left[0] != left[1]:
        raise RuntimeError(f'{case.name} leaves other files each time: {differences(*left)}')
    return Reference(left[0], ended.changes, ended.seconds + 2)  # loading the libraries takes some 2 s


def attempt(trial: Trial, folder: Path, base: Path, reference: Reference) -> Trial:
    """Disturb a command, start it once more, and judge what it leaves."""
    case, faults = CASES[trial.case], trial.faults
    case.lay_out(folder, base)

    def start(words: Sequence[str], blow: Optional[Blow] = None) -> Ended:
        if case.ranks > 1:
            return as_a_job(words, folder, blow)
        if blow and blow.share is not None:
            return by_a_user(words, folder, blow, blow.share * reference.seconds)
        return forked(words, folder, blow)

    for blow in trial.blows:
        ended = start(case.words, blow)
        if ended.code is None:
            faults['stuck'] = 'disturbed, it does not end'
        elif blow.kind != 'SIGKILL' and OURS.search(ended.text):
            faults['traceback'] = f'exit code {ended.code}: {ended.text[-1500:]}'
        elif blow.kind == 'SIGINT' and ended.code not in (case.code, 130):
            faults['traceback'] = f'exit code {ended.code} when interrupted: {ended.text[-1500:]}'
        broken = halves(folder, case.once, reference.files)
        if broken:
            faults['half a file'] = broken
    last = start(case.words)
    if last.code == 2 and case.anew in last.text:  # killed behind its first files: the line says how to go on
        last = start([*case.words, case.anew])
    left = contents(folder)
    wrong, more = differences(reference.files, left), sorted(set(left) - set(reference.files))
    if last.code != case.code:
        faults['stuck'] = f'exit code {last.code}: {last.text[-1500:]}'
    elif wrong:
        faults['different'] = wrong
    if more:
        faults['left over'] = ', '.join(more)
    shutil.rmtree(folder)
    for fault, text in faults.items():
        print(f'{trial.case}, {trial.kind}, {trial.blows}: {fault}: {text}', flush=True)
    return trial


def plan(case: Case, changes: int, kills: int, chance: random.Random) -> List[Trial]:
    """Trials of a case.

    Parameters
    ----------
    changes
        how many there are in an undisturbed command
    kills
        how many kills at changes at most, drawn by chance where there are more; in the middle of a write a quarter as
        many, twice an eighth, and a twentieth with each signal for the rest
    """
    points = list(range(1, changes + 1))
    if len(points) > kills:
        points = sorted(chance.sample(points, kills))

    def some(share: float) -> List[int]:
        return sorted(chance.sample(points, max(1, round(share * len(points)))))

    def cut() -> int:
        return chance.randrange(2**31)

    if case.ranks > 1:
        blows = [
            Blow(at, 'SIGTERM' if number % 4 == 3 else 'SIGKILL', victim=None if number % 3 == 1 else '1')
            for number, at in enumerate(points)
        ]
        return [Trial(case.name, 'a rank', [blow]) for blow in blows]
    trials = [Trial(case.name, 'killed', [Blow(at)]) for at in points]
    trials += [Trial(case.name, 'cut', [Blow(at, cut=cut())]) for at in some(1 / 4)]
    trials += [Trial(case.name, 'asked', [Blow(at, kind)]) for kind in SIGNALS[1:] for at in some(1 / 20)]
    trials += [Trial(case.name, 'twice', [Blow(at), Blow(chance.choice(points), cut=cut())]) for at in some(1 / 8)]
    for kind in SIGNALS:
        shares = [chance.uniform(0, 1) for _ in some(1 / 20)]
        trials += [Trial(case.name, 'any moment', [Blow(0, kind, share=share)]) for share in sorted(shares)]
    return trials


def campaign(
    names: Sequence[str], kinds: Sequence[str], kills: int, seed: int, jobs: int, base: Path
) -> Tuple[Dict[str, int], List[Trial]]:
    """All trials of some cases.

    Returns
    -------
    Case -> its changes to the disk, and the trials as they ended
    """
    set_up(base, names)
    changes: Dict[str, int] = {}
    done: List[Trial] = []
    for name in names:
        case = CASES[name]
        began = time.monotonic()
        reference = undisturbed(case, base / 'work' / name, base)
        changes[name] = len(reference.changes)
        trials = plan(case, len(reference.changes), min(kills, case.kills), random.Random(f'{seed} {name}'))
        trials = [trial for trial in trials if trial.kind in kinds]
        folders = [base / 'work' / name / str(number) for number in range(len(trials))]
        if jobs == 1 or case.ranks > 1:
            done += [attempt(trial, folder, base, reference) for trial, folder in zip(trials, folders)]
        else:  # forked before any of them computes: each is a process with nothing but the libraries loaded
            context = multiprocessing.get_context('fork')
            with concurrent.futures.ProcessPoolExecutor(jobs, context) as pool:
                done += list(pool.map(attempt, trials, folders, [base] * len(trials), [reference] * len(trials)))
        failed = sum(bool(trial.faults) for trial in done if trial.case == name)
        took = time.monotonic() - began
        print(f'{name}: {changes[name]} changes, {len(trials)} trials, {failed} failed, {took:.0f} s', flush=True)
    return changes, done


def counts(changes: Dict[str, int], trials: Sequence[Trial]) -> Dict[str, Dict[str, int]]:
    """Case -> its changes, and how many trials of each kind there were and how many had each fault."""
    rows = {}
    for name, count in changes.items():
        own = [trial for trial in trials if trial.case == name]
        rows[name] = {'changes': count, **{kind: sum(t.kind == kind for t in own) for kind in KINDS}}
        rows[name].update({fault: sum(fault in t.faults for t in own) for fault in FAULTS})
    return rows


def table(rows: Dict[str, Dict[str, int]]) -> str:
    """The counts as Markdown, with their sums."""
    heads = ['changes', *KINDS, *FAULTS]
    rows = {**rows, 'all': {head: sum(row[head] for row in rows.values()) for head in heads}}
    lines = [['command', *heads], ['---', *['--:'] * len(heads)]]
    lines += [[name, *(str(row[head]) for head in heads)] for name, row in rows.items()]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def main(words: Optional[Sequence[str]] = None) -> int:
    """Run the campaign that the words ask for; exit code 1 where a trial failed."""
    names = [name for name, case in CASES.items() if case.ranks == 1 or HOROVODRUN]
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--only', nargs='+', default=names, choices=names, help='commands to kill')
    parser.add_argument('--kinds', nargs='+', default=list(KINDS), choices=KINDS, help='how they are disturbed')
    parser.add_argument('--kills', type=int, default=1000, help='kills of a command at most')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--jobs', type=int, default=1, help='trials at once')
    parser.add_argument('--out', type=Path, help='JSON file of the counts, and of every trial that failed')
    options = parser.parse_args(words)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and their children
    base = Path(tempfile.mkdtemp(prefix='kills-'))  # not a TemporaryDirectory: a fork that ends would remove it, too
    try:
        os.environ['MXNET_HOME'] = str(base / 'mxnet')
        changes, trials = campaign(options.only, options.kinds, options.kills, options.seed, options.jobs, base)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    rows = counts(changes, trials)
    failed = [dataclasses.asdict(trial) for trial in trials if trial.faults]
    print(table(rows))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({'seed': options.seed, 'commands': rows, 'failed': failed}, indent=1) + '\n')
    return int(bool(failed))


if __name__ == '__main__':
    sys.exit(main())
