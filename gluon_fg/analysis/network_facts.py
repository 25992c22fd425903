"""What analysis asks of any network: its name, input and classes; GluonCV's own do not say all of it themselves."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence, Tuple

import numpy as np
from mxnet.gluon import HybridBlock

from ..input_spec import InputSpec


class Described(NamedTuple):
    """Name and input of a network, for those who ask no more of it."""

    name: str
    input_spec: InputSpec


def name_of(net: HybridBlock) -> str:
    """What to call a network, GluonCV's own too."""
    return str(getattr(net, 'name', None) or type(net).__name__)


def spec_of(net: HybridBlock) -> InputSpec:
    """The input of a network: what it says itself; of GluonCV's own, clips of 32 frames, every other one, or one frame
    for each of its segments, scaled as GluonCV does it."""
    if hasattr(net, 'input_spec'):
        spec: InputSpec = net.input_spec
        return spec
    first = next(p for name, p in net.collect_params().items() if name.endswith('weight'))
    if len(first.shape) == 5:
        return InputSpec(frames=32, frame_stride=2)
    return InputSpec(frames=1, frame_stride=1, segments=getattr(net, 'num_segments', 1), layout='NCHW')


def view_shape(spec: InputSpec) -> Tuple[int, ...]:
    """Shape of the input of one view."""
    size = spec.crop_size, spec.crop_size
    return (1, spec.channels, spec.frames, *size) if spec.ndim == 3 else (spec.segments, spec.channels, *size)


def names_of(net: HybridBlock, count: int) -> Tuple[str, ...]:
    """Names of the classes of a network that has so many; 'class 0', 'class 1', ... where it knows none."""
    names = getattr(net, 'classes', None)
    if isinstance(names, (list, tuple)) and len(names) == count:
        return tuple(names)
    return tuple(f'class {label}' for label in range(count))


def ranked(names: Sequence[str], shares: np.ndarray, count: int = 3) -> List[Tuple[str, float]]:
    """Names and probabilities of the likeliest classes."""
    return [(names[i], float(shares[i])) for i in np.argsort(-shares, kind='stable')[:count]]
