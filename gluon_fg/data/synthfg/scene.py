"""What happens in a SynthFG clip: the scene, and the events of the class. `drawing` makes pixels of them.

A clip is drawn in two steps. `draw_scene` takes from the random stream everything that a class of the group may not
decide: place, speed, colors, distractors, noise, and *when* things happen. Only then does `events` use the class, to
say *what* happens. So two classes of one group with the same seed differ in the discriminative detail and in nothing
else.

What shuffling the frames destroys, exactly:
 - groups of kind 'order': the states of the frames (arm angle, lamp) are one multiset for all four classes. Whatever
   else changes from frame to frame (motion, pan, distractors, jitter) is in random order too. Shuffled clips of the
   four classes have therefore one distribution: no clock is left in the scene.
 - groups of kind 'both': the two orders are each other's reversal, and every nuisance is as likely forwards as
   backwards. Shuffled, only the detail is left.

Mirror images: all glyphs are symmetric, lamps are stacked vertically, arms and ways are left or right at random.
A mirrored clip is a clip of the same class.
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass, replace
from typing import List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

FRAMES = 8
SIZE = 54  # side of a frame, pixels
GLYPHS = ('plus', 'cross', 'ring', 'bars', 'triangle', 'square')
GLYPH_HALF, STROKE, ARM, ARM_WIDTH = 4.3, 2.0, 13.0, 4.0  # pixels at scale 1
PORT, PORT_GAP = 3.9, 6.2  # lamp: radius, distance from the body's center
NOISE = 6.0  # standard deviation, gray levels

# Order of the same eight states, ascending from closed to open: a permutation for each course of the arm.
_ARM_COURSES = ((0, 1, 2, 3, 4, 5, 6, 7), (7, 6, 5, 4, 3, 2, 1, 0), (0, 2, 4, 6, 7, 5, 3, 1), (7, 5, 3, 1, 0, 2, 4, 6))


class Box(NamedTuple):
    """Where a discriminative detail shows in frame `t`: pixels [y0, y1) x [x0, x1) of the full frame."""

    part: str  # 'glyph', 'arm', 'lamp' or 'halo'
    t: int
    y0: int
    x0: int
    y1: int
    x1: int


class Look(NamedTuple):
    """What the four classes of a group share."""

    shape: str
    half: float  # half-size of the body at scale 1, pixels
    hue: float  # of the background, degrees; +-18 in a clip
    texture: str
    motion: str
    kind: str  # 'detail', 'order' or 'both'


LOOKS = (
    Look('disc', 11.5, 210, 'gradient', 'horizontal', 'detail'),
    Look('diamond', 11.5, 30, 'stripes', 'vertical', 'detail'),
    Look('square', 10.0, 150, 'bars', 'sway', 'order'),
    Look('ellipse', 11.5, 270, 'checker', 'pulse', 'order'),
    Look('hexagon', 10.5, 330, 'diagonal', 'diagonal', 'both'),
    Look('house', 10.0, 85, 'radial', 'circle', 'both'),
)


@dataclass(frozen=True)
class Distractor:
    """A disc behind the body with another class's glyph on it, or a dot (`glyph` None) that blinks."""

    x: float
    y: float
    vx: float  # pixels a frame
    vy: float
    radius: float
    color: Tuple[int, int, int]
    glyph: Optional[str]
    half: float
    shown: Tuple[bool, ...]  # in which of the frames the glyph or dot shows


@dataclass(frozen=True)
class Scene:
    """All that is drawn before the class is used; times are indices of frames, lengths pixels, angles radians."""

    look: Look
    x: float
    y: float
    scale: float
    side: int  # of the arm: 1 right, -1 left
    direction: Tuple[int, int]
    speed: float
    phase: float
    clock: Tuple[int, ...]  # at which moment of its course the scene is in each frame; see the module's docstring
    pan: Tuple[float, float]  # pixels a frame
    jitter: np.ndarray  # (T, 2) x, y
    slant: int
    period: float
    background: Tuple[float, float, float]
    body: Tuple[int, int, int]
    distractors: Tuple[Distractor, ...]
    gain: float
    noise: np.ndarray  # (T, H, W, 3)
    start: int  # of the flash of a detail group
    slots: Tuple[int, int, int]  # c1: first frames of the two events, and their length
    lamps: Tuple[int, int, int]  # b2: frames that each lamp is lit, of them before the turn, dark frames before
    reach: Tuple[float, float]  # angle of the closed and the open arm
    arm_phase: float


