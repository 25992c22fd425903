"""Reading flow from disk: what `gluon-fg data flow` wrote, and the layouts in which others keep theirs.

- `zip`: one file a video, ROOT/NAME.zip, with flow_x_00001.jpg, flow_y_00001.jpg and so on in it
- `pairs`: ROOT/NAME/flow_x_00001.jpg and flow_y_00001.jpg, as TSN's dense_flow and denseflow write them, also beside
  the frames of a film; x_00001.jpg as mmaction2's flow_extraction.py, 000123-x_00001.jpg as TSM has
  Something-Something-V1
- `uv`: ROOT/u/NAME/frame000001.jpg and ROOT/v/NAME/frame000001.jpg, as twostreamfusion's archives of UCF101 and HMDB51

Field i is from frame i to frame i + 1. Where a folder has as many frames as fields, its first field is left out: TSN's
dense_flow writes the second frame of each field and so not the film's first, as img_00001.jpg goes with the field that
leads to it. Files are taken by their numbers, which may start at 0 or 1 (denseflow: 0, all
others: 1) and must not leave one out.
"""

from __future__ import annotations

import os
import re
import zipfile
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Type, Union

import cv2
import numpy as np

from ...errors import UserError, VideoError
from .fields import FlowSettings, resize_flow
from .listing import ends, read_listing

_PAIR = re.compile(r'(?:.*[-_])?([xy])_(\d+)\.(?:jpe?g|png)', re.I | re.S)
_NUMBERED = re.compile(r'\D*(\d+)\.(?:jpe?g|png)', re.I)
UNKNOWN = FlowSettings(None)
_READ_ERRORS = (OSError, zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError)


