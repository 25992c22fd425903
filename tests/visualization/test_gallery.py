"""The gallery of a report: which videos, what their cards say and show, and that nothing in them is believed."""

import base64
import dataclasses
import html
import io
import json
import os
import re
import urllib.parse
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from browser import check_page, needs_browser
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import escape
from own_films import write
from PIL import Image
from sklearn.metrics import log_loss

from gluon_fg.analysis.grad_cam import GradCam
from gluon_fg.data.datasets import VideoDataset, VideoRecord
from gluon_fg.data.labels import LabelSet
from gluon_fg.errors import printable
from gluon_fg.evaluation.score import Scores
from gluon_fg.factory import get_model
from gluon_fg.visualization.figures import fit, gray, tint
from gluon_fg.visualization.report import failures, gallery
from gluon_fg.visualization.report.content import Content
from gluon_fg.visualization.report.films import address, rivals
from gluon_fg.visualization.report.page import write_report

EVIL = '<script>hit = 1</script><img src=x onerror="hit = 2">'
CLASSES = (f'up {EVIL}', '\'" onclick="hit = 3" \'', '</script></style>{{ 7 * 7 }}')
NAMES = (
    *('javascript:hit = 4.mp4', '<script>hit = 5<\u2044script>.mp4', '"\'><img src=x onerror=hit=6>.mp4'),
    *('new\nline \u202e #1?&amp;%41.mp4', 'b\udcff.mp4', 'ünïcode 日本.mp4', 'cut.mp4', 'gone.mp4'),
)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, -1])
P = np.array(
    [
        *([0.1, 0.7, 0.2], [0.2, 0.5, 0.3], [0.9, 0.06, 0.04], [0.35, 0.33, 0.32]),
        *([0.3, 0.0, 0.7], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4], [0.4, 0.3, 0.3]),
    ]
)  # wrong: 2 (90 %), 0 and 4 (70 %), 6 (40 %); the others by their lead: 3, 7, 1, 5


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """Films of evil names, of which one is cut short and one is gone; a stretch of the first is meant."""
    root = tmp_path_factory.mktemp('films')
    write(root / 'film.mp4', 8, 0)
    for name in NAMES[:-1]:
        (root / name).write_bytes((root / 'film.mp4').read_bytes())
    (root / 'cut.mp4').write_bytes((root / 'film.mp4').read_bytes()[:500])
    records = [VideoRecord(name, int(label)) for name, label in zip(NAMES, LABELS)]
    records[0] = records[0]._replace(start=0.25, end=1.5)
    return VideoDataset(records, LabelSet(CLASSES), root, EVIL)


@pytest.fixture(scope='module')
def net():
    mx.random.seed(5)
    made = get_model('i3d_tiny_custom', nclass=3, pretrained=False, pretrained_base=False)
    made.input_spec = made.input_spec.replace(frames=4, frame_stride=1, short_side=34, crop_size=32)
    return made


def scores_of(p=P, **changes):
    ids = (f'{NAMES[0]} [0.25-1.5 s]', *NAMES[1:])
    p = np.asarray(p, np.float32)[:, None]
    return Scores(ids, LABELS, p, ('avg',), CLASSES, None, 'train_time', {EVIL: EVIL}, EVIL, EVIL, **changes)


def cards_of(content):
    """(words, values) of the cards, in their order."""
    body = str(gallery.sections(content)[0].body)
    found = re.findall(r'data-words="([^"]*)" data-values="([^"]*)"', body)
    return [tuple(json.loads(html.unescape(text)) for text in pair) for pair in found]


def numbers(content):
    """(kind, number of the video) of the cards."""
    known = [printable(name) for name in scores_of().ids]
    return [(words[-2], known.index(words[-1])) for words, _ in cards_of(content)]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 3)), min_size=1, max_size=4), st.integers(0, 30))
def test_what_is_shown_is_shared_out_among_kinds(kinds, total):
    there, shares = zip(*kinds)
    counts = gallery.shared_out(there, shares, total)
    assert sum(counts) == min(total, sum(there)) and all(0 <= count <= most for count, most in zip(counts, there))
    for count, most, share in zip(counts, there, shares):
        if count < most:  # nobody had more than a round of it before
            assert all(other * share <= (count + share) * its for other, its in zip(counts, shares))


