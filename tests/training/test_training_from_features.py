"""Training from features on disk equals training through the frozen network, and refuses features that do not fit."""

import dataclasses
import json
import re
import shutil

import mxnet as mx
import numpy as np
import pytest
from networks import randomize_norms

from gluon_fg import get_model
from gluon_fg.data import build_dataset, loader
from gluon_fg.data.features import FeatureDataset, Manifest, file_of
from gluon_fg.errors import UserError
from gluon_fg.evaluation.extract import Request, extract_features, keep_network, settings_of
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.score import score_dataset
from gluon_fg.studies.runs import Job, Runs
from gluon_fg.training import loop, publish
from gluon_fg.training.config import load_config
from gluon_fg.training.log import read_metrics
from gluon_fg.training.run import load_run

SIZES = {'train': 48, 'val': 24, 'test': 24}
STAGES = ('stem', 'res2', 'res3', 'res4', 'res5')


def make_features(net, root, folder, **request):
    """Features of the training and validation split, as `gluon-fg features` lays them out."""
    wanted = Request(**request)
    kept = keep_network(net, folder)
    for split in ('train', 'val'):
        videos = build_dataset('synthfg', split, root)
        settings = settings_of(net, wanted, videos.labels, videos.name, kept)
        extract_features(net, videos, folder / split, wanted, settings, workers=1)
    return folder


@pytest.fixture(scope='module')
def features(tiny_synthfg, tmp_path_factory):
    """(model, stage) -> a folder of float32 features of its published network, made once; TSN has random weights."""
    made = {}

    def get(model, stage):
        if (model, stage) not in made:
            folder = tmp_path_factory.mktemp('features')
            net = (
                get_model(model, pretrained=True) if model != 'tsn_tiny_synthfg' else randomize_norms(get_model(model))
            )
            made[model, stage] = make_features(net, tiny_synthfg, folder, stage=stage, dtype='float32')
        return made[model, stage]

    return get


@pytest.fixture
def config(tiny_synthfg):
    def make(model, *overrides):
        return load_config(
            None,
            [
                f'model.name={model}',
                f'data.root={tiny_synthfg}',
                'data.workers=1',
                f'data.sizes={json.dumps(SIZES)}',
                'train.epochs=2',
                'train.lr_epochs=[]',
                'train.batch_size=9',
                'train.lr=0.01',
                'train.log_steps=1',
                'test.val_epochs=0',
                *overrides,
            ],
        )

    return make


def run(config, path):
    loop.train(config, path, progress=False)
    records = [r for r in read_metrics(path / 'metrics.jsonl') if r['event'] == 'train']
    return records, mx.nd.load(str(path / 'final.params'))


@pytest.mark.parametrize(
    'source, model, stage, options',
    [
        ('i3d_tiny_synthfg', 'i3d_tiny_synthfg', 5, '{dropout: 0.5}'),
        ('i3d_tiny_synthfg', 'i3d_tiny_synthfg_dfb', 4, '{dropout: 0.5}'),
        ('i3d_tiny_synthfg', 'i3d_tiny_synthfg_cidc', 3, '{dropout: 0.5}'),
        ('topheavy_tiny_synthfg', 'topheavy_tiny_synthfg_u2s', 3, '{}'),
        ('tsn_tiny_synthfg', 'tsn_tiny_synthfg_dfb', 4, '{}'),
    ],
)
def test_ten_updates_equal_those_through_the_frozen_network(
    source, model, stage, options, features, config, tmp_path, monkeypatch
):
    """The same clips, order and dropout: losses and parameters agree to 1e-5."""
    center = get_protocol('train_time')
    monkeypatch.setattr(loader, 'random_view', lambda reader, spec, *_, **__: center.cuts(reader, spec)[0])
    folder = features(source, stage)
    common = (f'model.options={options}', f'model.params={folder / "network.params"}')
    frozen = ', '.join(STAGES[:stage])
    through, expected = run(config(model, *common, f'train.freeze=[{frozen}]'), tmp_path / 'through')
    cached, got = run(config(model, *common, f'data.features={folder}'), tmp_path / 'cached')
    assert len(cached) == len(through) == 10
    for a, b in zip(through, cached):
        losses = [key for key in a if key.startswith('loss')]
        np.testing.assert_allclose([b[key] for key in losses], [a[key] for key in losses], rtol=1e-5, atol=1e-5)
    assert set(got) == set(expected)
    start = mx.nd.load(str(folder / 'network.params'))
    for name, value in expected.items():
        np.testing.assert_allclose(got[name].asnumpy(), value.asnumpy(), rtol=1e-5, atol=1e-5, err_msg=name)
        if name.startswith(tuple(f'branches.backbone.{block}.' for block in STAGES[:stage])):
            np.testing.assert_array_equal(got[name].asnumpy(), start[name].asnumpy())
    assert any(
        np.abs(got[n].asnumpy() - start[n].asnumpy()).max() > 1e-4 for n in start if start[n].shape == got[n].shape
    )


