"""A clip listed by its times is the stretch of the film that is shown then, for every reader."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numbered import read_number

from gluon_fg.data import LabelSet, VideoDataset, VideoRecord, from_csv
from gluon_fg.data.segments import SegmentReader, cut
from gluon_fg.data.video import ArrayReader, open_video
from gluon_fg.errors import UserError, VideoError
from gluon_fg.evaluation.score import video_ids

AB = LabelSet(('a', 'b'))


def numbers(reader):
    return [read_number(frame) for frame in reader.get_batch(np.arange(len(reader)))]


@pytest.mark.parametrize('backend', ['decord', 'pyav'])
@pytest.mark.parametrize(
    ('start', 'end', 'expected'),
    [
        (None, None, range(40)),
        (0, 0.4, range(10)),
        (0.4, 0.8, range(10, 20)),
        (0.41, 0.79, range(11, 20)),  # 0.44 s is the first at or after 0.41 s
        (1.0, None, range(25, 40)),
        (None, 0.2, range(5)),
        (1.2, 9.0, range(30, 40)),  # past the end: the film's own end
    ],
)
def test_a_stretch_has_the_frames_shown_in_it(plain_video, backend, start, end, expected):
    with cut(open_video(str(plain_video), backend), start, end) as reader:
        assert numbers(reader) == list(expected)
        assert len(reader) == len(expected) and reader.fps == 25 and reader.size == (64, 48)
        assert [read_number(f) for f in reader.get_batch([len(reader) - 1, 0])] == [expected[-1], expected[0]]
        with pytest.raises(UserError, match=f'frame {len(expected)} is outside'):
            reader.get_batch([len(expected)])


def test_frames_own_times_decide_where_their_distance_changes(write_video):
    """A film that shows its first twenty frames 100 ms each, and the others 20 ms each, as a phone's films may."""
    times = [100 * min(i, 20) + 20 * max(i - 20, 0) for i in range(40)]
    path = str(write_video('uneven.mp4', times=times))
    for backend in ('auto', 'pyav'):
        with cut(open_video(path, backend), 1.0, 2.1) as reader:
            assert numbers(reader) == [i for i in range(40) if 1000 <= times[i] < 2100] == list(range(10, 25))


def test_avi_tells_no_times_and_is_cut_by_its_rate(write_video):
    path = str(write_video('old.avi', codec='mpeg4'))
    with open_video(path) as whole:
        assert whole.times is None
    with cut(open_video(path), 0.4, 0.8) as reader:
        assert numbers(reader) == list(range(10, 20))


@given(st.lists(st.floats(0, 4), min_size=1, max_size=6, unique=True), st.sampled_from([8.0, 24000 / 1001, 25.0, 60.0]))
def test_neighbors_share_no_frame_and_lose_none(borders, fps):
    frames = np.zeros((int(3 * fps), 2, 2, 3), np.uint8)
    frames[:, 0, 0, 0] = np.arange(len(frames))
    borders, shown = [None, *sorted(borders), None], []
    for start, end in zip(borders, borders[1:]):
        try:
            reader = SegmentReader(ArrayReader('x', frames, fps), start, end)
        except VideoError:
            continue  # between two frames, or behind the last
        shown += reader.get_batch(np.arange(len(reader)))[:, 0, 0, 0].tolist()
    assert shown == list(range(len(frames)))


def test_a_clip_behind_the_end_is_one_bad_video(plain_video):
    data = VideoDataset([VideoRecord(str(plain_video), 0, 5, 15), VideoRecord(str(plain_video), 1, 1.5)], AB)
    with pytest.raises(VideoError, match=r'has no frame in its clip 5-15 s: it lasts 1.60 s'):
        data.open(0)
    assert len(data.probe()) == 1 and len(data[1][0]) == 2


@pytest.mark.parametrize('cache', ['none', 'memory'])
def test_clips_of_one_film_are_videos_of_their_own(plain_video, tmp_path, cache):
    (tmp_path / 'film.mp4').symlink_to(plain_video)
    (tmp_path / 'list.csv').write_text(
        'path,label,start,end\nfilm.mp4,0,0,0.4\nfilm.mp4,1,0.4,\nfilm.mp4,0, ,0.2\nfilm.mp4,1,,\n'
    )
    data = from_csv(tmp_path / 'list.csv', cache=cache)
    assert data.records == (
        ('film.mp4', 0, 0.0, 0.4),
        ('film.mp4', 1, 0.4, None),
        ('film.mp4', 0, None, 0.2),
        ('film.mp4', 1, None, None),
    )
    wanted = [range(10), range(10, 40), range(5), range(40)]
    for _ in range(2):  # from memory the second time
        for index, frames in enumerate(wanted):
            with data.open(index) as reader:
                assert numbers(reader) == list(frames)
    assert video_ids(data) == ['film.mp4 [0-0.4 s]', 'film.mp4 [0.4 s-]', 'film.mp4 [-0.2 s]', 'film.mp4']
    assert data.parted(0) == (data, None)


def test_times_are_part_of_a_lists_fingerprint():
    clips = [(), (1, 2), (1, 3), (1, None), (None, 1)]
    records = [[VideoRecord('x', 0, *clip), VideoRecord('x', 1)] for clip in clips]
    assert len({VideoDataset(some, AB).fingerprint for some in records}) == 5
    old = '\n'.join([AB.fingerprint, 'x\t0', 'x\t1'])  # of lists without times, as runs have it saved
    assert VideoDataset(records[0], AB).fingerprint == hashlib.sha256(old.encode()).hexdigest()


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        ('x.mp4,0,ten,20', "line 2: start 'ten' is not a time in seconds, such as 12.5"),
        ('x.mp4,0,0:10,20', "line 2: start '0:10' is not a time in seconds"),
        ('x.mp4,0,-1,20', "line 2: start '-1' is not a time"),
        ('x.mp4,0,1,nan', "line 2: end 'nan' is not a time"),
        ('x.mp4,0,20,10', 'line 2: the clip ends at 10 s, before it starts at 20 s'),
        ('x.mp4,0,10,10', 'line 2: the clip ends at 10 s, before it starts at 10 s'),
    ],
)
def test_times_that_cannot_be_are_named_by_their_line(tmp_path, row, message):
    (tmp_path / 'list.csv').write_text(f'path,label,start,end\n{row}\n')
    with pytest.raises(UserError, match=message):
        from_csv(tmp_path / 'list.csv')
    with pytest.raises(UserError, match=r'video 0: x \[3-2 s\] ends before it starts'):
        VideoDataset([VideoRecord('x', 0, 3, 2)], AB)
