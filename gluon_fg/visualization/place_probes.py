"""What place probes measured, as a picture and as a page with examples."""

from __future__ import annotations

import math
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import mxnet as mx
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from mxnet.gluon import HybridBlock

from ..analysis.covers import peak_of, square_around
from ..analysis.evidence import BASELINES, evidence
from ..analysis.place_prober import TRUTH
from ..analysis.place_probes import PlaceProbes, Truth
from ..analysis.place_summary import MEASURES, Gain, Mean, SourceNumbers, by_group, findings, numbers, plain
from ..data.datasets import VideoDataset
from ..data.video import VideoReader
from ..errors import VideoError
from ..evaluation.statistics import t_interval
from .charts import chart, open_axes
from .figures import COLORS, FAINT, INK, FilePath, boxed, fit, tint
from .pages import Card, Cell, Column, Section, cards, drawn, facts, percent_cell, picture, table, tiles, verdict
from .pages import write_page as write

_HEIGHT = 120  # of a frame in an example, pixels
_LINES = {'random': ':', 'center': '--'}
_CURVES = {'deletion': 'lower', 'insertion': 'higher'}


def place_chart(probes: PlaceProbes) -> Figure:
    """Draw what covers cost, and the curves of deletion and insertion, with 95 % intervals over the videos."""
    figure = chart(11.5, 1.7 + 0.32 * max(len(probes.probes), 6))
    bars, *curves = figure.subplots(1, 3, gridspec_kw={'width_ratios': [1.15, 1, 1]})
    _draw_drops(bars, probes)
    for axis, name in zip(curves, _CURVES):
        _draw_curves(axis, probes, name)
    curves[-1].legend(fontsize=8, frameon=False, loc='lower right')
    return figure


def _draw_drops(axis: Any, probes: PlaceProbes) -> None:
    """A bar for each source."""
    rows, colors = numbers(probes), _colors(probes)
    drops = [row.means['drop'] for row in rows]
    axis.barh(
        range(len(rows)), [100 * drop.mean for drop in drops], color=[colors[row.source] for row in rows], height=0.7
    )
    if all(math.isfinite(drop.low) for drop in drops):
        ends = [100 * drop.low for drop in drops], [100 * drop.high for drop in drops]
        axis.hlines(range(len(rows)), *ends, color=FAINT, linewidth=1.5)
    axis.set_yticks(range(len(rows)), [row.source for row in rows], fontsize=9, parse_math=False)
    axis.invert_yaxis()
    axis.axvline(0, color=INK, linewidth=0.8)
    axis.set_xlabel('points of probability', fontsize=8)
    axis.set_title('lost by covering the peaks', fontsize=9, loc='left')
    open_axes(axis, 'top', 'right', 'left', 'bottom')


def _draw_curves(axis: Any, probes: PlaceProbes, name: str) -> None:
    """A curve for each source."""
    colors, shares = _colors(probes), np.linspace(0, 100, probes.options.steps + 1)
    for source, probe in probes.probes.items():
        of_videos = 100 * getattr(probe, name)
        width = 1.2 if source in BASELINES else 1.8
        axis.plot(
            shares, of_videos.mean(0), _LINES.get(source, '-'), color=colors[source], linewidth=width, label=source
        )
        if len(of_videos) > 1:
            low, high = zip(*(t_interval(column.tolist()) for column in of_videos.T))
            axis.fill_between(shares, low, high, color=colors[source], alpha=0.1, linewidth=0)
    axis.set_xlabel('pixels covered, %' if name == 'deletion' else 'pixels shown, %', fontsize=8)
    axis.set_ylim(-3, 103)
    axis.set_title(f'{name}: probability, % ({_CURVES[name]} is better)', fontsize=9, loc='left')
    axis.grid(color='#e4e4e4', linewidth=0.6)
    open_axes(axis, 'top', 'right')


