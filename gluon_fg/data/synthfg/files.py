"""SynthFG on disk: rendered once, split by split, and checked when it is there."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Tuple, Union

import cv2
import numpy as np

from ... import safe_json
from ...errors import UserError, unknown
from ...files import asking, atomic_folder, atomic_write, is_temporary, naming
from .clips import CLASSES, DETAIL_LABELS, GROUPS, KIND, clip_seed, render_clip, render_image
from .motion import MOTION_CLASSES, MOTION_GROUPS, render_motion
from .scene import FRAMES, SIZE, Box

logger = logging.getLogger(__name__)

VERSION = 1  # of the rendering: a set made by another version has other pixels
FPS = 8
SIZES = {'train': 2880, 'val': 480, 'test': 960}
IMAGE_SIZES = {'train': 960, 'val': 160, 'test': 320}
MOTION_SIZES = {'train': 960, 'val': 240, 'test': 480}


@dataclasses.dataclass(frozen=True)
class _Form:
    """A set that is rendered: its name, the class and the group of each label, its files, its sizes unless told."""

    dataset: str
    title: str
    classes: Tuple[str, ...]
    groups: Tuple[str, ...]
    kinds: Dict[str, str]  # of each group
    render: Callable  # label, seed, return_truth -> pixels, boxes
    sizes: Dict[str, int]
    suffix: str = '.mp4'

    @property
    def unit(self) -> str:
        return 'image' if self.suffix == '.png' else 'clip'


_STILL = tuple(GROUPS[label] for label in DETAIL_LABELS)
_FORMS = {
    form.dataset: form
    for form in (
        _Form('synthfg', 'SynthFG', CLASSES, GROUPS, KIND, render_clip, SIZES),
        _Form(
            'synthfg_images',
            'SynthFG images',
            tuple(CLASSES[label] for label in DETAIL_LABELS),
            _STILL,
            {group: KIND[group] for group in _STILL},
            render_image,
            IMAGE_SIZES,
            '.png',
        ),
        _Form(
            'synthfg_motion',
            'SynthFG motion',
            MOTION_CLASSES,
            MOTION_GROUPS,
            {group: 'motion' for group in MOTION_GROUPS},
            render_motion,
            MOTION_SIZES,
        ),
    )
}


def default_root(dataset: str = 'synthfg') -> Path:
    """Return where MXNet keeps datasets: $MXNET_HOME/datasets/synthfg, by default ~/.mxnet/datasets/synthfg."""
    return Path(os.environ.get('MXNET_HOME') or Path.home() / '.mxnet').expanduser() / 'datasets' / dataset


def generate(
    root: Optional[Union[str, os.PathLike]] = None,
    train: Optional[int] = None,
    val: Optional[int] = None,
    test: Optional[int] = None,
    seed: int = 0,
    progress: bool = True,
    dataset: str = 'synthfg',
) -> Path:
    """Render the dataset under `root`, unless it is there already.

    Each split appears at once when it is complete; an interrupted generation goes on with the splits that are missing.
    A second process waits for the first and then finds the work done.

    Parameters
    ----------
    root
        a folder for this dataset alone (default: `default_root(dataset)`)
    train, val, test
        clips of each split, multiples of 24, or 12, or images, multiples of 8: every class has the same number
        (default: `SIZES`, `MOTION_SIZES` or `IMAGE_SIZES`)
    seed
        of the whole set, 0..2**32-1
    progress
        show a bar
    dataset
        'synthfg', 'synthfg_images' or 'synthfg_motion'

    Returns
    -------
    the root

    Raises
    ------
    UserError
        a number that does not fit, or a root that holds something else or a SynthFG of other sizes, seed or version
    """
    form = _form(dataset)
    root = Path(default_root(dataset) if root is None else root).expanduser()
    asked = {'train': train, 'val': val, 'test': test}
    sizes = {split: form.sizes[split] if n is None else n for split, n in asked.items()}
    wanted = _meta(form, sizes, seed)
    _check_folder(form, root)
    if _is_there(form, root, sizes, seed):  # without the lock: the folder may be read-only
        return root
    with _locked(root):
        if _is_there(form, root, sizes, seed):  # another process made it meanwhile
            return root
        for split in sizes:
            _make_split(form, root, split, wanted, progress)
        with atomic_write(root / 'meta.json') as stream:
            json.dump(wanted, stream, indent=1)
    logger.info('%s is in %s: %s', form.title, root, _summary(wanted))
    return root


def ensure(
    root: Optional[Union[str, os.PathLike]] = None,
    train: Optional[int] = None,
    val: Optional[int] = None,
    test: Optional[int] = None,
    seed: Optional[int] = None,
    progress: bool = False,
    dataset: str = 'synthfg',
) -> Path:
    """Return the root of a complete set: the set that is there, or a new one.

    A size or seed of None accepts what is there, and stands for the default where nothing is. Errors as in `generate`.
    """
    form = _form(dataset)
    root = Path(default_root(dataset) if root is None else root).expanduser()
    asked = {'train': train, 'val': val, 'test': test}
    if _is_there(form, root, {split: n for split, n in asked.items() if n is not None}, seed):
        return root
    return generate(root, seed=seed or 0, progress=progress, dataset=dataset, **asked)


def read_meta(root: Union[str, os.PathLike], dataset: str = 'synthfg') -> Optional[Dict]:
    """Read a complete set's meta.json; None where there is none."""
    path = Path(root) / 'meta.json'
    try:
        meta = safe_json.parse(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f'{path}: {error.strerror or error}') from None
    except ValueError:
        meta = None
    if not isinstance(meta, dict) or meta.get('dataset') != dataset:
        raise UserError(f'{path} is not of a {_form(dataset).title} dataset; choose another root')
    return meta


