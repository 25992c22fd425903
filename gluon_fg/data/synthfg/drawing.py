"""The pixels of a SynthFG clip: background, distractors, and the body with its details."""

from __future__ import annotations

import colorsys
import math
from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np

from .scene import ARM, ARM_WIDTH, FRAMES, GLYPH_HALF, PORT, PORT_GAP, SIZE, STROKE, Box, Distractor, Scene, State

SUPER, _BITS = 4, 4  # supersampling; fractional bits of cv2's coordinates


def _around(n: int, rx: float, ry: float, start: float = -0.5 * math.pi) -> np.ndarray:
    angle = start + 2 * math.pi * np.arange(n) / n
    return np.stack([rx * np.cos(angle), ry * np.sin(angle)], axis=1)


SHAPES = {
    'disc': _around(48, 1, 1),
    'diamond': _around(4, 1.25, 1.25),
    'square': np.array([[-1, -1], [1, -1], [1, 1], [-1, 1.0]]),
    'ellipse': _around(48, 0.85, 1.15),
    'hexagon': _around(6, 1.1, 1.1),
    'house': np.array([[0, -1.3], [1, -0.5], [1, 1], [-1, 1], [-1, -0.5]]),
}


def _pose(scene: Scene, t: int) -> Tuple[float, float, float]:
    """Center x, y and scale of the body in frame t."""
    moment, (dx, dy) = scene.clock[t] - 0.5 * (FRAMES - 1), scene.direction
    travel, angle = scene.speed * moment, scene.phase + dx * scene.speed * moment * 2 * math.pi / FRAMES
    moves = 0.0 if scene.speed == 0 else 1.0
    x, y, scale = {
        'horizontal': (dx * travel, 0, 1),
        'vertical': (0, dy * travel, 1),
        'diagonal': (0.75 * dx * travel, 0.75 * dy * travel, 1),
        'circle': (2.5 * moves * math.cos(angle), 2.5 * moves * math.sin(angle), 1),
        'sway': (1.5 * moves * math.sin(2 * angle), 0, 1),
        'pulse': (0, 0, 1 + 0.1 * moves * math.sin(2 * angle)),
    }[scene.look.motion]
    return scene.x + x + scene.jitter[t, 0], scene.y + y + scene.jitter[t, 1], scene.scale * scale


def render(scene: Scene, states: Sequence[State]) -> Tuple[np.ndarray, List[Box]]:
    """Draw the clip: uint8 (T, H, W, 3) RGB, and the boxes of the discriminative detail."""
    clip, boxes = np.empty((FRAMES, SIZE, SIZE, 3), np.uint8), []
    for t, state in enumerate(states):
        frame = _background(scene, t)
        canvas = np.repeat(np.repeat(frame, SUPER, axis=0), SUPER, axis=1)
        for distractor in scene.distractors:
            _distractor(canvas, distractor, scene, t)
        boxes += _body(canvas, scene, state, t)
        frame = cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)
        clip[t] = np.clip(np.rint(frame * scene.gain + scene.noise[t]), 0, 255)
    return clip, boxes


def _background(scene: Scene, t: int) -> np.ndarray:
    moment = scene.clock[t] - 0.5 * (FRAMES - 1)
    axis = np.arange(SIZE, dtype=np.float32) + 0.5
    x = (axis - scene.pan[0] * moment - scene.jitter[t, 0])[None, :] - SIZE / 2
    y = (axis - scene.pan[1] * moment - scene.jitter[t, 1])[:, None] - SIZE / 2
    wave = lambda v: np.tanh(2 * np.sin(2 * math.pi / scene.period * v + scene.phase))  # noqa: E731
    pattern = {
        'gradient': lambda: scene.slant * x / SIZE * 2 + 0 * y,
        'stripes': lambda: wave(y) + 0 * x,
        'bars': lambda: wave(x) + 0 * y,
        'checker': lambda: wave(x) * wave(y),
        'diagonal': lambda: wave(0.7 * (x + scene.slant * y)),
        'radial': lambda: wave(np.hypot(x, y)),
    }[scene.look.texture]()
    color = 255 * np.array(colorsys.hsv_to_rgb(*scene.background), np.float32)
    return np.clip(color * (1 + 0.25 * pattern[..., None]), 0, 255).astype(np.uint8)


def _distractor(canvas: np.ndarray, d: Distractor, scene: Scene, t: int) -> None:
    moment = scene.clock[t] - 0.5 * (FRAMES - 1)
    x, y = d.x + d.vx * moment + scene.jitter[t, 0], d.y + d.vy * moment + scene.jitter[t, 1]
    polygon(canvas, _around(32, d.radius, d.radius) + (x, y), d.color)
    if d.shown[scene.clock[t]]:
        if d.glyph is None:
            polygon(canvas, _around(16, 2.4, 2.4) + (x, y), _mark(d.color))
        else:
            _glyph(canvas, d.glyph, x, y, d.half, _mark(d.color))