def _drawings(probes: PlaceProbes) -> Markup:
    """The parts of the chart one by one, so that they go below each other where there is little room."""
    height = 1.3 + 0.3 * max(len(probes.probes), 6)
    bars = chart(4.6, height)
    _draw_drops(bars.subplots(), probes)
    made = [drawn(bars, 'points of probability lost by covering the peaks of each source')]
    for name in _CURVES:
        figure = chart(4.6, height)
        axis = figure.subplots()
        _draw_curves(axis, probes, name)
        axis.legend(fontsize=8, frameon=False, loc='lower right' if name == 'insertion' else 'upper right')
        made.append(drawn(figure, f'curves of {name} of each source'))
    return Markup('<div class="drawings">{}</div>').format(Markup('').join(made))


def _colors(probes: PlaceProbes) -> Dict[str, str]:
    """A color for each source: ink for the truth, grey for the baselines."""
    others = [source for source in probes.probes if source not in (*BASELINES, TRUTH)]
    colors = {source: COLORS[n % len(COLORS)] for n, source in enumerate(others)}
    return {TRUTH: INK, **colors, **{baseline: FAINT for baseline in BASELINES}}


class Shown(NamedTuple):
    """One source in an example: its name, the frame of its strongest moment with heat and square, the drop there."""

    source: str
    frame: np.ndarray
    drop: float


class Example(NamedTuple):
    """A video of the probes, by its place among them, the frame without anything on it, and what sources show."""

    place: int
    frame: np.ndarray
    shown: List[Shown]


def examples(
    net: HybridBlock,
    dataset: VideoDataset,
    probes: PlaceProbes,
    count: int = 12,
    truth: Optional[Truth] = None,
    ctx: Optional[mx.Context] = None,
) -> List[Example]:
    """Pictures of videos, evenly from where covering the first source hurts more than random places to where it does
    not; what cannot be decoded any more is left out.

    Parameters
    ----------
    net, dataset
        what was probed
    probes
        its result
    count
        how many videos, at most
    truth
        boxes of the true detail, as for `place_probes`
    ctx
        where the network lies (default: CPU)
    """
    drop, first = MEASURES['drop'].of, _first(probes)
    order = np.argsort(drop(probes, 'random') - drop(probes, first), kind='stable')
    chosen = order[np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))]
    made = []
    for place in chosen:
        try:
            with dataset.open(int(probes.indices[place])) as reader:
                boxes = truth[probes.paths[place]] if truth is not None else ()
                made.append(_example(net, reader, probes, int(place), boxes, ctx))
        except VideoError:
            continue
    return made


def _first(probes: PlaceProbes) -> str:
    """The network's most telling source: the first that is neither the truth nor a baseline."""
    return next((source for source in probes.probes if source not in (TRUTH, *BASELINES)), 'center')