def read_truth(root: Union[str, os.PathLike], split: str) -> Dict[str, List[Box]]:
    """Read the boxes of the discriminative details of a split's clips, by path relative to the root."""
    path = Path(root) / split / 'truth.json'
    advice = 'remove the folder, and it is rendered anew'
    try:
        return {clip: [Box(*box) for box in boxes] for clip, boxes in safe_json.load_mapping(path, advice).items()}
    except TypeError as error:
        raise safe_json.damaged(path, str(error), advice) from None


def _form(dataset: str) -> _Form:
    if dataset not in _FORMS:
        raise unknown('rendered dataset', dataset, _FORMS)
    return _FORMS[dataset]


def _meta(form: _Form, sizes: Dict[str, int], seed: int) -> Dict:
    count, title = len(form.classes), form.title
    for split, n in sizes.items():
        if not isinstance(n, int) or n < 1 or n % count:
            raise UserError(
                f'{title}: {split} must be a positive multiple of {count} (each class equally often), got {n!r}'
            )
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise UserError(f'{title}: seed must be an integer in 0..{2**32 - 1}, got {seed!r}')
    still = {'frames': 1} if form.unit == 'image' else {'frames': FRAMES, 'fps': FPS}
    return {
        'dataset': form.dataset,
        'version': VERSION,
        'seed': seed,
        'sizes': sizes,
        'height': SIZE,
        'width': SIZE,
        **still,
        'classes': list(form.classes),
        'groups': list(form.groups),
        'kinds': form.kinds,
    }


def _summary(meta: Dict) -> str:
    return ', '.join([*(f'{split} {n}' for split, n in meta['sizes'].items()), f'seed {meta["seed"]}'])


def _is_there(form: _Form, root: Path, sizes: Dict[str, int], seed: Optional[int]) -> bool:
    """Tell whether `root` holds a whole set; an error where it is another set than was asked for."""
    meta = read_meta(root, form.dataset)
    if meta is None:
        return False
    if meta.get('version') != VERSION:
        held = f'holds {form.title} version {meta.get("version")}, this is version {VERSION}'
        raise UserError(f'{root} {held}; choose another root or remove it')
    differs = [f'{split} {n}' for split, n in sizes.items() if n != meta['sizes'][split]]
    if seed is not None and seed != meta['seed']:
        differs.append(f'seed {seed}')
    if differs:
        held = f'holds a {form.title} of {_summary(meta)}, not of {", ".join(differs)}'
        raise UserError(f'{root} {held}; choose another root or remove it')
    for split, n in meta['sizes'].items():
        there = _count_files(root / split, form.suffix) if (root / split).is_dir() else 0
        if there != n or not (root / f'{split}.csv').is_file():
            lost = f'split {split} has {there} of its {n} {form.unit}s' if there != n else f'{split}.csv is missing'
            raise UserError(f'{root}: {lost}; remove {root / "meta.json"} to have it made again')
    return True


