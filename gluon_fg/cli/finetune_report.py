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
from typing import Any, List, Sequence, Tuple

import click

REPORT = 'report'  # folder in the run's
MOST_ROWS = 30  # classes that are listed one by one in a terminal


def report(folder: Path, place: str, device: str) -> Tuple[str, float]:
    """Test the trained network of a run, write its report and say it.

    Returns the name of its accuracy ('top1', of several labels 'map') and the value, a fraction.

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
    from ..deploy.execution import REFERENCE
    from ..evaluation.metrics import chosen_by, summarize
    from ..evaluation.protocol import get_protocol
    from ..evaluation.report import write_report
    from ..evaluation.score import Scores, score_dataset
    from ..training.run import choose_context, is_current, load_run

    ctx = choose_context(device, 0)
    net, config = load_run(folder, None, ctx)
    split = 'test' if Path(str(config.data.root), 'test.csv').is_file() else 'val'
    videos = build_dataset(config.data.dataset, split, config.data.root)
    videos.flow = config.data.flow  # the fields that it was trained on
    views = get_protocol(config.test.protocol or net.protocol)
    name = str(folder / REPORT / f'scores_{split}_{views.name}')
    if is_current(f'{name}.npz', folder / 'best.params'):  # a run that was finished and is asked for again
        scores = Scores.load(f'{name}.npz')
    else:
        progress = sys.stderr.isatty()
        scores = score_dataset(
            net, videos, views, ctx, config.test.batch_size, config.data.workers, progress=progress, execution=REFERENCE
        )
    paths = (Path(f'{name}.npz'), Path(f'{name}.metrics.json'), Path(f'{name}.per_class.csv'))
    click.echo(write_report(scores, paths))
    summary = summarize(scores)
    pictures = _pictures(scores, videos, folder / REPORT) if scores.targets is None else []
    commands = next_commands(folder, place, split, net, scores)
    _write_page(folder, split, {**summary, 'failed_videos': scores.failed}, pictures, commands)
    rows = _class_rows(summary)
    widths = [max(len(cells[i]) for cells in rows) for i in range(3)]
    for name, *cells in rows if len(rows) <= MOST_ROWS + 1 else ():
        click.echo(f'  {name:{widths[0]}s}  {cells[0]:>{widths[1]}s}  {cells[1]:>{widths[2]}s}  {cells[2]}'.rstrip())
    for path in pictures:
        click.echo(f'picture {path}')
    chosen = '' if split == 'test' else ' (best.params was chosen on these videos, too, which flatters it a little)'
    click.echo(f'{_result(summary, split)}{chosen}')
    click.echo(f'report {folder / REPORT / "report.md"}\nnext:')
    for command in commands:
        click.echo(f'  {command}')
    return chosen_by(summary), float(summary[chosen_by(summary)])


def _result(summary: dict, split: str) -> str:
    """The accuracy of an evaluation in words."""
    if summary.get('map') is not None:
        return f'mAP {100 * summary["map"]:.1f} % on {summary["labelled"]} videos of {split}'
    return (
        f'{100 * summary["top1"]:.1f} % of {summary["labelled"]} videos of {split} are right, '
        f'{100 * summary["mean_class"]:.1f} % in the mean over the classes'
    )


def _class_rows(summary: dict) -> List[List[str]]:
    """A headline, then of each class with videos how many, how well, and what the wrong ones were mostly taken for."""
    known = [row for row in summary['per_class'] if row['videos']]
    if summary.get('map') is not None:
        rows = [[row['name'], str(row['videos']), f'{100 * row["ap"]:.0f}', ''] for row in known]
        return [['class', 'videos', 'AP, %', ''], *rows]
    rows = [
        [
            row['name'],
            str(row['videos']),
            f'{100 * row["top1"]:.0f}',
            f'{row["confused_with"]} ({row["confused"]})' if row['confused'] else '',
        ]
        for row in known
    ]
    return [['class', 'videos', 'right, %', 'most often taken for'], *rows]


def _pictures(scores: Any, videos: Any, folder: Path) -> List[Path]:
    """Draw the confusion of classes and the wrong videos; names of what was drawn."""
    from ..visualization.charts import save_chart
    from ..visualization.confusion import confusion_chart
    from ..visualization.figures import save_figure
    from ..visualization.wrong_clips import wrong_clips

    warnings.filterwarnings('ignore', message='Glyph .* missing')  # names in a script that Matplotlib's font lacks
    save_chart(confusion_chart(scores), folder / 'confusion.png')
    drawn = [folder / 'confusion.png']
    wrong = wrong_clips(scores, videos)
    if wrong is not None:
        save_figure(wrong, folder / 'wrong.png')
        drawn.append(folder / 'wrong.png')
    return drawn


def next_commands(folder: Path, place: str, split: str, net: Any, scores: Any) -> List[str]:
    """The four commands that come next, as they must be typed: predict, report, explain, publish."""
    video = _video(folder, place, scores.ids[0])
    if net.filters_per_class:
        explain = ['explain', 'localize', video, '--run', str(folder), '--out', str(folder / 'explained')]
    else:
        explain = ['explain', 'activation', video, '--models', str(folder), '--out', str(folder / 'activation.png')]
    publish = ['zoo', 'publish', str(folder), '--repo', 'my_zoo', '--name', _published_name(folder)]
    publish += ['--split', split, '--licence', 'all rights reserved']
    commands: Sequence[Sequence[str]] = (
        ['predict', video, '--run', str(folder)],
        ['report', str(folder)],
        explain,
        publish,
    )
    return [' '.join(map(shlex.quote, ['gluon-fg', *words])) for words in commands]


def _published_name(folder: Path) -> str:
    """A name for the network: that of its folder, in letters that a name may have."""
    return re.sub(r'\W+', '_', folder.resolve().name, flags=re.ASCII).strip('_').lower() or 'my_network'


def _video(folder: Path, place: str, name: str) -> str:
    """Where a video of the lists is, by the user's own name of the folder."""
    from ..data.own_lists import VIDEOS
    from ..training.run import SPLIT

    file = name.split(' [')[0] if not (folder / SPLIT / name).is_file() else name
    below = file[len(VIDEOS) + 1 :]
    return os.path.join(place, below) if os.path.isdir(place) else str(folder / SPLIT / file)


