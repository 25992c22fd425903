import mxnet as mx
import numpy as np
import pytest

from gluon_fg import get_model
from gluon_fg.errors import UserError
from gluon_fg.weights.warm_start import warm_start


def values(net):
    return {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}


@pytest.fixture(scope='module')
def baseline(tmp_path_factory):
    net = get_model('i3d_tiny_synthfg')
    for p in net.collect_params().values():
        p.set_data(
            mx.nd.abs(mx.nd.random.normal(shape=p.shape))
            if p.name.endswith('var')
            else mx.nd.random.normal(shape=p.shape)
        )
    path = tmp_path_factory.mktemp('weights') / 'baseline.params'
    net.save_parameters(str(path))
    return values(net), path


def test_a_dfb_takes_all_of_its_baseline_and_keeps_its_new_branches(baseline):
    given, path = baseline
    net = get_model('i3d_tiny_synthfg_dfb')
    before = values(net)
    report = warm_start(net, path)
    after = values(net)
    assert sorted(report.loaded) == sorted(given) and report.new and not report.resized
    for name in after:
        np.testing.assert_array_equal(after[name], given.get(name, before[name]), err_msg=name)


def test_another_class_count_leaves_only_the_classifier(baseline):
    given, path = baseline
    net = get_model('i3d_tiny_synthfg', nclass=5)
    report = warm_start(net, path)
    assert len(report.resized) == 2 and not any('backbone' in name for name in report.resized)
    assert len(report.loaded) == len(given) - 2


def test_files_that_do_not_fit_change_nothing(baseline, tmp_path):
    given, path = baseline
    net = get_model('i3d_tiny_synthfg')
    before = values(net)
    data = path.read_bytes()
    (tmp_path / 'cut.params').write_bytes(data[: len(data) // 2])
    (tmp_path / 'text.params').write_text('<html>not found</html>')
    dfb = get_model('i3d_tiny_synthfg_dfb')
    dfb.save_parameters(str(tmp_path / 'dfb.params'))
    wrong = {
        name: mx.nd.zeros((3, *a.shape[1:])) if 'backbone' in name else mx.nd.array(a) for name, a in given.items()
    }
    mx.nd.save(str(tmp_path / 'wrong.params'), wrong)
    for name, message in (
        ('cut', 'cut short|not an MXNet'),
        ('text', 'not an MXNet'),
        ('dfb', 'do not exist in i3d_tiny_synthfg'),
        ('wrong', 'has shape'),
        ('missing', 'no parameter file'),
    ):
        with pytest.raises(UserError, match=message) as caught:
            warm_start(net, tmp_path / f'{name}.params')
        assert '\n' not in str(caught.value)
    for name, value in values(net).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_2d_network_is_a_start_for_clips_but_no_trained_network(tiny_synthfg, tmp_path):
    from gluon_fg.training import loop
    from gluon_fg.training.config import load_config

    images = get_model('tsn_tiny_synthfg')
    images.save_parameters(str(tmp_path / 'images.params'))
    given, net = values(images), get_model('topheavy_tiny_synthfg')
    report = warm_start(net, tmp_path / 'images.params')
    assert net.trained_branches == ('avg',) and sorted(report.loaded) == sorted(given) and len(report.inflated) == 5
    for name, value in values(net).items():
        over_time = value.ndim == 5
        assert over_time == (name in report.inflated)
        np.testing.assert_allclose(value.sum(2) if over_time else value, given[name], rtol=0, atol=1e-6, err_msg=name)
    flat = {n: mx.nd.array(a) for n, a in values(get_model('topheavy_tiny_synthfg')).items()}
    mx.nd.save(str(tmp_path / 'clips.params'), flat)
    with pytest.raises(UserError, match='has shape .*the network needs'):  # there is no way back
        warm_start(get_model('tsn_tiny_synthfg'), tmp_path / 'clips.params')
    settings = ['model.name=topheavy_tiny_synthfg_u2s', f'model.params={tmp_path / "images.params"}']
    settings += [f'data.root={tiny_synthfg}', 'train.lr_epochs=[]', 'train.epochs=1', 'train.stage=specific']
    with pytest.raises(UserError, match='no trained weights of it are loaded'):
        loop.train(load_config(None, settings), tmp_path / 'run', progress=False)


def test_a_copied_local_branch_copies_the_warm_start(baseline, tiny_synthfg, tmp_path):
    """Not the random weights that the network was built with."""
    from gluon_fg.training import loop
    from gluon_fg.training.config import load_config

    settings = ['model.name=i3d_tiny_synthfg_dfb', 'model.options.local_init=copy', f'model.params={baseline[1]}']
    settings += [f'data.root={tiny_synthfg}', 'train.lr_epochs=[]', 'train.epochs=1', 'train.lr=1e-30']
    settings += ['train.batch_size=48', 'train.batch_norm=frozen', 'train.wd=0', 'data.augment=random_crop']
    loop.train(load_config(None, settings), tmp_path / 'run', progress=False)
    end = mx.nd.load(str(tmp_path / 'run/final.params'))
    copied = [n for n in end if '.local.stage.' in n and n.endswith('weight')]
    assert copied
    for name in copied:
        source = baseline[0][name.replace('.local.stage.', '.backbone.res5.')]
        np.testing.assert_allclose(end[name].asnumpy(), source, rtol=1e-6)