def _count_files(folder: Path, suffix: str) -> int:
    return sum(name.endswith(suffix) for name in os.listdir(folder))


def _check_folder(form: _Form, root: Path) -> None:
    """Refuse a folder with anything in it that does not belong to such a set."""
    if root.exists() and not root.is_dir():
        raise UserError(f'{root} is a file; {form.title} needs a folder of its own')
    known = {'.lock', 'meta.json', 'flow', *SIZES, *(f'{split}.csv' for split in SIZES)}
    temporary = tuple(f'.{name}.' for name in known)  # .train.partial, and half-written files of former versions
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        foreign = path.name not in known and not path.name.startswith(temporary) and not is_temporary(path.name)
        if foreign or (path.name in SIZES and not (path / 'split.json').is_file()):
            raise UserError(f'{root} holds something else ({path.name}); {form.title} needs a folder of its own')


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


def _make_split(form: _Form, root: Path, split: str, meta: Dict, progress: bool) -> None:
    settings = {'version': meta['version'], 'seed': meta['seed'], 'clips': meta['sizes'][split]}
    if form.dataset != 'synthfg':  # whose settings never named it
        settings['dataset'] = form.dataset
    if not _is_split(form, root / split, settings):
        shutil.rmtree(root / f'.{split}.partial', ignore_errors=True)  # which a former version left when it was stopped
        with atomic_folder(root / split) as folder:
            _render_split(form, folder, split, settings, progress)
    with atomic_write(root / f'{split}.csv') as stream:
        rows = csv.writer(stream, lineterminator='\n')
        rows.writerow(('path', 'label', 'class', 'group'))
        for index in range(settings['clips']):
            label = index % len(form.classes)
            rows.writerow((_path(form, split, index), label, form.classes[label], form.groups[label]))


def _is_split(form: _Form, folder: Path, settings: Dict) -> bool:
    try:
        same = safe_json.parse((folder / 'split.json').read_bytes()) == settings
    except (FileNotFoundError, ValueError):
        return False
    return same and _count_files(folder, form.suffix) == settings['clips']


def _path(form: _Form, split: str, index: int) -> str:
    return f'{split}/{index:05d}{form.suffix}'


def _render_split(form: _Form, folder: Path, split: str, settings: Dict, progress: bool) -> None:
    from tqdm import tqdm

    truth = {}
    write = write_image if form.unit == 'image' else write_video
    for index in tqdm(range(settings['clips']), f'{form.title} {split}', disable=not progress, unit=form.unit):
        label, seed = index % len(form.classes), clip_seed(split, settings['seed'], index)
        path = _path(form, split, index)
        picture, truth[path] = form.render(label, seed, return_truth=True)
        write(folder / os.path.basename(path), picture)
    (folder / 'truth.json').write_text(json.dumps(truth, separators=(',', ':')))
    (folder / 'split.json').write_text(json.dumps(settings))


def write_image(path: Union[str, os.PathLike], image: np.ndarray) -> None:
    """Write uint8 (H, W, 3) RGB as PNG."""
    with naming(path):
        Path(path).write_bytes(cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())


def write_video(path: Union[str, os.PathLike], clip: np.ndarray) -> None:
    """Write uint8 (T, H, W, 3) RGB as MPEG-4 part 2, which OpenCV's wheels can encode on every platform."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), FPS, (clip.shape[2], clip.shape[1]))
    if not writer.isOpened():
        with naming(path), open(path, 'ab', buffering=0) as stream:
            stream.write(bytes(1 << 14))
        raise UserError(f'{path}: this OpenCV cannot write mp4 files')
    try:
        for frame in clip:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    finally:
        writer.release()
    with naming(path), asking(path):  # the writer says nothing of a full disk
        before, name, index = Path(path).read_bytes().rpartition(b'moov')  # which comes last, its size before it
        if int.from_bytes(before[-4:], 'big') != 4 + len(name + index):
            raise OSError(f'{path} is not whole')
    written = cv2.VideoCapture(str(path))
    frames = int(written.get(cv2.CAP_PROP_FRAME_COUNT)) if written.isOpened() else 0
    written.release()
    if frames != len(clip):
        raise UserError(f'{path}: {frames} of {len(clip)} frames could be written; is the disk full?')
