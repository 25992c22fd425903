"""The command as a whole: it starts fast and without MXNet, says mistakes in a line, and shows examples that parse."""

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gluon_fg import _runtime, doctor, named_configs
from gluon_fg.cli import base, main
from gluon_fg.cli.data import SIZES
from gluon_fg.data import synthfg
from gluon_fg.errors import UserError

REPO = Path(__file__).resolve().parents[2]


def leaves(group=main, path=()):
    """(words, command) of everything that can be run."""
    for name in group.list_commands(None):
        found = group.get_command(None, name)
        if isinstance(found, click.Group):
            yield from leaves(found, (*path, name))
        else:
            yield (*path, name), found


COMMANDS = dict(leaves())


def start(code, *words, path=()):
    """Run Python code with words after it in a process of its own, where MXNet cannot be loaded."""
    blocked = f'import sys; sys.modules["mxnet"] = None; sys.path[:0] = {[str(p) for p in path]}; '
    return subprocess.run([sys.executable, '-c', blocked + code, *words], cwd=REPO, capture_output=True, text=True)


AS_COMMAND = 'sys.argv[0] = "gluon-fg"; from gluon_fg.cli import main; main()'


def test_help_needs_no_mxnet_and_no_patience():
    began = os.times().children_user
    done = start(AS_COMMAND, '--help')
    assert done.returncode == 0 and done.stderr == ''
    for name in (
        'train',
        'evaluate',
        'predict',
        'features',
        'compare',
        'fuse',
        'study',
        'benchmark',
        'doctor',
        'demo',
        'zoo',
        'data',
    ):
        assert re.search(rf'^  {name}  +\w', done.stdout, re.M)
    assert '_GLUON_FG_COMPLETE=bash_source' in done.stdout
    assert os.times().children_user - began < 1.0
    done = start(AS_COMMAND, 'train', '--help')
    assert done.returncode == 0 and '--set KEY=VALUE...' in done.stdout


def test_completion_knows_commands_and_options():
    done = subprocess.run(
        [sys.executable, '-m', 'gluon_fg'],
        cwd=REPO,
        env={**os.environ, base.COMPLETION: 'bash_complete', 'COMP_WORDS': 'gluon-fg zoo ', 'COMP_CWORD': '2'},
        capture_output=True,
        text=True,
    )
    assert {'plain,list', 'plain,publish', 'plain,import'} <= set(done.stdout.split())


@pytest.mark.parametrize('words', COMMANDS, ids=' '.join)
def test_every_help_ends_with_examples_that_call_it(words, command, monkeypatch):
    code, out, err = command(*words, '--help')
    assert code == 0 and err == ''
    examples = re.split(r'\n  Examples?:\n', out)[-1].splitlines()
    assert examples and all(line.startswith('    gluon-fg ') for line in examples), out
    called = []
    monkeypatch.setattr(COMMANDS[words], 'callback', lambda **given: called.append(words))
    for line in examples:
        code, _, err = command(*shlex.split(line)[1:])
        assert code == 0, err
    assert len(called) == len(examples)


@pytest.mark.parametrize(
    'words, said',
    [
        (['fuse_scores'], 'fuse_scores is now gluon-fg fuse; see gluon-fg fuse --help'),
        (['plot_tsne.py', 'x'], 'plot_tsne.py is now gluon-fg explain tsne; see gluon-fg explain tsne --help'),
        (['scripts/prepare_data.py'], 'scripts/prepare_data.py is now gluon-fg data prepare; '),
        (['train.py'], 'train.py is now gluon-fg train; '),
        (['trian'], "unknown command of gluon-fg 'trian'; did you mean 'train' or 'transfer'?"),
        (['zoo', 'publsh'], "unknown command of gluon-fg zoo 'publsh'; did you mean 'publish'?"),
        (['train', '--conifg', 'x'], 'No such option: --conifg'),
        (['train', '--config', 'dfb/i3d_tiny_synthgf'], "unknown config 'dfb/i3d_tiny_synthgf'; did you mean"),
        (['train', '--set'], '--set needs a value, or several'),
        (['predict'], "Missing argument 'VIDEO...'; see gluon-fg predict --help"),
        (['predict', 'x.mp4', '--topk', 'three'], "Invalid value for '--topk': 'three' is not a valid integer; see"),
        (['study', 'dfb_synthgf', '--out', 'x'], "unknown config 'dfb_synthgf'; did you mean 'dfb_synthfg'"),
        (['study', 'dfb_synthfg', '--out', 'x', '--set', 'data.root'], '--set: write overrides as section.key=value'),
        (['data', 'check', 'synthgf'], "unknown dataset 'synthgf'; did you mean 'synthfg'"),
        (
            ['data', 'check', 'synthfg', '--root', 'nowhere'],
            'nowhere: no synthfg there; gluon-fg data prepare makes it',
        ),
        (['data', 'prepare', 'synthfg', '--boxes'], '--boxes belongs to --preview FILE.png'),
    ],
)
def test_a_mistake_is_one_line(words, said, error_line):
    assert said in error_line(*words)


