"""A picture of SynthFG's classes."""

from __future__ import annotations

import cv2
import numpy as np

from .clips import CLASSES, GROUPS, KIND, render_clip
from .scene import FRAMES, SIZE


def contact_sheet(seed: int = 0, zoom: int = 2, boxes: bool = False) -> np.ndarray:
    """Draw one clip of each class as a strip, four strips a group with the same scene: uint8 (H, W, 3) RGB.

    Parameters
    ----------
    zoom
        enlargement of the frames
    boxes
        outline where the discriminative detail shows
    """
    cell, text, gap = SIZE * zoom + 2, 16, 10
    block_h, block_w = 4 * (cell + text) + gap + text, FRAMES * cell + gap
    sheet = np.full((3 * block_h, 2 * block_w, 3), 255, np.uint8)

    def write(words: str, x: int, y: int, size: float) -> None:
        cv2.putText(sheet, words, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 1, cv2.LINE_AA)

    for label, name in enumerate(CLASSES):
        group, variant = divmod(label, 4)
        x0, y0 = (group % 2) * block_w + 4, (group // 2) * block_h
        if variant == 0:
            write(f'{GROUPS[label]} ({KIND[GROUPS[label]]})', x0, y0 + text - 3, 0.6)
        y0 += text + variant * (cell + text)
        write(name, x0, y0 + text - 4, 0.45)
        clip, truth = render_clip(label, (seed, group), return_truth=True)
        for t, frame in enumerate(clip):
            big = cv2.resize(frame, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
            for box in truth if boxes else ():
                if box.t == t:
                    cv2.rectangle(
                        big, (box.x0 * zoom, box.y0 * zoom), (box.x1 * zoom - 1, box.y1 * zoom - 1), (255, 255, 0), 1
                    )
            sheet[y0 + text : y0 + text + SIZE * zoom, x0 + t * cell : x0 + t * cell + SIZE * zoom] = big
    return sheet
