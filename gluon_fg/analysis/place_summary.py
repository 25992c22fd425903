"""Numbers of place probes over videos: each source's measures, paired with the baselines', and sentences of them."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..evaluation.statistics import holm, paired_t_test, t_interval
from ..evaluation.tables import columns
from .evidence import BASELINES
from .place_prober import TRUTH, Probe
from .place_probes import PlaceProbes


class Measure(NamedTuple):
    """A number of each video for one source.

    Parameters
    ----------
    title, help
        what tables call it, and a line about it
    sign
        1 where a high value speaks for a source, -1 where a low one does
    of
        (probes, source) -> (N,), a fraction or a logit
    """

    title: str
    help: str
    sign: int
    of: Callable[[PlaceProbes, str], np.ndarray]


def area(curves: np.ndarray) -> np.ndarray:
    """The area under curves (N, steps + 1) over 0 to 1, by trapezoids: (N,)."""
    return np.trapz(curves, axis=1) / (curves.shape[1] - 1)


def _lost(cover: int, column: int) -> Callable[[PlaceProbes, str], np.ndarray]:
    return lambda probes, source: probes.whole[:, column] - probes.probes[source].covers[:, cover, column]


MEASURES = {
    'drop': Measure(
        'drop', 'points of probability that covering squares around the peak of each moment takes', 1, _lost(0, 0)
    ),
    'drop_logit': Measure('logit', 'by how much covering these squares lowers the logit', 1, _lost(0, 1)),
    'drop_once': Measure(
        'one moment', 'points that covering the square of the strongest moment alone takes', 1, _lost(1, 0)
    ),
    'kept': Measure(
        'kept', 'probability that is left where everything but the squares is covered', 1,
        lambda probes, source: probes.probes[source].covers[:, 2, 0],
    ),
    'deletion': Measure(
        'deletion', 'area under the probability while the most important pixels are covered first: low is good', -1,
        lambda probes, source: area(probes.probes[source].deletion),
    ),
    'insertion': Measure(
        'insertion', 'area under the probability while the most important pixels appear first: high is good', 1,
        lambda probes, source: area(probes.probes[source].insertion),
    ),
}  # fmt: skip


class Mean(NamedTuple):
    """A mean over videos with its 95 % interval (Student's t; infinite for a single video)."""

    mean: float
    low: float
    high: float


class Gain(NamedTuple):
    """How much better a source is than a baseline, video by video: above 0 where it is better.

    `p` is that of the paired t test, `p_holm` corrected for all sources that are set against this baseline.
    """

    mean: float
    low: float
    high: float
    p: float
    p_holm: float


class SourceNumbers(NamedTuple):
    """One source: `covered`, the share of the clip that its squares hide; each measure's mean; gains by baseline."""

    source: str
    videos: int
    covered: float
    means: Dict[str, Mean]
    gains: Dict[str, Dict[str, Gain]]


def numbers(probes: PlaceProbes, chosen: Optional[np.ndarray] = None) -> List[SourceNumbers]:
    """The numbers of every source, over all videos or those `chosen` ((N,) bool)."""
    chosen = np.ones(len(probes.paths), bool) if chosen is None else chosen
    values = {s: {key: m.of(probes, s)[chosen] for key, m in MEASURES.items()} for s in probes.probes}
    gains: Dict[str, Dict[str, Dict[str, Gain]]] = {source: {} for source in values}
    for baseline in BASELINES:
        others = [source for source in values if source not in BASELINES]
        for key, measure in MEASURES.items():
            better = [measure.sign * (values[source][key] - values[baseline][key]) for source in others]
            p = [paired_t_test(gain.tolist(), [0.0] * len(gain)) for gain in better]
            for source, gain, single, corrected in zip(others, better, p, holm(p)):
                gains[source].setdefault(baseline, {})[key] = Gain(*_mean(gain), single, corrected)
    return [
        SourceNumbers(
            source,
            int(chosen.sum()),
            float(probe.covered[chosen, 0].mean()),
            {key: _mean(of_videos) for key, of_videos in values[source].items()},
            gains[source],
        )
        for source, probe in probes.probes.items()
    ]


def _mean(values: np.ndarray) -> Mean:
    return Mean(float(values.mean()), *t_interval(values.tolist()))


def by_group(probes: PlaceProbes) -> Dict[str, List[SourceNumbers]]:
    """The numbers of the videos of each group of classes, in the order of the classes; {} where there are no groups."""
    if probes.groups is None:
        return {}
    of_video = np.array([probes.groups[label] for label in probes.labels])
    return {group: numbers(probes, of_video == group) for group in dict.fromkeys(probes.groups) if group in of_video}


class Finding(NamedTuple):
    """A sentence, and how to mark it: 'good', 'bad' (worse than random places), 'plain' (not shown), or 'warn' (better
    than random places, but worse than always the middle of the frame)."""

    text: str
    level: str


def findings(probes: PlaceProbes) -> List[Finding]:
    """What the numbers show of each source, and what they do not, in sentences."""
    every = {row.source: row for row in numbers(probes)}
    told = [_finding(row, every, len(probes.paths)) for row in every.values() if row.source not in BASELINES]
    about = (
        f'Gains are of the same {len(probes.paths)} videos, with 95 % intervals; p-values are corrected for all '
        'sources (Holm). A cover shows what the network needs of a clip, not how it came by it; and covered places '
        'look like no video that it has learned from, which costs probability by itself: compare sources, not single '
        'drops.'
    )
    return [*told, Finding(about, 'plain')]


def _finding(row: SourceNumbers, every: Dict[str, SourceNumbers], count: int) -> Finding:
    """The sentence on one source."""
    where, it = ('the true detail', 'it') if row.source == TRUTH else (f'the peaks of {row.source}', 'them')
    drop, at_random = (100 * of.means['drop'].mean for of in (row, every['random']))
    text = (
        f"({100 * row.covered:.1f} % of the clip) takes {drop:.1f} points of the class's probability, covering random "
        f'places {plain(at_random)}'
    )
    if count < 2:
        return Finding(f'Covering {where} {text}; a single video says nothing of others.', 'plain')
    random, center = (row.gains[baseline]['drop'] for baseline in BASELINES)
    sure = random.p_holm < 0.05
    verb = 'is not shown to need' if not sure else 'needs' if random.mean > 0 else 'needs random places more than'
    beside = 'not told apart from' if center.p_holm >= 0.05 else 'more than' if center.mean > 0 else 'less than'
    return Finding(
        f'The network {verb} {where}: covering {it} {text}: {_gain(random)}. That is {beside} what covering the middle '
        f'of every frame takes: {_gain(center)}.',
        'plain' if not sure else 'bad' if random.mean < 0 else 'warn' if beside == 'less than' else 'good',
    )


def _gain(gain: Gain) -> str:
    p = 'p < 0.0001' if gain.p_holm < 0.0001 else f'p = {gain.p_holm:.2g}'
    mean, low, high = (plain(100 * value, '+') for value in gain[:3])
    return f'{mean} ({low} to {high}, {p})'


def plain(value: float, sign: str = '') -> str:
    """A number with one digit behind the point, and never '-0.0'."""
    return f'{round(value, 1) + 0.0:{sign}.1f}'


def format_probes(probes: PlaceProbes) -> str:
    """Tables in plain text: every source, then each group's drops."""
    rows = [[*_cells(row)] for row in numbers(probes)]
    head = [
        'source',
        'covered, %',
        'drop',
        'over random',
        '95 % interval',
        'one moment',
        'kept',
        'deletion',
        'insertion',
    ]
    parts = [columns(head, rows)]
    groups = by_group(probes)
    if groups:
        sources = list(probes.probes)
        lines = [
            [group, of_group[0].videos, *(plain(100 * row.means['drop'].mean) for row in of_group)]
            for group, of_group in groups.items()
        ]
        parts.append(columns(['drop in each group', 'videos', *sources], lines))
    return '\n\n'.join(parts)


def _cells(row: SourceNumbers) -> List[str]:
    means = {key: row.means[key].mean for key in MEASURES}
    cells = ['-', '-']
    if row.gains:
        mean, low, high = (plain(100 * value, '+') for value in row.gains['random']['drop'][:3])
        cells = [mean, f'{low} to {high}' if row.videos > 1 else '-']
    return [
        row.source,
        f'{100 * row.covered:.1f}',
        plain(100 * means['drop']),
        *cells,
        *(plain(100 * means[key]) for key in ('drop_once', 'kept')),
        *(f'{means[key]:.3f}' for key in ('deletion', 'insertion')),
    ]


def as_dict(probes: PlaceProbes) -> Dict[str, Any]:
    """Everything as plain data for JSON: numbers of every source and group, and each video's own."""
    return {
        'model': probes.title,
        **{field: getattr(probes.options, field) for field in ('target', 'fill', 'steps', 'size')},
        'sources': _records(numbers(probes)),
        'groups': {group: _records(rows) for group, rows in by_group(probes).items()},
        'findings': [finding.text for finding in findings(probes)],
        'videos': [
            {
                'video': path,
                'class': probes.classes[probes.labels[n]],
                'probed': probes.classes[probes.targets[n]],
                'probability': float(probes.whole[n, 0]),
                'logit': float(probes.whole[n, 1]),
                'sources': {source: _of_video(probe, n) for source, probe in probes.probes.items()},
            }
            for n, path in enumerate(probes.paths)
        ],
    }


def _of_video(probe: Probe, n: int) -> Dict[str, Any]:
    return {field: getattr(probe, field)[n].tolist() for field in Probe._fields}


def _records(rows: Sequence[SourceNumbers]) -> Dict[str, Any]:
    return {
        row.source: {
            'videos': row.videos,
            'covered': row.covered,
            **{key: _finite(mean) for key, mean in row.means.items()},
            'better_than': {
                baseline: {key: _finite(gain) for key, gain in gains.items()} for baseline, gains in row.gains.items()
            },
        }
        for row in rows
    }


def _finite(numbers: Any) -> Dict[str, Optional[float]]:
    """Fields of a record; None where a single video gives no interval."""
    pairs: List[Tuple[str, float]] = list(numbers._asdict().items())
    return {key: value if math.isfinite(value) else None for key, value in pairs}
