"""Which videos `gluon-fg data flow` goes through: of a dataset, a folder, a list, a manifest, or one film."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Sequence

from ...errors import UserError, unknown
from ..catalog import build_dataset, dataset_info, list_datasets
from ..datasets import VIDEO_SUFFIXES, some_suffixes
from ..folders import files_below
from ..manifest import read_manifest
from ..readers import from_csv, plain_list
from ..video import IMAGE_SUFFIXES
from .listing import FILE


class Videos(NamedTuple):
    """The folder that videos are looked up below, and their paths, relative to it or absolute."""

    root: str
    paths: List[str]


def gather(source: str, root: Optional[str] = None, splits: Sequence[str] = (), out: Optional[str] = None) -> Videos:
    """List the videos that a word of the command line means.

    Parameters
    ----------
    source
        the name of a dataset of the catalog; a folder; a list as `from_csv` reads it, or with a path on each line; the
        manifest that `gluon-fg data prepare` wrote; a video file
    root
        folder of the dataset, or that the paths of a list start from; None: the dataset's own, the list's
    splits
        of a dataset; none: those that can be opened
    out
        the folder that flow goes to, which is left out of the search

    Raises
    ------
    UserError
        nothing of that kind, or a list or split that cannot be read
    """
    if source in list_datasets() and not os.path.isfile(source):
        return _of_dataset(source, root, splits)
    if splits:
        raise UserError(f'--split goes with a dataset; {source} is none')
    if os.path.isdir(source):
        if root:
            raise UserError(f'--root goes with a dataset or a list; {source} is a folder')
        return _of_folder(source, out)
    if not os.path.isfile(source):
        raise _nothing(source)
    if source.endswith('.parquet'):
        manifest = read_manifest(source)
        return Videos(root or manifest.root, [row.file for row in manifest.rows() if row.kind != 'image'])
    if source.lower().endswith(VIDEO_SUFFIXES):
        return Videos(os.path.dirname(os.path.abspath(source)), [os.path.basename(source)])
    plain = plain_list(source)
    folder = root or os.path.dirname(os.path.abspath(source))
    if plain is None:
        return Videos(folder, [record.path for record in from_csv(source, folder).records])
    return Videos(folder, [_from_list(path, os.path.dirname(source) or '.') for path in plain])


def _from_list(path: str, folder: str) -> str:
    """A path of a list as it stands there: `plain_list` has put the list's folder before it."""
    below = os.path.relpath(path, folder)
    return os.path.abspath(path) if below.split(os.sep)[0] == os.pardir else below


def _nothing(source: str) -> UserError:
    names = list_datasets()
    hint = str(unknown('dataset', source, names)).partition('; ')[2]
    return UserError(f'{source}: no such folder, list or video, and no dataset of that name; {hint}')


def _of_dataset(name: str, root: Optional[str], splits: Sequence[str]) -> Videos:
    """The videos of all splits, below the dataset's folder."""
    info = dataset_info(name)
    if info.rendered and (root is None or not any(Path(root, f'{split}.csv').is_file() for split in info.splits)):
        raise UserError(
            f'{name} is rendered: gluon-fg data prepare {name} --root FOLDER does it; then give --root FOLDER'
        )
    root = os.fspath(info.folder(root))
    paths: List[str] = []
    wrong: List[UserError] = []
    for split in splits or info.splits:
        try:
            videos = build_dataset(name, split, root)
        except UserError as error:
            if splits:
                raise
            wrong.append(error)
            continue
        if videos.records[0].path.lower().endswith(IMAGE_SUFFIXES):
            raise UserError(f'{name} has images; flow is computed of videos')
        paths += [os.path.abspath(videos.path(place)) for place in range(len(videos))]
    if not paths:
        raise wrong[0]
    return Videos(root, paths)


def _of_folder(folder: str, out: Optional[str]) -> Videos:
    """All video files below a folder or, where it has none, all folders of images."""
    avoid = None if out is None or os.path.realpath(out) == os.path.realpath(folder) else os.path.realpath(out)
    videos: List[str] = []
    films: List[str] = []
    for directory, names in _walk(folder, avoid):
        below = os.path.relpath(directory, folder)
        videos += [os.path.normpath(os.path.join(below, name)) for name in names if _ends(name, VIDEO_SUFFIXES)]
        if any(_ends(name, IMAGE_SUFFIXES) for name in names):
            films.append(below)
    if not videos and films == ['.']:
        top = Path(folder).resolve()
        return Videos(str(top.parent), [top.name])
    if not videos and not films:
        raise UserError(f'{folder}: no video in it ({some_suffixes(VIDEO_SUFFIXES)}), and no folder of frames')
    return Videos(folder, videos or [film for film in films if film != '.'])


def _walk(folder: str, avoid: Optional[str]) -> Iterator[tuple]:
    """(folder, names of its files), in order; hidden ones and folders of flow are left out."""
    return files_below(folder, lambda path: os.path.realpath(path) == avoid or os.path.exists(os.path.join(path, FILE)))


def _ends(name: str, suffixes: Sequence[str]) -> bool:
    return name.lower().endswith(tuple(suffixes))
