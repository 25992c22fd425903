"""Pictures and films of activation maps and masks."""

import numpy as np
import pytest
from films import read_film, texts
from lamps import Directed, Lamp, video

from gluon_fg.analysis.activation import clip_activations, video_activations
from gluon_fg.analysis.masks import clip_masks, video_masks
from gluon_fg.data.video import ArrayReader
from gluon_fg.factory import get_model
from gluon_fg.visualization import figures, maps


def pictures_of(figure):
    """(y, x, height, width) of each picture on a drawn figure, in the order of drawing."""
    high, renderer = figure.bbox.height, figure.canvas.get_renderer()
    boxes = [image.get_window_extent(renderer) for image in figure.findobj(figures.OffsetImage)]
    return [(round(high - b.y1), round(b.x0), round(b.height), round(b.width)) for b in boxes]


def test_picture_has_a_row_for_each_map_and_one_of_frames():
    reader = video(30, (64, 48), [(n, 16, 12, 32, 24) for n in range(30)])
    lamp, directed, other = (
        clip_activations(net, reader) for net in (Lamp(stride=(2, 8)), Directed(), Lamp(frame_stride=3, stride=(2, 8)))
    )
    one, two, three = (
        maps.picture(maps.activation_sheet(found), reader) for found in ([lamp], [lamp, directed], [lamp, other])
    )
    sheets = [figures.to_array(figure) for figure in (one, two, three)]
    assert all(s.dtype == np.uint8 and s.shape[2] == 3 for s in sheets)
    frames = [sum(place[2:] == (150, 200) for place in pictures_of(figure)) for figure in (one, two, three)]
    assert frames == [2 * 4, 4 * 4, 4 * 4]  # four sub-clips: frames and F5; two directions; other frames, shown again
    said = texts(two)
    assert said.count('output 1 of 2') == 4 and 'output 1 of 4' not in said
    assert 'lamp: F5; this clip: ' in ' '.join(said) and 'directed: F_CIDC backward' in said
    assert texts(three).count('sub-clip 1') == 2 and texts(one).count('sub-clip 1') == 1
    # the box of light is white in the frame, and the hottest place in the map below it, whose rest is the coldest
    places = [(y, x) for y, x, high, wide in pictures_of(one) if (high, wide) == (150, 200)]
    y, x = places[0]
    assert (sheets[0][y + 45 : y + 65, x + 60 : x + 85] > 240).all()
    y, x = places[4]
    panel = sheets[0][y : y + 150, x : x + 200].astype(int)
    assert panel[56, 75, 0] > 130 > panel[56, 75, 2] and panel[140, 190].max() < 60


def test_many_subclips_are_shown_in_part():
    reader = video(32)
    found = clip_activations(Lamp(frames=32, stride=(1, 8)), reader)
    assert len(found.frames) == 32
    few, every, one = (maps.picture(maps.activation_sheet([found]), reader, columns=n) for n in (4, 32, 1))
    assert few.bbox.width < 950 and every.bbox.width < 4000 and one.bbox.height > 300
    assert any('4 of its sub-clips' in text.replace('\n', ' ') for text in texts(few))
    assert not any('of its sub-clips' in text.replace('\n', ' ') for text in texts(every))


@pytest.mark.parametrize('size', [(64, 36), (37, 65), (400, 300)])
@pytest.mark.parametrize('total', [1, 21])
def test_film_has_the_videos_frames_and_rate(tmp_path, size, total):
    reader = video(total, size, [(n, 0, 0, size[0] // 2, size[1]) for n in range(10, total)])
    drawn = maps.activation_sheet([video_activations(net, reader) for net in (Lamp(), Directed(), Directed())])
    path = tmp_path / 'maps.mp4'
    assert maps.film(path, drawn, reader) == total
    frames, fps = read_film(path)
    assert fps == pytest.approx(10) and len(frames) == total and [p.name for p in tmp_path.iterdir()] == ['maps.mp4']
    height, width = frames[0].shape[:2]
    assert height % 2 == width % 2 == 0
    view = figures.fit(reader.get_batch([0])[0], 240, widest=360)[0]
    h, w = view.shape[:2]
    assert width > 4 * w and height > 2 * h  # six panels, four in a row
    if total == 21:  # the left half is lit from frame 10 on, in the plain frames and in F5's panel
        places = maps._background(drawn, reader, view, 4).places
        for number, lit in ((2, False), (18, True)):
            plain, hot = (frames[number][y + h // 2, x + w // 4].astype(int) for x, y in places[:2])
            assert (plain.min() > 200) == lit and (plain.max() < 60) != lit
            assert (hot[0] > hot[2] + 40) == lit


def test_masks_and_gate(tmp_path):
    net = get_model('topheavy_tiny_synthfg_u2s')
    groups = np.array(net.labels.groups)
    net.set_csm(groups[:, None] == groups[None])
    noise = np.random.default_rng(0).integers(0, 256, (21, 54, 54, 3), np.uint8)
    reader = ArrayReader('noise.mp4', noise, 8.0)
    found = clip_masks(net, reader, partners=1, name='net')
    figure = maps.picture(maps.mask_sheet(found), reader)
    said = ' '.join(texts(figure)).replace('\n', ' ')
    assert f'predicted ({100 * found.masks[0].share:.0f} % universal, mean ' in said and 'made of 4 masks' in said
    assert 'Masks of net before the gate; each has its own color scale.' in said
    assert figure.bbox.height > 4 * 120 and figures.to_array(figure).std() > 10
    drawn = maps.mask_sheet(video_masks(net, reader, partners=1))
    assert [line.short for line in drawn.lines][-1] == 'gate' and len(drawn.lines) == 3
    assert maps.film(tmp_path / 'masks.mp4', drawn, reader) == 21
    frames, _ = read_film(tmp_path / 'masks.mp4')
    assert len(frames) == 21 and frames[0].std() > 10


def test_columns_are_aligned_under_narrow_frames():
    reader = video(30, (36, 64))
    figure = maps.picture(maps.activation_sheet([clip_activations(Directed(), reader, backbone=True)]), reader)
    figures.to_array(figure)
    lefts = [x for _, x, high, wide in pictures_of(figure) if (high, wide) == (150, 84)]
    assert len(lefts) == 4 * 4 and lefts[:4] == lefts[4:8] == lefts[8:12] == lefts[12:] == sorted(lefts[:4])
