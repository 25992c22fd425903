"""Multiply-adds and parameters of a network, counted on the graph that predicts; nothing is computed or allocated.

Counted are convolutions (grouped ones by their groups), transposed convolutions, dense layers, matrix products and
recurrent layers: one multiply-add for each product that goes into a sum, those with padding included, biases left out.
That is how the field counts (fvcore's "flops", PyTorch's FlopCounterMode halved). Normalization folds into convolutions
at inference; additions, activations, softmax, pooling and resizing are a few percent of what is counted, and are not.

GFLOPs are two for each multiply-add, as CIDC's table 2 has them: 65 for I3D ResNet-50 on 32x224x224, ours 66.3. Papers
that print half as much for the same network count multiply-adds.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from typing import Any, Dict, List, Optional, Sequence, Tuple

import mxnet as mx
from mxnet.gluon import Constant, HybridBlock

from ..errors import UserError
from ..input_spec import InputSpec
from ..nn.batch_norm_lstm import set_length
from ..nn.norm import deploy_mode
from .graph import Shape, inferred_shapes
from .operators import COUNTED, FREE


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one pass of a network takes.

    Parameters
    ----------
    name, input_shape
        of the network, and what it was counted for
    macs
        multiply-adds
    macs_by_kind
        'convolution', 'grouped convolution', 'deconvolution', 'dense', 'matrix product', 'recurrent' -> multiply-adds
    macs_by_part
        child of the network ('backbone.res4', 'classifier') -> multiply-adds
    parameters
        learned numbers that the graph reads, frozen ones included
    parameters_by_part
        child of the network -> learned numbers
    constants
        numbers that it reads and that no gradient changes: running statistics, constants
    unknown
        operators that are neither counted nor known to take next to nothing -> how many; where there are any, `macs`
        may be too low
    """

    name: str
    input_shape: Shape
    macs: int
    macs_by_kind: Dict[str, int]
    macs_by_part: Dict[str, int]
    parameters: int
    parameters_by_part: Dict[str, int]
    constants: int
    unknown: Dict[str, int]

    @property
    def flops(self) -> int:
        """Two for each multiply-add."""
        return 2 * self.macs

    @property
    def backbone_macs(self) -> int:
        """Multiply-adds of the backbone; 0 where the network has no child of this name."""
        return _of_backbone(self.macs_by_part)

    @property
    def backbone_parameters(self) -> int:
        """Learned numbers of the backbone; 0 where the network has no child of this name."""
        return _of_backbone(self.parameters_by_part)

    def as_dict(self) -> Dict[str, Any]:
        """For JSON: all fields, `flops`, `backbone_macs` and `backbone_parameters`."""
        derived = ('flops', 'backbone_macs', 'backbone_parameters')
        return {
            **dataclasses.asdict(self),
            'input_shape': list(self.input_shape),
            **{name: getattr(self, name) for name in derived},
        }


def input_shape(spec: InputSpec) -> Shape:
    """One training crop of one video: (1, C, frames, H, W), or (segments, C, H, W) for images."""
    size = (spec.crop_size, spec.crop_size)
    return (
        (1, spec.channels, spec.frames, *size)
        if spec.ndim == 3
        else (spec.segments * spec.frames, spec.channels, *size)
    )


def count(net: HybridBlock, shape: Optional[Sequence[int]] = None) -> Cost:
    """Multiply-adds and parameters of `net(x)`: for a recognizer the prediction, with the branches that it is made of.

    Parameters
    ----------
    net
        a network of one input; it need not be initialized
    shape
        of the input; None: of one crop of one video, by the network's `input_spec`

    Raises
    ------
    UserError
        a shape that is none, or that the network cannot take
    """
    usual = input_shape(net.input_spec) if hasattr(net, 'input_spec') else None
    shape = usual if shape is None else shape
    if shape is None:
        raise UserError(f'{net.name} does not say what it takes; give the shape of its input')
    whole = _whole(shape)
    if len(whole) == 5:
        set_length(net, whole[2])
    with deploy_mode():
        out = net(mx.sym.var('data'))
    symbol = mx.sym.Group(list(out)) if isinstance(out, (list, tuple)) else out
    nodes, shapes = inferred_shapes(symbol, whole, net.name, usual)
    parts = _Parts(net)
    kinds: Dict[str, int] = collections.Counter()
    macs: Dict[str, int] = collections.Counter()
    unknown: Dict[str, int] = collections.Counter()
    for number, node in enumerate(nodes):
        operator = node['op']
        if operator in COUNTED:
            kind, products = COUNTED[operator](
                node.get('attrs', {}),
                [shapes[source, index] for source, index, *_ in node['inputs']],
                shapes[number, 0],
            )
            kinds[kind] += products
            macs[parts.of(node['name'])] += products
        elif operator not in FREE:
            unknown[operator] += 1
    known = net.collect_params()
    learned: Dict[str, int] = collections.Counter()
    constants = 0
    for number, node in enumerate(nodes):
        if node['op'] == 'null' and node['name'] in known:
            parameter, numbers = known[node['name']], math.prod(shapes[number, 0])
            if isinstance(parameter, Constant) or not parameter._differentiable:
                constants += numbers
            else:
                learned[parts.of(node['name'])] += numbers
    return Cost(
        name=net.name,
        input_shape=whole,
        macs=sum(macs.values()),
        macs_by_kind=dict(kinds),
        macs_by_part=dict(macs),
        parameters=sum(learned.values()),
        parameters_by_part=dict(learned),
        constants=constants,
        unknown=dict(unknown),
    )


