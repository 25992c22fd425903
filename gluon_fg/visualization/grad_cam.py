"""Evidence for a class over the frames of a video: for pictures and films, and a page with the check by random weights.

Maps lie over frames without color, so that every hue is the map's; a map's color scale begins at no evidence.
"""

from __future__ import annotations

import os
from typing import Any, List, Optional, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from ..analysis.activation import MapSeries
from ..analysis.grad_cam import Evidence
from ..analysis.sanity import LEARNED, Sanity
from ..data.video import VideoReader
from .figures import COLORS, FilePath, fit, gray, tint
from .maps import Line, MapSheet, evenly
from .pages import Cell, Column, Section, bar, drawn, facts, picture, table, verdict, write_page

_HEIGHT, _WIDEST = 120, 200  # pixels of a frame in the page


def evidence_sheet(evidences: Sequence[Evidence], images: bool = False) -> MapSheet:
    """The evidence of one video for several classes, a color each, and that of each stream.

    Parameters
    ----------
    evidences
        of one clip, or of the same clips of a whole video
    images
        whether the network sees single frames
    """
    lines = []
    for number, evidence in enumerate(evidences):
        color = COLORS[number % len(COLORS)]
        for name, series in (('', evidence.maps), *evidence.parts.items()):
            title = f'{evidence.title}, {name}: {evidence.totals[name]:+.2f} in all' if name else evidence.title
            predicted = evidence.predictions if not number and not name else ()
            short = f'{name or evidence.title}'
            lines.append(Line(title, short, series, series.frames, color, predicted))
    first = evidences[0]
    streams = ', the streams that of both' if first.parts else ''
    scales = f'Each line has its own color scale{streams}.'
    about = f'Grad-CAM at {first.layer} of {first.name}: what speaks for a class. {scales}'
    return MapSheet(about, first.clips, lines, 'frame' if images else 'sub-clip')


def arrays(evidences: Sequence[Evidence]) -> dict:
    """The maps of evidence as arrays for a .npz file: what each is of, and where it lies."""
    first = evidences[0]
    named = {'frames': first.maps.frames, 'titles': np.array([evidence.title for evidence in evidences])}
    named['layer'], named['network'] = np.array(first.layer), np.array(first.name)
    named['maps'] = np.stack([evidence.maps.maps for evidence in evidences]).astype(np.float32)
    for part in first.parts:
        named[f'maps_{part}'] = np.stack([evidence.parts[part].maps for evidence in evidences]).astype(np.float32)
    return named


# The page


def write_evidence_page(
    path: FilePath,
    evidences: Sequence[Evidence],
    reader: VideoReader,
    checked: Optional[Sanity] = None,
    force: bool = False,
) -> None:
    """Write a page of the evidence of one clip, with the check by random weights where there is one.

    Raises
    ------
    UserError
        the file is there, without `force`
    """
    first = evidences[0]
    sections = [_evidence(evidences, reader)]
    if checked is not None:
        sections.append(_sanity(checked, reader))
    subtitle = f'{first.name}, Grad-CAM at {first.layer}: what it looked at'
    write_page(path, os.path.basename(reader.path), subtitle, sections, force)


def _evidence(evidences: Sequence[Evidence], reader: VideoReader) -> Section:
    first = evidences[0]
    likely = Markup('<br>').join(
        Markup('{} {} {:.1f} %').format(bar(share), name, 100 * share) for name, share in first.predictions
    )
    spans = ' and '.join(f'{a} to {b}' for a, b in first.clips)
    known = [
        ('Predicted', likely),
        ('Frames', f'{spans} of {len(reader)}'),
        ('Layer', f'{first.layer}, {first.maps.maps.shape[1]} x {first.maps.maps.shape[2]} places'),
    ]
    body = facts(known)
    for evidence in evidences:
        body += Markup('<h3>{}</h3>').format(_sentence(evidence.title))
        body += Markup('<p>{}</p>').format(_told(evidence))
        body += _strip(evidence.maps, reader, evidence.title)
        for name, series in evidence.parts.items():
            body += Markup('<h4>{}: {:+.2f}</h4>').format(name, evidence.totals[name])
            body += _strip(series, reader, f'{evidence.title}, {name}')
    lead = 'Red is where the features speak most for the class, blue where they do not. Scales begin at 0.'
    return Section('evidence', 'Evidence', body, lead)


def _sentence(title: str) -> str:
    return title[:1].upper() + title[1:]


