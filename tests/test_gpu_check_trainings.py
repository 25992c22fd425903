"""gpu-check's trainings: small whole ones through the command, how they are judged, what keeps them from being."""

import json

import mxnet as mx
import pytest

from gluon_fg.gpu_check import ranks, trained, training
from gluon_fg.gpu_check.outcome import Outcome, Target
from gluon_fg.gpu_check.trained import Training, plan
from gluon_fg.weights import index


def test_a_section_trains_and_finds_all_right(command, tmp_path, monkeypatch):
    cidc = {**plan(), 'networks': {'cidc': plan()['networks']['cidc']}}
    monkeypatch.setattr(training, 'plan', lambda: cidc)
    monkeypatch.setattr(trained, 'CLIPS', 24)  # three updates an epoch
    path = tmp_path / 'report.json'
    code, out, err = command('gpu-check', '--quick', '--cpu', '--only', 'training', '--out', path)
    assert code == 0 and 'ok     cidc in float16_emulated: losses of the first 6 ' in out, out + err
    (record,) = json.loads(path.read_text())['records']
    facts = record['facts']
    assert len(facts['losses']) == len(facts['float32']) == 6 and facts['losses'] != facts['float32']
    assert facts['left_out'] == list(range(1, len(facts['left_out']) + 1)) and 0 < len(facts['left_out']) < 6


SINGLE = Training([3 - n / 40 for n in range(60)], [], 1)
HALF = Training([1.01 * loss for loss in SINGLE.losses], [1, 2, 3, 4], 1024)


def times(factor, first, last):
    """The losses in float16 with some of them, counted from 0, times a factor."""
    return [loss * factor if first <= n < last else loss for n, loss in enumerate(HALF.losses)]


@pytest.mark.parametrize(
    'half, right',
    [
        (HALF, True),
        (HALF._replace(left_out=list(range(1, 17))), False),
        (HALF._replace(losses=times(1.03, 0, 20)), False),
        (HALF._replace(losses=times(1.05, 20, 60)), True),  # chance, by then
        (HALF._replace(losses=times(1.15, 50, 60)), False),
        (HALF._replace(losses=[*HALF.losses[:-1], None]), False),
        (HALF._replace(losses=[None, *HALF.losses[1:]]), False),
        (HALF._replace(losses=HALF.losses[:-1]), False),
        (HALF._replace(losses=[]), False),
    ],
)
def test_losses_that_leave_float32_or_are_not_finite_are_seen(half, right):
    assert training.compared('a', SINGLE, half).ok is right
    assert not training.compared('a', Training([], [], 1), half).ok


def test_ranks_that_leave_one_process_are_seen():
    alone = [2.0, 1.5, 1.0]
    assert ranks.near(alone, [2.0001, 1.5, 1.0]).ok
    assert not ranks.near(alone, [2.0, 1.5, 1.002]).ok
    assert not ranks.near(alone, [2.0, 1.5]).ok
    assert not ranks.near([], []).ok


def test_ranks_without_weights_to_start_from_are_not_tried_but_average_all_the_same(tmp_path, monkeypatch):
    """Without these a network would begin at random, and no layer would have statistics to keep."""
    monkeypatch.setattr(index, '_REPO_ZOO', tmp_path)
    monkeypatch.setattr(index, '_PACKAGED_ZOO', tmp_path)
    monkeypatch.setattr(ranks, '_launcher', lambda: 'horovodrun')
    monkeypatch.setattr(ranks, '_job', lambda target, launcher: iter([Outcome('weights of both ranks', True, 'equal')]))
    monkeypatch.setattr(ranks.importlib.util, 'find_spec', lambda name: name)
    lines = [str(outcome) for outcome in ranks.checks(Target(mx.cpu(), 'float16_emulated', True, tmp_path))]
    assert lines[0].startswith('ok     two ranks beside one process: not tried: no weights are published for i3d_tiny')
    assert lines[1:] == ['ok     weights of both ranks: equal']
