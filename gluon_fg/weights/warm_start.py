"""Starting a network from another one's parameters: matched by name, what is left over listed, nothing half-loaded."""

from __future__ import annotations

import dataclasses
from typing import List

from ..errors import UserError
from .gluoncv_names import is_gluoncv, translated
from .params_file import read_params


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """What became of each parameter.

    `loaded`; `new`: in the network only; `resized`: of another size in the file (classifiers of another class count).
    """

    loaded: List[str]
    new: List[str]
    resized: List[str]

    def __str__(self):
        parts = [f'{len(self.loaded)} parameters loaded']
        for names, what in ((self.new, 'not in the file'), (self.resized, 'of another size in the file')):
            if names:
                roots = sorted({'.'.join(n.split('.')[:3]) for n in names})
                shown = ', '.join([*roots[:4], '...'] if len(roots) > 4 else roots)
                parts.append(f'{len(names)} stay as initialized, {what} ({shown})')
        return '; '.join(parts)


def warm_start(net, path) -> WarmStart:
    """Copy every parameter of `path` that `net` has under the same name and shape.

    A network with branches that the file lacks (a DFB from its baseline) keeps them as initialized, and sets them aside
    (`net.trained_branches`) where the file holds all of the global branch; a classifier of another class count stays as
    initialized, too. GluonCV's files are recognized by their names; they must hold the backbone and the global
    classifier, no more and no less. Must run before the network's first forward pass: afterwards MXNet may hold
    convolution weights in oneDNN's own layout and refuses to replace them.

    Raises
    ------
    UserError
        the file cannot be read, has parameters that the network lacks, or none that it shares; the network is unchanged
    """
    arrays, params = read_params(path), net._collect_params_with_prefix()
    whole = net.global_parameters()
    if is_gluoncv(arrays):
        arrays = translated(arrays, net.branches.backbone.family, whole, path)
    foreign = sorted(set(arrays) - set(params))
    if foreign:
        raise UserError(
            f'{path}: {len(foreign)} of {len(arrays)} parameters do not exist in {net.name}, for example {foreign[0]}; '
            f'choose the model that the file was trained as'
        )
    loaded, resized = [], []
    for name, array in arrays.items():
        (loaded if params[name].shape == array.shape else resized).append(name)
    # Only heads depend on the class count; a backbone of another shape is another network.
    if not loaded or any('backbone' in name for name in resized):
        wrong = resized[0] if resized else next(iter(arrays))
        raise UserError(
            f'{path}: {wrong} has shape {tuple(arrays[wrong].shape)}, the network needs {tuple(params[wrong].shape)}'
        )
    for name in loaded:
        params[name].set_data(arrays[name].astype(params[name].dtype))
    new = sorted(set(params) - set(arrays))
    net.trained_branches = net.global_branch if new and set(whole) <= set(loaded) else None
    return WarmStart(loaded, new, resized)
