"""A page on the classes that a network takes for look-alikes: matrix and pairs at every threshold, and their masks.

The thresholds are those of `analysis.relation`; the page's script (`pages/relation.js`) only looks up what they take.
"""

from __future__ import annotations

import base64
from typing import Any, Dict, List, Sequence, Union

import numpy as np
from markupsafe import Markup
from matplotlib import colormaps

from ..analysis.placement import Placement
from ..analysis.relation import ExampleMasks, Kind, Relation
from .figures import HEAT, FilePath
from .pages import Cell, Column, Section, json_data, percent_cell, picture, table, write_page

_AT = (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20)  # n, in the table of thresholds
_SIDE = 132  # pixels, the longer side of a frame


def write_relation_page(
    path: FilePath, relation: Relation, examples: Sequence[ExampleMasks] = (), note: str = '', force: bool = False
) -> None:
    """Write the page as one HTML file, atomically.

    Parameters
    ----------
    path
        of the page
    relation
        similarities of classes and all their cuts
    examples
        masks of all classes for some clips; none for a network without masks
    note
        why there are no masks where there might be
    force
        whether a file that is there may be replaced
    """
    similar = relation.similar
    about = f'{len(similar.classes)} classes, by the features of {similar.source}'
    sections = [
        Section('explore', 'Look-alikes at a threshold', _explorer(relation, examples, note), _lead(relation)),
        Section(
            'thresholds',
            'Thresholds in numbers',
            Markup('').join(_thresholds(relation, kind) for kind in relation.kinds),
            'What the slider shows, where n is nearest to a round number; n counts the predicted class itself.',
        ),
    ]
    write_page(path, f'Look-alike classes of {similar.model}', about, sections, force, scripts=('relation.js',))


def _lead(relation: Relation) -> str:
    lead = (
        'Two classes are similar (S, from 0 for the least similar pair to 1) where their videos fire the same channels '
        'of the features. Every pair with S at or above the threshold alpha counts as look-alikes, and a prediction of '
        'one of them selects both.'
    )
    if not relation.matrix_name:
        return lead
    return f'{lead} The {relation.matrix_name}, which training made, is such a selection.'


def _explorer(relation: Relation, examples: Sequence[ExampleMasks], note: str) -> Markup:
    kinds = Markup('').join(
        Markup('<option value="{}">{}</option>').format(place, kind.name) for place, kind in enumerate(relation.kinds)
    )
    classes = Markup('').join(
        Markup('<option value="{}">{}</option>').format(i, relation.similar.classes[i]) for i in relation.order
    )
    clips = Markup('').join(
        Markup('<option value="{}">{} \u2013 {}</option>').format(place, relation.similar.classes[e.label], e.name)
        for place, e in enumerate(examples)
    )
    masks = Markup(
        '<h3>Masks of a clip</h3><p class="quiet">Each class has a mask over the features. A prediction looks through '
        'the mean of the masks that it selects: move the slider to see it change.</p>'
        '<p><label>clip <select id="clip">{}</select></label></p><div id="masks"></div>'
    ).format(clips)
    absent = Markup('<p class="quiet">{}</p>').format(note) if note else Markup('')
    return Markup(
        '<div id="relation" hidden>'
        '<div class="tools"><label>alpha <input type="number" id="at" step="any" inputmode="decimal"></label>'
        '<label>n <input type="number" id="count" step="any" min="1" inputmode="decimal"></label>{own}'
        '<label{several}>features <select id="kind">{kinds}</select></label></div>'
        '<div class="steering"><label class="slide"><span>alpha</span> '
        '<input type="range" id="alpha" min="0" step="1"></label><p id="told" role="status"></p></div>'
        '<div class="halves"><div><h3>Matrix</h3><p class="quiet">Above the diagonal S, bright for similar pairs; '
        'below it the pairs that the threshold takes. Point at a cell, tap it, or move with the arrow keys.</p>'
        '<div class="matrix"><canvas id="matrix" tabindex="0" role="img"></canvas></div>'
        '<p id="cell" class="quiet" role="status">\u00a0</p><h3>Similarities of all pairs</h3><div id="spread"></div>'
        '</div><div class="pairs"><h3>Pairs</h3><p><label>class <select id="class"><option value="">all</option>'
        '{classes}</select></label></p><p id="selects"></p><div class="wide"><table><thead><tr>'
        '<th scope="col">classes</th><th scope="col" class="n">S</th>{mine}{mistakes}</tr></thead>'
        '<tbody id="pairs"></tbody></table></div><p id="rest" class="quiet"></p></div></div>{masks}</div>'
        '<noscript><p>The slider needs JavaScript; the table below has the thresholds in numbers.</p></noscript>{data}'
    ).format(
        own=_own_button(relation),
        several=Markup(' hidden') if len(relation.kinds) < 2 else '',
        kinds=kinds,
        classes=classes,
        mistakes=Markup('<th scope="col" class="n">mistakes</th>') if relation.mistakes is not None else '',
        mine=Markup('<th scope="col">in its {}</th>').format(relation.matrix_name) if relation.matrix_name else '',
        masks=masks if examples else absent,
        data=_stills(relation, examples) + json_data(page_data(relation, examples), 'relation-data'),
    )


