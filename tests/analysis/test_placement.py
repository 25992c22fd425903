"""Cells to frames and pixels, against what real networks respond to and what OpenCV's resizing does."""

import cv2
import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg.analysis.placement import Placement
from gluon_fg.backbones import Geometry
from gluon_fg.errors import UserError
from gluon_fg.factory import get_model

STRIDES = st.sampled_from([1, 2, 4, 8])
SIDES = st.tuples(st.integers(20, 400), st.integers(20, 400))


def place(stride=(1, 8), offset=(0, 0), field=(9, 145), frames=8, seen=(54, 54), size=(54, 54)):
    return Placement(Geometry(stride, field, offset), frames, seen, size)


def positive(name, **options):
    """A network in which more light in a cell's receptive field always means more response; nothing else does."""
    net = get_model(name, nclass=2, **options)
    net.num_segments = 1
    for key, p in net.collect_params().items():
        if key.endswith('weight'):
            p.set_data(mx.nd.ones(p.shape) / np.prod(p.shape[1:]))
    return net


def answering(net, shape, at, axis):
    """(positions, cells) bool: which cells along an axis answer to a flash at each position, mid-way on the others."""
    middle = [side // 2 for side in shape]
    x = np.zeros((len(at), 3, *shape), np.float32)
    for row, position in enumerate(at):
        where = list(middle)
        where[axis] = position
        x[(row, slice(None), *where)] = 1e6
    dark = net.filter_responses(mx.nd.zeros((1, 3, *shape))).asnumpy()
    lit = net.filter_responses(mx.nd.array(x)).asnumpy()
    others = tuple(i for i in range(1, lit.ndim) if i != axis + 2)
    return (lit != dark).any(axis=others)


@pytest.mark.parametrize(
    'name, shape, axis, step',
    [
        ('i3d_tiny_custom_dfb', (20, 16, 16), 0, 1),
        ('i3d_tiny_custom_dfb', (2, 16, 240), 2, 9),
        ('tsn_tiny_custom_dfb', (200, 48), 0, 5),
    ],
)
def test_a_cell_answers_to_its_receptive_field_and_to_nothing_else(name, shape, axis, step):
    net = positive(name, local_branch=False)
    geometry, pair = net.response_geometry, 0 if len(shape) == 3 and axis == 0 else 1
    at = np.arange(0, shape[axis], step)
    answers = answering(net, shape, at, axis)
    centres = geometry.offset[pair] + geometry.stride[pair] * np.arange(answers.shape[1])
    np.testing.assert_array_equal(answers, np.abs(at[:, None] - centres[None]) <= geometry.field[pair] / 2)


@pytest.mark.parametrize('name, shape', [('i3d_tiny_custom_dfb', (2, 32, 200)), ('tsn_tiny_custom_dfb', (32, 200))])
def test_the_cell_of_the_local_branch_that_answers_most_is_the_nearest_one_or_next_to_it(name, shape):
    net = positive(name)
    geometry, at = net.response_geometry, np.arange(4, 196, 5)
    middle = [side // 2 for side in shape[:-1]]
    x = np.zeros((len(at), 3, *shape), np.float32)
    for row, position in enumerate(at):
        x[(row, slice(None), *middle, position)] = 1e3
    responses = net.filter_responses(mx.nd.array(x)).asnumpy()
    best = responses[:, 0].reshape(len(at), -1, responses.shape[-1]).max(axis=1).argmax(axis=1)
    assert np.abs(geometry.offset[1] + geometry.stride[1] * best - at).max() <= geometry.stride[1]


def test_frames_of_a_network_that_halves_time_twice():
    """Stride 4 centred on frame 1.5, as after two (2, 1, 1) poolings: cell 0 is frames 0..3, cell 1 is 4..7."""
    four = place(stride=(4, 8), offset=(1.5, 0))
    assert [four.span(i) for i in (0, 1)] == [(0, 3), (4, 7)]
    assert [four.frame(i) for i in (0, 1)] == [1, 5]
    padded = place(stride=(4, 8), offset=(0, 0))  # after two strided convolutions: centred on 0, 4, 8
    assert [padded.frame(i) for i in (0, 1, 2)] == [0, 4, 7]  # the third one's centre lies in the padding
    assert [padded.span(i) for i in (0, 1)] == [(0, 1), (2, 5)]


@settings(max_examples=40, deadline=None)
@given(stride=STRIDES, offset=st.sampled_from([0, 0.5, 1.5, 3.5]), cells=st.integers(1, 6))
def test_every_frame_belongs_to_one_cell(stride, offset, cells):
    placement = place(stride=(stride, 8), offset=(offset, 0), frames=64)
    owned = []
    for cell in range(cells):
        first, last = placement.span(cell)
        assert first <= placement.frame(cell) <= last
        owned += range(first, last + 1)
    assert owned == list(range(owned[0], owned[0] + len(owned)))  # each once, in order, without a gap


@settings(max_examples=40, deadline=None)
@given(size=SIDES, short_side=st.integers(16, 128), y=st.integers(0, 400), x=st.integers(0, 400))
def test_pixels_map_back_as_opencv_resizes(size, short_side, y, x):
    """A blurred spot in the video is found again from its centre of mass in the resized frame."""
    from gluon_fg.data.transforms import resize_short, short_side_size

    height, width = size
    y, x = min(y, height - 1), min(x, width - 1)
    seen = short_side_size(height, width, short_side)
    ramp = np.stack([np.full(size, v, np.uint8) for v in (0, 0, 0)], axis=-1)
    assert resize_short(ramp[None], short_side).shape[1:3] == seen
    columns = np.tile(np.arange(width, dtype=np.float32) + 0.5, (height, 1))
    rows = np.tile((np.arange(height, dtype=np.float32) + 0.5)[:, None], (1, width))
    # resizing the coordinates themselves says where each resized pixel came from
    came = [cv2.resize(grid, (seen[1], seen[0]), interpolation=cv2.INTER_LINEAR) for grid in (rows, columns)]
    placement = place(stride=(1, 1), seen=seen, size=size)
    i, j = y * seen[0] // height, x * seen[1] // width
    px, py = placement.point((i, j))
    inside = (max(height / seen[0], 1), max(width / seen[1], 1))  # at the border OpenCV repeats the outermost pixel
    assert abs(py - came[0][i, j]) <= (0.01 if 1 < py / inside[0] < seen[0] - 1 else inside[0])
    assert abs(px - came[1][i, j]) <= (0.01 if 1 < px / inside[1] < seen[1] - 1 else inside[1])


@settings(max_examples=40, deadline=None)
@given(
    size=SIDES,
    cell=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    cells=st.floats(0.5, 9),
    kind=st.sampled_from(['cell', 'receptive_field']),
)
def test_boxes_hold_their_point_and_stay_in_the_frame(size, cell, cells, kind):
    placement = place(seen=(96, 96), size=size)
    x0, y0, x1, y1 = placement.box(cell, kind, cells)
    x, y = placement.point(cell)
    assert 0 <= x0 <= x <= x1 <= size[1] and 0 <= y0 <= y <= y1 <= size[0]
    assert x < size[1] and y < size[0]


def test_box_sides_in_the_videos_pixels():
    placement = place(seen=(54, 96), size=(108, 192))  # shown at half size
    assert placement.box((3, 4)) == (49.0, 33.0, 81.0, 65.0)  # 2 cells of 8 pixels, twice as large, around 2 * 32.5
    assert placement.box((3, 4), cells=1) == (57.0, 41.0, 73.0, 57.0)
    assert placement.box((3, 4), 'receptive_field') == (0.0, 0.0, 192.0, 108.0)
    narrow = place(field=(9, 20), seen=(54, 96), size=(108, 192))
    assert narrow.box((3, 4), 'receptive_field') == (45.0, 29.0, 85.0, 69.0)
    with pytest.raises(UserError, match='cell'):
        placement.box((0, 0), 'cells')
    with pytest.raises(UserError, match='more than 0'):
        placement.box((0, 0), cells=0)


def test_heat_is_the_response_at_each_cells_centre():
    responses = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    placement = place(offset=(0, 3), seen=(32, 48), size=(32, 48))
    heat = placement.heat(responses)
    np.testing.assert_allclose(heat[3::8, 3::8], responses, atol=1e-5)
    assert heat[0, 0] == responses[0, 0]  # beyond the outermost centres: the nearest
    between = (responses[1, 2] + responses[1, 3]) / 2
    np.testing.assert_allclose(heat[11, 23], between, atol=1e-5)
    larger = place(offset=(0, 3), seen=(32, 48), size=(96, 144)).heat(responses)
    np.testing.assert_allclose(larger[1::3, 1::3], heat, atol=1e-2)  # the middle pixel of each 3x3 has the same centre
