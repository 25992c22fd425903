"""The names of the zoo: entries that the recognizer files register, one literal name a line, and aliases of them.

Nothing is built or loaded here: that is what `gluon_fg.factory` does with an entry.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Optional, Union

from .errors import unknown

_entries: Dict[str, ModelEntry] = {}
_aliases: Dict[str, str] = {}


@dataclasses.dataclass(frozen=True)
class ModelEntry:
    """An entry says what a name of the zoo stands for: a recognizer, a dataset, and what it is shown of a video.

    Parameters
    ----------
    name
        as users type it
    builder
        the recognizer's class, which has `build` and `option_defaults` (`gluon_fg.recognizers.Recognizer`)
    dataset
        name of a dataset in the catalog, whose classes are predicted; None: the user's own classes
    input
        name of an input (`recognizers.inputs.INPUTS`), or an `Input` of one's own
    backbone
        name in `gluon_fg.backbones.BACKBONES`
    defaults
        the builder's options where they differ from its own defaults
    gluoncv
        GluonCV's name of the network whose published weights fit the backbone and the global classifier, or None
    """

    name: str
    builder: Any
    dataset: Optional[str]
    input: Any
    backbone: str
    defaults: Dict[str, Any]
    gluoncv: Optional[str] = None

    @property
    def option_defaults(self) -> Dict[str, Any]:
        """Option -> default of all that `get_model` takes for this entry, beside its own arguments."""
        return {**self.builder.option_defaults(), **self.defaults}

    @property
    def options(self) -> List[str]:
        """Names of these options."""
        return list(self.builder.option_defaults())


def register(
    name: str,
    builder: Any,
    dataset: Optional[str],
    input: Any,
    backbone: str,
    gluoncv: Union[bool, str, None] = None,
    **defaults: Any,
) -> None:
    """Add an entry to the zoo. The arguments are those of `ModelEntry`, but for the sibling.

    Parameters
    ----------
    gluoncv
        True: the sibling is called <backbone>_<dataset>, as most of GluonCV's are

    Raises
    ------
    ValueError
        the name is taken
    """
    _check_free(name)
    if gluoncv is True:
        gluoncv = f'{backbone}_{dataset}'
    _entries[name] = ModelEntry(name, builder, dataset, input, backbone, defaults, gluoncv or None)


def alias(name: str, target: str) -> None:
    """Let a short name stand for an entry. Raises ValueError when it is taken or there is no such entry."""
    _check_free(name)
    if target not in _entries:
        raise ValueError(f'alias {name!r} of {target!r}, which is no entry')
    _aliases[name] = target


def names() -> List[str]:
    """Return the names of all entries and aliases, in the order in which they were registered."""
    return [*_entries, *_aliases]


def is_known(name: str) -> bool:
    """Tell whether a name is an entry's or an alias."""
    return name in _entries or name in _aliases


def model_entry(name: str) -> ModelEntry:
    """Return the entry of a name or alias; raises UserError with the closest names where there is none."""
    entry = _entries.get(_aliases.get(name, name))
    if entry is None:
        raise unknown('model', name, names())
    return entry


def _check_free(name: str) -> None:
    if is_known(name):
        raise ValueError(f'model {name!r} is registered already')
