"""`gluon-fg demo`: the whole path in a few minutes."""

from __future__ import annotations

import csv
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List

import click

from ..errors import UserError
from .base import Command


@click.command(cls=Command, light=True, example='demo --out build/demo')
@click.option(
    '--out',
    metavar='FOLDER',
    default='build/demo',
    show_default=True,
    help='Folder for everything the demo makes; a former demo there is reused.',
)
@click.option('--train', type=int, default=1440, show_default=True, help='Training clips.')
@click.option('--epochs', type=int, default=6, show_default=True, help='Epochs of each run after the warm-up.')
@click.option('--warmup', type=int, default=5, show_default=True, help='Epochs of the common warm-up.')
def demo(out: str, train: int, epochs: int, warmup: int) -> None:
    """Go the whole path in a few minutes.

    On two cores: make videos, train, evaluate, predict, localize. It starts the commands that a user starts, and shows
    each.
    """
    folder, began = Path(out), time.time()
    data, sizes = folder / 'synthfg', {'train': train, 'val': 240, 'test': 480}
    numbers = [word for split, count in sizes.items() for word in (f'--{split}', str(count))]
    step(
        '1. SynthFG: short fine-grained actions as real mp4 files',
        *('data', 'prepare', 'synthfg', '--root', str(data), *numbers),
    )
    parameters = _train(folder, data, sizes, epochs, warmup)
    tables = {}
    for name, file in parameters.items():
        scores = str(folder / name / 'test_scores.npz')
        tables[name] = step(
            f'4. {name} on the test videos',
            *('evaluate', '--run', str(folder / name), '--params', file, '--split', 'test', '--force', '--out', scores),
            threads=2,
        )
    comparison = step(
        '5. Is the difference more than chance? (paired, same videos)',
        *('compare', str(folder / 'baseline/test_scores.npz'), str(folder / 'dfb/test_scores.npz')),
    )
    videos, pictures = _one_video_per_group(data), folder / 'pictures'
    model = ('--model', 'i3d_tiny_synthfg_dfb', '--params', parameters['dfb'])
    predictions = step('6. What is in these videos?', 'predict', *videos, *model, '--topk', '3')
    step(
        '7. Where do the filters look?',
        *('explain', 'localize', *videos, *model, '--out', str(pictures), '--force'),
    )
    report = folder / 'report.txt'
    report.write_text(
        '\n'.join([*(f'== {n}\n{t}' for n, t in tables.items()), f'== comparison\n{comparison}', predictions])
    )
    click.echo(f'\nDone in {time.time() - began:.0f} s.\ntables:   {report}\npictures: {pictures}')
    click.echo(f'curves:   {folder / "dfb" / "curves.png"}')
    click.echo(
        'Both runs had the same number of epochs; an epoch of the DFB takes 1.4 to 2 times the computing. '
        'model_zoo/dfb.md has the comparison at equal time, over seeds.'
    )


def _train(folder: Path, data: Path, sizes: Dict[str, int], epochs: int, warmup: int) -> Dict[str, str]:
    """Train a warm-up and, from it, the baseline and the DFB; name -> file of parameters."""
    shared = [
        f'data.root={data}',
        'data.sizes={' + ', '.join(f'{split}: {count}' for split, count in sizes.items()) + '}',
        'train.batch_size=16',
    ]
    start, parameters = folder / 'warmup', {}
    step(
        '2. A common warm-up of the plain baseline, on two processes',
        *('train', '--config', 'dfb/i3d_tiny_synthfg', '--out', str(start)),
        *('--set', *shared, f'train.epochs={warmup}'),
        ranks=2,
    )
    # Each at the learning rate that the study in model_zoo/dfb.md found best for it.
    for name, model, rate in (('baseline', 'i3d_tiny_synthfg', 0.06), ('dfb', 'i3d_tiny_synthfg_dfb', 0.03)):
        step(
            f'3. From it, {epochs} epochs of {model}',
            *('train', '--config', f'dfb/{model}', '--out', str(folder / name), '--set', *shared),
            *(f'train.epochs={epochs}', f'train.lr={rate}', f'model.params={start / "final.params"}'),
            ranks=2,
        )
        parameters[name] = str(folder / name / 'final.params')
    return parameters


def step(title: str, *words: str, ranks: int = 1, threads: int = 1) -> str:
    """Print a heading and the command as a user would type it, run it, and return what it printed."""
    shown, actual = ['gluon-fg', *words], [sys.executable, '-m', 'gluon_fg', *words]
    launcher = shutil.which('horovodrun', path=f'{Path(sys.executable).parent}{os.pathsep}{os.environ.get("PATH", "")}')
    if ranks > 1 and launcher:
        shown, actual = ['horovodrun', '-np', str(ranks), *shown], [launcher, '-np', str(ranks), *actual]
    click.echo(f'\n== {title}\n$ {" ".join(map(shlex.quote, shown))}')
    process = subprocess.Popen(
        actual, stdout=subprocess.PIPE, text=True, env={**os.environ, 'OMP_NUM_THREADS': str(threads)}
    )
    assert process.stdout
    lines: List[str] = []
    for line in process.stdout:
        lines.append(line)
        if ranks == 1 or ' validation ' in line or 'trained ' in line:  # of a training job not its whole config
            click.echo(line, nl=False)
    if process.wait():
        raise UserError(f'the demo stopped: {words[0]} ended with exit code {process.returncode}')
    return ''.join(lines)


def _one_video_per_group(data: Path) -> List[str]:
    with open(data / 'test.csv', newline='') as stream:
        rows = list(csv.DictReader(stream))
    return [str(data / row['path']) for row in {row['group']: row for row in reversed(rows)}.values()]
