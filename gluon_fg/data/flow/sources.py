"""Where the optical flow of a video comes from: a folder of flow, beside its frames, or computed on the way."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Optional, Set

from ...errors import UserError, VideoError
from ...input_spec import InputSpec
from ..decoding import VideoReader
from ..transforms import short_side_size
from .computed import ComputedFlow
from .fields import FlowSettings
from .listing import read_listing
from .place import FlowPlace
from .stored import READERS, FlowReader, PairReader, open_flow

logger = logging.getLogger(__name__)

COMPUTE = 'dis'  # the source that is no folder: DIS, computed on the way
_BESIDE = 'flow'  # folder in a dataset's root
_told: Set[str] = set()  # lines that were said, and are said once


def open_fields(film: VideoReader, spec: InputSpec) -> FlowReader:
    """Open the optical flow of a film for a network: where the film says (`VideoReader.flow`), else wherever it is.

    Raises
    ------
    VideoError
        it is missing or cannot be read, or is not that of this film by its length or shape
    UserError
        no such folder; flow of another algorithm or bound than the network was trained on
    """
    place = film.flow or FlowPlace()
    if place.source is not None and place.source != COMPUTE:
        flow = open_flow(place.source, place.path or os.path.abspath(film.path))
        return _checked(flow, film, spec, place.source)
    stored = _stored(film, place) if place.source is None else None
    if stored is not None:
        return _checked(stored, film, spec, os.path.dirname(stored.path))
    return _computed(film, spec, asked=place.source is not None)


def _stored(film: VideoReader, place: FlowPlace) -> Optional[FlowReader]:
    """The flow that lies where nobody has to say it; None where there is none."""
    if os.path.isdir(film.path):
        folder = Path(os.path.abspath(film.path))
        if PairReader.there(folder.parent, folder.name):
            return PairReader(folder.parent, folder.name)
    if place.root:
        for folder in (Path(place.root), Path(place.root, _BESIDE)):
            if folder.is_dir() and (read_listing(folder) or _holds(folder, place.path)):
                return open_flow(folder, place.path)
    return None


def _holds(folder: Path, path: str) -> bool:
    """Whether a folder of others has fields of a video, called by its path without its suffix."""
    name = os.path.splitext(path)[0]
    return not os.path.isabs(name) and any(reader.there(folder, name) for reader in READERS.values())


def _computed(film: VideoReader, spec: InputSpec, asked: bool) -> FlowReader:
    if spec.flow not in (None, COMPUTE):
        raise UserError(
            f'the network was trained on flow by {spec.flow}, and only {COMPUTE} is computed on the way; run '
            f'gluon-fg data flow with --algorithm {spec.flow}, and give its folder with --flow'
        )
    if not asked:
        tell(
            'optical flow is computed on the way (DIS); to compute it once, run gluon-fg data flow and give its folder '
            'with --flow'
        )
    return ComputedFlow(film, FlowSettings(COMPUTE, spec.flow_bound, spec.short_side))


def tell(line: str) -> None:
    """Log a line once in the life of the process, however many videos it is true of."""
    if line not in _told:
        _told.add(line)
        logger.warning('%s', line)


def _checked(flow: FlowReader, film: VideoReader, spec: InputSpec, source: str) -> FlowReader:
    """The flow, if it is this film's and what the network was trained on; closed where it is not."""
    try:
        _check_settings(flow.settings, spec, source)
        _check_film(flow, film)
    except (UserError, VideoError):
        flow.close()
        raise
    return flow


def _check_settings(settings: FlowSettings, spec: InputSpec, source: str) -> None:
    """Refuse flow that is known to be made otherwise than what the network was trained on."""
    if settings.algorithm is None:
        return
    if spec.flow not in (None, settings.algorithm):
        raise UserError(
            f'{source}: holds flow by {settings.algorithm}, the network was trained on {spec.flow}; give a folder that '
            f'gluon-fg data flow --algorithm {spec.flow} wrote'
        )
    if settings.bound != spec.flow_bound:
        raise UserError(
            f'{source}: holds flow of up to {settings.bound:g} pixels, the network was trained on {spec.flow_bound:g}; '
            f'give a folder that gluon-fg data flow --bound {spec.flow_bound:g} wrote'
        )


def _check_film(flow: FlowReader, film: VideoReader) -> None:
    """Refuse fields that are not one fewer than the film's frames, or of another shape; raises VideoError."""
    if len(flow) != len(film) - 1:
        raise VideoError(
            film.path,
            f'has {len(film)} frames, its flow {flow.path} {len(flow)} fields where {len(film) - 1} are expected; '
            'compute it again with gluon-fg data flow',
        )
    (width, height), (flow_width, flow_height) = film.size, flow.size
    wanted = short_side_size(height, width, min(flow.size))
    if abs(wanted[0] - flow_height) > 1 or abs(wanted[1] - flow_width) > 1:
        raise VideoError(
            film.path,
            f'is {width}x{height}, its flow {flow.path} {flow_width}x{flow_height}, which is another shape; compute it '
            'again with gluon-fg data flow',
        )
