"""Stanford Cars (Krause et al. 2013), the images of Zhao et al., sec. IV-E: 196 makes and models of cars.

Read from where its archives unpack to, under one root:

    cars_train/00001.jpg ...   cars_test/00001.jpg ...   devkit/cars_meta.mat   devkit/cars_train_annos.mat
    cars_test_annos_withlabels.mat (a download of its own; also found in devkit/)

8144 images for training and 8041 for testing, no split for validation. Labels in the files count from 1, here from 0.
"""

from __future__ import annotations

from typing import Tuple

from ...errors import UserError
from ..datasets import VideoDataset
from .entry import DatasetInfo, Request, register_dataset
from .matlab_lists import labeled, read_variables, split_folder

_WHERE = 'Stanford Cars lies there as its archives unpack: see gluon_fg.data.catalog.stanfordcars'


def open_cars(info: DatasetInfo, asked: Request) -> VideoDataset:
    """Open the images of a split.

    Raises
    ------
    UserError
        no root, an unknown split, a file that is missing or of another form, or a label without a class
    """
    root, split = split_folder(info, asked)
    meta = read_variables(root, ('devkit/cars_meta.mat',), ('class_names',), _WHERE)[1]
    names = list(map(str, meta['class_names'].get('', [])))
    places: Tuple[str, ...] = ('devkit/cars_train_annos.mat',)
    if split == 'test':
        places = ('cars_test_annos_withlabels.mat', 'devkit/cars_test_annos_withlabels.mat')
    path, content = read_variables(root, places, ('annotations',), _WHERE)
    rows = content['annotations']
    for field in ('fname', 'class'):
        if field not in rows:
            hint = '; take cars_test_annos_withlabels.mat' if split == 'test' else ''
            raise UserError(f'{path}: its annotations have no field {field!r}{hint}')
    files = [f'cars_{split}/{name}' for name in rows['fname']]
    records = labeled(path, files, rows['class'], len(names))
    return VideoDataset(records, info.labels_of(names), root, f'{info.name} {split}', asked.cache)


# A car seen in a mirror is of the same kind, whatever its name.
register_dataset(DatasetInfo('stanfordcars', 196, open_cars, symmetric=True, splits=('train', 'test')))