def _own_button(relation: Relation) -> Markup:
    if relation.kinds[0].own is None:
        return Markup('')
    return Markup('<button type="button" class="button" id="own">nearest to its {}</button>').format(
        relation.matrix_name
    )


def page_data(relation: Relation, examples: Sequence[ExampleMasks] = ()) -> Dict[str, Any]:
    """What the script reads: plain data, arrays as base64 of little-endian numbers, pairs in the order of rows.

    `kinds`: of each the first cut of every pair (`entry`), and of every cut `alphas`, `ones` and, from the second on,
    the similarity of the pairs that it adds (`values`). `own`: the network's own pairs. `mistakes`: either way round.
    """
    classes = len(relation.similar.classes)
    above = np.triu_indices(classes, 1)
    own = None if relation.matrix is None else (relation.matrix > 0) | (relation.matrix.T > 0)
    wrong = None if relation.mistakes is None else (relation.mistakes + relation.mistakes.T)[above]
    return {
        'classes': list(relation.similar.classes),
        'groups': None if relation.similar.groups is None else list(relation.similar.groups),
        'order': relation.order.tolist(),
        'kinds': [_kind_data(kind, above) for kind in relation.kinds],
        'name': relation.matrix_name,
        'own': None if own is None else _packed(own[above], '<u1'),
        'mistakes': None if wrong is None else _packed(wrong, '<u4'),
        'examples': [_example_data(example) for example in examples],
        'heat': _ramp(HEAT),
        'scale': _ramp(colormaps['viridis']),
    }


def _kind_data(kind: Kind, above: Any) -> Dict[str, Any]:
    entry, s = kind.cuts.entry[above], kind.s[above]
    values = np.zeros(len(kind.cuts.alphas) - 1)
    values[entry - 1] = s
    return {
        'name': kind.name,
        'entry': _packed(entry, '<u4'),
        'alphas': _packed(kind.cuts.alphas, '<f8'),
        'ones': _packed(kind.cuts.ones, '<u4'),
        'values': _packed(values, '<f8'),
        'own': kind.own,
        'apart': kind.apart,
    }


def _example_data(example: ExampleMasks) -> Dict[str, Any]:
    """A clip: its frames as pictures, and all masks as numbers from `low` to `high` in 65535 steps."""
    low, high = float(example.masks.min()), float(example.masks.max())
    steps = np.round((example.masks - low) / ((high - low) or 1) * 65535)
    _, moments, rows, columns = example.masks.shape
    return {
        'name': example.name,
        'label': example.label,
        'predicted': example.predicted,
        'probability': example.probability,
        'frames': example.frames.tolist(),
        'size': [moments, rows, columns],
        'place': _ends(example.placement, rows, columns),
        'low': low,
        'high': high,
        'masks': _packed(steps, '<u2'),
    }


