"""Decoded videos are kept until the budget is full, each made once; nothing depends on what is kept but the time."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gluon_fg.data.datasets import VideoDataset, VideoRecord
from gluon_fg.data.kept import MemoryCache, shared_cache
from gluon_fg.data.labels import LabelSet
from gluon_fg.data.loader import Reading, TrainLoader
from gluon_fg.data.transforms import TrainTransform
from gluon_fg.errors import VideoError
from gluon_fg.input_spec import InputSpec
from gluon_fg.training.config import load_config
from gluon_fg.training.run import split_of

SPEC = InputSpec(frames=4, frame_stride=3, crop_size=32, short_side=36)
A_VIDEO = 40 * 48 * 64 * 3  # bytes of 40 frames of 64x48


def test_what_does_not_fit_is_not_made_and_what_is_there_stays():
    cache, made = MemoryCache(limit=100), []

    def keep(key, size):
        return cache.keep(key, size, lambda: made.append(key) or key)

    assert [keep(key, size) for key, size in (('a', 60), ('b', 50), ('c', 40), ('d', 1), ('a', 60))] == [
        'a', None, 'c', None, 'a'
    ]  # fmt: skip
    assert made == ['a', 'c'] and cache.bytes == 100 and len(cache) == 2
    assert (cache.get('a'), cache.get('b')) == ('a', None)


def test_each_thing_is_made_once_and_a_failure_gives_its_room_back():
    cache, made = MemoryCache(limit=100), []

    def slow():
        made.append(threading.get_ident())
        time.sleep(0.05)
        return 'thing'

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: cache.get('key') or cache.keep('key', 60, slow), range(16)))
    assert got == ['thing'] * 16 and len(made) == 1

    def broken():
        raise VideoError('x.mp4', 'is broken')

    with pytest.raises(VideoError, match='is broken'):
        cache.keep('other', 40, broken)
    assert cache.bytes == 60 and cache.keep('third', 40, lambda: 'fits') == 'fits'


@pytest.mark.parametrize('room', [0, 1, 2.5, 10])
def test_batches_are_the_same_for_any_budget_which_is_never_exceeded(write_video, plain_video, room):
    paths = [plain_video, *(write_video(f'film {i}.mp4', bf='2') for i in range(3))]
    records = [VideoRecord(str(path), 0) for path in paths]
    plain = VideoDataset(records, LabelSet(('film',)))
    kept = VideoDataset(records, LabelSet(('film',)), cache='memory')
    kept.kept = MemoryCache(int(room * A_VIDEO))
    for epoch in range(2):
        batches = [
            list(TrainLoader(data, SPEC, TrainTransform(SPEC), 2, reading=Reading(2)).batches(epoch))
            for data in (plain, kept)
        ]
        for a, b in zip(*batches):
            np.testing.assert_array_equal(a.clips, b.clips)
    assert len(kept.kept) == min(int(room), 4) and kept.kept.bytes == min(int(room), 4) * A_VIDEO
    backends = []
    for number in range(4):
        with kept.open(number) as reader:
            backends.append(reader.backend)
    assert backends.count('memory') == min(int(room), 4) and backends.count('pyav') == 4 - min(int(room), 4)


def test_splits_of_a_run_share_one_budget(tiny_synthfg):
    config = load_config(None, [f'data.root={tiny_synthfg}', 'data.cache=memory', 'data.cache_gb=0.0001'])
    train, val = split_of(config, 'train'), split_of(config, 'val')
    assert train.kept is val.kept is shared_cache(0.0001) and train.kept.limit == 100_000
    for data in (train, val):
        for index in range(3):
            data.open(index).close()
    assert 0 < train.kept.bytes <= 100_000
    config.data.cache_gb = None
    assert split_of(config, 'train').kept.limit is None
