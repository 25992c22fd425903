"""From a name of the zoo to its network: `get_model`, `model_info`, `list_models`.

Names that the zoo lacks go to GluonCV, whose own `get_model` knows the zoo's too once gluon_fg is imported (GluonCV is
imported with it: 0.2 s).
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import numbers
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Type, Union

import mxnet as mx
from mxnet.gluon import HybridBlock

from . import (
    recognizers,  # noqa: F401  (whose files register the entries)
    registry,
)
from .backbones import BACKBONES
from .data.catalog import dataset_info, label_set
from .data.labels import LabelSet
from .errors import UserError, unknown
from .input_spec import InputSpec
from .recognizers.base import Recognizer
from .recognizers.inputs import Input, named_input
from .registry import ModelEntry, model_entry
from .weights import gluoncv_start, imagenet, zoo
from .weights.gluoncv_store import gluoncv_file, gluoncv_has
from .weights.index import find, index
from .weights.params_file import read_params


@dataclasses.dataclass(frozen=True)
class Setting:
    """A setting says what an entry of the zoo is for.

    Parameters
    ----------
    dataset
        its name in the catalog, or None for a user's own
    nclass
        number of classes; None: given by the user
    protocol
        name of the test protocol
    input_spec
        frames, sizes and scale of a view
    """

    dataset: Optional[str]
    nclass: Optional[int]
    protocol: str
    input_spec: InputSpec


def setting(name: str) -> Setting:
    """Return what an entry or alias is for; raises UserError with the closest names for any other name."""
    entry = model_entry(name)
    shown = named_input(entry.input) if isinstance(entry.input, str) else entry.input
    shown = shown.for_dataset(entry.dataset)
    nclass = None if entry.dataset is None else dataset_info(entry.dataset).nclass
    return Setting(entry.dataset, nclass, shown.protocol, shown.spec)


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


def list_models(pattern: str = '*', pretrained: Union[bool, str] = False) -> List[str]:
    """List the names of the zoo's entries and aliases, sorted.

    Parameters
    ----------
    pattern
        shell wildcards, for example '*dfb*'
    pretrained
        True: only those whose own weights are published, every branch trained. 'gluoncv': those without, which
        `get_model(name, pretrained=True)` starts from GluonCV's weights of a sibling. False: all

    Raises
    ------
    UserError
        another value of `pretrained`, or an index that is wrong
    """
    if pretrained not in (True, False, 'gluoncv'):
        raise UserError(f"pretrained must be True, False or 'gluoncv', got {pretrained!r}")
    names = [name for name in registry.names() if fnmatch.fnmatchcase(name, pattern)]
    if pretrained:
        published = index()
        names = [name for name in names if _weights_from(model_entry(name), published) == pretrained]
    return sorted(names)


def model_info(name: str) -> Dict[str, Any]:
    """Tell the facts of an entry or alias; the network is not built.

    Returns
    -------
    dict
        `name`, `method`, `backbone`, `dataset`, `nclass`, `protocol`, `input` (as `InputSpec`'s fields), `options`
        (names that `get_model` takes); `pretrained`: as the value of `list_models` that lists it; `gluoncv`: the name
        of GluonCV's sibling, or None; `weights`: None, or what is published, a dict of `weights.entries.Entry`'s
        fields: file, sha256, bytes, metrics with their protocol, licence, source, log, fingerprint of the classes, ...
        `input` is then what the weights were trained with

    Raises
    ------
    UserError
        unknown name, or an index that is wrong
    """
    entry, shown, published = model_entry(name), setting(name), index()
    weights = published.get(entry.name)
    return {
        'name': entry.name,
        'method': entry.builder.__name__,
        'backbone': entry.backbone,
        'dataset': shown.dataset,
        'nclass': shown.nclass,
        'protocol': shown.protocol,
        'input': shown.input_spec.replace(**(weights.input if weights else {})).as_dict(),
        'options': entry.options,
        'pretrained': _weights_from(entry, published),
        'gluoncv': entry.gluoncv,
        'weights': dataclasses.asdict(weights) if weights else None,
    }


def _weights_from(entry: ModelEntry, published: Mapping[str, Any]) -> Union[bool, str]:
    """True: published under its name; 'gluoncv': a sibling's; False: none."""
    return True if entry.name in published else 'gluoncv' if entry.gluoncv else False


def build(name: str, nclass: Optional[int] = None, **options: Any) -> HybridBlock:
    """Build the network of an entry: all shapes known, not initialized. Arguments and errors are `get_model`'s."""
    entry = model_entry(name)
    for option in options:
        if option not in entry.options:
            raise unknown(f'option of {name}', option, entry.options)
    shown = setting(name)
    spec, nclass = shown.input_spec, _class_count(entry.name, shown.nclass if nclass is None else nclass)
    of_input = {'num_segments': spec.segments, 'frames': spec.frames}  # which a builder may have to know
    options = {**{k: v for k, v in of_input.items() if k in entry.options}, **entry.defaults, **options}
    net = entry.builder.build(entry.backbone, nclass, **options)
    net.name, net.protocol = entry.name, shown.protocol
    if shown.dataset and nclass == shown.nclass:  # other classes than the dataset's are unknown ones
        net.dataset, net.labels = shown.dataset, functools.partial(label_set, shown.dataset)
    net.input_spec = spec.replace(segments=net.num_segments, frames=options.get('frames', spec.frames))
    return net


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
    if not registry.is_known(name):
        return _gluoncv_model(name, pretrained, pretrained_base, nclass, ctx, root, options)
    net, entry = build(name, nclass, **options), model_entry(name)
    weights = _find_weights(entry, root) if pretrained else None  # files come before the slow part
    former = saved_options(name, weights.file) if weights and not weights.sibling else {}
    if former:
        net = build(name, nclass, **{**former, **options})
    # MSRA for layers under ReLU; heads bring scales of their own.
    net.initialize(mx.init.MSRAPrelu('in', 0), ctx=ctx)
    if weights is None:
        if pretrained_base and net.branches.backbone.imagenet:
            try:
                net.weights_source = f'ImageNet weights {imagenet.load(net.branches.backbone, root)}'
            except UserError as error:
                raise UserError(f'{error}, or start from random ones with pretrained_base=False') from None
            net.backbone_loaded('pretrained')
        else:
            net.backbone_loaded('random')
    elif weights.sibling:
        # An entry's own options are those of the network that its sibling is.
        changed = {k: v for k, v in entry.defaults.items() if options.get(k, v) != v}
        gluoncv_start.start(net, weights.file, weights.sibling, changed)
    else:
        _load_published(net, weights, options, ctx)
    return net


def saved_options(name: str, path: Union[str, Path]) -> Dict[str, Any]:
    """Tell which options of an entry a parameter file's network was built with: see `Recognizer.saved_options`.

    Raises
    ------
    UserError
        unknown name, or no parameter file
    """
    return model_entry(name).builder.saved_options(set(read_params(path)))


def run_options(name: str, path: Union[str, Path], given: Mapping[str, Any]) -> Dict[str, Any]:
    """Tell the options of a run's network by its parameters and its config: see `Recognizer.run_options`."""
    return model_entry(name).builder.run_options(set(read_params(path)), given)


class _Weights(NamedTuple):
    """A file of weights: published for a name (with its entry of the index), or GluonCV's for a sibling."""

    file: Path
    published: Any = None
    sibling: Optional[str] = None


def _find_weights(entry: ModelEntry, root: Optional[str]) -> _Weights:
    published = find(entry.name, root)
    if entry.gluoncv and published is None and gluoncv_has(entry.gluoncv):
        return _Weights(gluoncv_file(entry.gluoncv, root), sibling=entry.gluoncv)
    return _Weights(zoo.weights_file(entry.name, root), published)


def _load_published(net: HybridBlock, weights: _Weights, options: Dict[str, Any], ctx: mx.Context) -> None:
    same_classes = zoo.load(net, weights.file, weights.published, ctx)
    net.untrained = frozenset(() if same_classes else net.class_parameters())
    if same_classes:
        know_classes(net, weights.published)
    if net.input_spec.ndim == 2:  # as trained, unless asked for otherwise
        net.num_segments = options.get('num_segments', net.input_spec.segments)
        net.input_spec = net.input_spec.replace(segments=net.num_segments)
    net.weights_source = f'published weights {weights.file.name}'


def know_classes(net: HybridBlock, published: Any) -> None:
    """Give a network that knows no class names those of the weights (an entry of the index) that it was loaded with."""
    if net.labels is None:
        net.labels = LabelSet(published.classes) if published.classes else label_set(published.dataset)


def _class_count(name: str, nclass: Optional[int]) -> int:
    if nclass is None:
        raise UserError(f'{name} needs the number of classes; give nclass')
    if isinstance(nclass, bool) or not isinstance(nclass, numbers.Integral) or nclass < 2:
        raise UserError(f'nclass must be a whole number of at least 2, got {nclass!r}')
    return int(nclass)


def _gluoncv_model(
    name: str,
    pretrained: bool,
    pretrained_base: bool,
    nclass: Optional[int],
    ctx: mx.Context,
    root: Optional[str],
    options: Dict[str, Any],
) -> HybridBlock:
    from gluoncv.model_zoo.model_zoo import _models

    if name.lower() not in _models:
        raise unknown('model', name, {*registry.names(), *_models})
    given = {'pretrained': pretrained, 'ctx': ctx, **options}
    if nclass is not None:
        given['nclass'] = nclass
    if root is not None:
        given['root'] = root
    if not pretrained_base:
        given['pretrained_base'] = False
    return _models[name.lower()](**given)


def add_to_gluoncv() -> None:
    """Make the zoo's names known to `gluoncv.model_zoo.get_model`; names that GluonCV has keep its network there."""
    from gluoncv.model_zoo.model_zoo import _models

    for name in registry.names():
        _models.setdefault(name, functools.partial(get_model, name))
