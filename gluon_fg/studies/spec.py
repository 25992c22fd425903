"""What a study's YAML says: which methods are compared, on which seeds, for how long, and what the table shows."""

from __future__ import annotations

import dataclasses
import itertools
import os
from pathlib import Path
from typing import Any, Dict, List, Optional

from omegaconf import OmegaConf

from ..checking import Rule, at_least, build, load_yaml, merge, one_of, required, setting
from ..errors import UserError
from ..named_configs import find_config

SELECT = ('top1', 'top5', 'mean_class', 'group_top1', 'within_group')
_SEEDS = Rule(
    'a list of different seeds, 0 or more, such as [0, 1, 2]',
    lambda values: 0 < len(values) == len(set(values)) and min(values) >= 0,
)
_RATES = Rule(
    'a list of different learning rates above 0, such as [0.01, 0.03]',
    lambda values: 0 < len(values) == len(set(values)) and min(values) > 0,
)
_METHODS = Rule('a mapping from names of methods to the settings that are their own', bool)

# Annotations are read at run time by OmegaConf, so this class uses typing's Optional, List and Dict. The order of the
# fields is that of published results.


@dataclasses.dataclass
class StudyConfig:
    """A study's YAML; see configs/studies/.

    Parameters
    ----------
    config
        the training config that all runs share, relative to the study's file
    warmup
        epochs of the run that every other one starts from, and any other train.* setting of it; empty: there is none,
        each run starts as its config says
    epochs, seeds, lr
        length of each run; the seeds; the learning rates that each method chooses from, on its first seed
    methods
        name in the table -> settings of the config that are the method's own; `train.epochs`, `model.params` and
        `train.lr`, which is then not searched (a list is, in place of `lr`), win over what the study gives
    reference
        the method that the others are compared with
    select
        the validation metric that chooses the learning rate
    search_epochs
        length of the runs that search the learning rate; None: `epochs`
    search_seeds
        how many of the seeds, the first ones, search it; the mean of their scores decides
    equal_time
        methods for which the reference is trained again, with as much computing time as theirs
    focus
        groups of classes that are reported apart as well
    pairs
        methods to compare with each other
    warmup_row
        what the table calls the warm-ups, as they are; None: they are no row
    subsets
        methods to report by all subsets of their branches
    fusions
        further rows, name in the table -> methods: the mean of the softmax scores of their runs on the same seed, as
        streams that were trained apart are fused
    """

    config: str = required()
    warmup: Dict[str, Any] = setting({})
    epochs: int = required(at_least(1))
    seeds: List[int] = required(_SEEDS)
    lr: List[float] = required(_RATES)
    methods: Dict[str, Dict[str, Any]] = required(_METHODS)
    reference: str = required()
    select: str = setting('within_group', one_of(*SELECT))
    search_epochs: Optional[int] = setting(None, at_least(1))
    equal_time: List[str] = setting([])
    focus: List[str] = setting([])
    pairs: List[List[str]] = setting([])
    warmup_row: Optional[str] = None
    subsets: List[str] = setting([])
    search_seeds: int = setting(1, at_least(1))
    fusions: Dict[str, List[str]] = setting({})


def load_study(path: str) -> StudyConfig:
    """Read a study's YAML and check it.

    Raises
    ------
    UserError
        a missing file, an unknown or missing key, a value of another type or out of range, or a method that is not in
        the list
    """
    file = Path(path)
    keys = ', '.join(field.name for field in dataclasses.fields(StudyConfig))
    values = load_yaml(file, 'study', keys)
    study = build(merge(OmegaConf.structured(StudyConfig), values, str(path)), str(path))
    beside = file.parent / study.config
    # os.path says no of a name that no file can have, where Path raises.
    study.config = str(beside.resolve()) if os.path.isfile(beside) else find_config(study.config)
    _check_names(study, path)
    return study


def _check_names(study: StudyConfig, path: str) -> None:
    """The names that stand for methods are names of methods, and lengths can be kept."""
    if any(len(pair) != 2 for pair in study.pairs):
        raise UserError(f'{path}: pairs must name two methods each, got {study.pairs}')
    if study.warmup_row in study.methods:
        raise UserError(f'{path}: warmup_row is {study.warmup_row!r}, which is a method; choose another name')
    if study.warmup_row and not study.warmup:
        raise UserError(f'{path}: warmup_row is {study.warmup_row!r}, but there is no warmup; leave it out')
    if study.search_seeds > len(study.seeds):
        raise UserError(f'{path}: search_seeds is {study.search_seeds}; there are {len(study.seeds)} seeds')
    for name, parts in study.fusions.items():
        if name in study.methods or len(set(parts)) < 2 or len(set(parts)) != len(parts):
            raise UserError(f'{path}: fusions.{name} must have a name of its own and two or more methods, got {parts}')
    fused = itertools.chain(*study.fusions.values())
    for name in [study.reference, *study.equal_time, *study.subsets, *fused]:
        if name not in study.methods:
            raise UserError(f'{path}: {name!r} is no method; choose from {", ".join(study.methods)}')
    rows = [*study.methods, *study.fusions, *([study.warmup_row] if study.warmup_row else [])]
    for name in itertools.chain(*study.pairs):
        if name not in rows:
            raise UserError(f'{path}: {name!r} is no method; choose from {", ".join(rows)}')
    if study.equal_time and 'stages' in study.methods[study.reference]:
        raise UserError(f'{path}: equal_time lengthens {study.reference!r}, which has stages of its own; leave it out')
    for name, settings in study.methods.items():
        if study.search_epochs and {'stages', 'train.epochs'}.intersection(settings):
            raise UserError(f'{path}: search_epochs cannot shorten {name!r}, which has epochs of its own; leave it out')
