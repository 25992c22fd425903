"""Official lists and folders are read as the archives unpack; the facts are those of the published files."""

import logging
import shutil

import miniatures
import numpy as np
import pytest

from gluon_fg.data import build_dataset, dataset_info, label_set
from gluon_fg.data.catalog.layouts import in_fold
from gluon_fg.errors import UserError


@pytest.fixture(scope='module')
def ucf101(tmp_path_factory):
    return miniatures.ucf101(tmp_path_factory.mktemp('ucf101'))


@pytest.fixture(scope='module')
def hmdb51(tmp_path_factory):
    return miniatures.hmdb51(tmp_path_factory.mktemp('hmdb51'))


@pytest.fixture(scope='module')
def sthsthv1(tmp_path_factory):
    return miniatures.sthsthv1(tmp_path_factory.mktemp('sthsthv1'))


@pytest.fixture(scope='module')
def sthsthv2(tmp_path_factory):
    return miniatures.sthsthv2(tmp_path_factory.mktemp('sthsthv2'))


def test_class_orders_are_those_of_the_published_lists():
    """Counts, first, last and the places where lists of peers differ.

    classInd.txt, as MMAction2 4d6c934 has it in tools/data/ucf101/label_map.txt: GluonCV's UCF101Attr sorts capitals
    before small letters, and so swaps four of its names, though its own lists (scripts/datasets/ucf101.py) and with
    them its weights go by classInd.txt. HMDB51 and both Something-Somethings: tools/data/*/label_map.txt.
    """
    ucf = label_set('ucf101').classes
    assert len(ucf) == 101 and (ucf[0], ucf[1], ucf[99], ucf[100]) == (
        'ApplyEyeMakeup',
        'ApplyLipstick',
        'WritingOnBoard',
        'YoYo',
    )
    assert ucf[34:37] == ('Hammering', 'HammerThrow', 'HandstandPushups') and ucf[46:48] == ('JumpingJack', 'JumpRope')
    hmdb = label_set('hmdb51').classes
    assert len(hmdb) == 51 and (hmdb[0], hmdb[1], hmdb[-2], hmdb[-1]) == ('brush_hair', 'cartwheel', 'walk', 'wave')
    one, two = label_set('sthsthv1').classes, label_set('sthsthv2').classes
    assert len(one) == 174 and (one[0], one[-1]) == ('Holding something', 'Poking a hole into some substance')
    assert len(two) == 174 and (two[0], two[-1]) == (
        'Approaching something with your camera',
        'Wiping something off of something',
    )
    assert one != two and set(one) == set(two) and list(two) == sorted(two)


