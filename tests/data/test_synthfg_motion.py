"""SynthFG motion: what a frame may not tell, what flow sees, what a mirror makes of it, what lies on disk."""

import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg.data import build_dataset, label_set, open_video, synthfg
from gluon_fg.data.synthfg import motion
from gluon_fg.errors import UserError

LABELS = range(len(synthfg.MOTION_CLASSES))
labels, seeds = st.sampled_from(LABELS), st.integers(0, 2**32 - 1)
SIZES = {'train': 24, 'val': 12, 'test': 12}


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return synthfg.generate(
        tmp_path_factory.mktemp('motion') / 'set', **SIZES, progress=False, dataset='synthfg_motion'
    )


@settings(max_examples=10, deadline=None)
@given(labels, seeds)
def test_same_arguments_same_bytes(label, seed):
    clip = synthfg.render_motion(label, seed)
    assert clip.shape == (8, 54, 54, 3) and clip.dtype == np.uint8
    np.testing.assert_array_equal(clip, synthfg.render_motion(label, seed))
    assert (clip != synthfg.render_motion(label, seed + 1)).mean() > 0.5
    assert (clip != synthfg.render_motion((label + 1) % 12, seed)).any()


@settings(max_examples=30, deadline=None)
@given(labels, labels, st.integers(0, 7), seeds)
def test_no_frame_tells_the_class(label, other, t, seed):
    """Whatever a frame of a class shows, a scene of any other class, as likely, shows at that time: place and angle are
    uniform on a torus and a circle, and this is the shift that the one has to the other."""
    scene = motion.draw_motion(seed)
    ((x, y, angle), (other_x, other_y, other_angle)) = scene.pose(label, t), scene.pose(other, t)
    shifted = replace(
        scene,
        x=(scene.x + x - other_x) % 54,
        y=(scene.y + y - other_y) % 54,
        angle=(scene.angle + angle - other_angle) % (2 * np.pi),
    )
    np.testing.assert_allclose(shifted.pose(other, t)[:2], (x, y), atol=1e-9)
    frame = motion.render_scene(scene, label)[0][t].astype(int)
    image = motion.render_scene(shifted, other)[0][t].astype(int)
    difference = np.abs(frame - image)
    assert difference.mean() < 0.5 and (difference > 60).mean() < 2e-3  # rounding at a body's edge alone


def test_place_and_angle_are_uniform():
    scenes = [motion.draw_motion((7, i)) for i in range(1000)]
    for values, top in ([s.x for s in scenes], 54), ([s.y for s in scenes], 54), ([s.angle for s in scenes], 2 * np.pi):
        counts = np.histogram(values, bins=5, range=(0, top))[0]
        assert counts.sum() == 1000 and counts.min() > 150 and counts.max() < 250  # 200 expected, sd 12.6


def expected_flow(scene, label, t):
    """Flow (54, 54, 2) that the body has from frame t to t + 1, and where the body surely is, bool (54, 54)."""
    (x, y, angle), (x1, y1, angle1) = scene.pose(label, t), scene.pose(label, t + 1)
    step = (np.array([x1 - x, y1 - y]) + 27) % 54 - 27 + scene.jitter[t + 1] - scene.jitter[t]
    down, right = np.mgrid[0:54, 0:54] + 0.5
    away = np.stack([right - x - scene.jitter[t, 0], down - y - scene.jitter[t, 1]], axis=-1)
    turn = np.array(
        [[np.cos(angle1 - angle), -np.sin(angle1 - angle)], [np.sin(angle1 - angle), np.cos(angle1 - angle)]]
    )
    inside = np.linalg.norm(away, axis=-1) < 0.75 * scene.half  # no shape is narrower
    return away @ turn.T - away + step, inside


@pytest.mark.parametrize('label', LABELS)
def test_flow_sees_the_motion_in_the_file(label, tmp_path):
    """DIS on the frames that are read back from the file: the body's displacement, or the sense in which it turns."""
    errors, seen = [], []
    for seed in range(4):
        scene = motion.draw_motion((11, label, seed))
        synthfg.write_video(tmp_path / 'clip.mp4', motion.render_scene(scene, label)[0])
        with open_video(tmp_path / 'clip.mp4') as reader:
            gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in reader.get_batch(range(8))]
        for t in range(7):
            flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(gray[t], gray[t + 1], None)
            want, inside = expected_flow(scene, label, t)
            if inside.sum() > 50:  # of a body that is in the frame
                errors.append(np.linalg.norm(flow - want, axis=-1)[inside].mean())
                of_body, wanted = (f[inside] - f[inside].mean(axis=0) for f in (flow, want))
                seen.append((of_body * wanted).sum() / (wanted**2).sum())
    if 'turns' in synthfg.MOTION_CLASSES[label]:
        # DIS smooths at half the size, so that it sees a third of a body's turning; its sense is right in most frames
        assert np.mean(np.array(seen) > 0) > 0.75 and np.mean(seen) > 0.1
    else:
        assert np.median(errors) < 0.6, np.median(errors)  # pixels, of displacements of 1.5 to 3


