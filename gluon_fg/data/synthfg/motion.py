"""SynthFG motion: clips whose class is how a body moves, and which no single frame tells apart.

12 classes in 3 groups of 4: a textured body moves one way (left, right, up, down), moves there and back again, or turns
in its place (clockwise or counterclockwise, on and on or there and back). What a body looks like says nothing: shape,
size, colors and texture, and those of the background and of the small bodies around, are drawn from one stream for all.

Where the body is, and at which angle, is uniform in every frame of every class: a place on a torus (what leaves the
frame at a side comes in at the other), to which the motion adds. So for any frame of a clip there is a clip of every
other class, as likely, with that very frame at that very time; only from frame to frame do classes differ.

Bodies are bright and backgrounds dark, so that a network of a few layers can learn from colors too what moves where.
The background pans, small bodies drift, everything trembles: motion alone is no class, the body's is. It is 1.5 to 3
pixels a frame, on a texture with details of 3 pixels or so, which optical flow follows at this size.

Mirror images: a mirrored clip is one of the class of the mirrored motion, left for right and clockwise for
counterclockwise; `flip_map_from_names` reads that from the names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import List, NamedTuple, Sequence, Tuple, Union

import cv2
import numpy as np

from ...errors import UserError
from .drawing import SHAPES, SUPER, polygon
from .scene import FRAMES, NOISE, SIZE, Box, generator, random_color


class _Way(NamedTuple):
    """A way is what the class decides: the direction (x to the right, y down), the turn, and whether it comes back."""

    dx: int = 0
    dy: int = 0
    turn: int = 0  # 1 clockwise, as y points down
    back: bool = False


_WAYS = {
    'moves on': {
        'moves left': _Way(dx=-1),
        'moves right': _Way(dx=1),
        'moves up': _Way(dy=-1),
        'moves down': _Way(dy=1),
    },
    'comes back': {
        'moves left then right': _Way(dx=-1, back=True),
        'moves right then left': _Way(dx=1, back=True),
        'moves up then down': _Way(dy=-1, back=True),
        'moves down then up': _Way(dy=1, back=True),
    },
    'turns': {
        'turns clockwise': _Way(turn=1),
        'turns counterclockwise': _Way(turn=-1),
        'turns clockwise then back': _Way(turn=1, back=True),
        'turns counterclockwise then back': _Way(turn=-1, back=True),
    },
}
MOTION_CLASSES = tuple(name for ways in _WAYS.values() for name in ways)
MOTION_GROUPS = tuple(group for group, ways in _WAYS.items() for _ in ways)  # of each class
_WAY_OF = [way for ways in _WAYS.values() for way in ways.values()]


@dataclass(frozen=True)
class Drifter:
    """A small disc that drifts; lengths in pixels, velocities in pixels a frame."""

    x: float
    y: float
    vx: float
    vy: float
    radius: float
    shift: Tuple[float, float]  # of its texture


@dataclass(frozen=True)
class Scene:
    """All that is drawn before the class is used; times are indices of frames, lengths pixels, angles radians."""

    shape: str
    half: float
    x: float  # of the body on its way, at the moment 0; modulo SIZE
    y: float
    angle: float
    speed: float  # pixels a frame
    spin: float  # radians a frame
    turning: float  # when those that come back turn around
    pan: Tuple[float, float]  # pixels a frame
    jitter: np.ndarray  # (T, 2) x, y
    ground: np.ndarray  # float32 (SIZE, SIZE, 3): the background, a tile that repeats
    surface: np.ndarray  # the same of the bodies
    drifters: Tuple[Drifter, ...]
    gain: float
    noise: np.ndarray  # (T, H, W, 3)

    def pose(self, label: int, t: int) -> Tuple[float, float, float]:
        """Center x, y of the body, 0 to SIZE, and its angle in frame t, if nothing trembles."""
        way = _WAY_OF[label]
        moment = 2 * self.turning - t if way.back and t > self.turning else float(t)
        way_x, way_y = (d * self.speed * moment for d in (way.dx, way.dy))
        return (self.x + way_x) % SIZE, (self.y + way_y) % SIZE, self.angle + way.turn * self.spin * moment


def render_motion(
    label: int, seed: Union[int, Sequence[int]], nuisance: bool = True, return_truth: bool = False
) -> Union[np.ndarray, Tuple[np.ndarray, List[Box]]]:
    """Render one clip of 'synthfg_motion'; the same arguments give the same bytes.

    Two labels with the same seed differ in the body's motion only.

    Parameters
    ----------
    label
        0..11, position in `MOTION_CLASSES`
    seed
        one or several integers, all >= 0; those of the clips on disk are `clip_seed(split, seed, index)`
    nuisance
        False: the same body and background without pan, jitter, other bodies, gain and noise
    return_truth
        also give the boxes of the body, in pixels of the 54x54 frame: several in a frame where it crosses a border

    Returns
    -------
    uint8 (8, 54, 54, 3) RGB, or (clip, boxes)

    Raises
    ------
    UserError
        a label out of range
    """
    if not 0 <= label < len(MOTION_CLASSES):
        raise UserError(f'label {label} is out of range; SynthFG motion has the labels 0..{len(MOTION_CLASSES) - 1}')
    scene = draw_motion(seed)
    clip, boxes = render_scene(scene if nuisance else alone(scene), label)
    return (clip, boxes) if return_truth else clip


def draw_motion(seed: Union[int, Sequence[int]]) -> Scene:
    """Draw everything that does not depend on the class: one stream for all of them."""
    rng = generator(seed)
    u = rng.uniform
    return Scene(
        shape=str(rng.choice(list(SHAPES))),
        half=u(9, 12.5),
        x=u(0, SIZE),
        y=u(0, SIZE),
        angle=u(0, 2 * math.pi),
        speed=u(1.5, 3),
        spin=u(0.15, 0.27),
        turning=u(2.5, FRAMES - 3.5),
        pan=tuple(u(-0.4, 0.4, 2)),
        jitter=u(-0.3, 0.3, (FRAMES, 2)),
        ground=_texture(rng, 12, 15, (40, 100)),
        surface=_texture(rng, 18, 48, (120, 240)),
        drifters=tuple(_draw_drifter(rng) for _ in range(rng.integers(1, 4))),
        gain=u(0.85, 1.15),
        noise=NOISE * rng.standard_normal((FRAMES, SIZE, SIZE, 3), dtype=np.float32),
    )


def _draw_drifter(rng: np.random.Generator) -> Drifter:
    (x, y), (vx, vy) = rng.uniform(5, SIZE - 5, 2), rng.uniform(-0.7, 0.7, 2)
    return Drifter(x, y, vx, vy, rng.uniform(4, 5.5), tuple(rng.uniform(0, SIZE, 2)))


def alone(scene: Scene) -> Scene:
    """Return the same scene with the body's motion alone: no pan, jitter, other bodies, gain or noise."""
    return replace(
        scene,
        pan=(0.0, 0.0),
        jitter=np.zeros_like(scene.jitter),
        drifters=(),
        gain=1.0,
        noise=np.zeros_like(scene.noise),
    )


