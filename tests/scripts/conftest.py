"""Running a script's `main` inside this process: each start of MXNet costs seconds."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from gluon_fg import errors
from gluon_fg.cli import main
from gluon_fg.factory import get_model

SCRIPTS = Path(__file__).resolve().parents[2] / 'scripts'


@pytest.fixture
def script_output(monkeypatch, capfd):
    """`script_output(script, arguments)` -> (exit code, stdout, stderr)."""

    def run(script, arguments):
        monkeypatch.setattr(sys, 'argv', [script, *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            if script in ('train.py', 'evaluate.py', 'predict.py'):
                main([script[: -len('.py')], *map(str, arguments)])
            errors.run(runpy.run_path(str(SCRIPTS / script))['main'])
        return (stop.value.code, *capfd.readouterr())

    return run


@pytest.fixture
def error_line(script_output):
    """`error_line(script, arguments)` -> the one line on stderr of a script that must end with exit code 2."""

    def run(script, arguments):
        code, _, err = script_output(script, arguments)
        lines = err.strip().splitlines()
        assert code == 2 and len(lines) == 1 and lines[0].startswith('error: '), err
        return lines[0]

    return run


@pytest.fixture(scope='session')
def u2s_params(tmp_path_factory):
    """name -> file of random weights; the U2S network's CSM holds the groups' classes to be confusing."""
    folder, files = tmp_path_factory.mktemp('params'), {}
    for name in ('topheavy_tiny_synthfg', 'topheavy_tiny_synthfg_u2s'):
        net, files[name] = get_model(name), folder / f'{name}.params'
        if name.endswith('_u2s'):
            groups = np.array(net.labels.groups)
            net.set_csm(groups[:, None] == groups[None])
        net.save_parameters(str(files[name]))
    return files
