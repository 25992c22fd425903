"""Two score files of the same videos: is the difference more than chance, and where does it come from?"""

from __future__ import annotations

import dataclasses
from typing import AbstractSet, List, Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np

from ..errors import UserError
from .metrics import confusion, correct, per_group
from .score import Scores
from .statistics import mcnemar, paired_interval
from .tables import columns, percent

Branch = Union[str, int, None]


class Paired(NamedTuple):
    """How A and B differ in one metric on the same videos.

    `a`, `b`: fractions; `difference`: b - a; `low`, `high`: its 95 % interval (bootstrap over videos); `only_a`,
    `only_b`: videos that A alone, B alone has right; `p_value`: exact McNemar test, two-sided.
    """

    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    only_a: int
    only_b: int
    p_value: float


class Comparison(NamedTuple):
    """What `compare` returns: the number of `videos` with a label, `metrics` (Paired), `groups` and `pairs` (dicts)."""

    videos: int
    metrics: List[Paired]
    groups: List[dict]
    pairs: List[dict]


def check_same_videos(a: Scores, b: Scores, names: Tuple[str, str] = ('A', 'B')) -> Scores:
    """Bring the videos of `b` into `a`'s order, if they are the same videos.

    Raises
    ------
    UserError
        other classes, other videos (a video that failed in one file only is another video), or another label for one;
        it names the first that differs, and the command that mends it
    """
    if a.fingerprint != b.fingerprint:
        place = next(
            (f'number {i} is {x!r} and {y!r}' for i, (x, y) in enumerate(zip(a.classes, b.classes)) if x != y),
            f'{len(a.classes)} and {len(b.classes)} of them',
        )
        raise UserError(
            f'{names[0]} and {names[1]} have other classes: {place}; choose scores of the same dataset, not of '
            f'{a.dataset} and {b.dataset}: gluon-fg evaluate --dataset NAME'
        )
    where = {name: i for i, name in enumerate(b.ids)}
    missing, extra = [i for i in a.ids if i not in where], sorted(set(b.ids) - set(a.ids))
    if missing or extra:
        parts = [
            f'{len(ids)} only in {name}, first {ids[0]}{_why_not(ids[0], other)}'
            for ids, name, other in ((missing, names[0], b), (extra, names[1], a))
            if ids
        ]
        raise UserError(
            f'{names[0]} ({len(a.ids)} videos) and {names[1]} ({len(b.ids)}) are not of the same videos: '
            f'{"; ".join(parts)}; {_same_split(a, b)}'
        )
    order = np.array([where[name] for name in a.ids])
    other = np.flatnonzero(b.labels[order] != a.labels)
    if len(other):
        i = int(other[0])
        raise UserError(
            f'{a.ids[i]} has label {a.labels[i]} in {names[0]} and {b.labels[order][i]} in {names[1]}; '
            f'choose scores made from one list'
        )
    targets = None if b.targets is None else b.targets[order]
    known = [array for array in (a.targets, targets) if array is not None]
    if known and not (len(known) == 2 and np.array_equal(known[0], known[1])):
        raise UserError(f'{names[0]} and {names[1]} have other sets of labels; choose scores made from one list')
    return dataclasses.replace(
        b,
        ids=a.ids,
        labels=a.labels,
        probabilities=b.probabilities[order],
        targets=targets,
        logits=None if b.logits is None else b.logits[order],
        seconds=None if b.seconds is None else b.seconds[order],
    )


def _why_not(video: str, scores: Scores) -> str:
    """Why a video is not among the scored ones, where that is known."""
    return f' (it failed in the other: {scores.failed[video]})' if video in scores.failed else ''


def _same_split(a: Scores, b: Scores) -> str:
    if a.dataset == b.dataset:
        return f'mend or leave out those videos, and score {a.dataset} again with gluon-fg evaluate'
    return f'choose scores of the same split, not of {a.dataset} and {b.dataset}: gluon-fg evaluate --split NAME'


def compare(
    a: Scores,
    b: Scores,
    branch_a: Branch = None,
    branch_b: Branch = None,
    names: Tuple[str, str] = ('A', 'B'),
    pairs: int = 10,
    seed: int = 0,
    draws: int = 10_000,
    members: Optional[Mapping[str, AbstractSet[int]]] = None,
) -> Comparison:
    """Compare two networks on the same videos: how much better is B, and may that be chance?

    Parameters
    ----------
    a, b
        scores of the same videos, in any order; A is the reference
    branch_a, branch_b
        which branch of each; None is the fused prediction
    names
        what to call them in errors
    pairs
        how many most confused pairs of classes to list
    seed, draws
        of the bootstrap
    members
        labels of the classes of each group, where groups overlap; None: the groups of the classes

    Raises
    ------
    UserError
        the files are not of the same videos, classes and labels; no video has a label; unknown branch
    """
    b = check_same_videos(a, b, names)
    videos = int((a.labels >= 0).sum())
    if not videos:
        raise UserError(f'no video of {names[0]} has a label, so there is nothing to compare')
    results = []
    for metric in ('top1', 'top5') + (('within_group',) if a.groups and b.groups else ()):
        results.append(paired(metric, correct(a, metric, branch_a), correct(b, metric, branch_b), seed, draws))
    return Comparison(
        videos, results, group_gains(a, b, branch_a, branch_b, members), confused_pairs(a, b, branch_a, branch_b, pairs)
    )


def paired(metric: str, right_a: np.ndarray, right_b: np.ndarray, seed: int = 0, draws: int = 10_000) -> Paired:
    """Compare which videos two networks have right, (N,) bool each; `seed` and `draws` are of the bootstrap."""
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    low, high = paired_interval(right_a, right_b, seed, draws)
    difference, p_value = (only_b - only_a) / len(right_a), mcnemar(only_a, only_b)
    means = float(right_a.mean()), float(right_b.mean())
    return Paired(metric, *means, difference, low, high, only_a, only_b, p_value)


