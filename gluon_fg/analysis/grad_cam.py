"""Grad-CAM: which places of a layer's features speak for a class (Selvaraju et al., ICCV 2017, arXiv:1610.02391).

The gradient of the class's logit with respect to the features A_k of a layer is averaged over places, which gives each
channel k a weight; the map is the sum of the features by these weights, and of it what is above 0 (eqs. 1 and 2):

    w_k = mean over places of d z_c / d A_k        map = ReLU(sum over k of w_k A_k)

With z_a - z_b in place of z_c it is the evidence for class a over class b, which is what tells look-alikes apart: what
both have cancels out.

Our choices, as the paper is on images:

- a layer's features of a clip are maps of several moments. The gradient is averaged over the places of each moment by
  itself, so that a head that weights moments differently (an LSTM, attention) shows it. Where features are averaged
  and classified both are the same: there w_k is the classifier's own weight over the number of places and moments, and
  the map before ReLU sums up to the logit less its bias (`Evidence.total`);
- the layer is F5 or, where a branch of the network reads earlier features, the last stage that all of them read;
- two streams' features are one layer, whose channels are summed by stream as well (`Evidence.parts`).
"""

from __future__ import annotations

import os
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..data.rates import at_rate
from ..data.video import VideoReader
from ..errors import UserError, unknown
from ..evaluation.clips import clips_of
from ..input_spec import InputSpec
from .activation import MapSeries, Piece, joined, spans
from .clips import all_clips, one_clip, read_clips
from .layer_graph import LayerGraph, Passed
from .layer_maps import PlacedLayer, maps_of
from .network_facts import Described, name_of, names_of, ranked, spec_of, view_shape

Video = Union[VideoReader, str, 'os.PathLike[str]', np.ndarray]
Class = Union[int, str]

Pass = Tuple[np.ndarray, PlacedLayer, Passed]  # numbers of the clip's frames, layer, what the network makes of them

QUANTITY = 'evidence'


class Evidence(NamedTuple):
    """Where in a video the evidence for a class lies, or for a class over another one.

    Parameters
    ----------
    name
        what to call the network
    source
        what made the maps: 'grad-cam'
    layer
        whose features they are maps of; '' where there is none
    target, against
        the class, and the one that it is set against or None
    title
        the same in words
    maps
        what speaks for it, from 0
    parts
        the same of each stream, 'rgb' and 'flow'; {} of a network that has one
    total
        sum of the maps before ReLU, averaged over the clips. Where the layer's features are averaged and classified it
        is the logit less its bias
    totals
        the same of each stream
    predictions
        (label, probability) of its likeliest classes, averaged over the clips
    branches
        the probability that each branch gives the target; of a network that is no recognizer it has the name ''
    clips
        first and last frame of each clip that was seen
    """

    name: str
    source: str
    layer: str
    target: int
    against: Optional[int]
    title: str
    maps: MapSeries
    parts: Dict[str, MapSeries]
    total: float
    totals: Dict[str, float]
    predictions: List[Tuple[str, float]]
    branches: Dict[str, float]
    clips: List[Tuple[int, int]]


