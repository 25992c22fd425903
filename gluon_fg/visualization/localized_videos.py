"""The whole path from videos to pictures of where filters fire: predict, find the peaks, draw a strip and a film."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import mxnet as mx
from mxnet.gluon import HybridBlock

from ..analysis.localization import Localization, class_label, examine, wanted_filters
from ..analysis.placement import check_box
from ..analysis.scan import require_filters
from ..data.video import VideoReader, open_video
from ..errors import UserError, VideoError
from ..evaluation.predict import predict_videos
from ..evaluation.threshold import NONE
from ..files import atomic_write
from . import localization
from .figures import save_figure


class Wanted(NamedTuple):
    """Which filters to draw, and how.

    Parameters
    ----------
    name
        class whose filters to draw; None: the class predicted for each video
    filter
        draw this filter alone
    top
        how many filters of the class, those with the highest peaks
    box, cells
        see `Placement.box`
    """

    name: Union[str, int, None] = None
    filter: Optional[int] = None
    top: int = 3
    box: str = 'cell'
    cells: float = 2.0


class LocalizedVideo(NamedTuple):
    """One video's outcome: (label, probability) pairs, its peaks, files written; or the error that stopped it."""

    path: str
    predictions: List[Tuple[str, float]]
    located: Optional[Localization]
    files: List[str]
    error: Optional[VideoError] = None


def localize_videos(
    net: HybridBlock,
    videos: Sequence[Union[str, os.PathLike]],
    out: Union[str, os.PathLike],
    wanted: Optional[Wanted] = None,
    force: bool = False,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 4,
) -> Iterator[LocalizedVideo]:
    """Draw where filters fire in each video; yields each one's outcome when its files are written.

    Writes <video>.png (strip) and <video>.mp4 (film) for each video, peaks.json for all of them and, for one filter,
    filter_<number>.png, the filter over all videos (DFB fig. 5).

    Parameters
    ----------
    net
        a recognizer with class filters, its parameters loaded
    videos
        files; one that cannot be decoded carries its error and does not stop the others
    out, force
        folder for the files; whether to replace those that are there
    wanted
        which filters; None: the three highest of each video's predicted class
    ctx, batch_size
        as for `examine`

    Raises
    ------
    UserError
        no video, a network without class filters, an unknown class or filter, both of them given, a bad number, a file
        that is there already, or one that would replace a video: nothing is written then
    """
    paths, out, wanted = [os.fspath(video) for video in videos], Path(out), wanted or Wanted()
    asked = _check_wanted(net, wanted)
    stems = file_stems(paths)
    grid = None if wanted.filter is None else out / f'filter_{wanted.filter}.png'
    _check_targets(paths, out, [f'{stem}{end}' for stem in stems for end in ('.png', '.mp4')], grid, force)
    records, examples = [], []
    for path, stem, answer in zip(paths, stems, predict_videos(paths, net, topk=3, ctx=ctx)):
        if answer.error is not None:
            yield LocalizedVideo(path, [], None, [], answer.error)
            continue
        likeliest = next(name for name, _ in answer.predictions if name != NONE)
        label = class_label(net, likeliest) if asked is None else asked
        filters, classes = (None, [label]) if wanted.filter is None else ([wanted.filter], None)
        try:
            with open_video(path) as reader:
                located = examine(
                    net, reader, filters, classes, wanted.top, wanted.box, wanted.cells, ctx=ctx, batch_size=batch_size
                )
                files = _draw(out / stem, located, reader, answer.predictions)
                if grid is not None:
                    examples.append(localization.example(stem, located, reader))
        except VideoError as error:  # readable where the prediction looked, but not as a whole
            yield LocalizedVideo(path, answer.predictions, None, [], error)
            continue
        records.append(_record(path, answer.predictions, located))
        yield LocalizedVideo(path, answer.predictions, located, files)
    if records:
        _finish(net, out, wanted, records, examples)


def _draw(stem: Path, located: Localization, reader: VideoReader, predictions: localization.Predictions) -> List[str]:
    """Write the strip and the film of a video; returns their names."""
    files = [f'{stem}.png', f'{stem}.mp4']
    save_figure(localization.strip(located, reader, predictions), files[0])
    localization.film(files[1], located, reader, predictions)
    return files


def _finish(
    net: HybridBlock, out: Path, wanted: Wanted, records: List[dict], examples: List[localization.Example]
) -> None:
    """Write what is about all videos: peaks.json, and the picture of the one filter that was asked for."""
    if examples:
        title = f'filter {wanted.filter} of "{examples[0].peak.class_name}", videos: {len(examples)}'
        save_figure(localization.filter_grid(examples, title), out / f'filter_{wanted.filter}.png')
    with atomic_write(out / 'peaks.json') as stream:
        json.dump({'model': str(net.name), 'box': wanted.box, 'videos': records}, stream, indent=1)


def _check_wanted(net: HybridBlock, wanted: Wanted) -> Optional[int]:
    """Refuse what the network does not have; returns the label of the class asked for, None without one."""
    require_filters(net)
    if wanted.name is not None and wanted.filter is not None:
        raise UserError('give a class or a filter, not both')
    if wanted.top < 1:
        raise UserError(f'top must be at least 1, got {wanted.top}')
    check_box(wanted.box, wanted.cells)
    if wanted.filter is not None:
        wanted_filters(net, [wanted.filter], None)
    return None if wanted.name is None else class_label(net, wanted.name)


def _check_targets(paths: Sequence[str], out: Path, names: Sequence[str], grid: Optional[Path], force: bool) -> None:
    """Refuse to write into a file, over one of the videos, or, without `force`, over anything that is there."""
    targets = [*(out / name for name in names), *([grid] if grid else []), out / 'peaks.json']
    if out.exists() and not out.is_dir():
        raise UserError(f'{out} is a file; give a folder for the pictures')
    given = {os.path.realpath(path) for path in paths}
    for path in targets:
        if os.path.realpath(path) in given:
            raise UserError(f'{path} is one of the videos, and its film would replace it; choose another --out')
    there = [str(path) for path in targets if path.exists()]
    if there and not force:
        more = f', and {len(there) - 1} more' if there[1:] else ''
        raise UserError(f'{there[0]} is there already{more}; use --force to replace, or another --out')


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


def _record(path: str, predictions: Sequence[Tuple[str, float]], located: Localization) -> dict:
    """One video's entry of peaks.json; boxes and points in pixels of the video, frames counted from 0.

    A peak's `tube` is the place of its response over time, a record of frame, box and score for each moment.
    """
    width, height = located.size
    return {
        'video': path,
        'frames': located.length,
        'fps': located.fps,
        'width': width,
        'height': height,
        'predictions': [{'class': label, 'probability': p} for label, p in predictions],
        'peaks': [
            {
                **{('class' if key == 'class_name' else key): value for key, value in peak._asdict().items()},
                'tube': located.tubes[peak.filter].as_list(),
            }
            for peak in located.peaks
        ],
    }