@pytest.mark.parametrize(
    'split, name, videos, first, last',
    [
        ('train1', 'train1', 202, 'v_ApplyEyeMakeup_g08_c01.avi', 'v_YoYo_g15_c01.avi'),
        ('train', 'train1', 202, 'v_ApplyEyeMakeup_g08_c01.avi', 'v_YoYo_g15_c01.avi'),
        ('train2', 'train2', 202, 'v_ApplyEyeMakeup_g01_c01.avi', 'v_YoYo_g15_c01.avi'),
        ('val', 'test1', 101, 'v_ApplyEyeMakeup_g01_c01.avi', 'v_YoYo_g01_c01.avi'),
        ('test2', 'test2', 101, 'v_ApplyEyeMakeup_g08_c01.avi', 'v_YoYo_g08_c01.avi'),
        ('test3', 'test3', 101, 'v_ApplyEyeMakeup_g15_c01.avi', 'v_YoYo_g15_c01.avi'),
    ],
)
def test_ucf101(ucf101, split, name, videos, first, last):
    data = build_dataset('ucf101', split, ucf101)
    assert data.name == f'ucf101 {name}' and len(data) == videos and (data.counts == videos // 101).all()
    assert data.records[0].path == f'UCF-101/ApplyEyeMakeup/{first}' and data.records[0].label == 0
    assert data.records[-1].path == f'UCF-101/YoYo/{last}' and data.records[-1].label == 100
    for record in data.records:
        assert record.path.split('/')[1] == data.labels.classes[record.label]
    assert data.probe(2) == []


def test_training_and_test_lists_of_a_split_have_no_video_in_common(ucf101, hmdb51):
    for name, root in (('ucf101', ucf101), ('hmdb51', hmdb51)):
        tested = []
        for number in '123':
            train, test = (
                {r.path for r in build_dataset(name, part + number, root).records} for part in ('train', 'test')
            )
            assert train and test and not train & test
            tested.append(test)
        assert len(set(map(frozenset, tested))) == 3


def test_hmdb51(hmdb51):
    train, test = (build_dataset('hmdb51', split, hmdb51) for split in ('train1', 'val'))
    assert (train.name, len(train), test.name, len(test)) == ('hmdb51 train1', 102, 'hmdb51 test1', 51)
    assert train.records[0].path == 'videos/brush_hair/#0_April_brush_hair_u_nm_np1_ba_goo_0.avi'
    assert test.records[-1].path == 'videos/wave/#50_April_wave_f_cm_np2_le_bad_2.avi'
    assert test.records[-1].label == 50 and (train.counts == 2).all() and (test.counts == 1).all()
    third = build_dataset('hmdb51', 'train3', hmdb51), build_dataset('hmdb51', 'train2', hmdb51)
    assert [len(data) for data in third] == [102, 51]  # code 0 is in neither
    assert train.probe(1) == []


def test_something_something_v1(sthsthv1):
    train, val, test = (build_dataset('sthsthv1', split, sthsthv1) for split in ('train', 'val', 'test'))
    assert [record.label for record in train.records] == list(range(174)) and len(test) == 2
    assert [(record.path, record.label) for record in val.records] == [
        ('20bn-something-something-v1/7', 173),
        ('20bn-something-something-v1/8', 2),
        ('20bn-something-something-v1/9', 0),
    ]
    assert [(record.path[-4:], record.label) for record in test.records] == [('1420', -1), ('1/21', -1)]
    frames, label = val[1]
    assert frames.shape == (8, 48, 64, 3) and label == 2 and val.name == 'sthsthv1 val'


def test_something_something_v2(sthsthv2, tmp_path):
    train, val, test = (build_dataset('sthsthv2', split, sthsthv2) for split in ('train', 'validation', 'test'))
    assert [record.label for record in train.records] == list(range(174)) and val.name == 'sthsthv2 val'
    assert [(record.path, record.label) for record in val.records] == [
        ('20bn-something-something-v2/7.webm', 173),
        ('20bn-something-something-v2/8.webm', 2),
        ('20bn-something-something-v2/9.webm', 0),
    ]
    assert [record.label for record in test.records] == [-1, -1] and val[0][0].shape == (12, 48, 64, 3)
    second = miniatures.sthsthv2(tmp_path, second_release=True)
    assert build_dataset('sthsthv2', 'train', second).fingerprint == train.fingerprint
    assert [record.label for record in build_dataset('sthsthv2', 'test', second).records] == [1, 5]


def test_templates_need_no_brackets_and_numbers_may_be_numbers(sthsthv2, tmp_path):
    root = tmp_path / 'root'
    shutil.copytree(sthsthv2, root)
    path = root / 'something-something-v2-validation.json'
    entries = [{'id': 7, 'template': 'Holding something'}, {'id': '8', 'template': '[Something] falling like a rock'}]
    miniatures.write_json(path, entries)
    val = build_dataset('sthsthv2', 'val', root)
    assert [val.labels.classes[r.label] for r in val.records] == ['Holding something', 'Something falling like a rock']
    for wrong, message in (
        ({'id': '8', 'template': 'Holding [a thing]'}, r"entry 1 \(id 8\): unknown class 'Holding a thing'; did you"),
        ({'id': '8'}, r'entry 1 \(id 8\): no template, but only the test list has none'),
        ({'template': 'Holding [something]'}, 'entry 1: .* has no id'),
        ({'id': '8', 'template': 3}, "entry 1: template '3' is not a text"),
    ):
        miniatures.write_json(path, [wrong])
        with pytest.raises(UserError, match=message):
            build_dataset('sthsthv2', 'val', root)
    path.write_text('{"id": "8"}')
    with pytest.raises(UserError, match='must be a JSON list'):
        build_dataset('sthsthv2', 'val', root)
    path.write_text('[{"id"')
    with pytest.raises(UserError, match='is not JSON that can be read'):
        build_dataset('sthsthv2', 'val', root)


def test_templates_are_grouped_by_their_verbs():
    for name in ('sthsthv1', 'sthsthv2'):
        labels = label_set(name)
        group = dict(zip(labels.classes, labels.groups))
        assert group['Something colliding with something and both come to a halt'] == 'Colliding'
        assert group['Something being deflected from something'] == 'Being deflected'
        assert group['Pretending or failing to wipe something off of something'] == 'Pretending'
        assert group['Pushing something from left to right'] == group['Pushing something so it spins'] == 'Pushing'
        assert labels.groups.count('Putting') == 19 and len(labels.group_names) == 52


def test_files_of_another_form_are_taken_and_missing_ones_counted(ucf101, tmp_path, caplog):
    """Many have made .mp4 files or folders of frames of the videos; some are always missing."""
    root = tmp_path / 'root'
    shutil.copytree(ucf101 / 'ucfTrainTestlist', root / 'annotations')
    miniatures.put(root / 'videos/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.mp4')
    miniatures.put_frames(root / 'videos/ApplyLipstick/v_ApplyLipstick_g01_c01', pattern='img_{:05d}.jpg')
    with caplog.at_level(logging.WARNING):
        data = build_dataset('ucf101', 'test1', root)
    assert data.records[0].path == 'videos/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.mp4'
    assert data.records[1].path == 'videos/ApplyLipstick/v_ApplyLipstick_g01_c01' and data[1][0].shape[0] == 8
    assert '99 of 101 listed videos are not in' in caplog.text and 'v_Archery_g01_c01.avi' in caplog.text
    assert len(data) == 101 and data.records[2].path == 'videos/Archery/v_Archery_g01_c01.avi'
    shutil.rmtree(root / 'videos/ApplyLipstick')
    (root / 'videos/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.mp4').unlink()
    with pytest.raises(UserError, match='none of the 101 videos of ucf101 test1 is there; the first should be .*avi'):
        build_dataset('ucf101', 'test1', root)


def test_lists_of_ones_own_come_first(ucf101, tmp_path):
    root = tmp_path / 'root'
    shutil.copytree(ucf101, root)
    (root / 'train.csv').write_text('path,label\nx.avi,YoYo\n')
    assert [tuple(r)[:2] for r in build_dataset('ucf101', 'train', root).records] == [('x.avi', 100)]
    assert len(build_dataset('ucf101', 'train1', root)) == 202


@pytest.mark.parametrize(
    'file, line, text, message',
    [
        (
            'trainlist01.txt',
            2,
            'ApplyEyeMakeup/x.avi 2',
            'line 2: ApplyEyeMakeup has label 2 here, but its number is 1',
        ),
        ('trainlist01.txt', 1, 'Knitted/x.avi 1', 'line 1: .* begins with no folder of a class'),
        ('classInd.txt', 35, '35 HammerThrow', 'classInd.txt line 35: .* is not of UCF101: its number is 36'),
        ('classInd.txt', 1, '1 ApplyEye', "classInd.txt line 1: .*did you mean 'ApplyEyeMakeup'"),
    ],
)
def test_wrong_lines_of_ucf101_are_named(ucf101, tmp_path, file, line, text, message):
    root = tmp_path / 'root'
    shutil.copytree(ucf101, root)
    lines = (root / 'ucfTrainTestlist' / file).read_text().splitlines()
    lines[line - 1] = text
    miniatures.write(root / 'ucfTrainTestlist' / file, lines)
    with pytest.raises(UserError, match=message) as error:
        build_dataset('ucf101', 'train1', root)
    assert '\n' not in str(error.value)


def test_wrong_lists_of_hmdb51_are_named(hmdb51, tmp_path):
    root = tmp_path / 'root'
    shutil.copytree(hmdb51, root)
    lists = root / 'testTrainMulti_7030_splits'
    miniatures.write(lists / 'chew_test_split1.txt', ['x.avi 3'])
    with pytest.raises(UserError, match="chew_test_split1.txt line 1: 'x.avi 3' is not a video and its code, 0, 1 or"):
        build_dataset('hmdb51', 'train1', root)
    (lists / 'chew_test_split1.txt').unlink()
    with pytest.raises(UserError, match='1 of 51 lists are missing, such as chew_test_split1.txt'):
        build_dataset('hmdb51', 'test1', root)


@pytest.mark.parametrize(
    'name, expected',
    [
        ('ucf101', 'expected ucfTrainTestlist/trainlist01.txt as its archive unpacks, or train.csv or train.txt'),
        ('hmdb51', 'expected testTrainMulti_7030_splits/brush_hair_test_split1.txt and so on'),
        ('sthsthv1', 'expected something-something-v1-train.csv, or train.csv or train.txt'),
        ('sthsthv2', 'expected something-something-v2-train.json, or train.csv or train.txt'),
    ],
)
def test_a_wrong_root_or_split_is_said_with_what_was_expected(name, expected, tmp_path):
    with pytest.raises(UserError, match=expected):
        build_dataset(name, 'train', tmp_path)
    with pytest.raises(UserError, match=f"unknown split of {name} 'trian'; did you mean 'train'"):
        build_dataset(name, 'trian', tmp_path)
    with pytest.raises(UserError, match='needs a root folder'):
        build_dataset(name, 'train')


def test_every_split_that_a_dataset_names_can_be_opened(ucf101, hmdb51, sthsthv1, sthsthv2):
    roots = {'ucf101': ucf101, 'hmdb51': hmdb51, 'sthsthv1': sthsthv1, 'sthsthv2': sthsthv2}
    for name, root in roots.items():
        for split in dataset_info(name).splits:
            data = build_dataset(name, split, root)
            assert np.array_equal(data.counts > 0, np.ones(data.nclass)) or len(data) < data.nclass


def test_a_run_of_a_split_means_the_lists_of_that_split(tmp_path, caplog):
    """The test list of split 1 has videos that a network of split 2 has learned."""
    cases = {
        ('train2', 'val'): 'test2',
        ('train3', 'test'): 'test3',
        ('train', 'val'): 'val',
        ('train1', 'test'): 'test',
    }
    cases.update({('train2', 'train'): 'train2', ('train2', 'test2'): 'test2', ('train2', 'list.txt'): 'list.txt'})
    for (trained, split), meant in cases.items():
        assert in_fold('ucf101', split, trained, tmp_path) == meant, (trained, split)
    assert in_fold('kinetics400', 'val', 'train2') == 'val' and not caplog.text
    with caplog.at_level(logging.WARNING):
        assert in_fold('hmdb51', 'test1', 'train2') == 'test1'
    assert 'test1 of hmdb51: the network was trained on train2, which has videos of it' in caplog.text
    (tmp_path / 'test.csv').write_text('path,label')
    assert in_fold('ucf101', 'test', 'train2', tmp_path) == 'test'
