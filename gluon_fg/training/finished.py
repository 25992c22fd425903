"""Runs that have come to their end: what their folder says, and whether a command asks for more."""

from __future__ import annotations

import copy
import dataclasses
import logging
from pathlib import Path
from typing import Any, Dict, List, Optional

from .. import safe_json
from ..errors import UserError
from .claim import RunData, check_run_dir, data_of
from .config import load_config
from .distributed import World
from .lock import remove_left
from .parts import open_data
from .sections import Config

logger = logging.getLogger(__name__)

_OF_A_RECORD = ('event', 'step', 'epoch', 'protocol')


def finished_summary(config: Config, run_dir: Path, world: World) -> Optional[Dict[str, Any]]:
    """The summary of a run that is finished, which is told; None for one that is not, or is to have more epochs.

    Raises
    ------
    UserError
        the folder holds another run than the config's, or one on other data than those that lie elsewhere now
    """
    summary, problem = None, None
    if world.rank == 0:
        try:
            summary = _read_summary(run_dir / 'summary.json')
        except UserError as error:
            problem = str(error)
    summary, problem = world.gather_objects((summary, problem))[0]
    if problem:
        raise UserError(problem)
    if summary is None or not config.stages and _wants_more(config, summary):
        return None
    data = RunData()
    if world.rank == 0:  # the others may be on machines that do not have the folder
        try:
            data = _data_elsewhere(config, run_dir)
        except UserError as error:
            problem = str(error)
    world.agree(problem)
    check_run_dir(config, run_dir, world, data)
    if world.rank == 0:
        remove_left(run_dir)
        logger.info('%s is already finished; choose another --out to train again', run_dir)
    return summary


def last_metrics(records: List[dict]) -> Dict[str, Any]:
    """The metrics of the last validation in a run's record."""
    last = next((record for record in reversed(records) if record['event'] == 'val'), {})
    return {name: value for name, value in last.items() if name not in _OF_A_RECORD}


def _read_summary(path: Path) -> Optional[Dict[str, Any]]:
    if not path.is_file():
        return None
    return safe_json.load_mapping(path, 'remove it, and the same command writes it anew from the last checkpoint')


def _wants_more(config: Config, summary: Dict[str, Any]) -> bool:
    epochs = summary.get('epochs')
    return type(epochs) is int and epochs < config.train.epochs and not summary.get('stopped_early')


def _data_elsewhere(config: Config, run_dir: Path) -> RunData:
    """The data of a config whose root is not the run's; nothing where it is, or where none can be read any more."""
    if config.data.root == load_config(str(run_dir / 'config.yaml'), saved=True).data.root:
        return RunData()
    try:
        train, _, val, _ = open_data(copy.deepcopy(config))
    except UserError:
        return RunData()
    return dataclasses.replace(data_of(train, val), partly=True)
