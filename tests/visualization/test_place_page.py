"""The page of place probes: whole, self-contained, and safe from names of files and classes."""

import numpy as np
import pytest
from browser import check_page, needs_browser

from gluon_fg.analysis.place_prober import Probe, ProbeOptions
from gluon_fg.analysis.place_probes import PlaceProbes
from gluon_fg.errors import UserError
from gluon_fg.visualization.figures import to_array
from gluon_fg.visualization.place_probes import Example, Shown, place_chart, write_place_page

NASTY = '<script>alert("x")</script> "a" & \'b\''


@pytest.fixture
def probes():
    whole, n = np.array([[0.9, 5.0]] * 12), np.arange(12)
    curve = np.array([[0.9, 0.4, 0.1]] * 12)

    def probe(lost):
        left = np.stack([0.9 - lost, 5 - 10 * lost], axis=1)
        return Probe(curve - lost[:, None] / 20, curve[:, ::-1], np.stack([left] * 3, axis=1), np.full((12, 3), 0.25))

    sources = {name: probe(share * n) for name, share in (('F5', 0.05), ('random', 0), ('center', -0.00005))}
    paths = [f'{NASTY}/{i}.mp4' for i in n]
    groups, labels = (NASTY, 'others'), n % 2
    return PlaceProbes('net', (NASTY, 'other'), groups, ProbeOptions(steps=2), n, paths, labels, labels, whole, sources)


def pictures():
    frame = np.full((40, 60, 3), 128, np.uint8)
    return [Example(place, frame, [Shown('F5', frame, 0.05 * place)]) for place in (11, 0)]


def test_the_page_has_every_video_and_no_foreign_markup(probes, tmp_path):
    write_place_page(tmp_path / 'place.html', probes, pictures(), NASTY)
    text = (tmp_path / 'place.html').read_text()
    assert '<script>alert' not in text and text.count('/11.mp4') >= 2 and text.count('<img') == 4
    assert '27.5' in text and 'points lost' in text and '>-0.0<' not in text
    with pytest.raises(UserError, match='place.html'):
        write_place_page(tmp_path / 'place.html', probes, [], 'videos')
    write_place_page(tmp_path / 'place.html', probes, [], 'videos', force=True)
    assert 'Examples' not in (tmp_path / 'place.html').read_text()


@needs_browser
def test_a_browser_shows_it_and_sorts_its_tables(probes, tmp_path):
    write_place_page(tmp_path / 'place.html', probes, pictures(), 'videos')
    script = """
      const videos = document.querySelector('#videos');
      [...videos.querySelectorAll('th button')].find(b => b.textContent == 'drop: F5').click();
      const first = videos.querySelector('tbody tr').textContent;
      [...videos.querySelectorAll('th button')].find(b => b.textContent == 'drop: F5').click();
      return [first, videos.querySelector('tbody tr').textContent];
    """
    seen = check_page(tmp_path / 'place.html', script, width=390)
    assert {row.split('.mp4')[0][-2:] for row in seen.value} == {'11', '/0'} and seen.images == 4


def test_bars_are_as_long_as_drops(probes):
    figure = place_chart(probes)
    bars = figure.axes[0].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([27.5, 0, -0.0275])
    assert [axis.get_title(loc='left').split(':')[0] for axis in figure.axes[1:]] == ['deletion', 'insertion']
    assert to_array(figure).std() > 5
