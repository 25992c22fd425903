"""Maps of a layer of a network: its features summed by the gradient of a class, and where they lie in a video."""

from __future__ import annotations

from typing import Tuple

import numpy as np
from mxnet.gluon import HybridBlock

from ..backbones.geometry import Geometry
from ..data.video import VideoReader
from ..input_spec import InputSpec
from .layer_graph import STAGES, LayerGraph, Passed
from .placement import Placement


def signed_maps(features: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The features of each moment, summed by their channels' mean gradient: (T, C, H, W) twice -> (T, H, W) float64."""
    weights = gradient.mean(axis=(2, 3), dtype=np.float64)
    return np.einsum('tc,tchw->thw', weights, features.astype(np.float64))


class PlacedLayer:
    """A layer of a network on inputs of one shape."""

    def __init__(self, net: HybridBlock, name: str, shape: Tuple[int, ...]):
        self.graph = LayerGraph(net, shape)
        self.run = self.graph.passing(name)
        self._geometry = geometry_of(self.graph, name)

    def place(self, spec: InputSpec, reader: VideoReader) -> Placement:
        """Where its maps lie in a video."""
        height, width = self.graph.shape[-2:]
        frames = spec.frames if spec.ndim == 3 else 1
        return Placement(self._geometry, frames, (height, width), reader.size[::-1])


def maps_of(passed: Passed, label: int, classes: int) -> np.ndarray:
    """(T', streams, H', W') maps of a class before ReLU."""
    gradients = passed.gradient(np.eye(classes, dtype=np.float32)[label])
    pairs = [[_moments_first(volume) for volume in pair] for pair in zip(passed.features, gradients)]
    return np.stack([signed_maps(*pair) for pair in pairs], axis=1)


def features_of(passed: Passed) -> np.ndarray:
    """(T', H', W') mean of the features over the channels of all streams."""
    return np.concatenate([_moments_first(volume) for volume in passed.features], axis=1).mean(axis=1)


def _moments_first(volume: np.ndarray) -> np.ndarray:
    """(1, C, T, H, W) of a clip, or (segments, C, H, W) -> (T or segments, C, H, W)."""
    return volume[0].swapaxes(0, 1) if volume.ndim == 5 else volume


def geometry_of(graph: LayerGraph, layer: str) -> Geometry:
    """Where the features of a layer lie in the input.

    Those of a stage, or on the grid of one, as its strides and paddings say; others, and those of networks that are no
    recognizers, evenly over frames and pixels.
    """
    grid, known = graph.shapes[layer][2:], [name for name in STAGES if name in graph.shapes]
    same = [layer] if layer in known else [name for name in known if graph.shapes[name][2:] == grid]
    if same:
        stage: Geometry = graph.net.branches.backbone.geometry(STAGES.index(same[-1]) + 2)
        return stage
    sizes, places = graph.shape[2:], grid
    time = sizes[0] / places[0] if len(grid) == 3 else 1.0
    space = float(np.mean([size / count for size, count in zip(sizes[-2:], places[-2:])]))
    return Geometry((time, space), (time, space), ((time - 1) / 2, (space - 1) / 2))
