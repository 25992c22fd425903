"""Encoding a video anew, smaller and quick to enter anywhere: H.264, short side 256, a key frame every 16 frames."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple

import av

from ..errors import UserError, VideoError, disk_line, refused_writing
from ..files import atomic_path
from .orientation import Orientation
from .packets import Scan, load_scan, short_reason
from .video import PyAVReader, VideoReader, open_video

SHORT_SIDE = 256  # pixels; a video that is smaller keeps its size
GROUP = 16  # frames from one key frame to the next; nothing before a key frame is needed after it
_OPTIONS = {
    'crf': '20',
    'preset': 'fast',
    'x264-params': f'keyint={GROUP}:min-keyint={GROUP}:scenecut=0:open-gop=0:bframes=0',
}


class Job(NamedTuple):
    """A video to encode: its file or folder of frames, the file to write, and the `Scan.dump` of a file."""

    source: str
    target: str
    scan: str


def encode(job: Job) -> str:
    """Encode a video: every frame, at the time that it had, upright, in the colors that it had.

    The target appears when it is complete. Colors are kept as they are coded, with what the file says of them; of a
    source that is turned or that is not YCbCr they are converted.

    Returns
    -------
    str
        '', or why the source cannot be read

    Raises
    ------
    UserError
        the disk is full or cannot be written to
    """
    try:
        os.makedirs(os.path.dirname(job.target), exist_ok=True)
        with atomic_path(job.target) as temporary:
            _write(job, temporary)
        return ''
    except Exception as error:  # decoders fail in many ways on damaged files, and none may end the work on the others
        refused = refused_writing(error)
        if refused:
            raise UserError(disk_line(refused)) from None
        return error.reason if isinstance(error, VideoError) else short_reason(error)


def fitted(width: int, height: int) -> Tuple[int, int]:
    """Tell the size, even both ways, of a frame whose short side is brought to `SHORT_SIDE` where it is longer."""
    scale = min(1.0, SHORT_SIDE / min(width, height))
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))


def _write(job: Job, path: str) -> None:
    scan = load_scan(job.scan) if job.scan else None
    reader: VideoReader = open_video(job.source) if scan is None else PyAVReader(job.source, scan)
    with reader, av.open(path, 'w', format='mp4') as container:
        unit = _unit(scan, reader.fps)
        stream = container.add_stream(
            'libx264', rate=Fraction(reader.fps).limit_denominator(100_000), options=dict(_OPTIONS)
        )
        stream.width, stream.height = fitted(*reader.size)
        stream.codec_context.time_base, stream.codec_context.thread_count = unit, 1
        for number, (frame, tags) in enumerate(_frames(reader, scan)):
            if number == 0:
                stream.pix_fmt = tags.pop('pix_fmt')
                for name, value in tags.items():
                    setattr(stream.codec_context, name, value)
            small = frame.reformat(stream.width, stream.height, stream.pix_fmt, interpolation='BICUBIC')
            small.pts = (
                number if scan is None or scan.pts is None or not scan.unit else int(scan.pts[number] - scan.pts[0])
            )
            small.time_base, small.pict_type = unit, 'NONE'  # a frame says of which kind it was, and so would be again
            container.mux(stream.encode(small))
        container.mux(stream.encode())


def _unit(scan: Optional[Scan], fps: float) -> Fraction:
    """Seconds of a step of the times of the target: the source's own where it has times."""
    if scan is None or scan.pts is None or not scan.unit:
        return 1 / Fraction(fps).limit_denominator(100_000)
    return Fraction(scan.unit).limit_denominator(1_000_000)


def _frames(reader: VideoReader, scan: Optional[Scan]) -> Iterator[Tuple[av.VideoFrame, Dict[str, Any]]]:
    """Each frame, upright, and how its colors are to be written."""
    for number in range(len(reader)):
        upright = scan is not None and scan.orientation == Orientation()
        frame = reader.coded(number) if isinstance(reader, PyAVReader) and upright else None
        if frame is None or not frame.format.name.startswith('yuv'):
            picture = reader.get_batch([number])[0]
            yield av.VideoFrame.from_ndarray(picture, format='rgb24'), {'pix_fmt': 'yuv420p'}
            continue
        full = frame.format.name.startswith('yuvj')
        tags: Dict[str, Any] = {'pix_fmt': 'yuvj420p' if full else 'yuv420p'}
        tags.update(colorspace=frame.colorspace, color_range=frame.color_range)
        yield frame, tags
