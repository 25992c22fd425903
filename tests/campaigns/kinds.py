"""Kinds of files that people give: how whole ones are made, and what is read of one."""

import atexit
import dataclasses
import functools
import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable

import checkpoints
import cv2
import mxnet as mx
import numpy as np
from campaigns import result_kinds as more
from campaigns.encoding import picture, write_film
from PIL import Image

import gluon_fg
from gluon_fg.data.catalog import build_dataset
from gluon_fg.data.features import load_views, save_views
from gluon_fg.data.flow.extract import extract_flow
from gluon_fg.data.flow.listing import Header
from gluon_fg.data.flow.stored import open_flow
from gluon_fg.data.manifest import read_manifest
from gluon_fg.data.prepare import prepare
from gluon_fg.data.transforms import Cut, View, Window
from gluon_fg.data.video import open_video
from gluon_fg.evaluation.load import load_parameters, name_classes
from gluon_fg.evaluation.metrics import summarize
from gluon_fg.evaluation.score import Scores
from gluon_fg.evaluation.threshold import Threshold, load_threshold
from gluon_fg.factory import get_model
from gluon_fg.training import loop, parts
from gluon_fg.training.config import load_config
from gluon_fg.training.distributed import World
from gluon_fg.training.log import read_metrics
from gluon_fg.training.run import load_run
from gluon_fg.training.state import resume
from gluon_fg.weights import bundle
from gluon_fg.weights.array_files import read_arrays
from gluon_fg.weights.entries import Entry, dump_index, load_index

