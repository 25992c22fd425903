"""Optimizers against NumPy, shares of the learning rate, and what stays frozen."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from test_loop import config, run  # noqa: F401  (a fixture)

from gluon_fg import get_model
from gluon_fg.errors import UserError
from gluon_fg.nn.norm import batch_norms
from gluon_fg.training.config import TrainConfig, load_config
from gluon_fg.training.optimizer import freeze_parts
from gluon_fg.training.run import build_network
from gluon_fg.training.start import begin


def adamw(weight, gradients, lr, wd, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Algorithm 2 of Loshchilov and Hutter, in float64."""
    mean = variance = np.zeros_like(weight)
    for t, g in enumerate(gradients, 1):
        mean, variance = beta1 * mean + (1 - beta1) * g, beta2 * variance + (1 - beta2) * g * g
        step = (mean / (1 - beta1**t)) / (np.sqrt(variance / (1 - beta2**t)) + epsilon)
        weight = weight - lr * (step + wd * weight)
    return weight


def test_adamw_equals_numpy_and_resumes(tmp_path):
    """Gradients are sums over clips; a share of the rate is a share of step and decay, of each parameter its own."""
    shares = [0.5, 1, 2]
    starts = [np.random.normal(size=(3, 5)) for _ in shares]
    gradients = np.random.normal(size=(6, len(shares), 3, 5))

    def trainer_of(weights):
        params = [gluon.Parameter(f'w{n}', shape=(3, 5)) for n in range(len(weights))]
        for p, weight, share in zip(params, weights, shares):
            p.initialize()
            p.set_data(mx.nd.array(weight))
            p.lr_mult = share
        return params, gluon.Trainer(params, 'adamw', {'learning_rate': 0.1, 'wd': 0.01}, kvstore=None)

    def learn(params, trainer, some):
        for step in some:
            with autograd.record():
                loss = mx.nd.add_n(*((p.data() * mx.nd.array(4 * g)).sum() for p, g in zip(params, step)))
            loss.backward()
            trainer.step(4)
        return [p.data().asnumpy() for p in params]

    whole = learn(*trainer_of(starts), gradients)
    for n, share in enumerate(shares):
        expected = adamw(starts[n], gradients[:, n], 0.1 * share, 0.01)
        np.testing.assert_allclose(whole[n], expected, rtol=1e-5, atol=1e-6)
    params, trainer = trainer_of(starts)
    half = learn(params, trainer, gradients[:3])
    trainer.save_states(str(tmp_path / 'states'))
    params, trainer = trainer_of(half)
    trainer.load_states(str(tmp_path / 'states'))
    np.testing.assert_array_equal(learn(params, trainer, gradients[3:]), whole)


def test_a_run_with_adamw_learns_and_its_config_is_kept(config, tmp_path):  # noqa: F811
    _, records, _ = run(config('train.optimizer=adamw', 'train.lr=0.003', 'train.epochs=4'), tmp_path / 'run')
    assert records[-1]['loss'] < records[0]['loss']
    assert 'optimizer: adamw' in (tmp_path / 'run/config.yaml').read_text()


def moved(before, after, part):
    """How far the parameters of a part went, one vector."""
    names = [name for name in sorted(before) if name.startswith(part) and not name.endswith(('mean', 'var'))]
    return np.concatenate([(after[name].asnumpy() - before[name]).ravel() for name in names])


def test_backbone_and_new_layers_have_shares_of_the_rate(config, tmp_path):  # noqa: F811
    """From a baseline's weights a DFB's bank and local branch are new; its classifier is not."""
    baseline = get_model('i3d_tiny_synthfg', pretrained=True)
    baseline.save_parameters(str(tmp_path / 'baseline.params'))
    given = (f'model.params={tmp_path / "baseline.params"}', 'train.batch_size=48')
    plain = ('train.momentum=0', 'train.wd=0', 'train.lr=0.01')
    shares = ('train.lr_backbone=0.25', 'train.lr_new=2')
    ends = {}
    for name, extra in (('equal', ()), ('shares', shares)):
        made = config(*given, *plain, *extra, model='i3d_tiny_synthfg_dfb')
        ends[name] = run(made, tmp_path / name)[2]
    mx.random.seed(0)
    np.random.seed(0)
    net = build_network(config(model='i3d_tiny_synthfg_dfb'), mx.cpu())
    before = {n: p.data().asnumpy() for n, p in net._collect_params_with_prefix().items()}
    before.update({n: p.data().asnumpy() for n, p in baseline._collect_params_with_prefix().items()})
    for part, share in (('branches.backbone', 0.25), ('branches.bank', 2), ('branches.local', 2)):
        equal, shared = (moved(before, ends[name], part) for name in ('equal', 'shares'))
        assert np.linalg.norm(shared - share * equal) < 1e-3 * np.linalg.norm(shared), part
    equal, shared = (moved(before, ends[name], 'branches.classifier') for name in ('equal', 'shares'))
    np.testing.assert_allclose(shared, equal, rtol=1e-4, atol=1e-7)


