"""gluon-fg explain activation as a user starts it."""

import re

import cv2
import pytest

from gluon_fg.factory import get_model

MODELS = ('i3d_tiny_synthfg', 'i3d_tiny_synthfg_cidc')


@pytest.fixture(scope='module')
def params(tmp_path_factory):
    folder = tmp_path_factory.mktemp('params')
    for name in MODELS:
        get_model(name).save_parameters(str(folder / f'{name}.params'))
    return [folder / f'{name}.params' for name in MODELS]


@pytest.fixture(scope='module')
def video(tiny_synthfg):
    return tiny_synthfg / 'test' / '00009.mp4'


def test_picture_and_film_of_baseline_and_cidc(command, video, params, tmp_path):
    for suffix, options in (('png', ['--backbone', '--columns', 4]), ('mp4', [])):
        out = tmp_path / f'maps.{suffix}'
        arguments = [video, '--models', *MODELS, '--params', *params, '--out', out, *options]
        code, text, err = command('explain', 'activation', *arguments)
        assert code == 0 and err == '', err
        assert f'wrote {out}' in text
        baseline, cidc = text.split('i3d_tiny_synthfg_cidc: ')
        assert re.search(r'^  F5: 8 maps, att 0\.\d{4} to [01]\.\d{4}$', baseline, re.M)
        for part in ('forward', 'backward'):
            assert f'  F_CIDC {part}: 8 maps, att ' in cidc
        assert ('F5: 8 maps' in cidc) == (suffix == 'png')
    picture = cv2.imread(str(tmp_path / 'maps.png'))
    assert picture.shape[0] > 5 * 150 and picture.shape[1] > 4 * 150
    film = cv2.VideoCapture(str(tmp_path / 'maps.mp4'))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 8 and film.get(cv2.CAP_PROP_FPS) == 8
    there, frame = film.read()
    assert there and frame.shape[1] > 4 * 200
    assert sorted(p.name for p in tmp_path.iterdir()) == ['maps.mp4', 'maps.png']
    assert frame.std() > 10


def test_bad_input_is_one_line_before_anything_is_written(error_line, video, params, tmp_path):
    there, out = tmp_path / 'there.png', tmp_path / 'maps.png'
    there.write_text('mine')
    broken = tmp_path / 'broken.mp4'
    broken.write_bytes(video.read_bytes()[:700])
    for arguments, message in (
        ([video, '--models', MODELS[0], '--out', tmp_path / 'maps.jpg'], r'maps.jpg: choose a name that ends in .png'),
        ([video, '--models', MODELS[0], '--out', there], 'there.png is there already; use --force'),
        ([video, '--models', MODELS[0], '--out', video, '--force'], '00009.mp4 is one of the given files'),
        ([video, '--models', MODELS[0], '--out', tmp_path / 'm.mp4', '--start', 1], 'leave out --start'),
        ([video, '--models', *MODELS, '--params', params[0], '--out', out], '1 files of parameters for 2 models'),
        ([video, '--models', MODELS[0], '--start', 8, '--out', out], '--start 8: .* has the frames 0 to 7'),
        ([video, '--models', MODELS[0], '--columns', 0, '--out', out], '--columns must be at least 1, got 0'),
        ([video, '--models', 'i3d_tiny_synthfg_cid', '--out', out], "unknown model 'i3d_tiny_synthfg_cid'; did you"),
        ([video, '--models', 'tsn_tiny_synthfg', '--params', 'x', '--out', out], 'no parameter file x|x: '),
        ([video, '--models', MODELS[1], '--params', params[0], '--out', out], 'does not fit i3d_tiny_synthfg_cidc'),
        ([video, '--models', tmp_path, '--out', out], 'no config.yaml there'),
        ([broken, '--models', MODELS[0], '--out', out], 'broken.mp4: '),
    ):
        line = error_line('explain', 'activation', *arguments)
        assert re.search(message, line), line
    images = tmp_path / 'tsn.params'
    get_model('tsn_tiny_synthfg').save_parameters(str(images))
    arguments = [video, '--models', MODELS[0], 'tsn_tiny_synthfg', '--params', '-', images, '--out', out]
    assert 'tsn_tiny_synthfg sees single images' in error_line('explain', 'activation', *arguments)
    assert there.read_text() == 'mine' and not out.exists() and not (tmp_path / 'm.mp4').exists()