CLASSES = ('open a door', 'close a door', 'wave')


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of files.

    `make(folder)` writes whole ones into a folder and returns their paths, files or folders; `use(path, folder)` reads
    one as a command would, and returns what was read as something that can be compared. `weight` is its share of a
    campaign; `text` whether people edit it; `checked` whether its format tells any change; `pick` tells which files of
    a folder are damaged.
    """

    name: str
    weight: int
    make: Callable
    use: Callable
    text: bool = False
    checked: bool = False
    pick: Callable = lambda name: True


class Inconsistent(Exception):
    """A frame is another when it is asked for alone: nothing says so."""


def digest(*arrays):
    """What arrays hold, in short."""
    state = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        state.update(f'{array.dtype}{array.shape}'.encode())
        state.update(array.tobytes())
    return state.hexdigest()[:16]


@functools.lru_cache(None)
def network():
    """A network that sees films."""
    mx.random.seed(0)
    np.random.seed(0)
    return get_model('i3d_tiny_custom', nclass=len(CLASSES), pretrained_base=False)


# Films and pictures


def make_films(folder):
    subprocess.run([sys.executable, Path(__file__).with_name('encoding.py'), folder], check=True, capture_output=True)
    return sorted(folder.iterdir())


def use_film(path, home):
    with open_video(str(path)) as reader:
        count = len(reader)
        numbers = sorted({*range(min(count, 24)), max(count - 1, 0)})
        whole = reader.get_batch(numbers)
    for place in sorted({0, len(numbers) // 3, len(numbers) - 2, len(numbers) - 1} & set(range(len(numbers)))):
        with open_video(str(path)) as reader:
            if len(reader) != count or not np.array_equal(reader.get_batch([numbers[place]])[0], whole[place]):
                raise Inconsistent(f'frame {numbers[place]} of {count}')
    if os.path.getsize(path) % 8 == 0:  # now and then all the way
        assert len(gluon_fg.predict(str(path), network())) == len(CLASSES)
    return count, digest(whole)


def make_png(folder):
    paths = [folder / 'a.png', folder / 'b.png', folder / 'c.png']
    cv2.imwrite(str(paths[0]), picture(1))
    cv2.imwrite(str(paths[1]), picture(2)[..., 0])
    cv2.imwrite(str(paths[2]), np.dstack([picture(3), picture(3)[..., 0]]))
    return paths


def make_jpeg(folder):
    paths = [folder / 'a.jpg', folder / 'b.jpeg', folder / 'c.jpg']
    for number, path in enumerate(paths):
        options = [cv2.IMWRITE_JPEG_PROGRESSIVE, number % 2, cv2.IMWRITE_JPEG_RST_INTERVAL, number]
        cv2.imwrite(str(path), picture(number), options)
    return paths


def make_pictures(folder):
    """What else OpenCV reads, under a name that people give it."""
    paths = []
    for number, end in enumerate(('bmp', 'webp', 'gif')):
        path = folder / f'{end}.jpg'
        Image.fromarray(picture(number)).save(path, end)
        paths.append(path)
    return paths


def use_picture(path, home):
    with open_video(str(path)) as reader:
        return digest(reader.get_batch([0]))


def make_frames(folder):
    film = folder / 'film'
    film.mkdir()
    for number in range(4):
        cv2.imwrite(str(film / f'{number + 1:05d}.{"png" if number % 2 else "jpg"}'), picture(number))
    return [film]


def use_frames(path, home):
    with open_video(str(path)) as reader:
        return digest(reader.get_batch(range(len(reader))))


# Weights


def make_params(folder):
    net = network()
    net.save_parameters(str(folder / 'net.params'))
    return [folder / 'net.params']


@functools.lru_cache(None)
def other_network():
    """One that is loaded into."""
    return get_model('i3d_tiny_custom', nclass=len(CLASSES), pretrained_base=False)


def use_params(path, home):
    net = other_network()
    load_parameters(net, str(path), mx.cpu())
    values = [value.data().asnumpy() for value in net._collect_params_with_prefix().values()]
    assert all(np.isfinite(value).all() for value in values), 'weights that are no numbers were taken'
    return digest(*values)


def make_foreign(folder):
    rng = np.random.default_rng(0)
    arrays = {f'layer{n}.weight': rng.normal(size=(4, 3, n + 1)).astype(np.float32) for n in range(4)}
    (folder / 'a.pth').write_bytes(checkpoints.torch_zip(arrays))
    (folder / 'b.pth').write_bytes(checkpoints.torch_former(arrays))
    (folder / 'a.pkl').write_bytes(pickle.dumps(arrays, 2))
    (folder / 'b.pkl').write_bytes(checkpoints.jax_pickle({key.replace('.', '/'): v for key, v in arrays.items()}))
    return sorted(folder.iterdir())


def use_foreign(path, home):
    arrays = read_arrays(Path(path).read_bytes(), path)
    return sorted((name, digest(array)) for name, array in arrays.items())


def make_index(folder):
    entries = {}
    for number in range(3):
        weights = bytes([number]) * 1000
        name = f'i3d_tiny_custom_{number}'
        sha = hashlib.sha256(weights).hexdigest()
        entries[name] = Entry(
            name, f'{name}-{sha[:8]}.params', sha, 1000, 250, 'float32', sha, 'train_time', 'Apache-2.0', 'drawn',
            dataset='mine', classes=CLASSES, input={'frames': 8}, 
            metrics={'mine': {'top1': 50.0, 'protocol': 'train_time', 'split': 'val', 'videos': 9, 'seeds': 1}},
        )  # fmt: skip
    (folder / 'index.yaml').write_text(dump_index(entries))
    return [folder / 'index.yaml']


def use_index(path, home):
    return sorted((name, repr(entry)) for name, entry in load_index(path).items())


def make_bundles(folder):
    store = folder / 'store'
    store.mkdir()
    make_index(store)
    for number, entry in enumerate(load_index(store / 'index.yaml').values()):
        (store / entry.file).write_bytes(bytes([number]) * 1000)
    bundle.write_bundle(folder / 'all.tar', sorted(load_index(store / 'index.yaml')), str(store))
    return [folder / 'all.tar', folder / 'all.tar', store]


def use_bundle(path, home):
    with tempfile.TemporaryDirectory() as root:
        done = bundle.import_bundle(path, root)
        return sorted((name, hashlib.sha256((Path(root) / name).read_bytes()).hexdigest()) for name in done.new)


# Results and lists


def make_scores(folder):
    rng = np.random.default_rng(0)
    paths = []
    for number in range(2):
        raw = rng.random((9, 2, len(CLASSES))).astype(np.float32)
        scores = Scores(
            ids=tuple(f'video {n}.mp4' for n in range(9)), labels=np.arange(9) % 3, branch_names=('fused', 'avg'),
            probabilities=raw / raw.sum(-1, keepdims=True), classes=CLASSES, groups=('door', 'door', 'hand'),
            protocol='train_time', failed={'broken.mp4': 'is cut'}, model='i3d_tiny_custom', dataset='mine',
            logits=np.log(raw[:, 0]) if number else None,
        )  # fmt: skip
        scores.save(folder / f'{number}.npz')
        paths.append(folder / f'{number}.npz')
    return paths


def use_scores(path, home):
    scores = Scores.load(path)
    summary = {key: value for key, value in summarize(scores).items() if not isinstance(value, dict)}
    return digest(scores.probabilities, scores.labels), scores.ids, scores.classes, sorted(scores.failed), repr(summary)


def make_lists(folder):
    (folder / 'clips').mkdir()
    names = [f'clips/{n} ä.mp4' for n in range(6)]
    for name in names:
        (folder / name).write_bytes(b'')
    csv = ['path,label,class,start,end', *(f'{name},{n % 3},{CLASSES[n % 3]},,' for n, name in enumerate(names))]
    texts = {
        'a.csv': '\n'.join(csv) + '\n',
        'b.csv': '\n'.join(['path,label,group', *(f'"{name}",{CLASSES[n % 3]},g' for n, name in enumerate(names))]),
        'c.txt': '\n'.join(f'{name.replace(" ", "_")} {n % 3}' for n, name in enumerate(names)) + '\n',
        'd.txt': '\n'.join(f'{name.replace(" ", "_")} {n + 20} {n % 3}' for n, name in enumerate(names)) + '\n',
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding='utf-8')
    return [folder / name for name in texts]


def use_list(path, home):
    dataset = build_dataset('csv', str(path), root=str(Path(path).parent))
    return dataset.records, dataset.labels.classes


def make_classes(folder):
    (folder / 'classes.txt').write_text('\n'.join(CLASSES) + '\n')
    (folder / 'kinetics.txt').write_text('\n'.join(f'{n} {name}' for n, name in enumerate(CLASSES)) + '\n')
    return [folder / 'classes.txt', folder / 'kinetics.txt']


def use_classes(path, home):
    net = other_network()
    net.labels = None
    try:
        name_classes(net, path)
        return net.classes
    finally:
        net.labels = None


def make_configs(folder):
    (folder / 'base.yaml').write_text('train: {epochs: 3, lr: 0.01, batch_size: 4}\ndata: {workers: 1}\n')
    (folder / 'run.yaml').write_text(
        '# mine\nbase: base.yaml\nmodel:\n  name: i3d_tiny_custom\n  nclass: 3\ndata:\n  dataset: folder\n'
        '  root: videos\n  augment: random_crop\n  frames: 4\ntrain:\n  lr_epochs: [1, 2]\n  lr: 0.02\n  wd: 0.0001\n'
        '  warmup_epochs: 1.0\n  seed: 3\ntest: {protocol: 3x1}\n'
    )
    return [folder / 'run.yaml', folder / 'run.yaml', folder / 'base.yaml']


def use_config(path, home):
    return repr(load_config(str(path), []))


# Folders that commands leave


def make_videos(folder):
    """A folder of one's own videos, with lists."""
    for split in ('train', 'val'):
        for label, name in enumerate(CLASSES[:2]):
            (folder / split / name).mkdir(parents=True)
            for number in range(2):
                write_film(folder / split / name / f'{number}.mp4', 'mpeg4', {}, 8 + label)
    return folder


