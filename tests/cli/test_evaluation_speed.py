"""Evaluation beside GluonCV's network and loader: the same views, so the same scores."""

import json

import pytest

from gluon_fg.errors import UserError
from gluon_fg.evaluation import speed


def test_the_loop_over_gluoncv_gives_our_scores(command, monkeypatch):
    monkeypatch.setattr(speed, 'SIZES', ((96, 72),))  # resized, and of another shape than 340x256
    code, out, err = command('benchmark', '--evaluation', '--quick', '--json')
    assert code == 0, err
    (record,) = json.loads(out)
    assert (record['model'], record['videos'], record['views']) == ('tsn_resnet18_v1b_kinetics400', 2, 2)
    assert 0 < record['largest_difference'] < 1e-5 and record['size'] == [96, 72]
    assert record['times_faster'] == pytest.approx(record['gluoncv_seconds'] / record['seconds'])
    assert 0 < record['network_seconds'] and 0 < record['gluoncv_network_seconds'] < 2 * record['gluoncv_seconds']
    assert 'times as long' in str(speed.Compared(**record))


def test_what_gluoncv_lacks_is_said(error_line):
    assert 'leave out the other modes' in error_line('benchmark', '--evaluation', '--loader')
    for model, protocol, message in (
        ('i3d_tiny_synthfg', '10x1', 'i3d_tiny_synthfg: GluonCV has no such network'),
        (speed.MODEL, 'dfb_3d', 'protocol dfb_3d: GluonCV cuts no such views; choose 10x1'),
    ):
        with pytest.raises(UserError, match=message):
            speed.compare(model, protocol)
