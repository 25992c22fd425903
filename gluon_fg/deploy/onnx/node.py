"""A node of MXNet's graph with its attributes read, as the converter's functions take it."""

from __future__ import annotations

import ast
import dataclasses
from typing import Any, Callable, Dict, List, Optional, Set, Tuple, Union

import numpy as np

from ...errors import UserError
from ..graph import Shape
from .graph import Graph, Value

Output = Tuple[int, int]

_LAYOUTS = ('None', '__default__', 'NCW', 'NCHW', 'NCDHW')


@dataclasses.dataclass(eq=False)
class Node:
    """An operator of MXNet.

    Parameters
    ----------
    number
        its place in the graph
    op, name, attributes
        as in the graph's JSON
    shapes
        of its outputs; BATCH where a size grows with the batch
    settled
        numbers of nodes that others have taken up: they hand on what they are given
    sources
        where its inputs come from: (number of a node, number of its output)
    values
        what is known of these so far, for all nodes alike: parameters from the start
    readers
        nodes that read its first output; the graph itself, where it is an output, counts as a node without operator
    """

    number: int
    op: str
    name: str
    attributes: Dict[str, str]
    shapes: List[Shape]
    settled: Set[int]
    sources: List[Output]
    values: Dict[Output, Value]
    readers: List[Node] = dataclasses.field(default_factory=list)

    @property
    def inputs(self) -> List[Value]:
        """What it reads; of a node that comes later, `parameters` alone are known."""
        return [self.values[source] for source in self.sources]

    @property
    def parameters(self) -> List[Optional[np.ndarray]]:
        """The numbers of its inputs behind the first, None where they are computed from others."""
        known = (self.values.get(source) for source in self.sources[1:])
        return [value.array if value else None for value in known]

    @property
    def shape(self) -> Shape:
        """Of the first output."""
        return self.shapes[0]

    def value(self, name: str, **facts: Any) -> Value:
        """The first output, under a name of the ONNX graph."""
        return Value(name, self.shape, **facts)

    def text(self, key: str, default: str) -> str:
        """An attribute as it stands."""
        return self.attributes.get(key, default)

    def flag(self, key: str, default: bool = False) -> bool:
        """A yes or no."""
        return self.text(key, str(default)) in ('True', '1')

    def real(self, key: str, default: float) -> float:
        """A number."""
        return float(self.text(key, str(default)))

    def number_of(self, key: str, default: Optional[int] = None) -> int:
        """A whole number."""
        return int(self.text(key, str(default)))

    def numbers(self, key: str) -> Tuple[Any, ...]:
        """Whole numbers, or None among them; a single one as a tuple of it, none at all as ()."""
        value = ast.literal_eval(self.text(key, '()'))
        if value is None:
            return ()
        return tuple(value) if isinstance(value, (tuple, list)) else (value,)

    def sizes(self, key: str, default: int) -> Tuple[int, ...]:
        """One whole number for each axis of the kernel."""
        return self.numbers(key) or (default,) * len(self.numbers('kernel'))

    def axes(self, key: str = 'axis', ndim: Optional[int] = None) -> Tuple[int, ...]:
        """Axes of the first input, from 0 on; all where none is given."""
        ndim = self.inputs[0].ndim if ndim is None else ndim
        given = self.numbers(key)
        return tuple(sorted(axis % ndim for axis in given)) if given else tuple(range(ndim))

    def axis(self, default: int, key: str = 'axis', ndim: Optional[int] = None) -> int:
        """A single axis of the first input, from 0 on."""
        return self.number_of(key, default) % (self.inputs[0].ndim if ndim is None else ndim)

    def turned_axes(self) -> Tuple[int, ...]:
        """The axes that a slice reads backwards, if that is all it does; else ()."""
        begin, end, step = (self.numbers(key) for key in ('begin', 'end', 'step'))
        axes = tuple(axis for axis, n in enumerate(step) if n == -1)
        whole = all(e is None for e in end) and all(b == (-1 if i in axes else None) for i, b in enumerate(begin))
        return axes if whole and all(n in (1, -1, None) for n in step) else ()

    def expect_layout(self) -> None:
        """Refuse a layer whose channels are not the second axis."""
        if self.text('layout', 'None') not in _LAYOUTS:
            raise cannot(self, f'layout {self.attributes["layout"]}')


def cannot(node: Node, reason: str) -> UserError:
    """The error of an operator that has no counterpart."""
    return UserError(f'operator {node.op} ({node.name}) cannot be exported to ONNX with {reason}')


# The function of an operator: adds what it takes to the graph; gives its output's name, its value, or those of several.
Convert = Callable[[Graph, Node], Union[str, Value, List[Value]]]
