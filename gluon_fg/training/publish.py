"""Publishing: a training run becomes a file of the zoo, measured as it will be loaded, with its entry and record.

A model is published as NAME-HASH.params, with the run's config and record as configs/NAME-HASH.yaml and
logs/NAME-HASH.jsonl (`weights.repository` is the folder that they go to). NAME is the zoo's, or one of the publisher's
choice: the index then says what it was built as, with its classes, input and protocol, so that it loads by that name.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from pathlib import Path
from typing import Any, Dict, Optional, Union

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from .. import factory, files, registry
from ..data.catalog import build_dataset, label_set
from ..data.catalog.layouts import in_fold
from ..data.datasets import VideoDataset
from ..deploy.execution import REFERENCE
from ..errors import UserError, unknown
from ..evaluation.gates import gate_effects
from ..evaluation.metrics import TOPK, summarize
from ..evaluation.protocol import Protocol, get_protocol
from ..evaluation.score import Scores, score_dataset, video_ids
from ..weights import cards, repository
from ..weights.entries import METRICS, Built, Entry
from ..weights.index import entries_in, zoo_folder
from ..weights.saving import save_params
from . import record
from .config import Config
from .moved import chosen_options
from .named import split_or_instead
from .run import load_run

CHECKPOINTS = ('best', 'final')


@dataclasses.dataclass(frozen=True)
class Measurement:
    """How the published accuracy comes about.

    `split` and `protocol` of the run's dataset (split None: test or, where there is none, what the run validated on;
    protocol None: the run's, else the model's); `root`: where that lies now, None: where the run had it; `scores`: a
    file written by gluon-fg evaluate with this run's weights, None: evaluate now; `batch_size`, `workers`: as for
    `score_dataset`.
    """

    split: Optional[str] = None
    protocol: Optional[str] = None
    root: Optional[str] = None
    scores: Optional[str] = None
    batch_size: int = 16
    workers: int = 2
    progress: bool = False


def publish(
    run_dir: Union[str, os.PathLike],
    folder: Union[str, os.PathLike],
    licence: str,
    source: Optional[str] = None,
    name: Optional[str] = None,
    checkpoint: str = 'best',
    float16: bool = False,
    replace: bool = False,
    measurement: Optional[Measurement] = None,
    ctx: Optional[mx.Context] = None,
) -> Entry:
    """Put the weights of a finished run into a folder of the zoo.

    Nothing of the run is published but the network's own parameters, its config without paths, and the losses and
    accuracies of its epochs.

    Parameters
    ----------
    run_dir
        written by gluon-fg train
    folder
        made where there is none
    licence, source
        of the weights; what made them, in a line, None: dataset, epochs and seed of the run
    name
        to publish as: a model of the zoo, or a new name of letters, digits, '.', '_' and '-'; None: the model that was
        trained
    checkpoint
        'best' (by validation) or 'final'
    float16
        whether the file holds half precision; it is measured so, and computed with in float32
    replace
        whether weights that the folder has under the name may be replaced; their files are then removed
    measurement
        where the accuracy comes from
    ctx
        where to evaluate (default: CPU)

    Raises
    ------
    UserError
        an unfinished run, weights that are not finite or do not fit the name as `get_model` builds it, scores of other
        weights, a name that cannot be, or something there that only `replace` would replace
    """
    run_dir, folder, measurement = Path(run_dir), Path(folder), measurement or Measurement()
    if checkpoint not in CHECKPOINTS:
        raise unknown('checkpoint', checkpoint, CHECKPOINTS)
    if float16 and measurement.scores:
        raise UserError('half precision is measured on the file itself; leave out --float16 or --scores')
    trained, config = load_run(run_dir, run_dir / f'{checkpoint}.params', ctx)
    if not (run_dir / 'summary.json').is_file():
        raise UserError(f'{run_dir}: no summary.json there: the run is not finished; gluon-fg train resumes it')
    name = public_name(name or trained.name)
    if trained.labels is None:
        raise UserError(f'{run_dir}: no classes.txt there, and {trained.name} does not know its classes')
    if not replace:
        repository.refuse_known(folder, name)
    config.data.root = measurement.root or config.data.root
    with repository.staged(folder) as stage:
        dtype = 'float16' if float16 else 'float32'
        params = _write_params(trained, stage, name, dtype)
        entry = _described(trained, config, name, params, dtype)
        net = _as_loaded(entry, trained, config, params, run_dir, ctx)
        metrics = _measure(net, config, measurement, ctx)
        (stage / 'config').write_text(record.public_config(run_dir, params.stem), encoding='utf-8')
        (stage / 'log').write_text(record.public_log(run_dir), encoding='utf-8')
        own = entry.model is not None or net.dataset is None
        entry = dataclasses.replace(
            entry,
            protocol=metrics['protocol'] if own else net.protocol,
            licence=licence,
            source=source or record.source(run_dir, config, checkpoint),
            metrics={config.data.dataset: metrics},
            config=f'configs/{params.stem}.yaml',
            log=f'logs/{params.stem}.jsonl',
        )
        written = {entry.file: params, str(entry.config): stage / 'config', str(entry.log): stage / 'log'}
        repository.add(folder, {name: entry}, written, replace)
    write_page(folder)
    return entry


def public_name(name: str) -> str:
    """Check a name to publish under, and return it, the entry's for an alias; raises UserError where it cannot be."""
    if registry.is_known(name):
        return registry.model_entry(name).name
    if not re.fullmatch(r'[A-Za-z0-9][\w.-]*', name, re.ASCII):
        raise UserError(f"--name {name!r}: a name has letters, digits, '.', '_' and '-', for example our_actions_v1")
    if name.lower() in factory.gluoncv_names():
        raise UserError(f'--name {name}: GluonCV has a network of that name; choose another')
    return name


