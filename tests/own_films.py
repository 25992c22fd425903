"""A folder of videos as people have them: cuts of films, and files that are broken, empty, turned, oddly named."""

import struct

import numpy as np

from gluon_fg.data import synthfg

CLASSES = {'opening a door': 8, 'closing a door': 9, 'wérfen': 2}


def render_own(root, films=3, parts=2, classes=CLASSES):
    """root/<class>/<film>_part<n>.mp4 and, in the first class, one file of each odd kind; returns root."""
    for name, label in classes.items():
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(films * parts):
            film, part = divmod(number, parts)
            write(folder / f'{name[:4].strip()} film{film}_part{part}.mp4', label, number)
    first = root / next(iter(classes))
    whole = sorted(first.glob('*.mp4'))[0].read_bytes()
    (first / 'empty.mp4').write_bytes(b'')
    (first / 'broken.mp4').write_bytes(whole[: len(whole) // 4])
    (first / 'notes.txt').write_text('filmed in May')
    write(first / 'Ünïcode 日本 ✓.mp4', classes[first.name], 90)
    write(first / 'LOUD.MP4', classes[first.name], 91)
    write(root / 'flat.mp4', classes[first.name], 92, width=48)
    turned(first / 'portrait.mp4', root / 'flat.mp4')
    (root / 'flat.mp4').unlink()
    return root


def write(path, label, seed, width=None):
    clip = np.repeat(synthfg.render_clip(label, seed), 2, axis=0)
    synthfg.write_video(path, clip[:, :, :width])


def turned(path, source):
    """A copy of a film whose header says that it was held upright: a quarter turn in its display matrix."""
    content = bytearray(source.read_bytes())
    at = content.find(b'tkhd') + 44
    content[at : at + 36] = struct.pack('>9i', 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
