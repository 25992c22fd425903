"""Pictures read by their bytes: what they are, whether they are whole, what size they claim, how they are named."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from gluon_fg.data.video import IMAGE_SUFFIXES, open_video, read_image
from gluon_fg.errors import VideoError

PICTURE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (40, 64, 3)).astype(np.uint8), (9, 9), 3)
TURNED = Image.Exif()
TURNED[0x112] = 6  # a quarter clockwise
KINDS = {
    'jpeg': {'format': 'JPEG', 'quality': 90},
    'progressive': {'format': 'JPEG', 'progressive': True},
    'turned': {'format': 'JPEG', 'exif': TURNED},
    'png': {'format': 'PNG'},
    'apng': {'format': 'PNG', 'save_all': True, 'append_images': [Image.fromarray(255 - PICTURE)]},
    'webp': {'format': 'WEBP', 'lossless': True},
    'bmp': {'format': 'BMP'},
    'gif': {'format': 'GIF', 'save_all': True, 'append_images': [Image.fromarray(255 - PICTURE)]},
}
WHOLE = ('png', 'apng', 'webp', 'bmp')  # nothing is lost in these


def coded(kind):
    stream = io.BytesIO()
    Image.fromarray(PICTURE).save(stream, **KINDS[kind])
    return stream.getvalue()


def png(width, height, claimed=None):
    """A PNG of one part of picture data that says nothing; `claimed`: the length that this part claims."""

    def part(kind, data, length=None):
        size = len(data) if length is None else length
        return struct.pack('>I', size) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    parts = part(b'IHDR', header) + part(b'IDAT', zlib.compress(bytes(100)), claimed) + part(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + parts


def jpeg(width, height, frame=0xC0):
    """A JPEG of that size whose picture is missing."""
    sized = struct.pack('>BBHBHHB', 0xFF, frame, 17, 8, height, width, 3) + b'\1\x11\0\2\x11\1\3\x11\1'
    return b'\xff\xd8' + sized + b'\xff\xda\0\x0c\3\1\0\2\x11\3\x11\0\x3f\0' + bytes(100) + b'\xff\xd9'


@pytest.mark.parametrize('suffix', IMAGE_SUFFIXES)
@pytest.mark.parametrize('kind', sorted(KINDS))
def test_a_picture_is_what_its_bytes_say_not_its_name(tmp_path, kind, suffix):
    path = tmp_path / f'a{suffix}'
    path.write_bytes(coded(kind))
    read = read_image(str(path))
    if kind in WHOLE:
        assert (read == PICTURE).all()
        return
    shown = np.rot90(read) if kind == 'turned' else read
    assert shown.shape == PICTURE.shape and np.abs(shown.astype(int) - PICTURE).mean() < 6
    if kind != 'gif':  # OpenCV may be built without it
        assert (read == cv2.imread(str(path))[..., ::-1]).all()


@pytest.mark.parametrize('kind', sorted(KINDS))
@pytest.mark.parametrize('share', [0.02, 0.5, 0.97])
def test_what_is_cut_short_is_refused(tmp_path, kind, share):
    path = tmp_path / 'a.jpg'
    data = coded(kind)
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(VideoError, match=r'a\.jpg: (is|cannot)') as caught:
        read_image(str(path))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('place', [30, 60, 300, -30, -14])
def test_a_damaged_png_is_refused(tmp_path, place):
    data = bytearray(coded('png'))
    data[place] ^= 4
    (tmp_path / 'a.png').write_bytes(data)
    with pytest.raises(VideoError, match=r'a\.png: is (damaged|cut short)'):
        read_image(str(tmp_path / 'a.png'))


def test_a_damaged_animation_does_not_end_the_process(tmp_path):
    data = coded('apng')
    at = data.index(b'IDAT') + 4
    (length,) = struct.unpack_from('>I', data, at - 8)
    picture = zlib.compress(b'\x07' + zlib.decompress(data[at : at + length])[1:])  # a filter that there is not
    part = b'IDAT' + picture
    data = (
        data[: at - 8]
        + struct.pack('>I', len(picture))
        + part
        + struct.pack('>I', zlib.crc32(part))
        + data[at + length + 4 :]
    )
    (tmp_path / 'a.png').write_bytes(data)
    with pytest.raises(VideoError, match='is not an image that can be read'):
        read_image(str(tmp_path / 'a.png'))


@pytest.mark.parametrize(
    'data, reason',
    [
        (png(60000, 60000), r'claims a size of 60000x60000, 3600 million pixels; a picture may have 109'),
        (png(2**31 - 1, 1), r'claims a size of 2147483647x1'),
        (png(64, 48, claimed=2**32 - 20), 'is cut short, or damaged'),
        (png(0, 48), 'claims a size of 0x48'),
        (jpeg(30000, 30000), 'claims a size of 30000x30000, 900 million'),
        (jpeg(9000, 9000, frame=0xC2), 'claims a size of 9000x9000, 81 million pixels; a picture may have 73'),
        (jpeg(64, 0), 'claims a size of 64x0'),
        (b'GIF89a' + struct.pack('<HH', 60000, 60000) + bytes(50) + b';', 'is not an image|claims a size'),
        (b'\xff\xd8\xff', 'is cut short'),
        (b'\xff\xd8\xff\xe0\0\x10JFIF', 'is cut short'),
        (b'', 'is an empty file'),
        (b'<html>not found</html>', 'is not an image that can be read'),
        (b'\0\0\0\x1cftypheic\0\0\0\0mif1heic', 'is not an image that can be read'),
        (bytes(1000), 'is not an image that can be read'),
    ],
)
def test_impossible_pictures_are_refused_by_name_before_they_are_decoded(tmp_path, monkeypatch, data, reason):
    monkeypatch.setattr(cv2, 'imdecode', lambda *given: pytest.fail('it was decoded'))
    (tmp_path / 'a.png').write_bytes(data)
    with pytest.raises(VideoError, match=rf'a\.png: .*({reason})'):
        open_video(str(tmp_path / 'a.png'))


def test_a_picture_of_many_bytes_is_not_read(tmp_path):
    with open(tmp_path / 'a.png', 'wb') as stream:
        stream.truncate(2**33)  # takes no room on the disk
    with pytest.raises(VideoError, match=r'a\.png: has 8590 MB; a picture may have 268'):
        read_image(str(tmp_path / 'a.png'))


@pytest.mark.parametrize('name', [b'caf\xe9.png', b'\xff\xfe.png', 'naïve 影.png'.encode(), b'a\nb\x1b.png'])
def test_any_name_can_be_read(tmp_path, name):
    path = os.path.join(os.fsencode(tmp_path), name)
    with open(path, 'wb') as stream:
        stream.write(coded('png'))
    with open_video(os.fsdecode(path)) as reader:
        assert (reader.get_batch([0])[0] == PICTURE).all()


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / 'pipe.png')
    for path in (str(tmp_path / 'pipe.png'), '/dev/zero'):
        with pytest.raises(VideoError, match='is not a file'):
            read_image(path)
    with pytest.raises(VideoError, match='no such file'):
        read_image(str(tmp_path / 'absent.png'))
    with pytest.raises(VideoError, match=r'a\.png/b\.png: cannot be read'):
        (tmp_path / 'a.png').write_bytes(b'')
        read_image(str(tmp_path / 'a.png' / 'b.png'))


def test_a_folder_that_is_called_like_a_film_holds_frames_or_is_refused(tmp_path):
    (tmp_path / 'a.mp4').mkdir()
    with pytest.raises(VideoError, match=r'a\.mp4: this folder holds no image'):
        open_video(str(tmp_path / 'a.mp4'))
    for number in range(3):
        (tmp_path / 'a.mp4' / f'{number}.png').write_bytes(coded('png'))
    (tmp_path / 'a.mp4' / '1.png').write_bytes(coded('png')[:90])
    with open_video(str(tmp_path / 'a.mp4')) as reader:
        assert (reader.get_batch([2, 0]) == PICTURE).all()
        with pytest.raises(VideoError, match=r'1\.png: is cut short'):
            reader.get_batch([1])
