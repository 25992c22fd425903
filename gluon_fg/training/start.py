"""Where a run's weights come from, and which of its parameters they leave untrained."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Sequence, Set, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from .. import factory, registry, safe_json
from ..checking import check
from ..data.labels import LabelSet
from ..errors import UserError, unknown
from ..input_spec import InputSpec
from ..nn.norm import batch_norms, has_statistics
from ..weights import imagenet, zoo
from ..weights.download import ATTEMPTS
from ..weights.gluoncv_store import gluoncv_file, gluoncv_has
from ..weights.index import find
from ..weights.streams import starting_backbones
from ..weights.warm_start import warm_start
from ..weights.written import InputKeys
from .checkpoint import load_network
from .distributed import World
from .run import START, build_network, know_classes
from .sections import STARTS, Config, ModelConfig
from .transfer import start_of

KINETICS = 'kinetics400'


@dataclasses.dataclass(frozen=True)
class Start:
    """What a network starts from, kept in the run's folder: a run that is resumed needs none of the files again.

    Parameters
    ----------
    source
        in words
    untrained
        structural names of the parameters that no trained weights gave a value: ImageNet's are none for this task
    statistics
        structural names of the running means of the batch norm layers whose statistics were loaded
    choice
        what `model.start` says, or was chosen where it was left open; None: other keys of the config say it
    spec
        frames, sizes and scale of the network's views, which published weights bring with them
    given
        structural names of the parameters that a file of trained weights gave a value, copies of them included
    """

    source: str
    untrained: FrozenSet[str]
    statistics: FrozenSet[str]
    choice: Optional[str]
    spec: InputSpec
    given: FrozenSet[str] = frozenset()


def to_json(start: Start) -> str:
    """A start as a run's folder keeps it."""
    values = dataclasses.asdict(start)
    sets = {key: sorted(value) for key, value in values.items() if isinstance(value, frozenset)}  # no form in JSON
    return safe_json.sealed({**values, **sets})


def read_start(run_dir: Path) -> Optional[Start]:
    """The start of a run in a folder; None where there is none, or it was begun by a version that kept none.

    Raises
    ------
    UserError
        the file is damaged
    """
    path = run_dir / START
    if not path.is_file():
        return None
    try:
        values = safe_json.parse(path.read_bytes())
        seal = values.pop('sha256', None)  # former versions wrote none
        if seal is not None and seal != safe_json.digest(values):
            raise ValueError('it is not as it was written')
        given = {key: value for key, value in values['spec'].items() if value is not None}
        check(InputKeys, given, 'spec')
        spec: Dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}
        names = {key: frozenset(map(str, values.get(key, ()))) for key in ('untrained', 'statistics', 'given')}
        choice = values['choice'] and str(values['choice'])
        return Start(source=str(values['source']), choice=choice, spec=InputSpec(**spec), **names)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f'{path} is damaged ({error}); choose another --out to train anew') from None


def begin(
    config: Config,
    ctx: mx.Context,
    labels: Optional[LabelSet] = None,
    params: Optional[Union[str, Path]] = None,
    world: Optional[World] = None,
    former: Optional[Start] = None,
    latest: Optional[Path] = None,
) -> Tuple[HybridBlock, Start]:
    """Build a run's network and give it the weights that it starts from.

    Parameters
    ----------
    config
        `model.start` is filled in where it was left open and is chosen here, or was when the run was begun
    ctx, labels
        as for `build_network`
    params
        the parameters of the stage before: loaded over what the config says, which is nothing in most stages
    world
        the job: rank 0 chooses
    former, latest
        the start that is kept in the run's folder, and its last checkpoint: with both, no other weights are looked for

    Raises
    ------
    UserError
        weights that are asked for are not to be had, or do not fit
    """
    model, world = config.model, world or World()
    know_classes(config, labels)
    if model.transfer and model.start is None and params is None:
        model.start = start_of(model)
    chooses = params is None and former is None and latest is None and _is_left_open(model)
    if former and model.start is None:
        model.start = former.choice
    if not (model.start or chooses or (former and latest)):  # the older keys say it
        net = build_network(config, ctx, labels)
        start = _from_file(net, model.params, None) if model.params else _start(net, net.weights_source, None)
    else:
        plain = dataclasses.replace(model, start=None, pretrained=False, pretrained_base=False, params=None)
        net = build_network(dataclasses.replace(config, model=plain), ctx, labels)
        if former and latest:
            return _resumed(net, ctx, former, latest), former
        first = _first_to_be_had(net, model) if chooses and world.rank == 0 else None
        if chooses:
            model.start = world.gather_objects(first and first.choice)[0]
        start = first or _as_asked(net, model)
    if params:
        start = _of_stage(_from_file(net, params, None), start, read_start(Path(params).parent))
    return net, start


