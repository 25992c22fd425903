"""Prefetching threads, and the training loader whose batches depend on nothing but (seed, epoch, position).

Threads, not processes: decoding and resizing release the interpreter's lock, nothing is pickled, and no fork meets
MXNet's engine.
"""

from __future__ import annotations

import collections
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, Generator, Iterable, List, NamedTuple, Set, Tuple, Union

import cv2
import numpy as np

from ..errors import UserError, VideoError
from ..input_spec import InputSpec
from . import sampling, seen
from .datasets import VideoDataset
from .dealing import Dealing
from .features import FeatureReader
from .rates import at_rate
from .transforms import TrainTransform, View, apply, to_view
from .video import VideoReader

logger = logging.getLogger(__name__)

_ORDER, _SAMPLE, _REFILL, _MIX = 1, 2, 3, 4  # streams of random numbers; not 0, which a SeedSequence takes for nothing
_TRIES = 64  # videos tried for one place of a batch: chance must not end a run where half of them are bad
_SURE = 100  # videos that cannot be decoded after which few others that can tell enough


def ordered_map(
    fn: Callable[[Any], Any], items: Iterable[Any], workers: int = 2, prefetch: int = 4
) -> Generator[Any, None, None]:
    """Compute `map(fn, items)` ahead in `workers` threads; results come in the order of `items`.

    At most `prefetch` (or `workers`, if more) calls are started and not yet handed over, which bounds memory. An
    exception of `fn` is raised where its result would have come. Whatever ends the iteration (an exception,
    `close()`, an interrupt), calls not started are cancelled and running ones waited for. `workers=0` computes in the
    caller's thread.
    """
    if workers < 0 or prefetch < 1:
        raise UserError(f'workers must be at least 0 and prefetch at least 1, got {workers} and {prefetch}')
    if workers == 0:
        yield from map(fn, items)
        return
    cv2.setNumThreads(0)  # OpenCV's own threads would fight with these over the same cores
    pool = ThreadPoolExecutor(workers, thread_name_prefix='gluon_fg-data')
    pending: collections.deque = collections.deque()
    try:
        for item in items:
            if len(pending) >= max(prefetch, workers):
                yield pending.popleft().result()
            pending.append(pool.submit(fn, item))
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
        pool.shutdown(wait=True)


class Batch(NamedTuple):
    """One rank's part of a training batch.

    `clips` uint8, ready for `to_input`: (N, 3, T, H, W), or (N * segments, 3, H, W), or features; `labels` int32 (N,),
    of the clips as they are (mirrored ones mapped), or float32 (N, M), the share of each class in clips that are mixed
    or show several; `indices` int64 (N,), records of the dataset they come from.
    """

    clips: np.ndarray
    labels: np.ndarray
    indices: np.ndarray


class _Sample(NamedTuple):
    view: np.ndarray
    label: Union[int, np.ndarray]
    record: int
    failures: List[Tuple[int, VideoError]]  # records that were tried before


class Share(NamedTuple):
    """Which part of every global batch a process gets: its rank among `size` processes."""

    rank: int = 0
    size: int = 1


class Reading(NamedTuple):
    """How far ahead videos are read: in how many threads (0: in the caller's), for how many batches."""

    workers: int = 2
    prefetch: int = 4


ALONE, AHEAD, SHUFFLED = Share(), Reading(), Dealing()


