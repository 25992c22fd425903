"""A run of one's own classes is taken by every command, whichever way it is named."""

import csv
import json
import shutil

import mxnet as mx
import numpy as np
import pytest

import gluon_fg
from gluon_fg.errors import UserError
from gluon_fg.evaluation.score import Scores
from gluon_fg.evaluation.threshold import Threshold
from gluon_fg.factory import get_model
from gluon_fg.training.config import Config, save_config

NAMES = ('closes the arm', 'öffnet den Arm')
INPUT = {'frames': 4, 'frame_stride': 2, 'short_side': 50, 'crop_size': 44}


@pytest.fixture(scope='module')
def films(tiny_synthfg, tmp_path_factory):
    """Own videos, train and val alone: four of each of two classes."""
    root = tmp_path_factory.mktemp('own') / 'films'
    clips = sorted((tiny_synthfg / 'train').glob('*.mp4'))
    for number, clip in enumerate(clips[:16]):
        folder = root / ('train', 'val')[number % 2] / NAMES[number // 2 % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, folder)
    return root


def make_run(folder, name, films):
    """A folder as training leaves it, with untrained weights."""
    config = Config()
    config.model.name, config.model.nclass = name, len(NAMES)
    config.data.dataset, config.data.root = 'folder', str(films)
    for key, value in INPUT.items():
        setattr(config.data, key, value)
    config.test.protocol = '2x1'
    save_config(config, folder / 'config.yaml')
    (folder / 'classes.txt').write_text(''.join(f'{name}\n' for name in NAMES), encoding='utf-8')
    net = get_model(name, nclass=len(NAMES))
    if hasattr(net, 'set_csm'):
        net.set_csm(np.ones((2, 2), bool))
    net.save_parameters(str(folder / 'best.params'))
    return folder


@pytest.fixture(scope='module')
def run(films, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp('runs') / 'mine', 'i3d_tiny_custom_dfb', films)


@pytest.fixture(scope='module')
def clip(films):
    return sorted((films / 'val').rglob('*.mp4'))[0]


def test_a_program_loads_it_with_classes_input_and_protocol(run, clip, tmp_path):
    net = gluon_fg.load_model(run)
    assert net.classes == NAMES and net.protocol == '2x1'
    assert {key: getattr(net.input_spec, key) for key in INPUT} == INPUT
    answer = gluon_fg.predict(clip, model=str(run))
    assert answer == gluon_fg.predict(str(clip), net) and {label for label, _ in answer} == set(NAMES)
    with pytest.raises(UserError, match='is a training run, which has options of its own; leave out nclass'):
        gluon_fg.predict(clip, model=run, nclass=2)
    for missing, message in (
        (tmp_path, 'no config.yaml there, as a training run has, and no index.yaml of published models'),
        (tmp_path / 'mien', 'mien: no such folder of a training run, and no name of a model'),
        ('i3d_tiny_costum_dfb', "unknown model 'i3d_tiny_costum_dfb'; did you mean 'i3d_tiny_custom_dfb'"),
    ):
        with pytest.raises(UserError, match=message):
            gluon_fg.load_model(missing)


def test_parameters_of_a_run_are_read_as_the_run_says(run, clip, tmp_path, caplog):
    """They gave 100 % for a wrong class once: the name's own input was taken in place of the run's.

    GluonCV's users met the same: 90 % in training, wrong on the very training videos after (gluon-cv issue 1651).
    """
    expected = gluon_fg.predict(clip, model=run)
    for options in ({}, {'nclass': 2}):
        named = gluon_fg.predict(clip, 'i3d_tiny_custom_dfb', params=run / 'best.params', **options)
        assert named == expected and not [record for record in caplog.records if record.levelname == 'WARNING']
    with pytest.raises(UserError, match='was trained as i3d_tiny_custom_dfb, not as i3d_tiny_custom; give --run '):
        gluon_fg.load_model('i3d_tiny_custom', run / 'best.params')
    with pytest.raises(UserError, match='its run has nclass=2, not 3; give --run '):
        gluon_fg.load_model('i3d_tiny_custom_dfb', run / 'best.params', nclass=3)
    moved = shutil.copy(run / 'best.params', tmp_path / 'moved.params')
    net = gluon_fg.load_model('i3d_tiny_custom_dfb', moved, nclass=2)
    assert net.input_spec.frames == 8
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == 'WARNING']
    assert 'no training run beside it' in line and '(8 frames, 1 apart, 48 of 54 pixels; protocol train_time)' in line


def test_a_checkpoint_belongs_to_its_run(run):
    folder = run / 'checkpoint-00000004'
    folder.mkdir()
    shutil.copy(run / 'best.params', folder / 'net.params')
    assert gluon_fg.load_model('i3d_tiny_custom_dfb', folder / 'net.params').classes == NAMES
    shutil.rmtree(folder)


@pytest.mark.parametrize('flag', ['--run', '--model'])
def test_evaluate_takes_the_runs_data_and_says_that_there_is_no_test_split(flag, run, films, command, tmp_path, caplog):
    code, out, err = command('evaluate', flag, run, '--out', tmp_path / 'scores.npz')
    assert code == 0, err
    assert '8 videos of folder val' in out and '(2x1' in out
    assert f'{films} has no split test; val is taken' in caplog.text
    caplog.clear()
    assert Scores.load(tmp_path / 'scores.npz').classes == NAMES
    code, _, err = command('evaluate', flag, run, '--split', 'val')
    assert code == 0 and (run / 'scores_val_2x1.npz').is_file() and not caplog.text, err
    for path in run.glob('scores_val_2x1.*'):
        path.unlink()


