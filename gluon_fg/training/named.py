"""Trained networks however they are named: an entry of the zoo, a name that a publisher chose, a folder of a run."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Sequence, Tuple, Union

import mxnet as mx
from mxnet.gluon import HybridBlock

from .. import factory, registry
from ..data.catalog import build_dataset, dataset_info
from ..data.catalog.layouts import in_fold
from ..data.datasets import VideoDataset
from ..errors import UserError, VideoError, unknown
from ..evaluation.load import load_network
from ..evaluation.score import check_classes
from ..weights import zoo
from ..weights.entries import Entry
from ..weights.index import INDEX, entries_in
from .config import load_config
from .run import load_run, run_config
from .sections import Config

log = logging.getLogger(__name__)

CONFIG = 'config.yaml'
KINETICS = 'i3d_inceptionv1_same_kinetics400'  # whose weights a package has
TINY = 'i3d_tiny_synthfg_dfb'  # whose weights come with this one


class Named(NamedTuple):
    """A network, what to call it (a run by its folder), and its run's config, None for one of the zoo."""

    title: str
    net: HybridBlock
    config: Optional[Config]


def is_run(path: Union[str, os.PathLike]) -> bool:
    """Tell whether a path is the folder of a training run."""
    return os.path.isfile(os.path.join(path, CONFIG))


def load_model(
    model: Union[str, os.PathLike],
    params: Union[str, os.PathLike, None] = None,
    ctx: Optional[mx.Context] = None,
    **options: Any,
) -> Named:
    """Load a trained network with its classes, input and protocol, however it is named.

    Parameters
    ----------
    model
        - the folder of a training run: its config and best.params
        - a name: an entry of the zoo with its published weights, or what a run was published as, in the folder of
          weight files or a repository in `GLUON_FG_REPO`
        - a folder that `gluon-fg zoo publish --repo` wrote, if it holds one model; else FOLDER/NAME for one of them
    params
        a .params file in place of those weights. One that lies in the folder of a run is read as the run says
    ctx
        where to put it (default: CPU)
    options
        for `get_model`, with a name

    Raises
    ------
    UserError
        no such name or folder, no weights, weights that do not fit, a file of another model's run
    """
    text, file = os.fspath(model), None if params is None else os.fspath(params)
    ctx = ctx or mx.cpu()
    if is_run(text):
        if options:
            raise UserError(f'{text} is a training run, which has options of its own; leave out {next(iter(options))}')
        net, config = load_run(text, file, ctx)
        return Named(_title(text), net, config)
    folder, name = _published_in(text)
    if folder is not None:
        if file is not None:
            raise UserError(f'{text} has weights of its own; leave out the parameter file {file}')
        return Named(name, factory.get_published(entries_in(folder)[name], str(folder), ctx, **options), None)
    beside = None if file is None else _published_beside(file)
    if file is not None and beside is not None and _same_entry(text, beside):
        net = factory.get_published(beside, str(Path(file).parent), ctx, **options)
        return Named(text, net, None)
    run = None if file is None else _run_of(file)
    if file is None or run is None:
        return Named(text, load_network(text, file, ctx, **options), None)
    _check_same_model(text, options, file, run)
    log.info('%s: read as its training run %s says', file, run)
    net, config = load_run(run, file, ctx)
    return Named(text, net, config)


def default_model(ctx: Optional[mx.Context] = None) -> Named:
    """Load the network for who names none, and say in the log which: Kinetics-400's where its weights are to be had.

    Else the tiny one whose weights come with the package, which knows drawn shapes alone.
    """
    try:
        zoo.weights_file(KINETICS, attempts=1)
    except UserError as error:
        log.warning(
            'no --model given, and the weights of %s cannot be had (%s): %s is taken, which knows the drawn shapes of '
            'SynthFG and nothing of real films',
            KINETICS,
            str(error).partition(';')[0],
            TINY,
        )
        return load_model(TINY, None, ctx)
    log.warning('no --model given: %s is taken, which knows the 400 human actions of Kinetics-400', KINETICS)
    return load_model(KINETICS, None, ctx)


