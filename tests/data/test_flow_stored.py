"""Stored flow is read back: the project's own layouts, and those in which others keep theirs."""

import json
import zipfile

import cv2
import numpy as np
import pytest

from gluon_fg.data.flow import FlowSettings, open_flow, quantize, resize_flow, restore
from gluon_fg.data.flow.listing import Entry, Header, entry_line
from gluon_fg.errors import UserError, VideoError

H, W = 36, 48


def field(number):
    """A field whose mean says which one it is, smooth enough for JPEG: uint8 (H, W, 2)."""
    y, x = np.mgrid[:H, :W]
    return np.stack([40 + 8 * number + x / 4, 200 - 8 * number - y / 4], -1).astype(np.uint8)


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())


def pairs(folder, template, first, count=5):
    """Write fields as a peer names them: `template` takes the axis, x or y, and the number."""
    for number in range(count):
        for axis, name in enumerate('xy'):
            write(folder / template.format(name, first + number), field(number)[..., axis])


# How others name them, by their code:
# - yjxiong/dense_flow (TSN), src/common.cpp writeImages: `_%05d.jpg` of i + 1 behind flow_x, flow_y and img
# - open-mmlab/denseflow: the same names; it counts from 0
# - mmaction2, tools/misc/flow_extraction.py: `{}_{:05d}.jpg` with x, y, from --start-idx (1)
# - TSM, ops/dataset_config.py, Something-Something-V1: '{:06d}-{}_{:05d}.jpg' in the folder '{:06d}', from 1
@pytest.mark.parametrize(
    'template, first',
    [
        ('flow_{}_{:05d}.jpg', 1),
        ('flow_{}_{:05d}.jpg', 0),
        ('{}_{:05d}.jpg', 1),
        ('000123-{}_{:05d}.jpg', 1),
        ('flow_{}_{:04d}.png', 1),
    ],
)
def test_folders_of_pairs_are_read_as_others_name_them(tmp_path, template, first):
    pairs(tmp_path / 'Archery' / 'v_Archery_g01_c01', template, first)
    write(tmp_path / 'Archery' / 'v_Archery_g01_c01' / 'img_00001.jpg', np.zeros((H, W, 3), np.uint8))
    with open_flow(tmp_path, 'Archery/v_Archery_g01_c01.avi') as reader:
        assert (len(reader), reader.size, reader.settings) == (5, (W, H), FlowSettings(None))
        batch = reader.get_batch([4, 0, 4])
    expected = np.stack([field(4), field(0), field(4)])
    assert batch.dtype == np.uint8 and np.abs(batch.astype(int) - expected).max() <= 2


@pytest.mark.parametrize('frames, first', [(5, 1), (6, 0), (0, 0), (1, 0)])
def test_frames_of_dense_flow_begin_with_the_second(tmp_path, frames, first):
    """yjxiong/dense_flow, src/dense_flow_gpu.cpp: with each field it writes the frame that the field leads to."""
    pairs(tmp_path / 'v', 'flow_{}_{:05d}.jpg', 1)
    for number in range(frames):
        write(tmp_path / 'v' / f'img_{number + 1:05d}.jpg', np.zeros((H, W, 3), np.uint8))
    with open_flow(tmp_path, 'v') as reader:
        assert len(reader) == 5 - first
        np.testing.assert_allclose(reader.get_batch([0])[0], field(first), atol=2)


def test_trees_of_twostreamfusion_are_read(tmp_path):
    """feichtenhofer/twostreamfusion, cnn_ucf101_get_flow_batch.m: u/VIDEO/frame%06d.jpg and v/..., from 1, no class."""
    for number in range(4):
        for axis, tree in enumerate('uv'):
            write(tmp_path / tree / 'v_Archery_g01_c01' / f'frame{number + 1:06d}.jpg', field(number)[..., axis])
    with open_flow(tmp_path, 'UCF-101/Archery/v_Archery_g01_c01.avi') as reader:
        assert len(reader) == 4
        np.testing.assert_allclose(reader.get_batch([2])[0], field(2), atol=2)


def test_a_manifest_says_what_there_is(tmp_path):
    header = Header('dis', 16.0, None, 'zip', 95)
    lines = [header.line(), entry_line(Entry('a/b.mp4', 'a/b', 5, W, H)), entry_line(Entry('c.mp4', 'c', problem='x'))]
    (tmp_path / 'flow.jsonl').write_text('\n'.join(lines) + '\n["d.mp4", "d')  # torn
    pairs(tmp_path / 'd', 'flow_{}_{:05d}.jpg', 1)
    (tmp_path / 'a').mkdir()
    with zipfile.ZipFile(tmp_path / 'a' / 'b.zip', 'w') as archive:
        for number in (4, 3, 2, 1, 0):
            for axis, name in enumerate('xy'):
                image = cv2.imencode('.jpg', field(number)[..., axis])[1].tobytes()
                archive.writestr(f'flow_{name}_{number + 1:05d}.jpg', image)
    with open_flow(tmp_path, 'a/b.mp4') as reader:
        assert (len(reader), reader.settings) == (5, FlowSettings('dis', 16.0))
        np.testing.assert_allclose(reader.get_batch(range(5)), np.stack([field(i) for i in range(5)]), atol=2)
    for path, line in (
        ('b.mp4', 'b.mp4: has no flow in .*; gluon-fg data flow computes it'),
        ('d.mp4', 'd.mp4: has no flow'),
        ('c.mp4', 'c.mp4: has no flow in .*: x'),
    ):
        with pytest.raises(VideoError, match=line):
            open_flow(tmp_path, path)
    (tmp_path / 'flow.jsonl').write_text('\n'.join([lines[0], entry_line(Entry('a/b.mp4', 'a/b', 6, W, H))]))
    with pytest.raises(VideoError, match='has 5 fields, the manifest lists 6'):
        open_flow(tmp_path, 'a/b.mp4')


