"""Which videos a batch is made of, and how its clips are mixed; drawn so that every rank and a resumed run agree."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

import cv2
import numpy as np


class Mixing(NamedTuple):
    """Mixes the clips of a batch in pairs, and their labels in the same shares.

    Neighbors make a pair, so that a pair is never parted between ranks; a batch's videos stand in random order anyway.
    One share and one rectangle, drawn anew, serve a whole batch.

    Parameters
    ----------
    mixup
        alpha of mixup (Zhang et al. 2018): a clip is lambda of itself and 1 - lambda of the other, lambda from
        Beta(alpha, alpha); 0: off
    cutmix
        alpha of cutmix (Yun et al. 2019): a rectangle, the same in all frames, is cut from the other clip. It takes
        1 - lambda of the frame before it is cut off at the frame's edge, and counts by the area that is left; 0: off.
        Where both are on each batch gets either, at even odds
    classes
        M
    """

    mixup: float
    cutmix: float
    classes: int

    def mix(self, clips: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Tuple[np.ndarray, np.ndarray]:
        """Mixed uint8 clips, in the memory of the ones given, and float32 shares of the classes (N, M).

        Inputs:
            - **clips**: (N, 3, T, H, W), or (N * segments, 3, H, W)
            - **labels**: (N,), N even; or shares (N, M)
        """
        cuts = self.cutmix > 0 and (not self.mixup or rng.random() < 0.5)
        alpha = self.cutmix if cuts else self.mixup
        share = float(rng.beta(alpha, alpha))
        height, width = clips.shape[-2:]
        of_videos = clips.reshape(len(labels), -1, width)
        if cuts:
            top, left, bottom, right = cut_window(height, width, share, rng)
            window = clips.reshape(len(labels), -1, height, width)[:, :, top:bottom, left:right]
            window[:] = window[partners(len(labels))]
            share = 1 - (bottom - top) * (right - left) / (height * width)
        else:
            for first in range(0, len(labels), 2):
                a, b = of_videos[first : first + 2].copy()
                cv2.addWeighted(a, share, b, 1 - share, 0, dst=of_videos[first])
                cv2.addWeighted(b, share, a, 1 - share, 0, dst=of_videos[first + 1])
        own = shares_of(labels, self.classes)
        return clips, (share * own + (1 - share) * own[partners(len(labels))]).astype(np.float32)


class Dealing(NamedTuple):
    """How the videos of an epoch are dealt out.

    Parameters
    ----------
    drop_last
        True leaves out the videos that do not fill a global batch (others in each epoch); False completes the last
        batch with the epoch's first videos
    sampling
        'shuffled', every video once; 'balanced', as many videos, every class equally often
    repeat
        clips of each video in a batch, each cut and changed on its own (Hoffer et al. 2020); an epoch has that many
        times as many batches
    mixing
        what is done with a batch's clips, or None
    """

    drop_last: bool = True
    sampling: str = 'shuffled'
    repeat: int = 1
    mixing: Optional[Mixing] = None

    def asks_for(self) -> str:
        """Which sizes of a batch it takes, in words."""
        mixed = ['an even number, as clips are mixed in pairs'] if self.mixing else []
        repeated = [f'a multiple of the {self.repeat} clips of each video'] if self.repeat > 1 else []
        return f'choose {", and ".join([*mixed, *repeated])}'

    def order(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw an epoch's order of videos, of which `labels` (videos,) are the classes."""
        return balanced_order(labels, rng) if self.sampling == 'balanced' else rng.permutation(len(labels))

    def place(self, position: int, batch: int) -> int:
        """Tell which place in the epoch's order the clip at a position is of, in global batches of `batch` clips.

        The videos of a batch stand side by side, then once more: neighbors are of different videos.
        """
        videos = batch // self.repeat
        return position // batch * videos + position % batch % videos


def shares_of(labels: np.ndarray, classes: int) -> np.ndarray:
    """Labels (N,) as float32 (N, M), 1 for the class; shares, (N, M), as they are."""
    return labels if labels.ndim == 2 else np.eye(classes, dtype=np.float32)[labels]


def partners(count: int) -> np.ndarray:
    """Each place's neighbor in its pair: 1, 0, 3, 2, ..."""
    return np.arange(count) ^ 1


def cut_window(height: int, width: int, share: float, rng: np.random.Generator) -> Tuple[int, int, int, int]:
    """Draw (top, left, bottom, right) of cutmix: 1 - `share` of the frame, around any point, cut off at the edges."""
    half_height, half_width = (int(side * np.sqrt(1 - share)) // 2 for side in (height, width))
    row, column = int(rng.integers(height)), int(rng.integers(width))
    return (
        max(row - half_height, 0),
        max(column - half_width, 0),
        min(row + half_height, height),
        min(column + half_width, width),
    )


def balanced_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many videos as there are, every class that occurs equally often but for one; (videos,) indices.

    The classes come in rounds, each in an order of its own; the videos of a class in shuffled passes, so that none
    comes twice before all of the class did.
    """
    classes, count = np.unique(labels), len(labels)
    rounds = -(-count // len(classes))
    places = np.concatenate([rng.permutation(classes) for _ in range(rounds)])[:count]
    order = np.empty(count, np.int64)
    for label in classes:
        own, wanted = np.flatnonzero(labels == label), np.flatnonzero(places == label)
        passes = -(-len(wanted) // len(own))
        order[wanted] = np.concatenate([rng.permutation(own) for _ in range(passes)])[: len(wanted)]
    return order
