"""A rank of the job that gpu-check starts: `python -m gluon_fg.gpu_check.job MB DEVICE`; rank 0 prints JSON.

Ranks train a small network on clips of their own with gradients averaged, and see that they have the same weights; then
they average an array of so many megabytes.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time

from ..training import distributed

import mxnet as mx  # isort: skip
from mxnet import autograd, gluon  # isort: skip
from mxnet.gluon import nn  # isort: skip


def main(megabytes: int, device: str) -> None:
    """Train, compare, and time three averages."""
    world = distributed.init()
    ctx = mx.gpu(world.local_rank if mx.context.num_gpus() > 1 else 0) if device == 'gpu' else mx.cpu()
    mx.random.seed(1 + world.rank)
    net = nn.HybridSequential()
    net.add(nn.Conv3D(16, 3, padding=1, in_channels=3), nn.Activation('relu'), nn.Flatten(), nn.Dense(5, in_units=768))
    net.initialize(mx.init.Xavier(), ctx=ctx)
    world.broadcast_parameters(net.collect_params())
    net.hybridize(static_alloc=True, static_shape=True)
    trainer, loss = world.trainer(net.collect_params(), 'sgd', {'learning_rate': 0.05, 'momentum': 0.9}), None
    criterion = gluon.loss.SoftmaxCrossEntropyLoss()
    for _ in range(5):
        x, y = mx.nd.random.normal(shape=(4, 3, 3, 4, 4), ctx=ctx), mx.nd.array([0, 1, 2, 3], ctx=ctx)
        with autograd.record():
            loss = criterion(net(x), y)
        loss.backward()
        trainer.step(4)
    digest = hashlib.sha256()
    for _, parameter in sorted(net._collect_params_with_prefix().items()):
        digest.update(parameter.data(ctx).asnumpy().tobytes())
    digests = world.gather_objects(digest.hexdigest())
    losses = world.gather_objects(float(loss.mean().asscalar()) if loss is not None else None)
    seconds = _averages(world, megabytes, ctx)
    if world.rank == 0:
        print(json.dumps({'digests': digests, 'losses': losses, 'seconds': seconds, 'megabytes': megabytes}))


def _averages(world: distributed.World, megabytes: int, ctx: mx.Context) -> list:
    import horovod.mxnet as hvd

    array, seconds = mx.nd.ones((megabytes * 250000,), ctx=ctx), []
    for number in range(4):
        array.wait_to_read()
        world.barrier()
        began = time.perf_counter()
        hvd.allreduce_(array, average=True, name='gluon_fg.gpu_check')
        array.wait_to_read()
        if number:  # the first sets up
            seconds.append(time.perf_counter() - began)
    return seconds


if __name__ == '__main__':
    main(int(sys.argv[1]), sys.argv[2])
