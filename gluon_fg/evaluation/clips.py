"""What is to be predicted, as clips: files, folders and frames in memory."""

from __future__ import annotations

import functools
import os
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple, Union

from ..data.datasets import VIDEO_SUFFIXES, some_suffixes
from ..data.flow.place import FlowPlace
from ..data.folders import files_below
from ..data.isolated import open_isolated
from ..data.packets import UNKNOWN_FPS
from ..data.scans import ScanCache
from ..data.segments import cut
from ..data.video import IMAGE_SUFFIXES, ArrayReader, VideoReader, natural
from ..errors import UserError
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


def clips_of(videos: Sequence[Any], flow: Optional[str] = None, fps: Optional[float] = None) -> List[Clip]:
    """Take files, folders of frames and arrays as clips.

    Parameters
    ----------
    videos
        each a path, or frames (`frames_of`)
    flow
        where the optical flow of files comes from (`data.flow.place`); that of frames in memory is computed
    fps
        of frames in memory; None: 25 a second

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
            reader = ArrayReader(f'frames {number}', frames_of(video), fps or UNKNOWN_FPS)
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
