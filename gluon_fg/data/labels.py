"""What the labels mean: class names, their groups, and what a mirrored clip is called."""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import re
import unicodedata
from typing import Dict, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import UserError, printable

# Words that change their meaning in a mirror. 'push' and 'pull' do not; names that say "from left to right" do.
_SIDE = re.compile(r'(left|right)(|wards?|most|hand|handed|hander|side)$')
_OTHER = {'left': 'right', 'right': 'left', 'clockwise': 'counterclockwise', 'counterclockwise': 'clockwise'}

# ... and what makes "right" mean "just" or "correct", and "left" a form of "leave". A verb of turning or moving right
# before says that it is a direction all the same: "turning right after the bridge".
_AFTER = {
    'right': set('out away now then after before next there here angle angles way order amount answer'.split()),
    'left': set('behind over alone open unattended untouched'.split()),
}
_LEFT_OVER = set('is are was were be been being has have had nothing anything everything'.split())
_OF_A_SIDE = set('of to side hand arm foot leg'.split())
_TURN = re.compile(r'(turn|look|mov|go|step|lean|swip|steer|walk|run|driv|fac)')


@dataclasses.dataclass(frozen=True, eq=False)
class LabelSet:
    """Ordered class names of a dataset, with what belongs to them.

    Parameters
    ----------
    classes
        class names; the label of a class is its position, 0..M-1
    groups
        name of the group (meta-category) of each class, or None
    flip_map
        (M,) integers: the label of a class's clip when it is mirrored left to right; -1 where it may not be mirrored.
        None derives it from the class names (`flip_map_from_names`)

    Raises
    ------
    UserError
        no class, a class twice, a name with a control character or bytes that are no text, `groups` or `flip_map` of
        another length, or a `flip_map` that mirrored twice does not give the class back
    """

    classes: Tuple[str, ...]
    groups: Optional[Tuple[str, ...]] = None
    flip_map: np.ndarray = None  # type: ignore[assignment]  # None is replaced when the object is made

    def __post_init__(self) -> None:
        classes = tuple(str(name) for name in self.classes)
        if not classes:
            raise UserError('a label set needs at least one class')
        seen = set()
        for name in classes:
            if printable(name) != name:
                lost = any('\ud800' <= letter <= '\udfff' for letter in name)
                reason = 'is not a name in UTF-8' if lost else 'has a control character'
                raise UserError(f'class name {printable(name)!r} {reason}; rename it')
            if name in seen:
                raise UserError(f'class {name!r} stands twice in the list of {len(classes)} classes')
            seen.add(name)
        object.__setattr__(self, 'classes', classes)
        if self.groups is not None:
            groups = tuple(str(name) for name in self.groups)
            if len(groups) != len(classes):
                raise UserError(f'{len(groups)} groups for {len(classes)} classes; give one for each class')
            object.__setattr__(self, 'groups', groups)
        given = flip_map_from_names(classes) if self.flip_map is None else self.flip_map
        object.__setattr__(self, 'flip_map', _checked_flip_map(given, classes))

    def __len__(self) -> int:
        return len(self.classes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LabelSet):
            return NotImplemented
        return (self.classes, self.groups) == (other.classes, other.groups) and np.array_equal(
            self.flip_map, other.flip_map
        )

    def __hash__(self) -> int:
        return hash((self.classes, self.groups))

    def find(self, name: str) -> Optional[int]:
        """Tell the label of a class by its name; None where there is none.

        Blanks, underscores, brackets and capitals may be other ones ('hurling (sport)' is 'hurling_-sport-'), as long
        as only one class is left that may be meant.
        """
        if name in self._labels:
            return self._labels[name]
        key = spelled(name)
        return self._spelled.get(key) if key else None

    @functools.cached_property
    def _labels(self) -> Dict[str, int]:
        return {name: label for label, name in enumerate(self.classes)}

    @functools.cached_property
    def _spelled(self) -> Dict[str, int]:
        keys = [spelled(name) for name in self.classes]
        counts = collections.Counter(keys)
        return {key: label for label, key in enumerate(keys) if counts[key] == 1}

    def only(self, labels: Iterable[int]) -> LabelSet:
        """Return the set of some classes, in their order, with their groups and what is left of their mirror rules."""
        kept = sorted(set(labels))
        position = {label: i for i, label in enumerate(kept)}
        groups = None if self.groups is None else tuple(self.groups[label] for label in kept)
        flips = np.array([position.get(int(self.flip_map[label]), -1) for label in kept], np.int64)
        return LabelSet(tuple(self.classes[label] for label in kept), groups, flips)

    @property
    def flip_allowed(self) -> bool:
        """Whether every class's clips may be mirrored (its label changing by `flip_map`)."""
        return bool((self.flip_map >= 0).all())

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the ordered class names: equal for weights and lists that mean the same classes."""
        return hashlib.sha256('\n'.join(self.classes).encode()).hexdigest()

    @property
    def group_names(self) -> Tuple[str, ...]:
        """Each group once, in the order of its first class; empty where the classes have none."""
        return tuple(dict.fromkeys(self.groups or ()))

    @property
    def group_index(self) -> Optional[np.ndarray]:
        """(M,) position of each class's group in `group_names`, or None."""
        if self.groups is None:
            return None
        position = {name: i for i, name in enumerate(self.group_names)}
        return np.array([position[name] for name in self.groups], dtype=np.int64)

    def mirrored_targets(self, targets: np.ndarray) -> Optional[np.ndarray]:
        """Which classes (M,) a clip shows in a mirror that shows `targets` (M,); None: it may not be mirrored."""
        shown = np.flatnonzero(targets)
        places = self.flip_map[shown]
        if (places < 0).any():
            return None
        mirrored = np.zeros_like(targets)
        mirrored[places] = targets[shown]
        return mirrored

    def mirrored_names(self) -> List[str]:
        """Write a line for each class that is not simply itself in a mirror, to show before training."""
        return [
            f'{name} -> {self.classes[to]}' if to >= 0 else f'{name} -> never mirrored'
            for i, (name, to) in enumerate(zip(self.classes, self.flip_map.tolist()))
            if to != i
        ]


