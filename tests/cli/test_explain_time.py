"""gluon-fg explain time and kernels as users start them."""

import json

import cv2
import numpy as np
import pytest
from browser import check_page, needs_browser

from gluon_fg.data import synthfg
from gluon_fg.evaluation.score import Scores

MODEL = 'i3d_tiny_synthfg_cidc'
KIND = [synthfg.KIND[group] for group in synthfg.GROUPS]
# SynthFG's classes that are each other's reversal, by construction (see `data.synthfg.scene`).
PARTNERS = {8: 9, 12: 13, 16: 17, 18: 19, 20: 21, 22: 23}
PARTNERS.update({there: back for back, there in PARTNERS.items()})


@pytest.fixture(scope='module')
def probed(tiny_synthfg, tmp_path_factory):
    return tmp_path_factory.mktemp('time') / 'of_cidc'


def test_known_truth_of_synthfg(command, probed, tiny_synthfg):
    words = ['explain', 'time', '--model', MODEL, '--root', tiny_synthfg, '--shuffles', 2, '--out', probed, '--json']
    code, text, err = command(*words)
    assert code == 0, err
    assert f'{MODEL} on 24 videos of synthfg test, 7 times: train_time, 8 frames' in err
    names = {path.name for path in probed.iterdir()}
    shuffled = {f'shuffled-{seed}.npz' for seed in range(2)}
    kinds = {f'{kind}.npz' for kind in ('forward', 'reversed', 'frozen', 'half-rate', 'mirrored')}
    assert names == {'time.html', 'time.png', 'time.json', 'classes.csv', *kinds, *shuffled}
    said = {name[:-4]: Scores.load(probed / name).branch().argmax(axis=1) for name in kinds | shuffled}
    labels = Scores.load(probed / 'forward.npz').labels
    detail = np.array([KIND[label] == 'detail' for label in labels])
    swapped = np.array([PARTNERS.get(label, label) for label in labels])
    assert np.mean(said['forward'] == labels) > 0.9 and np.mean(said['reversed'] == swapped) > 0.9
    random = np.array([said[f'shuffled-{seed}'] for seed in range(2)])
    assert np.mean(random[:, detail] == labels[detail]) > 0.8
    assert np.mean(random[:, ~detail] == labels[~detail]) < 0.6  # guessing among four, or among two of four
    numbers = json.loads((probed / 'time.json').read_text())
    assert json.loads(text) == numbers
    assert numbers['probes']['reversed']['all']['after'] == pytest.approx(np.mean(said['reversed'] == labels))
    assert set(numbers['needs'].values()) == {'too few right answers'}  # one of each class shows nothing, and says so
    assert cv2.imread(str(probed / 'time.png')).shape[1] > 700
    assert (probed / 'classes.csv').read_text().count('\n') == 1 + 24 * 5

    code, _, err = command(*words)
    assert code == 2 and 'time.html' in err and '--force' in err
    code, text, _ = command('compare', probed / 'forward.npz', probed / 'shuffled-1.npz')
    assert code == 0 and '24 videos' in text


@needs_browser
def test_the_page_opens_and_sorts(probed):
    assert (probed / 'time.html').is_file(), 'made by the test above'
    script = """
      const heads = [...document.querySelectorAll('#class-costs th button')];
      heads.find(head => head.textContent.trim() === 'reversed').click();
      return [document.querySelector('#class-costs tbody td').textContent, document.querySelectorAll('svg').length];
    """
    seen = check_page(probed / 'time.html', script, width=390, dark=True)
    assert seen.value[1] == 3
    forward, backward = (Scores.load(probed / f'{kind}.npz') for kind in ('forward', 'reversed'))
    lost = (forward.branch().argmax(1) == forward.labels) & (backward.branch().argmax(1) != forward.labels)
    assert seen.value[0] in [synthfg.CLASSES[label] for label in forward.labels[lost]]


def test_kernels_as_a_page(command, tmp_path):
    out = tmp_path / 'kernels.html'
    code, text, err = command('explain', 'kernels', '--model', MODEL, '--channels', 2, '--out', out)
    assert code == 0, err
    assert 'stage 5, unit 1, backward: 64 kernels of 8 outputs x 8 frames' in text and f'wrote {out}' in text
    page = out.read_text()
    assert page.count('stage 4, unit 1, forward') == 1 and 'role="img"' in page


@pytest.mark.parametrize(
    'words, message',
    [
        (['time', '--model', 'fused3d_tiny_synthfg_motion'], 'sees optical flow'),
        (['time', '--model', MODEL, '--shuffles', '0'], 'shuffles must be at least 1, got 0'),
        (['time', '--model', MODEL, '--protocol', 'odd'], "unknown protocol 'odd'"),
        (['kernels', '--model', 'i3d_tiny_synthfg'], 'has no kernels that span a clip in time'),
        (['kernels', '--model', MODEL, '--channels', '0'], '--channels must be at least 1, got 0'),
    ],
)
def test_bad_input_is_one_line(error_line, words, message, tiny_synthfg, tmp_path):
    out = tmp_path / ('kernels.png' if words[0] == 'kernels' else 'time')
    root = ['--root', tiny_synthfg] if words[0] == 'time' else []
    assert message in error_line('explain', *words, *root, '--out', out)
    assert not out.exists()


def test_kernels_are_written_as_pictures_or_pages_only(error_line, tmp_path):
    line = error_line('explain', 'kernels', '--model', MODEL, '--out', tmp_path / 'kernels.txt')
    assert 'choose a name that ends in .png or .html' in line
