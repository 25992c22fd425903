"""Training in stages as one command: runs in sub-folders, one after another, each from the weights of the one before.

A run of stages is a folder with config.yaml and classes.txt, a run like any other for each stage, and, once the last
is done, that one's best.params, final.params and summary.json. Started again it skips what is finished and resumes the
stage that is not.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Dict, Optional, Union

from .. import factory, registry
from ..evaluation.threshold import FILE as THRESHOLD
from ..files import atomic_path, atomic_write
from . import distributed, loop
from .claim import RunData, claim_run_dir
from .config import stage_configs
from .flow import know_flow
from .lock import run_lock
from .log import read_metrics
from .run import know_classes, split_of
from .sections import Config
from .start import read_start

logger = logging.getLogger(__name__)

_ADDED_UP = ('updates', 'seconds', 'cpu_seconds')


def train(
    config: Config,
    run_dir: Union[str, Path],
    world: Optional[distributed.World] = None,
    progress: bool = True,
) -> dict:
    """Train as `config` says, in one run or in its stages; called again after an interruption, it goes on.

    Parameters
    ----------
    config, run_dir, world, progress
        as for `loop.train`; stages go into sub-folders of `run_dir` by their names

    Returns
    -------
    As `loop.train`; of stages the last one's summary, its updates and seconds those of all stages together, with every
    stage's own under `stages`

    Raises
    ------
    UserError, Interrupted
        as `loop.train`
    """
    run_dir = Path(run_dir)
    world = world or distributed.init(config.train.fusion_threshold_mb)
    if not config.stages or world.gather_objects((run_dir / 'summary.json').is_file())[0]:  # as rank 0 sees it
        return loop.train(config, run_dir, world, progress)
    with run_lock(run_dir, world):
        return _train_stages(config, run_dir, world, progress)


def _train_stages(config: Config, run_dir: Path, world: distributed.World, progress: bool) -> dict:
    videos = split_of(config, config.data.train_split)
    labels = videos.labels
    know_classes(config, labels)
    parts = _stages(config)
    last = list(parts.values())[-1]  # whose network this folder's will be
    know_flow(last, videos)
    config.data.flow_algorithm, config.data.flow_bound = last.data.flow_algorithm, last.data.flow_bound
    claim_run_dir(config, run_dir, world, RunData(tuple(labels.classes)))
    start, summaries = None, {}
    for name, part in parts.items():
        folder = run_dir / name
        model, first = part.model, read_start(run_dir / list(parts)[0])
        if start and first and (model.start, model.pretrained_base, model.params) == (None,) * 3:  # see `_stages`
            model.start = first.choice
        if world.rank == 0:
            logger.info('stage %s of %s', name, ', '.join(config.stages))
        summaries[name] = loop.train(part, folder, world, progress, start)
        world.barrier()  # its last files are written
        start = folder / 'final.params'
    return _gathered(run_dir, summaries) if world.rank == 0 else {}


def _stages(config: Config) -> Dict[str, Config]:
    """The config of every stage by its name, each network found possible before the first is trained.

    Where a network asks for it (`Recognizer.needs_pretrained`), its first stage loads what the first of all starts
    from, and the weights of the stage before over that.
    """
    parts, last = stage_configs(config), ''
    for part in parts.values():
        model = part.model
        if model.name != last:
            factory.build(model.name, nclass=model.nclass, **model.options)
            entry = registry.model_entry(model.name)
            if last and entry.builder.needs_pretrained({**entry.defaults, **model.options}):
                first = config.model
                model.start, model.pretrained_base, model.params = first.start, first.pretrained_base, first.params
        last = model.name
    return parts


def _gathered(run_dir: Path, summaries: dict) -> dict:
    """Make the folder of all stages a finished run."""
    last = run_dir / list(summaries)[-1]
    for name in ('best.params', 'final.params', 'environment.json', THRESHOLD):
        if name == THRESHOLD and not (last / name).is_file():  # none was asked for
            continue
        with atomic_path(run_dir / name) as temporary:
            shutil.copyfile(last / name, temporary)
    with atomic_write(run_dir / 'metrics.jsonl') as stream:
        for name in summaries:
            records = read_metrics(run_dir / name / 'metrics.jsonl')
            stream.writelines(json.dumps({**record, 'stage': name}) + '\n' for record in records)
    added = {key: sum(summary[key] for summary in summaries.values()) for key in _ADDED_UP}
    summary = {**summaries[last.name], **added, 'stages': summaries}
    with atomic_write(run_dir / 'summary.json') as stream:
        json.dump(summary, stream, indent=1)
    return summary