def _title(folder: str) -> str:
    """The name of a run's folder; Matplotlib hides a legend's '_names'."""
    name = os.path.basename(os.path.normpath(os.path.abspath(folder)))
    return name.lstrip('_') or name


def _published_in(text: str) -> Tuple[Optional[Path], str]:
    """(folder, name) of a model in a folder of published ones; (None, text) for what can only be a name."""
    path = Path(text)
    if (path / INDEX).is_file():
        names = sorted(entries_in(path))
        if len(names) == 1:
            return path, names[0]
        raise UserError(f'{text} holds {len(names)} models; name one, for example {path / (names or ["NAME"])[0]}')
    if path.is_dir() and not registry.is_known(text):
        raise UserError(f'{text}: no {CONFIG} there, as a training run has, and no {INDEX} of published models')
    if path.parent.name and (path.parent / INDEX).is_file():
        known = entries_in(path.parent)
        if path.name not in known:
            raise unknown(f'model of {path.parent}:', path.name, known)
        return path.parent, path.name
    if len(path.parts) > 1:
        raise UserError(f'{text}: no such folder of a training run, and no name of a model; see gluon-fg zoo list')
    return None, text


def _published_beside(file: str) -> Optional[Entry]:
    """The entry of a published file in the index of the folder where it lies."""
    known = entries_in(Path(file).parent).values()
    return next((entry for entry in known if entry.file == Path(file).name), None)


def _same_entry(name: str, published: Entry) -> bool:
    """Whether published weights go by a name, or stand for what it is."""
    return name in (published.name, published.model.name if published.model else None)


def _run_of(file: str) -> Optional[Path]:
    """The run that a parameter file lies in, itself or as one of its checkpoints."""
    folder = Path(file).parent
    places = (folder, folder.parent) if folder.name.startswith('checkpoint-') else (folder,)
    return next((place for place in places if is_run(place)), None)


def _check_same_model(name: str, options: Dict[str, Any], file: str, run: Path) -> None:
    """Refuse a parameter file under a name or options that its run does not have."""
    model = load_config(str(run / CONFIG), saved=True).model
    entry = factory.resolve(name)[0].name
    if entry != factory.resolve(model.name)[0].name:
        raise UserError(f'{file} was trained as {model.name}, not as {name}; give --run {run}')
    own = {**factory.option_defaults(entry), 'nclass': model.nclass or factory.setting(name).nclass}
    own.update(model.options)
    for key, value in options.items():
        if key in own and own[key] != value:
            raise UserError(f'{file}: its run has {key}={own[key]}, not {value}; give --run {run}')


def load_named(names: Sequence[str], params: Optional[Sequence[str]] = None) -> Iterator[Named]:
    """Load networks one after another, on the CPU.

    Parameters
    ----------
    names
        of models, as `load_model` takes them
    params
        a parameter file for each; None or '-': the published weights, or best.params of a run

    Raises
    ------
    UserError
        not one file for each, or what `load_model` refuses
    """
    if params and len(params) != len(names):
        raise UserError(
            f'{len(params)} files of parameters for {len(names)} models; give one for each, - for the default'
        )
    given = params or ['-'] * len(names)
    return (load_model(name, None if file == '-' else file) for name, file in zip(names, given))


# The data of a network


class Split(NamedTuple):
    """A split of a dataset that was opened, and its name."""

    videos: VideoDataset
    name: str


