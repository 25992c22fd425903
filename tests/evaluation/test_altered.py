"""Views with their frames in another order: the same pixels, and scores that are taken up again."""

import numpy as np
import pytest

from gluon_fg import get_model
from gluon_fg.data import build_dataset
from gluon_fg.data.labels import LabelSet
from gluon_fg.data.video import ArrayReader
from gluon_fg.errors import UserError
from gluon_fg.evaluation import altered_scores
from gluon_fg.evaluation.altered import KINDS, Alteration, alterations, altered, check_alterable
from gluon_fg.evaluation.altered_scores import score_altered
from gluon_fg.evaluation.protocol import Protocol, get_protocol
from gluon_fg.evaluation.score import Scores
from gluon_fg.input_spec import FeatureSpec, InputSpec

LABELS = LabelSet(('opening', 'closing'))
SIDED = LabelSet(('opening', 'turning left'))


@pytest.mark.parametrize(
    'kind, frames, expected',
    [
        ('forward', 4, [0, 1, 2, 3]),
        ('reversed', 4, [3, 2, 1, 0]),
        ('frozen', 5, [2] * 5),
        ('frozen', 8, [4] * 8),
        ('half-rate', 5, [0, 0, 2, 2, 4]),
        ('mirrored', 3, [0, 1, 2]),
        ('shuffled', 1, [0]),
    ],
)
def test_orders_of_frames(kind, frames, expected):
    assert Alteration(kind).order(frames, 'a.mp4').tolist() == expected


def test_random_orders_are_of_the_seed_and_the_video_and_nothing_else():
    orders = {
        (s, key): tuple(Alteration('shuffled', s).order(16, key)) for s in range(3) for key in ('a', 'b', 'é\udcff')
    }
    assert all(sorted(order) == list(range(16)) for order in orders.values())
    assert len(set(orders.values())) == 9
    assert tuple(Alteration('shuffled', 1).order(16, 'b')) == orders[1, 'b']
    firsts = [Alteration('shuffled', seed).order(4, 'a')[0] for seed in range(400)]
    assert min(np.bincount(firsts)) > 70  # each place is as likely: 100 expected, standard deviation 8.7


@pytest.mark.parametrize('protocol', ['1x1', '3x1', '2x3-flips', '3xwhole-alternate'])
@pytest.mark.parametrize('layout', ['NCTHW', 'NCHW'])
def test_a_view_has_its_own_pixels_in_another_order(layout, protocol):
    clips = layout == 'NCTHW'
    if not clips and protocol != '1x1':
        protocol = '1xwhole-flips'
    spec = InputSpec(
        layout=layout, frames=6 if clips else 1, segments=1 if clips else 6, short_side=20, crop_size=16, frame_stride=2
    )
    reader = ArrayReader('some/a.mp4', np.random.default_rng(0).integers(0, 256, (21, 24, 30, 3), np.uint8))
    plain, axis = get_protocol(protocol), 1 if clips else 0
    views, flipped = plain.views(reader, spec, LABELS)
    shown = [cut.frames for cut in plain.cuts(reader, spec, LABELS)]
    for kind in KINDS:
        wanted = altered(plain, Alteration(kind, 7 * (kind == 'shuffled')))
        got, got_flipped = wanted.views(reader, spec, LABELS)
        order = Alteration(kind, 7 * (kind == 'shuffled')).order(6, 'a.mp4')
        for view, other in zip(views, got):
            other = other[..., ::-1] if kind == 'mirrored' else other
            np.testing.assert_array_equal(other, view.take(order, axis=axis))
        assert len(got) == len(views) == wanted.count(LABELS)
        np.testing.assert_array_equal(got_flipped, flipped != (kind == 'mirrored'))
        for numbers, cut in zip(shown, wanted.cuts(reader, spec, LABELS)):
            np.testing.assert_array_equal(cut.frames, numbers[order])


def test_names_and_keys_tell_alterations_apart():
    plain = get_protocol('3x1')
    every = [altered(plain, each) for each in alterations(LABELS, 2)[0]]
    assert [each.name for each in every] == [
        '3x1', '3x1, reversed', '3x1, shuffled-0', '3x1, shuffled-1', '3x1, frozen', '3x1, half-rate', '3x1, mirrored',
    ]  # fmt: skip
    assert every[0] is plain and len({each.key for each in every}) == 7
    assert plain.key == Protocol('other name', 'as 3x1', 3).key


