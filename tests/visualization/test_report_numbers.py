"""The report's numbers: confusion, calibration and comparison, against counts made here, and in a browser."""

import dataclasses
import html
import json
import re

import numpy as np
import pytest
from browser import check_page, needs_browser
from scipy import special

from gluon_fg.evaluation import calibration as measures
from gluon_fg.evaluation.gains import gains, gains_of_groups
from gluon_fg.evaluation.metrics import confusion
from gluon_fg.evaluation.score import Scores
from gluon_fg.evaluation.statistics import holm, mcnemar
from gluon_fg.visualization.report import calibration, comparison
from gluon_fg.visualization.report import confusion as confusion_part
from gluon_fg.visualization.report.content import Content
from gluon_fg.visualization.report.page import write_report

CLASSES = ('open <script>alert(1)</script>', 'turn left', 'close & lock', 'turn right', "it's", 'wave')
GROUPS = ('door', 'turn', 'door', 'turn', 'hand', 'hand')


@pytest.fixture(scope='module')
def pair():
    """Scores of two networks on 90 videos of 6 classes in 3 groups; the second is better."""
    labels = np.random.default_rng(0).integers(0, 6, 90)
    alike = np.array(GROUPS)[:, None] == np.array(GROUPS)
    made = []
    for seed, name, skill in ((1, 'base', 1.0), (2, 'better', 2.2)):
        z = 2 * np.random.default_rng(seed).normal(size=(90, 6)) + skill * (2 * np.eye(6) + alike)[labels]
        ids, p = tuple(f'{i:03d}.mp4' for i in range(90)), special.softmax(z, axis=1).astype(np.float32)
        logits = z.astype(np.float32)
        scores = Scores(ids, labels, p[:, None], ('fused',), CLASSES, GROUPS, '1x1', {}, name, 'made', logits=logits)
        made.append(scores)
    return made


def rows_of(markup, start):
    """The texts of the cells of the first table whose head begins so."""
    for text in re.findall(r'<table>.*?</table>', str(markup), re.S):
        rows = [re.findall(r'<t[dh][^>]*>(.*?)</t[dh]>', row, re.S) for row in re.findall(r'<tr>.*?</tr>', text, re.S)]
        rows = [[html.unescape(re.sub(r'<.*?>', '', cell)) for cell in row] for row in rows]
        if rows[0][: len(start)] == start:
            return rows[1:]
    raise AssertionError(f'no table begins with {start}')


def matrix_of(markup, number=0):
    """(classes, matrix) that a picture of a confusion matrix tells."""
    data = json.loads(re.findall(r'<script type="application/json">(.*?)</script></figure>', str(markup), re.S)[number])
    counts = np.zeros((len(data['classes']),) * 2, int)
    for row, column, count in data['cells']:
        counts[row, column] = count
    assert data['totals'] == counts.sum(axis=1).tolist()
    return data['classes'], counts


def test_the_matrix_stands_in_the_order_of_groups(pair):
    (section,) = confusion_part.sections(Content(pair[0], titles=('base',)))
    classes, counts = matrix_of(section.body)
    places = [0, 2, 1, 3, 4, 5]
    assert classes == [CLASSES[i] for i in places]
    assert (counts == confusion(pair[0])[np.ix_(places, places)]).all()
    assert confusion_part.order_of(pair[0]).stretches == (('door', 0, 2), ('turn', 2, 2), ('hand', 4, 2))


def test_without_groups_look_alikes_stand_side_by_side(pair):
    order = confusion_part.order_of(dataclasses.replace(pair[1], groups=None))
    assert {frozenset(order.classes[start : start + length]) for _, start, length in order.stretches} == {
        frozenset({0, 2}), frozenset({1, 3}), frozenset({4, 5})
    }  # fmt: skip
    sure = np.eye(6, dtype=np.float32)[pair[0].labels]
    flat = dataclasses.replace(pair[0], groups=None, probabilities=sure[:, None])
    assert confusion_part.order_of(flat).classes.tolist() == list(range(6))  # nothing is like anything


def test_pairs_of_one_and_of_two_networks(pair):
    first, second = (confusion(scores) for scores in pair)
    (section,) = confusion_part.sections(Content(pair[0], titles=('base',)))
    rows = rows_of(section.body, ['true class', 'taken for'])
    wrong = first - np.diag(np.diag(first))
    assert len(rows) == min((wrong > 0).sum(), 25) and int(rows[0][2]) == wrong.max()
    for true, taken, count, of, share, group in rows:
        i, j = CLASSES.index(true), CLASSES.index(taken)
        assert int(count) == first[i, j] and int(of) == first[i].sum()
        assert float(share) == pytest.approx(100 * first[i, j] / first[i].sum(), abs=0.05)
        assert group == ('same' if GROUPS[i] == GROUPS[j] else 'different')
    (section,) = confusion_part.sections(Content(*pair, titles=('base', 'better')))
    assert matrix_of(section.body, 1)[1].sum() == 90
    for true, taken, a, b, of, change, _ in rows_of(section.body, ['true class', 'taken for']):
        i, j = CLASSES.index(true), CLASSES.index(taken)
        assert (int(a), int(b), int(of)) == (first[i, j], second[i, j], first[i].sum())
        expected = 100 * (second[i, j] - first[i, j]) / first[i].sum()
        assert float(change.replace('\u2212', '-')) == pytest.approx(expected, abs=0.051)


