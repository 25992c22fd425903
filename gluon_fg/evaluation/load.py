"""A network ready to score and predict: with published weights or with a parameter file."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Union

import mxnet as mx
from mxnet.gluon import HybridBlock

from .. import factory, safe_yaml
from ..data.labels import LabelSet
from ..data.text_files import read_names
from ..errors import UserError
from ..weights import gluoncv_start
from ..weights.gluoncv_names import is_gluoncv, translated
from ..weights.index import check_fits, entry_of_file
from ..weights.params_file import read_params

log = logging.getLogger(__name__)


def load_network(
    name: str, params: Optional[str] = None, ctx: Optional[mx.Context] = None, **options: Any
) -> HybridBlock:
    """A recognizer of the zoo with trained weights.

    Parameters
    ----------
    name
        an entry of `list_models`
    params
        a .params file of exactly this network, or GluonCV's of the one within it; None: as `pretrained=True`
    ctx
        where to put it (default: CPU)
    options
        for `get_model`, for example `nclass` of a `*_custom` entry

    Raises
    ------
    UserError
        unknown name (GluonCV's own networks lack what is needed), one without published weights, or a file that does
        not fit
    """
    ctx = ctx or mx.cpu()
    factory.resolve(name)  # ours: GluonCV's own networks have no input description
    if params is None:
        return factory.get_model(name, pretrained=True, ctx=ctx, **options)
    # The file is read first: a bad path is said before a large network is built.
    options = {'pretrained_base': False, **factory.saved_options(name, params), **options}
    net = factory.get_model(name, pretrained=False, ctx=ctx, **options)
    known = load_parameters(net, params, ctx)
    if known:
        net.input_spec = net.input_spec.replace(**known)
        if net.input_spec.ndim == 2:
            net.num_segments = net.input_spec.segments
    if known is None:
        log.warning(
            '%s: no training run beside it, so its input is taken to be that of %s (%s; protocol %s); '
            "give --run FOLDER to use the run's own",
            params, name, net.input_spec.summary, net.protocol,
        )  # fmt: skip
    return net


def name_classes(net: HybridBlock, path: Union[str, os.PathLike]) -> None:
    """Give a network the class names of a text file, one a line in the order of the labels; raises UserError."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f'no file of class names {path}')
    names = tuple(read_names(path))
    if len(names) != net.nclass:
        raise UserError(f'{path} has {len(names)} class names, {net.name} has {net.nclass} classes; write one a line')
    net.labels = LabelSet(names)


def load_parameters(net: HybridBlock, path: str, ctx: mx.Context) -> Optional[Dict[str, Any]]:
    """`net.load_parameters` whose errors say in one line what does not fit; nothing is half-loaded.

    For a network that has not run yet: later MXNet may hold weights in oneDNN's own layout, which it cannot replace.
    A published file is known by its checksum: it is refused where its classes or protocol are not the network's
    (`weights.index.check_fits`), and names the classes of a network that knows none. One of GluonCV's fills backbone
    and global classifier, and a warning names the branches that are then set aside.

    Returns
    -------
    dict
        fields of `InputSpec` that a published file is known to be trained with, none for GluonCV's; None: nobody knows

    Raises
    ------
    UserError
        missing or broken file, a parameter too many or too few, another number of classes, another shape; a published
        file of other classes or another protocol
    """
    arrays, published = read_params(path), entry_of_file(path)
    if published:
        check_fits(published, net)
    params, theirs = net._collect_params_with_prefix(), is_gluoncv(arrays)
    if theirs:
        params = net.global_parameters()
        arrays = translated(arrays, net.branches.backbone.family, params, path)
    given = {name: tuple(array.shape) for name, array in arrays.items()}
    wanted = {name: tuple(p.shape) for name, p in params.items()}
    extra, missing = sorted(set(given) - set(wanted)), sorted(set(wanted) - set(given))
    if extra or missing:
        parts = [
            f'{len(names)} {reason}, for example {names[0]}'
            for names, reason in ((extra, f'parameters that {net.name} lacks'), (missing, 'parameters missing'))
            if names
        ]
        raise UserError(
            f'{path} does not fit {net.name}: {"; ".join(parts)}; choose the model that the file was trained as'
        )
    other = [name for name in wanted if not fits(wanted[name], given[name])]
    if other:
        classes = _other_class_count(net.nclass, [(wanted[name], given[name]) for name in other])
        if classes:
            raise UserError(
                f'{path} was trained for {classes} classes, {net.name} has {net.nclass}; '
                f'choose the model that the file was trained as'
            )
        raise UserError(
            f'{path} does not fit {net.name}: {other[0]} has shape {given[other[0]]} there, '
            f'the network needs {wanted[other[0]]}; choose the model and options that the file was trained with'
        )
    if theirs:
        gluoncv_start.start(net, path, Path(path).name, {})
    else:
        net.load_parameters(path, ctx=ctx, cast_dtype=True)
    net.quantized_beside = f'{Path(path).with_suffix("")}-'
    if published:
        factory.know_classes(net, published)
        return published.input
    return {} if theirs else None


def fits(wanted: tuple, given: tuple) -> bool:
    """Whether a parameter can take an array: equal shapes; a 0 is a size that the network learns at its first pass."""
    return len(wanted) == len(given) and all(w in (0, g) for w, g in zip(wanted, given))


def _other_class_count(nclass: int, shapes: Any) -> Optional[int]:
    """The class count that explains every differing shape, or None. Sizes that depend on it are its multiples
    (filters of each class), so a candidate must change every such size in proportion, and nothing else may differ."""
    candidates = {g for wanted, given in shapes for w, g in zip(wanted, given) if w == nclass and g != w}
    for count in sorted(candidates):
        if all(len(w) == len(g) and all(a == b or a * count == b * nclass for a, b in zip(w, g)) for w, g in shapes):
            return count
    return None


def parse_options(texts: Sequence[str]) -> Dict[str, object]:
    """{'nclass': 8, 'local_branch': False} from ['nclass=8', 'local_branch=false']; raises UserError for anything
    else.
    """
    options = {}
    for text in texts:
        key, equals, value = text.partition('=')
        if not equals or not key.isidentifier():
            raise UserError(f'option {text!r}: write it as key=value, for example nclass=8')
        if key in ('name', 'params', 'ctx', 'pretrained'):
            raise UserError(f'option {key} has a flag of its own; choose options of the model, for example nclass=8')
        try:
            options[key] = safe_yaml.parse(value, key)
        except UserError:
            raise UserError(f'option {text!r}: {value!r} is no number, true, false or word') from None
    return options
