"""Whose folder it is: a run's folder takes the run that began it, on the data that it began with, and no other.

data.json    what the run is trained on: classes, lists of videos, ranks, updates in an epoch
start.json   what it started from
classes.txt  its classes, one a line
config.yaml  every setting; written last, so that where it is everything is
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from .. import factory, safe_json
from ..data.datasets import VideoDataset
from ..errors import UserError, printable
from ..files import atomic_write, is_temporary
from . import checkpoint
from .config import Config, differences, load_config, save_config
from .distributed import World
from .features import VIEW_KEYS
from .flow import FLOW_KEYS
from .lock import LOCK
from .log import read_metrics
from .moved import chosen_options
from .run import SPLIT, START

DATA = 'data.json'
_CONFIG, _CLASSES = 'config.yaml', 'classes.txt'
_BEFORE = (SPLIT, 'features')  # what may be in a folder before it is a run's
_FIRST = (DATA, START)  # written before any other file: they tell that a folder is a run's whose start was cut off
_PLACES = ('root', 'flow')  # of `data`: where things lie, which may have been moved

# What may differ between a run and its resumption without changing the result.
_FREE_KEYS = (
    'data.root',
    'data.flow',
    'data.workers',
    'data.cache',
    'data.cache_gb',
    'train.log_steps',
    'train.without_nccl',
    'train.keep_checkpoints',
    'train.checkpoint_steps',
    'test.batch_size',
    'test.protocol',
    'test.threshold',
)


@dataclasses.dataclass(frozen=True)
class RunData:
    """What a run is trained on, beside its config.

    Parameters
    ----------
    classes
        their names in order
    lists
        'train' and 'val' -> number of videos, SHA-256 of their names, times and classes in order (`list_digest`)
    ranks, updates
        processes of the job; updates in an epoch
    partly
        whether classes may be some of the network's, whose numbers they get later
    """

    classes: Tuple[str, ...] = ()
    lists: Dict[str, Tuple[int, str]] = dataclasses.field(default_factory=dict)
    ranks: Optional[int] = None
    updates: Optional[int] = None
    partly: bool = False


def list_digest(dataset: VideoDataset) -> str:
    """SHA-256 of what a list says: names below the dataset's root, times and classes; not what is in the files."""
    digest, classes = hashlib.sha256(), dataset.labels.classes
    for index, (path, label, start, end) in enumerate(dataset.records):
        name = os.path.relpath(path, dataset.root) if dataset.root and os.path.isabs(path) else path
        labels = [label] if dataset.targets is None else dataset.targets[index].nonzero()[0].tolist()
        digest.update(json.dumps([name, [classes[i] for i in labels if i >= 0], start, end]).encode() + b'\n')
    return digest.hexdigest()


def data_of(train: VideoDataset, val: VideoDataset, ranks: Optional[int] = None) -> RunData:
    """The data of a run that is being set up; its updates are told later."""
    lists = {name: (len(dataset), list_digest(dataset)) for name, dataset in (('train', train), ('val', val))}
    return RunData(tuple(train.labels.classes), lists, ranks)


def check_run_dir(config: Config, run_dir: Path, world: World, data: Optional[RunData] = None) -> None:
    """Make sure that a folder is empty, or holds this very run; every rank raises alike. Nothing is written.

    Raises
    ------
    UserError
        it holds something else, a run with another config, or one on other data, classes or ranks
    """
    problem = None
    if world.rank == 0:
        try:
            problem = _problem(config, run_dir, data or RunData())
        except UserError as error:  # of a damaged file: the other ranks are to know
            problem = str(error)
    problem = world.gather_objects(problem)[0]
    if problem:
        raise UserError(problem)


def claim_run_dir(config: Config, run_dir: Path, world: World, data: RunData, start: Optional[str] = None) -> List[str]:
    """Make a folder this run's: `check_run_dir`, and rank 0 writes what is not there yet.

    Parameters
    ----------
    config, run_dir, world
        the run's folder takes a config with more epochs, where that changes nothing before them, and one of data that
        were moved
    data, start
        what it is trained on; what start.json is to hold, if there is to be one

    Returns
    -------
    What is to be said: what differs from the run as it was.
    """
    check_run_dir(config, run_dir, world, data)
    if world.rank != 0:
        return []
    saved = run_dir / _CONFIG
    if saved.is_file():
        if not (run_dir / DATA).is_file() and data.classes:  # of a former version
            _write_data(run_dir, data)
        return _take_over(config, run_dir)
    _write_data(run_dir, data)
    if start is not None:
        with atomic_write(run_dir / START) as stream:
            stream.write(start)
    with atomic_write(run_dir / _CLASSES) as stream:
        stream.writelines(f'{name}\n' for name in data.classes)
    save_config(config, saved)
    return []


