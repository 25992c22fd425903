"""The methods on networks whose trained weights are to be had: the authors' I3D, MobileNetV2, EfficientNet-Lite0."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from networks import randomized

from gluon_fg.deploy.fused import fuse

SHORT = {'frames': 16, 'units': (1, 1, 1)}
METHODS = [
    ('i3d_inceptionv1_same_custom', '_dfb', {}),
    ('i3d_inceptionv1_same_custom', '_cidc', SHORT),
    ('i3d_inceptionv1_same_custom', '_u2s', {}),
    ('tsn_mobilenetv2_custom', '_dfb', {}),
    ('tsn_mobilenetv2_custom', '_u2s', {}),
    ('efficientnet_lite0_custom_images', '_dfb', {}),
]


@pytest.mark.parametrize('baseline, method, options', METHODS)
def test_a_method_holds_the_baseline_trains_whole_and_fuses(baseline, method, options):
    plain, net = randomized(baseline), randomized(baseline + method, **options)
    params = net._collect_params_with_prefix()
    for name, p in plain._collect_params_with_prefix().items():
        params[name].set_data(p.data())  # by name: the baseline's file is a start
    shape = (1, 3, 16, 48, 33) if baseline.startswith('i3d') else (net.num_segments, 3, 48, 33)
    x = mx.nd.random.normal(shape=shape)
    branches = dict(zip(net.branch_names, net.branches(x)))
    expected = plain(x).asnumpy()
    np.testing.assert_allclose(
        branches[net.global_branch].asnumpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )
    net.hybridize(static_alloc=True, static_shape=True)
    for ours, theirs in zip(fuse(net)(x), net.branches(x)):
        scale = max(1, np.abs(theirs.asnumpy()).max())
        np.testing.assert_allclose(ours.asnumpy(), theirs.asnumpy(), rtol=0, atol=1e-4 * scale)
    two = mx.nd.random.normal(shape=(2 * shape[0], *shape[1:]))  # batch norm of one 1x1 map leaves nothing
    with autograd.record():
        loss = net.loss(net.branches(two), mx.nd.array([1, 3]))
    loss.backward()
    assert loss.shape == (2,) and np.isfinite(loss.asnumpy()).all()
    for name, p in params.items():
        if p.grad_req != 'null':
            g = p.grad().asnumpy()
            assert np.isfinite(g).all() and np.abs(g).max() > 0, name