class TrainLoader:
    """Deals out random clips of a dataset in batches, the same for any number of workers, shared exactly among ranks.

    An epoch is one permutation of the videos, drawn from (seed, epoch), or what `dealing` says. Global batch g is its
    positions [g * batch_size * size, (g + 1) * batch_size * size); rank r takes the r-th slice of `batch_size` of them.
    The clip, crop and mirror at a position are drawn from (seed, epoch, position), how a batch is mixed from (seed,
    epoch, g). So the same videos, in the same windows, make up global batch g for 1 rank of 8 and 2 ranks of 4, and a
    run resumed at batch g sees what it would have seen.

    A video that cannot be decoded is named once in the log, counted in `failed` (path -> reason), and its place is
    filled by another, drawn from (seed, epoch, position) too.

    Parameters
    ----------
    dataset
        a `VideoDataset` with a label for every record, or with targets
    spec
        the network's `InputSpec`. Layout 'NCTHW': one random clip (of frames as `sampling` says); 'NCHW': a random
        frame of each segment
    transform
        a `TrainTransform`
    batch_size
        clips per rank
    seed
        any integer from 0
    share
        this process among how many
    reading
        threads, and batches prepared ahead
    dealing
        which videos make up a batch, and whether its clips are mixed

    Raises
    ------
    UserError
        fewer videos than a global batch (with `drop_last`), a record without a label, an impossible rank, a batch that
        cannot be dealt or mixed so; while iterating, when more than half of the dataset's videos cannot be decoded, or
        three quarters of more than 100 that were tried
    """

    def __init__(
        self,
        dataset: VideoDataset,
        spec: InputSpec,
        transform: TrainTransform,
        batch_size: int,
        seed: int = 0,
        share: Share = ALONE,
        reading: Reading = AHEAD,
        dealing: Dealing = SHUFFLED,
    ):
        (rank, size), (workers, prefetch) = share, reading
        if batch_size < 1 or seed < 0 or workers < 0 or prefetch < 1:
            raise UserError(
                'batch_size and prefetch must be at least 1, seed and workers at least 0; '
                f'got {batch_size}, {prefetch}, {seed} and {workers}'
            )
        if not 0 <= rank < size:
            raise UserError(f'rank {rank} is outside 0..{size - 1}')
        if batch_size % dealing.repeat or (dealing.mixing and batch_size % 2):
            raise UserError(f'batch_size is {batch_size}; {dealing.asks_for()}')
        for record in dataset.records:
            if record.label < 0 and dataset.targets is None:
                raise UserError(f'{dataset.name}: {record.path} has no label; training needs one for every video')
        self.dataset, self.spec, self.transform = dataset, spec, transform
        self.batch_size, self.seed, self.rank, self.size = batch_size, seed, rank, size
        self.workers, self.prefetch, self.dealing = workers, prefetch, dealing
        self.failed: Dict[str, str] = {}
        self._bad: Set[int] = set()  # records that were tried, and cannot be decoded
        self._good: Set[int] = set()
        if len(self) == 0:
            raise UserError(
                f'{dataset.name} has {len(dataset)} videos, fewer than one batch of {batch_size} x {size}; '
                'choose a smaller batch_size'
            )

    def __len__(self) -> int:
        """Steps in an epoch."""
        total, per_step = len(self.dataset) * self.dealing.repeat, self.batch_size * self.size
        return total // per_step if self.dealing.drop_last else -(-total // per_step)

    def batches(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """Give this rank's batches `start`, `start` + 1, ... of an epoch (both from 0)."""
        labels = np.array([record.label for record in self.dataset.records])
        order = self.dealing.order(labels, self._generator(epoch, _ORDER))
        first = [(step * self.size + self.rank) * self.batch_size for step in range(start, len(self))]
        places = (
            (p, self.dealing.place(p, self.batch_size * self.size))
            for f in first
            for p in range(f, f + self.batch_size)
        )
        positions = ((epoch, p, int(order[place % len(order)])) for p, place in places)
        # With small batches, too, no thread waits for a single slow video
        ahead = max(self.prefetch * self.batch_size, 2 * self.workers)
        samples = ordered_map(self._draw, positions, self.workers, ahead)
        try:
            for step in range(start, len(self)):
                batch = self._collect([next(samples) for _ in range(self.batch_size)])
                if self.dealing.mixing:
                    mixed = self.dealing.mixing.mix(batch.clips, batch.labels, self._generator(epoch, _MIX, step))
                    batch = Batch(*mixed, batch.indices)
                yield batch
        finally:
            samples.close()

    def _generator(self, epoch: int, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch, *stream])

    def _draw(self, place: Tuple[int, int, int]) -> _Sample:
        """Draw the sample at a position of the epoch's order from its own video or, if that fails, from a stand-in."""
        epoch, position, index = place
        failures: List[Tuple[int, VideoError]] = []
        for attempt in range(_TRIES):
            if attempt:
                index = int(self._generator(epoch, _REFILL, position, attempt).integers(len(self.dataset)))
            try:
                view, label = self.sample(index, self._generator(epoch, _SAMPLE, position))
                return _Sample(view, label, index, failures)
            except VideoError as error:
                failures.append((index, error))
        raise UserError(f'{len(failures)} videos in a row cannot be decoded; the first: {failures[0][1]}')

    def sample(self, index: int, rng: np.random.Generator) -> Tuple[np.ndarray, Union[int, np.ndarray]]:
        """Draw a random view of a record's video, uint8, and tell its label, or labels (M,), after the mirror."""
        label, mirrored = self._labels(index)
        with self.dataset.open(index) as reader:
            view = random_view(reader, self.spec, self.transform, rng, may_flip=mirrored is not None)
        return view.pixels, mirrored if view.cut.mirrored and mirrored is not None else label

    def _labels(self, index: int) -> Tuple[Union[int, np.ndarray], Union[int, np.ndarray, None]]:
        """A record's label, or labels (M,), and those of its mirrored video; None where it may not be mirrored."""
        dataset = self.dataset
        if dataset.targets is not None:
            return dataset.targets[index], dataset.labels.mirrored_targets(dataset.targets[index])
        label = dataset.records[index].label
        mirrored = int(dataset.labels.flip_map[label])
        return label, mirrored if mirrored >= 0 else None

    def _collect(self, samples: List[_Sample]) -> Batch:
        for sample in samples:
            self._good.add(sample.record)
            for record, error in sample.failures:
                self._bad.add(record)
                if error.path not in self.failed:
                    self.failed[error.path] = error.reason
                    logger.warning('left out, another video takes its place: %s', error)
        self._check_share()
        views = [sample.view for sample in samples]
        return Batch(
            np.stack(views) if self.spec.ndim == 3 else np.concatenate(views),
            np.array([sample.label for sample in samples], np.int32 if self.dataset.targets is None else np.float32),
            np.array([sample.record for sample in samples], np.int64),
        )

    def _check_share(self) -> None:
        """Refuse to go on where most videos cannot be decoded: this is no bad file, but a wrong folder or disk."""
        bad, good, total = len(self._bad), len(self._good), len(self.dataset)
        if 2 * bad > total or (bad > _SURE and bad > 3 * good):
            path, reason = next(iter(self.failed.items()))
            raise UserError(
                f'{bad} of {bad + good} videos tried cannot be decoded, of {total} in {self.dataset.name}; '
                f'the first: {VideoError(path, reason)}'
            )


def random_view(
    reader: VideoReader, spec: InputSpec, transform: TrainTransform, rng: np.random.Generator, may_flip: bool
) -> View:
    """Draw a training view of a video: which frames, then what is cut from them; `may_flip` changes no other draw.

    Of stored features (`FeatureReader`) it is one of the views that there are, whatever `spec` and `transform` say.
    """
    if isinstance(reader, FeatureReader):
        return reader.draw(rng)
    reader = at_rate(reader, spec.fps)
    total = seen.positions(reader, spec)
    if spec.sampling == 'spread':
        indices = sampling.random_spread(total, spec.frames, rng)
    elif spec.ndim == 3:
        indices = sampling.random_clip(total, spec.frames, spec.frame_stride, rng, spec.short)
    else:
        indices = sampling.segment_indices(total, spec.segments, rng)
    cut = transform.draw(reader.size[1], reader.size[0], rng, may_flip)
    frames = seen.read(reader, indices, spec, cut.resized)
    pixels = transform.augment(apply(frames, cut, spec.crop_size), rng)
    return View(to_view(pixels, spec), reader.source_frames(indices), cut)