def draw_scene(look: Look, rng: np.random.Generator) -> Scene:
    """Draw everything that does not depend on the class within its group."""
    u, sign = rng.uniform, lambda: int(rng.choice((-1, 1)))
    scale, side = u(0.87, 1.13), sign()
    x, y = u(20, 34), u(20, 34)
    if look.shape in ('square', 'house'):  # leave room for the arm
        x, y = SIZE / 2 - side * u(5, 9), u(22, 34)
    ordered = look.kind == 'order'
    clock = tuple(int(i) for i in rng.permutation(FRAMES)) if ordered else tuple(range(FRAMES))
    slow = 0.4 if ordered else 1.0  # a scene in random order moves less: it jumps
    pan = tuple(slow * u(-0.8, 0.8, 2))
    distractors = tuple(_draw_distractor(x, y, look.half * scale, slow, rng) for _ in range(rng.integers(1, 4)))
    length = int(rng.integers(2, 4))
    pairs = [(i, j) for i in range(FRAMES) for j in range(i + length, FRAMES - length + 1)]
    lit = int(rng.integers(3, 5))
    return Scene(
        look,
        x,
        y,
        scale,
        side,
        direction=(sign(), sign()),
        speed=slow * u(0.6, 1.4),
        phase=u(0, 2 * math.pi),
        clock=clock,
        pan=pan,
        jitter=u(-0.6, 0.6, (FRAMES, 2)),
        slant=sign(),
        period=u(9, 13),
        background=(((look.hue + u(-18, 18)) % 360) / 360, u(0.45, 0.7), u(0.4, 0.75)),
        body=random_color(rng),
        distractors=distractors,
        gain=u(0.85, 1.15),
        start=int(rng.integers(0, FRAMES - 1)),
        slots=(*pairs[rng.integers(len(pairs))], length),
        lamps=(lit, int(rng.integers(1, lit)), int(rng.integers(0, FRAMES - 2 * lit + 1))),
        reach=(math.radians(u(0, 10)), math.radians(u(80, 100))),
        arm_phase=u(0, 1),
        noise=NOISE * rng.standard_normal((FRAMES, SIZE, SIZE, 3), dtype=np.float32),
    )


def _draw_distractor(x: float, y: float, half: float, slow: float, rng: np.random.Generator) -> Distractor:
    radius = rng.uniform(5.5, 7)
    for _ in range(20):  # beside the body where there is room
        px, py = rng.uniform(5, SIZE - 5, 2)
        if math.hypot(px - x, py - y) > half + radius - 1:
            break
    glyph = GLYPHS[rng.integers(len(GLYPHS))] if rng.random() < 0.75 else None
    if glyph is None:
        shown = rng.random(FRAMES) < 0.5
    elif rng.random() < 0.5:  # transient, as long as a flash or a little longer
        length = int(rng.integers(2, 5))
        first = int(rng.integers(0, FRAMES - length + 1))
        shown = (np.arange(FRAMES) >= first) & (np.arange(FRAMES) < first + length)
    else:
        shown = np.ones(FRAMES, bool)
    vx, vy = slow * rng.uniform(-0.7, 0.7, 2)
    color, size = random_color(rng), GLYPH_HALF * rng.uniform(0.87, 1.13)
    return Distractor(px, py, vx, vy, radius, color, glyph, size, tuple(bool(s) for s in shown))


def random_color(rng: np.random.Generator) -> Tuple[int, int, int]:
    """Draw a color that is neither gray nor garish: red, green and blue, 0 to 255."""
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.3, 0.8), rng.uniform(0.4, 0.95))
    return int(round(255 * red)), int(round(255 * green)), int(round(255 * blue))


def still(scene: Scene) -> Scene:
    """Return the same scene with the event alone: no motion, pan, jitter, distractors, gain or noise."""
    return replace(
        scene,
        speed=0.0,
        pan=(0.0, 0.0),
        jitter=np.zeros_like(scene.jitter),
        distractors=(),
        gain=1.0,
        noise=np.zeros_like(scene.noise),
    )


class State(NamedTuple):
    """What the class shows in one frame."""

    glyph: Optional[str] = None
    arm: Optional[float] = None  # angle from upright outwards, radians
    lamp: Optional[int] = None  # -1 the upper, 1 the lower, 0 none lit; None no lamps
    halo: bool = False


def events(scene: Scene, variant: int) -> List[State]:
    """Use the class at last: give the state of each frame for class `variant` (0..3) of the scene's group."""
    shape, low, high = scene.look.shape, *scene.reach
    angles = [low + (high - low) * (i + scene.arm_phase) / FRAMES for i in range(FRAMES)]
    if shape == 'disc':
        return [State(glyph=('plus', 'cross', 'ring', 'bars')[variant])] * FRAMES
    if shape == 'diamond':
        glyph = ('plus', 'cross', 'triangle', 'square')[variant]
        return [State(glyph=glyph if 0 <= t - scene.start < 2 else None) for t in range(FRAMES)]
    if shape == 'square':
        return [State(arm=angles[i]) for i in _ARM_COURSES[variant]]
    if shape == 'ellipse':
        lit, turn, dark = scene.lamps
        first = -1 if variant % 2 == 0 else 1
        course = (
            [first] * lit + [-first] * lit if variant < 2 else [first] * turn + [-first] * lit + [first] * (lit - turn)
        )
        return [State(lamp=s) for s in [0] * dark + course + [0] * (FRAMES - 2 * lit - dark)]
    if shape == 'hexagon':
        glyph, (first, second, length) = ('plus', 'cross')[variant // 2], scene.slots
        at_glyph, at_halo = (first, second) if variant % 2 == 0 else (second, first)
        return [
            State(glyph=glyph if 0 <= t - at_glyph < length else None, halo=0 <= t - at_halo < length)
            for t in range(FRAMES)
        ]
    return [State(glyph=('triangle', 'square')[variant // 2], arm=angles[i]) for i in _ARM_COURSES[variant % 2]]


def generator(seed: Union[int, Sequence[int]]) -> np.random.Generator:
    """Return the random stream of one clip."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
