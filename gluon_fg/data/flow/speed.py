"""How fast flow is computed and stored, beside OpenCV called directly, how good it is, and what JPEG costs.

A round times every way once, A B C A B C ..., so that a busy moment of the machine touches all; ratios are medians over
rounds of that round's own ratio. Absolute times are this machine's alone.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Union

import cv2
import numpy as np

from ... import _runtime
from ...errors import UserError
from ...interrupts import kept_from_children
from ..synthfg.files import write_image
from ..video import open_video
from . import fields
from .computed import flow_size
from .gathering import gather
from .listing import Header
from .scenes import MOTIONS, moving
from .writing import Job, extract

ALONE = 'OpenCV called directly'
FRAMES = {'dis': 60, 'tvl1': 8}  # of a film that is timed
QUALITIES = (75, 90, 95, 100)
_SIDE = 256


class Speed(NamedTuple):
    """A way to compute flow: frames a second, and its speed in shares of OpenCV called directly."""

    algorithm: str
    way: str
    frames_per_second: float
    ratio: float


class Error(NamedTuple):
    """How far computed flow is from the true one on a scene: the mean distance over all pixels, in pixels."""

    algorithm: str
    motion: str
    pixels: float


class Cost(NamedTuple):
    """What a format of the stored images costs: bytes a field, and the mean error of what is read back, in pixels."""

    format: str
    bytes: float
    pixels: float


def measure(folder: Path, root: Optional[str], quick: bool, rounds: int) -> List[Union[Speed, Error, Cost]]:
    """Time all ways, judge all algorithms that are installed, and count bytes.

    Parameters
    ----------
    folder
        an empty folder for what is written
    root
        a folder of videos; None: a scene that is rendered
    quick
        small frames, few of them
    rounds
        how often each way is timed
    """
    algorithms = [name for name in fields.ALGORITHMS if name == 'dis' or fields.has_tvl1()]
    films = {name: _film(folder / name, root, quick, FRAMES[name]) for name in algorithms}
    results: List[Union[Speed, Error, Cost]] = []
    with _pool(1) as single, _pool(2) as pair:
        for algorithm in algorithms:
            results += _speeds(algorithm, films[algorithm], folder, {'1 process': single, '2 processes': pair}, rounds)
    for algorithm in algorithms:
        for name, motion in MOTIONS.items():
            frames, flow = moving(motion, 2, 120, 160)
            computed = fields.compute(frames[0], frames[1], algorithm)
            results.append(Error(algorithm, name, float(np.linalg.norm(computed - flow, axis=-1).mean())))
    return [*results, *_costs(films['dis'])]


def _film(folder: Path, root: Optional[str], quick: bool, count: int) -> Path:
    """A lossless film of so many frames, of the first video below a folder or rendered, with a short side of 256."""
    folder.mkdir()
    if root is None:
        frames, _ = moving((1.2, 0.7, 0.1, 1), count, *((120, 160) if quick else (256, 340)))
    else:
        given = gather(root)
        with open_video(os.path.join(given.root, given.paths[0])) as reader:
            if len(reader) < 2:
                raise UserError(f'{reader.path}: has one frame; flow is from a frame to the next')
            frames = reader.get_batch(
                np.arange(min(count, len(reader))), flow_size(reader.size, 120 if quick else _SIDE)
            )
    for number, frame in enumerate(frames, start=1):
        write_image(folder / f'img_{number:05d}.png', frame)
    return folder


class _pool:
    """Processes that are ready: starting them, which takes seconds once, is not timed."""

    def __init__(self, count: int):
        context = multiprocessing.get_context('spawn')
        self.pool = ProcessPoolExecutor(count, context, _runtime.load_in_child, (os.getpid(),))
        self.count = count

    def __enter__(self) -> _pool:
        with kept_from_children():
            list(self.pool.map(time.sleep, [0.5] * 2 * self.count))
        return self

    def run(self, jobs: Sequence[Job]) -> None:
        for made in self.pool.map(extract, jobs):
            if made.problem:
                raise UserError(made.problem)

    def __exit__(self, *exc: object) -> None:
        self.pool.shutdown()


def _speeds(algorithm: str, film: Path, folder: Path, pools: Dict[str, _pool], rounds: int) -> List[Speed]:
    header = Header(algorithm, fields.BOUND, None, 'zip', 95)
    jobs = [Job(str(film), str(folder / 'out'), name, header) for name in ('a', 'b')]
    ways: Dict[str, Callable[[], None]] = {
        ALONE: functools.partial(_direct, algorithm, film, folder / 'direct', len(jobs)),
        **{name: functools.partial(pool.run, jobs) for name, pool in pools.items()},
    }
    seconds: Dict[str, List[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    frames = len(jobs) * len(list(film.iterdir()))
    return [
        Speed(
            algorithm,
            name,
            frames / statistics.median(times),
            statistics.median(alone / own for alone, own in zip(seconds[ALONE], times)),
        )
        for name, times in seconds.items()
    ]


def _direct(algorithm: str, film: Path, folder: Path, times: int) -> None:
    """The loop that one writes by hand, as mmaction2's tools/misc/flow_extraction.py: OpenCV alone, in one thread."""
    cv2.setNumThreads(1)
    library: Any = cv2
    if algorithm == 'dis':
        method = library.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    else:
        method = library.optflow.DualTVL1OpticalFlow_create()
    folder.mkdir(exist_ok=True)
    for _ in range(times):
        gray = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2GRAY) for path in sorted(film.iterdir())]
        for number, (first, second) in enumerate(zip(gray, gray[1:]), start=1):
            flow = method.calc(first, second, None)
            image = np.round((np.clip(flow, -20, 20) + 20) * (255 / 40)).astype(np.uint8)
            for axis, name in enumerate('xy'):
                cv2.imwrite(str(folder / f'flow_{name}_{number:05d}.jpg'), image[..., axis])


