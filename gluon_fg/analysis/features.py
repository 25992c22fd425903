"""The features that a network's classifiers read, video by video, for what compares classes by them."""

from __future__ import annotations

from typing import Iterator, NamedTuple, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..data.datasets import VideoDataset
from ..errors import UserError
from ..evaluation.score import check_classes, known_to
from ..evaluation.views import dataset_views
from .clips import require_recognizer


class VideoFeatures(NamedTuple):
    """A video's features: the number of its record in the dataset, its label, (C, positions) float32 of each kind."""

    record: int
    label: int
    values: Tuple[np.ndarray, ...]


def video_features(
    net: HybridBlock,
    dataset: VideoDataset,
    labels: Optional[Sequence[int]] = None,
    ctx: Optional[mx.Context] = None,
    workers: int = 2,
    progress: bool = False,
) -> Iterator[VideoFeatures]:
    """Each kind of a network's features (`Recognizer.feature_kinds`) for one view of each labeled video.

    Views are those of protocol 'train_time'. Videos that cannot be decoded are logged and left out. Hybridizes the
    network.

    Parameters
    ----------
    net
        a recognizer, its parameters loaded
    dataset
        videos of its classes
    labels
        only videos of these classes; None: of all
    ctx
        where the network lies (default: CPU)
    workers
        threads that decode ahead
    progress
        whether to draw a progress bar

    Raises
    ------
    UserError
        the dataset's classes are not the network's, no video is left, features that are not finite, or a network that
        is no recognizer
    """
    require_recognizer(net)
    dataset = known_to(net, dataset)
    check_classes(net, dataset.labels, dataset.name)
    wanted = [i for i, r in enumerate(dataset.records) if r.label >= 0 and (labels is None or r.label in labels)]
    if not wanted:
        raise UserError(f'{dataset.name} has no labeled video' + (' of these classes' if labels is not None else ''))
    net.hybridize(static_alloc=True, static_shape=True)
    empty = True
    for batch in dataset_views(dataset, net.input_spec, wanted, ctx, workers=workers, progress=progress):
        label = int(batch.labels[0])
        given = mx.nd.array([label], ctx=batch.x.context) if net.takes_labels else None
        values = tuple(_positions(features) for features in net.features(batch.x, given))
        if not all(np.isfinite(v).all() for v in values):
            raise UserError(
                f'{net.name}: its features are not finite; are these the parameters of a run that diverged?'
            )
        empty = False
        yield VideoFeatures(int(batch.indices[0]), label, values)
    if empty:
        raise UserError(f'none of the {len(wanted)} videos of {dataset.name} can be decoded')


def _positions(features: mx.nd.NDArray) -> np.ndarray:
    """(1, C, T, H, W), or (frames, C, H, W) of one video -> (C, positions) float32."""
    values = features.astype('float32').asnumpy()
    return np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)
