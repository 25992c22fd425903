"""The zoo by name: `get_model`, `list_models`, and what an entry is.

Recognizer files register their entries, one literal name a line. Names that are not ours go to GluonCV, whose own
`get_model` knows ours too once gluon_fg is imported (GluonCV is imported with it: 0.2 s).
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import inspect
import numbers
from typing import Any, Callable, Dict, List, Optional, Union

import mxnet as mx
from mxnet.gluon import HybridBlock

from .errors import UserError, unknown
from .weights import gluoncv_start, imagenet, zoo
from .weights.gluoncv_store import gluoncv_file, gluoncv_has
from .weights.index import find, index

_entries: Dict[str, ModelEntry] = {}
_aliases: Dict[str, str] = {}

# What an entry fixes; all else in a builder's signature may be given to get_model.
_FIXED = ('backbone', 'nclass', 'prefix', 'params', 'kwargs')


@dataclasses.dataclass(frozen=True)
class ModelEntry:
    """One name of the zoo.

    Parameters
    ----------
    name
        as users type it
    builder
        the recognizer's class
    task
        dataset, classes, protocol and input
    backbone
        name in `gluon_fg.backbones.BACKBONES`
    defaults
        the builder's options where they differ from its own defaults
    gluoncv
        GluonCV's name of the network whose published weights fit the backbone and the global classifier, or None
    """

    name: str
    builder: Callable[..., HybridBlock]
    task: Any
    backbone: str
    defaults: Dict[str, Any]
    gluoncv: Optional[str] = None

    @property
    def options(self) -> List[str]:
        """Names of the options that `get_model` takes for this entry, beside its own arguments."""
        return [name for name in inspect.signature(self.builder).parameters if name not in _FIXED]


def register(
    name: str, builder: Callable[..., HybridBlock], task, backbone: str, gluoncv: Optional[str] = None, **defaults
) -> None:
    """Add an entry to the zoo; arguments as `ModelEntry`'s.

    Raises
    ------
    ValueError
        the name is taken
    """
    if name in _entries or name in _aliases:
        raise ValueError(f'model {name!r} is registered already')
    _entries[name] = ModelEntry(name, builder, task, backbone, defaults, gluoncv)


def alias(name: str, target: str) -> None:
    """Let a short name stand for an entry; raises ValueError when it is taken or there is no such entry."""
    if name in _entries or name in _aliases:
        raise ValueError(f'model {name!r} is registered already')
    if target not in _entries:
        raise ValueError(f'alias {name!r} of {target!r}, which is no entry')
    _aliases[name] = target


def model_entry(name: str) -> ModelEntry:
    """The entry of a name or alias; raises UserError with the closest names where there is none."""
    _load()
    entry = _entries.get(_aliases.get(name, name))
    if entry is None:
        raise unknown('model', name, [*_entries, *_aliases])
    return entry


def list_models(pattern: str = '*', pretrained: Union[bool, str] = False) -> List[str]:
    """Names of our entries and aliases, sorted.

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
    _load()
    if pretrained not in (True, False, 'gluoncv'):
        raise UserError(f"pretrained must be True, False or 'gluoncv', got {pretrained!r}")
    names = [name for name in [*_entries, *_aliases] if fnmatch.fnmatchcase(name, pattern)]
    if pretrained:
        published = index()
        names = [name for name in names if _weights_from(model_entry(name), published) == pretrained]
    return sorted(names)


def model_info(name: str) -> Dict[str, Any]:
    """Facts of an entry or alias; the network is not built.

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
    entry, published = model_entry(name), index()
    weights = published.get(entry.name)
    return {
        'name': entry.name,
        'method': entry.builder.__name__,
        'backbone': entry.backbone,
        'dataset': entry.task.dataset,
        'nclass': entry.task.nclass,
        'protocol': entry.task.protocol,
        'input': dataclasses.asdict(entry.task.input_spec.replace(**(weights.input if weights else {}))),
        'options': entry.options,
        'pretrained': _weights_from(entry, published),
        'gluoncv': entry.gluoncv,
        'weights': dataclasses.asdict(weights) if weights else None,
    }


def _weights_from(entry: ModelEntry, published) -> Union[bool, str]:
    """True: published under its name; 'gluoncv': a sibling's; False: none."""
    return True if entry.name in published else 'gluoncv' if entry.gluoncv else False


