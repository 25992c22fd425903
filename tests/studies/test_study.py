import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from gluon_fg import _runtime
from gluon_fg.data import build_dataset
from gluon_fg.deploy.execution import REFERENCE
from gluon_fg.errors import UserError
from gluon_fg.evaluation.metrics import correct
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.score import Scores, score_dataset
from gluon_fg.studies import runner, runs, spec
from gluon_fg.studies.runner import Study
from gluon_fg.studies.table import load_results, markdown_table, save_results
from gluon_fg.training.log import read_metrics
from gluon_fg.training.run import PARENT, load_run

REPO = Path(__file__).resolve().parents[2]
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
        (('epochs: 1\nseeds', 'epoch: 1\nseeds'), r'unknown key epoch; did you mean epochs\?'),
        (
            ('seeds: [3]', 'seeds: 3'),
            r'seeds is 3; it must be a list of different seeds, 0 or more, such as \[0, 1, 2\]',
        ),
        (('seeds: [3]', 'seeds: [a]'), r"seeds\[0\] is 'a'; it must be a whole number"),
        (('seeds: [3]', 'seeds: [3, 3]'), r'seeds is \[3, 3\]; it must be a list of different seeds'),
        (('lr: [0.01]', 'lr: fast'), "lr is 'fast'; it must be a list of different learning rates above 0"),
        (('lr: [0.01]', 'lr: [0]'), 'lr is .*must be a list of different learning rates above 0'),
        (('warmup: {epochs: 1}', 'warmup: 6'), 'warmup is 6; it must be a mapping'),
        (('GB: {model.name: i3d_tiny_synthfg}', 'GB: i3d'), "methods.GB is 'i3d'; it must be a mapping"),
        (('reference: GB', 'reference: GB\nselect: best'), "select is 'best'; it must be top1, top5, mean_class, "),
        (('reference: GB', 'reference: GB\npairs: GB'), "pairs is 'GB'; it must be a list"),
        (('reference: GB', 'reference: [GB'), 'not valid YAML'),
        (('reference: GB', 'reference: GD'), "'GD' is no method; choose from GB"),
        (('lr: [0.01]\n', ''), 'lr is missing'),
        (('reference: GB', 'pairs: [[GB]]\nreference: GB'), 'pairs must name two methods each'),
        (('reference: GB', 'pairs: [[GB, GD]]\nreference: GB'), "'GD' is no method"),
        (('reference: GB', 'subsets: [GD]\nreference: GB'), "'GD' is no method"),
        (('reference: GB', 'warmup_row: GB\nreference: GB'), "warmup_row is 'GB', which is a method"),
        (('reference: GB', 'warmup_row: start\npairs: [[GB, stop]]\nreference: GB'), "'stop' .* GB . DF, start"),
        (('GB: {', 'GB: {stages: {a: {}}, '), "equal_time lengthens 'GB', which has stages of its own"),
        (('warmup: {epochs: 1}', 'warmup_row: start'), "warmup_row is 'start', but there is no warmup; leave it out"),
        (
            ('reference: GB', 'fusions: {A: [GB]}\nreference: GB'),
            'fusions.A must have .* two or more methods',
        ),
        (('reference: GB', 'fusions: {A: [GB, GB]}\nreference: GB'), 'fusions.A must have a name of its own and two'),
        (('reference: GB', 'fusions: {GB: [GB, GB + DF]}\nreference: GB'), 'fusions.GB must have a name of its own'),
        (('reference: GB', 'fusions: {A: [GB, GD]}\nreference: GB'), "'GD' is no method"),
        (('reference: GB', 'fusions: [GB]\nreference: GB'), 'fusions is .* must be a mapping'),
        (('reference: GB', 'search_seeds: 2\nreference: GB'), 'search_seeds is 2; there are 1 seeds'),
        (('DF: {', 'DF: {train.epochs: 2, '), "search_epochs cannot shorten 'GB . DF', which has epochs of its own"),
    ],
)
def test_a_wrong_study_is_named_on_one_line(change, message, write):
    with pytest.raises(UserError, match=f'study.yaml: {message}') as caught:
        spec.load_study(write(TEXT.replace('equal_time', 'search_epochs: 1\nequal_time').replace(*change)))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('path', sorted((REPO / 'configs' / 'studies').glob('*.yaml')), ids=lambda path: path.stem)
