"""Schedules that were made for more epochs than a run has: their steps and warm-up are shortened in proportion.

A config says epochs and when the rate falls in one breath. Who then asks for fewer epochs alone (`--set
train.epochs=1`) gets the same schedule on a smaller scale; numbers that fit stay as they are, and epochs and steps that
contradict each other in one file are refused by the config's own check.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from typing import Any, Dict, List, Sequence

from omegaconf import OmegaConf

from .sections import Config, TrainConfig

logger = logging.getLogger(__name__)

_KEYS = ('epochs', 'lr_epochs', 'warmup_epochs', 'schedule')
Values = Dict[str, Any]


def fit_schedules(config: Config, layers: Sequence[Any]) -> None:
    """Shorten what does not fit in a config and its stages; each change is told once, as a warning of the log.

    Parameters
    ----------
    config
        built from `layers`, whose values are changed where they have to be
    layers
        what was read, as OmegaConf mappings, each over those before it; those given together, as by --set, are one
    """
    base = [dataclasses.asdict(TrainConfig()), *(_train_of(layer) for layer in layers)]
    for key, value in _fitted(base, 'train').items():
        setattr(config.train, key, value)
    for name, changes in config.stages.items():
        if not isinstance(changes, dict):
            continue
        own = [_train_of(layer.get('stages', {}).get(name)) for layer in map(_plain, layers)]
        if any(key in layer for layer in own for key in _KEYS):
            fitted = _fitted([*base, *own], f'stages.{name}.train')
            if fitted:
                changes['train'] = {**(changes.get('train') or {}), **fitted}


def _plain(layer: Any) -> Values:
    values: Any = OmegaConf.to_container(layer) if OmegaConf.is_config(layer) else layer
    return {**values, 'stages': values.get('stages') or {}} if isinstance(values, dict) else {'stages': {}}


def _train_of(layer: Any) -> Values:
    """What a layer says of the schedule, as plain values."""
    train = _plain(layer).get('train')
    return {key: train[key] for key in _KEYS if key in train} if isinstance(train, dict) else {}


def _fitted(layers: Sequence[Values], where: str) -> Values:
    """The values that have to be others than the layers say, because a later one has fewer epochs than they are for."""
    says: Dict[str, int] = {key: max(i for i, layer in enumerate(layers) if key in layer) for key in _KEYS}
    values = {key: layers[i][key] for key, i in says.items()}
    epochs, fitted = values['epochs'], {}
    for key, late in (('lr_epochs', _late_steps(values)), ('warmup_epochs', _is_late(values['warmup_epochs'], epochs))):
        made_for = next(layer['epochs'] for layer in reversed(layers[: says[key] + 1]) if 'epochs' in layer)
        if late and says[key] < says['epochs'] and _is_late(made_for, epochs):
            fitted[key] = _scaled(values[key], epochs, made_for)
            _tell(
                f'{where}.epochs={epochs}: {key} {values[key]}, of {made_for} epochs, becomes {fitted[key]}'
                + ('; the rate falls nowhere' if fitted[key] == [] else '')
            )
    return fitted


def _is_late(epoch: Any, epochs: Any) -> bool:
    return all(isinstance(value, (int, float)) for value in (epoch, epochs)) and epoch >= epochs


def _late_steps(values: Values) -> bool:
    steps = values['lr_epochs']
    if values['schedule'] != 'step' or not isinstance(steps, list):
        return False
    return any(_is_late(step, values['epochs']) for step in steps)


def _scaled(value: Any, epochs: int, made_for: int) -> Any:
    """Steps, or a number of epochs, as they are in a run of `epochs`: steps that would fall outside are dropped."""
    if not isinstance(value, list):
        return round(value * epochs / made_for, 4)
    steps: List[int] = sorted({max(1, round(step * epochs / made_for)) for step in value})
    return [step for step in steps if step < epochs]


@functools.lru_cache(maxsize=None)
def _tell(line: str) -> None:
    logger.warning('%s', line)
