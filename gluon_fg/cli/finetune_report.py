"""What `gluon-fg finetune` leaves in a run's folder: scores, tables, pictures, and what to type next."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any, List, Sequence

import click

REPORT = 'report'  # folder in the run's


def report(folder: Path, place: str, device: str) -> float:
    """Test the trained network of a run, write its report and say it; returns its top-1, a fraction.

    Parameters
    ----------
    folder
        of the run
    place
        the folder or list of videos, as the user gave it
    device
        'auto', 'cpu' or 'gpu'
    """
    from ..data.catalog import build_dataset
    from ..evaluation.metrics import summarize
    from ..evaluation.protocol import get_protocol
    from ..evaluation.report import write_report
    from ..evaluation.score import Scores, score_dataset
    from ..training.run import choose_context, load_run

    ctx = choose_context(device, 0)
    net, config = load_run(folder, None, ctx)
    split = 'test' if Path(str(config.data.root), 'test.csv').is_file() else 'val'
    videos = build_dataset('csv', split, config.data.root)
    views = get_protocol(config.test.protocol or net.protocol)
    name = str(folder / REPORT / f'scores_{split}_{views.name}')
    if os.path.isfile(f'{name}.npz'):  # a run that was finished and is asked for again
        scores = Scores.load(f'{name}.npz')
    else:
        progress = sys.stderr.isatty()
        scores = score_dataset(
            net, videos, views, ctx, config.test.batch_size, config.data.workers, progress=progress, fused=True
        )
    paths = (Path(f'{name}.npz'), Path(f'{name}.metrics.json'), Path(f'{name}.per_class.csv'))
    click.echo(write_report(scores, paths))
    summary = summarize(scores)
    pictures = _pictures(scores, videos, folder / REPORT)
    commands = next_commands(folder, place, split, net, scores)
    _write_page(folder, split, summary, pictures, commands)
    rows = [['class', 'videos', 'right, %', 'most often taken for'], *_class_rows(summary)]
    widths = [max(len(cells[i]) for cells in rows) for i in range(3)]
    for cells in rows:
        click.echo(
            f'  {cells[0]:{widths[0]}s}  {cells[1]:>{widths[1]}s}  {cells[2]:>{widths[2]}s}  {cells[3]}'.rstrip()
        )
    for path in pictures:
        click.echo(f'picture {path}')
    chosen = '' if split == 'test' else ' (best.params was chosen on these videos, too, which flatters it a little)'
    top1 = summary['top1']
    click.echo(f'{100 * top1:.1f} % of {summary["labelled"]} videos of {split} are right{chosen}')
    click.echo(f'report {folder / REPORT / "report.md"}\nnext:')
    for command in commands:
        click.echo(f'  {command}')
    return float(top1)


def _class_rows(summary: dict) -> List[List[str]]:
    """Class, videos, percent right, and what the wrong ones were mostly taken for, of each class with videos."""
    return [
        [
            row['name'],
            str(row['videos']),
            f'{100 * row["top1"]:.0f}',
            f'{row["confused_with"]} ({row["confused"]})' if row['confused'] else '',
        ]
        for row in summary['per_class']
        if row['videos']
    ]


def _pictures(scores: Any, videos: Any, folder: Path) -> List[Path]:
    """Draw the confusion of classes and the wrong videos; names of what was drawn."""
    from ..analysis.confusion import MOST
    from ..visualization.charts import save_chart
    from ..visualization.confusion import confusion_chart
    from ..visualization.figures import save_figure
    from ..visualization.wrong_clips import wrong_clips

    drawn = []
    warnings.filterwarnings('ignore', message='Glyph .* missing')  # names in a script that Matplotlib's font lacks
    if len(scores.classes) <= MOST or scores.groups is not None:
        save_chart(confusion_chart(scores), folder / 'confusion.png')
        drawn.append(folder / 'confusion.png')
    wrong = wrong_clips(scores, videos)
    if wrong is not None:
        save_figure(wrong, folder / 'wrong.png')
        drawn.append(folder / 'wrong.png')
    return drawn


def next_commands(folder: Path, place: str, split: str, net: Any, scores: Any) -> List[str]:
    """The three commands that come next, as they must be typed: predict, explain, publish."""
    video = _video(folder, place, scores.ids[0])
    if net.filters_per_class:
        explain = ['explain', 'localize', video, '--run', str(folder), '--out', str(folder / 'explained')]
    else:
        explain = ['explain', 'activation', video, '--models', str(folder), '--out', str(folder / 'activation.png')]
    publish = ['zoo', 'publish', str(folder), '--repo', 'my_zoo', '--name', _published_name(folder)]
    publish += ['--split', split, '--licence', 'all rights reserved']
    commands: Sequence[Sequence[str]] = (['predict', video, '--run', str(folder)], explain, publish)
    return [' '.join(map(shlex.quote, ['gluon-fg', *words])) for words in commands]


def _published_name(folder: Path) -> str:
    """A name for the network: that of its folder, in letters that a name may have."""
    return re.sub(r'\W+', '_', folder.resolve().name, flags=re.ASCII).strip('_').lower() or 'my_network'


def _video(folder: Path, place: str, name: str) -> str:
    """Where a video of the lists is, by the user's own name of the folder."""
    from ..data.own_videos import VIDEOS
    from ..training.run import SPLIT

    file = name.split(' [')[0] if not (folder / SPLIT / name).is_file() else name
    below = file[len(VIDEOS) + 1 :]
    return os.path.join(place, below) if os.path.isdir(place) else str(folder / SPLIT / file)


