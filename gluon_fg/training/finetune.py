"""Fine-tuning on one's own videos: which network, from which weights, with which settings, and how long it takes."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import logging
import os
import time
from pathlib import Path
from typing import Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .. import factory, registry
from ..errors import UserError
from ..evaluation.protocol import get_protocol
from ..files import temporary_folder
from ..named_configs import config_names, find_config
from ..weights import imagenet
from . import distributed
from .config import STARTS, Config, load_config
from .parts import set_up
from .run import StopFlag
from .start import kinetics_weights
from .state import TrainState
from .updates import one_update, settle

SECTION = 'custom'  # of the configs for one's own classes
UNEVEN = 1.5  # times as many videos of one class as of another: the rare ones count more
_INSTEAD = {'train.class_weights': 'data.sampling', 'train.early_stop': 'test.val_epochs'}  # chosen here -> a user's
LEAST_UPDATES = 200  # of a network that starts from random weights


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A config for one's own videos, and when it is the one to take.

    Parameters
    ----------
    config
        its name
    start
        the weakest of `STARTS` with which it is worth the time
    most
        training videos that a processor gets through in bearable time, at most; 0: it is for a GPU
    frozen
        whether that holds only where what is frozen is computed once (`frozen`)
    """

    config: str
    start: str
    most: int
    frozen: bool = False


# The best first, as long as their weights are to be had. Choice and limits are ours.
RECIPES = (
    Recipe('custom/i3d_resnet50_v1_custom_dfb', 'kinetics400', 0),
    Recipe('custom/i3d_inceptionv1_same_custom_dfb', 'kinetics400', 1000, frozen=True),
    Recipe('custom/tsn_mobilenetv2_custom', 'imagenet', 2000),
    Recipe('custom/i3d_tiny_custom_dfb', 'none', 10**9),
)


class Choice(NamedTuple):
    """A network for one's own videos.

    config, model
        name of the config, and of the entry that is trained
    start
        what it starts from, of `STARTS`
    why
        in words
    """

    config: str
    model: str
    start: str
    why: str


def choose_model(
    name: str,
    videos: int,
    gpu: bool,
    had: Optional[Callable[[str], Tuple[str, str]]] = None,
    freezes: bool = True,
) -> Choice:
    """Choose network and start by what weights are to be had, the machine and the number of training videos.

    Parameters
    ----------
    name
        an entry for one's own classes, or 'auto'
    videos, gpu
        how many videos there are to train on; whether on a GPU
    had
        name of an entry -> the best start that is to be had for it, and what is to be said of that; None: `best_start`
    freezes
        whether a processor may compute once what is frozen

    Raises
    ------
    UserError
        no such entry, or one that is not for one's own videos
    """
    had = had or best_start
    if name != 'auto':
        start, words = had(name)
        return Choice(config_for(name), name, start, words)
    slow: List[str] = []
    weak: List[str] = []
    for recipe in RECIPES:
        model = recipe.config.split('/')[-1]
        if not gpu and (videos > recipe.most or recipe.frozen and not freezes):
            slow += [model] if recipe.most else []
            continue
        start, words = had(model)
        if STARTS.index(start) <= STARTS.index(recipe.start):
            passed = [f'{" and ".join(weak)}: no weights to be had here, gluon-fg doctor says why'] if weak else []
            passed += [f'{" and ".join(slow)}: would take long without a GPU'] if slow else []
            return Choice(recipe.config, model, start, '; '.join([words, *(f'passed over {text}' for text in passed)]))
        weak.append(model)
    raise AssertionError('the last recipe needs no weights')


def config_for(name: str) -> str:
    """Find the config with which an entry for one's own videos is trained: its own, or another's on its backbone.

    Raises
    ------
    UserError
        no such entry, or one that is not for one's own videos
    """
    backbone, setting = registry.model_entry(name).backbone, factory.setting(name)
    named = {config.split('/')[-1]: config for config in config_names(SECTION) if not config.endswith('_images')}
    known = {model: named[model] for model in named if model in registry.names()}
    image = setting.input_spec.ndim == 2 and setting.input_spec.segments == 1
    if setting.nclass is not None or image:
        raise UserError(f'--model {name} is not for videos of your own classes; choose from {", ".join(known)}')
    same = [config for other, config in known.items() if registry.model_entry(other).backbone == backbone]
    if name not in known and not same:
        raise UserError(f'--model {name}: no config of its backbone is there; choose from {", ".join(known)}')
    return known.get(name) or same[0]


def best_start(name: str) -> Tuple[str, str]:
    """The first of `STARTS` whose weights for an entry are on disk or can be fetched now, and a line that says so."""
    missing = []
    try:
        weights = kinetics_weights(name, attempts=1)
        if weights:
            return 'kinetics400', f'starts from {weights[1]}'
    except UserError:
        missing.append('Kinetics-400')
    published = factory.build(name, nclass=2).branches.backbone.imagenet
    if published is not None:
        try:
            words = f'starts from ImageNet weights {imagenet.file_of(published, None, 1)[0]}'
            return 'imagenet', words + _not_here(missing)
        except UserError:
            missing.append('ImageNet')
    return 'none', 'starts from random weights' + (_not_here(missing) or ' (none are published for its backbone)')


def _not_here(missing: Sequence[str]) -> str:
    """Say which weights are published and cannot be had."""
    return f' ({" and ".join(missing)} weights are not to be had here: gluon-fg doctor says why)' if missing else ''


