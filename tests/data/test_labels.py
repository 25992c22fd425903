"""Class lists are checked, and mirrored clips get the right name."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gluon_fg.data.catalog import label_set
from gluon_fg.data.labels import LabelSet, flip_map_from_names
from gluon_fg.errors import UserError

MIRRORED = yaml.safe_load((Path(__file__).parent / 'mirrored_classes.yaml').read_text())
WORDS = 'left right turn out behind is of'.split()


@pytest.mark.parametrize(
    'names, want',
    [
        (['move left', 'move right', 'jump'], [1, 0, 2]),
        (['Pull from LEFT to right', 'pull from right to Left'], [1, 0]),
        (['turn clockwise', 'turn counter-clockwise'], [1, 0]),
        (['turn_clockwise', 'turn_anticlockwise'], [1, 0]),
        (['turn_left', 'turn_right', 'TurnLeftTwice', 'TurnRightTwice'], [1, 0, 3, 2]),
        (['drift leftwards', 'drift rightwards'], [1, 0]),
        (['move left', 'jump'], [-1, 1]),  # its mirror image has no name
        (['look left and right', 'look'], [-1, 1]),
        (['turn up-right', 'turn up-left', 'turn upright', 'brightness', 'leftover'], [1, 0, 2, 3, 4]),
        (['push something', 'pull something', 'open', 'close'], [0, 1, 2, 3]),
        (['turn left', 'turn_left', 'turn right'], [-1, -1, -1]),  # no unique partner
        (['left-handed serve', 'right-handed serve', 'left hand', 'RightHand'], [1, 0, 3, 2]),
        (['pull it right out', 'put it right next to something', 'right after lunch', 'turn right now'], [0, 1, 2, -1]),
        (['turn right after a bridge', 'turn left after a bridge', 'look right out of the car'], [1, 0, -1]),
        (['something left behind', 'left over food', 'until nothing is left', 'one is left of another'], [0, 1, 2, -1]),
        (['put it right side up', 'put it on its right side', 'fold at a right angle'], [0, -1, 2]),
        (['pull it right out from left to right', 'pull it right out from right to left'], [1, 0]),
        (['take the one on the left right now', 'take the one on the right right now', 'right now'], [1, 0, 2]),
        (['kick with the left foot', 'throw to the right'], [-1, -1]),
    ],
)
def test_mirrored_names(names, want):
    flip_map = flip_map_from_names(names)
    assert flip_map.tolist() == want
    assert LabelSet(names).flip_map.tolist() == want and LabelSet(names).flip_allowed == (-1 not in want)


@pytest.mark.parametrize('dataset', MIRRORED)
def test_every_class_of_five_datasets_is_mirrored_as_a_reader_of_its_name_would(dataset):
    """The names that a mirror changes were listed by eye (mirrored_classes.yaml); all others are safe."""
    here, reviewed = Path(__file__).parent, MIRRORED[dataset]
    names = label_set(dataset).classes if dataset != 'sthsthv1' else (here / f'{dataset}_classes.txt').read_text()
    names = names.splitlines() if isinstance(names, str) else names
    assert len(names) == {'kinetics400': 400, 'ucf101': 101, 'hmdb51': 51}.get(dataset, 174)
    want = {name: name for name in names}
    for name, other in reviewed['swap']:
        want.update({name: other, other: name})
    want.update(dict.fromkeys(reviewed['never'], 'never'))
    labels = LabelSet(names)
    found = {name: names[to] if to >= 0 else 'never' for name, to in zip(names, labels.flip_map.tolist())}
    assert found == want and set(reviewed['same']) <= set(names)
    said = {name for name in names if re.search(r'\b(left|right)|clockwise', name.lower())}
    assert said == {*reviewed['same'], *(name for name in want if want[name] != name)}  # none was overlooked
    assert labels.flip_allowed


def test_mirrored_twice_every_name_is_itself():
    """Lists of all names of up to four words, large enough that a name meets several that could be its mirror's."""
    names = [' '.join(name) for count in range(1, 5) for name in itertools.product(WORDS, repeat=count)]
    rng, swapped = np.random.default_rng(0), 0
    for size in rng.integers(2, len(names), 60):
        labels = LabelSet(rng.permutation(names)[:size])  # raises where a map is not its own inverse
        swapped += (labels.flip_map != np.arange(size)).sum()
    assert swapped > 1000


