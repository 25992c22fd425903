"""Where a training step's time goes, as oneDNN tells it."""

import pytest

from gluon_fg.deploy.step_profile import profile, read, table
from gluon_fg.errors import UserError


def test_no_layer_of_dfb_trains_in_a_reference_kernel():
    """Its batch norm before the filter bank did, on processors with AVX-512, for a quarter of the step."""
    profiled = profile('i3d_tiny_synthfg_dfb', clips=2, steps=1)
    assert profiled.slow == []
    calls = {row.kind: row.calls for row in profiled.kernels}
    assert calls['batch_normalization backward'] == 15 and calls['convolution backward_weights'] == 16
    assert 0 < sum(row.ms for row in profiled.kernels)


def test_kernels_are_added_up_over_steps_and_reference_kernels_named():
    run = 'dnnl_verbose,exec,cpu,{},forward_training,data_f32::blocked:abcd:f0,,,1x16x4x4,{}'
    lines = [run.format('softmax,ref:any', 100), 'gluon_fg: a step begins']
    for ms in (1.0, 3.0):
        lines += [run.format('convolution,jit:avx2', ms), run.format('batch_normalization,bnorm_ref:any', 2 * ms)]
        lines += ['something else', f'gluon_fg: the step took {4 * ms}']
    profiled = read(lines, 2)
    assert [tuple(row) for row in profiled.kernels] == [
        ('batch_normalization forward_training', 1, 4),
        ('convolution forward_training', 1, 2),
    ]
    assert profiled.slow == ['batch_normalization bnorm_ref:any forward_training'] and profiled.ms == 8
    assert '| outside oneDNN | | 2.0 | 25% |' in table(profiled)


def test_an_unknown_name_is_one_line():
    with pytest.raises(UserError, match="unknown model 'i3d_tinny'; did you mean") as caught:
        profile('i3d_tinny')
    assert '\n' not in str(caught.value)
