"""Counts of a dataset for its health report: splits, classes and how even they are, lengths, rates and sizes."""

from __future__ import annotations

import collections
import os
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

import numpy as np

from ..data.findings import Findings
from ..data.manifest import Manifest
from ..errors import printable

_BARS = 12


def split_table(manifest: Manifest, findings: Findings) -> List[Dict[str, Any]]:
    """Return a row for each split: its name, videos listed, there and usable, classes, total length and bytes."""
    usable = set(findings.usable)
    there = set(range(len(findings.rows))) - set(findings.missing)
    table = []
    for key in own_splits(manifest):
        places = [place for place, row in enumerate(findings.rows) if row.split == key]
        fine = [findings.rows[place] for place in places if place in usable]
        sizes = {row.path: row.bytes for row in (findings.rows[place] for place in places)}
        table.append(
            {
                'name': printable(os.path.basename(key)),
                'listed': len(places),
                'there': sum(place in there for place in places),
                'usable': len(fine),
                'classes': len({row.label for row in fine if row.label >= 0}),
                'length': _duration(sum(row.frames / row.fps for row in fine if row.fps)),
                'bytes': _bytes(sum(sizes.values())),
            }
        )
    return table


def own_splits(manifest: Manifest) -> List[str]:
    """List the splits that have videos of their own, leaving out those that are the same as another."""
    return [key for key, split in manifest.splits.items() if not split.same_as]


def same_splits(manifest: Manifest) -> List[str]:
    """Write a sentence for each group of splits that consist of the same videos."""
    same: Dict[str, List[str]] = collections.defaultdict(list)
    for key, split in manifest.splits.items():
        if split.same_as:
            same[split.same_as].append(key)
    lines = []
    for key, others in same.items():
        names = [short_name(name) for name in (key, *others)]
        hint = ': what is tested was trained on' if any(name.startswith('train') for name in names) else ''
        lines.append(f'{", ".join(names[:-1])} and {names[-1]} are the same videos{hint}.')
    return lines


def class_counts(manifest: Manifest, findings: Findings) -> Dict[Tuple[str, str], int]:
    """(class, split) -> usable videos; one with several labels counts for each of them."""
    rows = (findings.rows[place] for place in findings.usable)
    return collections.Counter(
        (name, row.split) for row in rows for name in row.shown(manifest.splits[row.split].labels)
    )


def class_table(
    manifest: Manifest, findings: Findings, firsts: Mapping[str, int], pictures: Mapping[Tuple[int, str], str]
) -> Tuple[List[Dict[str, Any]], str]:
    """A row for each class, and a sentence on how even they are."""
    splits = own_splits(manifest)
    counts = class_counts(manifest, findings)
    names: Dict[str, str] = {}
    for key in splits:
        labels = manifest.splits[key].labels
        names.update(zip(labels.classes, labels.groups or [''] * len(labels)))
    most = max([sum(counts[name, key] for key in splits) for name in names] or [0]) or 1
    table = [
        {
            'name': printable(name),
            'group': printable(group),
            'counts': [counts[name, key] for key in splits],
            'shares': [round(100 * counts[name, key] / most, 2) for key in splits],
            'picture': pictures.get((firsts[name], 'middle'), '') if name in firsts else '',
        }
        for name, group in names.items()
    ]
    return table, balance_line(names, counts, splits)


def balance_line(names: Iterable[str], counts: Mapping[Tuple[str, str], int], splits: Sequence[str]) -> str:
    """Say how even the classes of the training split (the first) are, and which have no or one video somewhere."""
    names = list(names)
    of = {name: counts[name, splits[0]] for name in names}
    text = f'{short_name(splits[0])}: {min(of.values())} to {max(of.values())} videos a class.'
    for key in splits:
        empty = [name for name in names if not counts[name, key]]
        if empty:
            text += f' {short_name(key)} has no video of {_some(empty)}.'
    single = [name for name in names if counts[name, splits[0]] == 1]
    return text + (f' {short_name(splits[0])} has a single video of {_some(single)}.' if single else '')


def _some(names: Sequence[str]) -> str:
    more = f' and {len(names) - 5} other classes' if len(names) > 5 else ''
    return ', '.join(map(printable, names[:5])) + more


def histograms(findings: Findings) -> List[Dict[str, Any]]:
    """Count the usable videos by seconds, frames, frames per second and size: a title and bars for each."""
    rows = [findings.rows[place] for place in findings.usable]
    seconds = np.array([row.frames / row.fps for row in rows if row.fps])
    frames = np.array([row.frames for row in rows if row.kind != 'image'])
    rates = collections.Counter(f'{row.fps:.4g}' for row in rows if row.fps)
    sizes = collections.Counter(f'{row.width}x{row.height}' for row in rows)
    bars = [
        ('Seconds', _binned(seconds)),
        ('Frames', _binned(frames)),
        ('Frames per second', rates.most_common()),
        ('Width x height', sizes.most_common()),
    ]
    return [
        {
            'title': title,
            'bars': [
                {'name': name, 'count': count, 'share': round(100 * count / max(n for _, n in pairs), 2)}
                for name, count in pairs[:_BARS]
            ],
            'more': max(0, len(pairs) - _BARS),
        }
        for title, pairs in bars
        if pairs
    ]


def _binned(values: np.ndarray) -> List[Tuple[str, int]]:
    """At most ten bins, (limits, count); the last holds what is above the 99th percentile, too. Whole numbers stay."""
    if not len(values):
        return []
    low, high = float(values.min()), float(np.percentile(values, 99))
    if values.dtype.kind == 'i':
        edges = np.unique(np.linspace(low, max(np.ceil(high), low) + 1, 11).round().astype(int))
        limits = [(a, b - 1) for a, b in zip(edges[:-1], edges[1:])]
        limits[-1] = (limits[-1][0], int(values.max()))
        names = [str(a) if a == b else f'{a} to {b}' for a, b in limits]
        return list(zip(names, np.histogram(np.minimum(values, edges[-1] - 1), edges)[0].tolist()))
    if high <= low:
        return [(f'{low:.4g}', len(values))]
    edges = np.linspace(low, high, 11)
    names = [f'{a:.3g} to {b:.3g}' for a, b in zip(edges[:-1], edges[1:])]
    names[-1] = f'{edges[-2]:.3g} to {values.max():.3g}'
    return list(zip(names, np.histogram(np.minimum(values, high), edges)[0].tolist()))


def _duration(seconds: float) -> str:
    if seconds < 600:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.0f} min' if seconds < 36000 else f'{seconds / 3600:.0f} h'


def _bytes(count: int) -> str:
    return f'{count / 1e9:.1f} GB' if count >= 1e9 else f'{count / 1e6:.1f} MB'


def short_name(split: str) -> str:
    """How a split is called: a list's path by its file."""
    return printable(os.path.basename(split))
