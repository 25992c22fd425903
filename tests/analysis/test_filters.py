"""Ratings of filters and the pointing game against what was planted."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score

from gluon_fg.analysis.filter_audit import audit_filters, twins
from gluon_fg.analysis.filters import filter_strength, write_strength
from gluon_fg.analysis.pointing import pointing_accuracy
from gluon_fg.analysis.scan import scan
from gluon_fg.data import synthfg
from gluon_fg.data.labels import LabelSet
from gluon_fg.errors import UserError, VideoError
from gluon_fg.factory import get_model


@pytest.fixture
def lit(flash):
    """A dataset of four videos: two of class 0 with a bright square, one of class 1 all dark, one without a label."""

    def make(labels=(0, 1, 0, -1)):
        squares = [(16, 16, 24, 24), (0, 0, 0, 0), (32, 8, 40, 16), (8, 8, 16, 16)]
        readers = [flash(16, (48, 48), squares[i], [3 + i], name=f'{i}.mp4') for i in range(len(labels))]
        records = [SimpleNamespace(path=f'{i}.mp4', label=label) for i, label in enumerate(labels)]
        return SimpleNamespace(
            records=records,
            labels=LabelSet(('bright', 'dark'), groups=('one', 'one')),
            name='lit',
            open=lambda i: readers[i],
        )

    return make


def test_strength_is_own_minus_others(light, lit):
    dataset = lit()
    rows = {row.filter: row for row in filter_strength(light(), dataset)}
    net = light()
    top = [max(part.responses[:, 0].max() for part in scan(net, dataset.open(i))) for i in range(3)]
    own, others = (top[0] + top[2]) / 2, top[1]
    assert rows[0].own == pytest.approx(own, abs=1e-5) and rows[0].others == pytest.approx(others, abs=1e-5)
    assert rows[1].strength == pytest.approx((own - others) / 2, abs=1e-5)
    assert rows[0].spread == pytest.approx(np.std(top), abs=1e-5)
    assert rows[2].class_name == 'dark' and rows[2].strength == pytest.approx(0, abs=1e-5)  # the dark is everywhere
    assert [rows[i].note for i in range(4)] == ['', 'like 0', 'dead', 'dead']  # 2: the darkest cell is the same in all


def test_an_audit_is_everything_in_one_pass(light, lit):
    dataset, net = lit(labels=(0, 1, 0, 1)), light()
    truth = {'0.mp4': boxes((3, 16, 16, 24, 24)), '2.mp4': boxes((5, 32, 8, 40, 16))}
    audit = audit_filters(net, dataset, lambda i: truth.get(dataset.records[i].path, ()), examples=3)
    assert audit.rows == filter_strength(net, dataset)
    assert audit.pointing == pointing_accuracy(net, dataset, truth) and set(audit.pointed) == {0, 2}
    for row in audit.rows:
        of_filter = audit.responses[:, row.filter]
        assert row.auc == pytest.approx(roc_auc_score(audit.labels == row.label, of_filter))
        order = sorted(range(4), key=lambda i: (-of_filter[i], i))[:3]
        assert [(e.video, e.value) for e in audit.examples[row.filter]] == [(i, of_filter[i]) for i in order]
    for example in audit.examples[0]:  # light: the square of each video, in the frame that shows it
        (x0, y0, x1, y1), square = example.box, [(16, 16), (0, 0), (32, 8), (8, 8)][example.video]
        assert example.frame == 3 + example.video or example.video == 1
        assert example.video == 1 or (x0 + x1, y0 + y1) == pytest.approx([2 * side + 9 for side in square])
    assert [twin.filter for twin in audit.twins] == [1, 0, 1, 0]  # half the light has the direction of light
    assert audit.twins[0].correlation == pytest.approx(1) and np.isnan(audit.twins[3].correlation)
    assert audit_filters(net, dataset).examples == [[]] * 4 and audit_filters(net, dataset).pointing is None


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), channels=st.integers(1, 9))
def test_twins_equal_numpy(seed, channels):
    rng = np.random.default_rng(seed)
    filters, responses = rng.normal(size=(3, 2, channels)), rng.normal(size=(7, 6)).astype(np.float32)
    cosine = 1 - cdist(filters.reshape(6, -1), filters.reshape(6, -1), 'cosine')
    for i, twin in enumerate(twins(filters, responses)):
        others = np.delete(cosine[i], i)
        assert twin.filter != i and twin.cosine == pytest.approx(others.max()) == pytest.approx(cosine[i, twin.filter])
        together = np.corrcoef(responses[:, i], responses[:, twin.filter])[0, 1]
        assert twin.correlation == pytest.approx(together, abs=1e-6)


def test_order_limit_and_table(light, lit, tmp_path):
    rows = filter_strength(light(), lit(), limit=1)
    assert [row.filter for row in rows] == [0, 1, 2, 3]
    assert [(row.label, row.strength) for row in rows] == sorted(
        [(r.label, r.strength) for r in rows], key=lambda pair: (pair[0], -pair[1])
    )
    write_strength(rows, tmp_path / 'filters.csv')
    with open(tmp_path / 'filters.csv', newline='') as stream:
        table = list(csv.DictReader(stream))
    assert [int(line['filter']) for line in table] == [0, 1, 2, 3] and table[1]['note'] == 'like 0'
    assert float(table[0]['strength']) == pytest.approx(rows[0].strength)
    with pytest.raises(UserError, match="no video of class 'dark'"):
        filter_strength(light(), lit(labels=(0, 0)))
    with pytest.raises(UserError, match='limit'):
        filter_strength(light(), lit(), limit=0)


def boxes(*items):
    return [SimpleNamespace(t=t, x0=x0, y0=y0, x1=x1, y1=y1) for t, x0, y0, x1, y1 in items]


def test_pointing_counts_right_place_at_the_right_time(light, lit):
    dataset = lit()
    truth = {'0.mp4': boxes((3, 16, 16, 24, 24)), '2.mp4': boxes((5, 32, 8, 40, 16))}
    result = pointing_accuracy(light(), dataset, truth)
    assert (result.videos, result.hits, result.center) == (2, 1.0, 0.0)
    assert result.chance == pytest.approx(1 / (16 * 36))  # one of 6x6 cells in one of 16 frames
    assert result.groups['one']._replace(groups={}) == result._replace(groups={})
    late = {'0.mp4': boxes((4, 16, 16, 24, 24)), '2.mp4': boxes((5, 32, 8, 40, 16))}
    assert pointing_accuracy(light(), dataset, late).hits == 0.5  # the place, but a frame late
    aside = {'0.mp4': boxes((3, 24, 16, 32, 24))}
    assert pointing_accuracy(light(), dataset, aside)[:2] == (1, 0.0)
    everywhere = pointing_accuracy(light(), dataset, lambda i: boxes(*[(t, 0, 0, 48, 48) for t in range(16)]))
    assert everywhere[:4] == (3, 1.0, 1.0, 1.0)
    with pytest.raises(UserError, match='no video with a label and a box'):
        pointing_accuracy(light(), dataset, {})


def test_broken_videos_are_left_out(light, lit, caplog):
    dataset = lit(labels=(0, 1, 0, 1))
    whole, opened = filter_strength(light(), lit(labels=(0, 1, 0))), dataset.open

    def broken(index):
        if index == 3:
            raise VideoError('3.mp4', 'it is broken')
        return opened(index)

    dataset.open = broken
    assert filter_strength(light(), dataset) == whole and 'left out: 3.mp4: it is broken' in caplog.text
    assert pointing_accuracy(light(), dataset, lambda i: boxes((0, 0, 0, 48, 48))).videos == 3
    dataset.records[1].label = -1
    with pytest.raises(UserError, match="no video of class 'dark'"):
        filter_strength(light(), dataset)


def test_both_on_synthfg(tiny_synthfg):
    from gluon_fg.data import build_dataset

    net = get_model('i3d_tiny_synthfg_dfb')
    dataset = build_dataset('synthfg', 'test', root=tiny_synthfg)
    truth = synthfg.read_truth(tiny_synthfg, 'test')
    result = pointing_accuracy(net, dataset, truth)
    assert result.videos == 24 and set(result.groups) == set(synthfg.GROUPS)
    assert 0 <= result.hits <= 1 and 0.01 < result.chance < 0.3 and result.chance < result.center
    assert sum(group.hits * group.videos for group in result.groups.values()) == pytest.approx(24 * result.hits)
    rows = filter_strength(net, dataset)
    assert len(rows) == 120 and not any(row.note for row in rows)
    other = get_model('i3d_tiny_synthfg_dfb')
    weight = other.branches.bank.filters.weight
    same = weight.data().asnumpy()
    same[7] = 1.5 * same[3]
    weight.set_data(same)
    notes = {row.filter: row.note for row in filter_strength(other, dataset)}
    assert notes[7] == 'like 3' and sum(map(bool, notes.values())) == 1
    with pytest.raises(UserError, match='classes'):
        pointing_accuracy(get_model('i3d_tiny_custom_dfb', nclass=2), dataset, truth)
    with pytest.raises(UserError, match='no class filters'):
        filter_strength(get_model('i3d_tiny_synthfg'), dataset)
