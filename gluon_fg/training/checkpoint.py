"""Checkpoints as whole folders: a reader sees all of one or none of it, whenever the writer is killed.

    checkpoint-<update>/net.params        parameters
                        optimizer.params  the optimizer's arrays, <parameter>/0 ...; none for one that has none
                        average.params    the moving average of the parameters, where there is one
                        state.json        how far the run has come, and the SHA-256 of each file and of itself

Arrays and JSON alone: nothing in them is executed, and everything is checked before anything is taken over.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import mxnet as mx
from mxnet.gluon import HybridBlock, Trainer

from .. import safe_json
from ..errors import UserError
from ..files import atomic_folder, sha256, temporary_folder
from ..weights.params_file import read_params
from ..weights.pickled import Refused
from ..weights.saving import save_params, whole
from .average import WeightAverage
from .former_states import read_states

_NET, _OPTIMIZER, _AVERAGE, _STATE = 'net.params', 'optimizer.params', 'average.params', 'state.json'
_FORMER = 'trainer.states'  # the optimizer's, of former versions
_NAME = re.compile(r'checkpoint-(\d{8,})$')
Arrays = Dict[str, mx.nd.NDArray]


def save_checkpoint(
    run_dir: Path,
    step: int,
    net: HybridBlock,
    trainer: Trainer,
    state: dict,
    keep: int,
    average: Optional[WeightAverage] = None,
) -> Path:
    """Write `run_dir/checkpoint-<step>` and remove the oldest beyond `keep`.

    Holds parameters, their average where there is one, the optimizer's arrays (momentum) and `state`, anything JSON can
    carry. Written under a temporary name, flushed to disk and renamed, so that a kill at any moment leaves the former
    checkpoints whole.
    """
    final = Path(run_dir) / f'checkpoint-{step:08d}'  # maybe there: an epoch's last update, before its validation
    further = ((_OPTIMIZER, _optimizer_arrays(net, trainer)), (_AVERAGE, average.on_cpu() if average else {}))
    with atomic_folder(final) as partial:
        with whole(partial / _NET):
            net.save_parameters(str(partial / _NET))
        for name, arrays in further:
            if arrays:
                save_params(partial / name, arrays)
        files = {path.name: sha256(path) for path in sorted(partial.iterdir())}
        content = {'step': step, **state, 'optimizer_updates': trainer._optimizer.num_update, 'files': files}
        (partial / _STATE).write_text(safe_json.sealed(content))
    remove_old(run_dir, keep)
    return final


def remove_old(run_dir: Path, keep: int) -> None:
    """Remove a run's oldest checkpoints beyond `keep`; on resume, too: a kill may have come before it."""
    for _, old in sorted(_checkpoints(run_dir))[:-keep]:
        with temporary_folder(run_dir) as away:  # removing it takes a while, and half of it must not be met
            os.replace(old, away / old.name)


def latest_checkpoint(run_dir: Path) -> Optional[Path]:
    """The newest complete checkpoint of a run, or None."""
    complete = sorted(_checkpoints(run_dir))
    return complete[-1][1] if complete else None


def _checkpoints(run_dir: Path) -> Iterator[Tuple[int, Path]]:
    for path in Path(run_dir).glob('checkpoint-*'):
        match = _NAME.fullmatch(path.name)
        if match:
            yield int(match.group(1)), path


def load_network(path: Path, net: HybridBlock, ctx: mx.Context) -> None:
    """Restore the network alone from a checkpoint folder; see `load_checkpoint`."""
    with _told_of(path):
        _read_state(path)
        _load_network(path, net, ctx)


def load_checkpoint(
    path: Path, net: HybridBlock, trainer: Trainer, ctx: mx.Context, average: Optional[WeightAverage] = None
) -> dict:
    """Restore network, optimizer and average from a checkpoint folder; returns the `state` it was saved with.

    One of a former version is read, too: without checksums its files are checked for what they have to hold.

    Raises
    ------
    UserError
        a file of the checkpoint is missing or damaged, or belongs to another network
    """
    with _told_of(path):
        state = _read_state(path)
        averaged = read_params(path / _AVERAGE) if average else {}
        if averaged and averaged.keys() != net._collect_params_with_prefix().keys():
            raise ValueError(f'{_AVERAGE} is of another network')
        updates, arrays = state.pop('optimizer_updates'), _read_optimizer(path, net, trainer)
        if updates is None:
            arrays, updates = _former_arrays(path, net, trainer)
        _check_shapes(arrays, trainer)
        _load_network(path, net, ctx)
        if average:
            average.values = {name: value.as_in_context(ctx) for name, value in averaged.items()}
        _set_optimizer(trainer, arrays, updates, ctx)
        return state


