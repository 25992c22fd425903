"""Starting a network from another one's parameters: matched by name, what is left over listed, nothing half-loaded."""

from __future__ import annotations

import dataclasses
import os
from typing import Dict, List, Sequence, Tuple, Union

import mxnet as mx
from mxnet.gluon import HybridBlock

from ..backbones import Backbone
from ..errors import UserError
from .gluoncv_names import is_gluoncv, translated
from .gluoncv_store import check_dataset
from .index import entry_of_file, other_classes, wrong_classes
from .inflate import inflate_all, is_input_norm
from .params_file import read_params
from .streams import for_streams, single_names, streams_of


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """What became of each parameter.

    `loaded`; `new`: in the network only; `resized`: of another size in the file (classifiers of another class count);
    `reclassed`: of equally many, but other classes in the file; `inflated`: those of `loaded` that were filters over
    images, or of other input channels; `crossed`: these last alone, such as a stem for RGB in a network on flow.
    """

    loaded: List[str]
    new: List[str]
    resized: List[str]
    reclassed: List[str]
    inflated: List[str]
    crossed: Sequence[str] = ()

    def __str__(self) -> str:
        parts = [f'{len(self.loaded)} parameters loaded']
        if self.inflated:
            parts[0] += f' ({len(self.inflated)} of them inflated)'
        if self.crossed:
            parts.append(f'{", ".join(self.crossed)}: mean over the input channels of the file (cross-modality)')
        for names, reason in (
            (self.new, 'not in the file'),
            (self.resized, 'of another size in the file'),
            (self.reclassed, 'of other classes in the file'),
        ):
            if names:
                roots = sorted({'.'.join(n.split('.')[:3]) for n in names})
                shown = ', '.join([*roots[:4], '...'] if len(roots) > 4 else roots)
                parts.append(f'{len(names)} stay as initialized, {reason} ({shown})')
        return '; '.join(parts)


def warm_start(net: HybridBlock, path: Union[str, os.PathLike], foreign_classes: bool = False) -> WarmStart:
    """Copy every parameter of `path` that `net` has under the same name and shape.

    A network with branches that the file lacks (a DFB from its baseline) keeps them as initialized, and sets them aside
    (`net.trained_branches`) where the file holds all of the global branch; a classifier of another class count stays as
    initialized, too. GluonCV's files are recognized by their names; they must hold the backbone and the global
    classifier, no more and no less. Weights of a 2-D network are inflated where this one spans time, and a stem's to
    its number of input channels (`weights.inflate`): a start, not a trained network. Must run before the network's
    first forward pass: afterwards MXNet may hold convolution weights in oneDNN's own layout and refuses new ones.

    **Other classes.** Starting from another dataset's weights is what a warm start is for, but a classifier must not be
    taken over as if its classes were these. What classes a published file has is known by its checksum. Where they are
    others (`index.other_classes`) and of another number, their parameters stay as initialized, by their size. Where
    they are equally many, the parameters stay as initialized in a network for a user's own classes (`*_custom`), and
    the file is refused by one for a dataset: there it is as likely taken for that dataset's file
    (Something-Something V1 and V2 have 174 classes each). The test protocol does not matter to training.
    `foreign_classes` says that the caller knows the file's classes to be others: their parameters stay as initialized.

    Raises
    ------
    UserError
        the file cannot be read, has parameters that the network lacks, or none that it shares, or is of other classes
        as said above; the network is unchanged
    """
    arrays, params, backbone = read_params(path), net._collect_params_with_prefix(), net.branches.backbone
    whole = net.global_parameters()
    theirs = is_gluoncv(arrays)
    if theirs:
        arrays = translated(arrays, backbone.family, single_names(whole, backbone), path)
    arrays = for_streams(arrays, params, backbone)
    foreign = sorted(set(arrays) - set(params))
    if foreign:
        raise UserError(
            f'{path}: {len(foreign)} of {len(arrays)} parameters do not exist in {net.name}, for example {foreign[0]}; '
            f'choose the model that the file was trained as'
        )
    before = arrays
    arrays, inflated = _inflated(arrays, backbone, params)
    crossed = [name for name in inflated if before[name].shape[:2] != arrays[name].shape[:2]]
    resized = [name for name, array in arrays.items() if params[name].shape != array.shape]
    loaded = [name for name in arrays if name not in resized]
    # Only heads depend on the class count; a backbone of another shape is another network.
    if not loaded or any('backbone' in name for name in resized):
        wrong = resized[0] if resized else next(iter(arrays))
        raise UserError(
            f'{path}: {wrong} has shape {tuple(arrays[wrong].shape)}, the network needs {tuple(params[wrong].shape)}'
        )
    if theirs and not resized and not foreign_classes:
        check_dataset(path, net)
    published = None if foreign_classes else entry_of_file(path)
    reclassed: List[str] = []
    if foreign_classes or (published and other_classes(published, net)):
        reclassed = [name for name in net.class_parameters() if name in loaded]
        if published and reclassed and net.dataset is not None:
            raise wrong_classes(published, net)
        loaded = [name for name in loaded if name not in reclassed]
    for name in loaded:
        params[name].set_data(arrays[name].astype(params[name].dtype))
    new = sorted(set(params) - set(arrays))
    trained = new and not inflated and set(whole) <= set(loaded)
    net.trained_branches = net.global_branch if trained else None
    return WarmStart(loaded, new, resized, reclassed, inflated, crossed)


def _inflated(
    arrays: Dict[str, mx.nd.NDArray], backbone: Backbone, params: Dict[str, mx.gluon.Parameter]
) -> Tuple[Dict[str, mx.nd.NDArray], List[str]]:
    """The arrays, those of a 2-D backbone or of a stem for other channels made to fit; and the names of these."""
    fitting: Dict[str, mx.nd.NDArray] = {}
    for stream, part in streams_of(backbone).items():
        prefix = f'branches.backbone.{stream}'
        stem = prefix + part.stem_weight
        given = {
            name: array
            for name, array in arrays.items()
            if name.startswith(prefix)
            and array.shape != params[name].shape
            and (name == stem or is_input_norm(name, stem) or array.ndim < len(params[name].shape))
        }
        try:
            fitting.update(inflate_all(given, {name: params[name].shape for name in given}, stem))
        except UserError:  # another network; the caller names what does not fit
            return arrays, []
    return {**arrays, **fitting}, sorted(fitting)
