"""Files of CIDC networks of former defaults stay what they were.

`formats/cidc` is a run of then with the logits that the code of then gave. Its network is a chain of bidirectional
units whose weights are rescaled by row, fused by a plain average.
"""

import shutil
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from networks import randomized

import gluon_fg
from gluon_fg.errors import UserError
from gluon_fg.evaluation.load import load_network
from gluon_fg.recognizers import CIDCNetwork
from gluon_fg.training.claim import changed_settings
from gluon_fg.training.config import load_config
from gluon_fg.training.run import load_run
from gluon_fg.weights import index

FORMATS = Path(__file__).resolve().parents[1] / 'formats'
NAME, FORMER = 'i3d_tiny_synthfg_cidc', FORMATS / 'cidc'
OPTIONS = {'direction': 'chained', 'normalize': 'row', 'fusion': 'average', 'units': (1, 1, 1)}


def assert_as_then(net):
    x = mx.nd.array(np.random.RandomState(0).normal(size=(2, 3, 8, 48, 48)))
    then = np.load(FORMER / 'logits.npz')
    for name, z in zip(net.branch_names, net.branches(x)):
        np.testing.assert_allclose(z.asnumpy(), then[name], rtol=1e-4, atol=1e-4, err_msg=name)


def test_a_file_given_by_hand():
    assert_as_then(load_network(NAME, str(FORMER / 'best.params')))
    with pytest.raises(UserError, match='parameters missing'):  # what is asked for comes first
        load_network(NAME, str(FORMER / 'best.params'), direction='both')


@pytest.mark.parametrize('options', ['{}', '{direction: both, normalize: true}', '{normalize: row, fusion: average}'])
def test_a_run(options, tmp_path):
    """Also one whose config has the former names of today's options."""
    shutil.copytree(FORMER, tmp_path / 'run')
    text = (FORMER / 'config.yaml').read_text()
    (tmp_path / 'run' / 'config.yaml').write_text(text.replace('options: {}', f'options: {options}'))
    net, config = load_run(tmp_path / 'run')
    assert_as_then(net)
    assert {**config.model.options, 'units': OPTIONS['units']} == OPTIONS


def test_an_unfinished_run_is_no_run_of_todays_network(tmp_path):
    run = tmp_path / 'run'
    shutil.copytree(FORMER, run)
    (run / 'best.params').rename(run / 'final.params')
    given = load_config(str(FORMER / 'config.yaml'), saved=True)
    (line,) = changed_settings(given, run)
    assert line.startswith('model.options:') and "'direction': 'chained'" in line
    given.model.options = {name: value for name, value in OPTIONS.items() if name != 'units'}
    assert changed_settings(given, run) == []


def test_an_old_index(tmp_path, monkeypatch):
    entry = index.load_index(FORMATS / 'index.yaml')[NAME]
    shutil.copyfile(FORMATS / 'index.yaml', tmp_path / 'index.yaml')
    shutil.copyfile(FORMER / 'best.params', tmp_path / entry.file)
    monkeypatch.setattr(index, '_REPO_ZOO', tmp_path)
    assert_as_then(gluon_fg.get_model(NAME, pretrained=True, root=str(tmp_path)))


@pytest.mark.parametrize(
    'options, told',
    [
        ({}, {}),
        ({'direction': 'forward'}, {}),
        ({'direction': 'mean', 'fusion': 'channel'}, {}),
        ({'normalize': 'row', 'units': (2, 1, 1)}, {'normalize': 'row', 'units': (2, 1, 1)}),
        ({'direction': 'chained', 'units': (1, 2, 3)}, {'direction': 'chained', 'units': (1, 2, 3)}),
        ({'fusion': 'average', 'scales': (4, 5), 'units': (1, 2)}, {'fusion': 'average', 'units': (1, 2)}),
        (OPTIONS, OPTIONS),
    ],
)
def test_what_a_file_tells(options, told):
    names = set(randomized(NAME, **options)._collect_params_with_prefix())
    assert CIDCNetwork.saved_options(names) == told
    assert CIDCNetwork.saved_options({n for n in names if '.cidc' not in n}) == {}  # a baseline's


def test_former_values_of_options_are_named():
    """A config that is written today; one line says what to write."""
    with pytest.raises(UserError, match="normalize True is 'row' now"):
        gluon_fg.get_model(NAME, normalize=True)
