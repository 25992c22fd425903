"""Channel independent directional convolution, CIDC (Li, Shuai and Tighe, ECCV 2020, secs. 3.1 and 3.3)."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Union

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock, nn

from ..errors import UserError, unknown
from .norm import BatchNorm3D, converting, deploying

# direction -> its kernels, in the order of the output
DIRECTIONS = {
    'none': ('full',),
    'forward': ('forward',),
    'backward': ('backward',),
    'both': ('forward', 'backward'),
    'mean': ('mean',),
}

NORMALIZATIONS = ('kernel', 'row', False)

_HIDDEN = -1e4  # exp() of it is exactly 0, and float16 can hold it
_SMALLEST = 1e-3  # range of a kernel below which it is stretched no further


class CIDC(HybridBlock):
    """Each channel's own convolution over time, whose outputs see more and more of the clip (eqs. 1, 4 and 5).

        kernel k (C, T', T) -> softmax of each row over the frames it may see -> rescaled to [-1, 1] = w
        y[c, t'] = sum over t of w[c, t', t] x[c, t]  -> 1x1x1 convolution, batch norm, ReLU

    Output t' sees frames 0 to t'; the first sees the first frame alone, the last sees all. Where T' differs from T the
    triangle of hidden frames is resized bilinearly, its corners kept, and frames of 0.5 or more are hidden.

    Our choices, where the paper leaves it open: the rescaling of "the weights in the lower-triangular portion of kernel
    w" (sec. 3.3) has one range for each channel's kernel, so that the weight 1 of a row of one frame is the highest and
    stays 1, and a kernel without a range, as of one frame, is all 1; kernels start with standard deviation 1, as
    without rescaling the softmax of much smaller ones is an average.

    Parameters
    ----------
    channels
        C
    in_frames, out_frames
        T and T'; None: T' = T
    direction
        'forward'; 'backward', the same on the time-reversed clip with kernels of its own, turned back; 'both', their
        outputs one behind the other in time: a single bidirectional unit; 'none', every output sees all frames (table
        4b), each through weights of its own; 'mean', every output is the clip's mean, with nothing to learn: a control
        that is blind to order
    normalize
        'kernel': the weights of a channel's kernel that see a frame are stretched to [-1, 1] together; 'row': each row
        of them, in which a row of one frame keeps its weight 1, and one of two frames is +1 and -1, whatever it learns;
        False: they stay the softmax's, positive and of sum 1 in each row
    pointwise
        end with 1x1x1 convolution, batch norm and ReLU, which mix channels
    gamma
        scale that this batch norm starts with

    Inputs:
        - **x**: (N, C, T, H, W)

    Outputs:
        - **y**: (N, C, T', H, W), or (N, C, 2 T', H, W) for 'both', forward part first

    Raises
    ------
    UserError
        unknown direction or rescaling, a count below 1; called with other channels or frames than it was built for
    """

    def __init__(
        self,
        channels: int,
        in_frames: int,
        out_frames: Optional[int] = None,
        direction: str = 'both',
        normalize: Union[str, bool] = 'kernel',
        pointwise: bool = True,
        gamma: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        out_frames = in_frames if out_frames is None else out_frames
        if direction not in DIRECTIONS:
            raise unknown('direction', direction, DIRECTIONS)
        check_normalize(normalize)
        for name, count in (('channels', channels), ('in_frames', in_frames), ('out_frames', out_frames)):
            if count < 1:
                raise UserError(f'{name} must be at least 1, got {count!r}')
        self.out_frames = out_frames * len(DIRECTIONS[direction])
        self._blind = direction == 'mean'
        self._channels, self._frames, self._normalize = channels, in_frames, normalize
        self._kernels = DIRECTIONS[direction]
        with self.name_scope():
            if self._blind:
                means = np.full((channels, out_frames, in_frames), 1 / in_frames, np.float32)
                self.mean_weight = self.params.get_constant('mean_weight', means)
            for name in () if self._blind else self._kernels:
                weight = self.params.get(
                    f'{name}_weight', shape=(channels, out_frames, in_frames), init=mx.init.Normal(1)
                )
                setattr(self, f'{name}_weight', weight)
                seen = self._seen_name(name)
                value = visible(in_frames, out_frames, name)[None]
                setattr(self, seen, self.params.get_constant(seen, value))
            self.mix = None
            if pointwise:
                self.mix = nn.HybridSequential()
                with self.mix.name_scope():
                    self.mix.add(
                        nn.Conv3D(channels, kernel_size=1, in_channels=channels, use_bias=False),
                        BatchNorm3D(in_channels=channels, gamma_initializer=mx.init.Constant(gamma)),
                        nn.Activation('relu'),
                    )

    def __call__(self, x):
        if isinstance(x, mx.nd.NDArray) and (x.ndim != 5 or x.shape[1:3] != (self._channels, self._frames)):
            raise UserError(f'input has shape {x.shape}; this unit takes (N, {self._channels}, {self._frames}, H, W)')
        return super().__call__(x)

    def _seen_name(self, kernel: str) -> str:
        """Name of a kernel's constant. It tells the rescaling of a file: former ones, by row, have the second."""
        return f'{kernel}_visible' if self._normalize == 'kernel' else f'{kernel}_seen'

    def kernel(self) -> List[mx.nd.NDArray]:
        """Effective weights w, (C, T', T) for each direction, in the clip's own order of frames."""
        if self._blind:
            return [self.mean_weight.data()]
        return [
            self._effective(mx.nd, getattr(self, f'{name}_weight').data(), getattr(self, self._seen_name(name)).data())
            for name in self._kernels
        ]

    def seen(self) -> Dict[str, np.ndarray]:
        """Which frames each output sees, (T', T) bool, by the name of each of `kernel()`."""
        outputs = self.out_frames // len(self._kernels)
        return {name: visible(self._frames, outputs, 'full' if self._blind else name) > 0 for name in self._kernels}

    def _effective(self, F, k, seen):
        """Softmax over the frames that a row sees (eq. 5), then their range stretched to [-1, 1]; 0 elsewhere."""
        hidden = 1 - seen
        w = F.softmax(F.broadcast_add(k, _HIDDEN * hidden), axis=2)
        if not self._normalize:
            return w
        axes = (1, 2) if self._normalize == 'kernel' else 2
        low = F.min(F.broadcast_add(w, hidden), axis=axes, keepdims=True)  # a hidden frame must not be the lowest
        high = F.max(w, axis=axes, keepdims=True)
        span = high - low
        if self._normalize == 'kernel':  # from the highest down: what has no range is all 1
            below = F.broadcast_div(F.broadcast_sub(high, w), F.maximum(span, _SMALLEST))
            return F.broadcast_mul(1 - 2 * below, seen)
        stretched = F.broadcast_sub(2 * F.broadcast_div(F.broadcast_sub(w, low), span + 1e-6), F.ones_like(span))
        alone = F.broadcast_equal(F.sum(seen, axis=2, keepdims=True), F.ones_like(F.sum(seen, axis=2, keepdims=True)))
        weights = F.broadcast_add(F.broadcast_mul(stretched, 1 - alone), alone)
        return F.broadcast_mul(weights, seen)

    def hybrid_forward(self, F, x, **params):
        if self._blind:
            w = params['mean_weight']
        else:
            rows = [
                self._effective(F, params[f'{name}_weight'], params[self._seen_name(name)]) for name in self._kernels
            ]
            w = rows[0] if len(rows) == 1 else F.concat(*rows, dim=1)
        if converting():
            y = self._frame_by_frame(F, x, w)
        elif deploying():
            y = self._over_time(F, x, w)
        else:
            y = self._over_channels(F, x, w)
        return y if self.mix is None else self.mix(y)

    def _over_channels(self, F, x, w):
        """One grouped 1x1 convolution with time in the place of channels: the fastest form with its backward pass."""
        filters = self._channels * self.out_frames
        # The added axis keeps H and W where a 0 in the new shape finds them: a form that ONNX has, too.
        frames = F.squeeze(F.reshape(x, shape=(0, self._channels * self._frames, 1, 0, 0)), axis=2)
        weight = F.reshape(w, shape=(filters, self._frames, 1, 1))
        y = F.Convolution(frames, weight, kernel=(1, 1), num_filter=filters, num_group=self._channels, no_bias=True)
        return F.reshape(F.expand_dims(y, axis=1), shape=(0, self._channels, self.out_frames, 0, 0))

    def _over_time(self, F, x, w):
        """One grouped convolution as long as the clip, whose filters are the outputs: the fastest form in MXNet."""
        filters = self._channels * self.out_frames
        weight = F.reshape(w, shape=(filters, 1, self._frames, 1, 1))
        kernel = (self._frames, 1, 1)
        y = F.Convolution(x, weight, kernel=kernel, num_filter=filters, num_group=self._channels, no_bias=True)
        return F.reshape(y, shape=(0, self._channels, self.out_frames, 0, 0))

    def _frame_by_frame(self, F, x, w):
        """One depthwise convolution for each output: nearly free in OpenVINO, where nothing is brought into order.

        In MXNet, which has no fast one of clips, it takes three times the form over time.
        """
        rows = []
        for frame in range(self.out_frames):
            weight = F.expand_dims(F.slice_axis(w, axis=1, begin=frame, end=frame + 1), axis=3)
            weight = F.expand_dims(weight, axis=4)  # (C, 1, T, 1, 1)
            kernel = (self._frames, 1, 1)
            row = F.Convolution(
                x, weight, kernel=kernel, num_filter=self._channels, num_group=self._channels, no_bias=True
            )
            rows.append(row)
        return F.concat(*rows, dim=2) if len(rows) > 1 else rows[0]


def check_normalize(normalize: Union[str, bool]) -> None:
    """Refuse a rescaling that there is not, and say what a former one is called now."""
    if normalize is True:
        raise UserError(
            "normalize True is 'row' now (each row's range), the default 'kernel' (each channel's); write one"
        )
    if normalize not in NORMALIZATIONS:
        raise UserError(f'normalize must be kernel, row or false, got {normalize!r}')


def visible(in_frames: int, out_frames: int, kernel: str) -> np.ndarray:
    """(T', T) of 1 where an output sees a frame, 0 where it does not; kernel: 'full', 'forward' or 'backward'."""
    if kernel == 'full':
        return np.ones((out_frames, in_frames), np.float32)
    if kernel == 'backward':
        return visible(in_frames, out_frames, 'forward')[::-1, ::-1].copy()
    if out_frames == 1:  # the last output, which sees all
        return np.ones((1, in_frames), np.float32)
    # Between rows i and i + 1 of the triangle, frame i + 1 is hidden by the share of row i: by less than 0.5 where the
    # output lies less than half a frame before it. In whole numbers, so that no rounding decides.
    outputs, frames = np.arange(out_frames)[:, None], np.arange(in_frames)[None]
    return (2 * (frames * (out_frames - 1) - outputs * (in_frames - 1)) < out_frames - 1).astype(np.float32)
