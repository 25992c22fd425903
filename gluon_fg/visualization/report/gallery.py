"""Videos that are wrong or least certain, as cards: frames, the likeliest classes, and where the evidence lies."""

from __future__ import annotations

import math
from typing import List, NamedTuple, Sequence

import numpy as np
from markupsafe import Markup

from ...errors import printable
from ...evaluation.progress import Progress
from ...evaluation.score import Scores
from ..pages import Card, Section, bar, cards, verdict
from .content import Content
from .films import Films
from .videos import names_of

TOP = 5  # likeliest classes of a card
_SMALLEST = float(np.finfo(np.float32).tiny)  # probability, so that every loss is finite
_ORDERS = ('surest first', 'least certain first', 'largest loss first')


class Answers(NamedTuple):
    """What a network said of each of N videos.

    Parameters
    ----------
    sure
        (N,) probability of the likeliest class
    lead
        (N,) how much likelier it is than the second one
    known
        (N,) bool, whether the true class is known
    right
        (N,) bool, whether it is known and the likeliest
    """

    sure: np.ndarray
    lead: np.ndarray
    known: np.ndarray
    right: np.ndarray


class Kind(NamedTuple):
    """Videos of one kind.

    Parameters
    ----------
    words, level
        what a card says of them, and how grave that is (`pages.verdict`)
    told
        what they are called behind their numbers, '3 of 5 ...'
    places
        which they are, those first that are shown first
    share
        how many of them are shown for each of another kind whose share is 1
    """

    words: str
    level: str
    told: str
    places: np.ndarray
    share: int = 1


def answers_of(scores: Scores) -> Answers:
    """What a network said; of several labels the likeliest class is right if the video shows it."""
    p = scores.branch()
    each, best = np.arange(len(p)), p.argmax(axis=1)
    highest = np.sort(np.partition(p, -2, axis=1)[:, -2:], axis=1) if p.shape[1] > 1 else np.insert(p, 0, 0, axis=1)
    if scores.targets is None:
        right, known = scores.labels == best, scores.labels >= 0
    else:
        right, known = scores.targets[each, best], scores.targets.any(axis=1)
    return Answers(highest[:, 1], highest[:, 1] - highest[:, 0], known, right & known)


def sections(content: Content) -> List[Section]:
    """The gallery; nothing where none is wanted."""
    kinds = kinds_of(content)
    counts = shared_out([len(kind.places) for kind in kinds], [kind.share for kind in kinds], content.pictures)
    if not sum(counts):
        return []
    chosen = [(kind, int(place)) for kind, count in zip(kinds, counts) for place in kind.places[:count]]
    films = Films(content)
    items = []
    with Progress(len(chosen), 0, 'pictures of the gallery', content.videos is not None) as progress:
        for kind, place in chosen:
            items.append(_card(content, kind, place, films))
            progress.update()
    lead = _lead(kinds, counts, films)
    return [Section('gallery', 'Gallery', cards(items, _ORDERS, name='gallery-cards'), lead)]


def kinds_of(content: Content) -> List[Kind]:
    """The kinds of videos that are worth a look, in the order of their cards."""
    first = answers_of(content.scores)
    if content.other is None:
        wrong = first.known & ~first.right
        return [
            Kind('wrong', 'bad', 'wrong ones, surest first', _sorted(wrong, -first.sure), 3),
            Kind('uncertain', 'warn', 'others, least certain first', _sorted(~wrong, first.lead)),
        ]
    second, (a, b) = answers_of(content.other), content.titles
    return [
        _of_both(f'only {a} is right', 'warn', first.right & ~second.right, second),
        _of_both(f'only {b} is right', 'warn', second.right & ~first.right, first),
        _of_both('both are wrong', 'bad', first.known & ~first.right & ~second.right, first),
    ]


def _of_both(words: str, level: str, chosen: np.ndarray, wrong: Answers) -> Kind:
    return Kind(words, level, f'where {words}', _sorted(chosen, -wrong.sure))


def _sorted(chosen: np.ndarray, by: np.ndarray) -> np.ndarray:
    places = np.flatnonzero(chosen)
    return places[np.argsort(by[places], kind='stable')]


def shared_out(there: Sequence[int], shares: Sequence[int], total: int) -> List[int]:
    """How many of each kind are shown: by their shares of the total, and what one kind lacks goes to the others."""
    counts = [0] * len(there)
    while total > 0 and counts != list(there):
        for kind, share in enumerate(shares):
            more = min(share, there[kind] - counts[kind], total)
            counts[kind] += more
            total -= more
    return counts


def _lead(kinds: Sequence[Kind], counts: Sequence[int], films: Films) -> str:
    known = [(kind.told, count, len(kind.places)) for kind, count in zip(kinds, counts) if len(kind.places)]
    shown = '; '.join(f'{count} of the {total} {told}' for told, count, total in known)
    words = f'Videos: {shown}.'
    if films.cam is not None:
        words += (
            f' Maps: where the clip in the middle of the video speaks for one class over the other, by Grad-CAM of '
            f'{films.cam.layer}, on the frame where it does so most; both maps of a card have one scale.'
        )
    return words + films.refused


# Cards


def _card(content: Content, kind: Kind, place: int, films: Films) -> Card:
    """One video: what it is, what was said, its frames, where the network looked, the likeliest classes, its file."""
    scores, several = content.scores, content.other is not None
    p, label = scores.branch()[place], int(scores.labels[place])
    true, name = names_of(scores, place), printable(scores.ids[place])
    said = [each.classes[int(each.branch()[place].argmax())] for _, each in content.both]
    told = Markup('is <b>{}</b>').format(true) if true else Markup('has no label')
    if not several:
        told = Markup('said <b>{}</b>').format(said[0]) + Markup(', {}').format(told) * (true != said[0])
    lists = [_likeliest(each, place, title if several else '') for title, each in content.both]
    body = Markup('<h3>{}</h3><p>{}</p>{}{}<p>{}</p>').format(
        verdict(kind.words, kind.level),
        told,
        films.pictures(scores, place),
        Markup('').join(lists),
        films.link(scores.ids[place]),
    )
    groups = [content.groups[label]] if content.groups and label >= 0 else []
    sure = float(p.max())
    values = sure, -sure, None if label < 0 else -math.log(max(float(p[label]), _SMALLEST))
    return Card(body, (true or 'no label', *said, kind.words, *groups, name), values)


def _likeliest(scores: Scores, place: int, title: str) -> Markup:
    """The likeliest classes of one video with their bars; the true one is marked, and stands there in any case."""
    p = scores.branch()[place]
    order = np.argsort(-p, kind='stable')
    true = np.flatnonzero(scores.targets[place]) if scores.targets is not None else scores.labels[place : place + 1]
    shown = [*order[:TOP], *(label for label in true if label >= 0 and label not in order[:TOP])]
    lines = Markup('').join(
        Markup('<li{}><span>{}{}</span>{}<span class="n">{} %</span></li>').format(
            Markup(' class="true"') if label in true else '',
            scores.classes[label],
            Markup(' <small>true</small>') if label in true else '',
            bar(p[label]),
            f'{100 * p[label]:.1f}' if p[label] >= 5e-4 else '< 0.1',
        )
        for label in map(int, shown)
    )
    named = Markup('<p class="quiet">{}</p>').format(title) if title else Markup('')
    return named + Markup('<ul class="likeliest">{}</ul>').format(lines)
