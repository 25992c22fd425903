"""PyTorch checkpoints told apart and renamed: NumPy alone, names written out as they stand in real checkpoints."""

import mxnet as mx
import numpy as np
import pytest
from checkpoint_names import efficientnet, gluoncv, mmaction, mobilenetv2, pytorch_i3d, shifted, torchvision

from gluon_fg import factory, registry
from gluon_fg.backbones import get_backbone
from gluon_fg.errors import UserError
from gluon_fg.weights.inflate import inflate
from gluon_fg.weights.torch_convert import backbones_for, fit, reorder_classes
from gluon_fg.weights.torch_names import recognize

LAYOUTS = {
    'resnet18_v1b': ('ResNet (torchvision)', torchvision, 'fc'),
    'resnet152_v1b': ('ResNet (torchvision)', torchvision, 'fc'),
    'resnet50_v1b': ('ResNet (torchvision)', torchvision, 'fc'),
    'resnet50_v1b tsn': ('TSN ResNet', lambda n: 'module.base_model.' + torchvision(n), 'module.new_fc'),
    'resnet50_v1b no dropout': ('TSN ResNet', lambda n: 'base_model.' + torchvision(n), 'base_model.fc'),
    'tsm_resnet50_v1b': ('TSM ResNet', lambda n: 'module.base_model.' + shifted(torchvision(n)), 'module.new_fc'),
    'resnet50_v1b mm': ('TSN ResNet (MMAction2)', mmaction, 'cls_head.fc_cls'),
    'tsm_resnet50_v1b mm': (
        'TSM ResNet (MMAction2)',
        lambda n: mmaction(n).replace('.conv1.conv.', '.conv1.conv.net.') if n[:3] == 'res' else mmaction(n),
        'cls_head.fc_cls',
    ),
    'i3d_resnet50_v1 mm': ('I3D ResNet (MMAction2)', mmaction, 'cls_head.fc_cls'),
    'i3d_resnet101_v1': ('I3D ResNet (GluonCV for PyTorch)', gluoncv, 'fc'),
    'i3d_inceptionv1_same': ('I3D Inception-V1 (pytorch-i3d)', pytorch_i3d, 'logits.conv3d'),
    'i3d_inceptionv1_same_flow': ('I3D Inception-V1 (pytorch-i3d)', pytorch_i3d, 'logits.conv3d'),
    'mobilenetv2': ('MobileNetV2 (torchvision)', mobilenetv2, 'classifier.1'),
    'efficientnet_lite0': ('EfficientNet-Lite0', efficientnet, '_fc'),
}
REAL = {
    'resnet18_v1b': ['conv1.weight', 'bn1.running_var', 'layer2.0.downsample.1.bias', 'layer4.1.conv2.weight'],
    'resnet152_v1b': ['layer1.0.downsample.0.weight', 'layer3.35.bn3.weight'],
    'resnet50_v1b tsn': ['module.base_model.conv1.weight', 'module.base_model.layer1.0.bn1.weight'],
    'resnet50_v1b no dropout': ['base_model.layer4.2.conv3.weight', 'base_model.fc.weight'],
    'tsm_resnet50_v1b': ['module.base_model.layer1.0.conv1.net.weight', 'module.base_model.layer4.2.conv2.weight'],
    'resnet50_v1b mm': ['backbone.conv1.conv.weight', 'backbone.conv1.bn.weight', 'backbone.layer1.0.conv3.bn.bias',
                        'backbone.layer4.0.downsample.conv.weight', 'backbone.layer4.0.downsample.bn.running_mean'],
    'tsm_resnet50_v1b mm': ['backbone.layer2.0.conv1.conv.net.weight', 'backbone.layer2.0.conv2.conv.weight'],
    'i3d_resnet50_v1 mm': ['backbone.layer1.0.conv1.conv.weight', 'cls_head.fc_cls.bias'],
    'i3d_resnet101_v1': ['first_stage.0.weight', 'first_stage.1.running_mean', 'res_layers.0.0.conv1.weight',
                         'res_layers.2.22.bn3.bias', 'res_layers.3.0.downsample.1.weight'],
    'i3d_inceptionv1_same': ['Conv3d_1a_7x7.conv3d.weight', 'Conv3d_2c_3x3.bn.running_var', 'Mixed_3b.b0.conv3d.weight',
                             'Mixed_4f.b2b.bn.weight', 'Mixed_5c.b3b.conv3d.weight', 'logits.conv3d.bias'],
    'mobilenetv2': ['features.0.0.weight', 'features.0.1.running_var', 'features.1.conv.0.0.weight',
                    'features.1.conv.1.weight', 'features.1.conv.2.bias', 'features.2.conv.0.1.running_mean',
                    'features.17.conv.1.0.weight', 'features.17.conv.3.running_var', 'features.18.0.weight',
                    'features.18.1.num_batches_tracked', 'classifier.1.weight'],
    'efficientnet_lite0': ['_conv_stem.weight', '_bn0.running_var', '_blocks.0._depthwise_conv.weight',
                           '_blocks.0._bn2.bias', '_blocks.1._expand_conv.weight', '_blocks.1._bn0.running_mean',
                           '_blocks.15._project_conv.weight', '_blocks.15._bn2.running_var', '_conv_head.weight',
                           '_bn1.weight', '_fc.bias'],
}  # fmt: skip