def _body(canvas: np.ndarray, scene: Scene, state: State, t: int) -> List[Box]:
    """Draw the body with its details; return their boxes."""
    x, y, scale = _pose(scene, t)
    half, ground = scene.look.half * scale, [255 * c for c in colorsys.hsv_to_rgb(*scene.background)]
    outline = SHAPES[scene.look.shape]
    boxes = []
    if state.halo:
        polygon(canvas, outline * (half + 4.5) + (x, y), _mark(ground), hole=outline * (half + 2.0) + (x, y))
        size = 1.1 * (half + 4.5) + 1
        boxes.append(_box('halo', t, y - size, x - size, y + size, x + size))
    polygon(canvas, outline * half + (x, y), tuple(c * 0.55 for c in scene.body))
    polygon(canvas, outline * (half - 1.2) + (x, y), scene.body)
    if state.glyph:
        size = GLYPH_HALF * scale
        cy = y + (1.0 if scene.look.shape == 'house' else 0.0) * scale
        _glyph(canvas, state.glyph, x, cy, size, _mark(scene.body))
        boxes.append(_box('glyph', t, cy - size - 1, x - size - 1, cy + size + 1, x + size + 1))
    if state.lamp is not None:
        for place in (-1, 1):
            cy, radius = y + place * PORT_GAP * scale, PORT * scale
            polygon(canvas, _around(24, radius, radius) + (x, cy), (25, 25, 30))
            if state.lamp == place:
                polygon(canvas, _around(24, radius - 1, radius - 1) + (x, cy), (255, 250, 215))
                boxes.append(_box('lamp', t, cy - radius - 1, x - radius - 1, cy + radius + 1, x + radius + 1))
    if state.arm is not None:
        length, hx, hy = ARM * scale, x + scene.side * (half + 1.0), y + 0.5 * half
        tip = (hx + scene.side * length * math.sin(state.arm), hy - length * math.cos(state.arm))
        _stroke(canvas, (hx, hy), tip, ARM_WIDTH, _mark(ground))
        boxes.append(_box('arm', t, min(hy, tip[1]) - 3, min(hx, tip[0]) - 3, max(hy, tip[1]) + 3, max(hx, tip[0]) + 3))
    return boxes


def _box(part: str, t: int, y0: float, x0: float, y1: float, x1: float) -> Box:
    low, high = (
        (max(0, min(SIZE, math.floor(v))) for v in (y0, x0)),
        (max(0, min(SIZE, math.ceil(v))) for v in (y1, x1)),
    )
    return Box(part, t, *low, *high)


def _mark(ground: Sequence[float]) -> Tuple[int, int, int]:
    """Near black or near white, whichever stands out."""
    return (28, 28, 28) if 0.3 * ground[0] + 0.59 * ground[1] + 0.11 * ground[2] > 118 else (238, 238, 238)


def _glyph(canvas: np.ndarray, name: str, x: float, y: float, half: float, color: Tuple[int, int, int]) -> None:
    """A mirror-symmetric mark within `half` pixels of (x, y)."""
    if name in ('plus', 'cross'):
        a = half if name == 'plus' else 0.75 * half
        ends = ((a, 0), (0, a)) if name == 'plus' else ((a, a), (a, -a))
        for dx, dy in ends:
            _stroke(canvas, (x - dx, y - dy), (x + dx, y + dy), STROKE, color)
    elif name == 'bars':
        for dy in (-0.55 * half, 0.55 * half):
            _stroke(canvas, (x - half, y + dy), (x + half, y + dy), STROKE, color)
    else:
        sides, radius, start = {
            'ring': (32, 1.0, 0.0),
            'triangle': (3, 1.15, -0.5 * math.pi),
            'square': (4, 1.3, 0.25 * math.pi),
        }[name]
        points = _around(sides, radius * half, radius * half, start)
        if name == 'triangle':  # fills its square: centroid lies below the middle
            points[:, 1] += 0.25 * half
        inner = points * (1 - STROKE / (half * math.cos(math.pi / sides) * radius))
        if name == 'triangle':
            inner = points + (np.array([0, 0.25 * half]) - points) * (STROKE / (half * 0.5 * radius))
        polygon(canvas, points + (x, y), color, hole=inner + (x, y))


def _stroke(
    canvas: np.ndarray, start: Tuple[float, float], end: Tuple[float, float], width: float, color: Tuple[int, int, int]
) -> None:
    a, b = np.asarray(start), np.asarray(end)
    normal = np.array([a[1] - b[1], b[0] - a[0]]) / (np.hypot(*(b - a)) + 1e-9) * width / 2
    polygon(canvas, np.stack([a + normal, b + normal, b - normal, a - normal]), color)


def polygon(canvas: np.ndarray, points: np.ndarray, color: Sequence[float], hole: Optional[np.ndarray] = None) -> None:
    """Fill a polygon given in pixels of the frame (x, y); a hole is cut out by the even-odd rule."""
    rings = [np.rint((p * SUPER - 0.5) * (1 << _BITS)).astype(np.int32) for p in (points, hole) if p is not None]
    cv2.fillPoly(canvas, rings, color, lineType=cv2.LINE_8, shift=_BITS)