def test_every_study_that_comes_with_the_package_can_begin(path, tmp_path, caplog, monkeypatch):
    """Its methods' settings are valid; what it says before the first run is true."""
    caplog.set_level('INFO', 'gluon_fg.studies')
    monkeypatch.setattr(runs.Runs, 'run', lambda self, jobs, select, progress: (_ for _ in ()).throw(KeyboardInterrupt))
    study = spec.load_study(str(path))
    with pytest.raises(KeyboardInterrupt):
        Study(study, tmp_path).run()
    assert caplog.messages[0].startswith(f'{len(study.methods)} methods on {len(study.seeds)} seeds into {tmp_path}: ')
    assert re.fullmatch(r'\d+ runs, 0 of them finished; 1 at a time', caplog.messages[1])


def test_a_methods_wrong_setting_is_named_before_anything_runs(write, tmp_path):
    for change, message in (
        (
            ('{model.name: i3d_tiny_synthfg}', '{model.nam: a}'),
            "method 'GB': .*unknown key model.nam; did you mean mod",
        ),
        (('{epochs: 1}', '{epochs: 1, wdd: 0}'), 'warmup: .*unknown key train.wdd; did you mean train.wd'),
    ):
        with pytest.raises(UserError, match=message):
            Study(spec.load_study(write(TEXT.replace(*change))), tmp_path / 'runs').run()
    assert not (tmp_path / 'runs').exists()


def test_the_rate_is_the_best_in_the_mean_of_the_seeds_that_search_it_and_a_methods_own_one_is_kept(
    write, tmp_path, monkeypatch
):
    """On the first seed alone GB would take 0.02; GB + DF is given 0.5 and searches nothing."""
    text = TEXT.replace('[3]', '[3, 4, 5]').replace('lr: [0.01]', 'lr: [0.01, 0.02]\nsearch_seeds: 2')
    text = text.replace('local_branch: false', 'local_branch: false, train.lr: 0.5').replace('equal_time', '#')
    score = {'0.01-epochs1-seed3': 0.5, '0.01-epochs1-seed4': 0.9, '0.02-epochs1-seed3': 0.6, '0.02-epochs1-seed4': 0.7}
    trained = []
    monkeypatch.setattr(runs.Runs, 'run', lambda self, jobs, select, progress: trained.extend(j.name for j in jobs))
    monkeypatch.setattr(runs.Runs, 'summary', lambda self, job: {'within_group': score[job.name.split('lr')[1]]})
    monkeypatch.setattr(runner, 'gather', lambda study, runs, columns, search: (columns, search))
    columns, search = Study(spec.load_study(write(text)), tmp_path / 'runs').run()
    assert search == {'GB': {0.01: pytest.approx(0.7), 0.02: pytest.approx(0.65)}}
    rates = {name: {job.overrides['train.lr'] for job in jobs} for name, jobs in columns.items()}
    assert rates == {'GB': {0.01}, 'GB + DF': {0.5}}
    assert {name for name in trained if 'GB___DF' in name} == {f'GB___DF-lr0.5-epochs1-seed{s}' for s in (3, 4, 5)}
    assert 'GB-lr0.02-epochs1-seed5' not in trained


