"""Frame i is the i-th frame that decoding a file from its start shows, where a packet is not a frame."""

import re
import subprocess
import sys

import av
import fields
import numpy as np
import pytest
from numbered import read_number

from gluon_fg.data import packets
from gluon_fg.data.decoding import PyAVReader
from gluon_fg.data.packets import load_scan, scan
from gluon_fg.data.video import open_video
from gluon_fg.errors import VideoError

REMUX = """
import sys
import av
source, target, change = sys.argv[1:]
with av.open(source) as given, av.open(target, 'w') as out:
    stream = out.add_stream(template=given.streams.video[0])
    for number, packet in enumerate(p for p in given.demux(video=0) if p.size):
        data = eval(change)(number, bytes(packet))
        if data is not None:
            kept = av.Packet(data)
            kept.pts, kept.dts, kept.is_keyframe = packet.pts, packet.dts, packet.is_keyframe
            kept.time_base, kept.stream = packet.time_base, stream
            out.mux(kept)
"""


def remux(source, target, change):
    """The packets of a film in another file; `change(number, bytes)` gives those of each packet, None leaves it out."""
    subprocess.run([sys.executable, '-c', REMUX, source, target, change], check=True, timeout=60)
    return target


def check_numbers(path, counted=None, numbers=read_number):
    """Each frame, alone and in order, is the one that decoding the whole file gives; returns what they show."""
    truth = []
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.video[0]):
            try:
                truth += [frame.to_ndarray(format='rgb24') for frame in packet.decode()]
            except av.error.FFmpegError:
                pass
    info = scan(str(path))
    assert counted is None or info.counted == counted
    assert info.length == len(truth)
    with open_video(path) as reader:
        np.testing.assert_array_equal(reader.get_batch(np.arange(len(truth))), truth)
    for number in range(0, len(truth), 3):
        with open_video(path) as reader:
            np.testing.assert_array_equal(reader.get_batch([number])[0], truth[number], f'frame {number}')
    return [numbers(frame) for frame in truth]


def test_two_fields_are_one_frame(tmp_path):
    for path in fields.write_fields(tmp_path):
        assert check_numbers(path, True, fields.read_number) == list(range(30)), path.name
        with open_video(path) as reader:
            assert path.suffix == '.h264' or reader.fps == 25
            assert [fields.read_number(reader.get_batch([number])[0]) for number in (20, 22, 29)] == [20, 22, 29]


