"""Which classes need the order of frames, and which its direction: what reversed, shuffled or frozen frames cost each.

A class has few videos, so that each cost stands with an interval and an exact paired test, whose p-value is corrected
for all classes and alterations that were looked at (Holm).
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import UserError
from ..evaluation.altered import FORWARD, Alteration
from ..evaluation.compare import check_same_videos
from ..evaluation.metrics import correct
from ..evaluation.score import Scores
from ..evaluation.statistics import change_interval, exchange_test, holm
from .reversal import Reversal, reversal

LEVEL = 0.05  # of a test, after correction

# What a class is said to need: the first of the alterations that costs it something decides.
NEEDS = {
    'reversed': 'the direction of time',
    'shuffled': 'the order of frames',
    'frozen': 'several frames, in any order',
}
NONE_SHOWN, TOO_FEW = 'no need shown', 'too few right answers'


class Cost(NamedTuple):
    """What an alteration does to the accuracy on some videos.

    `name`: of the class or group, 'all'; `videos`; `before`, `after`: fractions right as they are, and altered (the
    mean over random orders); `change`: after - before; `low`, `high`: its 95 % interval (`change_interval`); `p_value`:
    `exchange_test`; `sure_before`, `sure_after`: mean probability of the true class (of a group's classes, among them),
    which shows more than right and wrong where videos are few; `p_holm`: corrected for all classes and alterations, NaN
    for groups and 'all'.
    """

    name: str
    videos: int
    before: float
    after: float
    change: float
    low: float
    high: float
    p_value: float
    sure_before: float
    sure_after: float
    p_holm: float = float('nan')


class Probe(NamedTuple):
    """What one kind of alteration does.

    Parameters
    ----------
    kind
        of `evaluation.altered.KINDS`
    orders
        how many random orders of each video were shown; 1 for the other kinds
    whole
        all videos
    classes
        each class with a video
    groups
        each group, by the right class among those of the true group; () without groups
    """

    kind: str
    orders: int
    whole: Cost
    classes: Tuple[Cost, ...]
    groups: Tuple[Cost, ...]


class TimeProbes(NamedTuple):
    """What `time_probes` returns.

    Parameters
    ----------
    model, dataset, protocol
        names, of the videos as they are
    probes
        what each kind of alteration does
    needs
        class -> the one of `NEEDS` that it is shown to have, `NONE_SHOWN` or `TOO_FEW`
    chance
        group -> accuracy within it of who guesses; empty without groups
    reversal
        which classes turn into others when reversed
    """

    model: str
    dataset: str
    protocol: str
    probes: Tuple[Probe, ...]
    needs: Dict[str, str]
    chance: Dict[str, float]
    reversal: Reversal

    def probe(self, kind: str) -> Probe:
        """The probe of a kind; raises KeyError where it was left out."""
        return next(probe for probe in self.probes if probe.kind == kind)


def time_probes(scores: Mapping[Alteration, Scores]) -> TimeProbes:
    """Compare a network's scores of videos as they are with those of the same videos altered.

    Parameters
    ----------
    scores
        of each alteration (`evaluation.altered.alterations`), 'forward' and 'reversed' among them

    Raises
    ------
    UserError
        no video has a label, videos with several labels, or scores that are not of the same videos
    """
    forward = scores[Alteration()]
    kinds: Dict[str, List[Scores]] = {}
    for alteration, altered in scores.items():
        if alteration.kind != FORWARD:
            same = check_same_videos(forward, altered, (FORWARD, alteration.name))
            kinds.setdefault(alteration.kind, []).append(same)
    labels = forward.labels[forward.labels >= 0]
    if not len(labels):
        raise UserError(f'no video of {forward.dataset} has a label, so that no accuracy can change')
    probes = [_probe(kind, forward, altered, labels) for kind, altered in kinds.items()]
    tests = [cost.p_value for probe in probes for cost in probe.classes]
    corrected = iter(holm(tests))
    probes = [p._replace(classes=tuple(c._replace(p_holm=next(corrected)) for c in p.classes)) for p in probes]
    return TimeProbes(
        forward.model,
        forward.dataset,
        forward.protocol,
        tuple(probes),
        _needs(probes, len(tests)),
        _chance(forward),
        reversal(forward, kinds['reversed'][0]),
    )


def _probe(kind: str, forward: Scores, altered: Sequence[Scores], labels: np.ndarray) -> Probe:
    every = _Answers([forward, *altered], 'top1')
    classes = [every.cost(forward.classes[label], labels == label) for label in np.unique(labels)]
    groups = []
    if forward.groups is not None:
        within, of_video = _Answers([forward, *altered], 'within_group'), np.array(forward.groups)[labels]
        groups = [
            within.cost(name, of_video == name) for name in dict.fromkeys(forward.groups) if (of_video == name).any()
        ]
    return Probe(kind, len(altered), every.cost('all', labels >= 0), tuple(classes), tuple(groups))


class _Answers:
    """Which videos are right, and how likely their true class is, as they are and in each of some altered ways."""

    def __init__(self, scores: Sequence[Scores], metric: str):
        self.right = np.array([correct(each, metric) for each in scores])
        self.sure = np.array([_true_probability(each, metric == 'within_group') for each in scores])

    def cost(self, name: str, chosen: np.ndarray) -> Cost:
        """What the altered ways cost some of the videos."""
        before, after = self.right[0, chosen], self.right[1:, chosen]
        changes = after.mean(axis=0) - before
        return Cost(
            name,
            len(before),
            float(before.mean()),
            float(after.mean()),
            float(changes.mean()),
            *change_interval(changes),
            exchange_test(before, after),
            float(self.sure[0, chosen].mean()),
            float(self.sure[1:, chosen].mean()),
        )


def _true_probability(scores: Scores, within: bool) -> np.ndarray:
    """(labeled videos,) probability of the true class, or its share in that of the group's classes."""
    known = scores.labels >= 0
    p, labels = scores.branch()[known].astype(np.float64), scores.labels[known]
    true = p[np.arange(len(labels)), labels]
    if not within:
        return true
    groups = np.array(scores.groups)
    return true / np.maximum((p * (groups[None] == groups[labels][:, None])).sum(axis=1), 1e-300)


def _needs(probes: Sequence[Probe], tests: int) -> Dict[str, str]:
    """What each class is shown to need."""
    by_kind = {probe.kind: {cost.name: cost for cost in probe.classes} for probe in probes}
    needs = {}
    for name, cost in by_kind['reversed'].items():
        shown = [NEEDS[kind] for kind in NEEDS if _costs(by_kind[kind][name])]
        # Could it have been shown at all? Not even if each of its videos that are right were wrong when reversed.
        right = round(cost.before * cost.videos)
        needs[name] = shown[0] if shown else TOO_FEW if 2 * 0.5**right * tests >= LEVEL else NONE_SHOWN
    return needs


def _costs(cost: Cost) -> bool:
    return cost.change < 0 and cost.p_holm < LEVEL


def _chance(scores: Scores) -> Dict[str, float]:
    groups = scores.groups or ()
    return {name: 1 / groups.count(name) for name in dict.fromkeys(groups)}


def as_dict(results: TimeProbes) -> Dict[str, Any]:
    """Give all of it as plain data, ready for JSON."""
    turned = results.reversal
    return {
        'model': results.model,
        'dataset': results.dataset,
        'protocol': results.protocol,
        'probes': {
            probe.kind: {
                'orders': probe.orders,
                'all': _plain(probe.whole),
                'classes': [_plain(cost) for cost in probe.classes],
                'groups': [_plain(cost) for cost in probe.groups],
            }
            for probe in results.probes
        },
        'needs': results.needs,
        'chance_within_group': results.chance,
        'reversed': {
            'classes': list(turned.classes),
            'matrix': turned.matrix.tolist(),
            'turns': [turn._asdict() for turn in turned.turns],
            'swaps': [[first.source, first.target] for first, _ in turned.swaps],
            'same_answer': turned.kept,
            'videos': turned.videos,
        },
    }


def _plain(cost: Cost) -> Dict[str, Optional[float]]:
    return {key: None if value != value else value for key, value in cost._asdict().items()}