def test_explanations_take_it(run, clip, command, tmp_path):
    """DFB's own among them, which had no way to be told the classes."""
    scores = tmp_path / 'scores.npz'
    for words, shown in (
        (['evaluate', '--run', run, '--out', scores], 'top1'),
        (['explain', 'localize', clip, '--model', run, '--out', tmp_path / 'pictures'], NAMES[0]),
        (['explain', 'filters', '--run', run, '--out', tmp_path / 'filters.csv'], NAMES[1]),
        (['explain', 'confusion', scores, '--out', tmp_path / 'confusion.png'], 'wrote'),
        (['explain', 'activation', clip, '--models', run, '--out', tmp_path / 'maps.png'], NAMES[1]),
        (['explain', 'order', '--models', run, '--orders', '2', '--limit', '1'], 'mine'),
        (['explain', 'similarity', '--run', run, '--split', 'val', '--out', tmp_path / 'alike.npz'], NAMES[0]),
        (['explain', 'tsne', '--models', run, '--classes', *NAMES, '--out', tmp_path / 'map.png'], 'neighbors'),
    ):
        code, out, err = command(*words)
        assert code == 0 and shown in out, (words, out, err)
    peaks = json.loads((tmp_path / 'pictures' / 'peaks.json').read_text())['videos'][0]['peaks']
    assert {peak['class'] for peak in peaks} <= set(NAMES)
    for name in ('confusion.png', 'maps.png', 'alike.png', 'map.png'):
        assert (tmp_path / name).stat().st_size > 1000
    assert not list(tmp_path.rglob('class 0*'))


def test_a_threshold_of_the_run_goes_along(films, clip, command, tmp_path):
    """Below it predict says so, and the explanation is of the likeliest class all the same."""
    run = make_run(tmp_path / 'unsure', 'i3d_tiny_custom_dfb', films)
    arrays = mx.nd.load(str(run / 'best.params'))
    smaller = {name: array * (1 if 'backbone' in name else 1e-3) for name, array in arrays.items()}
    mx.nd.save(str(run / 'best.params'), smaller)
    Threshold(0.999, 0.5, 8, 'folder', '2x1').save(run)
    code, out, err = command('predict', clip, '--model', run, '--out', tmp_path / 'r.csv')
    assert code == 0 and out.splitlines()[1].endswith('none of these'), err
    head, row = csv.reader((tmp_path / 'r.csv').read_text().splitlines())
    answer = dict(zip(head, row))
    assert len(head) == len(row) and answer['label_1'] == 'none of these' and answer['label_3'] in NAMES
    code, out, err = command('explain', 'localize', clip, '--run', run, '--out', tmp_path / 'pictures')
    assert code == 0 and any(f'{name}  filter ' in out for name in NAMES), err


def test_masks_and_gate_take_a_run_of_theirs(films, clip, command, tmp_path):
    run = make_run(tmp_path / 'masks', 'topheavy_tiny_custom_u2s', films)
    code, out, err = command('explain', 'masks', clip, '--run', run, '--out', tmp_path / 'masks.png')
    assert code == 0 and NAMES[0] in out, err
    code, out, err = command('explain', 'gate', '--model', run)
    assert code == 0 and '8 videos of folder val' in out, err


def test_data_that_are_not_there_are_said_before_anything_is_loaded(error_line, run, films, tmp_path, monkeypatch):
    """SynthFG was rendered for a minute and a half, only to say that it has other classes."""
    from gluon_fg.data import synthfg
    from gluon_fg.training import named

    for module, name in ((synthfg, 'ensure'), (named, 'load_network'), (named, 'load_run')):
        monkeypatch.setattr(module, name, lambda *args, **options: pytest.fail('too late'))
    dfb = 'i3d_resnet18_v1_kinetics400_dfb'
    for arguments, message in (
        (['--model', dfb, '--split', 'val'], 'no folder of kinetics400; give it with --root'),
        (['--model', dfb, '--root', tmp_path / 'no'], 'no: no such folder of kinetics400'),
        (['--model', 'i3d_tiny_custom_dfb'], 'classes of its own; name their videos, --dataset folder --root FOLDER'),
        (['--run', run, '--dataset', 'csv'], 'no folder of csv; give it with --root'),
        (['--run', tmp_path / 'typo' / 'run'], 'no such folder of a training run; a name goes with --model'),
    ):
        assert message in error_line('evaluate', *arguments)
    for command in ('filters', 'similarity'):
        line = error_line('explain', command, '--model', 'i3d_resnet50_v1_kinetics400_dfb', '--out', tmp_path / 'a.npz')
        assert 'no folder of kinetics400; give it with --root' in line


def test_rendered_classes_that_are_not_the_networks_are_never_rendered(error_line, run, tmp_path):
    line = error_line('evaluate', '--run', run, '--dataset', 'synthfg', '--root', tmp_path / 'new')
    assert 'synthfg has 24 classes, the model i3d_tiny_custom_dfb has 2' in line and not (tmp_path / 'new').exists()