def fake(key, classes=5, seed=0):
    """A checkpoint of random numbers: of the right shapes, under their names; and ours -> theirs."""
    _, theirs, head = LAYOUTS[key]
    random, names = np.random.RandomState(seed), {}
    net = get_backbone(key.split()[0])
    shapes = {name: p.shape for name, p in net._collect_params_with_prefix().items()}
    names = {f'backbone.{name}': theirs(name) for name in shapes}
    arrays = {theirs(name): random.rand(*shape).astype('float32') for name, shape in shapes.items()}
    arrays[f'{head}.weight'] = random.rand(classes, net.channels[5], *[1] * (3 * ('logits' in head))).astype('float32')
    arrays[f'{head}.bias'] = random.rand(classes).astype('float32')
    for name in list(arrays):
        if name.endswith('running_var'):
            arrays[name[: -len('running_var')] + 'num_batches_tracked'] = np.array(7)
    return arrays, names


@pytest.mark.parametrize('key', LAYOUTS)
def test_each_layout_is_recognized_and_every_parameter_finds_its_place(key):
    arrays, names = fake(key)
    assert set(REAL.get(key, [])) <= set(arrays), 'the names made up here are not the real ones'
    checkpoint = recognize(arrays)
    assert (checkpoint.layout.title, checkpoint.backbone) == (LAYOUTS[key][0], key.split()[0])
    assert checkpoint.nclass == 5 and not checkpoint.imagenet
    assert set(checkpoint.arrays) == {*names, 'classifier.weight', 'classifier.bias'}
    for ours, theirs in names.items():
        np.testing.assert_array_equal(checkpoint.arrays[ours], arrays[theirs])
    assert checkpoint.arrays['classifier.weight'].ndim == 2


@pytest.fixture(scope='module')
def resnet18():
    return fake('resnet18_v1b', classes=1000)[0]


@pytest.mark.parametrize('change, message', [
    (lambda a: {'fc.weight': a['fc.weight']}, r'no known layout \(it begins with fc.weight\); known are TSM ResNet'),
    (lambda a: {**a, 'layer1.0.se.weight': a['fc.bias'], 'aux.bias': a['fc.bias']},
     '2 of 124 parameters are not of it: layer1.0.se.weight, aux.bias'),
    (lambda a: {**a, **{f'extra{i}': a['fc.bias'] for i in range(12)}}, '12 of .* extra9 and 2 more'),
    (lambda a: {k: v for k, v in a.items() if k != 'conv1.weight'}, 'its first convolution is missing'),
    (lambda a: {k: v for k, v in a.items() if 'layer4.1' not in k}, r'no ResNet has \(2, 2, 2, 1\) blocks'),
    (lambda a: {**a, 'module.conv1.weight': a['conv1.weight']}, 'with and without module'),
])  # fmt: skip
def test_what_is_left_over_is_listed_in_one_line(resnet18, change, message):
    with pytest.raises(UserError, match=message) as caught:
        recognize(change(resnet18))
    assert '\n' not in str(caught.value)


def test_a_parameter_stored_twice_must_be_the_same_twice():
    arrays, _ = fake('i3d_resnet101_v1')
    again = {**arrays, 'head.1.weight': arrays['fc.weight'], 'head.1.bias': arrays['fc.bias']}
    assert recognize(again).nclass == 5
    with pytest.raises(UserError, match='head.1.bias differs from what else is classifier.bias'):
        recognize({**again, 'head.1.bias': arrays['fc.bias'] + 1})


def test_a_network_that_shifts_elsewhere_is_not_ours():
    arrays, _ = fake('tsm_resnet50_v1b')
    name = 'module.base_model.layer3.1.conv1.net.weight'
    arrays[name.replace('.net', '')] = arrays.pop(name)
    with pytest.raises(UserError, match='layer3.1.conv1.weight reads without a shift; ours shifts in every block'):
        recognize(arrays)


