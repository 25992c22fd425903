"""Train the tiny networks on 1, 2, 4 and 8 ranks with the same 32 clips an update, and compare with one process.

    make rank-curves                                            all of it; prints a table, writes JSON and a picture
    PYTHONPATH=tests python -m campaigns.rank_curves --only dfb --ranks 1 2 --updates 6

Batch norm is frozen, since it sees a rank's own clips otherwise; the networks start from trained weights of their
own, as layers without loaded statistics learn them even so. Dropout is off, since ranks draw masks of their own. What
is left differs by the order of sums alone, and so the losses of every update must be those of one process to
`TOLERANCE`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

REPO = Path(__file__).resolve().parents[2]
CLIPS = 32  # an update, of all ranks together
TRAIN = 96  # clips of an epoch
TOLERANCE = 3e-4  # of a loss, relative
TIMEOUT = 600  # seconds of one run


class Method(NamedTuple):
    """A tiny network and where it starts.

    Parameters
    ----------
    config
        its file under configs
    settings
        as after `--set`
    """

    config: str
    settings: Tuple[str, ...]


METHODS = {
    'dfb': Method('dfb/i3d_tiny_synthfg_dfb.yaml', ('model.pretrained=true',)),
    'cidc': Method('cidc/i3d_tiny_synthfg_cidc.yaml', ('model.pretrained=true',)),
    # all three parts of U2S at once, from where its stages end
    'u2s': Method(
        'u2s/topheavy_tiny_synthfg.yaml',
        ('model.name=topheavy_tiny_synthfg_u2s', 'model.pretrained=true', 'train.stage=joint'),
    ),
}


def command(method: str, ranks: int, data: Path, out: Path, updates: int) -> List[str]:
    """The words that train a method on so many ranks, each with its share of the clips of an update."""
    horovodrun = shutil.which('horovodrun', path=str(Path(sys.executable).parent)) or 'horovodrun'
    launcher = [horovodrun, '-np', str(ranks)] if ranks > 1 else []
    settings = [
        f'data.root={data}',
        f'data.sizes={{train: {TRAIN}, val: 24, test: 24}}',
        f'train.batch_size={CLIPS // ranks}',
        f'train.epochs={max(1, updates * CLIPS // TRAIN)}',
        'train.batch_norm=frozen',
        'model.options.dropout=0.0',
        'train.lr=0.01',
        'train.log_steps=1',
        'test.val_epochs=0',
        *METHODS[method].settings,
    ]
    config = str(REPO / 'configs' / METHODS[method].config)
    script = str(REPO / 'scripts/train.py')
    return [*launcher, sys.executable, script, '--config', config, '--out', str(out), '--set', *settings]


def losses(out: Path) -> List[float]:
    """The mean loss of all ranks at each update of a run, in order."""
    records = [json.loads(line) for line in (out / 'metrics.jsonl').read_text().splitlines()]
    return [r['loss'] for r in records if r['event'] == 'train']


def distance(curve: Sequence[float], reference: Sequence[float]) -> float:
    """Largest relative difference of two loss curves.

    Raises
    ------
    ValueError
        they have different numbers of updates, or one holds what is no finite number
    """
    a, b = np.asarray(curve, float), np.asarray(reference, float)
    if a.shape != b.shape or not len(a):
        raise ValueError(f'{len(a)} and {len(b)} updates cannot be compared')
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError('a loss is not finite')
    return float((abs(a - b) / abs(b)).max())


def weight_distance(out: Path, reference: Path) -> float:
    """Largest absolute difference between the learned numbers that two runs ended with."""
    import mxnet as mx

    a, b = (mx.nd.load(str(folder / 'final.params')) for folder in (out, reference))
    if sorted(a) != sorted(b):
        raise ValueError(f'{out} and {reference} hold different parameters')
    return max(float(abs(a[name].asnumpy() - b[name].asnumpy()).max()) for name in a)


def measure(methods: Sequence[str], counts: Sequence[int], updates: int, folder: Path) -> List[Dict[str, Any]]:
    """Train every method on every number of ranks, one run after another; what lies finished in the folder is read.

    Returns
    -------
    list of dict
        'method', 'ranks', 'losses' of every update, 'loss' (largest relative difference from one process), 'weights'
        (largest absolute one), 'ok'
    """
    from gluon_fg.data import synthfg

    if not (folder / 'data').exists():
        synthfg.generate(folder / 'data', train=TRAIN, val=24, test=24, seed=0, progress=False)
    rows: List[Dict[str, Any]] = []
    for method in methods:
        alone: Optional[Path] = None
        for ranks in sorted({1, *counts}):
            out = folder / f'{method}-{ranks}'
            if not (out / 'summary.json').exists():
                _train(command(method, ranks, folder / 'data', out, updates))
            alone = alone or out
            row = {'method': method, 'ranks': ranks, 'losses': losses(out)}
            row['loss'] = distance(row['losses'], losses(alone))
            row['weights'] = weight_distance(out, alone)
            row['ok'] = row['loss'] <= TOLERANCE
            rows.append(row)
            print(table([row], heading=len(rows) == 1), flush=True)
    return rows


def _train(words: Sequence[str]) -> None:
    done = subprocess.run(words, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT)
    if done.returncode:
        raise RuntimeError(f'{" ".join(words)} ended with {done.returncode}: {done.stdout[-3000:]}')


def table(rows: Sequence[Dict[str, Any]], heading: bool = True) -> str:
    """One line a run: updates, first and last loss, and what differs from one process."""
    lines = ['| method | ranks | updates | loss | of loss | of weights | |', '|---|---|---|---|---|---|---|'] * heading
    for r in rows:
        curve = f'{r["losses"][0]:.4f} -> {r["losses"][-1]:.4f}'
        verdict = 'ok' if r['ok'] else 'WRONG'
        lines.append(
            f'| {r["method"]} | {r["ranks"]} | {len(r["losses"])} | {curve} | {r["loss"]:.1e} | {r["weights"]:.1e} '
            f'| {verdict} |'
        )
    return '\n'.join(lines)


def draw(rows: Sequence[Dict[str, Any]], path: Path) -> None:
    """The loss curves, above, and how far each is from one process, below, a column for each method."""
    from matplotlib.figure import Figure

    methods = list(dict.fromkeys(r['method'] for r in rows))
    figure = Figure(figsize=(3.4 * len(methods), 4.6), layout='constrained')
    axes = figure.subplots(2, len(methods), squeeze=False, sharex='col')
    for column, method in enumerate(methods):
        above, below = axes[0][column], axes[1][column]
        mine = [r for r in rows if r['method'] == method]
        for r in mine:
            steps = range(1, len(r['losses']) + 1)
            above.plot(steps, r['losses'], lw=4.5 - mine.index(r), alpha=0.6, label=f'{r["ranks"]} ranks')
            if r['ranks'] > 1:
                off = abs(np.asarray(r['losses']) / np.asarray(mine[0]['losses']) - 1)
                below.semilogy(steps, np.maximum(off, 1e-9), color=f'C{mine.index(r)}')
        below.axhline(TOLERANCE, color='gray', ls='--', lw=1)
        above.set_title(method.upper())
        below.set_xlabel('update')
    axes[0][0].set_ylabel('loss')
    axes[1][0].set_ylabel('relative difference\nfrom one process')
    axes[0][0].legend(frameon=False)
    figure.savefig(path, dpi=110)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Exit code: 0 all within `TOLERANCE`, 1 some are not."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('--only', nargs='+', choices=list(METHODS), default=list(METHODS), help='methods')
    parser.add_argument('--ranks', nargs='+', type=int, choices=(1, 2, 4, 8, 16, 32), default=[1, 2, 4, 8])
    parser.add_argument('--updates', type=int, default=24, help=f'of {CLIPS} clips; whole epochs of {TRAIN} clips')
    parser.add_argument('--folder', type=Path, help='keeps the runs; those that are finished there are not repeated')
    parser.add_argument('--out', type=Path, help='JSON file; the picture lies beside it')
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(asked.only, asked.ranks, asked.updates, asked.folder or Path(folder))
    if asked.out:
        whole = {'clips_an_update': CLIPS, 'tolerance': TOLERANCE, 'runs': rows}
        asked.out.write_text(json.dumps(whole, indent=1) + '\n')
        draw(rows, asked.out.with_suffix('.png'))
    return int(not all(r['ok'] for r in rows))


if __name__ == '__main__':
    sys.exit(main())
