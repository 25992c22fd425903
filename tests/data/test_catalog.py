"""Each dataset is one record, whose numbers are those of the real lists."""

import numpy as np
import pytest

from gluon_fg.data import build_dataset, dataset_info, label_set, list_datasets, register_dataset
from gluon_fg.data.catalog import DatasetInfo, Request, open_folders, open_lists
from gluon_fg.data.catalog.gluoncv_classes import gluoncv_classes
from gluon_fg.errors import UserError

FILES_TELL = {'folder', 'image_folder', 'csv', 'stanfordcars', 'stanforddogs', 'minikinetics', 'gym288', 'multilabel'}


@pytest.mark.parametrize('name', list_datasets())
def test_class_counts_are_those_of_the_lists(name):
    info, labels = dataset_info(name), label_set(name)
    assert info.name == name and (labels is None) == (name in FILES_TELL)
    if labels is not None:
        assert len(labels) == info.nclass == len(set(labels.classes))
    if info.symmetric and labels is not None:
        assert np.array_equal(labels.flip_map, np.arange(len(labels)))


def test_groups_and_mirror_rules_are_part_of_the_record():
    order, everything = label_set('synthfg_order'), label_set('synthfg')
    assert len(everything.group_names) == 6 and set(order.group_names) < set(everything.group_names)
    assert [everything.groups[everything.classes.index(name)] for name in order.classes] == list(order.groups)
    assert not np.array_equal(label_set('sthsthv2').flip_map, np.arange(174))  # left and right swap
    assert dataset_info('stanfordcars').labels_of(['Turn Left Coupe', 'Sedan']).flip_map.tolist() == [0, 1]
    assert dataset_info('folder').labels_of(['turn left', 'sit']).flip_map.tolist() == [-1, 1]


def test_names_are_read_only_when_they_are_needed():
    info = DatasetInfo('later', 3, open_lists, gluoncv_classes('NoSuchList'))
    with pytest.raises(AttributeError, match='NoSuchList'):
        info.label_set()


@pytest.mark.parametrize(
    'record, message',
    [
        (dict(name='', nclass=2), "a dataset needs a name, got ''"),
        (dict(name='x', nclass=3, classes=('a', 'b')), "dataset 'x': 2 class names for nclass 3"),
        (dict(name='ucf101', nclass=2), "dataset 'ucf101' is registered already; choose another name"),
    ],
)
def test_wrong_records_are_refused_in_one_line(record, message):
    with pytest.raises(UserError, match=message):
        register_dataset(DatasetInfo(open=open_lists, **record))


def test_folders_of_a_dataset_with_known_classes_keep_its_labels_and_groups(tmp_path):
    for split in ('train', 'val'):
        (tmp_path / split / 'sit').mkdir(parents=True)
        (tmp_path / split / 'sit' / 'x.mp4').touch()
    info = DatasetInfo('own', 2, open_folders, ('run', 'sit'), groups=('fast', 'slow'))
    val = info.open(info, Request('val', tmp_path))
    assert [r.label for r in val.records] == [1] and val.labels.groups == ('fast', 'slow') and val.name == 'own val'


def test_kinetics700_is_opened_by_lists(tmp_path):
    (tmp_path / 'val.txt').write_text('a.mp4 300 699\n')
    data = build_dataset('kinetics700', 'val', tmp_path)
    assert data.nclass == 700 and data.records[0][:2] == ('a.mp4', 699)
