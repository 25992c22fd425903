"""The masks of a U2S network over the frames of a video: the predicted class's and its confusing ones' (figs. 5, 6).

What is shown is each class's mask before any gate, whose mean over places and time is the class's logit z_M, and
what the specific features are multiplied with: the gate's opening, made of the mean of the selected masks. A position
in time of the features stands for a sub-clip, as in `activation`; on images it is a frame.
"""

from __future__ import annotations

from typing import List, Optional, Sequence

import mxnet as mx
import numpy as np

from ..data.video import VideoReader
from ..errors import UserError, unknown
from ..evaluation.score import class_names
from .activation import Activations, Part, all_clips, merge, one_clip

GATE = 'gate'


def require_masks(net) -> None:
    """Refuse a network without a mask network, and one that cannot predict without labels."""
    name, masks = getattr(net, 'name', 'this network'), getattr(getattr(net, 'branches', None), 'masks', None)
    if masks is None or not hasattr(net, 'feature_maps'):
        raise UserError(f'{name} has no mask network; choose a U2S network with one')
    if net.takes_labels:
        raise UserError(f"{name} selects masks by true labels, which a video does not bring; choose select 'csm'")


def clip_masks(
    net,
    reader: VideoReader,
    start: Optional[int] = None,
    classes: Optional[Sequence[str]] = None,
    partners: int = 3,
    name: Optional[str] = None,
    ctx: Optional[mx.Context] = None,
) -> List[Activations]:
    """Masks of one clip, whole frames: of the class that the universal network predicts and of those it is confused
    with, the likeliest first, then the gate. Hybridizes the network.

    Parameters
    ----------
    net
        a recognizer with a mask network, its parameters loaded
    reader
        an open video
    start
        first frame of the clip; None as for `activation.clip_activations`
    classes
        names of the classes to show; None: the predicted and the confusing ones
    partners
        confusing classes, at most
    name
        what to call the network; None: its own name
    ctx
        where the network lies (default: CPU)

    Returns
    -------
    One `Activations` for each mask, with the class as its part and its role as name, and one for the gate; the fused
    prediction is the first one's.

    Raises
    ------
    UserError
        no mask network, an unknown class, a negative number of partners, or what `merge` refuses
    """
    return _masks(net, reader, lambda: [one_clip(net, reader, start)], classes, partners, name, ctx)


def video_masks(
    net,
    reader: VideoReader,
    classes: Optional[Sequence[str]] = None,
    partners: int = 3,
    name: Optional[str] = None,
    ctx: Optional[mx.Context] = None,
) -> List[Activations]:
    """As `clip_masks` for clips one behind the other over the whole video. The predicted class is that of the universal
    scores' average, while each clip's gate is made of the masks that the clip itself selects."""
    return _masks(net, reader, lambda: all_clips(net, reader), classes, partners, name, ctx)


def selected(csm: np.ndarray, predicted: int, scores: np.ndarray) -> List[int]:
    """Classes whose masks a CSM (M, M) selects for a prediction, but for itself, the likeliest by `scores` (M,) first.

    Those with a value above 0 in its column; of a real-valued CSM that is nearly all, which are weighted by it.
    """
    others = [int(j) for j in np.flatnonzero(csm[:, predicted] > 0) if j != predicted]
    return sorted(others, key=lambda j: -scores[j])


def _masks(net, reader, clips, classes, partners, name, ctx) -> List[Activations]:
    require_masks(net)
    if partners < 0:
        raise UserError(f'partners must be 0 or more, got {partners}')
    names, masks, universal = class_names(net), net.branches.masks, []
    for one in classes or ():
        if one not in names:
            raise unknown(f'class of {net.name}', one, names)

    def parts_of(x, outputs, frame_of):
        x_u, opening, _ = net.feature_maps(x)
        z_u = outputs[net.branch_names.index('universal')].astype('float32')
        universal.append(mx.nd.softmax(z_u).asnumpy()[0].astype(np.float64))
        where = np.arange(x_u.shape[2] if net.input_spec.ndim == 3 else len(x_u))
        frames = frame_of(where)
        every = _by_class(masks.masks(x_u).asnumpy(), net.input_spec.ndim)
        parts = [Part(str(j), str(j), where, frames, maps, 'mask') for j, maps in enumerate(every)]
        (gate,) = _by_class(opening.asnumpy(), net.input_spec.ndim)
        return len(where), [*parts, Part(GATE, GATE, where, frames, gate, GATE)]

    merged = merge(net, reader, clips(), parts_of, name, ctx)
    maps = {part.part: part for part in merged.parts}
    shares = np.mean(universal, axis=0)
    predicted, csm = int(shares.argmax()), masks.csm.data(masks.csm.list_ctx()[0]).asnumpy()
    # 'predicted' leaves the CSM aside
    chosen = selected(csm, predicted, shares) if masks.select != 'predicted' else []
    labels = [names.index(one) for one in classes] if classes else [predicted, *chosen[:partners]]
    rows = []
    for label in labels:
        role = 'predicted' if label == predicted else 'confusing' if label in chosen else 'not confusing'
        role += f' ({100 * shares[label]:.0f} % universal, mean {maps[str(label)].maps.mean():.2f})'
        rows.append((role, names[label], maps[str(label)]))
    what = 'of the masks that each clip selects'
    if len(merged.clips) == 1:
        what = f'of {1 + len(chosen)} masks' if chosen else 'of the predicted class alone'
    rows.append((GATE, f'what the specific features are multiplied with, made {what}', maps[GATE]))
    about = f'Masks of {merged.name} before the gate, each on a colour scale of its own.'
    return [
        Activations(
            role,
            merged.frames,
            merged.clips,
            [part._replace(part=text)],
            merged.predictions if number == 0 else [],
            about,
        )
        for number, (role, text, part) in enumerate(rows)
    ]


def _by_class(maps: np.ndarray, ndim: int) -> np.ndarray:
    """(1, M, T, H, W), or (frames, M, H, W) -> (M, T, H, W) float64; as copies that no later pass changes."""
    maps = maps[0] if ndim == 3 else maps.swapaxes(0, 1)
    return maps.astype(np.float64)
