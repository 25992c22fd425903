"""`gluon-fg zoo convert` without PyTorch, once as a user starts it: what it says and leaves behind."""

import os
import re
import sys

import mxnet as mx
import numpy as np
import pytest
from checkpoints import torch_former, torch_zip

from gluon_fg import factory
from gluon_fg.evaluation.load import load_network
from gluon_fg.weights.warm_start import warm_start

NORM = {'gamma': 'weight', 'beta': 'bias', 'running_mean': 'running_mean', 'running_var': 'running_var'}


def torchvision(name):
    stage, *rest = name.split('.')
    if stage == 'stem':
        return f'conv1.{rest[1]}' if rest[0] == '0' else f'bn1.{NORM[rest[1]]}'
    rest[-1] = NORM.get(rest[-1], rest[-1])
    return '.'.join([f'layer{int(stage[-1]) - 1}', *rest])


@pytest.fixture
def convert(command_done, monkeypatch):
    """Run it where PyTorch cannot be imported."""
    monkeypatch.setitem(sys.modules, 'torch', None)
    return lambda *args: command_done('zoo', 'convert', *args)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A frame network on ResNet-18 of 24 classes, under torchvision's names; and our network with those parameters."""
    net = factory.build('tsn_resnet18_v1b_custom', nclass=24)
    net.initialize(mx.init.Normal(0.1))
    arrays = {}
    for name, p in net._collect_params_with_prefix().items():
        name = name[len('branches.') :]
        theirs = f'fc.{name.split(".")[1]}' if name.startswith('classifier') else torchvision(name[len('backbone.') :])
        arrays[theirs] = p.data().asnumpy()
    path = tmp_path_factory.mktemp('checkpoint') / 'resnet18.pth'
    path.write_bytes(torch_former(arrays))
    return path, arrays, net


def test_the_file_is_the_network(run_command, checkpoint, tmp_path):
    path, _, net = checkpoint
    out = tmp_path / 'converted.params'
    (tmp_path / 'torch.py').write_text('raise ImportError("No module named torch")')
    paths = [str(tmp_path), os.environ.get('PYTHONPATH')]
    env = {'PYTHONPATH': os.pathsep.join(filter(None, paths))}
    done = run_command('zoo', 'convert', path, '--model', 'tsn_resnet18_v1b_custom', '--out', out, env=env)
    assert done.returncode == 0, done.stderr
    assert f'{out}: 102 parameters for tsn_resnet18_v1b_custom' in done.stdout
    x = mx.nd.random.normal(shape=(3, 3, 64, 64))
    loaded = load_network('tsn_resnet18_v1b_custom', str(out), nclass=24)
    np.testing.assert_array_equal(loaded(x).asnumpy(), net(x).asnumpy())


def test_an_imagenet_network_is_a_start_for_clips(convert, checkpoint, tmp_path):
    _, arrays, net = checkpoint
    path, out = tmp_path / 'imagenet.pth', tmp_path / 'start.params'
    head = {'fc.weight': np.zeros((1000, 512), 'float32'), 'fc.bias': np.zeros(1000, 'float32')}
    path.write_bytes(torch_zip({**arrays, **head}))
    said = convert(path).stdout.splitlines()
    assert said[0].startswith('recognized: ResNet (torchvision), 1000 classes') and 'i3d_resnet18_v1_custom' in said[1]
    done = convert(path, '--model', 'i3d_resnet18_v1_custom_dfb', '--options', 'nclass=5', '--out', out)
    assert done.returncode == 0, done.stderr
    assert 'train from them with model.params' in done.stdout
    other = factory.build('i3d_resnet18_v1_custom_dfb', nclass=5)
    other.initialize()
    assert len(warm_start(other, out).loaded) == 100
    given = net.branches.backbone.res4[1].conv2.weight.data().asnumpy()
    for frame in range(3):
        got = other.branches.backbone.res4[1].conv2.weight.data().asnumpy()[:, :, frame]
        np.testing.assert_allclose(got, given / 3, rtol=1e-6)


def test_classes_in_another_order_are_put_into_ours(convert, checkpoint, tmp_path):
    path, arrays, _ = checkpoint
    ours = factory.build('tsn_tiny_synthfg').classes
    shuffled = [ours[i] for i in np.random.RandomState(3).permutation(24)]
    (tmp_path / 'classes.txt').write_text('\n'.join(shuffled))
    model = ('--model', 'tsn_resnet18_v1b_custom', '--classes', tmp_path / 'classes.txt')
    done = convert(path, *model, '--out', tmp_path / 'custom.params')
    assert done.returncode == 0 and 'predict too' in done.stdout, done.stderr
    np.testing.assert_array_equal(
        mx.nd.load(str(tmp_path / 'custom.params'))['branches.classifier.bias'].asnumpy(), arrays['fc.bias']
    )
    (tmp_path / 'classes.txt').write_text('\n'.join(shuffled[1:]))
    done = convert(path, *model, '--out', tmp_path / 'short.params')
    assert done.returncode == 2 and 'has 23 class names' in done.stderr and not (tmp_path / 'short.params').exists()


@pytest.mark.parametrize('arguments, message', [
    (['--model', 'tsn_resnet18_v1b_kinetics400', '--out', 'x.params'], 'this checkpoint has 24 classes, .* has 400'),
    (['--model', 'tsn_resnet18_v1b_custom'], 'give --model and --out together'),
    (['--model', 'tsn_resnet18_v1b_custom', '--out', 'x.pth'], 'choose a name that ends in .params'),
    (['--model', 'tsn_resnet18_custom', '--out', 'x.params'], "unknown model 'tsn_resnet18_custom'; did you mean"),
    (['--model', 'tsn_resnet50_v1b_custom', '--out', 'x.params'], 'built on resnet50_v1b, and this is ResNet'),
])  # fmt: skip
def test_mistakes_get_one_line_and_leave_no_file(convert, checkpoint, tmp_path, arguments, message):
    arguments = [str(tmp_path / a) if a.startswith('x.') else a for a in arguments]
    done = convert(checkpoint[0], *arguments)
    assert (done.returncode, done.stdout, done.stderr.count('\n')) == (2, '', 1)
    assert done.stderr.startswith('error: ')
    assert re.search(message, done.stderr), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_over_stops_it(convert, checkpoint, tmp_path):
    path = tmp_path / 'more.pth'
    path.write_bytes(torch_zip({**checkpoint[1], 'layer1.0.se.fc.weight': np.zeros(3)}))
    done = convert(path, '--model', 'tsn_resnet18_v1b_custom', '--out', tmp_path / 'x.params')
    assert done.returncode == 2 and '1 of 103 parameters are not of it: layer1.0.se.fc.weight' in done.stderr
    assert str(path) in done.stderr and not (tmp_path / 'x.params').exists()
