"""View protocols: which clips, crops and mirror images of a video a network is shown at test time.

One object serves validation in training, testing and prediction, and belongs to the model's entry (`net.protocol`),
so that no two of them measure different things by accident. Views are merged on probabilities (`views.py`).
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..data import sampling, seen, transforms
from ..data.features import FeatureReader
from ..data.labels import LabelSet
from ..data.rates import at_rate
from ..data.transforms import Cut, View, Window
from ..data.video import VideoReader
from ..errors import UserError, unknown
from ..input_spec import InputSpec

CROPS = ('center', 'three', 'five', 'whole')
FLIPS = ('none', 'all', 'alternate')

_PATTERN = re.compile(r'(\d+)x(1|3|5|whole)(?:@(\d+))?(?:-(flips|alternate))?')
_PATTERN_HINT = 'or write CLIPSxCROPS, for example 5x3, 10xwhole-alternate, 20x5-flips, 1x1@250'


_MANY = 2**25  # bytes of a video's views from which on they are not all in memory at once


class _Place(NamedTuple):
    """Where a view comes from: which of the decoded frames, their numbers in the video, and their cut."""

    chosen: np.ndarray
    shown: np.ndarray
    cut: Cut


class Views(Sequence[np.ndarray]):
    """The views of one video, each cut from its frames when it is asked for: they share most of these.

    Parameters
    ----------
    frames
        uint8 (T, H, W, C)
    places
        where each view comes from
    spec
        the network's input
    """

    def __init__(self, frames: np.ndarray, places: List[_Place], spec: InputSpec):
        self._frames, self.places, self._spec = frames, places, spec

    def __len__(self) -> int:
        return len(self.places)

    @property
    def nbytes(self) -> int:
        """Bytes of all views together."""
        channels = self._frames.shape[3]
        return sum(len(p.chosen) * p.cut.window.height * p.cut.window.width * channels for p in self.places)

    def __getitem__(self, at: Any) -> Any:
        chosen, _, cut = self.places[at]
        # A window shares memory with the frames; indexing copies this clip's alone.
        pixels = transforms.crop(self._frames, *cut.window)[chosen]
        return transforms.to_view(transforms.hflip(pixels) if cut.mirrored else pixels, self._spec)


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Clips x crops x mirror images of one video.

    Parameters
    ----------
    name, description
        what it is called, and what it is for, with the paper's section
    clips
        for networks on clips: clips spread evenly over the video (one: the center one), or, by `InputSpec.sampling`,
        each over the whole video, at as many positions. For networks on images: 1 is one view of the network's own
        `segments` frames, merged by the network; more are so many regularly sampled frames, each a view of its own
    crops
        after resizing to `short_side`: 'center' and 'five' (corners and center) are squares of `crop_size`; 'three' are
        squares of `short_side` along the longer side; 'whole' is the whole frame (fully convolutional)
    flips
        'none'; 'all': each view also mirrored; 'alternate': every other clip (the second, fourth, ...) mirrored
        instead. Where the labels forbid mirroring nothing is mirrored: 'all' then means half as many views
    frames
        frames in a view, for networks that are tested on longer clips than they were trained on; None: as many as in
        training. Of a shorter video `InputSpec.short` fills them up

    Raises
    ------
    UserError
        no clip or frame, or an unknown kind of crops or flips
    """

    name: str
    description: str
    clips: int
    crops: str = 'center'
    flips: str = 'none'
    frames: Optional[int] = None

    def __post_init__(self) -> None:
        for name, value in (('clips', self.clips), ('frames', self.frames)):
            if value is not None and value < 1:
                raise UserError(f'protocol {self.name}: {name} must be at least 1, got {value}')
        if self.crops not in CROPS:
            raise unknown('kind of crops', self.crops, CROPS)
        if self.flips not in FLIPS:
            raise unknown('kind of flips', self.flips, FLIPS)

    @property
    def key(self) -> str:
        """All that the views of a video depend on, in a word: equal for protocols that differ in their names alone."""
        return f'{self.clips}x{self.crops}-{self.flips}@{"own" if self.frames is None else self.frames}'

    def num_segments(self, spec: InputSpec) -> int:
        """What a network on images must have as `num_segments`: how many frames of its input make one view."""
        return self.shown(spec).segments if self.clips == 1 else 1

    def shown(self, spec: InputSpec) -> InputSpec:
        """The input of a view by this protocol: of `spec`, with as many frames as are shown."""
        if self.frames is None:
            return spec
        return spec.replace(**{'frames' if spec.ndim == 3 else 'segments': self.frames})

    def count(self, labels: Optional[LabelSet] = None) -> int:
        """Views of one video; `labels` as in `views`."""
        crops = {'center': 1, 'three': 3, 'five': 5, 'whole': 1}[self.crops]
        return self.clips * crops * (2 if self.flips == 'all' and may_flip(labels) else 1)

    def views(
        self, reader: VideoReader, spec: InputSpec, labels: Optional[LabelSet] = None
    ) -> Tuple[Sequence[np.ndarray], np.ndarray]:
        """Decode and cut one video.

        Parameters
        ----------
        reader
            what `data.open_video` gives; each frame needed is decoded once
        spec
            the network's input description
        labels
            the classes predicted; None, or a class that may not be mirrored, means no mirrored view

        Returns
        -------
        views
            uint8 arrays of one shape: (C, T, H, W) for layout 'NCTHW', (num_segments, C, H, W) for 'NCHW';
            clip by clip, within it crop by crop, each mirror image right behind its crop. Where they take much memory
            together, each is cut when it is asked for
        flipped
            (views,) bool: which ones are mirrored, so that their probabilities belong to the mirrored labels
        """
        if isinstance(reader, FeatureReader):
            views: Sequence[np.ndarray] = [view.pixels for view in reader.views]
            return views, np.array([view.cut.mirrored for view in reader.views], bool)
        later = self._cut(reader, spec, labels)
        views = later if later.nbytes > _MANY else list(later)
        return views, np.array([place.cut.mirrored for place in later.places], bool)

    def cuts(self, reader: VideoReader, spec: InputSpec, labels: Optional[LabelSet] = None) -> List[View]:
        """Decode and cut one video as `views` does; each view with the frames and the window that it comes from.

        Of stored features (`FeatureReader`) they are the views that there are.
        """
        if isinstance(reader, FeatureReader):
            return reader.views
        views = self._cut(reader, spec, labels)
        return [View(pixels, place.shown, place.cut) for pixels, place in zip(views, views.places)]

    def frame_numbers(self, reader: VideoReader, spec: InputSpec) -> np.ndarray:
        """Numbers of the frames of a video that its views show, increasing; nothing is decoded for them."""
        rated = at_rate(reader, spec.fps)
        return np.unique(rated.source_frames(np.unique(self._indices(seen.positions(rated, spec), spec))))

    def _cut(self, reader: VideoReader, spec: InputSpec, labels: Optional[LabelSet]) -> Views:
        reader = at_rate(reader, spec.fps)
        clips = self._indices(seen.positions(reader, spec), spec)
        needed, position = np.unique(clips, return_inverse=True)
        size = transforms.short_side_size(reader.size[1], reader.size[0], spec.short_side)
        frames = seen.read(reader, needed, spec, size)
        mirror = self.flips if may_flip(labels) else 'none'
        places = []
        for number, (clip, chosen) in enumerate(zip(clips, position.reshape(clips.shape))):
            shown = reader.source_frames(clip)
            for window in self._windows(*size, spec):
                variants = {'none': (False,), 'all': (False, True), 'alternate': (number % 2 == 1,)}[mirror]
                places += [_Place(chosen, shown, transforms.Cut(size, window, flip)) for flip in variants]
        return Views(frames, places, spec)

    def _indices(self, total: int, spec: InputSpec) -> np.ndarray:
        """(clips, frames of a view) indices of decoded frames."""
        frames = self.shown(spec).frames
        if spec.sampling == 'spread':
            return sampling.spread_clips(total, frames, self.clips)
        if spec.ndim == 3:
            return sampling.regular_clips(total, frames, spec.frame_stride, self.clips, spec.short)
        if self.clips == 1:
            return sampling.segment_indices(total, self.num_segments(spec))[None]
        return sampling.segment_indices(total, self.clips)[:, None]

    def _windows(self, height: int, width: int, spec: InputSpec) -> List[Window]:
        if self.crops == 'whole':
            return [Window(0, 0, height, width)]
        if self.crops == 'three':
            return transforms.three_windows(height, width, spec.short_side)
        if self.crops == 'five':
            return transforms.five_windows(height, width, spec.crop_size)
        return [transforms.center_window(height, width, spec.crop_size)]


