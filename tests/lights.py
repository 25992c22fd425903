"""A network whose responses are known: how much light falls on each cell; and videos with one light in them."""

import dataclasses

import mxnet as mx
import numpy as np
import pytest

from gluon_fg.backbones import Geometry
from gluon_fg.data.labels import LabelSet
from gluon_fg.data.video import ArrayReader
from gluon_fg.input_spec import InputSpec


@dataclasses.dataclass
class Light:
    """Two classes with two filters each: light, half the light, darkness, and a dead one.

    A cell's light is the mean brightness within half a stride of its centre, by the geometry that it claims.
    """

    input_spec: InputSpec
    response_geometry: Geometry
    name: str = 'light'
    nclass: int = 2
    filters_per_class: int = 2
    num_segments: int = 1
    calls: int = 0

    labels = LabelSet(('bright', 'dark'), groups=('one', 'one'))
    classes = labels.classes

    def class_filters(self):
        return np.array([[[1, 2], [2, 4.1]], [[-1, 2], [0, 0]]], np.float32)

    def hybridize(self, **kwargs):
        pass

    def filter_responses(self, x):
        self.calls += 1
        spec, clips = self.input_spec, self.input_spec.ndim == 3
        x = x.asnumpy().mean(axis=1)  # (N, T, H, W), or (N, H, W)
        axes = ([(1, 0)] if clips else []) + [(x.ndim - 2, 1), (x.ndim - 1, 1)]
        for axis, pair in axes:
            stride, offset = self.response_geometry.stride[pair], self.response_geometry.offset[pair]
            cells = int(np.ceil(x.shape[axis] / stride))
            index = np.arange(x.shape[axis])
            cover = np.stack([np.abs(index - offset - stride * c) <= stride / 2 for c in range(cells)]).astype(
                np.float32
            )
            x = np.moveaxis(np.tensordot(cover / np.maximum(cover.sum(1, keepdims=True), 1), x, (1, axis)), 0, axis)
        assert spec.mean == (0, 0, 0)
        return mx.nd.array(np.stack([x, x / 2, -x, np.full_like(x, 0.25)], axis=1))


@pytest.fixture
def light():
    """Make a `Light` network: clips of `frames`, or images where frames is 0."""

    def make(frames=8, frame_stride=1, short_side=48, stride=(1, 8), offset=(0, 4)):
        layout = dict(layout='NCTHW', frames=frames) if frames else dict(layout='NCHW', frames=1)
        spec = InputSpec(
            frame_stride=frame_stride if frames else 1,
            short_side=short_side,
            crop_size=short_side,
            mean=(0, 0, 0),
            std=(1, 1, 1),
            **layout,
        )
        return Light(spec, Geometry(stride, stride, offset))

    return make


@pytest.fixture
def flash():
    """Make a dark video of (W, H) pixels with a white square (x0, y0, x1, y1) in some of its frames."""

    def make(total, size, square, shown, name='flash.mp4', fps=10.0):
        frames = np.full((total, size[1], size[0], 3), 10, np.uint8)
        x0, y0, x1, y1 = square
        frames[list(shown), y0:y1, x0:x1] = 250
        return ArrayReader(name, frames, fps)

    return make
