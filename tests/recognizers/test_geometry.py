import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from gluon_fg import get_model
from gluon_fg.nn.norm import freeze_batch_norm
from gluon_fg.recognizers import DFB


@pytest.mark.parametrize('cell', [(9, 10), (10, 9), (11, 11)])
def test_a_response_depends_on_nothing_outside_its_field(cell):
    """Even and odd cells of the up-sampled map mix other neighbours; the claimed field must hold for both."""
    net = get_model('tsn_tiny_custom_dfb', nclass=2, num_segments=1)
    freeze_batch_norm(net)  # batch statistics would see everything
    for name, p in net.collect_params().items():
        if name.endswith('weight'):
            p.set_data(mx.nd.ones(p.shape) / np.prod(p.shape[1:]))  # averages: nothing cancels, no ReLU is dead
    x = mx.nd.ones((1, 3, 176, 176)) * 0.1
    x.attach_grad()
    with autograd.record():
        net.filter_responses(x)[0, 0, cell[0], cell[1]].backward()
    reach = np.argwhere(np.abs(x.grad.asnumpy()).sum((0, 1)) > 0)
    geometry = net.response_geometry
    center, half = np.array(geometry.center(0, *cell)[1:]), geometry.field[1] / 2
    distance = np.abs(reach - center).max()
    assert distance <= half
    assert distance >= half - 1.5 * geometry.stride[1]


@pytest.mark.parametrize('backbone', ['i3d_inceptionv1_same', 'i3d_inceptionv1'])
@pytest.mark.parametrize('axis, size', [(0, (160, 32, 32)), (1, (16, 512, 32))])
def test_the_field_of_a_branch_that_is_up_sampled_in_time_ends_where_it_says(backbone, axis, size):
    """Weights are averages, so that a brighter frame (or row) shows in every response that sees it, and in no other."""
    net = DFB.build(backbone, 1, filters_per_class=1, skip='none')
    net.initialize()
    for name, p in net._collect_params_with_prefix().items():
        if name.endswith('weight'):
            p.set_data(mx.nd.ones(p.shape) / np.prod(p.shape[1:]))
    geometry = net.response_geometry
    middle = int(size[axis] / geometry.stride[axis] / 2)
    for cell in (middle, middle + 1):  # they mix other neighbors of stage 5, and so reach further on one side
        center, half = geometry.offset[axis] + geometry.stride[axis] * cell, (geometry.field[axis] - 1) / 2
        far = int(center - half) if cell % 2 == 0 else int(center + half)
        out = -1 if cell % 2 == 0 else 1
        changed = []
        for place in (None, far + out, far):
            x = np.full((1, 3, *size), 0.1, 'float32')
            if place is not None:
                x[(slice(None),) * (2 + axis) + (place,)] += 100
            changed.append(net.filter_responses(mx.nd.array(x)).asnumpy().max((0, 1)).take(cell, axis).max())
        assert changed[1] == changed[0] and changed[2] > changed[0], (cell, far)
