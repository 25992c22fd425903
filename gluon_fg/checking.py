"""Checks what a user wrote (a config, a study, the zoo's index) against typed dataclasses; a mistake is one line.

A dataclass says which keys there are and of which type; `setting` and `required` say beside each key which values it
may have. `load_yaml` reads a file, `merge` lays it over defaults and converts text to numbers as a command line needs
it, `build` makes the object and tests every value. `check` does so without defaults and without converting anything:

    @dataclass
    class Schedule:
        epochs: int = setting(100, at_least(1))
        kind: str = setting('step', one_of('step', 'cosine'))

    values = load_yaml(path, 'schedule', 'epochs, kind')
    config = build(merge(OmegaConf.structured(Schedule), values, path), path)
    # UserError: run.yaml: epochs is 0; it must be 1 or more
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import functools
import math
import os
import reprlib
import typing
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from . import safe_yaml
from .errors import UserError


@dataclasses.dataclass(frozen=True)
class Rule:
    """Which values a setting may have.

    Parameters
    ----------
    allowed
        in words that go on after 'it must be'
    test
        whether a value, of the right type already, is one of them
    """

    allowed: str
    test: Callable[[Any], bool] = lambda value: True


def at_least(low: float, allowed: str = '') -> Rule:
    """Allows finite numbers from `low` on."""
    return Rule(allowed or f'{low} or more', lambda value: low <= value < math.inf)


def count(low: int, high: int, allowed: str = '') -> Rule:
    """Allows whole numbers from `low` to `high`, more than which is a slip, or made to fill the memory."""
    return within(low, high, f'{allowed or f"{low} or more"}, at most {high}')


def above(low: float) -> Rule:
    """Allows finite numbers larger than `low`."""
    return Rule(f'a finite number above {low}', lambda value: low < value < math.inf)


def within(low: float, high: float, allowed: str = '') -> Rule:
    """Allows numbers from `low` to `high`, both included."""
    return Rule(allowed or f'{low} to {high}', lambda value: low <= value <= high)


def share() -> Rule:
    """Allows numbers above 0, up to 1."""
    return Rule('above 0, at most 1', lambda value: 0 < value <= 1)


def one_of(*choices: str) -> Rule:
    """Allows the named choices."""
    return Rule(f'{", ".join(choices[:-1])} or {choices[-1]}' if len(choices) > 1 else choices[0], choices.__contains__)


def setting(default: Any, rule: Optional[Rule] = None, synonyms: Tuple[str, ...] = ()) -> Any:
    """A dataclass's field with a default and a rule.

    Parameters
    ----------
    default
        a list or mapping is copied for each object
    rule
        which values are allowed, None for all of the field's type; None as a value is no matter of the rule
    synonyms
        what other projects call the setting: who writes that is pointed to this one
    """
    metadata = {'rule': rule, 'synonyms': synonyms}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def required(rule: Optional[Rule] = None) -> Any:
    """A dataclass's field that the user has to give, wherever it stands among the fields."""
    return dataclasses.field(default=MISSING, metadata={'rule': rule, 'synonyms': (), 'required': True})


def check(cls: type, value: Any, source: str) -> None:
    """Test a mapping, or an object of the dataclass, against the dataclass: its keys, types and rules.

    Types are taken strictly: '3' is no number, and a key that is given as null has a type of its own.

    Parameters
    ----------
    cls
        the dataclass, whose fields may be dataclasses, lists and mappings themselves
    value
        what the user wrote
    source
        what errors call it, for example the file's path

    Raises
    ------
    UserError
        a key that is unknown (with the nearest one) or missing, or a value of another type or out of range
    """
    problem = next(_problems(cls, value, '', strict=True), None)
    if problem:
        raise _error(source, problem)


