"""What recognizers say of themselves, so that training, analysis and pictures need no knowledge of a method."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, FrozenSet, Iterator, NamedTuple, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np


@dataclasses.dataclass(frozen=True)
class Trunk:
    """Describes what every recognizer is built over: a backbone and the classifier of its pooled features.

    Parameters
    ----------
    backbone
        name in `gluon_fg.backbones.BACKBONES`
    nclass
        number of classes, M
    dropout
        share of pooled features dropped before the classifiers in training
    temporal_downsample
        I3D ResNets only: by how much time is reduced, 4 or 8; None: the backbone's own 4
    num_segments
        images only: frames of one video in a view; networks on clips take 1
    head_std
        standard deviation of the classifiers' initial weights
    """

    backbone: str
    nclass: int
    dropout: float = 0.5
    temporal_downsample: Optional[int] = None
    num_segments: int = 1
    head_std: float = 0.01


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """Options of a method that has none."""


class MapInfo(NamedTuple):
    """Describes a volume that a network can show: its features, or a mask over them.

    Parameters
    ----------
    kind
        'features': (N, C, T, H, W); 'mask': one channel a class, (N, M, T, H, W); 'gate': one channel that features
        are multiplied with, (N, 1, T, H, W). On images the frames take the place of N, and T is missing
    directions
        names of the equal parts, one behind the other in time, that the volume consists of; () for a plain volume
    """

    kind: str
    directions: Tuple[str, ...] = ()


class FeatureKind(NamedTuple):
    """Features that a classifier of the network reads.

    Parameters
    ----------
    name
        what tables and files call them
    branch
        the branch whose logits are made of them; None: the fused prediction
    maps
        names of the maps (`Recognizer.map_info`) whose channels, side by side, they are
    """

    name: str
    branch: Optional[str]
    maps: Tuple[str, ...]


class ClassRelation(NamedTuple):
    """How a network relates its classes to each other.

    Parameters
    ----------
    name
        what the method's paper calls the matrix
    matrix
        (M, M) float64, 0 to 1, with a diagonal of 1: column i holds how much each class counts where i is predicted
    counted
        name of the file in a run's folder that has the similarities which training made it of
    """

    name: str
    matrix: np.ndarray
    counted: str = ''


class TimeKernels(NamedTuple):
    """What one layer's convolutions over time, of a clip as a whole, have learned.

    Parameters
    ----------
    title
        which layer it is, in words
    weights
        (C, T', T) float32: what output t' of channel c takes of frame t, in the order of the clip's frames
    seen
        (T', T) bool: which frames each output may see
    """

    title: str
    weights: np.ndarray
    seen: np.ndarray


class PrepareContext(NamedTuple):
    """What a training run offers to a method that makes something of the training set before the first update.

    All callables are collective: every rank of the job calls them, in the same order.

    Parameters
    ----------
    untrained
        structural names of the parameters that no loaded weights gave a value
    class_names
        names of the classes, in the order of the logits
    training_batches
        () -> iterator over this rank's share of the labeled training videos that can be decoded, one view of each, as
        in testing, in batches: (x ready for the network, labels (videos,)). It ends the run, resumable, when that is
        asked to stop
    validation
        branch name -> (probabilities (videos, M), labels (videos,)) of the network as the run starts it; measured once
    add_over_ranks
        float64 array -> the ranks' sum of it
    say
        takes a line for the user
    record
        (event, **values) -> a record of the run's log
    save
        (file name, **arrays) -> a compressed .npz in the run's folder
    held_out
        as `validation`, of the training videos that are set apart (`data.hold_out`), which `training_batches` leaves
        out; None where none are
    """

    untrained: FrozenSet[str]
    class_names: Sequence[str]
    training_batches: Callable[[], Iterator[Tuple[mx.nd.NDArray, np.ndarray]]]
    validation: Callable[[str], Tuple[np.ndarray, np.ndarray]]
    add_over_ranks: Callable[[np.ndarray], np.ndarray]
    say: Callable[[str], None]
    record: Callable[..., None]
    save: Callable[..., Any]
    held_out: Optional[Callable[[str], Tuple[np.ndarray, np.ndarray]]] = None
