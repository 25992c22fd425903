"""The page on look-alike classes: its numbers are those of the analysis, its script shows them, its texts are texts."""

import base64
import json
import re

import numpy as np
import pytest
from browser import check_page, needs_browser

from gluon_fg.analysis.placement import Placement
from gluon_fg.analysis.relation import ExampleMasks, partners, relation_of
from gluon_fg.analysis.similarity import ClassSimilarity, Similarity
from gluon_fg.backbones.geometry import Geometry
from gluon_fg.visualization.relation_page import page_data, write_relation_page

NAMES = ('<script>alert(1)</script>', 'a "b" & c', "it's", '</script>', 'ü', 'line\nbreak', 'g')
GROUPS = ('x', 'x', 'y', 'y', 'x', '<b>z', '<b>z')


class Net:
    """As much of a network as a relation asks for: its classes, and how it relates them."""

    name, nclass, classes = 'net', 7, NAMES

    class class_relation:
        name, matrix = 'CSM', np.eye(7)


@pytest.fixture(scope='module')
def related():
    rng = np.random.default_rng(0)
    s = np.triu(rng.integers(0, 9, (7, 7)) / 10, 1)
    s[0, 1] = 0
    s += s.T + np.eye(7)
    net = Net()
    Net.class_relation.matrix = (s >= 0.65).astype(float)
    kinds = (Similarity('first', None, s), Similarity('second', None, s[::-1, ::-1]))
    related = relation_of(ClassSimilarity('net <b>', 'some & all', NAMES, GROUPS, kinds), net)
    return related._replace(mistakes=rng.integers(0, 5, (7, 7)) * (1 - np.eye(7, dtype=int)))


@pytest.fixture(scope='module')
def clip():
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 255, (2, 30, 40, 3)).astype(np.uint8)
    place = Placement(Geometry((4, 8), (4, 8), (0, 4)), 8, (24, 32), (30, 40))
    masks = rng.normal(0, 3, (7, 2, 3, 4)).astype(np.float32)
    return ExampleMasks('"><img src=x>.mp4', 4, 2, 0.75, np.array([1, 5]), pictures, masks, place)


def numbers(code, kind):
    return np.frombuffer(base64.b64decode(code), kind)


def test_the_data_are_the_cuts(related, clip, tmp_path):
    write_relation_page(tmp_path / 'page.html', related, [clip])
    text = (tmp_path / 'page.html').read_text()
    data = json.loads(re.search(r'id="relation-data">(.*?)</script>', text, re.S)[1])
    assert data == json.loads(json.dumps(page_data(related, [clip]))) and 'alert(1)</script' not in text
    above = np.triu_indices(7, 1)
    for written, kind in zip(data['kinds'], related.kinds):
        entry, values = numbers(written['entry'], '<u4'), numbers(written['values'], '<f8')
        np.testing.assert_array_equal(entry, kind.cuts.entry[above])
        np.testing.assert_array_equal(values[entry - 1], kind.s[above])
        np.testing.assert_array_equal(numbers(written['alphas'], '<f8'), kind.cuts.alphas)
        np.testing.assert_array_equal(1 + numbers(written['ones'], '<u4') / 7, kind.cuts.averages)
    (shown,) = data['examples']
    steps = numbers(shown['masks'], '<u2').reshape(clip.masks.shape)
    near = shown['low'] + steps / 65535 * (shown['high'] - shown['low'])
    np.testing.assert_allclose(near, clip.masks, atol=(shown['high'] - shown['low']) / 65535)
    assert shown['place'] == pytest.approx([0.5 / 32, 0.5 / 24, 32.5 / 32, 24.5 / 24])
    # of classes that lie apart: the table of thresholds says the mistakes between the pairs that it takes
    row = re.search(r'<tr><td class="n" data-value="[\d.]+">1.00</td>.*?</tr>', text)[0]
    assert re.findall(r'>([^<>]+)</td>', row)[2:] == ['0', '7', '\u2013', '0.0', '0.0']


