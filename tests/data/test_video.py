"""The right frame from any file, by either back end, or an error that names the file."""

import os
import struct
import sys

import av
import cv2
import numpy as np
import pytest
from numbered import numbered_frame, read_number

from gluon_fg import _runtime
from gluon_fg.data import transforms
from gluon_fg.data.packets import scan
from gluon_fg.data.video import ArrayReader, DecordReader, PyAVReader, open_video
from gluon_fg.errors import UserError, VideoError

IRREGULAR = np.cumsum(np.random.default_rng(0).integers(10, 200, 40)).tolist()  # ms
OPEN = 'open-gop=1:keyint=10:min-keyint=10:bframes=3'

# name, encoder options, and 'decord' where it is exact, too
FILES = [
    ('b-frames.mp4', dict(codec='libx264', bf='3'), 'decord'),
    ('b-frames.mkv', dict(codec='libx264', bf='3'), 'decord'),
    ('odd-444.mp4', dict(codec='libx264', size=(47, 65), pix_fmt='yuv444p'), 'decord'),
    ('irregular.mp4', dict(codec='libx264', bf='2', times=IRREGULAR), 'decord'),
    ('irregular.mkv', dict(codec='libx264', bf='2', times=IRREGULAR), 'decord'),
    ('late.mp4', dict(codec='libx264', bf='2', times=[2000 + 40 * i for i in range(40)]), 'decord'),
    ('full-range.mp4', dict(codec='libx264', pix_fmt='yuvj420p'), 'decord'),
    ('vp9.webm', dict(codec='libvpx-vp9'), 'decord'),
    ('one.mp4', dict(codec='libx264', frames=1), 'decord'),
    ('hevc.mp4', dict(codec='libx265', **{'x265-params': 'open-gop=0:bframes=4:log-level=error'}), 'decord'),
    ('hevc-open.mp4', dict(codec='libx265', **{'x265-params': 'open-gop=1:bframes=4:log-level=error'}), 'pyav'),
    ('mpeg4.avi', dict(codec='mpeg4', bf='0', b='900k'), 'decord'),
    # decord seeks to wrong frames in these, converts them otherwise, or miscounts
    ('mpeg4-b-frames.avi', dict(codec='mpeg4', bf='2', b='900k'), 'pyav'),
    ('mpeg4-b-frames.mp4', dict(codec='mpeg4', bf='2', b='900k'), 'pyav'),
    ('mpeg2.mpg', dict(codec='mpeg2video', bf='2', b='900k'), 'pyav'),
    ('open-groups.mp4', dict(codec='libx264', **{'x264-params': OPEN}), 'pyav'),
    ('refresh.mp4', dict(codec='libx264', **{'x264-params': 'intra-refresh=1:keyint=16:bframes=0'}), 'pyav'),
    ('stream.ts', dict(codec='libx264', bf='2'), 'pyav'),
    ('odd-height.mp4', dict(codec='mpeg4', size=(47, 65), bf='0', b='900k'), 'pyav'),
    ('ten-bit.mp4', dict(codec='libx264', pix_fmt='yuv420p10le'), 'pyav'),
]


def decode_all(path):
    """Every frame of a file, plainly from its start."""
    with av.open(str(path)) as container:
        return np.stack(
            [
                frame.to_ndarray(format='rgb24', interpolation='BICUBIC')
                for frame in container.decode(container.streams.video[0])
            ]
        )


