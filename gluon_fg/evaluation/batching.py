"""Batches of views: each video is decoded and cut once, and views of one shape fill batches across videos."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generator, Iterable, Iterator, List, NamedTuple, Optional, Set, Tuple, Union

import numpy as np

from ..data.features import FeatureReader
from ..data.isolated import start_seconds
from ..data.labels import LabelSet
from ..data.rates import at_rate
from ..data.video import VideoReader
from ..errors import VideoError
from ..input_spec import InputSpec
from .protocol import Protocol

logger = logging.getLogger(__name__)

_SHORT = 'videos are shorter than clips'


class Merged(NamedTuple):
    """One video's outcome: its position in the list, and probabilities (branches, M) float64 or the error that
    stopped it; beside probabilities the logits (M,) of the prediction, float64, averaged over the views as they are,
    and the seconds that it took to decode the video and cut its views, as a clock on the wall counts them.
    """

    position: int
    result: Union[np.ndarray, VideoError]
    logits: Optional[np.ndarray] = None
    seconds: Optional[float] = None


class Video:
    """A video whose views are being averaged."""

    def __init__(self, position: int, name: str, views: int, seconds: Optional[float] = None):
        self.position, self.name, self.views, self.missing = position, name, views, views
        self.seconds = seconds
        self.sum: Any = 0.0
        self.logits: Any = 0.0

    def add(self, probabilities: np.ndarray, logits: np.ndarray) -> bool:
        """Add one view's (branches, M) and (M,); returns whether that was the last one."""
        self.sum, self.logits = self.sum + probabilities, self.logits + logits
        self.missing -= 1
        return self.missing == 0


def cut_video(protocol: Protocol, spec: InputSpec, labels: Optional[LabelSet], told: Set[str], job: tuple) -> tuple:
    """Give (position, name, views and which are mirrored, or the error, seconds) of (position, (name, opener))."""
    position, (name, opener) = job
    began = time.perf_counter() - start_seconds()
    try:
        with opener() as reader:
            _say_short(reader, spec, told)
            outcome: Any = protocol.views(reader, spec, labels)
    except VideoError as error:
        outcome = error
    return position, name, outcome, time.perf_counter() - start_seconds() - began


def _say_short(reader: VideoReader, spec: InputSpec, told: Set[str]) -> None:
    """Warn of the first video that is not half as long as the clips that the network was trained on."""
    if spec.ndim == 2 or spec.sampling == 'spread' or isinstance(reader, FeatureReader) or _SHORT in told:
        return
    total, needed = len(at_rate(reader, spec.fps)), (spec.frames - 1) * spec.frame_stride + 1 + spec.fields
    if 2 * total < needed:
        told.add(_SHORT)
        logger.warning(
            '%s: has %d frames, the network takes clips of %d: frames are shown more than once, of this and of other '
            'videos as short',
            reader.path, total, needed,
        )  # fmt: skip


def batches(cuts: Iterable[tuple], batch_size: int, group: Optional[int]) -> Iterator[Tuple[list, List[Merged]]]:
    """Make lists of at most `batch_size` (video, flipped, view) of one shape, in order, across the videos of a group.

    Beside each is an empty list; behind a group comes an empty one with its videos that could not be read beside it.
    """
    batch: list = []
    failed: List[Merged] = []
    for position, name, outcome, seconds in cuts:
        if isinstance(outcome, VideoError):
            failed.append(Merged(position, outcome))
        else:
            views, flipped = outcome
            video = Video(position, name, len(views), seconds)
            for view, flip in zip(views, flipped):
                if batch and (len(batch) == batch_size or view.shape != batch[0][-1].shape):
                    yield batch, []
                    batch = []
                batch.append((video, bool(flip), view))
        if group and (position + 1) % group == 0:
            yield from _ended(batch, failed)
            batch, failed = [], []
    yield from _ended(batch, failed)


def _ended(batch: list, failed: List[Merged]) -> Iterator[Tuple[list, List[Merged]]]:
    if batch:
        yield batch, []
    if failed:
        yield [], failed


def ahead(items: Generator[Any, None, None]) -> Generator[Any, None, None]:
    """Give the items of a generator, of which the next one is made in a thread while the last one is used.

    What that raises is raised where the item would have come. When this ends, the generator is closed.
    """
    end = object()
    try:
        with ThreadPoolExecutor(1, thread_name_prefix='gluon_fg-batch') as pool:
            coming = pool.submit(next, items, end)
            while True:
                item = coming.result()
                if item is end:
                    return
                coming = pool.submit(next, items, end)
                yield item
    finally:
        items.close()