def _ends(place: Placement, rows: int, columns: int) -> List[float]:
    """Left, upper, right and lower end of the cells, as shares of the frame."""
    stride, first = place.geometry.stride[1], place.geometry.offset[1] + 0.5 - place.geometry.stride[1] / 2
    height, width = place.seen
    return [first / width, first / height, (first + stride * columns) / width, (first + stride * rows) / height]


def _stills(relation: Relation, examples: Sequence[ExampleMasks]) -> Markup:
    """The frames of the clips, which the script draws masks over."""
    clips = []
    for place, example in enumerate(examples):
        height, width = example.pictures.shape[1:3]
        title = f'{relation.similar.classes[example.label]}, {example.name}'
        frames = (
            picture(frame, f'frame {number} of {title}', _SIDE * width // max(height, width))
            for number, frame in zip(example.frames, example.pictures)
        )
        clips.append(Markup('<div data-clip="{}">{}</div>').format(place, Markup('').join(frames)))
    return Markup('<div id="stills" hidden>{}</div>').format(Markup('').join(clips))


def _thresholds(relation: Relation, kind: Kind) -> Markup:
    """A table of what thresholds take, one for each of some n."""
    every, groups = kind.cuts, relation.similar.groups
    rows: List[list] = []
    above = np.triu_indices(len(kind.s), 1)
    entry = every.entry[above]
    inside = None if groups is None else np.array([groups[i] == groups[j] for i, j in zip(*above)])
    wrong = None if relation.mistakes is None else (relation.mistakes + relation.mistakes.T)[above]
    chosen = {int(np.abs(every.averages - n).argmin()) for n in _AT if n <= len(kind.s)}
    for cut in sorted(chosen | ({kind.own} if kind.own is not None else set())):
        taken = entry <= cut
        n, alpha = float(every.averages[cut]), float(every.alphas[cut])
        alone = len(kind.s) - len({*above[0][taken], *above[1][taken]})
        row: list = [Cell(f'{n:.2f}', n), Cell(f'{alpha:.4g}', alpha), int(taken.sum()), alone]
        if inside is not None:
            row += [_share(inside, taken), _share(taken, inside)]
        if wrong is not None:
            row.append(percent_cell(float(wrong[taken].sum() / wrong.sum()) if wrong.any() else None))
        rows.append(row)
    columns: List[Union[str, Column]] = [
        Column('n', 'Classes that a prediction selects on average, itself counted'),
        Column('alpha', 'S at or above it makes a pair'),
        'pairs',
        Column('alone', 'Classes in no pair, which select themselves only'),
    ]
    if inside is not None:
        columns += [
            Column('inside groups, %', 'Of the pairs, how many are of one group'),
            Column('of all inside, %', "Of the groups' own pairs, how many are taken"),
        ]
    if wrong is not None:
        columns.append(Column('of mistakes, %', 'Of the mistakes, how many are between classes of a pair'))
    told = Markup('')
    if kind.own is not None:
        told = Markup('<p>{}</p>').format(_own_words(relation, kind))
    return Markup('<h3>{}</h3>').format(f'By {kind.name} features') + told + table(columns, rows)


def _share(part: np.ndarray, of: np.ndarray) -> Cell:
    return percent_cell(float(part[of].mean()) if of.any() else None)


def _own_words(relation: Relation, kind: Kind) -> str:
    at = f'alpha {kind.cuts.alphas[kind.own]:.4g} (n = {kind.cuts.averages[kind.own]:.2f})'
    if not kind.apart:
        return f'The {relation.matrix_name} of the network has the very pairs of {at}.'
    return (
        f'The {relation.matrix_name} of the network is nearest to {at}: {kind.apart} pairs are in one of the two only.'
    )


def _packed(array: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array).astype(kind).tobytes()).decode()


def _ramp(colors: Any, steps: int = 32) -> List[List[int]]:
    return colors(np.linspace(0, 1, steps), bytes=True)[:, :3].tolist()
