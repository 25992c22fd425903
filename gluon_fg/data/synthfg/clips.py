"""The classes of SynthFG, and a clip or an image of each, rendered from a seed."""

from __future__ import annotations

from typing import List, Sequence, Tuple, Union

import numpy as np

from ...errors import UserError
from . import scene as scenes
from .drawing import render
from .scene import Box

_SPLIT_ID = {'train': 0, 'val': 1, 'test': 2}
_CLASSES = {
    'disc': ('plus', 'cross', 'ring', 'two bars'),
    'diamond': ('plus flashes', 'cross flashes', 'triangle flashes', 'square flashes'),
    'square': ('arm opens', 'arm closes', 'arm opens then closes', 'arm closes then opens'),
    'ellipse': ('lamp top then bottom', 'lamp bottom then top', 'lamp top-bottom-top', 'lamp bottom-top-bottom'),
    'hexagon': ('plus before halo', 'halo before plus', 'cross before halo', 'halo before cross'),
    'house': ('triangle and arm opens', 'triangle and arm closes', 'square and arm opens', 'square and arm closes'),
}
CLASSES = tuple(f'{group}: {name}' for group, names in _CLASSES.items() for name in names)
GROUPS = tuple(group for group, names in _CLASSES.items() for _ in names)  # of each class
KIND = {look.shape: look.kind for look in scenes.LOOKS}  # of each group: 'detail', 'order' or 'both'
# Label -> label of the subset 'synthfg_order', the groups whose classes differ in the order of events (at least, too).
ORDER_LABELS = {label: i for i, label in enumerate(n for n, g in enumerate(GROUPS) if KIND[g] != 'detail')}
# Labels of the classes of 'synthfg_images', in its order.
DETAIL_LABELS = tuple(n for n, g in enumerate(GROUPS) if KIND[g] == 'detail')

Seed = Union[int, Sequence[int]]


def render_clip(
    label: int, seed: Seed, nuisance: bool = True, return_truth: bool = False
) -> Union[np.ndarray, Tuple[np.ndarray, List[Box]]]:
    """Render one clip; the same arguments give the same bytes.

    Two labels of one group with the same seed differ in the discriminative detail only.

    Parameters
    ----------
    label
        0..23, position in `CLASSES`
    seed
        one or several integers, all >= 0; those of the clips on disk are `clip_seed(split, seed, index)`
    nuisance
        False: the same scene without motion, pan, jitter, distractors, gain and noise
    return_truth
        also give the boxes of the detail, in pixels of the 54x54 frame, for each frame where it shows

    Returns
    -------
    uint8 (8, 54, 54, 3) RGB, or (clip, boxes)
    """
    label = _checked_label(label)
    scene = scenes.draw_scene(scenes.LOOKS[label // 4], scenes.generator(seed))
    if not nuisance:
        scene = scenes.still(scene)
    clip, boxes = render(scene, scenes.events(scene, label % 4))
    return (clip, boxes) if return_truth else clip


def render_image(label: int, seed: Seed, return_truth: bool = False) -> Union[np.ndarray, Tuple[np.ndarray, List[Box]]]:
    """Render an image of 'synthfg_images': of a clip, the frame in the middle of those that show the detail.

    Parameters
    ----------
    label
        0..7, position in `DETAIL_LABELS`
    seed, return_truth
        as of `render_clip`

    Returns
    -------
    uint8 (54, 54, 3) RGB, or (image, boxes)
    """
    if not 0 <= label < len(DETAIL_LABELS):
        raise UserError(f'label {label} is out of range; SynthFG images have the labels 0..{len(DETAIL_LABELS) - 1}')
    clip, boxes = render_clip(DETAIL_LABELS[label], seed, return_truth=True)
    shown = sorted({box.t for box in boxes})
    t = shown[len(shown) // 2]
    still = [Box(box.part, 0, *box[2:]) for box in boxes if box.t == t]
    return (clip[t], still) if return_truth else clip[t]


def clip_seed(split: str, seed: int, index: int) -> Tuple[int, int, int]:
    """Return the seed of clip `index` of a split; other splits, set seeds and indices have independent streams."""
    return _SPLIT_ID[split], seed, index


def _checked_label(label: int) -> int:
    if not 0 <= label < len(CLASSES):
        raise UserError(f'label {label} is out of range; SynthFG has the labels 0..{len(CLASSES) - 1}')
    return int(label)
