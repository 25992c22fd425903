"""More kinds of files, for `kinds.KINDS`: lists of published data sets, of several labels, and results of studies."""

import re
from pathlib import Path

import miniatures
import numpy as np

from gluon_fg.analysis.similarity import ClassSimilarity, Similarity
from gluon_fg.data.catalog import build_dataset
from gluon_fg.data.label_lists import from_label_list
from gluon_fg.studies.chart import read_curves
from gluon_fg.studies.spec import load_study
from gluon_fg.studies.table import load_results, markdown_table

REPO = Path(__file__).resolve().parents[2]


def make_label_lists(folder):
    rows = [f'{n}.mp4,{n % 3} {2 - n % 2},,' for n in range(6)]
    (folder / 'a.csv').write_text('\n'.join(['path,labels,start,end', *rows, '']))
    (folder / 'b.txt').write_text(''.join(f'{n}.mp4 {n % 3} {2 - n % 2}\n' for n in range(6)))
    return [folder / 'a.csv', folder / 'b.txt']


def use_label_list(path, home):
    dataset = from_label_list(str(path), home)
    return dataset.records, dataset.labels.classes, dataset.targets.tolist()


def make_datasets(folder):
    miniatures.sthsthv2(folder / 'sthsthv2')
    miniatures.stanforddogs(folder / 'stanforddogs')
    return [folder / 'sthsthv2', folder / 'stanforddogs']


def is_list(name):
    """Whether a file of a data set is one of its lists."""
    return name.endswith(('.json', '.csv', '.txt', '.mat'))


def use_dataset(path, home):
    name = 'stanforddogs' if (path / 'Images').is_dir() else 'sthsthv2'
    dataset = build_dataset(name, 'train', root=str(path))
    return dataset.records, dataset.labels.classes


def make_studies(folder):
    for source in ('configs/studies', 'model_zoo/studies'):
        for path in sorted((REPO / source).glob('*synthfg.*'))[:4]:
            if path.suffix != '.md':
                text = re.sub(r'\.\./(\S+)\.yaml', r'\1', path.read_text())  # configs by name
                (folder / path.name).write_text(text)
    rows = [f'{n},0.{n},0.{n}5' for n in range(1, 6)]
    (folder / 'curve.csv').write_text('\n'.join(['filters,top1,within_group', *rows, '']))
    return sorted(folder.iterdir())


def use_study(path, home):
    if path.suffix == '.yaml':
        return repr(load_study(str(path)))
    return markdown_table(load_results(path)) if path.suffix == '.json' else repr(read_curves(path))


def make_similarities(folder):
    rng = np.random.default_rng(0)
    matrix = rng.random((3, 3))
    matrix = (matrix + matrix.T) / 2
    np.fill_diagonal(matrix, 1)
    kinds = (Similarity('features', None, matrix),)
    ClassSimilarity('i3d_tiny_custom', 'features', ('a', 'b', 'c'), None, kinds).save(folder / 'a.npz')
    return [folder / 'a.npz']


def use_similarity(path, home):
    loaded = ClassSimilarity.load(path)
    return loaded.classes, loaded.model, [kind.matrix.tolist() for kind in loaded.kinds]
