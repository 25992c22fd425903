"""Groups of look-alike classes where a dataset has none: clusters of what a network confuses, or of its features.

**How far two classes are apart** for a network is minus the logarithm of the probability that it gives to one of them
where the other is shown, the mean of both ways. It tells more than counted errors, of which a good network makes few.
Or it is 1 less the cosine between their mean features, less those of all classes.

**Clusters** are built from single classes up, always joining the two that are least apart on average over their classes
(average linkage, Sokal and Michener 1958; SciPy's).

**How many there are** is where the mean silhouette is highest (Rousseeuw 1987; scikit-learn's): how much nearer classes
are to their own group than to the next, from -1 to 1; a class alone counts as 0. Modularity, which needs no distances,
was tried and joins small groups where there are many classes: 100 groups of 4 became 29.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from sklearn.metrics import silhouette_score

from ..errors import UserError
from ..evaluation.score import Scores

_LINKING = set('a an the of to in on at by for from into onto with and or something someone somebody'.split())
WEAK = 0.25  # a mean silhouette below it may be an accident (Kaufman and Rousseeuw 1990)
_LONGEST = 40  # letters of a name of two classes


class Clusters(NamedTuple):
    """Classes in groups.

    `labels`: (M,) number of each class's group, in the order in which the groups first appear; `names`: of the groups;
    `order`: (M,) the classes, groups together and look-alikes next to each other; `silhouette`: the mean over the
    classes, 0 where it is not defined;
    `best`: how many groups the rule takes, and `highest`: their silhouette.
    """

    labels: np.ndarray
    names: Tuple[str, ...]
    order: np.ndarray
    silhouette: float
    best: int
    highest: float

    @property
    def groups(self) -> Tuple[str, ...]:
        """The name of each class's group."""
        return tuple(self.names[label] for label in self.labels)


def confusion_distances(scores: Scores) -> np.ndarray:
    """How little probability the videos of two classes give to each other: (M, M) nats, symmetric, 0 on the diagonal.

    A class without videos has its distance from those of the others. Videos that show several classes count for each of
    them, and give probability to those that they do not show. Where none is given, the smallest one that is counts.

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
    np.fill_diagonal(alike, 1)
    return -np.log(np.maximum(alike, alike[alike > 0].min()))


def feature_distances(values: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """1 less the cosine between the classes' mean features, less the mean over classes: (M, M), 0 to 2.

    Parameters
    ----------
    values, labels
        features of videos (N, C), and their classes (N,)
    classes
        M; one without videos is as far from each other one as if they had nothing to do with each other, 1
    """
    known = np.unique(labels)
    means = np.stack([values[labels == label].mean(axis=0) for label in known])
    means = means - means.mean(axis=0)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    means = means / np.where(lengths > 0, lengths, 1)
    apart = np.ones((classes, classes))
    apart[np.ix_(known, known)] = np.clip(1 - means @ means.T, 0, 2)
    np.fill_diagonal(apart, 0)
    return apart


def cluster(apart: np.ndarray, classes: Sequence[str], number: Optional[int] = None) -> Clusters:
    """Put classes into groups of look-alikes.

    Parameters
    ----------
    apart
        (M, M) distances of classes: symmetric, 0 or more, 0 on the diagonal
    classes
        their names, by which the groups are called
    number
        of groups; None: as many as have the highest mean silhouette

    Raises
    ------
    UserError
        fewer than two classes, another number of groups than 1 to M; without a number: fewer than three classes, or all
        are equally far from each other
    """
    count = len(classes)
    if count < 2:
        raise UserError(f'{count} class cannot be put into groups')
    if number is not None and not 1 <= number <= count:
        raise UserError(f'{number} groups of {count} classes; choose 1 to {count}')
    tree = hierarchy.linkage(squareform(apart, checks=False), 'average', optimal_ordering=count <= 600)
    cuts = hierarchy.cut_tree(tree)[:, ::-1]  # (M, M): column k-1 has k groups
    values = [silhouette_score(apart, cuts[:, k - 1], metric='precomputed') for k in range(2, count)]
    best = count - 1 - int(np.argmax(values[::-1])) if values else count  # of equal ones the most: less is claimed
    highest = float(max(values, default=0.0))
    if number is None and highest < 1e-9:
        raise UserError(f'these {count} classes are all equally far apart, so there are no groups; choose their number')
    cut = cuts[:, (number or best) - 1]
    labels = np.unique(cut, return_index=True)[1].argsort().argsort()[cut]
    reached = float(values[number - 2]) if number and 2 <= number < count else (0.0 if number else highest)
    return Clusters(labels, _names(classes, labels), hierarchy.leaves_list(tree), reached, best, highest)


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
