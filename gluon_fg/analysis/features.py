"""The features that a network's classifiers read, video by video, for what compares classes by them."""

from __future__ import annotations

import contextlib
import logging
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np
from tqdm import tqdm

from ..data.datasets import VideoDataset
from ..data.labels import LabelSet
from ..data.loader import ordered_map
from ..data.transforms import to_input
from ..errors import UserError, VideoError
from ..evaluation.protocol import get_protocol
from ..evaluation.score import check_classes

logger = logging.getLogger(__name__)


class Kind(NamedTuple):
    """One kind of features.

    Parameters
    ----------
    name
        'features', the backbone's last; of U2S networks 'universal' (X_U), 'specific' (X_C behind its gate) and 'U2S',
        the channels of both
    branch
        the prediction that is made of them; None: the fused one
    """

    name: str
    branch: Optional[str]


class VideoFeatures(NamedTuple):
    """A video's features: its place in the dataset, its label, and (C, positions) float32 of each kind."""

    index: int
    label: int
    values: Tuple[np.ndarray, ...]


def feature_kinds(net) -> List[Kind]:
    """The kinds of features that a network has.

    Raises
    ------
    UserError
        a network that has no backbone of ours
    """
    if getattr(getattr(net, 'branches', None), 'backbone', None) is None:
        name = getattr(net, 'name', 'this network')
        raise UserError(f'{name} has no backbone of ours, so there are no features to read; choose from list_models()')
    if _is_u2s(net):
        universal = Kind('universal', 'universal')
        # Without a mask network nothing gates X_C, and `feature_maps` has nothing to give.
        return [universal] if net.csm is None else [universal, Kind('specific', 'specific'), Kind('U2S', None)]
    return [Kind('features', None)]


def video_features(
    net,
    dataset: VideoDataset,
    labels: Optional[Sequence[int]] = None,
    ctx: Optional[mx.Context] = None,
    workers: int = 2,
    progress: bool = False,
) -> Iterator[VideoFeatures]:
    """One view of each labelled video of a dataset (protocol 'train_time'). Hybridizes the network.

    Videos that cannot be decoded are logged and left out.

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
        the dataset's classes are not the network's, no video is left, features that are not finite, or a network
        without features
    """
    kinds, ctx, spec, protocol = feature_kinds(net), ctx or mx.cpu(), net.input_spec, get_protocol('train_time')
    known: LabelSet = check_classes(net, dataset.labels, dataset.name)
    wanted = [i for i, r in enumerate(dataset.records) if r.label >= 0 and (labels is None or r.label in labels)]
    if not wanted:
        raise UserError(f'{dataset.name} has no labelled video' + (' of these classes' if labels is not None else ''))
    net.hybridize(static_alloc=True, static_shape=True)

    def view(index):
        try:
            with dataset.open(index) as reader:
                views, _ = protocol.views(reader, spec, known)
        except VideoError as error:
            return index, error
        return index, views[0]

    left = 0
    views = ordered_map(view, wanted, workers, prefetch=max(workers, 2))
    with contextlib.closing(views), tqdm(total=len(wanted), unit='video', disable=not progress) as bar:
        for index, seen in views:
            bar.update()
            if isinstance(seen, VideoError):
                logger.warning('left out: %s', seen)
                continue
            label = dataset.records[index].label
            x = to_input(seen[None] if spec.ndim == 3 else seen, spec, ctx)
            values = tuple(_positions(f) for f in _features(net, x, label, len(kinds)))
            if not all(np.isfinite(v).all() for v in values):
                raise UserError(
                    f'{net.name}: its features are not finite; are these the parameters of a run that diverged?'
                )
            left += 1
            yield VideoFeatures(index, label, values)
    if not left:
        raise UserError(f'none of the {len(wanted)} videos of {dataset.name} can be decoded')


def _is_u2s(net) -> bool:
    return 'universal' in getattr(net, 'branch_names', ()) and hasattr(net, 'universal')


def _features(net, x, label: int, kinds: int) -> List[mx.nd.NDArray]:
    if not _is_u2s(net):
        return [net.branches.backbone(x)[3]]
    if kinds == 1:
        return [net.universal(x)[0]]
    given = (mx.nd.array([label], ctx=x.context),) if net.takes_labels else ()
    x_u, _, x_c = net.feature_maps(x, *given)
    return [x_u, x_c, mx.nd.concat(x_u, x_c, dim=1)]


def _positions(features: mx.nd.NDArray) -> np.ndarray:
    """(1, C, T, H, W), or (frames, C, H, W) of one video -> (C, positions) float32."""
    values = features.astype('float32').asnumpy()
    return np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)
