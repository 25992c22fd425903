"""Settings of old configs that became options of the method that they belong to."""

from __future__ import annotations

from typing import Any, Dict

from omegaconf import OmegaConf

from .. import factory, registry
from ..errors import UserError


def moved_settings() -> Dict[str, str]:
    """Old key -> name of the option, of all methods (`Recognizer.moved_settings`)."""
    moved: Dict[str, str] = {}
    for builder in {registry.model_entry(name).builder for name in registry.names()}:
        moved.update(getattr(builder, 'moved_settings', {}))
    return moved


def without_moved(layer: Any, source: str, saved: bool) -> Any:
    """A layer of a config without moved settings.

    Parameters
    ----------
    layer
        an OmegaConf mapping
    source
        what errors call the layer
    saved
        True: they become the options of the layer's model, where it has them, and are dropped otherwise (a run's config
        holds every key, whatever its model)

    Raises
    ------
    UserError
        not `saved`: a line that says where the key went
    """
    layer, moved = OmegaConf.create(layer), moved_settings()
    name = (layer.get('model') or {}).get('name')
    stages = layer.get('stages')
    stages = [stage for stage in stages.values() if OmegaConf.is_dict(stage)] if OmegaConf.is_dict(stages) else []
    for part in (layer, *stages):
        model = (part.get('model') or {}).get('name', name)
        for key, option in moved.items():
            section, _, leaf = key.partition('.')
            if leaf not in (part.get(section) or {}):
                continue
            if not saved:
                raise UserError(f'{source}: {key} is an option of the model now; write model.options.{option}')
            value = part[section].pop(leaf)
            if model and takes(model, option) and value != default_of(model, option):
                OmegaConf.update(part, f'model.options.{option}', value, force_add=True)
    return layer


def chosen_options(model: str, options: Dict[str, Any]) -> Dict[str, Any]:
    """Those of a model's options that differ from their defaults."""
    return {name: v for name, v in options.items() if not takes(model, name) or v != default_of(model, name)}


def takes(model: str, option: str) -> bool:
    """Whether an entry of the zoo has an option."""
    return option in registry.model_entry(model).options


def default_of(model: str, option: str) -> Any:
    """What an option of an entry is where nobody gives it."""
    return factory.option_defaults(model)[option]
