"""`gluon-fg join`: two runs, on colors and on flow, become one that every command takes."""

import itertools
import json
import shutil

import mxnet as mx
import numpy as np
import pytest
from networks import randomize_norms

import gluon_fg
from gluon_fg.evaluation.score import Scores
from gluon_fg.factory import get_model, setting
from gluon_fg.training.config import Config, load_config, save_config

NAMES = ('closes the arm', 'opens the arm')
STREAMS = {
    'i3d': ('i3d_tiny_custom', 'i3d_tiny_flow_custom', 'twostream_i3d_tiny_custom'),
    'images': ('twostream_tiny_rgb_custom', 'twostream_tiny_flow_custom', 'twostream_tiny_custom'),
}


@pytest.fixture(scope='module')
def films(tiny_synthfg, tmp_path_factory):
    """Own videos, train and val: four of each of two classes."""
    root = tmp_path_factory.mktemp('own') / 'films'
    for number, clip in enumerate(sorted((tiny_synthfg / 'train').glob('*.mp4'))[:16]):
        folder = root / ('train', 'val')[number % 2] / NAMES[number // 2 % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, folder)
    return root


def make_run(folder, name, films, classes=NAMES, **data):
    """A folder as training leaves it, with untrained weights for which no layer is the identity."""
    config = Config()
    config.model.name, config.model.nclass = name, len(classes)
    config.data.dataset, config.data.root = 'folder', str(films)
    for key, value in data.items():
        setattr(config.data, key, value)
    config.test.protocol = '2x1'
    save_config(config, folder / 'config.yaml')
    (folder / 'classes.txt').write_text(''.join(f'{name}\n' for name in classes), encoding='utf-8')
    net = randomize_norms(get_model(name, nclass=len(classes)))
    net.branches.classifier.weight.set_data(0.02 * net.branches.classifier.weight.data())  # unsure, so that all shows
    net.save_parameters(str(folder / 'best.params'))
    return folder


@pytest.fixture(scope='module')
def runs(films, tmp_path_factory):
    """Kind -> folders of its streams."""
    root = tmp_path_factory.mktemp('runs')
    return {kind: [make_run(root / name, name, films) for name in names[:2]] for kind, names in STREAMS.items()}


def softmax(z):
    e = np.exp(z.asnumpy().astype('float64') - z.asnumpy().max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize('kind', STREAMS)
def test_it_predicts_the_mean_of_the_two_runs(kind, runs, command, tmp_path):
    out = tmp_path / 'both'
    code, said, err = command('join', *runs[kind], '--out', out)
    assert code == 0, err
    assert f'{STREAMS[kind][2]} of 2 classes, of {STREAMS[kind][0]} and {STREAMS[kind][1]}' in said
    assert not [path for path in tmp_path.iterdir() if path != out]
    both, rgb, flow = (gluon_fg.load_model(folder) for folder in (out, *runs[kind]))
    assert both.name == STREAMS[kind][2] and both.classes == NAMES and both.protocol == '2x1'
    assert both.input_spec == setting(both.name).input_spec
    shape = (3, both.input_spec.channels, *([8] if kind == 'i3d' else []), 48, 48)
    x = mx.nd.random.normal(shape=shape)
    expected = (softmax(rgb(x[:, :3].copy())) + softmax(flow(x[:, 3:].copy()))) / 2
    np.testing.assert_allclose(softmax(both(x)), expected, rtol=0, atol=1e-6)
    assert load_config(str(out / 'config.yaml'), saved=True).data.dataset == 'folder'


def test_weights_are_kept(runs, command, tmp_path):
    code, _, err = command('join', *runs['images'], '--weights', '1', '3', '--out', tmp_path / 'both')
    assert code == 0, err
    both, rgb, flow = (gluon_fg.load_model(folder) for folder in (tmp_path / 'both', *runs['images']))
    x = mx.nd.random.normal(shape=(2, both.input_spec.channels, 48, 48))
    expected = (softmax(rgb(x[:, :3].copy())) + 3 * softmax(flow(x[:, 3:].copy()))) / 4
    np.testing.assert_allclose(softmax(both(x)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize('kind', STREAMS)
def test_commands_take_the_folder_as_a_run(kind, runs, films, command, tmp_path):
    """Scored, it is the mean of its streams; it is published, and loads by its name.

    The flow stream's scores are its own run's. Colors are seen at frames that have all fields behind them, so that
    those of the other run, which may see the last frames, are others.
    """
    out, clip = tmp_path / 'both', sorted((films / 'val').rglob('*.mp4'))[0]
    command('join', *runs[kind], '--out', out)
    paths = [tmp_path / f'{name}.npz' for name in ('both', 'flow')]
    for folder, path in zip((out, runs[kind][1]), paths):
        code, _, err = command('evaluate', '--run', folder, '--split', 'val', '--out', path)
        assert code == 0, err
    scores = [Scores.load(path) for path in paths]
    assert scores[0].branch_names == ('fused', 'rgb', 'flow') and scores[0].ids == scores[1].ids
    streams = [scores[0].branch(name) for name in ('rgb', 'flow')]
    np.testing.assert_allclose(scores[0].branch(), np.mean(streams, axis=0), rtol=0, atol=1e-6)
    np.testing.assert_allclose(streams[1], scores[1].branch(), rtol=0, atol=1e-6)
    assert all(np.ptp(p[:, 0]) > 1e-4 and p.min() > 1e-4 for p in streams)  # far from sure, and not all alike
    code, said, err = command('predict', clip, '--model', out)
    assert code == 0 and any(name in said for name in NAMES), err
    published = tmp_path / 'zoo'
    code, _, err = command(
        'zoo', 'publish', out, '--repo', published, '--licence', 'MIT', '--name', 'arms', '--split', 'val'
    )
    assert code == 0, err
    net = gluon_fg.load_model(published)
    x = mx.nd.random.normal(shape=(1, net.input_spec.channels, *([8] if kind == 'i3d' else []), 48, 48))
    np.testing.assert_array_equal(net(x).asnumpy(), gluon_fg.load_model(out)(x).asnumpy())
    assert f'gluon-fg join of {STREAMS[kind][0]} and {STREAMS[kind][1]}' in (published / 'index.yaml').read_text()
    assert str(tmp_path) not in (published / 'index.yaml').read_text()
    code, said, err = command('train', '--config', out / 'config.yaml', '--out', out)
    assert code == 0, err  # it is finished: nothing is trained over it
    assert json.loads((out / 'summary.json').read_text())['joined']['rgb']['entry'] == STREAMS[kind][0]


def test_the_flow_that_a_stream_was_trained_on_is_kept(runs, films, command, tmp_path):
    kept = dict(flow_algorithm='tvl1', flow_bound=15.0, center_flow=True, short='loop', fps=12.0)
    rgb = make_run(tmp_path / 'rgb', 'i3d_tiny_custom', films, short='loop', fps=12.0)
    flow = make_run(tmp_path / 'flow', 'i3d_tiny_flow_custom', films, flow='somewhere', **kept)
    code, _, err = command('join', rgb, flow, '--out', tmp_path / 'both')
    assert code == 0, err
    spec = gluon_fg.load_model(tmp_path / 'both').input_spec
    assert (spec.flow, spec.flow_bound, spec.center_flow, spec.short, spec.fps) == ('tvl1', 15.0, True, 'loop', 12.0)
    assert load_config(str(tmp_path / 'both' / 'config.yaml'), saved=True).data.flow == 'somewhere'
    message = 'data.fps is None in i3d_tiny_custom and 12.0 in flow'
    assert message in refused(command, runs['i3d'][0], flow, '--out', tmp_path / 'again')


def test_a_published_stream_will_do(runs, command, tmp_path):
    """By the folder that it was published in: its entry is not what it is called."""
    rgb, flow = runs['i3d']
    (rgb / 'summary.json').write_text(json.dumps({'best': {'epoch': 1}, 'epochs': 1}))
    words = ['zoo', 'publish', rgb, '--repo', tmp_path / 'zoo', '--licence', 'MIT', '--name', 'ours', '--split', 'val']
    code, _, err = command(*words)
    (rgb / 'summary.json').unlink()
    assert code == 0, err
    code, said, err = command('join', tmp_path / 'zoo', flow, '--out', tmp_path / 'both')
    assert code == 0 and 'twostream_i3d_tiny_custom of 2 classes, of ours and i3d_tiny_flow_custom' in said, err


def refused(command, *words):
    code, out, err = command('join', *words)
    assert code == 2 and not out and err.count('\n') == 1, (code, out, err)
    return err


def test_what_cannot_be_joined_is_refused_in_one_line(runs, films, command, tmp_path):
    (rgb, flow), (image, stack), out = runs['i3d'], runs['images'], tmp_path / 'both'
    number = itertools.count(1)

    def other(name, **changes):
        return make_run(tmp_path / f'other{next(number)}', name, films, **changes)

    flow_name = 'i3d_tiny_flow_custom'
    for words, message in (
        ((rgb, rgb), 'i3d_tiny_custom sees colors; the second of the two networks is the one on optical flow alone'),
        ((flow, rgb), 'i3d_tiny_flow_custom sees optical flow; the first of the two networks is the one on colors al'),
        ((rgb, stack), '(twostream_tiny_flow_custom, 5 flow fields at each frame) are the streams of no network of '),
        ((image, flow), '(i3d_tiny_flow_custom, 1 flow field at each frame) are the streams of no network of both; '),
        ((rgb, other(flow_name, classes=('a', 'b', 'c'))), 'the number of classes is 2 in i3d_tiny_custom and 3 in '),
        ((rgb, other(flow_name, classes=NAMES[::-1])), 'class 0 is closes the arm in i3d_tiny_custom and opens the '),
        ((rgb, other(flow_name, frames=6)), 'data.frames is 8 in i3d_tiny_custom and 6 in other3'),
        ((rgb, other(flow_name, short_side=60)), 'data.short_side is 54 in i3d_tiny_custom and 60 in other4'),
        ((rgb, other(flow_name, train_split='train1')), 'data.train_split is train in i3d_tiny_custom and train1 in'),
        ((rgb, tmp_path / 'none'), 'none: no such folder of a training run'),
        ((rgb, flow, '--weights', '1'), '--weights takes two numbers, for RGB and for FLOW; got 1'),
        ((rgb, flow, '--weights', '1', '-1'), 'flow_weight -1.0: give numbers of 0 or more'),
    ):
        assert message in refused(command, *words, '--out', out)
        assert not out.exists() and not list(tmp_path.glob('.both*'))
    out.mkdir()
    assert f'--out {out} is there already; choose another folder' in refused(command, rgb, flow, '--out', out)
    assert not list(out.iterdir())
