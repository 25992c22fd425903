"""Computing the fields of one video and storing them, so that they lie under their name only when they are whole."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from ...errors import UserError, VideoError, disk_line, refused_writing
from ...files import atomic_path, naming, temporary_folder
from ..packets import short_reason
from ..video import VideoReader, open_video
from .computed import flow_size
from .fields import compute, quantize
from .listing import Header

CHUNK = 16  # frames that are decoded at a time
_OURS = re.compile(r'flow_[xy]_\d{5,}\.jpg')


class Job(NamedTuple):
    """A video whose flow is to be computed: its file or folder of frames, and where, how and as what it is stored."""

    source: str
    folder: str
    file: str
    header: Header


class Made(NamedTuple):
    """Fields that were stored, their size, or why there are none."""

    fields: int = 0
    width: int = 0
    height: int = 0
    problem: str = ''


def extract(job: Job) -> Made:
    """Compute and store all fields of a video.

    Raises
    ------
    UserError
        the disk is full or cannot be written to, or the algorithm cannot be had
    """
    cv2.setNumThreads(1)  # there are as many processes as processors
    try:
        clear(job)
        return _extract(job)
    except VideoError as error:
        return Made(problem=error.reason)
    except Exception as error:  # decoders fail in many ways on damaged files, and none may end the work on the others
        refused = refused_writing(error)
        if refused:
            raise UserError(disk_line(refused)) from None
        return Made(problem=short_reason(error))


def _extract(job: Job) -> Made:
    header, quality = job.header, [cv2.IMWRITE_JPEG_QUALITY, job.header.quality]
    with open_video(job.source) as reader:
        if len(reader) < 2:
            raise VideoError(job.source, 'has one frame; flow is from a frame to the next')
        size = flow_size(reader.size, header.short_side)
        with WRITERS[header.layout](Path(job.folder), job.file) as write:
            for number, (first, second) in enumerate(_pairs(reader, size), start=1):
                field = quantize(compute(first, second, header.algorithm), header.bound)
                images = [cv2.imencode('.jpg', field[..., axis], quality)[1].tobytes() for axis in (0, 1)]
                write(number, *images)
        return Made(len(reader) - 1, size[1], size[0])


def _pairs(reader: VideoReader, size: Tuple[int, int]) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
    """Each frame with the next."""
    last = None
    for start in range(0, len(reader), CHUNK):
        for frame in reader.get_batch(np.arange(start, min(start + CHUNK, len(reader))), size):
            if last is not None:
                yield last, frame
            last = frame


# Layouts: each gives a function that stores field `number`, from 1, as its two images. ------------------------------


@contextlib.contextmanager
def _zip(folder: Path, file: str) -> Iterator[Any]:
    with atomic_path(folder / f'{file}.zip') as temporary, zipfile.ZipFile(temporary, 'w') as archive:

        def write(number: int, x: bytes, y: bytes) -> None:
            for axis, image in (('x', x), ('y', y)):  # with no time in it: equal fields are equal files
                archive.writestr(zipfile.ZipInfo(f'flow_{axis}_{number:05d}.jpg'), image)

        yield write


@contextlib.contextmanager
def _folder_of_pairs(folder: Path, file: str) -> Iterator[Any]:
    with _new_folders([folder / file]) as (new,):

        def write(number: int, x: bytes, y: bytes) -> None:
            for axis, image in (('x', x), ('y', y)):
                (new / f'flow_{axis}_{number:05d}.jpg').write_bytes(image)

        yield write


@contextlib.contextmanager
def _trees(folder: Path, file: str) -> Iterator[Any]:
    with _new_folders([folder / 'u' / file, folder / 'v' / file]) as new:

        def write(number: int, x: bytes, y: bytes) -> None:
            for tree, image in zip(new, (x, y)):
                (tree / f'frame{number:06d}.jpg').write_bytes(image)

        yield write


WRITERS = {'zip': _zip, 'pairs': _folder_of_pairs, 'uv': _trees}


@contextlib.contextmanager
def _new_folders(targets: List[Path]) -> Iterator[List[Path]]:
    """Give a temporary folder beside each target; in the end they take the targets' places.

    In a folder that is there, as of the frames of a film, the files take their places one by one.
    """
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(temporary_folder(target.parent)) for target in targets]
        stack.enter_context(naming(targets[0]))
        yield folders
        for new, target in zip(folders, targets):
            if not target.exists():
                new.rename(target)
                continue
            for image in sorted(new.iterdir()):
                image.replace(target / image.name)


def places(header: Header, folder: Path, file: str) -> List[Path]:
    """Where the fields of a video lie: a file, a folder, or two folders."""
    if header.layout == 'zip':
        return [folder / f'{file}.zip']
    return [folder / tree / file for tree in ('u', 'v')] if header.layout == 'uv' else [folder / file]


def taken(header: Header, folder: Path, file: str) -> Optional[Path]:
    """What lies already where the fields of a video would; None where nothing does. Frames are not in their way."""
    for place in places(header, folder, file):
        if header.layout == 'pairs' and place.is_dir():
            image = next(filter(_OURS.fullmatch, os.listdir(place)), None)
            if image is not None:
                return place / image
        elif place.exists():
            return place
    return None


def clear(job: Job) -> None:
    """Remove what a kill has left of a video's fields."""
    for place in places(job.header, Path(job.folder), job.file):
        for left in place.parent.glob(f'.{glob.escape(place.name)}.*'):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        if job.header.layout != 'pairs':
            shutil.rmtree(place) if place.is_dir() else place.unlink() if place.exists() else None
        elif place.is_dir():
            for image in filter(_OURS.fullmatch, os.listdir(place)):
                (place / image).unlink()
