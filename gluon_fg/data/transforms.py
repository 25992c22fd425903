"""From decoded frames to network input. All on uint8 frames (T, H, W, C); one draw serves the whole clip.

C is 3 for RGB, and for optical flow as `InputSpec` has it: 2 L for L fields at each frame, 3 + 2 L for both. Flow is
resized with its displacements, which become as much longer or shorter as the frames, in height and width apart, and a
mirror image negates those in x.

Resizing is bilinear (OpenCV's INTER_LINEAR, no antialiasing when shrinking), as in GluonCV, whose published weights saw
frames made so. Crops are views of the frames, never copies: `to_view` makes the one contiguous copy at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple, Optional, Tuple, Union

import cv2
import numpy as np

from ..errors import UserError, unknown
from ..input_spec import FeatureSpec, InputSpec
from .augment import NOTHING, Augment
from .flow.fields import resize_flow

if TYPE_CHECKING:
    import mxnet as mx

KINDS = ('random_resized', 'multiscale', 'random_crop')


class Window(NamedTuple):
    """A part of a frame, in pixels."""

    top: int
    left: int
    height: int
    width: int


class Cut(NamedTuple):
    """What becomes of frames: resized to (height, width), cut at `window`, then mirrored or not."""

    resized: Tuple[int, int]
    window: Window
    mirrored: bool


class View(NamedTuple):
    """One network input, uint8 as `to_view` gives it, and where it comes from: frames of the video, and their cut."""

    pixels: np.ndarray
    frames: np.ndarray
    cut: Cut


def check_frames(frames: np.ndarray, channels: Optional[int] = 3) -> np.ndarray:
    """Refuse anything but uint8 frames (T, H, W, channels); None: any that a view may have (`InputSpec`)."""
    fits = isinstance(frames, np.ndarray) and frames.dtype == np.uint8 and frames.ndim == 4
    if not fits or (frames.shape[3] != channels if channels else frames.shape[3] < 2):
        got = f'{frames.dtype} {frames.shape}' if isinstance(frames, np.ndarray) else type(frames).__name__
        raise UserError(f'frames must be a uint8 array (T, H, W, {channels or "C"}), got {got}')
    return frames


def _first_field(frames: np.ndarray) -> int:
    """The channel in which optical flow begins: behind color, where there is any."""
    return 3 * (frames.shape[3] % 2)


def resize(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize every frame to height x width pixels, bilinear; the frames themselves where they have that size."""
    if frames.shape[1:3] == (height, width):
        return frames
    out = np.empty((frames.shape[0], height, width, frames.shape[3]), np.uint8)
    first = _first_field(frames)
    if first == frames.shape[3]:
        for source, target in zip(frames, out):
            resize_frame(source, target)
        return out
    if first:
        out[..., :first] = resize(np.ascontiguousarray(frames[..., :first]), height, width)
    out[..., first:] = resize_flow(frames[..., first:], height, width)
    return out


def resize_frame(source: np.ndarray, target: np.ndarray) -> None:
    """Write a frame (H, W, 3) into another, which has the size wanted, bilinear."""
    if source.shape == target.shape:
        target[:] = source
    else:
        cv2.resize(source, target.shape[1::-1], dst=target, interpolation=cv2.INTER_LINEAR)


def short_side_size(height: int, width: int, short_side: int) -> Tuple[int, int]:
    """Return (height, width) whose shorter side is exactly `short_side`; the longer one is rounded, halves up."""
    side, long_side = min(height, width), max(height, width)
    other = (2 * long_side * short_side + side) // (2 * side)
    return (short_side, other) if height <= width else (other, short_side)


def resize_short(frames: np.ndarray, short_side: int) -> np.ndarray:
    """Scale frames so that their shorter side is `short_side` pixels (`short_side_size`)."""
    height, width = check_frames(frames, None).shape[1:3]
    return resize(frames, *short_side_size(height, width, short_side))


