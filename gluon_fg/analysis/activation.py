"""Where a network responds in each sub-clip: att(F), the sigmoid of the mean of F over channels (CIDC eq. 3, sec. 4.5).

A sub-clip is what one position in time of the backbone's last features F5 stands for: on I3D ResNet-50 a clip of 32
frames has four. Shown are F5 of any network on clips, and F_CIDC of the CIDC networks, which has the same places.

Ours, where the paper is silent:

- a sub-clip's representative frame is the one on which its position is centred (`Backbone.geometry`);
- F_CIDC's outputs are not sub-clips: output t' of T' is put where its mask ends, t' (T - 1) / (T' - 1) of T sub-clips,
  and a sub-clip shows the output nearest to it. Of direction 'both' the forward and the backward outputs, which lie one
  behind the other in F_CIDC, are two maps of the same sub-clips. With several units in a row this is where an output
  stands, not all that it has seen: the units before may have shown it the whole clip;
- the colours of a map reach from the lowest to the highest value of all its sub-clips, which the picture states: the
  mean of features behind a ReLU is at least 0 and mostly small, so that att(F) uses a narrow band above 0.5. Outputs of
  F_CIDC that see more sub-clips tend to be larger: compare the places of one map before maps of different times.
"""

from __future__ import annotations

from typing import Callable, List, NamedTuple, Optional, Tuple

import mxnet as mx
import numpy as np
from scipy.special import expit

from ..data import sampling, transforms
from ..data.video import VideoReader
from ..errors import UserError
from ..evaluation.score import class_names
from .placement import Placement
from .scan import clip_starts

ATT = 'att(F) = sigmoid(mean of F over its channels), each F on a colour scale of its own.'


class ActivationMap(NamedTuple):
    """att of one volume of features, or of one direction's part of it.

    Parameters
    ----------
    part
        which: 'F5', 'F_CIDC', 'F_CIDC forward' or 'F_CIDC backward'
    places
        (S,) the sub-clip where each map lies, counted from 0; outputs of F_CIDC may lie between two
    frames
        (S,) number of the video's frame on which each map is centred
    maps
        (S, H', W') att
    limits
        lowest and highest att of the whole volume, both directions: one colour scale for all of it
    placement
        where the maps lie in the frame
    quantity
        what its values are called
    """

    part: str
    places: np.ndarray
    frames: np.ndarray
    maps: np.ndarray
    limits: Tuple[float, float]
    placement: Placement
    quantity: str = 'att'

    def at_subclip(self, subclip: int) -> int:
        """Number of the map nearest to a sub-clip; of two the earlier one."""
        return int(np.abs(self.places - subclip).argmin())

    def at_frame(self, frame: int) -> int:
        """Number of the map nearest to a frame of the video; of two the earlier one."""
        return int(np.abs(self.frames - frame).argmin())

    def heat(self, number: int) -> np.ndarray:
        """(H, W) float32: a map spread over the original frame's pixels."""
        return self.placement.heat(self.maps[number])


class Activations(NamedTuple):
    """What one network shows of a clip, or of a whole video.

    Parameters
    ----------
    name
        what to call the network
    frames
        (T,) the representative frame of each sub-clip
    clips
        first and last frame of each clip that it saw
    parts
        its maps
    predictions
        (label, probability) of its likeliest classes, averaged over the clips
    about
        what the maps are, for the headline
    """

    name: str
    frames: np.ndarray
    clips: List[Tuple[int, int]]
    parts: List[ActivationMap]
    predictions: List[Tuple[str, float]]
    about: str = ATT


def att(features) -> np.ndarray:
    """Eq. 3's activation map: features (N, C, T, H, W), of MXNet or NumPy -> (N, T, H, W) float64 in (0, 1)."""
    values = features.asnumpy() if isinstance(features, mx.nd.NDArray) else features
    return expit(values.mean(axis=1, dtype=np.float64))


def require_clips(net) -> None:
    """Refuse a network whose features have no sub-clips."""
    name, backbone = getattr(net, 'name', 'this network'), getattr(getattr(net, 'branches', None), 'backbone', None)
    if backbone is None:
        raise UserError(f'{name} has no backbone of ours, so there are no features to show; choose from list_models()')
    if backbone.ndim != 3:
        raise UserError(f'{name} sees single images, so it has no sub-clips; choose a network on clips, such as i3d_*')


