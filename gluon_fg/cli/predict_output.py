"""What becomes of the answers of `gluon-fg predict`: lines on the screen, a file that grows, pictures."""

from __future__ import annotations

import os
import sys
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

import click

from ..errors import UserError, VideoError, printable
from ..files import check_free
from .options import Output, print_json


class Answers:
    """Takes answers as they come: prints them, writes them to the file, and keeps what is needed at the end.

    Parameters
    ----------
    results
        a `ResultFile`
    output
        what the user asked for
    live
        whether there is one stream, each window of which is told at once
    kept
        whether good answers are kept in `by_video`
    """

    def __init__(self, results: Any, output: Output, live: bool, kept: bool):
        self._results, self._output, self._live, self._kept = results, output, live, kept
        self.by_video: Dict[int, List[Any]] = {}  # by the position of the video
        self.errors: List[VideoError] = []
        self._records: List[Tuple[int, Dict[str, Any]]] = []
        self._number = -1  # the video whose windows are told
        self._merging: Any = None
        self._seen: Set[int] = set()

    def take(self, answers: Iterator[Tuple[int, Any]], videos: int) -> None:
        """Take all of (position of the video, answer)."""
        from tqdm import tqdm

        hidden = videos < 2 or not sys.stderr.isatty()
        with tqdm(total=videos, unit='video', disable=hidden, dynamic_ncols=True) as bar:
            try:
                for number, answer in answers:
                    self._results.add(number, answer)
                    lines = list(self._lines(number, answer, bar))
                    if lines and not (self._output.json and not self._live):
                        bar.write('\n'.join(lines))
                        sys.stdout.flush()
            finally:
                self._results.close()
                rest = list(self._rest())
                if rest and not self._output.json:
                    bar.write('\n'.join(rest))
        if self._output.json and not self._live:
            print_json([record for _, record in sorted(self._records, key=lambda numbered: numbered[0])])
        if self._output.out and self._results.written:
            click.echo(f'wrote {self._output.out}', err=self._output.json)

    def _lines(self, number: int, answer: Any, bar: Any) -> Iterator[str]:
        """What is printed of an answer, or of those before that it completes."""
        if self._output.json:
            yield from self._json(number, answer)
        if number not in self._seen:
            self._seen.add(number)
            bar.update()
        if answer.error:
            self.errors.append(answer.error)
            return
        if self._kept:
            self.by_video.setdefault(number, []).append(answer)
        if self._output.json:
            return
        if number != self._number:
            yield from self._rest()
            yield printable(answer.path)
            self._number = number
        if answer.end is None:
            for label, p in answer.predictions:
                yield f'  {100 * p:5.1f} %  {label}'
        else:
            yield from self._windows(answer)

    def _json(self, number: int, answer: Any) -> Iterator[str]:
        import json

        if self._live:
            yield json.dumps(self._results.record(answer))
        else:
            self._records.append((number, self._results.record(answer)))

    def _windows(self, answer: Any) -> Iterator[str]:
        """A window of a stream at once; of a film the stretches that it ends."""
        from ..evaluation.answers import Merging

        if self._live:
            label, p = answer.predictions[0]
            yield _line(answer.start, answer.end, p, label)
            return
        self._merging = self._merging or Merging()
        for part in self._merging.add(answer):
            yield _line(part.start, part.end, part.probability, part.label)

    def _rest(self) -> Iterator[str]:
        """The stretches of a film that had not ended."""
        if self._merging is not None:
            for part in self._merging.rest():
                yield _line(part.start, part.end, part.probability, part.label)
        self._merging = None


def _line(start: float, end: float, probability: float, label: str) -> str:
    return f'  {start:7.2f} - {end:7.2f} s  {100 * probability:5.1f} %  {label}'


class Drawn(NamedTuple):
    """Which pictures are wanted: --film, --timeline, and --force to replace what is there."""

    film: Optional[str]
    timeline: Optional[str]
    force: bool

    @property
    def wanted(self) -> bool:
        """Whether there is any."""
        return self.film is not None or self.timeline is not None

    def check(self, paths: Tuple[str, ...], windows: Optional[float], live: bool) -> None:
        """Refuse names that cannot be, or that are taken; raises UserError."""
        if self.timeline:
            if windows is None and not live:
                raise UserError(f'--timeline {self.timeline} shows windows of a film; give their length with --windows')
            Output(self.timeline, self.force, False).check(suffixes=('.png',), flag='--timeline', inputs=paths)
        if self.film and live:
            raise UserError(
                f'--film {self.film} is drawn over a film that is there; record the stream beside, and write subtitles '
                'for it: --out labels.srt'
            )
        if self.film and self.film.lower().endswith('.mp4'):
            check_free(self.film, self.force, '--film', paths)

    def films_of(self, files: List[str]) -> List[str]:
        """The film to write for each video; none where none is wanted. Raises UserError for one that is there."""
        if self.film is None:
            return []
        if self.film.lower().endswith('.mp4'):
            if len(files) > 1:
                raise UserError(f'--film {self.film}: there are {len(files)} videos; give a folder for their films')
            return [self.film]
        if os.path.splitext(self.film)[1]:
            raise UserError(f'--film {self.film}: choose a name that ends in .mp4, or a folder')
        from ..visualization.localized_videos import file_stems

        targets = [os.path.join(self.film, f'{stem}.mp4') for stem in file_stems(files)]
        for target in targets:
            check_free(target, self.force, '--film', files)
        return targets

    def draw(self, files: List[str], by_video: Dict[int, List[Any]], targets: List[str], quiet: bool) -> List[Any]:
        """Draw the pictures; returns the errors of films that could not be read as a whole."""
        failed: List[Any] = []
        if self.timeline and by_video:
            from ..visualization.charts import save_chart
            from ..visualization.predicted import timeline

            save_chart(timeline({files[number]: answers for number, answers in by_video.items()}), self.timeline)
            click.echo(f'wrote {self.timeline}', err=quiet)
        for number, target in enumerate(targets):
            if number not in by_video:
                continue
            from ..data.isolated import open_isolated
            from ..visualization.predicted import labeled_film

            try:
                with open_isolated(files[number]) as reader:
                    labeled_film(target, reader, by_video[number])
                click.echo(f'wrote {target}', err=quiet)
            except VideoError as error:
                failed.append(error)
        return failed
