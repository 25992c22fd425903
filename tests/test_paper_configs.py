"""The pages promise one config for each of the papers' numbers: the tables are read, and the configs looked up."""

import os
from pathlib import Path

import pytest

from gluon_fg import registry
from gluon_fg.training.config import load_config, stage_configs
from gluon_fg.training.schedule import scaled_lr

REPO = Path(__file__).resolve().parents[1]
CONFIGS = REPO / 'configs'


def papers_table(page):
    """Rows of the first table under "The paper's numbers", as lists of cells, its head first."""
    text = (REPO / 'model_zoo' / page).read_text().split("## The paper's numbers")[1].split('\n## ')[0]
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line.startswith('|')]
    return [row for row in rows if not set(row[0]) <= {'-'} or not row[0]], text


DFB_COLUMNS = {  # of the table -> the configs, without what the row adds
    'Kinetics-400, training-time protocol: 2-D': ['tsn_resnet18_v1b', 'tsn_resnet50_v1b', 'tsn_resnet152_v1b'],
    '3-D': ['i3d_resnet18_v1', 'i3d_resnet50_v1', 'i3d_resnet152_v1'],
    'full protocol: 2-D (200 views)': ['tsn_resnet152_v1b'],
    '3-D (10 segments)': ['i3d_resnet152_v1'],
    'Something-Something-V1, R18': ['i3d_resnet18_v1'],
    'R50': ['i3d_resnet50_v1'],
    'R152': ['i3d_resnet152_v1'],
}
CIDC_ROWS = {
    'R2D': 'r2d_resnet50_v1',
    'R2D-NL': 'r2d_nl_resnet50_v1',
    'I3D': 'i3d_resnet50_v1',
    'I3D-NL': 'i3d_nl5_resnet50_v1',
    'SlowOnly': 'slowonly_resnet50_v1',
}
SAME_NAME = {'i3d_resnet50_v1_kinetics400': 'i3d_resnet50_v1_kinetics400_32f'}  # the other is DFB's, on 16 frames
DATASETS = {
    'Kinetics-400': 'kinetics400',
    'Something-Something-V2': 'sthsthv2',
    'UCF101': 'ucf101',
    'HMDB51': 'hmdb51',
    'Stanford Cars': 'stanfordcars',
    'Stanford Dogs': 'stanforddogs',
}
U2S_ROWS = {
    'top-heavy ResNet-50': 'topheavy_resnet50',
    'TSM-8f': 'tsm8f_resnet50_v1b',
    'TSM-16f': 'tsm16f_resnet50_v1b',
    'ResNet-50': 'resnet50_v1b',
}


def dfb_configs():
    (head, *rows), _ = papers_table('dfb.md')
    for name, *cells in rows:
        for column, cell in zip(head[1:], cells):
            if cell:
                of = 'sthsthv1' if column.startswith(('Something', 'R')) else 'kinetics400'
                ending = {'GB': '', 'GB + DF': '_df', 'GB + DF + LB': '_dfb'}[name]
                ending += '_64f' if column.startswith('3-D (10') else ''
                yield from ((f'dfb/{stem}_{of}{ending}', name) for stem in DFB_COLUMNS[column])


def cidc_configs():
    (head, *rows), _ = papers_table('cidc.md')
    for name, *cells in rows:
        backbone, _, added = name.partition(' + ')
        for column, cell in zip(head[1:], cells):
            if cell:
                stem = f'{CIDC_ROWS[backbone]}_{DATASETS[column]}{"_cidc" if added else ""}'
                yield f'cidc/{SAME_NAME.get(stem, stem)}', name


def u2s_configs():
    (_, *rows), _ = papers_table('u2s.md')
    for _, dataset, network, one_pass, both in rows:
        name, _, streams = dataset.partition(', ')
        assert one_pass and both
        for stream in (streams or 'RGB').split(' + '):  # both: a run of each, fused
            for form in ('', '_v2') if 'flow' in streams else ('',):
                stem = f'u2s/{U2S_ROWS[network]}{form}{"_flow" if stream == "flow" else ""}_{DATASETS[name]}'
                yield from ((stem, 'one-pass'), (f'{stem}_u2s', 'U2S'))


