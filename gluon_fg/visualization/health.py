"""The report on a dataset's health: a page for people, with its pictures inside, and CSV files for programs."""

from __future__ import annotations

import base64
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import cv2
import jinja2

from ..data.findings import NEAR, Findings, Group
from ..data.manifest import Manifest, Row
from ..data.packets import load_scan
from ..data.video import PyAVReader, VideoReader, open_video
from ..errors import VideoError, printable
from ..files import atomic_write
from .health_lists import write_lists
from .health_numbers import class_table, histograms, same_splits, short_name, split_table

PAGE = 'report.html'
_LINES, _GROUPS, _STRIP = 50, 20, 6  # of each list, what the page shows
_SIDE = 168  # pixels, the longer side of a picture
_KINDS = {
    'same bytes': 'same bytes',
    'copies': 'looks alike throughout',
    'first frame': 'first frames look alike',
    'film': 'one film',
}


def write_report(
    folder: Path,
    manifest: Manifest,
    findings: Findings,
    notes: Sequence[str] = (),
    workers: int = 2,
) -> Path:
    """Write report.html and the CSV files into a folder, each atomically, in place of those of a former check.

    Parameters
    ----------
    folder
        an existing folder
    manifest, findings
        of the dataset
    notes
        lines to stand below the table of splits
    workers
        threads that decode pictures

    Returns
    -------
    Path
        of report.html
    """
    write_lists(folder, manifest, findings)
    groups = _sections(findings)
    firsts = _first_of_classes(manifest, findings)
    shown = {
        place for section in groups for group in _some_of_each(section['chosen']) for place in _spread(group, findings)
    }
    wanted = [(place, 'middle') for place in firsts.values()] + [(place, 'first') for place in sorted(shown)]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        drawn = pool.map(lambda asked: picture(manifest.root, findings.rows[asked[0]], asked[1]), wanted)
        pictures = dict(zip(wanted, drawn))
    for section in groups:
        _show_groups(section, findings, pictures)
    splits = split_table(manifest, findings)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(Path(__file__).parent)), autoescape=True, undefined=jinja2.StrictUndefined
    )
    classes, balance = class_table(manifest, findings, firsts, pictures)
    text = environment.get_template('health_report.html').render(
        dataset=manifest.dataset,
        root=printable(manifest.root),
        splits=splits,
        notes=[*same_splits(manifest), *map(printable, notes)],
        issues=issues(findings),
        tables=_tables(findings),
        groups=groups,
        classes=classes,
        grouped=any(row['group'] for row in classes),
        balance=balance,
        histograms=histograms(findings),
        near=NEAR,
    )
    with atomic_write(folder / PAGE, 'wb') as stream:
        stream.write(text.encode())
    return folder / PAGE


def issues(findings: Findings) -> List[Dict[str, Any]]:
    """Say how many videos or groups there are of each kind of trouble, for the page and for the terminal."""
    listed = (
        ('missing', 'bad', 'file{} missing', 'listed, and not there', findings.missing),
        ('broken', 'bad', 'file{} broken', 'they cannot be decoded, or show no video', findings.broken),
        ('leaks', 'bad', 'leak{} between splits', 'groups of videos that reach into two splits', findings.leaks),
        ('conflicts', 'bad', 'conflict{} of labels', 'the same bytes under two classes', findings.conflicts),
        ('same', 'warn', 'duplicate{}', 'other groups of files of the same bytes', _others(findings, findings.same)),
        ('near', 'warn', 'group{} of look-alikes', 'others, by their first frames', _others(findings, findings.near)),
        ('short', 'warn', 'video{} too short', _how_short(findings), findings.short or []),
        ('unlabeled', 'warn', 'video{} without a label', 'they can be predicted, not trained on', findings.unlabeled),
        (
            'rotated',
            'fine',
            'video{} turned upright',
            'a rotation is written in the file, and is applied',
            findings.rotated,
        ),
    )
    return [
        {
            'anchor': anchor,
            'level': level if places else 'fine',
            'title': title.format('' if len(places) == 1 else 's'),
            'text': text,
            'count': len(places),
        }
        for anchor, level, title, text, places in listed
    ]


def _how_short(findings: Findings) -> str:
    return 'not asked: --model or --frames say for what' if findings.short is None else 'for one clip of the network'


def _others(findings: Findings, groups: Sequence[Group]) -> List[Group]:
    """Groups that are not told as leaks or conflicts already."""
    return [group for group in groups if group not in findings.leaks and group not in findings.conflicts]