def test_classes_that_say_a_side_are_not_mirrored():
    every, reason = alterations(SIDED)
    assert {each.kind for each in every} == set(KINDS) - {'mirrored'} and "'turning left' says a side" in reason
    assert alterations(LABELS)[1] == ''
    reader = ArrayReader('a', np.zeros((9, 24, 30, 3), np.uint8))
    with pytest.raises(UserError, match='may not be mirrored'):
        altered(get_protocol('1x1'), Alteration('mirrored')).views(
            reader, InputSpec(short_side=20, crop_size=16), SIDED
        )
    with pytest.raises(UserError, match='shuffles must be at least 1, got 0'):
        alterations(LABELS, 0)


FLOW = {'mean': (0.5,) * 4, 'std': (0.5,) * 4}
IMAGES = {'layout': 'NCHW', 'frames': 1, 'frame_stride': 1}


@pytest.mark.parametrize(
    'spec, protocol, message',
    [
        (InputSpec(**FLOW), 'train_time', 'm sees optical flow, and the flow of frames in another order is another'),
        (
            FeatureSpec.of(InputSpec(), 5),
            'train_time',
            'm sees stored features, .*give the network that they were made',
        ),
        (
            InputSpec(**IMAGES),
            'train_time',
            'm sees one frame at a time, which has no order; choose a network on clips',
        ),
        (InputSpec(segments=3, **IMAGES), 'dfb_2d', 'dfb_2d shows m one frame at a time; choose --protocol train_time'),
        (InputSpec(frames=1), 'train_time', 'm sees one frame at a time'),
    ],
)
def test_networks_without_an_order_of_frames_are_refused(spec, protocol, message):
    with pytest.raises(UserError, match=message):
        check_alterable(get_protocol(protocol), spec, 'm')


def test_frames_of_a_view():
    assert check_alterable(get_protocol('train_time'), InputSpec(frames=8), 'm') == 8
    assert check_alterable(get_protocol('whole_video'), InputSpec(frames=8), 'm') == 250
    assert check_alterable(get_protocol('train_time'), InputSpec(segments=3, **IMAGES), 'm') == 3
    with pytest.raises(UserError, match="unknown alteration of frames 'reverse'.*reversed"):
        altered(get_protocol('1x1'), Alteration('reverse'))


def test_scores_are_kept_and_those_of_something_else_refused(tiny_synthfg, tmp_path, monkeypatch):
    net, dataset = get_model('tsn_tiny_synthfg'), build_dataset('synthfg', 'test', tiny_synthfg)
    plain, wanted, said = get_protocol('train_time'), [Alteration(), Alteration('reversed')], []
    dataset.records, dataset.isolated = dataset.records[:4], False

    def score(of=net, protocol=plain, **given):
        return score_altered(of, dataset, protocol, wanted, tmp_path, say=said.append, progress=False, **given)

    first = score()
    forward, backward = first.values()
    np.testing.assert_allclose(forward.logits, backward.logits, rtol=1e-5, atol=1e-6)  # it is blind to order
    assert said == [] and sorted(path.name for path in tmp_path.iterdir()) == ['forward.npz', 'reversed.npz']
    assert Scores.load(tmp_path / 'reversed.npz').protocol == 'train_time, reversed'

    # Broken off before the second was written: the first is taken, and what was done of the second, too.
    (tmp_path / 'reversed.npz').unlink()
    with monkeypatch.context() as broken:
        broken.setattr(Scores, 'save', lambda scores, path: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            score()
    assert (tmp_path / 'reversed.partial').is_file()
    (tmp_path / 'frozen.partial').write_bytes((tmp_path / 'reversed.partial').read_bytes())
    calls = []
    whole = altered_scores.score_dataset
    monkeypatch.setattr(
        altered_scores, 'score_dataset', lambda *args, **given: calls.append(1) or whole(*args, **given)
    )
    again = score()
    assert len(calls) == 1 and said[-1] == f'{tmp_path}: forward: scored already'
    np.testing.assert_array_equal(again[wanted[1]].probabilities, backward.probabilities)

    wanted.append(Alteration('frozen'))
    with pytest.raises(UserError, match='frozen.partial.* is of another protocol'):
        score()
    other = get_model('tsn_tiny_synthfg')
    with pytest.raises(UserError, match='forward.npz: holds scores of another network, or of other weights; choose'):
        score(other)
    with pytest.raises(UserError, match='forward.npz: holds scores by protocol train_time, not 1xwhole'):
        score(protocol=get_protocol('1xwhole'))
    assert score(force=True)[Alteration('frozen')].protocol == 'train_time, frozen'
