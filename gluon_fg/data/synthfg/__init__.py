"""SynthFG: the built-in fine-grained video dataset, rendered from seeds to real mp4 files.

24 classes in 6 groups of 4. The classes of a group share the body, its motion, and the texture and hue of the
background. They differ in a small local detail (kind 'detail'), in the order of events (kind 'order': no single frame
tells them apart), or in both. Place, scale, speed, colors, pan, jitter, gain, noise, and distractors that carry the
other classes' details vary from clip to clip.

On disk, under a root of its own:

    meta.json               version, seed, clips per split, classes, groups; written last: no set without it
    <split>.csv             path,label,class,group; for the splits train, val and test
    <split>/00000.mp4 ...   8 frames of 54x54, MPEG-4 part 2
    <split>/truth.json      where the detail shows, in pixels: {path: [[part, frame, y0, x0, y1, x1], ...]}

'synthfg_images' is a set of images of the same kind, <split>/00000.png: single frames of such clips, of the 8 classes
in 2 groups that a still tells apart (kind 'detail').

'synthfg_motion' is the opposite: clips of 12 classes of motion, which no single frame tells apart (`motion`).
"""

from .clips import CLASSES, DETAIL_LABELS, GROUPS, KIND, ORDER_LABELS, clip_seed, render_clip, render_image
from .files import (
    FPS,
    IMAGE_SIZES,
    MOTION_SIZES,
    SIZES,
    VERSION,
    default_root,
    ensure,
    generate,
    read_meta,
    read_truth,
    write_image,
    write_video,
)
from .motion import MOTION_CLASSES, MOTION_GROUPS, render_motion
from .preview import contact_sheet
from .scene import FRAMES, SIZE, Box

__all__ = [
    'Box',
    'CLASSES',
    'DETAIL_LABELS',
    'FPS',
    'FRAMES',
    'GROUPS',
    'IMAGE_SIZES',
    'KIND',
    'MOTION_CLASSES',
    'MOTION_GROUPS',
    'MOTION_SIZES',
    'ORDER_LABELS',
    'SIZE',
    'SIZES',
    'VERSION',
    'clip_seed',
    'contact_sheet',
    'default_root',
    'ensure',
    'generate',
    'read_meta',
    'read_truth',
    'render_clip',
    'render_image',
    'render_motion',
    'write_image',
    'write_video',
]
