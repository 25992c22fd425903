"""Late fusion: one prediction from the scores of several networks, such as the streams of RGB and optical flow.

The streams of a two-stream network are trained apart. Two ways to make one prediction of them are in use:

- the weighted mean of their softmax scores (Simonyan and Zisserman 2014; Zhao et al., table VI)
- the softmax of the weighted sum of their logits: Carreira and Zisserman's own code adds them (kinetics-i3d,
  evaluate_sample.py), and TSN fuses "before Softmax normalization" (Wang et al. 2016, sec. 4.3; weights 1 and 1.5)

**Logits of a video of several views** are their mean over the views, which its probabilities, a mean of softmaxes, do
not tell: a score file keeps both. Of one view log-probabilities are the logits but for a constant, which no softmax
sees: so they stand in where a file has none, exact for a protocol of one view, and else another way to merge views.
The logits of a network whose own prediction is a mean of several softmaxes are that mean's logarithm.
"""

from __future__ import annotations

import math
from typing import List, Optional, Sequence

import numpy as np

from ..errors import UserError, unknown
from .compare import check_same_videos
from .score import Scores

WAYS = ('probabilities', 'logits')


def fuse_scores(
    scores: Sequence[Scores],
    weights: Optional[Sequence[float]] = None,
    names: Optional[Sequence[str]] = None,
    on: str = 'probabilities',
    files: Optional[Sequence[str]] = None,
) -> Scores:
    """One prediction of several networks by late fusion; their own ones stay beside it as branches.

    Parameters
    ----------
    scores
        two or more, of the same videos in any order
    weights
        of each, 0 or more; None: all the same, 1. Of probabilities they are divided by their sum; of logits they are
        factors, so that twice as large ones make surer predictions of the same order
    names
        of the branches; None: the models', numbered where two are the same
    on
        'probabilities': the weighted mean of the networks' predictions; 'logits': the softmax (sigmoid where videos
        have several labels) of the weighted sum of their logits
    files
        what errors call the scores; None: by their names

    Returns
    -------
    Scores with the branches 'fused', 'fused on logits' (or 'fused on probabilities': the other way) and one for each
    network, its own prediction; its logits are the weighted sum

    Raises
    ------
    UserError
        fewer than two, other videos, classes or labels, weights or names that do not fit, or an unknown way
    """
    if on not in WAYS:
        raise unknown('way to fuse (--on)', on, WAYS)
    if len(scores) < 2:
        raise UserError(f'fusing takes the scores of two networks or more, got {len(scores)}')
    weights = [1.0] * len(scores) if weights is None else list(weights)
    if len(weights) != len(scores) or not all(0 <= w < math.inf for w in weights) or not sum(weights):
        raise UserError(f'weights {weights}: give {len(scores)} numbers of 0 or more, not all of them 0')
    names = _different([s.model for s in scores]) if names is None else list(names)
    other = f'fused on {WAYS[on == "probabilities"]}'
    if len(names) != len(scores) or len({'fused', other, *names}) != len(names) + 2:
        raise UserError(f'names {", ".join(names)}: give {len(scores)} different ones, none of them fused')
    called, first = list(files or names), scores[0]
    pairs = zip(called[1:], scores[1:])
    same = [first, *(check_same_videos(first, further, (called[0], name)) for name, further in pairs)]
    each = np.stack([s.branch() for s in same], axis=1).astype(np.float64)
    share = np.array(weights)[:, None]
    logits = (np.stack([logits_of(s) for s in same], axis=1) * share).sum(axis=1)
    fused = {'probabilities': (each * share).sum(axis=1) / sum(weights), 'logits': _to_probabilities(logits, first)}
    branches = [fused.pop(on), *fused.values(), *each.transpose(1, 0, 2)]
    return Scores(
        first.ids,
        first.labels,
        np.stack(branches, axis=1).astype(np.float32),
        ('fused', other, *names),
        first.classes,
        first.groups or next((s.groups for s in same if s.groups), None),
        ' + '.join(dict.fromkeys(s.protocol for s in same)),
        first.failed,
        ' + '.join(s.model for s in same),
        first.dataset,
        first.targets,
        None if any(s.logits is None for s in same) else logits.astype(np.float32),
    )


def logits_of(scores: Scores) -> np.ndarray:
    """(N, M) float64, the logits of the prediction; where none are kept, log-probabilities (log-odds of several labels)
    stand in, which are the logits but for a constant where a video has a single view.
    """
    if scores.logits is not None:
        return np.maximum(scores.logits.astype(np.float64), -1e30)  # finite, so that a weight of 0 leaves nothing
    p = np.clip(scores.branch().astype(np.float64), np.finfo(np.float32).tiny, 1 - 1e-12)
    return np.log(p) if scores.targets is None else np.log(p) - np.log1p(-p)


def notes(scores: Sequence[Scores], files: Sequence[str]) -> List[str]:
    """Say in a line each what is not wrong, but makes fused scores other than they might be taken for."""
    first, lines = scores[0], []
    for file, other in list(zip(files, scores))[1:]:
        if other.protocol != first.protocol:
            lines.append(
                f'{files[0]} was scored by {first.protocol}, {file} by {other.protocol}; '
                f'gluon-fg evaluate --protocol {first.protocol} scores the second as the first'
            )
            break
    without = [file for file, s in zip(files, scores) if s.logits is None]
    if without:
        more = f' and {len(without) - 1} more' if without[1:] else ''
        lines.append(
            f'{without[0]}{more} has no logits: log-probabilities stand in, the same where a video has one view; '
            f'gluon-fg evaluate writes both'
        )
    return lines


def _to_probabilities(logits: np.ndarray, scores: Scores) -> np.ndarray:
    """Softmax, or sigmoid where videos have several labels."""
    if scores.targets is not None:
        return 1 / (1 + np.exp(-np.clip(logits, -700, 700)))
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def _different(models: Sequence[str]) -> List[str]:
    counts = {model: models.count(model) for model in models}
    return [f'{model} {i}' if counts[model] > 1 else model for i, model in enumerate(models, 1)]
