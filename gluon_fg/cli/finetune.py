"""`gluon-fg finetune`: from a folder of one's own videos to a network that names what is in them."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import click

from ..errors import UserError, printable
from ..files import temporary_folder
from .base import Command, Several
from .finetune_report import MOST_ROWS
from .options import device_option


class Asked(NamedTuple):
    """What the user gave: folder or list, model, epochs or None, how to split, `--set` texts and other options."""

    place: str
    model: str
    epochs: Optional[int]
    parting: Any
    overrides: List[str]
    protocol: Optional[str]
    device: str
    whole: bool


@click.command(
    cls=Command,
    example="""
finetune my_videos --out runs/mine
finetune my_videos --model i3d_tiny_custom_dfb --epochs 10 --dry-run
""",
)
@click.argument('place', metavar='FOLDER')
@click.option('--out', metavar='FOLDER', help='Folder of the run. [default: runs/<name of FOLDER>]')
@click.option('--model', default='auto', show_default=True, help='Network; auto: by weights at hand, machine and data.')
@click.option('--epochs', type=click.IntRange(1), help='Passes over the videos. [default: by their number]')
@click.option('--val-share', type=float, default=0.2, show_default=True, help='Videos to validate on, of each class.')
@click.option(
    '--folds', type=click.IntRange(2), metavar='K', help='Train K times, each part of the videos tested once.'
)
@click.option('--seed', type=click.IntRange(0), default=0, show_default=True, help='Of the split and the training.')
@click.option(
    '--source-pattern',
    default='',
    metavar='REGEX',
    help="Which film a video was cut from: this expression's first group in <class>/<name>. [default: the name without "
    "a running number, times, 'part 2' and the like]",
)
@click.option(
    '--set', 'overrides', cls=Several, metavar='KEY=VALUE...', help='Settings of gluon-fg train, over those chosen.'
)
@click.option('--protocol', metavar='NAME', help="Views of each video at the end. [default: the config's]")
@device_option
@click.option('--whole', is_flag=True, help='Train all of a large network on a processor, too, which takes hours.')
@click.option('--dry-run', is_flag=True, help='Say what would be done and how long it takes, and stop.')
def finetune(place: str, out: Optional[str], folds: Optional[int], dry_run: bool, **given: Any) -> int:
    """Train a network on your own videos, test it, and show what it has wrong.

    FOLDER has a folder for each class (FOLDER/<class>/<video>); or train, val and test with such folders; or it is a
    CSV list with the columns path and label (or labels, several with | between them), and start and end for clips of
    longer films. What is not split is split
    here, so that clips that were cut from one film stay together. Started again with the same words it goes on where it
    was interrupted.
    """
    from ..data.own_lists import Parting
    from ..evaluation.protocol import get_protocol
    from ..training import distributed
    from ..training.log import show_lines
    from ..training.run import Interrupted

    if distributed.init().size > 1:
        raise UserError('finetune runs alone; for several processes give its config.yaml to gluon-fg train')
    if given['protocol']:
        get_protocol(given['protocol'])  # this and what follows: before anything slow
    if not 0 < given['val_share'] <= 0.5:
        raise UserError(f'--val-share is {given["val_share"]:g}; choose a share above 0 and at most 0.5')
    if given['model'] != 'auto':
        from ..training.finetune import config_for

        config_for(given['model'])
    given_name = Path(place).resolve()
    folder = Path(out or Path('runs', given_name.name if given_name.is_dir() else given_name.stem))
    parting = Parting(given['val_share'], given['seed'], given['source_pattern'], folds or 0, 1 if folds else 0)
    parting.film_pattern()
    words = (given[name] for name in ('overrides', 'protocol', 'device', 'whole'))
    asked = Asked(place, given['model'], given['epochs'], parting, *words)
    show_lines()
    for handler in logging.getLogger('gluon_fg').handlers:
        handler.addFilter(is_news)
    try:
        if dry_run:
            return _plan(asked)
        _fold_by_fold(asked, folder) if folds else _one(asked, folder, {})
    except Interrupted as stop:
        click.echo(stop, err=True)
        return 130
    return 0


def is_news(record: logging.LogRecord) -> bool:
    """Tell whether a line is worth showing: not the config in full, nor counts that were shown as a table."""
    line = record.getMessage()
    told = re.match(r'model:\n|\d+ classes: |training videos of a class: ', line)
    return told is None and not line.endswith('scored + 0 failed')


def _fold_by_fold(asked: Asked, folder: Path) -> None:
    """Train and test each fold in a folder of its own."""
    from .finetune_report import report_folds

    known_videos: dict = {}
    values = []
    measure = ''
    for number in range(1, asked.parting.folds + 1):
        click.echo(f'\nfold {number} of {asked.parting.folds}')
        part = asked._replace(parting=asked.parting._replace(fold=number))
        measure, value = _one(part, folder / f'fold{number}', known_videos)
        values.append(value)
    report_folds(folder, measure, values)


def _one(asked: Asked, folder: Path, known_videos: dict) -> Tuple[str, float]:
    """Split, train, test and report in a folder; as `report`. `known_videos` keeps the videos from fold to fold."""
    from ..training import distributed, stages
    from ..training.lock import run_lock
    from .finetune_report import report

    with run_lock(folder):
        config = _config_of(asked, folder, known_videos)
        stages.train(config, folder, distributed.World(), progress=sys.stderr.isatty())
        return report(folder, asked.place, asked.device)


def _config_of(asked: Asked, folder: Path, known_videos: dict) -> Any:
    """Split the videos, unless they are, and give the config of the run on them: the folder's, or a new one."""
    from ..data.own_lists import link, part_videos, read_parting, write_lists
    from ..training.config import load_config
    from ..training.run import SPLIT

    lists = folder / SPLIT
    known = read_parting(lists)
    if known is None:
        _check_free(folder)
        own = _videos(asked, known_videos, folder)
        parts = part_videos(own, asked.parting)
        write_lists(lists, own, parts, asked.parting)
        for note in parts.notes:
            click.echo(f'note: {note}')
    elif known != asked.parting:
        changed = next(name for name in known._fields if getattr(known, name) != getattr(asked.parting, name))
        raise UserError(
            f'{folder} was split with {changed} {getattr(known, changed)!r}, not {getattr(asked.parting, changed)!r}; '
            'choose another --out'
        )
    else:
        link(lists, Path(asked.place) if Path(asked.place).is_dir() else Path(asked.place).resolve().parent)
    if (folder / 'config.yaml').is_file():
        config = load_config(str(folder / 'config.yaml'), _again(asked), saved=True)
        config.data.root = str(lists.resolve())
        if asked.model not in ('auto', config.model.name):
            raise UserError(f'{folder} holds a run of {config.model.name}, not {asked.model}; choose another --out')
        return config
    return _planned(asked, lists, folder / 'features')


