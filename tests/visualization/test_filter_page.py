"""The page on class filters: pictures of the strongest clips with their boxes, texts as texts, cards in order."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from browser import check_page, needs_browser

from gluon_fg.analysis.filter_audit import audit_filters
from gluon_fg.data.labels import LabelSet
from gluon_fg.errors import VideoError
from gluon_fg.visualization import filter_page
from gluon_fg.visualization.figures import COLORS
from gluon_fg.visualization.filter_page import write_filter_page

NAMES = ('<script>alert(1)</script> "b"', "it's dark & more")


@pytest.fixture
def lit(flash, light):
    """(network, dataset, true boxes): four videos of two classes with a light, and a third that is always dark."""
    squares = [(16, 16, 24, 24), (0, 0, 0, 0), (32, 8, 40, 16), (8, 8, 16, 16)]
    names = ['<b>0.mp4', '1".mp4', '2.mp4', '3.mp4']
    readers = [flash(16, (48, 48), square, [3 + i], name=names[i]) for i, square in enumerate(squares)]
    records = [SimpleNamespace(path=name, name=name, label=label) for name, label in zip(names, (0, 1, 0, 1))]
    labels, net = LabelSet(NAMES, groups=('<i>g', '<i>g')), light()
    net.labels, net.classes = labels, NAMES
    dataset = SimpleNamespace(records=records, labels=labels, name='lit & more', open=lambda i: readers[i])
    boxes = [SimpleNamespace(t=3, x0=30, y0=30, x1=40, y1=40)]
    return net, dataset, lambda i: boxes if i == 0 else ()


def audit_of(lit, **options):
    net, dataset, truth = lit
    return audit_filters(net, dataset, truth, examples=2, **options)


def test_strongest_clips_have_their_boxes(lit, tmp_path, monkeypatch):
    audit, drawn = audit_of(lit), {}

    def keep(rgb, alt, *rest):
        drawn[alt] = rgb
        return ''

    monkeypatch.setattr(filter_page, 'picture', keep)
    write_filter_page(tmp_path / 'p.html', audit, 'net', lit[2])
    best = audit.examples[0][0]
    assert best.video == 0 and best.frame == 3
    shown = drawn[f'<b>0.mp4, frame 3, {NAMES[0]}: response {best.value:.2f}']
    scale = shown.shape[0] / 48
    color = [tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in COLORS[:2]]
    x0, y0, x1, y1 = (round(side * scale) for side in best.box)
    assert tuple(shown[y0, (x0 + x1) // 2]) == color[0] and tuple(shown[(y0 + y1) // 2, x0]) == color[0]
    assert tuple(shown[round(30 * scale) - 3, round(35 * scale)]) == color[1]  # the true box, three pixels outside
    other = next(rgb for alt, rgb in drawn.items() if not alt.startswith('<b>0.mp4'))
    assert not (other == color[1]).all(axis=2).any()  # whose detail is not known


def test_numbers_and_texts_of_the_page(lit, tmp_path):
    audit = audit_of(lit)
    write_filter_page(tmp_path / 'p.html', audit, '<net>', lit[2], most=4)
    text = (tmp_path / 'p.html').read_text()
    assert '<b>0.mp4' not in text and 'alert(1)</script> ' not in text and '<i>g' not in text
    assert text.count('<img') == 4  # two of the strongest filter of each class, the others have none
    rows = re.search(r'id="filters-list".*?<tbody>(.*?)</tbody>', text, re.S)[1].split('</tr>')[:4]
    for line, row in zip(rows, audit.rows):
        cells = re.findall(r'<td[^>]*>(.*?)</td>', line)
        assert cells[0] == str(row.filter) and cells[2:5] == [f'{x:.3f}' for x in (row.auc, row.own, row.others)]
        near = audit.twins[row.filter].filter
        assert cells[6] == str(near) and (cells[7] == 'same') == (near // 2 == row.label)
        assert cells[-1] == (row.note or '\u2013')
    # of its class's videos the light filter has these shares in its lowest and highest interval, upwards from 40
    outline = re.search(r'<b>filter 1</b>.*?<path class="in" d="M0 40(.*?)V40Z"', text, re.S)[1]
    heights = [40 - float(height) for height in re.findall(r'V([\d.]+)h8', outline)]
    values = audit.responses[audit.labels == 0, 1]
    low, high = audit.responses[:, 1].min(), audit.responses[:, 1].max()
    shares = np.histogram(values, np.linspace(low, high, 31))[0] / len(values)
    np.testing.assert_allclose(np.array(heights) / max(heights), shares / shares.max(), atol=0.01)


def test_what_cannot_be_opened_again_is_said(lit, tmp_path):
    audit, opened = audit_of(lit), lit[1].open

    def gone(i):
        if i == 0:
            raise VideoError('0.mp4', 'it is gone')
        return opened(i)

    lit[1].open = gone
    write_filter_page(tmp_path / 'p.html', audit, 'net')
    text = (tmp_path / 'p.html').read_text()
    kept = sum(example.video != 0 for of_filter in audit.examples for example in of_filter)
    assert 'not be opened again, 1 in all: 0.mp4: it is gone' in text and text.count('<img') == kept < 8


SCRIPT = """
const names = () => [...document.querySelectorAll('#clips-list h3')].map((head) => head.textContent);
const order = document.querySelector('#clips-list select.order');
const seen = { given: names(), orders: [...order.options].map((option) => option.textContent) };
order.value = '3';
order.dispatchEvent(new Event('change'));
seen.odd = names();
document.querySelectorAll('#classes-list [data-find]')[1].click();
seen.linked = names();
return seen;
"""


@needs_browser
def test_cards_are_ordered_and_links_lead_to_them(lit, tmp_path):
    write_filter_page(tmp_path / 'p.html', audit_of(lit), 'net', lit[2])
    seen = check_page(tmp_path / 'p.html', SCRIPT, width=390)
    assert seen.value['given'] == list(NAMES) and seen.value['orders'][4] == 'dead or copies'
    assert seen.value['odd'] == list(NAMES[::-1])  # two dead filters before one copy
    assert seen.value['linked'] == [NAMES[1]] and seen.images == 4
