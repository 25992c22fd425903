"""How the network was trained: curves of its run, its configuration, and what it was computed with."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from markupsafe import Markup
from matplotlib.figure import Figure

from ..figures import COLORS
from ..pages import Section, drawn, facts
from .content import Content, RunFacts

_NAMES = {'map': 'mAP', 'top1': 'top-1', 'within_group': 'within the group'}
Line = Tuple[str, List[float], List[float]]


def sections(content: Content) -> List[Section]:
    """Loss, accuracy and learning rate over epochs, and the configuration, of each run; nothing without one."""
    bodies = [
        (Markup('<h3>{}</h3>').format(title) if content.other is not None else Markup('')) + _run(run)
        for title, run in content.runs
    ]
    return [Section('training', 'Training', Markup('').join(bodies))] if bodies else []


def _run(run: RunFacts) -> Markup:
    records = in_line(run.records)
    figures = [drawing for drawing in (_losses(records), _accuracies(records), _rates(records)) if drawing]
    body = [Markup('<div class="drawings">{}</div>').format(Markup('').join(figures))] if figures else []
    body.append(facts(run.facts))
    environment = facts((name, _said(value)) for name, value in run.environment.items())
    for title, folded in (
        ('Computed with', environment),
        ('Configuration, every value', Markup('<pre><code>{}</code></pre>').format(run.config)),
    ):
        body.append(Markup('<details><summary>{}</summary>{}</details>').format(title, folded))
    return Markup('').join(body)


def in_line(records: Sequence[Mapping[str, Any]]) -> List[Mapping[str, Any]]:
    """The records of a run whose stages each count their epochs from the beginning, one stage behind the other."""
    ended, offset, stage = 0.0, 0.0, None
    shifted: List[Mapping[str, Any]] = []
    for record in records:
        if record.get('stage') != stage:
            stage, offset = record.get('stage'), ended
        if _number(record.get('epoch')):
            record = {**record, 'epoch': record['epoch'] + offset}
            ended = max(ended, record['epoch'])
        shifted.append(record)
    return shifted


def _said(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ' '.join(map(str, value))
    if value is None or isinstance(value, bool):
        return {True: 'yes', False: 'no', None: 'not set'}[value]
    return str(value)


def series(records: Sequence[Mapping[str, Any]], event: str, name: str, x: str = 'epoch') -> Tuple[list, list]:
    """The values of a name in a run's records of an event, and where they stand; what is no number is left out."""
    known = [record for record in records if record['event'] == event and _number(record.get(name))]
    known = [record for record in known if _number(record.get(x))]
    return [record[x] for record in known], [record[name] for record in known]


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _losses(records: Sequence[Mapping[str, Any]]) -> Markup:
    """Losses of training, the sum and each branch's."""
    lines = _named(records, 'epoch', 'loss')
    if len({x for _, xs, _ in lines for x in xs}) < 2:  # one epoch is no curve: its updates are
        lines = _named(records, 'train', 'loss') or lines
    if not lines:
        return Markup('')
    if len(lines) == 2 and lines[0][1:] == lines[1][1:]:  # a single branch is all there is
        lines = lines[:1]
    values = [y for _, _, ys in lines for y in ys]
    wide = min(values) > 0 and max(values) > 20 * min(values)
    return _chart('training loss', lines, {'yscale': 'log'} if wide else {}, 'training loss over epochs')


def _accuracies(records: Sequence[Mapping[str, Any]]) -> Markup:
    """Accuracies of training, each branch's, dashed, and of validation."""
    trained = [(f'{name}, training', xs, _percent(ys)) for name, xs, ys in _named(records, 'epoch', 'top1')]
    lines = []
    for name, title in _NAMES.items():
        xs, ys = series(records, 'val', name)
        if xs:
            lines.append((f'{title}, validation', xs, _percent(ys)))
    if not (lines or trained):
        return Markup('')
    return _chart('%', lines, {'ylim': (0, 102)}, 'accuracy over epochs', trained)


def _rates(records: Sequence[Mapping[str, Any]]) -> Markup:
    """The learning rate, of updates where they were recorded."""
    xs, ys = series(records, 'train', 'lr')
    if not xs:
        xs, ys = series(records, 'epoch', 'lr')
    if not xs:
        return Markup('')
    return _chart('learning rate', [('learning rate', xs, ys)], {'ylim': (0, None)}, 'learning rate over epochs')


def _named(records: Sequence[Mapping[str, Any]], event: str, start: str) -> List[Line]:
    """Lines of all values whose names are `start` or begin so; a branch goes by its own name."""
    names: Dict[str, None] = {}
    for record in records:
        if record['event'] == event:
            names.update(dict.fromkeys(name for name in record if name == start or name.startswith(f'{start}_')))
    lines = []
    for name in names:
        xs, ys = series(records, event, name)
        if xs:
            lines.append((name[len(start) + 1 :] or 'all', xs, ys))
    return lines


def _percent(values: Sequence[float]) -> List[float]:
    return [100 * value for value in values]


def _chart(title: str, lines: Sequence[Line], look: Dict[str, Any], alt: str, dashed: Sequence[Line] = ()) -> Markup:
    """Draw lines over epochs; the last values stand in the drawing's text."""
    figure = Figure(figsize=(3.5, 2.7), layout='constrained')
    axis = figure.subplots()
    for place, (name, xs, ys) in enumerate(lines):
        marker = '.' if len(xs) < 20 else ''
        axis.plot(xs, ys, marker=marker, color=COLORS[place % len(COLORS)], linewidth=1.8, label=name)
    for place, (name, xs, ys) in enumerate(dashed):
        color = COLORS[(len(lines) + place) % len(COLORS)]
        axis.plot(xs, ys, '--', color=color, linewidth=1.1, label=name)
    axis.set(xlabel='epoch', **look)
    axis.set_title(title, fontsize=10, loc='left')
    axis.grid(color='#e4e4e4', linewidth=0.7)
    axis.tick_params(labelsize=9)
    for side in ('top', 'right'):
        axis.spines[side].set_visible(False)
    if len(lines) + len(dashed) > 1:
        axis.legend(fontsize=8, frameon=False)
    last = ', '.join(f'{name} {ys[-1]:.4g}' for name, _, ys in (*lines, *dashed))
    return drawn(figure, f'{alt}; at the end: {last}')
