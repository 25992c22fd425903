"""What is to be predicted, as clips: files, folders, frames in memory, and windows of long films."""

from __future__ import annotations

import functools
import math
import os
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from ..data.datasets import VIDEO_SUFFIXES, some_suffixes
from ..data.flow.place import FlowPlace
from ..data.folders import files_below
from ..data.isolated import open_isolated
from ..data.scans import ScanCache
from ..data.segments import cut
from ..data.video import IMAGE_SUFFIXES, ArrayReader, VideoReader, natural
from ..errors import UserError, VideoError
from ..input_spec import InputSpec
from .frames import frames_of


class Clip(NamedTuple):
    """A video, or a stretch of one, that is to be predicted.

    Parameters
    ----------
    path
        its file; 'frames' and a number for frames in memory
    open
        takes nothing and returns a reader of the whole film (context manager)
    start, end
        the stretch, in seconds; None: the whole film
    """

    path: str
    open: Callable[[], VideoReader]
    start: Optional[float] = None
    end: Optional[float] = None

    def open_cut(self) -> VideoReader:
        """Open the stretch; raises VideoError."""
        return cut(self.open(), self.start, self.end)


def files_in(folder: Union[str, os.PathLike], spec: InputSpec) -> List[str]:
    """List the videos in a folder and below it, in natural order; images, where there are any, for one on single ones.

    A folder that holds no video but images is one video for a network on videos: the images are its frames. The color
    stream of a two-stream network is one on single images, and takes frames of videos all the same.

    Raises
    ------
    UserError
        there is none
    """
    images = spec.ndim == 2 and spec.segments == 1 and not spec.fields
    suffixes, kind = (IMAGE_SUFFIXES, 'image') if images else (VIDEO_SUFFIXES, 'video')
    files = _files_below(folder, suffixes) or (_files_below(folder, VIDEO_SUFFIXES) if images else [])
    if not files and not images and _is_film_of_images(folder):
        return [os.fspath(folder)]
    if not files:
        raise UserError(f'{folder}: no {kind} in this folder (looked for {some_suffixes(suffixes)})')
    return files


def _files_below(folder: Union[str, os.PathLike], suffixes: Tuple[str, ...]) -> List[str]:
    return sorted(
        (
            os.path.join(place, name)
            for place, names in files_below(folder)
            for name in names
            if name.lower().endswith(suffixes)
        ),
        key=natural,
    )


def files_of(paths: Sequence[str], spec: InputSpec) -> List[str]:
    """List the files named, and those in the folders named (`files_in`)."""
    if len(paths) == 1 and os.path.isdir(paths[0]):
        return files_in(paths[0], spec)
    files: List[str] = []
    for path in paths:
        try:
            files += files_in(path, spec) if os.path.isdir(path) else [path]
        except UserError:  # nothing in it, which is said of it when it is opened
            files.append(path)
    return files


def _is_film_of_images(folder: Union[str, os.PathLike]) -> bool:
    return any(name.lower().endswith(IMAGE_SUFFIXES) for name in os.listdir(folder))


def clips_of(videos: Sequence[Any], flow: Optional[str] = None) -> List[Clip]:
    """Take files, folders of frames and arrays as clips.

    Parameters
    ----------
    videos
        each a path, or frames (`frames_of`)
    flow
        where the optical flow of files comes from (`data.flow.place`); that of frames in memory is computed

    Raises
    ------
    UserError
        no video, or frames of another type or shape
    """
    if not len(videos):
        raise UserError('no video given')
    scans = ScanCache()
    clips = []
    for number, video in enumerate(videos):
        if isinstance(video, (str, os.PathLike)):
            path = os.fspath(video)
            clips.append(Clip(path, functools.partial(_opened, path, scans, flow)))
        else:
            reader = ArrayReader(f'frames {number}', frames_of(video))
            clips.append(Clip(reader.path, functools.partial(_same, reader)))
    return clips


def _opened(path: str, scans: ScanCache, flow: Optional[str]) -> VideoReader:
    film = open_isolated(path, scans=scans)
    film.flow = FlowPlace(flow, os.path.dirname(path) or '.')
    return film


def _same(reader: ArrayReader) -> VideoReader:
    return reader


def single_pictures(clips: Sequence[Clip], spec: InputSpec) -> List[str]:
    """List the files that are one picture each, where a network looks at more frames than one."""
    if spec.ndim == 2 and spec.segments == 1 and not spec.fields:
        return []
    return [clip.path for clip in clips if clip.path.lower().endswith(IMAGE_SUFFIXES) and not os.path.isdir(clip.path)]


# Windows


class Windows(NamedTuple):
    """How long films are cut: `window` seconds each, from one start to the next `hop` (None: as long as the window)."""

    window: float
    hop: Optional[float] = None

    def check(self) -> None:
        """Refuse lengths that are no numbers above 0; raises UserError."""
        window_times(1.0, *self)


def window_times(seconds: float, window: float, hop: Optional[float] = None) -> List[Tuple[float, float]]:
    """Cut a time into windows: (start, end) of each, in seconds.

    The last one ends with the film; it is left out where it would be shorter than half a window, unless it is the only
    one.

    Parameters
    ----------
    seconds
        how long the film is
    window, hop
        length of a window, and from the start of one to that of the next; None: each begins where the one before ends

    Raises
    ------
    UserError
        a length that is no number above 0
    """
    hop = window if hop is None else hop
    for name, value in (('window', window), ('hop', hop)):
        if not 0 < value < math.inf:
            raise UserError(f'{name} must be a number of seconds above 0, got {value:g}')
    count = max(1, math.ceil(round(seconds / hop, 6)))
    starts = [hop * number for number in range(count)]
    times = [(start, min(start + window, seconds)) for start in starts]
    kept = [(start, end) for start, end in times if end - start >= window / 2 - 1e-6]
    return kept or [(0.0, seconds)]


def length_of(reader: VideoReader) -> float:
    """How long a film is, in seconds: by its frames' own times where it has them."""
    if reader.times is not None and len(reader) > 1:
        last = float(reader.times[-1])
        return last + last / (len(reader) - 1)
    return len(reader) / reader.fps


def windows_of(clip: Clip, windows: Windows) -> Iterator[Clip]:
    """Cut a film into clips, in order; a film that cannot be opened stays whole, and whoever reads it learns why."""
    try:
        with clip.open() as reader:
            seconds = length_of(reader)
    except VideoError:
        yield clip
        return
    for start, end in window_times(seconds, *windows):
        yield clip._replace(start=start, end=end)
