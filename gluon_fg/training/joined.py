"""Two networks, one on colors and one on optical flow, joined to one that predicts from both: a folder as a run's."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import mxnet as mx
from mxnet.gluon import HybridBlock

from .. import factory
from ..errors import UserError
from ..files import atomic_folder, atomic_write
from ..weights.saving import save_params
from .config import Config, save_config
from .features import VIEW_KEYS
from .flow import FLOW_KEYS
from .named import Named
from .run import load_run
from .sections import ModelConfig

STREAMS = ('rgb', 'flow')
# What two streams have in common: fields of `InputSpec`, among them keys of the runs' `data`, and others of these keys.
_VIEW = ('layout', 'sampling', *(key for key in VIEW_KEYS if key != 'center_flow'))
_DATA = ('dataset', 'train_split', 'val_split')


def join(rgb: Named, flow: Named, folder: Union[str, Path], weights: Optional[Sequence[float]] = None) -> str:
    """Write a run's folder of the network of both streams, with their weights: config.yaml, best.params, classes.txt.

    Its softmax is the weighted mean of theirs. It is measured, published and started from as any run; its summary.json
    says what it was made of.

    Parameters
    ----------
    rgb, flow
        the streams, on colors and on flow
    folder
        made; it appears complete
    weights
        of the two in the mean; None: both alike

    Returns
    -------
    The entry that it is.

    Raises
    ------
    UserError
        a folder that is there; streams of other classes, views, data or flow than each other, or of no common entry:
        one line that names the first mismatch
    """
    folder = Path(folder)
    if folder.exists():
        raise UserError(f'--out {folder} is there already; choose another folder')
    name = _entry(rgb, flow)
    for mismatch in _mismatches(rgb, flow):
        raise UserError(f'{mismatch}; the streams of one network need the same')
    config = _config(rgb, flow, name, weights)
    net = factory.build(name, config.model.nclass, **config.model.options)
    arrays = _arrays(net, rgb, flow)
    with atomic_folder(folder) as partial:
        _write(partial, config, arrays, rgb, flow)
        _check(load_run(partial)[0], rgb, flow)
    return name


def _entry(rgb: Named, flow: Named) -> str:
    """The entry whose streams the two networks are."""
    for named, place, wanted in ((rgb, 'first', 'colors'), (flow, 'second', 'optical flow')):
        spec = named.net.input_spec
        seen = 'both' if spec.sees_rgb and spec.fields else 'colors' if spec.sees_rgb else 'optical flow'
        if seen != wanted:
            raise UserError(f'{named.title} sees {seen}; the {place} of the two networks is the one on {wanted} alone')
    entries = [named.net.entry for named in (rgb, flow)]
    name = factory.joined_name(*entries)
    if name is None:
        fields = flow.net.input_spec.fields
        raise UserError(
            f'{rgb.title} ({entries[0]}) and {flow.title} ({entries[1]}, {fields} flow field{"s" * (fields != 1)} at '
            'each frame) are the streams of no network of both; fuse their scores with gluon-fg fuse, or choose two '
            'such as i3d_inceptionv1_same_custom and i3d_inceptionv1_same_flow_custom'
        )
    return name


def _mismatches(rgb: Named, flow: Named) -> Iterator[str]:
    """What the streams of one network cannot differ in, and do."""
    names = (rgb.title, flow.title)

    def differ(quantity: str, values: Sequence[Any]) -> Iterator[str]:
        if values[0] != values[1]:
            yield f'{quantity} is {values[0]} in {names[0]} and {values[1]} in {names[1]}'

    nets: List[HybridBlock] = [rgb.net, flow.net]
    yield from differ('the number of classes', [net.nclass for net in nets])
    for i, pair in enumerate(zip(*(net.classes or () for net in nets))):
        yield from differ(f'class {i}', pair)
    yield from differ('data.multi_label', [net.multi_label for net in nets])
    specs = [net.input_spec for net in nets]
    for key in _VIEW:
        yield from differ(f'data.{key}' if key in VIEW_KEYS else key, [getattr(spec, key) for spec in specs])
    configs = [named.config for named in (rgb, flow)]
    if all(configs):
        for key in _DATA:
            yield from differ(f'data.{key}', [getattr(config.data, key) for config in configs if config])


def _config(rgb: Named, flow: Named, name: str, weights: Optional[Sequence[float]]) -> Config:
    """The config of the network of both: its data are the streams' own, where they have any."""
    config = copy.deepcopy(flow.config or rgb.config or Config())
    config.stages = {}
    options: Dict[str, Any] = {} if weights is None else dict(zip(('rgb_weight', 'flow_weight'), map(float, weights)))
    config.model = ModelConfig(name=name, nclass=rgb.net.nclass, pretrained_base=False, options=options)
    if rgb.config is None and flow.config is None:
        config.data.dataset = rgb.net.dataset or 'folder'
    for key in VIEW_KEYS:
        setattr(config.data, key, getattr(flow.net.input_spec, key))
    for key, field in FLOW_KEYS.items():
        setattr(config.data, key, getattr(flow.net.input_spec, field))
    config.data.multi_label = flow.net.multi_label
    config.data.features = None
    protocols = {rgb.net.protocol, flow.net.protocol}
    config.test.protocol = protocols.pop() if len(protocols) == 1 else None
    config.test.threshold = config.test.refuse = None
    return config


