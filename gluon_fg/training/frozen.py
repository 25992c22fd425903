"""Features of one's own videos before a training: a processor passes each video through the frozen part once.

Fine-tuning all of a large network on a processor takes hours; what is frozen gives the same features in every epoch
(`training.features`). The network that is saved in the end is whole, for videos.
"""

from __future__ import annotations

import contextlib
import copy
import os
import time
from pathlib import Path
from typing import Any, Callable, Dict, Sequence, Tuple

import mxnet as mx
from mxnet.gluon import HybridBlock

from ..data.datasets import VideoDataset, VideoRecord
from ..data.features import MANIFEST, Manifest, file_names, file_of
from ..evaluation.extract import Request, extract_features, settings_of
from ..evaluation.score import video_ids
from ..files import temporary_folder
from .config import Config
from .start import begin

STAGE = 4  # whose features are kept: res5 and the heads are trained from them


def views_of(videos: int) -> int:
    """Random views of each training video: fewer of many."""
    return 4 if videos <= 60 else 2 if videos <= 600 else 1


def extract(
    config: Config,
    splits: Dict[str, VideoDataset],
    folder: Path,
    ctx: mx.Context,
    say: Callable[[str], Any],
    progress: bool = False,
    others: Sequence[Path] = (),
) -> None:
    """Write the features of the training and validation videos below a folder; killed, it goes on when called again.

    Parameters
    ----------
    config
        of the run, which starts from Kinetics-400: its views and its seed
    splits
        'train' and 'val' -> videos
    folder
        where `data.features` is to be
    ctx, say, progress
        device; told each line; whether to draw progress bars
    others
        folders of features of the same videos, split otherwise: what is in them is not made again

    Raises
    ------
    UserError
        weights that were to be had are not, or no video can be read
    """
    net = _network(config, splits['train'], ctx)
    for split in ('train', 'val'):
        videos, wanted = splits[split], _requests(config, len(splits['train']))[split == 'val']
        settings = settings_of(net, wanted, videos.labels, videos.name)
        names = zip(file_names(video_ids(videos)), videos.records)
        records = tuple(VideoRecord(name, record.label) for name, record in names)
        _take_over(folder / split, Manifest(settings, str(net.weights_source), records), others)
        done = extract_features(
            net, videos, folder / split, wanted, settings, ctx, 4, config.data.workers, progress=progress
        )
        failed = f', {len(done.failed)} could not be read' if done.failed else ''
        say(f'features of {split}: {done.made + done.kept} videos{failed}')


def _take_over(folder: Path, manifest: Manifest, others: Sequence[Path]) -> None:
    """Link the files of other folders that hold features of the same settings into a new one."""
    for other in (path / folder.name for path in others):
        if not (other / MANIFEST).is_file() or Manifest.load(other).settings.differences(manifest.settings):
            continue
        if not folder.exists():
            manifest.save(folder)
        for name in (record.path for record in manifest.records):
            source, target = file_of(other, name), file_of(folder, name)
            if source.is_file() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(OSError):  # a file system without links: it is made anew
                    os.link(source, target)


def seconds_of_extraction(config: Config, splits: Dict[str, VideoDataset], ctx: mx.Context) -> Tuple[float, float]:
    """Measure what `extract` takes in all, and a view, on three videos; nothing is left behind."""
    net = _network(config, splits['train'], ctx)
    count = len(splits['train'])
    wanted = _requests(config, count)[1]
    taken = []
    for number in (1, 3):  # the first one makes the graph, each time
        few = copy.copy(splits['train'])
        few.records = few.records[:number]
        with temporary_folder() as folder:
            settings = settings_of(net, wanted, few.labels, few.name)
            began = time.perf_counter()
            extract_features(net, few, folder, wanted, settings, ctx, 1, config.data.workers)
            taken.append(time.perf_counter() - began)
    view = max(taken[1] - taken[0], 0.0) / max(1, min(3, count) - 1)
    return taken[0] + view * (count * views_of(count) + len(splits['val'])), view


def _requests(config: Config, videos: int) -> Tuple[Request, Request]:
    """What is wanted of training videos, and of those that are validated on."""
    data = config.data
    drawn = Request(
        STAGE, 'train_time', random=views_of(videos), seed=config.train.seed, augment=data.augment, flip=data.flip
    )
    return drawn, Request(STAGE, config.test.val_protocol)


def _network(config: Config, videos: VideoDataset, ctx: mx.Context) -> HybridBlock:
    """The network of a run as it starts; its heads are random, and not asked."""
    net, start = begin(copy.deepcopy(config), ctx, videos.labels)
    net.weights_source = start.source
    return net
