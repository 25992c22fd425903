"""Where a network responds in each sub-clip: att(F), the sigmoid of the mean of F over channels (CIDC eq. 3, sec. 4.5).

A sub-clip is what one position in time of the backbone's last features F5 stands for: on I3D ResNet-50 a clip of 32
frames has four. Shown are F5 of any network on clips, and F_CIDC of the CIDC networks, which has the same places.

What the paper leaves open, and our choice:

- a sub-clip's representative frame is the one on which its position is centered (`Backbone.geometry`);
- F_CIDC's outputs are not sub-clips: output t' of T' is put where its mask ends, t' (T - 1) / (T' - 1) of T sub-clips,
  and a sub-clip shows the output nearest to it. The forward and the backward outputs, which lie one behind the other in
  F_CIDC, are two series of maps of the same sub-clips. With several units in a row this is where an output stands, not
  all that it has seen: the units before may have shown it the whole clip;
- the colors of a map reach from the lowest to the highest value of all its sub-clips, which the picture states: the
  mean of features behind a ReLU is at least 0 and mostly small, so that att(F) uses a narrow band above 0.5. Outputs of
  F_CIDC that see more sub-clips tend to be larger: compare the places of one map before maps of different times.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock
from scipy.special import expit

from ..data.rates import at_rate
from ..data.video import VideoReader
from ..errors import UserError
from ..evaluation.score import class_names
from .clips import all_clips, one_clip, placement, read_clips, require_recognizer
from .placement import Placement


class MapSeries(NamedTuple):
    """Maps of the moments of a clip, or of a whole video.

    Parameters
    ----------
    places
        (S,) the sub-clip where each map lies, counted from 0; outputs of F_CIDC may lie between two
    frames
        (S,) number of the video's frame on which each map is centered
    maps
        (S, H', W') values
    limits
        lowest and highest value of all maps that share a color scale with these
    placement
        where the maps lie in the frame
    quantity
        what the values are called
    """

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
        its maps by name: 'F5', 'F_CIDC', 'F_CIDC forward', 'F_CIDC backward'
    predictions
        (label, probability) of its likeliest classes, averaged over the clips
    """

    name: str
    frames: np.ndarray
    clips: List[Tuple[int, int]]
    parts: Dict[str, MapSeries]
    predictions: List[Tuple[str, float]]


def att(features: Union[np.ndarray, mx.nd.NDArray]) -> np.ndarray:
    """Eq. 3's activation map: features (N, C, T, H, W), of MXNet or NumPy -> (N, T, H, W) float64 in (0, 1)."""
    values = features.asnumpy() if isinstance(features, mx.nd.NDArray) else features
    return expit(values.mean(axis=1, dtype=np.float64))


def require_clips(net: HybridBlock) -> None:
    """Refuse a network whose features have no sub-clips."""
    require_recognizer(net)
    if net.input_spec.ndim != 3:
        raise UserError(
            f'{net.name} sees single images, so it has no sub-clips; choose a network on clips, such as i3d_*'
        )


