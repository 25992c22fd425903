"""Lights planted in dark videos must be found: right frame, right place, whatever the video's size and length."""

import mxnet as mx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gluon_fg.analysis.clips import clip_starts
from gluon_fg.analysis.localization import class_label, examine, localize, response_volume
from gluon_fg.analysis.scan import scan
from gluon_fg.errors import UserError
from gluon_fg.factory import get_model

PLAIN = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def holds(box, square):
    return box[0] <= square[0] and box[1] <= square[1] and box[2] >= square[2] and box[3] >= square[3]


def overlap(a, b):
    """Intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


# Clips of 8 frames: the first, the middle and the last frame of the first one, later ones, and the last frame of all
@pytest.mark.parametrize('frame', [0, 3, 7, 8, 12, 21, 29])
@pytest.mark.parametrize('frames', [8, 0])
@pytest.mark.parametrize('whole', [True, False])
def test_frame_and_box_of_a_flash(light, flash, frame, frames, whole):
    """54x40 becomes 65x48; the cell's 8 pixels there are 6.65 here."""
    square = (27, 13, 33, 19)
    peak = localize(light(frames), flash(30, (54, 40), square, [frame]), classes=['bright'], top=1, overlap=whole)[0]
    assert (peak.frame, peak.frames, peak.filter, peak.rank, peak.class_name) == (frame, (frame, frame), 0, 1, 'bright')
    assert peak.seconds == pytest.approx(frame / 10)
    assert holds(peak.box, square) and overlap(peak.box, square) > 0.2
    assert square[0] - 4 <= peak.point[0] <= square[2] + 4 and square[1] - 4 <= peak.point[1] <= square[3] + 4


