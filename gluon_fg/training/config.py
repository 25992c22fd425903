"""A training run's configuration: YAML -> typed dataclasses, every value checked, unknown keys refused.

Order of precedence: defaults (`sections`) < the file named by `base:` < the YAML file < `--set key=value`. A stage
(`stages`) has these values, and its own before them.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import reprlib
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .. import safe_yaml
from ..checking import build, load_yaml, merge, one_line, valid_keys
from ..checking import check as check_settings
from ..errors import UserError
from ..files import atomic_write
from .sections import STARTS, Config, ModelConfig, TrainConfig
from .shortened import fit_schedules

_STAGES = 32  # each is a run of its own


def _read_layers(path: Path, seen: Tuple[Path, ...] = ()) -> List[Tuple[str, Any]]:
    """(source, values) of a file and of those that it names as its `base`, the first base in front."""
    if path in seen:
        raise UserError(f'{path}: base files include each other in a circle')
    loaded = load_yaml(path, 'config', 'model, data, train, test')
    base = loaded.pop('base', None)
    if not isinstance(base, (str, type(None))) or '\0' in (base or ''):
        raise UserError(f'{path}: base is {base!r}; it must be the name of a config file')
    layers = _read_layers((path.parent / base).resolve(), (*seen, path)) if base else []
    return [*layers, (str(path), loaded)]


@functools.lru_cache(None)
def _defaults() -> Any:
    """What layers are laid over: never changed, as each merge begins with a copy."""
    return OmegaConf.structured(Config)


def load_config(path: Optional[str] = None, overrides: Sequence[str] = (), saved: bool = False) -> Config:
    """Read a YAML file and `key=value` overrides into a checked `Config`.

    Parameters
    ----------
    path
        YAML file, or None for the defaults; its key `base` names a file (relative to it) read before it
    overrides
        strings such as `train.lr=0.02`; fewer `train.epochs` shorten a schedule that does not fit in (`shortened`)
    saved
        True: the file is a run's own config.yaml; settings that became options of a method since it was written are
        taken over as such, where a user's config is told where they went

    Raises
    ------
    UserError
        missing or invalid file, unknown key (with the nearest valid one), wrong type or value out of range
    """
    read = _read_layers(Path(path)) if path else []
    layers = [_without_moved(layer, source, saved) for source, layer in read]
    sources = [source for source, _ in read]
    said = []
    for text in overrides:
        key, equals, _ = text.partition('=')
        if not equals or not key:
            raise UserError(f'--set {text}: write it as section.key=value, for example train.lr=0.02')
        said.append((key, _without_moved(_layer(key, text), f'--set {text}')))
        sources.append(f'--set {text}')
    merged = _merge_all([*layers, *(layer for _, layer in said)], sources)
    given: Dict[str, Any] = {}  # by --set, which is one layer, and one more where a key comes again
    for key, layer in said:
        if key in given:
            layers, given = [*layers, OmegaConf.merge(*given.values())], {}
        given[key] = layer
    config = build(merged, path or 'config')
    if len(config.stages) > _STAGES:
        raise UserError(f'{path or "config"}: {len(config.stages)} stages; there may be {_STAGES} at most')
    fit_schedules(config, [*layers, OmegaConf.merge(*given.values())] if given else layers)
    check(config, path or 'config')
    stage_configs(config, path or 'config')
    return config


def _merge_all(layers: Sequence[Any], sources: Sequence[str]) -> Any:
    """The defaults under all layers; one by one, each of which copies them all, only to name the one that is wrong."""
    try:
        return OmegaConf.merge(_defaults(), *layers)
    except (OmegaConfBaseException, OverflowError, RecursionError):
        merged = _defaults()
        for layer, source in zip(layers, sources):
            merged = merge(merged, layer, source)
        return merged


def _layer(key: str, text: str) -> Any:
    """What one --set says, as a layer over what was read."""
    layer = OmegaConf.create()
    try:
        OmegaConf.update(layer, key, safe_yaml.parse(text[len(key) + 1 :], f'--set {text}', by_hand=True))
    except (OmegaConfBaseException, ValueError, TypeError, IndexError, RecursionError) as error:  # no key: a[, a..b
        raise error if isinstance(error, UserError) else UserError(f'--set {text}: {one_line(error)}') from None
    return layer


def _without_moved(layer: Any, source: str, saved: bool = False) -> Any:
    """A layer as it is, unless it has keys that became options of a method (`moved.MOVED`): see `load_config`."""
    train = layer.get('train')
    stages = layer.get('stages')
    stages = stages.values() if OmegaConf.is_dict(stages) else ()  # anything else is told of by `merge`
    parts = [train, *(stage.get('train') for stage in stages if OmegaConf.is_dict(stage))]
    known = {f.name for f in dataclasses.fields(TrainConfig)}
    if all(set(part) <= known for part in parts if OmegaConf.is_dict(part)):
        return layer
    from .moved import without_moved  # on demand: it needs the networks, which an error in a config does not

    return without_moved(layer, source, saved)


def stage_configs(config: Config, source: str = 'config') -> Dict[str, Config]:
    """The config of every stage by its name, in order; none for a config without stages.

    The first starts as `config.model` says, the others from the weights before them: they load no published ones and no
    `model.start` or `model.params`. A stage that names another model begins without options, as they belong to a model.

    Raises
    ------
    UserError
        a stage that cannot be a folder's name, holds no sections, has an unknown key or a wrong value, names
        `model.start` and is not the first, holds out videos that a stage before it has learned, or trains in another
        precision than those, which are of one process
    """
    parts: Dict[str, Config] = {}
    for name, changes in config.stages.items():
        where = f'{source}: stages.{name}'
        if not re.fullmatch(r'\w[\w-]*', str(name)):
            raise UserError(f'{where}: a stage is a folder of the run; give it a name of letters, digits, - and _')
        if not isinstance(changes, dict) or 'stages' in changes:
            raise UserError(f'{where} is {changes!r}; it must hold sections, for example {{train: {{lr: 0.001}}}}')
        part = OmegaConf.structured(dataclasses.replace(config, stages={}))
        if parts:
            part.model.pretrained, part.model.pretrained_base, part.model.params = False, False, None
            part.model.start = None
            if part.model.transfer != 'fixed':  # which says more than what to start from
                part.model.transfer = None
        own = changes.get('model') or {}
        if isinstance(own, dict) and own.get('name', config.model.name) != config.model.name:
            part.model.options = {}
        made = build(merge(part, _without_moved(OmegaConf.create(changes), where), where), where)
        if parts and made.model.start is not None:
            raise UserError(
                f'{where}: model.start is {made.model.start}, but a stage starts from the one before it; leave it out'
            )
        check(made, where)
        for former, before in parts.items():
            if before.data.hold_out < made.data.hold_out:
                raise UserError(
                    f'{where} holds out {made.data.hold_out:g} of the training videos, but stage {former} '
                    f'before it learns them: set data.hold_out there, too'
                )
            if before.train.precision != made.train.precision:
                raise UserError(
                    f'{where} trains in {made.train.precision}, stage {former} in {before.train.precision}: a process '
                    'has a single precision; choose the same for all stages'
                )
        parts[name] = made
    return parts


def check(config: Config, source: str = 'config') -> None:
    """Range checks, and combinations that cannot mean what was wanted; raises UserError."""
    check_settings(Config, config, source)
    if config.data.jitter > 1 and config.data.augment != 'random_crop':
        raise UserError(
            f'{source}: data.jitter is {config.data.jitter}, which only data.augment=random_crop reads; '
            f'{config.data.augment} draws scales of its own: choose random_crop or data.jitter=1'
        )
    _check_start(config.model, source)
    _check_recipe(config, source)
    train = config.train
    if train.schedule == 'step':
        late = [e for e in train.lr_epochs if e >= train.epochs]
        if list(train.lr_epochs) != sorted(set(train.lr_epochs)) or any(e < 1 for e in train.lr_epochs):
            raise UserError(
                f'{source}: train.lr_epochs is {reprlib.repr(train.lr_epochs)}; it must be increasing epochs, 1 or more'
            )
        if late:
            raise UserError(
                f'{source}: train.lr_epochs {reprlib.repr(late)} would never be reached in {train.epochs} epochs; '
                f'choose epochs below {train.epochs} or train.schedule=cosine'
            )
    if train.warmup_epochs >= train.epochs:
        raise UserError(
            f'{source}: train.warmup_epochs {train.warmup_epochs} must be below train.epochs {train.epochs}; '
            f'choose less, or leave it out'
        )


# Settings that change the pixels of clips, which stored features do not have.
_PIXEL_KEYS = ('color_jitter', 'randaugment', 'erase', 'mixup', 'cutmix')


def _check_recipe(config: Config, source: str) -> None:
    """Refuse settings of the training recipe that cannot go together."""
    data, train = config.data, config.train
    for key in _PIXEL_KEYS if data.features else ():
        if getattr(data, key):
            raise UserError(
                f'{source}: data.{key} is {getattr(data, key)}, which changes pixels, and data.features has none; '
                f'set data.{key}=0'
            )
    for key in ('mixup', 'cutmix'):
        if getattr(data, key) and train.batch_size % 2:
            raise UserError(
                f'{source}: data.{key} mixes clips in pairs, and train.batch_size is {train.batch_size}; '
                f'choose an even number'
            )
    if train.batch_size % data.repeat:
        raise UserError(
            f'{source}: data.repeat is {data.repeat}; it must divide train.batch_size, {train.batch_size}, the '
            f'number of all clips of a batch'
        )
    if data.sampling == 'balanced' and train.class_weights == 'balanced':
        raise UserError(
            f'{source}: data.sampling and train.class_weights are both balanced, which makes up for rare classes '
            f'twice; choose data.sampling=shuffled or train.class_weights=none'
        )
    if train.early_stop and not config.test.val_epochs:
        raise UserError(
            f'{source}: train.early_stop is {train.early_stop}, but test.val_epochs 0 validates only after the last '
            f'epoch; set test.val_epochs to 1'
        )


def start_file(model: ModelConfig) -> Optional[str]:
    """The parameter file that a model starts from, or None."""
    return model.params or (None if model.start in STARTS else model.start)


def _check_start(model: ModelConfig, source: str) -> None:
    """Refuse keys that contradict `model.transfer` or `model.start`."""
    if model.transfer is not None:
        _check_transfer(model, source)
    if model.start is None:
        return
    contradicting = {
        'pretrained': model.pretrained,
        'params': model.params is not None,
        'pretrained_base': model.pretrained_base not in (None, model.start == 'imagenet'),
    }
    for key, contradicts in contradicting.items():
        if contradicts:
            raise UserError(
                f'{source}: model.start is {model.start} and model.{key} is {getattr(model, key)}, '
                f'which says otherwise; leave out model.{key}'
            )


def _check_transfer(model: ModelConfig, source: str) -> None:
    """Refuse starts that are not what `model.transfer` compares."""
    base = model.pretrained_base is not None and (model.pretrained_base or model.transfer == 'original')
    said = {'params': model.params is not None, 'pretrained': model.pretrained, 'pretrained_base': base}
    for key, contradicts in said.items():
        if contradicts:
            raise UserError(
                f'{source}: model.transfer is {model.transfer}, which says what to start from, and model.{key} is '
                f'{getattr(model, key)}; leave out model.{key}: a file of your own goes into model.start'
            )
    if (model.transfer == 'original') == (model.start == 'kinetics400') and model.start in STARTS:
        kept = 'imagenet, none' if model.transfer == 'original' else 'kinetics400'
        raise UserError(
            f'{source}: model.transfer is {model.transfer} and model.start is {model.start}, which says otherwise; '
            f'choose {kept} or a .params file, or leave out model.start'
        )


def to_yaml(config: Config) -> str:
    """Every value, defaults included, as YAML that `load_config` reads back to an equal config."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def save_config(config: Config, path: Union[str, Path]) -> None:
    """Write `to_yaml(config)` atomically."""
    with atomic_write(path) as stream:
        stream.write(to_yaml(config))


def differences(first: Config, second: Config, ignore: Sequence[str] = ()) -> List[str]:
    """Keys whose values differ between two configs, as 'key: first -> second' lines."""
    lines = []
    for key in valid_keys(Config):
        if key not in ignore:
            a, b = (functools.reduce(getattr, key.split('.'), config) for config in (first, second))
            if a != b:
                lines.append(f'{key}: {a} -> {b}')
    return lines
