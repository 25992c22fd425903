"""Batches depend on (seed, epoch, position) alone; bad videos are named, replaced, and stop the run when too many."""

import hashlib
import itertools
import logging
import threading
import time

import av
import numpy as np
import pytest

from gluon_fg.data import transforms
from gluon_fg.data.datasets import VideoDataset, VideoRecord
from gluon_fg.data.dealing import Dealing
from gluon_fg.data.labels import LabelSet
from gluon_fg.data.loader import Reading, Share, TrainLoader, ordered_map, random_view
from gluon_fg.data.transforms import TrainTransform
from gluon_fg.data.video import ArrayReader, open_video
from gluon_fg.errors import UserError, VideoError
from gluon_fg.input_spec import InputSpec

SPEC = InputSpec(frames=4, frame_stride=2, crop_size=6, short_side=8)
NAMES = ('go left', 'go right', 'sit', 'turn left')  # mirrored: 1, 0, 2, never


class Films(VideoDataset):
    """Videos made of numbers: pixel (t, y, x) of video i holds (i, t, x); those in `broken` cannot be read."""

    def __init__(self, count=23, broken=(), delay=False):
        super().__init__([VideoRecord(f'{i}.mp4', i % 4) for i in range(count)], LabelSet(NAMES), name='films')
        self.broken, self.delay, self.opened = set(broken), delay, []

    def open(self, index):
        self.opened.append(index)
        if self.delay:
            time.sleep(0.002 * (index % 3))
        if index in self.broken:
            raise VideoError(f'{index}.mp4', 'is broken')
        t, x = np.arange(5 + index)[:, None, None], np.arange(10)
        planes = np.broadcast_arrays(np.full((1, 8, 1), index), t, x)
        return ArrayReader(f'{index}.mp4', np.stack(planes, -1).astype(np.uint8))


def make(dataset=None, batch_size=4, spec=SPEC, **options):
    transform = TrainTransform(spec, options.pop('kind', 'random_crop'), flip=options.pop('flip', 0.5))
    share = Share(options.pop('rank', 0), options.pop('size', 1))
    reading = Reading(options.pop('workers', 0), options.pop('prefetch', 4))
    seed = options.pop('seed', 5)
    return TrainLoader(dataset or Films(), spec, transform, batch_size, seed, share, reading, Dealing(**options))


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b))


def test_batches_do_not_depend_on_workers_or_prefetch():
    want = list(make().batches(1))
    assert len(want) == len(make()) == 5
    for workers, prefetch in ((1, 1), (3, 1), (2, 7)):
        got = list(make(Films(delay=True), workers=workers, prefetch=prefetch).batches(1))
        assert len(got) == 5 and all(equal(a, b) for a, b in zip(want, got))


@pytest.mark.parametrize(
    'changes, digest',
    [
        ({}, 'eee95f67fbb65eda547609a884fd6a24b7cf5bdf898df12d136d97e007530249'),
        (
            dict(layout='NCHW', frames=1, frame_stride=1, segments=3),
            'ac0eea465303dc0b307b58e75e89a7e1cef58e9827d8b6a37f70a2d0f98c911c',
        ),
    ],
)
def test_batches_are_those_of_former_versions(changes, digest):
    """What made the loader faster must not have changed one byte of two epochs (taken from 9b1d2dd)."""
    read = hashlib.sha256()
    for epoch in (0, 1):
        for batch in make(spec=SPEC.replace(**changes), workers=2).batches(epoch):
            for array in batch:
                read.update(array.tobytes())
    assert read.hexdigest() == digest


@pytest.mark.parametrize('kind, jitter', [('random_resized', 1), ('multiscale', 1), ('random_crop', 1.25)])
def test_a_view_is_cut_from_the_files_own_frames(write_video, kind, jitter):
    """Resized frame by frame while decoding, some not decoded at all: the same as from all frames of the file."""
    path, spec = write_video('views.mp4', bf='3'), SPEC.replace(crop_size=28, short_side=36)
    transform = TrainTransform(spec, kind, jitter=jitter)
    with av.open(str(path)) as container:
        truth = np.stack([frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)])
    for seed in range(4):
        with open_video(path) as reader:
            view = random_view(reader, spec, transform, np.random.default_rng(seed), True)
        frames = transforms.apply(truth[view.frames], view.cut, spec.crop_size)
        np.testing.assert_array_equal(view.pixels, frames.transpose(3, 0, 1, 2))


