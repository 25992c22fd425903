"""The page kit: one file, nothing from outside, texts of others as texts, lists that keep their numbers."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from browser import check_page, needs_browser
from markupsafe import Markup
from matplotlib.figure import Figure

from gluon_fg.errors import UserError
from gluon_fg.visualization import pages
from gluon_fg.visualization.pages import Card, Cell, Section, bar, cards, drawn, picture, table, write_page

EVIL = '"><script>alert(1)</script>\'</td>'


def packed(markup):
    """The JSON below a table of many rows."""
    text = re.search(r'<script type="application/json">(.*?)</script>', markup, re.DOTALL)[1]
    return json.loads(text)


def cells(markup):
    return re.findall(r'<td[^>]*>(.*?)</td>', markup)


def test_texts_of_others_are_texts_everywhere(tmp_path):
    body = table([EVIL, 'n'], [[EVIL, 1]] * 12, name=EVIL, caption=EVIL) + table(['a'], [[EVIL]] * 3, shown=2)
    body += cards([Card(Markup('<b>{}</b>').format(EVIL), (EVIL,), (1,))], [EVIL])
    body += picture(np.zeros((2, 2, 3), np.uint8), EVIL) + bar(0.5, EVIL) + drawn(Figure((2, 2)), EVIL)
    path = write_page(tmp_path / 'p.html', EVIL, EVIL, [Section('a', EVIL, body, EVIL)])
    text = path.read_text()
    scripts = re.findall(r'<script[^>]*>', text)
    assert sorted(scripts) == ['<script type="application/json">', '<script>']
    assert 'alert(1)</script' not in text and text.count('alert(1)') > 20
    assert packed(body)['columns'][0]['texts'] == [EVIL] * 3


def test_a_page_names_nothing_outside_and_is_not_replaced_unasked(tmp_path):
    path = write_page(tmp_path / 'p.html', 'x', '', [Section('a', 'A', drawn(Figure((2, 2)), 'empty'))])
    text = re.sub(r'xmlns(:xlink)?="[^"]*"', '', path.read_text())
    assert 'http' not in text.replace('http-equiv', '')
    with pytest.raises(UserError, match='p.html is there already; use --force'):
        write_page(path, 'y', '', [])
    assert 'class="contents"' not in write_page(path, 'y', '', [], force=True).read_text()
    with pytest.raises(ValueError, match='two sections'):
        write_page(path, 'y', '', [Section('a', 'A', Markup('')), Section('a', 'B', Markup(''))], force=True)


def test_numbers_stand_right_and_are_sorted_by_their_values():
    rows = [['a', 0.5, Cell('50.0', 0.5)], ['b', None, Cell('none', None)], ['c', np.float32(2), Cell('3', 3)]]
    markup = table(['name', 'x', 'y'], rows)
    assert cells(markup) == ['a', '0.5', '50.0', 'b', '\u2013', 'none', 'c', '2.0', '3']
    assert re.findall(r'data-value="([^"]*)"', markup) == ['0.5', '0.5', '', '', '2.0', '3']
    assert 'class="tools"' not in markup and 'class="tools"' in table(['a'], [['b']] * 9)


def test_rows_beyond_the_first_are_packed_and_complete():
    rows = [
        [f'v{i}', ('open', 'close')[i % 2], Cell(f'{i} %', i / 7), i, Markup('<b>{}</b>').format(i)] for i in range(9)
    ]
    data = packed(table(list('abcde'), rows, shown=4))
    name, word, share, number, html = data['columns']
    assert data['rows'] == 9 and name == {'texts': [row[0] for row in rows]}
    assert [word['pool'][place] for place in word['texts']] == [row[1] for row in rows] and word['pool'] == [
        'open',
        'close',
    ]
    assert share['texts'] == [row[2].text for row in rows]
    assert share['values'] == pytest.approx([row[2].value for row in rows], rel=1e-5)
    assert number == {'values': list(range(9))}
    assert html == {'html': True, 'texts': [str(row[4]) for row in rows]}


def test_a_drawing_takes_the_inks_of_its_page_and_keeps_its_texts():
    figure = Figure((5, 3))
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color='#e64b3c', label='top-1 <b>')
    axis.grid()
    axis.legend()
    svg = drawn(figure, 'a line')
    assert 'top-1 &lt;b&gt;' in svg and '#e64b3c' in svg and 'currentColor' in svg and 'var(--line)' in svg
    assert not re.search(r'#(000000|ffffff|b0b0b0)', svg) and 'font-family' not in svg and 'DejaVu' not in svg
    ids = re.findall(r' id="([^"]*)"', svg)
    assert ids and len(ids) == len(set(ids)) and set(re.findall(r'#(s[0-9a-f]{8}[\w.-]*)', svg)) <= set(ids)
    assert 'max-width: 480px' in svg


def test_pictures_are_made_small_or_kept_exactly():
    noise = np.random.default_rng(0).integers(0, 255, (90, 160, 3)).astype(np.uint8)
    small = picture(noise, 'noise', width=80)
    assert 'image/webp' in small and 'width="80" height="45"' in small and len(small) < 8000
    exact = picture(noise, 'noise', width=640, exact=True)
    assert 'image/png' in exact and 'width="640" height="360"' in exact and 'class="exact"' in exact


def test_no_name_of_the_style_is_chosen_twice():
    """Pages share a style: a class that two of them choose for something else changes both."""
    style = (Path(pages.__file__).parent / 'style.css').read_text()
    plain = re.sub(r'/\*.*?\*/|@media[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}', '', style, flags=re.DOTALL)
    names = re.findall(r'(?:^|[},])\s*(\.[a-z]+)\s*(?=[{,])', plain)
    assert len(names) > 30 and {name for name in names if names.count(name) > 1} <= {'.interval'}


ASKED = """
const box = document.getElementById('big'), words = box.querySelector('input'), body = box.querySelector('tbody');
const shown = () => [...body.rows].map((row) => row.cells[0].textContent + row.cells[2].textContent);
const head = (place) => box.querySelectorAll('th button')[place];
const type = (text) => { words.value = text; words.dispatchEvent(new Event('input')); };
const seen = { first: shown() };
head(2).click(); seen.up = [shown(), box.querySelector('th[aria-sort]').getAttribute('aria-sort')];
head(2).click(); seen.down = shown();
head(2).click(); seen.again = [shown(), box.querySelector('th[aria-sort]')];
box.querySelector('.next').click(); seen.more = shown();
type('V1'); seen.part = [shown(), box.querySelector('.count').value];
type('"close" "v'); seen.half = shown();
document.getElementById('link').click(); seen.link = [words.value, shown()];
const cards = document.getElementById('cards'), order = cards.querySelector('select');
const faces = () => [...cards.querySelectorAll('.card')].map((card) => card.textContent);
order.value = '0'; order.dispatchEvent(new Event('change')); seen.cards = faces();
const small = document.querySelector('#small'); small.querySelector('th button').click();
seen.small = [...small.querySelectorAll('tbody td')].map((cell) => cell.textContent);
return seen;
"""


@needs_browser
def test_lists_are_sorted_and_filtered_in_a_browser(tmp_path):
    rows = [[f'v{i}', ('open', 'close')[i % 2], Cell(f'{i % 3} %', None if i == 4 else i % 3)] for i in range(12)]
    link = Markup('<a id="link" href="#a" data-find="big" data-words="&quot;v3&quot; &quot;close&quot;">3</a>')
    bodies = [Card(Markup('<p>{}</p>').format(name), (name,), (value,)) for name, value in zip('abc', (1, None, 3))]
    body = table(['video', 'class', 'share'], rows, name='big', shown=5) + link
    body += cards(bodies, ['certainty'], name='cards') + table(['n'], [[10], [9], [None], [2]], name='small')
    page = write_page(tmp_path / 'p.html', 'lists', '', [Section('a', 'A', body)])
    seen = check_page(page, ASKED, width=390).value
    assert seen['first'] == ['v00 %', 'v11 %', 'v22 %', 'v30 %', 'v41 %']
    assert seen['up'] == [['v00 %', 'v30 %', 'v60 %', 'v90 %', 'v11 %'], 'ascending']
    assert seen['down'] == ['v22 %', 'v52 %', 'v82 %', 'v112 %', 'v11 %']
    assert seen['again'] == [seen['first'], None] and len(seen['more']) == 10
    assert seen['part'] == [['v11 %', 'v101 %', 'v112 %'], '3 of 12']
    assert seen['half'] == ['v11 %', 'v30 %', 'v52 %', 'v71 %', 'v90 %']  # a quote that is not closed asks nothing yet
    assert seen['link'] == ['"v3" "close"', ['v30 %']]
    assert seen['cards'] == ['c', 'a', 'b'] and seen['small'] == ['2', '9', '10', '\u2013']
