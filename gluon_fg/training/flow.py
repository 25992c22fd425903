"""What a run has to know of the optical flow that it is trained on."""

from __future__ import annotations

from typing import List

from .. import factory
from ..data.datasets import VideoDataset
from ..data.features import FeatureDataset
from ..data.flow.sources import open_fields, settings_of
from ..errors import UserError, VideoError
from ..input_spec import InputSpec
from .sections import Config

FLOW_KEYS = {'flow_algorithm': 'flow', 'flow_bound': 'flow_bound'}  # keys of a config -> fields of the input
_LOOKED_AT = 3  # videos


def know_flow(config: Config, dataset: VideoDataset) -> None:
    """Fill in how the flow was made where the config leaves it open, which its folder says: weights remember it.

    Raises
    ------
    UserError
        keys about flow for a network that sees none; not one of the first videos has flow
    """
    data = config.data
    if not factory.setting(config.model.name).input_spec.fields:
        for key in ('flow', *FLOW_KEYS, 'center_flow'):
            if getattr(data, key):
                raise UserError(f'data.{key} is for networks that see optical flow; {config.model.name} sees none')
        return
    if isinstance(dataset, FeatureDataset):
        made = dataset.manifest.settings.spec
        data.flow_algorithm, data.flow_bound = made.flow, made.flow_bound  # whatever the config says: they are made
        return
    errors: List[VideoError] = []
    for index in range(min(_LOOKED_AT, len(dataset))):
        try:
            with dataset.from_disk(index) as reader:
                settings = settings_of(reader.film)
        except VideoError as error:
            errors.append(error)
            continue
        data.flow_algorithm = data.flow_algorithm or settings.algorithm
        if data.flow_bound is None and settings.algorithm is not None:
            data.flow_bound = settings.bound
        return
    raise UserError(f'{dataset.name}: none of the first {len(errors)} videos has optical flow; {errors[0]}')


def check_flow(dataset: VideoDataset, spec: InputSpec) -> None:
    """Open the flow of the first videos, so that what is wrong is said before hours are spent.

    Raises
    ------
    UserError
        all of them fail, or their flow is made otherwise than what the network was trained on
    """
    if not spec.fields or isinstance(dataset, FeatureDataset):
        return
    errors: List[VideoError] = []
    for index in range(min(_LOOKED_AT, len(dataset))):
        try:
            with dataset.from_disk(index) as reader, open_fields(reader.film, spec) as flow:
                flow.get_batch([0])
            return
        except VideoError as error:
            errors.append(error)
    raise UserError(f'{dataset.name}: the first {len(errors)} videos have no optical flow to be read; {errors[0]}')
