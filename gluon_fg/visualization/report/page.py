"""The report's page: its sections in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, List, Tuple

from ...evaluation.score import Scores
from ..pages import Section, write_page
from . import calibration, classes, comparison, confusion, failures, gallery, summary, training, videos
from .content import Content

# Each gives its sections of a content, or none where it has nothing to say.
PARTS: Tuple[Callable[[Content], List[Section]], ...] = (
    summary.sections,
    comparison.sections,
    training.sections,
    classes.sections,
    confusion.sections,
    gallery.sections,
    calibration.sections,
    failures.sections,
    videos.sections,
)


def write_report(content: Content, force: bool = False) -> Path:
    """Write the report at `content.page`; raises UserError where a file is there and `force` is not given."""
    sections = [section for part in PARTS for section in part(content)]
    title, of = f'Report: {" and ".join(content.titles)}', _of(content.scores)
    return write_page(content.page, title, of, sections, force, ['confusion.js'])


def _of(scores: Scores) -> str:
    """What was scored, in a line."""
    videos = f'{scores.listed} videos'
    data = f'{videos} of {scores.dataset}' if scores.dataset else videos
    return f'{data}, {len(scores.classes)} classes, views of each video: {scores.protocol}'
