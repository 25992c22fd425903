"""Networks on clips whose features are the light of a cell, and videos with boxes of light in them."""

import types

import mxnet as mx
import numpy as np

from gluon_fg.backbones import Geometry
from gluon_fg.data.labels import LabelSet
from gluon_fg.data.video import ArrayReader
from gluon_fg.input_spec import InputSpec
from gluon_fg.recognizers.answers import Answers
from gluon_fg.recognizers.contract import MapInfo


class Backbone:
    """Features of three channels, whose mean is the light of a cell: a cube of `stride` frames and pixels."""

    ndim = 3

    def __init__(self, stride):
        self.stride = stride

    def geometry(self, stage):
        assert stage == 5
        return Geometry(self.stride, self.stride, tuple((s - 1) / 2 for s in self.stride))

    def __call__(self, x):
        (time, space), (n, c, t, h, w) = self.stride, x.shape
        whole = x.asnumpy()[..., : h // space * space, : w // space * space]
        cubes = whole.reshape(n, c, t // time, time, h // space, space, w // space, space).mean(axis=(3, 5, 7))
        return None, None, None, mx.nd.array(cubes * np.array([0, 1, 2]).reshape(1, 3, 1, 1, 1))


class Branches:
    def __init__(self, stride):
        self.backbone = Backbone(stride)

    def __call__(self, x):
        light = x.mean(axis=(1, 2, 3, 4))
        return (mx.nd.stack(light, 1 - light, axis=1),)


class Lamp(Answers):
    """A baseline whose F5 is known."""

    name, nclass, branch_names = 'lamp', 2, ('avg',)
    map_info, activation_names = types.MappingProxyType({'F5': MapInfo('features')}), ('F5',)
    labels = LabelSet(('bright', 'dark'))
    classes = labels.classes

    def __init__(self, frames=8, frame_stride=1, stride=(2, 8)):
        size = dict(short_side=32, crop_size=32, mean=(0, 0, 0), std=(1, 1, 1))
        self.input_spec = InputSpec(frames=frames, frame_stride=frame_stride, **size)
        self.branches = Branches(stride)

    def hybridize(self, **kwargs):
        pass

    def maps(self, x):
        return {'F5': self.branches.backbone(x)[3]}


class Directed(Lamp):
    """Of direction 'both': F_CIDC's first half is forward, 10 and more, the second backward, 20 and more."""

    name, activation_names = 'directed', ('F_CIDC',)
    map_info = types.MappingProxyType(
        {'F5': MapInfo('features'), 'F_CIDC': MapInfo('features', ('forward', 'backward'))}
    )

    def maps(self, x):
        f5 = self.branches.backbone(x)[3]
        half = f5.shape[2] // 2
        steps = mx.nd.array([10 + t for t in range(half)] + [20 + t for t in range(half)]) / 100
        return {'F5': f5, 'F_CIDC': mx.nd.zeros_like(f5) + steps.reshape((1, 1, -1, 1, 1))}


def video(total, size=(32, 32), lights=(), fps=10.0, name='clip.mp4'):
    """A black video with white boxes (frame, x0, y0, x1, y1)."""
    frames = np.zeros((total, size[1], size[0], 3), np.uint8)
    for frame, x0, y0, x1, y1 in lights:
        frames[frame, y0:y1, x0:x1] = 255
    return ArrayReader(name, frames, fps)
