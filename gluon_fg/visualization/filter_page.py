"""A page on class filters: how well each separates its class, its strongest clips, and which are dead or copies."""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from markupsafe import Markup

from ..analysis.filter_audit import Example, FilterAudit
from ..analysis.filters import FilterStrength
from ..analysis.pointing import Pointing
from ..errors import VideoError
from .figures import COLORS, FilePath, boxed, fit
from .pages import Card, Cell, Column, Section, cards, percent_cell, picture, table, tiles, verdict, write_page

MOST = 3000  # pictures in a page
_SIDE = 104  # pixels, the longer side of a picture
_LINE = 34  # letters of a class's name that stay in a line
_BINS, _WIDE, _UP, _DOWN = 30, 240, 40, 26  # of a distribution: intervals, and pixels across, above and below its axis

Truth = Callable[[int], Sequence]


class _Shown(NamedTuple):
    """A filter in the page: its rating, and a picture of each of its strongest clips, as far as there are any."""

    row: FilterStrength
    pictures: List[Markup]


def write_filter_page(
    path: FilePath,
    audit: FilterAudit,
    model: str,
    truth: Optional[Truth] = None,
    force: bool = False,
    most: int = MOST,
) -> None:
    """Write the page as one HTML file, atomically.

    Parameters
    ----------
    path
        of the page
    audit
        of the network's filters, with the strongest clips of each
    model
        what to call the network
    truth
        boxes of the true detail of a video, by its position in the dataset, which pictures then show
    force
        whether a file that is there may be replaced
    most
        pictures in the page: where there would be more, the strongest filters of each class have theirs
    """
    pictures, missing = _pictures(audit, truth, most)
    shown = [_Shown(row, pictures.get(row.filter, [])) for row in audit.rows]
    sections = [
        Section('summary', 'In short', _summary(audit, missing), _lead(audit)),
        Section('classes', 'Classes', _classes(audit), 'A click on a class shows its filters below.'),
        Section(
            'filters', 'All filters', _filters(audit), 'The nearest other filter is that with the most similar weights.'
        ),
        Section('clips', 'Strongest clips', _cards(audit, shown), _legend(audit)),
    ]
    about = f'{len(audit.rows)} filters of {len(audit.classes)} classes'
    about += f', on {len(audit.videos)} videos of {audit.dataset.name}'
    write_page(path, f'Class filters of {model}', about, sections, force)


def _lead(audit: FilterAudit) -> str:
    return (
        'Each class has filters of its own, and the highest response of a filter over a video is what it says of the '
        'video. AUC is how often a video of its class excites a filter more than one of another class: 1 where it '
        'separates its class from all others, 0.5 where it is no better than chance.'
    )


def _legend(audit: FilterAudit) -> Markup:
    words = Markup(
        'Curves: responses on videos of the class, above the line, and on all others, below it. Pictures: the frame '
        'and place of the highest responses (<span class="mark" style="--mark: {}">box</span>{}), the strongest '
        'first, and of which class the video is.'
    )
    true = Markup('; <span class="mark" style="--mark: {}">the true detail</span>').format(COLORS[1])
    return words.format(COLORS[0], true if audit.pointing else '')


# Pictures


def _pictures(audit: FilterAudit, truth: Optional[Truth], most: int) -> Tuple[Dict[int, List[Markup]], List[str]]:
    """Pictures of each filter's strongest clips, and why some are missing."""
    wanted: Dict[int, List[Tuple[int, int, Example]]] = {}
    for number in _first_served(audit, most):
        for place, example in enumerate(audit.examples[number]):
            wanted.setdefault(example.video, []).append((number, place, example))
    made, missing = {}, []
    for video in sorted(wanted):
        frames = sorted({example.frame for *_, example in wanted[video]})
        try:
            with audit.dataset.open(video) as reader:
                decoded = dict(zip(frames, reader.get_batch(frames)))
        except VideoError as error:
            missing.append(str(error))
            continue
        for number, place, example in wanted[video]:
            boxes = truth(video) if truth else ()
            made[number, place] = _clip(audit, number, example, decoded[example.frame], boxes)
    return {n: [made[n, k] for k in range(len(e)) if (n, k) in made] for n, e in enumerate(audit.examples)}, missing


