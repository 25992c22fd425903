"""How much memory the prediction of a large film takes: this process and those that decode, at their peaks."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, Optional, Tuple

import av
import numpy as np

from ..data import isolated
from ..factory import get_model
from .predict import predict_with

MODEL = 'i3d_tiny_synthfg_dfb'
VIEW = {'frames': 32, 'frame_stride': 2, 'short_side': 256, 'crop_size': 224}  # as networks of Kinetics-400 take it


class FilmMemory(NamedTuple):
    """Peaks of resident memory in MB, None where the system does not tell: of this process before and while it
    predicts, and of those that decode, together.
    """

    film: str
    protocol: str
    before_mb: Optional[float]
    predicting_mb: Optional[float]
    decoding_mb: Optional[float]

    def __str__(self) -> str:
        if self.predicting_mb is None or self.decoding_mb is None:
            return f'{self.film} with {self.protocol}: this system does not tell'
        total = self.predicting_mb + self.decoding_mb
        return (
            f'{self.film} with {self.protocol}: at most {total:.0f} MB, {self.predicting_mb:.0f} MB of the process '
            f'that predicts ({self.before_mb:.0f} MB before it began) and {self.decoding_mb:.0f} MB of the one that '
            'decodes; what they share is counted in both'
        )


def measure(folder: Path, seconds: float = 12, size: Tuple[int, int] = (3840, 2160)) -> FilmMemory:
    """Write a film into a folder and predict it with 30 views, by a tiny network that takes the views of a large one.

    Parameters
    ----------
    folder
        where the film is written
    seconds, size
        of the film, 25 frames a second; (W, H) pixels
    """
    path = folder / 'large.mp4'
    _write(path, int(25 * seconds), *size)
    net = get_model(MODEL, pretrained=True)
    net.input_spec = net.input_spec.replace(**VIEW)
    _forget_peak()
    before = _peak_mb(os.getpid())
    predict_with(net, str(path), protocol='30view', batch_size=1)
    decoding = [_peak_mb(process) for process in isolated.process_numbers()]
    return FilmMemory(
        f'{seconds:g} s of {size[0]}x{size[1]}',
        '30view',
        before,
        _peak_mb(os.getpid()),
        None if None in decoding else sum(mb or 0 for mb in decoding),
    )


def _write(path: Path, frames: int, width: int, height: int) -> None:
    texture = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    picture = texture.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), 'w') as container:
        codec = 'libx264' if 'libx264' in av.codecs_available else 'mpeg4'
        stream = container.add_stream(codec, rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        stream.options = {'preset': 'ultrafast'} if codec == 'libx264' else {}
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, 4 * number, axis=1), format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _forget_peak() -> None:
    """Let the peak begin anew, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5')


def _peak_mb(process: int) -> Optional[float]:
    try:
        status = Path(f'/proc/{process}/status').read_text()
        return int(status.split('VmHWM:')[1].split()[0]) * 1024 / 1e6
    except (OSError, IndexError, ValueError):
        return None
