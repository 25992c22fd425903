import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from gluon_fg import get_model
from gluon_fg.nn.norm import freeze_batch_norm


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
