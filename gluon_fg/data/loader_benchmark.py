"""How fast training clips come from files: this loader beside plain decord and beside GluonCV's, timed in turn.

A round times every variant once, A B C A B C ..., so that a busy moment of the machine touches all of them; ratios are
medians over rounds of that round's own ratio. Absolute times are this machine's alone.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import gc
import os
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import av
import cv2
import mxnet as mx
import numpy as np

from ..errors import UserError
from ..files import temporary_folder
from ..input_spec import InputSpec
from .datasets import VIDEO_SUFFIXES, VideoDataset, VideoRecord, some_suffixes
from .decoding import load_decord
from .labels import LabelSet
from .loader import Reading, TrainLoader, ordered_map
from .scans import ScanCache
from .transforms import TrainTransform, to_input
from .video import VideoReader

RAW = 'decord alone, the same frames'
SPEC = InputSpec(frames=16, frame_stride=4)  # DFB's clips on Kinetics-400
SIZES = ((340, 256), (320, 240))  # (W, H) of the films that are rendered: Kinetics as it is usually stored, UCF101


class Timed(NamedTuple):
    """A variant's result: name, videos per second, speed in shares of decord alone, processor time in ms a video."""

    name: str
    videos_per_second: float
    ratio: float
    cpu_ms: float


class _Noted(VideoReader):
    """A reader that notes which frames of a file are asked for."""

    def __init__(self, reader: VideoReader, note: Callable[[List[int]], None]):
        super().__init__(reader.path, len(reader), reader.fps, reader.size)
        self.times, self._reader, self._note = reader.times, reader, note

    def close(self) -> None:
        self._reader.close()

    def _decode(self, numbers: List[int], size: Tuple[int, int]) -> np.ndarray:
        self._note(numbers)
        return self._reader.get_batch(numbers, size)


class _NotedDataset(VideoDataset):
    """Videos whose readers note what is asked of them, in `asked`: (path, numbers of frames)."""

    asked: List[Tuple[str, List[int]]]

    def open(self, index: int) -> VideoReader:
        path = self.path(index)
        return _Noted(super().open(index), lambda numbers: self.asked.append((path, numbers)))


def rendered(
    folder: Path, videos: int = 12, seconds: float = 10, sizes: Sequence[Tuple[int, int]] = SIZES
) -> VideoDataset:
    """Write films of moving texture, H.264 as ffmpeg's defaults make it, 25 frames per second; sizes take turns."""
    records = []
    for number in range(videos):
        path = folder / f'{number:04d}.mp4'
        width, height = sizes[number % len(sizes)]
        _write(path, width, height, int(25 * seconds), number)
        records.append(VideoRecord(str(path), 0))
    return VideoDataset(records, LabelSet(('film',)), name=f'{videos} rendered films of {seconds:g} s')


def videos_below(folder: Path, videos: Optional[int] = None) -> VideoDataset:
    """The video files below a folder, or so many of them, evenly from the list of all; whatever they show."""
    files = sorted(path for path in folder.rglob('*') if path.suffix.lower() in VIDEO_SUFFIXES)
    if not files:
        raise UserError(f'{folder}: no videos there ({some_suffixes(VIDEO_SUFFIXES)})')
    records = [VideoRecord(str(path), 0) for path in files]
    return some_of(VideoDataset(records, LabelSet(('film',)), name=str(folder)), videos)


