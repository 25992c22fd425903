"""The files of Kinetics: official lists of clips, and clips and whole videos in folders."""

from __future__ import annotations

import csv
import functools
import io
import os
import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from ...errors import UserError, printable
from ..datasets import VIDEO_SUFFIXES
from ..folders import files_below
from ..text_files import read_text
from .layouts import read_json

# The names of today, of the first release, and of the crawler's own lists
_COLUMNS = {
    'label': ('label', 'class label', 'label-name'),
    'video': ('youtube_id', 'youtube identifier', 'video-id'),
    'start': ('time_start', 'start time', 'start-time'),
    'end': ('time_end', 'end time', 'end-time'),
    'split': ('split',),
}
_CLIP = re.compile(r'(.{11})_(\d+)_(\d+)$')
ID = 11  # characters of a video's name at YouTube


class Row(NamedTuple):
    """One clip as an official list has it: its line, from 1, and its times in seconds; '' where a cell is not there."""

    line: int
    label: str
    video: str
    start: float
    end: float
    split: str


def read_list(path: Path) -> Optional[List[Row]]:
    """Read an official list; None for a file of another form. Errors name the line."""
    if path.suffix == '.json':
        return [_json_row(path, *entry) for entry in enumerate(read_json(path, dict).items(), 1)]
    reader = csv.reader(io.StringIO(read_text(path), newline=''))
    header = [cell.strip().lower() for cell in next(reader, [])]
    place: Dict[str, int] = {}
    for column, names in _COLUMNS.items():
        there = [name for name in names if name in header]
        if there:
            place[column] = header.index(there[0])
    if not {'video', 'start', 'end'} <= set(place):
        return None
    rows = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        where = f'{path.name} line {reader.line_num}'
        if len(cells) != len(header):
            raise UserError(f'{where}: {len(cells)} columns, the header has {len(header)}: {", ".join(header)[:200]}')
        values = {column: cells[at].strip() for column, at in place.items()}
        start, end = (_seconds(where, header[place[edge]], values[edge]) for edge in ('start', 'end'))
        if not values['video'] or start >= end:
            raise UserError(f'{where}: {", ".join(cells)[:60]!r} names no video, or a clip that ends before it starts')
        split = values.get('split', '')
        rows.append(Row(reader.line_num, values.get('label', ''), values['video'], start, end, split))
    if not rows:
        raise UserError(f'{path}: lists no clip')
    return rows


def _json_row(path: Path, number: int, entry: Tuple[str, Any]) -> Row:
    """A clip of the lists in JSON, which have for each video {"annotations": {"label", "segment"}, "subset", ...}."""
    video, values = entry
    try:
        told = values['annotations']
        start, end = map(float, told['segment'])
        label, split = told.get('label', ''), values.get('subset', '')
        if start >= end or not isinstance(label, str) or not isinstance(split, str):
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(
            f'{path.name}, entry {number} ({printable(video)}): has no annotations with a label and a segment '
            '[start, end], as the lists of Kinetics have'
        ) from None
    return Row(number, label, video, start, end, split)


def _seconds(where: str, column: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f'{where}: {column} {text!r} is not a time in seconds') from None


class Clips:
    """What lies in some folders and below: clips by video and times, whole videos by video.

    Parameters
    ----------
    root
        folder that paths are told from
    folders
        those to look through; where a clip is in several, the first one's is taken
    """

    def __init__(self, root: Path, folders: Iterable[Path]):
        self._clips: Dict[Tuple[str, int, int], str] = {}
        self._videos: Dict[str, str] = {}
        for folder in folders:
            for directory, files in files_below(folder, functools.partial(self._is_frames, root)):
                above = os.path.relpath(directory, root)
                for entry in files:
                    self._add(entry, entry if above == '.' else f'{above}{os.sep}{entry}', False)

    def _is_frames(self, root: Path, path: str) -> bool:
        """Whether a folder has the frames of a clip, which is then taken up."""
        name = os.path.basename(path)
        frames = _CLIP.match(name) is not None
        if frames:
            self._add(name, os.path.relpath(path, root), True)
        return frames

    def _add(self, name: str, path: str, frames: bool) -> None:
        stem, suffix = (name, '') if frames else os.path.splitext(name)
        if not frames and suffix.lower() not in VIDEO_SUFFIXES:
            return
        clip = _CLIP.match(stem)
        if clip:
            self._clips.setdefault((clip.group(1), int(clip.group(2)), int(clip.group(3))), path)
        elif len(stem) == ID:
            self._videos.setdefault(stem, path)

    def unlisted(self, rows: Iterable[Row]) -> int:
        """Count the clips that a list does not have: where they are many, it is incomplete or of another release."""
        return len(self._clips.keys() - {(row.video, int(row.start), int(row.end)) for row in rows})

    def find(self, row: Row) -> Optional[Tuple[str, Optional[float], Optional[float]]]:
        """Tell where a clip lies: path, start and end in the file, None where the file is the clip; None: nowhere."""
        path = self._clips.get((row.video, int(row.start), int(row.end)))
        if path is not None:
            return path, None, None
        path = self._videos.get(row.video)
        return None if path is None else (path, row.start, row.end)
