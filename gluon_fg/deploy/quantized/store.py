"""Where quantized networks lie, what is written about them, and finding the one that belongs to a network's weights.

Each has a folder of its own beside the float weights: RUN/int8-RUNTIME of a training run, FILE-int8-RUNTIME of a
parameter file, and for published weights one of their name in the folder of weight files. `facts.json` there says of
which weights it is, how it was made, and how well it agrees with them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from mxnet.gluon import HybridBlock

from ... import safe_json
from ...errors import UserError, unknown
from ...files import atomic_folder, atomic_write, sha256
from ...weights.fingerprint import weights_sha256
from ...weights.index import model_root
from . import onednn, openvino

FACTS = 'facts.json'
FORMAT = 1
KINDS: Dict[str, Any] = {'mxnet': onednn.Model, 'openvino': openvino.Model}


class Loaded(NamedTuple):
    """A quantized network as it is stored.

    Parameters
    ----------
    folder
        where it lies
    facts
        what `facts.json` says
    model
        an `onednn.Model` (`symbol`, `params`, `forward()`) for MXNet, an `openvino.Model` (`path` of an ONNX file) for
        OpenVINO
    """

    folder: Path
    facts: Dict[str, Any]
    model: Any

    def check(self, net: HybridBlock, segments: int, shape: Sequence[int]) -> None:
        """Refuse inputs that it was not made for; raises UserError.

        Parameters
        ----------
        net, segments
            whose form it is, and frames of a video for a network on images
        shape
            of a batch; of a network on images () asks for its segments alone
        """
        made, asked = self.facts['input'], input_of(net, segments, shape)
        if any(i < len(asked) and asked[i] != made[i] for i in self.facts['fixed_sizes']):
            other = f'videos of {segments} frames' if len(asked) == 1 else f'inputs {tuple(asked)}'
            raise UserError(
                f'{self.folder} was made for inputs {tuple(made)} (protocol {self.facts["protocol"]}), not for '
                f'{other}; choose that protocol, another precision, or {_command(net, self.facts["runtime"])} --force '
                '--protocol NAME'
            )


def folder_of(net: HybridBlock, runtime: str) -> Path:
    """The folder of a network's quantized form for a runtime, whether or not it is there; raises UserError."""
    if runtime not in KINDS:
        raise unknown('runtime for int8', runtime, KINDS)
    beside = net.quantized_beside or f'{model_root() / net.name}-{weights_sha256(net)[:8]}-'
    return Path(f'{beside}int8-{runtime}')


def save(model: Any, folder: Path, facts: Dict[str, Any]) -> Dict[str, Any]:
    """Write a quantized network and its facts, in place of an older one; returns all facts, sizes included."""
    with atomic_folder(folder) as new:
        model.save(new)
        files = {path.name: path for path in sorted(new.iterdir())}
        facts = {
            'format': FORMAT,
            **facts,
            'bytes': sum(path.stat().st_size for path in files.values()),
            'files': {name: sha256(path) for name, path in files.items()},
        }
        (new / FACTS).write_text(json.dumps(facts, indent=1) + '\n')
    return facts


def note(folder: Path, **facts: Any) -> Dict[str, Any]:
    """Add to the facts of a quantized network that is there; returns all of them."""
    facts = {**safe_json.load(folder / FACTS, 'make it anew'), **facts}
    with atomic_write(folder / FACTS) as stream:
        stream.write(json.dumps(facts, indent=1) + '\n')
    return facts


def load(net: HybridBlock, runtime: str, shape: Optional[Sequence[int]] = None) -> Loaded:
    """The quantized form of a network for a runtime.

    Parameters
    ----------
    net
        a recognizer with its weights
    runtime
        'mxnet' or 'openvino'
    shape
        of the batches that it is to take; None: whatever it was made for

    Raises
    ------
    UserError
        there is none, it was made of other weights or for other inputs, or it is damaged: one line with the command
        that makes it
    """
    folder = folder_of(net, runtime)
    how = _command(net, runtime)
    if not (folder / FACTS).is_file():
        raise UserError(f'{net.name} has no INT8 form for {runtime} yet; {how}')
    again = f'{how} --force'
    facts = safe_json.load(folder / FACTS, again)
    try:
        files, weights = facts['files'], facts['weights']
        if facts['format'] != FORMAT or facts['runtime'] != runtime:
            raise UserError(f'{folder}: not of this version and runtime; {again}')
        if weights != weights_sha256(net):
            raise UserError(f'{folder} was made of other weights than {net.name} has now; {again}')
        damaged = [name for name, digest in files.items() if _digest(folder / name) != digest]
        loaded = Loaded(folder, facts, None)
        loaded.check(net, net.num_segments, shape or ())
    except (KeyError, TypeError, AttributeError, IndexError):
        raise UserError(f'{folder / FACTS} is damaged; {again}') from None
    if damaged:
        raise UserError(f'{folder / damaged[0]} is damaged; {again}')
    return loaded._replace(model=KINDS[runtime].load(folder))


def input_of(net: HybridBlock, segments: int, shape: Sequence[int]) -> List[int]:
    """Sizes of the input of one video by the shape of a batch: (C, T, H, W), or (segments, C, H, W) of images."""
    return [segments, *shape[1:]] if net.input_spec.ndim == 2 else list(shape[1:])


def _command(net: HybridBlock, runtime: str) -> str:
    """How to make the form: a run is called by its folder, other networks by their names."""
    beside = net.quantized_beside or ''
    title = beside.rstrip(os.sep) if beside.endswith(os.sep) else net.name
    return f'make it with: gluon-fg quantize {title} --calib LIST --runtime {runtime}'


def _digest(path: Path) -> str:
    return sha256(path) if path.is_file() else ''