def some_of(dataset: VideoDataset, videos: Optional[int]) -> VideoDataset:
    """So many videos of a dataset, evenly from its list; all where there are fewer, or for None."""
    if videos is not None and videos < len(dataset):
        dataset.records = tuple(dataset.records[i * len(dataset) // videos] for i in range(videos))
    return dataset


def _write(path: Path, width: int, height: int, frames: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rough = rng.integers(0, 256, (height // 8 + 20, width // 8 + 20, 3), np.uint8)
    texture = cv2.resize(rough, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    texture = np.clip(texture + rng.integers(-12, 13, texture.shape), 0, 255).astype(np.uint8)
    with av.open(str(path), 'w') as container:
        codec = 'libx264' if 'libx264' in av.codecs_available else 'mpeg4'
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        for t in range(frames):
            x, y = int(70 + 60 * np.sin(t / 30 + seed)), int(70 + 60 * np.cos(t / 40 + seed))
            picture = texture[y : y + height, x : x + width].copy()
            cv2.circle(picture, (int(width / 2 + 80 * np.cos(t / 10)), height // 2), 25, (255, 30, 30), -1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
        container.mux(stream.encode())


def compare(
    dataset: VideoDataset, spec: InputSpec = SPEC, workers: int = 2, rounds: int = 5, batch_size: int = 4
) -> List[Timed]:
    """Time an epoch of a dataset with every variant, in turn; each uses `workers` threads (GluonCV's: processes).

    Videos that cannot be decoded are left out, and those that do not fill a batch.

    Raises
    ------
    UserError
        decord is not to be had, or no video can be decoded
    """
    if load_decord() is None:
        raise UserError('there is nothing to compare with: decord is not installed, or horovod was imported before it')
    if workers < 1:
        raise UserError(f'workers must be at least 1, got {workers}')
    labeled = copy.copy(dataset)
    labeled.records = tuple(record._replace(label=max(record.label, 0)) for record in dataset.records)
    _frames_of_epoch(labeled, spec, 1)
    batch_size = min(batch_size, len(labeled))
    labeled.records = labeled.records[: len(labeled) // batch_size * batch_size]
    asked = _frames_of_epoch(labeled, spec, batch_size)
    with contextlib.ExitStack() as stack:
        theirs = stack.enter_context(_gluoncv(asked, spec, workers, batch_size))
        variants: Dict[str, Callable[[], None]] = {
            RAW: lambda: _drain(ordered_map(_decord, asked, workers, 4 * batch_size)),
            'gluon_fg, first epoch': lambda: _epoch(labeled, spec, workers, batch_size, new=True),
            'gluon_fg, later epochs': lambda: _epoch(labeled, spec, workers, batch_size),
            'gluon_fg, later epochs, to float32': lambda: _epoch(labeled, spec, workers, batch_size, to_float=True),
            "GluonCV's VideoClsCustom and DataLoader": theirs,
        }
        seconds: Dict[str, List[float]] = {name: [] for name in variants}
        busy: Dict[str, List[float]] = {name: [] for name in variants}
        for number in range(rounds + 1):
            for name, run in variants.items():
                gc.collect()
                began, used = time.perf_counter(), _cpu_seconds()
                run()
                if number:  # the first warms the files up
                    seconds[name].append(time.perf_counter() - began)
                    busy[name].append(_cpu_seconds() - used)
    count = len(asked)
    return [
        Timed(
            name,
            count / statistics.median(seconds[name]),
            statistics.median(raw / own for raw, own in zip(seconds[RAW], seconds[name])),
            float('nan') if run is theirs else 1000 * statistics.median(busy[name]) / count,
        )
        for name, run in variants.items()
    ]


def table(results: Sequence[Timed]) -> str:
    """The results as a Markdown table."""
    lines = ['| loader | videos a second | of decord alone | processor time a video |', '|---|---|---|---|']
    for name, speed, ratio, cpu in results:
        spent = 'in other processes' if cpu != cpu else f'{cpu:.0f} ms'
        lines.append(f'| {name} | {speed:.1f} | {ratio:.2f} | {spent} |')
    return '\n'.join(lines)


def _loader(dataset: VideoDataset, spec: InputSpec, workers: int, batch_size: int) -> TrainLoader:
    return TrainLoader(dataset, spec, TrainTransform(spec), batch_size, reading=Reading(workers))


def _frames_of_epoch(dataset: VideoDataset, spec: InputSpec, batch_size: int) -> List[Tuple[str, List[int]]]:
    """Which frames of which files the loader decodes in its first epoch, in its order; takes out what it cannot."""
    while True:
        noted = _NotedDataset(dataset.records, dataset.labels, dataset.root, dataset.name, scans=dataset.scans)
        noted.asked = []
        loader = _loader(noted, spec, 0, batch_size)
        _drain(loader.batches(0))
        if not loader.failed:
            return noted.asked
        dataset.records = tuple(r for i, r in enumerate(dataset.records) if dataset.path(i) not in loader.failed)


def _decord(asked: Tuple[str, List[int]]) -> None:
    decord = load_decord()
    decord.VideoReader(asked[0], ctx=decord.cpu(0), num_threads=1).get_batch(asked[1]).asnumpy()


def _epoch(
    dataset: VideoDataset, spec: InputSpec, workers: int, batch_size: int, new: bool = False, to_float: bool = False
) -> None:
    if new:
        dataset = copy.copy(dataset)
        dataset.scans = ScanCache()
    for batch in _loader(dataset, spec, workers, batch_size).batches(0):
        if to_float:
            to_input(batch.clips, spec).wait_to_read()


@contextlib.contextmanager
def _gluoncv(
    asked: Sequence[Tuple[str, List[int]]], spec: InputSpec, workers: int, batch_size: int
) -> Iterator[Callable[[], None]]:
    """GluonCV's dataset, its training transform, and Gluon's loader, as its scripts put them together."""
    from gluoncv.data import VideoClsCustom
    from gluoncv.data.transforms import video as transforms

    with temporary_folder() as folder:
        lines = []
        for number, (path, _) in enumerate(asked):  # its lists take no spaces in paths
            name = f'{number}{Path(path).suffix}'
            os.symlink(os.path.abspath(path), os.path.join(folder, name))
            lines.append(f'{name} 0 0\n')
        setting = Path(folder, 'list.txt')
        setting.write_text(''.join(lines))
        size = (spec.crop_size, spec.crop_size)
        transform = transforms.VideoGroupTrainTransform(
            size=size, scale_ratios=[1.0, 0.875, 0.75, 0.66], mean=spec.mean, std=spec.std
        )
        clips = VideoClsCustom(
            str(folder),
            str(setting),
            train=True,
            new_length=spec.frames,
            new_step=spec.frame_stride,
            target_width=spec.crop_size,
            target_height=spec.crop_size,
            video_loader=True,
            use_decord=True,
            transform=transform,
        )
        loader = mx.gluon.data.DataLoader(clips, batch_size, shuffle=True, num_workers=workers, last_batch='discard')

        def run() -> None:
            for x, _ in loader:
                x.wait_to_read()

        yield run


def _drain(items: Iterator[Any]) -> None:
    for _ in items:
        pass


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def memory_growth(
    dataset: VideoDataset, openings: int, spec: InputSpec = SPEC, workers: int = 2
) -> Tuple[float, float]:
    """Open so many videos, and as many again: (MB that the process holds after the first, MB more after the second).

    The dataset is gone through as often as that takes; files are opened, scanned where they are new, and decoded.
    """
    many, held = copy.copy(dataset), []
    records = (dataset.records[i % len(dataset)] for i in range(openings))
    many.records = tuple(record._replace(label=max(record.label, 0)) for record in records)
    loader = _loader(many, spec, workers, 1)
    for epoch in range(2):
        _drain(loader.batches(epoch))
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # what is free, but kept for later, is not held
            ctypes.CDLL('libc.so.6').malloc_trim(0)
        held.append(resident_mb())
    return held[0], held[1] - held[0]


def resident_mb() -> float:
    """MB of memory that this process holds now; where the system does not tell, the most that it ever held."""
    try:
        pages = int(Path('/proc/self/statm').read_text().split()[1])
        return pages * os.sysconf('SC_PAGE_SIZE') / 1e6
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / 1e6 if sys.platform == 'darwin' else most / 1e3
