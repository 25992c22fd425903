"""Networks as commands are given them: names of the zoo and folders of training runs, side by side."""

from __future__ import annotations

import os
from typing import Iterator, NamedTuple, Optional, Sequence

from mxnet.gluon import HybridBlock

from ..data.catalog import build_dataset
from ..data.datasets import VideoDataset
from ..errors import UserError
from ..evaluation.load import load_network
from .run import load_run
from .sections import Config


class Named(NamedTuple):
    """A network, what to call it (a run by its folder), and its run's config, None for one of the zoo."""

    title: str
    net: HybridBlock
    config: Optional[Config]


def load_named(names: Sequence[str], params: Optional[Sequence[str]] = None) -> Iterator[Named]:
    """Load networks one after another, on the CPU.

    Parameters
    ----------
    names
        of the zoo, or folders written by train.py
    params
        a parameter file for each; None or '-': the published weights, or best.params of a run

    Raises
    ------
    UserError
        not one file for each, or what `load_network` and `load_run` refuse
    """
    if params and len(params) != len(names):
        raise UserError(
            f'{len(params)} files of parameters for {len(names)} models; give one for each, - for the default'
        )
    return _load(names, params or ['-'] * len(names))


def _load(names: Sequence[str], params: Sequence[str]) -> Iterator[Named]:
    for name, file in zip(names, params):
        given = None if file == '-' else file
        if os.path.isdir(name):
            net, config = load_run(name, given)
            folder = os.path.basename(os.path.normpath(os.path.abspath(name)))
            yield Named(folder.lstrip('_') or folder, net, config)  # Matplotlib hides a legend's '_names'
        else:
            yield Named(name, load_network(name, given), None)


def dataset_of(network: Named, split: str, dataset: Optional[str] = None, root: Optional[str] = None) -> VideoDataset:
    """A split of the data that a command names, by default the run's, or what the network's entry is for."""
    if network.config and dataset in (None, network.config.data.dataset):
        data = network.config.data
        return build_dataset(data.dataset, split, root or data.root, sizes=None if root else data.sizes)
    return build_dataset(dataset or network.net.dataset or 'synthfg', split, root)
