"""A training run as it is set up, and how far it has come."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from pathlib import Path
from typing import Callable, ContextManager, List, Optional, Set, Tuple

import mxnet as mx
import numpy as np

from ..data.augment import Augment
from ..data.datasets import VideoDataset
from ..data.dealing import Dealing, Mixing
from ..data.loader import Reading, Share, TrainLoader
from ..data.transforms import TrainTransform
from ..errors import UserError
from ..evaluation.protocol import Protocol, get_protocol
from ..evaluation.score import Scores, check_classes, known_to, score_dataset
from ..files import atomic_path
from ..nn.norm import batch_norms
from ..weights.saving import whole
from . import checkpoint, guards, precision
from .average import WeightAverage
from .claim import check_run_dir, claim_run_dir, data_of
from .config import to_yaml
from .devices import take_device
from .distributed import World
from .features import begin_behind, describe_features, frames_taken, know_views, network_of, stored_protocol
from .flow import check_flow, know_flow
from .lock import RunLock
from .log import RunLog
from .optimizer import freeze_parts, make_trainer, trained_parameters
from .population import share_statistics
from .run import split_of
from .schedule import make_schedule, scaled_lr
from .sections import Config, TrainConfig
from .start import Start, begin, read_start, set_stage, to_json
from .targets import Targets, balanced_weights
from .transfer import keep_features

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class Run:
    """What a training run consists of; nothing of it changes but the parameters of its network.

    Parameters
    ----------
    config, run_dir, lock, world, ctx
        the config, the run's folder and its lock, the job and the device
    net, start
        the recognizer, and where its weights come from
    train_set, held_out, val_set, loader, protocol
        training videos, those of them that are set apart (or None), validation videos, the loader of training batches,
        how the network is validated
    params, trainer, scaler, rate
        trained parameters, their optimizer, the loss scale, update -> learning rate
    targets, average
        what the loss is computed against; the moving average of the weights, where there is one
    updates_per_epoch
        updates in an epoch
    log
        the run's record, on rank 0 alone
    progress
        whether to draw progress bars
    told
        warnings that are said once, and were
    """

    config: Config
    run_dir: Path
    lock: RunLock
    world: World
    ctx: mx.Context
    net: mx.gluon.HybridBlock
    start: Start
    train_set: VideoDataset
    held_out: Optional[VideoDataset]
    val_set: VideoDataset
    loader: TrainLoader
    protocol: Protocol
    params: List[mx.gluon.Parameter]
    trainer: mx.gluon.Trainer
    scaler: precision.Scaler
    rate: Callable[[int], float]
    targets: Targets
    average: Optional[WeightAverage]
    updates_per_epoch: int
    log: Optional[RunLog]
    progress: bool
    told: Set[str] = dataclasses.field(default_factory=set)

    def say(self, line: str) -> None:
        """Tell the user a line, on rank 0 alone."""
        if self.world.rank == 0:
            logger.info('%s', line)

    def warn(self, kind: str, line: Optional[str]) -> None:
        """Tell the user a warning, where there is one, the first time that there is one of its kind."""
        if line is not None and kind not in self.told:
            self.told.add(kind)
            self.say(line)

    def score(self, dataset: VideoDataset) -> Scores:
        """The network's scores of a dataset's videos, as in validation; every rank gets them, and has to ask."""
        share_statistics(self.net, self.world)
        return score_dataset(
            self.net,
            dataset,
            stored_protocol(dataset, self.protocol),
            self.ctx,
            self.config.test.batch_size,
            self.config.data.workers,
            self.world.rank,
            self.world.size,
            self.world.gather_objects,
            self.progress,
            told=self.told,
        )

    def as_saved(self) -> ContextManager[None]:
        """While open the network has the weights that are measured and saved: the average, where there is one."""
        return self.average.in_place() if self.average else contextlib.nullcontext()

    def save_parameters(self, name: str) -> None:
        """Write the network's parameters into the run's folder."""
        self.lock.check()
        with atomic_path(self.run_dir / name) as temporary:
            with whole(temporary):
                self.net.save_parameters(temporary)


def set_up(
    config: Config, run_dir: Path, world: World, progress: bool, params: Optional[Path], lock: Optional[RunLock] = None
) -> Run:
    """Put a run together; the order matters, as the comments say. Arguments and errors as for `loop.train`.

    `lock`: of the run's folder; None where nothing else can know of it.
    """
    train = config.train
    asked = get_protocol(config.test.val_protocol)
    ctx, of_devices = take_device(world, train)  # before the network exists
    train_set, held_out, val_set, lines = open_data(config)
    lines += of_devices
    mx.random.seed(train.seed, ctx=ctx)
    np.random.seed(train.seed)  # Gluon's initializers draw from NumPy too
    data = data_of(train_set, val_set, world.size)
    check_run_dir(config, run_dir, world, dataclasses.replace(data, partly=True))  # the network that is there is of it
    net, start = _begun(config, run_dir, world, ctx, train_set, params)
    train_set, val_set = known_to(net, train_set), known_to(net, val_set)
    begin_behind(net, train_set, val_set)
    set_stage(net, train.stage, start.untrained)
    _check_fit(net, train_set, val_set)
    lines += guards.length_lines(train_set, net.input_spec)
    guards.check_frozen_stages(train.freeze, start.untrained, start.statistics)
    loader = make_loader(config, net, train_set, world)
    updates_per_epoch = _updates_of(loader, train, train_set, world)
    frozen = _freeze(config, net, start, lines)
    trained = trained_parameters(net, train, start.untrained)
    _tell(world, lines)  # while nothing is written
    data = dataclasses.replace(data, classes=tuple(train_set.labels.classes), updates=updates_per_epoch)
    _tell(world, claim_run_dir(config, run_dir, world, data, to_json(start)))  # behind all that can be wrong
    world.broadcast_parameters(net.collect_params())  # every rank starts from rank 0's weights
    net.hybridize(static_alloc=True, static_shape=True)
    rate = make_schedule(train, updates_per_epoch, world.size)
    trainer = make_trainer(world, trained, train, rate(0))
    run = Run(
        config=config,
        run_dir=run_dir,
        lock=lock or RunLock(run_dir),
        world=world,
        ctx=ctx,
        net=net,
        start=start,
        train_set=train_set,
        held_out=held_out,
        val_set=val_set,
        loader=loader,
        protocol=stored_protocol(val_set, asked),
        params=list(trained.values()),
        trainer=trainer,
        scaler=precision.Scaler(train.precision, trainer),
        rate=rate,
        targets=make_targets(train, train_set, net.multi_label),
        average=WeightAverage(net, train.ema) if train.ema else None,
        updates_per_epoch=updates_per_epoch,
        log=None,
        progress=progress and world.rank == 0,
    )
    run.say(to_yaml(config).rstrip())
    run.say(describe(run, frozen))
    return run


def _updates_of(loader: TrainLoader, train: TrainConfig, train_set: VideoDataset, world: World) -> int:
    """Updates in an epoch; raises UserError where the videos make none."""
    if len(loader) < train.accumulate:
        raise UserError(
            f'{len(train_set)} training videos make no single update of {train.batch_size} clips x '
            f'{train.accumulate} x {world.size} ranks; lower train.batch_size'
        )
    return len(loader) // train.accumulate


def _check_fit(net: mx.gluon.HybridBlock, *datasets: VideoDataset) -> None:
    """Make sure that a network can be trained on videos, before anything is written."""
    if net.input_spec.ndim == 3:
        net.branches.check_training_frames(frames_taken(net))
    for dataset in datasets:
        check_classes(net, dataset.labels, dataset.name)
        dataset.probe()  # a wrong root is said now, not video by video
        check_flow(dataset, net.input_spec)


def _freeze(config: Config, net: mx.gluon.HybridBlock, start: Start, lines: List[str]) -> int:
    """Keep what is not to be trained, and add to what is said; how many layers `train.batch_norm` froze."""
    frozen = freeze_parts(net, config.train, start.statistics)
    if config.model.transfer == 'fixed':
        lines.append(keep_features(net, start.given))
    lines += guards.frozen_lines(config.train.batch_norm, frozen, len(batch_norms(net)))
    return frozen


def _tell(world: World, lines: List[str]) -> None:
    for line in lines if world.rank == 0 else ():
        logger.info('%s', line)


def open_data(config: Config) -> Tuple[VideoDataset, Optional[VideoDataset], VideoDataset, List[str]]:
    """The training videos, those held out, the validation videos, and what is to be said of them."""
    data = config.data
    train_set, val_set = (split_of(config, split) for split in (data.train_split, data.val_split))
    train_set, held_out = train_set.parted(data.hold_out)
    know_views(config, train_set)
    know_flow(config, train_set)
    guards.know_targets(config, train_set, val_set)
    val_set = guards.validation_videos(data, train_set, held_out, val_set)
    return train_set, held_out, val_set, guards.check_data(data, train_set, val_set)


def _begun(
    config: Config, run_dir: Path, world: World, ctx: mx.Context, train_set: VideoDataset, params: Optional[Path]
) -> Tuple[mx.gluon.HybridBlock, Start]:
    """The network with the weights that it starts from, or that it has come to; which is the first thing to be said."""
    former, latest = world.gather_objects((read_start(run_dir), checkpoint.latest_checkpoint(run_dir)))[0]
    if former is None and params is None:
        network = network_of(config, train_set)
        config.model.start = str(network) if network else config.model.start
    net, start = begin(config, ctx, train_set.labels, params, world, former, latest)
    if world.rank == 0:
        logger.info('%s %s from %s', net.name, 'started' if former and latest else 'starts', start.source)
    return net, start


def describe(run: Run, frozen: int) -> str:
    """What a run is about to do, in a few lines; `frozen` counts the batch norm layers that are kept as they are."""
    train, size = run.config.train, run.world.size
    trained = sum(int(np.prod(p.shape)) for p in run.params)
    everything = sum(int(np.prod(p.shape)) for p in run.net.collect_params().values())
    scaled = f'scaled from {train.lr_batch_size} clips' if train.lr_batch_size else 'as given'
    scaled += f', times {train.lr_scale:g}' if train.lr_scale != 1 else ''
    kept = [f'batch norm of {frozen} of {len(batch_norms(run.net))} layers'] if train.batch_norm != 'train' else []
    kept += [f'stages {", ".join(train.freeze)}'] if train.freeze else []
    apart = f'; {len(run.held_out)} training videos are held out' if run.held_out else ''
    return (
        f'model {run.net.name}: {everything:,} parameters ({trained:,} trained) on {run.ctx}\n'
        + (f'frozen: {"; ".join(kept)}\n' if kept else '')
        + describe_features(run.train_set)
        + f'data {run.train_set.name}: {len(run.train_set)} training and {len(run.val_set)} validation videos{apart}\n'
        f'update: {train.batch_size} clips x {train.accumulate} x {size} ranks; '
        f'learning rate {train.lr:g} -> {scaled_lr(train, size):g} ({scaled})'
    )


def make_loader(config: Config, net: mx.gluon.HybridBlock, train_set: VideoDataset, world: World) -> TrainLoader:
    """This rank's loader of training batches."""
    data, train, spec = config.data, config.train, net.input_spec
    fill = tuple(int(round(255 * mean)) for mean in spec.mean)
    augment = Augment(data.color_jitter, data.randaugment, data.erase, fill)
    mixing = Mixing(data.mixup, data.cutmix, net.nclass) if data.mixup or data.cutmix else None
    return TrainLoader(
        train_set,
        spec,
        TrainTransform(spec, data.augment, data.flip, data.jitter, augment),
        train.batch_size,
        seed=train.seed,
        share=Share(world.rank, world.size),
        reading=Reading(data.workers),
        dealing=Dealing(sampling=data.sampling, repeat=data.repeat, mixing=mixing),
    )


def make_targets(train: TrainConfig, train_set: VideoDataset, multi_label: bool) -> Targets:
    """What the loss is computed against, by the config and, for class weights, by the training videos."""
    weights = None
    if train.class_weights == 'balanced':
        labels = np.array([record.label for record in train_set.records])
        weights = balanced_weights(labels, len(train_set.labels))
    return Targets(train.label_smoothing, weights, multi_label)
