"""Runs of ConvNet + LSTM and C3D: trained, saved, read again and tested on longer clips or on flow, as any other."""

import mxnet as mx
import numpy as np
import pytest

from gluon_fg.data import open_video
from gluon_fg.data.transforms import to_input
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.score import Scores
from gluon_fg.training import loop
from gluon_fg.training.claim import changed_settings
from gluon_fg.training.config import load_config
from gluon_fg.training.log import read_metrics
from gluon_fg.training.run import load_run

CONFIG = """
model: {{name: {name}}}
data: {{dataset: synthfg, root: {root}, augment: random_crop, workers: 1}}
train: {{epochs: 1, batch_size: 12, lr: 0.02, ema: 0.5, precise_bn: 2, label_smoothing: 0.1}}
test: {{val_protocol: train_time, val_epochs: 1}}
"""


@pytest.fixture(scope='module')
def run_of(tiny_synthfg, tmp_path_factory):
    """run_of(name) -> folder of a run of 4 updates, done once."""
    done = {}

    def run(name):
        if name not in done:
            folder = done[name] = tmp_path_factory.mktemp(name)
            (folder / 'config.yaml').write_text(CONFIG.format(name=name, root=tiny_synthfg))
            loop.train(load_config(str(folder / 'config.yaml')), folder / 'run', progress=False)
        return done[name] / 'run'

    return run


def test_a_run_is_tested_on_longer_clips_than_it_was_trained_on(run_of, command, tiny_synthfg):
    """The command's fused graph on 12 frames of 8, the last one repeated, gives what the network itself does."""
    folder, protocol = run_of('lstm_tiny_custom'), get_protocol('1x1@12')
    code, _, err = command('evaluate', '--run', folder, '--protocol', '1x1@12')
    assert code == 0, err
    scores = Scores.load(folder / 'scores_test_1x1@12.npz')
    net, _ = load_run(folder)
    assert net.nclass == 24 and net.classes is not None and net.branches.lstm.steps == 8
    for video, given in list(zip(scores.ids, scores.probabilities[:, 0]))[:3]:
        with open_video(tiny_synthfg / video) as reader:
            views, _ = protocol.views(reader, net.input_spec)
        assert views[0].shape == (3, 12, 48, 48)
        logits = net(to_input(np.stack(views), protocol.shown(net.input_spec), mx.cpu()))
        np.testing.assert_allclose(given, net.to_probabilities(logits).asnumpy()[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('name', ['lstm_tiny_custom', 'c3d_tiny_custom'])
def test_a_run_goes_on_with_the_config_that_it_was_begun_with(run_of, name):
    folder = run_of(name)
    assert changed_settings(load_config(str(folder.parent / 'config.yaml')), folder) == []
    other = load_config(str(folder.parent / 'config.yaml'))
    other.train.lr *= 2
    assert len(changed_settings(other, folder)) == 1


@pytest.mark.parametrize('name, losses', [('lstm_tiny_custom', {'lstm', 'steps'}), ('c3d_tiny_custom', {'c3d'})])
def test_a_run_says_what_it_learned_and_keeps_statistics_of_the_data(run_of, name, losses):
    folder = run_of(name)
    (epoch,) = (r for r in read_metrics(folder / 'metrics.jsonl') if r['event'] == 'epoch')
    assert {key[5:] for key in epoch if key.startswith('loss_')} == losses
    net, _ = load_run(folder)
    for part, p in net._collect_params_with_prefix().items():
        if part.endswith('running_var'):  # of every layer, every step's own included
            assert np.abs(p.data().asnumpy() - 1).max() > 0.01, part


@pytest.mark.parametrize('name, branch', [('lstm_tiny_flow_custom', 'lstm'), ('c3d_tiny_flow_custom', 'c3d')])
def test_it_learns_and_predicts_from_optical_flow(run_of, command, tiny_synthfg, name, branch):
    """Computed on the way where none is stored: a field at each of 8 frames, the last of which has none of its own."""
    folder = run_of(name)
    code, out, err = command('evaluate', '--run', folder)
    assert code == 0, err
    scores = Scores.load(folder / 'scores_test_train_time.npz')
    assert scores.probabilities.shape == (24, 1, 24) and np.isfinite(scores.probabilities).all()
    assert scores.branch_names == (branch,)
    code, out, err = command('predict', tiny_synthfg / scores.ids[0], '--run', folder, '--topk', 2)
    assert code == 0 and out.count('%') == 2, err