def stream_name(name: str, stream: str) -> str:
    """Name, in the network of both, of a stream's 'branches.backbone.stem...': 'branches.backbone.rgb.stem...'."""
    branches, block, rest = name.split('.', 2)
    return f'{branches}.{block}.{stream}.{rest}'


def _arrays(net: HybridBlock, rgb: Named, flow: Named) -> Dict[str, mx.nd.NDArray]:
    """The parameters of the network of both, each one of a stream's."""
    mx.nd.waitall()
    arrays = {
        stream_name(name, stream): p.data(p.list_ctx()[0]).as_in_context(mx.cpu())
        for stream, named in zip(STREAMS, (rgb, flow))
        for name, p in named.net._collect_params_with_prefix().items()
    }
    wanted = {name: p.shape for name, p in net._collect_params_with_prefix().items()}
    for name in sorted({*wanted, *arrays}):
        if name not in arrays or wanted.get(name) != arrays[name].shape:
            raise UserError(
                f'{net.name} has {name} of shape {wanted.get(name)}, the streams of '
                f'{arrays[name].shape if name in arrays else None}: they were built with options of their own'
            )
    return arrays


def _write(folder: Path, config: Config, arrays: Dict[str, mx.nd.NDArray], rgb: Named, flow: Named) -> None:
    for file in ('best.params', 'final.params'):
        save_params(folder / file, arrays)
    classes = rgb.net.classes or flow.net.classes
    if classes:
        with atomic_write(folder / 'classes.txt') as stream:
            stream.writelines(f'{name}\n' for name in classes)
    joined = {
        stream: {'model': named.net.name, 'entry': named.net.entry} for stream, named in zip(STREAMS, (rgb, flow))
    }
    with atomic_write(folder / 'summary.json') as stream:
        json.dump({'joined': joined}, stream, indent=1)
    save_config(config, folder / 'config.yaml')


def _check(net: HybridBlock, rgb: Named, flow: Named) -> None:
    """Refuse streams whose views the network of both, read back, does not have."""
    spec, first, second = net.input_spec, rgb.net.input_spec, flow.net.input_spec
    wanted = dataclasses.replace(second, mean=(*first.mean, *second.mean), std=(*first.std, *second.std))
    for field in dataclasses.fields(spec):
        values: Tuple[Any, Any] = (getattr(wanted, field.name), getattr(spec, field.name))
        if values[0] != values[1]:
            raise UserError(f'{field.name} is {values[0]} in the two streams, and {net.name} has {values[1]}')