@PLAIN
@given(
    width=st.integers(40, 300), height=st.integers(40, 300), u=st.floats(0, 1), v=st.floats(0, 1), t=st.integers(0, 19)
)
def test_places_in_videos_of_any_shape(light, flash, width, height, u, v, t):
    """A square of one cell's size (an eighth of the short side's 6 cells), anywhere, is at least half boxed."""
    side = max(min(width, height) // 6, 4)
    x, y = int(u * (width - side)), int(v * (height - side))
    square = (x, y, x + side, y + side)
    peak = localize(light(), flash(20, (width, height), square, [t]), filters=[0])[0]
    assert peak.frame == t
    middle = (x + side / 2, y + side / 2)
    assert all(abs(p - m) <= 0.85 * side for p, m in zip(peak.point, middle))
    assert (
        overlap(peak.box, square) > 0.1
        and 0 <= peak.box[0] < peak.box[2] <= width
        and 0 <= peak.box[1] < peak.box[3] <= height
    )


@PLAIN
@given(
    total=st.integers(1, 70),
    stride=st.integers(1, 4),
    frames=st.sampled_from([4, 8]),
    pick=st.floats(0, 0.999),
    whole=st.booleans(),
)
def test_frame_stride(light, flash, total, stride, frames, pick, whole):
    """Of every clip only each `stride`-th frame is seen; a flash in one of them is found in exactly that frame."""
    net = light(frames, stride)
    reader = flash(total, (48, 48), (20, 20, 30, 30), [])
    seen = np.unique(np.concatenate([p.clips[p.counts] for p in scan(net, reader, batch_size=3, overlap=whole)]))
    frame = int(seen[int(pick * len(seen))])
    peak = localize(net, flash(total, (48, 48), (20, 20, 30, 30), [frame]), filters=[0], overlap=whole)[0]
    assert peak.frame == frame < total and peak.clip <= frame


@PLAIN
@given(total=st.integers(1, 100), stride=st.integers(1, 3), cell=st.sampled_from([1, 2, 4]), whole=st.booleans())
def test_every_moment_counts_once(light, flash, total, stride, cell, whole):
    net = light(8, stride, stride=(cell, 8), offset=((cell - 1) / 2, 4))
    parts = list(scan(net, flash(total, (48, 48), (0, 0, 4, 4), []), overlap=whole))
    clips = np.concatenate([part.clips for part in parts])
    counts = np.concatenate([part.counts for part in parts])
    assert clips[0, 0] == 0 and (np.diff(clips[:, 0]) > 0).all()
    assert clips.max() >= total - stride  # to the end, or the last frame that a stride reaches
    times = np.concatenate([clip[0] + stride * cell * np.flatnonzero(c) for clip, c in zip(clips, counts)])
    assert counts[0, 0] and times[-1] > clips[-1, 0] + stride * (8 - 1.5 * cell) - 1e-9
    assert (np.diff(times) >= stride * cell / 2).all()  # in order, none twice
    assert np.diff(times).max(initial=0) <= stride * cell * 1.5  # and none missing


def test_clips_of_a_long_video():
    assert clip_starts(40, 8, 1, 8) == [0, 8, 16, 24, 32]
    assert clip_starts(37, 8, 1, 8) == [0, 8, 16, 24, 29]  # the last one ends with the video
    assert clip_starts(37, 8, 1, 4) == [0, 4, 8, 12, 16, 20, 24, 28, 29]
    assert clip_starts(37, 8, 2, 16) == [0, 16, 22]
    assert clip_starts(5, 8, 1, 4) == [0]


def test_a_moment_counts_where_it_is_farthest_from_an_end(light, flash):
    part = next(scan(light(8), flash(16, (48, 48), (0, 0, 4, 4), []), batch_size=9))
    assert part.clips[:, 0].tolist() == [0, 4, 8]
    assert [np.flatnonzero(c).tolist() for c in part.counts] == [[0, 1, 2, 3, 4, 5], [2, 3, 4, 5], [2, 3, 4, 5, 6, 7]]


@pytest.mark.parametrize('offset, wanted', [(0, [0, 0, 4, 4, 4, 4, 7]), (1.5, [1, 1, 1, 1, 5, 5, 5])])
def test_cells_of_several_frames(light, flash, offset, wanted):
    """Time reduced by 4: the frame nearest to the middle of the cell that saw the flash, and its cell's frames."""
    net = light(8, stride=(4, 8), offset=(offset, 4))
    found = [localize(net, flash(8, (48, 48), (20, 20, 30, 30), [t]), filters=[0])[0] for t in (0, 1, 3, 3, 5, 5, 7)]
    if offset:
        assert [p.frame for p in found] == wanted
        assert [p.frames for p in found] == [(0, 3)] * 4 + [(4, 7)] * 3
    else:
        assert {p.frame for p in found} <= {0, 4} and found[0].frame == 0 and found[-2].frame == 4


@pytest.mark.parametrize('name', ['i3d_tiny_custom_dfb', 'tsn_tiny_custom_dfb'])
@pytest.mark.parametrize('local_branch', [True, False])
@pytest.mark.parametrize('size', [(96, 54), (60, 131)])
def test_a_real_network_with_filters_set_by_hand(flash, name, local_branch, size):
    """Every convolution passes on its middle and little else: filters see light near their cells' centres."""
    net = get_model(name, nclass=2, local_branch=local_branch)
    for key, p in net._collect_params_with_prefix().items():
        if key.endswith('weight') and len(p.shape) > 2:
            w = np.full(p.shape, 0.02 / np.prod(p.shape[1:]), np.float32)
            w[(slice(None), slice(None), *(side // 2 for side in p.shape[2:]))] += 1 / p.shape[1]
            p.set_data(mx.nd.array(w))
    scale = min(size) / 54
    square = tuple(int(v * scale) for v in (30, 20, 42, 32))
    reader = flash(21, size, square, [13])
    peak = localize(net, reader, classes=[1])[0]
    assert peak.frame == 13
    assert peak.label == 1 and peak.filter in range(5, 10)
    x, y = (square[0] + square[2]) / 2, (square[1] + square[3]) / 2
    cell = net.response_geometry.stride[1] * scale
    assert abs(peak.point[0] - x) <= cell and abs(peak.point[1] - y) <= cell
    assert holds(peak.box, square) or (local_branch and overlap(peak.box, square) > 0.2)
    far = localize(net, reader, filters=[peak.filter], box='receptive_field')[0]
    assert holds(far.box, peak.box) and far.value == peak.value


def test_two_d_networks_see_frames_apart_and_keep_their_segments(flash):
    net = get_model('tsn_tiny_custom_dfb', nclass=2)
    assert net.num_segments == 8
    reader = flash(11, (54, 54), (10, 10, 20, 20), [5])
    one, other = (localize(net, reader, batch_size=b) for b in (1, 4))  # 11 frames are no multiple of 8 segments
    assert net.num_segments == 8
    assert [p.cell for p in one] == [p.cell for p in other]


def test_batches_do_not_matter(light, flash):
    reader = flash(50, (70, 50), (30, 20, 40, 30), [33])
    found = [localize(light(), reader, batch_size=size) for size in (1, 4, 100)]
    for other in found[1:]:
        np.testing.assert_allclose([p.value for p in other], [p.value for p in found[0]], rtol=1e-6)
        assert [p._replace(value=0) for p in other] == [p._replace(value=0) for p in found[0]]


def test_which_peaks_come_back(light, flash):
    net, reader = light(), flash(9, (48, 48), (16, 16, 24, 24), [4])
    assert [(p.filter, p.rank, p.label) for p in localize(net, reader)] == [(0, 1, 0), (1, 2, 0), (3, 1, 1), (2, 2, 1)]
    assert [p.filter for p in localize(net, reader, classes=['Dark', 0], top=1)] == [3, 0]
    assert [(p.filter, p.rank) for p in localize(net, reader, filters=[1])] == [(1, 2)]
    for options, match in [
        (dict(filters=[4]), 'filter 4 does not exist.*0 to 3'),
        (dict(classes=['drak']), "did you mean 'dark'"),
        (dict(classes=[2]), 'class number 2'),
        (dict(filters=[]), 'no filter'),
        (dict(top=0), 'top'),
        (dict(batch_size=0), 'batch_size'),
        (dict(box='cel'), 'kind of box'),
    ]:
        with pytest.raises(UserError, match=match):
            localize(net, reader, **options)
    with pytest.raises(UserError, match='no class filters.*_dfb'):
        localize(get_model('i3d_tiny_custom', nclass=2), reader)
    assert class_label(net, 'BRIGHT') == 0


def test_responses_that_are_not_finite_are_said(light, flash, monkeypatch):
    net = light()
    monkeypatch.setattr(net, 'filter_responses', lambda x: mx.nd.full((1, 4, 8, 6, 6), float('nan')), raising=False)
    with pytest.raises(UserError, match='flash.mp4: the responses are not finite'):
        localize(net, flash(8, (48, 48), (0, 0, 4, 4), []))


def test_volumes_agree_with_peaks(light, flash):
    reader = flash(30, (72, 48), (32, 16, 48, 32), [13, 14])
    found = examine(light(), reader, classes=['bright'])
    assert sorted(found.volumes) == [0, 1] and (found.length, found.fps, found.size) == (30, 10.0, (72, 48))
    for peak in found.peaks:
        volume = found.volumes[peak.filter]
        assert volume.frames.tolist() == list(range(30)) and volume.maps.shape == (30, 6, 9)
        assert volume.limits[1] == pytest.approx(peak.value)
        assert volume.maps[peak.frame].max() == pytest.approx(peak.value)
        heat = volume.heat(peak.frame)
        assert heat.shape == (48, 72)
        assert heat[int(peak.point[1]), int(peak.point[0])] == pytest.approx(peak.value, rel=1e-4)
        assert volume.heat(3).max() < peak.value / 3
    alone = response_volume(light(), reader, 1)
    np.testing.assert_array_equal(alone.maps, found.volumes[1].maps)


def test_a_video_shorter_than_a_clip(light, flash):
    found = examine(light(8), flash(3, (48, 48), (16, 16, 24, 24), [1]), filters=[0])
    assert found.peaks[0].frame == 1 and found.volumes[0].frames.tolist() == [0, 1, 2]
    last = localize(light(8), flash(3, (48, 48), (16, 16, 24, 24), [2]), filters=[0])[0]
    assert (last.frame, last.cell[0]) == (2, 2)  # the first of the repeated ones
