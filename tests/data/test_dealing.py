"""Which videos make up a batch, and how it is mixed: exact across workers, ranks and resumption."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_loader import SPEC, Films, equal, make

from gluon_fg.data.augment import _MATRICES, OPERATIONS, Augment
from gluon_fg.data.dealing import Dealing, Mixing, balanced_order, cut_window
from gluon_fg.data.loader import Reading, Share, TrainLoader
from gluon_fg.data.transforms import TrainTransform
from gluon_fg.errors import UserError

ALL = Augment(color_jitter=0.4, randaugment=7, erase=0.5)
# SHA-256 of two epochs of `Films`, as the loader dealt them before there were mixing and balance
OLD = 'a4f68cc20bb9ff5fda1b07a86cb1126d330403027a09bd4ca7253cbb6e55fd9b'


def loader(films=None, batch_size=4, rank=0, size=1, workers=0, augment=ALL, **dealing):
    return TrainLoader(
        films or Films(24),
        SPEC,
        TrainTransform(SPEC, 'random_crop', augment=augment),
        batch_size,
        5,
        Share(rank, size),
        Reading(workers),
        Dealing(**dealing),
    )


MIXED = dict(mixing=Mixing(0.8, 1.0, 4))
WAYS = [
    {},
    MIXED,
    dict(mixing=Mixing(0.8, 0.0, 4)),
    dict(mixing=Mixing(0.0, 1.0, 4)),
    dict(repeat=2),
    dict(sampling='balanced'),
    dict(repeat=2, sampling='balanced', drop_last=False, **MIXED),
]


def test_defaults_deal_the_batches_of_former_versions_to_the_bit():
    digest = hashlib.sha256()
    for epoch in (0, 1):
        for batch in make(Films(23, broken=(7,)), workers=2).batches(epoch):
            for array in batch:
                digest.update(array.tobytes())
    assert digest.hexdigest() == OLD


@pytest.mark.parametrize('dealing', WAYS, ids=str)
def test_batches_are_those_of_any_number_of_workers_and_of_a_resumed_run(dealing):
    want = list(loader(**dealing).batches(1))
    got = list(loader(Films(24, delay=True), workers=3, **dealing).batches(1))
    assert len(want) == len(loader(**dealing)) == len(got) == 6 * dealing.get('repeat', 1)
    assert all(equal(a, b) for a, b in zip(want, got))
    assert all(equal(a, b) for a, b in zip(want[3:], loader(**dealing).batches(1, start=3)))
    assert not all(equal(a, b) for a, b in zip(want, loader(**dealing).batches(2)))


@pytest.mark.parametrize('broken', [(), (3, 11)])
@pytest.mark.parametrize('dealing', WAYS, ids=str)
def test_ranks_share_the_batches_of_one_process(dealing, broken):
    whole = list(loader(Films(26, broken), 12, **dealing).batches(0))
    for size in (2, 3):
        shares = [list(loader(Films(26, broken), 12 // size, r, size, **dealing).batches(0)) for r in range(size)]
        for batch, *parts in zip(whole, *shares):
            assert equal(batch, [np.concatenate(columns) for columns in zip(*parts)])


def plain_of(**dealing):
    """The same batches without mixing."""
    return loader(augment=Augment(), **{**dealing, 'mixing': None}).batches(0)


def test_mixup_mixes_neighbors_and_their_labels_in_one_share():
    """As timm's FastCollateMixup, rint(lambda a + (1 - lambda) b) in uint8; but pairs are neighbors."""
    shares = []
    for mixed, plain in zip(loader(augment=Augment(), mixing=Mixing(0.8, 0.0, 4)).batches(0), plain_of()):
        assert mixed.clips.dtype == np.uint8 and mixed.labels.dtype == np.float32 and mixed.labels.shape == (4, 4)
        assert np.array_equal(mixed.indices, plain.indices)
        other = plain.clips[[1, 0, 3, 2]].astype(np.float64)
        share = 1 - mixed.labels[0, plain.labels[1]] if plain.labels[0] != plain.labels[1] else None
        for i, partner in enumerate((1, 0, 3, 2)):
            expected = np.zeros(4)
            if share is not None:
                expected[plain.labels[i]] += share
                expected[plain.labels[partner]] += 1 - share
                np.testing.assert_allclose(mixed.labels[i], expected, atol=1e-6)
        np.testing.assert_allclose(mixed.labels.sum(axis=1), 1, rtol=1e-6)
        if share is not None:
            expected = share * plain.clips.astype(np.float64) + (1 - share) * other
            assert np.abs(mixed.clips - expected).max() <= 0.5 + 1e-3
            shares.append(share)
    assert len(set(np.round(shares, 6))) == len(shares) > 3  # one for each batch


