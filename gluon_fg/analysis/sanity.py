"""Whether a map depends on what a network has learned: Adebayo et al., NeurIPS 2018, arXiv:1810.03292, sec. 3.1.

The network's weights are made random block by block, from the classifier down to the stem, each time with those before
("cascading"), and the map of the same class is made again. A map that looks at what was learned changes; one that
stays shows the picture, or the shape of the network, and explains nothing. How alike the maps are is measured as in the
paper, by Spearman's rank correlation and by SSIM (Wang et al. 2004).

Beside Grad-CAM stands what it has to be told from: the mean of the layer's features over channels, which knows of no
class, so that random weights behind the layer leave it as it is.

Our choices: a weight's random values are its own in another order, so that the network's scale stays that of a trained
one, and a batch norm's scale, shift and statistics stay with each other; maps of all moments of the clip are compared
at once, by SSIM as they lie over the frames, from 0 to 1. Weights are drawn several times.
"""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from ..data.video import VideoReader
from .activation import MapSeries, limits_of
from .grad_cam import Evidence, GradCam
from .layer_maps import features_of, maps_of

LEARNED = 0.5  # a rank correlation above this, with everything random, means that the map has not changed
_STAGE = re.compile(r'\b(stem|res[2-5])\b')
_NORM = ('gamma', 'beta', 'running_mean', 'running_var')


class Step(NamedTuple):
    """What is left of a map once some blocks are random.

    Parameters
    ----------
    block
        the block that is random from this step on, beside those of the steps before
    ranks, likeness
        (draws,) Spearman's correlation and SSIM with the map of the trained network
    feature_ranks
        (draws,) the correlation of the features' mean over channels, which knows of no class
    probability
        what the network gives the class, mean over draws
    maps
        the map of the first draw, with colors of its own
    """

    block: str
    ranks: np.ndarray
    likeness: np.ndarray
    feature_ranks: np.ndarray
    probability: float
    maps: MapSeries


class Sanity(NamedTuple):
    """The check of one map: the trained network's `evidence`, and what becomes of it in each step."""

    evidence: Evidence
    steps: List[Step]

    @property
    def learned(self) -> bool:
        """Whether the map depends on the weights: with all of them random it is another one."""
        return bool(abs(self.steps[-1].ranks.mean()) < LEARNED)

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        rank = f'{self.steps[-1].ranks.mean():.2f}'
        if self.learned:
            return f'With random weights the map is another one (rank correlation {rank}): it shows what was learned.'
        return f'With random weights the map stays much the same (rank correlation {rank}): it explains nothing.'


def sanity(
    cam: GradCam,
    reader: VideoReader,
    target: Optional[int] = None,
    against: Optional[int] = None,
    start: Optional[int] = None,
    draws: int = 3,
) -> Sanity:
    """Compare the map of a clip with those of the network with random weights.

    Parameters
    ----------
    cam
        the network and layer
    reader, target, against, start
        as for `grad_cam`
    draws
        how often weights are drawn
    """
    evidence = cam(reader, target, against, start)
    clips = cam.clips(reader, start)
    trained, features = _maps(cam, reader, clips, evidence, {})[:2]
    blocks, changed = blocks_of(cam.net), []
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        weights: Dict[str, mx.nd.NDArray] = {}
        for names in blocks.values():
            weights.update(shuffled(cam.net, names, rng))
            changed.append(_maps(cam, reader, clips, evidence, weights))
    steps = []
    for place, block in enumerate(blocks):
        of_draws = changed[place :: len(blocks)]
        maps = of_draws[0][0]
        steps.append(
            Step(
                block,
                np.array([rank_correlation(trained, other) for other, _, _ in of_draws]),
                np.array([_likeness(evidence.maps, trained, other) for other, _, _ in of_draws]),
                np.array([rank_correlation(features, other) for _, other, _ in of_draws]),
                float(np.mean([share for _, _, share in of_draws])),
                evidence.maps._replace(maps=maps, limits=limits_of(maps)),
            )
        )
    return Sanity(evidence, steps)


