"""How large a picture, a film and what is decoded of them at once may be: a small file can claim any size.

Each check costs nothing and comes before memory is asked for. The limits lie above what cameras make: whatever is
within them is read in less than 1 GB of memory, but for what `MAX_BATCH_BYTES` leaves to those who ask for more.
"""

from __future__ import annotations

from ..errors import VideoError

MAX_PIXELS = 109_000_000  # of a picture: cameras of 108 megapixels make 12032 x 9024
MAX_PICTURE_BYTES = 2**28  # of a picture's file
# Of a frame of a film: the largest of H.264's and HEVC's level 6.2, as 8192 x 4352. Decoders hold up to 17 such frames.
MAX_FRAME_PIXELS = 35_651_584
MAX_FRAMES = 2**22  # of a film: 38 hours at 30 frames per second
MAX_BATCH_BYTES = 2**31  # of the frames that one `get_batch` returns


def check_picture(path: str, width: int, height: int, memory: float = 1.0) -> None:
    """Refuse a picture whose header claims a size that no picture has.

    Parameters
    ----------
    path
        the picture's file, for the message
    width, height
        pixels, as its header says
    memory
        how much more memory than others it takes to be decoded

    Raises
    ------
    VideoError
        no pixel, or more than `MAX_PIXELS` / `memory`
    """
    _check_pixels(path, width, height, int(MAX_PIXELS / memory), 'a picture')


def check_frame(path: str, width: int, height: int) -> None:
    """Refuse a film whose frames are of a size that no film has; `MAX_FRAME_PIXELS` and what else `check_picture` says.

    A stream may change its size on the way: each frame is to be checked that is of another size than the one before.
    """
    _check_pixels(path, width, height, MAX_FRAME_PIXELS, 'a frame of a film')


def check_length(path: str, frames: int) -> None:
    """Refuse a film of more than `MAX_FRAMES` frames; raises VideoError."""
    if frames > MAX_FRAMES:
        raise VideoError(path, f'has more than {MAX_FRAMES} frames; cut it into parts')


def check_batch(path: str, frames: int, height: int, width: int, channels: int = 3) -> None:
    """Refuse to decode more frames at once than memory should hold.

    Parameters
    ----------
    path
        the video's file, for the message
    frames, height, width, channels
        what is asked for, as uint8 (T, H, W, C)

    Raises
    ------
    VideoError
        it takes more than `MAX_BATCH_BYTES`
    """
    size = frames * height * width * channels
    if size > MAX_BATCH_BYTES:
        raise VideoError(
            path,
            f'{frames} frames of {width}x{height} take {size / 1e9:.1f} GB at once, '
            f'the limit is {MAX_BATCH_BYTES / 1e9:.1f} GB; ask for fewer of them, or for a smaller size',
        )


def _check_pixels(path: str, width: int, height: int, limit: int, kind: str) -> None:
    if width < 1 or height < 1:
        raise VideoError(path, f'claims a size of {width}x{height}')
    if width * height > limit:
        raise VideoError(
            path,
            f'claims a size of {width}x{height}, {width * height / 1e6:.0f} million pixels; '
            f'{kind} may have {limit / 1e6:.0f} million',
        )
