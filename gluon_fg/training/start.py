"""Where a run's weights come from, and which of its parameters they leave untrained."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import FrozenSet, Optional, Set, Union

from mxnet.gluon import HybridBlock

from ..errors import UserError, unknown
from ..weights.warm_start import warm_start
from .config import Config


@dataclasses.dataclass(frozen=True)
class Start:
    """What a network starts from.

    Parameters
    ----------
    source
        in words
    untrained
        structural names of the parameters that no trained weights gave a value: ImageNet's are none for this task
    """

    source: str
    untrained: FrozenSet[str]


def start_from(net: HybridBlock, config: Config, params: Optional[Union[str, Path]] = None) -> Start:
    """Load the weights that a config, or a former stage's file, names into a network as it was built.

    Parameters
    ----------
    net
        as `run.build_network` gives it: published weights are in it already where the config asks for them
    params
        a parameter file to start from, in place of `config.model.params`
    """
    if params and config.model.params:  # a former stage's, and what its branches' start from: see `stages.train`
        start_from(net, config)
    params = params or config.model.params
    everything: Set[str] = set(net._collect_params_with_prefix())
    if params:
        report = warm_start(net, params)
        if report.new:
            # New branches may start as copies of the backbone.
            net.backbone_loaded('trained' if set(net.global_parameters()) <= set(report.loaded) else 'pretrained')
        untrained = {*report.new, *report.resized, *report.reclassed, *report.inflated}
        return Start(f'{params}: {report}', frozenset(untrained))
    return Start(net.weights_source, frozenset(everything if net.untrained is None else net.untrained))


def set_stage(net: HybridBlock, stage: Optional[str], untrained: FrozenSet[str]) -> None:
    """Let a network train the part that a stage is for, if what it keeps has been trained before.

    Raises
    ------
    UserError
        the network has no such stage, or parameters that it would keep are untrained
    """
    if stage is None:
        return
    if not net.stages:
        raise UserError(f'train.stage {stage}: {net.name} is trained as a whole; leave it out')
    if stage not in net.stages:
        raise unknown('train.stage', stage, net.stages)
    net.stage = stage
    missing = sorted(untrained.intersection(net.kept_parameters()))
    if missing:
        raise UserError(
            f'train.stage {stage} keeps the {net.global_branch} network as it is, but no trained weights of it are '
            f'loaded, for example {missing[0]}; set model.params to those of its own run, or train it in a stage before'
        )