@settings(max_examples=20, deadline=None)
@given(labels, seeds)
def test_mirrored_clip_is_a_clip_of_the_mirrored_class(label, seed):
    labels = label_set('synthfg_motion')
    scene = motion.draw_motion(seed)
    scene = replace(scene, noise=np.zeros_like(scene.noise), shape='disc')
    # turned by -angle, a mirrored disc carries the mirrored tile; drifters carry theirs, so the mirrored scene has none
    scene = replace(scene, drifters=())
    mirrored = replace(
        scene,
        x=54 - scene.x,
        angle=-scene.angle,
        pan=(-scene.pan[0], scene.pan[1]),
        jitter=scene.jitter * (-1, 1),
        ground=scene.ground[:, ::-1],
        surface=scene.surface[:, ::-1],
    )
    clip = motion.render_scene(scene, label)[0].astype(int)
    image = motion.render_scene(mirrored, int(labels.flip_map[label]))[0].astype(int)[:, :, ::-1]
    difference = np.abs(clip - image)
    assert difference.mean() < 1 and (difference > 120).mean() < 1e-3


def test_mirror_rules_and_groups():
    labels = label_set('synthfg_motion')
    assert labels.classes == synthfg.MOTION_CLASSES and labels.flip_allowed
    assert labels.groups == ('moves on',) * 4 + ('comes back',) * 4 + ('turns',) * 4
    assert labels.flip_map.tolist() == [1, 0, 2, 3, 5, 4, 6, 7, 9, 8, 11, 10]


@settings(max_examples=10, deadline=None)
@given(labels, seeds)
def test_truth_is_where_the_body_is(label, seed):
    scene = motion.alone(motion.draw_motion(seed))
    clip, boxes = motion.render_scene(scene, label)
    plain = motion.render_scene(replace(scene, surface=scene.ground, half=0.01), label)[0]  # no body to be seen
    outside = (clip != plain).any(axis=-1)
    assert outside.any(axis=(1, 2)).all() and {box.t for box in boxes} == set(range(8))
    for box in boxes:
        assert 0 <= box.y0 < box.y1 <= 54 and 0 <= box.x0 < box.x1 <= 54 and box.part == 'body'
        outside[box.t, box.y0 : box.y1, box.x0 : box.x1] = False
    assert outside.sum() <= 8 * 4  # the hardly visible one's own pixel


def test_folder_lists_what_it_holds(root):
    meta = json.loads((root / 'meta.json').read_text())
    assert meta['dataset'] == 'synthfg_motion' and meta['classes'] == list(synthfg.MOTION_CLASSES)
    assert meta['kinds'] == {'moves on': 'motion', 'comes back': 'motion', 'turns': 'motion'}
    for split, n in SIZES.items():
        with open(root / f'{split}.csv', newline='') as stream:
            rows = list(csv.DictReader(stream))
        assert np.bincount([int(row['label']) for row in rows]).tolist() == [n // 12] * 12
        truth = synthfg.read_truth(root, split)
        for i, row in enumerate(rows):
            clip, boxes = synthfg.render_motion(i % 12, synthfg.clip_seed(split, 0, i), return_truth=True)
            assert truth[row['path']] == boxes
            with open_video(root / row['path']) as reader:
                assert len(reader) == 8 and np.abs(reader.get_batch(range(8)).astype(int) - clip).mean() < 12
    found = build_dataset('synthfg_motion', 'test', root)
    assert len(found) == 12 and found.labels == label_set('synthfg_motion') and found.probe() == []


def test_pixels_are_those_of_the_published_study():
    """Fixed by the seed: other pixels would be another dataset, and need another `VERSION`."""
    sums = [int(synthfg.render_motion(label, (0, 0, label)).astype(np.int64).sum()) for label in (0, 5, 10)]
    assert sums == pytest.approx([7236402, 6088199, 5306813], rel=1e-4)


def test_bad_numbers_are_named(tmp_path):
    with pytest.raises(UserError, match=r'label 12 is out of range; SynthFG motion has the labels 0\.\.11'):
        synthfg.render_motion(12, 0)
    with pytest.raises(UserError, match=r'SynthFG motion: train must be a positive multiple of 12 .*, got 16'):
        synthfg.generate(tmp_path / 'set', train=16, progress=False, dataset='synthfg_motion')
