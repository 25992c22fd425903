"""Networks of the zoo with weights that hide nothing, and their parameters as NumPy arrays."""

import mxnet as mx
import numpy as np

from gluon_fg import factory
from gluon_fg.nn.norm import batch_norms

CLASSES = 5


STATISTICS = ('gamma', 'beta', 'running_mean', 'running_var')


def randomize_norms(net, center=1.0):
    """Give an initialized network's batch norms numbers for which none is the identity; returns the network.

    Scales and variances lie around 1, shifts and means around `center`, each by at most a half.
    """
    for name, p in net._collect_params_with_prefix().items():
        kind = name.split('.')[-1]
        if kind in STATISTICS:
            middle = 1.0 if kind in ('gamma', 'running_var') else center
            p.set_data(mx.nd.random.uniform(middle - 0.5, middle + 0.5, shape=p.shape))
    return net


def randomize(net):
    """Give a network, or a part of one, random weights for which no batch norm is the identity.

    Weights have the variance of `MSRAPrelu`, but evenly distributed: large networks take a quarter of the time so.
    """
    net.initialize(mx.init.Xavier('uniform', 'in', 6), force_reinit=True)
    for layer in batch_norms(net):
        for name, p in layer.params.items():
            if not layer._kwargs['fix_gamma'] or name.endswith(('mean', 'var')):
                p.set_data(mx.nd.random.uniform(0.5, 1.5, shape=p.shape))
    return net


def moderate(name):
    """A recognizer whose batch norms and biases are random and small, so that its logits stay of usual size; seeded."""
    net = factory.get_model(name, nclass=CLASSES, pretrained_base=False)
    rng = np.random.default_rng(0)
    for key, p in net.collect_params().items():
        if key.endswith(('gamma', 'running_var')):
            p.set_data(mx.nd.array(rng.uniform(0.5, 1.5, p.shape)))
        if key.endswith(('beta', 'bias', 'running_mean')):
            p.set_data(mx.nd.array(rng.uniform(-0.3, 0.3, p.shape)))
    return net


def randomized(name, bias_scale=1.0, **options):
    """A recognizer with random weights for which no layer is the identity, biases of a standard deviation."""
    net = factory.build(name, nclass=CLASSES, **options)
    net.initialize(mx.init.MSRAPrelu('in', 0))
    for part, p in net._collect_params_with_prefix().items():
        if part.split('.')[-1] in STATISTICS:
            p.set_data(mx.nd.random.uniform(0.5, 1.5, shape=p.shape))
        elif part.endswith('bias') or part == 'branches.masks.weight':
            p.set_data(mx.nd.random.normal(scale=bias_scale, shape=p.shape))
        elif part == 'branches.gate.scale':
            p.set_data(mx.nd.random.uniform(1, 2, shape=p.shape))
    return net


def parameters(net):
    """Structural name -> values."""
    return {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}


def randomize_torch(net):
    """Give a PyTorch network statistics and biases as a trained one might have, weights that keep the signal's size."""
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5, generator=generator)
            for tensor in (module.bias.data, module.running_mean):
                tensor.uniform_(-0.5, 0.5, generator=generator)
        elif isinstance(module, (nn.Conv2d, nn.Conv3d, nn.Linear)):
            module.weight.data.normal_(0, (2 / module.weight[0].numel()) ** 0.5, generator=generator)
    return net.eval()
