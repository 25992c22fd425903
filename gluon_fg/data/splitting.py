"""Splitting one's own videos into training and validation, so that clips cut from one film stay on one side.

Clips of one film share their people, place and light: validated on clips whose film was trained on, a network looks
better than it is. Which film a clip is from stands in its name, if anywhere: see `source_of`.
"""

from __future__ import annotations

import collections
import re
import warnings
from fractions import Fraction
from pathlib import PurePath
from typing import Dict, List, Optional, Pattern, Sequence, Tuple

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from ..errors import UserError

# The whole of what follows a film's name, in the order in which they are tried; nothing else is taken away then.
_KNOWN = (
    re.compile(r'(?<=_g\d\d)_c\d+$'),  # UCF101: v_Archery_g01_c03
    re.compile(r'[-_ ]\d{6}[-_]\d{6}$'),  # Kinetics: ID_000010_000020; an ID may itself end in a number
    # HMDB51: body part, camera, people, view, quality and number of a clip
    re.compile(r'_[hulf]_(?:nm|cm)_np\d_(?:fr|ba|le|ri)_(?:goo|med|bad)_\d+$'),
)
_WORDS = re.compile(
    r'[-_. ]+\(?(?:part|pt|clip|cut|seg|segment|scene|shot|chunk|piece|excerpt|frames?)s?[-_. ]*\d+(?:[-_]\d+)?\)?$',
    re.I,
)
_CLOCK = r'(?:\d+h)?(?:\d+m)?\d+(?:\.\d+)?s|\d{1,2}[-.:]\d\d[-.:]\d\d(?:\.\d+)?'
_TIMES = re.compile(rf'[-_. ]+(?:t|at)?[-_. ]*(?:{_CLOCK})(?:[-_ ]+(?:to[-_ ]*)?(?:{_CLOCK}))?$', re.I)
_RUNNING = re.compile(r'(?:[-_. ]+\d+(?:\.\d+)?(?:[-_]\d+(?:\.\d+)?)?|[-_. ]*\(\d+\))$')
_DATE = re.compile(r'(?:19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d[-_ .T]*\d*$')
# What cameras, telephones and people call recordings that have nothing in common.
_NO_FILM = re.compile(
    r'(?:img|vid|mvi|mov|movie|dsc[nf]?|gopr|g[hx]|dji|pxl|video|clip|rec|recording|record|capture|cam|camera|webcam|'
    r'untitled|file|sample|example|test|train|part|scene|shot|\W*)',
    re.I,
)


def source_of(path: str, pattern: Optional[Pattern[str]] = None) -> str:
    """Tell which film a clip was cut from, by its name.

    The name without its suffix is cut before: a running number (film-1, film_2, film (3)); a time or two
    (film_10s, film_00-01-20, film_10_20, film_000010_000020 as in Kinetics); part, clip, cut, scene, shot, segment
    and the like with a number (film_part2); UCF101's _c03 behind a group (v_Archery_g01_c03); HMDB51's codes. Where
    nothing is left that could be a film's name (IMG_0001, 17, the class's own name with a number, a date), the whole
    name is the film's, and belongs to its class alone.

    Parameters
    ----------
    path
        of the clip, <class>/.../<name>
    pattern
        in place of that rule: the film is what its first group matches in the path, or all that it matches where it has
        no group; a path that it does not match is a film of its own
    """
    path = PurePath(path).as_posix()
    if pattern is not None:
        match = pattern.search(path)
        return path if match is None else next((text for text in match.groups() if text is not None), match.group())
    film, _ = _film_of(path)
    return film or path


def _film_of(path: str) -> Tuple[Optional[str], bool]:
    """The film's name, None where there is none, and whether a running number alone was behind it."""
    stem = PurePath(path).stem
    film = next((known.sub('', stem) for known in _KNOWN if known.search(stem)), stem)
    shorter = _cut(_WORDS, film)
    bare = shorter == stem
    if bare:
        shorter = _TIMES.sub('', stem)
        bare = shorter == stem
        if _DATE.search(shorter):  # when it was recorded, not where in a film
            return None, False
        shorter = _RUNNING.sub('', shorter) if bare else shorter
    if shorter == stem:  # nothing says that it is cut from anything
        return None, False
    own = _plain(PurePath(path).parts[0]) if len(PurePath(path).parts) > 1 else ''
    return (None, False) if _NO_FILM.fullmatch(shorter) or _plain(shorter) == own else (shorter, bare)


def _cut(mark: Pattern[str], stem: str) -> str:
    """A name without all such marks at its end."""
    while mark.search(stem):
        stem = mark.sub('', stem)
    return stem


def _plain(name: str) -> str:
    return re.sub(r'[\W_]+', '', name).lower()


