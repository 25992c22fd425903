"""The benchmark: counts in a table and as JSON, rows picked by name, mistakes in one line."""

import json

import pytest

from gluon_fg import factory
from gluon_fg.deploy.flops import count

NAMES = ('i3d_tiny_synthfg', 'i3d_tiny_synthfg_dfb', 'tsn_resnet18_v1b_kinetics400')


def test_several_models_in_one_table_as_a_user_asks(run_command, tmp_path):
    out = tmp_path / 'costs.json'
    done = run_command('benchmark', '--flops', *NAMES, '--out', out)
    assert done.returncode == 0, done.stderr
    header, *rows = done.stdout.splitlines()
    assert header.split()[:4] == ['model', 'input', 'GFLOPs', 'GMACs'] and len(rows) == len(NAMES)
    records = json.loads(out.read_text())
    for name, row, record in zip(NAMES, rows, records):
        cost = count(factory.build(name))
        assert record == cost.as_dict()
        figures = [f'{value:.3f}' for value in (cost.flops / 1e9, cost.macs / 1e9, cost.parameters / 1e6)]
        assert row.split()[0] == name and row.split()[2:5] == figures


def test_one_model_by_kind_and_part_at_a_size_of_choice(command):
    code, out, err = command('benchmark', '--flops', 'i3d_tiny_custom', '--nclass', 7, '--input', '2x3x6x40x36')
    cost = count(factory.build('i3d_tiny_custom', 7), (2, 3, 6, 40, 36))
    assert code == 0 and not err and '2x3x6x40x36' in out
    for name in (*cost.macs_by_kind, *cost.macs_by_part):
        assert f'\n  {name} ' in out


def test_networks_built_for_a_length_are_built_for_the_given_one(command, tmp_path):
    code, _, err = command(
        'benchmark', '--flops', 'i3d_tiny_synthfg_cidc', '--input', '1,3,16,48,48', '--out', tmp_path / 'out.json'
    )
    (record,) = json.loads((tmp_path / 'out.json').read_text())
    assert code == 0, err
    assert record['input_shape'] == [1, 3, 16, 48, 48] and record['unknown'] == {}


def test_one_row_is_timed(command, tmp_path):
    out = tmp_path / 'rows.json'
    code, said, err = command('benchmark', '--quick', '--only', 'INFERENCE*dfb over', '--rounds', 1, '--out', out)
    assert code == 0, err
    (record,) = json.loads(out.read_text())
    assert record['what'] == 'inference, tiny: DFB over baseline' and record['what'] in said
    assert record['rounds'] == 1 and record['ratio'] == pytest.approx(record['DFB'] / record['baseline'])


@pytest.mark.parametrize(
    'row, names, paper',
    [
        ('fused: CIDC over', ('i3d_tiny_synthfg_cidc', 'i3d_tiny_synthfg'), 92 / 65),
        ('tiny, fused: U2S over', ('topheavy_tiny_synthfg_u2s', 'topheavy_tiny_synthfg'), 120.43 / 60.77),
    ],
)
def test_latency_of_a_method_beside_its_flops(row, names, paper, command, tmp_path):
    out = tmp_path / 'rows.json'
    code, said, err = command('benchmark', '--quick', '--only', row, '--rounds', 1, '--out', out)
    assert code == 0, err
    (record,) = json.loads(out.read_text())
    whole, alone = (count(factory.build(name)).macs for name in names)
    assert record['flops_ratio'] == {'ours': pytest.approx(whole / alone), 'paper': paper}
    assert f'ratio {record["ratio"]:.2f}   FLOPs ratio ours {whole / alone:.2f}, paper {paper:.2f}' in said


def test_json_alone_on_stdout(command, error_line):
    code, out, err = command('benchmark', '--flops', NAMES[0], '--json')
    assert code == 0 and json.loads(out) == [count(factory.build(NAMES[0])).as_dict()]
    line = error_line('benchmark', '--quick', '--json', 'old.json')
    assert line.endswith('takes no file; write them with --out old.json')


@pytest.mark.parametrize(
    'arguments, said',
    [
        (['--flops', 'i3d_tiny_synthfg', 'i3d_tiny_synthfgg'], "unknown model 'i3d_tiny_synthfgg'; did you mean"),
        (['--flops', 'i3d_tiny_synthfg', '--input', '1,3,8,48'], 'for example, (1, 3, 8, 48, 48)'),
        (['--flops', 'i3d_tiny_synthfg', '--input', '1,3,8,48,-48'], 'whole numbers from 1'),
        (['--flops', 'i3d_tiny_synthfg', '--input', 'large'], "got 'large'"),
        (['--flops', 'i3d_tiny_custom'], 'nclass'),
        (['--flops', 'i3d_tiny_custom', '--nclass', 1], 'at least 2'),
        (['--flops', 'i3d_tiny_synthfg', '--quick'], '--quick'),
        (['--input', '1,3,8,48,48'], '--input goes with --flops'),
        (['--only', 'no such row'], "no row has 'no such row'; there are 'inference, tiny"),
        (['--rounds', 0], '--rounds'),
        (['i3d_tiny_synthfgg'], "unknown model 'i3d_tiny_synthfgg'; did you mean"),
        (['i3d_tiny_synthfg', '--runtime', 'tensorrt'], "unknown runtime 'tensorrt'"),
        (['i3d_tiny_synthfg', '--precision', 'float8'], "unknown precision 'float8'"),
        (['i3d_tiny_synthfg', '--batch', '0'], "from 1, got '0'"),
        (['i3d_tiny_synthfg', '--input', '1,3,48,48'], 'takes an input of 5 numbers'),
        (['i3d_tiny_synthfg', '--promises'], 'leave out i3d_tiny_synthfg'),
        (['i3d_tiny_synthfg', '--only', 'x'], 'the other modes take none'),
        (['--precision', 'int8'], '--precision goes with a NAME'),
        (['--threads', 2], '--threads goes with a NAME'),
        (['i3d_tiny_synthfg', '--plot', 'x.png'], '--plot goes with --scaling'),
    ],
)
def test_mistakes(error_line, tmp_path, arguments, said):
    out = tmp_path / 'out.json'
    assert said in error_line('benchmark', *arguments, '--out', out) and not out.exists()
