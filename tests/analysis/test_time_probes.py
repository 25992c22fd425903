"""Costs of changed frames, what classes need, and which turn into others, on scores made by hand."""

import dataclasses
import itertools

import numpy as np
import pytest

from gluon_fg.analysis.reversal import reversal
from gluon_fg.analysis.time_findings import findings, format_probes
from gluon_fg.analysis.time_probes import NEEDS, NONE_SHOWN, TOO_FEW, as_dict, time_probes
from gluon_fg.errors import UserError
from gluon_fg.evaluation.altered import Alteration
from gluon_fg.evaluation.score import Scores
from gluon_fg.evaluation.statistics import change_interval, exchange_test, gain_interval, holm, mcnemar

CLASSES = ('opening', 'closing', 'waving', 'flashing', 'lying')
GROUPS = ('door', 'door', 'body', 'body', 'body')
KINDS = ('forward', 'reversed', 'shuffled-0', 'shuffled-1', 'frozen')


def scores(answers, labels, **changes):
    """Scores whose prediction is `answers`."""
    p = np.full((len(labels), 1, len(CLASSES)), 0.05, np.float32)
    p[np.arange(len(labels)), 0, answers] = 0.8
    ids = tuple(f'{i}.mp4' for i in range(len(labels)))
    made = Scores(ids, np.array(labels), p, ('fused',), CLASSES, GROUPS, 'train_time', {}, 'net', 'set')
    return dataclasses.replace(made, **changes)


def probed(videos=20):
    """A network that sees all: doors swap, waving needs an order, flashing some frames, lying a single one."""
    labels = np.repeat(np.arange(5), videos)
    answers = {kind: labels.copy() for kind in KINDS}
    answers['reversed'][: 2 * videos] = 1 - labels[: 2 * videos]
    answers['reversed'][0] = 0  # a door that stays what it is
    half = np.arange(videos) % 2
    for kind, side in (('shuffled-0', half), ('shuffled-1', 1 - half)):
        answers[kind][: 2 * videos] = np.concatenate([side, side])
        answers[kind][2 * videos : 3 * videos] = 2 + 2 * (side if kind == 'shuffled-0' else half)
    answers['frozen'][: 4 * videos] = np.repeat([1, 1, 4, 4], videos)
    made = {kind: scores(value, labels) for kind, value in answers.items()}
    return {Alteration(*_parts(kind)): value for kind, value in made.items()}


def _parts(kind):
    name, _, seed = kind.partition('-')
    return (name, int(seed)) if seed else (name,)


def test_costs_needs_and_swaps():
    found = time_probes(probed())
    assert [(p.kind, p.orders) for p in found.probes] == [('reversed', 1), ('shuffled', 2), ('frozen', 1)]
    backward, shuffled, frozen = found.probes
    assert backward.whole[1:5] == (100, 1.0, 0.61, pytest.approx(-0.39))
    assert backward.whole[5:7] == gain_interval(39, 0, 100) and backward.whole.p_value == pytest.approx(
        mcnemar(39, 0), rel=1e-9
    )
    assert backward.whole[8:10] == pytest.approx((0.8, 0.8 * 0.61 + 0.05 * 0.39), rel=1e-5)
    assert shuffled.groups[0][8:10] == pytest.approx((0.8 / 0.85, 0.5), rel=1e-5)  # 0.8 and 0.05 inside the group
    assert [cost.after for cost in backward.classes] == [0.05, 0, 1, 1, 1]
    assert [cost.after for cost in shuffled.classes] == [0.5, 0.5, 0.5, 1, 1]
    assert [cost.after for cost in frozen.classes] == [0, 1, 0, 0, 1]
    assert [(g.name, g.videos, g.before, g.after) for g in shuffled.groups] == [
        ('door', 40, 1, 0.5), ('body', 60, 1, pytest.approx(50 / 60)),
    ]  # fmt: skip
    every = [cost for probe in found.probes for cost in probe.classes]
    assert [cost.p_holm for cost in every] == holm([cost.p_value for cost in every])
    assert found.needs == {
        'opening': NEEDS['reversed'],
        'closing': NEEDS['reversed'],
        'waving': NEEDS['shuffled'],
        'flashing': NEEDS['frozen'],
        'lying': NONE_SHOWN,
    }
    assert found.chance == {'door': 0.5, 'body': pytest.approx(1 / 3)}
    ((there, back),) = found.reversal.swaps
    assert there[:5] == ('opening', 'closing', 20, 0, 19) and back[:5] == ('closing', 'opening', 20, 0, 20)
    assert back.p_holm == pytest.approx(5 * 4 * 2 * 0.5**20) and back.p_holm < there.p_holm < 0.05
    assert found.reversal.matrix[:2].tolist() == [[1, 19, 0, 0, 0], [20, 0, 0, 0, 0]]
    assert (found.reversal.kept, found.reversal.videos) == (61, 100)