def page(folder: Union[str, os.PathLike]) -> str:
    """README.md of a folder of the zoo, from its index; for the repository's own zoo, of every model there is."""
    folder, models = Path(folder), None
    if folder.resolve() == zoo_folder().resolve():
        names = factory.list_models()
        entries = [registry.model_entry(name) for name in names]
        models = [
            {'name': name, 'entry': entry.name, 'gluoncv': entry.gluoncv, **dataclasses.asdict(factory.setting(name))}
            for name, entry in zip(names, entries)
        ]
    return cards.page(entries_in(folder), models)


def write_page(folder: Union[str, os.PathLike]) -> None:
    """Write `page(folder)` as its README.md, atomically."""
    with files.atomic_write(Path(folder) / 'README.md') as stream:
        stream.write(page(folder))


# The weights


def _write_params(net: HybridBlock, stage: Path, name: str, dtype: str) -> Path:
    """The network's parameters alone, sorted by name: equal weights make equal files. Returns NAME-HASH.params."""
    arrays = {}
    for key, p in sorted(net._collect_params_with_prefix().items()):
        array = p.data().asnumpy().astype(np.float32)
        cast = array.astype(dtype)
        if not np.isfinite(array).all():
            raise UserError(f'{key} holds values that are not finite; this run cannot be published')
        if not np.isfinite(cast).all():
            raise UserError(f'{key} reaches {np.abs(array).max():g}, beyond float16; leave out --float16')
        arrays[key] = mx.nd.array(cast, dtype=cast.dtype)
    save_params(stage / 'weights', arrays)
    return (stage / 'weights').rename(stage / f'{name}-{files.sha256(stage / "weights")[:8]}.params')


def _described(trained: HybridBlock, config: Config, name: str, params: Path, dtype: str) -> Entry:
    """The entry of the index as far as it can be told before anything is measured."""
    known = label_set(config.data.dataset)
    same = known is not None and known.fingerprint == trained.labels.fingerprint
    built = None
    if not registry.is_known(name):
        built = Built(trained.name, chosen_options(trained.name, config.model.options))
    return Entry(
        name=name,
        file=params.name,
        sha256=files.sha256(params),
        bytes=params.stat().st_size,
        params=sum(p.data().size for p in trained.collect_params().values()),
        dtype=dtype,
        fingerprint=trained.labels.fingerprint,
        protocol=trained.protocol,
        licence='',
        source='',
        dataset=config.data.dataset if same else trained.dataset,
        classes=None if same else trained.classes,
        input=trained.input_spec.as_dict(),
        answers={
            **({'multi_label': True} if trained.multi_label else {}),
            **({} if trained.threshold is None else {'threshold': trained.threshold}),
        },
        model=built,
    )


def _as_loaded(
    entry: Entry, trained: HybridBlock, config: Config, params: Path, run_dir: Path, ctx: Optional[mx.Context]
) -> HybridBlock:
    """The network as `get_model(name, pretrained=True)` will give it; must compute what the run's own does."""
    if entry.model is None:
        net = _zoo_network(entry.name, trained, config, params, run_dir, ctx)
    else:
        net = factory.get_published(entry, str(params.parent), ctx)
        trained.load_parameters(str(params), ctx=ctx or mx.cpu(), cast_dtype=True)
    spec, channels = net.input_spec, trained.branches.backbone.in_channels
    shape = (1, channels, spec.frames) if spec.ndim == 3 else (spec.segments, channels)
    probe = np.random.default_rng(0).normal(size=(*shape, spec.crop_size, spec.crop_size)).astype('float32')
    a, b = (x(mx.nd.array(probe, ctx=ctx)).asnumpy() for x in (net, trained))
    if not np.allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max()):
        raise UserError(_other_network(entry.name, trained, config, 'with the same weights it gives other scores'))
    return net