def test_a_method_may_have_rates_of_its_own_to_search(write, tmp_path, monkeypatch):
    """Where the best of the study's was at an end: of equal ones it is the first in the list."""
    text = TEXT.replace('lr: [0.01]', 'lr: [0.01, 0.02]').replace('equal_time', '#')
    text = text.replace('local_branch: false', 'local_branch: false, train.lr: [0.04, 0.005]')
    monkeypatch.setattr(runs.Runs, 'run', lambda self, jobs, select, progress: None)
    monkeypatch.setattr(runs.Runs, 'summary', lambda self, job: {'within_group': 0.5 + 0.1 * ('lr0.02' in job.name)})
    monkeypatch.setattr(runner, 'gather', lambda study, runs, columns, search: (columns, search))
    columns, search = Study(spec.load_study(write(text)), tmp_path / 'runs').run()
    assert search == {'GB': {0.01: 0.5, 0.02: 0.6}, 'GB + DF': {0.04: 0.5, 0.005: 0.5}}
    assert {name: jobs[0].overrides['train.lr'] for name, jobs in columns.items()} == {'GB': 0.02, 'GB + DF': 0.04}


STAND_IN = """
import os, signal, sys, time, json, pathlib
out = pathlib.Path(sys.argv[sys.argv.index('--out') + 1])
out.mkdir(exist_ok=True)
def stop(*args):
    (out / 'checkpoint').write_text('')
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
(out / 'began').write_text(os.environ['GLUON_FG_PARENT'])
if 'GB-' in out.name:
    print('error: no data'), sys.exit(2)
time.sleep(60)
"""


def test_an_interrupted_study_lets_its_runs_write_checkpoints_and_begins_no_other(write, tmp_path, monkeypatch):
    (tmp_path / 'train.py').write_text(STAND_IN)
    monkeypatch.setattr(runs, 'TRAIN', (sys.executable, str(tmp_path / 'train.py')))
    study = Study(spec.load_study(write(TEXT.replace('[3]', '[3, 4, 5]'))), tmp_path / 'runs', 2)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

    def interrupt():
        while len(list((tmp_path / 'runs').glob('*/began'))) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            study.run()
    finally:
        signal.signal(signal.SIGINT, before)
    folders = sorted(path.name for path in (tmp_path / 'runs').iterdir() if path.is_dir())
    assert folders == ['warmup-seed3', 'warmup-seed4']
    assert all((tmp_path / 'runs' / name / 'checkpoint').is_file() for name in folders)
    assert {path.read_text() for path in (tmp_path / 'runs').glob('*/began')} == {str(os.getpid())}


def test_a_run_of_a_study_ends_with_it(command, monkeypatch):
    """A study that is killed must not leave runs that keep their folders locked: they stop at a checkpoint."""
    began = []
    monkeypatch.setattr(_runtime, 'end_with', lambda parent, end: began.append((parent, end)))
    words = ('train', '--out', 'nowhere', '--set', 'data.dataset=folder', 'data.root=nowhere')
    assert command(*words)[0] == 2 and began == []
    monkeypatch.setenv(PARENT, '12345')
    assert command(*words)[0] == 2
    ((parent, end),) = began
    asked = []
    before = signal.signal(signal.SIGTERM, lambda *args: asked.append(args[0]))
    try:
        end()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (parent, asked) == (12345, [signal.SIGTERM])


def test_a_run_that_fails_is_named_with_its_last_words(write, tmp_path, monkeypatch):
    (tmp_path / 'train.py').write_text(STAND_IN)
    monkeypatch.setattr(runs, 'TRAIN', (sys.executable, str(tmp_path / 'train.py')))
    study = Study(spec.load_study(write(TEXT)), tmp_path / 'runs')
    study.warmups = lambda: []
    study._plan = lambda: runs.Progress(1, 1)
    message = r'run GB-lr0.01-epochs1-seed3 ended with exit code 2: error: no data \(all of it in .*seed3.log\)'
    with pytest.raises(UserError, match=message):
        study.run()
    assert not list((tmp_path / 'runs').glob('GB___DF*'))


@pytest.mark.parametrize('path', sorted((REPO / 'model_zoo' / 'studies').glob('*.json')), ids=lambda path: path.stem)
def test_published_results_give_the_published_table(path):
    assert markdown_table(load_results(path)) == path.with_suffix('.md').read_text()