def check_source(
    model: Union[str, os.PathLike],
    params: Optional[str] = None,
    dataset: Optional[str] = None,
    root: Optional[str] = None,
    split: Optional[str] = None,
) -> None:
    """Refuse data that cannot be opened, before a network is loaded or anything is rendered or downloaded.

    Parameters
    ----------
    model, params
        as for `load_model`
    dataset, root, split
        as for `dataset_of`

    Raises
    ------
    UserError
        no data are named where the network has none of its own, or their folder is missing
    """
    text = os.fspath(model)
    run = Path(text) if is_run(text) else _run_of(params) if params else None
    if run is not None:
        config, own = run_config(run), None
    else:
        folder, name = _published_in(text)
        config = None
        own = entries_in(folder)[name].dataset if folder else factory.setting(name).dataset
    _source(text, config, own, dataset, root, split)


def _source(
    title: str,
    config: Optional[Config],
    own: Optional[str],
    dataset: Optional[str],
    root: Optional[str],
    split: Optional[str],
) -> Tuple[str, Optional[str], Optional[Dict[str, int]]]:
    """(name, root, sizes) of the data that a command names: by default the run's, or those that the network is for."""
    if config and dataset in (None, config.data.dataset):
        name, sizes = config.data.dataset, None if root else config.data.sizes
        root = root or config.data.root
    else:
        sizes = None
        chosen = dataset or own
        if chosen is None:
            raise UserError(f'{title} has classes of its own; name their videos, --dataset folder --root FOLDER')
        name = chosen
    if not dataset_info(name).rendered and not (split and os.path.isfile(split)):
        if root is None:
            raise UserError(f'{title}: no folder of {name}; give it with --root, or other videos with --dataset NAME')
        if not os.path.exists(root):
            raise UserError(f'{root}: no such folder of {name}; give the one where it lies with --root')
    return name, root, sizes


def dataset_of(
    network: Named,
    split: Optional[str] = None,
    dataset: Optional[str] = None,
    root: Optional[str] = None,
    flow: Optional[str] = None,
) -> Split:
    """Open a split of the data that a command names.

    Parameters
    ----------
    network
        whose data they are
    split
        None: 'test' or, where the data have none, what the run validated on (else 'val'), which the log says
    dataset, root
        None: those of the run, or what the network's entry is for; `root` may be left out for what is rendered
    flow
        where optical flow comes from (`data.flow.place`); None: as the run has it, where these are its data

    Raises
    ------
    UserError
        what `check_source` refuses, rendered classes that are not the network's, or no such split
    """
    net, config = network.net, network.config
    name, root, sizes = _source(network.title, config, net.dataset, dataset, root, split)
    info = dataset_info(name)
    rendered = info.label_set() if info.rendered else None
    if rendered is not None:
        check_classes(net, rendered, name)  # before it is rendered
    own = config.data if config and config.data.dataset == name else None
    if flow is None and own and own.root == root:
        flow = own.flow
    if flow is not None and not net.input_spec.fields:
        raise UserError(f'--flow {flow}: {net.name} sees no optical flow; leave it out')

    def opened(part: str) -> VideoDataset:
        meant = in_fold(name, part, own.train_split, root) if own else part
        videos = build_dataset(name, meant, root, sizes=sizes)
        videos.flow = flow
        return videos

    return split_or_instead(opened, split, root, own.val_split if own else 'val')


def split_or_instead(
    opened: Callable[[str], VideoDataset], split: Optional[str], root: Optional[str], instead: str
) -> Split:
    """Open a split; where none is named and there is no test split, the one `instead`, which the log says.

    Raises
    ------
    UserError
        what opening the named split refuses or, without one, the test split
    """
    if split is not None:
        return Split(opened(split), split)
    try:
        return Split(opened('test'), 'test')
    except VideoError:
        raise
    except UserError:
        if root is None or any(os.path.exists(os.path.join(root, f'test{end}')) for end in ('', '.csv', '.txt')):
            raise  # it is there, and wrong
        try:
            videos = opened(instead)
        except UserError:
            videos = None
        if videos is None:
            raise
    log.warning('%s has no split test; %s is taken', root, instead)
    return Split(videos, instead)
