"""Training from features on disk: everything behind a frozen stage of the backbone, without running what is before.

The network is built and saved whole, so that what is trained so predicts videos like any other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from mxnet.gluon import HybridBlock

from ..data.datasets import VideoDataset
from ..data.features import MANIFEST, NETWORK, FeatureDataset
from ..errors import UserError
from ..evaluation.protocol import Protocol, get_protocol
from ..files import sha256
from ..input_spec import FeatureSpec, InputSpec
from ..weights.fingerprint import fingerprint
from .sections import Config, DataConfig

# What the views that features are of say, where the config does not.
VIEW_KEYS = ('frames', 'frame_stride', 'fps', 'segments', 'short_side', 'crop_size', 'center_flow', 'short')


def open_features(data: DataConfig, split: str) -> FeatureDataset:
    """Open the features of a split: those in `data.features`/<split>.

    Raises
    ------
    UserError
        there are none, or they are not finished
    """
    folder = Path(str(data.features), Path(split).stem)
    if not (folder / MANIFEST).is_file():
        raise UserError(
            f'data.features {data.features}: no features of split {Path(split).stem!r} ({folder / MANIFEST}); make '
            f'them with gluon-fg features --out {data.features} --split {split}'
        )
    return FeatureDataset(folder, data.cache)


def know_views(config: Config, dataset: VideoDataset) -> None:
    """Fill in what the config leaves open of a view, which is a fact of features that exist."""
    if not isinstance(dataset, FeatureDataset):
        return
    spec = dataset.manifest.settings.spec
    for key in VIEW_KEYS:
        given, made = getattr(config.data, key), getattr(spec, key)
        if given is not None and given != made:
            raise UserError(
                f'data.{key} is {given}, but {dataset.root} holds features of {key} {made}; set data.{key}={made}'
            )
        setattr(config.data, key, spec.as_dict().get(key))  # None: as ever, and as runs from before a key have it


def network_of(config: Config, dataset: VideoDataset) -> Optional[Path]:
    """The parameters of the network that made a run's features: what it starts from, unless the config says otherwise.

    None: without features, or where the config says otherwise.
    """
    if not isinstance(dataset, FeatureDataset) or any(
        (config.model.start, config.model.params, config.model.pretrained)
    ):
        return None
    folder = Path(dataset.root)
    for path in (folder / NETWORK, folder.parent / NETWORK):
        if path.is_file() and sha256(path) == dataset.manifest.settings.network_sha256:
            return path
    raise UserError(
        f'{folder}: the network that made these features is not beside them ({folder.parent / NETWORK}); set '
        'model.params to its parameters'
    )


def begin_behind(net: HybridBlock, *datasets: VideoDataset) -> None:
    """Let a network take the features of datasets in place of frames, if they are its own; others are left alone.

    The first dataset is the one to train on.

    Raises
    ------
    UserError
        they are of another network, other weights or views, or of a stage behind one that the network reads
    """
    for dataset in datasets:
        if isinstance(dataset, FeatureDataset):
            net.input_spec = _checked(net, dataset)
    _check_frames_of_a_view(datasets[0], net.input_spec)


def _checked(net: HybridBlock, dataset: FeatureDataset) -> FeatureSpec:
    made, folder = dataset.manifest.settings, dataset.root
    stage, spec = made.stage, net.input_spec
    views = spec.views if isinstance(spec, FeatureSpec) else spec
    before = spec.stage if isinstance(spec, FeatureSpec) else stage
    if before != stage:
        raise UserError(f'{folder} holds features of stage {stage}, those to train on are of stage {before}')
    if stage > net.first_stage:
        raise UserError(
            f'{folder} holds features of stage {stage}, but {net.name} reads those of stage {net.first_stage}; make '
            f'them with --stage {net.first_stage}'
        )
    own = fingerprint(net.branches.backbone, stage)
    if own.layers != made.layers:
        raise UserError(
            f'{folder} holds features of {made.model}, whose layers up to stage {stage} are not those of {net.name}; '
            'choose a model with that backbone, or make features anew'
        )
    if own.weights != made.weights:
        raise UserError(
            f'{folder} holds features of other weights than {net.name} starts from up to stage {stage}; leave out '
            'model.params and model.pretrained to start from those that made the features'
        )
    if views != made.spec:
        key, wanted = next((k, value) for k, value in vars(views).items() if value != getattr(made.spec, k))
        raise UserError(
            f'{folder} holds features of other views than {net.name} takes: {key} {getattr(made.spec, key)}, '
            f'not {wanted}'
        )
    return FeatureSpec.of(views, stage)


def _check_frames_of_a_view(dataset: VideoDataset, spec: InputSpec) -> None:
    """Refuse to train on views of single frames, which a test protocol of images may have, where views are of more."""
    if spec.ndim == 2 and isinstance(dataset, FeatureDataset):
        frames = stored_protocol(dataset, get_protocol('train_time')).num_segments(spec)
        if frames != spec.segments:
            raise UserError(
                f'{dataset.root} holds features of single frames ({dataset.manifest.settings.views}); training takes '
                f'views of {spec.segments} frames: make them with --views, or with protocol train_time'
            )


def stored_protocol(dataset: VideoDataset, protocol: Protocol) -> Protocol:
    """The views that a dataset's features are of; for videos the protocol asked for."""
    if not isinstance(dataset, FeatureDataset):
        return protocol
    views = dataset.manifest.settings.views
    if 'protocol' in views:
        return get_protocol(views['protocol'])
    return Protocol(f'{views["random"]} random views', 'as in training', 1)


def frames_taken(net: HybridBlock) -> int:
    """Frames of what a network on clips is called with: of a clip, or of the features of a stage."""
    spec = net.input_spec
    return net.branches.backbone.frames_at(spec.stage, spec.frames) if isinstance(spec, FeatureSpec) else spec.frames


def describe_features(dataset: VideoDataset) -> str:
    """A line that says what a run is trained on in place of videos; '' for videos."""
    if not isinstance(dataset, FeatureDataset):
        return ''
    made = dataset.manifest.settings
    views = ', '.join(f'{key} {value}' for key, value in made.views.items())
    return (
        f'features: stage {made.stage} of {made.model} ({dataset.manifest.source}), views: {views}, {made.dtype}; '
        f'layers up to there are kept and not run\n'
    )
