"""How the comparison of jobs bit for bit judges; whole jobs are run by `make rank-bits`."""

import json
import sys

import mxnet as mx
import pytest
from campaigns import rank_bits
from campaigns.rank_bits import command, row, same, trained


def written(out, losses, value):
    out.mkdir()
    records = [{'event': 'train', 'step': step, 'loss': loss} for step, loss in enumerate(losses, 1)]
    (out / 'metrics.jsonl').write_text(''.join(json.dumps(record) + '\n' for record in records))
    mx.nd.save(str(out / 'final.params'), {'weight': mx.nd.array([1.0, value])})
    return out


def test_runs_are_the_same_by_every_loss_and_bit(tmp_path):
    first = written(tmp_path / 'first', [2.0, 1.0], 0.0)
    assert same(first, written(tmp_path / 'second', [2.0, 1.0], 0.0))
    assert not same(first, written(tmp_path / 'third', [2.0, 1.0 + 1e-9], 0.0))
    assert not same(first, written(tmp_path / 'fourth', [2.0, 1.0], -0.0))
    empty = [written(tmp_path / name, [], 0.0) for name in ('fifth', 'sixth')]
    assert not same(*empty)


def test_a_job_that_fails_or_cannot_be_stopped_is_no_result(tmp_path):
    python = [sys.executable, '-c']
    assert trained([*python, 'pass'], tmp_path) == 0
    with pytest.raises(RuntimeError, match='ended with 3: why'):
        trained([*python, 'print("why"); raise SystemExit(3)'], tmp_path)
    with pytest.raises(RuntimeError, match='ended with 0'):
        trained([*python, 'pass'], tmp_path, stop=5)
    out = written(tmp_path / 'run', [2.0] * 5, 0.0)
    assert trained([*python, 'import time; time.sleep(60)'], out, stop=5) == 5


@pytest.mark.parametrize('off, verdict', [(None, 'ok'), ('again', 'WRONG'), ('stopped', 'WRONG'), ('fused', 'ok')])
def test_only_what_differs_without_the_option_may(off, verdict, tmp_path, monkeypatch):
    def done(words, out, stop=None):
        alone = '--fusion-threshold-mb' in words
        assert alone == ('fused' not in out.name) and words[words.index('-np') + 1] == '3'
        if stop is None:
            written(out, [2.0, 1.0], 1.0 if off == out.name[: -len('-3')] else 0.0)
        return 2 if stop is None else 1

    monkeypatch.setattr(rank_bits, 'trained', done)
    assert row(3, tmp_path / 'data', tmp_path).endswith(f'| {verdict} |')
    assert command(3, tmp_path, tmp_path, ())[1:3] == ['-np', '3']
