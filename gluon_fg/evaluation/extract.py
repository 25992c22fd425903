"""Features of a frozen backbone for many videos, to files: what `gluon-fg features` does."""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import logging
import os
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Union

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock, nn
from tqdm import tqdm

from ..data.datasets import VideoDataset, VideoRecord
from ..data.features import MANIFEST, NETWORK, FeatureSettings, Manifest, file_names, file_of, load_views, save_views
from ..data.labels import LabelSet
from ..data.loader import ordered_map, random_view
from ..data.transforms import TrainTransform, View, to_input
from ..data.video import VideoReader
from ..deploy.execution import REFERENCE, Execution
from ..deploy.fused import Forward
from ..deploy.predictor import layers_forward
from ..errors import UserError, VideoError
from ..files import atomic_path, atomic_write, sha256
from ..input_spec import FeatureSpec, InputSpec
from ..weights.fingerprint import fingerprint
from ..weights.saving import whole
from .protocol import get_protocol, may_flip
from .score import video_ids
from .views import segments_as

logger = logging.getLogger(__name__)

DTYPES = ('float16', 'float32')


@dataclasses.dataclass(frozen=True)
class Request:
    """What features are wanted.

    Parameters
    ----------
    stage
        3, 4 or 5: whose features
    protocol
        name of the test protocol that gives each video's views
    random
        where more than 0: so many views as in training (random frames, window and mirror image) in place of a protocol
    seed, augment, flip
        of random views: the same seed gives a video the same views, whatever else is made; kind of window
        (`data.transforms.KINDS`), share of mirrored views
    dtype
        'float16', or 'float32' for all digits
    pooled
        one vector a view: the mean over all positions, as the network's own classifier reads stage 5

    Raises
    ------
    UserError
        an unknown name, or a number out of range
    """

    stage: int
    protocol: str = 'train_time'
    random: int = 0
    seed: int = 0
    augment: str = 'random_resized'
    flip: float = 0.5
    dtype: str = 'float16'
    pooled: bool = False

    def __post_init__(self) -> None:
        FeatureSpec(stage=self.stage)
        get_protocol(self.protocol)
        if self.random < 0 or self.seed < 0:
            raise UserError(f'random views and seed must be 0 or more, got {self.random} and {self.seed}')
        if self.dtype not in DTYPES:
            raise UserError(f'dtype must be float16 or float32, got {self.dtype!r}')
        TrainTransform(InputSpec(), self.augment, self.flip)

    @property
    def views(self) -> Dict[str, Any]:
        """Which views, as `FeatureSettings` has it."""
        if not self.random:
            return {'protocol': self.protocol}
        return {'random': self.random, 'seed': self.seed, 'augment': self.augment, 'flip': self.flip}

    def count(self, labels: LabelSet) -> int:
        """Views of one video."""
        return self.random or get_protocol(self.protocol).count(labels)

    def cut(self, reader: VideoReader, spec: InputSpec, labels: LabelSet, label: int, name: str) -> List[View]:
        """Cut a video's views."""
        if not self.random:
            return get_protocol(self.protocol).cuts(reader, spec, labels)
        flips = labels.flip_map[label] >= 0 if label >= 0 else may_flip(labels)
        own = int.from_bytes(hashlib.sha256(name.encode('utf-8', 'surrogateescape')).digest()[:8], 'big')
        transform = TrainTransform(spec, self.augment, self.flip)
        generators = (np.random.default_rng([self.seed, own, number]) for number in range(self.random))
        return [random_view(reader, spec, transform, rng, bool(flips)) for rng in generators]


class Extracted(NamedTuple):
    """How many videos have their features: made now, there before; and path -> reason of those that failed."""

    made: int
    kept: int
    failed: Dict[str, str]


