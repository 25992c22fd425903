"""Where the optical flow of a video comes from: a folder of flow, beside its frames, or computed on the way."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import List, Optional, Set, Tuple

from ...errors import UserError, VideoError
from ...input_spec import InputSpec
from ..decoding import VideoReader
from ..transforms import short_side_size
from .computed import ComputedFlow, PartFlow
from .fields import FlowSettings
from .listing import read_listing
from .place import FlowPlace
from .stored import READERS, FlowReader, PairReader, open_flow

logger = logging.getLogger(__name__)

COMPUTE = 'dis'  # the source that is no folder: DIS, computed on the way
SHORT_SIDE = 256  # of larger frames that flow is computed of on the way, as gluon-fg data flow has it unless told
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
    if place.keep is not None:
        return place.keep(spec)
    flow, source = _open(film, place)
    if flow is None:
        return _computed(film, spec, asked=place.source is not None)
    try:
        _check_settings(flow.settings, spec, source)
        _check_film(flow, film)
    except (UserError, VideoError):
        flow.close()
        raise
    return flow


def part_flow(part: VideoReader, spec: InputSpec) -> PartFlow:
    """Open the fields of a stretch of a film as a flow of its own; closes the stretch with it, or where that fails."""
    try:
        return PartFlow(open_fields(part.film, spec), part)
    except BaseException:
        part.close()
        raise


def settings_of(film: VideoReader) -> FlowSettings:
    """How the flow of a film was made, or would be on the way: what a network that is trained on it has to remember."""
    flow, _ = _open(film, film.flow or FlowPlace())
    if flow is None:
        return FlowSettings(COMPUTE)
    with flow:
        return flow.settings


def _open(film: VideoReader, place: FlowPlace) -> Tuple[Optional[FlowReader], str]:
    """The stored flow of a film, and the folder that it is in; None where it is to be computed."""
    if place.source == COMPUTE:
        return None, COMPUTE
    path = Path(os.path.abspath(film.path))
    if place.source is not None:
        return open_flow(place.source, path), place.source
    if path.is_dir() and PairReader.there(path.parent, path.name):
        return PairReader(path.parent, path.name), str(path)
    for folder in _usual(place.root):
        if _lists(folder, path):
            return open_flow(folder, path), str(folder)
    return None, COMPUTE


def _usual(root: str) -> List[Path]:
    """Folders in which the flow of a dataset may lie without being named."""
    if not root:
        return []
    return [Path(root), Path(root, _BESIDE), Path(os.path.abspath(root)).parent / _BESIDE]


def _lists(folder: Path, path: Path) -> bool:
    """Whether a folder has flow of a video."""
    if not folder.is_dir():
        return False
    listing = read_listing(folder)
    if listing is not None:
        return listing.find(str(path)) is not None
    name = os.path.splitext(os.path.relpath(path, folder))[0]
    return not name.startswith(os.pardir) and any(reader.there(folder, name) for reader in READERS.values())


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
    return ComputedFlow(film, FlowSettings(COMPUTE, spec.flow_bound, SHORT_SIDE))


def tell(line: str) -> None:
    """Log a line once in the life of the process, however many videos it is true of."""
    if line not in _told:
        _told.add(line)
        logger.warning('%s', line)


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