def test_a_table_marks_what_holms_correction_leaves_and_calls_few_seeds_a_pilot():
    """Of three rows the smallest p must be below 0.0167, and the next below 0.025 if it is."""

    def table(p_values, seeds):
        rows = {
            name: {
                'epochs': 1,
                'lr': 0.1,
                'cpu_seconds': [1.0] * seeds,
                'within_group': [0.5] * seeds,
                'within_group_by_group': {'disc': [0.5] * seeds},
                'difference': {'mean': 0.1, 'low': 0.01, 'high': 0.19, 'p_value': p},
            }
            for name, p in zip('RABC', (1.0, *p_values))
        }
        study = {'reference': 'R', 'equal_time': [], 'methods': dict.fromkeys('RABC'), 'seeds': list(range(seeds))}
        pairs = [{'methods': ['A', 'B'], 'all': {'mean': -0.1, 'low': -0.2, 'high': 0.0, 'p_value': 0.04}}]
        return markdown_table({'study': study, 'rows': rows, 'pairs': pairs}).splitlines()

    lines = table((0.02, 0.03, 0.3), 3)
    assert [line.split(' | ')[-1] for line in lines[3:6]] == ['+10.0 (+1.0 to +19.0) |'] * 3
    assert lines[2].endswith('50.0 ± 0.0 |  |')  # the reference takes no part
    assert lines[-4].endswith('-10.0 (-20.0 to +0.0)* |')  # one pair is a table of its own
    assert lines[-2].startswith('Differences: 95 % intervals, paired over 3 seeds') and '`*`' in lines[-2]
    assert lines[-1] == '3 seeds: read it as a pilot; an effect takes 8 or more.'
    lines = table((0.016, 0.024, 0.3), 8)
    assert [line.endswith('* |') for line in lines[3:6]] == [True, True, False]  # 0.016 x 3, 0.024 x 2, 0.3
    assert lines[-1].startswith('Differences: ') and 'pilot' not in lines[-1]


def test_a_table_of_results_whose_intervals_were_too_narrow_is_refused(tmp_path):
    results = load_results(REPO / 'model_zoo' / 'studies' / 'dfb_synthfg.json')
    for row in results['rows'].values():
        del row['difference']['p_value']
    with pytest.raises(
        UserError, match='results of version 0.1.0.* too narrow; gluon-fg study NAME with the same --out'
    ):
        markdown_table(results)


def test_what_is_no_studys_results_is_one_line(tmp_path):
    with pytest.raises(UserError, match='no file .*none.json'):
        load_results(tmp_path / 'none.json')
    for text in ('{}', '[1', '{"rows": {"a": 1}, "study": {"methods": {}}}', '{"rows": [], "study": {"methods": []}}'):
        (tmp_path / 'a.json').write_text(text)
        with pytest.raises(UserError, match="a.json: not a study's results, written by gluon-fg study"):
            load_results(tmp_path / 'a.json')


def test_the_rate_is_searched_in_runs_of_the_given_length_and_used_for_all_seeds(write, tmp_path, monkeypatch, caplog):
    text = TEXT.replace(
        'epochs: 1\nseeds: [3]\nlr: [0.01]', 'epochs: 5\nsearch_epochs: 2\nseeds: [3, 4]\nlr: [0.1, 0.2]'
    )
    best = {('GB', 2): '0.2', ('GB___DF', 2): '0.1', ('GB', 5): '0.1', ('GB___DF', 5): '0.2'}
    ran = []

    def start(self, job):
        ran.append(job.name)
        good = any(job.name.startswith(f'{m}-lr{lr}-epochs{e}-') for (m, e), lr in best.items())
        summary = {'within_group': 0.9 if good else 0.5, 'cpu_seconds': 30 if 'DF' in job.name else 10}
        (self.root / job.name).mkdir(parents=True)
        (self.root / job.name / 'summary.json').write_text(json.dumps(summary))
        return True

    monkeypatch.setattr(runs.Runs, 'start', start)
    monkeypatch.setattr(runs.Runs, 'is_done', lambda self, job: (self.root / job.name).exists())
    monkeypatch.setattr('gluon_fg.studies.runner.gather', lambda study, runs, columns, search: (columns, search))
    caplog.set_level('INFO', 'gluon_fg.studies')
    columns, search = Study(spec.load_study(write(text)), tmp_path).run()
    said = caplog.messages
    assert said[0].startswith('2 methods on 2 seeds') and '2 learning rates a method in runs of 2 epochs' in said[0]
    assert said[1] == '10 runs, 0 of them finished; 1 at a time'
    assert 'learning rates chosen: GB 0.2, GB + DF 0.1' in said and search['GB'] == {0.1: 0.5, 0.2: 0.9}
    lines = [line for line in said if line.startswith('[')]
    assert lines[0].startswith('[1/10] warmup-seed3: validation within_group 50.0 %; about ')
    assert re.match(r'\[12/12\] GB-lr0.2-epochs15-seed.: validation within_group \d\d.0 %$', lines[-1])
    assert [job.name for job in columns['GB']] == ['GB-lr0.2-epochs5-seed3', 'GB-lr0.2-epochs5-seed4']
    assert [job.name for job in columns['GB, time of GB + DF']] == [f'GB-lr0.2-epochs15-seed{s}' for s in (3, 4)]
    assert len(ran) == len(set(ran)) == 2 + 4 + 4 + 2  # warm-ups, search, both methods, equal time


