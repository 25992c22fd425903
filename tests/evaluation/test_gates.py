"""The report of what a gate is good for, on scores made by hand: `test_u2s` shows that a flat gate is one."""

import contextlib

import numpy as np
import pytest

from gluon_fg.errors import UserError
from gluon_fg.evaluation.gates import as_dict, describe, gate_effects, table
from gluon_fg.evaluation.score import Scores


def scores_of(fused, specific, labels):
    """Scores whose predictions are given, of three classes; branch 'other' is always right about class 0."""
    chosen = np.stack([fused, np.zeros(len(fused), int), specific], axis=1)
    probabilities = np.eye(3, dtype=np.float32)[chosen]
    ids = tuple(map(str, range(len(fused))))
    return Scores(ids, np.array(labels), probabilities, ('fused', 'other', 'specific'), ('a', 'b', 'c'), None, 'p', {})


class Network:
    """A recognizer with a gate, scored to what it is told."""

    branch_names, gated_branches = ('fused', 'other', 'specific'), ('specific',)

    def __init__(self, whole, flat):
        self.known, self.is_flat, self.scored = (whole, flat), False, []

    @contextlib.contextmanager
    def flat_gates(self):
        self.is_flat = True
        yield
        self.is_flat = False

    def score(self):
        self.scored.append(self.is_flat)
        return self.known[self.is_flat]


WHOLE = scores_of([0, 1, 2, 0, 1], [0, 1, 2, 1, 2], labels=[0, 1, 1, -1, 1])
FLAT = scores_of([0, 1, 1, 1, 1], [1, 1, 1, 0, 1], labels=[0, 1, 1, -1, 1])


def test_shares_and_accuracies():
    net = Network(WHOLE, FLAT)
    fused, specific = gate_effects(net, net.score)
    assert sorted(net.scored) == [False, True]
    assert fused == ('fused', 5, 0.4, 0.75, 1.0)  # the video without a label counts as changed, not as right or wrong
    assert specific == ('specific', 5, 0.8, 0.5, 0.75)
    assert as_dict([fused]) == {'fused': {'videos': 5, 'changed': 0.4, 'top1': 0.75, 'flat_top1': 1.0}}
    assert describe([fused, specific]) == (
        'a flat gate changes 40.0 % of the predictions of fused (top-1 75.0 -> 100.0 %), '
        '80.0 % of the predictions of specific (top-1 50.0 -> 75.0 %)'
    )
    rows = [line.split() for line in table([fused, specific]).splitlines()]
    assert rows[1:] == [['fused', '40.0', '75.0', '100.0'], ['specific', '80.0', '50.0', '75.0']]


def test_known_scores_are_not_made_again():
    net = Network(None, FLAT)
    assert [effect.changed for effect in gate_effects(net, net.score, WHOLE)] == [0.4, 0.8]
    assert net.scored == [True]


def test_videos_without_labels_have_no_accuracy():
    net = Network(*(scores_of(s.branch(0).argmax(1), s.branch(2).argmax(1), [-1] * 5) for s in (WHOLE, FLAT)))
    fused, _ = gate_effects(net, net.score)
    assert fused == ('fused', 5, 0.4, None, None)
    assert describe([fused]) == 'a flat gate changes 40.0 % of the predictions of fused'
    assert table([fused]).splitlines()[1].split() == ['fused', '40.0']


def test_other_videos_are_refused():
    fewer = scores_of([0, 1], [0, 1], labels=[0, 1])
    net = Network(WHOLE, fewer)
    with pytest.raises(UserError, match='5 videos were scored with the gate, 2 without'):
        gate_effects(net, net.score)