class GradCam:
    """Grad-CAM of one network, for any number of videos and classes; the network is left as it is.

    Parameters
    ----------
    net
        a recognizer, or a network of GluonCV's own, its parameters loaded
    layer
        whose features (`layers_of`); None: the last stage that every branch of the prediction reads
    ctx
        where the network lies (default: CPU)
    spec
        the input of a network that does not say it itself, as GluonCV's; None: `spec_of`

    Raises
    ------
    UserError
        a layer that there is not, a network that needs true labels
    """

    def __init__(
        self,
        net: HybridBlock,
        layer: Optional[str] = None,
        ctx: Optional[mx.Context] = None,
        spec: Optional[InputSpec] = None,
    ):
        self.net, self.spec, self._ctx = net, spec or spec_of(net), ctx or mx.cpu()
        usual = LayerGraph(net, view_shape(self.spec))  # whole frames have other sizes, but the same layers
        self.layer = layer or usual.default
        usual.check(self.layer)
        self.names = names_of(net, usual.classes)
        self._layers: Dict[Tuple[int, ...], PlacedLayer] = {}

    def __call__(
        self,
        video: Video,
        target: Optional[Class] = None,
        against: Optional[Class] = None,
        start: Optional[int] = None,
        whole: bool = False,
    ) -> Evidence:
        """The evidence for a class: see `grad_cam`."""
        return self.answers(video, [(target, against)], start, whole)[0]

    def answers(
        self,
        video: Video,
        questions: Sequence[Tuple[Optional[Class], Optional[Class]]],
        start: Optional[int] = None,
        whole: bool = False,
    ) -> List[Evidence]:
        """The evidence for several pairs of target and against, from one and the same pass over a video."""
        if not isinstance(video, VideoReader):
            with clips_of([video])[0].open() as reader:
                return self.answers(reader, questions, start, whole)
        clips = self.clips(video, start, whole)
        asked = [(self._label(target), self._label(against)) for target, against in questions]
        kept = list(self.passes(video, clips)) if len(clips) == 1 else None  # more would fill the memory

        def passes() -> Iterable[Pass]:
            return self.passes(video, clips) if kept is None else kept

        predicted = self._predicted(passes()) if any(target is None for target, _ in asked) else 0
        pairs = [(predicted if target is None else target, against) for target, against in asked]
        for target, against in pairs:
            if target == against:
                raise UserError(f'the evidence for {self.names[target]!r} over itself is nothing; name two classes')
        classes = sorted({label for pair in pairs for label in pair if label is not None})
        pieces, shares = [], []
        for clip, layer, passed in passes():
            maps = np.stack([maps_of(passed, label, len(self.names)) for label in classes], axis=1)
            moments = np.arange(len(maps))
            at = moments if self.spec.ndim == 2 else [layer.place(self.spec, video).frame(t) for t in moments]
            pieces.append(Piece(moments, clip[at], maps, len(maps)))
            shares.append(self.probabilities(passed))
        every = joined(pieces, layer.place(self.spec, video), QUANTITY)
        totals = np.mean([piece.maps.sum(axis=(0, 3, 4)) for piece in pieces], axis=0)  # (classes, streams)
        seen = _Seen(every, dict(zip(classes, totals)), np.mean(shares, axis=0), spans(clips), layer.graph.streams)
        return [self._evidence(seen, *pair) for pair in pairs]

    def clips(self, reader: VideoReader, start: Optional[int] = None, whole: bool = False) -> List[np.ndarray]:
        """Numbers of the frames of a clip, the middle one where `start` is None, or of all over the whole video."""
        shown = Described(name_of(self.net), self.spec)
        return all_clips(shown, reader) if whole else [one_clip(shown, reader, start)]

    def _predicted(self, passes: Iterable[Pass]) -> int:
        shares = [self.probabilities(passed)[0] for _, _, passed in passes]
        return int(np.mean(shares, axis=0).argmax())

    def _label(self, chosen: Optional[Class]) -> Optional[int]:
        if chosen is None:
            return None
        if isinstance(chosen, (int, np.integer)) and 0 <= chosen < len(self.names):
            return int(chosen)
        if chosen not in self.names:
            raise unknown(f'class of {name_of(self.net)}', chosen, self.names)
        return self.names.index(str(chosen))

    def passes(
        self, reader: VideoReader, clips: Sequence[np.ndarray], weights: Optional[Mapping[str, mx.nd.NDArray]] = None
    ) -> Iterator[Pass]:
        """Each clip, with the layer at its size and what the network makes of it, with other `weights` by full name."""
        shown = at_rate(reader, self.spec.fps)  # at which optical flow is from one frame to the next
        sources = shown.source_frames(np.arange(len(shown)))
        numbers = [np.searchsorted(sources, clip) for clip in clips]
        for clip, batch in zip(clips, read_clips(shown, self.spec, numbers, self._ctx)):
            if hasattr(self.net, 'branches'):
                self.net.branches.check_input(batch.x)
            if batch.x.shape not in self._layers:
                self._layers[batch.x.shape] = PlacedLayer(self.net, self.layer, batch.x.shape)
            layer = self._layers[batch.x.shape]
            passed = layer.run(batch.x, weights)
            if not all(np.isfinite(values).all() for values in (*passed.logits, *passed.features)):
                raise UserError(
                    f'{name_of(self.net)}: its features are not finite; are these the weights of a run that diverged?'
                )
            yield clip, layer, passed

    def probabilities(self, passed: Passed) -> np.ndarray:
        """(branches, M) float64 of a clip; by softmax where the network is no recognizer."""
        logits = mx.nd.array(np.concatenate(passed.logits))
        to_probabilities = getattr(self.net, 'to_probabilities', mx.nd.softmax)
        return to_probabilities(logits).asnumpy().astype(np.float64)

    def _evidence(self, seen: _Seen, target: int, against: Optional[int]) -> Evidence:
        classes = list(seen.totals)
        signed, totals = seen.every.maps[:, classes.index(target)], seen.totals[target]  # (S, streams, H', W')
        title = f'evidence for {self.names[target]}'
        if against is not None:
            signed = signed - seen.every.maps[:, classes.index(against)]
            totals, title = totals - seen.totals[against], f'{title} over {self.names[against]}'
        of_streams = [np.maximum(signed[:, stream], 0) for stream in range(len(totals))]
        whole = np.maximum(signed.sum(axis=1), 0)
        top = 0.0, float(max(maps.max() for maps in (whole, *of_streams)))
        series = [seen.every._replace(maps=maps, limits=top) for maps in (whole, *of_streams)]
        streams = seen.streams if len(totals) > 1 else ()
        branches = getattr(self.net, 'branch_names', ('',))
        return Evidence(
            *(name_of(self.net), 'grad-cam', self.layer, target, against, title, series[0]),
            parts=dict(zip(streams, series[1:])),
            total=float(totals.sum()),
            totals=dict(zip(streams, map(float, totals))),
            predictions=ranked(self.names, seen.shares[0]),
            branches={name: float(share[target]) for name, share in zip(branches, seen.shares)},
            clips=seen.clips,
        )


