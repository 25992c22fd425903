"""The head of the report: what was measured, on what, and how sure the numbers are."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from markupsafe import Markup

from ...evaluation.metrics import summarize
from ...evaluation.score import Scores
from ...evaluation.statistics import wilson
from ..pages import Cell, Section, facts, interval, percent_cell, table, tiles, verdict
from .content import Content

_WITHOUT_INTERVAL = '\u2013'


def sections(content: Content) -> List[Section]:
    """Accuracies with their intervals, of each branch, what was scored, and what the numbers do not show."""
    summaries = [summarize(scores) for _, scores in content.both]
    body = [*_headlines(content), *map(_note, content.notes), *_counts(content)]
    for (title, _), summary in zip(content.both, summaries):
        if content.other is not None:
            body.append(Markup('<h3>{}</h3>').format(title))
        body.append(_tiles(summary))
    if any(len(summary['branches']) > 1 for summary in summaries):
        body.append(Markup('<h3>Branches</h3>'))
        body.append(_branches(content.titles, summaries))
    body.append(_facts(content))
    return [Section('summary', 'Summary', Markup('').join(body))]


def of_videos(hits: Optional[float], videos: int) -> str:
    """The 95 % interval of a share of videos in words, in percent."""
    if hits is None or not videos:
        return ''
    low, high = wilson(round(hits * videos), videos)
    return f'95 % interval {100 * low:.1f} to {100 * high:.1f} %'


def _headlines(content: Content) -> List[Markup]:
    of = '{}: ' if content.other is not None else ''
    return [Markup('<p>{}{}</p>').format(of.format(title), run.headline) for title, run in content.runs]


def _note(text: str) -> Markup:
    return Markup('<p>{}</p>').format(verdict(text, 'plain'))


def _counts(content: Content) -> List[Markup]:
    lines = []
    for title, scores in content.both:
        of = f'{title}: ' if content.other is not None else ''
        failed = len(scores.failed)
        text = f'{of}{scores.listed} videos listed = {len(scores.ids)} scored + {failed} failed'
        if failed or content.other is None:
            lines.append(Markup('<p>{}</p>').format(verdict(text, 'warn' if failed else 'good')))
    scores = content.scores
    unknown = int((scores.labels < 0).sum()) if scores.targets is None else 0
    if unknown:
        text = f'{unknown} of the {len(scores.ids)} scored videos have no label, and are in no accuracy'
        lines.append(Markup('<p>{}</p>').format(verdict(text, 'warn')))
    return lines


def _tiles(summary: Dict[str, Any]) -> Markup:
    """The large numbers of one network."""
    videos, topk = summary['labelled'], f'top-{summary["topk"]}'
    if not videos:
        return Markup('<p>No video has a label, so there is no accuracy.</p>')
    few = 'all the classes' if summary['topk'] < 5 else ''
    if 'map' in summary:
        numbers = [
            (_percent(summary['map']), 'mAP', f'mean over {summary["map_classes"]} classes'),
            (_percent(summary['top1']), 'top-1', "the likeliest class is one of the video's"),
            (_percent(summary['top5']), topk, "one of these is one of the video's"),
        ]
        return tiles(numbers)
    numbers = [
        (_percent(summary['top1']), 'top-1', of_videos(summary['top1'], videos)),
        (_percent(summary['top5']), topk, few or of_videos(summary['top5'], videos)),
        (_percent(summary['mean_class']), 'mean over classes', 'each class counts the same'),
    ]
    if summary['group_top1'] is not None:
        numbers += [
            (_percent(summary['group_top1']), 'right group', of_videos(summary['group_top1'], videos)),
            (_percent(summary['within_group']), 'within the group', 'likeliest class of the true group alone'),
        ]
    return tiles(numbers)


def _percent(value: Optional[float]) -> str:
    return _WITHOUT_INTERVAL if value is None else f'{100 * value:.1f} %'


def _branches(titles: Sequence[str], summaries: Sequence[Dict[str, Any]]) -> Markup:
    """Every branch of every network."""
    measures = [('map', 'mAP, %')] if 'map' in summaries[0] else []
    measures += [('top1', 'top-1, %'), ('top5', f'top-{summaries[0]["topk"]}, %')]
    if all(summary['group_top1'] is not None for summary in summaries):
        measures.append(('within_group', 'within group, %'))
    rows: List[Tuple[Any, ...]] = []
    for title, summary in zip(titles, summaries):
        for name, row in summary['branches'].items():
            sure = () if 'map' in summary else (share(row['top1'], summary['labelled']),)
            named = (title, name) if len(titles) > 1 else (name,)
            rows.append((*named, *(percent_cell(row[key]) for key, _ in measures), *sure))
    heads = ['scores', 'branch'] if len(titles) > 1 else ['branch']
    ends = [] if 'map' in summaries[0] else ['top-1, 95 % interval']
    return table([*heads, *(head for _, head in measures), *ends], rows)


def share(hits: Optional[float], videos: int) -> Cell:
    """A cell that draws a share of videos with its 95 % interval (Wilson)."""
    if hits is None or not videos:
        return Cell('', None)
    low, high = wilson(round(hits * videos), videos)
    return Cell(interval(hits, low, high), hits)


def _facts(content: Content) -> Markup:
    """What was scored by what, and what the intervals mean."""
    explained = (
        'Intervals are Wilson\u2019s, at 95 %: between which limits the share would lie if other videos of the same '
        'kind were drawn. They say nothing of other seeds of training.'
    )
    if content.scores.targets is not None:
        explained = 'Videos have several labels: mAP is the mean of the classes\u2019 average precision.'
    told = [dict(_told(scores)) for _, scores in content.both]
    if content.net is not None:
        told[0]['input'] = content.net.input_spec.summary
        if content.run is None:
            told[0]['weights'] = str(content.net.weights_source)
    names = [name for name in dict.fromkeys(name for each in told for name in each) if any(e.get(name) for e in told)]
    if len(told) == 1:
        shown = facts((name, told[0][name]) for name in names)
    else:
        shown = table(['fact', *content.titles], [[name, *(each.get(name, '') for each in told)] for name in names])
    return shown + Markup('<p class="quiet">{}</p>').format(explained)


def _told(scores: Scores) -> List[Tuple[str, str]]:
    labeled = int(np.count_nonzero(scores.labels >= 0))
    return [
        ('network', scores.model),
        ('data', scores.dataset),
        ('videos', f'{len(scores.ids)} scored, {labeled} with a label, {len(scores.failed)} failed'),
        ('classes', f'{len(scores.classes)}' + (f' in {len(set(scores.groups))} groups' if scores.groups else '')),
        ('views', scores.protocol),
        ('computed with', scores.execution),
    ]