def _check_free(folder: Path) -> None:
    """Refuse a folder that holds something that is not this command's, before anything is written."""
    from ..files import is_temporary
    from ..training.lock import LOCK
    from ..training.run import SPLIT

    if any(path.name not in (SPLIT, LOCK) and not is_temporary(path.name) for path in folder.iterdir()):
        raise UserError(f'{folder} exists and holds no run of gluon-fg finetune; choose another --out')


def _again(asked: Asked) -> List[str]:
    """What the user set himself, over the config of a run that exists: training refuses what differs."""
    return [*([f'train.epochs={asked.epochs}'] if asked.epochs else []), *_own_settings(asked)]


def _own_settings(asked: Asked) -> List[str]:
    """Settings that stand in options of this command, and the user's."""
    named = [f'train.seed={asked.parting.seed}', f'train.device={asked.device}']
    return [*named, *([f'test.protocol={asked.protocol}'] if asked.protocol else []), *asked.overrides]


def _epochs_set(overrides: Sequence[str]) -> Optional[int]:
    """The epochs that `--set` asks for, which the schedule is to fit; None: none, or not a number, which is told of."""
    texts = [text.partition('=')[2] for text in overrides if text.startswith('train.epochs=')]
    return max(1, int(texts[-1])) if texts and texts[-1].isdecimal() else None


def _videos(asked: Asked, known_videos: dict, out: Optional[Path] = None) -> Any:
    """Look for the user's videos, once, and say what is there."""
    from ..data.own_videos import find_videos

    if 'own' not in known_videos:
        own = known_videos['own'] = find_videos(asked.place, progress=sys.stderr.isatty(), out=out)
        listed = sum(map(len, own.clips.values()))
        click.echo(f'{asked.place}: {listed} videos of {len(own.classes)} classes')
        for path, reason in own.left_out.items():
            click.echo(f'  left out: {printable(path)}: {printable(reason)}')
        for suffix, count in sorted(own.other.items()):
            click.echo(f'  left out: {count} {printable(suffix)}')
    return known_videos['own']


