"""Scores of an evaluation that is under way, kept so that one that is killed goes on where it was.

A file beside the scores to be, `NAME.partial`: a line that says what they are of, then a line for each group of videos
(`sharing`) that is done. Each begins with a checksum. Lines are only added; a kill leaves half of one at most, which is
dropped, and its group is computed again.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import glob
import hashlib
import json
import os
from pathlib import Path
from typing import IO, Any, Dict, List, NamedTuple, Optional, Tuple, Union

import numpy as np

from .. import safe_json
from ..errors import UserError
from ..files import naming

_FORMAT = 'gluon_fg partial scores 1'


class Done(NamedTuple):
    """What came of a video: its place in the list, and probabilities (branches, M) and logits (M,) of the prediction,
    float32, or why it could not be decoded; and the seconds that decoding took, where they are known.
    """

    place: int
    probabilities: Optional[np.ndarray]
    logits: Optional[np.ndarray]
    reason: Optional[str] = None
    seconds: Optional[float] = None


class Partial:
    """The file; it is made when the first group is done.

    Parameters
    ----------
    path
        where it lies
    key
        what the scores are of: name -> value; those of another key are not taken up
    force
        where a file of another key is there, or a damaged one: begin anew

    Raises
    ------
    UserError
        such a file is there and `force` is not given, or somebody writes it at this moment
    """

    def __init__(self, path: Union[str, os.PathLike], key: Dict[str, Any], force: bool = False):
        self.path, self._key, self._stream = Path(path), key, None  # type: Path, Dict[str, Any], Optional[IO[bytes]]
        self.groups: Dict[range, List[Done]] = {}
        self._stamps: Dict[range, List[Any]] = {}
        if self.path.is_file():
            with naming(self.path):
                self._take_up(open(self.path, 'r+b'), force)

    def _take_up(self, stream: IO[bytes], force: bool) -> None:
        _lock(stream, self.path)
        self._stream = stream
        first = stream.readline()
        problem, end = _difference(first, _line(self._header()), self._key), len(first)
        for line in stream if not problem else ():
            try:
                group, videos, stamps = _group_of(line)
            except (ValueError, TypeError, KeyError):
                break  # what a kill has cut, and what is behind it
            self.groups[group], self._stamps[group] = videos, stamps
            end += len(line)
        if problem and not force:
            raise UserError(
                f'{self.path}, which an evaluation that did not end has left, {problem}; go on as it was begun, or '
                'begin anew with --force'
            )
        if problem or not first.endswith(b'\n'):
            stream.seek(0)
            stream.truncate()
            self._add(self._header())
        else:
            stream.seek(end)
            stream.truncate()

    def keep_fresh(self, stamp: Any) -> None:
        """Forget the groups of videos whose files are others by now; `stamp` is called with a place in the list."""
        for group, stamps in self._stamps.items():
            if [stamp(place) for place in group] != stamps:
                del self.groups[group]

    def add(self, group: range, videos: List[Done], stamps: List[Any]) -> None:
        """Write down what came of a group of videos, and what their files are told by; nothing of errors alone."""
        if all(video.reason is not None for video in videos):
            return
        with naming(self.path):
            if self._stream is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    self._stream = open(self.path, 'x+b')
                except FileExistsError:
                    raise _taken(self.path) from None
                _lock(self._stream, self.path)
                self._add(self._header())
            self._add({'places': [group.start, group.stop], 'stamps': stamps, 'videos': list(map(_packed, videos))})

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _header(self) -> Dict[str, Any]:
        return {'format': _FORMAT, 'key': self._key}

    def _add(self, said: Dict[str, Any]) -> None:
        assert self._stream is not None
        self._stream.write(_line(said))
        self._stream.flush()


def remove(path: Path) -> None:
    """Remove the files of an evaluation, whose scores are where they belong: `path` and those of other ranks."""
    for each in (path, *path.parent.glob(f'{glob.escape(path.stem)}.[0-9]*{path.suffix}')):
        with contextlib.suppress(FileNotFoundError):
            each.unlink()


def of_rank(path: Path, rank: int) -> Path:
    """Name the file of a rank: 'NAME.partial' for the first, then 'NAME.1.partial' and so on."""
    return path.with_name(f'{path.stem}.{rank}{path.suffix}') if rank else path


def _line(said: Dict[str, Any]) -> bytes:
    text = json.dumps(said).encode('ascii')
    return _sum(text) + b' ' + text + b'\n'


def _sum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:16].encode()


def _read(line: bytes) -> Any:
    """What a line says; ValueError where it is not whole."""
    checksum, _, text = line.rstrip(b'\n').partition(b' ')
    if not line.endswith(b'\n') or checksum != _sum(text):
        raise ValueError('it is cut short')
    return safe_json.parse(text)


def _difference(first: bytes, header: bytes, key: Dict[str, Any]) -> str:
    """In what a file's first line differs from what is wanted, in words; '' where it is that, or was cut by a kill."""
    if header.startswith(first):
        return ''
    try:
        said = _read(first)
        before = said['key'] if said['format'] == _FORMAT else {}
        name = next((name for name, value in key.items() if before[name] != value), 'kind')
    except (ValueError, TypeError, KeyError):
        return 'is damaged, or of another version'
    told = f' ({before[name]}, not {key[name]})' if name in key and len(str(before[name])) < 40 else ''
    return f'is of another {name}{told}'


def _packed(done: Done) -> Any:
    if done.probabilities is None or done.logits is None:
        return done.reason
    arrays = (done.probabilities, done.logits)
    packed: List[Any] = [[list(a.shape), base64.b64encode(a.astype('<f4').tobytes()).decode('ascii')] for a in arrays]
    return packed if done.seconds is None else [*packed, float(done.seconds)]


def _group_of(line: bytes) -> Tuple[range, List[Done], List[Any]]:
    """The places of a group, its videos and their stamps; ValueError, TypeError, KeyError for anything else."""
    said = _read(line)
    group, videos = range(*said['places']), []
    for place, packed in zip(group, said['videos']):
        if isinstance(packed, str):
            videos.append(Done(place, None, None, packed))
        else:
            arrays, seconds = packed[:2], packed[2] if len(packed) > 2 else None
            probabilities, logits = (np.frombuffer(base64.b64decode(text), '<f4').reshape(of) for of, text in arrays)
            videos.append(Done(place, probabilities, logits, None, seconds if seconds is None else float(seconds)))
    if not len(group) == len(videos) == len(said['stamps']):
        raise ValueError('it is no group of videos')
    return group, videos, said['stamps']


def _lock(stream: IO[bytes], path: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _taken(path) from None
    except OSError:
        pass  # a file system without locks


def _taken(path: Path) -> UserError:
    return UserError(f'{path} is being written by another evaluation; wait for it, or choose another --out')
