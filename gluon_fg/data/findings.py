"""What a manifest tells about a dataset's health: what is missing, broken, short, listed twice, or in two splits."""

from __future__ import annotations

import collections
import itertools
import re
from typing import Callable, Dict, Hashable, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..input_spec import InputSpec
from .health import BROKEN, MISSING, SOUND
from .manifest import Manifest, Row
from .splitting import sources_of

NEAR = 4  # of the 63 bits of a look, those that may differ in copies of one picture
_CHUNKS = NEAR + 1  # two numbers that differ in so few bits are equal in one of so many parts
_ALIKE = 8  # bits that may differ in the middle and the last frame, which a new frame rate shifts
_BLOCK, _NEIGHBORS = 2048, 50
_MANY = 50  # clips of one film, or a twentieth of all
_BITS = np.array([bin(number).count('1') for number in range(1 << 16)], np.uint8)


class Group(NamedTuple):
    """Videos that belong together: places in the manifest's rows, and how.

    `kind` is 'same bytes', 'copies' (first, middle and last frames look alike), 'first frame' (the first ones alone),
    or 'film' (cut from one film, by their names or because they are stretches of one file).
    """

    kind: str
    places: List[int]
    film: str = ''


class Findings(NamedTuple):
    """Places in the manifest's rows of what is worth a look; `short` is None where no length was asked for.

    `leaks` are those of `same`, `near` and the films that reach into two splits; `conflicts` those of `same` whose
    labels differ.
    """

    rows: List[Row]
    missing: List[int]
    broken: List[int]
    unlabeled: List[int]
    rotated: List[int]
    short: Optional[List[int]]
    same: List[Group]
    near: List[Group]
    leaks: List[Group]
    conflicts: List[Group]

    @property
    def usable(self) -> List[int]:
        """Places of the videos that can be decoded."""
        wrong = {*self.missing, *self.broken}
        return [place for place in range(len(self.rows)) if place not in wrong]


def find(manifest: Manifest, needed: Optional[Callable[[Row], int]] = None) -> Findings:
    """Look through a manifest.

    Parameters
    ----------
    manifest
        as `prepare` made it
    needed
        gives the frames that a video must have to fill a clip (`clip_length`); None: any length will do
    """
    rows = manifest.rows()

    def of(*beginnings: str) -> List[int]:
        return [i for i, row in enumerate(rows) if any(text.startswith(beginnings) for text in row.problems)]

    missing, broken = of(MISSING), of(BROKEN, SOUND, 'no frame')
    wrong = {*missing, *broken}
    fine = [place for place in range(len(rows)) if place not in wrong]
    films = _films_of(manifest, rows)
    same: List[Group] = []
    near: List[Group] = []
    leaks: List[Group] = []
    for places in _folds(rows):
        same_here = _same(rows, places)
        near_here = _near(rows, sorted({*places} - wrong), same_here)
        both = [*same_here, *near_here, *_films(rows, films, places)]
        same, near = _joined(rows, same, same_here), _joined(rows, near, near_here)
        crossing = [group for group in both if len({rows[place].split for place in group.places}) > 1]
        leaks = _joined(rows, leaks, crossing)
    return Findings(
        rows,
        missing,
        broken,
        of('no label'),
        [place for place in fine if rows[place].turns],
        [place for place in fine if rows[place].frames < needed(rows[place])] if needed else None,
        same,
        near,
        leaks,
        [group for group in same if len({str((rows[i].class_name, rows[i].labels)) for i in group.places}) > 1],
    )


def clip_length(spec: InputSpec) -> Callable[[Row], int]:
    """Tell for a network's input how many frames a video must have so that no frame of a clip stands in for another."""
    if spec.ndim == 2:
        count = spec.segments
    elif spec.sampling == 'spread':
        count = spec.frames
    else:
        count = (spec.frames - 1) * spec.frame_stride + 1

    def needed(row: Row) -> int:
        rate = getattr(spec, 'fps', None)
        return int(np.ceil(count * row.fps / rate)) if rate and row.fps else count

    return needed


def _gathered(keys: Iterable[Tuple[Hashable, int]]) -> Dict[Hashable, List[int]]:
    groups: Dict[Hashable, List[int]] = collections.defaultdict(list)
    for key, place in keys:
        groups[key].append(place)
    return {key: places for key, places in groups.items() if len(places) > 1}


def _folds(rows: Sequence[Row]) -> List[List[int]]:
    """Places of the splits that are used together: train2 goes with test2, whose videos train1 has in part."""
    folds: Dict[str, List[int]] = collections.defaultdict(list)
    numbers = {split: re.sub(r'^\D*', '', split) or '1' for split in dict.fromkeys(row.split for row in rows)}
    named = all(re.fullmatch(r'[a-z]+[-_]?\d*', split) for split in numbers)
    for place, row in enumerate(rows):
        folds[numbers[row.split] if named else ''].append(place)
    return list(folds.values())


def _joined(rows: Sequence[Row], groups: List[Group], more: Sequence[Group]) -> List[Group]:
    """Groups, and those of another fold that are not the same videos again."""

    def videos(group: Group) -> Tuple[Hashable, ...]:
        return tuple(sorted(str((rows[i].path, rows[i].start, rows[i].end)) for i in group.places))

    known = {videos(group) for group in groups}
    return groups + [group for group in more if videos(group) not in known]


