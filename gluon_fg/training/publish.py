"""Publishing: a training run becomes a file of the zoo, measured as it will be loaded, with its entry and record.

A model is published as NAME-HASH.params, with the run's config and record as configs/NAME-HASH.yaml and
logs/NAME-HASH.jsonl (`weights.repository` is the folder that they go to).
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, Dict, Optional, Union

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from .. import factory, files, registry
from ..data.catalog import label_set
from ..data.datasets import VideoDataset
from ..errors import UserError, unknown
from ..evaluation.gates import gate_effects
from ..evaluation.metrics import TOPK, summarize
from ..evaluation.protocol import Protocol, get_protocol
from ..evaluation.score import Scores, score_dataset, video_ids
from ..weights import cards, repository
from ..weights.entries import METRICS, Entry
from ..weights.index import entries_in, zoo_folder
from .config import Config, load_config, start_file, to_yaml
from .log import read_metrics
from .run import load_run, split_of

CHECKPOINTS = ('best', 'final')

# What of a run's environment.json tells how its numbers came about; the command line and the machine are left out.
_ENVIRONMENT = ('python', 'mxnet', 'numpy', 'onednn', 'cuda', 'omp_threads', 'ranks')


@dataclasses.dataclass(frozen=True)
class Measurement:
    """How the published accuracy comes about.

    `split` and `protocol` of the run's dataset (protocol None: the model's); `root`: where that lies now, None: where
    the run had it; `scores`: a file written by evaluate.py with this run's weights, None: evaluate now;
    `batch_size`, `workers`: as for `score_dataset`.
    """

    split: str = 'test'
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
        written by train.py
    folder
        made where there is none
    licence, source
        of the weights; what made them, in a line, None: dataset, epochs and seed of the run
    name
        model of the zoo to publish as; None: the run's own
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
        weights, or something there that only `replace` would replace
    """
    run_dir, folder, measurement = Path(run_dir), Path(folder), measurement or Measurement()
    if checkpoint not in CHECKPOINTS:
        raise unknown('checkpoint', checkpoint, CHECKPOINTS)
    if float16 and measurement.scores:
        raise UserError('half precision is measured on the file itself; leave out --float16 or --scores')
    trained, config = load_run(run_dir, run_dir / f'{checkpoint}.params', ctx)
    if not (run_dir / 'summary.json').is_file():
        raise UserError(f'{run_dir}: no summary.json there: the run is not finished; train.py resumes it')
    name = registry.model_entry(name or trained.name).name
    if not replace:
        repository.refuse_known(folder, name)
    config.data.root = measurement.root or config.data.root
    with repository.staged(folder) as stage:
        params = stage / 'weights.params'
        _write_params(trained, params, 'float16' if float16 else 'float32')
        digest = files.sha256(params)
        stem = f'{name}-{digest[:8]}'
        net = _zoo_network(name, trained, config, params, run_dir, ctx)
        metrics = _measure(net, config, measurement, ctx)
        (stage / 'config').write_text(_public_config(run_dir, stem), encoding='utf-8')
        (stage / 'log').write_text(_public_log(run_dir), encoding='utf-8')
        known = label_set(config.data.dataset)
        same = known is not None and known.fingerprint == net.labels.fingerprint
        entry = Entry(
            name=name,
            file=f'{stem}.params',
            sha256=digest,
            bytes=params.stat().st_size,
            params=sum(p.data().size for p in net.collect_params().values()),
            dtype='float16' if float16 else 'float32',
            fingerprint=net.labels.fingerprint,
            protocol=net.protocol,
            licence=licence,
            source=source or _source(run_dir, config, checkpoint),
            dataset=config.data.dataset if same else net.dataset,
            classes=None if same else net.classes,
            input=net.input_spec.as_dict(),
            metrics={config.data.dataset: metrics},
            config=f'configs/{stem}.yaml',
            log=f'logs/{stem}.jsonl',
        )
        written = {str(entry.file): params, str(entry.config): stage / 'config', str(entry.log): stage / 'log'}
        repository.add(folder, {name: entry}, written, replace)
    write_page(folder)
    return entry


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