def _load_network(path: Path, net: HybridBlock, ctx: mx.Context) -> None:
    read_params(path / _NET)  # MXNet itself ends the process for some files
    net.load_parameters(str(path / _NET), ctx=ctx)


def _read_state(path: Path) -> Dict[str, Any]:
    """What state.json says, and that the files are those it is of; `optimizer_updates` None: of a former version."""
    content = safe_json.parse((path / _STATE).read_bytes())
    if not isinstance(content, dict):
        raise ValueError(f'{_STATE} holds no state')
    digest = content.pop('sha256', None)
    if digest is not None or 'files' in content or not (path / _FORMER).is_file():
        if digest != safe_json.digest(content):
            raise ValueError(f'{_STATE} is not as it was written')
        _check_files(path, content.pop('files'))
    content.setdefault('optimizer_updates', None)
    if content['step'] != int(path.name.rpartition('-')[-1]):
        raise ValueError(f'{_STATE} is of update {content["step"]}')
    return content


def _check_files(path: Path, digests: Dict[str, str]) -> None:
    unknown = {name for name in (_NET, _OPTIMIZER, _AVERAGE) if (path / name).exists()}.difference(digests)
    if unknown:
        raise ValueError(f'{unknown.pop()} is of another checkpoint')
    for name in digests:
        if sha256(path / name) != digests[name]:
            raise ValueError(f'{name} is not as it was written')


def _structural_names(net: HybridBlock, trainer: Trainer) -> List[str]:
    """The names that files have, of the parameters of a trainer in its order."""
    names = {p.name: name for name, p in reversed(list(net._collect_params_with_prefix().items()))}
    return [names[p.name] for p in trainer._params]


def _optimizer_arrays(net: HybridBlock, trainer: Trainer) -> Arrays:
    names, arrays = _structural_names(net, trainer), {}
    for index, state in sorted(trainer._updaters[0].states.items()):  # in the same order after a resume
        parts = state if isinstance(state, tuple) else () if state is None else (state,)
        # To the CPU: a file remembers the device, and each rank would put what it reads on rank 0's.
        arrays.update({f'{names[index]}/{number}': part.as_in_context(mx.cpu()) for number, part in enumerate(parts)})
    return arrays


def _read_optimizer(path: Path, net: HybridBlock, trainer: Trainer) -> Dict[int, List[mx.nd.NDArray]]:
    """Number of a trained parameter -> the optimizer's arrays of it, of a checkpoint of today."""
    if not (path / _OPTIMIZER).is_file():
        return {}
    places = {name: index for index, name in enumerate(_structural_names(net, trainer))}
    arrays: Dict[int, List[mx.nd.NDArray]] = {}
    for key, array in sorted(read_params(path / _OPTIMIZER).items()):
        name = key.rpartition('/')[0]
        if name not in places:
            raise ValueError(f'{_OPTIMIZER} is of another network: {name} is not trained')
        arrays.setdefault(places[name], []).append(array)
    return arrays


def _former_arrays(path: Path, net: HybridBlock, trainer: Trainer) -> Tuple[Dict[int, List[mx.nd.NDArray]], int]:
    try:
        arrays, updates = read_states((path / _FORMER).read_bytes())
    except Refused as error:
        raise ValueError(f'{_FORMER} {error}') from None
    return {index: [mx.nd.array(part, dtype=part.dtype) for part in parts] for index, parts in arrays.items()}, updates


def _check_shapes(arrays: Dict[int, List[mx.nd.NDArray]], trainer: Trainer) -> None:
    for index, parts in arrays.items():
        if not 0 <= index < len(trainer._params) or any(part.shape != trainer._params[index].shape for part in parts):
            raise ValueError('the optimizer is of another network')


def _set_optimizer(trainer: Trainer, arrays: Dict[int, List[mx.nd.NDArray]], updates: int, ctx: mx.Context) -> None:
    """Put arrays and numbers of updates where MXNet's updater and optimizer look for them."""
    updater, optimizer = trainer._updaters[0], trainer._optimizer
    for index, parts in arrays.items():
        placed = tuple(part.as_in_context(ctx) for part in parts)
        updater.states[index] = placed if len(placed) > 1 else placed[0] if placed else None
        updater.states_synced[index] = True
    counts = dict.fromkeys(range(len(trainer._params)), updates) if updates else {}
    optimizer.num_update = updates
    optimizer._all_index_update_counts = {ctx.device_id: counts}
    optimizer._index_update_count = counts


@contextlib.contextmanager
def _told_of(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AssertionError, mx.MXNetError) as error:
        raise UserError(
            f'checkpoint {path} cannot be loaded ({" ".join(str(error).split())[:200]}); '
            f'remove that folder to resume from the one before it'
        ) from error