def sources_of(paths: Sequence[str], labels: Sequence[int], pattern: Optional[Pattern[str]] = None) -> List[str]:
    """Tell the films of many clips: `source_of`, but for names that differ by a running number throughout a class.

    Where all clips of a class have one name with a running number behind it (walk_1, walk_2, ...), and no other class
    has that name, the numbers are taken to count recordings: there would be no film to validate the class on.
    """
    sources = [source_of(path, pattern) for path in paths]
    if pattern is not None:
        return sources
    classes: Dict[str, set] = collections.defaultdict(set)
    films: Dict[int, set] = collections.defaultdict(set)
    for label, source in zip(labels, sources):
        classes[source].add(label)
        films[label].add(source)
    alone = {next(iter(names)) for names in films.values() if len(names) == 1}
    own = {name for name in alone if len(classes[name]) == 1}
    plain = [PurePath(path).as_posix() for path in paths]
    known = set(sources) - own
    return [
        path
        if source in own and _film_of(path)[1]
        else (PurePath(path).stem if PurePath(path).stem in known else source)  # the film that others are cut from
        for path, source in zip(plain, sources)
    ]


def split_by_source(labels: np.ndarray, sources: Sequence[str], share: float = 0.2, seed: int = 0) -> np.ndarray:
    """Choose the validation clips: about a share of each class, whole films, the same for the same seed.

    Folds are scikit-learn's (`StratifiedGroupKFold`); of these the ones are taken that lack the fewest classes and have
    the wanted size. Every class of two films or more is on both sides. A class of one film is trained and not
    validated.

    Parameters
    ----------
    labels, sources
        (N,) class and film of each clip
    share
        above 0, at most a half
    seed
        of the random order of films

    Returns
    -------
    (N,) bool

    Raises
    ------
    UserError
        a share that cannot be, or fewer than two classes that have two films
    """
    if not 0 < share <= 0.5:
        raise UserError(f'the share of validation videos is {share:g}; choose one above 0 and at most 0.5')
    labels, films = np.asarray(labels), _numbered(sources)
    free = _free(labels, films)
    part = Fraction(share).limit_denominator(20)
    count = min(part.denominator or 1, len(set(films[free])), int(np.bincount(labels[free]).max()))
    count = max(count, 2)
    folds = _folds(labels, films, free, count, seed)
    wanted = share * len(labels)
    folds.sort(key=lambda fold: (-len(set(labels[fold])), abs(fold.sum() - wanted)))
    chosen = np.any(folds[: max(1, round(share * count))], axis=0)
    for label in set(labels[free]):
        own = labels == label
        if not chosen[own].any():
            chosen |= _smallest(labels, films, own & free, chosen)
        if chosen[own].all():
            chosen &= ~_smallest(labels, films, own & free, ~chosen)
    return chosen


def folds_by_source(labels: np.ndarray, sources: Sequence[str], folds: int, seed: int = 0) -> List[np.ndarray]:
    """Choose the validation clips of each of K folds; every film is in one of them, but those named below.

    A film that is the only one of a class is trained in all folds and validated in none, and so is the smallest film of
    a class where a fold would hold them all.

    Raises
    ------
    UserError
        fewer than two folds, or more than there are films
    """
    labels, films = np.asarray(labels), _numbered(sources)
    free = _free(labels, films)
    most = min(len(set(films[free])), int(np.bincount(labels[free]).max()))
    if not 2 <= folds <= most:
        raise UserError(f'{folds} folds: there are films for 2 to {most}')
    parts = _folds(labels, films, free, folds, seed)
    for chosen in parts:
        for label in set(labels[free]):
            if chosen[labels == label].all():
                chosen &= ~_smallest(labels, films, (labels == label) & free, ~chosen)
    return parts


def _numbered(sources: Sequence[str]) -> np.ndarray:
    return np.unique(np.asarray(sources, object).astype(str), return_inverse=True)[1]


def _free(labels: np.ndarray, films: np.ndarray) -> np.ndarray:
    """The clips whose film may be validated on: no class has it alone."""
    alone = {films[labels == label][0] for label in set(labels) if len(set(films[labels == label])) == 1}
    free = ~np.isin(films, list(alone))
    if len(set(labels[free])) < min(2, len(set(labels))) or not free.any():
        raise UserError(
            'fewer than two classes have videos of two films, so that nothing can be validated on films that were not '
            "trained on; if these are separate recordings, say so with --source-pattern '.*'"
        )
    return free


def _folds(labels: np.ndarray, films: np.ndarray, free: np.ndarray, count: int, seed: int) -> List[np.ndarray]:
    # Films in a random order of ours: scikit-learn's shuffle=True mixes up which film has which classes (its pull
    # request 32540); and it may leave a fold empty (its issue 34828).
    films = np.random.default_rng(seed).permutation(int(films.max()) + 1)[films]
    maker, places = StratifiedGroupKFold(count), np.flatnonzero(free)
    parts = []
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # a class with fewer videos than folds, which callers see to
        for _, inside in maker.split(places, labels[free], films[free]):
            part = np.zeros(len(labels), bool)
            part[places[inside]] = True
            parts.append(part)
    for part in parts:
        if not part.any():
            largest = max(parts, key=lambda other: (len(set(films[other])), other.sum()))
            moved = films == films[largest][0]
            part |= moved
            largest &= ~moved
    return parts


def _smallest(labels: np.ndarray, films: np.ndarray, among: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The clips of the smallest film among some, whose move leaves every class something on the side it comes from."""
    sizes: List[Tuple[int, int]] = []
    for film in set(films[among]):
        moved = films == film
        left = ~there & ~moved
        if set(labels[moved]) <= set(labels[left]):
            sizes.append((int(moved.sum()), int(film)))
    if not sizes:
        return np.zeros(len(labels), bool)
    return films == min(sizes)[1]