def _write_params(net: HybridBlock, path: Path, dtype: str) -> None:
    """The network's parameters alone, sorted by name: equal weights make equal files."""
    arrays = {}
    for name, p in sorted(net._collect_params_with_prefix().items()):
        array = p.data().asnumpy().astype(np.float32)
        cast = array.astype(dtype)
        if not np.isfinite(array).all():
            raise UserError(f'{name} holds values that are not finite; this run cannot be published')
        if not np.isfinite(cast).all():
            raise UserError(f'{name} reaches {np.abs(array).max():g}, beyond float16; leave out --float16')
        arrays[name] = mx.nd.array(cast, dtype=cast.dtype)
    mx.nd.save(str(path), arrays)


def _zoo_network(
    name: str, trained: HybridBlock, config: Config, params: Path, run_dir: Path, ctx: Optional[mx.Context]
) -> HybridBlock:
    """The network as `get_model(name, pretrained=True)` will give it; must compute what the run's own does."""
    ctx = ctx or mx.cpu()
    own = factory.saved_options(name, params)
    own.update({'nclass': trained.nclass} if factory.setting(name).nclass is None else {})
    net = factory.get_model(name, pretrained_base=False, ctx=ctx, **own)
    if trained.labels is None:
        raise UserError(f'{run_dir}: no classes.txt there, and {trained.name} does not know its classes')
    if net.labels is None:
        net.labels = trained.labels if net.nclass == trained.nclass else None
    if net.labels is None or net.labels.fingerprint != trained.labels.fingerprint:
        raise UserError(f'{run_dir} was trained on other classes than those of {name}; choose another --name')
    shapes = [{n: p.shape for n, p in x._collect_params_with_prefix().items()} for x in (net, trained)]
    if shapes[0] != shapes[1]:
        differ = sorted(n for n in {**shapes[0], **shapes[1]} if shapes[0].get(n) != shapes[1].get(n))
        raise UserError(_other_network(name, trained, config, f'{len(differ)} parameters, {differ[0]} first, differ'))
    net.input_spec = trained.input_spec
    if net.input_spec.ndim == 2:
        net.num_segments = net.input_spec.segments
    for x in (net, trained):  # neither has run yet
        x.load_parameters(str(params), ctx=ctx, cast_dtype=True)
    spec, channels = net.input_spec, trained.branches.backbone.in_channels
    shape = (1, channels, spec.frames) if spec.ndim == 3 else (spec.segments, channels)
    probe = np.random.default_rng(0).normal(size=(*shape, spec.crop_size, spec.crop_size)).astype('float32')
    a, b = (x(mx.nd.array(probe, ctx=ctx)).asnumpy() for x in (net, trained))
    if not np.allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max()):
        raise UserError(_other_network(name, trained, config, 'with the same weights it gives other scores'))
    return net


def _other_network(name: str, trained: HybridBlock, config: Config, reason: str) -> str:
    options = ', '.join(f'{key}={value}' for key, value in config.model.options.items())
    return f'{trained.name}{f" with {options}" * bool(options)} is not {name} as the zoo builds it: {reason}'


# The numbers


def _measure(net: HybridBlock, config: Config, measurement: Measurement, ctx: Optional[mx.Context]) -> Dict[str, Any]:
    """Accuracy in percent with what it was measured on; scores that were saved are spot-checked."""
    dataset = split_of(config, measurement.split)
    if measurement.scores:
        scores = _checked_scores(net, dataset, measurement, ctx)
    else:
        protocol = get_protocol(measurement.protocol or config.test.protocol or net.protocol)
        scores = _score(net, dataset, protocol, measurement, ctx)
    summary = summarize(scores)
    if not summary['labelled']:
        raise UserError(f'{dataset.name}: no video of split {measurement.split} has a label to measure by')
    gate = {}
    if net.gates:
        protocol = get_protocol(scores.protocol)
        fused = gate_effects(net, lambda: _score(net, dataset, protocol, measurement, ctx), scores)[0]
        gate = {'flat_gate': round(100 * fused.changed, 2)}
    known = [key for key in METRICS if summary[key] is not None and (key != 'top5' or summary['topk'] == TOPK)]
    return {
        **{key: round(100 * summary[key], 2) for key in known},
        **gate,
        'protocol': scores.protocol,
        'split': measurement.split,
        'videos': summary['labelled'],
        'seeds': 1,
    }


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
        fused=True,
    )