def _example(
    net: HybridBlock, reader: VideoReader, probes: PlaceProbes, place: int, boxes: Sequence, ctx: Optional[mx.Context]
) -> Example:
    drops = {source: float(MEASURES['drop'].of(probes, source)[place]) for source in probes.probes}
    side = max(round(probes.options.size * min(reader.size)), 1)
    shown, colors, first = [], _colors(probes), None
    if TRUTH in probes.probes and boxes:
        moment = sorted({box.t for box in boxes})[len({box.t for box in boxes}) // 2]
        small, scale = fit(reader.get_batch([moment])[0], _HEIGHT)
        for box in boxes:
            if box.t == moment:
                small = boxed(small, (box.x0, box.y0, box.x1, box.y1), scale, '#ffffff')
        shown.append(Shown(TRUTH, small, drops[TRUTH]))
    for source in probes.probes:
        if source in (TRUTH, *BASELINES):
            continue
        series = evidence(net, reader, int(probes.targets[place]), source, ctx=ctx).maps
        number, point = peak_of(series)
        frame = reader.get_batch([int(series.frames[number])])[0]
        first = frame if first is None else first
        small, scale = fit(frame, _HEIGHT)
        heated = tint(small, series.heat(number), series.limits)
        square = boxed(heated, square_around(point, side, frame.shape[:2]), scale, colors[source])
        shown.append(Shown(source, square, drops[source]))
    if first is None:  # the baselines alone
        first = reader.get_batch([len(reader) // 2])[0]
    return Example(place, fit(first, _HEIGHT)[0], shown)


def write_place_page(
    path: FilePath,
    probes: PlaceProbes,
    pictures: Sequence[Example],
    dataset: str,
    force: bool = False,
) -> None:
    """Write the page: findings, numbers of every source and group, curves, examples, and every video.

    Parameters
    ----------
    path, force
        of the page; whether a file that is there may be replaced
    probes, pictures
        of `place_probes` and `examples`
    dataset
        what to call the videos
    """
    sections = [_findings(probes), _numbers(probes), *_groups(probes), *_examples(probes, pictures), _videos(probes)]
    subtitle = f'{probes.title}, {len(probes.paths)} videos of {dataset}'
    write(path, 'Does it need what it looks at?', subtitle, [*sections, _method(probes)], force)


def _findings(probes: PlaceProbes) -> Section:
    rows = {row.source: row for row in numbers(probes)}
    first = rows[_first(probes)]
    shown = [first, rows['random'], rows['center']]
    notes = [f'the peaks of {first.source}', 'random places', 'the middle of the frame']
    if TRUTH in rows:
        shown.insert(0, rows[TRUTH])
        notes.insert(0, 'the true detail')
    big = tiles(
        (plain(100 * row.means['drop'].mean), 'points lost', f'by covering {note}') for row, note in zip(shown, notes)
    )
    lines = (Markup('<p>{}</p>').format(verdict(told.text, told.level)) for told in findings(probes))
    lead = (
        'Places of each video are covered, and the network is asked again: what it needs, it misses. '
        "The probability is that of the video's "
        + ('own' if probes.options.target == 'true' else 'predicted')
        + ' class.'
    )
    return Section('findings', 'Findings', big + Markup('').join(lines), lead)


def _numbers(probes: PlaceProbes) -> Section:
    heads: List[Union[str, Column]] = [
        Column('source', narrow=True),
        Column('covered', 'share of the clip behind the squares, %'),
        *(Column(measure.title, measure.help) for measure in MEASURES.values()),
        Column('over random', 'drop more than at random places, points, with its 95 % interval'),
        Column('over the middle', 'drop more than in the middle of the frame, points, with its 95 % interval'),
    ]
    told = table(heads, [_source_row(row) for row in numbers(probes)])
    lead = (
        'drop: points of probability that covering the peaks takes. one moment: the same at the strongest moment '
        'alone. kept: what is left, in %, where everything else is covered. deletion, insertion: areas under curves.'
    )
    return Section('sources', 'Sources', _drawings(probes) + told, lead)


def _source_row(row: SourceNumbers) -> List[Any]:
    return [
        row.source,
        percent_cell(row.covered),
        *(_mean_cell(row.means[key], key) for key in MEASURES),
        _gain_cell(row.gains, 'random'),
        _gain_cell(row.gains, 'center'),
    ]


def _mean_cell(mean: Mean, key: str) -> Cell:
    if key in ('drop', 'drop_once', 'kept'):
        return _points(mean.mean)
    return Cell(plain(mean.mean) if key == 'drop_logit' else f'{mean.mean:.3f}', mean.mean)


def _points(fraction: float) -> Cell:
    """A cell with a difference in points."""
    return Cell(plain(100 * float(fraction)), float(fraction))


def _gain_cell(gains: Dict[str, Dict[str, Gain]], baseline: str) -> Cell:
    if baseline not in gains or not math.isfinite(gains[baseline]['drop'].low):
        return Cell('', None)
    gain = gains[baseline]['drop']
    mean, low, high = (plain(100 * value, '+') for value in gain[:3])
    return Cell(f'{mean} ({low} to {high})', gain.mean)


def _groups(probes: PlaceProbes) -> Iterator[Section]:
    """Drops of groups and of classes."""
    sources = list(probes.probes)
    groups = by_group(probes)
    if groups:
        rows: List[List[Any]] = [
            [g, of[0].videos, *(_points(r.means['drop'].mean) for r in of)] for g, of in groups.items()
        ]
        lead = 'Points of probability that covering the peaks takes, in each group of classes.'
        yield Section('groups', 'Groups', table(['group', 'videos', *sources], rows), lead)
    drops = np.stack([MEASURES['drop'].of(probes, source) for source in sources], axis=1)
    by_class: List[List[Any]] = []
    for label in np.unique(probes.labels):
        mine = probes.labels == label
        by_class.append([probes.classes[label], int(mine.sum()), *map(_points, drops[mine].mean(axis=0))])
    yield Section('classes', 'Classes', table(['class', 'videos', *sources], by_class), 'The same in each class.')


def _examples(probes: PlaceProbes, pictures: Sequence[Example]) -> Iterator[Section]:
    if not pictures:
        return
    made = []
    for example in pictures:
        name, p = probes.classes[probes.targets[example.place]], probes.whole[example.place, 0]
        shots = [_shot(example.frame, f'a frame of {probes.paths[example.place]}', Markup('as it is'))]
        for source, frame, drop in example.shown:
            alt = f'where {source} points in {probes.paths[example.place]}'
            shots.append(_shot(frame, alt, Markup('{}: {}').format(source, plain(100 * drop))))
        body = Markup('<p><b>{}</b> {:.1f} %<br><span class="path">{}</span></p>{}').format(
            name, 100 * p, probes.paths[example.place], Markup('').join(shots)
        )
        gain = MEASURES['drop'].of(probes, _first(probes))[example.place]
        made.append(Card(body, (name, probes.paths[example.place]), (float(gain), float(p))))
    lead = (
        f'From where covering {_first(probes)} hurts most, against random places, to where it hurts least. Below each '
        'picture: points of probability that covering its peaks takes.'
    )
    orders = ('drop', 'probability')
    yield Section('examples', 'Examples', cards(made, orders), lead)


def _shot(frame: np.ndarray, alt: str, caption: Markup) -> Markup:
    style = Markup('style="display: inline-block; margin: .4rem .6rem .4rem 0"')
    return Markup('<figure {}>{}<figcaption>{}</figcaption></figure>').format(style, picture(frame, alt), caption)


def _videos(probes: PlaceProbes) -> Section:
    sources = list(probes.probes)
    drops = np.stack([MEASURES['drop'].of(probes, source) for source in sources], axis=1)
    rows = [
        [path, probes.classes[label], probes.classes[target], percent_cell(p), *map(_points, of_video)]
        for path, label, target, p, of_video in zip(
            probes.paths, probes.labels, probes.targets, probes.whole[:, 0], drops
        )
    ]
    heads = ['video', 'class', 'probed class', 'probability, %', *(f'drop: {source}' for source in sources)]
    return Section('videos', 'Videos', table(heads, rows), 'Points that covering the peaks of each source takes.')


def _method(probes: PlaceProbes) -> Section:
    options = probes.options
    fill = "the clip's mean color" if options.fill == 'mean' else 'a blurred copy of the clip'
    pairs: List[Tuple[str, str]] = [
        ('clip', 'the middle one of each video, whole frames'),
        ('squares', f'{100 * options.size:.0f} % of the short side; the same for every source, at every moment'),
        ('covered by', f'{fill}; insertion starts from a blurred clip'),
        ('curves', f'{options.steps} steps of equally many pixels (Petsiuk et al. 2018)'),
        ('truth', 'squares around the known boxes of the detail' if TRUTH in probes.probes else 'not known'),
        ('intervals', "95 %, Student's t over videos; differences paired video by video; p corrected by Holm"),
    ]
    return Section('method', 'How it was measured', facts(pairs))
