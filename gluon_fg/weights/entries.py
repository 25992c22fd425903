"""What the zoo's index says of a model's published weights: the entry, and the YAML that entries are kept in."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
import reprlib
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple, Union

import yaml

from ..errors import UserError
from ..files import atomic_write
from ..input_spec import InputSpec

DTYPES = ('float32', 'float16')
METRICS = ('top1', 'top5', 'mean_class', 'group_top1', 'within_group')  # percent


@dataclasses.dataclass(frozen=True)
class Entry:
    """Published weights of one model.

    Parameters
    ----------
    name
        the model, as `get_model` takes it
    file, sha256, bytes, params, dtype
        the file's plain name, checksum (64 hex digits) and size; its number of values, and their type on disk
    fingerprint
        SHA-256 of the ordered class names (`LabelSet.fingerprint`)
    protocol
        test protocol that the model was made for
    licence, source
        of the weights; what made them
    dataset, classes
        name of the dataset, None for a user's own; names of the classes in order, None where the dataset is known
        by its name
    input
        fields of `InputSpec` that the weights were trained with
    metrics
        dataset -> {one or more of METRICS in percent, protocol, split, videos, seeds}
    config, log
        paths below the index's folder, of the training run's config and record; None where there are none
    """

    name: str
    file: str
    sha256: str
    bytes: int
    params: int
    dtype: str
    fingerprint: str
    protocol: str
    licence: str
    source: str
    dataset: Optional[str] = None
    classes: Optional[Tuple[str, ...]] = None
    input: Dict[str, Any] = dataclasses.field(default_factory=dict)
    metrics: Dict[str, Dict[str, Any]] = dataclasses.field(default_factory=dict)
    config: Optional[str] = None
    log: Optional[str] = None


def load_index(path: Union[str, os.PathLike]) -> Dict[str, Entry]:
    """name -> entry of an index file.

    Raises
    ------
    UserError
        it cannot be read or is no YAML, or an entry lacks a key, has an unknown one or a value that cannot be;
        the message names file, entry and key
    """
    try:
        text = Path(path).read_text(encoding='utf-8')
    except FileNotFoundError:
        raise UserError(f'no index {path}') from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{path}: cannot be read ({" ".join(str(error).split())})') from None
    return parse_index(text, path)


def parse_index(text: str, source: Union[str, os.PathLike]) -> Dict[str, Entry]:
    """name -> entry of an index's text; `source` is what errors (as `load_index`'s) call it."""
    try:
        loaded = yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f'{source}: not valid YAML ({" ".join(str(error).split())[:200]})') from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise UserError(f'{source}: must map names of models to entries, is a {type(loaded).__name__}')
    return {str(name): _entry(name, fields, source) for name, fields in loaded.items()}


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key stands once: a second entry of a name would silently hide the first."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != '<<':
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f'{key.value!r} stands twice', key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _text(value):
    if not isinstance(value, str) or not value.strip() or '\n' in value:
        raise ValueError('must be a line of text')
    return value


def _digest(value):
    if not isinstance(value, str) or not re.fullmatch('[0-9a-f]{64}', value):
        raise ValueError('must be 64 hexadecimal digits, in small letters')
    return value


def _count(value):
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError('must be a whole number of at least 1')
    return value


def _percent(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
        raise ValueError('must be a percentage, 0 to 100')
    return value


def _path_below(value):
    """A path that cannot leave the folder, wherever it is used."""
    parts = _text(value).split('/')
    if '\\' in value or any(part in ('', '.', '..') for part in parts) or re.match('[A-Za-z]:', value):
        raise ValueError('must be a path below the index, without .. and backslashes')
    return value


def _file(value):
    if '/' in _path_below(value) or value.startswith('.') or not value.endswith('.params'):
        raise ValueError('must be the plain name of a .params file, without a folder')
    return value


def _dtype(value):
    if value not in DTYPES:
        raise ValueError(f'must be {" or ".join(DTYPES)}')
    return value


def _class_names(value):
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise ValueError('must be a list of class names')
    if len(set(value)) < len(value):
        raise ValueError('names a class twice')
    return tuple(value)


def _input(value):
    fields = [field.name for field in dataclasses.fields(InputSpec)]
    _known_keys(value, fields)
    spec = {}
    for key, given in value.items():
        if key in ('mean', 'std'):
            numbers = isinstance(given, list) and all(type(v) in (int, float) and math.isfinite(v) for v in given)
            if not numbers or not given or (len(given) != 3 and len(given) % 2):
                raise _At(key, 'must be three numbers (for flow two, or two for each frame of a stack)')
            given = tuple(given)
        elif key not in ('layout', 'sampling'):
            _nested(key, _count, given)
        spec[key] = given
    try:
        InputSpec().replace(**{'short_side': max(spec.get('crop_size', 1), InputSpec.short_side), **spec})
    except UserError as error:
        raise ValueError(str(error)) from None
    return spec


def _metrics(value):
    if not isinstance(value, dict):
        raise ValueError('must map names of datasets to what was measured on them')
    return {_nested('a name', _text, name): _nested(name, _measured, row) for name, row in value.items()}


def _measured(row):
    keys = {'protocol': _text, 'split': _text, 'videos': _count, 'seeds': _count}
    found = _fields(row, {**keys, **dict.fromkeys(METRICS, _percent)}, required=keys)
    if len(found) == len(keys):
        raise ValueError(f'holds no accuracy; give at least one of {", ".join(METRICS)}')
    return found


# section -> key -> check; '' holds the keys that stand in no section
_SCHEMA: Dict[str, Dict[str, Callable]] = {
    'weights': {'file': _file, 'sha256': _digest, 'bytes': _count, 'params': _count, 'dtype': _dtype},
    '': {'config': _path_below, 'input': _input, 'protocol': _text, 'metrics': _metrics},
    'classes': {'dataset': _text, 'fingerprint': _digest, 'names': _class_names},
    'origin': {'licence': _text, 'source': _text, 'log': _path_below},
}
_OPTIONAL = {'config', 'input', 'metrics', 'dataset', 'names', 'log'}


class _At(ValueError):
    """What is wrong, and the key at which it is."""

    def __init__(self, key: str, reason: str):
        super().__init__(reason)
        self.key = key


def _nested(key: str, check: Callable, value):
    """`check(value)`, whose errors get the key in front of theirs."""
    try:
        return check(value)
    except _At as error:
        raise _At(f'{key}.{error.key}', str(error)) from None
    except ValueError as error:
        raise _At(str(key), f'{error}, got {reprlib.repr(value)}') from None


def _known_keys(value, keys) -> None:
    if not isinstance(value, dict):
        raise ValueError(f'must be a mapping with the keys {", ".join(keys)}')
    for key in value:
        if key not in keys:
            near = difflib.get_close_matches(str(key), keys, 1)
            hint = f'did you mean {near[0]}?' if near else f'choose from {", ".join(keys)}'
            raise _At(str(key), f'unknown key; {hint}')


def _fields(value, checks: Dict[str, Callable], required) -> Dict[str, Any]:
    """The checked values of a mapping."""
    _known_keys(value, list(checks))
    for key in required:
        if key not in value:
            raise _At(key, 'is missing')
    return {key: _nested(key, checks[key], given) for key, given in value.items()}


def _section(name: str) -> Callable:
    keys = _SCHEMA[name]
    return lambda value: _fields(value, keys, [key for key in keys if key not in _OPTIONAL])


def _entry(name, given, source) -> Entry:
    checks = {**_SCHEMA[''], **{section: _section(section) for section in _SCHEMA if section}}
    try:
        _nested('name', _text, name)
        values = _fields(given, checks, [key for key in checks if key not in _OPTIONAL])
    except _At as error:
        raise UserError(f'{source}: {name}: {error.key}: {error}') from None
    except ValueError as error:
        raise UserError(f'{source}: {name}: {error}') from None
    for section in _SCHEMA:
        values.update(values.pop(section, {}))
    values['classes'] = values.pop('names', None)
    if values['classes'] is None and values.get('dataset') is None:
        raise UserError(
            f'{source}: {name}: classes.names: is missing; without a dataset they are known from here alone'
        )
    return Entry(name=name, **values)


def dump_index(entries: Dict[str, Entry]) -> str:
    """YAML that `parse_index` reads back to equal entries, sorted by name."""
    return yaml.safe_dump(
        {name: _as_written(entries[name]) for name in sorted(entries)},
        sort_keys=False,
        width=120,
        allow_unicode=True,
        default_flow_style=None,  # innermost mappings and lists on one line
    )


def save_index(entries: Dict[str, Entry], path: Union[str, os.PathLike], heading: str = '') -> None:
    """Write `dump_index(entries)` atomically, below a comment line."""
    with atomic_write(path) as stream:
        stream.write(f'# {heading}\n' * bool(heading) + dump_index(entries))


def _as_written(entry: Entry) -> Dict[str, Any]:
    values = dataclasses.asdict(entry)
    values['names'] = values.pop('classes')
    written = {}
    for section, keys in _SCHEMA.items():
        found = {key: _plain(values[key]) for key in keys if values[key] not in (None, {})}
        written.update({section: found} if section else found)
    return written


def _plain(value):
    """Tuples as lists, which is what YAML has."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value
