"""The videos of a report, where they are at hand: frames, maps of what speaks for a class, and links to the files.

Maps are Grad-CAM's (`analysis.grad_cam`), for the predicted class over its rival, and for the rival over it: what both
have in common cancels out, and what is left is where the network saw the difference. The rival is the true class of a
wrong video, else the second likeliest one.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from ...analysis.grad_cam import Evidence, GradCam
from ...data.features import FeatureReader
from ...data.video import VideoReader
from ...errors import UserError, VideoError, printable
from ...evaluation.score import Scores, video_ids
from ..figures import fit, gray, tint
from ..pages import picture, verdict
from .content import Content

logger = logging.getLogger(__name__)

FRAMES = 3  # of each video: near its beginning, in its middle, near its end
SIDE, LARGE = 160, 240  # pixels that a frame, and a frame with a map over it, may be high and wide


class Films:
    """Shows the videos of a content, where they are at hand, and asks its network where it looked.

    Parameters
    ----------
    content
        of the report
    ask
        whether the network is asked
    """

    def __init__(self, content: Content, ask: bool = True):
        self.page, self.videos, self.refused = content.page, content.videos, ''
        self.records: Dict[str, int] = {}
        self.cam: Optional[GradCam] = None
        if self.videos is None:
            return
        self.records = {name: index for index, name in enumerate(video_ids(self.videos))}
        if ask and content.net is not None:
            try:
                ctx = next(iter(content.net.collect_params().values())).list_ctx()[0]
                self.cam = GradCam(content.net, ctx=ctx)
            except UserError as error:  # a network that needs true labels
                self.refused = f' No maps: {error}.'

    def pictures(self, scores: Scores, place: int) -> Markup:
        """Frames of a video, and maps of what speaks for its prediction and for its rival; or why there are none."""
        if self.videos is None:
            return Markup('')
        name, shown = scores.ids[place], Markup('')
        if name not in self.records:
            return _reason(f'it is not among the videos of {self.videos.name}')
        try:
            with self.videos.open(self.records[name]) as reader:
                if isinstance(reader, FeatureReader):
                    return _reason('there are features of it, no frames')
                shown = _frames(reader)
                if self.cam is not None:
                    shown += _maps(self.cam, reader, scores, place)
        except VideoError as error:  # gone or broken since it was scored
            logger.warning('no pictures: %s', error)
            shown += _reason(error.reason)
        except UserError as error:  # what it computes is not finite
            logger.warning('no maps of %s: %s', name, error)
            shown += _reason(str(error))
        return shown

    def link(self, name: str) -> Markup:
        """The name of a video; a link to its file, where that is at hand."""
        if self.videos is None or name not in self.records:
            return Markup('<span class="path">{}</span>').format(printable(name))
        index = self.records[name]
        record = self.videos.records[index]
        return Markup('<a class="path" href="{}">{}</a>').format(
            address(self.videos.path(index), self.page, record.start, record.end), printable(name)
        )


def address(path: str, page: Path, start: Optional[float] = None, end: Optional[float] = None) -> str:
    """Give the address of a file as seen from a page, with its stretch in seconds (W3C Media Fragments, sec. 4.2.1)."""
    below = os.path.relpath(os.path.abspath(path), os.path.dirname(os.path.abspath(page)))
    times = '' if start is None and end is None else f'#t={start or 0:g}' + ('' if end is None else f',{end:g}')
    return quote(os.fsencode(below)) + times


def _reason(text: str) -> Markup:
    return Markup('<p>{}</p>').format(verdict(f'no picture: {printable(text)}', 'warn'))


def _frames(reader: VideoReader) -> Markup:
    places = np.unique(np.linspace(0, len(reader) - 1, FRAMES + 2).round().astype(int)[1:-1])
    shown = [
        picture(fit(frame, SIDE, SIDE)[0], f'frame {n} of {len(reader)}, at {n / reader.fps:.1f} s')
        for n, frame in zip(places, reader.get_batch(places))
    ]
    return Markup('<div class="frames">{}</div>').format(Markup('').join(shown))


def rivals(scores: Scores, place: int) -> Tuple[int, Optional[int]]:
    """Give the predicted class, and the true one or, where that is the same or unknown, the second likeliest."""
    order, label = np.argsort(-scores.branch()[place], kind='stable'), int(scores.labels[place])
    if scores.targets is None and label >= 0 and label != order[0]:
        return int(order[0]), label
    return int(order[0]), int(order[1]) if len(order) > 1 else None


def _maps(cam: GradCam, reader: VideoReader, scores: Scores, place: int) -> Markup:
    """What speaks for the predicted class over its rival, and for the rival over it."""
    said, rival = rivals(scores, place)
    each = cam.answers(reader, [(said, rival)] + ([] if rival is None else [(rival, said)]))
    limits = 0.0, max(evidence.maps.limits[1] for evidence in each)
    shown = [_map(reader, evidence, limits, cam.names) for evidence in each]
    return Markup('<div class="pair">{}</div>').format(Markup('').join(shown))


def _map(reader: VideoReader, evidence: Evidence, limits: Tuple[float, float], names: Sequence[str]) -> Markup:
    """The frame where there is most evidence, with its map over it, and for what."""
    series = evidence.maps
    strongest = int(series.maps.reshape(len(series.maps), -1).max(axis=1).argmax())
    frame = fit(reader.get_batch([int(series.frames[strongest])])[0], LARGE, LARGE)[0]
    title = names[evidence.target]
    over = '' if evidence.against is None else f' over {names[evidence.against]}'
    drawn = picture(tint(gray(frame), series.heat(strongest), limits), f'where the evidence for {title}{over} lies')
    caption = f'for {title}' if series.limits[1] > 0 else f'nothing for {title}'
    return Markup('<figure>{}<figcaption>{}</figcaption></figure>').format(drawn, caption)
