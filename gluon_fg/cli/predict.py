"""`gluon-fg predict`: say what happens in videos."""

from __future__ import annotations

import itertools
import os
import sys
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import click

from ..deploy.execution import Execution
from ..errors import UserError, VideoError, printable
from ..files import check_free
from .base import Command
from .options import (
    ModelChoice,
    Output,
    device_option,
    execution_options,
    flow_option,
    model_options,
    output_options,
    pass_options,
    print_json,
)


@click.command(
    cls=Command,
    example="""
predict data/synthfg/test/00005.mp4 --model i3d_tiny_synthfg_dfb --topk 3
predict my_films --run runs/mine --out results.csv
predict long.mp4 --window 4 --hop 2 --timeline long.png --film long_labeled.mp4
""",
)
@click.argument('paths', nargs=-1, required=True, metavar='VIDEO...')
@model_options
@click.option('--classes', metavar='FILE', help='Class names, one a line, for a model that knows none.')
@click.option('--topk', type=int, metavar='K', help='Classes to list; at most all. [default: 5]')
@click.option(
    '--protocol', metavar='NAME', help="Views of each video: train_time, dfb_3d, 5x3, ... [default: the model's]"
)
@click.option(
    '--threshold',
    type=click.FloatRange(0, 1),
    metavar='P',
    help="Say 'none of these' where the likeliest class is less likely. [default: of the run or the model]",
)
@click.option('--window', type=float, metavar='SECONDS', help='One answer for each window of a film of that length.')
@click.option('--hop', type=float, metavar='SECONDS', help='From window to window. [default: as long as the window]')
@flow_option
@click.option('--film', metavar='OUT.mp4', help='The film with the likeliest classes over it; of several: a folder.')
@click.option('--timeline', metavar='OUT.png', help='With --window: a picture of what is likeliest when.')
@pass_options
@device_option
@execution_options
@output_options('Table or JSON of all answers.', metavar='FILE.csv|.json', json=True)
def predict(
    paths: Tuple[str, ...],
    network: ModelChoice,
    classes: Optional[str],
    topk: Optional[int],
    protocol: Optional[str],
    threshold: Optional[float],
    window: Optional[float],
    hop: Optional[float],
    flow: Optional[str],
    film: Optional[str],
    timeline: Optional[str],
    batch_size: int,
    workers: int,
    device: str,
    execution: Execution,
    output: Output,
) -> int:
    """Say what happens in videos.

    VIDEO is a file, or a folder whose videos are all taken (also deeper ones); for a network on single images, its
    images. A folder of images is one video for any other network. Without --model the I3D of Kinetics-400 is taken
    where its weights are to be had, and a line says so.

    A video that cannot be decoded is named on stderr and does not stop the others; the exit code is then 2.
    """
    from ..evaluation.answers import ResultFile
    from ..evaluation.clips import files_of
    from ..evaluation.load import name_classes
    from ..evaluation.predict import each_prediction
    from ..evaluation.windows import Windows
    from ..training.run import choose_context

    _check(paths, topk, protocol, output)
    drawn = Drawn(film, timeline, output.force)
    drawn.check(paths, window)
    if hop is not None and window is None:
        raise UserError(f'--hop {hop:g} is from window to window; give their length with --window SECONDS')
    windows = None if window is None else Windows(window, hop)
    if windows:
        windows.check()
    ctx = choose_context(device, 0)
    net = _network(network, ctx, threshold)
    views = protocol or net.protocol
    if classes:
        name_classes(net, classes)
    elif net.classes is None:
        click.echo(f'note: {net.name} knows no names of its classes; give them with --classes FILE', err=True)
    if topk and topk > net.nclass:
        click.echo(f'note: {net.name} has {net.nclass} classes; all of them are listed', err=True)
    files = files_of(paths, net.input_spec)
    targets = drawn.films_of(files)
    topk = topk or 5
    answers = each_prediction(files, net, topk, views, ctx, batch_size, workers, windows, flow, execution)
    shown = min(topk, net.nclass) + (net.threshold is not None)  # 'none of these' stands before them
    results = ResultFile(output.out or '', shown, net.name, views)
    by_video = _gathered(answers, results, len(files), quiet=output.json)
    if output.json:
        print_json(results.records())
    if output.out:
        click.echo(f'wrote {output.out}', err=output.json)
    failed = [answer.error for answer in results.answers if answer.error]
    failed += drawn.draw(files, by_video, targets, output.json)
    for error in failed:
        click.echo(f'error: {error}', err=True)
    return 2 if failed else 0


