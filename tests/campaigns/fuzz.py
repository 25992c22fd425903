"""Thousands of damaged files, each read as the commands read it, in processes that may die of it: `make fuzz`.

    python tests/campaigns/fuzz.py [--seed 0] [--inputs 3200] [--kind films] [--only films:17] [--out fuzz.json]

Every input follows from the seed, its kind and its number. What may come of one:

- same: it reads as before the damage (a byte that nobody reads)
- refused: one line, which a command ends with
- other: it reads as something else. Where a format has no checksum nobody can tell; elsewhere it is a fault, `silent`
- traceback, crash, hang, memory: faults
"""

import argparse
import collections
import json
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import zlib
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

import numpy as np  # noqa: E402
from campaigns.damage import damaged  # noqa: E402

MEMORY = 1 << 30  # bytes that one input may take beside what the process had
GUARD = 5 << 30  # bytes at which the system says no
SECONDS = 60
FAULTS = ('silent', 'traceback', 'crash', 'hang', 'memory')
OUTCOMES = ('same', 'refused', 'other', *FAULTS)


def generator(seed, kind, number):
    """The random numbers of one input."""
    return np.random.default_rng([seed, zlib.crc32(kind.encode()), number])


def write_damaged(kind, whole, others, target, rng):
    """A damaged copy of a whole file or folder at `target`; what was done to it, in words."""
    if whole.is_dir():
        shutil.copytree(whole, target)
        files = sorted(p for p in target.rglob('*') if p.is_file() and kind.pick(p.relative_to(target).as_posix()))
        victim = files[int(rng.integers(len(files)))]
        if rng.random() < 0.05:
            victim.unlink()
            return f'{victim.relative_to(target)} removed'
        text = kind.text or victim.suffix in ('.json', '.yaml', '.txt', '.jsonl')
        source = victim.read_bytes()
        others = [path.read_bytes() for path in files]
    else:
        victim, text, source = target, kind.text, whole.read_bytes()
    name, data = damaged(source, others, rng, text)
    victim.write_bytes(data)
    return name if victim is target else f'{victim.relative_to(target)} {name}'


def outcome_of(kind, path, home, expected, damage):
    """(outcome, a line) of one input."""
    from campaigns.kinds import Inconsistent

    from gluon_fg.errors import UserError

    try:
        result = kind.use(path, home)
    except UserError as error:
        return ('refused', str(error)) if '\n' not in str(error) else ('traceback', f'several lines: {error}')
    except Inconsistent as error:
        return 'silent' if kind.checked else 'other', f'inconsistent: {error}'
    except Exception as error:  # what a command would show in many lines
        place = traceback.extract_tb(error.__traceback__)[-1]
        inside = [f for f in traceback.extract_tb(error.__traceback__) if 'gluon_fg' in f.filename] or [place]
        where = f'{Path(inside[-1].filename).name}:{inside[-1].lineno}'
        return 'traceback', f'{where}: {type(error).__name__}: {" ".join(str(error).split())[:150]}'
    if result == expected:
        return 'same', ''
    return ('silent' if kind.checked and damage.split()[-1] != 'other' else 'other'), ''


class Inputs:
    """The whole files, made once, and the damaged ones, one at a time."""

    def __init__(self, home, seed):
        from campaigns.kinds import KINDS

        self.home, self.seed, self.kinds = Path(home), seed, KINDS
        self.expected = {}

    def folder(self, name):
        return self.home / name.replace(' ', '_').replace('/', '_')

    def make(self, names):
        """Write the whole files of some kinds."""
        for name in names:
            self.folder(name).mkdir(parents=True)
            paths = self.kinds[name].make(self.folder(name))
            (self.folder(name) / 'paths.json').write_text(json.dumps([str(path) for path in paths]))
            for path in paths:
                self.kinds[name].use(path, self.folder(name))  # whole ones are read

    def run(self, name, number, target):
        """(outcome, line, damage) of an input, written at `target`."""
        kind, home = self.kinds[name], self.folder(name)
        paths = [Path(path) for path in json.loads((home / 'paths.json').read_text())]
        rng = generator(self.seed, name, number)
        whole = paths[number % len(paths)]
        others = [path.read_bytes() for path in paths if path.is_file()]
        if whole not in self.expected:
            self.expected[whole] = kind.use(whole, home)
        # lists and configs name files beside them
        target = (whole.parent if kind.text else Path(target)) / f'damaged-{os.getpid()}{whole.suffix}'
        try:
            damage = write_damaged(kind, whole, others, target, rng)
            return (*outcome_of(kind, target, home, self.expected[whole], damage), f'{whole.name}: {damage}')
        finally:
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink()