def _maps(
    cam: GradCam, reader: VideoReader, clips: List[np.ndarray], evidence: Evidence, weights: Dict[str, mx.nd.NDArray]
) -> Tuple[np.ndarray, np.ndarray, float]:
    """Of one clip the map, the features' mean over channels, each (T, H, W), and the class's probability."""
    ((_, _, passed),) = cam.passes(reader, clips, weights)
    signed = maps_of(passed, evidence.target, len(cam.names)).sum(axis=1)
    if evidence.against is not None:
        signed = signed - maps_of(passed, evidence.against, len(cam.names)).sum(axis=1)
    share = cam.probabilities(passed)[0][evidence.target]
    return np.maximum(signed, 0), features_of(passed), float(share)


# Random weights


def blocks_of(net: HybridBlock) -> Dict[str, List[str]]:
    """Blocks of a network and the full names of their parameters, the last one first: head, then stages 5 to 2, stem.

    Of a network that is no recognizer they are its children.
    """
    blocks: Dict[str, List[str]] = {}
    recognizer = hasattr(net, 'branches')
    for path, parameter in net._collect_params_with_prefix().items():
        stage = _STAGE.search(path) if path.startswith('branches.backbone.') else None
        name = path.partition('.')[0] if not recognizer else stage[1] if stage else 'head'
        blocks.setdefault(name, []).append(parameter.name)
    order = sorted(blocks, key=_ORDER.index) if recognizer else list(blocks)
    return {name: blocks[name] for name in reversed(order)}


_ORDER = ('stem', 'res2', 'res3', 'res4', 'res5', 'head')


def shuffled(net: HybridBlock, names: List[str], rng: np.random.Generator) -> Dict[str, mx.nd.NDArray]:
    """Parameters of a network by their full names, each with its own values in another order.

    Those of one batch norm are put into the same order.
    """
    parameters, orders = net.collect_params(), {}
    drawn = {}
    for name in names:
        values = parameters[name].data(parameters[name].list_ctx()[0])
        layer, kind = next(((name[: -len(end) - 1], 'norm') for end in _NORM if name.endswith(end)), (name, ''))
        if layer not in orders or not kind:
            orders[layer] = rng.permutation(values.size)
        mixed = values.asnumpy().ravel()[orders[layer]].reshape(values.shape)
        drawn[name] = mx.nd.array(mixed, ctx=values.context, dtype=values.dtype)
    return drawn


# How alike two maps are


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's correlation of two arrays; 0 where one of them is the same everywhere."""
    if a.min() == a.max() or b.min() == b.max():
        return 0.0
    return float(spearmanr(a.ravel(), b.ravel())[0])


def structural_similarity(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of two pictures (H, W) with values from 0 to 1, by a Gaussian window of 1.5 pixels (Wang et al. 2004)."""
    c1, c2 = 0.01**2, 0.03**2

    def local(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values.astype(np.float64), 1.5, truncate=3.5)

    mean_a, mean_b = local(a), local(b)
    variance_a, variance_b = local(a * a) - mean_a**2, local(b * b) - mean_b**2
    covariance = local(a * b) - mean_a * mean_b
    ratio = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float((ratio / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))).mean())


def _likeness(series: MapSeries, trained: np.ndarray, other: np.ndarray) -> float:
    """Mean SSIM of two series of maps as they lie over the frames, each from 0 to 1 over all its moments."""
    return float(
        np.mean([structural_similarity(*pair) for pair in zip(_spread(series, trained), _spread(series, other))])
    )


def _spread(series: MapSeries, maps: np.ndarray) -> Iterator[np.ndarray]:
    low, high = limits_of(maps)
    for moment in maps:
        heat: np.ndarray = series.placement.heat((moment - low) / (high - low if high > low else 1))
        yield heat.astype(np.float64)