def test_an_absolute_path_finds_the_file_that_had_as_many_bytes(tmp_path):
    for split, size in (('train', 3), ('val', 4)):
        (tmp_path / split).mkdir()
        (tmp_path / split / '1.mp4').write_bytes(b'a' * size)
    flow = tmp_path / 'flow'
    pairs(flow / '1', 'flow_{}_{:05d}.jpg', 1)
    (flow / 'flow.jsonl').write_text(
        Header('dis', 20.0, None, 'pairs', 95).line() + '\n' + entry_line(Entry('1.mp4', '1', 5, W, H, 3))
    )
    assert len(open_flow(flow, tmp_path / 'train' / '1.mp4')) == 5
    with pytest.raises(VideoError, match='has no flow'):
        open_flow(flow, tmp_path / 'val' / '1.mp4')


@pytest.mark.parametrize(
    'mistake, line',
    [
        (lambda f: (f / 'flow_y_00003.jpg').unlink(), r'field 3 \(y\) is missing of 1 to 5'),
        (lambda f: [(f / f'flow_{a}_00002.jpg').unlink() for a in 'xy'], r'field 2 \(x\) is missing of 1 to 5'),
        (lambda f: write(f / 'flow_x_00004.jpg', np.zeros((8, 8), np.uint8)), 'flow_x_00004.jpg is 8x8, the first'),
        (lambda f: (f / 'flow_x_00002.jpg').write_bytes(b'no'), 'flow_x_00002.jpg is damaged'),
        (
            lambda f: (f / 'flow_x_00002.jpg').write_bytes((f / 'flow_x_00002.jpg').read_bytes()[:-40]),
            'flow_x_00002.jpg is damaged',
        ),
        (lambda f: (f / 'flow_x_00001.jpg').write_bytes(b''), 'flow_x_00001.jpg is damaged'),
    ],
)
def test_what_is_wrong_with_stored_fields_is_named(tmp_path, mistake, line):
    pairs(tmp_path / 'v', 'flow_{}_{:05d}.jpg', 1)
    mistake(tmp_path / 'v')
    with pytest.raises(VideoError, match=line):
        open_flow(tmp_path, 'v').get_batch(range(5))


def test_a_cut_archive_and_folders_that_hold_none_are_refused(tmp_path):
    (tmp_path / 'v.zip').write_bytes(b'PK\x03\x04 cut off')
    with pytest.raises(VideoError, match='v.zip: cannot be read'):
        open_flow(tmp_path, 'v.mp4')
    (tmp_path / 'u' / 'w').mkdir(parents=True)
    (tmp_path / 'v' / 'w').mkdir(parents=True)
    with pytest.raises(VideoError, match='holds no flow'):
        open_flow(tmp_path, 'w.mp4')
    with pytest.raises(UserError, match='no such folder of flow; gluon-fg data flow'):
        open_flow(tmp_path / 'x', 'w.mp4')
    for text, line in (
        ('{}', 'no manifest of flow'),
        (json.dumps({'format': 'gluon_fg.flow', 'version': 9}), 'format 9'),
    ):
        (tmp_path / 'flow.jsonl').write_text(text)
        with pytest.raises(UserError, match=line):
            open_flow(tmp_path, 'w.mp4')


def test_indices_and_sizes(tmp_path):
    pairs(tmp_path / 'v', 'flow_{}_{:05d}.png', 1)
    with open_flow(tmp_path, 'v') as reader:
        for indices in ([], [5], [-1], [0.5], 3):
            with pytest.raises(UserError, match='v: field'):
                reader.get_batch(indices)
        half = reader.get_batch([1, 3], size=(H // 2, 2 * W))
    assert half.shape == (2, H // 2, 2 * W, 2)
    x = (field(3)[..., 0] - 127.5) * 2 + 127.5  # twice as wide: x doubles, y halves
    assert abs(half[1, ..., 0].mean() - np.clip(x, 0, 255).mean()) < 1
    assert abs(half[1, ..., 1].mean() - ((field(3)[..., 1] - 127.5) / 2 + 127.5).mean()) < 1


def test_eight_bits_are_those_of_dense_flow():
    """cvRound(255 (v + bound) / (2 bound)), clipped; 255 - v is the mirrored value; back to half a step."""
    flow = np.array([-30, -20, -10, -0.05, 0, 0.05, 10, 19.99, 20, 21], np.float32)
    assert quantize(flow).tolist() == [0, 0, 64, 127, 128, 128, 191, 255, 255, 255]
    values = np.linspace(-20, 20, 10001).astype(np.float32)
    assert np.abs(restore(quantize(values)) - values).max() <= 20 / 255 + 1e-5
    np.testing.assert_allclose(restore(255 - quantize(values)), -restore(quantize(values)))
    assert restore(quantize(np.float32([3.0]), 4), 4) == pytest.approx(3, abs=4 / 255)
    with pytest.raises(UserError, match='above 0'):
        quantize(flow, 0)


def test_resizing_there_and_back_keeps_displacements():
    flow = np.tile(np.float32([6.0, -4.0]), (1, H, W, 1))
    small = resize_flow(quantize(flow), H // 2, W // 2)
    np.testing.assert_allclose(restore(small), flow[:, ::2, ::2] / 2, atol=0.16)
    np.testing.assert_allclose(restore(resize_flow(small, H, W)), flow, atol=0.4)
