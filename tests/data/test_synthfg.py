"""SynthFG: what the classes may and may not tell apart, and a folder that is whole or not there."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg.data import label_set, synthfg
from gluon_fg.data.synthfg import drawing, files
from gluon_fg.data.synthfg import scene as scenes
from gluon_fg.data.video import open_video
from gluon_fg.errors import UserError

LABELS = range(len(synthfg.CLASSES))
labels, seeds = st.sampled_from(LABELS), st.integers(0, 2**32 - 1)


def frames_in_any_order(clip):
    return sorted(frame.tobytes() for frame in clip)


@settings(max_examples=10, deadline=None)
@given(labels, seeds)
def test_same_arguments_same_bytes(label, seed):
    clip = synthfg.render_clip(label, seed)
    assert clip.shape == (8, 54, 54, 3) and clip.dtype == np.uint8
    np.testing.assert_array_equal(clip, synthfg.render_clip(label, seed))
    assert (clip != synthfg.render_clip(label, seed + 1)).mean() > 0.5


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 5), seeds)
def test_classes_of_a_group_differ_only_inside_the_truth(group, seed):
    """In each frame, the pixels in which two classes differ lie in the boxes of either."""
    clips, truths = zip(*(synthfg.render_clip(4 * group + i, seed, return_truth=True) for i in range(4)))
    for a in range(4):
        for b in range(a):
            differs = (clips[a] != clips[b]).any(axis=-1)  # (T, H, W)
            assert differs.any()
            for box in truths[a] + truths[b]:
                differs[box.t, box.y0 : box.y1, box.x0 : box.x1] = False
            assert not differs.any()


@pytest.mark.parametrize('group', range(6))
def test_truth_is_tight(group):
    """No box could lose three pixels on a side: without the detail, the change fills it."""
    for seed in range(4):
        scene = scenes.still(scenes.draw_scene(scenes.LOOKS[group], scenes.generator(seed)))
        for variant in range(4):
            states = scenes.events(scene, variant)
            clip, boxes = drawing.render(scene, states)
            for part in {box.part for box in boxes}:
                without = {
                    'glyph': {'glyph': None},
                    'arm': {'arm': None},
                    'halo': {'halo': False},
                    'lamp': {'lamp': 0},
                }[part]
                change = (drawing.render(scene, [s._replace(**without) for s in states])[0] != clip).any(axis=-1)
                for box in boxes:
                    if box.part == part:
                        ys, xs = np.nonzero(change[box.t])
                        gaps = [ys.min() - box.y0, xs.min() - box.x0, box.y1 - 1 - ys.max(), box.x1 - 1 - xs.max()]
                        assert min(gaps) >= 0 and max(gaps) <= 4, (box, gaps)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([8, 12, 16, 18, 20, 22]), seeds)
def test_order_is_all_that_order_classes_tell(first, seed):
    """Held still, the classes (of kind 'both': those with one glyph) are the same frames in another order."""
    kind = synthfg.KIND[synthfg.GROUPS[first]]
    some = [synthfg.render_clip(first + i, seed, nuisance=False) for i in range(4 if kind == 'order' else 2)]
    for i, clip in enumerate(some):
        assert frames_in_any_order(clip) == frames_in_any_order(some[0])
        for other in some[:i]:
            assert (clip != other).any()


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([8, 12]), seeds)
def test_scene_of_an_order_group_has_no_clock(first, seed):
    """The scene's own course is put in random order: one stream of it for all classes, and its times a permutation."""
    scene = scenes.draw_scene(scenes.LOOKS[first // 4], scenes.generator(seed))
    assert sorted(scene.clock) == list(range(8))
    # with the clock undone and the event removed, the course is smooth again: the permutation is all that hides it
    straight = replace(
        scene,
        clock=tuple(range(8)),
        noise=np.zeros_like(scene.noise),
        jitter=np.zeros_like(scene.jitter),
        distractors=(),
    )
    shuffled = replace(straight, clock=scene.clock)
    nothing = [scenes.State()] * 8
    expected, got = drawing.render(straight, nothing)[0], drawing.render(shuffled, nothing)[0]
    np.testing.assert_array_equal(got, expected[list(scene.clock)])


def test_clocks_of_order_groups_are_uniform():
    first = np.array([scenes.draw_scene(scenes.LOOKS[2], scenes.generator((5, i))).clock for i in range(400)])
    counts = np.stack([(first == moment).sum(axis=0) for moment in range(8)])  # (moment, frame), 50 expected, sd 6.6
    assert counts.min() > 20 and counts.max() < 85


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([16, 18]), seeds)
def test_halo_order_reversed_is_the_other_class(label, seed):
    """c1: played backwards, a clip shows the events of its partner with mirrored slots, which are as likely."""
    scene = scenes.draw_scene(scenes.LOOKS[4], scenes.generator(seed))
    first, second, length = scene.slots
    back = replace(scene, slots=(8 - second - length, 8 - first - length, length))
    assert scenes.events(scene, label % 4)[::-1] == scenes.events(back, label % 4 + 1)


@settings(max_examples=20, deadline=None)
@given(labels, seeds)
def test_mirrored_clip_is_a_clip_of_its_class(label, seed):
    """A scene and its mirror image, as likely to be drawn, give mirrored clips for one label.

    Both with one plain background: a texture stays what it is in a mirror, but not at the same phase.
    """
    assert label_set('synthfg').flip_map[label] == label
    scene = scenes.draw_scene(scenes.LOOKS[label // 4], scenes.generator(seed))
    scene = replace(scene, look=scene.look._replace(texture='gradient'), noise=np.zeros_like(scene.noise))
    phases = {'circle': np.pi - scene.phase, 'sway': -scene.phase, 'pulse': np.pi / 2 - scene.phase}
    mirrored = replace(
        scene,
        x=54 - scene.x,
        side=-scene.side,
        slant=-scene.slant,
        pan=(-scene.pan[0], scene.pan[1]),
        jitter=scene.jitter * (-1, 1),
        direction=(-scene.direction[0], scene.direction[1]),
        phase=phases.get(scene.look.motion, scene.phase),
        distractors=tuple(replace(d, x=54 - d.x, vx=-d.vx) for d in scene.distractors),
    )
    clip = drawing.render(scene, scenes.events(scene, label % 4))[0].astype(int)
    image = drawing.render(mirrored, scenes.events(mirrored, label % 4))[0].astype(int)[:, :, ::-1]
    difference = np.abs(clip - image)
    # the rasterizer rounds to a quarter pixel, so edges may differ; a detail at another place would be 200 off
    assert difference.mean() < 1 and (difference > 120).mean() < 1e-4


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(scenes.GLYPHS), st.floats(15, 39), st.floats(15, 39), st.floats(3.7, 4.9))
def test_glyphs_are_their_own_mirror_image(name, x, y, half):
    def draw(x):
        canvas = np.zeros((216, 216, 3), np.uint8)
        drawing._glyph(canvas, name, x, y, half, (255, 255, 255))
        return cv2.resize(canvas, (54, 54), interpolation=cv2.INTER_AREA).astype(int)

    assert draw(x).sum() > 255 * 3 * 15  # pixels
    assert np.abs(draw(x) - draw(54 - x)[:, ::-1]).max() < 110  # of 255, at an edge: a quarter pixel of rounding


@pytest.mark.parametrize('glyphs', [('plus', 'cross', 'ring', 'bars'), ('plus', 'cross', 'triangle', 'square')])
def test_glyphs_of_a_group_differ(glyphs):
    masks = []
    for name in glyphs:
        canvas = np.zeros((216, 216, 3), np.uint8)
        drawing._glyph(canvas, name, 27, 27, scenes.GLYPH_HALF, (255, 255, 255))
        masks.append(cv2.resize(canvas, (54, 54), interpolation=cv2.INTER_AREA)[..., 0] / 255)
    for i, a in enumerate(masks):
        for b in masks[:i]:
            assert np.abs(a - b).sum() > 0.5 * min(a.sum(), b.sum())


def test_label_set_and_kinds():
    names = label_set('synthfg')
    assert names.classes == synthfg.CLASSES and len(set(names.classes)) == 24
    assert names.groups == synthfg.GROUPS and names.flip_allowed
    assert [synthfg.KIND[g] for g in dict.fromkeys(names.groups)] == [
        'detail',
        'detail',
        'order',
        'order',
        'both',
        'both',
    ]


def test_folder_lists_what_it_holds(tiny_synthfg):
    meta, seen = json.loads((tiny_synthfg / 'meta.json').read_text()), set()
    assert meta['sizes'] == {'train': 48, 'val': 24, 'test': 24} and meta['classes'] == list(synthfg.CLASSES)
    for split, n in meta['sizes'].items():
        with open(tiny_synthfg / f'{split}.csv', newline='') as stream:
            rows = list(csv.DictReader(stream))
        assert [*rows[0]] == ['path', 'label', 'class', 'group']
        assert np.bincount([int(row['label']) for row in rows]).tolist() == [n // 24] * 24
        truth = synthfg.read_truth(tiny_synthfg, split)
        assert [*truth] == [row['path'] for row in rows]
        for i, row in enumerate(rows):
            assert (row['class'], row['group']) == (
                synthfg.CLASSES[int(row['label'])],
                synthfg.GROUPS[int(row['label'])],
            )
            clip, boxes = synthfg.render_clip(int(row['label']), synthfg.clip_seed(split, 0, i), return_truth=True)
            assert truth[row['path']] == boxes
            assert clip.tobytes() not in seen  # splits and clips are disjoint
            seen.add(clip.tobytes())
    assert sorted(p.name for p in tiny_synthfg.iterdir()) == [
        '.lock',
        'meta.json',
        'test',
        'test.csv',
        'train',
        'train.csv',
        'val',
        'val.csv',
    ]


def test_details_survive_the_video_file(tiny_synthfg):
    errors = []
    for i in range(0, 48, 5):
        path = tiny_synthfg / f'train/{i:05d}.mp4'
        clip = synthfg.render_clip(i % 24, synthfg.clip_seed('train', 0, i)).astype(int)
        with open_video(path, 'decord') as reader:
            assert len(reader) == 8
            read = reader.get_batch(range(8))
        errors.append(np.abs(read - clip).mean())
        with av.open(str(path)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 8
    assert np.mean(errors) < 9  # grey levels; the noise alone has 4.8


def test_generation_is_deterministic(tiny_synthfg, tmp_path):
    root = synthfg.generate(tmp_path / 'again', train=24, val=24, test=24, progress=False)
    for name in (
        'val.csv',
        'val/truth.json',
        *(f'{split}/{i:05d}.mp4' for split in ('train', 'val', 'test') for i in range(24)),
    ):
        assert (root / name).read_bytes() == (tiny_synthfg / name).read_bytes(), name
    other = synthfg.generate(tmp_path / 'other', train=24, val=24, test=24, seed=1, progress=False)
    assert (root / 'val/00000.mp4').read_bytes() != (other / 'val/00000.mp4').read_bytes()


def test_interrupted_generation_is_not_taken_as_complete(tmp_path, monkeypatch):
    root, whole, made = tmp_path / 'set', synthfg.write_video, []

    def stop_after_30(path, clip):
        if len(made) == 30:  # the training split is whole, validation is not
            raise KeyboardInterrupt
        made.append(path)
        whole(path, clip)

    sizes = {'train': 24, 'val': 24, 'test': 24}
    monkeypatch.setattr(files, 'write_video', stop_after_30)
    with pytest.raises(KeyboardInterrupt):
        synthfg.generate(root, progress=False, **sizes)
    assert synthfg.read_meta(root) is None and not (root / 'val').exists() and not (root / 'val.csv').exists()
    kept = os.stat(root / 'train/00000.mp4').st_mtime_ns
    monkeypatch.setattr(files, 'write_video', whole)
    assert synthfg.ensure(root, **sizes) == root
    assert os.stat(root / 'train/00000.mp4').st_mtime_ns == kept  # goes on where it stopped
    assert len(list(root.glob('*/*.mp4'))) == 72 and not list(root.glob('.*.partial'))

    (root / 'meta.json').unlink()  # an interrupted set of another seed is made anew, whole splits too
    before = (root / 'train/00000.mp4').read_bytes()
    synthfg.generate(root, seed=3, progress=False, **sizes)
    assert (root / 'train/00000.mp4').read_bytes() != before
    assert synthfg.read_meta(root)['seed'] == 3


def test_two_processes_at_once(tmp_path):
    code = ("import sys; from gluon_fg.data.synthfg import files; made = []; write = files.write_video\n"
            "def count(path, clip): made.append(path); write(path, clip)\n"
            "files.write_video = count\n"
            "files.ensure(sys.argv[1], train=48, val=24, test=24); print(len(made))")  # fmt: skip
    jobs = [subprocess.Popen([sys.executable, '-c', code, str(tmp_path / 'set')], stdout=subprocess.PIPE, text=True,
                             env={**os.environ, 'PYTHONPATH': os.getcwd()}) for _ in range(2)]  # fmt: skip
    made = [int(job.communicate(timeout=240)[0]) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0]
    assert sorted(made) == [0, 96]  # one rendered, the other waited


def test_ensure_takes_what_is_there(tiny_synthfg):
    assert synthfg.ensure(tiny_synthfg) == tiny_synthfg
    assert synthfg.ensure(str(tiny_synthfg), train=48) == tiny_synthfg


@pytest.mark.parametrize(
    'name, value', [('train', 50), ('train', 0), ('val', -24), ('test', 24.0), ('seed', -1), ('seed', 2**32)]
)
def test_bad_numbers(tmp_path, name, value):
    with pytest.raises(UserError, match=name) as error:
        synthfg.generate(tmp_path / 'set', progress=False, **{name: value})
    assert repr(value) in str(error.value) and '\n' not in str(error.value)
    assert not (tmp_path / 'set').exists()


@pytest.mark.parametrize('label', [-1, 24])
def test_bad_label(label):
    with pytest.raises(UserError, match='0..23'):
        synthfg.render_clip(label, 0)


def test_folder_of_something_else(tiny_synthfg, tmp_path):
    with pytest.raises(UserError, match='train 48.*not of train 72.*choose another root'):
        synthfg.ensure(tiny_synthfg, train=72)
    with pytest.raises(UserError, match='seed 0, not of .*seed 1'):
        synthfg.generate(tiny_synthfg, 48, 24, 24, seed=1)
    (tmp_path / 'holiday').mkdir()
    (tmp_path / 'holiday/photo.jpg').write_text('mine')
    with pytest.raises(UserError, match='something else .photo.jpg'):
        synthfg.ensure(tmp_path / 'holiday', train=24, val=24, test=24)
    (tmp_path / 'videos/train').mkdir(parents=True)  # the usual layout of another dataset
    with pytest.raises(UserError, match='something else .train'):
        synthfg.ensure(tmp_path / 'videos')
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='is a file'):
        synthfg.ensure(tmp_path / 'file')
    (tmp_path / 'json').mkdir()
    (tmp_path / 'json/meta.json').write_text('{"dataset": "another"}')
    with pytest.raises(UserError, match='not of a SynthFG'):
        synthfg.ensure(tmp_path / 'json')
    assert [p.name for p in (tmp_path / 'holiday').iterdir()] == ['photo.jpg']


def test_lost_clips_and_old_versions_are_named(tmp_path):
    sizes = {'train': 24, 'val': 24, 'test': 24}
    root = synthfg.generate(tmp_path / 'set', progress=False, **sizes)
    (root / 'val/00003.mp4').unlink()
    with pytest.raises(UserError, match='val has 23 of its 24 clips; remove .*meta.json'):
        synthfg.ensure(root)
    (root / 'meta.json').unlink()
    synthfg.ensure(root, **sizes)
    assert (root / 'val/00003.mp4').is_file()
    meta = json.loads((root / 'meta.json').read_text())
    (root / 'meta.json').write_text(json.dumps({**meta, 'version': 0}))
    with pytest.raises(UserError, match='version 0, this is version'):
        synthfg.ensure(root)


def test_default_root_follows_mxnet_home(monkeypatch, tmp_path):
    monkeypatch.setenv('MXNET_HOME', str(tmp_path))
    assert synthfg.default_root() == tmp_path / 'datasets' / 'synthfg'
    monkeypatch.delenv('MXNET_HOME')
    assert synthfg.default_root().parts[-3:] == ('.mxnet', 'datasets', 'synthfg')


def test_script(command_done, tmp_path):
    made = command_done(
        'data', 'prepare', 'synthfg', '--root', tmp_path / 'set', '--train', 24, '--val', 24, '--test', 24
    )
    assert (
        made.returncode == 0
        and str(tmp_path / 'set' / 'val.csv') in made.stdout
        and synthfg.read_meta(tmp_path / 'set')
    )
    wrong = command_done('data', 'prepare', 'synthfg', '--root', tmp_path / 'set', '--train', 25)
    assert (
        wrong.returncode == 2
        and wrong.stdout == ''
        and wrong.stderr.startswith('error: ')
        and wrong.stderr.count('\n') == 1
    )
    sheet = command_done('data', 'prepare', 'synthfg', '--preview', tmp_path / 'sheet.png', '--boxes')
    assert sheet.returncode == 0
    assert cv2.imread(str(tmp_path / 'sheet.png')).std() > 30
