"""`gluon-fg demo`: the first steps in a few minutes."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, List, Optional

import click

from ..errors import UserError
from ..interrupts import kept_from_children
from .base import Command

KINETICS = 'i3d_inceptionv1_same_kinetics400'  # whose weights a package has
TINY = 'i3d_tiny_synthfg_dfb'  # whose weights come with this one
# Of a training job, whose whole config would fill the screen, these lines are shown.
_TOLD = re.compile(r' start(s|ed) from |resumes from |: validation |^stopped;|^trained |is already finished|^error:')


@click.command(cls=Command, light=True, example='demo --out build/demo')
@click.option(
    '--out',
    metavar='FOLDER',
    default='build/demo',
    show_default=True,
    help='Folder for everything the demo makes; a former demo there is reused.',
)
@click.option('--film', metavar='FILE', help='A film of yours for the first step. [default: a short one, fetched]')
@click.option('--train', type=int, default=480, show_default=True, help='Training clips, a multiple of 24.')
@click.option('--epochs', type=click.IntRange(2), default=4, show_default=True, help='Epochs of training, 2 or more.')
def demo(out: str, film: Optional[str], train: int, epochs: int) -> None:
    """Take the first steps in a few minutes.

    On two cores: name what happens in a real film, tell drawn look-alikes apart and show where the network looks, train
    a small network, stop it and let it go on. It starts the commands that a user starts, and shows each.
    """
    if film is not None and not Path(film).is_file():
        raise UserError(f'--film {film}: no such file; leave it out for a short film that is fetched')
    folder, began = Path(out), time.time()
    _real_film(folder, film)
    data, sizes = folder / 'synthfg', {'train': train, 'val': 96, 'test': 96}
    numbers = [word for split, count in sizes.items() for word in (f'--{split}', str(count))]
    step(
        '2. SynthFG: drawn look-alikes, short videos rendered here',
        *('data', 'prepare', 'synthfg', '--root', str(data), *numbers),
    )
    videos, pictures = _look_alikes(data), folder / 'pictures'
    step('Which is which? The weights come with the package', 'predict', *videos, '--model', TINY, '--topk', '2')
    step(
        'Where and when does the network look?',
        *('explain', 'localize', *videos, '--model', TINY, '--out', str(pictures), '--force'),
    )
    run = folder / 'run'
    _train_in_two_goes(run, data, sizes, epochs)
    click.echo(f'\nDone in {time.time() - began:.0f} s.\npictures: {pictures}\ncurves:   {run / "curves.png"}')
    click.echo(
        'Next, with your own videos in my_videos/<class>/ (docs/own_videos.md):\n'
        '$ gluon-fg finetune my_videos --out runs/mine'
    )


def _real_film(folder: Path, film: Optional[str]) -> None:
    """Name what happens in a real film, if film and weights are to be had; where they are not the commands say so."""
    title = '1. A real film, by the I3D of Kinetics-400 (its weights, 47 MB, are fetched the first time)'
    if film is None:
        films = folder / 'films'
        prepared = step(title, 'data', 'prepare', 'films', '--root', str(films), may_fail=True)
        if prepared is None:
            click.echo('Without it the demo goes on; a film of yours does as well: gluon-fg demo --film FILE')
            return
        title, film = 'What happens in it?', str(films / 'arm_wrestling.mp4')
    if step(title, 'predict', film, '--model', KINETICS, '--topk', '3', may_fail=True) is None:
        click.echo('The demo goes on without.')


def _train_in_two_goes(run: Path, data: Path, sizes: dict, epochs: int) -> None:
    """Train on two processes, stop them as Ctrl-C does once an epoch is done, and give the same command again."""
    words = (
        *('train', '--config', f'dfb/{TINY}', '--out', str(run), '--set', f'data.root={data}'),
        'data.sizes={' + ', '.join(f'{split}: {count}' for split, count in sizes.items()) + '}',
        *('train.batch_size=12', f'train.epochs={epochs}', 'train.lr_epochs=[]'),
    )

    def has_validated() -> bool:
        log = run / 'metrics.jsonl'
        records = map(_record, log.read_text().splitlines()) if log.is_file() else ()
        return any(record.get('event') == 'val' and record.get('epoch', 0) >= 1 for record in records)

    step('3. Training on two processes, stopped by Ctrl-C after an epoch', *words, ranks=2, until=has_validated)
    step('The same command goes on where it was', *words, ranks=2)


def _record(line: str) -> dict:
    try:
        return json.loads(line)
    except json.JSONDecodeError:  # half written
        return {}


def step(
    title: str,
    *words: str,
    ranks: int = 1,
    until: Optional[Callable[[], bool]] = None,
    may_fail: bool = False,
) -> Optional[str]:
    """Print a heading and the command as a user would type it, run it, and return what it printed.

    Parameters
    ----------
    title, words
        the heading, and the command behind `gluon-fg`
    ranks
        processes, through Horovod where it is there
    until
        stops the command, as Ctrl-C does, once it is true
    may_fail
        None is returned where the command ends with an error, which it has told itself

    Raises
    ------
    UserError
        the command failed
    """
    shown, actual = ['gluon-fg', *words], [sys.executable, '-m', 'gluon_fg', *words]
    launcher = shutil.which('horovodrun', path=f'{Path(sys.executable).parent}{os.pathsep}{os.environ.get("PATH", "")}')
    if ranks > 1 and launcher:
        shown, actual = ['horovodrun', '-np', str(ranks), *shown], [launcher, '-np', str(ranks), *actual]
    click.echo(f'\n== {title}\n$ {" ".join(map(shlex.quote, shown))}')
    with kept_from_children() if until is None else contextlib.nullcontext():  # we end it, and one of us says so
        process = subprocess.Popen(
            actual,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if ranks > 1 else None,  # a launcher adds lines of its own
            text=True,
            env={'OMP_NUM_THREADS': '1' if ranks > 1 else '2', **os.environ},
            start_new_session=until is not None,
        )
    assert process.stdout
    lines: List[str] = []
    stopped = False
    try:
        for line in process.stdout:
            line = re.sub(r'^\[[\d,]+\]<std\w+>: ?', '', line)  # Horovod's prefix
            lines.append(line)
            if ranks == 1 or _TOLD.search(line):
                click.echo(line, nl=False)
            if until is not None and not stopped and until():
                click.echo('^C')
                os.killpg(process.pid, signal.SIGINT)
                stopped = True
        failed = process.wait() != 0
    finally:
        if process.poll() is None:  # the demo itself was stopped
            process.terminate()
    if failed and may_fail:
        return None
    if failed and not stopped:
        raise UserError(f'the demo stopped: {words[0]} ended with exit code {process.returncode}')
    return ''.join(lines)


def _look_alikes(data: Path) -> List[str]:
    """A test video of every class of the first group of look-alikes."""
    with open(data / 'test.csv', newline='') as stream:
        rows = list(csv.DictReader(stream))
    group = [row for row in reversed(rows) if row['group'] == rows[0]['group']]
    return [str(data / path) for _, path in sorted({row['label']: row['path'] for row in group}.items())]
