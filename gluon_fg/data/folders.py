"""Folders of videos as people have them: classes, splits, and what lies below, links followed and circles left out."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple, Union

from ..errors import UserError, printable
from . import video

SPLITS = ('train', 'val', 'test')
_SYNONYMS = {'training': 'train', 'validation': 'val', 'validate': 'val', 'valid': 'val', 'testing': 'test'}

# What archives and systems leave in folders; nobody's classes and videos.
_LEFT_FOLDERS = {'__macosx', '@eadir', '$recycle.bin', '#recycle', '@recycle', '@recently-snapshot', '__pycache__'}
_LEFT_FOLDERS |= {'system volume information', 'lost+found', 'found.000'}
_LEFT_FILES = {'thumbs.db', 'ehthumbs.db', 'desktop.ini', 'icon\r'}


def is_hidden(name: str) -> bool:
    """Whether a file or folder is no user's: hidden, or left there by an archive or a system."""
    return name.startswith('.') or name.lower() in _LEFT_FOLDERS or name.lower() in _LEFT_FILES


def class_folders(root: Path) -> List[str]:
    """List the names of the folders in a folder, sorted, hidden ones left out."""
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not is_hidden(entry.name))


def class_name(folder: str) -> str:
    """Tell the class that a folder is named like: without blanks around it, which no list of classes keeps.

    Systems write a letter with an accent in two ways; it is one class however the folder came here.
    """
    return unicodedata.normalize('NFC', folder.strip())


def folder_classes(root: Path, folders: Optional[Sequence[str]] = None) -> List[str]:
    """List the classes that the folders in a folder are named like.

    Raises
    ------
    UserError
        two folders of one class
    """
    names: Dict[str, str] = {}
    for folder in class_folders(root) if folders is None else folders:
        former = names.setdefault(class_name(folder), folder)
        if former != folder:
            difference = 'blanks' if former.strip() == folder.strip() else 'how an accent is written'
            raise UserError(
                f'{root}: the folders {former!r} and {folder!r} differ in {difference} alone; rename one of them'
            )
    return sorted(names)


def files_below(
    folder: Union[str, os.PathLike], skip: Callable[[str], bool] = lambda path: False
) -> Iterator[Tuple[str, List[str]]]:
    """Give each folder below a folder and the files in it, in natural order, hidden ones left out.

    Links to folders are followed, but for those that lead back to where they lie in, and to what was given before.
    Folders that `skip` says so of are passed over with all that is in them.
    """
    top = os.path.realpath(os.fspath(folder))
    seen = {top, *map(str, Path(top).parents)}
    for directory, below, files in os.walk(os.fspath(folder), followlinks=True):
        paths = {name: os.path.join(directory, name) for name in sorted(below) if not is_hidden(name)}
        below[:] = [name for name, path in paths.items() if _is_new(path, top, seen) and not skip(path)]
        yield directory, sorted((name for name in files if not is_hidden(name)), key=video.natural)


def _is_new(path: str, top: str, seen: Set[str]) -> bool:
    """Whether a folder is not given by itself, or by another link; only links can be circles."""
    if not os.path.islink(path):
        return True
    place = os.path.realpath(path)
    if place in seen or place.startswith(top + os.sep):
        return False
    seen.add(place)
    return True


def check_level(root: Path, folders: Sequence[str]) -> None:
    """Refuse a single folder in place of classes, which has the classes or splits in it, as where an archive unpacked.

    Raises
    ------
    UserError
        naming the folder to give
    """
    inside = root / folders[0] if len(folders) == 1 else None
    if inside is not None and len(class_folders(inside)) > 1:
        raise UserError(
            f'{root}: the only folder in it is {printable(folders[0])}, which has folders of its own; where these are '
            f'the classes or splits, give {printable(str(inside))}'
        )


def split_folders(root: Path) -> Dict[str, str]:
    """Tell the folders of splits in a folder, split -> its folder: 'Train', 'training' and 'validation' count, too.

    Raises
    ------
    UserError
        two folders of one split
    """
    splits: Dict[str, str] = {}
    for name in class_folders(root):
        split = _SYNONYMS.get(name.strip().lower(), name.strip().lower())
        if split in SPLITS:
            if split in splits:
                raise UserError(f'{root}: {splits[split]} and {name} would both be {split}; put them into one folder')
            splits[split] = name
    return {split: splits[split] for split in SPLITS if split in splits}
