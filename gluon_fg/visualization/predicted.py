"""Predictions drawn: a film with the likeliest classes over its frames, and a timeline of the windows of films."""

from __future__ import annotations

import bisect
import functools
import os
from typing import List, Mapping, Sequence

import cv2
import numpy as np
from matplotlib.figure import Figure

from ..data.video import VideoReader
from ..errors import UserError
from ..evaluation.answers import Stretch, stretches
from ..evaluation.predict import Prediction
from .charts import chart, open_axes, short_name
from .figures import COLORS, FilePath, below, beside, image, lay_out, shorten, text, to_array
from .film import LIGHT, NIGHT, write_film

SHOWN = 3  # classes over a frame, at most
FILMS = 20  # in a timeline, at most
_HIGHEST, _WIDEST = 720, 1280  # pixels of a frame; smaller ones than half a hundred lines grow
_LOWEST, _NARROWEST = 240, 320


def labeled_film(path: FilePath, reader: VideoReader, answers: Sequence[Prediction], shown: int = SHOWN) -> int:
    """Write the film as mp4 (same frames and rate, no sound) with the likeliest classes at its lower edge.

    Parameters
    ----------
    path
        the file
    reader
        the open film
    answers
        one of the whole film, or those of its windows, in order: each frame shows that of its own time
    shown
        classes of an answer

    Returns
    -------
    int
        frames written
    """
    height, width = _size(reader.size)
    parts = stretches_of_each(answers)
    caption_of = functools.lru_cache(1)(lambda place: _caption(answers[place], shown, width))  # of hours there are many
    starts = [part.start for part in parts]

    def page(number: int, frame: np.ndarray) -> np.ndarray:
        smaller = frame.shape[1] > width
        picture = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
        seconds = float(reader.times[number]) if reader.times is not None else number / reader.fps
        caption = caption_of(max(bisect.bisect_right(starts, seconds + 1e-6) - 1, 0))
        below_edge = picture[height - caption.shape[0] :, : caption.shape[1]]
        below_edge[:] = cv2.addWeighted(caption, 0.8, below_edge, 0.2, 0)
        return picture

    return write_film(path, reader, page)


def stretches_of_each(answers: Sequence[Prediction]) -> List[Stretch]:
    """The own time of each answer, not merged with its neighbors'."""
    apart = [answer._replace(predictions=[(str(n), 1.0)]) for n, answer in enumerate(answers)]
    return stretches(apart)


def _size(size: tuple) -> tuple:
    """(height, width) of a frame of the film, even, not too small for text and not larger than a screen."""
    width, height = size
    scale = max(_LOWEST / height, _NARROWEST / width, 1)
    scale *= min(1, _HIGHEST / (height * scale), _WIDEST / (width * scale))
    return max(2 * round(height * scale / 2), 2), max(2 * round(width * scale / 2), 2)


def _caption(answer: Prediction, shown: int, width: int) -> np.ndarray:
    """The lines of an answer as a picture, as wide as the film at most."""
    size = int(np.clip(width / 45, 11, 22))
    lines = []
    for number, (label, p) in enumerate(answer.predictions[:shown]):
        line = shorten(f'{100 * p:5.1f} %  {label}', width - 60 - 4 * size, size, bold=number == 0)
        bar = np.full((size, 3 * size, 3), 70, np.uint8)
        bar[:, : round(3 * size * p)] = 120, 190, 250
        lines.append(beside([image(bar), text(line, size, LIGHT, bold=number == 0)], 8))
    return to_array(lay_out(below(lines, 4), NIGHT, 8))[:, :width]


def timeline(films: Mapping[str, Sequence[Prediction]]) -> Figure:
    """Draw what is likeliest when: a row for each class, neighbors with the same answer as one bar.

    Parameters
    ----------
    films
        name of each film -> the answers of its windows, in order

    Raises
    ------
    UserError
        no film, or more than can be drawn below each other (20)
    """
    if not 0 < len(films) <= FILMS:
        raise UserError(f'a timeline shows 1 to {FILMS} films, got {len(films)}')
    merged = {name: stretches(answers) for name, answers in films.items()}
    rows = [len({part.label for part in parts}) for parts in merged.values()]
    figure = chart(11, 0.9 * len(films) + 0.34 * sum(rows))
    axes = figure.subplots(len(films), 1, squeeze=False, gridspec_kw={'height_ratios': [n + 1.2 for n in rows]})
    for axis, (name, parts) in zip(axes[:, 0], merged.items()):
        labels = list(dict.fromkeys(part.label for part in parts))
        for part in parts:
            row = labels.index(part.label)
            look = dict(height=0.7, color=COLORS[row % len(COLORS)], alpha=0.25 + 0.75 * part.probability)
            axis.barh(row, part.end - part.start, left=part.start, **look)
            middle = (part.start + part.end) / 2
            axis.text(middle, row, f'{100 * part.probability:.0f}', ha='center', va='center', fontsize=7, clip_on=True)
        axis.set_yticks(range(len(labels)), [short_name(label) for label in labels], fontsize=8, parse_math=False)
        axis.set_ylim(len(labels) - 0.4, -0.6)
        axis.set_xlim(0, parts[-1].end)
        axis.set_title(os.path.basename(name), fontsize=9, loc='left', parse_math=False)
        open_axes(axis)
    axes[-1, 0].set_xlabel('seconds; numbers are mean probabilities in percent', fontsize=8)
    return figure
