"""Pictures and films are whole, of the right size, and have their boxes where and when they belong."""

import cv2
import numpy as np
import pytest

from gluon_fg.analysis import drawing
from gluon_fg.analysis.localization import examine
from gluon_fg.analysis.visualize import file_stems


def near(image, colour, tolerance=60):
    """(H, W) bool: pixels of about that colour; video compression bends it a little."""
    return (np.abs(image.astype(int) - np.array(colour)) < tolerance).all(axis=-1)


def read_film(path):
    film, frames = cv2.VideoCapture(str(path)), []
    while True:
        there, frame = film.read()
        if not there:
            return frames, film.get(cv2.CAP_PROP_FPS)
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))


@pytest.mark.parametrize('size', [(48, 48), (64, 36), (500, 60), (40, 90), (960, 540)])
@pytest.mark.parametrize('total, frame', [(1, 0), (3, 2), (30, 0), (30, 14), (30, 29)])
def test_strip_has_a_row_for_each_peak(light, flash, size, total, frame):
    reader = flash(total, size, (4, 4, 12, 12), [frame])
    found = examine(light(short_side=32), reader, classes=['bright'])
    sheet = drawing.strip(found, reader, [('bright', 0.9), ('dark', 0.1)])
    assert sheet.dtype == np.uint8 and sheet.ndim == 3 and sheet.shape[2] == 3
    assert 200 < sheet.shape[0] < 700 and 150 < sheet.shape[1] < 2800
    for colour in drawing.COLOURS[:2]:
        assert (sheet == np.array(colour)).all(axis=-1).sum() > 150  # title mark, outlined peak frame, boxes
    assert not (sheet == np.array(drawing.COLOURS[2])).all(axis=-1).any()


@pytest.mark.parametrize('total', [1, 2, 5, 40])
@pytest.mark.parametrize('cell', [1, 4])
def test_frames_of_a_strip(light, flash, total, cell):
    for frame in {0, total // 2, total - 1}:
        found = examine(light(stride=(cell, 8)), flash(total, (48, 48), (4, 4, 12, 12), [frame]), filters=[0])
        peak = found.peaks[0]
        around = drawing._around(peak, total, 5)
        assert peak.frame in around and len(around) == min(total, 5)
        assert around == sorted(set(around)) and 0 <= around[0] and around[-1] < total
        assert len(set(np.diff(around))) <= 1


@pytest.mark.parametrize('size', [(48, 48), (65, 37), (40, 90)])
def test_film_shows_the_box_around_the_peak_alone(light, flash, tmp_path, size):
    """At 10 frames a second a box shows for the cell's frame and up to 0.4 s before and after it."""
    reader = flash(30, size, (8, 8, 16, 16), [12])
    found = examine(light(short_side=32), reader, classes=['bright'], top=1)
    path = tmp_path / 'film.mp4'
    assert drawing.film(path, found, reader, [('bright', 0.75)]) == 30
    frames, fps = read_film(path)
    assert len(frames) == 30 and fps == pytest.approx(10)
    height, width = frames[0].shape[:2]
    assert height % 2 == width % 2 == 0 and height >= 320
    shown, scale = drawing.fit(reader.get_batch([0])[0], 320, widest=640)
    x0, y0, x1, y1 = (int(v * scale) + drawing.GAP for v in found.peaks[0].box)
    red = [near(frame[: shown.shape[0], : shown.shape[1]], drawing.COLOURS[0]) for frame in frames]
    assert red[12].sum() > 100 and sum(mask.sum() for mask in red[:7] + red[18:]) == 0
    rows, columns = np.nonzero(red[12])
    assert abs(rows.min() - y0) <= 4 and abs(rows.max() - y1) <= 4
    assert abs(columns.min() - x0) <= 4 and abs(columns.max() - x1) <= 4
    assert [p.name for p in tmp_path.iterdir()] == ['film.mp4']  # no temporary file is left


def test_visibility_fades_within_the_cell_or_four_tenths_of_a_second(light, flash):
    peak = examine(light(), flash(30, (48, 48), (8, 8, 16, 16), [12]), filters=[0]).peaks[0]
    shares = [drawing.visibility(peak, t, 10.0) for t in range(30)]
    assert shares[12] == 1 and shares[11] == shares[13] == pytest.approx(0.8) and shares[17] == 0 and shares[7] == 0
    long = peak._replace(frames=(8, 15))
    assert [drawing.visibility(long, t, 1.0) for t in (7, 8, 15, 16, 24)] == pytest.approx([8 / 9, 1, 1, 8 / 9, 0])


def test_overlay_is_hottest_at_the_peak(light, flash):
    reader = flash(9, (48, 48), (16, 16, 24, 24), [4])
    volume = examine(light(), reader, filters=[0]).volumes[0]
    grey = np.full((96, 96, 3), 128, np.uint8)
    heated = drawing.overlay(grey, volume, 4).astype(int)
    redness = heated[..., 0] - heated[..., 2]
    row, column = np.unravel_index(redness.argmax(), redness.shape)
    assert 32 <= row < 48 and 32 <= column < 48
    assert (drawing.overlay(grey, volume, 0) == drawing.overlay(grey, volume, 8)).all()
    flat = volume._replace(maps=np.ones_like(volume.maps))  # nothing to divide by
    assert drawing.overlay(grey, flat, 0).shape == grey.shape


def test_grid_has_the_highest_first(light, flash):
    examples = []
    for number, bright in enumerate([60, 240, 120]):
        reader = flash(9, (48, 48), (16, 16, 24, 24), [4], name=f'video {number}')
        reader._frames[4, 16:24, 16:24] = bright
        examples.append(drawing.example(f'video {number}', examine(light(), reader, filters=[0]), reader))
    sheet = drawing.filter_grid(examples, 'filter 0', columns=2)
    values = [int(sheet[y : y + 170, x : x + 170].max(axis=-1)[70, 70]) for x, y in [(14, 46), (14 + 342 + 14, 46)]]
    assert values[0] > values[1] > 100
    assert sheet.shape[0] > 2 * 170 and sheet.shape[1] > 4 * 170


def test_long_names_are_cut_to_the_width():
    text = 'a very long name of a class that goes on and on'
    short = drawing.shorten(text, 100, 12)
    assert short.endswith('\u2026') and text.startswith(short[:-1]) and drawing.text_width(short, 12) <= 100
    assert drawing.shorten('short', 100, 12) == 'short'


def test_png_is_written_whole_or_not_at_all(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    drawing.save_png(tmp_path / 'a.png', image)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'a.png'))[..., ::-1], image)
    assert [p.name for p in tmp_path.iterdir()] == ['a.png']


def test_names_of_files_never_meet():
    assert file_stems(['x/a.mp4', 'x/b.avi']) == ['a', 'b']
    assert file_stems(['x/a.mp4', 'y/a.mp4', 'b.mp4']) == ['x_a', 'y_a', 'b']
    assert len(set(file_stems(['x/a.mp4', 'x/a.avi', 'x/a.mp4']))) == 3
    assert len(set(file_stems(['p/x/a.mp4', 'q/x/a.mp4', 'x_a.mp4']))) == 3