def _told(evidence: Evidence) -> str:
    """What the sums of the maps say, and the branches."""
    said = f'In all {evidence.total:+.2f}, what speaks against it taken off'
    if evidence.totals:
        said += ': ' + ', '.join(f'{name} {total:+.2f}' for name, total in evidence.totals.items())
    shares = [f'{name} {100 * share:.1f} %' for name, share in evidence.branches.items() if name]
    if len(shares) > 1:
        said += f'. Probability of the class by branch: {", ".join(shares)}'
    return said + '.'


def _strip(series: MapSeries, reader: VideoReader, title: str, most: int = 8) -> Markup:
    """Some frames side by side, with the map over each and the time below."""
    items = Markup('')
    chosen = evenly(len(series.maps), most)
    for i, frame in zip(chosen, reader.get_batch([int(series.frames[i]) for i in chosen])):
        seconds = series.frames[i] / reader.fps
        items += Markup('<figure>{}<figcaption>{:.2f} s</figcaption></figure>').format(
            _heated(series, i, frame, f'{title}, frame {series.frames[i]}'), seconds
        )
    return Markup('<div class="frames">{}</div>').format(items)


def _heated(series: MapSeries, number: int, frame: np.ndarray, alt: str) -> Markup:
    small = fit(frame, _HEIGHT, _WIDEST)[0]
    return picture(tint(gray(small), series.heat(number), series.limits), alt)


def _sanity(checked: Sanity, reader: VideoReader) -> Section:
    body = Markup('<p>{}</p>').format(verdict(checked.verdict, 'good' if checked.learned else 'bad'))
    body += drawn(sanity_figure(checked), 'Rank correlation with the map of the trained network, block by block')
    columns = [
        Column('random', 'this block and all above it have random weights'),
        Column('rank correlation', "Spearman's, with the map of the trained network, mean of the draws"),
        Column('from', 'the lowest of the draws'),
        Column('to', 'the highest of the draws'),
        Column('SSIM', 'structural similarity with the map of the trained network'),
        Column('features alone', 'rank correlation of the mean of the features, which knows of no class'),
        Column('probability, %', 'of the class, mean of the draws'),
    ]
    rows: List[Sequence[Any]] = [
        (
            step.block,
            *(_number(value) for value in (step.ranks.mean(), step.ranks.min(), step.ranks.max())),
            _number(step.likeness.mean()),
            _number(step.feature_ranks.mean()),
            Cell(f'{100 * step.probability:.1f}', step.probability),
        )
        for step in checked.steps
    ]
    body += table(columns, rows, name='sanity-table')
    moment = int(checked.evidence.maps.maps.sum(axis=(1, 2)).argmax())
    (frame,) = reader.get_batch([int(checked.evidence.maps.frames[moment])])
    items = Markup('')
    for words, series in (('trained', checked.evidence.maps), *((step.block, step.maps) for step in checked.steps)):
        items += Markup('<figure>{}<figcaption>{}</figcaption></figure>').format(
            _heated(series, moment, frame, f'map with random weights down to {words}'), words
        )
    body += Markup('<h3>The strongest frame</h3><div class="frames">{}</div>').format(items)
    lead = (
        'A map that explains an answer depends on what the network has learned. Here its weights are made random block '
        'by block, from the classifier down, and the map of the same class is made again (Adebayo et al. 2018). '
        f'A rank correlation above {LEARNED} at the end would mean that the map explains nothing.'
    )
    return Section('sanity', 'Does it depend on what was learned?', body, lead)


def _number(value: float) -> Cell:
    return Cell(f'{value:.2f}', float(value))


def sanity_figure(checked: Sanity) -> Figure:
    """Draw how alike the map and the features' mean stay to those of the trained network, block by block."""
    figure = Figure(figsize=(7.2, 3), layout='constrained')
    axes = figure.subplots()
    names = ['trained', *(step.block for step in checked.steps)]
    places = np.arange(len(names))
    series: List[tuple] = [
        ('evidence (rank correlation)', [step.ranks for step in checked.steps], COLORS[0], 'o-'),
        ('evidence (SSIM)', [step.likeness for step in checked.steps], COLORS[3], 's--'),
        ('features alone (rank correlation)', [step.feature_ranks for step in checked.steps], COLORS[1], '^:'),
    ]
    for label, draws, color, style in series:
        means = np.array([1.0, *(values.mean() for values in draws)])
        axes.plot(places, means, style, color=color, label=label)
        lows, highs = ([1.0, *(getattr(values, end)() for values in draws)] for end in ('min', 'max'))
        axes.fill_between(places, lows, highs, color=color, alpha=0.15, linewidth=0)
    axes.axhline(0, color='#b0b0b0', linewidth=0.8)
    axes.set_xticks(places, names)
    axes.set_xlabel('random from the head down to')
    axes.set_ylim(-1.05, 1.05)
    axes.legend(frameon=False, fontsize=9)
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
    return figure