class _Seen(NamedTuple):
    """What a network made of a video's clips.

    Signed maps (S, classes, streams, H', W'), their sums (streams,) by class, probabilities (branches, M), the clips'
    first and last frames, names of the streams.
    """

    every: MapSeries
    totals: Dict[int, np.ndarray]
    shares: np.ndarray
    clips: List[Tuple[int, int]]
    streams: Tuple[str, ...]


def layers_of(net: HybridBlock, spec: Optional[InputSpec] = None) -> Tuple[str, ...]:
    """Names of a network's layers whose features have places: the stages 'F2' to 'F5', then its blocks."""
    return tuple(LayerGraph(net, view_shape(spec or spec_of(net))).shapes)


def grad_cam(
    net: HybridBlock,
    video: Video,
    target: Optional[Class] = None,
    against: Optional[Class] = None,
    layer: Optional[str] = None,
    ctx: Optional[mx.Context] = None,
    **options: Any,
) -> Evidence:
    """Where in a video the evidence for a class lies, by Grad-CAM; the network is left as it is.

    Parameters
    ----------
    net
        a recognizer, or a network of GluonCV's own, its parameters loaded
    video
        an open video, the path of one, or frames, uint8 (T, H, W, 3); whole frames are scaled to `short_side`
    target
        number or name of the class; None: the predicted one
    against
        another class, for the evidence that tells both apart
    layer
        whose features (`layers_of`); None: the last stage that every branch of the prediction reads, F5 for most
    ctx
        where the network lies (default: CPU)
    options
        `spec` of `GradCam`, `start` and `whole`: the first frame of the clip (None: the middle one), or clips one
        behind the other over the whole video

    Raises
    ------
    VideoError
        the video cannot be decoded
    UserError
        a layer or class that there is not, a class over itself, a start outside the video, features that are not finite
    """
    return GradCam(net, layer, ctx, options.pop('spec', None))(video, target, against, **options)
