"""The base of all readers of videos: frames by number."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import UserError
from .flow.place import FlowPlace
from .limits import check_batch


class VideoReader:
    """Gives frames of a video by number. A context manager: nothing stays open after the block.

    `len(reader)` frames; `fps` frames per second; `size` (W, H) pixels; `path`; `backend`, what decodes; `times`
    (len,) seconds of the frames after the first, None where only `fps` tells them; `flow`, where its optical flow is
    looked for, None: wherever it may be (`flow.sources`).
    """

    backend = ''
    times: Optional[np.ndarray] = None
    flow: Optional[FlowPlace] = None

    def __init__(self, path: str, length: int, fps: float, size: Tuple[int, int]):
        self.path, self.fps, self.size, self._length = str(path), fps, size, length

    def __len__(self) -> int:
        return self._length

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; harmless when done twice."""

    def source_frames(self, indices: Union[Sequence[int], np.ndarray]) -> np.ndarray:
        """Numbers that these frames have in the video as it was opened: others where this shows it at another rate."""
        return np.asarray(indices)

    @property
    def film(self) -> VideoReader:
        """The video whose `flow` it is, which this may show a stretch of, or at another rate."""
        return self

    def film_frames(self, indices: np.ndarray) -> np.ndarray:
        """Numbers that these frames have in `film`."""
        return indices

    def get_batch(
        self, indices: Union[Sequence[int], np.ndarray], size: Optional[Tuple[int, int]] = None
    ) -> np.ndarray:
        """Decode frames by number, repeated and in any order: uint8 (T, H, W, 3), RGB.

        `size` (H, W): each frame is resized to it (`transforms.resize`) as soon as it is decoded, so that frames of
        large films are never all in memory at once.

        Raises
        ------
        UserError
            no index, or one outside 0..len - 1
        VideoError
            a frame that cannot be decoded, or more of them than memory should hold
        """
        wanted = np.asarray(indices)
        if wanted.ndim != 1 or wanted.size == 0 or wanted.dtype.kind not in 'iu':
            raise UserError(f'{self.path}: frames are asked for by a list of integers, got {indices!r}')
        if wanted.min() < 0 or wanted.max() >= len(self):
            wrong = wanted[(wanted < 0) | (wanted >= len(self))][0]
            raise UserError(f'{self.path}: frame {wrong} is outside 0..{len(self) - 1}')
        once, where = np.unique(wanted, return_inverse=True)
        height, width = size or self.size[::-1]
        check_batch(self.path, len(wanted), height, width)
        frames = self._decode(once.tolist(), (height, width))
        return frames if np.array_equal(where, np.arange(len(once))) else frames[where]

    def _decode(self, numbers: List[int], size: Tuple[int, int]) -> np.ndarray:
        """Frames `numbers` (increasing, each once), resized to `size` (H, W): uint8 (T, H, W, 3)."""
        raise NotImplementedError
