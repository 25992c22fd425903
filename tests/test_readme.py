"""Every command of README.md and docs/*.md runs, in order, in one folder; what they show is what is printed.

The pages build on each other, as a reader follows them. Blocks ```sh are run line by line, blocks ```python as a whole;
a first line such as `# my_study.yaml` names the file that the block is written to instead.
"""

import re
import sys

import numpy as np
import pytest
from readers_shell import REPO, Shell, has_module

import gluon_fg
from gluon_fg import factory
from gluon_fg.data import synthfg
from gluon_fg.deploy.flops import count
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.weights.cards import shown_input

# every command of every page, before the first test: a few minutes, or ten where other programs share the processor
pytestmark = pytest.mark.timeout(1500)

README = (REPO / 'README.md').read_text()
PAGES = [
    'README.md',
    *(
        f'docs/{name}.md'
        for name in (
            'getting_started',
            'own_videos',
            'predicting',
            'datasets',
            'prepare',
            'flow',
            'training',
            'transfer',
            'quo_vadis',
            'evaluation',
            'report',
            'explaining',
            'studies',
            'models',
            'weights',
            'pytorch',
            'extending',
            'speed',
            'int8',
            'deploying',
            'commands',
            'robustness',
            'gpu',
            'scaling',
        )
    ),
]
CARDS = ('dfb', 'cidc', 'u2s', 'quo_vadis')  # pages of model_zoo, one a method
BLOCK = re.compile(r'^```(sh|python|yaml)\n(.*?)^```', re.S | re.M)
NOT_RUN = {  # a command's beginning -> why no test runs it
    'make setup': 'it makes the environment that the tests run in',
    'make demo': 'minutes; it is gluon-fg demo',
    'make test': 'it is what runs this test',
    '. .venv/bin/activate': 'the tests run in an environment already',
    'pip wheel': 'tests/cli/test_wheel.py builds the wheel and works with it',
    'pip install': 'it needs a network; tests/cli/test_wheel.py installs the wheel without one',
    'pip uninstall': 'it changes the environment',
    'gluon-fg predict data/synthfg/test/00005.mp4 --runtime onnxruntime_cuda': 'it needs a GPU',
    'gluon-fg zoo fetch i3d_inceptionv1_same_kinetics400': 'it needs a network; tests/weights/test_packages.py has one',
    'python run_exported.py': 'tests/deploy/test_exporting.py runs it where nothing of MXNet is',
    'gluon-fg demo': 'minutes; tests/cli/test_demo_command.py runs its steps',
    'gluon-fg data prepare films': 'it needs a network; tests/cli/test_data_command.py fetches from a stand-in',
    'gluon-fg predict films': 'it needs the films and the weights, and so a network',
    'python tests/campaigns/large_report.py': 'it measures; tests/visualization/test_pages.py opens such lists',
    'python scripts/scaling_table.py': 'tests/test_scaling_table.py compares what it prints with the page',
    'gluon-fg explain place': 'a minute; tests/cli/test_explain_place.py runs it on two videos',
    'gluon-fg explain time': 'many seconds; tests/cli/test_explain_time.py runs it',
    'gluon-fg explain gradcam data/synthfg/test/00009.mp4': 'many passes; tests/cli/test_explain_gradcam.py runs it',
    'gluon-fg study dfb_synthfg': 'hours; a study of minutes is run in docs/studies.md',
    'gluon-fg study cidc_direction_synthfg': 'hours',
    'gluon-fg study u2s_synthfg': 'hours',
}

CHECKPOINT = """
import sys

sys.path[:0] = ['{tests}', '{tests}/weights']
import torch
from test_torch_convert import TSN, ResNet

net = TSN(ResNet(segments=8), 174, 8)
net.new_fc = torch.nn.Linear(2048, 174)
torch.save({{'state_dict': net.state_dict()}}, 'tsm.pth')
"""


def blocks(page):
    """(language, text) of the blocks of a page that are run or written to a file."""
    return BLOCK.findall((REPO / page).read_text())


def commands(page):
    return [line for language, text in blocks(page) if language == 'sh' for line in text.splitlines()]


def prepare(home):
    """What the pages take for granted: the repository's folders, videos of one's own, a checkpoint."""
    for name in ('configs', 'model_zoo'):
        (home / name).symlink_to(REPO / name)
    for split, seeds in (('train', range(4)), ('val', range(4, 6))):
        for name, label in (('opening a door', 8), ('closing a door', 21)):  # of other shapes: a training ends early
            folder = home / 'my_videos' / split / name
            folder.mkdir(parents=True)
            for seed in seeds:
                clip = synthfg.render_clip(label, seed)
                synthfg.write_video(folder / f'{name} ({seed}).mp4', np.repeat(clip, 2, axis=0))


def reason_not_to_run(command):
    for start, reason in NOT_RUN.items():
        if command.startswith(start):
            return reason
    if 'tsm' in command and not has_module('torch'):
        return 'it needs PyTorch'
    if command.startswith('gluon-fg export') and not has_module('onnx'):
        return 'it needs the extra deploy'
    return None


