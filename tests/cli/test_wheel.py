"""The package as others install it: a wheel in an environment of its own, used where there is no checkout."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mxnet
import pytest

REPO = Path(__file__).resolve().parents[2]
STUDY = """\
config: dfb/i3d_tiny_synthfg
warmup: {epochs: 1}
epochs: 1
seeds: [0]
lr: [0.01]
methods: {baseline: {}}
reference: baseline
"""


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """`installed(program, *words)`: run a program of an environment that has the wheel, in an empty folder."""
    source, env, home = (tmp_path_factory.mktemp(name) for name in ('source', 'env', 'elsewhere'))
    for part in ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'README.md', 'gluon_fg', 'model_zoo', 'configs'):
        (shutil.copytree if (REPO / part).is_dir() else shutil.copy)(REPO / part, source / part)
    pip = [sys.executable, '-m', 'pip', '-q', '--no-cache-dir', '--disable-pip-version-check']
    options = ['--no-deps', '--no-index']
    run([*pip, 'wheel', *options, '--no-build-isolation', '-w', source / 'wheels', source])
    run([sys.executable, '-m', 'venv', '--without-pip', env])
    run([*pip, '--python', env / 'bin' / 'python', 'install', *options, *(source / 'wheels').glob('*.whl')])
    shutil.rmtree(source)
    (site,) = env.glob('lib/python*/site-packages')
    (site / 'others.pth').write_text(f'{Path(mxnet.__file__).parents[1]}\n')  # MXNet and the rest, after the wheel's
    variables = {name: value for name, value in os.environ.items() if name not in ('PYTHONPATH', 'GLUON_FG_REPO')}
    nowhere = 'http://127.0.0.1:9'  # what is asked of a network fails at once
    variables.update(HOME=str(home), MXNET_HOME=str(home / 'mxnet'), http_proxy=nowhere, https_proxy=nowhere)

    def start(program, *words):
        return run([env / 'bin' / program, *words], cwd=home, env=variables)

    start.home = home
    code = 'import gluon_fg.named_configs as m; print(m.__file__, m.config_folder(), sep="\\n")'
    files = [Path(line) for line in start('python', '-c', code).splitlines()]
    assert {file.parent for file in files} == {site / 'gluon_fg'} and files[1].is_dir()
    return start


def run(words, **options):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, f'{words}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}'
    return done.stdout


def test_weights_travel_in_it(installed, tiny_synthfg):
    clip = next(iter(sorted((tiny_synthfg / 'test').glob('*.mp4'))))
    answers = installed('gluon-fg', 'predict', clip, '--model', 'i3d_tiny_synthfg_dfb', '--topk', 1, '--json')
    (answer,) = json.loads(answers)
    assert answer['predictions'][0]['probability'] > 0.5


def settings(root):
    return ('--set', f'data.root={root}', 'data.sizes={train: 48, val: 24, test: 24}', 'train.batch_size=24')


def test_configs_travel_in_it(installed, tiny_synthfg):
    words = ('train', '--config', 'dfb/i3d_tiny_synthfg', *settings(tiny_synthfg), 'train.epochs=1')
    assert 'next: gluon-fg evaluate --run runs/i3d_tiny_synthfg' in installed('gluon-fg', *words)
    assert (installed.home / 'runs' / 'i3d_tiny_synthfg' / 'best.params').is_file()


def test_a_study_runs_there(installed, tiny_synthfg):
    (installed.home / 'mine.yaml').write_text(STUDY)
    out = installed('gluon-fg', 'study', 'mine.yaml', '--out', 'runs/study', *settings(tiny_synthfg))
    assert 'baseline' in out
    results = json.loads((installed.home / 'runs' / 'study' / 'mine.json').read_text())
    assert list(results['rows']) == ['baseline']


def test_a_health_report_is_made_there(installed, tiny_synthfg):
    shutil.copytree(tiny_synthfg / 'val', installed.home / 'films' / 'all')
    out = installed('gluon-fg', 'data', 'prepare', 'folder', 'films')  # in a process of its own
    page = installed.home / 'films/.gluon_fg/folder/report.html'
    assert '24 videos of 1 classes, 24 there, 24 usable' in out and '</html>' in page.read_text()
