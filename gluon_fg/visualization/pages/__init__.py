"""The page kit: what all HTML pages of the package are made of.

`write_page` makes one file of sections; `table`, `cards`, `drawn`, `picture` and the small parts make what is in them.
"""

from .page import Section, write_page
from .parts import bar, drawn, facts, interval, json_data, picture, tiles, verdict
from .tables import Card, Cell, Column, cards, percent_cell, quoted, table

__all__ = [
    'Card',
    'Cell',
    'Column',
    'Section',
    'bar',
    'cards',
    'drawn',
    'facts',
    'interval',
    'json_data',
    'percent_cell',
    'picture',
    'quoted',
    'table',
    'tiles',
    'verdict',
    'write_page',
]
