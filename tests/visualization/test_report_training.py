"""Curves of a report: what is no number is left out, and stages that count their epochs anew stand in a line."""

import re

from gluon_fg.visualization.report import training
from gluon_fg.visualization.report.content import Content, RunFacts


def record(event, epoch, **values):
    return {'event': event, 'step': 1, 'epoch': epoch, **values}


def curves_of(*records):
    """The texts of the drawings of a run with these records."""
    run = RunFacts('run', 'a run', (), 'train: {}', records, {'mxnet': '1.9.1', 'cuda': False, 'omp_threads': None})
    (section,) = training.sections(Content(None, run=run))
    assert 'train: {}' in section.body and '<dd>no</dd>' in section.body and '<dd>not set</dd>' in section.body
    return re.findall(r'aria-label="([^"]*)"', section.body)


def test_what_is_no_number_is_left_out():
    records = [record('epoch', 1, loss=2.0, lr=0.1), record('epoch', 2, loss=float('inf'), lr='fast')]
    records += [record('epoch', 'three', loss=1.0), record('epoch', 4, loss=None), record('val', 2, top1=True, map=[1])]
    assert curves_of(*records) == [
        'training loss over epochs; at the end: all 2',
        'learning rate over epochs; at the end: learning rate 0.1',
    ]
    assert curves_of() == []


def test_stages_stand_one_behind_the_other():
    stages = [record('epoch', n, stage=name, lr=n) for name in ('universal', 'specific') for n in (1, 2, 3)]
    assert [r['epoch'] for r in training.in_line(stages)] == [1, 2, 3, 4, 5, 6]
    plain = [record('epoch', n) for n in (1, 2)]
    assert training.in_line(plain) == plain