def render_scene(scene: Scene, label: int) -> Tuple[np.ndarray, List[Box]]:
    """Use the class at last, and draw the clip: uint8 (T, H, W, 3) RGB, and the boxes of the body."""
    clip, boxes = np.empty((FRAMES, SIZE, SIZE, 3), np.uint8), []
    for t in range(FRAMES):
        (jx, jy), moment = scene.jitter[t], t - 0.5 * (FRAMES - 1)
        ground = (scene.pan[0] * moment + jx, scene.pan[1] * moment + jy, 0.0)
        canvas = _look_up(scene.ground, ground, (SIZE * SUPER, SIZE * SUPER))
        for drifter in scene.drifters:
            x, y = drifter.x + drifter.vx * moment + jx, drifter.y + drifter.vy * moment + jy
            _put(canvas, SHAPES['disc'] * drifter.radius, scene.surface, (x, y, 0.0), drifter.shift)
        x, y, angle = scene.pose(label, t)
        outline = SHAPES[scene.shape] * scene.half @ _rotation(angle).T
        reach = np.abs(outline).max(axis=0)
        for cx in _copies(x + jx, reach[0]):
            for cy in _copies(y + jy, reach[1]):
                _put(canvas, outline, scene.surface, (cx, cy, angle))
                low, high = np.array([cy, cx]) - reach[::-1], np.array([cy, cx]) + reach[::-1]
                low, high = (np.clip(edge, 0, SIZE).astype(int) for edge in (np.floor(low), np.ceil(high)))
                boxes.append(Box('body', t, int(low[0]), int(low[1]), int(high[0]), int(high[1])))
        frame = cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        clip[t] = np.clip(np.rint(frame * scene.gain + scene.noise[t]), 0, 255)
    return clip, boxes