def crop(frames: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """Cut the window of height x width pixels that starts at (top, left); refuses windows that leave the frame."""
    rows, columns = frames.shape[1:3]
    if not (0 <= top <= rows - height and 0 <= left <= columns - width):
        raise UserError(f'a crop of {height}x{width} at ({top}, {left}) leaves the frame of {rows}x{columns}')
    return frames[:, top : top + height, left : left + width]


def hflip(frames: np.ndarray) -> np.ndarray:
    """Mirror frames left to right: a view; of flow a copy, in which what moved to the left moves to the right.

    What it does to the label is `LabelSet.flip_map`'s business.
    """
    mirrored, first = frames[:, :, ::-1], _first_field(frames)
    if first < frames.shape[3]:
        mirrored = mirrored.copy()
        np.subtract(255, mirrored[..., first::2], out=mirrored[..., first::2])
    return mirrored


def apply(frames: np.ndarray, cut: Cut, size: Optional[int] = None) -> np.ndarray:
    """Make a view of frames (T, H, W, C) as `cut` says, its window resized to size x size (None: as it is)."""
    frames = crop(resize(check_frames(frames, None), *cut.resized), *cut.window)
    frames = frames if size is None else resize(frames, size, size)
    return hflip(frames) if cut.mirrored else frames


def center_window(height: int, width: int, size: int) -> Window:
    """Place the size x size window that starts at floor((side - size) / 2) in height and width."""
    return Window((height - size) // 2, (width - size) // 2, size, size)


def center_crop(frames: np.ndarray, size: int) -> np.ndarray:
    """Cut out `center_window`."""
    return crop(frames, *center_window(frames.shape[1], frames.shape[2], size))


def corner_positions(height: int, width: int, size_h: int, size_w: int) -> List[Tuple[int, int]]:
    """Return (top, left) of five windows: top left, top right, bottom left, bottom right, center."""
    bottom, right = height - size_h, width - size_w
    return [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]


def five_windows(height: int, width: int, size: int) -> List[Window]:
    """Place the four corners and the center, each size x size, in the order of `corner_positions`."""
    return [Window(top, left, size, size) for top, left in corner_positions(height, width, size, size)]


def five_crops(frames: np.ndarray, size: int) -> List[np.ndarray]:
    """Cut out `five_windows`."""
    return [crop(frames, *window) for window in five_windows(frames.shape[1], frames.shape[2], size)]


def ten_crops(frames: np.ndarray, size: int) -> List[np.ndarray]:
    """Cut the five crops, and after them the mirror image of each in the same order."""
    crops = five_crops(frames, size)
    return crops + [hflip(view) for view in crops]


def three_windows(height: int, width: int, size: int) -> List[Window]:
    """Place three size x size windows along the longer side: its begin (left or top), its middle, its end.

    They are centered in the other direction, which they fill when `size` is the shorter side (30-view testing).
    """
    bottom, right = height - size, width - size
    if height <= width:
        return [Window(bottom // 2, left, size, size) for left in (0, right // 2, right)]
    return [Window(top, right // 2, size, size) for top in (0, bottom // 2, bottom)]


def three_crops(frames: np.ndarray, size: int) -> List[np.ndarray]:
    """Cut out `three_windows`."""
    return [crop(frames, *window) for window in three_windows(frames.shape[1], frames.shape[2], size)]


def random_window(height: int, width: int, size: int, rng: np.random.Generator) -> Window:
    """Place a size x size window uniformly at random."""
    top, left = (int(rng.integers(0, max(side - size, 0) + 1)) for side in (height, width))
    return Window(top, left, size, size)


def random_resized_window(
    height: int,
    width: int,
    rng: np.random.Generator,
    area: Tuple[float, float] = (0.25, 1.0),
    aspect: Tuple[float, float] = (3 / 4, 4 / 3),
) -> Window:
    """Place a window of random area and shape, to be resized to a square.

    Parameters
    ----------
    area
        range of the window's share of the frame. From 0.25, not 0.08 as for images (our choice): a smaller window often
        misses the detail that makes the class
    aspect
        range of width / height, drawn uniformly on a logarithmic scale
    """
    for _ in range(10):
        share = rng.uniform(*area) * height * width
        ratio = np.exp(rng.uniform(np.log(aspect[0]), np.log(aspect[1])))
        h, w = int(round(np.sqrt(share / ratio))), int(round(np.sqrt(share * ratio)))
        if 0 < h <= height and 0 < w <= width:
            return Window(int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1)), h, w)
    return center_window(height, width, min(height, width))  # a frame too narrow for any shape drawn


def multiscale_corner_window(
    height: int, width: int, rng: np.random.Generator, scales: Tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
) -> Window:
    """Place a window at a corner or the center, its sides drawn from `scales` of the shorter side (TSN).

    Height and width are neighbors in the list of scales at most, which bounds the change of shape when it is resized.
    """
    sides = [max(int(min(height, width) * scale), 1) for scale in scales]
    pairs = [(h, w) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= 1]
    h, w = pairs[int(rng.integers(len(pairs)))]
    return Window(*corner_positions(height, width, h, w)[int(rng.integers(5))], h, w)


class TrainTransform:
    """Crops and mirrors a training clip at random.

    Parameters
    ----------
    spec
        the network's `InputSpec`: `short_side` before cropping, `crop_size` after
    kind
        'random_resized' (random area and shape), 'multiscale' (TSN's corner crops) or 'random_crop' (fixed scale)
    flip
        probability of mirroring a clip whose label allows it
    jitter
        with 'random_crop', the shorter side is drawn from short_side .. jitter * short_side (CIDC: 1.25 of 256)
    augment
        what else changes the clip, behind crop and mirror; of flow nothing but an erased rectangle

    Raises
    ------
    UserError
        an unknown kind, an impossible number, or colors to be changed where flow is seen
    """

    def __init__(
        self,
        spec: InputSpec,
        kind: str = 'random_resized',
        flip: float = 0.5,
        jitter: float = 1.0,
        augment: Augment = NOTHING,
    ):
        if kind not in KINDS:
            raise unknown('transform', kind, KINDS)
        if not 0 <= flip <= 1:
            raise UserError(f'flip is a probability between 0 and 1, got {flip}')
        if jitter < 1:
            raise UserError(f'jitter must be at least 1, got {jitter}')
        if spec.fields and (augment.color_jitter or augment.randaugment):
            raise UserError(
                'color_jitter and randaugment change colors and shapes, which would leave optical flow wrong; this '
                'network sees flow: set both to 0 (erase, mixup and cutmix may stay)'
            )
        self.spec, self.kind, self.flip, self.jitter, self.augment = spec, kind, flip, jitter, augment

    def __call__(self, frames: np.ndarray, rng: np.random.Generator, may_flip: bool = True) -> Tuple[np.ndarray, bool]:
        """(T, H, W, C) -> (T, crop_size, crop_size, C), and whether it is mirrored; `may_flip` as for `draw`."""
        _, height, width, _ = check_frames(frames, self.spec.channels).shape
        cut = self.draw(height, width, rng, may_flip)
        return self.augment(apply(frames, cut, self.spec.crop_size), rng), cut.mirrored

    def draw(self, height: int, width: int, rng: np.random.Generator, may_flip: bool = True) -> Cut:
        """Draw what is cut from frames of that size, for `apply` with the size `crop_size`.

        `may_flip` False keeps the clip unmirrored and changes no other draw.
        """
        mirror = bool(rng.random() < self.flip) and may_flip  # drawn first, and always
        side = self.spec.short_side
        if self.kind == 'random_crop' and self.jitter > 1:
            side = int(rng.integers(side, int(round(side * self.jitter)) + 1))
        resized = short_side_size(height, width, side)
        if self.kind == 'random_resized':
            window = random_resized_window(*resized, rng)
        elif self.kind == 'multiscale':
            window = multiscale_corner_window(*resized, rng)
        else:
            window = random_window(*resized, self.spec.crop_size, rng)
        return Cut(resized, window, mirror)


def to_view(frames: np.ndarray, spec: InputSpec) -> np.ndarray:
    """Turn frames (T, H, W, C) into a network input: contiguous uint8 (C, T, H, W), or (T, C, H, W) for 'NCHW'."""
    axes = (3, 0, 1, 2) if spec.layout == 'NCTHW' else (0, 3, 1, 2)
    return np.ascontiguousarray(check_frames(frames, spec.channels).transpose(axes))


def to_input(
    batch: Union[np.ndarray, mx.nd.NDArray], spec: InputSpec, ctx: Optional[mx.Context] = None
) -> mx.nd.NDArray:
    """Turn a batch of uint8 views into normalized float32 on `ctx`: (x / 255 - mean) / std per channel.

    Where `spec` is a `FeatureSpec`, the batch is of features, which become float32 and are taken as they are.

    uint8 crosses to the device, a quarter of the traffic. The result is no view (whose max pooling is wrong on CPU).

    Inputs:
        - **batch**: uint8 (N, C, frames, H, W) for 'NCTHW', (N, C, H, W) for 'NCHW'; C is `spec.channels`. Features:
          float16 or float32 of that many dimensions

    Raises
    ------
    UserError
        another rank, dtype, number of channels or frames, or an empty batch
    """
    import mxnet as mx  # a process that decodes (`isolated`) does without

    if isinstance(spec, FeatureSpec):
        return _features_input(batch, spec, ctx or mx.cpu())
    channels = spec.channels
    want = f'(N, {channels}, {spec.frames}, H, W)' if spec.ndim == 3 else f'(N, {channels}, H, W)'
    shape = tuple(batch.shape)
    fits = len(shape) == spec.ndim + 2 and shape[1] == channels and (spec.ndim == 2 or shape[2] == spec.frames)
    if np.dtype(batch.dtype) != np.uint8 or not fits or 0 in shape:
        raise UserError(f'the network takes a uint8 batch {want}, got {np.dtype(batch.dtype).name} {shape}')
    ctx = ctx or mx.cpu()
    if isinstance(batch, mx.nd.NDArray):
        x = batch.as_in_context(ctx).astype('float32')
    else:
        x = mx.nd.array(batch, ctx=ctx, dtype='uint8').astype('float32')
    channel = (1, channels) + (1,) * spec.ndim
    std = 255 * np.asarray(spec.std, np.float64)
    scale = mx.nd.array((1 / std).reshape(channel), ctx=ctx, dtype='float32')
    shift = mx.nd.array((-255 * np.asarray(spec.mean) / std).reshape(channel), ctx=ctx, dtype='float32')
    mx.nd.broadcast_mul(x, scale, out=x)
    return mx.nd.broadcast_add(x, shift, out=x)


def _features_input(batch: Union[np.ndarray, mx.nd.NDArray], spec: FeatureSpec, ctx: mx.Context) -> mx.nd.NDArray:
    import mxnet as mx

    if np.dtype(batch.dtype) not in (np.float16, np.float32) or batch.ndim != spec.ndim + 2 or 0 in batch.shape:
        raise UserError(
            f'the network takes features of stage {spec.stage}, float16 or float32 of {spec.ndim + 2} dimensions, got '
            f'{np.dtype(batch.dtype).name} {tuple(batch.shape)}'
        )
    if isinstance(batch, mx.nd.NDArray):
        return batch.as_in_context(ctx).astype('float32')
    return mx.nd.array(batch, ctx=ctx, dtype='float32')
