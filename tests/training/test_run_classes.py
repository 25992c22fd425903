"""A run's classes.txt says what the outputs of its network mean, whatever the catalog says today."""

import pytest

from gluon_fg import factory
from gluon_fg.training.config import load_config, save_config
from gluon_fg.training.run import load_run


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    save_config(load_config(None, ['model.name=r2d_tiny_synthfg']), folder / 'config.yaml')
    net = factory.get_model('r2d_tiny_synthfg', pretrained_base=False)
    net.initialize()
    net.save_parameters(str(folder / 'best.params'))
    return folder


def test_a_run_keeps_the_order_of_its_classes(folder):
    names = load_run(folder)[0].classes
    other = (names[1], names[0], *names[2:])
    (folder / 'classes.txt').write_text('\n'.join(other))
    assert load_run(folder)[0].classes == other
    (folder / 'classes.txt').write_text('0\n1\n')  # of a list with bare numbers
    assert load_run(folder)[0].classes == names
    (folder / 'classes.txt').write_text('\n'.join(names))
    net = load_run(folder)[0]
    assert net.classes == names and net.labels.groups is not None