def test_cutmix_takes_the_same_rectangle_from_all_frames_and_counts_its_area():
    parts = []
    for mixed, plain in zip(loader(Films(40), augment=Augment(), mixing=Mixing(0.0, 1.0, 4)).batches(0), plain_of_40()):
        other = plain.clips[[1, 0, 3, 2]]
        taken = (mixed.clips == other) & (plain.clips != other)
        assert np.array_equal(np.where(taken, other, plain.clips), mixed.clips)
        video = taken[:, 0].any(axis=(0, 1))  # the first channel holds the video's number: all of the window differs
        rows, columns = np.flatnonzero(video.any(axis=1)), np.flatnonzero(video.any(axis=0))
        area = 0.0
        if len(rows):
            window = np.zeros((6, 6), bool)
            window[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
            assert (taken[:, 0] == window).all()  # of every clip, in every frame
            area = window.mean()
        for i, partner in enumerate((1, 0, 3, 2)):
            expected = np.zeros(4)
            expected[plain.labels[i]] += 1 - area
            expected[plain.labels[partner]] += area
            np.testing.assert_allclose(mixed.labels[i], expected, atol=1e-6)
        parts.append(area)
    assert len(set(parts)) > 3 and max(parts) > 0.2


def plain_of_40():
    return loader(Films(40), augment=Augment()).batches(0)


def test_with_both_each_batch_gets_either():
    kinds = []
    for epoch in range(8):
        plain = list(loader(augment=Augment()).batches(epoch))
        for mixed, batch in zip(loader(augment=Augment(), **MIXED).batches(epoch), plain):
            own, other = batch.clips[:, 0], batch.clips[[1, 0, 3, 2], 0]
            cut = ((mixed.clips[:, 0] == own) | (mixed.clips[:, 0] == other)).all()
            kinds.append(bool(cut))
    assert 12 < sum(kinds) < 40 and len(kinds) == 48


def test_frames_of_segments_are_mixed_as_one_video():
    clips = np.arange(4 * 3 * 3 * 5 * 6).reshape(12, 3, 5, 6).astype(np.uint8)
    labels = np.array([0, 1, 2, 3])
    got, shares = Mixing(1.0, 0.0, 4).mix(clips.copy(), labels, np.random.default_rng(0))
    share = shares[0, 0]
    own, other = clips.reshape(4, -1).astype(float), clips.reshape(4, -1)[[1, 0, 3, 2]].astype(float)
    assert got.shape == clips.shape and np.abs(got.reshape(4, -1) - (share * own + (1 - share) * other)).max() <= 0.501


@given(height=st.integers(1, 60), width=st.integers(1, 60), share=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_cutmix_windows_lie_in_the_frame_and_are_no_larger_than_asked(height, width, share, seed):
    top, left, bottom, right = cut_window(height, width, share, np.random.default_rng(seed))
    assert 0 <= top <= bottom <= height and 0 <= left <= right <= width
    assert (bottom - top) * (right - left) <= (1 - share) * height * width + 1e-9


def test_repeated_augmentation_has_several_clips_of_a_video_in_a_batch():
    """Hoffer et al. 2020: B videos with M views each; an epoch goes through all videos."""
    batches = list(loader(Films(24), 8, repeat=2, augment=Augment()).batches(0))
    assert len(batches) == 6
    seen = np.concatenate([batch.indices for batch in batches])
    assert (np.bincount(seen, minlength=24) == 2).all()
    twins = 0
    for batch in batches:
        assert np.array_equal(batch.indices[:4], batch.indices[4:])  # never side by side: mixing pairs different videos
        assert len(set(batch.indices[:4])) == 4
        twins += sum(np.array_equal(a, b) for a, b in zip(batch.clips[:4], batch.clips[4:]))
    assert twins < 6  # each is cut on its own
    assert np.array_equal(seen[:4], loader(Films(24), 8, augment=Augment()).batches(0).__next__().indices[:4])


def test_balanced_epochs_have_every_class_equally_often():
    labels = np.array([0] * 50 + [3] * 7 + [1] * 3)
    orders = [balanced_order(labels, np.random.default_rng(seed)) for seed in range(12)]
    for order in orders:
        assert len(order) == 60
        assert np.bincount(labels[order], minlength=4).tolist() == [20, 20, 0, 20]
        counts = np.bincount(order, minlength=60)
        assert counts[:50].max() == 1  # of the large class none twice
        assert set(counts[50:57]) == {2, 3} and set(counts[57:]) == {6, 7}
        assert (np.bincount(labels[order][:30])[[0, 1, 3]] == 10).all()  # in each part of the epoch, too
    assert len(np.unique(np.concatenate([order[labels[order] == 0] for order in orders]))) == 50  # in time all of it
    assert np.array_equal(orders[3], balanced_order(labels, np.random.default_rng(3)))


@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any), seed=st.integers(0, 99))
def test_balance_holds_for_any_counts(counts, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    order = balanced_order(labels, np.random.default_rng(seed))
    drawn = np.bincount(labels[order], minlength=len(counts))[np.array(counts) > 0]
    assert len(order) == len(labels) and drawn.max() - drawn.min() <= 1


def test_batches_that_cannot_be_dealt_so_are_refused():
    with pytest.raises(UserError, match='batch_size is 3; choose an even number, as clips are mixed in pairs'):
        loader(batch_size=3, **MIXED)
    with pytest.raises(UserError, match='batch_size is 4; choose a multiple of the 3 clips of each video'):
        loader(repeat=3)


def test_changes_behind_the_crop_leave_window_mirror_and_label_as_they_are():
    """`Films` has classes that are never mirrored, and such that are called otherwise in a mirror."""
    plain, changed = (list(loader(augment=augment).batches(0)) for augment in (Augment(), ALL))
    assert all(np.array_equal(a.labels, b.labels) for a, b in zip(plain, changed))
    assert sum(not np.array_equal(a.clips, b.clips) for a, b in zip(plain, changed)) == 6
    for name, matrix in _MATRICES.items():
        for value in (-OPERATIONS[name][0], OPERATIONS[name][0]):
            assert np.linalg.det(np.array(matrix(value, 48, 64))[:, :2]) > 0  # a mirror image has a negative one
