"""Where a discriminative filter fires: frame and box of its maximal response over a whole video (DFB sec. 5.3).

The network slides over the video clip by clip on whole frames (fully convolutional), so every place and moment that it
can see is compared. What the paper leaves open, and our choice: clips overlap by half and every moment counts in the
clip where it lies farthest from an end, because the zero padding in time answers at the ends of clips; and the box is a
few cells wide rather than the theoretical receptive field (`Placement.box`).
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..data.video import ArrayReader, VideoReader, open_video
from ..errors import UserError, unknown
from ..evaluation.frames import frames_of
from ..evaluation.score import class_names
from .clips import placement
from .placement import Box, Placement, check_box
from .scan import Maxima, Part, require_filters, scan
from .tubes import Tube, follow

Video = Any  # a file (or folder of frames), an open reader, or frames as `gluon_fg.predict` takes them


class Peak(NamedTuple):
    """A filter's maximal response over one video.

    Parameters
    ----------
    filter, label, class_name
        channel of the responses, 0..M*K-1; the class it belongs to
    rank
        1 for the strongest of its class's filters on this video
    value
        the response (unbounded)
    frame, seconds
        number of the video's frame nearest to the cell's center, and its time
    frames
        first and last frame nearer to this cell than to the next one in time
    point, box
        (x, y) of the cell's center and (x0, y0, x1, y1) around it, in the original video's pixels
    clip
        first frame of the clip in which it lies
    cell
        (t', y', x') in that clip's response volume
    """

    filter: int
    label: int
    class_name: str
    rank: int
    value: float
    frame: int
    seconds: float
    frames: Tuple[int, int]
    point: Tuple[float, float]
    box: Box
    clip: int
    cell: Tuple[int, int, int]


class ResponseVolume(NamedTuple):
    """One filter's responses over a whole video.

    Parameters
    ----------
    filter
        channel of the responses
    frames
        (S,) the video's frames on which the maps are centered, increasing
    maps
        (S, H', W') float32 responses; where two cells (of a short video's repeated frame) meet, the larger one
    """

    filter: int
    frames: np.ndarray
    maps: np.ndarray
    placement: Placement

    def heat(self, frame: int) -> np.ndarray:
        """(H, W) float32: the map nearest in time to a frame, spread over the original frame's pixels."""
        nearest = int(np.abs(self.frames - frame).argmin())
        return self.placement.heat(self.maps[nearest])

    @property
    def limits(self) -> Tuple[float, float]:
        """Lowest and highest response of the whole video: one color scale for all its frames."""
        return float(self.maps.min()), float(self.maps.max())


class Localization(NamedTuple):
    """Where filters fire in one video: `peaks` by class as asked, strongest first, and their filters' `volumes`.

    `tubes` holds, by filter, its peak followed over time.
    """

    path: str
    length: int
    fps: float
    size: Tuple[int, int]  # (W, H)
    peaks: List[Peak]
    volumes: Dict[int, ResponseVolume]
    tubes: Dict[int, Tube]


def localize(
    net: HybridBlock,
    video: Video,
    filters: Optional[Sequence[int]] = None,
    classes: Optional[Sequence] = None,
    top: Optional[int] = None,
    **options: Any,
) -> List[Peak]:
    """Peaks of filters over a whole video, by class as asked, the strongest first: `examine` without the volumes."""
    return examine(net, video, filters, classes, top, volumes=False, **options).peaks


def response_volume(net: HybridBlock, video: Video, filter: int, **options: Any) -> ResponseVolume:
    """Responses of one filter over a whole video, for heat maps (see `examine`)."""
    return examine(net, video, [filter], **options).volumes[filter]


def examine(
    net: HybridBlock,
    video: Video,
    filters: Optional[Sequence[int]] = None,
    classes: Optional[Sequence] = None,
    top: Optional[int] = None,
    box: str = 'cell',
    cells: float = 2.0,
    volumes: bool = True,
    overlap: bool = True,
    ctx: Optional[mx.Context] = None,
    batch_size: int = 4,
) -> Localization:
    """Run class filters over a whole video and find where each filter's response is highest.

    3-D networks see clips of `input_spec.frames` frames, `frame_stride` apart, the last one ending with the video; a
    video shorter than a clip repeats its last frame. 2-D networks see every frame on its own. Frames are scaled to
    `input_spec.short_side` and not cropped.

    Parameters
    ----------
    net
        a recognizer with class filters, its parameters loaded
    video
        a file (or folder of frames), frames as `gluon_fg.predict` takes them, or an open reader
    filters, classes
        numbers of filters, 0..M*K-1; or names or labels, for all filters of these classes; neither: all filters
    top
        only so many of each class, those with the highest peaks
    box, cells
        see `Placement.box`
    volumes
        whether to keep the response volumes of the peaks' filters, and to follow the peaks through them
    overlap
        False: clips follow each other without overlap, in half the time; peaks gather at their ends then
    ctx, batch_size
        where the network lies (default: CPU); clips (frames, for 2-D networks) in a forward pass

    Raises
    ------
    UserError
        a network without class filters; unknown class, filter or kind of box; responses that are not finite; a video
        that cannot be decoded (VideoError)
    """
    require_filters(net)
    wanted = wanted_filters(net, filters, classes)
    if top is not None and top < 1:
        raise UserError(f'top must be at least 1, got {top}')
    check_box(box, cells)
    with reader_of(video) as reader:
        best, slices = _maxima(scan(net, reader, ctx, batch_size, overlap), reader.size, wanted if volumes else None)
        place = placement(net, net.response_geometry, reader.size)
        peaks = _strongest([_peak(net, best, number, place, reader.fps, box, cells) for number in wanted], top)
        kept = {peak.filter: _volume(slices, wanted, peak.filter, place) for peak in peaks} if volumes else {}
        tubes = {peak.filter: _tube(peak, kept[peak.filter], box, cells) for peak in peaks} if volumes else {}
        return Localization(str(reader.path), len(reader), reader.fps, reader.size, peaks, kept, tubes)


def _maxima(parts: Iterator[Part], size: Tuple[int, int], wanted: Optional[List[int]]) -> Tuple[Maxima, List[Part]]:
    """The maxima of all filters, and the responses of the wanted ones."""
    best, slices = Maxima(size), []
    for part in parts:
        best.update(part)
        if wanted is not None:
            slices.append(part._replace(responses=part.responses[:, wanted].copy()))
    return best, slices


def _peak(net: HybridBlock, best: Maxima, number: int, place: Placement, fps: float, box: str, cells: float) -> Peak:
    """The peak of a filter: see `Peak`."""
    label, cell, clip = number // net.filters_per_class, best.cell[number], best.clip[number]
    first, last = clip[list(place.span(cell[0]))]
    frame = int(clip[place.frame(cell[0])])
    return Peak(
        filter=number,
        label=label,
        class_name=class_names(net)[label],
        rank=_rank(best.value, number, net.filters_per_class),
        value=float(best.value[number]),
        frame=frame,
        seconds=frame / fps,
        frames=(int(first), int(last)),
        point=place.point(cell[1:]),
        box=place.box(cell[1:], box, cells),
        clip=int(clip[0]),
        cell=cell,
    )


def _rank(values: np.ndarray, number: int, per_class: int) -> int:
    """Place of a filter among those of its class, 1 for the highest value; of equal ones the lower number first."""
    start = number - number % per_class
    order = np.argsort(-values[start : start + per_class], kind='stable')
    return 1 + int(np.flatnonzero(order == number - start)[0])


def _strongest(peaks: Sequence[Peak], top: Optional[int]) -> List[Peak]:
    """Peaks by class in the order asked for, the strongest first; of each class at most `top`."""
    labels = list(dict.fromkeys(peak.label for peak in peaks))
    by_class = [sorted((p for p in peaks if p.label == label), key=lambda p: p.rank) for label in labels]
    return [peak for of_class in by_class for peak in of_class[:top]]


def _volume(slices: Sequence[Part], wanted: List[int], number: int, placement: Placement) -> ResponseVolume:
    """One filter's maps of all clips, one for each frame on which cells are centered."""
    column = wanted.index(number)
    maps: Dict[int, np.ndarray] = {}
    for part in slices:
        for clip, counts, responses in zip(*part):
            for t in np.flatnonzero(counts):
                cells = responses[column, t]
                frame = int(clip[placement.frame(t)])
                maps[frame] = np.maximum(maps[frame], cells) if frame in maps else cells
    frames = sorted(maps)
    return ResponseVolume(number, np.array(frames), np.stack([maps[frame] for frame in frames]), placement)


def _tube(peak: Peak, volume: ResponseVolume, box: str, cells: float) -> Tube:
    """A filter's peak followed through its responses."""
    moment = int(np.flatnonzero(volume.frames == peak.frame)[0])
    return follow(volume.frames, volume.maps, volume.placement, (moment, *peak.cell[1:]), box, cells)


def wanted_filters(net: HybridBlock, filters: Optional[Sequence[int]], classes: Optional[Sequence]) -> List[int]:
    """Numbers of the filters asked for as in `examine`, each once, in that order; UserError for an unknown one."""
    per_class = net.filters_per_class
    count = net.nclass * per_class
    wanted: List[int] = []
    for number in filters if filters is not None else ():
        if not 0 <= int(number) < count:
            raise UserError(
                f'filter {number} does not exist; {net.name} has the filters 0 to {count - 1} '
                f'({per_class} for each of {net.nclass} classes)'
            )
        wanted.append(int(number))
    for name in classes if classes is not None else ():
        label = class_label(net, name)
        wanted += range(label * per_class, (label + 1) * per_class)
    if filters is None and classes is None:
        wanted = list(range(count))
    if not len(wanted):
        raise UserError('no filter asked for; leave out filters and classes to get all')
    return list(dict.fromkeys(wanted))


def class_label(net: HybridBlock, name: Union[str, int]) -> int:
    """Label of a class given by name (any case) or number; UserError with the nearest name for an unknown one."""
    names = class_names(net)
    if isinstance(name, (int, np.integer)):
        if not 0 <= name < len(names):
            raise UserError(f'class number {name} does not exist; choose 0 to {len(names) - 1}')
        return int(name)
    if name in names:
        return names.index(name)
    same = [i for i, other in enumerate(names) if other.lower() == str(name).lower()]
    if len(same) == 1:
        return same[0]
    raise unknown('class', name, names)


@contextlib.contextmanager
def reader_of(video: Video) -> Iterator[VideoReader]:
    """An open reader: the one given (left open), or that of the file or the frames."""
    if isinstance(video, (str, os.PathLike)):
        with open_video(os.fspath(video)) as reader:
            yield reader
    elif isinstance(video, VideoReader):
        yield video
    else:
        yield ArrayReader('frames', frames_of(video))
