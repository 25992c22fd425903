"""`gluon-fg data prepare DATASET ROOT`: what it prints, what it refuses, and that commands take its manifest."""

import json
import os
import shutil

import pytest

from gluon_fg.data import build_dataset, catalog


@pytest.fixture
def films(tiny_synthfg, tmp_path):
    """A folder of two classes and splits, with a broken file, and a film in both splits."""
    clips = sorted((tiny_synthfg / 'test').glob('*.mp4'))
    for number, place in enumerate(['train/open', 'train/open', 'train/shut', 'val/open', 'val/shut']):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        shutil.copy(clips[number], tmp_path / place / f'{number}.mp4')
    shutil.copy(clips[0], tmp_path / 'val/shut/leak.mp4')
    (tmp_path / 'train/shut/cut.mp4').write_bytes(b'cut')
    return tmp_path


def test_what_it_says(command, films):
    code, out, err = command('data', 'prepare', 'folder', films, '--workers', 0, '--frames', 400)
    home = films / '.gluon_fg' / 'folder'
    assert code == 2 and out.splitlines() == [
        '  train     4 videos of 2 classes, 4 there, 3 usable',
        '  val       3 videos of 2 classes, 3 there, 3 usable',
        '      1 file broken',
        '      1 leak between splits',
        '      1 conflict of labels',
        '      6 videos too short',
        f'manifest: {home / "manifest.parquet"}',
        f'report: {home / "report.html"}',
    ]
    assert err.splitlines() == [
        f"note: unknown split of {films}: 'test'; choose from train, val",
        'error: train/shut/cut.mp4: broken: cannot be read as a video; truncated, damaged or of another kind '
        '(Invalid data found when processing input)',
    ]
    os.remove(films / 'train/shut/cut.mp4')
    code, out, _ = command('data', 'prepare', 'folder', '--root', films, '--workers', 0, '--split', 'train')
    assert code == 0 and '  train     3 videos of 2 classes, 3 there, 3 usable' in out and 'too short' not in out


def test_a_stop_says_how_to_go_on(command, films, monkeypatch):
    from gluon_fg.data import survey

    def stop(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(survey.survey, '__defaults__', (*survey.survey.__defaults__[:-1], stop))
    code, _, err = command('data', 'prepare', 'folder', films, '--workers', 0)
    assert code == 130 and err.splitlines() == ['stopped; the same command goes on from here', 'interrupted']


def test_a_full_disk_is_one_line(command, films, monkeypatch):
    from gluon_fg.visualization import health_lists

    def full(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(health_lists, 'atomic_write', full)
    code, _, err = command('data', 'prepare', 'folder', films, '--workers', 0)
    assert code == 2 and err.splitlines()[-1] == f'error: {films}: no space left; free some, or choose another folder'


def test_help_is_there_for_every_dataset(command):
    code, out, _ = command('data', 'prepare', '--help')
    assert code == 0 and 'gluon-fg data prepare DATASET ROOT' in out and 'synthfg_images' in out
    code, out, _ = command('data', 'prepare', 'kinetics400', '--help')
    assert code == 0 and 'gluon-fg data prepare kinetics400 data/kinetics400' in out and '--workers' in out


def test_commands_take_the_manifest(command, films, monkeypatch):
    """`data check`, and evaluation of a file in place of the folder, read no list."""
    os.remove(films / 'train/shut/cut.mp4')
    command('data', 'prepare', 'folder', films, '--workers', 0, '--out', films.parent / 'out')
    counts = build_dataset('folder', 'train', films).counts.tolist()
    monkeypatch.setattr(catalog.openers, 'from_folder', lambda *args: pytest.fail('the manifest was to be taken'))
    file = films.parent / 'out' / 'manifest.parquet'
    code, out, _ = command('data', 'check', 'folder', '--root', file, '--split', 'train', '--json')
    assert code == 0 and list(json.loads(out)[0]['classes'].values()) == counts == [2, 1]
    words = ('--model', 'i3d_tiny_synthfg_dfb', '--dataset', 'folder', '--root', file, '--split', 'val')
    code, _, err = command('evaluate', *words)
    assert code == 2 and 'folder val has 2 classes, the model i3d_tiny_synthfg_dfb has 24' in err


def test_a_clip_of_a_model_or_run_says_what_is_short(command, films, tmp_path):
    os.remove(films / 'train/shut/cut.mp4')
    _, out, _ = command('data', 'prepare', 'folder', films, '--workers', 0, '--model', 'i3d_tiny_synthfg_dfb')
    assert 'too short' not in out  # 8 frames
    _, out, _ = command(
        'data', 'prepare', 'folder', films, '--workers', 0, '--model', 'i3d_resnet50_v1_kinetics400_dfb'
    )
    assert '6 videos too short' in out


@pytest.mark.parametrize(
    'words, said',
    [
        (['foldr', '.'], "unknown dataset 'foldr'; did you mean 'folder'"),
        (['folder'], 'data prepare folder needs the folder of the dataset: gluon-fg data prepare folder ROOT'),
        (['folder', 'a', '--root', 'b'], 'ROOT a and --root b are two folders; give one'),
        (['folder', 'nowhere'], 'nowhere: no such folder'),
        (['ucf101', '.'], 'ucf101'),
        (['csv', '.', '--split', 'none.csv'], 'none.csv'),
        (['synthfg_order', '.'], 'synthfg_order is rendered here, not prepared'),
        (['folder', '.', '--model', 'i3d_tiny_synthfg', '--frames', '3'], 'give --model or --frames, not both'),
        (['folder', '.', '--frames', '0'], 'Invalid value for'),
        (['folder', '.', '--model', 'i3d_tiny_synthgf'], "unknown model 'i3d_tiny_synthgf'"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(error_line, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    assert said in error_line('data', 'prepare', *words, *(['--workers', '0'] if len(words) > 1 else []))
    assert not list(tmp_path.iterdir())


def test_a_folder_of_somebody_else_is_not_written_to(error_line, films, tmp_path):
    mine = tmp_path / 'mine'
    mine.mkdir()
    (mine / 'report.html').write_text('my own')
    line = error_line('data', 'prepare', 'folder', films, '--out', mine, '--workers', 0)
    assert f'{mine} holds other files; choose an empty folder' in line and len(list(mine.iterdir())) == 1


def test_a_wrong_root_is_said_before_anything_is_rendered(error_line, tmp_path, monkeypatch):
    """`data check` and `evaluate` of data that are not there make none."""
    from gluon_fg.data import synthfg

    monkeypatch.setattr(synthfg, 'ensure', lambda *args, **kwargs: pytest.fail('nothing was to be rendered'))
    monkeypatch.chdir(tmp_path)
    for words in (
        ('data', 'check', 'synthfg', '--root', 'nowhere'),
        ('data', 'check', 'kinetics400', '--root', 'nowhere'),
        ('data', 'check', 'kinetics400'),
        ('data', 'check', 'synthgf'),
        ('data', 'check', 'synthfg_order', '--root', 'nowhere'),
        ('data', 'check', 'synthfg', '--root', 'nowhere', '--split', 'tset'),
        ('data', 'prepare', 'kinetics400', 'nowhere'),
    ):
        assert any(name in error_line(*words) for name in ('nowhere', 'kinetics400', 'synthgf')), words
    assert not list(tmp_path.iterdir())
