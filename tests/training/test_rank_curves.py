"""How the comparison of ranks with one process judges; whole jobs are run by `make rank-curves`."""

import json
from pathlib import Path

import pytest
from campaigns.rank_curves import CLIPS, METHODS, TOLERANCE, command, distance, table

REPO = Path(__file__).resolve().parents[2]


def test_a_curve_that_leaves_the_other_is_wrong():
    reference = [2.0, 1.0, 0.5]
    assert distance(reference, reference) == 0
    assert distance([2.0, 1.0, 0.5 * (1 + 1e-3)], reference) == pytest.approx(1e-3) and 1e-3 > TOLERANCE
    with pytest.raises(ValueError, match='2 and 3 updates'):
        distance(reference[:2], reference)
    with pytest.raises(ValueError, match='not finite'):
        distance([2.0, float('nan'), 0.5], reference)
    row = {'method': 'dfb', 'ranks': 2, 'losses': reference, 'loss': 1e-3, 'weights': 0.1, 'ok': False}
    assert table([row]).endswith('| dfb | 2 | 3 | 2.0000 -> 0.5000 | 1.0e-03 | 1.0e-01 | WRONG |')


def test_every_number_of_ranks_shares_the_same_clips_an_update(tmp_path):
    for ranks in (1, 2, 4, 8):
        words = command('cidc', ranks, tmp_path, tmp_path / 'out', 24)
        assert f'train.batch_size={CLIPS // ranks}' in words
        assert ('-np' in words) == (ranks > 1) and 'train.batch_norm=frozen' in words
        assert Path(words[words.index('--config') + 1]).is_file()


def test_the_recorded_runs_follow_one_process():
    runs = json.loads((REPO / 'docs/ranks.json').read_text())['runs']
    assert {(r['method'], r['ranks']) for r in runs} == {(m, n) for m in METHODS for n in (1, 2, 4, 8)}
    alone = {r['method']: r['losses'] for r in runs if r['ranks'] == 1}
    assert all(len(r['losses']) == 24 and distance(r['losses'], alone[r['method']]) <= TOLERANCE for r in runs)
    assert f'\n\n{table(runs)}\n\n' in (REPO / 'docs/scaling.md').read_text()