def format_costs(costs: Sequence[Cost]) -> str:
    """A table of networks, one a line, and what could not be counted."""
    width = max([len('model'), *(len(c.name) for c in costs)])
    shapes = ['x'.join(map(str, c.input_shape)) for c in costs]
    wide = max([len('input'), *map(len, shapes)])
    lines = [
        f'{"model":{width}s}  {"input":{wide}s}  {"GFLOPs":>9s}  {"GMACs":>9s}  {"params M":>9s}  {"backbone M":>10s}'
    ]
    for c, shape in zip(costs, shapes):
        lines.append(
            f'{c.name:{width}s}  {shape:{wide}s}  {c.flops / 1e9:9.3f}  {c.macs / 1e9:9.3f}  '
            f'{c.parameters / 1e6:9.3f}  {c.backbone_parameters / 1e6:10.3f}'
        )
    lines += [f'{c.name}: not counted: {_named(c.unknown)}' for c in costs if c.unknown]
    return '\n'.join(lines)


def format_cost(cost: Cost) -> str:
    """One network by kind of operator and by part."""
    lines = [format_costs([cost]), '']
    rows: List[Tuple[str, int, Optional[int]]] = [(kind, macs, None) for kind, macs in cost.macs_by_kind.items()]
    rows += [
        (part, cost.macs_by_part.get(part, 0), cost.parameters_by_part.get(part, 0))
        for part in dict.fromkeys([*cost.parameters_by_part, *cost.macs_by_part])
    ]
    width = max([0, *(len(name) for name, *_ in rows)])
    for number, (name, macs, parameters) in enumerate(rows):
        if number == len(cost.macs_by_kind):
            lines.append('')
        row = f'  {name:{width}s}  {2 * macs / 1e9:9.3f} GFLOPs  {100 * macs / max(cost.macs, 1):5.1f} %'
        lines.append(row if parameters is None else f'{row}  {parameters / 1e6:9.3f} M parameters')
    return '\n'.join(lines)


def _whole(shape: Sequence[int]) -> Shape:
    try:
        shape = tuple(int(size) for size in shape)
    except (TypeError, ValueError):
        shape = ()
    if len(shape) < 2 or not all(
        1 <= size < 2**31 for size in shape
    ):  # MXNet's own bound, beyond which it wraps around
        raise UserError(f'an input shape is two or more whole numbers from 1 to 2147483647, got {shape or "none"}')
    return shape


def _of_backbone(parts: Dict[str, int]) -> int:
    return sum(value for part, value in parts.items() if part.split('.')[0] == 'backbone')


def _named(counts: Dict[str, int]) -> str:
    return ', '.join(f'{operator} x {number}' for operator, number in sorted(counts.items()))


class _Parts:
    """From the name of a node or parameter to the child of the network that it belongs to.

    Gluon starts both with the prefix of the block that made them; the longest one that fits is the block's.
    """

    def __init__(self, net: HybridBlock):
        self._paths: Dict[str, str] = {}
        top = net
        while len(top._children) == 1 and not top._reg_params:  # a recognizer's only child holds all
            top = next(iter(top._children.values()))
        self._visit(top, ())

    def _visit(self, block: HybridBlock, path: Tuple[str, ...]) -> None:
        if path and path[0] == 'backbone':
            part = '.'.join(path[:2])
        else:
            part = path[0] if path else 'top'
        self._paths.setdefault(block.prefix, part)
        for name, child in block._children.items():
            self._visit(child, (*path, name))

    def of(self, name: str) -> str:
        end = len(name)
        while end > 0:
            end = name.rfind('_', 0, end)
            if name[: end + 1] in self._paths:
                return self._paths[name[: end + 1]]
        return 'top'
