"""What a manifest tells: what is missing or short, and which videos belong together, inside a split and across."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluon_fg.data.findings import NEAR, clip_length, find, near_pairs
from gluon_fg.data.labels import LabelSet
from gluon_fg.data.manifest import Manifest, Row, Split, table_of
from gluon_fg.input_spec import InputSpec

CLASSES = ('Archery', 'Biking')


def row(path, split='train', label=0, **values):
    """A row of 50 frames at 25 a second; by default no two have the same bytes or look alike."""
    number = abs(hash((split, path)))
    looks = [int(part) for part in np.random.default_rng(number).integers(1, 2**63 - 1, 3)]
    whole = dict(
        split=split, path=path, name=None, label=label, labels=None, class_name=CLASSES[label], group=None,
        start=None, end=None,
        kind='video', frames=50, fps=25.0, width=64, height=48, turns=0, problems=[], bytes=9, mtime_ns=1,
        sha256=f'{number:x}', looks=looks, scan='',
    )  # fmt: skip
    return Row(**{**whole, **values})


def found(*rows, needed=None):
    splits = {split: Split(split, '', LabelSet(CLASSES), {}) for split in dict.fromkeys(r.split for r in rows)}
    return find(Manifest('csv', '/data', splits, {}, table_of(list(rows))), needed)


def groups(several):
    return [(group.kind, group.places) for group in several]


def test_files_that_cannot_be_used_are_sorted_by_why():
    result = found(
        row('a.mp4'),
        row('b.mp4', problems=['missing'], sha256='', looks=[]),
        row('c.mp4', problems=['broken: is an empty file'], looks=[]),
        row('d.mp4', problems=['no video: it has sound alone'], looks=[]),
        row('e.mp4', problems=['no frame in its clip'], start=9.0, end=10.0),
        row('f.mp4', problems=['no label']),
        row('g.mp4', turns=3),
        row('h.mp4', frames=49),
        needed=lambda row: 50,
    )
    assert (result.missing, result.broken, result.unlabeled) == ([1], [2, 3, 4], [5])
    assert (result.rotated, result.short, result.usable) == ([6], [7], [0, 5, 6, 7])


@pytest.mark.parametrize(
    'spec, fps, frames',
    [
        (InputSpec(frames=8, frame_stride=4), 25, 29),
        (InputSpec(frames=8, frame_stride=4, sampling='spread'), 25, 8),
        (InputSpec(frames=1, segments=3, layout='NCHW'), 25, 3),
        (InputSpec(frames=8, frame_stride=4, fps=12.5), 25, 58),
        (InputSpec(frames=8, frame_stride=4, fps=25), 0, 29),
    ],
)
def test_how_long_a_clip_is(spec, fps, frames):
    assert clip_length(spec)(row('a.mp4', fps=float(fps))) == frames


def test_the_same_bytes_are_a_leak_and_under_two_classes_a_conflict():
    result = found(
        row('a.mp4', sha256='1'), row('b.mp4', sha256='1'), row('c.mp4', sha256='2'),
        row('c.mp4', 'val', sha256='2'), row('d.mp4', label=1, sha256='3'), row('e.mp4', label=0, sha256='3'),
    )  # fmt: skip
    assert groups(result.same) == [('same bytes', [0, 1]), ('same bytes', [2, 3]), ('same bytes', [4, 5])]
    assert groups(result.leaks) == [('same bytes', [2, 3])]
    assert groups(result.conflicts) == [('same bytes', [4, 5])]


def test_stretches_of_a_film_are_the_same_only_where_they_overlap():
    times = [(0.0, 10.0), (5.0, 12.0), (12.0, 20.0), (20.0, None)]
    rows = [row('film.mp4', sha256='1', start=start, end=end) for start, end in times]
    result = found(*rows, row('film.mp4', 'test', sha256='1', start=30.0, end=None))
    assert groups(result.same) == [('same bytes', [0, 1]), ('same bytes', [3, 4])]
    assert groups(result.leaks) == [('same bytes', [3, 4]), ('film', [0, 1, 2, 3, 4])]


def test_clips_of_one_film_in_two_splits_are_found_by_their_names():
    """UCF101's groups; its own lists keep each in one split: groups 1 to 7 are those of testlist01.

    Of all 13,320 videos of the official lists none is named, in each of the three splits; of the same videos split at
    random, 9,537 to train, 2,039 groups with 10,930 videos.
    """
    paths = ['Archery/v_Archery_g01_c01.avi', 'Archery/v_Archery_g08_c01.avi', 'Archery/v_Archery_g08_c02.avi']
    assert not found(row(paths[0], 'test'), row(paths[1]), row(paths[2])).leaks
    leak = found(row(paths[0]), row(paths[1]), row(paths[2], 'test')).leaks
    assert groups(leak) == [('film', [1, 2])] and leak[0].film == 'v_Archery_g08'
    # numbers alone are no film
    assert not found(row('Archery/41_17_2.avi'), row('Biking/41_8_0.avi', 'test', 1)).leaks


def test_splits_of_another_number_are_not_compared():
    """UCF101's and HMDB51's three splits share out the same videos anew: only train2 and test2 belong together."""
    files = [row(f'Archery/v_Archery_g{n:02}_c01.avi') for n in range(1, 5)]

    def part(split, *numbers):
        return [files[number]._replace(split=split) for number in numbers]

    clean = [*part('train', 0, 1, 2), *part('test', 3), *part('train2', 3, 1, 2), *part('test2', 0)]
    result = found(*clean)
    assert not result.same and not result.near and not result.leaks
    result = found(*clean, *part('test2', 1))
    assert groups(result.leaks) == [('same bytes', [5, 8])] == groups(result.same)
    twice = found(*part('train', 0, 0), *part('train2', 0, 0))
    assert len(twice.same) == 1 and not twice.leaks  # told once


def test_a_prefix_of_all_names_is_no_film():
    paths = [f'Archery/zx_{n}.mp4' for n in range(60)] + [f'Biking/zx_{n}.mp4' for n in range(60, 120)]
    rows = [row(path, ('train', 'test')[n % 2], n // 60) for n, path in enumerate(paths)]
    assert not found(*rows).leaks
    assert groups(found(*rows[:2], *rows[60:62]).leaks) == [('film', [0, 1, 2, 3])]


def test_copies_and_first_frames_that_look_alike():
    a, b, c = np.random.default_rng(1).integers(1, 2**63 - 1, (3, 3)).tolist()
    b, c = b[1:], c[1:]
    result = found(
        row('a.mp4', looks=list(a)),
        row('a small.mp4', looks=[value ^ 0b11 for value in a]),
        row('other end.mp4', looks=[a[0] ^ 0b1100, *b]),
        row('far.mp4', looks=[a[0] ^ 0b11111, *c]),
        row('black.mp4', looks=[0, *b]),
        row('black too.mp4', looks=[0, *c]),
    )
    assert groups(result.near) == [('copies', [0, 1]), ('first frame', [0, 1, 2, 3])]  # far is near to the small one
    assert not result.leaks and not result.same
    assert groups(found(row('a', looks=list(a)), row('b', 'val', looks=list(a))).leaks) == [('copies', [0, 1])]


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
def test_near_pairs_are_those_of_a_plain_comparison(values, seed):
    rng = np.random.default_rng(seed)
    looks = np.array(values * 3, np.int64)
    for place in range(len(values), len(looks)):  # copies with up to seven bits inverted
        for bit in rng.integers(0, 63, rng.integers(0, 8)):
            looks[place] ^= np.int64(1) << np.int64(bit)
    wanted = {
        (a, b)
        for a, b in itertools.combinations(range(len(looks)), 2)
        if bin(int(looks[a] ^ looks[b])).count('1') <= NEAR
    }
    pairs = near_pairs(looks)
    first = {value: place for place, value in reversed(list(enumerate(looks.tolist())))}
    of_firsts = {(a, b) for a, b in wanted if first[looks[a]] == a and first[looks[b]] == b}
    assert {tuple(sorted(pair)) for pair in pairs} == of_firsts | {
        (first[value], place) for place, value in enumerate(looks.tolist()) if first[value] != place
    }


def test_a_hundred_thousand_looks_are_compared_soon():
    """By parts that must be equal, not all with all: those were five thousand million pairs."""
    rng = np.random.default_rng(0)
    looks = rng.integers(0, 2**63 - 1, 100_000)
    looks[777] = looks[5] ^ 0b1010000
    assert near_pairs(looks) == [(5, 777)]


def test_ten_thousand_alike_are_a_group_not_fifty_million_pairs():
    """A fixed camera: first frames that differ in two bits of one picture."""
    rng = np.random.default_rng(0)
    base = int(rng.integers(0, 2**63 - 1))
    looks = np.array([base ^ (1 << a) ^ (1 << b) for a in range(63) for b in range(63)] * 3, np.int64)
    pairs = np.array(near_pairs(looks))
    assert len(pairs) < 51 * 5 * len(looks)
    reached, edge = {0}, True
    while edge:  # all hang together
        more = pairs[np.isin(pairs, list(reached)).any(axis=1)]
        edge = len(set(more.ravel().tolist()) - reached)
        reached |= set(more.ravel().tolist())
    assert len(reached) == len(looks)
