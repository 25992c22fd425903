"""Which film a clip is from, and splits that keep films whole."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluon_fg.data.splitting import folds_by_source, source_of, sources_of, split_by_source
from gluon_fg.errors import UserError


@pytest.mark.parametrize(
    'name, film',
    [
        # As data sets name their clips: UCF101's groups, Kinetics' IDs and times, HMDB51's codes.
        ('v_ApplyEyeMakeup_g08_c01.avi', 'v_ApplyEyeMakeup_g08'),
        ('v_YoYo_g25_c05.avi', 'v_YoYo_g25'),
        ('---QUuC4vJs_000084_000094.mp4', '---QUuC4vJs'),
        ('abc-_12345_7_000010_000020.mp4', 'abc-_12345_7'),  # an ID may end like a number
        ('April_09_brush_hair_u_nm_np1_ba_goo_0.avi', 'April_09_brush_hair'),
        ('April_09_brush_hair_u_nm_np1_fr_med_12.avi', 'April_09_brush_hair'),
        # As people do.
        ('film-1.mp4', 'film'),
        ('film_000010_000020.mkv', 'film'),
        ('film_part2.mp4', 'film'),
        ('Film (3).MP4', 'Film'),
        ('übung_2.mov', 'übung'),
        ('film_10_20.mp4', 'film'),
        ('film_1.5_3.0.mp4', 'film'),
        ('film_00-01-20.mp4', 'film'),
        ('film_10s-20s.mp4', 'film'),
        ('match 3 scene 12.mp4', 'match 3'),
        ('film_part2_000010_000020.mp4', 'film'),
        ('match_2020-03-04_clip_2.mp4', 'match_2020-03-04'),
    ],
)
def test_a_clip_is_of_the_film_that_its_name_begins_with(name, film):
    assert source_of(f'some class/{name}') == film


@pytest.mark.parametrize(
    'path',
    [
        'jump/IMG_0001.MOV',
        'jump/00017.mp4',
        'jump/VID_20230101_120301.mp4',
        'jump/gym_20230101_120301.mp4',
        'jump/WhatsApp Video 2023-01-01 at 12.00.01.mp4',
        'opening a door/opening_a_door (3).mp4',
        'jump/holiday.mp4',
        'boxing/person01_boxing_d1_uncomp.avi',
    ],
)
def test_a_recording_that_is_not_cut_from_anything_is_a_film_of_its_class_alone(path):
    assert source_of(path) == path


def test_a_pattern_says_otherwise():
    by_person = re.compile(r'(person\d+)')
    assert source_of('boxing/person01_boxing_d1_uncomp.avi', by_person) == 'person01'
    assert source_of('boxing/film-1.avi', by_person) == 'boxing/film-1.avi'
    assert source_of('boxing/film-1.avi', re.compile('.*')) == 'boxing/film-1.avi'
    assert source_of('a/12_3_4.avi', re.compile(r'/\d+_(\d+)_')) == '3'


def test_numbers_throughout_a_class_count_recordings_unless_another_class_has_the_film():
    walk = [f'walk/walking_{i}.mp4' for i in range(3)]
    run = ['run/film_1.mp4', 'run/film_2.mp4', 'run/film.mp4', 'run/other-1.mp4']
    assert sources_of(walk + run, [0, 0, 0, 1, 1, 1, 1]) == [*walk, 'film', 'film', 'film', 'other']
    shared = ['walk/film_3.mp4', 'walk/film_4.mp4', *run]
    assert sources_of(shared, [0, 0, 1, 1, 1, 1]) == ['film', 'film', 'film', 'film', 'film', 'other']
    named = ['walk/film_part1.mp4', 'walk/film_part2.mp4']
    assert sources_of(named, [0, 0]) == ['film', 'film']


def films_of(data, most=6):
    """Labels and films of a few classes; a film belongs to one class."""
    counts = data.draw(st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=most), min_size=2, max_size=5))
    labels = np.concatenate([np.full(sum(sizes), label) for label, sizes in enumerate(counts)])
    films = [f'{label}-{film}' for label, sizes in enumerate(counts) for film, n in enumerate(sizes) for _ in range(n)]
    return labels, films, [len(sizes) for sizes in counts]


@given(st.data(), st.sampled_from([0.1, 0.2, 0.25, 0.5]), st.integers(0, 5))
def test_films_stay_whole_and_every_class_is_on_both_sides(data, share, seed):
    labels, films, number = films_of(data)
    if sum(count > 1 for count in number) < 2:
        with pytest.raises(UserError, match="two films.*--source-pattern '.*'"):
            split_by_source(labels, films, share, seed)
        return
    held = split_by_source(labels, films, share, seed)
    np.testing.assert_array_equal(held, split_by_source(labels, films, share, seed))
    assert not {f for f, h in zip(films, held) if h} & {f for f, h in zip(films, held) if not h}
    for label, count in enumerate(number):
        own = held[labels == label]
        assert not own.all() and own.any() == (count > 1)


def test_the_share_is_kept_class_by_class_and_the_seed_changes_the_films():
    labels = np.repeat(np.arange(4), 30)
    films = [f'{label}-{i % 10}' for i, label in enumerate(labels)]
    chosen = [split_by_source(labels, films, 0.2, seed) for seed in range(6)]
    assert all(held[labels == label].sum() in (3, 6, 9) for held in chosen for label in range(4))
    assert all(abs(held.sum() - 24) <= 3 for held in chosen)
    assert len({held.tobytes() for held in chosen}) > 3


@given(st.data(), st.integers(2, 5), st.integers(0, 5))
def test_every_film_is_validated_in_one_fold(data, folds, seed):
    labels, films, number = films_of(data)
    free = [label for label, count in enumerate(number) if count > 1]
    if len(free) < 2:
        return
    inside = np.isin(labels, free)
    most = min(len({f for f, i in zip(films, inside) if i}), int(np.bincount(labels[inside]).max()))
    if folds > most:
        with pytest.raises(UserError, match=f'{folds} folds: there are films for 2 to {most}'):
            folds_by_source(labels, films, folds, seed)
        return
    parts = folds_by_source(labels, films, folds, seed)
    times = np.sum(parts, axis=0)
    assert times.max() == 1 and not times[~inside].any() and all(part.any() for part in parts)
    for film in set(films):
        own = np.array([f == film for f in films])
        assert all(len(set(part[own])) == 1 for part in parts)
    for part in parts:
        assert set(labels[~part]) == set(labels)


def test_folds_are_balanced_where_scikit_learn_mixes_up_its_groups():
    """scikit-learn's shuffle=True assigns films by the class counts of other films (its pull request 32540)."""
    labels, films = np.repeat([0, 1, 2], 6), [str(i) for i in range(18)]
    for seed in range(5):
        parts = folds_by_source(labels, films, 3, seed)
        assert [np.bincount(labels[part], minlength=3).tolist() for part in parts] == [[2, 2, 2]] * 3


def test_as_many_folds_as_films():
    """scikit-learn may leave a fold empty then (its issue 34828)."""
    for seed in range(20):
        labels = np.array([0, 0, 1, 1, 2, 2, 0, 1, 2, 0, 1, 2])
        films = ['a', 'a', 'b', 'b', 'c', 'c', 'd', 'd', 'd', 'a', 'b', 'c']
        parts = folds_by_source(labels, films, 4, seed)
        assert all(part.any() for part in parts) and np.sum(parts) <= 12


@pytest.mark.parametrize('share', [0, -0.1, 0.6, float('nan')])
def test_a_share_that_cannot_be(share):
    with pytest.raises(UserError, match='above 0 and at most 0.5'):
        split_by_source(np.array([0, 0, 1, 1]), list('abcd'), share)
