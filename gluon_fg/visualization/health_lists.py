"""The lists of a dataset's health report, as CSV files for programs."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Iterable, Sequence, Tuple

from ..data.findings import Findings
from ..data.manifest import Manifest
from ..files import atomic_write
from .health_numbers import class_counts, short_name


def write_lists(folder: Path, manifest: Manifest, findings: Findings) -> None:
    """Write all lists into a folder, atomically each: videos.csv, missing.csv, ..., duplicates, classes, gone.csv."""
    rows = findings.rows
    header = ('split', 'path', 'class', 'start', 'end', 'frames', 'fps', 'width', 'height', 'bytes', 'problems')

    def line(place: int) -> Tuple[Any, ...]:
        row = rows[place]
        return (
            row.split, row.path, row.class_name, row.start, row.end, row.frames, round(row.fps, 3), row.width,
            row.height, row.bytes, '; '.join(row.problems),
        )  # fmt: skip

    plain = {'videos': range(len(rows)), 'missing': findings.missing, 'broken': findings.broken}
    plain.update(short=findings.short or [], unlabeled=findings.unlabeled, rotated=findings.rotated)
    for name, places in plain.items():
        _write_csv(folder / f'{name}.csv', header, map(line, places))
    groups = {'leaks': findings.leaks, 'conflicts': findings.conflicts, 'same': findings.same, 'near': findings.near}
    for name, several in groups.items():
        lines = ((i, g.kind, *line(place)) for i, g in enumerate(several, 1) for place in g.places)
        _write_csv(folder / f'{name}.csv', ('group', 'kind', *header), lines)
    _write_csv(
        folder / 'gone.csv', ('split', 'video'), ((key, v) for key, names in manifest.gone.items() for v in names)
    )
    splits = list(manifest.splits)
    counts = class_counts(manifest, findings)
    classes = dict.fromkeys(name for split in manifest.splits.values() for name in split.labels.classes)
    shown = ((name, *(counts[name, manifest.splits[key].same_as or key] for key in splits)) for name in classes)
    _write_csv(folder / 'classes.csv', ('class', *map(short_name, splits)), shown)


def _write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(header)
    writer.writerows(lines)
    with atomic_write(path, 'wb') as stream:
        stream.write(text.getvalue().encode('utf-8', 'backslashreplace'))
