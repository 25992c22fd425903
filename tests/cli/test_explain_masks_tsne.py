"""gluon-fg explain masks and tsne as users start them."""

import re

import cv2
import pytest

from gluon_fg.data import synthfg

U2S, ONE_PASS = 'topheavy_tiny_synthfg_u2s', 'topheavy_tiny_synthfg'
CLASSES = ['square: arm opens', 'square: arm closes']


@pytest.fixture(scope='module')
def video(tiny_synthfg):
    return tiny_synthfg / 'test' / '00009.mp4'


def test_masks_as_picture_and_film(command, video, u2s_params, tmp_path):
    arguments = [video, '--model', U2S, '--params', u2s_params[U2S]]
    picture, film = tmp_path / 'masks.png', tmp_path / 'masks.mp4'
    code, text, err = command('explain', 'masks', *arguments, '--partners', 2, '--out', picture)
    assert code == 0 and err == '', err
    lines = text.splitlines()
    assert lines[0].startswith(f'{U2S}: ') and lines[-1] == f'wrote {picture}'
    assert [re.search(r'(predicted|confusing|gate)[ ,]', line)[1] for line in lines[1:-1]] == [
        'predicted',
        'confusing',
        'confusing',
        'gate',
    ]
    code, text, err = command('explain', 'masks', *arguments, '--classes', *CLASSES, '--out', film)
    assert code == 0 and err == '', err
    assert [line.split(': ')[1] for line in text.splitlines()[1:3]] == ['arm opens', 'arm closes']
    assert min(cv2.imread(str(picture)).shape[:2]) > 400
    written = cv2.VideoCapture(str(film))
    assert written.get(cv2.CAP_PROP_FRAME_COUNT) == 8 and written.read()[1].std() > 10


def test_maps_of_two_networks_and_of_one(command, u2s_params, tmp_path):
    root = tmp_path / 'data'
    synthfg.generate(root, train=24, val=24, test=120, seed=0, progress=False)
    both = ['--models', ONE_PASS, U2S, '--params', u2s_params[ONE_PASS], u2s_params[U2S]]
    alone = ['--models', U2S, '--params', u2s_params[U2S]]
    for arguments, rows in (
        (both, [ONE_PASS, f'{U2S}: U2S']),
        (alone, [f'{U2S}: {kind}' for kind in ('universal', 'specific', 'U2S')]),
    ):
        out = tmp_path / f'{len(rows)}.png'
        code, text, err = command('explain', 'tsne', *arguments, '--classes', *CLASSES, '--root', root, '--out', out)
        assert code == 0 and err == '', err
        assert text.startswith('10 videos of synthfg test; share') and f'wrote {out}' in text
        assert re.findall(r'^  (.+): \d+\.\d %$', text, re.M) == rows
        assert cv2.imread(str(out)).std() > 5


def test_bad_input_is_one_line(error_line, video, u2s_params, tiny_synthfg, tmp_path):
    there, out = tmp_path / 'there.png', tmp_path / 'o.png'
    there.write_text('mine')
    masks, one = [video, '--model', U2S, '--params', u2s_params[U2S]], [video, '--model', ONE_PASS]
    two = ['--models', U2S, '--params', u2s_params[U2S], '--root', tiny_synthfg, '--split', 'val']
    for words, arguments, message in (
        ('masks', [*masks, '--out', 'm.gif'], 'choose a name that ends in .png'),
        ('masks', [*masks, '--out', there], 'there.png is there already; use --force'),
        ('masks', [*masks, '--out', tmp_path / 'm.mp4', '--start', 1], 'leave out --start'),
        ('masks', [*masks, '--out', out, '--columns', 0], '--columns must be at least 1, got 0'),
        ('masks', [*masks, '--out', out, '--partners', -1], 'partners must be 0 or more, got -1'),
        ('masks', [*masks, '--out', out, '--classes', 'x', '--partners', 1], 'leave out --partners'),
        ('masks', [*masks, '--out', out, '--classes', 'disc: plu'], "did you mean 'disc: plus'"),
        ('masks', [*one, '--params', u2s_params[ONE_PASS], '--out', out], 'has no masks of classes'),
        ('masks', ['none.mp4', *masks[1:], '--out', out], 'none.mp4'),
        ('tsne', [*two, '--classes', CLASSES[0], '--out', out], 'name two different classes at least'),
        ('tsne', [*two, '--classes', *CLASSES, '--out', there], 'there.png is there already'),
        (
            'tsne',
            [*two, '--classes', 'disc: plu', 'x', '--out', out],
            "unknown class of synthfg val 'disc: plu'",
        ),
        ('tsne', [*two, '--classes', *CLASSES, '--out', out], '2 videos are too few for a map'),
    ):
        line = error_line('explain', words, *arguments)
        assert re.search(message, line), line
    assert there.read_text() == 'mine' and not out.exists()