def may_flip(labels: Optional[LabelSet]) -> bool:
    """Whether test views may be mirrored: a property of the labels (left/right), known only where they are known."""
    return labels is not None and labels.flip_allowed


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol('train_time', 'one center clip, or the segments of training, center crop (DFB sec. 5.1, table 1)', 1),
        Protocol('dfb_2d', '20 frames x 5 crops x 2 mirror images = 200 passes (DFB sec. 4.2, 2-D)', 20, 'five', 'all'),
        Protocol(
            'dfb_3d',
            '10 clips, fully convolutional on the whole frame, every other clip mirrored (DFB sec. 4.2, 3-D)',
            10,
            'whole',
            'alternate',
        ),
        # The paper says "a single segment" and nothing of crops: its fully convolutional rule kept, no mirroring
        # (ours).
        Protocol(
            'ssv1',
            'one clip, or the segments of training, fully convolutional on the whole frame (DFB sec. 4.2, '
            'Something-Something-V1)',
            1,
            'whole',
        ),
        Protocol('30view', '10 clips x 3 crops along the longer side (CIDC sec. 3.3)', 10, 'three'),
        Protocol('whole_video', 'one clip of 250 frames, center crop (Quo Vadis, sec. 2.5)', 1, frames=250),
        Protocol('10crop', 'one clip x 5 crops x 2 mirror images (Zhao et al., sec. IV-B)', 1, 'five', 'all'),
    )
}


def get_protocol(name: str) -> Protocol:
    """The protocol of a name in `PROTOCOLS`, or one written as CLIPSxCROPS.

    CROPS is 1 (center), 3 (along the longer side), 5 (corners and center) or `whole`; `-flips` adds each view's mirror
    image, `-alternate` mirrors every other clip: `5x3` is five clips by three crops, `10xwhole-alternate` is `dfb_3d`.
    `@FRAMES` behind the crops shows clips of so many frames, whatever the network was trained on: `1x1@250` is
    `whole_video`.

    Raises
    ------
    UserError
        unknown name, with the nearest one
    """
    if isinstance(name, Protocol):
        return name
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    match = _PATTERN.fullmatch(str(name))
    if match is None:
        raise UserError(f'{unknown("protocol", name, PROTOCOLS)}; {_PATTERN_HINT}')
    clips, crops, frames, flips = match.groups()
    return Protocol(
        name,
        'as written: clips x crops',
        int(clips),
        {'1': 'center', '3': 'three', '5': 'five'}.get(crops, crops),
        {'flips': 'all', 'alternate': 'alternate', None: 'none'}[flips],
        None if frames is None else int(frames),
    )
