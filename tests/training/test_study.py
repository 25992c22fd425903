import json
from pathlib import Path

import numpy as np
import pytest

from gluon_fg.errors import UserError
from gluon_fg.evaluation.metrics import correct
from gluon_fg.evaluation.score import Scores
from gluon_fg.training import study
from gluon_fg.training.run import load_run

TEXT = """
config: CONFIG
warmup: {epochs: 1}
epochs: 1
seeds: [3]
lr: [0.01]
reference: GB
methods:
  GB: {model.name: i3d_tiny_synthfg}
  GB + DF: {model.name: i3d_tiny_synthfg_dfb, model.options.local_branch: false}
equal_time: [GB + DF]
"""


@pytest.fixture
def write(tmp_path):
    def save(text):
        (tmp_path / 'config.yaml').write_text('data: {augment: random_crop, workers: 1}\ntrain: {lr_epochs: []}\n')
        (tmp_path / 'study.yaml').write_text(text.replace('CONFIG', 'config.yaml'))
        return str(tmp_path / 'study.yaml')

    return save


@pytest.mark.parametrize(
    'change, message',
    [
        (('epochs: 1\nseeds', 'epoch: 1\nseeds'), 'unknown key epoch'),
        (('reference: GB', 'reference: GD'), "'GD' is no method; choose from GB"),
        (('lr: [0.01]\n', ''), 'lr is missing'),
        (('reference: GB', 'pairs: [[GB]]\nreference: GB'), 'pairs must name two methods each'),
        (('reference: GB', 'pairs: [[GB, GD]]\nreference: GB'), "'GD' is no method"),
        (('reference: GB', 'subsets: [GD]\nreference: GB'), "'GD' is no method"),
        (('reference: GB', 'warmup_row: GB\nreference: GB'), "warmup_row is 'GB', which is a method"),
        (('reference: GB', 'warmup_row: start\npairs: [[GB, stop]]\nreference: GB'), "'stop' .* GB . DF, start"),
        (('GB: {', 'GB: {stages: {a: {}}, '), "equal_time lengthens 'GB', which has stages of its own"),
        (('DF: {', 'DF: {train.epochs: 2, '), "search_epochs cannot shorten 'GB . DF', which has epochs of its own"),
    ],
)
def test_a_wrong_study_is_named_on_one_line(change, message, write):
    with pytest.raises(UserError, match=message):
        study.load_study(write(TEXT.replace('equal_time', 'search_epochs: 1\nequal_time').replace(*change)))


def test_the_rate_is_searched_in_runs_of_the_given_length_and_used_for_all_seeds(write, tmp_path, monkeypatch):
    text = TEXT.replace(
        'epochs: 1\nseeds: [3]\nlr: [0.01]', 'epochs: 5\nsearch_epochs: 2\nseeds: [3, 4]\nlr: [0.1, 0.2]'
    )
    best = {('GB', 2): '0.2', ('GB___DF', 2): '0.1', ('GB', 5): '0.1', ('GB___DF', 5): '0.2'}
    ran = []

    def run(self, job):
        ran.append(job.name)
        good = any(job.name.startswith(f'{m}-lr{lr}-epochs{e}-') for (m, e), lr in best.items())
        summary = {'within_group': 0.9 if good else 0.5, 'cpu_seconds': 30 if 'DF' in job.name else 10}
        (self.root / job.name).mkdir(parents=True)
        (self.root / job.name / 'summary.json').write_text(json.dumps(summary))

    monkeypatch.setattr(study.Study, '_start', run)
    monkeypatch.setattr(study.Study, '_is_done', lambda self, job: (self.root / job.name).exists())
    monkeypatch.setattr(study.Study, '_results', lambda self, columns, search: (columns, search))
    said = []
    columns, search = study.Study(study.load_study(write(text)), tmp_path, say=said.append).run()
    assert said == ['learning rates chosen: GB 0.2, GB + DF 0.1'] and search['GB'] == {0.1: 0.5, 0.2: 0.9}
    assert [job.name for job in columns['GB']] == ['GB-lr0.2-epochs5-seed3', 'GB-lr0.2-epochs5-seed4']
    assert [job.name for job in columns['GB, time of GB + DF']] == [f'GB-lr0.2-epochs15-seed{s}' for s in (3, 4)]
    assert len(ran) == len(set(ran)) == 2 + 4 + 4 + 2  # warm-ups, search, both methods, equal time


