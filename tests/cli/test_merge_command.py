"""evaluate --shard and merge, and an evaluation that goes on: the files are those of an undivided one."""

import dataclasses
import json

import numpy as np
import pytest

from gluon_fg.evaluation.score import Scores
from gluon_fg.factory import get_model

MODEL = ('--model', 'i3d_tiny_synthfg_dfb')


@pytest.fixture(scope='module')
def given(tiny_synthfg, tmp_path_factory):
    """Options of an evaluation of 24 videos in six groups, with random weights."""
    params = tmp_path_factory.mktemp('weights') / 'random.params'
    get_model('i3d_tiny_synthfg_dfb').save_parameters(str(params))
    return (*MODEL, '--params', params, '--root', tiny_synthfg, '--batch-size', 4)


def same_but_for_seconds(path, other):
    """Give scores the seconds of others, which are never twice the same."""
    scores, seconds = Scores.load(path), Scores.load(other).seconds
    assert len(scores.seconds) == len(seconds) and scores.seconds.min() > 0
    dataclasses.replace(scores, seconds=seconds).save(path)


def test_parts_merge_into_the_files_of_the_whole(command, error_line, given, tmp_path):
    assert command('evaluate', *given, '--out', tmp_path / 'whole.npz')[0] == 0
    for number in (2, 1):
        out = tmp_path / f's.{number}of2.npz'
        code, text, _ = command('evaluate', *given, '--shard', f'{number}/2', '--out', out)
        assert code == 0 and f'part {number}/2 of 24 videos' in text and '12 videos listed' in text
        assert f'next: gluon-fg merge {tmp_path}/s.*of2.npz --out' in text
    parts = sorted(tmp_path.glob('s.*of2.npz'))
    assert 'of 2 parts 1 are missing (1/2)' in error_line('merge', parts[1], '--out', tmp_path / 'm.npz')
    assert not (tmp_path / 'm.npz').exists()
    code, text, _ = command('merge', *parts, '--out', tmp_path / 'm.npz')
    assert code == 0 and '24 videos listed = 24 scored + 0 failed' in text
    same_but_for_seconds(tmp_path / 'm.npz', tmp_path / 'whole.npz')
    for suffix in ('.npz', '.metrics.json', '.per_class.csv'):
        assert (tmp_path / f'm{suffix}').read_bytes() == (tmp_path / f'whole{suffix}').read_bytes()
    assert 'is there already; use --force' in error_line('merge', *parts, '--out', tmp_path / 'm.npz')
    assert 'is one of the given files' in error_line('merge', *parts, '--out', parts[0], '--force')
    whole = json.loads((tmp_path / 'whole.metrics.json').read_text())
    code, text, _ = command('merge', *parts, '--out', tmp_path / 'm.npz', '--force', '--json')
    assert code == 0 and json.loads(text)['top1'] == whole['top1']
    assert 'no part of a list' in error_line('merge', tmp_path / 'whole.npz', '--out', tmp_path / 'n.npz')


def test_a_part_has_a_name_of_its_own(command, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command('evaluate', *given, '--shard', '3/6')[0] == 0
    assert sorted(p.name for p in tmp_path.glob('*.npz')) == ['scores_test_train_time.3of6.npz']
    assert Scores.load('scores_test_train_time.3of6.npz').made.first == 8


def test_bad_shards_are_one_line(error_line, given, tmp_path):
    for words, message in (
        (['--shard', '3/2'], "--shard takes i/n, the number of a part and of how many, from 1/n to n/n; got '3/2'"),
        (['--shard', '1/7'], '24 videos make 6 groups of 4, which is how many fill whole batches; choose at most 6'),
        (['--shard', '1/2', '--refuse', '0.1'], '--refuse is for a whole list; leave out --shard 1/2'),
        (['--shard', '1/2', '--none', 'x.mp4'], '--none is for a whole list'),
    ):
        assert message in error_line('evaluate', *given, *words, '--out', tmp_path / 's.npz')
    assert not list(tmp_path.iterdir())


def test_an_evaluation_that_ended_half_way_goes_on(command, error_line, given, tmp_path, monkeypatch, caplog):
    assert command('evaluate', *given, '--out', tmp_path / 'whole.npz')[0] == 0
    out, kept = tmp_path / 's.npz', tmp_path / 's.partial'

    def fail(*args, **kwargs):
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr('gluon_fg.evaluation.score._gathered', fail)
        assert command('evaluate', *given, '--out', out)[0] != 0
    whole = kept.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) == 7 and not out.exists()
    kept.write_bytes(b''.join(lines[:4]) + lines[4][:100])  # as a kill leaves it
    line = error_line('evaluate', *given, '--protocol', '2x1', '--out', out)
    assert f'{kept}, which an evaluation that did not end has left, is of another protocol' in line
    assert 'begin anew with --force' in line and kept.read_bytes()[: len(lines[0])] == lines[0]
    assert command('evaluate', *given, '--out', out)[0] == 0
    assert f'{kept}: 12 videos are scored already; going on from there' in caplog.text
    same_but_for_seconds(out, tmp_path / 'whole.npz')
    assert out.read_bytes() == (tmp_path / 'whole.npz').read_bytes()
    assert not list(tmp_path.glob('*.partial'))
    np.testing.assert_array_equal(Scores.load(out).logits, Scores.load(tmp_path / 'whole.npz').logits)