@pytest.fixture(scope='module')
def outputs(tmp_path_factory):
    """The folder, and command -> what it printed."""
    home = tmp_path_factory.mktemp('readme')
    prepare(home)
    shell = Shell(home)
    if has_module('torch'):
        shell.run([sys.executable, '-c', CHECKPOINT.format(tests=REPO / 'tests')], 'checkpoint')
    try:
        for page in PAGES:
            for language, text in blocks(page):
                file = re.match(r'# (\w+\.(?:py|yaml))\n', text)
                if file:
                    (home / file.group(1)).write_text(text)
                elif 'onnxruntime' in text and not has_module('onnxruntime'):
                    continue
                elif language == 'python':
                    shell.python(text, f'{page}: {text}')
                elif language == 'sh':
                    for command in text.splitlines():
                        if command not in shell.printed and not reason_not_to_run(command):
                            shell.command(command)
    finally:
        shell.close()
    return home, shell.printed


def test_every_command_runs_and_leaves_what_it_says(outputs):
    home, printed = outputs
    for path in (
        'pictures/peaks.json',
        'runs/baseline/curves.png',
        'runs/dfb/best.params',
        'runs/doors/best.params',
        'runs/transfer/transfer.md',
        'runs/mine/report/report.md',
        'runs/baseline/report.html',
        'compared.html',
        'runs/folds/folds.json',
        'my_results/my_study.md',
        'five_by_three.metrics.json',
        'both.npz',
        'gains.png',
        'preview.png',
        'filters.csv',
        'confusion.png',
        'maps.png',
        'masks.png',
        'weights.png',
        'similarity.png',
        'n.png',
        'my_zoo/index.yaml',
    ):
        assert (home / path).is_file(), path
    assert len(list((home / 'my_weights').glob('*.params'))) == len(list((home / 'my_zoo').glob('*.params'))) == 1
    prediction = printed['gluon-fg predict my_videos/val --run runs/mine']
    assert prediction.count('%  opening a door') == prediction.count('%  closing a door') == 4
    assert printed['gluon-fg study table model_zoo/studies/dfb_synthfg.json'].strip() in study_tables()['dfb_synthfg']


def test_every_page_is_run_and_every_exception_is_needed():
    assert set(PAGES) == {'README.md', *(f'docs/{path.name}' for path in (REPO / 'docs').glob('*.md'))}
    shown = [command for page in PAGES for command in commands(page)]
    for start in NOT_RUN:
        assert any(command.startswith(start) for command in shown), start


def test_the_printed_prediction_is_the_one_shown(outputs):
    _, printed = outputs
    shown = re.search(r'synthfg_dfb --topk 3\n```\n\n```\n(.*?)```', README, re.S).group(1).split('\n')
    got = next(text for command, text in printed.items() if command.endswith('--topk 3')).split('\n')
    assert len(shown) == len(got)
    for a, b in zip(shown, got):
        numbers = [[float(n) for n in re.findall(r'([\d.]+) %', line)] for line in (a, b)]
        assert re.sub(r'[\d.]+ %', '%', a).split() == re.sub(r'[\d.]+ %', '%', b).split()
        np.testing.assert_allclose(*numbers, atol=0.5)


def test_the_table_of_models_says_what_the_models_are():
    """Input, operations, parameters and accuracies of the front page are counted, or read from the index."""
    rows = [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in README.splitlines()
        if re.match(r'\| `\w+` \|', line)
    ]
    assert len(rows) == 10
    for name, shown, gflops, parameters, protocol, _, measured, weights in rows:
        info = gluon_fg.model_info(name.strip('`'))
        assert shown == shown_input(info['input']), name
        cost = count(factory.build(info['name']))
        assert float(gflops) == pytest.approx(cost.flops / 1e9, rel=0.01, abs=0.005), name
        assert float(parameters.split()[0]) == pytest.approx(cost.parameters / 1e6, abs=0.051), name
        get_protocol(protocol.strip('`'))
        if info['weights'] and info['weights']['package']:  # what others have trained was not measured here
            assert not measured and weights == "the authors', from a package", name
        elif info['weights'] is None:
            assert not measured and weights == ("start from GluonCV's" if info['gluoncv'] else 'none'), name
        else:
            (claim,) = info['weights']['metrics'].values()
            assert measured == f'{claim["top1"]:.1f} / {claim["top5"]:.1f}' and protocol.strip('`') == claim['protocol']
            assert f'(model_zoo/{info["weights"]["file"]})' in weights, name


def study_tables():
    return {path.stem: path.read_text().strip() for path in (REPO / 'model_zoo/studies').glob('*.md')}


def test_the_numbers_in_the_tables_are_those_of_the_files():
    for study, table in study_tables().items():
        card = next(card for card in CARDS if study.startswith(f'{card}_'))
        assert table in (REPO / f'model_zoo/{card}.md').read_text(), study


def test_links_lead_somewhere():
    for page in (
        *PAGES,
        'CONTRIBUTING.md',
        'CHANGELOG.md',
        *(f'model_zoo/{n}.md' for n in (*CARDS, 'README')),
    ):
        for link in re.findall(r'\]\(([^)]+)\)', (REPO / page).read_text()):
            target, _, part = link.partition('#')
            if link.startswith('https://'):
                continue
            file = (REPO / page).parent / target if target else REPO / page
            assert file.exists(), f'{page}: {link}'
            if part:
                assert part in anchors(file.read_text()), f'{page}: {link}'


def anchors(text):
    """The names under which headings are found: lower case, blanks as hyphens, no punctuation."""
    titles = re.findall(r'^#+ (.*)$', text, re.M)
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in titles}