def test_a_study_runs_keeps_what_is_done_and_tabulates_it(write, tiny_synthfg, tmp_path, caplog):
    common = {'data.root': str(tiny_synthfg), 'train.batch_size': 16}
    caplog.set_level('INFO', 'gluon_fg.studies')
    text = TEXT + "focus: [square, house]\npairs: [[GB + DF, 'GB']]\n"
    results = Study(spec.load_study(write(text)), tmp_path / 'runs', 2, common).run()
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
    log = read_metrics(tmp_path / 'runs' / 'GB___DF-lr0.01-epochs1-seed3' / 'metrics.jsonl')
    (epoch,) = (record for record in log if record['event'] == 'epoch')
    assert method['training_top1'] == [epoch['top1_comb']]
    (pair,) = results['pairs']
    assert pair['methods'] == ['GB + DF', 'GB'] and pair['all'] == method['difference']
    assert pair['focus']['mean'] == pytest.approx(method['focus'][0] - results['rows']['GB']['focus'][0])
    save_results(results, tmp_path / 'out.json')
    assert json.loads((tmp_path / 'out.json').read_text()) == json.loads(json.dumps(results))
    table, pairs, note = (part.splitlines() for part in (tmp_path / 'out.md').read_text().split('\n\n'))
    assert note == ['One seed: no interval, and nothing is said of others.'] and 'nan' not in str(table + pairs)
    assert len(table) == 5 and len(pairs) == 3
    assert table[0].split(' | ')[4] == 'training' and table[3].split(' | ')[4] == f'{100 * epoch["top1_comb"]:.1f}'
    assert all(line.count('|') == table[0].count('|') for line in table) and pairs[2].startswith('| GB + DF minus GB |')
    caplog.clear()
    again = Study(spec.load_study(write(text)), tmp_path / 'runs', 2, common).run()
    assert again == results and '3 runs, 3 of them finished; 2 at a time' in caplog.messages
    assert not [line for line in caplog.messages if line.startswith('[')]  # nothing ran again
    with pytest.raises(UserError, match='with other settings .*model.options: .*local_branch.*; choose another --out'):
        other = text.replace('local_branch: false', 'filters_per_class: 3')
        Study(spec.load_study(write(other)), tmp_path / 'runs', 2, common).run()


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
    model.options.csm_n: 4
    stages: {specific: {train: {stage: specific, epochs: 1}}, joint: {train: {stage: joint, epochs: 1}}}
  from scratch: {model.name: topheavy_tiny_synthfg, model.params: null, train.epochs: 1}
