"""SynthFG: the built-in fine-grained video dataset, rendered from seeds to real mp4 files.

24 classes in 6 groups of 4. The classes of a group share the body, its motion, and the texture and hue of the
background. They differ in a small local detail (kind 'detail'), in the order of events (kind 'order': no single frame
tells them apart), or in both. Place, scale, speed, colours, pan, jitter, gain, noise, and distractors that carry the
other classes' details vary from clip to clip.

On disk, under a root of its own:

    meta.json               version, seed, clips per split, classes, groups; written last: no set without it
    <split>.csv             path,label,class,group; for the splits train, val and test
    <split>/00000.mp4 ...   8 frames of 54x54, MPEG-4 part 2
    <split>/truth.json      where the detail shows, in pixels: {path: [[part, frame, y0, x0, y1, x1], ...]}
"""

from __future__ import annotations

import contextlib
import csv
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np

from ..errors import UserError
from ..files import atomic_write
from . import _synthfg_render as drawing
from ._synthfg_render import FRAMES, SIZE, Box
from .labels import LabelSet

logger = logging.getLogger(__name__)

VERSION = 1  # of the rendering: a set made by another version has other pixels
FPS = 8
SIZES = {'train': 2880, 'val': 480, 'test': 960}
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
KIND = {look.shape: look.kind for look in drawing.LOOKS}  # of each group: 'detail', 'order' or 'both'
FLIP_MAP = tuple(range(len(CLASSES)))  # a mirrored clip is a clip of the same class: see `_synthfg_render`
# Label -> label of the subset 'synthfg_order', the groups whose classes differ in the order of events (at least, too).
ORDER_LABELS = {label: i for i, label in enumerate(n for n, g in enumerate(GROUPS) if KIND[g] != 'detail')}

Seed = Union[int, Sequence[int]]


def label_set() -> LabelSet:
    """Classes, groups and mirror partners."""
    return LabelSet(CLASSES, groups=GROUPS, flip_map=np.array(FLIP_MAP))


