"""Where a network has its answer from, by whatever it has to tell: one record for every source of evidence.

What a source shows, and of it what is ours:

- 'responses': the filters of the class; the highest of them, each counted from its own mean over the clip (ours);
- 'grad-cam': `grad_cam`;
- the features that a network shows by itself ('F5', or others that it has): att, whatever the class (`activation`);
  of several parts in time the mean at each sub-clip (ours);
- 'mask': the class's own mask before any gate; 'gate': what features are multiplied with (`masks`);
- 'random' and 'center' have seen no video. They are what the others are to be compared with: noise with as many places
  as the backbone's last features, and nearness to the middle of the clip in space and time.
"""

from __future__ import annotations

import warnings
from typing import Any, Optional, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..data.rates import at_rate
from ..data.video import VideoReader
from ..errors import UserError, unknown
from ..evaluation.score import class_names
from .activation import (
    MapSeries,
    SeenClip,
    att_pieces,
    likeliest,
    limits_of,
    place_in,
    places,
    seen_clips,
    spans,
)
from .clips import one_clip, placement, read_clips
from .grad_cam import Evidence, grad_cam
from .localization import class_label, reader_of
from .network_facts import name_of

BASELINES = ('random', 'center')


def sources_of(net: HybridBlock) -> Tuple[str, ...]:
    """The sources of evidence that a network has, the most telling first; the last two are the baselines.

    Of a network that is no recognizer, such as one of GluonCV's, it is Grad-CAM alone.
    """
    if not hasattr(net, 'map_info'):
        return ('grad-cam',)
    kinds = [] if net.takes_labels else [info.kind for info in net.map_info.values()]
    return (
        *(['responses'] if net.filters_per_class else []),
        'grad-cam',
        *(name for name in net.activation_names if name in net.map_info),
        *(kind for kind in ('mask', 'gate') if kind in kinds),
        *BASELINES,
    )


def evidence(
    net: HybridBlock,
    video: Any,
    target: Union[str, int, None] = None,
    source: Optional[str] = None,
    start: Optional[int] = None,
    seed: int = 0,
    ctx: Optional[mx.Context] = None,
) -> Evidence:
    """Tell which places of one clip speak for a class, by one of the network's sources. Hybridizes the network.

    Parameters
    ----------
    net
        a recognizer, its parameters loaded; with 'grad-cam' also a network of GluonCV's own
    video
        a file (or folder of frames), an open reader, or frames as `gluon_fg.predict` takes them
    target
        the class, by name or number; None: the predicted one
    source
        one of `sources_of`; None: the first of them
    start
        first frame of the clip; None: the middle one, or, where a network's frames are spread over the video, those
    seed
        of source 'random'
    ctx
        where the network lies (default: CPU)

    Raises
    ------
    VideoError
        the video cannot be decoded
    UserError
        a source that the network does not have, an unknown class, a start outside the video, features that are not
        finite
    """
    known = sources_of(net)
    source = known[0] if source is None else source
    if source not in known:
        raise unknown(f'source of evidence of {name_of(net)}', source, known)
    if source == 'grad-cam':
        with reader_of(video) as reader:
            return grad_cam(net, reader, target, ctx=ctx, start=start)
    label = None if target is None else class_label(net, target)
    with reader_of(video) as reader:
        numbers = one_clip(net, reader, start)
        clip = next(seen_clips(net, reader, [numbers], ctx))
        if label is None:
            label = int(clip.probabilities[0].argmax())
        maps = _maps(net, reader, clip, label, source, seed, ctx)
    names = class_names(net)
    told = likeliest(net, [clip.probabilities[0]])
    title = f'{source} for {names[label]!r}' if source in ('responses', 'mask') else f'{source}, whatever the class'
    shares = {name: float(share[label]) for name, share in zip(net.branch_names, clip.probabilities)}
    return Evidence(
        *(str(net.name), source, '', label, None, title, maps),
        parts={},
        total=float(maps.maps.sum()),
        totals={},
        predictions=told,
        branches=shares,
        clips=spans([numbers]),
    )


def _maps(
    net: HybridBlock,
    reader: VideoReader,
    clip: SeenClip,
    label: int,
    source: str,
    seed: int,
    ctx: Optional[mx.Context],
) -> MapSeries:
    """The maps of a source, in the order of time."""
    if source == 'responses':
        return _responses(net, reader, clip, label, ctx)
    if source in ('mask', 'gate'):
        name = next(name for name, info in net.map_info.items() if info.kind == source)
        return _series(net, reader, clip, clip.maps[name][label if source == 'mask' else 0].astype(np.float64), source)
    moments, *cells = clip.maps['F5'].shape[1:]
    if source == 'random':
        maps = np.random.RandomState(seed).uniform(size=(moments, *cells))
        return _series(net, reader, clip, maps, source)
    if source == 'center':
        axes = np.meshgrid(*(_from_middle(count) for count in (moments, *cells)), indexing='ij')
        return _series(net, reader, clip, -np.sqrt(sum(axis**2 for axis in axes)), source)
    sides = list(att_pieces(net, clip, source).values())
    wanted = np.arange(clip.subclips)
    nearest = [side.maps[np.abs(side.places[:, None] - wanted).argmin(axis=0)] for side in sides]
    return _series(net, reader, clip, np.mean(nearest, axis=0), 'att')


def _from_middle(count: int) -> np.ndarray:
    """Distances of so many places from the middle of all, 1 at both ends."""
    return np.linspace(-1, 1, count) if count > 1 else np.zeros(1)


def _series(net: HybridBlock, reader: VideoReader, clip: SeenClip, maps: np.ndarray, quantity: str) -> MapSeries:
    """Maps (S, H', W') on the grid of the backbone's last features."""
    piece = clip.piece(places(len(maps), clip.subclips), maps)
    return MapSeries(piece.places, piece.frames, maps, limits_of(maps), place_in(net, reader), quantity)


def _responses(
    net: HybridBlock, reader: VideoReader, clip: SeenClip, label: int, ctx: Optional[mx.Context]
) -> MapSeries:
    """The highest of a class's filters over one clip, each counted from its own mean."""
    spec, per_class = net.input_spec, net.filters_per_class
    shown = at_rate(reader, spec.fps)
    sources = shown.source_frames(np.arange(len(shown)))
    batch = next(read_clips(shown, spec, [np.searchsorted(sources, clip.frames)], ctx))
    with warnings.catch_warnings():  # the classifiers' parameters, which responses do not need
        warnings.filterwarnings('ignore', message='.*not used by any computation')
        responses = net.filter_responses(batch.x).astype('float32').asnumpy().astype(np.float64)
    volume = responses[0] if spec.ndim == 3 else responses.swapaxes(0, 1)  # (M * K, T', H', W')
    own = volume[label * per_class : (label + 1) * per_class]
    maps = (own - own.mean(axis=(1, 2, 3), keepdims=True)).max(axis=0)
    if not np.isfinite(maps).all():
        raise UserError(f'{net.name}: its responses are not finite; are these the parameters of a run that diverged?')
    place = placement(net, net.response_geometry, reader.size)
    moments = np.arange(len(maps))
    at = moments if spec.ndim == 2 else np.array([place.frame(moment) for moment in moments])
    return MapSeries(moments, clip.frames[at], maps, limits_of(maps), place, 'response')