def clip_activations(
    net,
    reader: VideoReader,
    start: Optional[int] = None,
    name: Optional[str] = None,
    backbone: bool = False,
    ctx: Optional[mx.Context] = None,
) -> Activations:
    """Maps of one clip, whole frames scaled to `input_spec.short_side`. Hybridizes the network.

    Parameters
    ----------
    net
        a recognizer on clips, its parameters loaded
    reader
        an open video; one shorter than the clip repeats its last frame
    start
        first frame of the clip; None: the clip in the middle of the video, or spread over it (`InputSpec.sampling`)
    name
        what to call the network; None: its own name
    backbone
        of a CIDC network, show F5 before F_CIDC
    ctx
        where the network lies (default: CPU)

    Raises
    ------
    VideoError
        the video cannot be decoded
    UserError
        a network on images, a start outside the video (or any, where the network's frames are spread over all of it),
        frames that the network cannot take, features that are not finite
    """
    require_clips(net)
    return merge(net, reader, [one_clip(net, reader, start)], _activation_parts(net, backbone), name, ctx)


def video_activations(
    net, reader: VideoReader, name: Optional[str] = None, backbone: bool = False, ctx: Optional[mx.Context] = None
) -> Activations:
    """As `clip_activations`, for clips one behind the other over the whole video, the last one ending with it: their
    maps in the order of time. Where the last clip overlaps the one before, only its later maps count."""
    require_clips(net)
    return merge(net, reader, all_clips(net, reader), _activation_parts(net, backbone), name, ctx)


def one_clip(net, reader: VideoReader, start: Optional[int] = None) -> np.ndarray:
    """(frames,) numbers of the clip that starts at a frame; None: of the middle one, or, where the network's frames are
    spread over the video (`InputSpec.sampling`, images' segments), of those."""
    spec, total = net.input_spec, len(reader)
    if _spread(spec):
        if start is not None:
            raise UserError(f'{net.name} takes frames spread over the whole video; leave out the start of a clip')
        return sampling.segment_indices(total, spec.frames if spec.ndim == 3 else spec.segments)
    if start is None:
        return sampling.regular_clips(total, spec.frames, spec.frame_stride, 1)[0]
    return sampling.clip_indices(total, spec.frames, spec.frame_stride, start)


def all_clips(net, reader: VideoReader) -> List[np.ndarray]:
    """Clips one behind the other over the whole video, the last one ending with it; one where it is spread."""
    spec, total = net.input_spec, len(reader)
    if _spread(spec):
        return [one_clip(net, reader)]
    starts = clip_starts(total, spec.frames, spec.frame_stride, spec.frames * spec.frame_stride)
    return [sampling.clip_indices(total, spec.frames, spec.frame_stride, start) for start in starts]


def _spread(spec) -> bool:
    """Whether a view is spread over the whole video."""
    return spec.ndim == 2 or getattr(spec, 'sampling', 'clip') == 'spread'


class Part(NamedTuple):
    """Maps of one clip, as `ActivationMap`; those of one `volume` share a colour scale."""

    volume: str
    part: str
    places: np.ndarray
    frames: np.ndarray
    maps: np.ndarray
    quantity: str = 'att'


# (input, the network's outputs for it, function from places to the video's frames) -> number of sub-clips, their maps
PartsOf = Callable[[mx.nd.NDArray, tuple, Callable], Tuple[int, List[Part]]]


