"""Pictures and films of peaks are whole, of the right size, and have their boxes where and when they belong."""

import numpy as np
import pytest
from films import read_film, texts
from matplotlib.text import Text

from gluon_fg.analysis.localization import examine
from gluon_fg.visualization import figures, film, localization
from gluon_fg.visualization.localized_videos import file_stems


def rgb(color):
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])


def near(image, color, tolerance=60):
    """(H, W) bool: pixels of about that color; video compression bends it a little."""
    return (np.abs(image.astype(int) - rgb(color)) < tolerance).all(axis=-1)


@pytest.mark.parametrize('size', [(48, 48), (64, 36), (500, 60), (40, 90), (960, 540)])
@pytest.mark.parametrize('total, frame', [(1, 0), (3, 2), (30, 0), (30, 14), (30, 29)])
def test_strip_has_a_row_for_each_peak(light, flash, size, total, frame):
    reader = flash(total, size, (4, 4, 12, 12), [frame])
    found = examine(light(short_side=32), reader, classes=['bright'])
    drawn = localization.strip(found, reader, [('bright', 0.9), ('dark', 0.1)])
    sheet = figures.to_array(drawn)
    assert sheet.dtype == np.uint8 and sheet.ndim == 3 and sheet.shape[2] == 3
    assert 200 < sheet.shape[0] < 700 and 150 < sheet.shape[1] < 2800
    for color in figures.COLORS[:2]:
        assert (sheet == rgb(color)).all(axis=-1).sum() > 150  # title mark, outlined peak frame, boxes
    assert not (sheet == rgb(figures.COLORS[2])).all(axis=-1).any()
    said = texts(drawn)
    assert said[:2] == ['flash.mp4', 'predicted: bright 90 %, dark 10 %'] and said.count('response') == 2
    assert sum(text.startswith(f'{frame / 10:.2f} s, frame {frame}') for text in said) >= 1
    for text in drawn.findobj(lambda artist: isinstance(artist, Text) and artist.get_text()):
        box = text.get_window_extent()  # nothing is cut off
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= sheet.shape[1] and box.y1 <= sheet.shape[0]


def test_texts_and_pictures_do_not_overlap(light, flash):
    """Long class names and file names break into lines, and everything moves down for them."""
    name = ' '.join(['pretending to put something behind something'] * 6)
    net, reader = light(), flash(30, (48, 48), (4, 4, 12, 12), [3], name=name + '.mp4')
    found = examine(net, reader, classes=['bright'])
    found = found._replace(peaks=[peak._replace(class_name=name) for peak in found.peaks])
    drawn = localization.strip(found, reader, [(name, 0.9)])
    sheet = figures.to_array(drawn)
    assert sheet.shape[1] < 1500
    places = [a.get_window_extent() for a in drawn.findobj(lambda a: isinstance(a, Text) and a.get_text())]
    renderer = drawn.canvas.get_renderer()
    places += [a.get_window_extent(renderer) for a in drawn.findobj(figures.OffsetImage)]
    assert len(places) > 20
    for i, a in enumerate(places):
        for b in places[i + 1 :]:
            wide, high = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
            assert wide <= 1 or high <= 1


