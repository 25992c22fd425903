"""The masks of a network that looks through those of look-alike classes: which places and moments they select.

Shown are the mask of the predicted class and those of the classes that the network relates to it (`selected_classes`),
each before any gate, where its mean over places and time is the class's logit; and the gate: what the specific features
are multiplied with, made of the mean of the selected masks. A position in time of the features stands for a sub-clip,
as in `activation`; on images it is a frame.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..data.video import VideoReader
from ..errors import UserError, unknown
from ..evaluation.score import class_names
from .activation import MapSeries, joined, likeliest, limits_of, place_in, seen_clips, spans
from .clips import all_clips, one_clip, require_recognizer


class ClassMask(NamedTuple):
    """The mask of one class.

    Parameters
    ----------
    class_name
        whose mask it is
    role
        'predicted', 'confusing' (one that a prediction looks through, too) or 'not confusing'
    share
        probability of the class by the network's global branch
    series
        the mask over time
    """

    class_name: str
    role: str
    share: float
    series: MapSeries


class Masks(NamedTuple):
    """Masks of a clip, or of a whole video.

    Parameters
    ----------
    name
        what to call the network
    branch
        the network's global branch, which makes the prediction that selects masks
    frames
        (T,) the representative frame of each sub-clip
    clips
        first and last frame of each clip that it saw
    masks
        of the classes asked for, or of the predicted class and those that it is confused with
    gate
        what the specific features are multiplied with
    averaged
        how many masks the gate of one clip is made of; None for a whole video, whose clips may select others
    predictions
        (label, probability) of its likeliest classes, averaged over the clips
    """

    name: str
    branch: str
    frames: np.ndarray
    clips: List[Tuple[int, int]]
    masks: List[ClassMask]
    gate: MapSeries
    averaged: Optional[int]
    predictions: List[Tuple[str, float]]


def require_masks(net: HybridBlock) -> None:
    """Refuse a network without masks of classes, and one that cannot select them without labels."""
    require_recognizer(net)
    if 'masks' not in net.map_info:
        raise UserError(f'{net.name} has no masks of classes; choose a network with a mask network')
    if net.takes_labels:
        raise UserError(f'{net.name} selects masks by true labels, which a video does not bring; choose another select')


def clip_masks(
    net: HybridBlock,
    reader: VideoReader,
    start: Optional[int] = None,
    classes: Optional[Sequence[str]] = None,
    partners: int = 3,
    name: Optional[str] = None,
    ctx: Optional[mx.Context] = None,
) -> Masks:
    """Masks of one clip, whole frames: of the class that the network's global branch predicts and of those it is
    confused with, the likeliest first, and the gate. Hybridizes the network.

    Parameters
    ----------
    net
        a recognizer with a mask network, its parameters loaded
    reader
        an open video
    start
        first frame of the clip; None: the middle one, or spread over the video (`InputSpec.sampling`, segments)
    classes
        show the masks of these classes instead
    partners
        at most so many confusing classes
    name
        what to call the network; None: its own name
    ctx
        where the network lies (default: CPU)

    Raises
    ------
    VideoError
        the video cannot be decoded
    UserError
        a network without masks or one that needs labels, an unknown class, fewer than 0 partners, a start outside the
        video, masks that are not finite
    """
    require_masks(net)
    return _masks(net, reader, [one_clip(net, reader, start)], classes, partners, name, ctx)


def video_masks(
    net: HybridBlock,
    reader: VideoReader,
    classes: Optional[Sequence[str]] = None,
    partners: int = 3,
    name: Optional[str] = None,
    ctx: Optional[mx.Context] = None,
) -> Masks:
    """As `clip_masks`, for clips one behind the other over the whole video; probabilities are averaged over them."""
    require_masks(net)
    return _masks(net, reader, all_clips(net, reader), classes, partners, name, ctx)


def _masks(
    net: HybridBlock,
    reader: VideoReader,
    clips: Sequence[np.ndarray],
    classes: Optional[Sequence[str]],
    partners: int,
    name: Optional[str],
    ctx: Optional[mx.Context],
) -> Masks:
    if partners < 0:
        raise UserError(f'partners must be 0 or more, got {partners}')
    names = class_names(net)
    for class_name in classes or ():
        if class_name not in names:
            raise unknown(f'class of {net.name}', class_name, names)
    selecting, pieces, gates, fused, shares = net.branch_names.index(net.global_branch), [], [], [], []
    for clip in seen_clips(net, reader, clips, ctx):
        fused.append(clip.probabilities[0])
        shares.append(clip.probabilities[selecting])
        where = np.arange(clip.subclips)
        pieces.append(clip.piece(where, clip.maps['masks'].swapaxes(0, 1).astype(np.float64)))
        gates.append(clip.piece(where, clip.maps['gate'][0].astype(np.float64)))
    every, share = joined(pieces, place_in(net, reader), 'mask'), np.mean(shares, axis=0)
    predicted = int(share.argmax())
    chosen = sorted(net.selected_classes(predicted), key=lambda label: -share[label])
    labels = [names.index(class_name) for class_name in classes] if classes else [predicted, *chosen[:partners]]
    masks = []
    for label in labels:
        role = 'predicted' if label == predicted else 'confusing' if label in chosen else 'not confusing'
        maps = every.maps[:, label]
        series = every._replace(maps=maps, limits=limits_of(maps))
        masks.append(ClassMask(names[label], role, float(share[label]), series))
    gate = joined(gates, place_in(net, reader), 'gate')
    averaged = 1 + len(chosen) if len(clips) == 1 else None
    told = name or str(net.name), net.global_branch, gate.frames, spans(clips)
    return Masks(*told, masks, gate, averaged, likeliest(net, fused))