def test_the_surest_mistakes_come_first_then_the_least_certain():
    wrong, others = [2, 0, 4, 6], [3, 7, 1, 5]
    content = Content(scores_of(), pictures=8)
    assert numbers(content) == [('wrong', n) for n in wrong] + [('uncertain', n) for n in others]
    assert numbers(content._replace(pictures=3)) == [('wrong', n) for n in wrong[:3]]
    assert numbers(content._replace(pictures=5)) == [('wrong', n) for n in wrong] + [('uncertain', 3)]
    assert gallery.sections(content._replace(pictures=0)) == []
    lead = gallery.sections(content._replace(pictures=5))[0].lead
    assert lead == 'Videos: 4 of the 4 wrong ones, surest first; 1 of the 4 others, least certain first.'
    words, values = cards_of(content)[0]
    assert words[:2] == [CLASSES[2], CLASSES[0]] and values == pytest.approx([0.9, -0.9, -np.log(0.04)], rel=1e-5)
    unlabeled = next(card for card in cards_of(content) if card[0][0] == 'no label')
    assert unlabeled[1] == pytest.approx([0.4, -0.4, None])


def test_losses_are_those_of_scikit_learn():
    known = [place for place in range(8) if LABELS[place] >= 0]
    losses = {words[-1]: values[2] for words, values in cards_of(Content(scores_of()))}
    assert None in losses.values() and max(filter(None, losses.values())) == pytest.approx(-np.log(np.finfo('f4').tiny))
    several = [place for place in known if place != 4]  # whose true class has probability 0
    mean = np.mean([losses[printable(scores_of().ids[place])] for place in several])
    assert mean == pytest.approx(log_loss(LABELS[several], P[several], labels=[0, 1, 2]), rel=1e-5)


def test_of_two_networks_those_come_first_where_one_is_right():
    p = P.copy()
    p[[0, 3]] = P[[3, 0]]  # B has 0 right, and 3 wrong
    content = Content(scores_of(), scores_of(p), ('A', 'B'), pictures=9)
    both = [('both are wrong', n) for n in (2, 4, 6)]
    assert numbers(content) == [('only A is right', 3), ('only B is right', 0), *both]
    assert cards_of(content)[0][0][:3] == [CLASSES[0], CLASSES[0], CLASSES[1]]
    assert '1 of the 1 where only A is right; 1 of the 1 where only B is right; 3 of the 3' in (
        gallery.sections(content)[0].lead
    )


def test_of_several_labels_any_is_right():
    targets = np.zeros((8, 3), bool)
    targets[[0, 0, 1, 2], [0, 1, 2, 1]] = True  # 0 shows what is said of it; 1 and 2 do not; the others show nothing
    content = Content(scores_of(targets=targets), pictures=2)
    assert numbers(content) == [('wrong', 2), ('wrong', 1)]
    body = str(gallery.sections(content._replace(pictures=99))[0].body)
    assert body.count('<small>true</small>') == 4


def test_the_rival_of_a_class_is_the_true_one_or_the_next():
    assert [rivals(scores_of(), place) for place in (0, 1, 7)] == [(1, 0), (1, 2), (0, 1)]
    single = Scores(('a',), LABELS[:1], np.ones((1, 1, 1), np.float32), ('avg',), ('x',), None, 'p', {})
    assert rivals(single, 0) == (0, None)


def test_addresses_lead_to_the_files_whatever_they_are_called(videos, tmp_path):
    page = tmp_path / 'a folder #1' / 'report.html'
    for place, name in enumerate(NAMES):
        there = urllib.parse.urljoin(page.as_uri(), address(videos.path(place), page))
        assert there.startswith('file:///') and '#' not in there
        assert os.fsdecode(urllib.parse.unquote_to_bytes(there[len('file://') :])) == videos.path(place)
        assert address(videos.path(place), Path(videos.root) / 'x.html') == urllib.parse.quote(os.fsencode(name))
    assert address('/a/b.mp4', Path('/a/r.html'), 0.25, 10) == 'b.mp4#t=0.25,10'
    assert address('/a/b.mp4', Path('/a/r.html'), 61.5) == 'b.mp4#t=61.5'
    assert address('/a/b.mp4', Path('/a/r.html'), None, 3) == 'b.mp4#t=0,3'


@pytest.fixture(scope='module')
def page(videos, net, tmp_path_factory):
    seconds = np.array([0.1, 0.5, 0.25, 2, 0.1, 0.1, 0.1, 0.1], np.float32)
    content = Content(
        scores_of(seconds=seconds), None, (EVIL,), videos, net, page=tmp_path_factory.mktemp('p') / 'r.html'
    )
    return write_report(content)