def peak_memory():
    """Bytes that this process held at most since `forget_peak`."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return int(next(line for line in lines if line.startswith('VmHWM')).split()[1]) * 1024


def forget_peak():
    Path('/proc/self/clear_refs').write_text('5')


def worker(pipe, home, seed, guard):
    """Run inputs that the pipe names until it is closed."""
    import logging

    import gluon_fg  # noqa: F401

    logging.disable(logging.CRITICAL)
    inputs = Inputs(home, seed)
    with open('/proc/self/statm') as stream:
        used = int(stream.read().split()[0]) * resource.getpagesize()
    if guard:
        resource.setrlimit(resource.RLIMIT_AS, (used + guard, resource.RLIM_INFINITY))
    pipe.send('ready')
    with tempfile.TemporaryDirectory(dir=home) as target:
        while True:
            try:
                name, number = pipe.recv()
            except EOFError:
                return
            forget_peak()
            before, began = peak_memory(), time.process_time()
            outcome, line, damage = inputs.run(name, number, target)
            grown = peak_memory() - before
            if grown > MEMORY:
                outcome, line = 'memory', f'{grown / 1e9:.1f} GB, {outcome} {line}'
            pipe.send((outcome, line, damage, time.process_time() - began, grown))


class Process:
    """A worker, and what it is at."""

    def __init__(self, home, seed, errors):
        self.args, self.job, self.began = (home, seed, errors), None, 0.0
        self.start()

    def start(self):
        home, seed, errors = self.args
        context = multiprocessing.get_context('spawn')
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_quiet, args=(theirs, home, seed, errors), daemon=True)
        self.process.start()
        theirs.close()
        assert self.pipe.recv() == 'ready'

    def give(self, job):
        self.job, self.began = job, time.monotonic()
        self.pipe.send(job)

    def answer(self):
        """The result of the job, or None while it is under way."""
        try:
            if self.pipe.poll(0.02):
                return self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            return self.again('crash', f'ended with {self.process.exitcode}')
        if time.monotonic() - self.began > SECONDS:
            self.process.kill()
            self.process.join()
            return self.again('hang', f'over {SECONDS} s')
        return None

    def again(self, outcome, line):
        self.start()
        return outcome, line, '', 0.0, 0


def _quiet(pipe, home, seed, errors):
    """`worker`, with what libraries print in a file."""
    out = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    worker(pipe, home, seed, GUARD)


def shares(inputs, kinds):
    """Jobs (kind, number) by the kinds' weights, mixed."""
    total = sum(kind.weight for kind in kinds.values())
    counts = {name: max(1, round(inputs * kind.weight / total)) for name, kind in kinds.items()}
    jobs = [(name, number) for name, count in counts.items() for number in range(count)]
    np.random.default_rng(0).shuffle(jobs)
    return [(name, int(number)) for name, number in jobs]


def campaign(jobs, seed, workers, home, progress=True):
    """Results by job: (outcome, line, damage, seconds, bytes)."""
    errors = str(Path(home) / 'stderr.txt')
    inputs = Inputs(home, seed)
    inputs.make(sorted({name for name, _ in jobs}))
    waiting, results, idle = list(jobs)[::-1], {}, [Process(home, seed, errors) for _ in range(workers)]
    busy = []
    while waiting or busy:
        while waiting and idle:
            process = idle.pop()
            process.give(waiting.pop())
            busy.append(process)
        for process in list(busy):
            result = process.answer()
            if result is not None:
                results[process.job] = result
                busy.remove(process)
                idle.append(process)
                if progress and len(results) % 200 == 0:
                    print(f'{len(results)} of {len(jobs)}', file=sys.stderr, flush=True)
    for process in idle:
        process.pipe.close()
        process.process.join(10)
    return results


def table(counts):
    """Markdown: a row for each kind."""
    lines = [f'| files | inputs | {" | ".join(OUTCOMES)} |', '|---|' + '---|' * (1 + len(OUTCOMES))]
    total = collections.Counter()
    for name, counted in counts.items():
        total.update(counted)
        lines.append(f'| {name} | {sum(counted.values())} | {" | ".join(str(counted[o]) for o in OUTCOMES)} |')
    lines.append(f'| all | {sum(total.values())} | {" | ".join(str(total[o]) for o in OUTCOMES)} |')
    return '\n'.join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--inputs', type=int, default=3200, help='about how many')
    parser.add_argument('--kind', action='append', help='only files of this kind; may be given again')
    parser.add_argument('--only', help='one input, KIND:NUMBER, in this process')
    parser.add_argument('--workers', type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument('--out', help='JSON file for the counts and every input that is a fault or reads as another')
    given = parser.parse_args()
    from campaigns.kinds import KINDS

    import gluon_fg  # noqa: F401

    with tempfile.TemporaryDirectory(prefix='gluon_fg-fuzz-') as home:
        if given.only:
            name, _, number = given.only.rpartition(':')
            inputs = Inputs(home, given.seed)
            inputs.make([name])
            print(*inputs.run(name, int(number), home), sep='\n')
            return 0
        kinds = {name: kind for name, kind in KINDS.items() if not given.kind or name in given.kind}
        began = time.monotonic()
        results = campaign(shares(given.inputs, kinds), given.seed, given.workers, home)
    counts = {name: collections.Counter(r[0] for job, r in results.items() if job[0] == name) for name in kinds}
    print(table(counts))
    faults = {f'{name}:{number}': r[:3] for (name, number), r in sorted(results.items()) if r[0] in FAULTS}
    for job, fault in faults.items():
        print(job, *fault, sep=' | ')
    most = max(result[4] for result in results.values())
    seconds = time.monotonic() - began
    print(f'{len(results)} inputs, seed {given.seed}, {seconds:.0f} s; at most {most / 1e6:.0f} MB for one')
    if given.out:
        others = [(job, r) for job, r in sorted(results.items()) if r[0] == 'other']
        other = {f'{name}:{number}': f'{r[2]} {r[1]}'.strip() for (name, number), r in others}
        content = {'seed': given.seed, 'inputs': len(results), 'most_bytes': most, 'kinds': counts, 'faults': faults}
        Path(given.out).write_text(json.dumps({**content, 'other': other}, indent=1) + '\n')
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
