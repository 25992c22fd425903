"""AVI files whose encoder was late: XviD and DivX write a byte in place of each frame that comes later.

UT-Interaction's 120 clips (XviD with packed B-frames) have one or two such bytes each behind the first frame: FFmpeg
and OpenCV show 87 frames of set 1's 55_10_4.avi, whose index counts 89.
"""

import subprocess
import sys

import av
import numpy as np
from numbered import read_number

from gluon_fg.data import packets
from gluon_fg.data.video import open_video

REMUX = """
import sys
import av
with av.open(sys.argv[1]) as source, av.open(sys.argv[2], 'w') as target:
    stream = target.add_stream(template=source.streams.video[0])
    late = 0
    for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
        packet.pts = packet.dts = number + late
        packet.stream = stream
        target.mux(packet)
        for _ in range(2 if number == 0 else 0):
            late += 1
            byte = av.Packet(b'\\x7f')
            byte.pts = byte.dts = number + late
            byte.time_base, byte.stream, byte.is_keyframe = packet.time_base, stream, True
            target.mux(byte)
"""


def test_bytes_in_place_of_late_frames_are_no_frames(write_video, tmp_path):
    plain = write_video('late.avi', codec='mpeg4', bf='2', frames=20)
    late = tmp_path / 'late.avi'
    subprocess.run([sys.executable, '-c', REMUX, plain, late], check=True, timeout=60)
    late.write_bytes(late.read_bytes().replace(b'FMP4', b'XVID').replace(b'Lavc', b'XviD'))  # as XviD signs its files
    with av.open(str(late)) as container:
        sizes = [packet.size for packet in container.demux(video=0)]
    assert sizes.count(1) == 2 and sum(map(bool, sizes)) == 22
    assert packets.scan(str(late)).length == 20
    with open_video(late) as reader:
        frames = reader.get_batch(np.arange(20))
        assert [read_number(frame) for frame in frames] == list(range(20))
        assert read_number(reader.get_batch([19])[0]) == 19
