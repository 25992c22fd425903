"""Frames of a program in place of a file: every form of the same frames is read alike, each mistake told in a line."""

import mxnet as mx
import numpy as np
import pytest
from PIL import Image

import gluon_fg
from gluon_fg.analysis.localization import localize
from gluon_fg.data.video import ArrayReader
from gluon_fg.errors import UserError
from gluon_fg.evaluation.frames import frames_of, is_frames, videos_of

FRAMES = np.random.default_rng(0).integers(0, 255, (9, 12, 15, 3), np.uint8)


class Tensor:
    """PyTorch's manners."""

    shape = FRAMES.shape

    def detach(self):
        return self

    def cpu(self):
        return FRAMES


@pytest.mark.parametrize(
    'given',
    [
        FRAMES,
        list(FRAMES),
        tuple(FRAMES),
        [Image.fromarray(picture) for picture in FRAMES],
        [mx.nd.array(picture, dtype='uint8') for picture in FRAMES],
        mx.nd.array(FRAMES, dtype='uint8'),
        FRAMES[..., ::-1][..., ::-1],
        np.asfortranarray(FRAMES),
        Tensor(),
    ],
    ids=['array', 'list', 'tuple', 'PIL', 'NDArrays', 'NDArray', 'backwards', 'Fortran', 'tensor'],
)
def test_every_form_of_frames_is_the_same_film(given):
    assert is_frames(given) and videos_of(given)[0] is given
    np.testing.assert_array_equal(frames_of(given), FRAMES)
    with ArrayReader('frames', frames_of(given)) as reader:
        np.testing.assert_array_equal(reader.get_batch([3, 1]), FRAMES[[3, 1]])


def test_a_picture_is_a_film_of_one_frame():
    for given in (FRAMES[2], Image.fromarray(FRAMES[2]), [FRAMES[2]], Image.fromarray(FRAMES[2]).quantize(256)):
        assert is_frames(given)
        assert frames_of(given).shape == (1, 12, 15, 3)
    np.testing.assert_array_equal(frames_of(Image.fromarray(FRAMES[2])), FRAMES[2:3])


@pytest.mark.parametrize(
    'frames, message',
    [
        (
            FRAMES.astype('f4'),
            r"got float32 .*: give frames.round\(\).clip\(0, 255\).astype\('uint8'\); frames are uint8",
        ),
        (FRAMES / 255, r'got float64 .*: give \(255 \* frames\).round'),
        (FRAMES.astype(int), r"got int64 .*: where all values are 0 to 255, give frames.astype\('uint8'\)"),
        (FRAMES[..., 0], r'got uint8 \(9, 12, 15\), which looks gray: np.repeat\(frames\[..., None\], 3, -1\)'),
        (list(FRAMES[..., 0]), 'looks gray'),
        (FRAMES[..., :1], r'looks gray: np.repeat\(frames, 3, -1\)'),
        (np.concatenate([FRAMES, FRAMES[..., :1]], -1), r'with transparency: give frames\[..., :3\]'),
        (FRAMES.transpose(0, 3, 1, 2), r'\(9, 3, 12, 15\), channels first: give frames.transpose\(0, 2, 3, 1\)'),
        (FRAMES.transpose(3, 0, 1, 2), r'channels first: give frames.transpose\(1, 2, 3, 0\)'),
        (FRAMES[None], r'several videos: give list\(frames\)'),
        (FRAMES[:0], 'which holds nothing'),
        (FRAMES[:, :0], 'which holds nothing'),
        ([FRAMES[0], FRAMES[0, :5]], r'one size, got \(5, 15, 3\) and \(12, 15, 3\)'),
        ([FRAMES[0], FRAMES[0].astype(int)], 'one type, got int64 and uint8'),
    ],
)
def test_frames_of_another_form_are_refused_with_what_to_do(frames, message):
    assert is_frames(frames)
    with pytest.raises(UserError, match=message) as error:
        frames_of(frames)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('given', [None, 5, b'film.mp4', {'film': 1}, open])
def test_what_is_no_video_is_said(given):
    with pytest.raises(UserError, match='no video; give a path, frames, or a list of these'):
        videos_of(given)
    with pytest.raises(UserError, match='frames are uint8'):
        frames_of([given])


def test_several_videos_may_come_from_anything():
    paths = ['a.mp4', 'b.mp4']
    for given in (paths, tuple(paths), iter(paths), np.array(paths), np.array(paths, object)):
        assert videos_of(given) == paths
    assert videos_of([]) == [] and not is_frames([]) and not is_frames('a.mp4')
    films = videos_of(film for film in (FRAMES, list(FRAMES)))
    assert len(films) == 2 and films[0] is FRAMES  # the first is not lost in looking at it


def test_frames_are_taken_where_a_file_is():
    net = gluon_fg.load_model('i3d_tiny_synthfg_dfb')
    film = np.random.default_rng(1).integers(0, 255, (10, 64, 72, 3), np.uint8)
    whole = [gluon_fg.predict(given, net, topk=2) for given in (film, [film], iter([film, film[::-1]]))]
    assert whole[0] == whole[1][0] and len(whole[2]) == 2
    picture = gluon_fg.predict(film[0], net, topk=2)
    assert picture == gluon_fg.predict(film[:1], net, topk=2) != whole[0]
    peaks = [localize(net, given, filters=[3]) for given in (film, list(film), ArrayReader('frames', film))]
    assert peaks[0] == peaks[1] == peaks[2] and peaks[0][0].filter == 3
