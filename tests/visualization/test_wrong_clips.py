"""The sheet of wrong clips: which are on it, in which order, and what it says of each."""

import numpy as np
import pytest
from films import texts
from own_films import write

from gluon_fg.data.datasets import VideoDataset, VideoRecord
from gluon_fg.data.labels import LabelSet
from gluon_fg.evaluation.score import Scores
from gluon_fg.visualization.figures import to_array
from gluon_fg.visualization.wrong_clips import wrong_clips

P = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55], [0.1, 0.9], [0.4, 0.6]])
LABELS = np.array([0, 1, 0, 0, 1, -1])  # wrong: 1 (80 %), 2 (70 %), 3 (55 %); 5 has no label


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp('videos')
    for number in range(len(P)):
        write(root / f'{number}.mp4', 8, number)
    records = [VideoRecord(f'{number}.mp4', int(label)) for number, label in enumerate(LABELS)]
    return VideoDataset(records, LabelSet(('up', 'down')), root, 'mine')


def scores(p):
    ids = tuple(f'{number}.mp4' for number in range(len(p)))
    probabilities = np.asarray(p, np.float32)[:, None]
    return Scores(ids, LABELS, probabilities, ('comb',), ('up', 'down'), None, '5x1', {}, 'net', 'mine')


def test_the_surest_mistakes_come_first(videos):
    figure = wrong_clips(scores(P), videos)
    told = [text for text in texts(figure) if text.startswith(('is ', 'said ')) or text.endswith('.mp4')]
    assert told == [
        *('is down (20 %)', 'said up (80 %)', '1.mp4'),
        *('is up (30 %)', 'said down (70 %)', '2.mp4'),
        *('is up (45 %)', 'said down (55 %)', '3.mp4'),
    ]
    assert '3 of 5 videos are wrong' in texts(figure)
    assert to_array(figure).std() > 20  # frames are on it
    few = wrong_clips(scores(P), videos, most=1)
    assert 'The 1 that it is surest of are shown.' in ' '.join(texts(few)) and '2.mp4' not in texts(few)


def test_nothing_is_drawn_where_all_are_right_and_a_lost_file_is_said(videos):
    right = P.copy()
    right[1:4] = right[1:4, ::-1]
    assert wrong_clips(scores(right), videos) is None
    with open(videos.path(1), 'wb'):  # emptied since it was scored
        pass
    assert 'said up (80 %)' in texts(wrong_clips(scores(P), videos))
