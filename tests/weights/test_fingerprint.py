"""Two backbones have one fingerprint up to a stage if, and only if, they give the same features there."""

import mxnet as mx
import pytest

from gluon_fg.backbones import get_backbone
from gluon_fg.weights.fingerprint import fingerprint


def backbone(name, **options):
    net = get_backbone(name, **options)
    net.initialize()
    return net


def test_it_is_of_the_layers_up_to_the_stage_and_of_their_values():
    first, second = backbone('i3d_tiny'), backbone('i3d_tiny')
    assert fingerprint(first, 4).layers == fingerprint(second, 4).layers != fingerprint(first, 5).layers
    assert fingerprint(first, 4).weights != fingerprint(second, 4).weights
    params = second._collect_params_with_prefix()
    for name, p in first._collect_params_with_prefix().items():
        params[name].set_data(p.data())
    assert fingerprint(first, 5) == fingerprint(second, 5)
    last = next(p for name, p in params.items() if name.startswith('res5.') and name.endswith('running_var'))
    last.set_data(last.data() * 2)
    assert fingerprint(first, 4) == fingerprint(second, 4) and fingerprint(first, 5) != fingerprint(second, 5)
    second(mx.nd.zeros((1, 3, 8, 48, 48)))  # oneDNN may hold weights in a layout of its own then
    assert fingerprint(first, 4) == fingerprint(second, 4)


@pytest.mark.parametrize(
    'one, other',
    [
        (('i3d_tiny', {}), ('r2d_tiny', {})),
        (('resnet50_v1b', {}), ('tsm_resnet50_v1b', {})),  # the same parameters: shifts have none
        (('i3d_inceptionv1', {}), ('i3d_inceptionv1_same', {})),  # the same parameters: padding has none
        (('i3d_resnet18_v1', {}), ('i3d_resnet18_v1', {'temporal_downsample': 8})),
    ],
)
def test_networks_with_parameters_of_the_same_names_are_told_apart(one, other):
    first, second = (backbone(name, **options) for name, options in (one, other))
    assert fingerprint(first, 3).layers != fingerprint(second, 3).layers
