"""From a name of the zoo to its network: `get_model`, `model_info`, `list_models`.

Names that the zoo lacks go to GluonCV, whose own `get_model` knows the zoo's too once gluon_fg is imported (GluonCV is
imported with it: 0.2 s).
"""

from __future__ import annotations

import functools
import numbers
import os
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Type, Union

import mxnet as mx
from mxnet.gluon import HybridBlock

from . import (
    recognizers,  # noqa: F401  (whose files register the entries)
    registry,
)
from .backbones import BACKBONES, TWO_STREAM
from .data.catalog import dataset_info, label_set
from .data.labels import LabelSet
from .errors import UserError, unknown
from .input_spec import InputSpec
from .model_names import Setting, class_count_of, list_models, model_info, resolve, setting, setting_of
from .pretrained import find_weights, gluoncv_model, gluoncv_names, know_classes, load_published
from .recognizers.base import Recognizer
from .recognizers.baseline import Baseline
from .recognizers.inputs import Input, named_input
from .recognizers.twostream import TwoStream
from .registry import ModelEntry, model_entry
from .weights import gluoncv_start, imagenet
from .weights.entries import Entry
from .weights.index import find, model_root
from .weights.params_file import read_params

__all__ = [
    'Setting',
    'build',
    'get_model',
    'get_published',
    'gluoncv_names',
    'joined_name',
    'know_classes',
    'list_models',
    'model_info',
    'register_model',
    'resolve',
    'run_options',
    'saved_options',
    'setting',
]


def register_model(
    name: str,
    builder: Type[Recognizer],
    dataset: Optional[str],
    input: Union[str, Input],
    backbone: str,
    **defaults: Any,
) -> None:
    """Add a model of your own to the zoo, so that `get_model`, training and evaluation know it by name.

    Parameters
    ----------
    name
        a new one
    builder
        a recognizer's class, a subclass of `gluon_fg.recognizers.Recognizer`
    dataset
        name of a dataset (`gluon_fg.data.register_dataset` adds new ones), whose classes are predicted; None: the
        number of classes is given by the user
    input
        name of an input (`gluon_fg.recognizers.inputs.INPUTS`), or an `Input` of your own
    backbone
        name in `gluon_fg.backbones.BACKBONES`
    defaults
        options of the builder where they differ from its own defaults

    Raises
    ------
    UserError
        a name that is taken, or an unknown dataset, input, backbone or option
    """
    if registry.is_known(name):
        raise UserError(f'model {name!r} is registered already; choose another name')
    if dataset is not None:
        dataset_info(dataset)
    if isinstance(input, str):
        named_input(input)
    if backbone not in BACKBONES:
        raise unknown('backbone', backbone, BACKBONES)
    options = ModelEntry(name, builder, dataset, input, backbone, defaults).options
    for option in defaults:
        if option not in options:
            raise unknown(f'option of {name}', option, options)
    registry.register(name, builder, dataset, input, backbone, **defaults)
    add_to_gluoncv()


def build(name: str, nclass: Optional[int] = None, **options: Any) -> HybridBlock:
    """Build the network of an entry: all shapes known, not initialized. Arguments and errors are `get_model`'s."""
    return _build(name, *resolve(name), nclass, options)


def _build(
    name: str, entry: ModelEntry, published: Optional[Entry], nclass: Optional[int], options: Mapping[str, Any]
) -> HybridBlock:
    """Build what a name stands for (`resolve`)."""
    title, own = (published.name, published.model) if published else (entry.name, None)
    for option in (*options, *(own.options if own else ())):
        if option not in entry.options:
            raise unknown(f'option of {name}', option, entry.options)
    shown = setting_of(entry, published)
    spec, nclass = shown.input_spec, _class_count(title, shown.nclass if nclass is None else nclass)
    chosen = {**_of_input(entry, spec), **entry.defaults, **(own.options if own else {}), **options}
    try:
        net = entry.builder.build(entry.backbone, nclass, **chosen)
    except (TypeError, ValueError) as error:
        if own is None or not own.options or isinstance(error, UserError):
            raise
        raise UserError(f'{title}: {entry.name} cannot be built with the options of its index ({error})') from error
    net.name, net.entry, net.protocol = title, entry.name, shown.protocol
    if nclass == shown.nclass and shown.dataset:  # other classes than the dataset's are unknown ones
        net.dataset, net.labels = shown.dataset, functools.partial(label_set, shown.dataset)
    elif nclass == shown.nclass and published and published.classes:
        net.labels = LabelSet(published.classes)
    net.input_spec = spec.replace(segments=net.num_segments, frames=chosen.get('frames', spec.frames))
    return net


