"""Lists of pages that are sorted by a click and filtered by words: tables, and cards such as those of a gallery.

What is asked of a list is answered in the browser (page.js). A table of many rows shows the first of them; all others
are in the page as JSON, which is read when somebody asks for them, so that 10,000 rows open as fast as 200.
"""

from __future__ import annotations

import json
import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from markupsafe import Markup

from .parts import json_data

_SHOWN = 200  # rows that are drawn at once
_FILTERED = 9  # rows from which on there is a box for words


class Column(NamedTuple):
    """The head of a column: its title, an explanation that the pointer shows, and whether its texts stay in a line."""

    title: str
    help: str = ''
    narrow: bool = False


class Cell(NamedTuple):
    """What a cell shows, and the number by which its column is sorted (None: it has none, and stands last)."""

    text: Union[str, Markup]
    value: Optional[float]


class Card(NamedTuple):
    """One of `cards`: what it shows, words by which it is found, and a number for each order (None: it stands last)."""

    body: Markup
    words: Tuple[str, ...]
    values: Tuple[Optional[float], ...]


def quoted(text: str) -> str:
    """Write a text so that the box for words finds the cells that are it: in quotes, its own ones written twice."""
    return '"' + text.replace('"', '""') + '"'


Value = Union[str, Markup, Cell, int, float, None, np.integer, np.floating]


def percent_cell(fraction: Optional[float]) -> Cell:
    """A cell with a fraction in percent, such as 81.2 for 0.812; a dash where there is none."""
    return Cell('\u2013', None) if fraction is None else Cell(f'{100 * fraction:.1f}', float(fraction))


def table(
    columns: Sequence[Union[str, Column]],
    rows: Sequence[Sequence[Value]],
    name: str = '',
    caption: str = '',
    shown: int = _SHOWN,
) -> Markup:
    """Make a table: a click on a head sorts it, words in its box filter it, and a wide one scrolls in itself.

    Parameters
    ----------
    columns
        titles, or `Column`s
    rows
        of each a cell for each column: a text (which is escaped), `Markup`, a number, None (shown as a dash), or a
        `Cell` that looks otherwise than its number. A column of numbers stands to the right
    name
        the table's address in the page, by which links find it: `<a href="#" data-find="NAME" data-words="...">`
        puts words into its box. Words in quotes (`quoted`) have to be a whole cell; several of them cells from left to
        right
    caption
        a line above the table
    shown
        rows that are drawn at once; others come on demand
    """
    heads = [column if isinstance(column, Column) else Column(column) for column in columns]
    numeric = [_is_number(rows, place) for place in range(len(heads))]
    several = len(rows) > shown
    cells = [_row(row, heads, numeric) for row in rows[:shown]]
    head = Markup('').join(
        Markup('<th scope="col"{}{}><button type="button">{}</button></th>').format(
            Markup(' class="n"') if number else '',
            Markup(' title="{}"').format(column.help) if column.help else '',
            column.title,
        )
        for column, number in zip(heads, numeric)
    )
    narrow = ' '.join(str(place) for place, column in enumerate(heads) if column.narrow)
    return Markup(
        '<div class="listing"{id}{step} data-narrow="{narrow}">{tools}<div class="wide"><table>{caption}'
        '<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}{data}</div>'
    ).format(
        id=Markup(' id="{}"').format(name) if name else '',
        step=Markup(' data-step="{}"').format(shown) if several else '',
        narrow=narrow,
        tools=_tools(len(rows)),
        caption=Markup('<caption>{}</caption>').format(caption) if caption else '',
        head=head,
        body=Markup('').join(cells),
        more=Markup('<p class="more">The first {} of {} rows.</p>').format(shown, len(rows)) if several else '',
        data=_data(rows, numeric) if several else '',
    )