def build(name: str, nclass: Optional[int] = None, **options) -> HybridBlock:
    """The network of an entry, all shapes known, not initialized; arguments and errors as `get_model`'s."""
    entry = model_entry(name)
    for option in options:
        if option not in entry.options:
            raise unknown(f'option of {name}', option, entry.options)
    task, spec = entry.task, entry.task.input_spec
    nclass = _class_count(entry, nclass)
    of_task = {'num_segments': spec.segments, 'frames': spec.frames}  # which a builder may have to know
    options = {**{k: v for k, v in of_task.items() if k in entry.options}, **entry.defaults, **options}
    net = entry.builder(backbone=entry.backbone, nclass=nclass, **options)
    net.name, net.protocol = entry.name, task.protocol
    net.dataset = task.dataset if nclass == task.nclass else None  # other classes than the dataset's: unknown ones
    net.input_spec = spec.replace(segments=net.num_segments, frames=options.get('frames', spec.frames))
    return net


def get_model(
    name: str,
    pretrained: bool = False,
    pretrained_base: bool = True,
    nclass: Optional[int] = None,
    ctx: Optional[mx.Context] = None,
    root: Optional[str] = None,
    **options,
) -> HybridBlock:
    """A network of the zoo, initialized and ready to train or predict.

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
    _load()
    ctx = ctx or mx.cpu()
    if name not in _entries and name not in _aliases:
        return _gluoncv_model(name, pretrained, pretrained_base, nclass, ctx, root, options)
    net, entry = build(name, nclass, **options), model_entry(name)
    file, sibling = None, None
    if pretrained:  # the files come before the slow part
        published = find(entry.name, root)
        if entry.gluoncv and published is None and gluoncv_has(entry.gluoncv):
            file, sibling = gluoncv_file(entry.gluoncv, root), entry.gluoncv
        else:
            file = zoo.weights_file(entry.name, root)
    # MSRA for layers under ReLU; heads bring scales of their own.
    net.initialize(mx.init.MSRAPrelu('in', 0), ctx=ctx)
    if sibling:
        # An entry's own options are those of the network that its sibling is.
        changed = {k: v for k, v in entry.defaults.items() if options.get(k, v) != v}
        gluoncv_start.start(net, file, sibling, changed)
    elif pretrained:
        if zoo.load(net, file, published, ctx):
            know_classes(net, published)
        if net.input_spec.ndim == 2:  # as trained, unless asked for otherwise
            net.num_segments = options.get('num_segments', net.input_spec.segments)
            net.input_spec = net.input_spec.replace(segments=net.num_segments)
        net.weights_source = f'published weights {file.name}'
    else:
        if pretrained_base and net.branches.backbone.imagenet:
            imagenet.load(net.branches.backbone, root)
            net.weights_source = f'ImageNet weights {net.branches.backbone.imagenet}'
        net.backbone_loaded()
    return net


def know_classes(net, published) -> None:
    """Give a network that knows no class names those of the weights (an entry of the index) that it was loaded with."""
    if net.labels is None:
        from .data.label_sets import label_set  # on demand: some lists come from GluonCV's data room
        from .data.labels import LabelSet

        net.labels = LabelSet(published.classes) if published.classes else label_set(published.dataset)


def _class_count(entry: ModelEntry, nclass: Optional[int]) -> int:
    nclass = entry.task.nclass if nclass is None else nclass
    if nclass is None:
        raise UserError(f'{entry.name} needs the number of classes; give nclass')
    if isinstance(nclass, bool) or not isinstance(nclass, numbers.Integral) or nclass < 2:
        raise UserError(f'nclass must be a whole number of at least 2, got {nclass!r}')
    return int(nclass)


def _gluoncv_model(
    name: str, pretrained: bool, pretrained_base: bool, nclass: Optional[int], ctx, root, options
) -> HybridBlock:
    from gluoncv.model_zoo.model_zoo import _models

    if name.lower() not in _models:
        raise unknown('model', name, {*_entries, *_aliases, *_models})
    given = {'pretrained': pretrained, 'ctx': ctx, **options}
    if nclass is not None:
        given['nclass'] = nclass
    if root is not None:
        given['root'] = root
    if not pretrained_base:
        given['pretrained_base'] = False
    return _models[name.lower()](**given)


def _load() -> None:
    """Let the recognizer files register their entries."""
    from . import recognizers  # noqa: F401


def add_to_gluoncv() -> None:
    """Make our names known to `gluoncv.model_zoo.get_model`; names that GluonCV has keep GluonCV's network there."""
    from gluoncv.model_zoo.model_zoo import _models

    for name in [*_entries, *_aliases]:
        _models.setdefault(name, functools.partial(get_model, name))
