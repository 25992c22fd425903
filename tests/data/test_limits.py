"""Limits of what a picture, a film and a batch of frames may take."""

import pytest

from gluon_fg.data import limits
from gluon_fg.errors import VideoError


@pytest.mark.parametrize('width, height', [(1, 1), (12032, 9024), (1, limits.MAX_PIXELS)])
def test_a_picture_within_the_limit_is_taken(width, height):
    assert limits.check_picture('a.png', width, height) is None


@pytest.mark.parametrize('width, height', [(60000, 60000), (12032, 9060), (0, 5), (5, -1), (2**31, 2**31)])
def test_a_picture_beyond_it_is_refused_by_name_and_size(width, height):
    with pytest.raises(VideoError, match=rf'^a\.png: claims a size of {width}x{height}'):
        limits.check_picture('a.png', width, height)


def test_frames_of_films_have_a_limit_of_their_own():
    assert limits.check_frame('a.mp4', 7680, 4320) is None
    with pytest.raises(VideoError, match=r'^a\.mp4: .*8000x8000, 64 million pixels; a frame of a film may have 36'):
        limits.check_frame('a.mp4', 8000, 8000)


def test_a_film_has_at_most_so_many_frames():
    assert limits.check_length('a.ts', limits.MAX_FRAMES) is None
    with pytest.raises(VideoError, match='^a.ts: has more than 4194304 frames'):
        limits.check_length('a.ts', limits.MAX_FRAMES + 1)


def test_one_batch_is_bounded_by_its_bytes():
    assert limits.check_batch('a.mp4', 86, 2160, 3840) is None
    with pytest.raises(VideoError, match=r'^a\.mp4: 300 frames of 3840x2160 take 7\.5 GB at once, the limit is 2\.1'):
        limits.check_batch('a.mp4', 300, 2160, 3840)
