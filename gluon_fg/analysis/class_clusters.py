"""Groups of look-alike classes where a dataset has none: clusters of what a network confuses, or of its features.

**How alike two classes are** to a network is the probability that it gives to one of them where the other is shown,
the mean of both ways. It tells more than counted errors, of which a good network makes few. Or it is the cosine between
their mean features, less those of all classes; below 0 it counts as 0.

**Clusters** are built from single classes up, always joining the two whose classes are most alike on average (average
linkage, Sokal and Michener 1958; SciPy's).

**How many there are** is where the modularity is highest (Newman and Girvan 2004): the likeness inside the groups, less
what it would be there if every class shared its own out among all classes by theirs. Classes that are like no other
stay alone.
"""

from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from ..errors import UserError
from ..evaluation.score import Scores

_LINKING = set('a an the of to in on at by for from into onto with and or something someone somebody'.split())
_LONGEST = 40  # letters of a name of two classes


class Clusters(NamedTuple):
    """Classes in groups.

    `labels`: (M,) number of each class's group, in the order in which the groups first appear; `names`: of the groups;
    `order`: (M,) the classes, groups together and look-alikes next to each other; `modularity`: of this many groups,
    `best`: how many groups the rule would take, and `modularities`: of 1 to M groups, (M,).
    """

    labels: np.ndarray
    names: Tuple[str, ...]
    order: np.ndarray
    modularity: float
    best: int
    modularities: np.ndarray

    @property
    def groups(self) -> Tuple[str, ...]:
        """The name of each class's group."""
        return tuple(self.names[label] for label in self.labels)


def confusion_likeness(scores: Scores) -> np.ndarray:
    """How much probability the videos of two classes give to each other: (M, M), symmetric, 0 on the diagonal.

    A class without videos has its likeness from those of the others. Videos that show several classes count for each of
    them, and give probability to those that they do not show.

    Raises
    ------
    UserError
        no video has a label
    """
    p, count = scores.branch().astype(np.float64), len(scores.classes)
    truth = scores.targets if scores.targets is not None else scores.labels[:, None] == np.arange(count)
    videos = truth.sum(axis=0)
    if not videos.any():
        raise UserError(f'no video of {scores.dataset or "these scores"} has a label, so no class is confused')
    given = truth.T.astype(np.float64) @ np.where(truth, 0.0, p) / np.maximum(videos, 1)[:, None]
    known = (videos > 0).astype(np.float64)[:, None] * np.ones(count)
    alike = (given + given.T) / np.maximum(known + known.T, 1)
    np.fill_diagonal(alike, 0)
    return alike


def feature_likeness(values: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The cosine between the classes' mean features, less the mean over classes, where positive: (M, M), diagonal 0.

    Parameters
    ----------
    values, labels
        features of videos (N, C), and their classes (N,)
    classes
        M; one without videos is like no other
    """
    known = np.unique(labels)
    means = np.stack([values[labels == label].mean(axis=0) for label in known])
    means = means - means.mean(axis=0)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    means = means / np.where(lengths > 0, lengths, 1)
    alike = np.zeros((classes, classes))
    alike[np.ix_(known, known)] = np.clip(means @ means.T, 0, None)
    np.fill_diagonal(alike, 0)
    return alike


def cluster(alike: np.ndarray, classes: Sequence[str], number: Optional[int] = None) -> Clusters:
    """Put classes into groups of look-alikes.

    Parameters
    ----------
    alike
        (M, M) how alike two classes are: symmetric, 0 or more, 0 on the diagonal
    classes
        their names, by which the groups are called
    number
        of groups; None: as many as give the highest modularity

    Raises
    ------
    UserError
        fewer than two classes, another number of groups than 1 to M; without a number: no two classes are alike, or no
        groups are better than all classes in one
    """
    count = len(classes)
    if count < 2:
        raise UserError(f'{count} class cannot be put into groups')
    if number is not None and not 1 <= number <= count:
        raise UserError(f'{number} groups of {count} classes; choose 1 to {count}')
    if number is None and not alike.any():
        raise UserError('no two of these classes are alike at all, so there are no groups; choose their number')
    apart = alike.max() - alike
    np.fill_diagonal(apart, 0)
    tree = hierarchy.linkage(squareform(apart, checks=False), 'average', optimal_ordering=count <= 600)
    values = _modularities(alike, tree)
    best = int(count - np.argmax(values[::-1]))  # of equal ones the most groups: less is claimed
    if number is None and best == 1:
        raise UserError('these classes are all alike, so there are no groups; choose their number')
    order = hierarchy.leaves_list(tree)
    cut = hierarchy.cut_tree(tree, n_clusters=number or best)[:, 0]
    labels = np.unique(cut, return_index=True)[1].argsort().argsort()[cut]
    return Clusters(labels, _names(classes, labels), order, float(values[(number or best) - 1]), best, values)


def modularity(alike: np.ndarray, labels: np.ndarray) -> float:
    """Newman and Girvan's modularity of a partition, -1/2 to 1; 0 where nothing is alike.

    Inputs:
        - **alike**: (M, M) weights of the edges, symmetric, diagonal 0
        - **labels**: (M,) group of each
    """
    total = alike.sum()
    if not total:
        return 0.0
    member = labels[:, None] == np.unique(labels)
    inside = member.T @ alike @ member / total
    return float(np.trace(inside) - np.sum(inside.sum(axis=0) ** 2))


def _modularities(alike: np.ndarray, tree: np.ndarray) -> np.ndarray:
    """The modularity of 1 to M groups, as the tree joins them."""
    count, total = len(alike), alike.sum()
    values = np.zeros(count)
    if not total:
        return values
    weights: Dict[int, np.ndarray] = {i: row / total for i, row in enumerate(alike)}  # of a cluster to each class
    members: Dict[int, List[int]] = {i: [i] for i in range(count)}
    value = -float(sum(row.sum() ** 2 for row in weights.values()))
    values[count - 1] = value
    for step, (first, second) in enumerate(tree[:, :2].astype(int).tolist()):
        a, b = weights.pop(first), weights.pop(second)
        value += 2 * float(a[members[second]].sum() - a.sum() * b.sum())
        weights[count + step], members[count + step] = a + b, members.pop(first) + members.pop(second)
        values[count - 2 - step] = value
    return values


def _names(classes: Sequence[str], labels: np.ndarray) -> Tuple[str, ...]:
    """Call each group by the words that its classes share, where no other group has them, else by its first class."""
    members = [[classes[i] for i in np.flatnonzero(labels == label)] for label in range(labels.max() + 1)]
    shared = [_shared_words(names) if len(names) > 1 else names[0] for names in members]
    folded = [name.casefold() for name in shared]
    taken = {name.casefold() for name in classes}
    return tuple(
        name
        if name and folded.count(name.casefold()) == 1 and (len(names) == 1 or name.casefold() not in taken)
        else _by_first(names)
        for name, names in zip(shared, members)
    )


def _by_first(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    both = f'{names[0]} and {names[1]}'
    return both if len(names) == 2 and len(both) <= _LONGEST else f'{names[0]} and {len(names) - 1} more'


def _shared_words(names: Sequence[str]) -> str:
    """Words that stand in every name, in the order of the first; none that only link others."""
    words = [re.findall(r'[^\W_]+', name) for name in names]
    in_all = set.intersection(*({word.casefold() for word in part} for part in words)) - _LINKING
    return ' '.join(dict.fromkeys(word for word in words[0] if word.casefold() in in_all))
