"""The file of scores: how it is written, and what has to hold before its numbers are believed.

A .npz with the arrays `probabilities`, `labels`, where there are some `targets` and `logits`, and a JSON text `meta`.
Since 0.2 `meta` has `checksums`: the SHA-256 of each array, and of all names and texts. What came later and no reader
needs, `made` and `seconds`, lies in `meta`, too: readers from before an array refuse a file that has it.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any, Dict, List, Mapping, Tuple, Union

import numpy as np

from .. import safe_json
from ..errors import UserError
from ..files import atomic_write
from ..npz import NpzError, read_npz

FORMATS = (1, 2)  # 2 with targets, which a reader of 1 would take for single labels
_KINDS = {'meta': 'U', 'probabilities': 'f', 'labels': 'iu', 'targets': 'b', 'logits': 'f'}
_NAMES, _TEXTS = ('ids', 'branch_names', 'classes'), ('protocol', 'model', 'dataset', 'fingerprint')
_ROUNDED = 1e-3  # how far beyond 1 a mean of rounded probabilities may be
_LONGEST = 1e9  # seconds


def write(path: Union[str, os.PathLike], meta: Dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write `meta` (format and kind are added) and the arrays, compressed and atomically; nothing is pickled."""
    meta = {'format': FORMATS['targets' in arrays], 'kind': 'probabilities', **meta}
    meta['checksums'] = _checksums(meta, arrays)
    with atomic_write(path, 'wb') as stream:
        np.savez_compressed(stream, meta=np.array(json.dumps(meta)), **arrays)


def shortest(values: np.ndarray) -> List[float]:
    """List float32 numbers as the shortest decimals that are read as the same float32 again."""
    return [float(str(value)) for value in values.astype(np.float32)]


def read(path: Union[str, os.PathLike]) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """Read what `write` wrote: (meta, arrays), every value of them checked but the fingerprint of the classes.

    Raises
    ------
    UserError
        one line: a missing file, another one, one that was cut short, damaged or changed, or numbers that cannot be
    """
    if not os.path.isfile(path):
        raise UserError(f'no score file {path}')
    try:
        arrays = read_npz(path, _KINDS, optional=('targets', 'logits'))
        meta = safe_json.parse(str(arrays.pop('meta')))
        kind, version = meta['kind'], meta['format']
    except (NpzError, ValueError, TypeError, KeyError) as error:
        reason = f' ({error})' if isinstance(error, NpzError) else ''
        raise UserError(f'{path}: not a score file written by gluon-fg evaluate, or cut short{reason}') from None
    if version not in FORMATS or kind != 'probabilities':
        raise UserError(
            f'{path}: scores of format {str(version)[:20]}, kind {str(kind)[:20]}; '
            f'this version reads formats 1 and 2, probabilities'
        )
    problem = _problem_of_meta(meta) or _problem_of_arrays(meta, arrays)
    if problem:
        raise UserError(f'{path}: {problem}; the file is damaged, make it anew with gluon-fg evaluate')
    return meta, arrays


def check_unchanged(
    path: Union[str, os.PathLike], meta: Dict[str, Any], arrays: Mapping[str, np.ndarray], fingerprint: str
) -> None:
    """Refuse a file whose content is not what it was written with; files from before 0.2 know of the classes alone."""
    if meta['fingerprint'] != fingerprint:
        raise UserError(f'{path}: its class list does not fit its fingerprint; the file was changed')
    written = meta.get('checksums')
    if written is None:
        return
    for name, value in _checksums(meta, arrays).items():  # logits may have been left out
        if not isinstance(written, dict) or written.get(name) != value:
            raise UserError(f'{path}: its {name} do not fit their checksum; the file was changed or is damaged')


def _checksums(meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Dict[str, str]:
    """name -> SHA-256 of each array, with its type and shape, and of what `meta` says of them."""
    said = json.dumps({key: meta[key] for key in (*_NAMES, *_TEXTS, 'groups', 'failed')}, sort_keys=True)
    sums = {'names': hashlib.sha256(said.encode()).hexdigest()}
    if meta.get('made') is not None:  # apart, so that readers from before it believe the file
        sums['made'] = hashlib.sha256(json.dumps(meta['made'], sort_keys=True).encode()).hexdigest()
    if meta.get('seconds') is not None:
        sums['seconds'] = hashlib.sha256(json.dumps(meta['seconds']).encode()).hexdigest()
    for name, array in arrays.items():
        state = hashlib.sha256(f'{array.dtype.str} {array.shape}\n'.encode())
        state.update(np.ascontiguousarray(array).tobytes())
        sums[name] = state.hexdigest()
    return sums


def _problem_of_meta(meta: Dict[str, Any]) -> str:
    for key in _NAMES:
        if not _are_texts(meta.get(key)) or len(set(meta[key])) < len(meta[key]):
            return f'its {key} are no list of names, each once'
    for key in _TEXTS:
        if not isinstance(meta.get(key), str):
            return f'its {key} is no text'
    if not isinstance(meta.get('execution', ''), str):
        return 'its execution is no text'
    if not _are_seconds(meta.get('seconds'), len(meta['ids'])):
        return 'its seconds are no number of 0 or more for each video'
    failed = meta.get('failed')
    if not isinstance(failed, dict) or not _are_texts(list(failed.values())):
        return 'its failed videos have no names and reasons'
    if 'groups' not in meta or meta['groups'] is not None and not _are_texts(meta['groups']):
        return 'its groups are no list of names'
    return '' if meta['classes'] and meta['branch_names'] else 'it has no classes or no branches'


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _are_seconds(values: Any, videos: int) -> bool:
    if values is None:
        return True
    numbers = isinstance(values, list) and all(type(value) in (int, float) for value in values)
    return numbers and len(values) == videos and all(0 <= value <= _LONGEST for value in values)


def _problem_of_arrays(meta: Dict[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    videos, branches, classes = (len(meta[key]) for key in _NAMES)
    shapes = {
        'labels': (videos,),
        'probabilities': (videos, branches, classes),
        'logits': (videos, classes),
        'targets': (videos, classes),
    }
    for name, array in arrays.items():
        if array.shape != shapes[name]:
            return f'its {name} are {array.shape} for {videos} videos, {branches} branches and {classes} classes'
    if meta['groups'] is not None and len(meta['groups']) != classes:
        return f'it has {len(meta["groups"])} groups for {classes} classes'
    if ('targets' in arrays) != (meta['format'] == 2):
        return f'format {meta["format"]} goes {"with" if meta["format"] == 2 else "without"} targets'
    for name in ('probabilities', 'logits'):
        if name in arrays and not np.isfinite(arrays[name]).all():
            return f'its {name} hold a number that is not finite'
    p, labels = arrays['probabilities'], arrays['labels']
    if p.size and not (p.min() >= 0 and p.max() <= 1 + _ROUNDED):
        return f'its probabilities go from {p.min():g} to {p.max():g}, not from 0 to 1'
    if labels.size and not (labels.min() >= -1 and labels.max() < classes):
        return f'its labels go from {labels.min()} to {labels.max()}, with {classes} classes'
    return ''