subsets: [U2S]
warmup_row: universal stage
pairs: [[U2S, universal stage]]
"""


def test_a_method_in_stages_and_one_without_the_warm_up_beside_others(write, tiny_synthfg, tmp_path):
    common = {'data.root': str(tiny_synthfg), 'data.sizes': {'train': 48, 'val': 24, 'test': 24}}
    folder = tmp_path / 'runs'
    results = Study(spec.load_study(write(STAGED)), folder, 2, common).run()
    assert [row['epochs'] for row in results['rows'].values()] == [1, 2, 2, 1]
    before, u2s = results['rows']['universal stage'], results['rows']['U2S']
    assert before['lr'] == 0.01 and before['within_group'] == [
        float(correct(Scores.load(folder / 'warmup-seed3' / 'test_scores.npz'), 'within_group').mean())
    ]
    (pair,) = results['pairs']
    assert pair['all']['mean'] == pytest.approx(u2s['within_group'][0] - before['within_group'][0])
    table = markdown_table(results).splitlines()
    assert table[2].startswith('| universal stage | 1 |') and table[2].count('|') == table[0].count('|')
    for name, params in (('U2S-lr0.01-epochs2-seed3', 'final.params'), ('from_scratch-lr0.01-epochs1-seed3', None)):
        config = load_run(folder / name, folder / name / 'final.params')[1]
        start = config.model.params and Path(config.model.params)
        assert start == (params and folder / 'warmup-seed3' / params)
    scores = Scores.load(folder / 'U2S-lr0.01-epochs2-seed3' / 'test_scores.npz')
    assert 'flat_gate' not in before and list(u2s['flat_gate']) == ['fused', 'specific']
    net, _ = load_run(folder / 'U2S-lr0.01-epochs2-seed3', folder / 'U2S-lr0.01-epochs2-seed3' / 'final.params')
    with net.flat_gates():
        flat = score_dataset(
            net, build_dataset('synthfg', 'test', tiny_synthfg), get_protocol('train_time'), execution=REFERENCE
        )
    for branch, gate in u2s['flat_gate'].items():
        predicted = [s.branch(branch).argmax(1) for s in (scores, flat)]
        assert gate['changed'] == [pytest.approx(np.mean(predicted[0] != predicted[1]))]
        right = [pytest.approx(np.mean(p == scores.labels)) for p in predicted]
        assert [gate['top1'][0], gate['flat_top1'][0]] == right
    shown = [[f'{100 * gate[key][0]:.1f}' for key in gate] for gate in u2s['flat_gate'].values()]
    assert f'| U2S | {" | ".join(sum(shown, []))} |' in table
    subsets = results['subsets']['U2S']
    assert list(subsets)[:4] == ['universal', 'bridge', 'specific', 'universal + bridge'] and len(subsets) == 7
    assert subsets['universal']['within_group'] == results['rows']['U2S']['branch_within_group']['universal']
    whole = subsets['universal + bridge + specific']
    assert whole['within_group'] == results['rows']['U2S']['within_group']
    assert whole['difference'] == results['rows']['U2S']['difference']
    assert whole['predictions_within_group'] == results['rows']['U2S']['predictions_within_group']
    two = (scores.branch('bridge') + scores.branch('specific')).reshape(24, 6, 4)
    expected = two[np.arange(24), scores.labels // 4].argmax(1) == scores.labels % 4
    assert subsets['bridge + specific']['within_group'] == [expected.mean()]
    *_, table, _, _ = markdown_table(results).split('\n\n')
    assert table.startswith('| U2S, mean of | within group | minus one-pass |') and len(table.splitlines()) == 9


@pytest.mark.parametrize('config', ['a\\0b', 'a' * 300, '../' * 2000, '/dev/zero', '"${oc.env:HOME}"'])
def test_a_study_of_a_config_that_cannot_be_is_one_line(config, tmp_path):
    text = (REPO / 'configs' / 'studies' / 'dfb_synthfg.yaml').read_text()
    quoted = config if config.startswith('"') else f'"{config}"'
    (tmp_path / 's.yaml').write_text(re.sub(r'(?m)^config: .*$', lambda match: f'config: {quoted}', text))
    with pytest.raises(UserError) as caught:
        spec.load_study(str(tmp_path / 's.yaml'))
    assert '\n' not in str(caught.value)