QUO_VADIS_ROWS = {  # the networks of colors, of flow and of both; None: the two of these, joined
    '(a) LSTM': ('lstm_inceptionv1', None, None),
    '(b) 3D-ConvNet': ('c3d_bn', None, None),
    '(c) Two-Stream': ('twostream_inceptionv1_rgb', 'twostream_inceptionv1_flow', None),
    '(d) 3D-Fused': ('fused3d_inceptionv1_rgb', 'fused3d_inceptionv1_flow', 'fused3d_inceptionv1'),
    '(e) Two-Stream I3D': ('i3d_inceptionv1_same', 'i3d_inceptionv1_same_flow', None),
}
QUO_VADIS_METHODS = {'(a) LSTM': 'ConvNetLSTM', '(b) 3D-ConvNet': 'C3DNetwork', '(d) 3D-Fused': 'Fused3D'}


def quo_vadis_configs():
    (_, *rows), _ = papers_table('quo_vadis.md')
    for network, dataset, *cells in rows:
        stems = QUO_VADIS_ROWS[network]
        for cell, stem in zip(cells, stems):
            if cell:
                for name in [stem] if stem else stems[:2]:
                    yield f'quo_vadis/{name}_{dataset.replace("-", "").lower()}', network


CASES = sorted({*dfb_configs(), *cidc_configs(), *u2s_configs(), *quo_vadis_configs()})


@pytest.mark.parametrize('name, row', CASES)
def test_every_row_of_the_papers_tables_has_its_config(name, row):
    config = load_config(os.fspath(CONFIGS / f'{name}.yaml'))
    methods = {'GB + DF': 'DFB', 'GB + DF + LB': 'DFB', 'U2S': 'U2S', **QUO_VADIS_METHODS}
    method = methods.get(row, 'CIDCNetwork' if row.endswith('+ CIDC') else 'Baseline')
    assert registry.model_entry(config.model.name).builder.__name__ == method
    assert config.model.options.get('local_branch', True) is (row != 'GB + DF')


def test_the_tables_are_read_whole():
    assert len(CASES) >= 73 + 27
    assert sum('_flow_' in name for name, _ in CASES) == 12 + 9
    assert {name.split('/')[0] for name, _ in CASES} == {'dfb', 'cidc', 'u2s', 'quo_vadis'}


RATES = {'dfb': 0.01, 'cidc': 0.01, 'u2s': 0.001}  # printed in DFB sec. 4.2, CIDC sec. 3.3, U2S sec. IV-B


# Of tiny networks, and of images, the rates are ours.
PAPERS = [
    path
    for path in sorted(CONFIGS.glob('*/[!_]*.yaml'))
    if path.parent.name in RATES and 'tiny' not in path.stem and not path.stem.startswith('resnet50_v1b_stanford')
]


@pytest.mark.parametrize('path', PAPERS, ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_one_process_trains_at_the_rate_that_the_paper_prints(path):
    """Not at an eighth of it, because a config names the batch of eight GPUs."""
    config = load_config(os.fspath(path))
    for name, part in (stage_configs(config) or {'': config}).items():
        tenth = 0.1 if name == 'joint' else 1  # U2S sec. IV-B: 1e-4
        assert scaled_lr(part.train, 1) == pytest.approx(RATES[path.parent.name] * tenth)


@pytest.mark.parametrize('path', sorted((CONFIGS / 'custom').glob('*.yaml')), ids=lambda path: path.stem)
def test_a_recipe_for_ones_own_videos_prints_the_rate_that_one_process_has(path):
    config = load_config(os.fspath(path))
    assert scaled_lr(config.train, 1) == config.train.lr


@pytest.mark.parametrize(
    'path',
    [path for path in sorted((CONFIGS / 'quo_vadis').glob('[!_]*.yaml')) if 'synthfg' not in path.stem],
    ids=lambda path: path.stem,
)
def test_quo_vadis_trains_at_its_authors_rate_for_a_clip(path):
    """0.1 for 64 replicas of 6 clips, momentum 0.9, weight decay 1e-7 (README of kinetics-i3d)."""
    train = load_config(os.fspath(path)).train
    assert scaled_lr(train, 1) / (train.batch_size * train.accumulate) == pytest.approx(0.1 / (64 * 6))
    assert (train.momentum, train.wd, train.batch_size * train.accumulate) == (0.9, 1e-7, 32)
    assert all(0.8 < epoch / train.epochs < 0.95 for epoch in train.lr_epochs)
