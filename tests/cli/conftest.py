"""What tests of several commands need."""

import numpy as np
import pytest

from gluon_fg import get_model


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
