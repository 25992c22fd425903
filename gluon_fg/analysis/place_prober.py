"""One video's places covered, and the network's answers to that: what `place_probes` does with each video."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..data.rates import at_rate
from ..data.video import VideoReader
from ..deploy.predictor import Computation, forward_of
from ..errors import UserError, unknown
from .clips import one_clip, read_clips, require_recognizer
from .covers import COVERS, Places, blurred, mean_color, places_of, step_of, true_places
from .evidence import BASELINES, evidence, sources_of
from .grad_cam import GradCam

FILLS, TARGETS = ('mean', 'blur'), ('predicted', 'true')
TRUTH = 'truth'  # the source that knows where the detail is

Answer = Callable[[Iterable[np.ndarray]], Tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class ProbeOptions:
    """How places are probed.

    Parameters
    ----------
    sources
        of evidence, of `sources_of`; () for all. The baselines always take part
    target
        'predicted': the class that the network predicts for the clip; 'true': the video's own
    fill
        what covered places show: 'mean', the clip's mean color, or 'blur', a blurred copy. Insertion starts from the
        blurred clip in either case, as in the paper
    steps
        parts into which pixels are divided for the curves
    size
        side of a square as a share of the frame's short side, and how much of the clip that of the strongest moment
        lasts

    Raises
    ------
    UserError
        an unknown target or fill, fewer than 2 steps, a size that is no share
    """

    sources: Tuple[str, ...] = ()
    target: str = 'predicted'
    fill: str = 'mean'
    steps: int = 10
    size: float = 0.25

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise unknown('target', self.target, TARGETS)
        if self.fill not in FILLS:
            raise unknown('fill', self.fill, FILLS)
        if self.steps < 2:
            raise UserError(f'steps must be at least 2, got {self.steps}')
        if not 0 < self.size < 1:
            raise UserError(f'the size of a cover is a share of the frame between 0 and 1, got {self.size}')

    def sources_for(self, net: HybridBlock) -> Tuple[str, ...]:
        """The sources to probe, the baselines last; raises UserError for one that the network does not have."""
        require_recognizer(net)
        known = sources_of(net)
        if net.takes_labels:
            raise UserError(f'{net.name} takes true labels, so that its answer is not its own; choose another network')
        for source in self.sources:
            if source not in known:
                raise unknown(f'source of evidence of {net.name}', source, known)
        return tuple(s for s in known if s in BASELINES or not self.sources or s in self.sources)

    def passes(self, sources: int) -> int:
        """How many clips the network sees for each video, with so many sources."""
        return 3 + sources * (2 * (self.steps - 1) + len(COVERS) + 1)


class Probe(NamedTuple):
    """What one source's places do, video by video.

    Parameters
    ----------
    deletion, insertion
        (N, steps + 1) probabilities of the class, from nothing covered (or shown) to everything
    covers
        (N, 3, 2) probability and logit of the class behind each of `COVERS`
    covered
        (N, 3) share of the clip's pixels that each hides
    """

    deletion: np.ndarray
    insertion: np.ndarray
    covers: np.ndarray
    covered: np.ndarray


class Row(NamedTuple):
    """One video: the class that is probed, (2,) its probability and logit, and a `Probe` without N for each source."""

    target: int
    whole: np.ndarray
    places: Dict[str, Probe]


class Prober:
    """Probes one video after the other, with what it needs for all of them.

    Parameters
    ----------
    net, options, execution, batch_size, ctx
        as for `place_probes`
    """

    def __init__(
        self,
        net: HybridBlock,
        options: ProbeOptions,
        execution: Optional[Computation],
        batch_size: int,
        ctx: Optional[mx.Context],
    ):
        self.net, self.options, self.ctx = net, options, ctx
        self.sources = options.sources_for(net)
        self.answer = answers_of(net, execution, batch_size, ctx)
        self.grad_cam = GradCam(net, ctx=ctx) if 'grad-cam' in self.sources else None

    def __call__(self, reader: VideoReader, label: Optional[int], boxes: Sequence, seed: int) -> Row:
        """Probe a class of a video, or the predicted one; `boxes` of its true detail, a seed for what is random."""
        clip, x = clip_of(self.net, reader)
        blur = blurred(x)
        cover = blur if self.options.fill == 'blur' else mean_color(x)
        probabilities, logits = self.answer([x, np.broadcast_to(cover, x.shape), blur])
        target = int(probabilities[0].argmax()) if label is None else label
        every = self._places(reader, clip, x.shape[1:], target, boxes, seed)
        steps = self.options.steps
        clips = (shown for places in every.values() for shown in variants(x, cover, blur, places, steps))
        pairs = [
            np.stack([p[:, target], z[:, target]], axis=1) for p, z in ((probabilities, logits), self.answer(clips))
        ]
        (whole, hidden, start), read = pairs
        curves = read.reshape(len(every), -1, 2)
        probes = {}
        for (source, places), answers in zip(every.items(), curves):
            deletion, insertion, covers = np.split(answers, [steps - 1, 2 * (steps - 1)])
            probes[source] = Probe(
                np.array([whole[0], *deletion[:, 0], hidden[0]]),
                np.array([start[0], *insertion[:, 0], whole[0]]),
                covers,
                places.hidden.mean(axis=(1, 2, 3)),
            )
        return Row(target, whole, probes)

    def _places(
        self,
        reader: VideoReader,
        clip: np.ndarray,
        shape: Tuple[int, ...],
        target: int,
        boxes: Sequence,
        seed: int,
    ) -> Dict[str, Places]:
        """The places of the truth, where a box of it is seen, and of every source; of clips (T, H, W)."""
        span, side = (max(round(self.options.size * whole), 1) for whole in (shape[0], min(shape[1:])))
        every = {}
        if boxes:
            size = (reader.size[1], reader.size[0])
            known = true_places(boxes, clip, (shape[1], shape[2]), size, side, span)
            every = {} if known is None else {TRUTH: known}
        for source in self.sources:
            if source == 'grad-cam' and self.grad_cam is not None:  # whose graph is made once
                shown = self.grad_cam(reader, target)
            else:
                shown = evidence(self.net, reader, target, source, seed=seed, ctx=self.ctx)
            every[source] = places_of(shown.maps, clip, side, span)
        return every


def variants(x: np.ndarray, cover: np.ndarray, blur: np.ndarray, places: Places, steps: int) -> Iterator[np.ndarray]:
    """The clips that are shown for a source: steps of deletion, steps of insertion, and covers."""
    turn = step_of(places.importance, steps)
    for step in range(1, steps):
        yield np.where(turn < step, cover, x)
    for step in range(1, steps):
        yield np.where(turn < step, x, blur)
    for hidden in places.hidden:
        yield np.where(hidden, cover, x)


def clip_of(net: HybridBlock, reader: VideoReader) -> Tuple[np.ndarray, np.ndarray]:
    """The middle clip: (T,) numbers of its frames in the video, and (C, T, H, W) as the network sees it."""
    spec = net.input_spec
    shown = at_rate(reader, spec.fps)
    sources = shown.source_frames(np.arange(len(shown)))
    clip = one_clip(net, reader)
    x = next(read_clips(shown, spec, [np.searchsorted(sources, clip)])).x.asnumpy()
    return clip, x[0] if spec.ndim == 3 else x.swapaxes(0, 1)


def answers_of(
    net: HybridBlock, execution: Optional[Computation], batch_size: int = 8, ctx: Optional[mx.Context] = None
) -> Answer:
    """A function from clips (C, T, H, W) to probabilities and logits (clips, M) of the prediction, float64."""
    if batch_size < 1:
        raise UserError(f'batch_size must be at least 1, got {batch_size}')
    forward = forward_of(net, execution, ctx) if execution else net.branches
    stack = np.stack if net.input_spec.ndim == 3 else lambda clips: np.concatenate([c.swapaxes(0, 1) for c in clips])

    def run(clips: List[np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
        z = forward(mx.nd.array(stack(clips), ctx or mx.cpu()))[0]
        p = net.to_probabilities(z).asnumpy()
        if not np.isfinite(p).all():
            raise UserError(f'{net.name}: its output is not finite; are these the parameters of a run that diverged?')
        return p.astype(np.float64), z.astype('float32').asnumpy().astype(np.float64)

    def answer(clips: Iterable[np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
        coming = iter(clips)
        batches = iter(lambda: list(itertools.islice(coming, batch_size)), [])
        p, z = (np.concatenate(parts) for parts in zip(*map(run, batches)))
        return p, z

    return answer