def test_findings_say_it_in_sentences():
    found = time_probes(probed())
    text = '\n'.join(findings(found))
    for line in (
        "2 of 5 classes need the direction of time: reversed, fewer of their videos are right: 'opening', 'closing'.",
        "1 of 5 classes need the order of frames, and their reversal costs nothing that is shown: 'waving'.",
        "1 of 5 classes are not shown to need more than the middle frame: 'lying'.",
        '1 pair of classes swaps when reversed (in brackets, how many videos of each are taken for the other): '
        "'opening' and 'closing' (19 of 20, 20 of 20).",
        '61 of 100 videos get the same answer when reversed.',
        'Reversed, top-1 falls from 100.0 to 61.0 %: -39.0 points, 95 % interval',
        'Shuffled (2 orders of each video), top-1 falls from 100.0 to 70.0 %',
    ):
        assert line in text
    table = format_probes(found)
    assert '\nreversed     61.0   -39.0' in table and '\ndoor     50.0    100.0       2.5      50.0    50.0' in table
    data = as_dict(found)
    assert data['probes']['frozen']['classes'][3]['after'] == 0 and data['reversed']['swaps'] == [
        ['opening', 'closing']
    ]
    assert data['probes']['frozen']['all']['p_holm'] is None  # JSON has no NaN


def test_few_videos_show_nothing_and_that_is_said():
    found = time_probes(probed(videos=4))
    assert found.reversal.turns == [] and set(found.needs.values()) == {TOO_FEW}
    assert '5 of 5 classes have too few right answers for any need to be shown' in '\n'.join(findings(found))


def test_a_class_that_is_never_right_shows_no_need():
    every = probed()
    wrong = {key: dataclasses.replace(value, labels=np.roll(value.labels, 20)) for key, value in every.items()}
    assert set(time_probes(wrong).needs.values()) == {TOO_FEW}


def test_one_way_turns_and_unlabeled_videos():
    labels = [0] * 12 + [1] * 12 + [-1] * 3
    before, after = scores([0] * 12 + [1] * 12 + [2] * 3, labels), scores([1] * 24 + [3] * 3, labels)
    found = reversal(before, after)
    assert [turn[:5] for turn in found.turns] == [('opening', 'closing', 12, 0, 12)] and found.swaps == []
    assert (found.kept, found.videos) == (12, 24) and found.matrix.sum() == 24
    # The same answers to both tell of no reversal, however wrong they are.
    assert reversal(after, after).turns == []
    order = np.arange(27)[::-1]
    turned = dataclasses.replace(
        after,
        ids=tuple(after.ids[i] for i in order),
        labels=after.labels[order],
        probabilities=after.probabilities[order],
    )
    assert reversal(before, turned).turns == found.turns


def test_what_cannot_be_compared_is_refused():
    every = probed()
    none = {key: dataclasses.replace(value, labels=np.full(100, -1)) for key, value in every.items()}
    with pytest.raises(UserError, match='no video of set has a label'):
        time_probes(none)
    several = {key: dataclasses.replace(value, targets=np.ones((100, 5), bool)) for key, value in every.items()}
    with pytest.raises(UserError, match='several labels'):
        time_probes(several)
    with pytest.raises(UserError, match='forward .* and shuffled-1 .* are not of the same videos'):
        time_probes({**every, Alteration('shuffled', 1): probed(videos=4)[Alteration()]})


# The statistics behind it


def test_exchange_test_with_one_other_way_is_mcnemars():
    random = np.random.default_rng(0)
    for _ in range(50):
        right, other = random.random((2, 17)) < random.random((2, 1))
        assert exchange_test(right, other[None]) == pytest.approx(
            mcnemar(int((other & ~right).sum()), int((right & ~other).sum()))
        )


def test_exchange_test_counts_all_ways_that_the_answers_could_have_been_dealt():
    answers = np.array([[1, 1, 1, 0, 1, 0], [0, 1, 0, 0, 1, 1], [0, 0, 0, 0, 1, 0]], bool)
    seen = answers[0].sum()
    dealt = [
        sum(answers[way, video] for video, way in enumerate(ways)) for ways in itertools.product(range(3), repeat=6)
    ]
    low, high = np.mean(np.array(dealt) <= seen), np.mean(np.array(dealt) >= seen)
    assert exchange_test(answers[0], answers[1:]) == pytest.approx(min(2 * min(low, high), 1))
    assert exchange_test(answers[0], answers[[0, 0]]) == 1


def test_exchange_test_of_thousands_of_videos_warns_of_nothing(recwarn):
    place = np.arange(20000)
    assert exchange_test(place % 7 < 5, place % 7 < np.array([[4], [4]])) < 1e-300  # each that differs is for it
    even = place % 2 < 1
    assert exchange_test(even, ~even[None]) == 1 and not recwarn.list


def test_exchange_test_gives_few_false_alarms():
    random = np.random.default_rng(1)
    hard = random.random((400, 1, 30))
    answers = random.random((400, 4, 30)) < hard  # four orders, none of which is better
    alarms = np.mean([exchange_test(each[0], each[1:]) < 0.05 for each in answers])
    assert alarms < 0.05 + 2 * 0.011  # two standard deviations


@pytest.mark.parametrize('down, up, videos', [(0, 0, 20), (7, 2, 40), (20, 0, 20)])
def test_change_interval_with_one_way_is_agresti_and_mins(down, up, videos):
    changes = np.array([-1.0] * down + [1.0] * up + [0.0] * (videos - down - up))
    assert change_interval(changes) == pytest.approx(gain_interval(down, up, videos))


def test_change_interval_holds_the_truth_with_several_orders():
    random = np.random.default_rng(2)
    held = 0
    for _ in range(1000):
        easy = random.random(20)  # videos differ in how likely they are right
        changes = (random.random((3, 20)) < 0.5 * easy).mean(axis=0) - (random.random(20) < easy)
        low, high = change_interval(changes)
        held += low <= -0.25 <= high
    assert 0.93 < held / 1000 < 0.99
