"""What the index claims is recomputed: files, sizes, parameters, configs, accuracy."""

import dataclasses
import functools
import json
import math
import os
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

import gluon_fg
from gluon_fg import factory, files, registry
from gluon_fg.data import build_dataset
from gluon_fg.data.catalog import label_set
from gluon_fg.deploy.execution import REFERENCE
from gluon_fg.errors import UserError
from gluon_fg.evaluation.metrics import summarize
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.score import score_dataset
from gluon_fg.training.config import load_config
from gluon_fg.training.log import read_metrics
from gluon_fg.weights import index
from gluon_fg.weights.torch_names import LAYOUTS

REPO = Path(__file__).resolve().parents[1]
ZOO, INDEX = index.zoo_folder(), index.load_index(index.zoo_folder() / index.INDEX)


@pytest.fixture(scope='module')
def rendered(tmp_path_factory):
    """rendered(dataset) -> the test split that published models of a rendered dataset were measured on."""
    from gluon_fg.data import synthfg

    @functools.lru_cache(None)
    def split_of(dataset):
        root, size = tmp_path_factory.mktemp('zoo') / dataset, {'synthfg': 960, 'synthfg_motion': 480}[dataset]
        synthfg.generate(root, train=24, val=24, test=size, seed=0, progress=False, dataset=dataset)
        return build_dataset(dataset, 'test', root=root)

    return split_of


def name_of_own_classes(name):
    """The entry that is the same network for any classes, which a study may train."""
    return name.replace(registry.model_entry(name).dataset, 'custom')


@pytest.mark.parametrize('name', sorted(name for name, entry in INDEX.items() if not entry.package))
def test_an_entry_is_what_it_says(name, rendered):
    entry = INDEX[name]
    path = ZOO / entry.file
    assert files.sha256(path) == entry.sha256 and path.stat().st_size == entry.bytes
    assert path.name == f'{name}-{entry.sha256[:8]}.params'
    arrays = mx.nd.load(str(path)).values()
    assert sum(int(np.prod(a.shape)) for a in arrays) == entry.params
    assert {np.dtype(a.dtype).name for a in arrays} == {entry.dtype}
    assert entry.config is None or load_config(str(ZOO / entry.config)).model.name in (name, name_of_own_classes(name))
    assert entry.log is None or [r for r in read_metrics(ZOO / entry.log) if r['event'] == 'val']
    net = gluon_fg.get_model(name, pretrained=True)
    assert (net.labels.fingerprint, net.dataset, net.protocol) == (entry.fingerprint, entry.dataset, entry.protocol)
    assert dataclasses.asdict(net.input_spec) == {**dataclasses.asdict(net.input_spec), **entry.input}
    for dataset, claim in entry.metrics.items():
        videos = rendered(dataset)
        assert (dataset, claim['split'], claim['videos']) == (entry.dataset, 'test', len(videos))
        measured = summarize(
            score_dataset(net, videos, get_protocol(claim['protocol']), progress=False, execution=REFERENCE)
        )
        for metric in ('top1', 'within_group'):
            # Another processor rounds otherwise, which may move a video or two across a tie.
            assert 100 * measured[metric] == pytest.approx(claim[metric], abs=0.4), metric


def test_half_precision_scores_as_the_studys_float32():
    rows = json.loads((REPO / 'model_zoo/studies/dfb_synthfg.json').read_text())['rows']
    for name, row in (('i3d_tiny_synthfg', rows['GB']), ('i3d_tiny_synthfg_dfb', rows['GB + DF + LB'])):
        assert INDEX[name].dtype == 'float16'
        assert INDEX[name].metrics['synthfg']['within_group'] == round(100 * row['within_group'][0], 2)


@pytest.mark.parametrize('name', sorted(name for name, entry in INDEX.items() if entry.package))
def test_an_entry_of_a_package_is_of_its_model(name):
    entry, setting = INDEX[name], factory.setting(name)
    assert entry.file == f'{name}-{entry.sha256[:8]}.params' and not (ZOO / entry.file).exists()
    assert (entry.dataset, entry.protocol) == (setting.dataset, setting.protocol)
    assert label_set(setting.dataset).fingerprint == entry.fingerprint
    assert {**dataclasses.asdict(setting.input_spec), **entry.input} == dataclasses.asdict(setting.input_spec)
    assert entry.package.layout in [layout.title for layout in LAYOUTS] and not entry.metrics
    assert sum(math.prod(p.shape) for p in factory.build(name).collect_params().values()) == entry.params


def test_published_names_are_listed():
    assert set(gluon_fg.list_models(pretrained=True)) >= set(INDEX) >= {'i3d_tiny_synthfg', 'i3d_tiny_synthfg_dfb'}


def test_a_damaged_or_missing_file_is_named(tmp_path, monkeypatch):
    file = INDEX['i3d_tiny_synthfg_dfb'].file
    (tmp_path / 'zoo').mkdir()
    (tmp_path / 'zoo' / 'index.yaml').write_bytes((REPO / 'model_zoo/index.yaml').read_bytes())
    monkeypatch.setattr(index, '_REPO_ZOO', tmp_path / 'zoo')
    with pytest.raises(UserError, match=f'put {file} into'):
        gluon_fg.get_model('i3d_tiny_synthfg_dfb', pretrained=True, root=str(tmp_path))
    good = (REPO / 'model_zoo' / file).read_bytes()
    (tmp_path / file).write_bytes(good[:-100] + bytes(100))
    with pytest.raises(UserError, match='is damaged'):
        gluon_fg.get_model('i3d_tiny_synthfg_dfb', pretrained=True, root=str(tmp_path))
    (tmp_path / 'zoo' / file).write_bytes(good)  # a good copy elsewhere is found
    assert gluon_fg.get_model('i3d_tiny_synthfg_dfb', pretrained=True, root=str(tmp_path)).nclass == 24


def test_every_config_names_a_model_that_takes_its_options():
    for path in sorted((REPO / 'configs').glob('*/*.yaml')):
        if path.parent.name == 'studies' or path.name.startswith('_'):
            continue
        config = load_config(os.fspath(path))
        entry, setting = registry.model_entry(config.model.name), factory.setting(config.model.name)
        assert set(config.model.options) <= set(entry.options), path
        setting.input_spec.replace(
            **{k: getattr(config.data, k) for k in ('frames', 'short_side', 'crop_size') if getattr(config.data, k)}
        )
        for protocol in (config.test.val_protocol, config.test.protocol or setting.protocol):
            get_protocol(protocol)
        assert setting.dataset in (None, config.data.dataset), path


def test_what_a_config_starts_from_is_the_run_of_another_config_on_the_same_backbone():
    started = 0
    for path in sorted((REPO / 'configs').glob('*/*.yaml')):
        if path.parent.name == 'studies' or path.name.startswith('_'):
            continue
        config = load_config(os.fspath(path))
        if config.model.params is None:
            continue
        runs, name, file = Path(config.model.params).parts
        first = load_config(os.fspath(path.parent / f'{name}.yaml'))
        entries = [registry.model_entry(c.model.name) for c in (first, config)]
        reduced = [
            c.model.options.get('temporal_downsample', e.defaults.get('temporal_downsample'))
            for c, e in zip((first, config), entries)
        ]
        assert (runs, file) == ('runs', 'final.params') and config.model.pretrained_base is False, path
        assert entries[0].backbone == entries[1].backbone and reduced[0] == reduced[1], path
        started += 1
    assert started >= 20
