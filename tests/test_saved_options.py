"""Parameter files of networks whose options had other defaults when they were trained go on being what they were.

The default that changes here is DFB's local branch: files without one are taken for former networks.
"""

import mxnet as mx
import numpy as np
import pytest

from gluon_fg import factory
from gluon_fg.errors import UserError
from gluon_fg.evaluation.load import load_network
from gluon_fg.files import sha256
from gluon_fg.recognizers.dfb import DFB
from gluon_fg.training import loop
from gluon_fg.training.claim import changed_settings
from gluon_fg.training.config import load_config
from gluon_fg.training.publish import publish
from gluon_fg.training.run import Interrupted, StopFlag, load_run

NAME = 'i3d_tiny_synthfg_dfb'
CLIP = mx.nd.array(np.random.RandomState(0).normal(size=(1, 3, 8, 48, 48)))


@pytest.fixture
def changed_default(monkeypatch):
    """What DFB would say had its networks once had no local branch unless asked for one."""

    def saved_options(cls, names):
        alone = any('.bank.' in name for name in names) and not any('.local.' in name for name in names)
        return {'local_branch': False} if alone else {}

    return lambda: monkeypatch.setattr(DFB, 'saved_options', classmethod(saved_options))


@pytest.fixture
def config(tiny_synthfg):
    def make(*overrides):
        sizes = 'data.sizes={train: 48, val: 24, test: 24}'
        settings = [f'data.root={tiny_synthfg}', 'data.augment=random_crop', 'data.workers=1', sizes]
        settings += ['train.epochs=1', 'train.batch_size=16', 'train.lr_epochs=[]', f'model.name={NAME}']
        return load_config(None, [*settings, *overrides])

    return make


def test_networks_of_today_tell_nothing():
    for name in (NAME, 'i3d_tiny_synthfg', 'topheavy_tiny_synthfg_u2s', 'i3d_tiny_synthfg_cidc'):
        net = factory.build(name)
        assert net.saved_options(set(net._collect_params_with_prefix())) == {}


def test_a_bare_file_is_loaded_into_the_network_that_it_is_of(changed_default, tmp_path):
    former, file = factory.get_model(NAME, local_branch=False), str(tmp_path / 'former.params')
    former.save_parameters(file)
    with pytest.raises(UserError, match='parameters missing'):
        load_network(NAME, file)
    changed_default()
    np.testing.assert_array_equal(load_network(NAME, file)(CLIP).asnumpy(), former(CLIP).asnumpy())
    with pytest.raises(UserError, match='parameters missing'):  # what a user asks for comes first
        load_network(NAME, file, local_branch=True)


def test_a_run_is_read_resumed_and_published_as_what_it_was(changed_default, config, tmp_path, monkeypatch):
    run, given = tmp_path / 'run', config('model.options.local_branch=false')
    loop.train(given, run, progress=False)
    text = (run / 'config.yaml').read_text()
    assert 'local_branch: false' in text
    (run / 'config.yaml').write_text(
        text.replace('    local_branch: false\n', '').replace('options:\n', 'options: {}\n')
    )
    former = load_run_with(run, local_branch=False)
    changed_default()
    net, read = load_run(run)
    assert read.model.options == {'local_branch': False}
    np.testing.assert_array_equal(net(CLIP).asnumpy(), former)
    assert changed_settings(given, run) == []
    (line,) = changed_settings(config(), run)  # networks of today are another run
    assert line == "model.options: {'local_branch': False} -> {}"
    entry = publish(run, tmp_path / 'zoo', 'MIT', 'a test')
    assert sha256(tmp_path / 'zoo' / entry.file) == entry.sha256
    monkeypatch.setenv('GLUON_FG_REPO', (tmp_path / 'zoo').as_uri())
    monkeypatch.setattr('gluon_fg.weights.index.zoo_folder', lambda: tmp_path / 'nothing')
    published = factory.get_model(NAME, pretrained=True, root=str(tmp_path / 'root'))
    np.testing.assert_array_equal(published(CLIP).asnumpy(), former)


def test_an_unfinished_run_of_former_defaults_is_not_mixed_with_todays(changed_default, config, tmp_path, monkeypatch):
    run = tmp_path / 'run'
    monkeypatch.setattr(StopFlag, '__enter__', lambda self: setattr(self, 'set', True) or self)
    monkeypatch.setattr(StopFlag, '__exit__', lambda self, *exc: None)
    with pytest.raises(Interrupted):
        loop.train(config('model.options.local_branch=false'), run, progress=False)
    text = (run / 'config.yaml').read_text()
    (run / 'config.yaml').write_text(
        text.replace('    local_branch: false\n', '').replace('options:\n', 'options: {}\n')
    )
    monkeypatch.undo()
    changed_default()
    with pytest.raises(
        UserError, match="holds a run with another config .*'local_branch': False.*choose another --out"
    ):
        loop.train(config(), run, progress=False)
    assert loop.train(config('model.options.local_branch=false'), run, progress=False)['updates'] == 3


def load_run_with(run, **options):
    """The answer of a run's best parameters in a network with given options."""
    net = factory.build(NAME, **options)
    net.load_parameters(str(run / 'best.params'))
    return net(CLIP).asnumpy()
