import json
import re

import numpy as np
import pytest

from gluon_fg import predict
from gluon_fg.factory import get_model
from gluon_fg.training.config import Config, save_config

MODEL = 'i3d_tiny_synthfg_dfb'


@pytest.fixture(scope='module')
def params(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'net.params'
    get_model(MODEL).save_parameters(str(path))
    return path


@pytest.fixture(scope='module')
def good(tiny_synthfg):
    return sorted((tiny_synthfg / 'test').glob('*.mp4'))[:2]


def test_bad_videos_do_not_stop_the_others(run_command, params, good, tmp_path):
    folder = tmp_path / 'my videos (2)'
    (folder / 'deeper').mkdir(parents=True)
    whole = good[0].read_bytes()
    (folder / 'a.mp4').write_bytes(whole)
    (folder / 'cut.mp4').write_bytes(whole[: len(whole) // 2])
    (folder / 'empty.mp4').write_bytes(b'')
    (folder / 'text.mp4').write_text('not a video')
    (folder / 'notes.txt').write_text('no video, and does not say so')
    (folder / 'deeper' / 'b.mp4').write_bytes(good[1].read_bytes())
    done = run_command(
        'predict', folder, tmp_path / 'missing.mp4', '--model', MODEL, '--params', params, '--json', '--topk', '3'
    )
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    bad = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert [re.search(r'(\w+)\.mp4', line).group(1) for line in bad] == ['cut', 'empty', 'text', 'missing']
    answers = json.loads(done.stdout)
    fine = [answer for answer in answers if 'error' not in answer]
    assert [answer['path'].rsplit('/', 1)[1] for answer in fine] == ['a.mp4', 'b.mp4']
    assert len(answers) == 6 and {(a['model'], a['protocol']) for a in answers} == {(MODEL, 'train_time')}
    for answer, path in zip(fine, good):
        expected = predict(str(path), MODEL, params=str(params), topk=3)
        assert [p['label'] for p in answer['predictions']] == [label for label, _ in expected]
        shown = [p['probability'] for p in answer['predictions']]
        np.testing.assert_allclose(shown, [p for _, p in expected], rtol=1e-4)


def test_printed_list(command, params, good):
    code, out, err = command('predict', *good, '--model', MODEL, '--params', params, '--topk', '99')
    assert code == 0 and 'has 24 classes; all of them are listed' in err
    lines = out.splitlines()
    assert len(lines) == 2 * 25 and lines[0] == str(good[0]) and lines[25] == str(good[1])
    shown = [float(re.match(r' +([\d.]+) %  \S', line).group(1)) for line in lines[1:25]]
    assert shown == sorted(shown, reverse=True) and sum(shown) == pytest.approx(100, abs=1.3)


def test_a_run_of_ones_own_classes(command, error_line, good, tmp_path):
    run = tmp_path / 'run'
    config = Config()
    config.model.name, config.model.nclass = 'i3d_tiny_custom_dfb', 2
    save_config(config, run / 'config.yaml')
    get_model('i3d_tiny_custom_dfb', nclass=2).save_parameters(str(run / 'best.params'))
    names = tmp_path / 'names.txt'
    names.write_text('open\nclose\n')
    for arguments, shown in (([], {'class 0', 'class 1'}), (['--classes', names], {'open', 'close'})):
        code, out, _ = command('predict', good[0], '--run', run, '--topk', '2', *arguments)
        assert code == 0 and {line.split('%  ')[1] for line in out.splitlines()[1:]} == shown
    (run / 'classes.txt').write_text('open\nclose\n')
    assert 'close' in command('predict', good[0], '--run', run)[1]
    names.write_text('open\n')
    assert 'has 1 class names' in error_line('predict', good[0], '--run', run, '--classes', names)


def test_bad_input_is_one_line(error_line, params, good, tmp_path):
    video, known = good[0], ['--model', MODEL, '--params', params]
    whole = params.read_bytes()
    (tmp_path / 'cut.params').write_bytes(whole[: len(whole) // 2])
    (tmp_path / 'empty').mkdir()
    for arguments, message in (
        ([video], 'give either --model NAME or --run FOLDER'),
        ([video, '--model', tmp_path], 'no config.yaml there, as a training run has, and no index.yaml'),
        ([video, '--model', 'i3d_tiny_synthfg_fdb', '--params', params], "did you mean 'i3d_tiny_synthfg_dfb'"),
        ([video, '--model', 'i3d_tiny_custom_dfb', '--params', params], 'needs the number of classes; give nclass'),
        (
            [video, '--model', 'i3d_tiny_custom_dfb', '--params', params, '--options', 'nclass=7'],
            'trained for 24 classes, i3d_tiny_custom_dfb has 7',
        ),
        ([video, '--model', MODEL, '--params', tmp_path / 'cut.params'], 'not an MXNet parameter file, or cut short'),
        ([video, *known, '--protocol', '30views'], "unknown protocol '30views'; did you mean '30view'"),
        ([video, *known, '--topk', '0'], '--topk must be at least 1, got 0'),
        ([video, *known, '--options', 'nclass'], 'write it as key=value'),
        ([tmp_path / 'empty', *known], 'no video in this folder'),
        ([tmp_path / 'no.mp4', *known], r'no\.mp4: '),
        ([video, '--run', tmp_path], 'no config.yaml there'),
    ):
        line = error_line('predict', *arguments)
        assert re.search(message, line), line
