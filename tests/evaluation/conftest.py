"""Tiny videos, and a recognizer whose outputs can be computed by hand."""

from types import SimpleNamespace

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_fg.data.labels import LabelSet
from gluon_fg.input_spec import InputSpec
from gluon_fg.recognizers.answers import Answers


def write_video(path, frames):
    """uint8 (T, H, W, 3) RGB to an mp4 file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, (frames.shape[2], frames.shape[1]))
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()


def random_frames(seed, frames=12, height=40, width=56):
    """Smooth random frames: survive compression, and every place and time differs."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (frames, 5, 7, 3), dtype=np.uint8)
    return np.stack([cv2.resize(frame, (width, height)) for frame in small])


class Probe(Answers):
    """A recognizer made of NumPy: logits are the brightness of the left, right, upper and lower half, and of the whole;
    a second branch has them halved and squared."""

    def __init__(self, layout='NCTHW', segments=1, **spec):
        classes = ('turn left', 'turn right', 'raise', 'lower', 'wave')
        self.classes, self.nclass, self.name = classes, len(classes), 'probe'
        self.labels = LabelSet(classes)
        self.branch_names, self.protocol, self.dataset = ('fused', 'other'), 'train_time', 'none'
        self.takes_labels = False
        self.input_spec = InputSpec(
            **{
                'frames': 4 if layout == 'NCTHW' else 1,
                'frame_stride': 1,
                'segments': segments,
                'crop_size': 24,
                'short_side': 32,
                'layout': layout,
                **spec,
            }
        )
        self.num_segments, self.batches = segments, []

    def branches(self, x):
        self.batches.append(x.shape)
        x = x.asnumpy()
        if self.input_spec.ndim == 3:
            x = x.mean(axis=2)
        height, width = x.shape[2:]
        parts = [x[..., : width // 2], x[..., -(width // 2) :], x[:, :, : height // 2], x[:, :, -(height // 2) :], x]
        z = np.stack([3 * part.mean(axis=(1, 2, 3)) for part in parts], axis=1)
        if self.input_spec.ndim == 2:
            z = z.reshape(-1, self.num_segments, z.shape[1]).mean(axis=1)
        return mx.nd.array(z), mx.nd.array((z / 2) ** 2)


@pytest.fixture(scope='session')
def tools():
    return SimpleNamespace(write_video=write_video, random_frames=random_frames, Probe=Probe)