def _of_input(entry: ModelEntry, spec: InputSpec) -> Dict[str, int]:
    """The options of an entry that say what its input says: a builder may have to know."""
    return {k: v for k, v in (('num_segments', spec.segments), ('frames', spec.frames)) if k in entry.options}


def option_defaults(name: str) -> Dict[str, Any]:
    """Return option -> value of all that `get_model` takes for an entry, as it is built where nobody gives it."""
    entry = model_entry(name)
    return {**entry.option_defaults, **_of_input(entry, setting_of(entry, None).input_spec), **entry.defaults}


def get_model(
    name: str,
    pretrained: bool = False,
    pretrained_base: bool = True,
    nclass: Optional[int] = None,
    ctx: Optional[mx.Context] = None,
    root: Optional[str] = None,
    **options: Any,
) -> HybridBlock:
    """Build a network of the zoo, initialized and ready to train or predict.

    Parameters
    ----------
    name
        an entry or alias (`list_models`), or a model of GluonCV's, which then gets all arguments that were given
    pretrained
        load the weights published for this very name, verified by their checksum; where there are none, GluonCV's for
        the network within it (`model_info(name)['gluoncv']`), with a warning that says which branches still need
        training and are set aside (`net.trained_branches`)
    pretrained_base
        start the backbone from ImageNet weights, inflated for clips, when `pretrained` is False; the tiny ones
        have none and start from random weights in any case
    nclass
        number of classes; None for the entry's own. `*_custom` entries need it. With `pretrained` another number keeps
        all but the classifiers, with a warning
    ctx
        where to put the parameters (default: CPU)
    root
        folder of weight files (default: MXNet's own, see `gluon_fg.weights.model_root`)
    options
        the recognizer's options, for example `local_branch=False`; `model_info(name)['options']` lists them

    Raises
    ------
    UserError
        unknown name or option, a missing or impossible value, or weights that are not to be had
    """
    ctx = ctx or mx.cpu()
    if os.path.isdir(name) and not registry.is_known(name):
        raise UserError(f'{name} is a folder; a training run is loaded with gluon_fg.load_model({name!r})')
    if not registry.is_known(name) and name.lower() in gluoncv_names():
        return gluoncv_model(name, pretrained, pretrained_base, nclass, ctx, root, options)
    entry, published = resolve(name, root, also=gluoncv_names())
    if not pretrained:
        net = _build(name, entry, published, nclass, options)
        net.initialize(mx.init.MSRAPrelu('in', 0), ctx=ctx)
        _start_backbone(net, pretrained_base, root)
        return net
    if published is None and nclass is None and entry.dataset is None:
        known = find(entry.name, root)  # a user's own classes, published under the entry's name
        nclass = class_count_of(known) if known else None
    return _pretrained(name, entry, published, nclass, ctx, root, options)


def get_published(
    published: Entry, root: Optional[str] = None, ctx: Optional[mx.Context] = None, **options: Any
) -> HybridBlock:
    """Build the network of an entry of an index, with its weights: as `get_model(name, pretrained=True)`.

    Parameters
    ----------
    published
        of whatever index, for example that of a folder that is in no list of repositories
    root
        folder where its file is looked for first
    ctx, options
        as for `get_model`

    Raises
    ------
    UserError
        as `get_model`
    """
    entry = model_entry(published.model.name if published.model else published.name)
    nclass = options.pop('nclass', None) or class_count_of(published)
    return _pretrained(published.name, entry, published, nclass, ctx or mx.cpu(), root, options)