def spelled(name: str) -> str:
    """Write a class name as it is compared with other spellings of it: its letters, small ones, and digits alone."""
    return re.sub(r'[\W_]', '', unicodedata.normalize('NFC', name).lower())


def _checked_flip_map(given: Union[Sequence[int], np.ndarray], classes: Tuple[str, ...]) -> np.ndarray:
    flip_map = np.array(given)
    if flip_map.shape != (len(classes),) or flip_map.dtype.kind not in 'iu':
        raise UserError(
            f'flip_map must be {len(classes)} integers, one for each class; got {flip_map.dtype} {flip_map.shape}'
        )
    flip_map = flip_map.astype(np.int64)
    for i, to in enumerate(flip_map.tolist()):
        if not -1 <= to < len(classes):
            raise UserError(f'flip_map[{i}] is {to}; choose -1 (never mirrored) or a label in 0..{len(classes) - 1}')
        if to >= 0 and flip_map[to] != i:
            raise UserError(
                f'flip_map sends {classes[i]!r} to {classes[to]!r}, but that one elsewhere; mirrored twice, a clip '
                'must have its first label again'
            )
    flip_map.setflags(write=False)
    return flip_map


def _words(name: str) -> Tuple[str, ...]:
    """Split a class name into lower-case words: 'TurnLeft', 'turn_left' and 'Turn left' are the same two."""
    spaced = re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', name)
    text = ' '.join(re.findall(r'[^\W_]+', spaced.lower()))
    return tuple(re.sub(r'\b(?:counter|anti) ?(?=clockwise)', 'counter', text).split())


def _mirrored(word: str) -> str:
    """A word as it is in a mirror: 'leftwards' is 'rightwards', any other is itself."""
    side = _SIDE.match(word)
    return _OTHER[side.group(1)] + side.group(2) if side else _OTHER.get(word, word)


def _is_direction(words: Sequence[str], i: int) -> bool:
    """Whether word i changes in a mirror, and says so of a direction, as in "to the right", not as in "right out"."""
    word, before, after = words[i], words[i - 1] if i else '', words[i + 1] if i + 1 < len(words) else ''
    if _mirrored(word) == word:
        return False
    if after in _AFTER.get(word, ()) or (word, *words[i + 1 : i + 3]) == ('right', 'side', 'up'):
        return bool(_TURN.match(before))
    return not (word == 'left' and before in _LEFT_OVER and after not in _OF_A_SIDE)


def flip_map_from_names(classes: Sequence[str]) -> np.ndarray:
    """Read from class names the label of each class's mirrored clip: (M,), -1 where a clip may not be mirrored.

    Left and right (also -ward, -wards, -hand, -handed, -most), clockwise and counterclockwise (also anticlockwise)
    count as whole words in any case. A class whose mirrored name is in the list swaps with it. Any other that says a
    direction may not be mirrored, since no label fits the result; but "pulling it right out", "right after" and "left
    behind" say none. Every other class stays itself.
    """
    words = [_words(name) for name in classes]
    labels: Dict[Tuple[str, ...], List[int]] = {}
    for i, key in enumerate(words):
        labels.setdefault(key, []).append(i)
    flip_map = np.arange(len(words), dtype=np.int64)
    for i, key in enumerate(words):
        said = [_is_direction(key, place) for place in range(len(key))]
        # with no direction, "left out" is still the mirror image of a "right out" that is in the list
        swapped = tuple(_mirrored(word) if here or not any(said) else word for word, here in zip(key, said))
        partners = labels.get(swapped, [])
        if swapped != key and partners:
            # two names that differ only in spelling leave no unique partner
            flip_map[i] = partners[0] if len(partners) == len(labels[key]) == 1 else -1
        elif any(said):
            flip_map[i] = -1
    flip_map[(flip_map >= 0) & (flip_map[flip_map] != np.arange(len(words)))] = -1  # it is another's mirror image
    return flip_map