def test_calibration_is_told_as_it_is_measured(pair):
    (section,) = calibration.sections(Content(*pair, titles=('base', 'better')))
    rows = rows_of(section.body, ['prediction'])
    assert [row[0] for row in rows][0::2] == ['base', 'better'] and 'base, temperature' in rows[1][0]
    for scores, row, after in zip(pair, rows[0::2], rows[1::2]):
        told, scaled = measures.calibration(scores), measures.scale(scores).after
        assert row[3] == f'{100 * told.width.error:.1f}' and row[-1] == f'{told.nll:.3f}'
        assert after[3] == f'{100 * scaled.width.error:.1f}' and after[-2] == f'{scaled.brier:.3f}'
    assert str(section.body).count('class="drawn"') == 2 and '<b>better</b>: It is' in section.body
    assert calibration.sections(Content(dataclasses.replace(pair[0], labels=np.full(90, -1)))) == []


def test_gains_of_classes_groups_and_pairs(pair):
    (section,) = comparison.sections(Content(*pair, titles=('base', 'better')))
    right = [scores.branch().argmax(axis=1) == scores.labels for scores in pair]
    rows = rows_of(section.body, ['class'])
    p_values = []
    for name, videos, a, b, gain, _, p, _ in rows:
        mine = pair[0].labels == CLASSES.index(name)
        assert (int(videos), int(a), int(b)) == (mine.sum(), right[0][mine].sum(), right[1][mine].sum())
        expected = 100 * (right[1][mine].mean() - right[0][mine].mean())
        assert float(gain.replace('\u2212', '-')) == pytest.approx(expected, abs=0.051)
        p_values.append(mcnemar((right[0] & ~right[1] & mine).sum(), (right[1] & ~right[0] & mine).sum()))
        assert p == f'{p_values[-1]:.2g}'
    assert [row[-1] for row in rows] == [f'{p:.2g}' for p in holm(p_values)]
    made = gains_of_groups(*pair)
    of_group = {row.name: row for row in made}
    turn = np.isin(pair[0].labels, [1, 3])
    assert of_group['turn'].videos == turn.sum() and of_group['turn'].right_b == right[1][turn].sum()
    assert [row.p_holm for row in made] == holm([row.p_value for row in made])
    assert [row[0] for row in rows_of(section.body, ['group'])] == [row.name for row in made]
    mixed = gains(*pair).pairs
    assert [row[-1] for row in rows_of(section.body, ['pair'])] == [
        f'{p:.2g}' for p in holm([r.p_value for r in mixed])
    ]
    assert 'nothing of other seeds' in section.body
    assert comparison.sections(Content(pair[0])) == [] and gains_of_groups(*(
        dataclasses.replace(scores, groups=None) for scores in pair
    )) == []  # fmt: skip


def test_several_labels_are_compared_by_hits_and_by_class():
    rng = np.random.default_rng(0)
    targets = rng.random((60, 3)) < 0.4
    made = []
    for name, skill in (('a', 0.5), ('b', 2.0)):
        p = special.expit(rng.normal(size=(60, 3)) + skill * (2 * targets - 1)).astype(np.float32)
        labels = np.where(targets.any(1), targets.argmax(1), -1)
        ids = tuple(map(str, range(60)))
        made.append(Scores(ids, labels, p[:, None], ('f',), ('x', 'y', 'z'), None, '1x1', {}, name, targets=targets))
    (section,) = comparison.sections(Content(*made, titles=('a', 'b')))
    shown = targets.any(axis=1)
    hits = [targets[np.arange(60), scores.branch().argmax(1)][shown] for scores in made]
    more = int(hits[1].sum()) - int(hits[0].sum())
    assert f'b is right on {more} more of {shown.sum()} videos than a' in section.body
    assert 'higher for b in 3 of 3 classes' in section.body
    assert confusion_part.sections(Content(*made)) == []
    assert calibration.sections(Content(*made, titles=('a', 'b')))


@needs_browser
def test_cells_of_the_matrix_lead_to_their_videos(pair, tmp_path):
    page = write_report(Content(*pair, titles=('base', 'better'), page=tmp_path / 'report.html'))
    script = """
const box = document.querySelector('.confusion'), matrix = box.querySelector('.matrix'), seen = [];
const press = (key) => matrix.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
press('ArrowUp'); seen.push(box.querySelector('output').textContent);
['ArrowDown', 'ArrowDown', 'ArrowRight', 'ArrowRight', 'ArrowRight'].forEach(press);
seen.push(box.querySelector('output').textContent);
press('Enter'); seen.push(document.querySelector('#video-table input').value);
seen.push([...document.querySelectorAll('#video-table tbody tr')].map((row) => row.cells[0].textContent));
const edges = matrix.getBoundingClientRect(), size = edges.width / 6;
const place = { clientX: edges.left + 1.5 * size, clientY: edges.top + 0.5 * size };
matrix.dispatchEvent(new PointerEvent('pointermove', place));
seen.push(box.querySelector('output').textContent);
const mark = box.querySelector('.matrix > b');
seen.push([mark.hidden, mark.style.left, mark.style.top]);
return seen;
"""
    for width, dark in ((1280, False), (360, True)):
        top, beside, words, videos, under, mark = check_page(page, script, width=width, dark=dark).value
        counts, labels = confusion(pair[0]), pair[0].labels
        right = f'{counts[0, 0]} of {counts[0].sum()} videos ({100 * counts[0, 0] / counts[0].sum():.1f} %)'
        assert top == f'{CLASSES[0]} is right: {right}'
        assert beside.startswith(f'turn left taken for turn right: {counts[1, 3]} of')
        assert words == '2="turn left" 3="turn right"'
        taken = (pair[0].branch().argmax(1) == 3) & (labels == 1)
        assert videos == [pair[0].ids[i] for i in np.flatnonzero(taken)] != []
        assert under.startswith(f'{CLASSES[0]} taken for {CLASSES[2]}: {counts[0, 2]} of')
        assert mark == [False, f'{100 / 6:.4f}%', '0%']
