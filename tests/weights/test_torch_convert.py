"""Checkpoints of PyTorch networks written here, with the names that the real ones have: converted, the same logits."""

import mxnet as mx
import numpy as np
import pytest
from networks import randomize_torch

from gluon_fg import factory, registry
from gluon_fg.errors import UserError
from gluon_fg.evaluation.load import load_network
from gluon_fg.weights import torch_convert
from gluon_fg.weights.torch_names import recognize

torch = pytest.importorskip(
    'torch', reason='PyTorch is not installed, so no checkpoint can be made here: see CONTRIBUTING.md, "PyTorch"'
)
nn = torch.nn
torch.set_num_threads(1)


# ResNets: `wrapped` names each convolution and its norm as MMAction2 does, else as torchvision ------------------------


class Unit(nn.Module):
    def __init__(self, conv, bn):
        super().__init__()
        self.conv, self.bn = conv, bn

    def forward(self, x):
        return self.bn(self.conv(x))


class Shift(nn.Module):
    """Lin et al.'s figure 1: channels of the next frame, of the one before, of this one."""

    def __init__(self, net, segments):
        super().__init__()
        self.net, self.segments = net, segments

    def forward(self, x):
        videos = x.view(-1, self.segments, *x.shape[1:])
        eighth = x.shape[1] // 8
        later, sooner = torch.zeros_like(videos), torch.zeros_like(videos)
        later[:, :-1], sooner[:, 1:] = videos[:, 1:], videos[:, :-1]
        parts = later[:, :, :eighth], sooner[:, :, eighth : 2 * eighth], videos[:, :, 2 * eighth :]
        return self.net(torch.cat(parts, 2).view(x.shape))


class Block(nn.Module):
    def __init__(self, inside, widths, kernels, stride, shortcut, wrapped, segments):
        super().__init__()
        self.wrapped, self.depth = wrapped, len(widths)
        strided = 0 if self.depth == 2 else 1
        for i, (out, kernel) in enumerate(zip(widths, kernels), 1):
            conv, bn = layer(inside, out, kernel, stride if i - 1 == strided else 1)
            if segments and i == 1:
                conv = Shift(conv, segments)
            if wrapped:
                setattr(self, f'conv{i}', Unit(conv, bn))
            else:
                setattr(self, f'conv{i}', conv)
                setattr(self, f'bn{i}', bn)
            inside = out
        self.downsample = None
        if shortcut:
            pair = layer(shortcut, widths[-1], (1,) * len(kernels[0]), stride)
            self.downsample = Unit(*pair) if wrapped else nn.Sequential(*pair)

    def forward(self, x):
        y = x
        for i in range(1, self.depth + 1):
            y = getattr(self, f'conv{i}')(y)
            y = y if self.wrapped else getattr(self, f'bn{i}')(y)
            y = torch.relu(y) if i < self.depth else y
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