def order_label_set() -> LabelSet:
    """Those of the subset 'synthfg_order'."""
    classes, groups = (tuple(of[label] for label in ORDER_LABELS) for of in (CLASSES, GROUPS))
    return LabelSet(classes, groups=groups, flip_map=np.arange(len(classes)))


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
    scene = drawing.draw_scene(drawing.LOOKS[label // 4], drawing.generator(seed))
    if not nuisance:
        scene = drawing.still(scene)
    clip, boxes = drawing.render(scene, drawing.events(scene, label % 4))
    return (clip, boxes) if return_truth else clip


def clip_seed(split: str, seed: int, index: int) -> Tuple[int, int, int]:
    """Seed of clip `index` of a split: other splits, set seeds and indices have independent random streams."""
    return _SPLIT_ID[split], seed, index


def _checked_label(label: int) -> int:
    if not 0 <= label < len(CLASSES):
        raise UserError(f'label {label} is out of range; SynthFG has the labels 0..{len(CLASSES) - 1}')
    return int(label)


def default_root() -> Path:
    """Where MXNet keeps datasets: $MXNET_HOME/datasets/synthfg, by default ~/.mxnet/datasets/synthfg."""
    return Path(os.environ.get('MXNET_HOME') or Path.home() / '.mxnet').expanduser() / 'datasets' / 'synthfg'


def generate(
    root: Optional[Union[str, os.PathLike]] = None,
    train: int = SIZES['train'],
    val: int = SIZES['val'],
    test: int = SIZES['test'],
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Render the dataset under `root`, unless it is there already.

    Each split appears at once when it is complete; an interrupted generation goes on with the splits that are missing.
    A second process waits for the first and then finds the work done.

    Parameters
    ----------
    root
        a folder for this dataset alone (default: `default_root()`)
    train, val, test
        clips of each split, multiples of 24: every class has the same number
    seed
        of the whole set, 0..2**32-1
    progress
        show a bar

    Returns
    -------
    the root

    Raises
    ------
    UserError
        a number that does not fit, or a root that holds something else or a SynthFG of other sizes, seed or version
    """
    root = Path(default_root() if root is None else root).expanduser()
    sizes = {'train': train, 'val': val, 'test': test}
    wanted = _meta(sizes, seed)
    _check_folder(root)
    if _is_there(root, sizes, seed):  # without the lock: the folder may be read-only
        return root
    with _locked(root):
        if _is_there(root, sizes, seed):  # another process made it meanwhile
            return root
        for split in sizes:
            _make_split(root, split, wanted, progress)
        with atomic_write(root / 'meta.json') as stream:
            json.dump(wanted, stream, indent=1)
    logger.info('SynthFG is in %s: %s', root, _summary(wanted))
    return root


def ensure(
    root: Optional[Union[str, os.PathLike]] = None,
    train: Optional[int] = None,
    val: Optional[int] = None,
    test: Optional[int] = None,
    seed: Optional[int] = None,
    progress: bool = False,
) -> Path:
    """The root of a complete SynthFG: the one that is there, or a new one.

    A size or seed of None accepts what is there, and stands for the default where nothing is. Errors as in `generate`.
    """
    root = Path(default_root() if root is None else root).expanduser()
    asked = {'train': train, 'val': val, 'test': test}
    if _is_there(root, {split: n for split, n in asked.items() if n is not None}, seed):
        return root
    sizes = {split: SIZES[split] if n is None else n for split, n in asked.items()}
    return generate(root, seed=seed or 0, progress=progress, **sizes)


def read_meta(root: Union[str, os.PathLike]) -> Optional[Dict]:
    """Content of a complete set's meta.json; None where there is none."""
    path = Path(root) / 'meta.json'
    try:
        meta = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f'{path}: {error.strerror or error}') from None
    except ValueError:
        meta = None
    if not isinstance(meta, dict) or meta.get('dataset') != 'synthfg':
        raise UserError(f'{path} is not of a SynthFG dataset; choose another root')
    return meta


def read_truth(root: Union[str, os.PathLike], split: str) -> Dict[str, List[Box]]:
    """Boxes of the discriminative details of a split's clips, by path relative to the root."""
    content = json.loads((Path(root) / split / 'truth.json').read_text())
    return {path: [Box(*box) for box in boxes] for path, boxes in content.items()}


def _meta(sizes: Dict[str, int], seed: int) -> Dict:
    for split, n in sizes.items():
        if not isinstance(n, int) or n < 1 or n % len(CLASSES):
            raise UserError(
                f'SynthFG: {split} must be a positive multiple of {len(CLASSES)} (each class equally often), got {n!r}'
            )
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise UserError(f'SynthFG: seed must be an integer in 0..{2**32 - 1}, got {seed!r}')
    return {
        'dataset': 'synthfg',
        'version': VERSION,
        'seed': seed,
        'sizes': sizes,
        'frames': FRAMES,
        'height': SIZE,
        'width': SIZE,
        'fps': FPS,
        'classes': list(CLASSES),
        'groups': list(GROUPS),
        'kinds': KIND,
    }


def _summary(meta: Dict) -> str:
    return ', '.join([*(f'{split} {n}' for split, n in meta['sizes'].items()), f'seed {meta["seed"]}'])


def _is_there(root: Path, sizes: Dict[str, int], seed: Optional[int]) -> bool:
    """Whether `root` holds a whole SynthFG; an error where it is another than the one asked for."""
    found = read_meta(root)
    if found is None:
        return False
    if found.get('version') != VERSION:
        held = f'holds SynthFG version {found.get("version")}, this is version {VERSION}'
        raise UserError(f'{root} {held}; choose another root or remove it')
    differs = [f'{split} {n}' for split, n in sizes.items() if n != found['sizes'][split]]
    if seed is not None and seed != found['seed']:
        differs.append(f'seed {seed}')
    if differs:
        held = f'holds a SynthFG of {_summary(found)}, not of {", ".join(differs)}'
        raise UserError(f'{root} {held}; choose another root or remove it')
    for split, n in found['sizes'].items():
        there = _count_clips(root / split) if (root / split).is_dir() else 0
        if there != n or not (root / f'{split}.csv').is_file():
            lost = f'split {split} has {there} of its {n} clips' if there != n else f'{split}.csv is missing'
            raise UserError(f'{root}: {lost}; remove {root / "meta.json"} to have it made again')
    return True


def _count_clips(folder: Path) -> int:
    return sum(name.endswith('.mp4') for name in os.listdir(folder))


def _check_folder(root: Path) -> None:
    """Refuse a folder with anything in it that is not ours."""
    if root.exists() and not root.is_dir():
        raise UserError(f'{root} is a file; SynthFG needs a folder of its own')
    ours = {'.lock', 'meta.json', *SIZES, *(f'{split}.csv' for split in SIZES)}
    temporary = tuple(f'.{name}.' for name in ours)  # .train.partial, and half-written files of `atomic_write`
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        foreign = path.name not in ours and not path.name.startswith(temporary)
        if foreign or (path.name in SIZES and not (path / 'split.json').is_file()):
            raise UserError(f'{root} holds something else ({path.name}); SynthFG needs a folder of its own')


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Keep other processes out of the folder; wait for one that is in it."""
    import portalocker

    try:
        root.mkdir(parents=True, exist_ok=True)
        stream = open(root / '.lock', 'a')
    except OSError as error:
        raise UserError(f'{root}: {error.strerror or error}; choose a root that can be written') from None
    with stream:
        try:
            portalocker.lock(stream, portalocker.LOCK_EX | portalocker.LOCK_NB)
        except portalocker.LockException:
            logger.info('%s: another process is generating; waiting for it', root)
            portalocker.lock(stream, portalocker.LOCK_EX)
        try:
            yield
        finally:
            portalocker.unlock(stream)


def _make_split(root: Path, split: str, meta: Dict, progress: bool) -> None:
    settings = {'version': meta['version'], 'seed': meta['seed'], 'clips': meta['sizes'][split]}
    folder, partial = root / split, root / f'.{split}.partial'
    if not _is_split(folder, settings):
        for old in (folder, partial):
            if old.exists():  # ours, of an interrupted generation
                shutil.rmtree(old)
        partial.mkdir()
        _render_split(partial, split, settings, progress)
        os.replace(partial, folder)
    with atomic_write(root / f'{split}.csv') as stream:
        rows = csv.writer(stream, lineterminator='\n')
        rows.writerow(('path', 'label', 'class', 'group'))
        for index in range(settings['clips']):
            label = index % len(CLASSES)
            rows.writerow((_path(split, index), label, CLASSES[label], GROUPS[label]))


def _is_split(folder: Path, settings: Dict) -> bool:
    try:
        same = json.loads((folder / 'split.json').read_text()) == settings
    except (FileNotFoundError, ValueError):
        return False
    return same and _count_clips(folder) == settings['clips']


def _path(split: str, index: int) -> str:
    return f'{split}/{index:05d}.mp4'


def _render_split(folder: Path, split: str, settings: Dict, progress: bool) -> None:
    from tqdm import tqdm

    truth = {}
    for index in tqdm(range(settings['clips']), f'SynthFG {split}', disable=not progress, unit='clip'):
        label, seed = index % len(CLASSES), clip_seed(split, settings['seed'], index)
        clip, truth[_path(split, index)] = render_clip(label, seed, return_truth=True)
        write_video(folder / os.path.basename(_path(split, index)), clip)
    (folder / 'truth.json').write_text(json.dumps(truth, separators=(',', ':')))
    (folder / 'split.json').write_text(json.dumps(settings))


def write_video(path: Union[str, os.PathLike], clip: np.ndarray) -> None:
    """Write uint8 (T, H, W, 3) RGB as MPEG-4 part 2, which OpenCV's wheels can encode on every platform."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), FPS, (clip.shape[2], clip.shape[1]))
    if not writer.isOpened():
        raise UserError(f'{path}: this OpenCV cannot write mp4 files here; is the folder writable?')
    try:
        for frame in clip:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    finally:
        writer.release()
    written = cv2.VideoCapture(str(path))  # the writer says nothing of a full disk
    frames = int(written.get(cv2.CAP_PROP_FRAME_COUNT)) if written.isOpened() else 0
    written.release()
    if frames != len(clip):
        raise UserError(f'{path}: {frames} of {len(clip)} frames could be written; is the disk full?')


def contact_sheet(seed: int = 0, zoom: int = 2, boxes: bool = False) -> np.ndarray:
    """One clip of each class as a strip, four strips a group with the same scene: uint8 (H, W, 3) RGB.

    Parameters
    ----------
    zoom
        enlargement of the frames
    boxes
        outline where the discriminative detail shows
    """
    cell, text, gap = SIZE * zoom + 2, 16, 10
    block_h, block_w = 4 * (cell + text) + gap + text, FRAMES * cell + gap
    sheet = np.full((3 * block_h, 2 * block_w, 3), 255, np.uint8)

    def write(words: str, x: int, y: int, size: float) -> None:
        cv2.putText(sheet, words, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 1, cv2.LINE_AA)

    for label, name in enumerate(CLASSES):
        group, variant = divmod(label, 4)
        x0, y0 = (group % 2) * block_w + 4, (group // 2) * block_h
        if variant == 0:
            write(f'{GROUPS[label]} ({KIND[GROUPS[label]]})', x0, y0 + text - 3, 0.6)
        y0 += text + variant * (cell + text)
        write(name, x0, y0 + text - 4, 0.45)
        clip, truth = render_clip(label, (seed, group), return_truth=True)
        for t, frame in enumerate(clip):
            big = cv2.resize(frame, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
            for box in truth if boxes else ():
                if box.t == t:
                    cv2.rectangle(
                        big, (box.x0 * zoom, box.y0 * zoom), (box.x1 * zoom - 1, box.y1 * zoom - 1), (255, 255, 0), 1
                    )
            sheet[y0 + text : y0 + text + SIZE * zoom, x0 + t * cell : x0 + t * cell + SIZE * zoom] = big
    return sheet
