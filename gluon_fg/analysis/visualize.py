"""The whole path from videos to pictures: predict, find the peaks, draw a strip and a film for each video."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import mxnet as mx

from ..data.video import open_video
from ..errors import UserError, VideoError
from ..evaluation.predict import predict_videos
from ..files import atomic_write
from . import drawing
from .localization import Localization, class_label, examine, wanted_filters
from .placement import check_box
from .scan import require_bank


class Visualized(NamedTuple):
    """One video's outcome: (label, probability) pairs, what was found, files written; or the error that stopped it."""

    path: str
    predictions: List[Tuple[str, float]]
    found: Optional[Localization]
    files: List[str]
    error: Optional[VideoError] = None


def visualize(
    net,
    videos: Sequence[Union[str, os.PathLike]],
    out: Union[str, os.PathLike],
    name: Union[str, int, None] = None,
    filter: Optional[int] = None,
    top: int = 3,
    box: str = 'cell',
    cells: float = 2.0,
    force: bool = False,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 4,
) -> Iterator[Visualized]:
    """Draw where filters fire in each video; yields each one's outcome when its files are written.

    Writes <video>.png (strip) and <video>.mp4 (film) for each video, peaks.json for all of them and, with `filter`,
    filter_<number>.png, the filter over all videos (DFB fig. 5).

    Parameters
    ----------
    net
        a recognizer with a filter bank, its parameters loaded
    videos
        files; one that cannot be decoded carries its error and does not stop the others
    out
        folder for the files
    name
        class whose filters to draw; None: the class predicted for each video
    filter
        draw this filter alone
    top
        how many filters of the class, those with the highest peaks
    box, cells
        see `Placement.box`
    force
        replace files that are there
    ctx, batch_size
        as for `examine`

    Raises
    ------
    UserError
        no video, a network without filter bank, an unknown class or filter, both of them given, a bad number, a file
        that is there already, or one that would replace a video: nothing is written then
    """
    paths, out = [os.fspath(video) for video in videos], Path(out)
    require_bank(net)
    if name is not None and filter is not None:
        raise UserError('give a class or a filter, not both')
    if top < 1:
        raise UserError(f'top must be at least 1, got {top}')
    check_box(box, cells)
    asked = None if name is None else class_label(net, name)
    if filter is not None:
        wanted_filters(net, [filter], None)
    stems = file_stems(paths)
    grid = [] if filter is None else [out / f'filter_{filter}.png']
    targets = [out / f'{stem}{suffix}' for stem in stems for suffix in ('.png', '.mp4')] + grid + [out / 'peaks.json']
    if out.exists() and not out.is_dir():
        raise UserError(f'{out} is a file; give a folder for the pictures')
    given = {os.path.realpath(path) for path in paths}
    for path in targets:
        if os.path.realpath(path) in given:
            raise UserError(f'{path} is one of the videos, and its film would replace it; choose another --out')
    there = [str(path) for path in targets if path.exists()]
    if there and not force:
        raise UserError(
            f'{there[0]} is there already{f", and {len(there) - 1} more" if there[1:] else ""}; '
            'use --force to replace, or another --out'
        )
    answers = predict_videos(paths, net, topk=3, ctx=ctx)
    records, examples = [], []
    for path, stem, answer in zip(paths, stems, answers):
        if answer.error is not None:
            yield Visualized(path, [], None, [], answer.error)
            continue
        label = class_label(net, answer.predictions[0][0]) if asked is None else asked
        try:
            with open_video(path) as reader:
                found = examine(
                    net,
                    reader,
                    None if filter is None else [filter],
                    [label] if filter is None else None,
                    top,
                    box=box,
                    cells=cells,
                    ctx=ctx,
                    batch_size=batch_size,
                )
                drawing.save_png(out / f'{stem}.png', drawing.strip(found, reader, answer.predictions))
                drawing.film(out / f'{stem}.mp4', found, reader, answer.predictions)
                if filter is not None:
                    examples.append(drawing.example(stem, found, reader))
        except VideoError as error:  # readable where the prediction looked, but not as a whole
            yield Visualized(path, answer.predictions, None, [], error)
            continue
        records.append(_record(path, answer.predictions, found))
        yield Visualized(path, answer.predictions, found, [str(out / f'{stem}.png'), str(out / f'{stem}.mp4')])
    if not records:
        return
    if filter is not None:
        title = f'filter {filter} of "{examples[0].peak.class_name}", videos: {len(examples)}'
        drawing.save_png(grid[0], drawing.filter_grid(examples, title))
    with atomic_write(out / 'peaks.json') as stream:
        json.dump({'model': str(net.name), 'box': box, 'videos': records}, stream, indent=1)


def file_stems(paths: Sequence[str]) -> List[str]:
    """A name for each video's pictures: its own, where two share it with the folder's in front or a number behind."""
    stems = [Path(path).stem if not os.path.isdir(path) else Path(path).resolve().name for path in paths]
    if len(set(stems)) < len(stems):
        stems = [
            f'{Path(path).resolve().parent.name}_{stem}' if stems.count(stem) > 1 else stem
            for path, stem in zip(paths, stems)
        ]
    unique: List[str] = []
    for stem in stems:
        number, candidate = 1, stem
        while candidate in unique:
            number += 1
            candidate = f'{stem}_{number}'
        unique.append(candidate)
    return unique


def _record(path: str, predictions, found: Localization) -> dict:
    """One video's entry of peaks.json; boxes and points in pixels of the video, frames counted from 0."""
    width, height = found.size
    return {
        'video': path,
        'frames': found.length,
        'fps': found.fps,
        'width': width,
        'height': height,
        'predictions': [{'class': label, 'probability': p} for label, p in predictions],
        'peaks': [
            {('class' if key == 'class_name' else key): value for key, value in peak._asdict().items()}
            for peak in found.peaks
        ],
    }
