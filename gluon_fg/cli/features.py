"""`gluon-fg features`: features of videos to files, once, for heads that are trained many times."""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import click

from ..errors import UserError, unknown
from .base import Command, Several
from .options import (
    DataChoice,
    ModelChoice,
    device_option,
    execution_options,
    model_options,
    pass_options,
    splits_options,
)

INPUT = (
    'frames',
    'frame_stride',
    'fps',
    'segments',
    'short_side',
    'crop_size',
)  # of a view; named as in a config's data
SHOWN = 10  # videos that failed


@click.command(
    cls=Command,
    example="""
features --model i3d_tiny_synthfg --stage 4 --dataset synthfg --root data/synthfg --out features
features data/synthfg/test --model i3d_tiny_synthfg --stage 5 --pool --out vectors
""",
)
@click.argument('listed', nargs=-1, metavar='[LIST...]')
@model_options
@click.option('--stage', type=int, required=True, help='Stage of the backbone whose features are wanted: 3, 4 or 5.')
@click.option('--out', metavar='FOLDER', required=True, help='Where to write; started again, it goes on there.')
@splits_options
@click.option('--protocol', metavar='NAME', help='Views of each video: 10crop, 5x3, ... [default: train_time]')
@click.option('--views', type=int, metavar='N', help='Instead, of the first split: N random views, as training draws.')
@click.option('--seed', type=int, default=0, show_default=True, help='Of --views.')
@click.option('--augment', metavar='KIND', help='Of --views, as data.augment. [default: random_resized]')
@click.option('--input', cls=Several, metavar='KEY=VALUE...', help=f"Of a view, not the model's: {', '.join(INPUT)}.")
@click.option('--dtype', default='float16', show_default=True, help='float16, or float32 for all digits.')
@click.option('--pool', is_flag=True, help='One vector a view, and one of each video in features.npy; not to train on.')
@pass_options
@device_option
@execution_options
def features(
    listed: Tuple[str, ...], network: ModelChoice, data: List[DataChoice], out: str, device: str, **given: Any
) -> int:
    """Write the features of a frozen backbone, one file a video, so that heads are trained from them in minutes.

    LIST is videos, folders of videos, or a list of them (.csv or .txt: a path a line, or as --dataset csv takes it).
    Without one the splits of a dataset are taken, each into a folder of --out, as a training needs them: gluon-fg train
    ... --set data.features=FOLDER. A video that cannot be decoded is named and does not stop the others;
    the exit code is then 2.
    """
    from ..evaluation.extract import keep_network
    from ..training.devices import computing_device

    logging.basicConfig(level=logging.WARNING, format='%(message)s')
    network.check()
    if not listed and network.folder is None and data[0].dataset is None:
        raise UserError('give videos, a folder or a list of them, or the splits of a dataset with --dataset NAME')
    if listed and (data[0].dataset or data[0].root):
        raise UserError(f'{listed[0]} and --dataset or --root exclude each other; leave out one of them')
    wanted, inputs = _requests(given), _inputs(given['input'])
    ctx = computing_device(device, 0, given['execution'])
    named = network.load(ctx)
    net, config = named.net, named.config
    net.weights_source = network.params or network.folder or net.weights_source
    net.input_spec = net.input_spec.replace(**inputs)
    if net.input_spec.ndim == 2:
        net.num_segments = net.input_spec.segments
    lists = [_Listed(out, _listed(listed, net))] if listed else list(_splits(data, named, out))
    kept = '' if given['pool'] else keep_network(net, out)
    failed = 0
    for number, each in enumerate(lists):
        failed += _extract(net, each, wanted[min(number, 1)], kept, ctx, given)
    if given['pool']:
        click.echo('next: ' + _load('features.npy', lists[0].folder))
    elif listed:
        click.echo('next: ' + _load('FILE.npz', out, "['features']"))
    else:
        click.echo(f'next: gluon-fg train {_config_of(net, config)} data.features={out}')
    return 2 if failed else 0


class _Listed(NamedTuple):
    """Videos, and the folder for their features."""

    folder: str
    videos: Any


def _requests(given: Any) -> Tuple[Any, Any]:
    """What is wanted of the first list, which is to be trained on, and of the others."""
    from ..evaluation.extract import Request

    random = given['views']
    if random is not None and random < 1:
        raise UserError(f'--views must be at least 1, got {random}')
    if random is None and given['augment']:
        raise UserError(f'--augment {given["augment"]} is of random views; give their number with --views')
    tested = Request(given['stage'], given['protocol'] or 'train_time', dtype=given['dtype'], pooled=given['pool'])
    if random is None:
        return tested, tested
    augment = given['augment'] or 'random_resized'
    drawn = dataclasses.replace(tested, protocol='train_time', random=random, seed=given['seed'], augment=augment)
    return drawn, tested


