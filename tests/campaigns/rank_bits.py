"""Train on three and four ranks with `--fusion-threshold-mb 0`, twice and once stopped: all must end with equal bits.

    make rank-bits                                              some minutes; prints a table
    PYTHONPATH=tests python -m campaigns.rank_bits --ranks 3

The third job is sent SIGTERM in the middle of an epoch, behind a checkpoint, and is given again. Two jobs without the
option are compared as well, but not judged: what Horovod averages together there is a matter of chance.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import List, Optional, Sequence

from gluon_fg.training.log import read_metrics

REPO = Path(__file__).resolve().parents[2]
CONFIG = str(REPO / 'configs/dfb/i3d_tiny_synthfg_dfb.yaml')
EPOCHS, CLIPS, TRAIN = 3, 4, 96  # of a run, of a rank in an update, of an epoch
STOPPED = 9  # the update from which on a job is stopped
TIMEOUT = 600  # seconds of one job
ALONE = ('--fusion-threshold-mb', '0')


def command(ranks: int, data: Path, out: Path, options: Sequence[str]) -> List[str]:
    """The words that start a job of so many ranks, with dropout, clipping, and batch norm of each rank's own."""
    horovodrun = shutil.which('horovodrun', path=str(Path(sys.executable).parent)) or 'horovodrun'
    words = [horovodrun, '-np', str(ranks), sys.executable, str(REPO / 'scripts/train.py'), '--config', CONFIG]
    settings = [
        f'data.root={data}',
        f'data.sizes={{train: {TRAIN}, val: 24, test: 24}}',
        f'train.batch_size={CLIPS}',
        f'train.epochs={EPOCHS}',
        'train.checkpoint_steps=4',
        'train.log_steps=1',
        'test.val_epochs=0',
        'data.workers=1',
    ]
    return [*words, '--out', str(out), *options, '--set', *settings]


def updates(out: Path) -> List[float]:
    """The losses that a run has written so far."""
    return [record['loss'] for record in read_metrics(out / 'metrics.jsonl') if record['event'] == 'train']


def trained(words: Sequence[str], out: Path, stop: Optional[int] = None) -> int:
    """Run a job to its end, or until it has done so many updates, when it is asked to stop.

    Returns
    -------
    Updates that were done

    Raises
    ------
    RuntimeError
        it failed, or ended before it could be stopped
    """
    with tempfile.TemporaryFile('w+') as printed:
        job = subprocess.Popen(words, cwd=REPO, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            end = time.monotonic() + TIMEOUT
            while job.poll() is None and time.monotonic() < end:
                if stop is not None and len(updates(out)) >= stop:
                    job.send_signal(signal.SIGTERM)
                    stop = 10**6  # once
                time.sleep(0.02)
            if job.poll() is None or (job.returncode == 0) != (stop is None):
                printed.seek(0)
                raise RuntimeError(f'{" ".join(words)} ended with {job.poll()}: {printed.read()[-3000:]}')
        finally:
            if job.poll() is None:
                job.kill()
                job.wait()
    return len(updates(out))


def same(out: Path, other: Path) -> bool:
    """Whether two runs wrote the same losses and ended with the same parameters, bit for bit."""
    return updates(out) == updates(other) != [] and equal(out / 'final.params', other / 'final.params')


def equal(file: Path, other: Path) -> bool:
    """Whether two files of parameters hold the same bits."""
    import mxnet as mx

    a, b = (mx.nd.load(str(path)) for path in (file, other))
    return sorted(a) == sorted(b) and all(a[n].asnumpy().tobytes() == b[n].asnumpy().tobytes() for n in a)


def row(ranks: int, data: Path, folder: Path) -> str:
    """Train on so many ranks in all ways, and say what came of it; ' ok |' or ' WRONG |' at the end."""
    outs = {name: folder / f'{name}-{ranks}' for name in ('whole', 'again', 'stopped', 'fused', 'fused-again')}
    for name in ('whole', 'again', 'fused', 'fused-again'):
        trained(command(ranks, data, outs[name], () if 'fused' in name else ALONE), outs[name])
    words = command(ranks, data, outs['stopped'], ALONE)
    at = trained(words, outs['stopped'], STOPPED)
    count = trained(words, outs['stopped'])
    repeats, resumes = (same(outs['whole'], outs[name]) for name in ('again', 'stopped'))
    fused = same(outs['fused'], outs['fused-again'])
    told = [('equal' if answer else 'not equal') for answer in (repeats, resumes, fused)]
    verdict = 'ok' if repeats and resumes and at < count else 'WRONG'
    return f'| {ranks} | {count} | {told[0]} | {told[1]}, stopped at {at} | {told[2]} | {verdict} |'


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Exit code: 0 all bits are equal, 1 some are not."""
    from gluon_fg.data import synthfg

    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('--ranks', nargs='+', type=int, default=[3, 4])
    asked = parser.parse_args(argv)
    print('| ranks | updates | two jobs | stopped and resumed | two without the option | |\n|---|---|---|---|---|---|')
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        synthfg.generate(Path(folder, 'data'), train=TRAIN, val=24, test=24, seed=0, progress=False)
        for ranks in asked.ranks:
            rows.append(row(ranks, Path(folder, 'data'), Path(folder)))
            print(rows[-1], flush=True)
    return int(not all(line.endswith('| ok |') for line in rows))


if __name__ == '__main__':
    sys.exit(main())