def _zoo_network(
    name: str, trained: HybridBlock, config: Config, params: Path, run_dir: Path, ctx: Optional[mx.Context]
) -> HybridBlock:
    """The network of a name of the zoo, with the run's weights and input."""
    ctx = ctx or mx.cpu()
    own = factory.saved_options(name, params)
    own.update({'nclass': trained.nclass} if factory.setting(name).nclass is None else {})
    net = factory.get_model(name, pretrained_base=False, ctx=ctx, **own)
    if net.labels is None:
        net.labels = trained.labels if net.nclass == trained.nclass else None
    if net.labels is None or net.labels.fingerprint != trained.labels.fingerprint:
        raise UserError(f'{run_dir} was trained on other classes than those of {name}; choose another --name')
    shapes = [{n: p.shape for n, p in x._collect_params_with_prefix().items()} for x in (net, trained)]
    if shapes[0] != shapes[1]:
        differ = sorted(n for n in {**shapes[0], **shapes[1]} if shapes[0].get(n) != shapes[1].get(n))
        raise UserError(_other_network(name, trained, config, f'{len(differ)} parameters, {differ[0]} first, differ'))
    net.input_spec, net.multi_label, net.threshold = trained.input_spec, trained.multi_label, trained.threshold
    if net.input_spec.ndim == 2:
        net.num_segments = net.input_spec.segments
    for x in (net, trained):  # neither has run yet
        x.load_parameters(str(params), ctx=ctx, cast_dtype=True)
    return net


def _other_network(name: str, trained: HybridBlock, config: Config, reason: str) -> str:
    options = ', '.join(f'{key}={value}' for key, value in config.model.options.items())
    return (
        f'{trained.name}{f" with {options}" * bool(options)} is not {name} as the zoo builds it: {reason}; '
        f'publish it under a name of its own with --name'
    )


# The numbers


def _measure(net: HybridBlock, config: Config, measurement: Measurement, ctx: Optional[mx.Context]) -> Dict[str, Any]:
    """Accuracy in percent with what it was measured on; scores that were saved are spot-checked."""
    videos = functools.partial(_videos_of, config)  # also of a run that was trained on their features
    dataset, split = split_or_instead(videos, measurement.split, config.data.root, config.data.val_split)
    if measurement.scores:
        scores = _checked_scores(net, dataset, split, measurement, ctx)
    else:
        protocol = get_protocol(measurement.protocol or config.test.protocol or net.protocol)
        scores = _score(net, dataset, protocol, measurement, ctx)
    summary = summarize(scores)
    if not summary['labelled']:
        raise UserError(f'{dataset.name}: no video of split {split} has a label to measure by')
    gate = {}
    if net.gates:
        protocol = get_protocol(scores.protocol)
        fused = gate_effects(net, lambda: _score(net, dataset, protocol, measurement, ctx), scores)[0]
        gate = {'flat_gate': round(100 * fused.changed, 2)}
    known = [key for key in METRICS if summary.get(key) is not None and (key != 'top5' or summary['topk'] == TOPK)]
    return {
        **{key: round(100 * summary[key], 2) for key in known},
        **gate,
        'protocol': scores.protocol,
        'split': split,
        'videos': summary['labelled'],
        'seeds': 1,
    }


def _videos_of(config: Config, split: str) -> VideoDataset:
    data = config.data
    part = in_fold(data.dataset, split, data.train_split, data.root)
    videos = build_dataset(data.dataset, part, root=data.root, sizes=data.sizes)
    videos.flow = data.flow
    return videos


def _score(
    net: HybridBlock, dataset: VideoDataset, protocol: Protocol, measurement: Measurement, ctx: Optional[mx.Context]
) -> Scores:
    return score_dataset(
        net,
        dataset,
        protocol,
        ctx,
        measurement.batch_size,
        measurement.workers,
        progress=measurement.progress,
        execution=REFERENCE,
    )


def _checked_scores(
    net: HybridBlock, dataset: VideoDataset, split: str, measurement: Measurement, ctx: Optional[mx.Context]
) -> Scores:
    """Saved scores that are of these videos, and of these weights as far as a few videos tell."""
    path = str(measurement.scores)
    scores = Scores.load(path)
    ids = video_ids(dataset)
    if {*scores.ids, *scores.failed} != set(ids):
        raise UserError(f'{path}: scores of other videos than split {split} of {dataset.name}')
    if scores.fingerprint != net.labels.fingerprint:
        raise UserError(f'{path}: scores of other classes than those of {net.name}')
    if measurement.protocol not in (None, scores.protocol):
        raise UserError(f'{path}: scored by protocol {scores.protocol}, not {measurement.protocol}')
    some = np.unique(np.linspace(0, len(scores.ids) - 1, 4).astype(int))
    records = [dataset.records[ids.index(scores.ids[i])] for i in some]
    few = VideoDataset(records, dataset.labels, dataset.root, dataset.name)
    again = _score(net, few, get_protocol(scores.protocol), measurement, ctx)
    if len(again.ids) < len(some) or np.abs(again.probabilities - scores.probabilities[some]).max() > 1e-3:
        raise UserError(
            f'{path}: these weights score {again.ids[0]} otherwise; evaluate this run with gluon-fg evaluate'
        )
    return scores