def layer(inside, out, kernel, stride, pad=None):
    conv, norm = (nn.Conv2d, nn.BatchNorm2d) if len(kernel) == 2 else (nn.Conv3d, nn.BatchNorm3d)
    strides = (1,) * (len(kernel) - 2) + (stride, stride)
    return conv(inside, out, kernel, strides, tuple(k // 2 for k in kernel), bias=False), norm(out)


INFLATED = ((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0))


def stages(basic, clips, wrapped, segments):
    inside = 64
    for stage, blocks in enumerate((2, 2, 2, 2) if basic else (3, 4, 6, 3)):
        width, out, made = 64 * 2**stage, 64 * 2**stage * (1 if basic else 4), []
        for i in range(blocks):
            stride = 2 if stage and i == 0 else 1
            if basic:
                widths, kernels = (width, width), [(3, 3), (3, 3)]
            elif clips:
                widths, kernels = (width, width, out), [(3 if INFLATED[stage][i] else 1, 1, 1), (1, 3, 3), (1, 1, 1)]
            else:
                widths, kernels = (width, width, out), [(1, 1), (3, 3), (1, 1)]
            shortcut = inside if stride > 1 or inside != out else None
            made.append(Block(inside, widths, kernels, stride, shortcut, wrapped, segments))
            inside = out
        yield nn.Sequential(*made)


def stem(clips):
    conv, bn = (
        (nn.Conv3d(3, 64, (5, 7, 7), (2, 2, 2), (2, 3, 3), bias=False), nn.BatchNorm3d(64))
        if clips
        else layer(3, 64, (7, 7), 2)
    )
    pool = nn.MaxPool3d((1, 3, 3), (2, 2, 2), (0, 1, 1)) if clips else nn.MaxPool2d(3, 2, 1)
    return conv, bn, pool


class ResNet(nn.Module):
    def __init__(self, basic=False, clips=False, wrapped=False, segments=0, classes=None):
        super().__init__()
        self.clips = clips
        conv, bn, self.maxpool = stem(clips)
        if wrapped:
            self.conv1 = Unit(conv, bn)
        else:
            self.conv1, self.bn1 = conv, bn
        self.layer1, self.layer2, self.layer3, self.layer4 = stages(basic, clips, wrapped, segments)
        self.fc = nn.Linear(512 if basic else 2048, classes) if classes else nn.Identity()

    def forward(self, x):
        y = self.conv1(x)
        y = self.maxpool(torch.relu(y if isinstance(self.conv1, Unit) else self.bn1(y)))
        y = self.layer1(y)
        y = nn.functional.max_pool3d(y, (2, 1, 1)) if self.clips else y
        return self.fc(self.layer4(self.layer3(self.layer2(y))).flatten(2).mean(2))


class TSN(nn.Module):
    def __init__(self, base, classes, segments):
        super().__init__()
        self.base_model, self.new_fc, self.segments = base, nn.Linear(2048, classes), segments

    def forward(self, x):
        return consensus(self.new_fc(self.base_model(x)), self.segments)


class MMAction(nn.Module):
    def __init__(self, backbone, classes, segments=1):
        super().__init__()
        self.backbone, self.cls_head, self.segments = backbone, nn.Module(), segments
        self.cls_head.fc_cls = nn.Linear(2048, classes)

    def forward(self, x):
        return consensus(self.cls_head.fc_cls(self.backbone(x)), self.segments)


def consensus(z, segments):
    return z.view(-1, segments, z.shape[1]).mean(1)


class GluonCV(nn.Module):
    def __init__(self, classes):
        super().__init__()
        conv, bn, pool = stem(True)
        self.first_stage = nn.Sequential(conv, bn, nn.ReLU(), pool)
        self.res_layers = nn.Sequential(*stages(False, True, False, 0))
        self.fc = nn.Linear(2048, classes)
        self.head = nn.Sequential(nn.Dropout(), self.fc)

    def forward(self, x):
        y = nn.functional.max_pool3d(self.res_layers[0](self.first_stage(x)), (2, 1, 1))
        for stage in self.res_layers[1:]:
            y = stage(y)
        return self.head(y.flatten(2).mean(2))


# Inception-V1 as in pytorch-i3d: TensorFlow's padding -----------------------------------------------------------------


def same(x, kernel, stride):
    """Pad as TensorFlow: so that the output is the input's size over the stride, rounded up; more at the end."""
    pads = []
    for size, k, s in reversed(list(zip(x.shape[2:], kernel, stride))):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        pads += [total // 2, total - total // 2]
    return nn.functional.pad(x, pads)


def same_pool(x, kernel, stride):
    return nn.functional.max_pool3d(same(x, kernel, stride), kernel, stride)  # zeros do no harm behind a ReLU


class Conv(nn.Module):
    def __init__(self, inside, out, kernel, stride=1):
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(inside, out, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(out, eps=0.001)

    def forward(self, x):
        return torch.relu(self.bn(self.conv3d(same(x, self.kernel, self.stride))))


class Mixed(nn.Module):
    def __init__(self, inside, c):
        super().__init__()
        self.b0, self.b1a, self.b1b = Conv(inside, c[0], 1), Conv(inside, c[1], 1), Conv(c[1], c[2], 3)
        self.b2a, self.b2b, self.b3b = Conv(inside, c[3], 1), Conv(c[3], c[4], 3), Conv(inside, c[5], 1)

    def forward(self, x):
        pooled = self.b3b(same_pool(x, (3, 3, 3), (1, 1, 1)))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), pooled], 1)


MIXED = {
    '3b': (192, 64, 96, 128, 16, 32, 32), '3c': (256, 128, 128, 192, 32, 96, 64),
    '4b': (480, 192, 96, 208, 16, 48, 64), '4c': (512, 160, 112, 224, 24, 64, 64),
    '4d': (512, 128, 128, 256, 24, 64, 64), '4e': (512, 112, 144, 288, 32, 64, 64),
    '4f': (528, 256, 160, 320, 32, 128, 128), '5b': (832, 256, 160, 320, 32, 128, 128),
    '5c': (832, 384, 192, 384, 48, 128, 128),
}  # fmt: skip
POOLS = {'3b': ((1, 3, 3), (1, 2, 2)), '4b': ((3, 3, 3), (2, 2, 2)), '5b': ((2, 2, 2), (2, 2, 2))}


class InceptionI3d(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.Conv3d_1a_7x7 = Conv(channels, 64, 7, 2)
        self.Conv3d_2b_1x1, self.Conv3d_2c_3x3 = Conv(64, 64, 1), Conv(64, 192, 3)
        for name, (inside, *widths) in MIXED.items():
            setattr(self, f'Mixed_{name}', Mixed(inside, widths))
        self.logits = nn.Module()
        self.logits.conv3d = nn.Conv3d(1024, classes, 1)

    def forward(self, x):
        y = same_pool(self.Conv3d_1a_7x7(x), (1, 3, 3), (1, 2, 2))
        y = self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(y))
        for name in MIXED:
            y = getattr(self, f'Mixed_{name}')(same_pool(y, *POOLS[name]) if name in POOLS else y)
        y = nn.functional.avg_pool3d(y, (2, *y.shape[3:]), stride=1)  # their 2x7x7, for frames of 224 pixels
        return self.logits.conv3d(y).flatten(2).mean(2)


# Inverted residuals: MobileNetV2 as torchvision has it, EfficientNet-Lite0 as ports of TensorFlow's have it ----------

MOBILENETV2 = (
    (1, 16, 3, 1),
    (2, 24, 3, 2),
    (3, 32, 3, 2),
    (4, 64, 3, 2),
    (3, 96, 3, 1),
    (3, 160, 3, 2),
    (1, 320, 3, 1),
)
LITE0 = ((1, 16, 3, 1), (2, 24, 3, 2), (2, 40, 5, 2), (3, 80, 3, 2), (3, 112, 5, 1), (4, 192, 5, 2), (1, 320, 3, 1))


def blocks(rows):
    """(channels in, inside, out, kernel, stride) of each block."""
    inside = 32
    for number, (count, out, kernel, stride) in enumerate(rows):
        for i in range(count):
            yield inside, inside * (6 if number else 1), out, kernel, stride if i == 0 else 1
            inside = out


def conv_bn(inside, out, kernel, stride=1, groups=1):
    conv = nn.Conv2d(inside, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU6())


class Inverted(nn.Module):
    def __init__(self, inside, wide, out, kernel, stride):
        super().__init__()
        layers = [conv_bn(inside, wide, 1)] if wide > inside else []
        layers += [conv_bn(wide, wide, kernel, stride, wide), nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out)]
        self.conv, self.adds = nn.Sequential(*layers), stride == 1 and inside == out

    def forward(self, x):
        return self.conv(x) + x if self.adds else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self, classes):
        super().__init__()
        stages = [Inverted(*block) for block in blocks(MOBILENETV2)]
        self.features = nn.Sequential(conv_bn(3, 32, 3, 2), *stages, conv_bn(320, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class SameConv(nn.Conv2d):
    def forward(self, x):
        return super().forward(same(x, self.kernel_size, self.stride))


class MBConv(nn.Module):
    def __init__(self, inside, wide, out, kernel, stride):
        super().__init__()
        self.adds = stride == 1 and inside == out
        if wide > inside:
            self._expand_conv, self._bn0 = SameConv(inside, wide, 1, bias=False), nn.BatchNorm2d(wide, eps=0.001)
        self._depthwise_conv = SameConv(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = nn.BatchNorm2d(wide, eps=0.001)
        self._project_conv, self._bn2 = SameConv(wide, out, 1, bias=False), nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x):
        y = nn.functional.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, '_bn0') else x
        y = self._bn2(self._project_conv(nn.functional.relu6(self._bn1(self._depthwise_conv(y)))))
        return y + x if self.adds else y


class EfficientNetLite0(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2, bias=False), nn.BatchNorm2d(32, eps=0.001)
        self._blocks = nn.ModuleList([MBConv(*block) for block in blocks(LITE0)])
        self._conv_head, self._bn1 = SameConv(320, 1280, 1, bias=False), nn.BatchNorm2d(1280, eps=0.001)
        self._fc = nn.Linear(1280, classes)

    def forward(self, x):
        y = nn.functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            y = block(y)
        return self._fc(nn.functional.relu6(self._bn1(self._conv_head(y))).mean((2, 3)))


# What is compared

DEEP = {'nclass': 6, 'temporal_downsample': 8}
FRAMES, CLIP = (3, 3, 64, 64), (1, 3, 16, 64, 64)
CASES = {
    'ResNet-18': (lambda: ResNet(basic=True, classes=6), 'tsn_resnet18_v1b_custom', {'num_segments': 1}, FRAMES),
    'TSN': (lambda: TSN(ResNet(), 6, 3), 'tsn_resnet50_v1b_custom', {}, FRAMES),
    'TSM': (lambda: TSN(ResNet(segments=8), 6, 8), 'tsm8f_resnet50_v1b_custom', {}, (8, 3, 64, 64)),
    'MMAction2 TSN': (lambda: MMAction(ResNet(wrapped=True), 6, 3), 'tsn_resnet50_v1b_custom', {}, FRAMES),
    'MMAction2 TSM': (
        lambda: MMAction(ResNet(wrapped=True, segments=8), 6, 8),
        'tsm8f_resnet50_v1b_custom',
        {},
        (16, 3, 32, 32),
    ),
    'MMAction2 I3D': (lambda: MMAction(ResNet(wrapped=True, clips=True), 6), 'i3d_resnet50_v1_custom', DEEP, CLIP),
    'GluonCV I3D': (lambda: GluonCV(6), 'i3d_resnet50_v1_custom', DEEP, CLIP),
    'Inception RGB': (lambda: InceptionI3d(6, 3), 'i3d_inceptionv1_same_custom', {}, (1, 3, 17, 70, 64)),
    'MobileNetV2': (lambda: MobileNetV2(6), 'mobilenetv2_custom_images', {}, (2, 3, 65, 96)),
    'EfficientNet-Lite0': (lambda: EfficientNetLite0(6), 'efficientnet_lite0_custom_images', {}, (2, 3, 64, 95)),
    'Inception flow': (lambda: InceptionI3d(6, 2), 'i3d_inceptionv1_same_flow_custom', {}, (1, 2, 24, 64, 64)),
}


@pytest.mark.parametrize('case', CASES)
def test_a_converted_network_gives_pytorchs_logits(case, tmp_path):
    make, model, options, shape = CASES[case]
    theirs = randomize_torch(make())
    states = {f'module.{name}': value for name, value in theirs.state_dict().items()}
    torch.save({'epoch': 7, 'state_dict': states, 'optimizer': {'state': {}}}, tmp_path / 'them.pth')
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(x).numpy()

    checkpoint = recognize(torch_convert.read_checkpoint(tmp_path / 'them.pth'))
    ours = factory.build(model, **{'nclass': 6, **options})
    arrays, note = torch_convert.fit(checkpoint, ours, registry.model_entry(model).backbone)
    torch_convert.save(arrays, tmp_path / 'ours.params')
    net = load_network(model, str(tmp_path / 'ours.params'), **{'nclass': 6, **options})
    got = net(mx.nd.array(x.numpy())).asnumpy()
    assert note == '' and got.shape == expected.shape
    assert np.abs(expected).max() > 1e-2 and np.ptp(expected) > 1e-2, 'the network says nothing'
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * max(1, np.abs(expected).max()))