def _checked_scores(
    net: HybridBlock, dataset: VideoDataset, measurement: Measurement, ctx: Optional[mx.Context]
) -> Scores:
    """Saved scores that are of these videos, and of these weights as far as a few videos tell."""
    path = str(measurement.scores)
    scores = Scores.load(path)
    ids = video_ids(dataset)
    if {*scores.ids, *scores.failed} != set(ids):
        raise UserError(f'{path}: scores of other videos than split {measurement.split} of {dataset.name}')
    if scores.fingerprint != net.labels.fingerprint:
        raise UserError(f'{path}: scores of other classes than those of {net.name}')
    if measurement.protocol not in (None, scores.protocol):
        raise UserError(f'{path}: scored by protocol {scores.protocol}, not {measurement.protocol}')
    some = np.unique(np.linspace(0, len(scores.ids) - 1, 4).astype(int))
    records = [dataset.records[ids.index(scores.ids[i])] for i in some]
    few = VideoDataset(records, dataset.labels, dataset.root, dataset.name)
    again = _score(net, few, get_protocol(scores.protocol), measurement, ctx)
    if len(again.ids) < len(some) or np.abs(again.probabilities - scores.probabilities[some]).max() > 1e-3:
        raise UserError(f'{path}: these weights score {again.ids[0]} otherwise; evaluate this run with evaluate.py')
    return scores


# The record


def _source(run_dir: Path, config: Config, checkpoint: str) -> str:
    summary = json.loads((run_dir / 'summary.json').read_text())
    epoch = summary['best']['epoch'] if checkpoint == 'best' else summary['epochs']
    model = load_config(str(run_dir / 'config.yaml'), saved=True).model
    begun = {'kinetics400': ', from Kinetics-400 weights', 'imagenet': ', from ImageNet weights'}
    start = ', warm start' if start_file(model) else begun.get(model.start or '', '')
    return (
        f'scripts/train.py on {config.data.dataset}: epoch {epoch} of {summary["epochs"]}, '
        f'learning rate {config.train.lr:g}, seed {config.train.seed}{start}'
    )


def _public_config(run_dir: Path, stem: str) -> str:
    """The run's config, every value, without what lies on its machine."""
    config = load_config(str(run_dir / 'config.yaml'), saved=True)
    lines = [f'# The run that made {stem}.params, every value; folders of its machine are left out.']
    if start_file(config.model):
        given = Path(str(start_file(config.model)))
        digest = f', SHA-256 {files.sha256(given)}' if given.is_file() else ''
        lines.append(f'# model.{"params" if config.model.params else "start"}: it started from {given.name}{digest}')
        config.model.start = None
    config.model.params = config.data.root = None
    return '\n'.join([*lines, to_yaml(config)])


def _public_log(run_dir: Path) -> str:
    """The epochs' losses and accuracies as JSON lines, below a line of library versions."""
    environment = run_dir / 'environment.json'
    known = json.loads(environment.read_text()) if environment.is_file() else {}
    records = [{'event': 'environment', 'step': 0, **{key: known[key] for key in _ENVIRONMENT if key in known}}]
    for record in read_metrics(run_dir / 'metrics.jsonl'):
        if record['event'] in ('epoch', 'val'):
            words = {key: record[key] for key in ('event', 'stage', 'protocol') if key in record}
            records.append({**words, **{k: v for k, v in record.items() if isinstance(v, (int, float))}})
    return ''.join(json.dumps(record) + '\n' for record in records)
