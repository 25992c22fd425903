"""Networks of the zoo with weights that hide nothing, and their parameters as NumPy arrays."""

import mxnet as mx

from gluon_fg import factory
from gluon_fg.nn.norm import batch_norms

CLASSES = 5


def randomize(net):
    """Give a network, or a part of one, random weights for which no batch norm is the identity."""
    net.initialize(mx.init.MSRAPrelu('in', 0), force_reinit=True)
    for layer in batch_norms(net):
        for name, p in layer.params.items():
            if not layer._kwargs['fix_gamma'] or name.endswith(('mean', 'var')):
                p.set_data(mx.nd.random.uniform(0.5, 1.5, shape=p.shape))
    return net


def randomized(name, **options):
    """A recognizer with random weights for which no layer is the identity."""
    net = factory.build(name, nclass=CLASSES, **options)
    net.initialize(mx.init.MSRAPrelu('in', 0))
    for name, p in net._collect_params_with_prefix().items():
        if name.split('.')[-1] in ('gamma', 'beta', 'running_mean', 'running_var'):
            p.set_data(mx.nd.random.uniform(0.5, 1.5, shape=p.shape))
        elif name.endswith('bias'):
            p.set_data(mx.nd.random.normal(shape=p.shape))
    return net


def parameters(net):
    """Structural name -> values."""
    return {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}
