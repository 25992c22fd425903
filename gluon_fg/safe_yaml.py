"""The one place where YAML from outside is read: a small text can neither take memory or time without end, nor run
anything.

YAML lets a text name a part of itself (`&name`, `*name`, `<<`), and a part of parts of parts: 400 bytes of it stand for
billions of values. Here every value counts as often as it is named, and there is a bound on all of them.
"""

from __future__ import annotations

import os
import re
from typing import Any, Dict, Optional, Union

import yaml

from .errors import UserError, printable

SIZE = 1 << 20  # bytes of a text; the index of all our weights has some ten thousand
_DEPTH = 24  # of lists and mappings within each other
_VALUES = 100_000  # of a text that programs write, such as an index
_VALUES_BY_HAND = 10_000  # of a config or a study, each counted as often as it is named
_DIGITS = 100  # of a number: what is longer is none that means something, and takes long to be one
_TEXT, _INT, _FLOAT = (f'tag:yaml.org,2002:{kind}' for kind in ('str', 'int', 'float'))


def parse(text: str, source: Union[str, os.PathLike], by_hand: bool = False) -> Any:
    """Read the value that a YAML text stands for: mappings, lists, texts, numbers, true, false and null.

    Parameters
    ----------
    text
        one document; SIZE characters at most
    source
        what errors call it, for example the file's path
    by_hand
        True: as people write configs. 1e-4 is a number then, a date is a text, and a value may be named and used again
        (`&name`, `*name`, `<<`). False: none of this, as `yaml.safe_dump` writes

    Raises
    ------
    UserError
        one line: no valid YAML, a key that stands twice, a tag, a reference (`${...}`), or more values, deeper nesting
        or a longer number than any such file has
    """
    if len(text) > SIZE:
        raise UserError(f'{source}: is longer than {SIZE} characters')
    try:
        return yaml.load(text, _ByHand if by_hand else _Plain)
    except yaml.YAMLError as error:
        raise UserError(f'{source}: not valid YAML: {_line(error)}') from None
    except (ValueError, TypeError, RecursionError) as error:  # numbers such as 0b_, keys that cannot be keys
        raise UserError(f'{source}: not valid YAML: {_line(error)}') from None


def load(path: Union[str, os.PathLike], by_hand: bool = False) -> Any:
    """Read a YAML file in UTF-8, or in UTF-16 with its mark: as `parse`, whose errors then name the file.

    Raises
    ------
    UserError
        as `parse`; it cannot be read, is no text, or longer than SIZE bytes
    """
    try:
        with open(path, 'rb') as stream:
            data = stream.read(SIZE + 1)
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror or error})') from None
    if len(data) > SIZE:
        raise UserError(f'{path}: is longer than {SIZE} bytes')
    return parse(decoded(data, path), path, by_hand)


def decoded(data: bytes, source: Union[str, os.PathLike]) -> str:
    """Decode bytes as UTF-8, or as UTF-16 where they begin with its mark; UserError where they are neither."""
    try:
        return data.decode('utf-16' if data[:2] in (b'\xff\xfe', b'\xfe\xff') else 'utf-8-sig')
    except UnicodeDecodeError as error:
        raise UserError(f'{source}: is not a text in UTF-8 (byte {error.start} is none)') from None


def _line(error: Exception) -> str:
    text = str(error)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        mark = error.problem_mark
        text = f'{error.problem[:160]} (line {mark.line + 1}, column {mark.column + 1})'
    return printable(' '.join(text.split()))[:200]


class _Plain(yaml.SafeLoader):
    """Safe YAML of bounded size in which a key stands once: a second one would silently hide the first."""

    values, named = _VALUES, False

    def __init__(self, text: str):
        super().__init__(text)
        self.depth = self.count = 0
        self.sizes: Dict[int, int] = {}  # id of a node -> how many values it stands for

    def compose_node(self, parent: Optional[yaml.Node], index: Any) -> Optional[yaml.Node]:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            node = self.anchors.get(event.anchor)
            if not self.named:
                raise _refused(f'*{event.anchor}: names of values are not read here; write the value', event)
            if node is not None and id(node) not in self.sizes:
                raise _refused(f'*{event.anchor} stands within itself', event)
            self._add(self.sizes.get(id(node), 0), event)
            return super().compose_node(parent, index)
        if event.tag not in (None, '!', _TEXT):
            raise _refused(f'the tag {event.tag} is not read; leave it out', event)
        if self.depth == _DEPTH:
            raise _refused(f'brackets within brackets, more than {_DEPTH}', event)
        before = self.count
        self._add(1, event)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        self.sizes[id(node)] = self.count - before
        if isinstance(node, yaml.ScalarNode) and node.tag in (_INT, _FLOAT) and len(node.value) > _DIGITS:
            raise _refused(f'a number of {len(node.value)} digits', event)
        return node

    def _add(self, count: int, event: Any) -> None:
        self.count += count
        if self.count > self.values:
            raise _refused(f'more than {self.values} values', event)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.tag == 'tag:yaml.org,2002:merge':
                    continue  # `flatten_mapping` takes it out
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f'{key.value!r} stands twice', key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        merging = [key for key, _ in node.value if key.tag == 'tag:yaml.org,2002:merge']
        if merging and not self.named:
            raise yaml.constructor.ConstructorError(
                None, None, '<< is not read here; write the values', merging[0].start_mark
            )
        super().flatten_mapping(node)


class _ByHand(_Plain):
    values, named = _VALUES_BY_HAND, True

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        if '${' in node.value:  # OmegaConf would put other values, or variables of the environment, in its place
            raise yaml.constructor.ConstructorError(
                None, None, f'{node.value[:60]!r} is a reference; write the value itself', node.start_mark
            )
        return node


def _refused(reason: str, event: Any) -> yaml.YAMLError:
    return yaml.composer.ComposerError(None, None, reason, event.start_mark)


# As OmegaConf reads files: YAML 1.1 takes 1e-4 for a text, and dates for something that no setting is.
_ByHand.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(':timestamp')]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_ByHand.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"""^(?: [-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
             | [-+]?[0-9][0-9_]*(?:[eE][-+]?[0-9]+)
             | [-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)? )$""",
        re.VERBOSE,
    ),
    list('-+0123456789.'),
)