def _pretrained(
    name: str,
    entry: ModelEntry,
    published: Optional[Entry],
    nclass: Optional[int],
    ctx: mx.Context,
    root: Optional[str],
    options: Dict[str, Any],
) -> HybridBlock:
    """Build a network with its weights; `published` as `resolve` gives it."""
    net = _build(name, entry, published, nclass, options)  # a slip in the options is said before weights are fetched
    weights = find_weights(entry, root, published)  # files come before the slow part
    former = {} if weights.sibling else entry.builder.saved_options(set(read_params(weights.file)))
    if former:
        net = _build(name, entry, published, nclass, {**former, **options})
    # MSRA for layers under ReLU; heads bring scales of their own.
    net.initialize(mx.init.MSRAPrelu('in', 0), ctx=ctx)
    if weights.sibling:
        # An entry's own options are those of the network that its sibling is.
        changed = {k: v for k, v in entry.defaults.items() if options.get(k, v) != v}
        gluoncv_start.start(net, weights.file, weights.sibling, changed)
    else:
        load_published(net, weights, options, ctx)
    net.quantized_beside = f'{model_root(root) / weights.file.stem}-'
    return net


def _start_backbone(net: HybridBlock, pretrained_base: bool, root: Optional[str]) -> None:
    """Give the backbone ImageNet's weights where they are wanted and there are any."""
    if not pretrained_base or not net.branches.backbone.imagenet:
        net.backbone_loaded('random')
        return
    try:
        net.weights_source = f'ImageNet weights {imagenet.load(net.branches.backbone, root)}'
    except UserError as error:
        raise UserError(f'{error}, or start from random ones with pretrained_base=False') from None
    net.backbone_loaded('pretrained')


def joined_name(rgb: str, flow: str) -> Optional[str]:
    """Name of the entry whose two streams two entries are, one on colors and one on flow; None where there is none.

    It is for the user's own classes where the two are for different datasets.
    """
    streams = (model_entry(rgb), model_entry(flow))
    backbones = tuple(entry.backbone for entry in streams)
    dataset = streams[0].dataset if streams[0].dataset == streams[1].dataset else None
    known = (model_entry(name) for name in registry.names())
    fitting = (
        entry.name
        for entry in known
        if entry.builder is TwoStream and TWO_STREAM[entry.backbone] == backbones and entry.dataset == dataset
    )
    return next(fitting, None) if all(entry.builder is Baseline for entry in streams) else None


def saved_options(name: str, path: Union[str, Path]) -> Dict[str, Any]:
    """Tell which options of an entry a parameter file's network was built with: see `Recognizer.saved_options`.

    Raises
    ------
    UserError
        unknown name, or no parameter file
    """
    return resolve(name)[0].builder.saved_options(set(read_params(path)))


def run_options(name: str, path: Union[str, Path], given: Mapping[str, Any]) -> Dict[str, Any]:
    """Tell the options of a run's network by its parameters and its config: see `Recognizer.run_options`."""
    return model_entry(name).builder.run_options(set(read_params(path)), given)


def _class_count(name: str, nclass: Optional[int]) -> int:
    if nclass is None:
        raise UserError(f'{name} needs the number of classes; give nclass')
    if isinstance(nclass, bool) or not isinstance(nclass, numbers.Integral) or nclass < 2:
        raise UserError(f'nclass must be a whole number of at least 2, got {nclass!r}')
    return int(nclass)


def add_to_gluoncv() -> None:
    """Make the zoo's names known to `gluoncv.model_zoo.get_model`; names that GluonCV has keep its network there."""
    from gluoncv.model_zoo.model_zoo import _models

    for name in registry.names():
        _models.setdefault(name, functools.partial(get_model, name))