def test_what_mirroring_does_can_be_shown():
    labels = LabelSet(['go left', 'go right', 'sit', 'turn left'])
    assert labels.mirrored_names() == ['go left -> go right', 'go right -> go left', 'turn left -> never mirrored']


def test_groups_and_fingerprint():
    labels = LabelSet(('a', 'b', 'c'), groups=('x', 'y', 'x'))
    assert labels.group_names == ('x', 'y') and labels.group_index.tolist() == [0, 1, 0] and len(labels) == 3
    assert LabelSet(('a',)).group_index is None and LabelSet(('a',)).group_names == ()
    assert labels.fingerprint == LabelSet(['a', 'b', 'c']).fingerprint != LabelSet(['b', 'a', 'c']).fingerprint
    assert labels == LabelSet(('a', 'b', 'c'), groups=('x', 'y', 'x')) and labels != LabelSet(('a', 'b', 'c'))
    with pytest.raises(ValueError):
        labels.flip_map[0] = 1
    with pytest.raises(AttributeError):
        labels.classes = ('z',)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(classes=()), 'at least one class'),
        (dict(classes=('a', 'b', 'a')), "class 'a' stands twice in the list of 3"),
        (dict(classes=('a', 'b'), groups=('x',)), '1 groups for 2 classes'),
        (dict(classes=('a', 'b'), flip_map=[0]), r'flip_map must be 2 integers'),
        (dict(classes=('a', 'b'), flip_map=[0.0, 1.0]), r'flip_map must be 2 integers'),
        (dict(classes=('a', 'b'), flip_map=[0, 2]), r'flip_map\[1\] is 2; choose -1'),
        (dict(classes=('a', 'b'), flip_map=[1, 1]), "sends 'a' to 'b', but that one elsewhere"),
        (dict(classes=('a', 'b'), flip_map=[1, -1]), "sends 'a' to 'b'"),
    ],
)
def test_inconsistent_label_sets_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        LabelSet(**arguments)


def test_known_datasets():
    kinetics, something = label_set('kinetics400'), label_set('sthsthv2')
    assert len(label_set('kinetics700')) == 700
    assert len(kinetics) == 400 and kinetics.classes[0] == 'abseiling'
    assert len(something) == 174 and len(label_set('ucf101')) == 101 and len(label_set('hmdb51')) == 51
    assert label_set('nothing') is None and len(label_set('synthfg')) == 24
    # Something-Something tells left from right: the pairs must swap, and the map must be its own inverse
    pull = [i for i, name in enumerate(something.classes) if 'left to right' in name]
    assert pull and all('right to left' in something.classes[something.flip_map[i]] for i in pull)
    swapped = something.flip_map[something.flip_map >= 0]
    np.testing.assert_array_equal(something.flip_map[swapped], np.flatnonzero(something.flip_map >= 0))


def test_a_class_is_found_by_other_spellings_as_long_as_one_is_meant():
    labels = LabelSet(('hurling_-sport-', "massaging_person's_head", 'a b', 'a_b', 'A.B', '左手'))
    for name in ('hurling (sport)', 'Hurling_(sport)', 'hurling_sport', 'hurling_-sport-'):
        assert labels.find(name) == 0
    assert labels.find('massaging_persons_head') == labels.find('massaging person-s head') == 1
    assert [labels.find(name) for name in ('a b', 'a_b', 'A.B')] == [2, 3, 4]  # each by its own name
    assert labels.find('ab') is None and labels.find('a-b') is None  # which of the three?
    assert labels.find('左手') == 5 and labels.find('hurling') is None
    assert LabelSet(('?', 'a')).find('!') is None and LabelSet(('?', 'a')).find('?') == 0


@given(st.sets(st.integers(0, 5)).filter(bool))
def test_some_classes_keep_their_order_groups_and_mirrors(kept):
    names = ('turn left', 'wave', 'turn right', 'left hand up', 'right hand up', 'clockwise')
    labels = LabelSet(names, ('turn', 'wave', 'turn', 'hand', 'hand', 'spin'))
    some = labels.only(list(kept)[::-1])
    assert some.classes == tuple(name for i, name in enumerate(names) if i in kept)
    assert some.groups == tuple(labels.groups[i] for i in sorted(kept))
    for place, label in enumerate(sorted(kept)):
        partner = int(labels.flip_map[label])
        mirrored = int(some.flip_map[place])
        assert (mirrored < 0) == (partner not in kept)  # a clip whose mirror image has no class is never mirrored
        assert mirrored < 0 or some.classes[mirrored] == names[partner]
