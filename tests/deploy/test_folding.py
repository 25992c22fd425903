"""What depends on parameters alone is computed once, to the same numbers."""

import json

import mxnet as mx
import numpy as np
import pytest
from networks import randomized

from gluon_fg.deploy.folding import fold
from gluon_fg.nn.norm import deploy_symbol


def operators(symbol):
    return [node['op'] for node in json.loads(symbol.tojson())['nodes']]


def values(symbol, params, **inputs):
    given = {**{key.split(':', 1)[1]: value for key, value in params.items()}, **inputs}
    outputs = mx.nd.CachedOp(symbol)(*(given[name] for name in symbol.list_inputs()))
    return [out.asnumpy() for out in (outputs if isinstance(outputs, list) else [outputs])]


def of_parameters_alone(symbol):
    """The operators of a graph that do not see its input 'data'."""
    nodes = json.loads(symbol.tojson())['nodes']
    sees = []
    for node in nodes:
        sees.append(node['name'] == 'data' or any(sees[source] for source, *_ in node['inputs']))
    return {node['op'] for node, seen in zip(nodes, sees) if not seen} - {'null'}


def array(*shape):
    return mx.nd.array(np.random.RandomState(len(shape)).normal(size=shape).astype('float32'))


def test_a_folded_graph_has_what_computes_parameters_no_more_and_gives_the_same():
    x, w, b = mx.sym.var('x'), mx.sym.var('w'), mx.sym.var('b')
    first, second = mx.sym.split(mx.sym.softmax(w), num_outputs=2, axis=0, squeeze_axis=True)
    y = mx.sym.FullyConnected(x, mx.sym.concat(first, second + 1, dim=0), b, num_hidden=4)
    params = {'arg:w': array(2, 2, 3), 'arg:b': array(4)}

    folded, kept = fold(y, params)

    assert operators(folded) == ['null', 'null', 'null', 'FullyConnected']
    assert len(kept) == 2 and kept['arg:b'] is params['arg:b']
    assert folded.list_outputs() == y.list_outputs()
    np.testing.assert_array_equal(values(folded, kept, x=array(5, 3)), values(y, params, x=array(5, 3)))


def test_several_outputs_of_a_folded_operator_are_parameters_of_their_own():
    x, w = mx.sym.var('x'), mx.sym.var('w')
    first, second = mx.sym.split(w, num_outputs=2, axis=0)
    y = mx.sym.broadcast_add(mx.sym.broadcast_mul(x, first), second)
    params = {'arg:w': array(2, 3)}

    folded, kept = fold(y, params)

    assert sorted(value.shape for value in kept.values()) == [(1, 3), (1, 3)]
    np.testing.assert_array_equal(values(folded, kept, x=array(4, 3)), values(y, params, x=array(4, 3)))


def test_an_output_that_depends_on_no_input_stays_an_output():
    x, w = mx.sym.var('x'), mx.sym.var('w')
    both = mx.sym.Group([mx.sym.exp(x), mx.sym.sum(w * w)])
    params = {'arg:w': array(3, 2)}

    folded, kept = fold(both, params)

    assert len(folded.list_outputs()) == 2 and 'sum' not in operators(folded)
    for old, new in zip(values(both, params, x=array(2)), values(folded, kept, x=array(2))):
        np.testing.assert_array_equal(new, old)


def test_nodes_of_one_name_are_told_apart():
    x = mx.sym.var('x')
    y = mx.sym.broadcast_add(x, mx.sym.exp(mx.sym.var('w'), name='same'))
    y = mx.sym.broadcast_mul(y, mx.sym.exp(mx.sym.var('v'), name='same'))
    params = {'arg:w': array(1, 3), 'arg:v': array(1, 3) + 2}

    folded, kept = fold(y, params)

    assert len(set(kept)) == 2
    np.testing.assert_array_equal(values(folded, kept, x=array(4, 3)), values(y, params, x=array(4, 3)))


def test_random_numbers_are_drawn_at_every_call():
    x = mx.sym.var('x')
    y = x + mx.sym.random.uniform(shape=(1000,)) * mx.sym.zeros((1000,))
    folded, _ = fold(y, {})
    assert any('uniform' in operator for operator in operators(folded))


def test_a_graph_without_anything_to_fold_is_given_back():
    y = mx.sym.FullyConnected(mx.sym.var('x'), mx.sym.var('w'), num_hidden=2, no_bias=True)
    params = {'arg:w': array(2, 3)}
    assert fold(y, params) == (y, params)


@pytest.mark.parametrize('name', ['i3d_tiny_custom_dfb', 'i3d_tiny_custom_cidc', 'topheavy_tiny_custom_u2s'])
def test_networks_fold_to_the_bit(name):
    net = randomized(name)
    symbol, params = deploy_symbol(net.branches)
    x = array(2, 3, net.input_spec.frames, 32, 32)

    folded, kept = fold(symbol, params)

    assert of_parameters_alone(folded) <= {'_copy'}  # of w_regular, an output
    for old, new in zip(values(symbol, params, data=x), values(folded, kept, data=x)):
        np.testing.assert_array_equal(new, old)


def test_what_depends_on_sizes_is_a_parameter_where_they_are_known():
    x = mx.sym.var('data')
    y = mx.sym.broadcast_add(x, mx.sym.exp(mx.sym.contrib.arange_like(x, axis=1)))

    folded, kept = fold(y, {}, (2, 3))

    assert operators(folded) == ['null', 'null', 'broadcast_add'] and len(kept) == 1
    np.testing.assert_array_equal(values(folded, kept, data=array(5, 3)), values(y, {}, data=array(5, 3)))
    assert '_contrib_arange_like' in operators(fold(mx.sym.contrib.arange_like(x, axis=0) * x, {}, (3,))[0])
