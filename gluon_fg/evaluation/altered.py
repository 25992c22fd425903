"""Views of a video whose frames are shown in another order: reversed, shuffled, frozen, at half the rate; or mirrored.

A view has the very pixels that the protocol cuts, and their order alone is another, so that whatever changes in a
network's answer is owed to that. A mirrored view, in which the order is as it was, stands beside them for comparison.
"""

from __future__ import annotations

import dataclasses
import os
import zlib
from typing import List, NamedTuple, Optional, Tuple

import numpy as np

from ..data.labels import LabelSet
from ..data.video import VideoReader
from ..errors import UserError, unknown
from ..input_spec import FeatureSpec, InputSpec
from .protocol import Protocol, Views, may_flip

FORWARD = 'forward'


class Alteration(NamedTuple):
    """What is done to the frames of a view.

    Parameters
    ----------
    kind
        one of `KINDS`
    seed
        of the random orders of 'shuffled'; 0 for the others
    """

    kind: str = FORWARD
    seed: int = 0

    @property
    def name(self) -> str:
        """What files and protocols call it: 'reversed', 'shuffled-0', 'shuffled-1', ..."""
        return f'{self.kind}-{self.seed}' if self.kind == 'shuffled' else self.kind

    def order(self, frames: int, key: str = '') -> np.ndarray:
        """Tell which of a view's frames is shown at each of its places: (frames,) int64.

        Parameters
        ----------
        frames
            how many there are
        key
            the video's name: with the seed it decides the random order, which is one for all views of a video
        """
        places = np.arange(frames)
        if self.kind == 'reversed':
            return places[::-1].copy()
        if self.kind == 'shuffled':
            return np.random.default_rng([self.seed, zlib.crc32(key.encode('utf-8', 'replace'))]).permutation(frames)
        if self.kind == 'frozen':
            return np.full(frames, frames // 2)
        return places // 2 * 2 if self.kind == 'half-rate' else places


KINDS = {
    FORWARD: 'frames as they are',
    'reversed': 'frames from the last to the first',
    'shuffled': 'frames in a random order, each of all orders equally likely',
    'frozen': 'the middle frame of the view in place of each',
    'half-rate': 'every other frame, shown for twice as long',
    'mirrored': 'frames as they are, left and right exchanged',
}


@dataclasses.dataclass(frozen=True)
class AlteredProtocol(Protocol):
    """The views of a protocol, each with its frames altered; made by `altered`.

    Parameters
    ----------
    alteration
        what is done to the frames of each view
    """

    alteration: Alteration = Alteration()

    @property
    def key(self) -> str:
        return f'{super().key}, {self.alteration.name}'

    def _cut(self, reader: VideoReader, spec: InputSpec, labels: Optional[LabelSet]) -> Views:
        mirrored = self.alteration.kind == 'mirrored'
        if mirrored and not may_flip(labels):
            raise UserError(f'{self.name}: these classes may not be mirrored; choose another alteration')
        views, name = super()._cut(reader, spec, labels), os.path.basename(reader.path)
        for i, place in enumerate(views.places):
            order = self.alteration.order(len(place.chosen), name)
            cut = place.cut._replace(mirrored=place.cut.mirrored != mirrored)
            views.places[i] = place._replace(chosen=place.chosen[order], shown=place.shown[order], cut=cut)
        return views


def altered(protocol: Protocol, alteration: Alteration) -> Protocol:
    """Make a protocol whose views are those of another, altered; of 'forward' it is that one itself.

    Raises
    ------
    UserError
        an unknown alteration
    """
    if alteration.kind not in KINDS:
        raise unknown('alteration of frames', alteration.kind, KINDS)
    if alteration.kind == FORWARD:
        return protocol
    fields = {field.name: getattr(protocol, field.name) for field in dataclasses.fields(Protocol)}
    fields['name'] = f'{protocol.name}, {alteration.name}'
    fields['description'] = f'{protocol.description}; {KINDS[alteration.kind]}'
    return AlteredProtocol(**fields, alteration=alteration)


def check_alterable(protocol: Protocol, spec: InputSpec, model: str) -> int:
    """Refuse networks whose views have no frames to put in another order; returns how many frames a view has.

    Optical flow is refused: fields of reversed or shuffled frames are other fields, not the same in another order.

    Raises
    ------
    UserError
        a network on stored features, on optical flow, or on single images; a protocol that shows it one frame at a time
    """
    if isinstance(spec, FeatureSpec):
        raise UserError(f'{model} sees stored features, whose frames cannot be put in another order; give the network '
                        'that they were made of')  # fmt: skip
    if spec.fields:
        raise UserError(
            f'{model} sees optical flow, and the flow of frames in another order is another flow; choose a network on '
            'frames alone, or gluon-fg explain order, which shuffles the fields as they are'
        )
    shown = protocol.shown(spec)
    frames = shown.frames if spec.ndim == 3 else protocol.num_segments(spec)
    if frames < 2:
        if spec.ndim == 2 and spec.segments > 1:
            raise UserError(f'protocol {protocol.name} shows {model} one frame at a time; choose --protocol train_time')
        raise UserError(f'{model} sees one frame at a time, which has no order; choose a network on clips or segments')
    return frames


def alterations(labels: Optional[LabelSet], shuffles: int = 3) -> Tuple[List[Alteration], str]:
    """List what is asked of a network about time, and say why one is left out; '' where none is.

    Parameters
    ----------
    labels
        the classes; where one of them may not be mirrored, nothing is
    shuffles
        random orders of each video, one at least
    """
    if shuffles < 1:
        raise UserError(f'shuffles must be at least 1, got {shuffles}')
    every = [Alteration(kind, seed) for kind in KINDS for seed in range(shuffles if kind == 'shuffled' else 1)]
    if may_flip(labels):
        return every, ''
    barred = '' if labels is None else f': {labels.classes[int(np.flatnonzero(labels.flip_map < 0)[0])]!r} says a side'
    return [each for each in every if each.kind != 'mirrored'], f'not mirrored{barred}'