def describe(result: Paired, videos: int, names: Tuple[str, str] = ('A', 'B')) -> List[str]:
    """Say in whole sentences what a comparison on these videos shows, and what it does not."""
    first, second = names
    gain, differ = result.only_b - result.only_a, result.only_a + result.only_b
    if not differ:
        return [f'{first} and {second} are right on the very same of {videos} videos.']
    count = (
        f'on {abs(gain)} {"more" if gain > 0 else "fewer"} of {videos} videos than' if gain else 'on as many videos as'
    )
    lines = [
        f'{second} is right {count} {first}: it alone is right on {result.only_b}, {first} alone on {result.only_a}.',
        f'On other videos of this kind the difference would be between {percent(result.low, True)} and '
        f'{percent(result.high, True)} points (95 % interval).',
    ]
    test = f'p = {result.p_value:.2g} by the exact McNemar test'
    if result.p_value < 0.05:
        better = second if gain > 0 else first
        chance = f'{100 * result.p_value:.2g} %' if result.p_value >= 1e-4 else 'less than 0.01 %'
        lines.append(
            f'Were neither better, a difference as large would come up in {chance} of such tests ({test}): these '
            f'weights of {better} are better on such videos.'
        )
        return lines
    needed = next((n for n in range(differ // 2 + 1, differ + 1) if mcnemar(differ - n, n) < 0.05), None)
    enough = f'of the {differ} videos on which they differ it would take {needed} for one of them'
    none = f'they differ on {differ} videos alone, which could not show it however they fell'
    return [*lines, f'These videos do not show which is better ({test}): {enough if needed else none}.']


def group_gains(
    a: Scores,
    b: Scores,
    branch_a: Branch = None,
    branch_b: Branch = None,
    members: Optional[Mapping[str, AbstractSet[int]]] = None,
) -> List[dict]:
    """List how each group's accuracy changes from A to B, the largest gain first (DFB table 2).

    Dicts with `name`, `videos`, `a`, `b` (mean of its classes' top-1), `gain`, `within_a`, `within_b` (accuracy within
    the group); empty without groups. `members` as for `compare`.
    """
    if members is not None:
        rows = []
        for name, labels in members.items():
            groups = tuple(name if label in labels else '' for label in range(len(a.classes)))
            first, second = (dataclasses.replace(scores, groups=groups) for scores in (a, b))
            rows += [row for row in group_gains(first, second, branch_a, branch_b) if row['name'] == name]
        return sorted(rows, key=lambda row: -row['gain'])
    if not (a.groups and b.groups):
        return []
    rows = [
        {
            'name': x['name'],
            'videos': x['videos'],
            'a': x['top1'],
            'b': y['top1'],
            'gain': y['top1'] - x['top1'],
            'within_a': x['within_group'],
            'within_b': y['within_group'],
        }
        for x, y in zip(per_group(a, branch_a), per_group(b, branch_b))
        if x['videos']
    ]
    return sorted(rows, key=lambda row: -row['gain'])


def confused_pairs(
    a: Scores, b: Scores, branch_a: Branch = None, branch_b: Branch = None, pairs: int = 10
) -> List[dict]:
    """List the pairs (true class, predicted class) that either network confuses most (DFB table 3).

    Dicts with `true`, `predicted`, `a`, `b` (numbers of videos), those with the largest of the two counts first.
    """
    in_a, in_b = confusion(a, branch_a), confusion(b, branch_b)
    worst = np.maximum(in_a, in_b)
    np.fill_diagonal(worst, 0)
    order = np.argsort(-worst, axis=None, kind='stable')[:pairs]
    places = [np.unravel_index(i, worst.shape) for i in order if worst.flat[i]]
    return [
        {'true': a.classes[t], 'predicted': a.classes[p], 'a': int(in_a[t, p]), 'b': int(in_b[t, p])} for t, p in places
    ]


def format_comparison(result: Comparison, names: Tuple[str, str] = ('A', 'B')) -> str:
    """Set the comparison as text, in percent."""
    first, second = names
    lines = [
        f'A = {first}, B = {second}; {result.videos} videos with a label',
        '',
        columns(
            ['metric', 'A %', 'B %', 'B - A', '95 % interval', 'only A right', 'only B right', 'p (exact McNemar)'],
            [
                [
                    m.metric,
                    percent(m.a),
                    percent(m.b),
                    percent(m.difference, True),
                    f'[{percent(m.low, True)}, {percent(m.high, True)}]',
                    m.only_a,
                    m.only_b,
                    f'{m.p_value:.3g}',
                ]
                for m in result.metrics
            ],
        ),
        '(interval: videos resampled; it says nothing of other seeds of training)',
    ]
    if result.groups:
        lines += [
            '',
            columns(
                ['group', 'videos', 'A top1 %', 'B top1 %', 'gain', 'A within %', 'B within %'],
                [
                    [
                        g['name'],
                        g['videos'],
                        percent(g['a']),
                        percent(g['b']),
                        percent(g['gain'], True),
                        percent(g['within_a']),
                        percent(g['within_b']),
                    ]
                    for g in result.groups
                ],
            ),
        ]
    if result.pairs:
        lines += [
            '',
            columns(
                ['most confused: true class', 'taken for', 'videos in A', 'in B'],
                [[p['true'], p['predicted'], p['a'], p['b']] for p in result.pairs],
            ),
        ]
    return '\n'.join(lines)


def as_dict(result: Comparison) -> dict:
    """Give the comparison as plain data, ready for JSON."""
    return {**result._asdict(), 'metrics': {m.metric: m._asdict() for m in result.metrics}}
