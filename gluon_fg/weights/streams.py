"""Weights of one network for the streams of another: of two streams, colors and optical flow, each is a network.

A network for colors starts both, the flow stream's stem by cross-modality initialization (`inflate.inflate_stem`); a
network for flow starts the flow stream alone.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterable, List, Mapping, Set

from ..backbones import BACKBONES, TWO_STREAM, Backbone

_GLOBAL = ('branches.backbone.', 'branches.classifier.')


def streams_of(backbone: Backbone) -> Dict[str, Backbone]:
    """What a stream's parameters begin with -> its network: 'rgb.' and 'flow.', or '' where there is a single one."""
    named = {f'{name}.': child for name, child in backbone._children.items() if child in backbone.parts}
    return named or {'': backbone}


def single_names(names: Iterable[str], backbone: Backbone) -> Set[str]:
    """Names, in a network of a single stream, of the backbone and global classifier among a recognizer's parameters."""
    streams = '|'.join(map(re.escape, streams_of(backbone)))
    return {
        re.sub(rf'^({"|".join(map(re.escape, _GLOBAL))})({streams})', r'\1', name)
        for name in names
        if name.startswith(_GLOBAL)
    }


def for_streams(arrays: Mapping[str, Any], names: Iterable[str], backbone: Backbone) -> Dict[str, Any]:
    """Give the arrays of a network of one stream to every stream that they can start.

    Parameters
    ----------
    arrays
        structural name -> array; those of a network of several streams, too, are left alone
    names
        structural names of the parameters of the recognizer to start
    backbone
        its backbone
    """
    streams = streams_of(backbone)
    if list(streams) == [''] or any(name.startswith(f'{_GLOBAL[0]}{s}') for name in arrays for s in streams):
        return dict(arrays)
    taking, known = _taking(arrays, streams), set(names)
    result: Dict[str, Any] = {}
    for name, array in arrays.items():
        block = next((block for block in _GLOBAL if name.startswith(block)), '')
        own = [f'{block}{stream}{name[len(block) :]}' for stream in taking if block]
        for each in [candidate for candidate in own if candidate in known] or [name]:
            result[each] = array
    return result


def _taking(arrays: Mapping[str, Any], streams: Mapping[str, Backbone]) -> List[str]:
    """The streams that these arrays can start: flow's cannot start colors, whose channels are odd in number."""
    of_flow = any(
        array.shape[1] % 2 == 0
        for name, array in arrays.items()
        for part in streams.values()
        if name == _GLOBAL[0] + part.stem_weight and len(array.shape) > 1
    )
    return [name for name, part in streams.items() if not of_flow or part.in_channels % 2 == 0]


def starting_backbones(name: str) -> List[str]:
    """Names of the backbones whose weights one can start from, the nearest first.

    Itself; the same for colors, where it sees optical flow or both; the same on single frames.
    """
    names = [name, *TWO_STREAM.get(name, ())[:1]]
    names.append(re.sub(r'_flow\d*$', '', names[-1]))
    names.append(names[-1].replace('_frames', ''))
    return [each for each in dict.fromkeys(names) if each in BACKBONES]