@pytest.mark.parametrize('codec', ['libx264', 'mpeg2video'])
def test_a_stream_that_begins_inside_a_group(write_video, tmp_path, codec):
    whole = write_video(f'{codec}.ts', codec, bf='2', b='900k').read_bytes()
    for name, start in (('packet.ts', len(whole) // 4 // 188 * 188), ('byte.ts', len(whole) // 3)):
        path = tmp_path / name
        path.write_bytes(whole[start:])
        shown = check_numbers(path, True)
        assert 10 < len(shown) < 40 and shown == list(range(shown[0], 40))


@pytest.mark.parametrize(
    'codec, options',
    [
        ('libx265', {'x265-params': 'open-gop=1:keyint=10:min-keyint=10:bframes=3:log-level=error'}),
        ('libx264', {'x264-params': 'open-gop=1:keyint=10:min-keyint=10:bframes=3'}),
        ('mpeg2video', {'bf': '2', 'g': '10', 'b': '900k'}),
    ],
)
def test_a_film_cut_where_frames_refer_to_what_came_before(write_video, tmp_path, codec, options):
    source = write_video(f'open-{codec}.mkv', codec, **options)
    with av.open(str(source)) as container:
        sent = [packet for packet in container.demux(video=0) if packet.size]
    second = [i for i, packet in enumerate(sent) if packet.is_keyframe][1]
    path = remux(source, tmp_path / 'cut.mkv', f'lambda n, data: data if n >= {second} else None')
    shown = check_numbers(path)
    assert len(shown) <= len(sent) - second and shown == list(range(shown[0], 40))


@pytest.mark.parametrize('ending', ['webm', 'avi'])
def test_hidden_frames_are_not_counted(write_video, tmp_path, ending):
    """VP8's frames that are never shown, as its encoder makes them for others to refer to."""
    hide = 'lambda n, data: bytes([data[0] & ~16]) + data[1:] if n in (5, 17) else data'
    path = remux(write_video(f'vp8.{ending}', 'libvpx', b='900k'), tmp_path / f'hidden.{ending}', hide)
    assert check_numbers(path, ending == 'avi' and None) == [n for n in range(40) if n not in (5, 17)]


def test_joined_streams_whose_times_restart(write_video, tmp_path):
    part = write_video('part.ts', 'libx264', bf='2').read_bytes()
    path = tmp_path / 'joined.ts'
    path.write_bytes(part + part)
    assert check_numbers(path, True) == 2 * list(range(40))
    assert scan(str(path)).pts is None


def test_frames_that_divx_packs_together(write_video, tmp_path):
    """In AVI a frame that is shown before the one sent with it stands in one packet with that, then comes a blank."""
    source = write_video('divx.avi', 'mpeg4', bf='1', b='900k')
    with av.open(str(source)) as container:
        sent = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    kinds = [data[data.index(b'\0\0\1\xb6') + 4] >> 6 for data in sent]  # 0: I, 1: P, 2: B
    signed = sent[0].index(b'\0\0\1\xb6')
    sent[0] = sent[0][:signed] + b'\0\0\1\xb2DivX503b1393p' + sent[0][signed:]
    packed = list(sent)
    for n in range(1, len(sent)):
        if kinds[n] == 2:
            packed[n - 1], packed[n] = sent[n - 1] + sent[n], b'\0\0\1\xb6\x50\0\0'
    path = remux(source, tmp_path / 'packed.avi', f'lambda n, data: {packed!r}[n]')
    path.write_bytes(path.read_bytes().replace(b'FMP4', b'DX50'))
    assert kinds.count(2) > 10
    assert check_numbers(path, True) == list(range(40))


def test_packets_that_are_lost_from_an_avi(write_video, tmp_path):
    """Its header counts more of them: frames are counted, and decord, which would show others, is refused."""
    content = write_video('lost.avi', 'mjpeg', pix_fmt='yuvj420p').read_bytes()
    places = [match.start() for match in re.finditer(b'00dc', content)]
    for place in places[9:11]:  # the first stands in the header
        content = content[:place] + b'JUNK' + content[place + 4 :]
    path = tmp_path / 'lost.avi'
    path.write_bytes(content)
    assert check_numbers(path, True) == [n for n in range(40) if n not in (8, 9)]
    with pytest.raises(VideoError, match='its header counts other packets than there are'):
        open_video(path, 'decord')


def test_a_stream_cut_inside_its_last_frame(write_video, tmp_path):
    whole = write_video('whole.ts', 'mpeg2video', bf='0', b='900k').read_bytes()
    path = tmp_path / 'cut.ts'
    path.write_bytes(whole[: len(whole) * 3 // 4])
    with open_video(path) as reader:
        last = len(reader) - 1
        assert [read_number(frame) for frame in reader.get_batch(np.arange(last))] == list(range(last))
        try:
            assert read_number(reader.get_batch([last])[0]) == last
        except VideoError as error:
            assert f'ends inside frame {last}' in str(error)


def test_the_last_frame_stands_for_those_that_never_come(plain_video):
    """Where a scan promised more: a number is one frame, before that shows and after."""
    info = scan(str(plain_video))
    step = int(info.pts[1] - info.pts[0])
    more = info._replace(length=42, pts=np.append(info.pts, info.pts[-1] + step * np.array([1, 2])))
    with PyAVReader(str(plain_video), more) as reader:
        assert [read_number(f) for f in reader.get_batch([11, 41, 40, 39, 11])] == [11, 39, 39, 39, 11]
        assert [read_number(f) for f in reader.get_batch(np.arange(42))] == [*range(40), 39, 39]
        assert len(reader) == 42


def test_a_number_never_means_two_frames(plain_video):
    """Where a scan promised another frame in the middle: those known stay, that one and later counts are refused."""
    info = scan(str(plain_video))
    pts = np.insert(info.pts, 20, (info.pts[19] + info.pts[20]) // 2)
    keys = info.keys + (info.keys >= 20)
    with PyAVReader(str(plain_video), info._replace(length=41, pts=pts, keys=keys)) as reader:
        assert read_number(reader.get_batch([38])[0]) == 37
        for wanted, said in (([20], 'frame 20 of its 41 is missing'), ([19, 20], 'frame 20 of its 41 is missing')):
            with pytest.raises(VideoError, match=said):
                reader.get_batch(wanted)
        assert [read_number(f) for f in reader.get_batch([38, 5])] == [37, 5]
    shifted = info._replace(pts=info.pts + 1)
    with PyAVReader(str(plain_video), shifted) as reader:  # times that no frame has: counted from the start
        assert [read_number(f) for f in reader.get_batch([38, 5, 39])] == [38, 5, 39]


def test_scans_of_former_versions_are_not_read(plain_video):
    text = scan(str(plain_video)).dump()
    assert load_scan(text).length == 40
    for other in (text.replace('"version":2', '"version":1'), text.replace(',"version":2', '')):
        assert other != text
        with pytest.raises(ValueError):
            load_scan(other)


TRACKS = """
import sys
import av, numpy as np
from fractions import Fraction
def picture(number, size):
    frame = np.full((size, size, 3), 30 * number, np.uint8)
    return av.VideoFrame.from_ndarray(frame, format='rgb24').reformat(format='yuv420p')
with av.open(sys.argv[1], 'w') as out:
    tracks = [out.add_stream('mpeg4', rate=25) for _ in range(3)]
    for track, size in zip(tracks, (256, 64, 128)):
        track.width, track.height, track.pix_fmt = size, size, 'yuv420p'
    for number in range(8):
        for track, size, last in zip(tracks, (256, 64, 128), (1, 8, 6)):
            if number < last:
                frame = picture(number, size)
                frame.pts, frame.time_base = number, Fraction(1, 25)
                out.mux(track.encode(frame))
    for track in tracks:
        out.mux(track.encode())
"""


def test_of_several_streams_the_film_is_read(tmp_path):
    """Not the one picture of a large size that comes first, but the largest of those with many frames."""
    path = tmp_path / 'tracks.mkv'
    subprocess.run([sys.executable, '-c', TRACKS, path], check=True, timeout=60)
    with open_video(path) as reader:
        assert (len(reader), reader.size) == (6, (128, 128))
        means = reader.get_batch(np.arange(6)).mean((1, 2, 3))
        assert np.abs(means - 30 * np.arange(6)).max() < 4


def test_what_no_decoder_is_for_and_what_names_other_files(write_video, tmp_path):
    content = write_video('whole.mkv', bf='2').read_bytes()
    (tmp_path / 'codec.mkv').write_bytes(content.replace(b'V_MPEG4/ISO/AVC', b'V_MPEX4/ISO/AVC'))
    (tmp_path / 'list.mp4').write_text('#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n')
    for name, said in (('codec.mkv', 'there is no decoder for its codec'), ('list.mp4', 'video')):
        with pytest.raises(VideoError, match=said):
            open_video(tmp_path / name)
    bad = tmp_path.joinpath(b'caf\xe9.mp4'.decode('utf-8', 'surrogateescape'))
    bad.write_bytes(write_video('named.mp4', bf='2').read_bytes())
    for backend in ('auto', 'decord'):
        try:
            with open_video(bad, backend) as reader:
                assert read_number(reader.get_batch([31])[0]) == 31
        except VideoError as error:
            assert backend == 'decord' and 'decord cannot be used' in str(error)


@pytest.mark.parametrize('error', [MemoryError('x'), OverflowError('x'), av.error.InvalidDataError(1, 'x'), OSError(5)])
def test_every_error_of_a_back_end_names_the_file(plain_video, monkeypatch, error):
    def fail(path, container):
        raise error

    monkeypatch.setattr(packets, 'film_of', fail)
    with pytest.raises(VideoError, match='plain.*cannot be read as a video'):
        scan(str(plain_video))
