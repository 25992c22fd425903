"""A training run's configuration: YAML -> typed dataclasses, every value checked, unknown keys refused.

Order of precedence: defaults below < the file named by `base:` < the YAML file < `--set key=value`. A stage (`stages`)
has these values, and its own before them.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError

from ..errors import UserError, unknown
from ..files import atomic_write

# Annotations are read at run time by OmegaConf, so these classes use typing's Optional, List and Dict.


@dataclass
class ModelConfig:
    """Which recognizer, and what it starts from."""

    name: str = 'i3d_tiny_synthfg_dfb'
    nclass: Optional[int] = None  # None: the entry's own, or the dataset's for `*_custom` entries
    pretrained: bool = False  # published weights for this name, else GluonCV's for the network within it
    pretrained_base: Optional[bool] = None  # ImageNet weights for the backbone; None: the entry's default
    params: Optional[str] = None  # warm start: a .params file, ours or GluonCV's; new branches stay random
    options: Dict[str, Any] = field(default_factory=dict)  # builder options, e.g. {local_branch: false, dropout: 0.5}


@dataclass
class DataConfig:
    """Which videos, and how a training clip is cut from them. None: the model entry's own value."""

    dataset: str = 'synthfg'
    root: Optional[str] = None
    train_split: str = 'train'
    val_split: str = 'val'
    frames: Optional[int] = None  # frames in a clip
    frame_stride: Optional[int] = None  # decoded frames from one taken frame to the next
    segments: Optional[int] = None  # TSN segments (2-D networks)
    short_side: Optional[int] = None  # pixels
    crop_size: Optional[int] = None  # pixels
    augment: str = 'random_resized'  # random_resized | multiscale | random_crop
    jitter: float = 1.0  # random_crop only: the shorter side is drawn from short_side .. jitter * short_side
    flip: float = 0.5  # probability, used only where the dataset's labels allow a mirror image
    workers: int = 2  # decoding threads per rank
    cache: str = 'none'  # none | memory (decoded once; for small sets)
    sizes: Dict[str, int] = field(default_factory=dict)  # synthfg only: clips generated per split


@dataclass
class TrainConfig:
    """Optimizer, schedule and bookkeeping."""

    epochs: int = 100
    batch_size: int = 8  # clips per rank and forward pass
    accumulate: int = 1  # forward passes per update
    lr: float = 0.01  # for `lr_batch_size` clips an update
    lr_batch_size: int = 0  # 0: lr is used as it stands; else lr is scaled linearly to the real batch
    lr_scale: float = 1.0  # times lr: for a stage that runs at a fraction of the rate of the others
    schedule: str = 'step'  # step | cosine
    lr_factor: float = 0.1  # step: multiplier at each of lr_epochs
    lr_epochs: List[int] = field(default_factory=lambda: [40, 60, 80])
    lr_final: float = 0.01  # cosine: last rate, as a fraction of lr
    warmup_epochs: float = 0.0  # linear from lr / steps
    momentum: float = 0.9
    wd: float = 0.0001
    clip: float = 0.0  # largest global L2 norm of the mean gradient; 0: no clipping
    batch_norm: str = 'train'  # train | partial (first layer trains) | frozen
    stage: Optional[str] = None  # U2S: specific (the universal network is kept) | joint; None: everything is trained
    csm_target: float = 0.85  # U2S: a prediction may be confused with the n classes whose top-n accuracy reaches this
    csm_n: Optional[float] = None  # U2S: n itself, in place of csm_target
    precision: str = 'float32'  # float32 | float16 (GPU) | bfloat16 (CPU)
    device: str = 'auto'  # auto | cpu | gpu
    seed: int = 0
    checkpoint_steps: int = 0  # updates between checkpoints; 0: one at each epoch's end
    keep_checkpoints: int = 2
    log_steps: int = 10  # updates between lines in metrics.jsonl


@dataclass
class TestConfig:
    """How the network is measured. Protocols are those of gluon_fg.evaluation.protocol."""

    val_protocol: str = 'train_time'  # after epochs
    val_epochs: int = 1  # epochs between validations; 0: only after the last
    protocol: Optional[str] = None  # evaluate.py's choice for this run; None: the model entry's
    batch_size: int = 16  # views per forward pass


