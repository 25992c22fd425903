"""`gluon-fg quantize`: what it writes, what it says, and what it refuses before anything slow."""

import json
import shutil

import pytest

NAME = 'i3d_tiny_synthfg'


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder of weight files of the test's own."""
    monkeypatch.setenv('MXNET_HOME', str(tmp_path))
    return tmp_path / 'models'


def test_it_writes_a_form_that_evaluation_takes_and_keeps_the_accuracy(command, error_line, home, tiny_synthfg):
    words = ('quantize', NAME, '--calib', tiny_synthfg / 'val.csv', '--runtime', 'mxnet')
    code, out, _ = command(*words, '--test', tiny_synthfg / 'test.csv', '--json')
    facts = json.loads(out)
    assert code == 0 and facts['calibration'] == {
        'videos': str(tiny_synthfg / 'val.csv'),
        'clips': 18,
        'held_back': 6,
    }
    assert facts['held_back']['scores'] > 0.98 and facts['layers'] == 11
    report = facts['report']
    assert report['videos'] == 24 and report['after']['execution'] == 'mxnet int8'
    assert abs(report['after']['top1'] - report['before']['top1']) <= 1 / 24
    assert 0.98 < report['agreement']['scores'] < 1  # 1: float32 was computed twice
    assert facts['bytes'] < 0.3 * facts['float32_bytes']
    folder = next(home.glob(f'{NAME}-*-int8-mxnet'))
    assert facts['folder'] == str(folder)
    assert f'{folder} is there already; use --force' in error_line(*words)


def test_mistakes_are_one_line_before_anything_is_computed(error_line, home, tiny_synthfg, tmp_path):
    short = tmp_path / 'short.csv'
    short.write_text(''.join((tiny_synthfg / 'val.csv').read_text().splitlines(keepends=True)[:4]))
    shutil.copytree(tiny_synthfg / 'val', tmp_path / 'val')
    given = ('quantize', NAME, '--runtime', 'mxnet')
    assert '--calib data/val.csv' in error_line(*given)
    assert 'nowhere: no such video' in error_line(*given, '--calib', tmp_path / 'nowhere')
    assert 'short.csv lists 3 videos; calibration takes at least 16' in error_line(*given, '--calib', short)
    listed = ('--calib', tiny_synthfg / 'val.csv')
    assert '--clips must be at least 16' in error_line(*given, *listed, '--clips', 3)
    assert '--agreement must be from 0 to 1' in error_line(*given, *listed, '--agreement', 2)
    assert 'unknown layer' in error_line(*given, *listed, '--exclude', 'stem')
    assert not home.exists() or not list(home.iterdir())


def test_videos_that_cannot_be_read_are_too_few(command, home, tmp_path):
    for number in range(16):
        (tmp_path / f'{number}.mp4').write_text('no film')
    code, _, err = command('quantize', NAME, '--runtime', 'mxnet', '--calib', *sorted(tmp_path.glob('*.mp4')))
    assert code == 2 and '0 of 16 videos can be read; calibration takes at least 16' in err.splitlines()[-1]