def _costs(film: Path, count: int = 12) -> List[Cost]:
    """Bytes and errors of the formats on the film's fields."""
    with open_video(str(film)) as reader:
        frames = reader.get_batch(np.arange(min(count, len(reader))))
    flows = [fields.compute(*pair) for pair in zip(frames, frames[1:])]
    costs = []
    formats: Dict[str, Sequence[Any]] = {f'JPEG {q}': ('.jpg', [cv2.IMWRITE_JPEG_QUALITY, q]) for q in QUALITIES}
    for name, (suffix, options) in {**formats, 'PNG': ('.png', [])}.items():
        size, errors = 0, []
        for flow in flows:
            stored = fields.quantize(flow)
            images = [cv2.imencode(suffix, stored[..., axis], options)[1] for axis in (0, 1)]
            back = np.stack([cv2.imdecode(image, cv2.IMREAD_GRAYSCALE) for image in images], -1)
            size += sum(map(len, images))
            errors.append(np.abs(fields.restore(back) - np.clip(flow, -fields.BOUND, fields.BOUND)).mean())
        costs.append(Cost(name, size / len(flows), float(np.mean(errors))))
    return costs


def tables(results: Sequence[Union[Speed, Error, Cost]]) -> str:
    """The results as Markdown tables."""
    lines = ['| flow | | frames a second | of OpenCV alone |', '|---|---|---|---|']
    for each in results:
        if isinstance(each, Speed):
            lines.append(f'| {each.algorithm} | {each.way} | {each.frames_per_second:.1f} | {each.ratio:.2f} |')
    if not any(isinstance(each, Speed) and each.algorithm == 'tvl1' for each in results):
        lines.append(f'| tvl1 | not installed: {fields.ADVICE} | | |')
    lines += ['', '| flow | known motion | mean error, pixels |', '|---|---|---|']
    lines += [f'| {e.algorithm} | {e.motion} | {e.pixels:.3f} |' for e in results if isinstance(e, Error)]
    lines += ['', '| stored as | bytes a field | mean error, pixels |', '|---|---|---|']
    lines += [f'| {e.format} | {e.bytes:.0f} | {e.pixels:.3f} |' for e in results if isinstance(e, Cost)]
    return '\n'.join(lines)