def _texture(rng: np.random.Generator, cells: int, contrast: float, levels: Tuple[float, float]) -> np.ndarray:
    """A tile (SIZE, SIZE, 3) of a random color between two levels with random spots, about `cells` along a side, that
    repeats."""
    spots = rng.standard_normal((cells, cells)).astype(np.float32)
    spots = np.pad(spots, 2, mode='wrap')  # so that it is smooth across its border too
    axis = ((np.arange(SIZE, dtype=np.float32) + 0.5) * cells / SIZE + 1.5)[None].repeat(SIZE, axis=0)
    fine = cv2.remap(spots, axis, np.ascontiguousarray(axis.T), cv2.INTER_CUBIC)
    color = levels[0] + (levels[1] - levels[0]) * np.array(random_color(rng), np.float32) / 255
    return np.clip(color + contrast * fine[..., None] * rng.uniform(0.7, 1.3, 3).astype(np.float32), 0, 255)


def _look_up(tile: np.ndarray, pose: Tuple[float, float, float], shape: Tuple[int, int]) -> np.ndarray:
    """The tile with its origin at x, y of the pose and turned by its angle, over a canvas of that shape, float32."""
    inverse = _rotation(-pose[2])
    # The center of the canvas's pixel i lies at (i + 0.5) / SUPER, that of a tile's at i + 0.5.
    shift = inverse @ (0.5 / SUPER - np.array(pose[:2])) - 0.5
    matrix = np.concatenate([inverse / SUPER, shift[:, None]], axis=1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(tile, matrix, shape[::-1], flags=flags, borderMode=cv2.BORDER_WRAP)


def _put(
    canvas: np.ndarray,
    outline: np.ndarray,
    surface: np.ndarray,
    pose: Tuple[float, float, float],
    shift: Tuple[float, float] = (0.0, 0.0),
) -> None:
    """Draw a body that carries its texture with it."""
    x, y, angle = pose
    reach = np.abs(outline).max(axis=0) + 1
    left, top = (max(0, math.floor(c - r)) for c, r in zip((x, y), reach))
    right, bottom = (min(SIZE, math.ceil(c + r)) for c, r in zip((x, y), reach))
    if left >= right or top >= bottom:  # out of the frame
        return
    part = canvas[top * SUPER : bottom * SUPER, left * SUPER : right * SUPER]
    side: Tuple[int, int] = ((bottom - top) * SUPER, (right - left) * SUPER)
    mask = np.zeros(side, np.uint8)
    polygon(mask, outline + (x - left, y - top), (255,))
    texture = _look_up(surface, (x - left + shift[0], y - top + shift[1], angle), side)
    np.copyto(part, texture, where=mask[..., None] > 0)


def _rotation(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _copies(center: float, reach: float) -> List[float]:
    """Where a body on the torus shows along one axis: its center, and those SIZE away that reach into the frame."""
    return [c for c in (center - SIZE, center, center + SIZE) if c + reach > 0 and c - reach < SIZE]
