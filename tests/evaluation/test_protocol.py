import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg.data.labels import LabelSet
from gluon_fg.data.video import ArrayReader
from gluon_fg.errors import UserError
from gluon_fg.evaluation.protocol import PROTOCOLS, Protocol, get_protocol
from gluon_fg.input_spec import InputSpec

FREE = LabelSet(('open', 'close'))
DIRECTED = LabelSet(('turn left', 'wave'))  # no 'turn right': may not be mirrored
CLIPS = InputSpec(frames=4, frame_stride=2, crop_size=20, short_side=24)
SPREAD = InputSpec(frames=5, crop_size=20, short_side=24, sampling='spread')
IMAGES = InputSpec(frames=1, frame_stride=1, segments=3, crop_size=20, short_side=24, layout='NCHW')


def reader(total=50, height=24, width=36):
    """Pixel (t, y, x) holds (t, y, x): what a view shows says where it comes from."""
    t, y, x = np.meshgrid(np.arange(total), np.arange(height), np.arange(width), indexing='ij')
    return ArrayReader('clip', np.stack([t, y, x], axis=-1).astype(np.uint8))


def origin(view, spec):
    """(first frame, top, left, mirrored) of a view of `reader`."""
    view = view if spec.ndim == 3 else view.transpose(1, 0, 2, 3)
    columns = view[2, 0, 0].astype(int)
    return int(view[0, 0, 0, 0]), int(view[1, 0, 0, 0]), int(columns.min()), bool(columns[0] > columns[-1])


@settings(max_examples=20, deadline=None)
@given(
    name=st.sampled_from([*PROTOCOLS, '3x3-alternate', '2xwhole-flips']),
    total=st.integers(1, 60),
    height=st.integers(16, 50),
    width=st.integers(16, 50),
    images=st.booleans(),
    free=st.booleans(),
)
def test_views_are_counted_and_of_one_shape_for_any_video(name, total, height, width, images, free):
    protocol, spec, labels = get_protocol(name), IMAGES if images else CLIPS, FREE if free else DIRECTED
    views, flipped = protocol.views(reader(total, height, width), spec, labels)
    assert len(views) == len(flipped) == protocol.count(labels)
    assert len({view.shape for view in views}) == 1 and all(view.dtype == np.uint8 for view in views)
    frames = views[0].shape[0] if images else views[0].shape[1]
    assert frames == (protocol.num_segments(spec) if images else protocol.shown(spec).frames)
    assert free or not flipped.any()
    sides = views[0].shape[-2:]
    if protocol.crops == 'whole':
        assert min(sides) == spec.short_side
    else:
        assert sides == ((spec.short_side,) * 2 if protocol.crops == 'three' else (spec.crop_size,) * 2)


def test_dfb_2d_is_twenty_frames_five_crops_and_their_mirror_images():
    views, flipped = get_protocol('dfb_2d').views(reader(40), IMAGES, FREE)
    assert len(views) == 200 and views[0].shape == (1, 3, 20, 20)
    places = [origin(view, IMAGES) for view in views]
    assert {p[0] for p in places} == set(range(1, 40, 2))  # the middle of each fortieth's pair
    assert {p[1:3] for p in places} == {(0, 0), (0, 16), (4, 0), (4, 16), (2, 8)}
    assert [p[3] for p in places] == flipped.tolist() == [False, True] * 100
    np.testing.assert_array_equal(views[0][..., ::-1], views[1])
    views, flipped = get_protocol('dfb_2d').views(reader(40), IMAGES, DIRECTED)
    assert len(views) == 100 and not flipped.any()  # a direction class: unmirrored, the same mean


def test_dfb_3d_shows_whole_frames_and_mirrors_every_other_clip():
    views, flipped = get_protocol('dfb_3d').views(reader(50), CLIPS, FREE)
    assert [view.shape for view in views] == [(3, 4, 24, 36)] * 10
    starts = [origin(view, CLIPS)[0] for view in views]
    assert starts[0] == 0 and starts[-1] == 50 - 1 - 3 * 2 and len(set(starts)) == 10
    assert flipped.tolist() == [origin(view, CLIPS)[3] for view in views] == [False, True] * 5


def test_temporal_views_of_30view_read_different_frames():
    views, _ = get_protocol('30view').views(reader(50), CLIPS, None)
    places = [origin(view, CLIPS) for view in views]
    assert len(set(places)) == 30
    assert [p[2] for p in places[:3]] == [0, 6, 12] and len({p[0] for p in places}) == 10
    tall, _ = get_protocol('30view').views(reader(50, 36, 24), CLIPS, None)
    assert [origin(view, CLIPS)[1] for view in tall[:3]] == [0, 6, 12]


def test_one_clip_protocols_show_a_2d_network_its_own_segments():
    for name in ('train_time', 'ssv1', '10crop'):
        views, _ = get_protocol(name).views(reader(30), IMAGES, FREE)
        assert views[0].shape[0] == 3 == get_protocol(name).num_segments(IMAGES)
        assert views[0][:, 0, 0, 0].tolist() == [5, 15, 25]
    assert get_protocol('dfb_2d').num_segments(IMAGES) == 1


def test_a_spread_clip_is_seen_whole_and_in_ten_crops():
    """U2S sec. IV-B; a label that forbids mirror images leaves five."""
    views, flipped = get_protocol('10crop').views(reader(30), SPREAD, FREE)
    assert len(views) == 10 and flipped.tolist() == [False, True] * 5
    assert all(view.shape == (3, 5, 20, 20) and view[0, :, 0, 0].tolist() == [3, 9, 15, 21, 27] for view in views)
    assert {origin(view, SPREAD)[1:3] for view in views} == {(0, 0), (0, 16), (4, 0), (4, 16), (2, 8)}
    views, flipped = get_protocol('10crop').views(reader(30), SPREAD, DIRECTED)
    assert len(views) == 5 and not flipped.any()


def test_several_spread_clips_take_other_positions_in_the_parts():
    views, _ = get_protocol('3x1').views(reader(30), SPREAD, None)
    assert [view[0, :, 0, 0].tolist() for view in views] == [list(range(first, 30, 6)) for first in (1, 3, 5)]
    (view,), _ = get_protocol('train_time').views(reader(3), SPREAD, None)
    assert view[0, :, 0, 0].tolist() == [0, 0, 1, 2, 2]


def test_every_frame_is_decoded_once():
    asked = []

    class Counting(ArrayReader):
        def _decode(self, numbers, size):
            asked.extend(numbers)
            return super()._decode(numbers, size)

    frames = reader(20).get_batch(np.arange(20))
    get_protocol('30view').views(Counting('clip', frames), CLIPS, FREE)
    assert len(asked) == len(set(asked))


def test_protocols_can_be_written_out():
    assert get_protocol('5x3') == Protocol('5x3', 'as written: clips x crops', 5, 'three', 'none')
    named, written = PROTOCOLS['dfb_3d'], get_protocol('10xwhole-alternate')
    assert (written.clips, written.crops, written.flips) == (named.clips, named.crops, named.flips)
    assert get_protocol(named) is named


@pytest.mark.parametrize('name, hint', [('dfb3d', "'dfb_3d'"), ('5x4', '5x3'), ('0x3', 'at least 1'), ('', '5x3')])
def test_unknown_protocols_name_a_valid_choice(name, hint):
    with pytest.raises(UserError, match=hint):
        get_protocol(name)
