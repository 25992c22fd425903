#!/usr/bin/env python
"""The whole path in a few minutes on two cores: make videos, train, evaluate, predict, localize. `make demo` runs it.

It starts the same scripts a user starts and shows each command. Everything is written under build/demo (or --out).
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from gluon_fg import errors

REPO = Path(__file__).resolve().parents[1]


def step(title: str, *command: str, ranks: int = 1, threads: int = 1) -> str:
    """Print a heading and the command as a user would type it, run it, and return what it printed."""
    shown = ['python', *command]
    actual = [sys.executable, *command]
    launcher = shutil.which('horovodrun', path=f'{Path(sys.executable).parent}{os.pathsep}{os.environ.get("PATH", "")}')
    if ranks > 1 and launcher:
        shown, actual = ['horovodrun', '-np', str(ranks), *shown], [launcher, '-np', str(ranks), *actual]
    print(f'\n== {title}\n$ {shlex.join(shown)}', flush=True)
    process = subprocess.Popen(
        actual, cwd=REPO, stdout=subprocess.PIPE, text=True, env={**os.environ, 'OMP_NUM_THREADS': str(threads)}
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        if ranks == 1 or ' validation ' in line or 'trained ' in line:  # of a training job not its whole config
            print(line, end='', flush=True)
    if process.wait():
        raise errors.UserError(f'the demo stopped: {command[0]} ended with exit code {process.returncode}')
    return ''.join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--out', default='build/demo', help='folder for everything the demo makes (a former demo there is reused)'
    )
    parser.add_argument('--train', type=int, default=1440, help='training clips')
    parser.add_argument('--epochs', type=int, default=6, help='epochs of each run after the warm-up')
    parser.add_argument('--warmup', type=int, default=5, help='epochs of the common warm-up')
    args = parser.parse_args()
    out, began = Path(args.out), time.time()
    data, sizes = out / 'synthfg', {'train': args.train, 'val': 240, 'test': 480}
    step(
        '1. SynthFG: short fine-grained actions as real mp4 files',
        'scripts/prepare_data.py',
        'synthfg',
        '--root',
        str(data),
        *[text for split, n in sizes.items() for text in (f'--{split}', str(n))],
    )
    shared = [
        f'data.root={data}',
        'data.sizes={' + ', '.join(f'{k}: {v}' for k, v in sizes.items()) + '}',
        'train.batch_size=16',
    ]
    train = ('scripts/train.py', '--config')
    warm, final = out / 'warmup', {}
    step(
        '2. A common warm-up of the plain baseline, on two processes',
        *train,
        'configs/dfb/i3d_tiny_synthfg.yaml',
        '--out',
        str(warm),
        '--set',
        *shared,
        f'train.epochs={args.warmup}',
        ranks=2,
    )
    # Each at the learning rate that the study in model_zoo/dfb.md found best for it.
    for name, model, lr in (('baseline', 'i3d_tiny_synthfg', 0.06), ('dfb', 'i3d_tiny_synthfg_dfb', 0.03)):
        step(
            f'3. From it, {args.epochs} epochs of {model}',
            *train,
            f'configs/dfb/{model}.yaml',
            '--out',
            str(out / name),
            '--set',
            *shared,
            f'train.epochs={args.epochs}',
            f'train.lr={lr}',
            f'model.params={warm / "final.params"}',
            ranks=2,
        )
        final[name] = out / name / 'final.params'
    tables = {}
    for name in final:
        tables[name] = step(
            f'4. {name} on the test videos',
            'scripts/evaluate.py',
            '--run',
            str(out / name),
            '--params',
            str(final[name]),
            '--split',
            'test',
            '--force',
            '--out',
            str(out / name / 'test_scores.npz'),
            threads=2,
        )
    comparison = step(
        '5. Is the difference more than chance? (paired, same videos)',
        'scripts/compare.py',
        str(out / 'baseline/test_scores.npz'),
        str(out / 'dfb/test_scores.npz'),
    )
    videos = _one_video_per_group(data)
    predictions = step(
        '6. What is in these videos?',
        'scripts/predict.py',
        *videos,
        '--model',
        'i3d_tiny_synthfg_dfb',
        '--params',
        str(final['dfb']),
        '--topk',
        '3',
    )
    pictures = out / 'pictures'
    step(
        '7. Where do the filters look?',
        'scripts/visualize.py',
        *videos,
        '--model',
        'i3d_tiny_synthfg_dfb',
        '--params',
        str(final['dfb']),
        '--out',
        str(pictures),
        '--force',
    )
    report = out / 'report.txt'
    report.write_text(
        '\n'.join([*(f'== {n}\n{t}' for n, t in tables.items()), f'== comparison\n{comparison}', predictions])
    )
    print(f'\nDone in {time.time() - began:.0f} s.\ntables:   {report}\npictures: {pictures}')
    print(f'curves:   {out / "dfb" / "curves.png"}')
    print(
        'Both runs had the same number of epochs; an epoch of the DFB takes 1.4 to 2 times the computing. '
        'model_zoo/dfb.md has the comparison at equal time, over seeds.'
    )


def _one_video_per_group(data: Path) -> list:
    import csv

    with open(data / 'test.csv', newline='') as stream:
        rows = list(csv.DictReader(stream))
    return [str(data / row['path']) for row in {row['group']: row for row in reversed(rows)}.values()]


if __name__ == '__main__':
    errors.run(main)
