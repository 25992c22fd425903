"""What was written before methods, datasets and commands got their places of today is read as it was meant.

`formats/run` is the config and the class list of a run of U2S in stages, whose settings n and target stood in `train`;
`formats/scores.npz` are the scores that the code of then gave that run with the weights shipped then, which are
`formats/*.params`, on SynthFG;
`formats/index.yaml` is the zoo's index of then.
"""

import shutil
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

from gluon_fg import factory
from gluon_fg.data import build_dataset
from gluon_fg.deploy.execution import REFERENCE
from gluon_fg.errors import UserError
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.score import Scores, score_dataset
from gluon_fg.training.claim import changed_settings
from gluon_fg.training.config import load_config, stage_configs
from gluon_fg.training.run import load_run
from gluon_fg.weights import index as current
from gluon_fg.weights.entries import load_index

REPO = Path(__file__).resolve().parents[1]
OLD = Path(__file__).parent / 'formats'
WEIGHTS = OLD / 'topheavy_tiny_synthfg_u2s.params'  # published then
RETRAINED = ('i3d_tiny_synthfg_cidc', 'topheavy_tiny_synthfg_u2s')  # as their methods changed


@pytest.fixture
def run(tmp_path):
    """An old run's folder, whole."""
    shutil.copytree(OLD / 'run', tmp_path / 'run')
    shutil.copyfile(WEIGHTS, tmp_path / 'run' / 'best.params')
    return tmp_path / 'run'


def test_an_old_run_gives_its_old_scores(run, tiny_synthfg):
    net, config = load_run(run)
    former = {'gate': 'sigmoid', 'similarity': 'signed'}  # what was the only gate and the only similarity
    assert config.model.options == {'csm_n': 4.0, **former} and net.classes[0] == 'disc: plus'
    old = Scores.load(OLD / 'scores.npz')
    scores = score_dataset(
        net, build_dataset('synthfg', 'test', tiny_synthfg), get_protocol('train_time'), execution=REFERENCE
    )
    assert scores.ids == old.ids and scores.branch_names == old.branch_names and scores.classes == old.classes
    np.testing.assert_allclose(scores.probabilities, old.probabilities, rtol=0, atol=2e-5)
    np.testing.assert_array_equal(scores.labels, old.labels)


def test_an_old_run_is_taken_for_what_it_is(run):
    """Its stages too; its own settings in their new place change nothing, another value does."""
    settings = ['model.name=topheavy_tiny_synthfg_u2s', 'data.augment=random_crop', 'data.workers=1']
    settings += ['data.cache=memory', 'data.sizes={train: 48, val: 24, test: 24}', 'train.epochs=1']
    settings += ['train.batch_size=8', 'train.lr=0.02', 'train.lr_epochs=[]', 'train.log_steps=1']
    settings += ['stages={universal: {model: {name: topheavy_tiny_synthfg}}, specific: {train: {stage: specific}}, '
                 'joint: {train: {stage: joint, lr: 0.001}}}']  # fmt: skip
    settings += ['model.options={csm_n: 4, csm_target: 0.85}']
    assert changed_settings(load_config(None, settings), run) == []
    (line,) = changed_settings(load_config(None, [*settings, 'model.options.csm_n=5']), run)
    assert line.startswith('model.options:')
    universal, specific, _ = stage_configs(load_config(str(run / 'config.yaml'), saved=True)).values()
    assert universal.model.options == {} and specific.model.options == {'csm_n': 4.0}


@pytest.mark.parametrize('key, option', [('csm_n', 4), ('csm_target', 0.9)])
def test_an_old_config_is_told_where_its_setting_went(key, option, tmp_path):
    (tmp_path / 'old.yaml').write_text(f'train: {{{key}: {option}}}\n')
    with pytest.raises(UserError, match=f'old.yaml: train.{key} is an option of the model now; write model.options.'):
        load_config(str(tmp_path / 'old.yaml'))


def test_the_old_index_is_the_index_of_today():
    entries = load_index(OLD / 'index.yaml')
    assert set(entries) <= set(current.index())
    for name, entry in entries.items():
        assert (entry.sha256 == current.index()[name].sha256) == (name not in RETRAINED)


def test_shipped_weights_fill_todays_networks_exactly():
    for file in sorted((REPO / 'model_zoo').glob('*.params')):
        name = file.stem.rsplit('-', 1)[0]
        net = factory.get_model(name, **factory.saved_options(name, file))
        net.load_parameters(str(file), cast_dtype=True)  # shipped in half precision
        saved, params = mx.nd.load(str(file)), net._collect_params_with_prefix()
        assert set(saved) == set(params)
        for name, value in saved.items():
            np.testing.assert_array_equal(params[name].data().asnumpy(), value.asnumpy(), err_msg=name)