def extract_features(
    net: HybridBlock,
    dataset: VideoDataset,
    folder: Union[str, os.PathLike],
    request: Request,
    settings: FeatureSettings,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 8,
    workers: int = 2,
    progress: bool = False,
    execution: Execution = REFERENCE,
) -> Extracted:
    """Write the features of every video of a dataset into a folder, one file each; what is there already is kept.

    Killed at any moment and started again it goes on. A video that cannot be decoded is logged and listed in the
    manifest. Memory does not depend on the number of videos.

    Parameters
    ----------
    net
        a recognizer with its parameters, on `ctx`
    dataset
        videos; labels may be -1
    folder
        new or empty, or with features of the same `settings`
    request, settings
        what is wanted, and what `settings_of` makes of it
    ctx, batch_size, workers
        as for `merge_views`
    progress
        whether to draw a progress bar
    execution
        what computes the network

    Raises
    ------
    UserError
        the folder holds something else, none of the videos can be decoded, or features that are not finite
    """
    if batch_size < 1:
        raise UserError(f'batch_size must be at least 1, got {batch_size}')
    if dataset.targets is not None:
        raise UserError(f'{dataset.name}: features keep a single label of each video, and these have several')
    folder, names = Path(folder), file_names(video_ids(dataset))
    records = tuple(VideoRecord(name, record.label) for name, record in zip(names, dataset.records))
    manifest = _claim(folder, Manifest(settings, str(net.weights_source), records))
    wanted = [index for index, name in enumerate(names) if not file_of(folder, name).is_file()]
    failed: Dict[str, str] = {}
    if wanted:
        job = functools.partial(_cut, dataset, names, request, net.input_spec, settings.labels)
        cuts = ordered_map(job, wanted, workers, prefetch=max(workers, 2))
        bar = tqdm(total=len(names), initial=len(names) - len(wanted), unit='video', disable=not progress)
        with segments_as(net, get_protocol(request.protocol)), closing(cuts), bar:
            forward = layers_forward(_path(net, request), execution.decided(net, ctx), ctx, net.num_segments)
            for batch in _batches(_readable(cuts, failed, bar), batch_size):
                for video in _run(forward, net.input_spec, batch, request, ctx or mx.cpu()):
                    save_views(file_of(folder, video.name), video.done)
                    bar.update()
    if len(failed) == len(names):
        name, reason = next(iter(failed.items()))
        raise UserError(
            f'none of the {len(names)} videos of {dataset.name} can be decoded; the first: {name}: {reason}'
        )
    dataclasses.replace(manifest, failed=failed, complete=True).save(folder)
    return Extracted(len(wanted) - len(failed), len(names) - len(wanted), failed)


def settings_of(
    net: HybridBlock,
    request: Request,
    labels: LabelSet,
    dataset: str,
    network_sha256: str = '',
    precision: str = 'float32',
) -> FeatureSettings:
    """Describe the features of a network, as they are written into a manifest."""
    own = fingerprint(net.branches.backbone, request.stage)
    return FeatureSettings(
        model=str(net.name),
        layers=own.layers,
        weights=own.weights,
        network_sha256=network_sha256,
        stage=request.stage,
        pooled=request.pooled,
        dtype=request.dtype,
        input={key: list(v) if isinstance(v, tuple) else v for key, v in net.input_spec.as_dict().items()},
        views=request.views,
        dataset=dataset,
        classes=list(labels.classes),
        groups=None if labels.groups is None else list(labels.groups),
        flip_map=[int(label) for label in labels.flip_map],
        precision=precision,
    )


def keep_network(net: HybridBlock, folder: Union[str, os.PathLike]) -> str:
    """Write the network's parameters beside its features, so that heads can start from them; returns their SHA-256.

    Raises
    ------
    UserError
        other ones are there
    """
    path = Path(folder) / NETWORK
    with atomic_path(path) as temporary:
        with whole(temporary):
            net.save_parameters(temporary)
        own = sha256(temporary)
        if path.is_file() and sha256(path) != own:
            raise UserError(f'{folder} holds features of a network with other weights ({path}); choose another --out')
    return own


def view_shape(net: HybridBlock, request: Request) -> tuple:
    """The shape of one view's features, of a view as in training; nothing is computed."""
    spec = net.input_spec
    frames = (spec.frames,) if spec.ndim == 3 else ()
    count = 1 if spec.ndim == 3 else get_protocol(request.protocol).num_segments(spec)
    shape = (count, spec.channels, *frames, spec.crop_size, spec.crop_size)
    out = _path(net, request)(mx.sym.var('data')).infer_shape(data=shape)[1][0]
    return tuple(out[1:]) if request.pooled or spec.ndim == 3 else tuple(out)