def run_config(videos):
    """A run that takes a moment."""
    return load_config(
        None,
        [
            'model.name=i3d_tiny_custom', 'data.dataset=folder', f'data.root={videos}', 'data.augment=random_crop',
            'data.workers=0', 'data.frames=4', 'data.frame_stride=1', 'data.short_side=36', 'data.crop_size=32',
            'train.epochs=2', 'train.lr_epochs=[]', 'train.batch_size=2', 'train.lr=0.01', 'train.warmup_epochs=0',
            'train.checkpoint_steps=1', 'test.batch_size=4', 'model.pretrained_base=false',
        ],
    )  # fmt: skip


def make_runs(folder):
    """A run that is done, with the checkpoint that it would go on from."""
    config = run_config(make_videos(folder / 'videos'))
    loop.train(config, folder / 'run', progress=False)
    Threshold(0.5, 0.1, 4, 'folder', 'train_time').save(folder / 'run')
    for path in (folder / 'run' / 'tensorboard', folder / 'run' / 'curves.png'):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return [folder / 'run']


def use_run(path, home):
    net, config = load_run(path)
    values = digest(*(value.data().asnumpy() for value in net._collect_params_with_prefix().values()))
    records = read_metrics(Path(path) / 'metrics.jsonl')
    return values, net.classes, net.protocol, repr(config), load_threshold(path), len(records)