def _of_stage(later: Start, first: Start, before: Optional[Start]) -> Start:
    """The start of a stage: what the stage before has trained from random values is not what trained weights gave."""
    copies = later.given & later.untrained
    kept = later.given if before is None else later.given & before.given
    return dataclasses.replace(later, given=first.given | copies | kept)


def _resumed(net: HybridBlock, ctx: mx.Context, former: Start, latest: Path) -> HybridBlock:
    load_network(latest, net, ctx)
    net.input_spec = former.spec
    if net.input_spec.ndim == 2:
        net.num_segments = former.spec.segments
    return net


def _is_left_open(model: ModelConfig) -> bool:
    """Whether a config says nothing of where the weights of a network for one's own classes start."""
    said = (model.start, model.pretrained or None, model.pretrained_base, model.params)
    return said == (None,) * 4 and factory.setting(model.name).nclass is None


def _as_asked(net: HybridBlock, model: ModelConfig) -> Start:
    try:
        return _load(net, model, str(model.start))
    except _NonePublished as error:
        if model.transfer is None:
            raise UserError(f'model.start {model.start}: {error}') from None
        backbone = registry.model_entry(model.name).backbone
        raise UserError(
            f'model.transfer {model.transfer}: no Kinetics-400 weights of {backbone} are published; set model.start to '
            'a .params file'
        ) from None
    except UserError as error:
        raise UserError(f'model.start {model.start}: {error}') from None


def _first_to_be_had(net: HybridBlock, model: ModelConfig) -> Start:
    """Start from the first of `STARTS` that is to be had; those that should be and are not are told of."""
    missing: List[str] = []
    for choice in STARTS:
        if choice == 'imagenet' and net.branches.backbone.imagenet is None:
            continue  # there never were any, which is no news
        try:
            start = _load(net, model, choice, attempts=1)
        except _NonePublished:
            continue
        except UserError as error:
            missing.append(f'no {choice} weights: {error}')
            continue
        return dataclasses.replace(start, source='; '.join([start.source, *missing]))
    raise AssertionError('random weights are always to be had')


def _load(net: HybridBlock, model: ModelConfig, choice: str, attempts: int = ATTEMPTS) -> Start:
    """Start a network, initialized and without weights, as `model.start` says."""
    if choice == 'none':
        return _start(net, 'random weights', choice)
    if choice == 'imagenet':
        name = imagenet.load(net.branches.backbone, attempts=attempts)
        net.backbone_loaded('pretrained')
        return _start(net, f'ImageNet weights {name}', choice)
    if choice == KINETICS:
        return _from_kinetics(net, model, attempts)
    if not Path(choice).is_file():
        raise UserError(f'no such file; give a .params file, or choose {", ".join(STARTS)}')
    return _from_file(net, choice, choice, foreign_classes=model.transfer is not None)  # whatever it calls its own


class _NonePublished(UserError):
    """Nobody has published such weights."""


def _from_kinetics(net: HybridBlock, model: ModelConfig, attempts: int) -> Start:
    entry = registry.model_entry(model.name)
    published = kinetics_weights(model.name, attempts)
    if published is None:
        raise _NonePublished(
            f'no Kinetics-400 weights of {entry.backbone} are published; choose imagenet, none or a .params file'
        )
    path, words, sibling = published
    start = _from_file(net, path, KINETICS, words, foreign_classes=net.dataset != KINETICS)
    theirs = sibling.option_defaults['temporal_downsample']
    ours = {**entry.option_defaults, **model.options}['temporal_downsample']
    if theirs not in (None, ours):
        note = f'trained with temporal_downsample {theirs}: model.options.temporal_downsample={theirs} fits better'
        return dataclasses.replace(start, source=f'{start.source}; {note}')
    return start


