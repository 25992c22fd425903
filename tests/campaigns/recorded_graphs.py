"""Training graphs, starts and clips in files, for `campaigns.float16_gpu`; and the same trainings by MXNet on a CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import mxnet as mx
import numpy as np
from mxnet.contrib import amp

import gluon_fg
from gluon_fg.data.loader import Batch
from gluon_fg.data.synthfg import clips as rendered
from gluon_fg.data.transforms import to_input
from gluon_fg.deploy.flops import count
from gluon_fg.deploy.peers.graph_files import describe
from gluon_fg.nn.tracing import TRACING
from gluon_fg.training import precision as precisions
from gluon_fg.training.step import forward_backward, update

from .float16_gpu import PLANS, SMALL
from .torch_training import CLIP, MOMENTUM, Course, Plan, dealt

CLIPS = 192  # of the training set
NETWORKS = {
    'dfb': 'i3d_tiny_synthfg_dfb',
    'cidc': 'i3d_tiny_synthfg_cidc',
    'u2s': 'topheavy_tiny_synthfg_u2s',
    'dfb-warm': 'i3d_tiny_synthfg_dfb',
}
# Full-size networks, with the clips of a pass and the options of their configs
FULL: Dict[str, Tuple[str, int, int, Mapping[str, Any]]] = {
    'dfb-64f': ('i3d_resnet152_v1_kinetics400_dfb', 2, 64, {'dropout': 0.5, 'temporal_downsample': 4}),
    'dfb': ('i3d_resnet50_v1_kinetics400_dfb', 8, 16, {}),
    'cidc': ('i3d_resnet50_v1_kinetics400_cidc', 8, 32, {}),
    'u2s': ('topheavy_resnet50_sthsthv2_u2s', 8, 18, {}),
}
PRECISIONS = ('float32', 'float16', 'float16_emulated')


def record(folder: Path, starts: int) -> None:
    """Write clips, and of each variant its starts, its graphs in float32 and float16, and MXNet's own trainings."""
    folder.mkdir(parents=True, exist_ok=True)
    clips, labels = clips_and_labels()
    np.savez_compressed(folder / 'clips.npz', clips=clips, labels=labels)
    for words in [('full',), *((variant, precision) for variant in NETWORKS for precision in PRECISIONS)]:
        process = [sys.executable, '-m', 'campaigns.recorded_graphs', str(folder), str(starts), *words]
        subprocess.run(process, check=True)  # each in its own, as AMP cannot be switched off


def clips_and_labels(clips: int = CLIPS) -> Tuple[np.ndarray, np.ndarray]:
    """Rendered clips, uint8 (N, 3, 8, 48, 48), as many of each class, and their classes."""
    labels = np.arange(clips) % len(rendered.CLASSES)
    seeds = (rendered.clip_seed('train', 0, index) for index in range(clips))
    shown = np.stack([rendered.render_clip(int(label), seed) for label, seed in zip(labels, seeds)])
    return np.ascontiguousarray(shown[:, :, 3:51, 3:51].transpose(0, 4, 1, 2, 3)), labels


def started(variant: str, seed: int, clips: np.ndarray) -> Any:
    """A variant's network as it starts."""
    net = gluon_fg.get_model(NETWORKS[variant])
    mx.random.seed(seed)
    net.initialize(mx.init.MSRAPrelu('in', 0), force_reinit=True)
    if variant == 'dfb-warm':  # before oneDNN has weights in a layout of its own
        warm = gluon_fg.get_model('i3d_tiny_synthfg', pretrained=True)
        source = warm.branches.backbone._collect_params_with_prefix()
        for name, p in net.branches.backbone._collect_params_with_prefix().items():
            p.set_data(source[name].data())
    net.hybridize(static_alloc=True, static_shape=True)
    net(to_input(clips[:2], net.input_spec)).wait_to_read()  # settles the shapes
    if variant == 'u2s':
        groups = np.arange(net.nclass) // 4  # classes that look alike
        net.set_csm((groups[:, None] == groups).astype('float32'))
    return net


def losses_of(net: Any) -> List[Tuple[int, str, float]]:
    """The terms of a network's loss: number of the output, what is made of it, and its weight."""
    names = list(net.branch_names)
    if 'universal' in names:  # eq. 3 of U2S; the fused prediction is read alone
        terms = [(names.index(name), 'cross_entropy', 1.0) for name in names[1:]]
        return [*terms, (len(names), 'mean', float(net._options.regularization))]
    trained = names[:1] if 'cidc' in names else names
    return [(names.index(name), 'cross_entropy', 1.0) for name in trained]


