"""gluon-fg explain gradcam as a user starts it."""

import re

import browser
import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_fg.analysis.grad_cam import grad_cam
from gluon_fg.factory import get_model

NAME = 'i3d_tiny_synthfg'


@pytest.fixture(scope='module')
def video(tiny_synthfg):
    return tiny_synthfg / 'test' / '00009.mp4'


def test_picture_film_and_arrays(command, video, tmp_path):
    pair = ['--class', 'square: arm closes', '--against', 'square: arm opens']
    for suffix, options in (('png', [*pair, '--columns', 4]), ('mp4', []), ('npz', [*pair, '--layer', 'res4.0'])):
        out = tmp_path / f'maps.{suffix}'
        code, text, err = command('explain', 'gradcam', video, '--model', NAME, '--out', out, *options)
        assert code == 0 and err == '', err
        lines = re.findall(r'^  (F5|res4\.0): evidence for ([\w: ]+): [+-]\d+\.\d\d, maps: 8$', text, re.M)
        titles = ['square: arm closes over square: arm opens', 'square: arm closes', 'square: arm opens']
        assert [title for _, title in lines] == (titles if options else titles[1:2]), text
    picture = cv2.imread(str(tmp_path / 'maps.png'))
    assert picture.shape[0] > 4 * 150 and picture.shape[1] > 4 * 150
    assert cv2.VideoCapture(str(tmp_path / 'maps.mp4')).get(cv2.CAP_PROP_FRAME_COUNT) == 8
    arrays = np.load(tmp_path / 'maps.npz')
    assert list(arrays['titles'])[1] == 'evidence for square: arm closes' and list(arrays['frames']) == list(range(8))
    ours = grad_cam(get_model(NAME, pretrained=True), str(video), 'square: arm closes', layer='res4.0', whole=True)
    np.testing.assert_allclose(arrays['maps'][1], ours.maps.maps, rtol=1e-6)
    assert str(arrays['layer']) == 'res4.0' and str(arrays['network']) == NAME


def test_a_network_of_gluoncvs_own(command, video, tmp_path):
    """mobilenet0.25 is not in our zoo; its classes have no names, and its last features are 7x7 at 224 pixels."""
    net, params, out = get_model('mobilenet0.25', nclass=None), tmp_path / 'mobile.params', tmp_path / 'maps.npz'
    mx.random.seed(3)
    net.initialize(mx.init.Xavier(), force_reinit=True)
    net(mx.nd.zeros((1, 3, 224, 224)))
    net.save_parameters(str(params))
    given = ('explain', 'gradcam', video, '--model', 'mobilenet0.25', '--out', out)
    code, text, err = command(*given, '--params', params, '--class', 'class 7')
    assert code == 0 and err == '' and 'evidence for class 7: ' in text, err
    arrays = np.load(out)
    assert str(arrays['network']) == 'mobilenet0.25' and arrays['maps'].ndim == 4 and arrays['maps'].max() > 0
    other = tmp_path / 'other.params'
    mx.nd.save(str(other), {'features.0.weight': mx.nd.zeros((2, 2))})
    code, _, err = command(*given, '--force', '--params', other)
    assert code == 2 and "other.params does not fit GluonCV's mobilenet0.25: " in err and err.count('\n') == 1


@browser.needs_browser
def test_the_page_shows_the_check_by_random_weights(command, video, tmp_path):
    named = tmp_path / '<b>&\'".mp4'
    named.write_bytes(video.read_bytes())
    out = tmp_path / 'maps.html'
    code, text, err = command('explain', 'gradcam', named, '--model', NAME, '--sanity', '--out', out)
    assert code == 0 and err == '', err
    rows = re.findall(
        r'^  (\w+) +(-?\d\.\d\d)  \( *-?\d\.\d\d to +-?\d\.\d\d\) +(-?\d\.\d\d) +(-?\d\.\d\d)$', text, re.M
    )
    assert [row[0] for row in rows] == ['head', 'res5', 'res4', 'res3', 'res2', 'stem'] and rows[0][3] == '1.00'
    assert 'rank correlation' in text and 'it shows what was learned' in text
    seen = browser.check_page(
        out,
        """document.querySelectorAll('th button')[1].click();
        return {title: document.querySelector('h1').textContent,
            ranks: [...document.querySelectorAll('#sanity tbody tr')].map(r => r.children[1].textContent)}""",
        width=390,
    )
    assert seen.images == 8 + 7 and seen.value['title'] == named.name
    assert sorted(map(float, seen.value['ranks'])) in (
        list(map(float, seen.value['ranks'])),
        list(map(float, seen.value['ranks']))[::-1],
    )
    assert {float(row[1]) for row in rows} == set(map(float, seen.value['ranks']))


def test_which_stream_said_it(command, video, tmp_path):
    out = tmp_path / 'maps.png'
    code, text, err = command('explain', 'gradcam', video, '--model', 'fused3d_tiny_synthfg_motion', '--out', out)
    assert code == 0 and out.is_file(), err
    total, rgb, flow = map(
        float, re.search(r': ([+-]\d+\.\d\d), rgb ([+-]\S+), flow ([+-]\S+), maps: 3', text).groups()
    )
    assert total == pytest.approx(rgb + flow, abs=0.011)


def test_bad_input_is_one_line_before_anything_is_written(error_line, video, tmp_path):
    out = tmp_path / 'maps.png'
    for arguments, message in (
        (['--out', tmp_path / 'maps.jpg'], 'choose a name that ends in .png or .mp4 or .npz or .html'),
        (['--out', tmp_path / 'm.npz', '--start', 1], 'is of the whole video; leave out --start'),
        (['--out', out, '--start', 8], '--start 8: .* has the frames 0 to 7'),
        (['--out', out, '--columns', 0], '--columns must be at least 1, got 0'),
        (
            ['--out', out, '--layer', 'F6'],
            f"{NAME} has no layer 'F6'; choose from F2, F3, F4, F5, or a",
        ),
        (['--out', out, '--class', 'square: arm close'], "unknown class of .*; did you mean 'square: arm closes'"),
        (['--out', out, '--class', 'square: arm opens', '--against', 'square: arm opens'], 'over itself is nothing'),
        (['--out', out, '--flow', 'dis'], 'sees no optical flow; leave it out'),
        (['--out', video, '--force'], 'choose a name that ends in|is one of the given files'),
    ):
        line = error_line('explain', 'gradcam', video, '--model', NAME, *arguments)
        assert re.search(message, line), line
    assert list(tmp_path.iterdir()) == []