def picture(root: str, row: Row, which: str) -> str:
    """Draw the first or middle frame of a video, small, as an address that holds the JPEG itself; '' if it fails."""
    path = os.path.join(root, row.file)
    try:
        reader: VideoReader = PyAVReader(path, load_scan(row.scan)) if row.scan else open_video(path)
        with reader:
            frame = reader.get_batch([0 if which == 'first' else len(reader) // 2])[0]
    except (VideoError, ValueError):  # changed since the check
        return ''
    scale = _SIDE / max(frame.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in frame.shape[1::-1])
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    code = cv2.imencode('.jpg', cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return 'data:image/jpeg;base64,' + base64.b64encode(code.tobytes()).decode()


def _tables(findings: Findings) -> List[Dict[str, Any]]:
    rows = findings.rows
    kinds = (
        ('missing', 'Missing files', 'Listed, and not there.', 'class', findings.missing, _class_of),
        ('broken', 'Broken files', 'Training replaces them, evaluation leaves them out.', 'why', findings.broken, _why),
        ('short', 'Short videos', 'A clip repeats frames.', 'frames', findings.short or [], lambda row: row.frames),
        ('unlabeled', 'Videos without a label', 'Listed with label -1.', 'class', findings.unlabeled, _class_of),
        (
            'rotated', 'Videos turned upright', 'Their files say that they are shown turned.', 'quarter turns',
            findings.rotated, lambda row: row.turns,
        ),
    )  # fmt: skip
    return [
        {
            'anchor': anchor,
            'title': title,
            'text': text,
            'columns': ('split', 'file', last),
            'rows': [(short_name(rows[i].split), _named(rows[i]), value(rows[i])) for i in places[:_LINES]],
            'more': max(0, len(places) - _LINES),
            'file': f'{anchor}.csv',
        }
        for anchor, title, text, last, places, value in kinds
        if places
    ]


def _why(row: Row) -> str:
    return printable('; '.join(row.problems))


def _class_of(row: Row) -> str:
    return printable(row.class_name or '')


def _named(row: Row) -> str:
    """A row's path, with its times where it has any."""
    if (row.start, row.end) == (None, None):
        return printable(row.path)
    return f'{printable(row.path)} [{row.start or 0:g}-{"" if row.end is None else format(row.end, "g")} s]'


def _sections(findings: Findings) -> List[Dict[str, Any]]:
    kinds = (
        (
            'leaks', 'Leaks between splits', findings.leaks,
            'A network is tested on what it was trained on: move each group to one side, or leave it out.',
        ),
        ('conflicts', 'Conflicts of labels', findings.conflicts, 'The same bytes stand under two classes.'),
        ('same', 'Duplicates', _others(findings, findings.same), 'Files of the same bytes inside one split.'),
        (
            'near', 'Videos that look alike', _others(findings, findings.near),
            'By their first frames: encoded anew, cut from one film, or taken by one fixed camera. Inside one split.',
        ),
    )  # fmt: skip
    return [
        {'anchor': anchor, 'title': title, 'text': text, 'chosen': sorted(groups, key=lambda g: _KEYS.index(g.kind))}
        for anchor, title, groups, text in kinds
        if groups
    ]


_KEYS = list(_KINDS)


def _show_groups(section: Dict[str, Any], findings: Findings, pictures: Mapping[Tuple[int, str], str]) -> None:
    """Replace a section's chosen groups by what the page says of them."""
    chosen: List[Group] = section.pop('chosen')
    section['groups'] = [
        {
            'kind': _KINDS[group.kind],
            'count': len(group.places),
            'splits': ', '.join(dict.fromkeys(short_name(findings.rows[place].split) for place in group.places)),
            'film': printable(group.film),
            'videos': [
                _figure(findings.rows[place], pictures.get((place, 'first'), '')) for place in _spread(group, findings)
            ],
            'more': max(0, len(group.places) - _STRIP),
        }
        for group in _some_of_each(chosen)
    ]
    section['more'] = len(chosen) - len(section['groups'])
    section['file'] = f'{section["anchor"]}.csv'


def _some_of_each(groups: Sequence[Group]) -> List[Group]:
    """The groups that the page shows: as many of each kind as there is room for."""
    kinds = list(dict.fromkeys(group.kind for group in groups))
    each = _GROUPS // max(1, len(kinds))
    return [group for kind in kinds for group in [g for g in groups if g.kind == kind][:each]]


def _spread(group: Group, findings: Findings) -> List[int]:
    """Which videos of a group the page shows: of each split the first, then others."""
    firsts = {findings.rows[place].split: place for place in reversed(group.places)}
    others = [place for place in group.places if place not in firsts.values()]
    return sorted([*firsts.values(), *others][:_STRIP])


def _figure(row: Row, drawn: str) -> Dict[str, str]:
    name = printable(row.class_name or 'no label')
    return {'picture': drawn, 'split': short_name(row.split), 'class_name': name, 'path': _named(row)}


def _first_of_classes(manifest: Manifest, findings: Findings) -> Dict[str, int]:
    """Class -> its first usable video."""
    firsts: Dict[str, int] = {}
    for place in findings.usable:
        row = findings.rows[place]
        for name in row.shown(manifest.splits[row.split].labels):
            firsts.setdefault(name, place)
    return firsts
