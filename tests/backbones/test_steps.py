"""Networks layer by layer, beside the figure of Inflated Inception-V1 (Carreira and Zisserman 2017, figure 3)."""

import math

import pytest

from gluon_fg.backbones import get_backbone

# "Rec. Field: 7,11,11" and so on (time, y, x) of the figure, behind the four max poolings and the last average
FIGURE = [(7, 11), (11, 27), (23, 75), (59, 219), (99, 539)]


@pytest.fixture(scope='module')
def i3d():
    return get_backbone('i3d_inceptionv1_same').steps(64, 224)


def test_receptive_fields_of_i3d_are_the_figures(i3d):
    """The figure counts four of the five blocks between its third and its fourth pooling.

    Drawn there, in the text of GoogLeNet and in the authors' code (i3d.py, Mixed_4b to Mixed_4f) are five. A block adds
    2 positions of stride 4 and 16: 8 frames and 32 pixels, which is the whole difference.
    """
    fields = [step.field for step in i3d if step.layers.startswith(('max', 'mean'))]
    assert fields[:3] == FIGURE[:3]
    assert [(time - 8, space - 32) for time, space in fields[3:]] == FIGURE[3:]
    assert len([step for step in i3d if step.name.startswith('res4.')]) == 1 + 5


def test_sizes_of_i3d_are_those_of_the_authors_network(i3d):
    """Of 64 frames of 224 pixels: endpoints of i3d.py, as public ports list them for T frames (T/2 x 112 x 112 ...)."""
    sizes = {step.name: step.size for step in i3d}
    assert sizes['stem.0'] == (32, 112) and sizes['stem.1'] == (32, 56)  # Conv3d_1a_7x7, MaxPool3d_2a_3x3
    assert sizes['res2.1'] == (32, 56) and sizes['res3.0'] == (32, 28)  # Conv3d_2c_3x3, MaxPool3d_3a_3x3
    assert sizes['res4.0'] == (16, 14) and sizes['res5.0'] == (8, 7)  # MaxPool3d_4a_3x3, MaxPool3d_5a_2x2
    assert sizes['head_pool'] == (7, 7) and i3d[-1].size == (7, 1)  # Logits: an average over 2 x 7 x 7
    assert [step.stride for step in i3d if step.name in ('stem.0', 'res3.2', 'res5.2')] == [(2, 2), (2, 8), (8, 32)]


@pytest.mark.parametrize('name', [
    'i3d_inceptionv1_same', 'i3d_inceptionv3', 'i3d_nl5_resnet50_v1', 'c3d', 'mobilenetv2', 'inceptionv1_frames',
    'topheavy_resnet50_v2', 'tsm_resnet50_v1b', 'twostream_inceptionv1', 'r2d_resnet50_v1',
])  # fmt: skip
def test_steps_add_up(name):
    """Their parameters are the network's, the last ones' place and size its features'."""
    net = get_backbone(name)
    along = net.steps(16, 96)
    learned = (p for p in net.collect_params().values() if p.grad_req != 'null')
    assert sum(step.parameters for step in along) == sum(math.prod(p.shape) for p in learned)
    last = along[-2 if net.head_pool is None else -3]
    place = net.geometry(5)
    assert (last.field, last.stride) == (place.field, place.stride) and last.size[0] == net.frames_at(5, 16)
    assert all(a.field <= b.field and a.stride <= b.stride for a, b in zip(along, along[1:]))
