"""Videos of a dataset are read in order, in batches, without those that cannot be decoded."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest

from gluon_fg.data.transforms import to_input
from gluon_fg.data.video import ArrayReader
from gluon_fg.errors import UserError, VideoError
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.views import dataset_views, read_videos
from gluon_fg.input_spec import InputSpec


class Noise:
    """Five videos of noise, the third of which is broken."""

    records = [SimpleNamespace(label=label) for label in (3, 1, 4, 1, 5)]

    def __len__(self):
        return len(self.records)

    def open(self, index):
        if index == 2:
            raise VideoError('2.mp4', 'it is broken')
        frames = np.random.default_rng(index).integers(0, 256, (9, 40, 48, 3), np.uint8)
        return ArrayReader(f'{index}.mp4', frames, 8.0)


@pytest.mark.parametrize('workers', [0, 2])
def test_broken_videos_are_logged_and_left_out(caplog, workers):
    with caplog.at_level(logging.WARNING):
        lengths = list(read_videos(Noise(), [4, 2, 0], len, workers))
    assert lengths == [(4, 9), (0, 9)]
    assert [record.message for record in caplog.records] == ['left out: 2.mp4: it is broken']


def test_an_error_that_is_not_the_videos_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(read_videos(Noise(), [0], lambda reader: 1 / 0))


@pytest.mark.parametrize('layout', ['NCTHW', 'NCHW'])
def test_views_are_those_of_validation_in_order(layout):
    spec = InputSpec(layout=layout, frames=4 if layout == 'NCTHW' else 1, segments=3, short_side=32, crop_size=24)
    batches = list(dataset_views(Noise(), spec, batch_size=3))
    assert [batch.indices.tolist() for batch in batches] == [[0, 1, 3], [4]]
    assert [batch.labels.tolist() for batch in batches] == [[3, 1, 1], [5]]
    for batch in batches:
        views = [get_protocol('train_time').views(Noise().open(i), spec)[0][0] for i in batch.indices]
        expected = to_input(np.stack(views) if spec.ndim == 3 else np.concatenate(views), spec)
        np.testing.assert_array_equal(batch.x.asnumpy(), expected.asnumpy())
        assert len(batch.x) == len(batch.indices) * (1 if spec.ndim == 3 else 3)
    assert [batch.indices.tolist() for batch in dataset_views(Noise(), spec, [4, 1])] == [[4], [1]]


def test_batch_of_nothing():
    with pytest.raises(UserError, match='batch_size must be at least 1, got 0'):
        next(dataset_views(Noise(), InputSpec(frames=4, short_side=32, crop_size=24), batch_size=0))
