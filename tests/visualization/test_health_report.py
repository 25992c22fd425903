"""The page and the lists of a dataset's health: whole, escaped, with every picture inside."""

import base64
import csv
import html.parser
import re
import shutil
import subprocess

import cv2
import numpy as np
import pytest

from gluon_fg.data.findings import find
from gluon_fg.data.manifest import Manifest, table_of
from gluon_fg.data.prepare import prepare
from gluon_fg.visualization import health_numbers
from gluon_fg.visualization.health import write_report

NASTY = '<script>alert("x")</script> & \'co\''


class Page(html.parser.HTMLParser):
    """Elements and text of a page; fails on an end tag that closes something else."""

    VOID = {'meta', 'link', 'br', 'img'}

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def attributes(self, name):
        return [attrs[name] for _, attrs in self.elements if name in attrs]


def film(path, seed, frames=12, size=(64, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, size)
    for _ in range(frames):
        writer.write(cv2.resize(rng.integers(0, 256, (5, 7, 3), np.uint8), size))
    writer.release()
    return path


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Two splits of three classes: a leak, a duplicate, broken and short ones, a class without a usable video."""
    root = tmp_path_factory.mktemp('health') / 'set'
    first = film(root / 'train' / NASTY.replace('/', '_') / 'a & b.mp4', 0)
    film(root / 'train/wave/short.mp4', 1, frames=3)
    film(root / 'train/wave/plain.mp4', 2)
    shutil.copy(first, root / 'train/wave/again.mp4')
    (root / 'train/lost').mkdir()
    (root / 'train/lost/<b>cut.mp4').write_bytes(b'cut')
    (root / 'val/wave').mkdir(parents=True)
    shutil.copy(root / 'train/wave/plain.mp4', root / 'val/wave/leak.mp4')
    prepared = prepare('folder', root, workers=0)
    findings = find(prepared.manifest, lambda row: 8)
    page = write_report(prepared.folder, prepared.manifest, findings, ['no test split: <none>'])
    return prepared, findings, page


def test_the_page_is_whole_and_its_pictures_are_inside(made):
    _, _, page = made
    parsed = Page(page.read_text(encoding='utf-8'))
    pictures = [value for value in parsed.attributes('src')]
    assert len(pictures) == 2 + 2 + 2  # of two classes, of the leak, of the conflict
    for value in pictures:
        code = base64.b64decode(re.fullmatch(r'data:image/jpeg;base64,(.*)', value).group(1), validate=True)
        assert cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_COLOR).shape == (126, 168, 3)
    assert all(value.startswith('#') or value == 'data:,' for value in parsed.attributes('href'))
    anchors = parsed.attributes('id')
    assert {value[1:] for value in parsed.attributes('href') if value.startswith('#')} <= set(anchors)
    assert not re.search(r'(?:url\(|@import|https?:)', page.read_text(encoding='utf-8'))


def test_the_page_says_what_was_found_and_escapes_names(made):
    _, _, page = made
    text = ''.join(Page(page.read_text(encoding='utf-8')).text)
    for line in ('1 leak between splits', '1 file broken', '1 video too short', '0 files missing', '0 duplicates'):
        assert line in text, line
    assert 'train/lost/<b>cut.mp4' in text and NASTY.replace('/', '_') in text and 'no test split: <none>' in text
    assert 'script' not in {tag for tag, _ in Page(page.read_text()).elements}
    assert 'train has no video of lost.' in text and 'train: 0 to 3 videos a class.' in text


def test_the_lists_say_the_same(made):
    _, _, page = made

    def lines(name):
        with open(page.parent / f'{name}.csv', newline='', encoding='utf-8') as stream:
            return list(csv.DictReader(stream))

    assert [line['path'] for line in lines('broken')] == ['train/lost/<b>cut.mp4']
    assert [(line['path'], line['frames']) for line in lines('short')] == [('train/wave/short.mp4', '3')]
    assert {line['split'] for line in lines('leaks')} == {'train', 'val'} and len(lines('leaks')) == 2
    assert len(lines('videos')) == 6 and lines('missing') == []
    assert [(line['class'], line['train'], line['val']) for line in lines('classes')] == [
        (NASTY.replace('/', '_'), '1', '0'), ('lost', '0', '0'), ('wave', '3', '1'),
    ]  # fmt: skip
    with open(page.parent / 'conflicts.csv', encoding='utf-8') as stream:
        assert len(stream.readlines()) == 3  # a header, and the same bytes under two classes


def test_bins_count_every_value_once():
    for values in (
        np.array([8, 8, 8]),
        np.arange(1, 300),
        np.array([1, 2, 900]),
        np.array([0.5, 1.0, 9.0]),
        np.ones(4),
    ):
        bars = health_numbers._binned(values)
        assert sum(count for _, count in bars) == len(values) and len(bars) <= 10
        assert len({name for name, _ in bars}) == len(bars)
    assert health_numbers._binned(np.array([3, 4, 4])) == [('3', 1), ('4', 2)]


def test_a_thousand_rows_are_cut_on_the_page_and_whole_in_the_lists(made, tmp_path):
    prepared, _, _ = made
    rows = [
        prepared.manifest.rows()[0]._replace(path=f'{n}.mp4', problems=['missing'], scan='', sha256='', looks=[])
        for n in range(1000)
    ]
    whole = Manifest('folder', str(tmp_path), prepared.manifest.splits, {}, table_of(rows))
    page = write_report(tmp_path, whole, find(whole))
    text = page.read_text()
    assert 'and 950 more' in text and len(text) < 60_000
    assert len((tmp_path / 'missing.csv').read_text().splitlines()) == 1001


@pytest.mark.skipif(not shutil.which('chromium'), reason='no browser here')
def test_a_browser_has_nothing_to_complain_of(made, tmp_path):
    _, _, page = made
    done = subprocess.run(
        [
            'chromium', '--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking',
            f'--user-data-dir={tmp_path}', '--enable-logging=stderr', '--dump-dom', f'file://{page}',
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert 'CONSOLE' not in done.stderr and 'How it was found' in done.stdout
