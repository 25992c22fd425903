"""Which classes a second network gains and loses, and what it does to look-alike pairs (CIDC sec. 4.4, table 6).

A class has few videos (Kinetics-400 tests with 50, SynthFG with 40), so that each gain stands with an interval, an
exact paired test and that test's p-value corrected for as many classes as were looked at. The paper gives gains alone.
"""

from __future__ import annotations

import csv
import os
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import UserError, unknown
from ..files import atomic_write
from .compare import Branch, check_same_videos
from .metrics import confusion, correct
from .score import Scores
from .statistics import gain_interval, holm, mcnemar
from .tables import columns, percent


class ClassGain(NamedTuple):
    """How A and B do on the videos of one class.

    `videos`; `right_a`, `right_b`: how many each has right; `a`, `b`: as fractions; `gain`: b - a; `low`, `high`: its
    95 % interval (`gain_interval`); `only_a`, `only_b`: videos that one alone has right; `p_value`: exact McNemar
    test; `p_holm`: corrected for the number of classes (`holm`).
    """

    name: str
    group: Optional[str]
    videos: int
    right_a: int
    right_b: int
    a: float
    b: float
    gain: float
    low: float
    high: float
    only_a: int
    only_b: int
    p_value: float
    p_holm: float


class PairGain(NamedTuple):
    """How A and B do on two classes that look alike.

    `first`, `second`: their names, with `gain_first`, `gain_second` (the paper's table 6 b); `mixed_a`, `mixed_b`:
    videos of one taken for the other, both ways; `videos` of the two together, with `gain`, `low`, `high`, `p_value`
    as in `ClassGain`.
    """

    first: str
    second: str
    gain_first: float
    gain_second: float
    mixed_a: int
    mixed_b: int
    videos: int
    gain: float
    low: float
    high: float
    p_value: float


class Gains(NamedTuple):
    """What `gains` returns.

    `classes` with a video, the most gained first; `pairs`; `chosen_by_a`: whether A's errors chose the pairs;
    `without`: names of the classes that have no video.
    """

    classes: List[ClassGain]
    pairs: List[PairGain]
    chosen_by_a: bool
    without: List[str]


def gains(
    a: Scores,
    b: Scores,
    branch_a: Branch = None,
    branch_b: Branch = None,
    names: Tuple[str, str] = ('A', 'B'),
    similar: Optional[Sequence[Tuple[str, str]]] = None,
    pairs: int = 10,
) -> Gains:
    """Compute how much B gains over A in top-1, for each class and for pairs of similar classes.

    Parameters
    ----------
    a, b
        scores of the same videos, in any order; A is the reference
    branch_a, branch_b
        which branch of each; None is the fused prediction
    names
        what to call them in errors
    similar
        pairs of class names; None: the `pairs` pairs that A mixes up most. Those look better under any B that errs
        elsewhere, as the choice has seen A's errors and not B's; pairs named beforehand do not
    pairs
        how many pairs are chosen

    Raises
    ------
    UserError
        the files are not of the same videos, classes and labels; no video has a label; unknown branch or class; a pair
        of one class, or of a class without videos
    """
    b = check_same_videos(a, b, names)
    known = a.labels >= 0
    labels = a.labels[known]
    if not len(labels):
        raise UserError(f'no video of {names[0]} has a label, so there is nothing to compare')
    right_a, right_b = correct(a, 'top1', branch_a), correct(b, 'top1', branch_b)
    counts = np.bincount(labels, minlength=len(a.classes))
    of_class = [(label, labels == label) for label in np.flatnonzero(counts)]
    rows = _corrected([_class_gain(a, label, right_a[mine], right_b[mine]) for label, mine in of_class])
    in_a, in_b = confusion(a, branch_a), confusion(b, branch_b)
    chosen = most_mixed(in_a, pairs) if similar is None else [_labels(a, counts, pair) for pair in similar]
    return Gains(
        sorted(rows, key=lambda row: -row.gain),
        [_pair_gain(a, pair, labels, right_a, right_b, in_a, in_b) for pair in chosen],
        similar is None,
        [name for name, count in zip(a.classes, counts) if not count],
    )


def gains_of_groups(
    a: Scores, b: Scores, branch_a: Branch = None, branch_b: Branch = None, names: Tuple[str, str] = ('A', 'B')
) -> List[ClassGain]:
    """Compute how much B gains over A in top-1 on the videos of each group of classes, the most gained first.

    `name` is the group's, `p_holm` corrected for the number of groups; empty without groups. Raises what `gains` does.
    """
    b = check_same_videos(a, b, names)
    if a.groups is None:
        return []
    group = np.array(a.groups)[a.labels[a.labels >= 0]]
    right_a, right_b = correct(a, 'top1', branch_a), correct(b, 'top1', branch_b)
    rows = [_gain_of(name, name, right_a[group == name], right_b[group == name]) for name in dict.fromkeys(group)]
    return sorted(_corrected(rows), key=lambda row: -row.gain)


