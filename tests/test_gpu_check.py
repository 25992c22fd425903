"""gpu-check on the CPU: all ok, and WRONG where one side is made to compute something else."""

import json

import mxnet as mx
import pytest

from gluon_fg.gpu_check import dropout, operators, run
from gluon_fg.gpu_check.outcome import Outcome, Target
from gluon_fg.gpu_check.trained import plan


@pytest.fixture
def target(tmp_path):
    return Target(mx.cpu(), 'float16_emulated', True, tmp_path)


def wrong(outcomes):
    return [outcome.name for outcome in outcomes if not outcome.ok]


def test_the_command_finds_all_right_on_a_cpu_and_keeps_its_report(command, tmp_path):
    path = tmp_path / 'report.json'
    sections = ('--only', 'dropout', '--only', 'libraries', '--only', 'operators')
    code, out, err = command('gpu-check', '--quick', *sections, '--out', path)
    report = json.loads(path.read_text())
    assert code == 0, out + err
    assert report['wrong'] == 0 and len(report['records']) == report['checks'] == out.count('  ok  ')
    assert [name for name in run.SECTIONS if f'{run.SECTIONS[name]}:' in out] == ['libraries', 'operators', 'dropout']
    assert command('gpu-check', '--only', 'dropout', '--out', path)[0] == 2  # it is there


def test_a_section_that_there_is_not_is_named(error_line):
    assert "unknown section 'drop'; did you mean 'dropout'" in error_line('gpu-check', '--only', 'drop')


def planted(monkeypatch, name, change):
    """Let the graph that the device computes, which is a symbol's, have another operator than the reference."""
    operator = getattr(mx.sym, name)
    monkeypatch.setattr(mx.sym, name, lambda *args, **options: change(operator, args, options))


def test_a_wrong_tap_of_up_sampling_is_seen_and_nothing_else(target, monkeypatch):
    planted(monkeypatch, 'Deconvolution', lambda operator, args, options: operator(*args, **options) * 1.01)
    names = [case.name for case in operators.CASES if 'up-sampling' in case.name]
    assert wrong(operators.checks(target)) == names and len(names) == 3


def test_a_frozen_batch_norm_that_measures_its_batch_is_seen(target, monkeypatch):
    def measured(operator, args, options):
        return operator(*args, **{**options, 'use_global_stats': False})

    planted(monkeypatch, 'BatchNorm', measured)
    assert wrong(operators.checks(target)) == ['batch norm, frozen']


def test_the_largest_that_are_one_off_are_seen(target, monkeypatch):
    def off(operator, args, options):
        further = operator(*args, **{**options, 'k': int(options['k']) + 1})
        return mx.sym.slice_axis(further, axis=1, begin=1, end=None)

    planted(monkeypatch, 'topk', off)
    assert wrong(operators.checks(target)) == ['top-k', 'top-1', 'largest response']


def test_dropout_without_its_seed_is_seen(target, monkeypatch):
    assert wrong(dropout.checks(target)) == []
    monkeypatch.setattr(mx.random, 'seed', lambda *args, **options: None)
    assert wrong(dropout.checks(target)) == ['masks of the same seed']


def test_a_section_that_breaks_is_wrong_and_the_others_go_on(target, monkeypatch):
    def broken(target):
        yield Outcome('first', True, 'well')
        raise mx.MXNetError('no kernel image')

    monkeypatch.setattr(operators, 'checks', broken)
    seen = list(run.run(target, ['operators', 'dropout']))
    assert wrong(outcome for _, outcome, _ in seen) == [run.SECTIONS['operators']]
    assert 'no kernel image' in seen[1][2]['traceback'] and len(seen) == 6


def test_what_is_trained_is_there():
    from gluon_fg.named_configs import find_config
    from gluon_fg.training.config import load_config

    for config, *settings in plan()['networks'].values():
        load_config(find_config(config), [*plan()['shared'], *settings])
    assert len(plan()['networks']) == 3
