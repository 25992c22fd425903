"""The three files of an evaluation: NAME.npz with the scores, NAME.metrics.json and NAME.per_class.csv beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from ..errors import UserError
from ..files import atomic_write, check_free
from . import metrics
from .score import Scores
from .threshold import describe_refusals

Paths = Tuple[Path, Path, Path]


def report_paths(name: str, force: bool = False) -> Paths:
    """Name the files of scores, metrics and per-class table; UserError for another suffix, or a file that is there."""
    if not name.endswith('.npz'):
        raise UserError(f'--out {name}: scores are written as .npz; choose a name that ends so')
    paths = Path(name), Path(name[:-4] + '.metrics.json'), Path(name[:-4] + '.per_class.csv')
    for path in paths:
        check_free(path, force)
    return paths


def write_report(scores: Scores, paths: Paths, refused: Optional[Dict[str, Any]] = None) -> str:
    """Write the three files, and return the table to print; `refused`: what `threshold.refusals` says, if anything."""
    scores_path, metrics_path, table_path = paths
    summary = metrics.summarize(scores)
    with atomic_write(metrics_path) as stream:
        json.dump({**summary, **(refused or {}), 'failed_videos': scores.failed}, stream, indent=1)
    metrics.write_per_class(scores, table_path)
    scores.save(scores_path)  # last: who has it has the others, also after a kill
    answers = f'\n\n{describe_refusals(refused)}' if refused else ''
    files = f'scores {scores_path}, metrics {metrics_path}, classes {table_path}'
    return f'\n{metrics.format_table(summary)}{answers}\n\n{files}'