def _same(rows: Sequence[Row], chosen: Sequence[int]) -> List[Group]:
    """Files of the same bytes, or one listed twice; stretches of a file only where they overlap."""
    groups = _gathered((rows[place].sha256, place) for place in chosen if rows[place].sha256)
    pairs = []
    for places in groups.values():
        whole = not any(_has_times(rows[place]) for place in places)
        if whole:
            pairs.append(places)
            continue
        edges = [(a, b) for a, b in itertools.combinations(places, 2) if _overlap(rows[a], rows[b])]
        pairs += _connected(edges)
    return [Group('same bytes', places) for places in pairs]


def _overlap(a: Row, b: Row) -> bool:
    limits = [(row.start or 0.0, float('inf') if row.end is None else row.end) for row in (a, b)]
    return max(start for start, _ in limits) < min(end for _, end in limits)


def _near(rows: Sequence[Row], fine: Sequence[int], same: Sequence[Group]) -> List[Group]:
    """Whole files whose first frames look alike, of each file of the same bytes the first alone."""
    double = {place for group in same for place in group.places[1:]}
    chosen = [
        place
        for place in fine
        if place not in double and rows[place].looks and rows[place].looks[0] and not _has_times(rows[place])
    ]
    first = np.array([rows[place].looks[0] for place in chosen], np.int64)
    edges = [(chosen[a], chosen[b]) for a, b in near_pairs(first)]
    copies = [(a, b) for a, b in edges if _copies(rows[a], rows[b])]
    groups = [Group('copies', places) for places in _connected(copies)]
    member = {place: number for number, group in enumerate(groups) for place in group.places}
    for places in _connected(edges):
        if len({member.get(place, -1 - place) for place in places}) > 1:  # not all copies of one another
            groups.append(Group('first frame', places))
    return groups


def _copies(a: Row, b: Row) -> bool:
    if len(a.looks) != len(b.looks):
        return False
    return all(bin(x ^ y).count('1') <= _ALIKE for x, y in zip(a.looks[1:], b.looks[1:]))


def near_pairs(looks: np.ndarray) -> List[Tuple[int, int]]:
    """Find all pairs of looks that differ in at most `NEAR` bits.

    Equal ones are paired with the first of them only, and each with a number of others at most, so that a thousand
    pictures of one camera are no million pairs; they hang together all the same.

    Parameters
    ----------
    looks
        (N,) int64, as `health.look` gives them
    """
    unique, first, where = np.unique(looks, return_index=True, return_inverse=True)
    pairs = [(int(first[group]), place) for place, group in enumerate(where) if first[group] != place]
    edges = np.linspace(0, 63, _CHUNKS + 1).astype(int)
    seen: Set[Tuple[int, int]] = set()
    for low, high in zip(edges[:-1], edges[1:]):
        part = (unique >> low) & ((1 << (high - low)) - 1)
        order = np.argsort(part, kind='stable')
        for bucket in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
            for begin in range(0, len(bucket), _BLOCK):
                block = bucket[begin : begin + _BLOCK]
                near = _count_bits(unique[block][:, None] ^ unique[bucket][None]) <= NEAR
                near &= block[:, None] < bucket[None]
                near &= np.cumsum(near, axis=1) <= _NEIGHBORS
                seen.update((int(first[block[a]]), int(first[bucket[b]])) for a, b in zip(*np.nonzero(near)))
    return sorted(pairs + list(seen))


def _count_bits(values: np.ndarray) -> np.ndarray:
    return sum(_BITS[(values >> shift) & 0xFFFF] for shift in (0, 16, 32, 48))


def _connected(edges: Sequence[Tuple[int, int]]) -> List[List[int]]:
    """Groups of places that pairs join, each sorted, in the order of their first."""
    if not edges:
        return []
    names, ends = np.unique(np.array(edges), return_inverse=True)
    ends = ends.reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(names),) * 2)
    _, member = connected_components(graph, directed=False)
    groups: Dict[int, List[int]] = collections.defaultdict(list)
    for name, group in zip(names.tolist(), member.tolist()):
        groups[group].append(name)
    return sorted(groups.values())


def _films_of(manifest: Manifest, rows: Sequence[Row]) -> List[str]:
    """The film of each row by the name of its file: '' where the name tells none."""
    bases = {key: split.base for key, split in manifest.splits.items()}
    paths = [row.path[len(bases[row.split]) + 1 :] if bases[row.split] else row.path for row in rows]
    names = sources_of(paths, [row.label for row in rows])
    many = collections.Counter(names)
    limit = max(_MANY, len(rows) // 20)  # what more have is no film's name but a prefix of all
    return [name if re.search(r'[^\W\d_]', name) and many[name] <= limit else '' for name in names]


def _films(rows: Sequence[Row], films: Sequence[str], chosen: Sequence[int]) -> List[Group]:
    """Clips of one film: stretches of one file, or files whose names say so."""
    timed = [place for place in chosen if _has_times(rows[place])]
    whole = [place for place in chosen if not _has_times(rows[place]) and films[place]]
    stretches = _gathered((rows[place].sha256, place) for place in timed if rows[place].sha256)
    groups = [Group('film', places, rows[places[0]].path) for places in stretches.values()]
    for film, places in _gathered((films[place], place) for place in whole).items():
        if len({rows[place].sha256 for place in places}) > 1:  # else the same file again, which is told as such
            groups.append(Group('film', places, str(film)))
    return groups


def _has_times(row: Row) -> bool:
    return (row.start, row.end) != (None, None)
