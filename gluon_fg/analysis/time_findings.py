"""What probes of time show of a network, in whole sentences and plain tables."""

from __future__ import annotations

from typing import List, Sequence

from ..evaluation.tables import columns, percent
from .reversal import Turn
from .time_probes import LEVEL, NEEDS, NONE_SHOWN, TOO_FEW, Cost, Probe, TimeProbes

_NAMED = 12  # classes or turns that a sentence names, at most

_VERDICTS = {
    NEEDS['reversed']: 'need the direction of time: reversed, fewer of their videos are right',
    NEEDS['shuffled']: 'need the order of frames, and their reversal costs nothing that is shown',
    NEEDS['frozen']: 'need several frames, in any order',
    NONE_SHOWN: 'are not shown to need more than the middle frame',
    TOO_FEW: 'have too few right answers for any need to be shown',
}


def findings(results: TimeProbes) -> List[str]:
    """Say in a sentence each what the probes show, and what they do not."""
    return [*_of_classes(results), *_of_reversal(results), *map(_of_probe, results.probes), *_not_shown(results)]


def _of_probe(probe: Probe) -> str:
    whole, random = (
        probe.whole,
        f' ({_count(probe.orders, "order", "orders")} of each video)' if probe.kind == 'shuffled' else '',
    )
    kind = f'{probe.kind.capitalize()}{random}'
    if whole.p_value >= LEVEL:
        return f'{kind}, no change is shown: {_span(whole)}.'
    way = 'falls' if whole.change < 0 else 'rises'
    return f'{kind}, top-1 {way} from {percent(whole.before)} to {percent(whole.after)} %: {_span(whole)}.'


def _span(cost: Cost) -> str:
    return f'{percent(cost.change, True)} points, 95 % interval {percent(cost.low, True)} to {percent(cost.high, True)}'


def _of_classes(results: TimeProbes) -> List[str]:
    lines = []
    for need, words in _VERDICTS.items():
        names = [repr(name) for name, other in results.needs.items() if other == need]
        if names:
            lines.append(f'{len(names)} of {len(results.needs)} classes {words}: {_some(names)}.')
    return lines


def _of_reversal(results: TimeProbes) -> List[str]:
    turned, lines = results.reversal, []
    if turned.swaps:
        pairs = [f'{a.source!r} and {a.target!r} ({_of(a)}, {_of(b)})' for a, b in turned.swaps]
        lines.append(
            f'{_count(len(pairs), "pair of classes swaps", "pairs of classes swap")} when reversed (in brackets, how '
            f'many videos of each are taken for the other): {_some(pairs)}.'
        )
    swapped = {turn for pair in turned.swaps for turn in pair}
    single = [f'{t.source!r} for {t.target!r} ({_of(t)})' for t in turned.turns if t not in swapped]
    if single:
        lines.append(
            f'{_count(len(single), "class is", "classes are")} taken for another when reversed, and the way back is '
            f'not shown: {_some(single)}.'
        )
    if not turned.turns:
        lines.append('No class is shown to turn into another when reversed.')
    lines.append(f'{turned.kept} of {turned.videos} videos get the same answer when reversed.')
    return lines


def _not_shown(results: TimeProbes) -> List[str]:
    """What the numbers do not say."""
    costs = [cost for probe in results.probes for cost in probe.classes]
    least = next(k for k in range(1, 1000) if 2 * 0.5**k * len(costs) < LEVEL)
    few, most = min(cost.videos for cost in costs), max(cost.videos for cost in costs)
    videos = _count(few, 'video', 'videos') if few == most else f'{few} to {most} videos'
    return [
        f'A class has {videos}; with {len(costs)} tests (Holm) a cost of a single class is shown where about '
        f'{least} of them turn wrong, and smaller ones are not.',
        'Frozen and shuffled frames look like no video that the network was trained on, which may cost something by '
        'itself: what order is worth is at most what they cost.',
        'It is this network that was asked: one that was trained otherwise may need what this one does not, and what '
        'it needs may be a short cut of these videos.',
    ]


def _of(turn: Turn) -> str:
    return f'{turn.after} of {turn.videos}'


def _count(number: int, singular: str, plural: str) -> str:
    return f'{number} {singular if number == 1 else plural}'


def _some(parts: Sequence[str]) -> str:
    more = f' and {len(parts) - _NAMED} more' if len(parts) > _NAMED else ''
    return ', '.join(parts[:_NAMED]) + more


def p_text(value: float) -> str:
    """A p-value as tables show it."""
    return f'{value:.2g}' if value >= 1e-4 else '<0.0001'


def format_probes(results: TimeProbes) -> str:
    """Set the tables of alterations and groups as text, in percent."""
    first = results.probes[0].whole
    rows = [['forward', percent(first.before), '', '', '', percent(first.sure_before)]]
    for probe in results.probes:
        whole = probe.whole
        span = f'[{percent(whole.low, True)}, {percent(whole.high, True)}]'
        numbers = [percent(whole.after), percent(whole.change, True), span, p_text(whole.p_value)]
        numbers.append(percent(whole.sure_after))
        rows.append([probe.kind, *numbers])
    text = columns(['frames', 'top-1 %', 'change', '95 % interval', 'p', 'true class %'], rows)
    if results.probes[0].groups:
        kinds = [probe.kind for probe in results.probes]
        groups = [
            [first.name, percent(results.chance[first.name]), percent(first.before)]
            + [percent(probe.groups[place].after) for probe in results.probes]
            for place, first in enumerate(results.probes[0].groups)
        ]
        text += f'\n\nwithin the group, in %\n{columns(["group", "chance", "forward", *kinds], groups)}'
    return text