def write_vectors(folder: Union[str, os.PathLike]) -> Path:
    """Put a folder's vectors into one array, `features.npy`: (videos, C), each the mean of its video's views.

    Beside it stands `features.csv`: path, label and class of each row's video.
    """
    manifest = Manifest.load(folder)
    kept = [record for record in manifest.records if record.path not in manifest.failed]
    rows = [np.mean([view.pixels for view in load_views(file_of(folder, r.path))], axis=0, dtype='f8') for r in kept]
    path = Path(folder) / 'features.npy'
    with atomic_path(path) as temporary:
        np.save(temporary, np.stack(rows).astype(manifest.settings.dtype))
    with atomic_write(path.with_suffix('.csv')) as stream:
        table = csv.writer(stream)
        table.writerow(('path', 'label', 'class'))
        table.writerows((*r[:2], manifest.settings.classes[r.label] if r.label >= 0 else '') for r in kept)
    return path


def _claim(folder: Path, manifest: Manifest) -> Manifest:
    """Make the folder these features' own, or make sure that it is."""
    if (folder / MANIFEST).is_file():
        changed = Manifest.load(folder).settings.differences(manifest.settings)
        if changed:
            raise UserError(
                f'{folder} holds features of other settings ({"; ".join(changed[:3])}); choose another --out'
            )
    elif folder.exists() and (not folder.is_dir() or any(path.name != NETWORK for path in folder.iterdir())):
        raise UserError(f'{folder} exists and holds no features; choose another --out')
    manifest.save(folder)
    return manifest


def _path(net: HybridBlock, request: Request) -> HybridBlock:
    """The backbone's layers up to the stage, and what makes a vector of them."""
    backbone, layers = net.branches.backbone, nn.HybridSequential()
    layers.add(*backbone.path(request.stage))
    if request.pooled:
        if request.stage == 5 and backbone.head_pool is not None:
            layers.add(backbone.head_pool)
        layers.add(net.branches.pool)
    return layers


class _Video:
    """A video whose views are being computed."""

    def __init__(self, name: str, views: List[View]):
        self.name, self.views = name, views
        self.done: List[View] = []


def _cut(dataset: Any, names: List[str], request: Request, spec: InputSpec, labels: LabelSet, index: int) -> Any:
    """The views of a video, or the error that stopped it."""
    try:
        with dataset.open(index) as reader:
            return _Video(names[index], request.cut(reader, spec, labels, dataset.records[index].label, names[index]))
    except VideoError as error:
        return names[index], error


def _readable(cuts: Iterable[Any], failed: Dict[str, str], bar: tqdm) -> Iterator[_Video]:
    """Those that could be read; the others are logged and added to `failed`."""
    for outcome in cuts:
        if isinstance(outcome, _Video):
            yield outcome
            continue
        name, error = outcome
        logger.warning('left out: %s', error)
        failed[name] = error.reason
        bar.update()


def _batches(videos: Iterable[_Video], batch_size: int) -> Iterator[list]:
    """Lists of at most `batch_size` (video, view) of one shape, in order, across videos."""
    batch: list = []
    for video in videos:
        for view in video.views:
            if batch and (len(batch) == batch_size or view.pixels.shape != batch[0][1].pixels.shape):
                yield batch
                batch = []
            batch.append((video, view))
    if batch:
        yield batch


def _run(forward: Forward, spec: InputSpec, batch: list, request: Request, ctx: mx.Context) -> Iterator[_Video]:
    """One forward pass; yields the videos that it completes."""
    stack = np.stack if spec.ndim == 3 else np.concatenate
    out = forward(to_input(stack([view.pixels for _, view in batch]), spec, ctx))[0].astype('float32').asnumpy()
    if spec.ndim == 2:  # frames of a view: kept apart, or their mean
        out = out.reshape(len(batch), -1, *out.shape[1:])
        out = out.mean(axis=1) if request.pooled else out
    for (video, view), row in zip(batch, out):
        with np.errstate(over='ignore'):  # told of below
            features = row.astype(request.dtype)
        if not np.isfinite(features).all():
            raise UserError(
                f'{video.name}: features are too large for float16; choose --dtype float32'
                if np.isfinite(row).all()
                else f'{video.name}: features are not finite; are these the parameters of a run that diverged?'
            )
        video.done.append(view._replace(pixels=features))
        if len(video.done) == len(video.views):
            yield video