def _corrected(rows: List[ClassGain]) -> List[ClassGain]:
    return [row._replace(p_holm=p) for row, p in zip(rows, holm([row.p_value for row in rows]))]


def most_mixed(matrix: np.ndarray, pairs: int) -> List[Tuple[int, int]]:
    """List the pairs of classes with most videos taken for each other, both ways, in a confusion matrix (M, M).

    The lower number stands first, and of equal pairs the lower numbers; a pair without such a video is left out.
    """
    both = np.triu(matrix + matrix.T, 1)
    order = np.argsort(-both, axis=None, kind='stable')[: max(pairs, 0)]
    places = [np.unravel_index(place, both.shape) for place in order if both.flat[place]]
    return [(int(first), int(second)) for first, second in places]


def parse_pair(text: str, classes: Sequence[str]) -> Tuple[str, str]:
    """Read two class names from 'waxing legs/shaving legs'; names may themselves hold a '/'.

    Raises
    ------
    UserError
        no '/', or a part that is no class, with the nearest one
    """
    parts = text.split('/')
    splits = [('/'.join(parts[:i]).strip(), '/'.join(parts[i:]).strip()) for i in range(1, len(parts))]
    if not splits:
        raise UserError(f'pair {text!r}: write it as "first class/second class"')
    for first, second in splits:
        if first in classes and second in classes:
            return first, second
    first, second = splits[0]
    raise unknown('class', second if first in classes else first, classes)


def extremes(rows: Sequence[ClassGain], count: int) -> Tuple[List[ClassGain], List[ClassGain]]:
    """List the `count` classes that gain most, and those that lose most, each with the largest change first.

    They are fewer where fewer gain or lose anything.
    """
    up, down = [row for row in rows if row.gain > 0], [row for row in rows if row.gain < 0]
    return sorted(up, key=lambda row: -row.gain)[:count], sorted(down, key=lambda row: row.gain)[:count]


def _class_gain(scores: Scores, label: int, right_a: np.ndarray, right_b: np.ndarray) -> ClassGain:
    return _gain_of(scores.classes[label], scores.groups[label] if scores.groups else None, right_a, right_b)


def _gain_of(name: str, group: Optional[str], right_a: np.ndarray, right_b: np.ndarray) -> ClassGain:
    videos, only_a, only_b = len(right_a), int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return ClassGain(
        str(name),
        group,
        videos,
        int(right_a.sum()),
        int(right_b.sum()),
        float(right_a.mean()),
        float(right_b.mean()),
        (only_b - only_a) / videos,
        *gain_interval(only_a, only_b, videos),
        only_a,
        only_b,
        mcnemar(only_a, only_b),
        1.0,
    )


def _pair_gain(scores: Scores, pair: Any, labels: Any, right_a: Any, right_b: Any, in_a: Any, in_b: Any) -> PairGain:
    i, j = pair
    first, second, both = (
        _class_gain(scores, i, right_a[chosen], right_b[chosen])
        for chosen in (labels == i, labels == j, (labels == i) | (labels == j))
    )
    return PairGain(
        scores.classes[i],
        scores.classes[j],
        first.gain,
        second.gain,
        int(in_a[i, j] + in_a[j, i]),
        int(in_b[i, j] + in_b[j, i]),
        both.videos,
        both.gain,
        both.low,
        both.high,
        both.p_value,
    )


def _labels(scores: Scores, counts: np.ndarray, pair: Tuple[str, str]) -> Tuple[int, int]:
    for name in pair:
        if name not in scores.classes:
            raise unknown('class', name, scores.classes)
        if not counts[scores.classes.index(name)]:
            raise UserError(f'class {name!r} has no video in these scores, so the pair has no gain; choose another')
    if pair[0] == pair[1]:
        raise UserError(f'pair of {pair[0]!r} with itself; choose two classes')
    return scores.classes.index(pair[0]), scores.classes.index(pair[1])


# Tables: header and rows once, for text and for Markdown.