def test_a_study_runs_keeps_what_is_done_and_tabulates_it(write, tiny_synthfg, tmp_path):
    common = {'data.root': str(tiny_synthfg), 'train.batch_size': 16}
    lines = []
    text = TEXT + "focus: [square, house]\npairs: [[GB + DF, 'GB']]\n"
    results = study.Study(study.load_study(write(text)), tmp_path / 'runs', 2, common, lines.append).run()
    assert list(results['rows']) == ['GB', 'GB + DF', 'GB, time of GB + DF']
    labels = np.array(results['labels'])
    for row in results['rows'].values():
        predicted = np.array(row['predictions_within_group'][0])
        assert (predicted // 4 == labels // 4).all()  # the choice is within the true group of four
        assert row['within_group'][0] == pytest.approx((predicted == labels).mean())
        assert np.mean([v[0] for v in row['within_group_by_group'].values()]) == pytest.approx(row['within_group'][0])
    method, same_time = results['rows']['GB + DF'], results['rows']['GB, time of GB + DF']
    assert method['difference_equal_time']['mean'] == pytest.approx(
        method['within_group'][0] - same_time['within_group'][0]
    )
    for row in results['rows'].values():
        assert row['focus'][0] == pytest.approx(
            np.mean([row['within_group_by_group'][g][0] for g in ('square', 'house')])
        )
    (pair,) = results['pairs']
    assert pair['methods'] == ['GB + DF', 'GB'] and pair['all'] == method['difference']
    assert pair['focus']['mean'] == pytest.approx(method['focus'][0] - results['rows']['GB']['focus'][0])
    study.save_results(results, tmp_path / 'out.json')
    assert json.loads((tmp_path / 'out.json').read_text()) == json.loads(json.dumps(results))
    table, pairs = (part.splitlines() for part in (tmp_path / 'out.md').read_text().split('\n\n'))
    assert len(table) == 5 and len(pairs) == 3
    assert all(line.count('|') == table[0].count('|') for line in table) and pairs[2].startswith('| GB + DF minus GB |')
    count = len(lines)
    again = study.Study(study.load_study(write(text)), tmp_path / 'runs', 2, common, lines.append).run()
    assert again == results and len(lines) == count + 1  # nothing ran again: only the chosen rates are said
    with pytest.raises(UserError, match='with other settings .*model.options: .*local_branch.*; choose another --out'):
        other = text.replace('local_branch: false', 'filters_per_class: 3')
        study.Study(study.load_study(write(other)), tmp_path / 'runs', 2, common, lines.append).run()


STAGED = """
config: CONFIG
warmup: {epochs: 1}
epochs: 2
seeds: [3]
lr: [0.01]
reference: one-pass
methods:
  one-pass: {model.name: topheavy_tiny_synthfg}
  U2S:
    model.name: topheavy_tiny_synthfg_u2s
    train.csm_n: 4
    stages: {specific: {train: {stage: specific, epochs: 1}}, joint: {train: {stage: joint, epochs: 1}}}
  from scratch: {model.name: topheavy_tiny_synthfg, model.params: null, train.epochs: 1}
subsets: [U2S]
warmup_row: universal stage
pairs: [[U2S, universal stage]]
"""


def test_a_method_in_stages_and_one_without_the_warm_up_beside_others(write, tiny_synthfg, tmp_path):
    common = {'data.root': str(tiny_synthfg), 'data.sizes': {'train': 48, 'val': 24, 'test': 24}}
    folder = tmp_path / 'runs'
    results = study.Study(study.load_study(write(STAGED)), folder, 2, common, lambda line: None).run()
    assert [row['epochs'] for row in results['rows'].values()] == [1, 2, 2, 1]
    before, u2s = results['rows']['universal stage'], results['rows']['U2S']
    assert before['lr'] == 0.01 and before['within_group'] == [
        float(correct(Scores.load(folder / 'warmup-seed3' / 'test_scores.npz'), 'within_group').mean())
    ]
    (pair,) = results['pairs']
    assert pair['all']['mean'] == pytest.approx(u2s['within_group'][0] - before['within_group'][0])
    table = study.markdown_table(results).splitlines()
    assert table[2].startswith('| universal stage | 1 |') and table[2].count('|') == table[0].count('|')
    for name, params in (('U2S-lr0.01-epochs2-seed3', 'final.params'), ('from_scratch-lr0.01-epochs1-seed3', None)):
        config = load_run(folder / name, folder / name / 'final.params')[1]
        start = config.model.params and Path(config.model.params)
        assert start == (params and folder / 'warmup-seed3' / params)
    scores = Scores.load(folder / 'U2S-lr0.01-epochs2-seed3' / 'test_scores.npz')
    subsets = results['subsets']['U2S']
    assert list(subsets)[:4] == ['universal', 'bridge', 'specific', 'universal + bridge'] and len(subsets) == 7
    assert subsets['universal']['within_group'] == results['rows']['U2S']['branch_within_group']['universal']
    whole = subsets['universal + bridge + specific']
    assert whole['within_group'] == results['rows']['U2S']['within_group']
    assert whole['difference'] == results['rows']['U2S']['difference']
    two = (scores.branch('bridge') + scores.branch('specific')).reshape(24, 6, 4)
    expected = two[np.arange(24), scores.labels // 4].argmax(1) == scores.labels % 4
    assert subsets['bridge + specific']['within_group'] == [expected.mean()]
    *_, table = study.markdown_table(results).split('\n\n')
    assert table.startswith('| U2S, mean of | within group | minus one-pass |') and len(table.splitlines()) == 9