class Facts(NamedTuple):
    """What settings depend on.

    counts, frames
        videos of each class (M,); frames of some videos
    videos
        how many there are; None: the sum of `counts`
    dataset
        how the catalog reads their lists
    """

    counts: Sequence[int]
    frames: Sequence[int]
    videos: Optional[int] = None
    dataset: str = 'csv'


def settings_for(choice: Choice, facts: Facts, epochs: Optional[int] = None) -> List[str]:
    """Settings in place of the config's, as `--set` takes them, for so many videos on such a machine.

    Parameters
    ----------
    choice
        the network
    facts
        of the videos and the machine
    epochs
        as asked for; None: the config's, or more where few videos would make too few updates from random weights
    """
    base = load_config(find_config(choice.config))
    videos, spec = facts.videos or int(sum(facts.counts)), factory.setting(choice.model).input_spec
    frames = base.data.frames or spec.frames
    stride = base.data.frame_stride or spec.frame_stride
    batch = max(1, min(base.train.batch_size, max(4, videos // 4), videos))
    if epochs is None:
        needed = -(-LEAST_UPDATES // max(1, videos // batch)) if choice.start == 'none' else 0
        epochs = max(base.train.epochs, min(needed, 10 * base.train.epochs))
    late = sorted({max(1, round(e * epochs / base.train.epochs)) for e in base.train.lr_epochs})
    texts = [
        f'model.name={choice.model}',
        f'data.dataset={facts.dataset}',
        f'data.workers={max(1, min(base.data.workers, os.cpu_count() or 1))}',
        f'train.batch_size={batch}',
        f'train.epochs={epochs}',
        f'train.lr_epochs={[e for e in late if e < epochs] if base.train.schedule == "step" else []}',
        f'train.warmup_epochs={min(base.train.warmup_epochs, epochs / 10):g}',
        'train.checkpoint_steps=50',
    ]
    if choice.start == 'none':  # frozen statistics of random weights let the loss grow without end
        texts.append('train.batch_norm=train')
    typical = int(np.median(facts.frames)) if len(facts.frames) else 0
    if spec.ndim == 3 and spec.sampling != 'spread' and 0 < typical < (frames - 1) * stride + 1:
        texts.append(f'data.frame_stride={max(1, typical // frames)}')
    present = [count for count in facts.counts if count]
    if facts.dataset == 'csv' and max(present) >= UNEVEN * min(present):
        texts.append('train.class_weights=balanced')
    if epochs >= 10:
        texts.append(f'train.early_stop={max(5, epochs // 3)}')
    return texts


def make_config(choice: Choice, settings: Sequence[str], overrides: Sequence[str], root: str) -> Config:
    """The config of a run: the choice's file, settings over it, the user's `--set` over these; lists in `root`.

    Raises
    ------
    UserError
        a setting that cannot be
    """
    path = find_config(choice.config)
    known = registry.model_entry(choice.model).option_defaults
    for key, instead in _INSTEAD.items():
        if any(text.startswith(f'{instead}=') for text in overrides):
            settings = [text for text in settings if not text.startswith(f'{key}=')]
    config = load_config(path, [*settings, *overrides])
    config.model.options = {name: value for name, value in config.model.options.items() if name in known}
    config.data.root = root
    model = config.model
    if (model.start, model.params, model.transfer) == (None,) * 3 and not model.pretrained:
        config.model.start = choice.start
    return config


class Estimate(NamedTuple):
    """Seconds that a run takes: an update, an epoch with its validation, all epochs; and the last evaluation."""

    update: float
    epoch: float
    training: float
    evaluation: float


def estimate(config: Config, evaluated: int, view: Optional[float] = None) -> Estimate:
    """Measure an update of a run, without leaving anything of it, and say what all of them will take.

    Parameters
    ----------
    config
        of the run; its lists must be there
    evaluated
        videos of the evaluation after training
    view
        seconds of a view of a video in that; None: as in validation

    A validation view is taken for a third of a training clip: a forward pass of forward and backward.
    """
    with temporary_folder() as folder, _silent():
        trial = copy.deepcopy(config)
        if config.train.device != 'gpu':
            trial.train.batch_size = min(config.train.batch_size, 2)  # a large network takes minutes for a batch
        run = set_up(trial, Path(folder, 'run'), distributed.World(), False, None)
        state, taken = TrainState(), []
        with contextlib.closing(run.loader.batches(0)) as batches, StopFlag() as stop:
            for _ in range(min(3, len(run.loader))):  # the first one makes the graph
                began = time.perf_counter()
                settle(run, one_update(run, state, 0, batches), stop)
                taken.append(time.perf_counter() - began)
                if stop.set:
                    raise KeyboardInterrupt
                if taken[-1] > 30:
                    break
        clip = min(taken) / trial.train.batch_size
        views = get_protocol(config.test.protocol or run.net.protocol).count(run.train_set.labels)
        videos, validated = len(run.train_set), len(run.val_set)
    update = clip * config.train.batch_size * config.train.accumulate
    epoch = clip * videos + clip / 3 * validated
    return Estimate(
        update, epoch, epoch * config.train.epochs, (clip / 3 if view is None else view) * views * evaluated
    )


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Let the package tell nothing but errors."""
    logger = logging.getLogger('gluon_fg')
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def in_words(seconds: float) -> str:
    """A time as people say it: '40 s', '7 min', '3.5 h'."""
    if seconds < 90:
        return f'{max(1, round(seconds))} s'
    return f'{round(seconds / 60)} min' if seconds < 5400 else f'{seconds / 3600:.1f} h'
