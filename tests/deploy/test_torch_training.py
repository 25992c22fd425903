"""The networks that a training step is timed beside: the same outputs, losses and gradients in PyTorch."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from gluon_fg import get_model
from gluon_fg.errors import UserError

torch = pytest.importorskip('torch')


def test_loss_and_gradients_are_those_of_pytorch():
    """Two frameworks, one arithmetic: what the graph for training rearranges changes rounding alone."""
    from gluon_fg.deploy.torch_training import twin

    net = get_model('i3d_tiny_synthfg', pretrained=True)
    module = twin(net).double()
    net.hybridize(static_alloc=True, static_shape=True)
    x, label = mx.nd.random.uniform(-1, 1, shape=(3, 3, 8, 48, 48)), mx.nd.array([0, 5, 23])
    with autograd.record():
        loss = net.loss(net.branches(x), label).sum()
    loss.backward()
    logits = module(torch.from_numpy(x.asnumpy()).double())
    theirs = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 5, 23]), reduction='sum')
    theirs.backward()
    assert float(loss.asscalar()) == pytest.approx(float(theirs.detach()), rel=1e-4)
    backbone = net.branches.backbone
    for p, wanted in (
        (backbone.stem[0].weight, module.parts['stem'][0].weight),
        (backbone.res4[0].conv1.weight, module.parts['res4'][0].first[0].weight),
        (backbone.res5[0].downsample[1].gamma, module.parts['res5'][0].shortcut[1].weight),
        (net.branches.classifier.weight, module.classifier.weight),
    ):
        wanted = wanted.grad.numpy()
        assert np.linalg.norm(p.grad().asnumpy() - wanted) < 5e-3 * np.linalg.norm(wanted), p.name


def test_networks_without_a_twin_are_refused():
    from gluon_fg.deploy.torch_training import twin

    with pytest.raises(UserError, match='has no twin in PyTorch; choose i3d_tiny_synthfg'):
        twin(get_model('tsn_tiny_synthfg'))
