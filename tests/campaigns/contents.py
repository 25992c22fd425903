"""What a command leaves in its folder, in a form that can be compared: all but times."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
from pyarrow import parquet

# Of records and summaries: how long it took, this time, checksums of what has times in it, and who started it.
_TIMES = ('seconds', 'cpu_seconds', 'data_seconds', 'clips_per_second', 'began', 'time', 'created', 'sha256', 'command')
_SPENT = re.compile(r'\b\d+ s\b')  # the same in reports
# Events of TensorBoard have the clock in their names and in every record.
_SKIPPED = ('tensorboard',)


def contents(folder: Path) -> Dict[str, Any]:
    """Path below a folder -> what is in that file, without times; inputs that are links are left out."""
    files: Dict[str, Any] = {}
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        for name in names:
            path = Path(base, name)
            if not path.is_symlink():
                files[str(path.relative_to(folder))] = _content(path, os.fsencode(folder))
    return files


def _content(path: Path, folder: bytes) -> Any:
    data = path.read_bytes().replace(folder, b'.')
    try:
        if path.suffix == '.jsonl':
            return [_timeless(json.loads(line)) for line in data.splitlines()]
        if path.suffix == '.json':
            return _timeless(json.loads(data))
        if path.suffix in ('.csv', '.md', '.txt', '.yaml'):
            return [_SPENT.sub('', line) for line in data.decode().splitlines()]
        if path.suffix == '.npz':
            return _arrays(path)
        if path.suffix == '.parquet':  # beside the table is where it was made
            return parquet.read_table(path).to_pydict()
    except (ValueError, zipfile.BadZipFile):
        pass  # half a file: compared as it is
    return hashlib.sha256(data).hexdigest()


def _arrays(path: Path) -> Dict[str, Any]:
    """Arrays of a file by their names; of scores, the texts but how long each video took."""
    with np.load(path, allow_pickle=False) as arrays:
        content = {name: [str(a.dtype), a.shape, hashlib.sha256(a.tobytes()).hexdigest()] for name, a in arrays.items()}
        return {**content, 'meta': _timeless(json.loads(str(arrays['meta'])))} if 'meta' in content else content


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in value.items() if key not in _TIMES}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


def differences(expected: Dict[str, Any], got: Dict[str, Any]) -> str:
    """What is missing or other than expected, in words; files that are too many are another matter."""
    words: List[str] = [f'{name} is missing' for name in sorted(set(expected) - set(got))]
    for name in sorted(set(expected) & set(got)):
        if expected[name] != got[name]:
            words.append(f'{name} is another' + _first_difference(expected[name], got[name]))
    return '; '.join(words)


def halves(folder: Path, once: bool, expected: Dict[str, Any]) -> str:
    """Files that are seen half written under their own names, in words.

    `once`: each takes its name when it is complete and never changes. Else JSON has to be JSON, at any moment.
    """
    broken = []
    for name, content in sorted(contents(folder).items()):
        if any(part.startswith('.') for part in Path(name).parts):
            continue
        if once and name in expected and content != expected[name]:
            broken.append(name)
        elif name.endswith('.json') and isinstance(content, str):
            broken.append(name)
    return ', '.join(broken)


def _first_difference(a: Any, b: Any) -> str:
    if isinstance(a, dict) and isinstance(b, dict):
        keys = [key for key in {**a, **b} if a.get(key) != b.get(key)]
        return f' ({", ".join(f"{key}: {a.get(key)!r} -> {b.get(key)!r}" for key in keys[:3])})'
    if isinstance(a, list) and isinstance(b, list):
        pairs = [(i, x, y) for i, (x, y) in enumerate(zip(a, b)) if x != y]
        return f' ({len(a)} -> {len(b)} lines' + (f'; line {pairs[0][0] + 1}: {pairs[0][1:]}' if pairs else '') + ')'
    return ''