class FlowReader:
    """Gives fields of a video by number. A context manager: nothing stays open after the block.

    `len(reader)` fields, one fewer than the video has frames; `size` (W, H) pixels; `settings`, a `FlowSettings`;
    `path` of what is read.
    """

    def __init__(self, path: str, length: int, size: Tuple[int, int], settings: FlowSettings = UNKNOWN):
        self.path, self.size, self.settings, self._length = path, size, settings, length

    def __len__(self) -> int:
        return self._length

    def __enter__(self) -> FlowReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; harmless when done twice."""

    def get_batch(
        self, indices: Union[Sequence[int], np.ndarray], size: Optional[Tuple[int, int]] = None
    ) -> np.ndarray:
        """Read fields by number, repeated and in any order: uint8 (K, H, W, 2), x and y; 127.5 is no motion.

        `size` (H, W): fields are resized to it, and their displacements scaled by the change of width and height.

        Raises
        ------
        UserError
            no index, or one outside 0..len - 1
        VideoError
            a field that is missing, damaged, or of another size than the first
        """
        wanted = np.asarray(indices)
        if wanted.ndim != 1 or wanted.size == 0 or wanted.dtype.kind not in 'iu':
            raise UserError(f'{self.path}: fields are asked for by a list of integers, got {indices!r}')
        if wanted.min() < 0 or wanted.max() >= len(self):
            wrong = wanted[(wanted < 0) | (wanted >= len(self))][0]
            raise UserError(f'{self.path}: field {wrong} is outside 0..{len(self) - 1}')
        once, where = np.unique(wanted, return_inverse=True)
        fields = resize_flow(self._read(once.tolist()), *(size or self.size[::-1]))
        return fields if np.array_equal(where, np.arange(len(once))) else fields[where]

    def _read(self, numbers: List[int]) -> np.ndarray:
        """Fields `numbers` (increasing, each once), in their own size: uint8 (K, H, W, 2)."""
        raise NotImplementedError


class StoredReader(FlowReader):
    """Reads fields from images, two for each.

    Raises
    ------
    VideoError
        no field, an x without its y, a number that is left out, or a first field that cannot be read
    """

    def __init__(self, path: str, files: Sequence[Tuple[str, str]], settings: FlowSettings = UNKNOWN):
        super().__init__(path, len(files), (0, 0), settings)
        self._files = files
        try:
            height, width = self._image(files[0][0]).shape
        except VideoError:
            self.close()
            raise
        self.size = width, height

    def _read(self, numbers: List[int]) -> np.ndarray:
        width, height = self.size
        fields = np.empty((len(numbers), height, width, 2), np.uint8)
        for field, number in zip(fields, numbers):
            for axis in (0, 1):
                field[..., axis] = self._image(self._files[number][axis])
        return fields

    def _image(self, name: str) -> np.ndarray:
        """One component of a field, uint8 (H, W)."""
        try:
            data = self._bytes(name)
        except _READ_ERRORS as error:
            reason = getattr(error, 'strerror', None) or str(error)
            raise VideoError(self.path, f'{name} cannot be read ({reason})') from error
        whole = data[:2] != b'\xff\xd8' or data.rstrip(b'\0')[-2:] == b'\xff\xd9'  # OpenCV fills up what is cut off
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data and whole else None
        if image is None:
            raise VideoError(self.path, f'{name} is damaged; make the flow again with gluon-fg data flow')
        if self.size != (0, 0) and image.shape[::-1] != self.size:
            width, height = self.size
            raise VideoError(
                self.path, f'{name} is {image.shape[1]}x{image.shape[0]}, the first field {width}x{height}'
            )
        return image

    def _bytes(self, name: str) -> bytes:
        """The bytes of one of the files."""
        raise NotImplementedError


class ZipReader(StoredReader):
    """Reads one .zip file a video with the images of all its fields, in whatever order."""

    def __init__(self, root: Path, name: str, settings: FlowSettings = UNKNOWN):
        path = str(self.place(root, name))
        try:
            self._zip = zipfile.ZipFile(path)
            names = self._zip.namelist()
        except _READ_ERRORS as error:
            reason = getattr(error, 'strerror', None) or error
            raise VideoError(path, f'cannot be read ({reason}); compute it again with gluon-fg data flow') from error
        super().__init__(path, pairs_of(path, names), settings)

    @staticmethod
    def place(root: Path, name: str) -> Path:
        """Where a video's fields lie."""
        return root / f'{name}.zip'

    @classmethod
    def there(cls, root: Path, name: str) -> bool:
        """Whether a video has fields in this layout."""
        return cls.place(root, name).is_file()

    def close(self) -> None:
        self._zip.close()

    def _bytes(self, name: str) -> bytes:
        return self._zip.read(name)


class PairReader(StoredReader):
    """Reads a folder of images, two a field: flow_x_00001.jpg and flow_y_00001.jpg. Others in it are left alone."""

    def __init__(self, root: Path, name: str, settings: FlowSettings = UNKNOWN):
        folder = root / name
        names = _names(folder)
        fields = pairs_of(str(folder), names)
        frames = sum(bool(_NUMBERED.fullmatch(file)) and not _PAIR.fullmatch(file) for file in names)
        if settings.algorithm is None and frames == len(fields) > 1:  # as dense_flow leaves it: see above
            del fields[0]
        super().__init__(str(folder), fields, settings)

    @classmethod
    def there(cls, root: Path, name: str) -> bool:
        """Whether a video has fields in this layout."""
        folder = root / name
        return folder.is_dir() and any(_PAIR.fullmatch(file) for file in _names(folder))

    def _bytes(self, name: str) -> bytes:
        return Path(self.path, name).read_bytes()


class TreeReader(StoredReader):
    """Reads two folders of images, ROOT/u/NAME and ROOT/v/NAME, with an image a field in each."""

    def __init__(self, root: Path, name: str, settings: FlowSettings = UNKNOWN):
        files = []
        for tree in ('u', 'v'):
            numbers = {}
            for file in _names(root / tree / name):
                match = _NUMBERED.fullmatch(file)
                if match:
                    numbers[int(match.group(1))] = f'{tree}/{name}/{file}'
            files.append(numbers)
        path = str(root / 'u' / name)
        self._root = root
        super().__init__(path, _in_order(path, *files), settings)

    @classmethod
    def there(cls, root: Path, name: str) -> bool:
        """Whether a video has fields in this layout."""
        return (root / 'u' / name).is_dir() and (root / 'v' / name).is_dir()

    def _bytes(self, name: str) -> bytes:
        return (self._root / name).read_bytes()