def _write_data(run_dir: Path, data: RunData) -> None:
    with atomic_write(run_dir / DATA) as stream:
        kept = {'classes': data.classes, 'lists': data.lists, 'ranks': data.ranks, 'updates': data.updates}
        json.dump(kept, stream, indent=1)


def _take_over(config: Config, run_dir: Path) -> List[str]:
    """Bring a run's config to what may change in it: more epochs, and where its data lie."""
    saved, lines = load_config(str(run_dir / _CONFIG), saved=True), []
    epochs, config_of_then = saved.train.epochs, copy.deepcopy(saved)
    if config.train.epochs != epochs:
        saved.train.epochs = config.train.epochs
        lines.append(f'{run_dir} goes on to {config.train.epochs} epochs; it was for {epochs}')
        (run_dir / 'summary.json').unlink() if (run_dir / 'summary.json').is_file() else None
    for key in _PLACES:
        former, given = getattr(saved.data, key), getattr(config.data, key)
        if given is not None and (former is None or os.path.realpath(given) != os.path.realpath(former)):
            setattr(saved.data, key, given)
            lines.append(f'data.{key} was {former}, and is {given}')
    if saved != config_of_then:
        save_config(saved, run_dir / _CONFIG)
    return lines


def is_extended(config: Config, run_dir: Path) -> bool:
    """Whether a config asks a run for more epochs than it was begun for, and nothing else of its schedule changes.

    So it is where the rate falls in steps: up to its former end the longer run is the shorter one. A cosine has another
    rate in every update.
    """
    saved = load_config(str(run_dir / _CONFIG), saved=True)
    steps = config.train.schedule == 'step' and not config.stages
    return steps and config.train.epochs > saved.train.epochs


def _problem(config: Config, run_dir: Path, data: RunData) -> Optional[str]:
    """What speaks against a run in a folder, for the user; None: nothing."""
    if not (run_dir / _CONFIG).is_file():
        return None if _is_free(run_dir, data) else f'{run_dir} exists and holds no training run; choose another --out'
    changed, extended = changed_settings(config, run_dir), is_extended(config, run_dir)
    changed = [line for line in changed if not (extended and line.startswith('train.epochs:'))]
    if changed:
        longer = any(line.startswith('train.epochs:') for line in changed) and not config.stages
        advice = f' (model.start={run_dir}/final.params starts from what it has learned)' if longer else ''
        return f'{run_dir} holds a run with another config ({"; ".join(changed[:3])}); choose another --out{advice}'
    if extended and (run_dir / 'summary.json').is_file() and checkpoint.latest_checkpoint(run_dir) is None:
        return f'{run_dir} has no checkpoint left to go on from; choose another --out'
    return _other_data(run_dir, data)


def _is_free(run_dir: Path, data: RunData) -> bool:
    """Whether nothing is in a folder, or only what a run leaves that was killed while it began."""
    if not run_dir.exists():
        return True
    if not run_dir.is_dir():
        return False
    names = {path.name for path in run_dir.iterdir() if not is_temporary(path.name)}
    if names.difference((*_BEFORE, *_FIRST, _CLASSES, LOCK)):
        return False
    if _CLASSES not in names or names.intersection(_FIRST):
        return True
    return _read_classes(run_dir) == _plain(data.classes)  # former versions wrote it first


def _other_data(run_dir: Path, data: RunData) -> Optional[str]:
    """How the data of a run differ from what it began with; None where they do not, or nothing is known."""
    began, known, given = read_data(run_dir), _read_classes(run_dir), _plain(data.classes)
    if given and known and known != given and not (data.partly and set(given) <= set(known)):
        return f'{run_dir} is a run on other classes ({_differ(known, given)}); choose another --out'
    for name, (videos, digest) in data.lists.items():
        former = began.lists.get(name)
        if former is not None and former != (videos, digest):
            kind = {'train': 'training', 'val': 'validation'}.get(name, name)
            which = f'of {former[0]} videos, not {videos}' if former[0] != videos else f'of {videos} other videos'
            return (
                f'{run_dir} is a run with a {kind} list {which}; choose another --out (model.start={run_dir}/'
                'best.params starts from what it has learned)'
            )
    if checkpoint.latest_checkpoint(run_dir) is None:
        return None
    if data.ranks and began.ranks and data.ranks != began.ranks:
        return (
            f'{run_dir} is a run on {_ranks(began.ranks)}, not {data.ranks}; resume it on {_ranks(began.ranks)}, or '
            'choose another --out'
        )
    if data.updates and began.updates and data.updates != began.updates:
        return (
            f'{run_dir} is a run of {began.updates} updates an epoch, not {data.updates}: its data have changed; '
            'choose another --out'
        )
    return None