SCRIPT = """
const moved = (id, value, event) => {
  document.getElementById(id).value = value;
  document.getElementById(id).dispatchEvent(new Event(event));
};
const said = () => document.getElementById('told').textContent;
const seen = { first: said(), stops: [] };
for (let stop = 0; stop <= Number(document.getElementById('alpha').max); stop += 1) {
  moved('alpha', stop, 'input');
  seen.stops.push({
    told: said(), text: document.getElementById('alpha').getAttribute('aria-valuetext'),
    selected: [...Array(7).keys()].map((i) => window.relation.selectedBy(i)),
    rows: [...document.querySelectorAll('#pairs tr')].map((row) => [...row.cells].map((cell) => cell.textContent)),
    mean: [...window.relation.meanMask(window.relation.clips[0], [2, ...window.relation.selectedBy(2)])],
  });
}
moved('count', '3', 'change');
seen.count = Number(document.getElementById('at').value);
moved('at', '0.65', 'change');
seen.at = window.relation.state.cut;
document.getElementById('own').click();
seen.own = said();
const canvas = document.getElementById('matrix');
canvas.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight' }));
seen.cell = document.getElementById('cell').textContent;
moved('class', '3', 'change');
seen.selects = document.getElementById('selects').textContent;
moved('kind', '1', 'change');
seen.other = said();
await new Promise((done) => setTimeout(done, 50));
const strips = [...document.querySelectorAll('#masks .strip canvas')];
seen.strips = strips.length;
seen.blank = strips.filter((canvas) => !canvas.getContext('2d').getImageData(9, 9, 1, 1).data[3]).length;
return seen;
"""


@needs_browser
def test_the_slider_shows_each_cut(related, clip, tmp_path):
    write_relation_page(tmp_path / 'page.html', related, [clip])
    seen = check_page(tmp_path / 'page.html', SCRIPT, width=390).value
    kind = related.kinds[0]
    assert seen['first'].startswith(f'alpha {kind.cuts.alphas[kind.own]:.4g}'.rstrip('0'))
    assert len(seen['stops']) == len(kind.cuts.alphas)
    wrong = related.mistakes + related.mistakes.T
    for cut, stop in enumerate(seen['stops']):
        taken = kind.cuts.entry <= cut
        assert stop['selected'] == [partners(kind, cut, i) for i in range(7)]
        pairs = int(np.triu(taken, 1).sum())
        assert f'n = {kind.cuts.averages[cut]:.2f}:' in stop['told'] and f'; {pairs} of 21 pairs' in stop['told']
        assert f'{np.triu(wrong * taken, 1).sum()} of {related.mistakes.sum()} mistakes' in stop['told']
        assert stop['text'].endswith(f'n {kind.cuts.averages[cut]:.2f}')
        rows = [(f'{NAMES[i]} / {NAMES[j]}', f'{kind.s[i, j]:.3f}') for i, j in zip(*np.nonzero(np.triu(taken, 1)))]
        assert sorted((names, s) for names, s, *_ in stop['rows']) == sorted(rows)
        assert all(own == ('yes' if float(s) >= 0.65 else 'no') for _, s, own, _ in stop['rows'])
        mean = clip.masks[[2, *partners(kind, cut, 2)]].mean(axis=0).ravel()
        np.testing.assert_allclose(stop['mean'], mean, atol=np.ptp(clip.masks) / 65535)
    assert seen['count'] == pytest.approx(kind.cuts.alphas[np.abs(kind.cuts.averages - 3).argmin()], rel=1e-3)
    assert seen['at'] == kind.own and 'the very pairs of its CSM' in seen['own']
    assert seen['cell'].startswith(f'{NAMES[0]} / {NAMES[1]}: S 0.000, not taken, {wrong[0, 1]} mistakes')
    selected = len(partners(kind, kind.own, 3))
    assert seen['selects'].startswith(f'A prediction of </script> selects {1 + selected} class')
    assert seen['other'].startswith('alpha') and seen['strips'] >= 4 and not seen['blank']
