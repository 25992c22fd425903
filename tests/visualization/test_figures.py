"""Texts are cut and broken, scales say their ends, boxes and files are whole."""

import cv2
import numpy as np

from gluon_fg.visualization import figures


def test_long_lines_are_cut_to_the_width():
    line = 'a very long name of a class that goes on and on'
    short = figures.shorten(line, 100)
    assert short.endswith('\u2026') and line.startswith(short[:-1]) and 12 < len(short) < 20
    assert (
        figures.shorten('iiiiiiiiiiiiiiiiiiii', 80) == 'iiiiiiiiiiiiiiiiiiii' and len(figures.shorten('W' * 20, 80)) < 8
    )
    assert figures.shorten('short', 100) == 'short'


def test_color_scales_say_their_ends():
    ends = figures.scale_ends
    assert ends((0.5, 0.75)) == ('0.5000', '0.7500') and ends((0.5, 0.5)) == ('0.5000', '0.5000')
    assert ends((0.50001, 0.50002)) == ('0.500010', '0.500020')


def test_boxes_stay_inside_the_picture():
    plain = np.full((40, 60, 3), 200, np.uint8)
    for corners in ((5, 5, 20, 20), (-3, -3, 70, 50), (59, 39, 60, 40)):
        drawn = figures.boxed(plain, corners, 1, figures.COLORS[0])
        assert drawn.shape == plain.shape and (drawn != plain).any() and (plain == 200).all()
    half = figures.boxed(plain, (10, 10, 30, 30), 1, '#000000', 2, 0.5)
    assert half.min() == 100 and (half[20, 20] == 200).all()


def test_a_picture_is_shown_pixel_by_pixel(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    figure = figures.lay_out(figures.image(noise), margin=3, even=True)
    figures.save_figure(figure, tmp_path / 'a.png')
    written = cv2.cvtColor(cv2.imread(str(tmp_path / 'a.png')), cv2.COLOR_BGR2RGB)
    assert written.shape == (26, 36, 3) and figures.to_array(figure).shape == (26, 36, 3)
    np.testing.assert_array_equal(written[3:23, 3:33], noise)
    assert [p.name for p in tmp_path.iterdir()] == ['a.png']


def test_dollars_in_names_are_dollars():
    figure = figures.sheet([figures.titled(figures.image(np.zeros((9, 9, 3), np.uint8)), 'a $x$ b', '#000000')], ['$1'])
    assert figures.to_array(figure).std() > 1