def test_another_stem_is_another_network():
    arrays, _ = fake('i3d_resnet50_v1 mm')
    arrays['backbone.conv1.conv.weight'] = arrays['backbone.conv1.conv.weight'][:, :, :1]
    with pytest.raises(UserError, match="its stem spans 1 frames, I3D's spans 5"):
        recognize(arrays)


@pytest.mark.parametrize('key, change, message', [
    ('mobilenetv2', lambda a: {**a, 'features.19.conv.0.0.weight': a['classifier.1.bias']},
     'MobileNetV2 .* 1 of 315 parameters are not of it: features.19.conv.0.0.weight'),
    ('mobilenetv2', lambda a: {k: v for k, v in a.items() if k != 'features.0.0.weight'}, 'first convolution is missi'),
    ('mobilenetv2', lambda a: {**a, 'features.3.conv.0.0.running_var': a['classifier.1.bias']}, 'are not of it'),
    ('efficientnet_lite0', lambda a: {**a, '_blocks.0._se_reduce.weight': a['_fc.bias']},
     'EfficientNet-Lite0, but 1 of 297 parameters are not of it: _blocks.0._se_reduce.weight'),  # EfficientNet-B0
    ('efficientnet_lite0', lambda a: {**a, '_blocks.16._bn2.weight': a['_fc.bias']}, 'are not of it: _blocks.16'),
    ('efficientnet_lite0', lambda a: {**a, '_fc.running_mean': a['_fc.bias']}, 'are not of it: _fc.running_mean'),
])  # fmt: skip
def test_a_network_for_phones_of_another_build_is_refused_in_one_line(key, change, message):
    with pytest.raises(UserError, match=message) as caught:
        recognize(change(fake(key)[0]))
    assert '\n' not in str(caught.value)


# Into a network ----------------------------------------------------------------------------------------------------


def test_imagenet_weights_are_a_start_for_every_network_of_the_depth(resnet18):
    checkpoint = recognize(resnet18)
    assert checkpoint.imagenet and set(backbones_for(checkpoint)) == {'resnet18_v1b', 'i3d_resnet18_v1'}
    for model, backbone in (
        ('tsn_resnet18_v1b_custom_dfb', 'resnet18_v1b'),
        ('i3d_resnet18_v1_custom', 'i3d_resnet18_v1'),
    ):
        net = factory.build(model, nclass=7)
        arrays, note = fit(checkpoint, net, backbone)
        params = net._collect_params_with_prefix()
        assert 'for the backbone alone' in note
        assert {n: a.shape for n, a in arrays.items()} == {
            n: p.shape for n, p in params.items() if n.startswith('branches.backbone.')
        }
        conv, given = arrays['branches.backbone.res3.0.conv1.weight'], resnet18['layer2.0.conv1.weight']
        expected = inflate(mx.nd.array(given), 3).asnumpy() if conv.ndim == 5 else given
        np.testing.assert_array_equal(conv.asnumpy(), expected)


def test_an_imagenet_resnet50_also_starts_shifted_and_non_local_networks():
    arrays, _ = fake('resnet50_v1b', classes=1000)
    checkpoint = recognize(arrays)
    names = backbones_for(checkpoint)
    assert {'resnet50_v1b', 'tsm_resnet50_v1b', 'i3d_resnet50_v1', 'i3d_nl5_resnet50_v1'} <= set(names)
    assert not [name for name in names if '101' in name or '152' in name or 'tiny' in name]
    net = factory.build('i3d_nl5_resnet50_v1_custom', nclass=7)
    converted, _ = fit(checkpoint, net, 'i3d_nl5_resnet50_v1')
    rest = set(net._collect_params_with_prefix()) - set(converted)
    assert {name for name in rest if '.non_local.' not in name} == {
        f'branches.classifier.{k}' for k in ('weight', 'bias')
    }


def test_with_1000_classes_of_its_own_a_frame_network_keeps_the_classifier(resnet18):
    arrays, note = fit(recognize(resnet18), factory.build('tsn_resnet18_v1b_custom', nclass=1000), 'resnet18_v1b')
    np.testing.assert_array_equal(arrays['branches.classifier.weight'].asnumpy(), resnet18['fc.weight'])
    assert note == ''