def test_frozen_stages_do_not_change(config, tmp_path):  # noqa: F811
    made = config('train.freeze=[stem, res2]', 'model.pretrained=true')
    _, _, after = run(made, tmp_path / 'run')
    before = get_model('i3d_tiny_synthfg', pretrained=True)._collect_params_with_prefix()
    same = {n for n, p in before.items() if np.array_equal(p.data().asnumpy(), after[n].asnumpy())}
    expected = {n for n in before if n.startswith(('branches.backbone.stem.', 'branches.backbone.res2.'))}
    assert same == expected


@pytest.mark.parametrize(
    'override, message',
    [
        ('train.freeze=[res1]', "unknown stage in train.freeze 'res1'; did you mean"),
        ('train.optimizer=adam', "train.optimizer is 'adam'; it must be sgd or adamw"),
        ('train.lr_new=0', 'train.lr_new is 0.0; it must be'),
    ],
)
def test_what_cannot_be_is_refused(override, message, config, tmp_path):  # noqa: F811
    with pytest.raises(UserError, match=message) as caught:
        run(config(override), tmp_path / 'run')
    assert '\n' not in str(caught.value) and not (tmp_path / 'run').exists()  # the folder stays free


def layer_names(net):
    names = {p.name: name for name, p in net._collect_params_with_prefix().items()}
    return {id(layer): names[layer.gamma.name].rsplit('.', 1)[0] for layer in batch_norms(net)}


@pytest.mark.parametrize('name, new', [('i3d_resnet50_v1_custom_dfb', 11), ('i3d_resnet50_v1_custom_cidc', 16)])
@pytest.mark.parametrize('mode', ['frozen', 'partial'])
def test_batch_norm_of_new_branches_is_not_frozen(name, new, mode):
    """The backbone has statistics (here as if loaded), the fine-grained branch has none: each layer by its name."""
    net = get_model(name, nclass=4, pretrained_base=False)
    for layer in batch_norms(net.branches.backbone):
        layer.running_mean.set_data(mx.nd.ones(layer.running_mean.shape))
    names = layer_names(net)
    count = freeze_parts(net, TrainConfig(batch_norm=mode))
    assert count == (52 if mode == 'partial' else 53)
    frozen = {names[id(layer)] for layer in batch_norms(net) if layer._kwargs['use_global_stats']}
    learning = set(names.values()) - frozen
    assert count == len(frozen)
    first = {'branches.backbone.stem.1'} if mode == 'partial' else set()
    branch = 'branches.local.' if name.endswith('dfb') else 'branches.cidc.'
    assert {n for n in learning if n.startswith(branch)} == learning - first and first <= learning
    assert len(learning - first) == new and all(n.startswith('branches.backbone.') for n in frozen)


@pytest.mark.parametrize('method, branch', [('dfb', 'xchannel'), ('cidc', 'cidc')])
def test_a_new_branch_starts_at_the_scale_of_batch_statistics_beside_a_frozen_backbone(method, branch):
    """Frozen at mean 0 and variance 1 it would normalize nothing: z_cidc began 15 times too large."""
    net = get_model(f'i3d_resnet50_v1_custom_{method}', nclass=4, pretrained_base=False, dropout=0.0)
    x, at = mx.nd.random.normal(shape=(2, 3, 32, 32, 32)), net.branch_names.index(branch)
    backbone = batch_norms(net.branches.backbone)
    for layer in backbone:
        layer._kwargs['momentum'] = 0  # the statistics of this batch are "loaded"
    with autograd.record():
        outputs = net.branches(x)
        net.loss(outputs, mx.nd.array([0, 3])).backward()
    mx.nd.waitall()
    for layer in batch_norms(net):
        if all(layer is not loaded for loaded in backbone):  # which the pass has changed, too
            layer.running_mean.set_data(mx.nd.zeros(layer.running_mean.shape))
            layer.running_var.set_data(mx.nd.ones(layer.running_var.shape))
    freeze_parts(net, TrainConfig(batch_norm='partial'))
    with autograd.train_mode():
        beside_frozen = net.branches(x)[at]
    assert beside_frozen.asnumpy().std() == pytest.approx(outputs[at].asnumpy().std(), rel=0.1)


def test_a_published_networks_classifier_is_new_for_other_classes():
    """By its weights alone: those of the same classes leave nothing untrained, a random network everything."""
    same, other = (get_model('i3d_tiny_synthfg_dfb', pretrained=True, **options) for options in ({}, {'nclass': 5}))
    assert same.untrained == frozenset() and get_model('i3d_tiny_synthfg').untrained is None
    assert other.untrained == set(other.class_parameters())
    settings = ['model.name=i3d_tiny_synthfg_dfb', 'model.pretrained=true', 'model.nclass=5']
    assert begin(load_config(None, settings), mx.cpu())[1].untrained == other.untrained
