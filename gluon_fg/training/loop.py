"""The training loop: one plain pass over epochs and updates, the same alone and on every rank of a Horovod job.

It knows recognizers only through their contract (`branches`, `branch_names`, `loss`, `named_losses`, `input_spec`); what one
method needs beyond that lives in its recognizer.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import time
from pathlib import Path
from typing import Callable, Optional

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from tqdm import tqdm

from .. import registry
from ..data.datasets import VideoDataset, build_dataset
from ..data.loader import TrainLoader
from ..data.transforms import TrainTransform, to_input
from ..errors import UserError
from ..evaluation.metrics import summarize
from ..evaluation.protocol import get_protocol
from ..evaluation.score import check_classes, score_dataset
from ..files import atomic_path, atomic_write
from ..nn.norm import freeze_batch_norm
from ..weights.warm_start import warm_start
from . import checkpoint, distributed, precision
from .config import Config, differences, load_config, save_config, to_yaml
from .log import RunLog, plot_curves, read_metrics
from .schedule import make_schedule, scaled_lr

# What may differ between a run and its resumption without changing the result.
_FREE_KEYS = ['data.root', 'data.workers', 'data.cache', 'train.log_steps', 'train.keep_checkpoints',
              'train.checkpoint_steps', 'test.batch_size', 'test.protocol']


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop; a checkpoint has been written."""


def choose_context(device: str, local_rank: int) -> mx.Context:
    """The device of this rank: GPU `local_rank` where there are GPUs (or they are asked for), else the CPU."""
    gpus = mx.context.num_gpus() if mx.runtime.Features().is_enabled('CUDA') else 0
    if device == 'gpu' and gpus <= local_rank:
        raise UserError(f'train.device gpu: this MXNet sees {gpus} GPUs, rank {local_rank} needs one of its own; '
                        f'choose train.device=cpu')
    return mx.gpu(local_rank) if device != 'cpu' and gpus > local_rank else mx.cpu()


def build_network(config: Config, ctx: mx.Context):
    """The recognizer of a config with its input description, before any warm start."""
    options = dict(config.model.options)
    if config.model.nclass is not None:
        options['nclass'] = config.model.nclass
    if config.model.pretrained_base is not None:
        options['pretrained_base'] = config.model.pretrained_base
    net = registry.get_model(config.model.name, pretrained=config.model.pretrained, ctx=ctx, **options)
    changes = {name: getattr(config.data, name) for name in ('frames', 'frame_stride', 'segments', 'short_side', 'crop_size')
               if getattr(config.data, name) is not None}
    net.input_spec = net.input_spec.replace(**changes)
    if net.input_spec.ndim == 2:
        net.num_segments = net.input_spec.segments
    return net


def train(config: Config, run_dir, world: Optional[distributed.World] = None,
          say: Callable[[str], None] = print, progress: bool = True) -> dict:
    """Train as `config` says, into `run_dir`; called again after an interruption, it goes on from the last checkpoint.

    Parameters
    ----------
    config
        a checked config
    run_dir
        the run's folder: config.yaml, metrics.jsonl, tensorboard/, checkpoint-<update>/, best.params, final.params, curves.png
    world
        the job this process belongs to; None joins the one it was launched in
    say, progress
        receives lines for the user (rank 0 only); whether to draw progress bars

    Returns
    -------
    The last validation's metrics with `epochs`, `updates`, and `seconds` and `cpu_seconds` spent in updates over all its starts.

    Raises
    ------
    UserError
        config and run folder, network, data or machine do not fit together; a loss became NaN or infinite
    Interrupted
        SIGINT or SIGTERM arrived; the state is saved
    """
    world = world or distributed.init()
    say = say if world.rank == 0 else (lambda line: None)
    run_dir = Path(run_dir)
    _claim_run_dir(config, run_dir, world)
    if (run_dir / 'summary.json').is_file():
        say(f'{run_dir} is already finished; choose another --out to train again')
        return json.loads((run_dir / 'summary.json').read_text())
    try:
        return _train(config, run_dir, world, say, progress and world.rank == 0)
    except mx.MXNetError as error:
        if world.size > 1 and any(word in str(error) for word in ('Horovod', 'horovod', 'gloo')):
            raise UserError(f'rank {world.rank}: another rank of the job has ended; '
                            f'start the same command again to resume {run_dir}') from error
        raise