def merge(base: Any, layer: Any, source: str) -> Any:
    """Lay the values of `layer` over `base`, converted to the types of the dataclass that `base` was made of.

    Parameters
    ----------
    base
        `OmegaConf.structured` of a dataclass
    layer
        an OmegaConf mapping, a part of the keys or all
    source
        what errors call the layer

    Returns
    -------
    OmegaConf of the same type; rules are not tested (a later layer may mend what this one breaks)

    Raises
    ------
    UserError
        an unknown key, or a value that cannot be converted
    """
    cls = OmegaConf.get_type(base)
    try:
        return OmegaConf.merge(base, layer)
    except ConfigKeyError as error:
        raise _error(source, unknown_key(cls or type(base), error.full_key or str(error.key))) from None
    except (OverflowError, RecursionError) as error:  # numbers of hundreds of digits, brackets in brackets
        raise _error(source, f'a value is too large or too deeply nested ({type(error).__name__})') from None
    except OmegaConfBaseException as error:
        # OmegaConf knows that something is wrong, the dataclass what should stand there.
        reason = f'{error.full_key or "a value"}: {str(error).splitlines()[0]}'
        given = OmegaConf.to_container(layer) if OmegaConf.is_config(layer) else layer
        raise _error(source, next(_problems(cls, given, '', strict=False), reason)) from None


def build(merged: Any, source: str) -> Any:
    """The dataclass's object of what was merged, every value checked.

    Raises
    ------
    UserError
        a required key is missing, or a value is out of range
    """
    try:
        value = OmegaConf.to_object(merged)
    except MissingMandatoryValue as error:
        raise _error(source, f'{error.full_key} is missing') from None
    except OmegaConfBaseException as error:
        raise _error(source, f'{error.full_key or "a value"}: {str(error).splitlines()[0]}') from None
    check(type(value), value, source)
    return value


def load_yaml(path: Path, kind: str, keys: str) -> Any:
    """The mapping in a YAML file, read without running anything.

    Parameters
    ----------
    path, kind, keys
        the file, what to call such a file in errors ('config'), and which keys it has

    Raises
    ------
    UserError
        no such file (with the nearest name), no valid YAML, or no mapping
    """
    if not os.path.isfile(path):  # False also for names that are too long, or have a null byte
        near = []
        if path.parent.is_dir():
            near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob('*.yaml')], 1)
        raise UserError(f'no {kind} file {path}' + (f'; did you mean {path.parent / near[0]}?' if near else ''))
    values = safe_yaml.load(path, by_hand=True)
    if not isinstance(values, (dict, type(None))):
        raise UserError(f'{path}: holds no mapping; a {kind} has the keys {keys}')
    try:
        return OmegaConf.create(values or {})
    except OmegaConfBaseException as error:  # keys that are null
        raise UserError(f'{path}: {one_line(error)}') from None


def valid_keys(cls: Any, prefix: str = '') -> List[str]:
    """All keys of a dataclass, those of dataclasses in it with dots: ['model.name', 'train.lr', ...]."""
    keys = []
    for name, hint in hints_of(cls).items():
        keys += valid_keys(hint, f'{prefix}{name}.') if dataclasses.is_dataclass(hint) else [f'{prefix}{name}']
    return keys


def unknown_key(cls: type, key: str, prefix: str = '') -> str:
    """What is said of a key that `cls` does not have: the nearest valid one, or all of its section. `prefix` is put
    before the keys where the dataclass is itself a part of something."""
    section, _, leaf = key.rpartition('.')
    valid, holder = valid_keys(cls), _section(cls, section)
    same_section = [field.name for field in dataclasses.fields(holder)] if holder else []
    # A slip in the last word is likelier than one in the section: compare the two apart.
    synonyms = [f.name for f in dataclasses.fields(holder) if leaf in f.metadata.get('synonyms', ())] if holder else []
    close = synonyms or difflib.get_close_matches(leaf, same_section, 1)
    close = [f'{section}.{name}' if section else name for name in close] or (
        [] if holder else difflib.get_close_matches(key, valid, 1)
    )
    close = close or [k for k in valid if k.endswith(f'.{leaf}')]
    names = same_section or [field.name for field in dataclasses.fields(cls)]
    hint = f'did you mean {prefix}{close[0]}?' if close else f'choose from {", ".join(names)}'
    return f'unknown key {prefix}{one_line(key)}; {hint}'


def one_line(text: object) -> str:
    """Text of any kind as the beginning of a line, for a name that a user gave."""
    return ' '.join(str(text).split())[:60]