def merge(
    net,
    reader: VideoReader,
    indices: List[np.ndarray],
    parts_of: PartsOf,
    name: Optional[str] = None,
    ctx: Optional[mx.Context] = None,
) -> Activations:
    """Maps of clips, whole frames scaled to `input_spec.short_side`, in the order of time. Hybridizes the network.

    Parameters
    ----------
    net, reader, name, ctx
        as for `clip_activations`
    indices
        the video's frames in each clip, increasing from clip to clip
    parts_of
        finds the maps of a clip

    Raises
    ------
    UserError
        frames that the network cannot take, features that are not finite
    """
    spec, ctx = net.input_spec, ctx or mx.cpu()
    width, height = reader.size
    placement = Placement(
        net.branches.backbone.geometry(5),
        spec.frames,
        transforms.short_side_size(height, width, spec.short_side),
        (height, width),
    )
    net.hybridize(static_alloc=True, static_shape=True)
    merged, frames, clips, sums, before = {}, [], [], 0.0, 0
    for clip in indices:
        seen = transforms.resize_short(reader.get_batch(clip), spec.short_side)
        view = transforms.to_view(seen, spec)
        x = transforms.to_input(view[None] if spec.ndim == 3 else view, spec, ctx)
        outputs = net.branches(x)  # first, as it refuses what the network cannot take
        sums = sums + mx.nd.softmax(outputs[0].astype('float32')).asnumpy()[0].astype(np.float64)

        def frame_of(where, clip=clip):
            # a map of an image lies on that image
            return clip[[placement.frame(p) if spec.ndim == 3 else int(p) for p in where]]

        subclips, parts = parts_of(x, outputs, frame_of)
        own = frame_of(range(subclips))
        frames.append(own[_later(frames, own)])
        for part in parts:
            known = merged.setdefault(part.part, [])
            later = _later([p.frames for p in known], part.frames)
            known.append(
                part._replace(places=part.places[later] + before, frames=part.frames[later], maps=part.maps[later])
            )
        before += subclips
        clips.append((int(clip[0]), int(clip[-1])))
    if not all(np.isfinite(p.maps).all() for parts in merged.values() for p in parts) or not np.isfinite(sums).all():
        raise UserError(f'{net.name}: its features are not finite; are these the parameters of a run that diverged?')
    limits = {}
    for parts in merged.values():
        for p in parts:
            if p.maps.size:
                low, high = limits.get(p.volume, (np.inf, -np.inf))
                limits[p.volume] = min(low, float(p.maps.min())), max(high, float(p.maps.max()))
    names, order = class_names(net), np.argsort(-sums, kind='stable')[:3]
    return Activations(
        name or str(net.name),
        np.concatenate(frames),
        clips,
        [
            ActivationMap(
                part,
                *(np.concatenate([getattr(p, field) for p in parts]) for field in ('places', 'frames', 'maps')),
                limits[parts[0].volume],
                placement,
                parts[0].quantity,
            )
            for part, parts in merged.items()
        ],
        [(names[i], float(sums[i] / len(indices))) for i in order],
    )


def _activation_parts(net, backbone: bool) -> PartsOf:
    """The volumes of a network by direction."""

    def parts_of(x, outputs, frame_of):
        if hasattr(net, 'directions'):
            f5, directed = (att(f)[0] for f in net.feature_maps(x))
            directions = net.directions
            volumes = ([('F5', 'F5', f5, None)] if backbone else []) + [
                ('F_CIDC', f'F_CIDC {name}' if directions[1:] else 'F_CIDC', part, name)
                for name, part in zip(directions, np.split(directed, len(directions)))
            ]
        else:
            f5 = att(net.branches.backbone(x)[3])[0]
            volumes = [('F5', 'F5', f5, None)]
        parts = []
        for volume, part, maps, direction in volumes:
            where = places(len(maps), len(f5), direction)
            parts.append(Part(volume, part, where, frame_of(where), maps))
        return len(f5), parts

    return parts_of


def places(outputs: int, subclips: int, direction: Optional[str] = None) -> np.ndarray:
    """(outputs,) where each of T' outputs lies among T sub-clips, 0 to T - 1: evenly, the corners kept as in the mask
    of the units. One alone lies where it has seen all: at the last sub-clip forward, at the first backward, else in the
    middle."""
    if outputs > 1:
        return np.arange(outputs) * (subclips - 1) / (outputs - 1)
    return np.array([{'forward': subclips - 1.0, 'backward': 0.0}.get(direction, (subclips - 1) / 2)])


def _later(known: List[np.ndarray], frames: np.ndarray) -> np.ndarray:
    """(S,) bool: the frames after all known ones; all frames of a first clip."""
    return np.ones(len(frames), bool) if not known else frames > max((f.max() for f in known if len(f)), default=-1)
