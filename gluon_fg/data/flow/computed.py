"""Flow computed when it is asked for, from the frames of a video: as stored flow is, but for the loss of JPEG."""

from __future__ import annotations

from typing import List, Optional, Tuple

import numpy as np

from ..decoding import VideoReader
from ..transforms import short_side_size
from .fields import FlowSettings, compute, quantize
from .stored import FlowReader

_CHUNK = 16  # frames that are decoded at a time


def flow_size(size: Tuple[int, int], short_side: Optional[int]) -> Tuple[int, int]:
    """Tell (H, W) of the frames that flow is computed of, from the film's (W, H): smaller where it is larger."""
    width, height = size
    if short_side is None or min(size) <= short_side:
        return height, width
    return short_side_size(height, width, short_side)


class ComputedFlow(FlowReader):
    """Gives fields of a video by number, computed from its frames as `settings` says. It leaves the video open."""

    def __init__(self, reader: VideoReader, settings: FlowSettings):
        height, width = flow_size(reader.size, settings.short_side)
        super().__init__(reader.path, len(reader) - 1, (width, height), settings)
        self._reader, self._algorithm = reader, settings.algorithm or 'dis'

    def _read(self, numbers: List[int]) -> np.ndarray:
        width, height = self.size
        fields = np.empty((len(numbers), height, width, 2), np.uint8)
        for start in range(0, len(numbers), _CHUNK):
            chosen = np.array(numbers[start : start + _CHUNK])
            needed = np.union1d(chosen, chosen + 1)
            frames = dict(zip(needed.tolist(), self._reader.get_batch(needed, (height, width))))
            for field, number in zip(fields[start:], chosen.tolist()):
                moved = compute(frames[number], frames[number + 1], self._algorithm)
                field[:] = quantize(moved, self.settings.bound)
        return fields


class PartFlow(FlowReader):
    """Gives the fields of a stretch of a film, numbered from 0 by its frames. Closing it closes the stretch."""

    def __init__(self, flow: FlowReader, part: VideoReader):
        super().__init__(flow.path, len(part) - 1, flow.size, flow.settings)
        self._flow, self._part = flow, part

    def close(self) -> None:
        self._flow.close()
        self._part.close()

    def _read(self, numbers: List[int]) -> np.ndarray:
        return self._flow._read(self._part.film_frames(np.array(numbers)).tolist())


class ArrayFlow(FlowReader):
    """Holds fields that were read already: uint8 (K, H, W, 2)."""

    def __init__(self, path: str, fields: np.ndarray, settings: FlowSettings):
        super().__init__(path, len(fields), (fields.shape[2], fields.shape[1]), settings)
        self._fields = fields

    def _read(self, numbers: List[int]) -> np.ndarray:
        return self._fields[numbers]


def all_fields(flow: FlowReader) -> Tuple[str, np.ndarray, FlowSettings]:
    """Read all fields, for an `ArrayFlow`, and close what they are read from."""
    with flow:
        return flow.path, flow.get_batch(np.arange(len(flow))), flow.settings
