"""Networks beside their peers: each in a process of its own, on the same weights, with the ratios that are claimed."""

import dataclasses
import importlib.util
import time

import pytest

from gluon_fg import factory
from gluon_fg.deploy import benchmark_models, benchmark_table, contender
from gluon_fg.deploy.benchmark_models import Asked, contenders, prepare, workplace
from gluon_fg.deploy.contender import Contender
from gluon_fg.deploy.execution import PRECISIONS
from gluon_fg.deploy.flops import count
from gluon_fg.deploy.measuring import Measured, side_by_side
from gluon_fg.deploy.worker import timed

TINY = 'i3d_tiny_synthfg'
torch_here = pytest.mark.skipif(importlib.util.find_spec('torch') is None, reason='PyTorch is not installed')


def measured(*rounds, precision='float32', by='gluon_fg', runtime='mxnet', **fields):
    return Measured(Contender(by, precision, 1, runtime, shape=(2048,)), rounds, **fields)


def test_ratios_are_taken_within_rounds_and_medians_over_them():
    fast, slow = measured([1.0, 1.0], [10.0], [1.0]), measured([2.0], [21.0], [2.0, 2.0, 90.0])
    assert slow.ms == 2.0 and slow.over(fast) == 2.0 and fast.over(slow) == 0.5
    assert measured(list(range(1, 11))).p90 == 10 and measured([5.0]).p90 == 5.0


def test_a_limit_is_the_time_of_the_operations_at_the_rate_of_the_product():
    products = [measured([100.0], by='gemm', runtime=name) for name in 'ab'] + [
        measured([50.0], by='gemm', runtime='c')
    ]
    limit = benchmark_models.limits(products)['float32']
    assert limit.library == 'c' and limit.gflops == pytest.approx(2 * 2048**3 / 0.05 / 1e9)
    flops = 2 * 2048**3 * 3  # three products' worth, in four times the time of one
    assert limit.ratio(measured([200.0]), flops) == pytest.approx(4 / 3)


def test_calls_fill_the_time_that_they_get():
    calls = []
    assert len(timed(lambda: calls.append(0), 5.0)) == len(calls) - 1 > 10
    calls.clear()
    once = timed(lambda: calls.append(0) or time.sleep(0.1 if len(calls) == 1 else 0.02), 0)
    assert len(calls) == 2 and len(once) == 1 and once[0] < 80  # the first call is not timed, however long it takes


@torch_here
def test_each_is_measured_in_its_own_process_on_the_same_weights(tmp_path):
    asked = Asked(runtimes=('mxnet',), rounds=2, threads=1)
    subject = prepare(TINY, asked, 2, tmp_path)
    wanted = [given for given in contenders(subject, asked) if given.by in ('gluon_fg', 'PyTorch')]
    records = side_by_side([*wanted, dataclasses.replace(wanted[1], precision='int4')], 2)
    assert [r.contender.label for r in records] == ['gluon_fg mxnet', 'PyTorch', 'PyTorch']
    *good, bad = records
    assert all(len(r.rounds) == 2 and r.ms > 0 and 30 < r.peak_mb < 3000 for r in good)
    assert 'int4' in bad.problem and '\n' not in bad.problem
    listed = benchmark_models.rows(subject, 2, records, benchmark_models.limits(records))
    ours, eager, refused = listed
    assert subject.shape == (2, 3, 8, 48, 48) and 0 < ours['deviation'] < 1e-5 and eager['deviation'] == 0
    assert ours['clips_per_s'] == pytest.approx(2000 / ours['ms']) and 'problem' in refused
    assert ours['gflops'] == pytest.approx(count(factory.build(TINY), subject.shape).flops / ours['ms'] / 1e6)
    lines = benchmark_table.block(listed)
    assert len(lines) == 4 and 'int4' in lines[-1]


def test_int8_forms_are_kept_for_the_same_weights_and_code_alone(tmp_path, monkeypatch):
    monkeypatch.setenv('GLUON_FG_CACHE', str(tmp_path))
    asked = Asked(runtimes=('mxnet',), precisions=('int8',), threads=1, peers=False)
    with workplace(TINY, asked, 1) as folder:
        ours = prepare(TINY, asked, 1, folder).ours('mxnet', 'int8', 1)
        contender.quantize(ours)
        prepare(TINY, asked, 1, folder)
        facts = contender.quantized_file(ours)
        assert facts.is_file() and facts.parent.parent == folder
    with workplace(TINY, asked, 1) as again:
        assert again == folder
        whole = facts.read_text()
        for damaged in (whole.replace('"weights": "', '"weights": "0'), whole[:-20]):
            facts.write_text(damaged)
            prepare(TINY, asked, 1, folder)
            assert not facts.parent.exists()  # `side_by_side` makes it anew
            facts.parent.mkdir()
    monkeypatch.setattr(benchmark_models, '_CODE', ('nn/norm.py',))
    with workplace(TINY, asked, 1) as other:
        assert other.parent == folder.parent and other != folder


def test_the_table_has_a_place_for_every_precision_that_can_be_asked_for():
    figures = dict.fromkeys(('p90_ms', 'clips_per_s', 'gflops', 'ready_s', 'peak_mb', 'deviation'), 1.0)
    common = {'batch': 1, 'by': 'gluon_fg', 'runtime': 'mxnet', 'auto': False, 'over_gluoncv': None, 'over_limit': None}
    rows = [
        {**common, **figures, 'precision': precision, 'ms': 9.0 - place} for place, precision in enumerate(PRECISIONS)
    ]
    printed = '\n'.join(benchmark_table.block(rows[::-1]))
    places = [printed.index(f' {precision} ') for precision in PRECISIONS]
    assert places == sorted(places)
