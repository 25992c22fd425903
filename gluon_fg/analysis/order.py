"""How much a network's answer depends on the order of a clip's frames, against what the frames show."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Sequence

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..data.datasets import VideoDataset
from ..errors import UserError
from ..evaluation.score import check_classes, known_to
from ..evaluation.tables import columns
from ..evaluation.views import dataset_views
from .clips import require_recognizer


class OrderShares(NamedTuple):
    """What shuffled frames do to one network.

    Parameters
    ----------
    title, videos
        what to call the network; how many videos were seen
    shares
        'F5' and other features of the network, averaged over all positions, and 'logits', of the prediction -> the
        share of its variance that is one of order, 0 to 1: see `order_share`
    top1, shuffled
        share of the videos that are right with their frames in order, and in a random one
    """

    title: str
    videos: int
    shares: Dict[str, float]
    top1: float
    shuffled: float


def order_share(responses: np.ndarray) -> float:
    """Return the share of a response's variance that the order of frames makes, 0 to 1.

    The variance over clips and random orders of their frames has two parts: within, the mean over the clips of the
    variance between the orders of one; and between, the variance over clips of what is expected of a clip in a random
    order. Both are unbiased and summed over the response's entries; the share is within / (within + between). It is 0
    where no order is told from another, and 1 where clips differ by nothing but the order of their frames.

    Inputs:
        - **responses**: (clips, orders, entries), two clips and two orders at least
    """
    clips, orders, _ = responses.shape
    if min(clips, orders) < 2:
        raise UserError(f'order needs two clips and two orders of each at least, got {clips} and {orders}')
    values = responses.astype(np.float64)
    within = values.var(axis=1, ddof=1).mean(axis=0).sum()
    between = values.mean(axis=1).var(axis=0, ddof=1).sum() - within / orders
    return float(within / (within + max(between, 0))) if within > 0 else 0.0


def shuffled_responses(
    net: HybridBlock, x: mx.nd.NDArray, orders: Sequence[np.ndarray], label: Optional[mx.nd.NDArray] = None
) -> Dict[str, np.ndarray]:
    """Responses of a network to one clip, its frames in each of some orders.

    Parameters
    ----------
    net
        a recognizer, its parameters loaded
    x
        network input of one video: (1, C, T, H, W), or (segments, C, H, W) of a network on images
    orders
        permutations of the T or `segments` frames
    label
        (1,) the true class, for a network that takes labels

    Returns
    -------
    'F5' and other features, averaged over positions, and 'logits' -> (orders, entries) float32
    """
    axis = 2 if x.ndim == 5 else 0
    index = [mx.nd.array(order, ctx=x.context, dtype='int32') for order in orders]
    batch = mx.nd.concat(*(mx.nd.take(x, order, axis=axis) for order in index), dim=0)
    given = (batch,) if label is None else (batch, mx.nd.repeat(label, len(orders)))
    responses = {}
    for name, volume in net.maps(*given).items():
        if net.map_info[name].kind == 'features':
            values = volume.astype('float32').asnumpy()
            frames = values.mean(axis=tuple(range(2, values.ndim)))
            responses[name] = frames.reshape(len(orders), -1, frames.shape[1]).mean(axis=1)
    responses['logits'] = net.branches(*given)[0].astype('float32').asnumpy()
    return responses


def order_shares(
    net: HybridBlock,
    dataset: VideoDataset,
    title: Optional[str] = None,
    orders: int = 8,
    limit: Optional[int] = None,
    seed: int = 0,
    ctx: Optional[mx.Context] = None,
    progress: bool = False,
) -> OrderShares:
    """Measure one view of each labeled video, in order and in `orders` random ones. Hybridizes the network.

    Parameters
    ----------
    net
        a recognizer, its parameters loaded
    dataset
        videos of its classes
    title
        what to call the network; None: its own name
    orders
        random orders of each video's frames, two at least
    limit
        only the first so many videos of each class
    seed
        of the orders
    ctx
        where the network lies (default: CPU)
    progress
        whether to draw a progress bar

    Raises
    ------
    UserError
        the dataset's classes are not the network's, fewer than two videos or orders, or a network that is no recognizer
    """
    require_recognizer(net)
    dataset = known_to(net, dataset)
    check_classes(net, dataset.labels, dataset.name)
    if orders < 2 or (limit is not None and limit < 1):
        raise UserError(f'orders must be at least 2 and limit at least 1, got {orders} and {limit}')
    seen: Dict[int, int] = {}
    wanted = []
    for i, record in enumerate(dataset.records):
        seen[record.label] = seen.get(record.label, 0) + 1
        if record.label >= 0 and (limit is None or seen[record.label] <= limit):
            wanted.append(i)
    net.hybridize(static_alloc=True, static_shape=True)
    random, frames = np.random.RandomState(seed), max(net.input_spec.frames, net.input_spec.segments)
    of_videos: Dict[str, List[np.ndarray]] = {}
    labels = []
    for batch in dataset_views(dataset, net.input_spec, wanted, ctx, progress=progress):
        every = [np.arange(frames), *(random.permutation(frames) for _ in range(orders))]
        given = mx.nd.array(batch.labels, ctx=batch.x.context) if net.takes_labels else None
        for name, values in shuffled_responses(net, batch.x, every, given).items():
            of_videos.setdefault(name, []).append(values)
        labels.append(int(batch.labels[0]))
    if len(labels) < 2:
        raise UserError(f'{dataset.name} has {len(labels)} labeled videos that can be read; order needs two at least')
    responses = {name: np.stack(values) for name, values in of_videos.items()}  # (videos, 1 + orders, entries)
    right = responses['logits'].argmax(axis=2) == np.array(labels)[:, None]
    shares = {name: order_share(values[:, 1:]) for name, values in responses.items()}
    return OrderShares(
        title or str(net.name), len(labels), shares, float(right[:, 0].mean()), float(right[:, 1:].mean())
    )


def format_order_shares(networks: Sequence[OrderShares]) -> str:
    """A table, a row for each network; in percent."""
    names = sorted({name for network in networks for name in network.shares}, key=lambda name: (name == 'logits', name))
    rows = [
        [
            network.title,
            *(f'{100 * network.shares[name]:.1f}' if name in network.shares else '-' for name in names),
            f'{100 * network.top1:.1f}',
            f'{100 * network.shuffled:.1f}',
        ]
        for network in networks
    ]
    head = ['network', *(f'order in {name}, %' for name in names), 'top-1, %', 'shuffled, %']
    return columns(head, rows)
