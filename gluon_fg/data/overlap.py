"""Which videos two splits have in common: the same file by its path, or two files of the same bytes."""

from __future__ import annotations

import hashlib
import os
from typing import Dict, List, NamedTuple, Tuple

from ..files import sha256
from .datasets import VideoDataset

_HEAD = 1 << 16  # bytes of a file that are compared before the whole

Place = Tuple[object, ...]  # what tells videos apart: the file, and the stretch of it


class Files(NamedTuple):
    """The files of a dataset.

    places
        what tells a video from others -> its path
    sizes
        path of a file -> bytes; empty where the disk was not asked
    missing
        paths where no file is
    """

    places: Dict[Place, str]
    sizes: Dict[str, int]
    missing: List[str]

    @classmethod
    def of(cls, dataset: VideoDataset, look: bool = True) -> Files:
        """List a dataset's files; without `look` by their paths alone, which asks nothing of the disk."""
        files = cls({}, {}, [])
        for i, place in enumerate(places(dataset)):
            path = dataset.path(i)
            if look:
                try:
                    known = os.stat(path)
                except (OSError, ValueError):
                    files.missing.append(path)
                    continue
                place = (known.st_dev, known.st_ino, *place[1:])  # so that links are seen through
                if os.path.isfile(path):
                    files.sizes[path] = known.st_size
            files.places.setdefault(place, path)
        return files


def places(dataset: VideoDataset) -> List[Place]:
    """(path, and what else a record has to say of which part of it) of each video."""
    return [
        (os.path.abspath(dataset.path(i)), *(str(value) for value in record[2:]))
        for i, record in enumerate(dataset.records)
    ]


def same_bytes(train: Files, val: Files) -> List[Tuple[str, str]]:
    """(training file, validation file) that are two files of the same bytes."""
    by_size: Dict[int, List[str]] = {}
    for path, size in train.sizes.items():
        by_size.setdefault(size, []).append(path)
    heads: Dict[str, bytes] = {}

    def head(path: str) -> bytes:
        if path not in heads:
            try:
                with open(path, 'rb') as stream:
                    heads[path] = hashlib.sha256(stream.read(_HEAD)).digest()
            except OSError:
                heads[path] = os.urandom(32)  # equal to none
        return heads[path]

    pairs = []
    for path, size in val.sizes.items():
        for other in by_size.get(size, ()) if size else ():
            if head(other) == head(path) and not os.path.samefile(other, path):
                if size <= _HEAD or sha256(other) == sha256(path):
                    pairs.append((other, path))
                    break
    return pairs
