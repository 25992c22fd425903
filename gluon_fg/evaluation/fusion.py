"""Late fusion: one prediction from the scores of several networks, such as the streams of RGB and optical flow.

Two-stream networks (Simonyan and Zisserman 2014) are trained apart and their softmax scores averaged; Zhao et al.
report the rows of RGB with flow so (table VI).
"""

from __future__ import annotations

import math
from typing import List, Optional, Sequence

import numpy as np

from ..errors import UserError
from .compare import check_same_videos
from .score import Scores


def fuse_scores(
    scores: Sequence[Scores], weights: Optional[Sequence[float]] = None, names: Optional[Sequence[str]] = None
) -> Scores:
    """The weighted mean of the networks' predictions, which stay beside it as branches.

    Parameters
    ----------
    scores
        two or more, of the same videos in any order
    weights
        of each, 0 or more; None: all the same. They are divided by their sum
    names
        of the branches; None: the models', numbered where two are the same

    Returns
    -------
    Scores with the branches 'fused' and one for each network, its own prediction

    Raises
    ------
    UserError
        fewer than two, other videos, classes or labels, or weights or names that do not fit
    """
    if len(scores) < 2:
        raise UserError(f'fusing takes the scores of two networks or more, got {len(scores)}')
    weights = [1.0] * len(scores) if weights is None else list(weights)
    if len(weights) != len(scores) or not all(0 <= w < math.inf for w in weights) or not sum(weights):
        raise UserError(f'weights {weights}: give {len(scores)} numbers of 0 or more, not all of them 0')
    names = _different([s.model for s in scores]) if names is None else list(names)
    if len(names) != len(scores) or len({'fused', *names}) != len(names) + 1:
        raise UserError(f'names {", ".join(names)}: give {len(scores)} different ones, none of them fused')
    first = scores[0]
    same = [first, *(check_same_videos(first, other, (names[0], name)) for name, other in zip(names[1:], scores[1:]))]
    each = np.stack([s.branch() for s in same], axis=1).astype(np.float64)
    share = np.array(weights) / sum(weights)
    fused = (each * share[:, None]).sum(axis=1)
    protocols = dict.fromkeys(s.protocol for s in same)
    return Scores(
        first.ids,
        first.labels,
        np.concatenate([fused[:, None], each], axis=1).astype(np.float32),
        ('fused', *names),
        first.classes,
        first.groups or next((s.groups for s in same if s.groups), None),
        ' + '.join(protocols),
        first.failed,
        ' + '.join(s.model for s in same),
        first.dataset,
        first.targets,
    )


def _different(models: Sequence[str]) -> List[str]:
    counts = {model: models.count(model) for model in models}
    return [f'{model} {i}' if counts[model] > 1 else model for i, model in enumerate(models, 1)]
