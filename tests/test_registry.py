import pytest

from gluon_fg import registry
from gluon_fg.recognizers import Baseline
from gluon_fg.weights.gluoncv_store import gluoncv_has


def test_names_are_taken_once():
    for take in (
        lambda name: registry.register(name, Baseline, 'synthfg', 'tiny_clips', 'i3d_tiny'),
        lambda name: registry.alias(name, 'i3d_tiny_synthfg'),
    ):
        for name in ('i3d_tiny_synthfg', 'i3d_resnet50_dfb'):
            with pytest.raises(ValueError, match='is registered already'):
                take(name)
    with pytest.raises(ValueError, match='no entry'):
        registry.alias('new', 'nothing')


def test_names_are_those_of_entries_and_aliases():
    names = registry.names()
    assert len(names) == len(set(names)) and {'i3d_tiny_synthfg', 'i3d_resnet50_dfb'} <= set(names)
    assert registry.is_known('i3d_resnet50_dfb') and not registry.is_known('i3d_resnet50_dbf')


def test_no_name_hides_weights_of_gluoncv():
    """Whoever asks for GluonCV's published network by its name goes on getting its weights."""
    shared = [name for name in registry.names() if gluoncv_has(name)]
    assert 'i3d_resnet50_v1_kinetics400' in shared
    assert [name for name in shared if registry.model_entry(name).gluoncv != name] == []
