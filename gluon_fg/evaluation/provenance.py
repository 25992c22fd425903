"""What scores were made of, so that parts of one evaluation are told from those of others."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any, Dict, Optional

from mxnet.gluon import HybridBlock

from ..errors import UserError
from ..weights.fingerprint import weights_sha256
from .sharing import WHOLE, Shard

# Of a block: its place among the blocks of a process, what hybridizing it leaves, and where it comes from
_PASSING = {'_prefix', '_name', '_empty_prefix', '_active', '_monitor_all', '_cached_graph', 'weights_source'}
_PASSING |= {'_in_format', '_out_format'}


@dataclasses.dataclass(frozen=True)
class Provenance:
    """What scores are of.

    Parameters
    ----------
    network
        SHA-256 of the network: layers, settings and the values of its parameters
    videos
        SHA-256 of the whole list: names and labels, in order
    listed
        videos in the whole list
    first
        place in the list of the first of these videos
    shard
        which part of the list these are
    threshold
        probability below which the network's answer is 'none of these'; None: it has none
    """

    network: str
    videos: str
    listed: int
    first: int = 0
    shard: Shard = WHOLE
    threshold: Optional[float] = None

    def as_dict(self) -> Dict[str, Any]:
        """Give its fields, for a JSON text."""
        return dataclasses.asdict(self)

    @classmethod
    def read(cls, fields: Any) -> Optional[Provenance]:
        """Take what `as_dict` gave; None where there was none. Raises UserError for anything else."""
        if fields is None:
            return None
        try:
            made = cls(**{**fields, 'shard': Shard(*fields['shard'])})
        except (TypeError, KeyError):
            raise UserError('what it was made of is not told; the file is damaged') from None
        numbers = (made.listed, made.first, *made.shard)
        texts = all(isinstance(text, str) for text in (made.network, made.videos))
        limit = made.threshold is None or isinstance(made.threshold, float)
        if not texts or not limit or not all(type(number) is int and number >= 0 for number in numbers):
            raise UserError('what it was made of is not told; the file is damaged')
        return made


def network_sha256(net: HybridBlock) -> str:
    """SHA-256 of a network: equal where its layers, their settings, its input and all its parameters are equal."""
    described = [repr(net), str(net.name), net.branch_names, str(net.input_spec), bool(net.multi_label), _settings(net)]
    return hashlib.sha256(json.dumps([*described, weights_sha256(net)]).encode()).hexdigest()


def _settings(block: HybridBlock) -> list:
    """The plain values that a block and those within it hold."""
    own = {name: value for name, value in vars(block).items() if name not in _PASSING and _plain(value)}
    return [sorted(own.items()), *map(_settings, block._children.values())]


def _plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_plain, value))
    return isinstance(value, (bool, int, float, str))