def _write_page(folder: Path, split: str, summary: dict, pictures: Sequence[Path], commands: Sequence[str]) -> None:
    """Write report.md: accuracies, classes, pictures, what was left out, what comes next."""
    from .. import safe_json
    from ..files import atomic_write
    from ..training.config import load_config
    from ..training.run import SPLIT

    config = load_config(str(folder / 'config.yaml'), saved=True)
    trained = safe_json.load_mapping(folder / 'summary.json', 'remove it, and the same command writes it anew')
    with open(folder / SPLIT / 'left_out.csv', newline='', encoding='utf-8') as stream:
        left_out = [(row['path'], row['reason']) for row in csv.DictReader(stream)]
    left_out += sorted({**trained.get('failed_videos', {}), **summary.get('failed_videos', {})}.items())
    rows = _class_rows(summary)
    lines = [
        f'# {folder.name}',
        '',
        f'{config.model.name}, started from {config.model.start}, {trained["updates"]} updates in '
        f'{trained["seconds"]:.0f} s; the best epoch was {trained["best"]["epoch"]}.',
        '',
        f'**{_result(summary, split)}** (views: {summary["protocol"]}).'
        + ('' if split == 'test' else ' The best epoch was chosen on these videos, too, which flatters it a little.'),
        '',
        f'| {" | ".join(rows[0])} |',
        '|---|---|---|---|',
        *(f'| {" | ".join(cell.replace("|", "/") for cell in cells)} |' for cells in rows[1:]),
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


def report_folds(folder: Path, measure: str, values: Sequence[float]) -> None:
    """Say the mean over folds of a measure with its interval, and keep it in folds.json."""
    from ..evaluation.statistics import t_interval
    from ..files import atomic_write

    mean = sum(values) / len(values)
    low, high = (min(max(limit, 0.0), 1.0) for limit in t_interval(values))
    with atomic_write(folder / 'folds.json') as stream:
        json.dump({measure: list(values), 'mean': mean, 'low': low, 'high': high}, stream, indent=1)
    each = ', '.join(f'{100 * value:.1f}' for value in values)
    click.echo(
        f'\n{measure} of {len(values)} folds: {each} %; mean {100 * mean:.1f} %, 95 % interval {100 * low:.1f} to '
        f"{100 * high:.1f} % (Student's t over folds); {folder / 'folds.json'}"
    )
