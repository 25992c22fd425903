"""What a report is made of: all that its sections may look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, NamedTuple, Optional, Tuple

from mxnet.gluon import HybridBlock

from ...data.datasets import VideoDataset
from ...evaluation.score import Scores


class RunFacts(NamedTuple):
    """What is known of a training run.

    folder
        where it lies
    headline
        a sentence: what was trained on what, from what, and how long it took
    facts
        names and texts of what else there is to say
    config
        its configuration, every value, as YAML text
    records
        its metrics.jsonl: dicts with `event`, `step` and numbers
    environment
        library versions and the machine, by their names
    """

    folder: str
    headline: str
    facts: Tuple[Tuple[str, str], ...]
    config: str
    records: Tuple[Mapping[str, Any], ...]
    environment: Mapping[str, Any]


class Content(NamedTuple):
    """What a report is on.

    scores
        of the network, the reference where there are two. Their groups are those that the user gave, if any
    other
        scores of another network on the same videos, in the same order (`compare.check_same_videos`); None: none
    titles
        what to call the scores: one or two short names, different ones
    videos
        the videos that were scored, and maybe others; None: not at hand, so that there are no pictures
    net
        the network of `scores`, with its weights; None: not at hand, so that it cannot be asked where it looked
    run
        the training run of the network; None: of none, or unknown
    groups
        group of each class, as `scores.groups`
    page
        where the page will lie, for links to files beside it
    pictures
        how many videos the gallery may show; 0: none
    notes
        lines to stand in the summary, such as on what is not at hand
    other_run
        the training run of the other network
    """

    scores: Scores
    other: Optional[Scores] = None
    titles: Tuple[str, ...] = ('scores',)
    videos: Optional[VideoDataset] = None
    net: Optional[HybridBlock] = None
    run: Optional[RunFacts] = None
    groups: Optional[Tuple[str, ...]] = None
    page: Path = Path('report.html')
    pictures: int = 24
    notes: Tuple[str, ...] = ()
    other_run: Optional[RunFacts] = None

    @property
    def both(self) -> Tuple[Tuple[str, Scores], ...]:
        """(title, scores) of one network, or of two."""
        each = (self.scores,) if self.other is None else (self.scores, self.other)
        return tuple(zip(self.titles, each))

    @property
    def runs(self) -> Tuple[Tuple[str, RunFacts], ...]:
        """(title, run) of those networks whose run is known."""
        each = zip(self.titles, (self.run, self.other_run))
        return tuple((title, run) for title, run in each if run is not None)
