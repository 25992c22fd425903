"""What is promised of speed is judged by the figures of one run, whatever else could not be measured."""

from pathlib import Path

import pytest

from gluon_fg import factory
from gluon_fg.deploy import benchmark_table, promises, scaling
from gluon_fg.deploy.benchmark_models import Subject, limits
from gluon_fg.deploy.contender import Contender
from gluon_fg.deploy.flops import count
from gluon_fg.deploy.measuring import Measured
from gluon_fg.visualization.scaling import scaling_chart

TINY = 'i3d_tiny_synthfg'


def took(ms, by, precision, runtime='', problem=''):
    return Measured(Contender(by, precision, 1, runtime, shape=(64,)), [] if problem else [[ms]] * 3, problem=problem)


def subject():
    cost = count(factory.build(TINY))
    return Subject(TINY, None, cost, cost.input_shape, None, Path(), {'float32': 'openvino', 'int8': 'mxnet'})


def test_each_promise_has_its_figure_or_says_why_not(monkeypatch):
    monkeypatch.setattr(promises, 'processor', lambda: ('', frozenset()))  # no AMX
    tiny = subject()
    at_rate = 10 * tiny.cost.flops / (2 * 64**3)  # ms for its operations where the product takes 10
    records = [
        took(2 * at_rate, 'gluon_fg', 'float32', 'openvino'),
        took(1.1 * at_rate, 'gluon_fg', 'float32', 'mxnet'),
        took(0.3 * at_rate, 'gluon_fg', 'int8', 'mxnet'),
        took(1.6 * at_rate, 'OpenVINO', 'float32'),
        took(1.9 * at_rate, 'PyTorch frozen', 'float32'),
        took(0, 'ONNX Runtime', 'float32', problem='not installed'),
        took(10, 'gemm', 'float32', 'mxnet'),
    ]
    got = {v.promise: (v.ratio, v.kept) for v in promises.of_precisions(tiny, records, limits(records))}
    assert got == {
        'float32 by auto (openvino) over the fastest called directly': (pytest.approx(1.25), False),
        'float32 by auto (openvino) over the limit of float32': (pytest.approx(2), False),
        'int8 by auto (mxnet) over the fastest called directly': (None, None),
        'int8 by auto (mxnet) over the limit of float32': (pytest.approx(0.3), True),
        'float32 by MXNet alone over the limit of float32': (pytest.approx(1.1), True),
        'int8 by MXNet alone over the limit of float32': (pytest.approx(0.3), True),
    }


def test_the_promises_are_of_networks_that_the_zoo_has():
    for quick in (False, True):
        listed = promises.listed(quick)
        assert len(listed.shape) == 5 and listed.pairs
        for pair in listed.pairs:
            whole, alone = (count(factory.build(name), pair.shape).macs for name in (pair.method, pair.backbone))
            assert 1 < whole / alone < 2.5 and pair.most > 1


def test_scaling_goes_one_way_at_a_time_and_is_drawn(monkeypatch):
    def side_by_side(contenders, rounds, say):
        return [Measured(c, [[2.0 * c.shape[0]]] * rounds) for c in contenders]

    monkeypatch.setattr(scaling, 'side_by_side', side_by_side)
    monkeypatch.setattr(scaling, 'at_once', lambda contender, ranks, rounds: [4.0 * ranks])
    monkeypatch.setattr(scaling, 'FRAMES', (8, 16))
    monkeypatch.setattr(scaling, 'SIZES', (48, 64))
    said = []
    asked = scaling.Asked(runtimes=('mxnet',), rounds=1, peers=False)
    result = scaling.measure(TINY, asked, said.append)
    kinds = {(p['axis'], p['value']) for p in result['points']}
    assert {('frames', 8), ('frames', 16), ('size', 64), ('batch', 8), ('threads', 1), ('ranks', 1)} <= kinds
    rates = {(p['axis'], p['value']): p['gflops'] for p in result['points']}
    assert rates['frames', 16] == pytest.approx(2 * rates['frames', 8], rel=1e-3)  # as long for twice the work
    assert rates['batch', 8] == pytest.approx(rates['batch', 1]) == pytest.approx(2 * rates['ranks', 1])
    panels = scaling_chart(result).axes
    assert [panel.get_xlabel() for panel in panels][:2] == ['frames of a clip', 'side of a frame, pixels']
    assert 'frames' in scaling.table(result) and benchmark_table.verdicts({'verdicts': []}).startswith('0 of 0')