READERS: Dict[str, Union[Type[ZipReader], Type[PairReader], Type[TreeReader]]] = {
    'zip': ZipReader,
    'pairs': PairReader,
    'uv': TreeReader,
}


def open_flow(root: Union[str, os.PathLike], path: Union[str, os.PathLike]) -> FlowReader:
    """Open the stored fields of a video.

    Where `gluon-fg data flow` wrote the folder, its manifest says which videos have fields: only whole ones are listed.
    In folders of others a video's fields are looked for under its path, with its suffix and without, and under the end
    of its path: UCF101/Archery/v_Archery_g01_c01.avi may have them in Archery/v_Archery_g01_c01 or v_Archery_g01_c01.

    Parameters
    ----------
    root
        the folder of flow; that of the frames where fields lie beside them
    path
        the video: relative to the folder that `gluon-fg data flow` went through, or absolute

    Raises
    ------
    VideoError
        the video has no fields there, or such as cannot be read
    UserError
        no such folder, or a manifest that cannot be read
    """
    folder, path = Path(root), os.fspath(path)
    if not folder.is_dir():
        raise UserError(f'{folder}: no such folder of flow; gluon-fg data flow makes one')
    listing = read_listing(folder)
    missing = VideoError(path, f'has no flow in {folder}; gluon-fg data flow computes it')
    if listing is None:
        for name in _possible(path):
            for reader in READERS.values():
                if reader.there(folder, name):
                    return reader(folder, name)
        raise missing
    entry = listing.find(path)
    if entry is None:
        raise missing
    if entry.problem:
        raise VideoError(path, f'has no flow in {folder}: {entry.problem}')
    opened = READERS[listing.header.layout](folder, entry.file, listing.header.settings)
    if len(opened) != entry.fields:
        opened.close()
        raise VideoError(opened.path, f'has {len(opened)} fields, the manifest lists {entry.fields}; compute it again')
    return opened


def _possible(path: str) -> Iterator[str]:
    """What a video's fields may be called in a folder without a manifest, the longest first."""
    for end in ends(path):
        yield end
        if os.path.splitext(end)[0] != end:
            yield os.path.splitext(end)[0]


def _names(folder: Path) -> List[str]:
    try:
        return [name for name in os.listdir(folder) if name[0] != '.']
    except OSError as error:
        raise VideoError(str(folder), f'cannot be read ({error.strerror})') from error


def pairs_of(path: str, names: Sequence[str]) -> List[Tuple[str, str]]:
    """(x, y) names of the fields among the names of files, in order; VideoError where one is missing."""
    axes: Dict[str, Dict[int, str]] = {'x': {}, 'y': {}}
    for name in names:
        match = _PAIR.fullmatch(name)
        if match:
            axes[match.group(1).lower()][int(match.group(2))] = name
    return _in_order(path, axes['x'], axes['y'])


def _in_order(path: str, x: Dict[int, str], y: Dict[int, str]) -> List[Tuple[str, str]]:
    if not x and not y:
        raise VideoError(path, 'holds no flow (flow_x_00001.jpg and flow_y_00001.jpg, or frame000001.jpg in u/ and v/)')
    first, last = min(*x, *y), max(*x, *y)
    for number in range(first, last + 1):
        for own, axis in ((x, 'x'), (y, 'y')):
            if number not in own:
                raise VideoError(path, f'field {number} ({axis}) is missing of {first} to {last}')
    return [(x[number], y[number]) for number in range(first, last + 1)]