def class_table(rows: Sequence[ClassGain]) -> Tuple[List[str], List[list]]:
    """Give the header and rows of a table of classes, in points of top-1."""
    header = ['class', 'videos', 'A right', 'B right', 'gain', '95 % interval', 'p', 'p (Holm)']
    return header, [
        [r.name, r.videos, r.right_a, r.right_b, *_gain(r), f'{r.p_value:.2g}', f'{r.p_holm:.2g}'] for r in rows
    ]


def pair_table(rows: Sequence[PairGain]) -> Tuple[List[str], List[list]]:
    """Give the header and rows of a table of pairs, in points of top-1; the paper's two columns first."""
    header = ['pair of classes', 'gains', 'mixed up by A', 'by B', 'videos', 'gain of both', '95 % interval', 'p']
    return header, [
        [
            f'{r.first} / {r.second}',
            f'{percent(r.gain_first, True)} / {percent(r.gain_second, True)}',
            r.mixed_a,
            r.mixed_b,
            r.videos,
            *_gain(r),
            f'{r.p_value:.2g}',
        ]
        for r in rows
    ]


def _gain(row: Any) -> List[str]:
    return [percent(row.gain, True), f'[{percent(row.low, True)}, {percent(row.high, True)}]']


def class_note(result: Gains) -> str:
    """Say in one or two sentences how much the gains of single classes can tell."""
    rows = result.classes
    few, most = min(row.videos for row in rows), max(row.videos for row in rows)
    below = sum(row.p_value < 0.05 for row in rows)
    kept = sum(row.p_holm < 0.05 for row in rows)
    videos = f'{few} videos' if few == most else f'{few} to {most} videos'
    text = (
        f'A class has {videos}{", which is few" if few < 200 else ""}: one video is {100 / most:.1f} points'
        f'{"" if few == most else " and more"}. '
        f'Classes with p < 0.05: {below} of {len(rows)}, where chance alone would give at most {0.05 * len(rows):.1f}; '
        f'after correction for {len(rows)} tests (Holm): {kept}.'
    )
    return text + (f' Without a video: {", ".join(result.without)}.' if result.without else '')


def pair_note(result: Gains) -> str:
    """Say where the pairs come from, and what that does to their gains."""
    if result.chosen_by_a:
        return (
            "Pairs chosen by A's errors on these very videos: some gain is to be expected of any B that errs "
            'elsewhere. Pairs named beforehand are free of that.'
        )
    return 'Pairs as named.'


def format_gains(result: Gains, per_class: Optional[int] = None, similar: bool = True) -> str:
    """Set both tables as text; `per_class`: how many classes at either end, None for no such table."""
    parts = []
    if per_class is not None:
        for title, rows in zip(('gain most', 'lose most'), extremes(result.classes, per_class)):
            parts.append(f'classes that {title} (top-1, B - A)\n{columns(*class_table(rows))}' if rows else '')
        if not any(parts):
            parts = ['no class gains or loses a video']
        parts.append(f'({class_note(result)})')
    if similar:
        parts.append(columns(*pair_table(result.pairs)) if result.pairs else 'no two classes are mixed up by A')
        parts.append(f'({pair_note(result)})' if result.pairs else '')
    return '\n\n'.join(part for part in parts if part)


def markdown_gains(result: Gains, per_class: int, titles: Tuple[str, str]) -> str:
    """Set table 6 of the paper as a Markdown page; `titles`: what A and B are."""
    parts = [f'Top-1 gains of B = {titles[1]} over A = {titles[0]}, in points.']
    for title, rows in zip(('gain', 'lose'), extremes(result.classes, per_class)):
        if rows:
            parts += [f'### Classes that {title} most', _markdown(*class_table(rows))]
    parts.append(class_note(result))
    if result.pairs:
        parts += ['### Pairs of similar classes', _markdown(*pair_table(result.pairs)), pair_note(result)]
    return '\n\n'.join(parts) + '\n'


def _markdown(header: List[str], rows: List[list]) -> str:
    lines = [header, ['---'] + ['---:'] * (len(header) - 1), *rows]
    return '\n'.join('| ' + ' | '.join(str(cell).replace('|', '\\|') for cell in line) + ' |' for line in lines)


def write_gains(result: Gains, path: Union[str, os.PathLike]) -> None:
    """Write every class's gain as CSV (fractions), the largest first, atomically."""
    with atomic_write(path) as stream:
        writer = csv.writer(stream, lineterminator='\n')
        writer.writerow(ClassGain._fields)
        writer.writerows(result.classes)


def gains_as_dict(result: Gains) -> dict:
    """Give both tables as plain data, ready for JSON."""
    return {
        **result._asdict(),
        'classes': [row._asdict() for row in result.classes],
        'pairs': [row._asdict() for row in result.pairs],
    }
