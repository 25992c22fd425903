"""Colors of pages: enough contrast on light, dark and printed paper (WCAG 2.1, level AA)."""

import re
from pathlib import Path

import numpy as np
import pytest

from gluon_fg.visualization import pages
from gluon_fg.visualization.figures import COLORS, HEAT

STYLE = (Path(pages.__file__).parent / 'style.css').read_text()
PALETTES = [dict(re.findall(r'--(\w+): (#[0-9a-f]{6})', body)) for body in re.findall(r':root \{(.*?)\}', STYLE, re.S)]


def light(color):
    """Relative luminance (WCAG 2.1) of '#rrggbb'."""
    parts = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def contrast(a, b):
    low, high = sorted((light(a), light(b)))
    return (high + 0.05) / (low + 0.05)


def mixed(color, paper, share):
    """A color that lets through paper."""
    both = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in (color, paper)]
    return '#' + ''.join(f'{round(share * a + (1 - share) * b):02x}' for a, b in zip(*both))


def test_contrast_is_that_of_the_w3c():
    """Their examples: black on white 21; of grey on white 4.54 suffices for text, and 4.48 does not."""
    assert contrast('#000000', '#ffffff') == pytest.approx(21)
    assert [round(float(contrast(grey, '#ffffff')), 2) for grey in ('#767676', '#777777')] == [4.54, 4.48]
    assert round(float(contrast('#ff0000', '#ffffff')), 2) == 4.0


@pytest.mark.parametrize('palette', PALETTES, ids=['light', 'dark', 'print'])
def test_colors_have_contrast(palette):
    assert set(palette) == set(PALETTES[0])
    for paper in ('paper', 'raised'):
        for text in ('ink', 'quiet', 'accent', 'good', 'warn', 'bad'):
            assert contrast(palette[text], palette[paper]) >= 4.5, (text, paper)
        assert contrast(palette['fill'], palette[paper]) >= 3, paper  # bars are drawings, not texts
    faint = float(re.search(r'\.spread \.out \{[^}]*opacity: ([.\d]+)', STYLE)[1])
    assert contrast(mixed(palette['quiet'], palette['paper'], faint), palette['paper']) >= 3


def test_every_palette_is_seen():
    darkness = [contrast(palette['paper'], '#000000') for palette in PALETTES]
    assert len(darkness) == 3 and darkness[0] > 15 and darkness[1] < 2 and darkness[2] > 15
    assert STYLE.count('prefers-color-scheme: dark') == 1 and '@media print' in STYLE


def test_boxes_are_seen_on_any_frame():
    """Their rims are black, and the lines inside those are at least three times as bright."""
    assert all(contrast(color, '#000000') >= 3 for color in COLORS)
    ends = ['#' + ''.join(f'{int(c):02x}' for c in HEAT(end, bytes=True)[:3]) for end in (0.0, 0.5)]
    assert contrast(*ends) >= 3  # of a heat map: low and middle are apart without hues, too