@dataclass
class Config:
    """One training run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    test: TestConfig = field(default_factory=TestConfig)
    # Several runs, one after another, each from the last weights of the one before: name -> the values of the sections
    # above that are its own, e.g. {universal: {model: {name: tsn_tiny_synthfg}}, joint: {train: {lr: 0.001}}}
    stages: Dict[str, Any] = field(default_factory=dict)


# key -> (what is allowed, test)
_RULES = {
    'data.augment': (
        'random_resized, multiscale or random_crop',
        {'random_resized', 'multiscale', 'random_crop'}.__contains__,
    ),
    'data.cache': ('none or memory', {'none', 'memory'}.__contains__),
    'data.jitter': ('a finite number, 1 or more', lambda v: 1 <= v < math.inf),
    'data.flip': ('a probability, 0 to 1', lambda v: 0 <= v <= 1),
    'data.workers': ('0 or more', lambda v: v >= 0),
    'train.schedule': ('step or cosine', {'step', 'cosine'}.__contains__),
    'train.batch_norm': ('train, partial or frozen', {'train', 'partial', 'frozen'}.__contains__),
    'train.precision': ('float32, float16 or bfloat16', {'float32', 'float16', 'bfloat16'}.__contains__),
    'train.device': ('auto, cpu or gpu', {'auto', 'cpu', 'gpu'}.__contains__),
    'train.epochs': ('1 or more', lambda v: v >= 1),
    'train.batch_size': ('1 or more', lambda v: v >= 1),
    'train.accumulate': ('1 or more', lambda v: v >= 1),
    'train.lr': ('a finite number above 0', lambda v: 0 < v < math.inf),
    'train.lr_batch_size': ('0 or more', lambda v: v >= 0),
    'train.lr_scale': ('a finite number above 0', lambda v: 0 < v < math.inf),
    'train.lr_factor': ('above 0, at most 1', lambda v: 0 < v <= 1),
    'train.lr_final': ('0 to 1', lambda v: 0 <= v <= 1),
    'train.warmup_epochs': ('0 or more', lambda v: 0 <= v < math.inf),
    'train.momentum': ('0 or more, below 1', lambda v: 0 <= v < 1),
    'train.wd': ('0 or more', lambda v: 0 <= v < math.inf),
    'train.clip': ('0 (off) or more', lambda v: 0 <= v < math.inf),
    'train.csm_target': ('above 0, at most 1', lambda v: 0 < v <= 1),
    'train.csm_n': ('1 or more', lambda v: v is None or 1 <= v < math.inf),
    'train.seed': ('0 or more', lambda v: 0 <= v < 2**31),
    'train.checkpoint_steps': ('0 (each epoch) or more', lambda v: v >= 0),
    'train.keep_checkpoints': ('1 or more', lambda v: v >= 1),
    'train.log_steps': ('1 or more', lambda v: v >= 1),
    'test.val_epochs': ('0 or more', lambda v: v >= 0),
    'test.batch_size': ('1 or more', lambda v: v >= 1),
}


def _valid_keys(cls=Config, prefix='') -> List[str]:
    keys = []
    for item in dataclasses.fields(cls):
        default = item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default
        name = f'{prefix}{item.name}'
        keys += _valid_keys(type(default), f'{name}.') if dataclasses.is_dataclass(default) else [name]
    return keys


def _unknown_key(source: str, key: str) -> UserError:
    valid = _valid_keys()
    section, _, leaf = key.rpartition('.')
    sections = [item.name for item in dataclasses.fields(Config)]
    if not section:
        return UserError(f'{source}: {unknown("section", key, sections)}')
    # A slip in the last word is likelier than one in the section: compare the two apart.
    same_section = {k.rpartition('.')[2]: k for k in valid if k.rpartition('.')[0] == section}
    synonyms = {'learning_rate': 'lr', 'weight_decay': 'wd', 'lr_steps': 'lr_epochs', 'optimizer': 'lr'}
    if synonyms.get(leaf) in same_section:
        close = [same_section[synonyms[leaf]]]
    else:
        close = (
            [same_section[c] for c in difflib.get_close_matches(leaf, same_section, 1)]
            or difflib.get_close_matches(key, valid, 1)
            or [k for k in valid if k.endswith(f'.{leaf}')]
        )
    hint = f'did you mean {close[0]}?' if close else f'choose from {", ".join(same_section or sections)}'
    return UserError(f'{source}: unknown key {key}; {hint}')


def _merge(base, addition, source: str):
    try:
        return OmegaConf.merge(base, addition)
    except ConfigKeyError as error:
        raise _unknown_key(source, error.full_key or str(error.key)) from None
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise UserError(f'{source}: {error.full_key or "value"}: {reason}') from None


def _read_yaml(path: Path, seen=()):
    if not path.is_file():
        near = (
            difflib.get_close_matches(path.name, [p.name for p in path.parent.glob('*.yaml')], 1)
            if path.parent.is_dir()
            else []
        )
        raise UserError(f'no config file {path}' + (f'; did you mean {path.parent / near[0]}?' if near else ''))
    if path in seen:
        raise UserError(f'{path}: base files include each other in a circle')
    try:
        loaded = OmegaConf.load(path)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise UserError(f'{path}: not valid YAML: {" ".join(str(error).split())}') from None
    if not OmegaConf.is_dict(loaded):
        raise UserError(f'{path}: holds no mapping; a config has the sections model, data, train, test')
    base = loaded.pop('base', None)
    layers = _read_yaml((path.parent / base).resolve(), (*seen, path)) if base else []
    return [*layers, (str(path), loaded)]


def load_config(path: Optional[str] = None, overrides: List[str] = ()) -> Config:
    """Read a YAML file and `key=value` overrides into a checked `Config`.

    Parameters
    ----------
    path
        YAML file, or None for the defaults; its key `base` names a file (relative to it) read before it
    overrides
        strings such as `train.lr=0.02`

    Raises
    ------
    UserError
        missing or invalid file, unknown key (with the nearest valid one), wrong type or value out of range
    """
    config = OmegaConf.structured(Config)
    for source, layer in _read_yaml(Path(path)) if path else []:
        config = _merge(config, layer, source)
    for text in overrides:
        key, equals, _ = text.partition('=')
        if not equals or not key:
            raise UserError(f'--set {text}: write it as section.key=value, for example train.lr=0.02')
        try:
            layer = OmegaConf.from_dotlist([text])
        except (YAMLError, OmegaConfBaseException) as error:
            raise UserError(f'--set {text}: {" ".join(str(error).split())}') from None
        config = _merge(config, layer, f'--set {text}')
    config = OmegaConf.to_object(config)
    check(config, path or 'config')
    stage_configs(config, path or 'config')
    return config


def stage_configs(config: Config, source: str = 'config') -> Dict[str, Config]:
    """The config of every stage by its name, in order; none for a config without stages.

    The first starts as `config.model` says, the others from the weights before them: they load no published ones and no
    `model.params`. A stage that names another model begins without options, as they belong to a model.

    Raises
    ------
    UserError
        a stage that cannot be a folder's name, holds no sections, or has an unknown key or a wrong value
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
        own = changes.get('model') or {}
        if isinstance(own, dict) and own.get('name', config.model.name) != config.model.name:
            part.model.options = {}
        parts[name] = OmegaConf.to_object(_merge(part, OmegaConf.create(changes), where))
        check(parts[name], where)
    return parts