def _write_page(folder: Path, split: str, summary: dict, pictures: Sequence[Path], commands: Sequence[str]) -> None:
    """Write report.md: accuracies, classes, pictures, what was left out, what comes next."""
    from ..files import atomic_write
    from ..training.config import load_config
    from ..training.run import SPLIT

    config = load_config(str(folder / 'config.yaml'), saved=True)
    trained = json.loads((folder / 'summary.json').read_text())
    with open(folder / SPLIT / 'left_out.csv', newline='', encoding='utf-8') as stream:
        left_out = [(row['path'], row['reason']) for row in csv.DictReader(stream)]
    left_out += sorted({**trained.get('failed_videos', {}), **summary.get('failed_videos', {})}.items())
    lines = [
        f'# {folder.name}',
        '',
        f'{config.model.name}, started from {config.model.start}, {trained["updates"]} updates in '
        f'{trained["seconds"]:.0f} s; the best epoch was {trained["best"]["epoch"]}.',
        '',
        f'**{100 * summary["top1"]:.1f} %** of {summary["labelled"]} videos of `{split}` are right (views: '
        f'{summary["protocol"]}); mean over the classes {100 * summary["mean_class"]:.1f} %.'
        + ('' if split == 'test' else ' The best epoch was chosen on these videos, too, which flatters it a little.'),
        '',
        '| class | videos | right, % | most often taken for |',
        '|---|---|---|---|',
        *(f'| {cells[0]} | {cells[1]} | {cells[2]} | {cells[3]} |' for cells in _class_rows(summary)),
        '',
        *(f'![{path.stem}]({path.name})\n' for path in pictures),
        f'Left out: {len(left_out)} files.' if left_out else 'Every video was used.',
        '',
        *(f'- `{path}`: {reason}' for path, reason in left_out),
        '',
        'Next:',
        '',
        '```sh',
        *commands,
        '```',
    ]
    with atomic_write(folder / REPORT / 'report.md') as stream:
        stream.write('\n'.join(lines) + '\n')


def report_folds(folder: Path, top1: Sequence[float]) -> None:
    """Say the mean over folds with its interval, and keep it in folds.json."""
    from ..evaluation.statistics import t_interval
    from ..files import atomic_write

    mean = sum(top1) / len(top1)
    low, high = (min(max(limit, 0.0), 1.0) for limit in t_interval(top1))
    with atomic_write(folder / 'folds.json') as stream:
        json.dump({'top1': list(top1), 'mean': mean, 'low': low, 'high': high}, stream, indent=1)
    each = ', '.join(f'{100 * value:.1f}' for value in top1)
    click.echo(
        f'\n{len(top1)} folds: {each} %; mean {100 * mean:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f} % '
        f"(Student's t over folds); {folder / 'folds.json'}"
    )