def _inputs(texts: Sequence[str]) -> dict:
    """Read {'frames': 32} from ['frames=32']."""
    values = {}
    for text in texts:
        key, _, value = text.partition('=')
        if key not in INPUT:
            raise unknown('setting in --input', key, INPUT)
        try:
            values[key] = float(value) if key == 'fps' else int(value)
        except ValueError:
            raise UserError(f'--input {text}: write it as key=number, for example crop_size=160') from None
    return values


def _splits(data: List[DataChoice], named: Any, out: str) -> Iterator[_Listed]:
    """Open splits of a dataset; those of a run's own, unless another dataset is named."""
    from ..training.named import dataset_of

    for choice in data:
        videos, split = dataset_of(named, choice.split, choice.dataset, choice.root, choice.flow)
        yield _Listed(os.path.join(out, Path(split).stem), videos)


def _listed(paths: Sequence[str], net: Any) -> Any:
    """Make a dataset of what LIST names."""
    from ..data.readers import from_csv, from_paths, plain_list
    from ..evaluation.clips import files_of

    if len(paths) == 1 and Path(paths[0]).suffix.lower() in ('.csv', '.txt') and Path(paths[0]).is_file():
        videos = plain_list(paths[0])
        if videos is None:
            return from_csv(paths[0])
        return from_paths(videos, net.labels, paths[0])
    missing = next((path for path in paths if not os.path.lexists(path)), None)
    if missing is not None:
        raise UserError(f'{missing}: no such video, folder or list')
    return from_paths(files_of(paths, net.input_spec), net.labels, ', '.join(paths[:3]))


def _extract(net: Any, listed: _Listed, wanted: Any, kept: str, ctx: Any, given: Any) -> int:
    """Write the features of one list; returns how many of its videos failed."""
    from ..evaluation.extract import extract_features, settings_of, view_shape, write_vectors

    videos = listed.videos
    shape, views = view_shape(net, wanted), wanted.count(videos.labels)
    size = views * (2 if wanted.dtype == 'float16' else 4)
    for count in shape:
        size *= count
    click.echo(
        f'{net.name}: stage {wanted.stage} of {len(videos)} videos of {videos.name}, {views} view'
        f'{"s" if views > 1 else ""} each: {shape} {wanted.dtype}, {_bytes(size)} a video, '
        f'{_bytes(size * len(videos))} in all'
    )
    execution = given['execution']
    settings = settings_of(net, wanted, videos.labels, videos.name, kept, execution.precision)
    passes = {name: given[name] for name in ('batch_size', 'workers', 'execution')}
    progress = sys.stderr.isatty()
    done = extract_features(net, videos, listed.folder, wanted, settings, ctx, progress=progress, **passes)
    click.echo(
        f'{len(videos)} videos listed = {done.made + done.kept} with features'
        f'{f" ({done.kept} were there)" if done.kept else ""} + {len(done.failed)} failed; {listed.folder}'
    )
    for name, reason in list(done.failed.items())[:SHOWN]:
        click.echo(f'  failed: {name}: {reason}')
    if len(done.failed) > SHOWN:
        click.echo(f'  and {len(done.failed) - SHOWN} more, in manifest.json')
    if wanted.pooled:
        click.echo(f'all vectors: {write_vectors(listed.folder)}, their videos in features.csv beside it')
    return len(done.failed)


def _bytes(count: float) -> str:
    """A size with its unit."""
    power = next((i for i in range(3) if count < 1000 ** (i + 1)), 3)
    return f'{count / 1000**power:.3g} {("bytes", "KB", "MB", "GB")[power]}'


def _load(name: str, folder: str, part: str = '') -> str:
    return f'python -c "import numpy as np; print(np.load({os.path.join(folder, name)!r}){part}.shape)"'


def _config_of(net: Any, config: Optional[Any]) -> str:
    """What `gluon-fg train` needs to train such a network: a config's name where there is one."""
    from ..named_configs import config_names

    name = config.model.name if config else net.name
    fitting = [text for text in config_names() if text.split('/')[-1] == name]
    return f'--config {fitting[0]} --set' if fitting else f'--set model.name={name}'