def _ranks(count: int) -> str:
    return '1 rank' if count == 1 else f'{count} ranks'


def _differ(known: Sequence[str], given: Sequence[str]) -> str:
    gone, new = ([name for name in a if name not in set(b)] for a, b in ((known, given), (given, known)))
    if not gone and not new:
        return 'the same in another order'
    parts = [f'without {_some(gone)}'] * bool(gone) + [f'with {_some(new)}'] * bool(new)
    return printable(f'they are now {" and ".join(parts)}')


def _some(names: Sequence[str]) -> str:
    return ', '.join(map(repr, names[:3])) + (f' and {len(names) - 3} more' if len(names) > 3 else '')


def _plain(classes: Sequence[str]) -> List[str]:
    return [name.strip() for name in classes]


def _read_classes(run_dir: Path) -> List[str]:
    path = run_dir / _CLASSES
    return _plain(path.read_text(encoding='utf-8', errors='replace').splitlines()) if path.is_file() else []


def read_data(run_dir: Path) -> RunData:
    """What a run began with. Of one from before data.json, what its other files say; nothing for what they do not.

    Raises
    ------
    UserError
        the file is damaged
    """
    path = run_dir / DATA
    if not path.is_file():
        return _former_data(run_dir)
    try:
        values = safe_json.parse(path.read_bytes())
        lists = {str(name): (int(videos), str(digest)) for name, (videos, digest) in values['lists'].items()}
        ranks, updates = (None if values[key] is None else int(values[key]) for key in ('ranks', 'updates'))
        return RunData(tuple(map(str, values['classes'])), lists, ranks, updates)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f'{path} is damaged; remove it to resume without what it says, or choose another --out'
        ) from None


def _former_data(run_dir: Path) -> RunData:
    ranks = updates = None
    try:
        ranks = int(safe_json.parse((run_dir / 'environment.json').read_bytes())['ranks'])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    for record in read_metrics(run_dir / 'metrics.jsonl'):
        epochs = record.get('epoch')
        if record['event'] in ('train', 'epoch') and isinstance(epochs, (int, float)) and epochs > 0:
            updates = round(record['step'] / epochs)
    return RunData(ranks=ranks, updates=updates)


def changed_settings(config: Config, run_dir: Path) -> List[str]:
    """Settings that differ between a run in a folder and a config, as 'key: the run's -> the config's' lines.

    Those that cannot change its result, such as where the data lie, are left out. A run that was begun when an option
    had another default has that one: its parameters tell (`Recognizer.saved_options`).
    """
    saved, given = load_config(str(run_dir / 'config.yaml'), saved=True), copy.deepcopy(config)
    for path in _parameter_files(run_dir):
        saved.model.options = factory.run_options(saved.model.name, path, saved.model.options)
    if given.model.nclass is None:  # left to the dataset, which gave the run's
        saved.model.nclass = None
    if given.data.multi_label is None:  # left to the dataset, too
        saved.data.multi_label = None
    if given.model.start is None:  # left to what was to be had when the run was begun
        saved.model.start = None
    for key in (*FLOW_KEYS, *(VIEW_KEYS if given.data.features else ())):
        if getattr(given.data, key) is None:  # left to the folder of flow, or to the features
            setattr(saved.data, key, None)
    for each in (saved, given):  # an option at its default is as good as none
        each.model.options = chosen_options(each.model.name, each.model.options)
    return differences(saved, given, ignore=_FREE_KEYS)


def _parameter_files(run_dir: Path) -> List[Path]:
    """Files that tell how a run's network was built: its last parameters, and those of its stages."""
    folders = [run_dir, *sorted(path.parent for path in run_dir.glob('*/config.yaml'))]
    latest = [(checkpoint.latest_checkpoint(folder) or folder) / 'net.params' for folder in folders]
    finished = [folder / 'final.params' for folder in folders]
    return [path for path in (*latest, *finished) if path.is_file()]
