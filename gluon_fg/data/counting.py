"""What decoding a whole file from its start gives: the frames as they come, and their times."""

from __future__ import annotations

from typing import Dict, Iterator, List, NamedTuple, Optional

import av

DECODE_ERRORS = (av.error.FFmpegError, EOFError)
# Containers of bytes, which do not say where a frame ends: the mark of a damaged packet means something before it there
WITHOUT_FRAMES = ('mpegts', 'mpeg', 'mpegvideo')


class Counted(NamedTuple):
    """The frames of a stream, in the order in which they are shown.

    `times` of each, None where it has none; `errors` packets that could not be decoded.
    """

    times: List[Optional[int]]
    errors: int

    @property
    def increasing(self) -> bool:
        """Whether every frame has a time, later than the one before."""
        times = self.times
        return None not in times and all(a < b for a, b in zip(times, times[1:]))  # type: ignore[operator]


def count(container: av.container.InputContainer, stream: int) -> Counted:
    """Decode a stream of a container that was just opened to its end."""
    chosen = container.streams[stream]
    chosen.codec_context.thread_count = 1
    chosen.codec_context.options = {'skip_loop_filter': 'all'}  # quicker, and no frame more or less
    times: List[Optional[int]] = []
    errors = 0
    for packet in packets_of(container, chosen):
        try:
            times += [frame.pts for frame in packet.decode()]
        except DECODE_ERRORS:
            errors += 1
    return Counted(times, errors)


def packets_of(container: av.container.InputContainer, *streams: av.video.VideoStream) -> Iterator[av.Packet]:
    """The packets that a decoder is to be given, the last of each stream empty: it lets go of the frames it holds.

    Two kinds are left out: an empty one on the way, as AVI has in place of a frame that is like the one before, which
    would end decoding too soon; and the last one where the file ends inside it.
    """
    framed = container.format.name not in WITHOUT_FRAMES
    cut_off: Dict[int, av.Packet] = {}  # by stream: a packet that is short, and perhaps the last
    for packet in container.demux(*streams):
        if packet.size:
            short = cut_off.pop(packet.stream_index, None)
            if short is not None:
                yield short
            if framed and packet.is_corrupt:
                cut_off[packet.stream_index] = packet
            else:
                yield packet
        elif packet.pts is None and packet.dts is None:
            yield packet
