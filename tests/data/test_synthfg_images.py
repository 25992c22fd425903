"""Single images of SynthFG's kind: what they show, what lies on disk, and images as videos of one frame."""

import csv
import json

import cv2
import numpy as np
import pytest

from gluon_fg.data import build_dataset, label_set, open_video, synthfg
from gluon_fg.errors import UserError, VideoError

SIZES = {'train': 16, 'val': 8, 'test': 8}


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return synthfg.generate(
        tmp_path_factory.mktemp('images') / 'set', **SIZES, progress=False, dataset='synthfg_images'
    )


def test_an_image_is_a_frame_that_shows_the_detail():
    for label, of_clips in enumerate(synthfg.DETAIL_LABELS):
        clip, truth = synthfg.render_clip(of_clips, (1, label), return_truth=True)
        image, boxes = synthfg.render_image(label, (1, label), return_truth=True)
        (t,) = [t for t, frame in enumerate(clip) if np.array_equal(frame, image)]
        assert boxes and [box._replace(t=t) for box in boxes] == [box for box in truth if box.t == t]
        np.testing.assert_array_equal(synthfg.render_image(label, (1, label)), image)


def test_images_of_a_group_differ_in_their_detail_alone():
    for first in (0, 4):
        images = [synthfg.render_image(first + k, 5, return_truth=True) for k in range(4)]
        inside = np.zeros((54, 54), bool)
        for _, boxes in images:
            for box in boxes:
                inside[box.y0 : box.y1, box.x0 : box.x1] = True
        for image, _ in images[1:]:
            changed = np.abs(image.astype(int) - images[0][0]).max(2) > 0
            assert changed.any() and not changed[~inside].any()


def test_its_classes_are_the_groups_that_a_still_tells_apart():
    labels = label_set('synthfg_images')
    assert labels.classes == tuple(synthfg.CLASSES[label] for label in synthfg.DETAIL_LABELS) and len(labels) == 8
    assert labels.groups == ('disc',) * 4 + ('diamond',) * 4 and labels.flip_allowed
    assert not set(synthfg.DETAIL_LABELS) & set(synthfg.ORDER_LABELS)


