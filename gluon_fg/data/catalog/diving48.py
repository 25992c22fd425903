"""Diving48 (Li et al., ECCV 2018): 48 dives, which differ in take-off, somersaults, twists and position alone.

Read as its archives unpack, under one root (the lists may lie in annotations/, too):

    rgb/_8Vy3dlHg2w_00000.mp4 ...   Diving48_V2_train.json   Diving48_V2_test.json   Diving48_vocab.json

or with the videos in videos/, or folders of frames in rawframes/. Lists of the first version (Diving48_train.json) are
read where those of the second, whose labels were cleaned, are not there. Their entries are {"vid_name":
"_8Vy3dlHg2w_00000", "label": 26, "start_frame": 0, "end_frame": 177}. The clips of the archive are cut already: here,
as by mmaction2, files are read as a whole, and the frames left alone. There is no list for validation: `val` is `test`.
Lists of your own, root/train.csv or .txt, come first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

from ...errors import UserError, unknown
from ..datasets import VideoDataset
from .entry import SPLITS, DatasetInfo, Request, register_dataset
from .layouts import Files, folder_with, read_json, video_folder
from .openers import has_lists, open_lists

_LISTS = ('.', 'annotations', 'labels')
_VIDEOS = ('rgb', 'videos', 'rawframes', '.')
_NAMES = """
Back: 15som 05Twis FREE, 15som 15Twis FREE, 15som 25Twis FREE, 15som NoTwis PIKE, 15som NoTwis TUCK, 25som 15Twis PIKE,
  25som 25Twis PIKE, 25som NoTwis PIKE, 25som NoTwis TUCK, 2som 15Twis FREE, 2som 25Twis FREE, 35som NoTwis PIKE,
  35som NoTwis TUCK, 3som NoTwis PIKE, 3som NoTwis TUCK, Dive NoTwis PIKE, Dive NoTwis TUCK
Forward: 15som 1Twis FREE, 15som 2Twis FREE, 15som NoTwis PIKE, 1som NoTwis PIKE, 25som 1Twis PIKE, 25som 2Twis PIKE,
  25som 3Twis PIKE, 25som NoTwis PIKE, 25som NoTwis TUCK, 35som NoTwis PIKE, 35som NoTwis TUCK, 45som NoTwis TUCK,
  Dive NoTwis PIKE, Dive NoTwis STR
Inward: 15som NoTwis PIKE, 15som NoTwis TUCK, 25som NoTwis PIKE, 25som NoTwis TUCK, 35som NoTwis TUCK, Dive NoTwis PIKE
Reverse: 15som 05Twis FREE, 15som 15Twis FREE, 15som 25Twis FREE, 15som 35Twis FREE, 15som NoTwis PIKE,
  25som 15Twis PIKE, 25som NoTwis PIKE, 25som NoTwis TUCK, 35som NoTwis TUCK, Dive NoTwis PIKE, Dive NoTwis TUCK
"""

# The vocabulary's four words each, in its order
CLASSES = tuple(
    f'{take_off} {dive}'
    for line in _NAMES.strip().replace('\n  ', ' ').splitlines()
    for take_off, _, dives in [line.partition(': ')]
    for dive in dives.split(', ')
)


def open_diving48(info: DatasetInfo, asked: Request) -> VideoDataset:
    """Open a split by the official lists, or by lists of one's own where the root has them.

    Raises
    ------
    UserError
        no root, an unknown split, lists or videos that are not there, an entry that is wrong, or another vocabulary
    """
    if has_lists(info, asked):
        return open_lists(info, asked)
    root = info.folder(asked.root)
    if asked.split not in SPLITS:
        raise unknown(f'split of {info.name}', asked.split, SPLITS)
    part = 'train' if asked.split == 'train' else 'test'
    files = (f'Diving48_V2_{part}.json', f'Diving48_{part}.json')
    paths = [folder / file for file in files for folder in [folder_with(root, _LISTS, file)] if folder is not None]
    if not paths:
        raise UserError(f'{root}: no list for split {asked.split!r} of {info.name}; expected {files[0]}')
    _check_vocabulary(paths[0].parent / 'Diving48_vocab.json')
    listed = [_entry(paths[0], number, entry) for number, entry in enumerate(read_json(paths[0], list), 1)]
    if not listed:
        raise UserError(f'{paths[0]}: lists no video')
    name = f'{info.name} {part}'
    inside = [video + suffix for video, _ in listed[:100] for suffix in ('.mp4', '.avi', '')]
    videos = Files(root, video_folder(root, _VIDEOS, inside, name))
    pairs = [(f'{video}.mp4', label) for video, label in listed]
    return VideoDataset(videos.records(pairs, name), info.labels_of(CLASSES), root, name, asked.cache)


def _check_vocabulary(path: Path) -> None:
    """Refuse a vocabulary that numbers the dives otherwise: its lists would mean others."""
    if not path.is_file():
        return
    for label, words in enumerate(read_json(path, list)):
        name = ' '.join(map(str, words)) if isinstance(words, list) else str(words)
        if label >= len(CLASSES) or name != CLASSES[label]:
            right = CLASSES[label] if label < len(CLASSES) else f'no more than {len(CLASSES)} dives'
            raise UserError(f'{path}: has {name!r} as number {label}, expected {right!r}')


def _entry(path: Path, number: int, entry: object) -> Tuple[str, int]:
    where = f'{path.name}, entry {number}'
    if not isinstance(entry, dict) or not isinstance(entry.get('vid_name'), str):
        raise UserError(f'{where}: {str(entry)[:60]!r} has no vid_name')
    label = entry.get('label')
    if not isinstance(label, int) or not 0 <= label < len(CLASSES):
        raise UserError(f'{where} ({entry["vid_name"]}): label {label!r} is outside 0..{len(CLASSES) - 1}')
    return entry['vid_name'], label


register_dataset(DatasetInfo('diving48', 48, open_diving48, CLASSES, groups=[name.split()[0] for name in CLASSES]))
