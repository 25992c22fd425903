"""The training loop: one plain pass over epochs and updates, the same alone and on every rank of a Horovod job.

It knows recognizers only through their contract (`branches`, `branch_names`, `loss`, `named_losses`, `input_spec`,
`stage`, `csm`); what one method needs beyond that lives in its recognizer.
"""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path
from typing import Callable, Optional, Set, Tuple

import mxnet as mx
import numpy as np
from tqdm import tqdm

from ..data.loader import TrainLoader
from ..data.transforms import TrainTransform
from ..errors import UserError, unknown
from ..evaluation.metrics import summarize
from ..evaluation.protocol import get_protocol
from ..evaluation.score import Scores, check_classes, score_dataset
from ..files import atomic_path, atomic_write
from ..nn.norm import freeze_batch_norm
from ..weights.warm_start import warm_start
from . import checkpoint, distributed, precision
from .config import Config, to_yaml
from .csm import build_csm, confusing_count
from .log import RunLog, plot_curves, read_metrics
from .run import Interrupted, StopFlag, build_network, choose_context, claim_run_dir, describe, environment, split_of
from .schedule import make_schedule
from .step import check_finite, forward_backward, update


def train(
    config: Config,
    run_dir,
    world: Optional[distributed.World] = None,
    say: Callable[[str], None] = print,
    progress: bool = True,
    start: Optional[Path] = None,
) -> dict:
    """One run as `config` says, into `run_dir`; called again after an interruption, it goes on where it was.

    Where `config.stages` may hold several runs call `stages.train` instead.

    Parameters
    ----------
    config
        a checked config
    run_dir
        the run's folder: config.yaml, classes.txt, metrics.jsonl, tensorboard/, checkpoint-<update>/, best.params,
        final.params, curves.png, summary.json, and csm.npz where the network has a CSM
    world
        the job this process belongs to; None joins the one it was launched in
    say, progress
        receives lines for the user (rank 0 only); whether to draw progress bars
    start
        parameters to start from, in place of `config.model.params`

    Returns
    -------
    The last validation's metrics with `epochs`, `updates`, and `seconds` and `cpu_seconds` spent in updates, and in
    making a CSM, over all its starts; empty on ranks other than 0.

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
    if (run_dir / 'summary.json').is_file():
        claim_run_dir(config, run_dir, world)
        say(f'{run_dir} is already finished; choose another --out to train again')
        return json.loads((run_dir / 'summary.json').read_text())
    try:
        return _Training(config, run_dir, world, say, progress and world.rank == 0, start).run()
    except mx.MXNetError as error:
        if world.size > 1 and any(word in str(error) for word in ('Horovod', 'horovod', 'gloo', 'by peer')):
            raise UserError(
                f'rank {world.rank}: another rank of the job has ended; '
                f'start the same command again to resume {run_dir}'
            ) from error
        raise


class _Training:
    """One run, from its parts put together (`__init__`) to its last file (`_finish`)."""

    def __init__(self, config: Config, run_dir: Path, world, say, progress: bool, params: Optional[Path] = None):
        train = config.train
        self.config, self.run_dir, self.world, self.say, self.progress = config, run_dir, world, say, progress
        self.protocol = get_protocol(config.test.val_protocol)
        self.ctx = choose_context(train.device, world.local_rank)
        precision.enable(train.precision, self.ctx)  # before the network exists
        self.train_set, self.val_set = train_set, _ = [
            split_of(config, s) for s in (config.data.train_split, config.data.val_split)
        ]
        mx.random.seed(train.seed, ctx=self.ctx)
        np.random.seed(train.seed)  # Gluon's initializers draw from NumPy too
        self.net = net = build_network(config, self.ctx, train_set.labels)
        start, params, untrained = net.weights_source, params or config.model.params, set()
        if params:
            report = warm_start(net, params)
            start, untrained = (
                f'{params}: {report}',
                {*report.new, *report.resized, *report.reclassed, *report.inflated},
            )
            if report.new:
                net.backbone_loaded()  # new branches may start as copies of the backbone
        elif not config.model.pretrained:
            untrained = set(net._collect_params_with_prefix())
        _set_stage(net, train.stage, untrained)
        set_aside = config.model.pretrained and net.trained_branches == (net.global_branch,)
        self.csm_missing = net.csm is not None and (set_aside or 'branches.masks.csm' in untrained)
        self.can_make_csm = self.csm_missing and untrained.isdisjoint(net.global_parameters())
        for dataset in (train_set, self.val_set):
            check_classes(net, dataset.labels, dataset.name)
            dataset.probe()  # a wrong root is said now, not video by video
        self.loader = TrainLoader(
            train_set,
            net.input_spec,
            TrainTransform(net.input_spec, config.data.augment, config.data.flip, config.data.jitter),
            train.batch_size,
            seed=train.seed,
            rank=world.rank,
            size=world.size,
            workers=config.data.workers,
        )
        self.updates_per_epoch = len(self.loader) // train.accumulate
        if self.updates_per_epoch == 0:
            raise UserError(
                f'{len(train_set)} training videos make no single update of {train.batch_size} clips x '
                f'{train.accumulate} x {world.size} ranks; lower train.batch_size'
            )
        claim_run_dir(config, run_dir, world, train_set.labels.classes)

        if train.batch_norm != 'train':
            freeze_batch_norm(net, keep_first=train.batch_norm == 'partial')
        params = {name: p for name, p in net.collect_params().items() if p.grad_req != 'null'}
        self.params = list(params.values())
        for p in self.params:
            p.grad_req = 'add' if train.accumulate > 1 else 'write'
        world.broadcast_parameters(net.collect_params())  # every rank starts from rank 0's weights
        net.hybridize(static_alloc=True, static_shape=True)
        self.rate = make_schedule(train, self.updates_per_epoch, world.size)
        self.trainer = world.trainer(
            params, 'sgd', {'learning_rate': self.rate(0), 'momentum': train.momentum, 'wd': train.wd}
        )
        self.scaler = precision.Scaler(train.precision, self.trainer)

        self.done = 0  # updates
        self.state = {'best': None, 'seconds': 0.0, 'cpu_seconds': 0.0, 'sums': {}}
        found = world.gather_objects(checkpoint.latest_checkpoint(run_dir))[0]  # rank 0's, should storage lag
        if found:
            self.state = checkpoint.load_checkpoint(found, net, self.trainer, self.ctx)
            self.done = self.state.pop('step')
            self.scaler.load_state(self.state.pop('scaler'))
        self.log = RunLog(run_dir, self.done) if world.rank == 0 else None
        say(to_yaml(config).rstrip())
        say(describe(self, train_set, start))
        if found:
            total = train.epochs * self.updates_per_epoch
            say(f'resumes from {found} (epoch {self.done // self.updates_per_epoch}, update {self.done} of {total})')

    def run(self) -> dict:
        """All epochs that are not done yet."""
        if self.log:
            with atomic_write(self.run_dir / 'environment.json') as stream:
                json.dump(environment(self.world), stream, indent=1)
        metrics, epochs, every = {}, self.config.train.epochs, self.config.test.val_epochs
        with StopFlag() as stop:
            self._bring_branches_in(stop)
            for epoch in range(self.done // self.updates_per_epoch, epochs):
                self._train_epoch(epoch, stop)
                if epoch + 1 == epochs or (every and (epoch + 1) % every == 0):
                    metrics = self._validate(epoch)
                self._save()
        return self._finish(metrics)

    def _bring_branches_in(self, stop: StopFlag) -> None:
        """Let all branches count, from the first update on.

        A run that starts with untrained branches set aside is validated so before: that is its baseline's accuracy,
        and no candidate for best.params, which could not say that some branches are untrained. By that baseline the
        CSM is made, for a network with one.
        """
        trained, self.net.trained_branches = self.net.trained_branches, None
        if self.done:
            return
        if self.can_make_csm or trained != self.net.trained_branches:
            self.net.trained_branches = trained
            _, scores = self._measure(0, f'before training, by {", ".join(trained)} alone')
            self.net.trained_branches = None
            if self.can_make_csm:
                self._build_csm(scores, stop)
        elif self.csm_missing:
            self.say(
                f'warning: {self.net.name} starts without a trained {self.net.global_branch} network, so that no CSM '
                'can be made: each class uses its own mask alone; set model.params, or train in stages'
            )

    def _build_csm(self, scores, stop: StopFlag) -> None:
        """Make the CSM by the validation scores and the training set; it is saved with the weights from now on."""
        config, train = self.config, self.config.train
        began, cpu_began = time.perf_counter(), time.process_time()
        n = train.csm_n or confusing_count(self.net, scores, train.csm_target)
        batch_size, workers = config.test.batch_size, config.data.workers
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always', UserWarning)
            found = build_csm(
                self.net, self.train_set, self.world, n, self.ctx, batch_size, workers, stop=lambda: stop.set
            )
        if found is None:
            raise Interrupted(f'stopped; start the same command again to resume {self.run_dir}')
        self.state['seconds'] += time.perf_counter() - began
        self.state['cpu_seconds'] += time.process_time() - cpu_began
        self.say(str(found))
        for warning in caught:
            self.say(f'warning: {warning.message}')
        if self.log:
            found.save(self.run_dir / 'csm.npz')
            self.log.write(
                'csm',
                0,
                n=n,
                target=None if train.csm_n else train.csm_target,
                alpha=found.alpha,
                average=found.average,
                videos=found.videos,
                pairs=[[*pair.names, pair.similarity] for pair in found.pairs],
            )

    def _train_epoch(self, epoch: int, stop: StopFlag) -> None:
        train, first = self.config.train, self.done - epoch * self.updates_per_epoch
        batches = self.loader.batches(epoch, start=first * train.accumulate)
        bar = tqdm(
            total=self.updates_per_epoch,
            initial=first,
            desc=f'epoch {epoch + 1}/{train.epochs}',
            unit='update',
            disable=not self.progress,
            dynamic_ncols=True,
        )
        sums = self.state['sums']
        try:
            for _ in range(first, self.updates_per_epoch):
                stopping, values, extra = self._one_update(epoch, batches, stop)
                for name, value in {**values, 'updates': 1, **extra}.items():
                    sums[name] = sums.get(name, 0.0) + (value or 0.0)
                clips = train.batch_size * train.accumulate * self.world.size / extra['seconds']
                rate, waiting = self.rate(self.done - 1), 100 * extra['data_seconds'] / extra['seconds']
                bar.set_postfix_str(
                    f'loss {values["loss"]:.3f}, lr {rate:.2g}, {clips:.1f} clips/s, {waiting:.0f} % waiting for data',
                    refresh=False,
                )
                bar.update()
                if self.log and self.done % train.log_steps == 0:
                    self.log.write(
                        'train',
                        self.done,
                        epoch=self.done / self.updates_per_epoch,
                        lr=rate,
                        clips_per_second=clips,
                        **extra,
                        **values,
                    )
                if stopping:
                    self._save()
                    raise Interrupted(f'stopped; start the same command again to resume {self.run_dir}')
                steps = train.checkpoint_steps
                if steps and self.done % steps == 0 and self.done % self.updates_per_epoch:
                    self._save()
        finally:
            batches.close()
            bar.close()
        if self.log:
            count, totals = sums['updates'], {name: sums[name] for name in ('seconds', 'data_seconds')}
            means = {name: value / count for name, value in sums.items() if name not in ('updates', *totals)}
            self.log.write(
                'epoch',
                self.done,
                epoch=epoch + 1,
                lr=self.rate(self.done - 1),
                **totals,
                failed_videos=len(self.loader.failed),
                **means,
            )
        self.state['sums'] = {}

    def _one_update(self, epoch: int, batches, stop: StopFlag):
        """Forward and backward passes and the step; returns whether to stop, mean losses, and timings with the norm."""
        train = self.config.train
        began, cpu_began, waited, values = time.perf_counter(), time.process_time(), 0.0, {}
        # Reseeding from the update's number makes dropout the same in a resumed run: MXNet's generator cannot be saved.
        mx.random.seed((train.seed * 1_000_003 + self.done * 64 + self.world.rank) % 2**31, ctx=self.ctx)
        for _ in range(train.accumulate):
            before = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - before
            for name, value in forward_backward(self.net, batch, self.scaler, self.ctx).items():
                values[name] = values.get(name, 0.0) + value / train.accumulate
        # One small exchange an update: every rank sees the same losses, and all stop together.
        shared = self.world.mean(np.array([*values.values(), float(stop.set)]))
        values, stopping = dict(zip(values, shared[:-1].tolist())), shared[-1] > 0
        videos = [str(self.loader.dataset.records[int(i)].path) for i in batch.indices[:3]]
        check_finite(values, f'epoch {epoch + 1}, update {self.done + 1}', videos, self.run_dir)
        self.trainer.set_learning_rate(self.rate(self.done))
        norm = update(self.trainer, self.params, self.scaler, train.batch_size * train.accumulate, train.clip)
        self.done += 1
        extra = {'seconds': time.perf_counter() - began, 'data_seconds': waited}
        self.state['seconds'] += extra['seconds']
        self.state['cpu_seconds'] += time.process_time() - cpu_began  # does not grow when the machine is shared
        return stopping, values, extra if norm is None else {**extra, 'grad_norm': norm}

    def _validate(self, epoch: int) -> dict:
        metrics, _ = self._measure(epoch + 1, f'epoch {epoch + 1}/{self.config.train.epochs}')
        if self.world.rank == 0 and (self.state['best'] is None or metrics['top1'] > self.state['best']['top1']):
            self.state['best'] = {'top1': metrics['top1'], 'epoch': epoch + 1}
            self._save_parameters('best.params')
        return metrics

    def _measure(self, epoch: int, when: str) -> Tuple[dict, Scores]:
        """Accuracy on the validation split after so many epochs, logged and said; and the scores it is from."""
        config, world = self.config, self.world
        scores = score_dataset(
            self.net,
            self.val_set,
            self.protocol,
            self.ctx,
            config.test.batch_size,
            config.data.workers,
            world.rank,
            world.size,
            world.gather_objects,
            self.progress,
        )
        metrics = {k: v for k, v in summarize(scores).items() if isinstance(v, (int, float))}
        if world.rank == 0:
            self.log.write('val', self.done, epoch=epoch, protocol=config.test.val_protocol, **metrics)
            shown = [
                f'{name} {100 * metrics[name]:.1f} %' for name in ('top1', 'top5', 'within_group') if name in metrics
            ]
            self.say(f'{when}: validation {", ".join(shown)}')
        return metrics, scores

    def _save(self) -> None:
        if self.world.rank == 0:
            state = {**self.state, 'scaler': self.scaler.state()}
            checkpoint.save_checkpoint(
                self.run_dir, self.done, self.net, self.trainer, state, self.config.train.keep_checkpoints
            )
        self.world.barrier()  # nobody goes on before the checkpoint exists

    def _save_parameters(self, name: str) -> None:
        with atomic_path(self.run_dir / name) as temporary:
            self.net.save_parameters(temporary)

    def _finish(self, metrics: dict) -> dict:
        if self.world.rank != 0:
            return {}
        self._save_parameters('final.params')
        self.log.close()
        records = read_metrics(self.log.path)
        plot_curves(records, self.run_dir / 'curves.png')
        if not metrics:  # killed between the last checkpoint and here
            metrics = next(r for r in reversed(records) if r['event'] == 'val')
        best, seconds = self.state['best'], self.state['seconds']
        summary = {
            **metrics,
            'epochs': self.config.train.epochs,
            'updates': self.done,
            'seconds': seconds,
            'cpu_seconds': self.state['cpu_seconds'],
            'best': best,
            'failed_videos': self.loader.failed,
        }
        with atomic_write(self.run_dir / 'summary.json') as stream:
            json.dump(summary, stream, indent=1)
        self.say(
            f'trained {self.done} updates in {seconds:.0f} s; best validation top-1 {100 * best["top1"]:.1f} % '
            f'(epoch {best["epoch"]}); see {self.run_dir / "curves.png"}'
        )
        return summary


def _set_stage(net, stage: Optional[str], untrained: Set[str]) -> None:
    """Let a network train the part that a stage is for, if what it keeps has been trained before."""
    if stage is None:
        return
    if not net.stages:
        raise UserError(f'train.stage {stage}: {net.name} is trained as a whole; leave it out')
    if stage not in net.stages:
        raise unknown('train.stage', stage, net.stages)
    net.stage = stage
    missing = sorted(untrained.intersection(net.kept_parameters()))
    if missing:
        raise UserError(
            f'train.stage {stage} keeps the {net.global_branch} network as it is, but no trained weights of it are '
            f'loaded, for example {missing[0]}; set model.params to those of its own run, or train it in a stage before'
        )
