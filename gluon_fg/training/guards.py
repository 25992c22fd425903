"""Guards: what would make hours of training worthless is said before the first update, or once after an epoch.

Each function is one guard. It raises `UserError` where no useful network can come out, and else gives lines for the
user, each said once: facts of the data first, then warnings.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Collection, List, Optional

import numpy as np

from ..data.datasets import VideoDataset
from ..data.features import FeatureDataset
from ..data.list_labels import folder_mismatches
from ..data.overlap import Files, places, same_bytes
from ..data.rates import at_rate
from ..errors import UserError, VideoError, printable
from ..evaluation.score import Scores
from ..input_spec import InputSpec
from .data_facts import check_validation_labels, class_lines, left_out_lines, mirror_lines
from .run import split_of
from .sections import Config, DataConfig

_FILES = 20_000  # videos of a split whose files are compared; of more, the paths alone
_OWN = ('folder', 'image_folder', 'csv', 'multilabel')  # datasets of one's own, whose lists are quickly read
_LOOKED_AT = 8  # videos that are opened to learn how long videos are


def check_data(data: DataConfig, train_set: VideoDataset, val_set: VideoDataset) -> List[str]:
    """All that can be told of two splits before the network is built: lines for the user.

    Raises
    ------
    UserError
        no validation video has a label, all of them are trained on, or labels contradict the folders
    """
    check_validation_labels(val_set)
    lines = class_lines(train_set, val_set)
    lines += left_out_lines(train_set, val_set)
    if data.flip:
        lines += mirror_lines(train_set)
    if not isinstance(train_set, FeatureDataset):  # these were looked at when the features were made
        for dataset in (train_set, val_set):
            lines += folder_lines(dataset)
        lines += overlap_lines(data, train_set, val_set)
    return [printable(line) for line in lines]


def know_targets(config: Config, train_set: VideoDataset, val_set: VideoDataset) -> None:
    """Fill in `data.multi_label` where the dataset decides it.

    Raises
    ------
    UserError
        videos have several labels, and the config says otherwise or asks for what only a single label allows
    """
    data, train = config.data, config.train
    if train_set.targets is not None and data.multi_label is None:
        data.multi_label = True
    if not data.multi_label and (train_set.targets is not None or val_set.targets is not None):
        raise UserError(f'{train_set.name}: its videos have several labels; set data.multi_label=true, or leave it out')
    for key, value, plain in (
        ('data.sampling', data.sampling, 'shuffled'),
        ('train.class_weights', train.class_weights, 'none'),
    ):
        if data.multi_label and value != plain:
            raise UserError(f'{key} is {value}, which needs videos of a single label; set {key}={plain}')


def validation_videos(
    data: DataConfig, train_set: VideoDataset, held_out: Optional[VideoDataset], val_set: VideoDataset
) -> VideoDataset:
    """The videos to validate on: those held out, where the validation split is the training split (a flat folder)."""
    if held_out is None or data.train_split == data.val_split or len(val_set) != len(train_set) + len(held_out):
        return val_set
    same = sorted(places(val_set)) == sorted([*places(train_set), *places(held_out)])
    return held_out if same else val_set


# Files ----------------------------------------------------------------------------------------------------------------


def folder_lines(dataset: VideoDataset) -> List[str]:
    """Compare labels with the folders that the videos lie in, where these are called like classes.

    Raises
    ------
    UserError
        most of these videos lie in the folder of another class than their label says, as with labels counted from 1
    """
    classes = dataset.labels.classes
    if dataset.targets is not None:  # of several labels a folder says at most one
        return []
    compared, wrong = folder_mismatches(dataset)
    if not wrong:
        return []
    record, folder = wrong[0]
    text = (
        f'{dataset.name}: {len(wrong)} of {compared} videos lie in the folder of another class than their label says, '
        f'for example {record.path}: label {record.label} is {classes[record.label]!r}'
    )
    if 2 * len(wrong) > compared:
        shift = [record.label - classes.index(said) for record, said in wrong]
        hint = '; the list counts classes from 1, not from 0' if set(shift) == {1} else f', not {folder!r}'
        raise UserError(f'{text}{hint}; correct the list, or give its classes in order in classes.txt beside it')
    return [f'warning: {text}']


def overlap_lines(data: DataConfig, train_set: VideoDataset, val_set: VideoDataset) -> List[str]:
    """Find videos that are trained on and validated by: the same file by its path, or the same bytes.

    Raises
    ------
    UserError
        all validation videos are training videos, which nobody asked for (`data.val_split` is not `data.train_split`)
    """
    small = max(len(train_set), len(val_set)) <= _FILES
    train, val = (Files.of(dataset, small) for dataset in (train_set, val_set))
    lines = []
    for files, dataset in ((train, train_set), (val, val_set)):
        if files.missing:
            lines.append(
                f'warning: {dataset.name}: {len(files.missing)} of {len(dataset)} videos are not there, for example '
                f'{files.missing[0]}'
            )
        again = len(dataset) - len(files.missing) - len(files.places)
        if again:
            lines.append(
                f'warning: {dataset.name}: {again} of {len(dataset)} videos are listed before, or links to such'
            )
    shared = [place for place in val.places if place in train.places]
    if shared and len(shared) == len(val.places):
        if data.train_split != data.val_split:
            raise UserError(
                f'all {len(val_set)} validation videos are training videos, so that nothing new would be measured: '
                f'split {train_set.root or "them"} into folders train and val, let gluon-fg finetune do so by source '
                'video, or hold a part out with data.hold_out=0.2'
            )
        return [*lines, f'warning: {data.train_split} is the validation split, too: its accuracy is no measure']
    lines += _contradictions(train_set, val_set)
    copies = same_bytes(train, val)
    if shared:
        lines.append(_leak(len(shared), len(val_set), 'are training videos, too', val.places[shared[0]]))
    if copies:
        text = f'have the same bytes as training videos: {copies[0][1]} and {copies[0][0]}'
        lines.append(_leak(len(copies), len(val_set), text, copies[0][1]))
    return lines


def _contradictions(train_set: VideoDataset, val_set: VideoDataset) -> List[str]:
    """Say that the two lists give a video two labels."""
    if train_set.targets is not None or train_set.labels.classes != val_set.labels.classes:
        return []
    classes = train_set.labels.classes
    learned = dict(zip(places(train_set), train_set.records))
    pairs = [(learned.get(place), record) for place, record in zip(places(val_set), val_set.records)]
    other = [(a, b) for a, b in pairs if a is not None and a.label >= 0 and b.label >= 0 and a.label != b.label]
    if not other:
        return []
    first, second = other[0]
    return [
        f'warning: {len(other)} videos have another label in {train_set.name} than in {val_set.name}, for example '
        f'{second.path}: {classes[first.label]!r} and {classes[second.label]!r}'
    ]


def learned_line(config: Optional[Config], videos: VideoDataset, split: str) -> Optional[str]:
    """A warning that a run was trained on videos that it is now tested by; of one's own videos alone, else None.

    Parameters
    ----------
    config
        the run's; None for a network without a run
    videos, split
        what is evaluated
    """
    if config is None or config.data.dataset not in _OWN or split == config.data.train_split:
        return None
    data = dataclasses.replace(config.data, features=None, cache='none')
    try:
        train_set = split_of(dataclasses.replace(config, data=data), data.train_split).parted(data.hold_out)[0]
    except UserError:  # they are no longer there, so that nothing can be compared
        return None
    learned = set(places(train_set))
    count = sum(place in learned for place in places(videos))
    if not count:
        return None
    return f'warning: the run was trained on {count} of these {len(videos)} videos; the accuracy on them is no measure'


def _leak(count: int, total: int, text: str, example: str) -> str:
    shown = '' if example in text else f', for example {example}'
    return f'warning: {count} of {total} validation videos {text}{shown}; the accuracy on them is no measure'


def length_lines(dataset: VideoDataset, spec: InputSpec) -> List[str]:
    """Open a few videos, and say whether they are shorter than what the network takes of a video.

    Raises
    ------
    UserError
        a network on clips, and videos of a single picture each
    """
    if isinstance(dataset, FeatureDataset) or (spec.ndim == 2 and spec.segments == 1):
        return []
    if spec.ndim == 2:
        needed, setting = spec.segments, 'data.segments'
    elif spec.sampling == 'spread':
        needed, setting = spec.frames, 'data.frames'
    else:
        needed, setting = (spec.frames - 1) * spec.frame_stride + 1, 'data.frames or data.frame_stride'
    lengths = []
    for i in np.unique(np.linspace(0, len(dataset) - 1, _LOOKED_AT).astype(int)):
        try:
            with dataset.open(int(i)) as reader:
                lengths.append(max(len(at_rate(reader, spec.fps)) - spec.fields, 0))
        except VideoError:
            continue
    short = [length for length in lengths if length < needed]
    if 2 * len(short) <= len(lengths):
        return []
    if spec.ndim == 3 and max(lengths) == 1:
        raise UserError(
            f'{dataset.name}: the {len(lengths)} videos looked at are single pictures, the network takes clips of '
            f'{spec.frames} frames; choose a model for images (*_custom_images) with data.dataset=image_folder'
        )
    return [
        f'warning: {len(short)} of {len(lengths)} videos looked at ({min(lengths)} to {max(lengths)} frames) are '
        f'shorter than the {needed} frames that the network takes: frames are shown more than once; lower {setting}'
    ]


# Network and results --------------------------------------------------------------------------------------------------


def frozen_lines(batch_norm: str, frozen: int, layers: int) -> List[str]:
    """Say that batch norm learns in spite of `train.batch_norm`: no statistics were loaded that could be kept."""
    if batch_norm == 'train' or frozen:
        return []
    return [
        f'train.batch_norm={batch_norm} keeps nothing: no statistics were loaded, so that '
        f'all {layers} layers learn theirs, as with train.batch_norm=train'
    ]


def check_frozen_stages(freeze: Collection[str], untrained: Collection[str], statistics: Collection[str]) -> None:
    """Refuse to keep stages of the backbone as they are that no weights were loaded into: they would stay random.

    Parameters
    ----------
    freeze
        `train.freeze`
    untrained
        structural names of the parameters that no weights of this task gave a value
    statistics
        structural names of the running means that were loaded
    """
    for stage in freeze:
        of_stage = re.compile(rf'branches\.backbone\.(\w+\.)?{stage}\..*running_mean')  # of each stream, if of several
        means = [name for name in untrained if of_stage.fullmatch(name)]
        if any(name not in statistics for name in means):
            raise UserError(
                f'train.freeze {list(freeze)}: {stage} has random weights, which nothing would change; '
                'leave it out, or set model.start to weights that have it'
            )


SKIPS, LEAST_SCALE = 50, 1.0  # updates in a row that may be left out, and the loss scale that is too small for any use


def check_loss_scale(scale: float, skipped: int, run_dir: Path) -> None:
    """Stop a float16 run whose gradients stay infinite however little its loss is scaled: it learns nothing.

    Parameters
    ----------
    scale
        what the next loss is multiplied with
    skipped
        updates in a row that were left out
    run_dir
        the run's folder

    Raises
    ------
    UserError
        too many updates in a row, or a scale below 1
    """
    if skipped and (skipped >= SKIPS or scale < LEAST_SCALE):
        raise UserError(
            f'float16: the gradients of {skipped} updates in a row were infinite, at a loss scale of {scale:g} by now; '
            f'lower train.lr, set train.clip, or train in float32. The last checkpoint of {run_dir} is from before'
        )


def constant_prediction(scores: Scores) -> Optional[str]:
    """A warning where every labeled video is taken for one class, though they are of several; else None."""
    known = scores.labels >= 0
    predicted, labels = scores.branch()[known].argmax(axis=1), scores.labels[known]
    if len(set(predicted.tolist())) != 1 or len(set(labels.tolist())) < 2:
        return None
    return (
        f'warning: all {len(labels)} validation videos are taken for class {scores.classes[int(predicted[0])]!r}; if '
        'that stays so, check train.lr (too high, or too low), the weights it began with (model.start), and that '
        'labels and videos belong together'
    )


def check_measured(config: Config, scores: Scores) -> None:
    """Refuse to go on where no validation video that has a label can be decoded."""
    if not (scores.labels >= 0).any():
        raise UserError(
            f'none of the labeled videos of split {config.data.val_split} can be decoded ({len(scores.failed)} failed)'
        )