def test_the_network_of_such_a_run_predicts_videos(features, config, tiny_synthfg, tmp_path):
    """Started from the network that made the features, unasked; its scores on videos are those on their features."""
    folder = features('i3d_tiny_synthfg', 4)
    settings = config('i3d_tiny_synthfg_dfb', f'data.features={folder}', 'train.epochs=1')
    loop.train(settings, tmp_path / 'run', progress=False)
    val = [r for r in read_metrics(tmp_path / 'run/metrics.jsonl') if r['event'] == 'val'][-1]
    net, saved = load_run(tmp_path / 'run', tmp_path / 'run/final.params')
    assert saved.data.features == str(folder) and saved.data.frames == net.input_spec.frames == 8
    videos = build_dataset('synthfg', 'val', tiny_synthfg)
    scores = score_dataset(net, videos, get_protocol('train_time'), progress=False)
    assert np.mean(scores.branch().argmax(1) == scores.labels) == pytest.approx(val['top1'])
    assert val['protocol'] == 'train_time'
    assert Runs('', tmp_path).scores(Job('run', {})).dataset == 'synthfg test'  # of a study: there are no such features
    again = loop.train(config('i3d_tiny_synthfg_dfb', f'data.features={folder}', 'train.epochs=1'), tmp_path / 'run')
    assert again['top1'] == val['top1']  # finished: known by its config, whose frames the features gave
    entry = publish.publish(tmp_path / 'run', tmp_path / 'zoo', 'MIT', name='heads')
    assert entry.metrics['synthfg']['videos'] == 24 and entry.metrics['synthfg']['split'] == 'test'  # of videos
    assert str(folder) not in (tmp_path / 'zoo' / entry.config).read_text()


def test_an_interrupted_run_goes_on_to_the_same_weights(features, config, tmp_path, monkeypatch):
    folder = features('i3d_tiny_synthfg', 4)
    overrides = (f'data.features={folder}', 'train.checkpoint_steps=3')
    _, whole = run(config('i3d_tiny_synthfg_dfb', *overrides), tmp_path / 'whole')
    one_update, count = loop.one_update, []

    def killed(*args):
        count.append(1)
        if len(count) == 8:
            raise RuntimeError('killed')
        return one_update(*args)

    monkeypatch.setattr(loop, 'one_update', killed)
    with pytest.raises(RuntimeError, match='killed'):
        run(config('i3d_tiny_synthfg_dfb', *overrides), tmp_path / 'parts')
    monkeypatch.setattr(loop, 'one_update', one_update)
    _, parts = run(config('i3d_tiny_synthfg_dfb', *overrides), tmp_path / 'parts')
    for name, value in whole.items():
        np.testing.assert_array_equal(parts[name].asnumpy(), value.asnumpy(), err_msg=name)


def changed(folder, path, **values):
    """A copy of a folder's training split whose manifest says something else."""
    manifest = Manifest.load(folder / 'train')
    settings = {k: values.pop(k) for k in list(values) if hasattr(manifest.settings, k)}
    manifest = dataclasses.replace(manifest, settings=dataclasses.replace(manifest.settings, **settings), **values)
    shutil.copytree(folder, path)
    manifest.save(path / 'train')
    return path