@pytest.mark.parametrize('total', [1, 2, 5, 40])
@pytest.mark.parametrize('cell', [1, 4])
def test_frames_of_a_strip(light, flash, total, cell):
    for frame in {0, total // 2, total - 1}:
        found = examine(light(stride=(cell, 8)), flash(total, (48, 48), (4, 4, 12, 12), [frame]), filters=[0])
        peak = found.peaks[0]
        around = localization.frames_around(peak, total, 5)
        assert peak.frame in around and len(around) == min(total, 5)
        assert around == sorted(set(around)) and 0 <= around[0] and around[-1] < total
        assert len(set(np.diff(around))) <= 1


@pytest.mark.parametrize('size', [(48, 48), (65, 37), (40, 90)])
def test_film_shows_the_box_around_the_peak_alone(light, flash, tmp_path, size):
    """At 10 frames a second a box shows for the cell's frame and up to 0.4 s before and after it."""
    reader = flash(30, size, (8, 8, 16, 16), [12])
    found = examine(light(short_side=32), reader, classes=['bright'], top=1)
    path = tmp_path / 'film.mp4'
    assert localization.film(path, found, reader, [('bright', 0.75)]) == 30
    frames, fps = read_film(path)
    assert len(frames) == 30 and fps == pytest.approx(10)
    height, width = frames[0].shape[:2]
    assert height % 2 == width % 2 == 0 and height >= 320
    shown, scale = figures.fit(reader.get_batch([0])[0], 320, widest=640)
    x0, y0, x1, y1 = (int(v * scale) + figures.GAP for v in found.peaks[0].box)
    red = [near(frame[: shown.shape[0], : shown.shape[1]], figures.COLORS[0]) for frame in frames]
    assert red[12].sum() > 100 and sum(mask.sum() for mask in red[:7] + red[18:]) == 0
    rows, columns = np.nonzero(red[12])
    assert abs(rows.min() - y0) <= 4 and abs(rows.max() - y1) <= 4
    assert abs(columns.min() - x0) <= 4 and abs(columns.max() - x1) <= 4
    assert [p.name for p in tmp_path.iterdir()] == ['film.mp4']  # no temporary file is left
    left = [np.flatnonzero((frame[-20, :] > 235).all(axis=-1)) for frame in (frames[0], frames[29])]
    assert left[0].max() < 12 and left[1].min() > width - 12  # the mark goes from the left to the right end


def test_one_frame_makes_a_film(light, flash, tmp_path):
    reader = flash(1, (37, 51), (8, 8, 16, 16), [0], fps=29.97)
    found = examine(light(short_side=32), reader, classes=['bright'])
    assert localization.film(tmp_path / 'film.mp4', found, reader) == 1
    (frame,), fps = read_film(tmp_path / 'film.mp4')
    assert fps == pytest.approx(29.97, rel=1e-3) and frame.shape[0] % 2 == frame.shape[1] % 2 == 0


def test_a_film_that_fails_leaves_nothing(flash, tmp_path):
    def page(number, frame):
        if number == 3:
            raise ZeroDivisionError
        return np.zeros((64, 64, 3), np.uint8)

    with pytest.raises(ZeroDivisionError):
        film.write_film(tmp_path / 'film.mp4', flash(9, (48, 48), (0, 0, 4, 4), []), page)
    assert not list(tmp_path.iterdir())


def test_visibility_fades_within_the_cell_or_four_tenths_of_a_second(light, flash):
    found = examine(light(), flash(30, (48, 48), (8, 8, 16, 16), [12]), filters=[0])
    peak, tube = found.peaks[0], found.tubes[0]
    shares = [localization.visibility(peak, tube, t, 10.0) for t in range(30)]
    assert shares[12] == 1 and shares[11] == shares[13] == pytest.approx(0.8) and shares[17] == 0 and shares[7] == 0
    long = peak._replace(frames=(8, 15))
    shares = [localization.visibility(long, tube, t, 1.0) for t in (7, 8, 15, 16, 24)]
    assert shares == pytest.approx([8 / 9, 1, 1, 8 / 9, 0])
    long = tube._replace(frames=(8, 15), boxes=2 * tube.boxes)
    shares = [localization.visibility(peak, long, t, 1.0) for t in (6, 7, 8, 15, 16, 17)]
    assert shares == pytest.approx([0, 1 / 2, 1, 1, 1 / 2, 0])


def test_heat_is_hottest_at_the_peak(light, flash):
    reader = flash(9, (48, 48), (16, 16, 24, 24), [4])
    volume = examine(light(), reader, filters=[0]).volumes[0]
    gray = np.full((96, 96, 3), 128, np.uint8)
    heated = figures.tint(gray, volume.heat(4), volume.limits).astype(int)
    redness = heated[..., 0] - heated[..., 2]
    row, column = np.unravel_index(redness.argmax(), redness.shape)
    assert 32 <= row < 48 and 32 <= column < 48
    first, last = (figures.tint(gray, volume.heat(frame), volume.limits) for frame in (0, 8))
    assert (first == last).all()
    assert figures.tint(gray, np.ones((3, 4)), (1, 1)).shape == gray.shape  # nothing to divide by


def test_grid_has_the_highest_first(light, flash):
    examples = []
    for number, bright in enumerate([60, 240, 120]):
        reader = flash(9, (48, 48), (16, 16, 24, 24), [4], name=f'video {number}')
        reader._frames[4, 16:24, 16:24] = bright
        examples.append(localization.example(f'video {number}', examine(light(), reader, filters=[0]), reader))
    drawn = localization.filter_grid(examples, 'filter 0', columns=2)
    sheet = figures.to_array(drawn)
    assert [text for text in texts(drawn) if text.startswith('video')] == ['video 1', 'video 2', 'video 0']
    pictures = [image.get_window_extent(drawn.canvas.get_renderer()) for image in drawn.findobj(figures.OffsetImage)]
    assert len(pictures) == 6
    corners = [(round(sheet.shape[0] - box.y1), round(box.x0)) for box in pictures[::2]]
    values = [int(sheet[y + 70, x + 70].max()) for y, x in corners]
    assert values[0] > values[1] > 100 > values[2]
    assert sheet.shape[0] > 2 * 170 and sheet.shape[1] > 4 * 170


def test_names_of_files_never_meet():
    assert file_stems(['x/a.mp4', 'x/b.avi']) == ['a', 'b']
    assert file_stems(['x/a.mp4', 'y/a.mp4', 'b.mp4']) == ['x_a', 'y_a', 'b']
    assert len(set(file_stems(['x/a.mp4', 'x/a.avi', 'x/a.mp4']))) == 3
    assert len(set(file_stems(['p/x/a.mp4', 'q/x/a.mp4', 'x_a.mp4']))) == 3
