"""What both Something-Something datasets share: classes that are sentences with gaps, and videos called by numbers."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ...errors import UserError, unknown
from ..datasets import VideoDataset
from .entry import DatasetInfo, Request
from .layouts import Files, folder_with, read_json, read_lines, video_folder
from .openers import has_lists, open_lists

PARTS = {'train': 'train', 'val': 'validation', 'validation': 'validation', 'test': 'test'}
_LISTS = ('.', 'labels', 'annotations', 'annotation')


class Layout(NamedTuple):
    """Where a Something-Something dataset has its files.

    Parameters
    ----------
    title
        what its files' names begin with, 'something-something-v2'
    form
        suffix of its lists
    video
        suffix of its videos; '' for folders of frames
    """

    title: str
    form: str
    video: str


def plain_template(text: str) -> str:
    """Write a template as the label lists do: 'Holding [something]' is 'Holding something'."""
    return ' '.join(text.replace('[', '').replace(']', '').split())


def verb(template: str) -> str:
    """Tell the verb of a template: 'Holding' of 'Holding something', 'Falling' of 'Something falling like a rock'."""
    words = [word for word in re.findall(r"[\w']+", template) if word.lower() not in ('something', 'being')]
    chosen = next((word for word in words if word.lower().endswith('ing')), words[0])
    if template.lower().startswith('something being'):
        chosen = f'being {words[0]}'
    return chosen[:1].upper() + chosen[1:].lower()


def verb_groups(classes: Sequence[str]) -> Tuple[str, ...]:
    """Group templates by their verbs: (M,) names."""
    return tuple(verb(name) for name in classes)


def open_templates(info: DatasetInfo, asked: Request, layout: Layout, classes: Sequence[str]) -> VideoDataset:
    """Open a split by the official lists, or by lists of one's own where the root has them.

    The test list has no labels (-1), unless the answers that were published later lie beside it.

    Raises
    ------
    UserError
        no root, an unknown split, lists or videos that are not there, or an entry that is wrong
    """
    if has_lists(info, asked):
        return open_lists(info, asked)
    root = info.folder(asked.root)
    if asked.split not in PARTS:
        raise unknown(f'split of {info.name}', asked.split, PARTS)
    part = PARTS[asked.split]
    path = _file(root, layout, part)
    if path is None:
        raise UserError(
            f'{root}: no list for split {asked.split!r} of {info.name}; expected {layout.title}-{part}.{layout.form}, '
            f'or {asked.split}.csv or {asked.split}.txt'
        )
    numbers = {name: number for number, name in enumerate(classes)}
    _check_labels(_file(root, layout, 'labels'), numbers)
    entries = list(_json_entries(path) if layout.form == 'json' else _csv_entries(path, part))
    answers = _answers(root, layout) if part == 'test' else {}
    listed: List[Tuple[str, int]] = []
    for where, video, template in entries:
        template = template or answers.get(video)
        if template is None and part != 'test':
            raise UserError(f'{where}: no template, but only the test list has none')
        label = -1 if template is None else numbers.get(plain_template(template))
        if label is None:
            raise UserError(f'{where}: {unknown("class", plain_template(str(template)), numbers)}')
        listed.append((video + layout.video, label))
    if not listed:
        raise UserError(f'{path}: lists no video')
    name = f'{info.name} {"val" if part == "validation" else part}'
    places = (f'20bn-{layout.title}', 'videos', 'rawframes', 'frames', f'20bn-{layout.title}-frames', '.')
    stems = [os.path.splitext(video)[0] for video, _ in listed[:100]]
    inside = [stem + end for stem in stems for end in (layout.video, '.mp4', '.webm', '')]
    videos = Files(root, video_folder(root, places, inside, name))
    return VideoDataset(videos.records(listed, name), info.labels_of(classes), root, name, asked.cache)


def _file(root: Path, layout: Layout, part: str, form: Optional[str] = None) -> Optional[Path]:
    """A list of the dataset, called as in the first release or, in a folder of its own, as in the second."""
    for name in (f'{layout.title}-{part}.{form or layout.form}', f'{part}.{form or layout.form}'):
        folder = folder_with(root, _LISTS, name)
        if folder is not None:
            return folder / name
    return None


def _json_entries(path: Path) -> Iterator[Tuple[str, str, Optional[str]]]:
    """(where it stands, video, its template or None) of a list such as [{"id": "78687", "template": ...}, ...]."""
    for number, entry in enumerate(read_json(path, list), 1):
        where = f'{path.name}, entry {number}'
        if not isinstance(entry, dict) or not isinstance(entry.get('id'), (str, int)):
            raise UserError(f'{where}: {str(entry)[:60]!r} has no id')
        template = entry.get('template')
        if not isinstance(template, (str, type(None))):
            raise UserError(f'{where}: template {str(template)[:60]!r} is not a text')
        yield f'{where} (id {entry["id"]})', str(entry['id']), template


def _csv_entries(path: Path, part: str) -> Iterator[Tuple[str, str, Optional[str]]]:
    """(where it stands, video, its template or None) of a list with lines such as '100218;Pushing something ...'."""
    for line, text in read_lines(path):
        video, _, template = text.partition(';')
        if not video.strip() or (part != 'test' and not template.strip()):
            raise UserError(f'{path.name} line {line}: {text[:60]!r} is not a number and a class with ; between')
        yield f'{path.name} line {line}', video.strip(), template.strip() or None


def _answers(root: Path, layout: Layout) -> Dict[str, str]:
    path = _file(root, layout, 'test-answers', 'csv')
    return {} if path is None else {video: str(template) for _, video, template in _csv_entries(path, 'train')}


def _check_labels(path: Optional[Path], numbers: Dict[str, int]) -> None:
    """Refuse a list of labels that has other classes; labels go by name, so that its order does not matter."""
    if path is None:
        return
    names = list(read_json(path, dict)) if path.suffix == '.json' else [text for _, text in read_lines(path)]
    for name in names:
        if plain_template(name) not in numbers:
            raise UserError(f'{path}: {unknown("class", plain_template(name), numbers)}')