def _planned(asked: Asked, lists: Path, features: Optional[Path]) -> Any:
    """Choose network, weights and settings, say them and how long it takes, and return the config.

    What a processor would take too long for is frozen, and its features are written to `features`; None: they are not
    made, and the time they take is all that is said.
    """
    from ..data.catalog import build_dataset
    from ..data.own_lists import dataset_name
    from ..training import finetune as tuning
    from ..training.run import choose_context

    splits = [name for name in ('train', 'val', 'test') if (lists / f'{name}.csv').is_file()]
    kind = dataset_name(lists)
    videos = {split: build_dataset(kind, split, str(lists)) for split in splits}
    train, freezes = videos['train'], kind == 'csv' and not asked.whole
    _say_counts(videos)
    gpu = choose_context(asked.device, 0).device_type == 'gpu'
    choice = tuning.choose_model(asked.model, len(train), gpu, freezes=freezes)
    facts = tuning.Facts(train.counts.tolist(), _lengths(train), len(train), kind)
    settings = tuning.settings_for(choice, facts, asked.epochs or _epochs_set(asked.overrides))
    config = tuning.make_config(choice, settings, _own_settings(asked), str(lists.resolve()))
    click.echo(f'model {choice.model}: {choice.why}')
    click.echo(f'settings: {choice.config}, {" ".join(settings)}')
    view = None
    if not gpu and config.model.start == 'kinetics400' and freezes:
        view = _freeze(config, videos, features, asked.parting.folds)
        if features is None:
            return config
    taken = tuning.estimate(config, len(videos[splits[-1]]), view)
    click.echo(
        f'time: an update of {config.train.batch_size} videos takes {taken.update:.2g} s here, an epoch '
        f'{tuning.in_words(taken.epoch)}; {config.train.epochs} epochs at most {tuning.in_words(taken.training)}, '
        f'the test {tuning.in_words(taken.evaluation)}'
    )
    return config


def _say_counts(videos: dict) -> None:
    """Say how many videos of each class each split has; of many classes only the range."""
    classes = next(iter(videos.values())).labels.classes
    if len(classes) > MOST_ROWS:
        for split, part in videos.items():
            click.echo(f'  {split}: {len(part)} videos, {part.counts.min()} to {part.counts.max()} of a class')
        return
    width = max(map(len, classes))
    click.echo(f'  {"class":{width}s}  ' + '  '.join(f'{split:>5s}' for split in videos))
    for label, name in enumerate(classes):
        click.echo(f'  {name:{width}s}  ' + '  '.join(f'{part.counts[label]:5d}' for part in videos.values()))


def _freeze(config: Any, videos: dict, features: Optional[Path], folds: int) -> float:
    """Make the features of what a processor keeps frozen, and let the config read them; seconds of a view."""
    from ..training import frozen
    from ..training.finetune import in_words
    from ..training.run import choose_context

    ctx = choose_context('cpu', 0)
    seconds, view = frozen.seconds_of_extraction(config, videos, ctx)
    click.echo(
        f'without a GPU stem to res{frozen.STAGE} stay as they are, and what they make of each video is computed once: '
        f'{in_words(seconds)} in all; training from that takes minutes '
        '(--whole trains everything)'
    )
    if features is not None:
        every = (features.parent.parent / f'fold{number}' / features.name for number in range(1, folds + 1))
        others = [path for path in every if path != features]
        frozen.extract(config, videos, features, ctx, click.echo, sys.stderr.isatty(), others)
        config.data.features = str(features.resolve())
    return view


def _lengths(videos: Any) -> List[int]:
    """Frames of some of the videos, spread over the list."""
    from ..errors import VideoError

    lengths = []
    for index in range(0, len(videos), max(1, len(videos) // 20)):
        try:
            with videos.open(index) as reader:
                lengths.append(len(reader))
        except VideoError:
            continue
    return lengths


def _plan(asked: Asked) -> int:
    """Say what would be done, of the first fold where there are several; nothing is left of it."""
    from ..data.own_lists import part_videos, write_lists

    own = _videos(asked, {})
    with temporary_folder() as folder:
        parts = part_videos(own, asked.parting)
        write_lists(Path(folder), own, parts, asked.parting)
        for note in parts.notes:
            click.echo(f'note: {note}')
        _planned(asked, Path(folder), None)
    if asked.parting.folds:
        click.echo(f'{asked.parting.folds} folds take {asked.parting.folds} times as long')
    return 0
