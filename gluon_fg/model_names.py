"""The names of the zoo: what each stands for, and which there are; nothing is built here (`factory` does)."""

from __future__ import annotations

import dataclasses
import fnmatch
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple, Union

from . import (
    recognizers,  # noqa: F401  (whose files register the entries)
    registry,
)
from .data.catalog import dataset_info
from .errors import UserError, unknown
from .input_spec import InputSpec
from .recognizers.inputs import named_input
from .registry import ModelEntry, model_entry
from .weights.entries import Entry
from .weights.index import find, index


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
    """Return what a name of the zoo is for; raises UserError with the closest names for any other name."""
    return setting_of(*resolve(name))


def resolve(name: str, root: Optional[str] = None, also: Iterable[str] = ()) -> Tuple[ModelEntry, Optional[Entry]]:
    """Tell what a name is built as, and, where its publisher chose the name, what the index says of its weights.

    Parameters
    ----------
    name
        an entry or alias (`list_models`), or a name under which a run was published in `root` or `GLUON_FG_REPO`
    root
        folder of weight files, as for `get_model`
    also
        further names to choose from where this one is unknown

    Raises
    ------
    UserError
        an unknown name (with the closest ones), or an index that is needed and cannot be read
    """
    if registry.is_known(name):
        return model_entry(name), None
    published = find(name, root)
    if published is None or published.model is None:
        raise unknown('model', name, {*registry.names(), *publishers_names(index(root)), *also})
    return model_entry(published.model.name), published


def setting_of(entry: ModelEntry, published: Optional[Entry] = None) -> Setting:
    """Return what an entry is for or, where its publisher chose the name, what its published weights are for."""
    shown = named_input(entry.input) if isinstance(entry.input, str) else entry.input
    shown = shown.for_dataset(entry.dataset)
    if published is not None:
        spec = shown.spec.replace(**published.input)
        return Setting(published.dataset, class_count_of(published), published.protocol, spec)
    nclass = None if entry.dataset is None else dataset_info(entry.dataset).nclass
    return Setting(entry.dataset, nclass, shown.protocol, shown.spec)


def class_count_of(published: Entry) -> Optional[int]:
    """Return the number of classes of published weights; None where the index does not tell."""
    if published.classes is not None:
        return len(published.classes)
    return dataset_info(published.dataset).nclass if published.dataset else None


def publishers_names(published: Mapping[str, Entry]) -> List[str]:
    """List the names of an index that its publishers chose: each stands for an entry, with classes of its own."""
    return [name for name, entry in published.items() if entry.model is not None and not registry.is_known(name)]


def list_models(pattern: str = '*', pretrained: Union[bool, str] = False) -> List[str]:
    """List the names of the zoo's entries and aliases, sorted.

    Parameters
    ----------
    pattern
        shell wildcards, for example '*dfb*'
    pretrained
        True: only those whose own weights are published, every branch trained, among them the names that publishers of
        runs chose (`gluon-fg zoo publish --name`). 'gluoncv': those without, which `get_model(name, pretrained=True)`
        starts from GluonCV's weights of a sibling. False: all entries and aliases

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
        if pretrained is True:
            names += fnmatch.filter(publishers_names(published), pattern)
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
    (entry, own), published = resolve(name), index()
    shown, weights = setting_of(entry, own), own or published.get(entry.name)
    return {
        'name': own.name if own else entry.name,
        'method': entry.builder.__name__,
        'backbone': entry.backbone,
        'dataset': shown.dataset,
        'nclass': shown.nclass,
        'protocol': shown.protocol,
        'input': shown.input_spec.replace(**(weights.input if weights else {})).as_dict(),
        'options': entry.options,
        'pretrained': True if own else _weights_from(entry, published),
        'gluoncv': entry.gluoncv,
        'weights': dataclasses.asdict(weights) if weights else None,
    }


def _weights_from(entry: ModelEntry, published: Mapping[str, Any]) -> Union[bool, str]:
    """True: published under its name; 'gluoncv': a sibling's; False: none."""
    return True if entry.name in published else 'gluoncv' if entry.gluoncv else False
