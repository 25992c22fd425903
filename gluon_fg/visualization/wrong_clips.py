"""The videos that a network has wrong, as a sheet of pictures: frames of each, what it is and what was said."""

from __future__ import annotations

import os
from typing import List, Optional

import numpy as np
from matplotlib.figure import Figure
from matplotlib.offsetbox import OffsetBox

from ..data.datasets import VideoDataset
from ..errors import VideoError
from ..evaluation.metrics import true_rank
from ..evaluation.score import Scores, video_ids
from .figures import beside, column, fit, image, sheet, shorten, text

FRAMES = 3  # of each video: near its beginning, in its middle, near its end
HEIGHT = 110  # of a frame, pixels
ACROSS = 2  # videos beside each other
MOST = 40  # videos of a sheet


def wrong_clips(scores: Scores, videos: VideoDataset, most: int = MOST) -> Optional[Figure]:
    """Draw the videos with a wrong prediction, those that it is surest of first; None where there are none.

    Parameters
    ----------
    scores, videos
        what a network said, and the dataset that it was said of
    most
        videos to show
    """
    known = np.flatnonzero(scores.labels >= 0)
    p = scores.branch()
    wrong = known[true_rank(p[known], scores.labels[known]) > 0]
    if not len(wrong):
        return None
    wrong = wrong[np.argsort(-p[wrong].max(axis=1), kind='stable')]
    records = {name: index for index, name in enumerate(video_ids(videos))}
    cards = [_card(scores, int(i), videos, records[scores.ids[i]]) for i in wrong[:most]]
    rows: List[OffsetBox] = [beside(cards[i : i + ACROSS], 24) for i in range(0, len(cards), ACROSS)]
    shown = f' The {len(cards)} that it is surest of are shown.' if len(wrong) > len(cards) else ''
    head = [
        f'{len(wrong)} of {len(known)} videos are wrong',
        f'{scores.model} on {scores.dataset}, {scores.protocol}.{shown}',
    ]
    return sheet(rows, head)


def _card(scores: Scores, i: int, videos: VideoDataset, record: int) -> OffsetBox:
    """Frames of one video, its true and its predicted class, and its name."""
    p, true = scores.branch()[i], int(scores.labels[i])
    said, width = int(p.argmax()), 2 * HEIGHT * FRAMES
    try:
        with videos.open(record) as reader:
            places = np.unique(np.linspace(0, len(reader) - 1, FRAMES + 2).round().astype(int)[1:-1])
            pictures = [fit(frame, HEIGHT, 2 * HEIGHT)[0] for frame in reader.get_batch(places)]
    except VideoError as error:  # gone since it was scored
        pictures, strip = [], text(shorten(error.reason, width))
    if pictures:
        strip = beside([image(picture) for picture in pictures], 2)
        width = max(sum(picture.shape[1] + 2 for picture in pictures), 2 * HEIGHT)
    lines = (
        text(shorten(f'is {scores.classes[true]} ({100 * p[true]:.0f} %)', width)),
        text(shorten(f'said {scores.classes[said]} ({100 * p[said]:.0f} %)', width), color='#b3261e'),
        text(shorten(os.path.basename(scores.ids[i]), width, 10), 10, '#787878'),
    )
    return column([strip, *lines], width, 3)