def test_folder_lists_what_it_holds(root):
    meta = json.loads((root / 'meta.json').read_text())
    assert meta['sizes'] == SIZES and meta['dataset'] == 'synthfg_images' and meta['frames'] == 1
    assert list(label_set('synthfg_images').classes) == meta['classes'] and set(meta['kinds'].values()) == {'detail'}
    for split, n in SIZES.items():
        with open(root / f'{split}.csv', newline='') as stream:
            rows = list(csv.DictReader(stream))
        assert np.bincount([int(row['label']) for row in rows]).tolist() == [n // 8] * 8
        truth = synthfg.read_truth(root, split)
        for i, row in enumerate(rows):
            image, boxes = synthfg.render_image(i % 8, synthfg.clip_seed(split, 0, i), return_truth=True)
            assert row['path'] == f'{split}/{i:05d}.png' and truth[row['path']] == boxes
            with open_video(root / row['path']) as reader:
                np.testing.assert_array_equal(reader.get_batch([0]), image[None])  # PNG loses nothing


def test_it_is_made_on_first_use_and_found_again(root, tmp_path):
    made = build_dataset('synthfg_images', 'test', tmp_path / 'new', sizes=SIZES)
    assert len(made) == 8 and made.labels == label_set('synthfg_images') and made.probe() == []
    found = build_dataset('synthfg_images', 'test', root)
    assert found.fingerprint == made.fingerprint
    with pytest.raises(UserError, match='holds a SynthFG images of train 16.*, not of train 24'):
        build_dataset('synthfg_images', 'train', root, sizes={'train': 24})
    with pytest.raises(UserError, match='not of a SynthFG dataset'):
        build_dataset('synthfg', 'train', root)
    with pytest.raises(UserError, match=r'SynthFG images: train must be a positive multiple of 8 .*, got 12'):
        build_dataset('synthfg_images', 'train', tmp_path / 'other', sizes={'train': 12})


def test_lost_images_are_named_and_made_again(tmp_path):
    root = synthfg.generate(tmp_path, **SIZES, progress=False, dataset='synthfg_images')
    (root / 'val/00003.png').unlink()
    with pytest.raises(UserError, match='val has 7 of its 8 images; remove .*meta.json'):
        build_dataset('synthfg_images', 'val', root)
    (root / 'meta.json').unlink()
    assert len(build_dataset('synthfg_images', 'val', root, sizes=SIZES)) == 8
    assert (root / 'val/00003.png').is_file()


def test_default_root_is_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv('MXNET_HOME', str(tmp_path))
    assert synthfg.default_root('synthfg_images') == tmp_path / 'datasets' / 'synthfg_images'
    with pytest.raises(UserError, match="unknown rendered dataset 'synthfg_image'; did you mean 'synthfg_images'"):
        synthfg.generate(dataset='synthfg_image')
    with pytest.raises(UserError, match='label 8 is out of range; SynthFG images have the labels 0..7'):
        synthfg.render_image(8, 0)


def test_the_script_renders_it(command_done, tmp_path):
    done = command_done(
        'data', 'prepare', 'synthfg_images', '--root', tmp_path / 'set', '--train', 8, '--val', 8, '--test', 8
    )
    assert done.returncode == 0 and done.stdout.startswith('SynthFG images: 8 classes in 2 groups, seed 0')
    assert f'{tmp_path / "set" / "val.csv"}' in done.stdout and synthfg.read_meta(tmp_path / 'set', 'synthfg_images')


# Images as videos ---------------------------------------------------------------------------------------------------


def test_an_image_is_a_video_of_one_frame(tmp_path):
    picture = np.zeros((30, 40, 3), np.uint8)
    picture[:, :20, 2] = 200  # BGR: red on the left
    for name in ('a.png', 'b.JPG', 'c.jpeg'):
        cv2.imwrite(str(tmp_path / name), picture)
        with open_video(tmp_path / name) as reader:
            assert len(reader) == 1 and reader.size == (40, 30)
            frames = reader.get_batch([0, 0])
        assert (
            frames.shape == (2, 30, 40, 3) and abs(int(frames[0, 15, 5, 0]) - 200) < 8 and frames[0, 15, 35].max() < 8
        )
    cv2.imwrite(str(tmp_path / 'grey.png'), picture[:, :, 2])
    with open_video(tmp_path / 'grey.png') as reader:
        assert (reader.get_batch([0])[0, 5, 5] == 200).all()


def test_images_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / 'text.jpg').write_text('not an image')
    (tmp_path / 'empty.png').write_bytes(b'')
    for name, reason in (('text.jpg', 'not an image'), ('empty.png', 'an empty file'), ('missing.png', 'no such file')):
        with pytest.raises(VideoError, match=f'{name}.*{reason}'):
            open_video(tmp_path / name)


def test_a_folder_of_images_per_class(tmp_path):
    for split, name in (('train', 'cat/1.png'), ('train', 'dog/2.jpg'), ('val', 'dog/3.png')):
        path = tmp_path / split / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / 'train/cat/film.mp4').write_bytes(b'')
    train, val = (build_dataset('image_folder', split, tmp_path) for split in ('train', 'val'))
    assert [r[:2] for r in train.records] == [('cat/1.png', 0), ('dog/2.jpg', 1)] and train.probe() == []
    assert val.labels.classes == ('cat', 'dog') and [r[:2] for r in val.records] == [('dog/3.png', 1)]
    (tmp_path / 'val/dog/3.png').unlink()
    with pytest.raises(UserError, match=r'no image in its class folders \(looked for .jpg'):
        build_dataset('image_folder', 'val', tmp_path)