def _claim_run_dir(config: Config, run_dir: Path, world) -> None:
    """Rank 0 creates the folder, or makes sure that it holds this very run; every rank raises alike."""
    problem = None
    if world.rank == 0:
        saved = run_dir / 'config.yaml'
        if saved.is_file():
            changed = differences(load_config(str(saved)), config, ignore=_FREE_KEYS)
            if changed:
                problem = f'{run_dir} holds a run with another config ({"; ".join(changed[:3])}); choose another --out'
        elif run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
            problem = f'{run_dir} exists and holds no training run; choose another --out'
        else:
            save_config(config, saved)
    problem = world.gather_objects(problem)[0]
    if problem:
        raise UserError(problem)


def _train(config, run_dir, world, say, progress) -> dict:
    ctx = choose_context(config.train.device, world.local_rank)
    precision.enable(config.train.precision, ctx)            # before the network exists
    mx.random.seed(config.train.seed, ctx=ctx)
    np.random.seed(config.train.seed)                        # Gluon's initializers draw from NumPy too
    net = build_network(config, ctx)
    spec = net.input_spec
    started_from = 'zoo weights' if config.model.pretrained else 'random or ImageNet weights, as the entry says'
    if config.model.params:
        started_from = f'{config.model.params}: {warm_start(net, config.model.params)}'

    sets = {split: _dataset(config, split) for split in (config.data.train_split, config.data.val_split)}
    train_set, val_set = sets[config.data.train_split], sets[config.data.val_split]
    for dataset in sets.values():
        check_classes(net, dataset.labels, dataset.name)
        dataset.probe()                                      # a wrong root is said now, not video by video
    transform = TrainTransform(spec, config.data.augment, flip=config.data.flip)
    loader = TrainLoader(train_set, spec, transform, config.train.batch_size, seed=config.train.seed, rank=world.rank,
                         size=world.size, workers=config.data.workers)
    updates_per_epoch = len(loader) // config.train.accumulate
    if updates_per_epoch == 0:
        raise UserError(f'{len(train_set)} training videos make no single update of {config.train.batch_size} clips x '
                        f'{config.train.accumulate} x {world.size} ranks; lower train.batch_size')

    if config.train.batch_norm != 'train':
        freeze_batch_norm(net, keep_first=config.train.batch_norm == 'partial')
    params = {name: p for name, p in net.collect_params().items() if p.grad_req != 'null'}
    if config.train.accumulate > 1:
        for p in params.values():
            p.grad_req = 'add'
    world.broadcast_parameters(net.collect_params())         # every rank starts from rank 0's weights
    net.hybridize(static_alloc=True, static_shape=True)
    rate = make_schedule(config.train, updates_per_epoch, world.size)
    trainer = world.trainer(params, 'sgd', {'learning_rate': rate(0), 'momentum': config.train.momentum, 'wd': config.train.wd})
    scaler = precision.Scaler(config.train.precision, trainer)

    state = {'best': None, 'seconds': 0.0, 'cpu_seconds': 0.0, 'sums': None, 'scaler': {}}
    done, found = 0, checkpoint.latest_checkpoint(run_dir)
    found = world.gather_objects(found)[0]                   # rank 0 decides, also on shared storage that lags
    if found:
        state = checkpoint.load_checkpoint(found, net, trainer, ctx)
        done = state['step']
        scaler.load_state(state['scaler'])
    log = RunLog(run_dir, done) if world.rank == 0 else None

    say(to_yaml(config).rstrip())
    say(f'model {net.name}: {_count(net):,} parameters ({sum(int(np.prod(p.shape)) for p in params.values()):,} trained) on {ctx}; '
        f'starts from {started_from}')
    say(f'data {train_set.name}: {len(train_set)} training and {len(val_set)} validation videos')
    say(f'update: {config.train.batch_size} clips x {config.train.accumulate} x {world.size} ranks; '
        f'learning rate {config.train.lr:g} -> {scaled_lr(config.train, world.size):g}'
        + (f' (scaled from {config.train.lr_batch_size} clips)' if config.train.lr_batch_size else ' (as given)'))
    if found:
        say(f'resumes from {found} (epoch {done // updates_per_epoch}, update {done} of {config.train.epochs * updates_per_epoch})')
    if log:
        with atomic_write(run_dir / 'environment.json') as stream:
            json.dump(_environment(world), stream, indent=1)

    run = _Run(config, net, trainer, scaler, loader, params, rate, world, ctx, log, run_dir, updates_per_epoch, state)
    metrics = {}
    with _StopFlag() as stop:
        for epoch in range(done // updates_per_epoch, config.train.epochs):
            done = _train_one_epoch(run, epoch, done, stop, progress)
            last = epoch + 1 == config.train.epochs
            if last or (config.test.val_epochs and (epoch + 1) % config.test.val_epochs == 0):
                metrics = _validate(run, val_set, epoch, done, progress)
                say(f'epoch {epoch + 1}/{config.train.epochs}: ' + ', '.join(
                    f'{name} {100 * metrics[name]:.1f} %' for name in ('top1', 'top5', 'within_group') if metrics.get(name) is not None))
            _save(run, done)
    return _finish(run, metrics, done, say)


class _Run:
    """What the parts of one run share."""

    def __init__(self, config, net, trainer, scaler, loader, params, rate, world, ctx, log, run_dir, updates_per_epoch, state):
        self.config, self.net, self.trainer, self.scaler, self.loader = config, net, trainer, scaler, loader
        self.params, self.rate, self.world, self.ctx, self.log = list(params.values()), rate, world, ctx, log
        self.run_dir, self.updates_per_epoch, self.state = run_dir, updates_per_epoch, state


def _train_one_epoch(run: _Run, epoch: int, done: int, stop, progress: bool) -> int:
    """All updates of an epoch that are not done yet; returns the updates done in all."""
    config, micro = run.config, run.config.train.accumulate
    first = done - epoch * run.updates_per_epoch
    batches = run.loader.batches(epoch, start=first * micro)
    bar = tqdm(total=run.updates_per_epoch, initial=first, desc=f'epoch {epoch + 1}/{config.train.epochs}', unit='update',
               disable=not progress, dynamic_ncols=True)
    names, sums = None, run.state['sums'] or {}
    try:
        for _ in range(first, run.updates_per_epoch):
            began, cpu_began = time.perf_counter(), time.process_time()
            waited, values = 0.0, {}
            # Reseeding from the update's number makes dropout the same in a resumed run: MXNet's generator cannot be saved.
            mx.random.seed((config.train.seed * 1_000_003 + done * 64 + run.world.rank) % 2**31, ctx=run.ctx)
            for _ in range(micro):
                before = time.perf_counter()
                batch = next(batches)
                waited += time.perf_counter() - before
                for name, value in _forward_backward(run, batch).items():
                    values[name] = values.get(name, 0.0) + value / micro
            names = names or list(values)
            # One small exchange an update: every rank sees the same losses, and all stop together.
            shared = run.world.mean(np.array([values[n] for n in names] + [float(stop.set)]))
            values, stopping = dict(zip(names, shared[:-1].tolist())), shared[-1] > 0
            _check_finite(values, run, epoch, done, batch)
            run.trainer.set_learning_rate(run.rate(done))
            norm = _update(run, config.train.batch_size * micro)
            done += 1
            seconds = time.perf_counter() - began
            run.state['seconds'] += seconds
            run.state['cpu_seconds'] += time.process_time() - cpu_began      # all threads; does not grow when the machine is shared
            for name, value in {**values, 'updates': 1, 'data_seconds': waited, 'seconds': seconds}.items():
                sums[name] = sums.get(name, 0.0) + value
            run.state['sums'] = sums
            clips = config.train.batch_size * micro * run.world.size / seconds
            bar.set_postfix_str(f'loss {values["loss"]:.3f}, lr {run.rate(done - 1):.2g}, {clips:.1f} clips/s, '
                                f'{100 * waited / seconds:.0f} % waiting for data', refresh=False)
            bar.update()
            if run.log and done % config.train.log_steps == 0:
                run.log.write('train', done, epoch=done / run.updates_per_epoch, lr=run.rate(done - 1), clips_per_second=clips,
                              data_seconds=waited, **({} if norm is None else {'grad_norm': norm}), **values)
            if stopping:
                _save(run, done)
                raise Interrupted(f'stopped; start the same command again to resume {run.run_dir}')
            if config.train.checkpoint_steps and done % config.train.checkpoint_steps == 0 and done % run.updates_per_epoch:
                _save(run, done)
    finally:
        batches.close()
        bar.close()
    if run.log:
        count = sums.pop('updates')
        run.log.write('epoch', done, epoch=epoch + 1, lr=run.rate(done - 1), seconds=sums.pop('seconds'),
                      data_seconds=sums.pop('data_seconds'), failed_videos=len(run.loader.failed),
                      **{name: value / count for name, value in sums.items()})
    run.state['sums'] = None
    return done


def _forward_backward(run: _Run, batch) -> dict:
    """One forward and backward pass; returns the mean loss and accuracy of every branch over the rank's clips."""
    net = run.net
    x = to_input(batch.clips, net.input_spec, run.ctx)
    label = mx.nd.array(batch.labels, ctx=run.ctx)
    with autograd.record():
        outputs = net.branches(x)
        loss = net.loss(outputs, label)
        run.scaler.backward([loss])
    with autograd.pause():
        named = net.named_losses(outputs, label)
    values = {'loss': float(loss.asnumpy().astype('float64').mean())}
    for name, value in named.items():
        values[f'loss_{name}'] = float(value.asnumpy().astype('float64').mean())
    for name, logits in zip(net.branch_names, outputs):
        values[f'top1_{name}'] = float((logits.astype('float32').asnumpy().argmax(1) == batch.labels).mean())
    return values


def _check_finite(values: dict, run: _Run, epoch: int, done: int, batch) -> None:
    bad = [name.replace('loss_', '') for name, value in values.items() if name.startswith('loss_') and not np.isfinite(value)]
    if bad or not np.isfinite(values['loss']):
        videos = [run.loader.dataset.records[int(i)].path for i in batch.indices[:3]]
        raise UserError(f'the loss of {", ".join(bad) or "the sum"} became {values["loss"]} in epoch {epoch + 1}, update {done + 1} '
                        f'(videos {", ".join(map(str, videos))}, ...); lower train.lr or set train.clip. '
                        f'The last checkpoint of {run.run_dir} is from before')


def _update(run: _Run, clips: int) -> Optional[float]:
    """Average gradients over ranks, clip, update; returns the mean gradient's norm when clipping is on."""
    trainer, limit, norm = run.trainer, run.config.train.clip, None
    if limit:
        trainer.allreduce_grads()                            # first: so that every rank clips the same gradient
        run.scaler.unscale()
        grads = [p.grad(run.ctx) for p in run.params]
        scale = clips / trainer._scale                       # gradients are sums over clips (and ranks); limit is for the mean
        norm = float(gluon.utils.clip_global_norm(grads, limit * scale, check_isfinite=False).asscalar()) / scale
        trainer.update(clips)
    else:
        trainer.step(clips)
    if run.config.train.accumulate > 1:
        for p in run.params:
            p.zero_grad()
    return norm


def _validate(run: _Run, val_set, epoch: int, done: int, progress: bool) -> dict:
    config = run.config
    scores = score_dataset(run.net, val_set, get_protocol(config.test.val_protocol), run.ctx, batch_size=config.test.batch_size,
                           workers=config.data.workers, rank=run.world.rank, size=run.world.size,
                           gather=run.world.gather_objects, progress=progress)
    metrics = summarize(scores)
    numbers = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
    if run.world.rank == 0:
        run.log.write('val', done, epoch=epoch + 1, protocol=config.test.val_protocol, **numbers)
        best = run.state['best']
        if best is None or numbers['top1'] > best['top1']:
            run.state['best'] = {'top1': numbers['top1'], 'epoch': epoch + 1}
            with atomic_path(run.run_dir / 'best.params') as temporary:
                run.net.save_parameters(temporary)
    return numbers


def _save(run: _Run, done: int) -> None:
    if run.world.rank == 0:
        run.state['scaler'] = run.scaler.state()
        checkpoint.save_checkpoint(run.run_dir, done, run.net, run.trainer, {k: v for k, v in run.state.items() if k != 'step'},
                                   run.config.train.keep_checkpoints)
    run.world.barrier()                                      # nobody goes on before the checkpoint exists


def _finish(run: _Run, metrics: dict, done: int, say) -> dict:
    if run.world.rank != 0:
        return {}
    with atomic_path(run.run_dir / 'final.params') as temporary:
        run.net.save_parameters(temporary)
    run.log.close()
    plot_curves(read_metrics(run.log.path), run.run_dir / 'curves.png')
    if not metrics:                                          # killed between the last checkpoint and here
        metrics = next(r for r in reversed(read_metrics(run.log.path)) if r['event'] == 'val')
    summary = {**metrics, 'epochs': run.config.train.epochs, 'updates': done, 'seconds': run.state['seconds'],
               'cpu_seconds': run.state['cpu_seconds'], 'best': run.state['best'], 'failed_videos': run.loader.failed}
    with atomic_write(run.run_dir / 'summary.json') as stream:
        json.dump(summary, stream, indent=1)
    say(f'trained {done} updates in {run.state["seconds"]:.0f} s; best validation top-1 {100 * run.state["best"]["top1"]:.1f} % '
        f'(epoch {run.state["best"]["epoch"]}); see {run.run_dir / "curves.png"}')
    return summary


def _dataset(config: Config, split: str) -> VideoDataset:
    return build_dataset(config.data.dataset, split, root=config.data.root, cache=config.data.cache, sizes=config.data.sizes)


def _count(net) -> int:
    return sum(int(np.prod(p.shape)) for p in net.collect_params().values())


def _environment(world) -> dict:
    features = mx.runtime.Features()
    return {'command': sys.argv, 'python': platform.python_version(), 'mxnet': mx.__version__, 'numpy': np.__version__,
            'platform': platform.platform(), 'onednn': features.is_enabled('MKLDNN'), 'cuda': features.is_enabled('CUDA'),
            'omp_threads': os.environ.get('OMP_NUM_THREADS'), 'ranks': world.size}


class _StopFlag:
    """Turns SIGINT and SIGTERM into a flag that the loop reads between updates; a second SIGINT ends the process at once.

    A launcher whose other rank died sends SIGTERM, more than once: it must not cut off the line that says so.
    """

    def __init__(self):
        self.set = False

    def _ask(self, number, frame):
        self.set = True
        if number == signal.SIGINT:
            signal.signal(number, self._former[number])

    def __enter__(self):
        self._former = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
        for number in self._former:
            signal.signal(number, self._ask)
        return self

    def __exit__(self, *exc):
        for number, handler in self._former.items():
            signal.signal(number, handler)