def check(config: Config, source: str = 'config') -> None:
    """Range checks, and combinations that cannot mean what was wanted; raises UserError."""
    for key, (allowed, valid) in _RULES.items():
        section, name = key.split('.')
        value = getattr(getattr(config, section), name)
        if not valid(value):
            raise UserError(f'{source}: {key} is {value}; it must be {allowed}')
    for name in ('frames', 'frame_stride', 'segments', 'short_side', 'crop_size'):
        value = getattr(config.data, name)
        if value is not None and value < 1:
            raise UserError(f'{source}: data.{name} is {value}; it must be 1 or more')
    if config.data.jitter > 1 and config.data.augment != 'random_crop':
        raise UserError(
            f'{source}: data.jitter is {config.data.jitter}, which only data.augment=random_crop reads; '
            f'{config.data.augment} draws scales of its own: choose random_crop or data.jitter=1'
        )
    train = config.train
    if train.schedule == 'step':
        late = [e for e in train.lr_epochs if e >= train.epochs]
        if list(train.lr_epochs) != sorted(set(train.lr_epochs)) or any(e < 1 for e in train.lr_epochs):
            raise UserError(f'{source}: train.lr_epochs is {train.lr_epochs}; it must be increasing epochs, 1 or more')
        if late:
            raise UserError(
                f'{source}: train.lr_epochs {late} would never be reached in {train.epochs} epochs; '
                f'choose epochs below {train.epochs} or train.schedule=cosine'
            )
    if train.warmup_epochs >= train.epochs:
        raise UserError(
            f'{source}: train.warmup_epochs {train.warmup_epochs} must be below train.epochs {train.epochs}'
        )


def to_yaml(config: Config) -> str:
    """Every value, defaults included, as YAML that `load_config` reads back to an equal config."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def save_config(config: Config, path) -> None:
    """Write `to_yaml(config)` atomically."""
    with atomic_write(path) as stream:
        stream.write(to_yaml(config))


def differences(ours: Config, theirs: Config, ignore: List[str] = ()) -> List[str]:
    """Keys whose values differ between two configs, as 'key: ours -> theirs' lines."""
    lines = []
    for key in _valid_keys():
        if key not in ignore:
            a, b = (functools.reduce(getattr, key.split('.'), config) for config in (ours, theirs))
            if a != b:
                lines.append(f'{key}: {a} -> {b}')
    return lines
