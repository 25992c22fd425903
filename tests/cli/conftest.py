"""Commands inside this process: each start of MXNet costs seconds."""

import numpy as np
import pytest

from gluon_fg import get_model
from gluon_fg.cli import main


@pytest.fixture
def command(capfd):
    """`command('predict', ...)` -> (exit code, stdout, stderr)."""

    def run(*words):
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        return (stop.value.code, *capfd.readouterr())

    return run


@pytest.fixture
def error_line(command):
    """`error_line('predict', ...)` -> the one line on stderr of a command that must end with exit code 2."""

    def run(*words):
        code, _, err = command(*words)
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