@functools.lru_cache(maxsize=None)
def hints_of(cls: Any) -> Dict[str, Any]:
    """name -> type of a dataclass's fields, as types rather than text."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _section(cls: Any, section: str) -> Any:
    """The dataclass at a dotted key, None where there is none."""
    for name in filter(None, section.split('.')):
        cls = hints_of(cls).get(name) if cls and dataclasses.is_dataclass(cls) else None
        if typing.get_origin(cls) is dict:
            cls = typing.get_args(cls)[1]
    return cls if dataclasses.is_dataclass(cls) else None


def _error(source: str, problem: str) -> UserError:
    return UserError(f'{source} {problem}' if problem.startswith('is ') else f'{source}: {problem}')


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def _must_be(key: str, value: Any, allowed: str) -> str:
    return f'{key} is {one_line(_SHORT.repr(value))}; it must be {allowed}'.strip()


# type -> (what it is called, whether a value has it)
_SCALARS: Dict[type, Tuple[str, Callable[[Any], bool]]] = {
    int: ('a whole number', lambda v: type(v) is int and abs(v) < 1 << 63),
    float: ('a number', lambda v: type(v) in (int, float)),
    bool: ('true or false', lambda v: type(v) is bool),
    str: ('text', lambda v: isinstance(v, str)),
}


def _problems(hint: Any, value: Any, key: str, strict: bool, rule: Optional[Rule] = None) -> Iterator[str]:
    """What is wrong with a value at `key`, a line each; where not `strict`, text that can be converted is right."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Union:  # Optional
        if value is not None:
            yield from _problems(inner[0], value, key, strict, rule)
        return
    if dataclasses.is_dataclass(hint):
        yield from _problems_of_fields(hint, value, key, strict)
        return
    if origin is dict:
        if not isinstance(value, dict):
            yield _must_be(key, value, _allowed('a mapping', rule))
            return
        for name, below in value.items():
            if strict and not (isinstance(name, str) and name.strip() and '\n' not in name):
                yield _must_be(f'a name in {key}' if key else 'a name', name, 'a line of text')
            yield from _problems(inner[1], below, _join(key, name), strict)
    elif origin in (list, tuple):
        if not isinstance(value, (list, tuple)):
            yield _must_be(key, value, _allowed('a list', rule))
            return
        for place, below in enumerate(value):
            yield from _problems(inner[0], below, f'{key}[{place}]', strict)
    elif hint in _SCALARS:
        if not _fits(hint, value, strict):
            yield _must_be(key, value, _allowed(_SCALARS[hint][0], rule))
            return
    if strict and rule and not rule.test(value):
        yield _must_be(key, value, rule.allowed)


def _problems_of_fields(cls: Any, value: Any, key: str, strict: bool) -> Iterator[str]:
    fields, hints = {field.name: field for field in dataclasses.fields(cls)}, hints_of(cls)
    if dataclasses.is_dataclass(value):
        value = {name: getattr(value, name) for name in fields}
    if not isinstance(value, dict):
        yield _must_be(key, value, f'a mapping with the keys {", ".join(fields)}')
        return
    for name in value:
        if name not in fields:
            yield unknown_key(cls, one_line(name), f'{key}.' if key else '')
    for name, field in fields.items():
        if name in value:
            yield from _problems(hints[name], value[name], _join(key, name), strict, field.metadata.get('rule'))
        elif strict and field.metadata.get('required'):
            yield f'{_join(key, name)} is missing'


def _join(key: str, name: Any) -> str:
    return f'{key}.{one_line(name)}' if key else one_line(name)


def _allowed(word: str, rule: Optional[Rule]) -> str:
    """A type's name with what the rule says of values of that type."""
    if rule is None:
        return word
    return rule.allowed if word == 'text' or rule.allowed.startswith('a ') else f'{word}, {rule.allowed}'


def _fits(hint: type, value: Any, strict: bool) -> bool:
    if strict or _SCALARS[hint][1](value):
        return _SCALARS[hint][1](value)
    if not isinstance(value, (str, int)) or isinstance(value, str) and '${' in value:
        return isinstance(value, str)  # a reference to another key, which OmegaConf resolves
    if hint is bool:
        return str(value).lower() in ('yes', 'y', 'on', 'true', '1', 'no', 'n', 'off', 'false', '0')
    try:
        hint(value)
    except ValueError:
        return False
    return hint is str or not isinstance(value, bool)