def _check(paths: Tuple[str, ...], topk: Optional[int], protocol: Optional[str], output: Output) -> None:
    """Refuse what cannot be, before a network is loaded."""
    from ..evaluation.answers import SUFFIXES
    from ..evaluation.protocol import get_protocol

    if protocol:
        get_protocol(protocol)
    if topk is not None and topk < 1:
        raise UserError(f'--topk must be at least 1, got {topk}')
    output.check(suffixes=SUFFIXES, inputs=paths)


def _network(network: ModelChoice, ctx: Any, threshold: Optional[float]) -> Any:
    """The network that was named, or the default one, with the threshold that was given, if any."""
    from ..training.named import default_model

    if network.name is not None or network.run is not None:
        net = network.load(ctx).net
    elif network.params or network.options:
        raise UserError('--params and --options go with --model NAME or --run FOLDER')
    else:
        net = default_model(ctx).net
    if threshold is not None:
        net.threshold = threshold
    return net


def _gathered(answers: Iterator, results: Any, videos: int, quiet: bool) -> Dict[int, List[Any]]:
    """Take answers as they come, into the file and onto the screen; returns those of each video by its position."""
    from tqdm import tqdm

    def kept() -> Iterator[Tuple[int, Any]]:
        for number, answer in answers:
            results.add(number, answer)
            yield number, answer

    by_video: Dict[int, List[Any]] = {}
    with tqdm(total=videos, unit='video', disable=videos < 2 or not sys.stderr.isatty(), dynamic_ncols=True) as bar:
        try:
            for number, group in itertools.groupby(kept(), lambda pair: pair[0]):
                good = [answer for _, answer in group if not answer.error]
                bar.update()
                if good:
                    by_video.setdefault(number, []).extend(good)
                if good and not quiet:
                    bar.write('\n'.join(_lines(good)))
        finally:
            results.save()
    return by_video


def _lines(answers: List[Any]) -> Iterator[str]:
    """A video's answer as text; of windows the stretches with the same likeliest class."""
    from ..evaluation.answers import stretches

    yield printable(answers[0].path)
    if answers[0].end is None:
        for label, p in answers[0].predictions:
            yield f'  {100 * p:5.1f} %  {label}'
        return
    for part in stretches(answers):
        yield f'  {part.start:7.2f} - {part.end:7.2f} s  {100 * part.probability:5.1f} %  {part.label}'


class Drawn(NamedTuple):
    """Which pictures are wanted: --film, --timeline, and --force to replace what is there."""

    film: Optional[str]
    timeline: Optional[str]
    force: bool

    def check(self, paths: Tuple[str, ...], window: Optional[float]) -> None:
        """Refuse names that cannot be, or that are taken; raises UserError."""
        if self.timeline:
            if window is None:
                raise UserError(f'--timeline {self.timeline} shows windows of a film; give their length with --window')
            Output(self.timeline, self.force, False).check(suffixes=('.png',), flag='--timeline', inputs=paths)
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
            from ..data.video import open_video
            from ..visualization.predicted import labeled_film

            try:
                with open_video(files[number]) as reader:
                    labeled_film(target, reader, by_video[number])
                click.echo(f'wrote {target}', err=quiet)
            except VideoError as error:
                failed.append(error)
        return failed
