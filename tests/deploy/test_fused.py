import json

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import moderate

from gluon_fg.deploy.fused import fuse, fused_graph
from gluon_fg.nn import batch_norms

NAMES = ['i3d_tiny_custom_dfb', 'tsn_tiny_custom_dfb', 'i3d_tiny_custom']


@pytest.fixture(scope='module')
def nets():
    return {name: moderate(name) for name in NAMES}


@pytest.fixture(scope='module')
def fused(nets):
    return {name: fuse(net) for name, net in nets.items()}


@settings(max_examples=12, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    videos=st.integers(1, 3),
    frames=st.integers(2, 9),
    height=st.integers(32, 61),
    width=st.integers(32, 61),
    seed=st.integers(0, 1000),
)
def test_fused_equals_plain_for_one_size_after_another(nets, fused, name, videos, frames, height, width, seed):
    net = nets[name]
    shape = (
        (videos, 3, frames, height, width)
        if net.input_spec.ndim == 3
        else (videos * net.num_segments, 3, height, width)
    )
    x = mx.nd.array(np.random.default_rng(seed).normal(size=shape))
    plain, ours = net.branches(x), fused[name](x)
    assert len(ours) == len(net.branch_names)
    for a, b in zip(plain, ours):
        a, b = a.asnumpy(), b.asnumpy()
        assert a.shape == b.shape == (videos, 5)
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5 * max(np.abs(a).max(), 1))


@pytest.mark.parametrize('name', NAMES)
def test_batch_norm_and_convolution_are_one_from_the_fused_graph(nets, name):
    top = [node['op'] for node in json.loads(fused_graph(nets[name])[0].tojson())['nodes']]
    # the stem's stays: there the tiny networks pool between convolution and batch norm
    assert top.count('BatchNorm') == 1 and 'Convolution' not in top
    assert top.count('_sg_mkldnn_conv') >= len(batch_norms(nets[name]))


def test_an_answer_outlives_the_next_call(fused):
    x = mx.nd.random.normal(shape=(1, 3, 4, 32, 32))
    first = fused['i3d_tiny_custom_dfb'](x)
    kept = first[0].asnumpy().copy()
    fused['i3d_tiny_custom_dfb'](x * 5)[0].wait_to_read()
    np.testing.assert_array_equal(first[0].asnumpy(), kept)


def test_the_plain_network_stays_usable_and_num_segments_is_that_of_the_making(nets):
    net = nets['tsn_tiny_custom_dfb']
    segments = net.num_segments
    x = mx.nd.random.normal(shape=(2 * segments, 3, 32, 32))
    before = net(x).asnumpy()
    merged = fuse(net)
    net.num_segments = 1
    single = fuse(net)
    assert single(x)[0].shape == (2 * segments, 5) and merged(x)[0].shape == (2, 5)
    net.num_segments = segments
    np.testing.assert_array_equal(net(x).asnumpy(), before)
