"""Confusion inside each group of look-alike classes, two models side by side (DFB sec. 5.2, fig. 3)."""

from __future__ import annotations

import os
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..errors import UserError, unknown
from ..evaluation.compare import check_same_videos
from ..evaluation.metrics import confusion
from ..evaluation.score import Scores
from ..files import atomic_path


def group_matrices(scores: Scores) -> Dict[str, Tuple[List[str], np.ndarray]]:
    """group -> (its classes, (m, m) counts: row true class, column predicted class), groups in order of appearance.

    Videos predicted to be of another group are in no cell: the rows show what is confused inside the group.

    Raises
    ------
    UserError
        the classes have no groups
    """
    if scores.groups is None:
        raise UserError(
            f'the classes of {scores.dataset or "these scores"} have no groups, so there is nothing inside them to show'
        )
    matrix = confusion(scores)
    result = {}
    for group in dict.fromkeys(scores.groups):
        members = [i for i, name in enumerate(scores.groups) if name == group]
        result[group] = [scores.classes[i] for i in members], matrix[np.ix_(members, members)]
    return result


def plot_confusion(
    first: Scores,
    second: Scores,
    path: os.PathLike,
    names: Sequence[str] = ('', ''),
    groups: Optional[Sequence[str]] = None,
) -> None:
    """Draw each group's two matrices side by side as PNG: shares of each class's videos, one colour scale for all.

    Parameters
    ----------
    first, second
        scores of the same videos, for example of the baseline and of ours
    names
        headlines of the two; empty ones are the models' names
    groups
        which groups, and in which order; None: all

    Raises
    ------
    UserError
        other classes or videos, no groups, or an unknown group
    """
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot as plt
    from matplotlib.ticker import PercentFormatter

    second = check_same_videos(first, second, ('the first score file', 'the second'))
    both = group_matrices(first), group_matrices(second)
    chosen = list(both[0]) if groups is None else list(groups)
    for group in chosen:
        if group not in both[0]:
            raise unknown('group', group, both[0])
    labels = {group: [_short(name, group) for name in both[0][group][0]] for group in chosen}
    size = max(len(names) for names in labels.values())
    cell = max(0.55, 2.6 / size) if size <= 12 else 0.3
    across = min(2, len(chosen))  # groups beside each other
    down = -(-len(chosen) // across)
    wide = max(len(text) for texts in labels.values() for text in texts) * 0.075
    figure, axes = plt.subplots(
        down,
        2 * across,
        squeeze=False,
        layout='constrained',
        figsize=(across * (2 * cell * size + wide + 0.8), down * (cell * size + wide * 0.45 + 0.7) + 0.5),
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for place, group in enumerate(chosen):
        for side, (scores, matrices) in enumerate(zip((first, second), both)):
            axis = axes[place // across, 2 * (place % across) + side]
            counts = matrices[group][1]
            total = np.array([(scores.labels == scores.classes.index(name)).sum() for name in matrices[group][0]])
            share = counts / np.maximum(total, 1)[:, None]
            axis.set_axis_on()
            picture = axis.imshow(share, vmin=0, vmax=1, cmap='Blues')
            if len(share) <= 12:
                for (i, j), value in np.ndenumerate(share):
                    if counts[i, j]:
                        axis.text(
                            j,
                            i,
                            f'{100 * value:.0f}',
                            ha='center',
                            va='center',
                            fontsize=8,
                            color='white' if value > 0.55 else '#222',
                        )
            ticks = range(len(share))
            axis.set_xticks(ticks, labels[group], rotation=40, ha='right', rotation_mode='anchor', fontsize=7.5)
            axis.set_yticks(ticks, labels[group] if side == 0 else [], fontsize=7.5)
            axis.tick_params(length=0)
            right = np.trace(counts) / max(total.sum(), 1)
            axis.set_title(f'{group}: {names[side] or scores.model}\n{100 * right:.0f} % right', fontsize=9)
    figure.colorbar(
        picture, ax=axes, shrink=0.6, label="of the true class's videos", pad=0.01, format=PercentFormatter(1)
    )
    figure.suptitle(
        'Rows: true class. Columns: predicted class. Videos predicted to be of another group are in no cell.',
        fontsize=9,
    )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100, format='png')
    plt.close(figure)


def _short(name: str, group: str) -> str:
    """A class's name without its group's in front."""
    return name[len(group) :].lstrip(' :_-') or name if name.startswith(group) else name