@pytest.mark.parametrize('broken', [(), (3, 11)])
@pytest.mark.parametrize('drop_last', [True, False])
def test_ranks_share_the_same_batches(drop_last, broken):
    options = dict(drop_last=drop_last, workers=2)
    whole = list(make(Films(broken=broken), 6, **options).batches(0))
    for size in (2, 3):
        ranks = [make(Films(broken=broken), 6 // size, rank=r, size=size, **options) for r in range(size)]
        shares = [list(rank.batches(0)) for rank in ranks]
        assert {len(rank) for rank in ranks} == {len(whole)} == {3 if drop_last else 4}
        for batch, *parts in zip(whole, *shares):
            assert equal(batch, [np.concatenate(columns) for columns in zip(*parts)])


def test_resuming_gives_what_would_have_come():
    loader = make(workers=2)
    want = list(loader.batches(3))
    assert all(equal(a, b) for a, b in zip(want[2:], loader.batches(3, start=2)))
    assert list(loader.batches(3, start=5)) == []


def test_epochs_seeds_and_positions_differ_and_every_video_comes_once():
    loader = make(Films(24))
    first, second = ([b.indices for b in loader.batches(epoch)] for epoch in (0, 1))
    assert sorted(np.concatenate(first).tolist()) == sorted(np.concatenate(second).tolist()) == list(range(24))
    other = [b.indices for b in make(Films(24), seed=6).batches(0)]
    assert not np.array_equal(first, second) and not np.array_equal(first, other)
    # the same video is not cut the same way in two epochs
    clips = [{int(i): c for b in loader.batches(e) for i, c in zip(b.indices, b.clips)} for e in (0, 1)]
    assert sum(np.array_equal(clips[0][i], clips[1][i]) for i in range(24)) < 8


def test_the_last_batch_is_completed_or_left_out():
    full, cut = make(drop_last=False), make()
    assert (len(full), len(cut)) == (6, 5)
    indices = np.concatenate([b.indices for b in full.batches(0)])
    assert indices[23] == indices[0] and sorted(indices[:23].tolist()) == list(range(23))
    with pytest.raises(UserError, match='films has 3 videos, fewer than one batch of 2 x 2; choose a smaller'):
        make(Films(3), 2, size=2)
    assert len(make(Films(3), 2, size=2, drop_last=False)) == 1


def test_clips_hold_consecutive_frames_of_the_video_with_its_label():
    mirrored = 0
    for batch in make(Films(40)).batches(0):
        assert batch.clips.shape == (4, 3, 4, 6, 6) and batch.clips.dtype == np.uint8
        assert batch.labels.dtype == np.int32 and batch.indices.dtype == np.int64
        for clip, label, index in zip(*batch):
            assert (clip[0] == index).all()
            times = clip[1, :, 0, 0].astype(int)
            expected = np.minimum(times[0] + 2 * np.arange(4), 4 + index)
            np.testing.assert_array_equal(times, expected)
            flipped = bool(clip[2, 0, 0, 0] > clip[2, 0, 0, -1])
            mirrored += flipped
            assert label == ([1, 0, 2, -1][index % 4] if flipped else index % 4)
    assert 8 <= mirrored <= 24  # 30 of the 40 may be, half of them are


def test_frames_of_each_segment_for_networks_on_images():
    spec = SPEC.replace(layout='NCHW', frames=1, frame_stride=1, segments=3)
    for batch in make(Films(9), 3, spec).batches(0):
        assert batch.clips.shape == (9, 3, 6, 6)
        for clip, index in zip(batch.clips.reshape(3, 3, 3, 6, 6), batch.indices):
            times = clip[:, 1, 0, 0].astype(int)
            total = 5 + index
            assert (clip[:, 0] == index).all() and (np.diff(times) >= 0).all()
            assert all(s * total / 3 - 1 < t < (s + 1) * total / 3 for s, t in enumerate(times))


def test_a_bad_video_is_named_once_and_replaced_the_same_way_each_time(caplog):
    with caplog.at_level(logging.WARNING):
        loader = make(Films(broken=[7]), workers=2, drop_last=False)
        got = [list(loader.batches(epoch)) for epoch in (0, 1)]
    assert loader.failed == {'7.mp4': 'is broken'} and caplog.text.count('7.mp4: is broken') == 1
    assert all(len(b.indices) == 4 and 7 not in b.indices for epoch in got for b in epoch)
    again = make(Films(broken=[7]), drop_last=False)
    assert all(equal(a, b) for a, b in zip(got[1], again.batches(1)))
    # only the place of the bad video differs from the run without it
    healthy = list(make(Films(), drop_last=False).batches(1))
    different = [not np.array_equal(a, b) for x, y in zip(healthy, got[1]) for a, b in zip(x.clips, y.clips)]
    places = [i == 7 for b in healthy for i in b.indices]
    assert different == places


def test_too_many_bad_videos_stop_the_run_with_their_count_and_the_first_reason():
    said = r'(\d+) of \d+ videos tried cannot be decoded, of 23 in films; the first: \d+.mp4: is broken'
    with pytest.raises(UserError, match=said) as caught:
        for epoch in range(9):
            list(make(Films(broken=range(16)), workers=2).batches(epoch))
    assert int(str(caught.value).split()[0]) >= 12  # more than half of all
    with pytest.raises(UserError, match=r'64 videos in a row cannot be decoded; the first: \d+.mp4: is broken'):
        list(make(Films(broken=range(23))).batches(0))
    films = Films(600, broken=[i for i in range(600) if i % 6])
    with pytest.raises(UserError, match='10[1-9] of .* videos tried cannot be decoded, of 600'):
        list(make(films).batches(0))  # long before half of all were tried


@pytest.mark.parametrize('batch_size', [1, 2, 4])
def test_a_run_goes_on_where_nearly_half_of_the_videos_are_bad(batch_size):
    loader = make(Films(20, broken=range(1, 19, 2)), batch_size=batch_size)
    batches = [batch for epoch in range(4) for batch in loader.batches(epoch)]
    assert len(batches) == 4 * 20 // batch_size and len(loader.failed) == 9
    assert {int(i) % 2 for batch in batches for i in batch.indices if i < 19} == {0}


def test_a_defect_in_a_worker_surfaces():
    class Defective(Films):
        def open(self, index):
            raise ZeroDivisionError('ours')

    with pytest.raises(ZeroDivisionError, match='ours'):
        next(make(Defective(), workers=2).batches(0))


def test_work_ahead_is_bounded_and_stops_with_the_consumer():
    films = Films(200, delay=True)
    batches = make(films, workers=2, prefetch=2).batches(0)
    next(batches)
    time.sleep(0.2)
    assert len(films.opened) <= 4 + 2 * 4 + 1
    batches.close()
    opened, threads = len(films.opened), [t for t in threading.enumerate() if t.name.startswith('gluon_fg-data')]
    time.sleep(0.05)
    assert len(films.opened) == opened and not threads


def test_wrong_settings_are_refused():
    with pytest.raises(UserError, match='rank 2 is outside 0..1'):
        make(rank=2, size=2)
    with pytest.raises(UserError, match='must be at least 1'):
        make(batch_size=0)
    films = Films()
    films.records = (VideoRecord('x.mp4', -1), *films.records)
    with pytest.raises(UserError, match='films: x.mp4 has no label'):
        make(films)


@pytest.mark.parametrize('workers', [0, 1, 3])
def test_ordered_map_keeps_order_and_raises_in_place(workers):
    def work(item):
        time.sleep(0.001 * (7 - item % 7))
        if item == 20:
            raise KeyError('twenty')
        return item * item

    results = ordered_map(work, itertools.count(), workers, prefetch=5)
    got = list(itertools.islice(results, 20))
    assert got == [i * i for i in range(20)]
    with pytest.raises(KeyError, match='twenty'):
        next(results)
    assert not [t for t in threading.enumerate() if t.name.startswith('gluon_fg-data')]
    assert list(ordered_map(work, [], workers)) == []
    with pytest.raises(UserError, match='workers must be at least 0 and prefetch at least 1'):
        next(ordered_map(work, [1], -1))


def test_ordered_map_stops_what_has_not_begun():
    started = []
    results = ordered_map(lambda i: started.append(i) or time.sleep(0.01), range(1000), 2, prefetch=8)
    next(results)
    results.close()
    assert len(started) < 12


@pytest.mark.parametrize('batch_size, workers, prefetch, expected', [(2, 8, 4, 16), (1, 0, 1, 1), (6, 2, 4, 24)])
def test_small_batches_do_not_leave_threads_idle(batch_size, workers, prefetch, expected, monkeypatch):
    asked = []

    def watched(fn, items, workers, prefetch):
        asked.append(prefetch)
        return ordered_map(fn, items, workers, prefetch)

    monkeypatch.setattr('gluon_fg.data.loader.ordered_map', watched)
    next(make(batch_size=batch_size, workers=workers, prefetch=prefetch).batches(0))
    assert asked == [expected]


def test_synthfg_trains_end_to_end(tiny_synthfg):
    from gluon_fg.data import build_dataset, to_input

    spec = InputSpec(frames=8, frame_stride=1, crop_size=48, short_side=54)
    data = build_dataset('synthfg', 'train', tiny_synthfg, cache='memory')
    loader = TrainLoader(data, spec, TrainTransform(spec, 'random_crop'), 16, reading=Reading(workers=2))
    for _ in range(2):
        for batch in loader.batches(0):
            assert to_input(batch.clips, spec).shape == (16, 3, 8, 48, 48)
    assert len(loader) == 3 and loader.failed == {}


def test_spread_clips_cover_the_whole_video_in_equal_steps():
    """U2S sec. IV-B: one position for all parts, drawn anew in each epoch; one window for all frames."""
    spec = SPEC.replace(frames=3, sampling='spread')
    loader = make(Films(8), spec=spec, flip=0)
    firsts = set()
    for epoch in range(12):
        for batch in loader.batches(epoch):
            assert batch.clips.shape == (4, 3, 3, 6, 6)
            for index, clip in zip(batch.indices, batch.clips):
                times, total = clip[1, :, 0, 0].astype(int), 5 + index
                assert np.abs(np.diff(times) - total / 3).max() < 1 and times[0] < total / 3 < times[2] < total
                assert (clip[2] == clip[2, 0]).all()
                firsts.add((int(index), int(times[0])))
    assert {first for index, first in firsts if index == 7} == {0, 1, 2, 3}
