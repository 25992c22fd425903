"""Stanford Dogs (Khosla et al. 2011), the images of Zhao et al., sec. IV-E: 120 breeds of dogs.

Read from where its archives unpack to, under one root:

    Images/n02085620-Chihuahua/n02085620_10074.jpg ...   train_list.mat   test_list.mat

12000 images for training and 8580 for testing, no split for validation. Labels in the files count from 1, here from 0.
"""

from __future__ import annotations

from typing import Dict, List

from ...errors import UserError
from ..datasets import VideoDataset, VideoRecord
from .entry import DatasetInfo, Request, register_dataset
from .matlab_lists import labeled, read_variables, split_folder

_WHERE = 'Stanford Dogs lies there as its archives unpack: see gluon_fg.data.catalog.stanforddogs'


def open_dogs(info: DatasetInfo, asked: Request) -> VideoDataset:
    """Open the images of a split, the classes named like their folders.

    Raises
    ------
    UserError
        no root, an unknown split, a file that is missing or of another form, or labels and folders that do not agree
    """
    root, split = split_folder(info, asked)
    names: Dict[int, str] = {}
    listed: Dict[str, List[VideoRecord]] = {}
    for part in info.splits:  # a class that only one of them has keeps its label
        path, content = read_variables(root, (f'{part}_list.mat',), ('file_list', 'labels'), _WHERE)
        files, labels = (content[name].get('', []) for name in ('file_list', 'labels'))
        if len(files) != len(labels):
            raise UserError(f'{path}: {len(files)} images and {len(labels)} labels')
        listed[part] = [VideoRecord(f'Images/{r.path}', r.label) for r in labeled(path, list(map(str, files)), labels)]
        for record in listed[part]:
            label, folder = record.label, record.path.split('/')[1]
            if names.setdefault(label, folder) != folder:
                raise UserError(f'{path}: label {label + 1} is of {folder} here, of {names[label]} before')
    missing = set(range(len(names))) - set(names)
    if missing:
        raise UserError(f'{root}: no image has label {min(missing) + 1}, but others have {max(names) + 1}')
    breeds = [names[label].partition('-')[2] or names[label] for label in range(len(names))]
    return VideoDataset(listed[split], info.labels_of(breeds), root, f'{info.name} {split}', asked.cache)


# A dog seen in a mirror is of the same kind, whatever its name.
register_dataset(DatasetInfo('stanforddogs', 120, open_dogs, symmetric=True, splits=('train', 'test')))