def test_every_script_of_old_is_known():
    for script, words in base.REPLACED.items():
        assert not (REPO / 'scripts' / f'{script}.py').exists() or words.startswith(('explain', 'study'))
        assert words.split()[0] in main.places


def test_several_values_end_at_the_next_option(command):
    code, out, _ = command(
        'train', '--set', 'train.lr=0.5', 'train.seed=7', '--print-config', '--set', 'train.log_steps=3'
    )
    assert code == 0
    for line in ('  lr: 0.5', '  seed: 7', '  log_steps: 3'):
        assert f'\n{line}\n' in out


@pytest.mark.parametrize('error, code, said', [(KeyboardInterrupt(), 130, 'interrupted\n'), (BrokenPipeError(), 1, '')])
def test_what_ends_a_command_is_no_traceback(monkeypatch, command, error, code, said):
    def stop(*args):
        raise error

    monkeypatch.setattr(named_configs, 'find_config', stop)
    if code == 1:  # the reader of stdout is gone, and stderr is closed
        monkeypatch.setattr(sys, 'stderr', open(os.devnull, 'w'))
    assert command('train', '--config', 'x') == (code, '', said)


def test_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(named_configs, 'find_config', lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(['train', '--config', 'x'])


@pytest.mark.parametrize('name', ['train', 'evaluate', 'predict'])
def test_scripts_that_people_know_are_the_commands(name, monkeypatch, capfd):
    monkeypatch.setattr(sys, 'argv', [f'scripts/{name}.py', '--help'])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(REPO / 'scripts' / f'{name}.py'), run_name='__main__')
    assert stop.value.code == 0 and f'Usage: gluon-fg {name} ' in capfd.readouterr().out


def test_a_command_loads_what_the_start_left_out():
    """In a process of its own: the package is light at first, and whole when a command has loaded it."""
    code = (
        'import sys; sys.argv[0] = "gluon-fg"; import gluon_fg; from gluon_fg.cli.base import load_package; '
        'assert "mxnet" not in sys.modules and not hasattr(gluon_fg, "get_model"); load_package(); '
        'print(list(map(sys.modules.__contains__, ("mxnet", "gluoncv"))), gluon_fg.get_model.__module__)'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=REPO, capture_output=True, text=True)
    assert done.stdout.startswith('[True, True] gluon_fg.'), done.stderr
    assert not _runtime.running_command()


def test_sizes_in_the_help_are_those_of_the_sets():
    sizes = {'synthfg_images': synthfg.IMAGE_SIZES, 'synthfg_motion': synthfg.MOTION_SIZES}
    assert SIZES == {'synthfg': synthfg.SIZES, **sizes}


def test_configs_are_found_by_name(tmp_path, monkeypatch):
    whole = str(REPO / 'configs' / 'dfb' / 'i3d_tiny_synthfg.yaml')
    for name in ('dfb/i3d_tiny_synthfg', 'dfb/i3d_tiny_synthfg.yaml', 'configs/dfb/i3d_tiny_synthfg.yaml'):
        monkeypatch.chdir(tmp_path)
        assert named_configs.find_config(name) == whole
    (tmp_path / 'dfb').mkdir()
    (tmp_path / 'dfb' / 'i3d_tiny_synthfg').write_text('')
    assert named_configs.find_config('dfb/i3d_tiny_synthfg') == 'dfb/i3d_tiny_synthfg'  # a file of the user's wins
    assert named_configs.find_config('dfb_synthfg', 'studies').endswith('studies/dfb_synthfg.yaml')
    assert not any('/_' in name for name in named_configs.config_names())
    for name in ('../setup', 'dfb', '', 'dfb/../../model_zoo/index'):
        with pytest.raises(UserError, match='unknown config'):
            named_configs.find_config(name)


def test_the_doctor_gives_the_exit_code(command, monkeypatch):
    monkeypatch.setattr(doctor, 'main', lambda: 2)
    assert command('doctor')[0] == 2