def clip_activations(
    net: HybridBlock,
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
        show the backbone's F5 before the maps that the network shows by itself (`Recognizer.activation_names`)
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
    return _activations(net, reader, [one_clip(net, reader, start)], name, backbone, ctx)


def video_activations(
    net: HybridBlock,
    reader: VideoReader,
    name: Optional[str] = None,
    backbone: bool = False,
    ctx: Optional[mx.Context] = None,
) -> Activations:
    """As `clip_activations`, for clips one behind the other over the whole video, the last one ending with it: their
    maps in the order of time. Where the last clip overlaps the one before, only its later maps count."""
    require_clips(net)
    return _activations(net, reader, all_clips(net, reader), name, backbone, ctx)


def _activations(
    net: HybridBlock,
    reader: VideoReader,
    clips: Sequence[np.ndarray],
    name: Optional[str],
    backbone: bool,
    ctx: Optional[mx.Context],
) -> Activations:
    pieces: Dict[str, List[Piece]] = {}
    frames: List[Piece] = []
    probabilities = []
    shown = [n for n in net.map_info if n in net.activation_names or backbone and n == 'F5']
    for clip in seen_clips(net, reader, clips, ctx):
        probabilities.append(clip.probabilities[0])
        frames.append(clip.piece(np.arange(clip.subclips)))
        for volume in shown:
            for part, piece in att_pieces(net, clip, volume).items():
                pieces.setdefault(part, []).append(piece)
    parts = {part: joined(of_part, place_in(net, reader)) for part, of_part in pieces.items()}
    for volume in shown:  # both sides of a volume share their colors
        group = [part for part in parts if part.split(' ')[0] == volume]
        ends = np.array([parts[part].limits for part in group])
        limits = float(ends[:, 0].min()), float(ends[:, 1].max())
        parts.update({part: parts[part]._replace(limits=limits) for part in group})
    whole = joined(frames, place_in(net, reader)).frames
    return Activations(name or str(net.name), whole, spans(clips), parts, likeliest(net, probabilities))


# Clips of a video seen by a network, shared with `masks`


class Piece(NamedTuple):
    """Maps of one clip: `places` among its sub-clips, the video's `frames`, `maps` (S, ...), `subclips` in the clip."""

    places: np.ndarray
    frames: np.ndarray
    maps: np.ndarray
    subclips: int


class SeenClip(NamedTuple):
    """A clip and what a network makes of it.

    Parameters
    ----------
    frames
        (T,) numbers of its frames
    probabilities
        (branches, M) float64
    maps
        `Recognizer.maps` by name, (C, T', H', W')
    subclips
        positions in time of the backbone's last features
    placement
        where the maps lie; None for a network on images, each of whose maps lies on its own image
    """

    frames: np.ndarray
    probabilities: np.ndarray
    maps: Dict[str, np.ndarray]
    subclips: int
    placement: Optional[Placement]

    def piece(self, places: np.ndarray, maps: Optional[np.ndarray] = None) -> Piece:
        """Maps (S, ...) at some places among the sub-clips, with the frames on which they are centered."""
        at = [int(p) if self.placement is None else self.placement.frame(p) for p in places]
        empty = np.zeros((len(at), 0, 0))
        return Piece(np.asarray(places), self.frames[at], empty if maps is None else maps, self.subclips)


def seen_clips(
    net: HybridBlock, reader: VideoReader, clips: Sequence[np.ndarray], ctx: Optional[mx.Context] = None
) -> Iterator[SeenClip]:
    """Show a network clips of a video, one after another. Hybridizes the network.

    Raises
    ------
    UserError
        frames that the network cannot take, maps or predictions that are not finite
    """
    clips_have_time, place = net.input_spec.ndim == 3, place_in(net, reader)
    net.hybridize(static_alloc=True, static_shape=True)
    shown = at_rate(reader, net.input_spec.fps)  # at which optical flow is from one frame to the next
    sources = shown.source_frames(np.arange(len(shown)))
    of_shown = [np.searchsorted(sources, clip) for clip in clips]
    for clip, batch in zip(clips, read_clips(shown, net.input_spec, of_shown, ctx)):
        # first, as it refuses what the network cannot take
        logits = net.branches(batch.x)[: len(net.branch_names)]
        shares = np.stack([net.to_probabilities(z).asnumpy()[0] for z in logits]).astype(np.float64)
        arrays = {name: volume.asnumpy() for name, volume in net.maps(batch.x).items()}
        maps = {name: volume[0] if clips_have_time else volume.swapaxes(0, 1) for name, volume in arrays.items()}
        if not np.isfinite(shares).all() or not all(np.isfinite(volume).all() for volume in maps.values()):
            raise UserError(
                f'{net.name}: its features are not finite; are these the parameters of a run that diverged?'
            )
        yield SeenClip(clip, shares, maps, maps['F5'].shape[1], place if clips_have_time else None)


def att_pieces(net: HybridBlock, clip: SeenClip, volume: str) -> Dict[str, Piece]:
    """att of a volume of features of a clip, by its name; where it has several directions, by that and each of them."""
    sides = net.map_info[volume].directions or (None,)
    shares = np.split(att(clip.maps[volume][None])[0], len(sides))
    return {
        f'{volume} {side}' if sides[1:] else volume: clip.piece(places(len(maps), clip.subclips, side), maps)
        for side, maps in zip(sides, shares)
    }


def joined(pieces: Sequence[Piece], place: Placement, quantity: str = 'att') -> MapSeries:
    """The maps of clips one behind the other; of a clip that overlaps those before, only the later maps."""
    kept, last, before = [], -1, 0
    for number, piece in enumerate(pieces):
        later = piece.frames > last if number else np.ones(len(piece.frames), bool)
        kept.append((piece.places[later] + before, piece.frames[later], piece.maps[later]))
        last = max([last, *piece.frames[later]])
        before += piece.subclips
    where, frames, maps = (np.concatenate(arrays) for arrays in zip(*kept))
    return MapSeries(where, frames, maps, limits_of(maps), place, quantity)


def limits_of(maps: np.ndarray) -> Tuple[float, float]:
    """The lowest and the highest value of maps; (0, 0) of none."""
    return (float(maps.min()), float(maps.max())) if maps.size else (0.0, 0.0)


def place_in(net: HybridBlock, reader: VideoReader) -> Placement:
    """Where positions of the backbone's last features lie in the video."""
    return placement(net, net.branches.backbone.geometry(5), reader.size)


def places(outputs: int, subclips: int, direction: Optional[str] = None) -> np.ndarray:
    """(outputs,) where each of T' outputs lies among T sub-clips, 0 to T - 1: evenly, the corners kept as in the mask
    of the units. One alone lies where it has seen all: at the last sub-clip forward, at the first backward, else in the
    middle."""
    if outputs > 1:
        return np.arange(outputs) * (subclips - 1) / (outputs - 1)
    seen = {'forward': subclips - 1.0, 'backward': 0.0}
    return np.array([seen.get(direction or '', (subclips - 1) / 2)])


def spans(clips: Sequence[np.ndarray]) -> List[Tuple[int, int]]:
    """First and last frame of each clip."""
    return [(int(clip[0]), int(clip[-1])) for clip in clips]


def likeliest(net: HybridBlock, probabilities: Sequence[np.ndarray], count: int = 3) -> List[Tuple[str, float]]:
    """Names and mean probabilities of the likeliest classes; `probabilities` (M,) of each clip."""
    names, mean = class_names(net), np.sum(probabilities, axis=0) / len(probabilities)
    return [(names[i], float(mean[i])) for i in np.argsort(-mean, kind='stable')[:count]]
