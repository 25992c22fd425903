"""Whether a network needs what it is said to look at: places are covered, and its answer is read again.

For each source of evidence (`evidence.py`) and each video:

- deletion and insertion curves (Petsiuk et al. 2018, arXiv:1806.07421): pixels of the clip are covered from the most
  important on, or appear on a blurred clip, and the probability of the class is read at each step. Where the evidence
  is right the area under the curve is small for deletion, large for insertion;
- covers: squares around the peak of each moment of the maps; the one of the strongest moment alone; and everything but
  the squares of all moments. They are equally large for all sources, so that their effects can be compared.

What is ours: a clip is one volume of pixels in space and time, each frame's importance is linear between the moments of
the maps, and both measures are set beside those of a random source and of one that always says the middle, video by
video. The clip is the middle one, whole frames; what is covered shows its mean color, or a blurred copy of it.
"""

from __future__ import annotations

import logging
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock
from tqdm import tqdm

from ..data.datasets import VideoDataset
from ..deploy.predictor import Computation
from ..errors import UserError, VideoError
from ..evaluation.score import check_classes, known_to
from .place_prober import TRUTH, Probe, ProbeOptions, Prober

logger = logging.getLogger(__name__)

Truth = Mapping[str, Sequence]


class PlaceProbes(NamedTuple):
    """Probes of some videos.

    Parameters
    ----------
    title, classes, groups
        what to call the network; names of its classes, and of the group of each (None: they have none)
    options
        how they were probed
    indices, paths, labels, targets
        of each video: position in the dataset, path, true class, and the class that was probed
    whole
        (N, 2) probability and logit of that class for the whole clip
    probes
        by source; 'truth' first where it is known, the last two are the baselines
    """

    title: str
    classes: Tuple[str, ...]
    groups: Optional[Tuple[str, ...]]
    options: ProbeOptions
    indices: np.ndarray
    paths: List[str]
    labels: np.ndarray
    targets: np.ndarray
    whole: np.ndarray
    probes: Dict[str, Probe]


def place_probes(
    net: HybridBlock,
    dataset: VideoDataset,
    options: Optional[ProbeOptions] = None,
    truth: Optional[Truth] = None,
    title: Optional[str] = None,
    limit: Optional[int] = None,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 8,
    execution: Optional[Computation] = None,
    progress: bool = False,
) -> PlaceProbes:
    """Cover places of each labeled video and read the network's answer again. Hybridizes the network.

    Parameters
    ----------
    net
        a recognizer, its parameters loaded
    dataset
        videos of its classes; those that cannot be decoded are logged and left out
    options
        how; None: as `ProbeOptions` has it
    truth
        boxes of the true detail by path of a record (`data.synthfg.read_truth`), which make a further source, 'truth';
        videos without a box in the clip are then left out
    title
        what to call the network; None: its own name
    limit
        only the first so many videos of each class
    ctx, batch_size, execution
        where the network lies (default: CPU); clips in a forward pass; what computes them (None: its own graph)
    progress
        whether to draw a progress bar

    Raises
    ------
    UserError
        a source that the network does not have, one that takes true labels, classes that are not its own, no video
    """
    options = options or ProbeOptions()
    prober = Prober(net, options, execution, batch_size, ctx)
    dataset = known_to(net, dataset)
    labels = check_classes(net, dataset.labels, dataset.name)
    wanted, rows = probed_videos(dataset, limit, truth), []
    for index in tqdm(wanted, unit='video', disable=not progress):
        record = dataset.records[index]
        label = record.label if options.target == 'true' else None
        boxes = () if truth is None else truth.get(record.path, ())
        try:
            with dataset.open(index) as reader:
                row = prober(reader, label, boxes, index)
        except VideoError as error:
            logger.warning('left out: %s', error)
            continue
        if truth is not None and TRUTH not in row.places:
            logger.warning('left out: %s has no box of the true detail in the frames that are seen', record.path)
            continue
        rows.append((index, row))
    if not rows:
        raise UserError(f'none of the {len(wanted)} videos of {dataset.name} can be probed')
    names = tuple(rows[0][1].places)
    stacked = {
        name: Probe(*(np.stack(parts) for parts in zip(*(row.places[name] for _, row in rows)))) for name in names
    }
    indices = np.array([index for index, _ in rows])
    records = [dataset.records[index] for index in indices]
    return PlaceProbes(
        title or str(net.name),
        labels.classes,
        labels.groups,
        options,
        indices,
        [record.path for record in records],
        np.array([record.label for record in records]),
        np.array([row.target for _, row in rows]),
        np.stack([row.whole for _, row in rows]),
        stacked,
    )


def probed_videos(dataset: VideoDataset, limit: Optional[int] = None, truth: Optional[Truth] = None) -> List[int]:
    """Positions of the labeled videos, of each class the first `limit`; with `truth` only those with a box."""
    if limit is not None and limit < 1:
        raise UserError(f'limit must be at least 1, got {limit}')
    taken: Dict[int, int] = {}
    chosen = []
    for index, record in enumerate(dataset.records):
        if record.label < 0 or (truth is not None and not truth.get(record.path)):
            continue
        taken[record.label] = taken.get(record.label, 0) + 1
        if limit is None or taken[record.label] <= limit:
            chosen.append(index)
    if not chosen:
        box = ' and a box of the true detail' if truth is not None else ''
        raise UserError(f'{dataset.name} has no video with a label{box}')
    return chosen