def _first_served(audit: FilterAudit, most: int) -> List[int]:
    """The filters that get pictures: the strongest of all classes, then the second ones, as long as there is room."""
    each = max((len(examples) for examples in audit.examples), default=0) or 1
    place: Dict[int, int] = {}
    rank = {}
    for row in audit.rows:  # of each class the strongest first
        rank[row.filter] = place[row.label] = place.get(row.label, -1) + 1
    return sorted(rank, key=lambda number: (rank[number], number))[: most // each]


def _clip(audit: FilterAudit, number: int, example: Example, frame: np.ndarray, boxes: Sequence) -> Markup:
    record, own = audit.dataset.records[example.video], number // (len(audit.rows) // len(audit.classes))
    label = record.label
    small, scale = fit(np.ascontiguousarray(frame), _SIDE, _SIDE)
    for box in boxes:
        if box.t == example.frame:
            rim = 3 / scale  # around it, so that the detail is not hidden by its box
            small = boxed(small, (box.x0 - rim, box.y0 - rim, box.x1 + rim, box.y1 + rim), scale, COLORS[1])
    small = boxed(small, example.box, scale, COLORS[0])
    name = audit.classes[label]
    words = f'{record.name}, frame {example.frame}, {name}: response {example.value:.2f}'
    of = Markup('{} <b>{}</b>').format('\u2713' if label == own else '\u2717', 'own' if label == own else name)
    return Markup('<figure title="{}">{}<figcaption>{:.2f} {}</figcaption></figure>').format(
        words, picture(small, words), example.value, of
    )


# Tables


def _summary(audit: FilterAudit, missing: Sequence[str]) -> Markup:
    rows = audit.rows
    best: Dict[int, float] = {}
    for row in rows:
        best[row.label] = max(best.get(row.label, 0.0), row.auc)
    dead, copies = sum(row.note == 'dead' for row in rows), sum(row.note.startswith('like') for row in rows)
    numbers = [
        (f'{np.mean(list(best.values())):.3f}', 'AUC of the best filter', 'mean over classes'),
        (f'{np.mean([row.auc for row in rows]):.3f}', 'AUC of a filter', 'mean over all filters'),
        (str(dead), 'dead filters', 'the same response on every video'),
        (str(copies), 'copies', 'weights with a cosine above 0.99'),
    ]
    if audit.pointing:
        numbers.append(
            (f'{100 * audit.pointing.hits:.1f} %', 'peaks on the true detail', f'by chance {_chance(audit.pointing)}')
        )
    said = [_weak(rows), *([_pointing_words(audit.pointing)] if audit.pointing else [])]
    if missing:
        words = f'Pictures are missing of videos that could not be opened again, {len(missing)} in all: {missing[0]}'
        said.append(verdict(words, 'warn'))
    return tiles(numbers) + Markup('').join(Markup('<p>{}</p>').format(line) for line in said)


def _weak(rows: Sequence[FilterStrength]) -> Markup:
    weak = [row for row in rows if row.auc < 0.6]
    if not weak:
        return verdict('Every filter responds more to its own class than to others (AUC of 0.6 or more).', 'good')
    names = list(dict.fromkeys(row.class_name for row in weak))
    shown = ', '.join(names[:3]) + (f' and {len(names) - 3} more classes' if len(names) > 3 else '')
    words = f'{len(weak)} of {len(rows)} filters do not tell their class from others (AUC < 0.6): {shown}'
    return verdict(words, 'warn')


def _chance(pointing: Pointing) -> str:
    return f'{100 * pointing.chance:.1f} %, always the middle {100 * pointing.center:.1f} %'


def _pointing_words(pointing: Pointing) -> Markup:
    groups = ', '.join(f'{name} {100 * part.hits:.0f} %' for name, part in pointing.groups.items())
    words = f"On {pointing.videos} videos the peak of the true class's strongest filter lies on the true detail, in"
    words += f' space and time, in {100 * pointing.hits:.1f} % (by chance {_chance(pointing)})'
    return verdict(words + (f'; by group: {groups}.' if groups else '.'), 'plain')


def _classes(audit: FilterAudit) -> Markup:
    by_class: Dict[int, List[FilterStrength]] = {}
    for row in audit.rows:
        by_class.setdefault(row.label, []).append(row)
    narrow = max(map(len, audit.classes)) <= _LINE
    columns: List[Union[str, Column]] = [Column('class', narrow=narrow), *(['group'] if audit.groups else [])]
    columns += [
        'videos',
        'best filter',
        'its AUC',
        Column('lowest AUC', 'Of the filters of the class'),
        'dead or copies',
    ]
    if audit.pointing:
        columns += [Column('on the detail, %', "Peaks of the class's strongest filter"), Column('by chance, %')]
    rows: List[list] = []
    for label, of_class in by_class.items():
        name = audit.classes[label]
        link = Markup('<a href="#clips" data-find="clips-list" data-words="{}">{}</a>').format(_quoted(name), name)
        best, lowest = max(of_class, key=lambda row: row.auc), min(row.auc for row in of_class)
        cells: list = [link, *([audit.groups[label]] if audit.groups else [])]
        cells += [int((audit.labels == label).sum()), best.filter, _short(best.auc), _short(lowest)]
        cells.append(sum(bool(row.note) for row in of_class))
        if audit.pointing:
            cells += [percent_cell(_hits(audit, label)), percent_cell(_hits(audit, label, 1))]
        rows.append(cells)
    return table(columns, rows, name='classes-list')


def _quoted(name: str) -> str:
    """A name as words that a list takes as a whole; its box knows no quotes inside quotes."""
    return name.replace('"', ' ') if '"' in name else f'"{name}"'


def _hits(audit: FilterAudit, label: int, field: int = 0) -> Optional[float]:
    results = [result[field] for i, result in audit.pointed.items() if audit.dataset.records[i].label == label]
    return float(np.mean(results)) if results else None


def _filters(audit: FilterAudit) -> Markup:
    per_class = len(audit.rows) // len(audit.classes)
    columns: List[Union[str, Column]] = [
        'filter',
        'class',
        Column('AUC', 'How often a video of its class excites it more than another'),
        Column('own', 'Mean highest response on videos of its class'),
        Column('others', 'Mean highest response on all other videos'),
        Column('spread', 'Standard deviation over all videos'),
        Column('nearest', 'The other filter with the most similar weights'),
        Column('its class'),
        Column('cosine', 'Of the weights of the two'),
        Column('correlation', 'Of the responses of the two over videos'),
        'note',
    ]
    rows: List[list] = []
    for row in audit.rows:
        twin = audit.twins[row.filter]
        near = twin.filter // per_class
        rows.append(
            [
                row.filter,
                row.class_name,
                *(_short(value) for value in (row.auc, row.own, row.others, row.spread)),
                twin.filter,
                'same' if near == row.label else audit.classes[near],
                _short(twin.cosine),
                _short(twin.correlation),
                row.note or '\u2013',
            ]
        )
    return table(columns, rows, name='filters-list')


def _short(value: float) -> Cell:
    return Cell(f'{value:.3f}', value) if np.isfinite(value) else Cell('\u2013', None)


# Cards


def _cards(audit: FilterAudit, shown: Sequence[_Shown]) -> Markup:
    by_class: Dict[int, List[_Shown]] = {}
    for of_filter in shown:
        by_class.setdefault(of_filter.row.label, []).append(of_filter)
    items = []
    for label, filters in by_class.items():
        name, hits = audit.classes[label], _hits(audit, label)
        head = Markup('<h3>{}</h3>').format(name)
        facts = [audit.groups[label]] if audit.groups else []
        facts.append(f'{int((audit.labels == label).sum())} videos')
        if hits is not None:
            facts.append(f'peaks on the true detail: {100 * hits:.0f} %')
        body = head + Markup('<p class="quiet">{}</p>').format(' \u00b7 '.join(facts))
        body += Markup('').join(_filter(audit, of_filter) for of_filter in filters)
        aucs = [of_filter.row.auc for of_filter in filters]
        odd = float(sum(bool(of_filter.row.note) for of_filter in filters))
        words = [name, *([audit.groups[label]] if audit.groups else [])]
        items.append(
            Card(body, tuple(words), (max(aucs), -max(aucs), -min(aucs), odd, None if hits is None else -hits))
        )
    orders = ['best AUC', 'worst AUC of the best filter', 'worst AUC of any filter', 'dead or copies']
    return cards(items, [*orders, *(['off the true detail'] if audit.pointing else [])], name='clips-list')


def _filter(audit: FilterAudit, shown: _Shown) -> Markup:
    row = shown.row
    note = verdict({'dead': 'dead: the same on every video'}.get(row.note, row.note), 'warn') if row.note else ''
    clips = Markup('<div class="strip">{}</div>').format(Markup('').join(shown.pictures)) if shown.pictures else ''
    return Markup(
        '<div class="filter"><div><p><b>filter {}</b> {}<br>AUC {:.3f}; own {:.2f}, others {:.2f}</p>{}</div>{}</div>'
    ).format(row.filter, note, row.auc, row.own, row.others, _distribution(audit, row), clips)


def _distribution(audit: FilterAudit, row: FilterStrength) -> Markup:
    """Responses on videos of the class, upwards, and on the others, downwards: each as shares of its own videos."""
    values, own = audit.responses[:, row.filter], audit.labels == row.label
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    mine, rest = (np.histogram(part, edges)[0] / len(part) for part in (values[own], values[~own]))
    tallest = max(mine.max(), rest.max())
    words = f'responses from {low:.2f} to {high:.2f}: own class {row.own:.2f} on average, others {row.others:.2f}'
    return Markup(
        '<svg class="spread" viewBox="0 0 {w} {h}" role="img" aria-label="{words}"><path class="in" d="{mine}"/>'
        '<path class="out" d="{rest}"/><line x1="0" x2="{w}" y1="{up}" y2="{up}"/>'
        '<text x="0" y="{h}">{low:.2f}</text><text x="{w}" y="{h}" text-anchor="end">{high:.2f}</text></svg>'
    ).format(
        w=_WIDE,
        h=_UP + _DOWN + 12,
        up=_UP,
        words=words,
        mine=_steps(mine / tallest * _UP, -1),
        rest=_steps(rest / tallest * _DOWN, 1),
        low=low,
        high=high,
    )


def _steps(heights: np.ndarray, way: int) -> str:
    """The outline of bars side by side, from the axis up (-1) or down (1)."""
    step = _WIDE / len(heights)
    outline = ''.join(f'V{_UP + way * height:.1f}h{step:g}' for height in heights)
    return f'M0 {_UP}{outline}V{_UP}Z'