# The script ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def tsn(tmp_path_factory):
    """A checkpoint of a small network: TSN on ResNet-18, 174 classes; its path and PyTorch's network."""
    net = TSN(ResNet(basic=True), 174, 3)
    net.new_fc = nn.Linear(512, 174)
    path = tmp_path_factory.mktemp('tsn') / 'tsn18.pth.tar'
    torch.save({'state_dict': randomize_torch(net).state_dict(), 'best_prec1': 51.5}, path)
    return path, net


def test_it_says_what_a_checkpoint_is(command_done, tsn):
    done = command_done('zoo', 'convert', tsn[0])
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == 'recognized: TSN ResNet, 174 classes, parameters of resnet18_v1b'
    assert second == 'fits: tsn_resnet18_v1b_custom, tsn_resnet18_v1b_sthsthv1'


def test_half_precision_loads_as_float32_and_scores_alike(command_done, tsn, tmp_path):
    out = tmp_path / 'sth.params'
    done = command_done('zoo', 'convert', tsn[0], '--model', 'tsn_resnet18_v1b_sthsthv1', '--out', out, '--float16')
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == f'{out}: 102 parameters for tsn_resnet18_v1b_sthsthv1, from ' + (
        'TSN ResNet, 174 classes, parameters of resnet18_v1b'
    )
    assert 'order of classes is taken to be the' in said[1]
    assert {a.dtype for a in mx.nd.load(str(out)).values()} == {np.float16}
    net = load_network('tsn_resnet18_v1b_sthsthv1', str(out))
    x = torch.randn((3, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = tsn[1](x).numpy()
    got = net(mx.nd.array(x.numpy())).asnumpy()
    assert got.dtype == np.float32 and np.abs(got - expected).max() < 1e-2 * np.abs(expected).max()
    again = command_done('zoo', 'convert', tsn[0], '--model', 'tsn_resnet18_v1b_sthsthv1', '--out', out)
    assert (
        again.returncode == 2
        and again.stderr == f'error: {out} is there already; use --force to replace it, or another --out\n'
    )


class Stranger:
    """Something that only running code could bring back."""


@pytest.mark.parametrize('content, message', [
    (b'not a checkpoint', 'no checkpoint of PyTorch'),
    (b'<html>404</html>', 'no checkpoint of PyTorch'),
    (b'', 'no checkpoint of PyTorch'),
    ({'state_dict': {'conv1.weight': torch.zeros(3)}, 'meta': Stranger()}, 'holds more than tensors .*Stranger'),
    ({'state_dict': {}}, 'holds no tensors by name'),
    ([1, 2], 'holds no tensors by name'),
    ({'a': torch.zeros(3), 'b': 'text'}, 'b is no tensor but a str'),
    ({'a': torch.full((3,), float('nan'))}, 'a holds a number that is not finite'),
])  # fmt: skip
def test_what_is_no_checkpoint_is_refused_in_one_line(content, message, tmp_path):
    path = tmp_path / 'given.pth'
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(UserError, match=message) as caught:
        torch_convert.read_checkpoint(path)
    assert '\n' not in str(caught.value) and str(path) in str(caught.value)


def test_a_checkpoint_cut_short_is_refused(tsn, tmp_path):
    cut = tmp_path / 'cut.pth'
    cut.write_bytes(tsn[0].read_bytes()[:100000])
    with pytest.raises(UserError, match='no checkpoint of PyTorch or of NumPy arrays, or damaged'):
        torch_convert.read_checkpoint(cut)


def test_reduced_precision_is_widened(tmp_path):
    torch.save({'a': torch.tensor([1.5]).bfloat16(), 'b': torch.tensor([2.5]).half()}, tmp_path / 'half.pth')
    arrays = torch_convert.read_checkpoint(tmp_path / 'half.pth')
    assert {name: (a.dtype, a.tolist()) for name, a in arrays.items()} == {
        'a': (np.float32, [1.5]),
        'b': (np.float32, [2.5]),
    }
