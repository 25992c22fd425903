"""Studies without a warm-up, and rows that are fused of other rows' runs, as two streams are."""

import json

import numpy as np
import pytest

from gluon_fg.evaluation.score import Scores
from gluon_fg.studies import results, spec
from gluon_fg.studies.runner import Study
from gluon_fg.studies.runs import Job
from gluon_fg.studies.table import markdown_table

TEXT = """
config: config.yaml
epochs: 2
seeds: [0, 1]
lr: [0.01]
reference: RGB
methods:
  RGB: {model.name: i3d_tiny_synthfg}
  flow: {model.name: r2d_tiny_synthfg}
  other: {model.name: i3d_tiny_synthfg, train.wd: 0}
fusions: {both: [RGB, flow]}
pairs: [[both, flow]]
"""
CLASSES, GROUPS = tuple('abcdefgh'), ('one',) * 4 + ('two',) * 4
LABELS = np.arange(8).repeat(3)


@pytest.fixture
def study(tmp_path):
    (tmp_path / 'config.yaml').write_text('data: {workers: 1}\ntrain: {lr_epochs: []}\n')
    (tmp_path / 'study.yaml').write_text(TEXT)
    return spec.load_study(str(tmp_path / 'study.yaml'))


def test_without_a_warm_up_each_run_starts_as_its_config_says(study, tmp_path, caplog):
    caplog.set_level('INFO', 'gluon_fg.studies')
    runs = Study(study, tmp_path / 'runs')
    assert runs.warmups() == []
    for method, settings in study.methods.items():
        assert runs.job(method, 0.01, 1).overrides == {
            **settings, 'train.lr': 0.01, 'train.seed': 1, 'train.epochs': 2
        }  # fmt: skip
    runs._plan()
    assert caplog.messages[0].startswith('3 methods on 2 seeds into ') and 'warm-up' not in caplog.messages[0]
    assert caplog.messages[1].startswith('6 runs, ')


class Finished:
    """Runs that were made elsewhere: random scores, the same for a name whenever it is asked for."""

    epochs = learning_rate = cost = training_accuracy = staticmethod(lambda job: 4)
    flat_gate = staticmethod(lambda job: {})
    summary = staticmethod(lambda job: {'within_group': 0.5})

    def scores(self, job):
        seed = [*job.name.encode()]
        logits = np.random.default_rng(seed).normal(0, 1, (24, 8)) + 1.5 * np.eye(8)[LABELS]
        probabilities = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
        ids = tuple(f'{i}.mp4' for i in range(24))
        return Scores(ids, LABELS, probabilities[:, None], ('avg',), CLASSES, GROUPS, 'train_time', {})


def test_a_fused_row_is_the_mean_of_the_scores_of_each_seeds_runs(study):
    runs = Finished()
    columns = {name: [Job(f'{name}-{seed}', {}) for seed in study.seeds] for name in study.methods}
    gathered = json.loads(json.dumps(results.gather(study, runs, columns, {})))
    assert list(gathered['rows']) == ['RGB', 'flow', 'both', 'other']  # behind the last of its methods
    row = gathered['rows']['both']
    for seed in (0, 1):
        mean = np.mean([runs.scores(columns[name][seed]).probabilities[:, 0] for name in ('RGB', 'flow')], axis=0)
        assert row['top1'][seed] == pytest.approx((mean.argmax(1) == LABELS).mean())
        inside = np.where(np.arange(8)[None] // 4 == LABELS[:, None] // 4, mean, -1).argmax(1)
        assert row['predictions_within_group'][seed] == inside.tolist()
        assert row['within_group'][seed] == pytest.approx((inside == LABELS).mean())
    assert row['cpu_seconds'] == [8, 8] and row['lr'] is row['epochs'] is row['training_top1'] is None
    (pair,) = gathered['pairs']
    flow = gathered['rows']['flow']['within_group']
    assert pair['all']['mean'] == pytest.approx(np.mean(row['within_group']) - np.mean(flow))
    lines = markdown_table(gathered).splitlines()
    assert lines[4].startswith('| both |  | 8 |  |  | ') and lines[3].startswith('| flow | 4 | 4 | 4 | 400.0 | ')
    assert {line.count('|') for line in lines[:6]} == {lines[0].count('|')} and lines[9].startswith(
        '| both minus flow |'
    )