@pytest.mark.parametrize('key', ['mobilenetv2', 'efficientnet_lite0'])
def test_imagenets_network_is_whole_for_its_own_classes_and_else_a_start(key):
    arrays, names = fake(key, classes=1000)
    checkpoint = recognize(arrays)
    assert checkpoint.imagenet and backbones_for(checkpoint) == (key,)
    net = factory.build(f'{key}_imagenet1k')
    converted, note = fit(checkpoint, net, key)
    assert note == '' and set(converted) == set(net._collect_params_with_prefix())
    start, note = fit(checkpoint, factory.build(f'tsn_{key}_custom_dfb', nclass=7), key)
    assert 'for the backbone alone' in note and set(start) == {f'branches.{name}' for name in names}
    with pytest.raises(UserError, match=f'built on resnet50_v1b, and this is .*, 1000 classes, parameters of {key}'):
        fit(checkpoint, factory.build('tsn_resnet50_v1b_custom', nclass=1000), 'resnet50_v1b')
    narrow = {**arrays, names['backbone.stem.0.weight']: np.zeros((16, 3, 3, 3), 'float32')}
    with pytest.raises(UserError, match=r'stem.0.weight has shape \(16, 3, 3, 3\) in this checkpoint, .* \(32, 3'):
        fit(recognize(narrow), net, key)


@pytest.mark.parametrize('key, model, options, message', [
    ('i3d_resnet50_v1 mm', 'i3d_resnet50_v1_custom', {'nclass': 5}, 'add --options temporal_downsample=8'),
    ('i3d_resnet50_v1 mm', 'i3d_resnet50_v1_kinetics400', {}, 'has 5 classes, i3d_resnet50_v1_kinetics400 has 400'),
    ('i3d_resnet50_v1 mm', 'tsn_resnet50_v1b_custom', {'nclass': 5}, 'built on resnet50_v1b, and this is I3D ResNet'),
    ('resnet50_v1b tsn', 'tsm8f_resnet50_v1b_custom', {'nclass': 5}, 'on tsm_resnet50_v1b, and this is TSN ResNet'),
    ('tsm_resnet50_v1b', 'tsn_resnet50_v1b_custom', {'nclass': 5}, 'and this is TSM ResNet, 5 classes'),
    ('resnet50_v1b tsn', 'tsn_resnet50_v1b_custom_dfb', {'nclass': 5}, 'convert it for the baseline on resnet50_v1b'),
])  # fmt: skip
def test_another_network_is_refused_with_both_named(key, model, options, message):
    net = factory.build(model, **options)
    with pytest.raises(UserError, match=message) as caught:
        fit(recognize(fake(key)[0]), net, registry.model_entry(model).backbone)
    assert '\n' not in str(caught.value)


def test_a_lost_or_resized_parameter_is_named():
    arrays, _ = fake('resnet50_v1b tsn')
    net = factory.build('tsn_resnet50_v1b_custom', nclass=5)
    lost = {name: array for name, array in arrays.items() if 'layer3.2.bn2.bias' not in name}
    with pytest.raises(UserError, match=r'lacks branches.backbone.res4.2.bn2.beta \(1 in all\)'):
        fit(recognize(lost), net, 'resnet50_v1b')
    flow = {**arrays, 'module.base_model.conv1.weight': np.zeros((64, 10, 7, 7), 'float32')}
    with pytest.raises(
        UserError, match=r'stem.0.weight has shape \(64, 10, 7, 7\) in this checkpoint, .* needs \(64, 3,'
    ):
        fit(recognize(flow), net, 'resnet50_v1b')


def test_the_classifier_follows_the_order_of_classes():
    def arrays():
        rows = mx.nd.array([[10, 11], [20, 21], [30, 31]])
        return {'branches.classifier.weight': rows, 'branches.classifier.bias': mx.nd.array([1, 2, 3])}

    ours = ('air_drumming', 'Holding [something]', 'zumba')
    moved, same = arrays(), arrays()
    assert reorder_classes(moved, ('zumba', 'Air drumming', 'holding something'), ours)
    assert moved['branches.classifier.weight'].asnumpy().tolist() == [[20, 21], [30, 31], [10, 11]]
    assert moved['branches.classifier.bias'].asnumpy().tolist() == [2, 3, 1]
    assert not reorder_classes(same, ('air drumming', 'Holding something', 'zumba'), ours)
    assert same['branches.classifier.bias'].asnumpy().tolist() == [1, 2, 3]
    with pytest.raises(UserError, match="class 'zumba' of the model is not in the list"):
        reorder_classes(arrays(), ('air drumming', 'holding something', 'yoga'), ours)
    with pytest.raises(UserError, match="class 'Zumba!' stands twice"):
        reorder_classes(arrays(), ('zumba', 'Zumba!', 'air drumming'), ours)
