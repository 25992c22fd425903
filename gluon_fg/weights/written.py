"""What an entry of the zoo's index looks like in the file: its keys, and what each may be.

What may be left out has None here, but null is no value to write.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any, Dict, List

from ..checking import Rule, above, at_least, count, one_of, required, setting, within
from ..input_spec import FLOW_ALGORITHMS, SHORT_RULES

DTYPES = ('float32', 'float16')
ARCHIVES = ('.whl', '.zip', '.tar.gz')


def is_line(value: str) -> bool:
    """Tell whether a text is one line that is not empty."""
    return bool(value.strip()) and '\n' not in value


def _stays_below(value: str) -> bool:
    """Whether a path cannot leave the folder, wherever it is used."""
    outside = any(part in ('', '.', '..') for part in value.split('/')) or re.match('[A-Za-z]:', value)
    return is_line(value) and '\\' not in value and not outside


def _is_params_file(value: str) -> bool:
    return _stays_below(value) and '/' not in value and value[0] != '.' and value.endswith('.params')


def _is_archive(value: str) -> bool:
    return _stays_below(value) and '/' not in value and value[0] != '.' and value.endswith(ARCHIVES)


def _are_channels(values: list) -> bool:
    return all(map(math.isfinite, values)) and len(values) > 1


def _most(high: int) -> Rule:
    """A count that a network is built or fed by, which a file from anywhere must not fill the memory with."""
    return count(1, high, 'a whole number of at least 1')


def _are_names(values: list) -> bool:
    """Names with an end of line in them have the fingerprint of other names."""
    return 0 < len(values) == len(set(values)) and all(map(is_line, values))


LINE = Rule('a line of text', is_line)
_DIGEST = Rule('64 hexadecimal digits, in small letters', lambda v: bool(re.fullmatch('[0-9a-f]{64}', v)))
_COUNT = at_least(1, 'a whole number of at least 1')
_PERCENT = within(0, 100, 'a percentage, 0 to 100')
_PATH = Rule('a path below the index, without .. and backslashes', _stays_below)
_CHANNELS = Rule('three numbers (for flow two for each field, for both the three first)', _are_channels)


@dataclasses.dataclass
class Weights:
    """Names the file of weights, its checksum and size, and how many parameters of which type it holds."""

    file: str = required(Rule('the plain name of a .params file, without a folder', _is_params_file))
    sha256: str = required(_DIGEST)
    bytes: int = required(_COUNT)
    params: int = required(_COUNT)
    dtype: str = required(one_of(*DTYPES))


@dataclasses.dataclass
class PackageKeys:
    """Says in which file of which package the weights lie, with the checksums of both, and how they are laid out."""

    name: str = required(Rule('the name of a package', lambda v: bool(re.fullmatch(r'\w[\w.-]*', v, re.ASCII))))
    version: str = required(LINE)
    archive: str = required(Rule(f'the plain name of a file that ends in {", ".join(ARCHIVES)}', _is_archive))
    archive_sha256: str = required(_DIGEST)
    archive_bytes: int = required(_COUNT)
    member: str = required(Rule('a path in the archive, without .. and backslashes', _stays_below))
    member_sha256: str = required(_DIGEST)
    member_bytes: int = required(_COUNT)
    layout: str = required(LINE)


@dataclasses.dataclass
class InputKeys:
    """Describes the input where it is another than the model's own: the fields of `InputSpec`."""

    frames: int = setting(None, _most(10_000))
    frame_stride: int = setting(None, _most(10_000))
    sampling: str = setting(None, one_of('clip', 'spread'))
    segments: int = setting(None, _most(1000))
    crop_size: int = setting(None, _most(8192))
    short_side: int = setting(None, _most(8192))
    mean: List[float] = setting(None, _CHANNELS)
    std: List[float] = setting(None, _CHANNELS)
    layout: str = setting(None, one_of('NCTHW', 'NCHW'))
    fps: float = setting(None, above(0))
    flow: str = setting(None, one_of(*FLOW_ALGORITHMS))
    flow_bound: float = setting(None, above(0))
    center_flow: bool = setting(None)
    short: str = setting(None, one_of(*SHORT_RULES))


@dataclasses.dataclass
class Measured:
    """Reports accuracies in percent, and on how many videos of which split, by which protocol, they were measured."""

    protocol: str = required(LINE)
    split: str = required(LINE)
    videos: int = required(_COUNT)
    seeds: int = required(_COUNT)
    top1: float = setting(None, _PERCENT)
    top5: float = setting(None, _PERCENT)
    mean_class: float = setting(None, _PERCENT)
    group_top1: float = setting(None, _PERCENT)
    within_group: float = setting(None, _PERCENT)
    map: float = setting(None, _PERCENT)
    flat_gate: float = setting(None, _PERCENT)


@dataclasses.dataclass
class Classes:
    """Says which classes the weights tell apart: a dataset's or their names, and the fingerprint of the names."""

    dataset: str = setting(None, LINE)
    fingerprint: str = required(_DIGEST)
    names: List[str] = setting(None, Rule('a list of class names, each once', _are_names))


@dataclasses.dataclass
class Origin:
    """Says where the weights come from and what may be done with them."""

    licence: str = required(LINE)
    source: str = required(LINE)
    log: str = setting(None, _PATH)


@dataclasses.dataclass
class BuiltKeys:
    """Names the model and the options that a network published under another name was built as."""

    name: str = required(LINE)
    options: Dict[str, Any] = setting(None)


@dataclasses.dataclass
class AnswerKeys:
    """Says how answers are read: several labels a video, and the threshold below which none is given."""

    multi_label: bool = setting(None)
    threshold: float = setting(None, within(0, 1, 'a probability, 0 to 1'))


@dataclasses.dataclass
class Written:
    """An entry by its keys."""

    weights: Weights = required()
    package: PackageKeys = setting(None)
    config: str = setting(None, _PATH)
    model: BuiltKeys = setting(None)
    input: InputKeys = setting(None)
    answers: AnswerKeys = setting(None)
    protocol: str = required(LINE)
    metrics: Dict[str, Measured] = setting(None)
    classes: Classes = required()
    origin: Origin = required()


SECTIONS = {'weights': Weights, 'classes': Classes, 'origin': Origin}  # whose keys are the entry's own