@pytest.mark.parametrize('name, options, backend', FILES, ids=[entry[0] for entry in FILES])
def test_any_frame_of_any_file_is_the_right_one(write_video, name, options, backend):
    path = write_video(name, **options)
    truth, rng = decode_all(path), np.random.default_rng(1)
    total = options.get('frames', 40)
    assert [read_number(frame) for frame in truth] == list(range(total))
    for choice in ('auto', 'pyav', 'decord')[: 3 if backend == 'decord' else 2]:
        with open_video(path, choice) as reader:
            assert reader.backend == (choice if choice != 'auto' else 'pyav')
            assert len(reader) == total and reader.size == truth.shape[2:0:-1]
            for _ in range(6):  # one reader, back and forth
                wanted = rng.integers(0, total, 5)
                np.testing.assert_array_equal(reader.get_batch(wanted), truth[wanted])
        for wanted in ([total - 1], [total // 2, 0, total // 2], rng.integers(0, total, 3), np.arange(total)):
            with open_video(path, choice) as reader:  # a fresh one: the first seek starts from nowhere
                np.testing.assert_array_equal(reader.get_batch(wanted), truth[wanted])


def test_frames_that_nobody_asked_for_are_not_decoded(write_video):
    """B-frames on the way are left out, and read all the same when they are wanted later."""
    path = write_video('b-frames.mp4', codec='libx264', bf='3')
    truth = decode_all(path)
    with PyAVReader(str(path), scan(path)) as reader:
        for wanted in ([11, 23], np.arange(13, 23), [22], [21], np.arange(40)):
            np.testing.assert_array_equal(reader.get_batch(wanted), truth[wanted])
            if len(wanted) == 2:
                assert len(reader._skipped) > 2  # from the key frame before on


@pytest.mark.parametrize('backend', ['auto', 'pyav', 'decord'])
def test_frames_are_resized_as_they_are_decoded(plain_video, backend):
    wanted = [3, 20, 20, 39]
    with open_video(plain_video, backend) as reader:
        want = transforms.resize(reader.get_batch(wanted), 30, 41)
        np.testing.assert_array_equal(reader.get_batch(wanted, (30, 41)), want)
        memory = ArrayReader('x', reader.get_batch(wanted))
        np.testing.assert_array_equal(memory.get_batch([3, 1], (30, 41)), want[[3, 1]])


def test_every_single_seek_lands(write_video):
    for name, options, _ in FILES:
        if name in ('b-frames.mp4', 'open-groups.mp4', 'vp9.webm', 'mpeg4-b-frames.mp4'):
            path = write_video(name, **options)
            for number in range(40):
                with open_video(path) as reader, open_video(path, 'pyav') as other:
                    assert read_number(reader.get_batch([number])[0]) == number
                    assert read_number(other.get_batch([number])[0]) == number


def test_frames_per_second_and_size(plain_video, write_video):
    for backend in ('auto', 'pyav'):
        with open_video(plain_video, backend) as reader:
            assert (reader.fps, reader.size, reader.path) == (25, (64, 48), str(plain_video))
    with open_video(write_video('ten.mp4', rate=10)) as reader:
        assert reader.fps == 10


def patched(source, target, box, offset, data):
    """A copy of an mp4 file with bytes of a box replaced."""
    content = bytearray(source.read_bytes())
    at = content.find(box) + 4 + offset
    content[at : at + len(data)] = data
    target.write_bytes(content)
    return target


# (a, b, c, d) of the display matrix, which shows the pixel (x, y) at (a x + c y, b x + d y); axes are exchanged by
# b and c, and each reversed where its number is negative
@pytest.mark.parametrize(
    'matrix, expected',
    [
        ((0, 1, -1, 0), lambda f: f.transpose(0, 2, 1, 3)[:, :, ::-1]),  # a phone held upright
        ((-1, 0, 0, -1), lambda f: f[:, ::-1, ::-1]),
        ((0, -1, 1, 0), lambda f: f.transpose(0, 2, 1, 3)[:, ::-1]),
        ((-1, 0, 0, 1), lambda f: f[:, :, ::-1]),  # a front camera
        ((1, 0, 0, -1), lambda f: f[:, ::-1]),
        ((0, 1, 1, 0), lambda f: f.transpose(0, 2, 1, 3)),
        ((0, -1, -1, 0), lambda f: f.transpose(0, 2, 1, 3)[:, ::-1, ::-1]),
    ],
)
def test_a_film_held_upright_comes_out_upright(plain_video, tmp_path, matrix, expected):
    a, b, c, d = (v << 16 for v in matrix)
    data = struct.pack('>9i', a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path = patched(plain_video, tmp_path / 'turned.mp4', b'tkhd', 40, data)
    upright = expected(decode_all(plain_video))
    with open_video(path) as reader:
        assert reader.backend == 'pyav' and reader.size == upright.shape[2:0:-1]
        np.testing.assert_array_equal(reader.get_batch([3, 30]), upright[[3, 30]])


@pytest.mark.parametrize('matrix', [1, 2, 5, 6, 7, 9], ids=['709', 'unsaid', '470bg', '170m', '240m', '2020'])
@pytest.mark.parametrize('limits', [1, 2], ids=['limited', 'full'])
def test_colors_are_those_that_the_film_names_on_both_back_ends(tmp_path, matrix, limits):
    """Against the definition of the matrix, Y = kr R + kg G + kb B, in the middle of flat patches."""
    kr, kb = {1: (0.2126, 0.0722), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}.get(matrix, (0.299, 0.114))
    kg = 1 - kr - kb
    r, g, b = colors = np.array([[200, 60, 40], [30, 180, 90], [50, 70, 210], [220, 220, 60]]).T / 255
    y = kr * r + kg * g + kb * b
    u, v = (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)
    luma, chroma, black = (255, 255, 0) if limits == 2 else (219, 224, 16)
    planes = [
        np.kron(p, np.ones((64, 32))).round().astype(np.uint8)
        for p in (black + luma * y, 128 + chroma * u, 128 + chroma * v)
    ]
    frame = av.VideoFrame(128, 64, 'yuv420p')
    for plane, picture in zip(frame.planes, (planes[0], planes[1][::2, ::2], planes[2][::2, ::2])):
        lines = np.zeros((picture.shape[0], plane.line_size), np.uint8)
        lines[:, : picture.shape[1]] = picture
        plane.update(lines.tobytes())
    path = tmp_path / 'colors.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25, options={'crf': '4'})
        stream.width, stream.height, stream.pix_fmt = 128, 64, 'yuv420p'
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, limits
        frame.colorspace, frame.color_range = matrix, limits
        for frame.pts in range(3):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    shown = {}
    for backend in ('auto', 'pyav', 'decord'):
        with open_video(path, backend) as reader:
            shown[backend] = reader.get_batch([1])[0]
    np.testing.assert_array_equal(shown['pyav'], shown['decord'])
    np.testing.assert_array_equal(shown['auto'], shown['decord'])
    assert np.abs(shown['auto'][32, 16::32] - 255 * colors.T).max() < 5


def test_frames_cut_away_by_an_edit_list_are_not_counted(plain_video, tmp_path):
    content = plain_video.read_bytes()
    at = content.find(b'elst') + 16
    start = struct.unpack('>i', content[at : at + 4])[0]
    path = patched(plain_video, tmp_path / 'cut.mp4', b'elst', 12, struct.pack('>i', start + 7 * 512))
    with open_video(path) as reader:
        assert len(reader) == 33
        assert [read_number(frame) for frame in reader.get_batch(np.arange(33))] == list(range(7, 40))


def test_only_pyav_when_decord_would_crash(plain_video, monkeypatch):
    monkeypatch.setattr(_runtime, 'DECORD_SAFE', False)
    with open_video(plain_video) as reader:
        assert isinstance(reader, PyAVReader) and read_number(reader.get_batch([29])[0]) == 29
    with pytest.raises(VideoError, match="horovod was imported before it.*choose backend 'pyav'"):
        open_video(plain_video, 'decord')


def test_pyav_takes_over_what_decord_fails_on(plain_video, monkeypatch):
    class Broken:
        def get_batch(self, numbers):
            raise RuntimeError('[00:00:00] /src/decoder.cc:1: cannot')

    with open_video(plain_video, 'decord') as reader:
        assert isinstance(reader, DecordReader)
        reader._reader = Broken()
        assert [read_number(frame) for frame in reader.get_batch([31, 2])] == [31, 2]


def test_decord_is_refused_where_it_is_not_exact(write_video):
    with pytest.raises(VideoError, match='key frames do not cut it cleanly'):
        open_video(write_video('open.avi', 'mpeg4', bf='2'), 'decord')


def test_unreadable_files_are_named_with_the_reason(plain_video, tmp_path):
    def make(name, content):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    whole = plain_video.read_bytes()
    cases = {
        tmp_path / 'missing.mp4': 'no such file',
        make('empty.mp4', b''): 'empty file',
        make('text.mp4', b'not a video\n' * 50): 'cannot be read as a video',
        make('text.txt', b'not a video\n' * 50): 'is not a video',
        make('noise.avi', np.random.default_rng(0).bytes(5000)): 'cannot be read as a video',
        make('half.mp4', whole[: len(whole) // 2]): 'truncated',  # its index stood at the end
        make('head.mp4', whole[:40]): 'truncated',
    }
    for path, reason in cases.items():
        for backend in ('auto', 'pyav', 'decord'):
            with pytest.raises(VideoError, match=reason) as error:
                open_video(path, backend)
            assert error.value.path == str(path) and '\n' not in str(error.value)
    with pytest.raises(UserError, match="unknown video backend 'pyva'; did you mean 'pyav'"):
        open_video(plain_video, 'pyva')


def test_sound_alone_is_not_a_video(tmp_path):
    with av.open(str(tmp_path / 'sound.wav'), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=8000, layout='mono')
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout='mono')
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(VideoError, match='no video stream'):
        open_video(tmp_path / 'sound.wav')


def test_a_file_cut_short_has_the_frames_that_are_left(write_video, tmp_path):
    for name, codec in (('cut.mkv', 'libx264'), ('cut.avi', 'mpeg4')):
        whole = write_video(name, codec, bf='0', b='900k').read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) * 4 // 5])
        with open_video(tmp_path / name) as reader:
            total = len(reader)
            assert 5 < total < 40
            assert [read_number(frame) for frame in reader.get_batch(np.arange(total))] == list(range(total))


@pytest.mark.parametrize('backend', ['auto', 'pyav'])
def test_damage_stops_only_the_frames_behind_it(write_video, tmp_path, backend):
    one_key = {'x264-params': 'keyint=60:min-keyint=60:scenecut=0'}
    content = bytearray(write_video('whole.mp4', bf='0', **one_key).read_bytes())
    start = content.find(b'mdat') + 4
    end = content.find(b'moov')
    middle = (start + end) // 2
    content[middle:end] = b'\xff' * (end - middle)
    path = tmp_path / 'damaged.mp4'
    path.write_bytes(content)
    with open_video(path, backend) as reader:
        assert len(reader) == 40
        assert read_number(reader.get_batch([2])[0]) == 2  # decodes no further than asked
        with pytest.raises(VideoError, match=r'frame 39 of 40 cannot be decoded|can be decoded') as error:
            reader.get_batch([39])
        assert str(path) in str(error.value)
        assert read_number(reader.get_batch([3])[0]) == 3


@pytest.mark.parametrize('backend', ['auto', 'pyav'])
def test_frames_outside_the_video_are_refused(plain_video, backend):
    with open_video(plain_video, backend) as reader:
        for wrong, message in (
            ([0, 40], 'frame 40 is outside 0..39'),
            ([-1], 'frame -1'),
            ([], 'list of integers'),
            ([0.5], 'list of integers'),
            ([[1]], 'list of integers'),
        ):
            with pytest.raises(UserError, match=message):
                reader.get_batch(wrong)


def test_a_folder_of_images_is_a_video(tmp_path):
    for number in range(12):
        name = str(tmp_path / f'frame{number + 1}.png')  # 10 comes after 9, not after 1
        cv2.imwrite(name, np.ascontiguousarray(numbered_frame(number, 48, 64)[:, :, ::-1]))
    (tmp_path / 'notes.txt').write_text('not a frame')
    with open_video(tmp_path) as reader:
        assert (len(reader), reader.size, reader.backend) == (12, (64, 48), 'images')
        np.testing.assert_array_equal(reader.get_batch([11, 0, 11]), [numbered_frame(i, 48, 64) for i in (11, 0, 11)])
        (tmp_path / 'frame3.png').write_bytes(b'no image')
        with pytest.raises(VideoError, match='frame3.png: is not an image'):
            reader.get_batch([2])
        (tmp_path / 'frame4.png').unlink()
        with pytest.raises(VideoError, match='frame4.png: no such file'):
            reader.get_batch([3])
        cv2.imwrite(str(tmp_path / 'frame5.png'), np.zeros((10, 10, 3), np.uint8))
        with pytest.raises(VideoError, match='frame5.png: is 10x10, the first frame 64x48'):
            reader.get_batch([4])
    (tmp_path / 'none').mkdir()
    with pytest.raises(VideoError, match='holds no image'):
        open_video(tmp_path / 'none')


def test_frames_in_memory_cannot_be_spoilt():
    frames = np.zeros((4, 5, 6, 3), np.uint8)
    reader = ArrayReader('memory', frames)
    reader.get_batch([0, 1])[:] = 9
    assert len(reader) == 4 and reader.size == (6, 5) and not frames.any()


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
@pytest.mark.parametrize('backend', ['decord', 'pyav'])
def test_nothing_stays_open_and_memory_does_not_grow(write_video, backend):
    path = write_video('larger.mp4', size=(240, 320))  # 40 frames of it are 9 MB

    def resident():
        with open('/proc/self/statm') as stream:
            return int(stream.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20

    def read(times):
        for _ in range(times):
            with open_video(path, backend) as reader:
                reader.get_batch(np.arange(0, 40, 3))

    read(10)
    before, handles = resident(), len(os.listdir('/proc/self/fd'))
    read(60)
    assert len(os.listdir('/proc/self/fd')) <= handles
    assert resident() - before < 25


def test_scan_decides_by_the_packets(write_video):
    assert scan(write_video('a.mp4', bf='3')).not_decord == ''
    info = scan(write_video('b.avi', 'mpeg4', bf='2'))
    assert info.pts is None and info.length == 40 and info.not_decord