@functools.lru_cache(None)
def resumable(home):
    """A copy of the run that `make_runs` left, put together once."""
    folder = Path(tempfile.mkdtemp(prefix='gluon_fg-fuzz-')) / 'run'
    atexit.register(shutil.rmtree, folder.parent, True)
    shutil.copytree(home / 'run', folder)
    return parts.set_up(run_config(home / 'videos'), folder, World(), False, None)


def use_checkpoint(path, home):
    run = resumable(home)
    for old in run.run_dir.glob('checkpoint-*'):
        shutil.rmtree(old)
    for folder in Path(path).glob('checkpoint-*'):
        shutil.copytree(folder, run.run_dir / folder.name)
    state = resume(run)
    values = [value.data().asnumpy() for value in run.net._collect_params_with_prefix().values()]
    assert all(np.isfinite(value).all() for value in values), 'weights that are no numbers were taken'
    return state.updates, state.best, digest(*values)


def make_manifests(folder):
    videos = make_videos(folder / 'videos')
    prepare('folder', videos, workers=0)
    shutil.copyfile(next(videos.rglob('*.parquet')), folder / 'manifest.parquet')
    return [folder / 'manifest.parquet']


def use_manifest(path, home):
    manifest = read_manifest(path)
    return manifest.dataset, manifest.rows(), [(s.name, s.labels.classes) for s in manifest.splits.values()]


def make_flow(folder):
    paths = []
    write_film(folder / 'film.mp4', 'mpeg4', {}, 5)
    for layout in ('zip', 'pairs', 'uv'):
        out = folder / layout
        extract_flow(folder, ['film.mp4'], out, Header('dis', 20.0, None, layout, 90), workers=0)
        paths.append(out)
    return paths


def use_flow(path, home):
    flow = open_flow(path, 'film.mp4')
    try:
        return digest(flow.get_batch(range(len(flow)), (24, 32)))
    finally:
        flow.close()


def make_features(folder):
    paths = []
    for pooled in (True, False):
        shape = (6,) if pooled else (6, 2, 3, 3)
        views = [
            View(np.full(shape, n, np.float16), np.arange(4), Cut((48, 64), Window(0, 0, 32, 32), bool(n)))
            for n in range(2)
        ]
        paths.append(folder / f'{pooled}.npz')
        save_views(paths[-1], views)
    return paths


def use_features(path, home):
    views = load_views(path)
    return [(digest(view.pixels, view.frames), view.cut) for view in views]


KINDS = {
    kind.name: kind
    for kind in (
        Kind('films', 26, make_films, use_film),
        Kind('PNG pictures', 6, make_png, use_picture, checked=True),
        Kind('JPEG pictures', 6, make_jpeg, use_picture),
        Kind('other pictures', 4, make_pictures, use_picture),
        Kind('folders of frames', 3, make_frames, use_frames),
        Kind('weights (.params)', 9, make_params, use_params),
        Kind('weights of others', 8, make_foreign, use_foreign),
        Kind('score files', 8, make_scores, use_scores, checked=True),
        Kind('lists of videos', 8, make_lists, use_list, text=True),
        Kind('lists of several labels', 3, more.make_label_lists, more.use_label_list, text=True),
        Kind('lists of data sets', 3, more.make_datasets, more.use_dataset, pick=more.is_list),
        Kind('studies and their results', 3, more.make_studies, more.use_study, text=True),
        Kind('class similarities', 2, more.make_similarities, more.use_similarity),
        Kind('class files', 2, make_classes, use_classes, text=True),
        Kind('configs (YAML)', 8, make_configs, use_config, text=True),
        Kind('indexes (YAML)', 4, make_index, use_index, text=True),
        Kind('bundles', 5, make_bundles, use_bundle, checked=True),
        Kind('runs', 4, make_runs, use_run, pick=lambda name: 'checkpoint' not in name),
        Kind('checkpoints', 4, make_runs, use_checkpoint, checked=True, pick=lambda name: 'checkpoint' in name),
        Kind('manifests', 3, make_manifests, use_manifest, checked=True),
        Kind('optical flow', 4, make_flow, use_flow),
        Kind('features', 3, make_features, use_features),
    )
}