def cards(items: Sequence[Card], orders: Sequence[str] = (), name: str = '') -> Markup:
    """Make a list of cards that is filtered by words, and put into one of several orders.

    Parameters
    ----------
    items
        in the order in which they are shown at first
    orders
        titles of the orders, one for each of a card's values; each sorts from the highest to the lowest value
    name
        the list's address in the page, as of a `table`
    """
    choices = Markup('').join(
        Markup('<option value="{}">{}</option>').format(place, title) for place, title in enumerate(orders)
    )
    order = (
        Markup('<label>order <select class="order"><option value="">as given</option>{}</select></label>').format(
            choices
        )
        if orders
        else ''
    )
    bodies = Markup('').join(
        Markup('<article class="card" data-words="{}" data-values="{}">{}</article>').format(
            json.dumps(item.words), json.dumps([_finite(value) for value in item.values]), item.body
        )
        for item in items
    )
    return Markup('<div class="listing"{}>{}<div class="cards">{}</div></div>').format(
        Markup(' id="{}"').format(name) if name else '', _tools(max(len(items), _FILTERED), order), bodies
    )


def _tools(count: int, others: Union[str, Markup] = '') -> Markup:
    """The box for words, which the script shows: without one it would do nothing."""
    if count < _FILTERED:
        return Markup('')
    return Markup(
        '<div class="tools" hidden><label>filter <input type="search" placeholder="words" '
        'autocomplete="off" spellcheck="false"></label>{}<output class="count"></output></div>'
    ).format(others)


def _is_number(rows: Sequence[Sequence[Value]], place: int) -> bool:
    """Whether a column has numbers, and no texts."""
    values = [_value(row[place]) for row in rows]
    return not any(isinstance(value, str) for value in values) and any(value is not None for value in values)


def _value(cell: Value) -> Union[str, float, None]:
    """What a cell is sorted by."""
    if isinstance(cell, Cell):
        return _finite(cell.value)
    return str(cell) if isinstance(cell, str) else _finite(cell)


def _finite(value: Any) -> Union[int, float, None]:
    if value is None or not math.isfinite(value):
        return None
    return int(value) if isinstance(value, (int, np.integer)) else float(f'{float(value):.6g}')


def _text(cell: Value) -> Union[str, Markup]:
    """What a cell shows."""
    if isinstance(cell, Cell):
        return cell.text
    if isinstance(cell, str):
        return cell
    value = _finite(cell)
    return '\u2013' if value is None else str(value)


def _row(row: Sequence[Value], heads: Sequence[Column], numeric: Sequence[bool]) -> Markup:
    cells = []
    for cell, head, number in zip(row, heads, numeric):
        value = _value(cell) if number else None
        given = Markup(' class="n" data-value="{}"').format('' if value is None else value) if number else ''
        given = Markup(' class="narrow"') if head.narrow and not number else given
        cells.append(Markup('<td{}>{}</td>').format(given, _text(cell)))
    return Markup('<tr>{}</tr>').format(Markup('').join(cells))


def _data(rows: Sequence[Sequence[Value]], numeric: Sequence[bool]) -> Markup:
    """All rows as JSON, column by column, which page.js reads.

    Of a column of numbers: `values`, and `texts` where they are shown otherwise; of texts that come again and again:
    `pool`, and `texts` with their places in it; `html` says whether texts are markup.
    """
    packed = [_packed([row[i] for row in rows], numeric[i]) for i in range(len(numeric))]
    return json_data({'rows': len(rows), 'columns': packed})


def _packed(cells: Sequence[Value], number: bool) -> Dict[str, Any]:
    packed: Dict[str, Any] = {}
    texts: List[Union[str, Markup]] = [_text(cell) for cell in cells]
    if number:
        packed['values'] = [_value(cell) for cell in cells]
        if not any(isinstance(cell, Cell) for cell in cells):
            return packed
    if any(isinstance(text, Markup) for text in texts):
        packed['html'] = True
        texts = [str(Markup.escape(text)) for text in texts]
    pool = list(dict.fromkeys(texts))
    if 4 * len(pool) < len(texts):
        place = {text: i for i, text in enumerate(pool)}
        return {**packed, 'pool': pool, 'texts': [place[text] for text in texts]}
    return {**packed, 'texts': texts}
