"""What a recognizer expects of its input: the one description shared by networks, data, evaluation and prediction."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Dict, Optional, Tuple

from .errors import UserError, unknown

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FEATURE_STAGES = (3, 4, 5)
FLOW_ALGORITHMS = ('dis', 'tvl1')
FLOW_BOUND = 20.0  # pixels: of Quo Vadis, TSN and nearly all flow that is published
SHORT_RULES = ('repeat_last', 'loop')
_LATER = ('fps', 'flow', 'flow_bound', 'center_flow', 'short')  # fields that files from before them do not have


def fields_of(channels: int) -> int:
    """Fields of optical flow in so many channels: an odd number has color in its first three."""
    return (channels - 3) // 2 if channels % 2 else channels // 2


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """Frames, size and scale of one view (one network input).

    A view is a uint8 array (C, frames, H, W) for layout 'NCTHW' and (segments, C, H, W) for 'NCHW'; a batch of N views
    is (N, C, frames, H, W) or (N * segments, C, H, W).

    C, as many as there are means, tells what is seen. 3: red, green, blue. An even number, 2 L: optical flow, at each
    frame i the L fields from frame i to i + 1, ..., from i + L - 1 to i + L, each x, then y. 3 + 2 L: both, color
    first. Flow is in 8 bits as frames are: 127.5 is no motion, 0 and 255 are `flow_bound` pixels left (up) and right
    (down) from one frame to the next, so that a mean and std of 0.5 make -1..1 of it.

    Parameters
    ----------
    frames, frame_stride
        frames in a clip, and decoded frames from one taken frame to the next (1 takes each); 1 and 1 for 2-D networks
    sampling
        'clip': frames `frame_stride` apart; 'spread', for clips alone: the video is cut into `frames` equal parts, and
        each gives the frame at one and the same position in it (Zhao et al., sec. IV-B), whatever `frame_stride`
    segments
        equal parts of the video that give one frame each (TSN); 1 for 3-D networks
    crop_size, short_side
        pixels: side of the square training crop, and of the frame's shorter side before cropping
    mean, std
        per channel, on the 0..1 scale
    layout
        'NCTHW' for clips, 'NCHW' for images
    fps
        frames per second at which every video is shown, whatever its own rate, so that a stride means the same time
        in each; None: each at its own, as GluonCV and MMAction2 count strides
    flow
        what the optical flow was computed by that the network was trained on, 'dis' or 'tvl1'; None: not known, or no
        flow is seen
    flow_bound
        pixels that the 8 bits of that flow reach in each direction
    center_flow
        whether each field's mean displacement is subtracted from it (Simonyan & Zisserman 2014), which takes out most
        of what the camera does
    short
        what stands for frames beyond the end of a video shorter than a clip: 'repeat_last', its last frame; 'loop', the
        video from its start (Quo Vadis, sec. 2.5)

    Raises
    ------
    UserError
        a count below 1, a rate or bound that is not above 0, a crop larger than the short side, an unknown layout,
        sampling, flow or rule for short videos, sampling 'spread' of images, another number of means than of stds, or
        one that is neither 3, 2 L nor 3 + 2 L; a flow where none is seen
    """

    frames: int = 16
    frame_stride: int = 2
    segments: int = 1
    crop_size: int = 224
    short_side: int = 256
    mean: Tuple[float, ...] = IMAGENET_MEAN
    std: Tuple[float, ...] = IMAGENET_STD
    layout: str = 'NCTHW'
    sampling: str = 'clip'
    fps: Optional[float] = None
    flow: Optional[str] = None
    flow_bound: float = FLOW_BOUND
    center_flow: bool = False
    short: str = 'repeat_last'

    def __post_init__(self) -> None:
        for field in ('frames', 'frame_stride', 'segments', 'crop_size', 'short_side'):
            if getattr(self, field) < 1:
                raise UserError(f'{field} must be at least 1, got {getattr(self, field)}')
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise UserError(f'fps must be a number above 0, got {self.fps}')
        if self.crop_size > self.short_side:
            raise UserError(f'crop_size {self.crop_size} is larger than short_side {self.short_side}')
        if self.layout not in ('NCTHW', 'NCHW'):
            raise UserError(f'unknown layout {self.layout!r}; choose NCTHW (clips) or NCHW (images)')
        if self.sampling not in ('clip', 'spread'):
            raise UserError(f'unknown sampling {self.sampling!r}; choose clip or spread')
        if self.sampling == 'spread' and self.layout == 'NCHW':
            raise UserError('sampling spread is for clips (layout NCTHW); images are spread by their segments')
        if not self.mean or len(self.mean) != len(self.std):
            raise UserError(f'mean {self.mean} and std {self.std} need one value for each channel')
        if self.short not in SHORT_RULES:
            raise unknown('rule for short videos', self.short, SHORT_RULES)
        self._check_flow()

    def _check_flow(self) -> None:
        if self.channels < 2:
            raise UserError(f'mean {self.mean} is of one channel; color has 3, L fields of flow 2 L, both 3 + 2 L')
        if not 0 < self.flow_bound < math.inf:
            raise UserError(f'flow_bound must be a number of pixels above 0, got {self.flow_bound}')
        if self.flow is not None and self.flow not in FLOW_ALGORITHMS:
            raise unknown('flow algorithm', self.flow, FLOW_ALGORITHMS)
        if not self.fields and (self.flow or self.center_flow):
            raise UserError('flow and center_flow are for networks that see optical flow; this one sees color alone')

    @property
    def channels(self) -> int:
        """Channels of a frame, C."""
        return len(self.mean)

    @property
    def sees_rgb(self) -> bool:
        """Whether a view has the frames themselves, in its first three channels."""
        return self.channels % 2 == 1

    @property
    def fields(self) -> int:
        """Fields of optical flow at each frame of a view, L; 0 where none is seen."""
        return fields_of(self.channels)

    @property
    def ndim(self) -> int:
        """Dimensions a filter spans: 3 for clips, 2 for images."""
        return 3 if self.layout == 'NCTHW' else 2

    def as_dict(self) -> Dict[str, Any]:
        """Its fields by name, for files; those that came later are left out where they are as they always were."""
        usual = {field.name: field.default for field in dataclasses.fields(self) if field.name in _LATER}
        return {
            key: value for key, value in dataclasses.asdict(self).items() if key not in usual or value != usual[key]
        }

    @property
    def summary(self) -> str:
        """What a view is, in a few words, for messages."""
        if self.ndim == 2:
            shown = f'{self.segments} frames' if self.segments > 1 else 'an image'
        elif self.sampling == 'spread':
            shown = f'{self.frames} frames spread over the video'
        else:
            shown = f'{self.frames} frames, {self.frame_stride} apart'
        if self.fps is not None:
            shown += f' at {self.fps:g} a second'
        if self.fields:
            each = 'a field' if self.fields == 1 else f'{self.fields} fields'
            shown += f', {"color and " if self.sees_rgb else ""}{each} of optical flow at each'
        return f'{shown}, {self.crop_size} of {self.short_side} pixels'

    def replace(self, **changes: Any) -> InputSpec:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True)
class FeatureSpec(InputSpec):
    """The input of a network that takes features of a frozen stage of its backbone in place of frames.

    Its other fields say of which views the features are.

    Parameters
    ----------
    stage
        whose features: 3, 4 or 5

    Raises
    ------
    UserError
        another stage, and what `InputSpec` refuses
    """

    stage: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stage not in FEATURE_STAGES:
            raise UserError(f'features are of stage 3, 4 or 5, got {self.stage!r}')

    @classmethod
    def of(cls, spec: InputSpec, stage: int) -> FeatureSpec:
        """Describe features of a stage, of views as `spec` has them."""
        return cls(**{**dataclasses.asdict(spec), 'stage': stage})

    @property
    def views(self) -> InputSpec:
        """The views that the features are of."""
        values = dataclasses.asdict(self)
        del values['stage']
        return InputSpec(**values)
