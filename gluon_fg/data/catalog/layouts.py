"""What readers of official layouts share: where the lists lie, where the videos lie, and what became of their files."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

from ...errors import UserError, printable
from ..datasets import VIDEO_SUFFIXES, VideoRecord
from ..text_files import read_text, said_lines
from .entry import dataset_info
from .openers import list_file

logger = logging.getLogger(__name__)


def folder_with(root: Path, places: Sequence[str], file: str) -> Optional[Path]:
    """Return the first of the places under a root that has a file of that name; None where none has."""
    return next((root / place for place in places if os.path.isfile(root / place / file)), None)


def numbered_split(split: str) -> Optional[Tuple[str, int]]:
    """Read 'train2' as ('train', 2): a dataset of three splits, each of a training and a test list, without validation.

    'train' is 'train1', and 'val', 'val1', ... are the test lists, which is what networks are validated on. None for
    any other text.
    """
    stem, number = (split[:-1], split[-1]) if split[-1:] in ('1', '2', '3') else (split, '1')
    if stem not in ('train', 'val', 'test'):
        return None
    return 'train' if stem == 'train' else 'test', int(number)


def in_fold(dataset: str, split: str, trained_on: str, root: Union[str, os.PathLike, None] = None) -> str:
    """Return the split that a run means: of a network trained on 'train2', 'val' and 'test' are those of split 2.

    The test lists of other splits have videos that it has learned. Only for datasets with numbered splits, and where
    the root has no list of its own that is called so; another number that is named is warned of.
    """
    trained, meant = numbered_split(trained_on), numbered_split(split)
    if trained is None or meant is None or trained[1] == meant[1] or 'test2' not in dataset_info(dataset).splits:
        return split
    if split[-1].isdigit():
        logger.warning('%s of %s: the network was trained on %s, which has videos of it', split, dataset, trained_on)
        return split
    if root is not None and list_file(Path(root), split) is not None:
        return split
    return f'{meant[0]}{trained[1]}'


_FOLDER = '//'  # which no file is called behind its '/'


class Files:
    """The files that lie in a folder, by what lists call them: other suffixes and folders of frames are taken, too.

    Lists say 'YoYo/v_YoYo_g01_c01.avi', but many have made .mp4 files of those, or folders of frames.

    Parameters
    ----------
    root, folder
        the dataset's root, and the folder in it that listed names start from
    """

    def __init__(self, root: Path, folder: Path):
        self.folder = folder
        self._below = os.path.relpath(folder, root)
        self._listings: Dict[str, Dict[str, str]] = {}

    def find(self, listed: str) -> Optional[str]:
        """Return where a listed file lies, as a path below the root; None where it does not."""
        directory, name = os.path.split(listed)
        if directory not in self._listings:
            self._listings[directory] = self._listing(directory) or self._listing(self._spelled(directory))
        files = self._listings[directory]
        there = files.get('/' + name) or files.get(os.path.splitext(name)[0]) or files.get(name)
        return None if there is None else os.path.normpath(os.path.join(self._below, files[_FOLDER], there))

    def _spelled(self, directory: str) -> str:
        """A folder that differs from one that is not there in capitals alone; that one where there is none."""
        same = [name for name in self._names('') if name.lower() == directory.lower()]
        return same[0] if len(same) == 1 else directory

    def _names(self, directory: str) -> List[str]:
        try:
            return sorted(os.listdir(self.folder / directory))
        except (OSError, ValueError):  # not there, or no name that a file can have
            return []

    def _listing(self, directory: str) -> Dict[str, str]:
        """Name of each file behind a '/', and without its suffix, -> its name; `_FOLDER` -> the folder."""
        names = self._names(directory)
        files: Dict[str, str] = {_FOLDER: directory} if names else {}
        for name in names:
            stem, suffix = os.path.splitext(name)
            files['/' + name] = name
            if suffix.lower() in VIDEO_SUFFIXES:
                files.setdefault(stem, name)
            elif not suffix:
                files.setdefault(name, name)
        return files

    def records(self, listed: Iterable[Tuple[str, int]], name: str) -> List[VideoRecord]:
        """Make a record of every listed (file, label); those that are not there stay, counted in a warning.

        A missing video is told of when it is read, as a broken one is, so that no number is of fewer videos unseen.

        Raises
        ------
        UserError
            none of them is there
        """
        pairs = list(listed)
        places = [self.find(file) for file, _ in pairs]
        missing = [file for (file, _), place in zip(pairs, places) if place is None]
        if pairs and len(missing) == len(pairs):
            raise UserError(
                f'{self.folder}: none of the {len(pairs)} videos of {name} is there; the first should be '
                f'{str(self.folder / pairs[0][0])[:300]}'
            )
        if missing:
            logger.warning(
                '%s: %d of %d listed videos are not in %s, the first is %s',
                name,
                len(missing),
                len(pairs),
                printable(str(self.folder)),
                printable(missing[0][:200]),
            )
        below = self._below
        return [
            VideoRecord(place or os.path.normpath(os.path.join(below, file)), label)
            for (file, label), place in zip(pairs, places)
        ]


def those_there(
    name: str, source: str, where: str, listed: Sequence[Tuple[str, Optional[VideoRecord]]]
) -> Tuple[List[VideoRecord], Tuple[str, ...]]:
    """Keep the records of listed files that are there; give the names of the others, which a warning counts.

    That is how datasets are read whose videos come from the web, where some are always gone.

    Parameters
    ----------
    name, source, where
        the dataset's split, the list, and the folders, for messages
    listed
        what each file should be called, and its record, or None

    Raises
    ------
    UserError
        none of them is there
    """
    records = [record for _, record in listed if record is not None]
    missing = [file for file, record in listed if record is None]
    if not records:
        raise UserError(
            f'{source}: none of its {len(missing)} videos is in {where}; the first should be {missing[0][:200]}'
        )
    if missing:
        logger.warning(
            '%s: %d of %d videos in %s are not in %s and left out, such as %s',
            name,
            len(missing),
            len(listed),
            printable(os.path.basename(source)),
            printable(where),
            printable(missing[0][:200]),
        )
    return records, tuple(missing)


def read_json(path: Path, kind: type) -> Any:
    """Read a JSON file that must be a list, or a dict; raises UserError for anything else."""
    text = read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f'{path}: is not JSON that can be read ({" ".join(str(error).split())})') from None
    if not isinstance(content, kind):
        raise UserError(f'{path}: must be a JSON {"list" if kind is list else "object"}')
    return content


def video_folder(root: Path, places: Sequence[str], inside: Sequence[str], name: str) -> Path:
    """Return the first of the places under a root that holds one of the things that should lie there.

    Raises
    ------
    UserError
        none does
    """
    for place in places:
        folder = root / place
        if folder.is_dir() and any(os.path.exists(folder / entry) for entry in inside):  # of any length
            return folder
    raise UserError(f'{root}: no videos of {name} there; expected {root / places[0] / inside[0]} and so on')


def read_lines(path: Path) -> List[Tuple[int, str]]:
    """Read the lines of a text file that say something, each with its number from 1; raises UserError."""
    text = read_text(path)
    lines = said_lines(text)
    if not lines:
        raise UserError(f'{path}: is empty')
    return lines
