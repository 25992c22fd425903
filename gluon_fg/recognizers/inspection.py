"""What every recognizer shows of itself: further outputs, maps, features and filters. Analysis reads nothing else."""

from __future__ import annotations

import contextlib
import types
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..backbones import Geometry
from ..errors import UserError
from ..nn.mask_gate import MaskGate
from ..nn.norm import clear_cached_graphs
from ..nn.tracing import TracedOnce
from .contract import ClassRelation, FeatureKind, MapInfo, TimeKernels


class Inspectable(TracedOnce):
    """The part of a recognizer that is for looking inside: see `Recognizer`.

    Attributes
    ----------
    map_info
        the volumes that `maps` gives, by name
    activation_names
        those of them that a picture of activations shows unless asked for others
    feature_kinds
        the features that its classifiers read
    filters_per_class
        filters of each class that respond locally (`filter_responses`); 0 for a network without them
    gates, gated_branches
        the blocks that weight features by position, and names of the branches that read features behind one; () for a
        network without any
    views
        further outputs over the same layers, by name: see `add_view`
    """

    map_info: Mapping[str, MapInfo] = types.MappingProxyType({'F5': MapInfo('features')})
    activation_names: Tuple[str, ...] = ('F5',)
    feature_kinds: Tuple[FeatureKind, ...] = (FeatureKind('features', None, ('F5',)),)
    filters_per_class = 0
    gated_branches: Tuple[str, ...] = ()
    views: Mapping[str, HybridBlock] = types.MappingProxyType({})

    def add_view(self, name: str, block: HybridBlock) -> None:
        """Keep a further output over layers that are children already, as `views[name]`.

        It is hybridized, and its graph dropped, together with the network; its parameters are the network's own.
        """
        self.views = types.MappingProxyType({**self.views, name: block})  # no dict: Gluon would look into that

    def hybridize(self, active: bool = True, **kwargs: Any) -> None:
        for view in self.views.values():
            view.hybridize(active, **kwargs)
        super().hybridize(active, **kwargs)

    def _clear_cached_op(self):
        super()._clear_cached_op()
        for view in self.views.values():
            view._clear_cached_op()

    def maps(self, x: mx.nd.NDArray, label: Optional[mx.nd.NDArray] = None) -> Dict[str, mx.nd.NDArray]:
        """The volumes of `map_info`, by name; 'F5' are the backbone's last features. Hybridized with the network.

        Inputs:
            - **x**: as the network's
            - **label**: (N,) true classes, for a network that takes labels
        """
        self.branches.check_input(x)
        return {'F5': self.branches.backbone(x)[3]}

    def features(self, x: mx.nd.NDArray, label: Optional[mx.nd.NDArray] = None) -> List[mx.nd.NDArray]:
        """The features of each of `feature_kinds`: (N, C, T, H, W), or (frames, C, H, W); inputs as for `maps`."""
        maps = self.maps(x, label)
        volumes = [[maps[name] for name in kind.maps] for kind in self.feature_kinds]
        return [volume[0] if len(volume) == 1 else mx.nd.concat(*volume, dim=1) for volume in volumes]

    def filter_responses(self, x: mx.nd.NDArray) -> mx.nd.NDArray:
        """The response of every class's filters everywhere: (N, M * filters_per_class, T, H, W), class by class.

        Raises UserError for a network without such filters.
        """
        raise self._no_filters()

    @property
    def response_geometry(self) -> Geometry:
        """Stride, receptive field and offset of `filter_responses` in the input; raises UserError as those do."""
        raise self._no_filters()

    def _no_filters(self) -> UserError:
        return UserError(f'{self.name} has no filters of single classes; choose a network such as i3d_tiny_synthfg_dfb')

    def class_filters(self) -> Optional[np.ndarray]:
        """The filters of each class, (M, K, C) float32, or None for a network without any."""
        return None

    @property
    def class_relation(self) -> Optional[ClassRelation]:
        """How the network relates its classes to each other, or None."""
        return None

    def selected_classes(self, predicted: int) -> List[int]:
        """The other classes whose masks the network looks through where it predicts a class; none for most."""
        return []

    def kernels(self) -> Tuple[TimeKernels, ...]:
        """The kernels over time of each layer that has some, from the input on; none for most networks."""
        return ()

    @property
    def gates(self) -> Tuple[MaskGate, ...]:
        return ()

    def check_gates(self) -> None:
        """Refuse a network without gates; raises UserError."""
        if not self.gates:
            raise UserError(f'{self.name} has no gate over its features; choose a network with a mask network')

    @contextlib.contextmanager
    def flat_gates(self) -> Iterator[None]:
        """While open, every gate is its own mean over a clip's positions, so that it weights all of them alike.

        What then changes is what the gates are good for (`gluon_fg.evaluation.gate_effects`). Drops cached graphs.
        Raises UserError for a network without gates.
        """
        self.check_gates()
        try:
            self._set_flat(True)
            yield
        finally:
            self._set_flat(False)

    def _set_flat(self, flat: bool) -> None:
        for gate in self.gates:
            gate.flat = flat
        clear_cached_graphs(self)
