"""`gluon-fg study` as users type it: running, the table, the chart."""

import json
import re
import shutil
from pathlib import Path

import cv2
import pytest

from gluon_fg.studies.spec import load_study

REPO = Path(__file__).resolve().parents[2]
STUDIES = REPO / 'model_zoo' / 'studies'


def test_the_table_is_printed_or_written(command, error_line, tmp_path):
    expected = (STUDIES / 'dfb_synthfg.md').read_text()
    assert command('study', 'table', STUDIES / 'dfb_synthfg.json') == (0, expected, '')
    target = tmp_path / 't.md'
    code, text, _ = command('study', 'table', STUDIES / 'dfb_synthfg.json', '--out', target)
    assert code == 0 and target.read_text() == expected and str(target) in text
    assert 't.md is there already' in error_line('study', 'table', STUDIES / 'dfb_synthfg.json', '--out', target)
    assert "not a study's results" in error_line('study', 'table', target)


def test_the_chart(command, tmp_path):
    (tmp_path / 'r.csv').write_text('n,top1\n1,0.5\n1,0.6\n5,0.7\n5,0.8\n')
    code, text, err = command('study', 'chart', tmp_path / 'r.csv', '--out', tmp_path / 'n.png')
    assert code == 0 and err == '' and 'top1: highest mean at n = 5' in text and '75.0 ± 7.1' in text
    assert cv2.imread(str(tmp_path / 'n.png')).std() > 5
    out = ['--over', 'model.options.csm_n', '--metrics', 'within_group', '--label', 'n', '--out', tmp_path / 'u.png']
    code, text, err = command('study', 'chart', STUDIES / 'u2s_n_synthfg.json', *out)
    assert code == 0 and err == '' and text.splitlines()[0].split() == ['csm_n', 'runs', 'within_group', '%']


def test_bad_input_is_one_line(error_line, tmp_path):
    there = tmp_path / 'there.png'
    there.write_text('mine')
    results = tmp_path / 'r.json'
    shutil.copy(STUDIES / 'dfb_synthfg.json', results)
    (tmp_path / 'a.yaml').write_text('seeds: 3\n')
    for words, message in (
        (('chart', tmp_path / 'no.csv', '--out', 'o.png'), 'no file .*no.csv'),
        (('chart', there, '--out', 'o.png'), "choose a study's results"),
        (('chart', results, '--out', results), 'is one of the given files'),
        (('chart', results, '--out', there), 'there.png is there already; use --force'),
        (('chart', results, '--out', 'o.png'), "which of its methods' settings is drawn over"),
        (('chart', results, '--metrics', '--out', 'o.png', '--over', 'train.lr'), 'no method has train.lr'),
        (('dfb_synthgf', '--out', tmp_path), "unknown config 'dfb_synthgf'; did you mean 'dfb_synthfg'"),
        (('run', tmp_path / 'a.yaml', '--out', tmp_path), 'a.yaml: seeds is 3; it must be a list of different seeds'),
        (('dfb_synthfg', '--out', tmp_path, '--set', 'train.lr'), 'write overrides as section.key=value'),
        (('dfb_synthfg',), "Missing option '--out'"),
        (('dfb_synthfg', '--out', tmp_path, '--jobs', '0'), '--jobs'),
    ):
        line = error_line('study', *words)
        assert re.search(message, line), line
    assert there.read_text() == 'mine'


def test_results_of_another_study_are_not_replaced(command, error_line, tmp_path, monkeypatch):
    shutil.copy(STUDIES / 'cidc_i3d_synthfg.json', tmp_path / 'dfb_synthfg.json')
    words = ['study', 'dfb_synthfg', '--out', tmp_path / 'runs', '--results', tmp_path]
    assert 'dfb_synthfg.json holds results of another study; use --force' in error_line(*words)
    own = json.loads((STUDIES / 'dfb_synthfg.json').read_text())
    monkeypatch.setattr('gluon_fg.studies.runner.Study.run', lambda self: own)
    for extra in (['--force'], []):  # and then it is its own
        code, text, err = command(*words, *extra)
        assert code == 0 and 'written to' in text, err
        assert text.startswith((STUDIES / 'dfb_synthfg.md').read_text())
    assert (tmp_path / 'dfb_synthfg.json').read_bytes() == (STUDIES / 'dfb_synthfg.json').read_bytes()


@pytest.mark.parametrize('words', [(), ('run',), ('table',), ('chart',)])
def test_help_has_an_example(command, words):
    code, text, _ = command('study', *words, '--help')
    assert code == 0 and 'Example' in text and 'gluon-fg study' in text


def test_published_specs_are_those_of_the_configs():
    for path in (STUDIES / 'dfb_synthfg.json', *STUDIES.glob('cidc_*.json')):
        published = json.loads(path.read_text())['study']
        study = load_study(str(REPO / 'configs' / 'studies' / f'{path.stem}.yaml'))
        assert (study.methods, study.seeds, study.lr) == tuple(published[key] for key in ('methods', 'seeds', 'lr'))
