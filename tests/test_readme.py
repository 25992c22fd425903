"""Every command of the README runs, in order, in an empty folder; what it shows is what is printed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gluon_fg.data import synthfg

REPO = Path(__file__).resolve().parents[1]
README = (REPO / 'README.md').read_text()
COMMANDS = [line for block in re.findall(r'```sh\n(.*?)```', README, re.S) for line in block.splitlines()]
BIN = Path(sys.executable).parent


@pytest.fixture(scope='module')
def outputs(tmp_path_factory):
    """command -> what it printed."""
    home = tmp_path_factory.mktemp('readme')
    for name in ('scripts', 'configs'):
        (home / name).symlink_to(REPO / name)
    for split, seeds in (('train', range(4)), ('val', range(4, 6))):
        for name, label in (('opening a door', 8), ('closing a door', 9)):
            folder = home / 'my_videos' / split / name
            folder.mkdir(parents=True)
            for seed in seeds:
                clip = synthfg.render_clip(label, seed)
                synthfg.write_video(folder / f'{name} ({seed}).mp4', np.repeat(clip, 2, axis=0))
    env = {**os.environ, 'PATH': f'{BIN}{os.pathsep}{os.environ["PATH"]}', 'OMP_NUM_THREADS': '1'}
    printed = {}
    for command in COMMANDS:
        if command.startswith('make '):  # `make test` runs this; `make demo` is run by hand and takes minutes
            continue
        if command.startswith('horovodrun') and not shutil.which('horovodrun', path=env['PATH']):
            command = command.split('-np 2 ', 1)[1]
        run = subprocess.run(
            ['bash', '-c', command],
            cwd=home,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert run.returncode == 0, f'{command}\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}'
        printed[command] = run.stdout
    return home, printed


def test_every_command_runs_and_leaves_what_it_says(outputs):
    home, printed = outputs
    assert len(printed) >= 12
    for path in (
        'runs/mine/best.params',
        'runs/dfb/curves.png',
        'confusion.png',
        'pictures/peaks.json',
        'maps.png',
        'gains.png',
        'masks.png',
        'weights.png',
        'similarity.png',
        'my_zoo/index.yaml',
    ):
        assert (home / path).is_file()
    assert len(list((home / 'my_weights').glob('*.params'))) == len(list((home / 'my_zoo').glob('*.params'))) == 1
    prediction = printed['gluon-fg predict my_videos/val --run runs/mine']
    assert prediction.count('%  opening a door') == prediction.count('%  closing a door') == 4


def test_the_printed_prediction_is_the_one_shown(outputs):
    _, printed = outputs
    shown = re.search(r'--topk 3\n```\n\n```\n(.*?)```', README, re.S).group(1).split('\n')
    got = next(text for command, text in printed.items() if command.endswith('--topk 3')).split('\n')
    assert len(shown) == len(got)
    for a, b in zip(shown, got):
        numbers = [[float(n) for n in re.findall(r'([\d.]+) %', line)] for line in (a, b)]
        assert re.sub(r'[\d.]+ %', '%', a).split() == re.sub(r'[\d.]+ %', '%', b).split()
        np.testing.assert_allclose(*numbers, atol=0.5)


def test_the_numbers_in_the_tables_are_those_of_the_files():
    tables = {path.stem: path.read_text().strip() for path in (REPO / 'model_zoo/studies').glob('*.md')}
    for study, table in tables.items():
        card = study.split('_')[0]
        assert table in (REPO / f'model_zoo/{card}.md').read_text(), study
    assert tables['dfb_synthfg'] in README


def test_links_lead_somewhere():
    for page in (
        'README.md',
        'CONTRIBUTING.md',
        'docs/pytorch.md',
        'model_zoo/dfb.md',
        'model_zoo/cidc.md',
        'model_zoo/u2s.md',
        'model_zoo/README.md',
    ):
        for link in re.findall(r'\]\(([^)#]+)\)', (REPO / page).read_text()):
            assert link.startswith('https://') or ((REPO / page).parent / link).exists(), f'{page}: {link}'