def test_features_that_do_not_fit_are_refused_in_one_line(features, config, tmp_path):
    f4, f5 = features('i3d_tiny_synthfg', 4), features('i3d_tiny_synthfg', 5)
    other = tmp_path / 'other.params'
    mx.random.seed(7)
    np.random.seed(7)
    get_model('i3d_tiny_synthfg').save_parameters(str(other))
    spec = Manifest.load(f4 / 'train').settings.input
    for number, (folder, model, overrides, message) in enumerate(
        (
            (f5, 'i3d_tiny_synthfg_dfb', (), 'features of stage 5, but i3d_tiny_synthfg_dfb reads those of stage 4'),
            (f4, 'i3d_tiny_synthfg_cidc', (), 'features of stage 4, but i3d_tiny_synthfg_cidc reads those of stage 3'),
            (f4, 'i3d_tiny_synthfg_dfb', (f'model.params={other}',), 'features of other weights than'),
            (
                f4,
                'topheavy_tiny_synthfg',
                ('model.pretrained=true',),
                'features of i3d_tiny_synthfg, whose layers up to stage 4 are not those of topheavy_tiny_synthfg',
            ),
            (f4, 'i3d_tiny_synthfg', ('data.frames=16',), 'data.frames is 16, but .* of frames 8; set data.frames=8'),
            (f4, 'i3d_tiny_synthfg', ('data.val_split=test',), "no features of split 'test'"),
            (changed(f4, tmp_path / 'a', pooled=True), 'i3d_tiny_synthfg', (), 'holds vectors'),
            (changed(f4, tmp_path / 'b', complete=False), 'i3d_tiny_synthfg', (), 'features of 48 of 48 videos; start'),
            (
                changed(f4, tmp_path / 'c', input={**spec, 'mean': [0.5] * 3}),
                'i3d_tiny_synthfg',
                (),
                r'features of other views than i3d_tiny_synthfg takes: mean \(0.5',
            ),
            (
                changed(f4, tmp_path / 'd', classes=['a', 'b'], groups=None, flip_map=[0, 1], records=()),
                'i3d_tiny_synthfg',
                (),
                'no video',
            ),
            (
                changed(features('tsn_tiny_synthfg', 4), tmp_path / 'f', views={'protocol': '20x1'}),
                'tsn_tiny_synthfg',
                (),
                'features of single frames .* training takes views of 8 frames',
            ),
            (changed(f4, tmp_path / 'e', network_sha256='0'), 'i3d_tiny_synthfg', (), 'is not beside them'),
        )
    ):
        with pytest.raises(UserError, match=message) as caught:
            run(config(model, f'data.features={folder}', *overrides), tmp_path / f'run{number}')
        assert '\n' not in str(caught.value) and not (tmp_path / f'run{number}').exists()


def test_broken_files_are_refused_and_nothing_in_them_is_run(features, tmp_path, monkeypatch):
    folder = changed(features('i3d_tiny_synthfg', 4), tmp_path / 'copy')
    data = FeatureDataset(folder / 'train')
    path = file_of(data.root, data.records[0].path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match='not a file of features, or cut short'):
        data.probe()

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / 'ran'), 'w'))

    np.savez(path.with_suffix(''), features=np.array([Bomb()], object), frames=np.zeros(1), mirrored=np.zeros(1))
    with pytest.raises(UserError, match='not a file of features'):
        data.open(0)
    assert not (tmp_path / 'ran').exists()
    for text in ('{', '{"format": 1, "kind": "features"}', '{"format": 2, "kind": "features"}', '[]'):
        (folder / 'val/manifest.json').write_text(text)
        with pytest.raises(UserError, match='manifest.json.*(not a manifest|damaged|another format)') as caught:
            FeatureDataset(folder / 'val')
        assert not re.search('\n', str(caught.value))