def kinetics_weights(name: str, attempts: int = ATTEMPTS) -> Optional[Tuple[Path, str, registry.ModelEntry]]:
    """Weights from Kinetics-400 with the backbone of an entry: the zoo's own, of the same method first, or GluonCV's.

    Where there are none of a backbone on optical flow, or on colors and flow, those of the same one on colors.

    Returns
    -------
    The verified file, what it is in words, and the entry that it was trained as; None where none are published

    Raises
    ------
    UserError
        they are published, and the file is neither on disk nor to be fetched
    """
    own = registry.model_entry(name)
    known: Dict[str, registry.ModelEntry] = {n: registry.model_entry(n) for n in registry.names()}
    for backbone in starting_backbones(own.backbone):
        family = [
            entry
            for n, entry in known.items()
            if n == entry.name
            and (entry.dataset, entry.backbone) == (KINETICS, backbone)
            and (entry.builder is own.builder or n.endswith(f'_{KINETICS}'))
        ]
        for entry in sorted(family, key=lambda e: e.builder is not own.builder):
            published = find(entry.name)
            if published:
                return zoo.entry_file(published, attempts=attempts), f'Kinetics-400 weights {published.file}', entry
        for entry in family:
            if entry.gluoncv and gluoncv_has(entry.gluoncv):
                path = gluoncv_file(entry.gluoncv, attempts=attempts)
                return path, f'Kinetics-400 weights of GluonCV {entry.gluoncv}', entry
    return None


def _from_file(
    net: HybridBlock,
    path: Union[str, Path],
    choice: Optional[str],
    words: Optional[str] = None,
    foreign_classes: bool = False,
) -> Start:
    report = warm_start(net, path, foreign_classes)
    given = set(report.loaded)
    if report.new:  # new branches may start as copies of the backbone
        trained = set(net.global_parameters()) <= given
        given |= _filled(net, report.new, lambda: net.backbone_loaded('trained' if trained else 'pretrained'))
    untrained = frozenset({*report.new, *report.resized, *report.reclassed, *report.inflated})
    start = _start(net, f'{words or path}: {report}', choice, untrained)
    return dataclasses.replace(start, given=frozenset(given))


def _filled(net: HybridBlock, names: Sequence[str], fill: Callable[[], None]) -> Set[str]:
    """Do what may give some parameters of a network values; the names of those that got one, the others keep theirs."""
    params = {name: p for name, p in net._collect_params_with_prefix().items() if name in names}
    before = {name: p.data(p.list_ctx()[0]).copy() for name, p in params.items()}
    for p in params.values():
        p.set_data(mx.nd.full(p.shape, np.nan, dtype=p.dtype))
    fill()
    empty = {name for name, p in params.items() if np.isnan(p.data(p.list_ctx()[0]).asnumpy()).any()}
    for name in empty:
        params[name].set_data(before[name])
    return set(names) - empty


def _start(net: HybridBlock, source: str, choice: Optional[str], untrained: Optional[FrozenSet[str]] = None) -> Start:
    """The start of a network that has its weights; `untrained` None: as these say (`Recognizer.untrained`)."""
    params = net._collect_params_with_prefix()
    names: Dict[str, str] = {p.name: name for name, p in params.items()}
    statistics = {names[layer.running_mean.name] for layer in batch_norms(net) if has_statistics(layer)}
    untrained = net.untrained if untrained is None else untrained
    everything = frozenset(params)
    return Start(source, everything if untrained is None else untrained, frozenset(statistics), choice, net.input_spec)


def set_stage(net: HybridBlock, stage: Optional[str], untrained: FrozenSet[str]) -> None:
    """Let a network train the part that a stage is for, if what it keeps has been trained before.

    Raises
    ------
    UserError
        the network has no such stage, or parameters that it would keep are untrained
    """
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
            f'loaded, for example {missing[0]}; set model.start to those of its own run, or train it in a stage before'
        )