def graph_of(net: Any, shape: Sequence[int]) -> Dict[str, Any]:
    """A network's training graph, with AMP's casts, as plain values; parameters have the names of its structure."""
    with TRACING:
        outputs = net.branches(mx.sym.var('data'))
    symbol = mx.sym.Group(list(outputs)) if isinstance(outputs, (list, tuple)) else outputs
    graph = describe(symbol, shape, net.name, casts=True)
    names = {p.name: name for name, p in net.branches._collect_params_with_prefix().items()}
    for node in graph['nodes']:
        node['name'] = names.get(node['name'], node['name'])
    trained = [names[p.name] for p in net.branches.collect_params().values() if p.grad_req != 'null']
    spec = {'mean': list(net.input_spec.mean), 'std': list(net.input_spec.std)}
    return {**graph, 'trained': trained, 'losses': losses_of(net), 'shape': list(shape), **spec}


def parameters_of(net: Any) -> Dict[str, np.ndarray]:
    """Name in the structure -> numbers."""
    return {name: p.data().asnumpy() for name, p in net.branches._collect_params_with_prefix().items()}


def trained_by_mxnet(net: Any, stored: Mapping[str, np.ndarray], plan: Plan, precision: str) -> Course:
    """What `torch_training.trained` does, by MXNet and the package's own step, on the CPU."""
    settings = {'learning_rate': plan.rate, 'momentum': MOMENTUM, 'wd': 0.0}
    trainer = mx.gluon.Trainer(net.collect_params(), 'sgd', settings, kvstore=None)
    scaler = precisions.Scaler(precision, trainer)
    learned = [p for p in net.collect_params().values() if p.grad_req != 'null']
    losses, left_out = [], []
    for number, chosen in enumerate(dealt(len(stored['labels']), plan, 0)):
        trainer.set_learning_rate(plan.rate_of(number))
        batch = Batch(stored['clips'][chosen], stored['labels'][chosen].astype('int32'), chosen)
        readings = forward_backward(net, batch, scaler, mx.cpu())
        losses.append(float(readings['loss'].asnumpy().mean()))
        update(trainer, learned, scaler, plan.batch, CLIP)
        if scaler.skipped:
            left_out.append(number + 1)
    return Course(losses, left_out, scaler.scale)


def record_variant(folder: Path, starts: int, variant: str, precision: str) -> None:
    """One precision of a variant."""
    plan, stored = PLANS[variant], np.load(folder / 'clips.npz')
    shape = (plan.batch, *stored['clips'].shape[1:])
    if precision == 'float16':
        amp.init('float16')  # for the graph alone: nothing is computed
        graph = graph_of(gluon_fg.get_model(NETWORKS[variant]), shape)
        (folder / f'{variant}-float16.json').write_text(json.dumps(graph))
        return
    precisions.enable(precision, mx.cpu())
    net = started(variant, 0, stored['clips'])
    if precision == 'float32':
        (folder / f'{variant}-float32.json').write_text(json.dumps(graph_of(net, shape)))
        for seed in range(starts):
            np.savez(folder / f'{variant}-{seed}.npz', **parameters_of(started(variant, seed, stored['clips'])))
    if plan is SMALL:  # larger ones would take long on a CPU
        course = trained_by_mxnet(net, stored, plan, precision)
        (folder / f'{variant}-mxnet-{precision}.json').write_text(json.dumps(course._asdict()))


def record_full(folder: Path) -> None:
    """The training graphs of full-size networks in float16, without weights."""
    amp.init('float16')
    for method, (name, batch, frames, options) in FULL.items():
        net = gluon_fg.get_model(name, pretrained_base=False, **options)
        shape = (batch, 3, frames, 224, 224)
        flops = batch * count(net, (1, *shape[1:])).flops
        (folder / f'{method}-full.json').write_text(json.dumps({**graph_of(net, shape), 'name': name, 'flops': flops}))


if __name__ == '__main__':
    if sys.argv[3] == 'full':
        record_full(Path(sys.argv[1]))
    else:
        record_variant(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
