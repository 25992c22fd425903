"""Weights for a network of the zoo: which file has them, and loading it. `factory` builds the networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Collection, Dict, NamedTuple, Optional

import mxnet as mx
from mxnet.gluon import HybridBlock

from .data.catalog import label_set
from .data.labels import LabelSet
from .registry import ModelEntry
from .weights import zoo
from .weights.entries import Entry
from .weights.gluoncv_store import gluoncv_file, gluoncv_has
from .weights.index import find


class Weights(NamedTuple):
    """A file of weights: published for a name (with its entry of the index), or GluonCV's for a sibling."""

    file: Path
    published: Any = None
    sibling: Optional[str] = None


def find_weights(entry: ModelEntry, root: Optional[str], published: Optional[Entry] = None) -> Weights:
    """Find the verified file of an entry's weights, GluonCV's for its sibling where it has none of its own.

    Parameters
    ----------
    entry
        of the zoo
    root
        folder of weight files, as for `get_model`
    published
        the index's entry where that is known already; None: that of the entry's name

    Raises
    ------
    UserError
        nothing is published, or it is not to be had
    """
    if published is not None:
        return Weights(zoo.entry_file(published, root), published)
    published = find(entry.name, root)
    if entry.gluoncv and published is None and gluoncv_has(entry.gluoncv):
        return Weights(gluoncv_file(entry.gluoncv, root), sibling=entry.gluoncv)
    return Weights(zoo.weights_file(entry.name, root), published)


def load_published(net: HybridBlock, weights: Weights, options: Dict[str, Any], ctx: mx.Context) -> None:
    """Load published weights into a network that was built with `options`, with their input, classes and protocol."""
    same_classes = zoo.load(net, weights.file, weights.published, ctx)
    net.untrained = frozenset(() if same_classes else net.class_parameters())
    if same_classes:
        know_classes(net, weights.published)
    if net.input_spec.ndim == 2:  # as trained, unless asked for otherwise
        net.num_segments = options.get('num_segments', net.input_spec.segments)
        net.input_spec = net.input_spec.replace(segments=net.num_segments)
    net.weights_source = f'published weights {weights.file.name}'


def know_classes(net: HybridBlock, published: Entry) -> None:
    """Give a network what its weights (an entry of the index) say of its answers and, if these are own, its classes."""
    if net.labels is None:
        net.labels = LabelSet(published.classes) if published.classes else label_set(published.dataset)
    if net.dataset is None:
        net.protocol = published.protocol
    net.multi_label = published.answers.get('multi_label', False)
    net.threshold = published.answers.get('threshold')


def gluoncv_names() -> Collection[str]:
    """Names of GluonCV's own zoo, and of this one, which is known there (`factory.add_to_gluoncv`)."""
    from gluoncv.model_zoo.model_zoo import _models

    return _models.keys()


def gluoncv_model(
    name: str,
    pretrained: bool,
    pretrained_base: bool,
    nclass: Optional[int],
    ctx: mx.Context,
    root: Optional[str],
    options: Dict[str, Any],
) -> HybridBlock:
    """A model of GluonCV's own, which gets all arguments that were given."""
    from gluoncv.model_zoo.model_zoo import _models

    given = {'pretrained': pretrained, 'ctx': ctx, **options}
    if nclass is not None:
        given['nclass'] = nclass
    if root is not None:
        given['root'] = root
    if not pretrained_base:
        given['pretrained_base'] = False
    return _models[name.lower()](**given)