def test_maps_are_grad_cams_on_the_frame_where_there_is_most(page, videos, net):
    text = page.read_text(encoding='utf-8')
    card = next(card for card in text.split('<article')[1:] if 'ünïcode' in card)
    shown = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(code)))).astype(int)
        for code in re.findall(r'src="data:image/webp;base64,([^"]*)"', card)
    ]
    assert len(shown) == 5
    with videos.open(5) as reader:
        every = GradCam(net).answers(reader, [(2, 0), (0, 2)])
        top = max(evidence.maps.maps.max() for evidence in every)
        for evidence, picture in zip(every, shown[3:]):
            moment = int(np.argmax([volume.max() for volume in evidence.maps.maps]))
            frame = fit(reader.get_batch([evidence.maps.frames[moment]])[0], 240, 240)[0]
            expected = tint(gray(frame), evidence.maps.heat(moment), (0.0, top))
            assert picture.shape == expected.shape and np.abs(picture - expected).mean() < 8
        middle = fit(reader.get_batch([len(reader) // 2])[0], 160, 160)[0]
        assert np.abs(shown[1] - middle).mean() < 8 < np.abs(shown[1] - middle[::-1]).mean()


def test_films_that_cannot_be_read_are_cards_with_the_reason(page):
    by_name = {card.split('class="path"')[1]: card for card in page.read_text(encoding='utf-8').split('<article')[1:]}
    assert len(by_name) == 8
    lost = {name: card for name, card in by_name.items() if '<img' not in card}
    assert sorted(re.search(r'>(cut|gone)\.mp4<', name)[1] for name in lost) == ['cut', 'gone']
    assert all('no picture: ' in card for card in lost.values()) and 'no such file' in ''.join(lost.values())


def test_the_slowest_and_the_failed_are_listed_with_reasons(videos, tmp_path):
    seconds = np.array([0.1, 0.5, 0.25, 2, 0.1, 0.1, 0.1, 0.1], np.float32)
    content = Content(scores_of(seconds=seconds), videos=videos, page=tmp_path / 'r.html')
    (section,) = failures.sections(content)
    text = str(section.body)
    assert (
        section.title == 'Failed and slow videos'
        and 'took 3.3 s in all, 0.100 s for the video in the middle; the 8 slowest took 100 %' in text
    )
    values = [float(value) for value in re.findall(r'data-value="([^"]*)"', text)]
    assert values[:6] == pytest.approx([2, 20, 0.5, 5, 0.25, 2.5], rel=1e-4)
    assert str(escape(EVIL)) in text and EVIL not in text
    plain = content._replace(scores=dataclasses.replace(scores_of(), failed={}))
    assert failures.sections(plain) == []
    two = content._replace(scores=scores_of(), other=scores_of(), titles=('A', 'B'))
    (section,) = failures.sections(two)
    assert section.title == 'Failed videos' and re.findall(r'<td>([AB])</td>', str(section.body)) == ['A', 'B']


@needs_browser
def test_names_of_others_are_texts_in_a_browser_and_cards_are_sorted(page):
    script = """
      const names = () => [...document.querySelectorAll('#gallery-cards .card')].map(c => JSON.parse(c.dataset.words));
      const order = document.querySelector('#gallery select.order'), words = document.querySelector('#gallery input');
      const first = names(), images = document.querySelectorAll('#gallery img').length;
      order.value = '1'; order.dispatchEvent(new Event('change'));
      const unsure = names();
      words.value = 'uncertain'; words.dispatchEvent(new Event('input'));
      const few = names();
      const values = document.querySelectorAll('#slow-table td.n');
      const before = values[0].textContent;
      document.querySelectorAll('#slow-table th button')[2].click();
      return {hit: window.hit, images, first, unsure, few: few.length, before,
        after: document.querySelector('#slow-table td.n').textContent,
        links: [...document.querySelectorAll('a.path')].map(a => a.protocol),
        told: document.querySelector('#gallery .likeliest').textContent};
    """
    seen = check_page(page, script, width=390, dark=True)
    value = seen.value
    assert value.get('hit') is None and value['images'] == 6 * 5 and set(value['links']) == {'file:'}
    assert [card[-1] for card in value['first']] != [card[-1] for card in value['unsure']]
    assert value['unsure'][-1] == value['first'][0] and value['few'] == 4, 'the surest mistake is the last now'
    assert (value['before'], value['after']) == ('2.000', '0.100')
    assert CLASSES[2] in value['told'] and CLASSES[0] in value['told']
