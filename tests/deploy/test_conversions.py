"""Whole networks in other runtimes beside MXNet, and the script that prints how far they are apart."""

import runpy
import sys
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

from gluon_fg import factory
from gluon_fg.deploy.conversions import compare, settle
from gluon_fg.deploy.flops import input_shape
from gluon_fg.nn.norm import batch_norms

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
pytest.importorskip('openvino')

from gluon_fg.deploy.runtimes import onnxruntime as in_onnxruntime  # noqa: E402

NAME = 'i3d_tiny_custom_dfb'
SCRIPT = Path(__file__).parents[2] / 'scripts' / 'onnx_table.py'


def test_settled_signals_stay_of_usual_size_however_large_the_input():
    net = factory.get_model(NAME, nclass=5, pretrained_base=False)
    x = 1000 * np.random.default_rng(1).standard_normal(input_shape(net.input_spec), 'float32')
    settle(net, x)
    logits = net.branches(mx.nd.array(x))[0].asnumpy()
    assert 0.1 < np.abs(logits).max() < 100
    for layer in batch_norms(net):
        scale = layer.gamma.data().asnumpy() / np.sqrt(layer.running_var.data().asnumpy())
        assert scale.std() > 0.1 * scale.mean() and np.abs(layer.running_mean.data().asnumpy()).max() > 0


def test_every_runtime_is_compared_in_all_that_a_network_shows(monkeypatch):
    rows = list(compare(NAME))
    assert [row.runtime for row in rows] == ['onnxruntime', 'openvino']
    assert all(row.outputs == 6 and 0 < row.deviation < 1e-5 and row.scale > 0.1 for row in rows)  # 4 branches, 2 views
    opened = in_onnxruntime.opened

    def changed(change):
        def wrong(*given):
            return lambda shape: lambda x: change(opened(*given)(shape)(x))

        monkeypatch.setattr(in_onnxruntime, 'opened', wrong)
        (row,) = compare(NAME, ['onnxruntime'])
        return row

    apart = changed(lambda outputs: [*outputs[:2], outputs[2] + 0.01 * np.abs(outputs[2]).max(), *outputs[3:]])
    assert apart.worst == 'max' and apart.deviation == pytest.approx(0.01, rel=1e-3)
    assert changed(lambda outputs: [*outputs[:-1], outputs[-1] * np.nan]).deviation == np.inf
    assert changed(lambda outputs: [outputs[0][:, :-1], *outputs[1:]]).worst == 'comb'


@pytest.mark.parametrize('wrong', [False, True])
def test_the_script_fails_where_a_network_is_too_far(wrong, monkeypatch, capsys):
    if wrong:
        opened = in_onnxruntime.opened
        monkeypatch.setattr(
            in_onnxruntime,
            'opened',
            lambda *given: lambda shape: lambda x: [1.001 * z for z in opened(*given)(shape)(x)],
        )
    monkeypatch.setattr(sys, 'argv', [str(SCRIPT), 'tsn_tiny_custom'])
    code = runpy.run_path(str(SCRIPT))['main']()
    *head, first, second, said = capsys.readouterr().out.splitlines()
    assert len(head) == 2 and all(line.startswith('| `tsn_tiny_custom` |') for line in (first, second))
    assert (code, said) == ((1, '1 deviate by more than 0.0001') if wrong else (0, 'all within 0.0001'))
    assert ('1.0e-03 (too far)' in first) == wrong and 'too far' not in second


def test_families_are_full_size_networks_of_the_zoo():
    families = runpy.run_path(str(SCRIPT))['FAMILIES']
    assert all(factory.resolve(name)[0].name == name and 'tiny' not in name for name in families)
