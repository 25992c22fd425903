"""What surrounds the loop: the run's folder, its network and data, its device, and being asked to stop."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any, Dict, Optional, Tuple, Union

import mxnet as mx
from mxnet.gluon import HybridBlock

from .. import factory
from ..data.catalog import build_dataset
from ..data.catalog.layouts import in_fold
from ..data.class_groups import with_groups_beside
from ..data.datasets import VideoDataset
from ..data.kept import shared_cache
from ..data.labels import LabelSet
from ..errors import UserError
from ..evaluation.load import load_parameters, name_classes
from ..evaluation.threshold import load_threshold
from .config import Config, load_config
from .features import VIEW_KEYS, open_features
from .flow import FLOW_KEYS

START = 'start.json'  # what a run started from: see `start.Start`
PARENT = 'GLUON_FG_PARENT'  # in the environment of gluon-fg train: number of the process that it is to end with
SPLIT = 'split'  # lists of one's own videos that a run is trained and tested on: see `data.own_videos`


def choose_context(device: str, local_rank: int) -> mx.Context:
    """The device of this rank: GPU `local_rank` where there are GPUs (or they are asked for), else the CPU.

    A launcher may show each rank a single GPU (`CUDA_VISIBLE_DEVICES`): that is the rank's own, whatever its number.
    """
    gpus = mx.context.num_gpus() if mx.runtime.Features().is_enabled('CUDA') else 0
    number = 0 if gpus == 1 and os.environ.get('CUDA_VISIBLE_DEVICES', '').strip() else local_rank
    if device == 'gpu' and gpus <= number:
        raise UserError(
            f'device gpu: this MXNet sees {gpus} GPUs, rank {local_rank} needs one of its own; choose device cpu'
        )
    return mx.gpu(number) if device != 'cpu' and gpus > number else mx.cpu()


def split_of(config: Config, split: str) -> VideoDataset:
    """A split of the config's dataset, or of its features."""
    data = config.data
    split = in_fold(data.dataset, split, data.train_split, data.root)
    if data.features:
        videos: VideoDataset = open_features(data, split)
    else:
        videos = build_dataset(data.dataset, split, root=data.root, cache=data.cache, sizes=data.sizes)
    if data.cache_gb is not None:
        videos.kept = shared_cache(data.cache_gb)
    videos.flow, videos.keeps_frames = data.flow, factory.setting(config.model.name).input_spec.sees_rgb
    return videos


def know_classes(config: Config, labels: Optional[LabelSet]) -> bool:
    """Fill in the number of classes where the entry has none and the config leaves it to the dataset.

    Returns
    -------
    Whether the entry is for one's own classes.
    """
    own = factory.setting(config.model.name).nclass is None
    if own and config.model.nclass is None and labels is not None:
        config.model.nclass = len(labels.classes)
    return own


def build_network(config: Config, ctx: mx.Context, labels: Optional[LabelSet] = None) -> HybridBlock:
    """The recognizer of a config with its input description, before any warm start.

    An entry for one's own classes takes their number and names from `labels`, where the config gives no number.
    """
    model = config.model
    own_classes = know_classes(config, labels)
    options = {'nclass': model.nclass, 'pretrained_base': model.pretrained_base, **model.options}
    options = {name: value for name, value in options.items() if value is not None}
    net = factory.get_model(model.name, pretrained=model.pretrained, ctx=ctx, **options)
    given = {name: getattr(config.data, name) for name in (*VIEW_KEYS, *FLOW_KEYS)}
    given = {FLOW_KEYS.get(name, name): value for name, value in given.items() if value is not None}
    net.input_spec = net.input_spec.replace(**given)
    if net.input_spec.ndim == 2:
        net.num_segments = net.input_spec.segments
    if own_classes and labels is not None and net.nclass == len(labels.classes):
        net.labels = labels
    net.multi_label = bool(config.data.multi_label)
    return net


def _know_own_classes(net: HybridBlock, path: Path) -> None:
    """Name a network's classes as its run does: where nothing else names them, and where the order is another.

    A dataset's classes may have been ordered otherwise by the version that trained the run.
    """
    if path.is_file():
        names = [line.strip() for line in path.read_text(encoding='utf-8', errors='replace').splitlines()]
        if net.labels is None or (sorted(names) == sorted(net.classes) and names != list(net.classes)):
            name_classes(net, path)


def run_config(folder: Union[str, Path]) -> Config:
    """Read the config of a run; raises UserError where there is none, or it is damaged.

    A run that has lists of its own (`SPLIT`) reads these, also after it was moved.
    """
    config = load_config(str(Path(folder, 'config.yaml')), saved=True)
    if Path(folder, SPLIT).is_dir():
        config.data.root = str(Path(folder, SPLIT))
    return config


def load_run(
    run_dir: Union[str, Path], params: Union[str, Path, None] = None, ctx: Optional[mx.Context] = None
) -> Tuple[HybridBlock, Config]:
    """The trained network of a run, with its class names, input and protocol, and the run's config.

    Parameters
    ----------
    run_dir
        a folder written by gluon-fg train
    params
        a .params file; None: the run's best.params
    ctx
        where to put it (default: CPU)

    Raises
    ------
    UserError
        no run there, no weights in it yet, or a file that does not fit
    """
    folder, ctx = Path(run_dir), ctx or mx.cpu()
    if not (folder / 'config.yaml').is_file():
        raise UserError(f'{run_dir}: no config.yaml there; --run takes a folder written by gluon-fg train')
    path = Path(params) if params else folder / 'best.params'
    if not path.is_file():
        raise UserError(f'no parameter file {path}' + ('' if params else '; the run has not been validated yet'))
    config = run_config(folder)
    config.model.pretrained, config.model.pretrained_base = False, False
    config.model.options = factory.run_options(config.model.name, path, config.model.options)
    net = build_network(config, ctx)
    _know_own_classes(net, folder / 'classes.txt')  # first: a published file of other classes is refused
    if net.labels is not None:
        net.labels = with_groups_beside(net.labels, folder, folder / SPLIT)
    load_parameters(net, str(path), ctx)
    net.protocol = config.test.protocol or net.protocol
    net.weights_source = f'training run {path}'
    if params is None:
        net.quantized_beside = os.path.join(folder, '')
    chosen = load_threshold(folder)
    net.threshold = chosen.value if chosen else config.test.threshold
    return net, config


def is_current(made: Union[str, Path], params: Path) -> bool:
    """Whether a file made with a run's parameters is there and not older than they: there may have been more epochs."""
    return Path(made).is_file() and Path(made).stat().st_mtime >= params.stat().st_mtime


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop; a checkpoint has been written."""


class StopFlag:
    """Turns SIGINT and SIGTERM into a flag, read between updates; a second SIGINT ends the process at once.

    A launcher whose other rank died sends SIGTERM, more than once: it must not cut off the line that says so. Outside
    of the main thread, which alone is sent signals, it stays False, and the program around goes on deciding on them.
    """

    def __init__(self) -> None:
        self.set = False

    def _ask(self, number: int, frame: Any) -> None:
        self.set = True
        if number == signal.SIGINT:
            signal.signal(number, self._former[number])

    def __enter__(self) -> StopFlag:
        numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        self._former: Dict[int, Any] = {n: signal.getsignal(n) for n in numbers}
        for number in self._former:
            signal.signal(number, self._ask)
        return self

    def __exit__(self, *exc: Any) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
