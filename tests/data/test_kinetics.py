"""Kinetics is read as it is published: lists, names of classes, trees of clips and whole videos."""

import logging
import re
import shutil

import numpy as np
import pytest
from numbered import read_number

from gluon_fg.data import build_dataset
from gluon_fg.data.catalog import label_set
from gluon_fg.data.catalog.kinetics import gluoncv_name
from gluon_fg.data.catalog.kinetics_parents import EXERCISE, PARENTS
from gluon_fg.data.findings import find
from gluon_fg.data.prepare import prepare
from gluon_fg.errors import UserError
from gluon_fg.training import loop
from gluon_fg.training.config import load_config
from gluon_fg.visualization.health import write_report

# Places in the alphabetical lists that mmaction2 (tools/data/kinetics/label_map_k400.txt, k600, k700) and, for 400 and
# 700, GluonCV publish; those with capitals and brackets are where two ways of sorting would disagree.
PUBLISHED = {
    400: {
        0: 'abseiling',
        1: 'air drumming',
        161: 'hurling (sport)',
        196: "massaging person's head",
        208: 'passing American football (in game)',
        209: 'passing American football (not in game)',
        210: 'peeling apples',
        308: 'skiing (not slalom or crosscountry)',
        309: 'skiing crosscountry',
        398: 'yoga',
        399: 'zumba',
    },
    600: {  # weights of PySlowFast are of another order: its issue 95, which has luge and yoga in alphabetical order
        0: 'abseiling',
        1: 'acting in play',
        266: 'luge',
        598: 'yoga',
        17: 'backflip (human)',
        308: 'passing American football (in game)',
        309: 'passing american football (not in game)',
        528: 'throwing ball (not baseball or American football)',
        592: 'wood burning (art)',
        599: 'zumba',
    },
    700: {
        0: 'abseiling',
        1: 'acting in play',
        48: 'bouncing ball (not juggling)',
        327: "massaging person's head",
        354: 'passing American football (in game)',
        355: 'passing American football (not in game)',
        692: 'wood burning (art)',
        699: 'zumba',
    },
}

# From the official kinetics-400_val.csv and kinetics-400_test.csv
VAL = """label,youtube_id,time_start,time_end,split,is_cc
abseiling,0wR5jVB-WPk,417,427,val,0
abseiling,3caPS4FHFF8,36,46,val,0
"hurling (sport)",3yaoNwz99xM,62,72,val,0
zumba,6wx_FxoIzOo,0,1,val,0
"""
TEST = 'youtube_id,time_start,time_end,split\n--6bJUbfpnQ,17,27,test\n--8YXc8iCt8,2,12,test\n'


@pytest.fixture
def put(tmp_path, plain_video):
    """Write a file below the root: a text, or a copy of a film of 40 numbered frames, 25 a second."""

    def write(path, text=None):
        path = tmp_path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            shutil.copy(plain_video, path)
        else:
            path.write_text(text)
        return path

    return write


def named(data):
    return [(record.path, data.labels.classes[record.label] if record.label >= 0 else None) for record in data.records]


@pytest.mark.parametrize('size', [400, 600, 700])
def test_the_order_of_the_classes_is_the_published_one(size):
    labels = label_set(f'kinetics{size}')
    assert len(labels) == size and sorted(labels.classes) == list(labels.classes)
    for label, name in PUBLISHED[size].items():
        torchvision = re.sub(r"[()']", '', name.replace(' ', '_'))  # as its Kinetics arranges folders
        for spelling in (name, name.replace(' ', '_'), gluoncv_name(name), torchvision, labels.classes[label]):
            assert labels.find(spelling) == label, spelling
    assert labels.find('abseilin') is None


def test_parents_are_those_of_the_paper():
    """Figures of the appendix of Kay et al., and members that Martinez et al. name in section 5.2."""
    labels = label_set('kinetics400')
    sizes = {'waxing': 4, 'swimming': 3, 'cooking': 22, 'hair': 14, 'using tools': 13, 'eating + drinking': 17}
    sizes.update({'interacting with animals': 19, 'makeup': 5, 'water sports': 8, 'gymnastics': 5})
    sizes.update({'athletics - jumping': 6, 'racquet + bat sports': 8})  # the twelve of table 2
    assert len(PARENTS) == 38 and {name: len(PARENTS[name]) for name in sizes} == sizes
    children = [labels.find(child) for parent in PARENTS.values() for child in parent]
    assert None not in children
    counts = np.bincount(np.array(children), minlength=400)
    assert np.bincount(counts).tolist() == [14, 330, 56]  # classes with no, one and two parents

    group = dict(zip(labels.classes, labels.groups))
    assert set(group.values()) == {*PARENTS, EXERCISE}  # none of the 38 is lost to a smaller one
    for name in PARENTS:
        assert all(labels.find(child) is not None for child in PARENTS[name])
    assert {group[name] for name in ('waxing_back', 'waxing_chest', 'waxing_legs')} == {'waxing'}
    assert {group[f'swimming_{stroke}'] for stroke in ('backstroke', 'breast_stroke', 'butterfly_stroke')} == {
        'swimming'
    }
    assert {group[f'playing_{game}'] for game in ('tennis', 'cricket', 'badminton')} == {'racquet + bat sports'}
    assert group['surfing_water'] == group['water_skiing'] == 'water sports' and group['yoga'] == EXERCISE
    assert label_set('kinetics700').groups is None


@pytest.mark.parametrize('folder', ['', 'annotations/', 'kinetics400/'])
@pytest.mark.parametrize('file', ['val.csv', 'validate.csv', 'kinetics-400_val.csv', 'kinetics_val.csv'])
def test_official_lists_find_their_clips_wherever_they_lie(put, tmp_path, caplog, folder, file):
    put(folder + file, VAL)
    put('val/abseiling/0wR5jVB-WPk_000417_000427.mp4')
    put('val/hurling (sport)/3yaoNwz99xM_000062_000072.webm', '')
    put('videos_val/6wx_FxoIzOo_000000_000001.MP4', '')
    put('train/abseiling/3caPS4FHFF8_000036_000046.mp4', '')  # another split's
    data = build_dataset('kinetics400', 'validation' if folder else 'val', tmp_path)
    assert named(data) == [
        ('val/abseiling/0wR5jVB-WPk_000417_000427.mp4', 'abseiling'),
        ('val/hurling (sport)/3yaoNwz99xM_000062_000072.webm', 'hurling_-sport-'),
        ('videos_val/6wx_FxoIzOo_000000_000001.MP4', 'zumba'),
    ]
    assert data.nclass == 400 and data.labels == label_set('kinetics400')
    [message] = caplog.messages
    assert f'1 of 4 videos in {file} are not in {tmp_path}/val' in message
    assert message.endswith('and left out, such as 3caPS4FHFF8_000036_000046.mp4, or the whole 3caPS4FHFF8.mp4')
    with data.open(0) as reader:
        assert len(reader) == 40  # a clip is read as it is, whatever its times


def test_an_incomplete_list_is_noticed(put, tmp_path, caplog):
    """CVDF's val.csv of Kinetics-600 lacked half of the clips: cvdfoundation/kinetics-dataset, issue 33."""
    put('annotations/val.csv', VAL)
    for clip in ('0wR5jVB-WPk_000417_000427', '3caPS4FHFF8_000036_000046', '3caPS4FHFF8_000036_000047', 'AAAAAAAAAAA'):
        put(f'val/{clip}.mp4', '')
    assert len(build_dataset('kinetics600', 'val', tmp_path)) == 2
    assert caplog.messages[0] == f'kinetics600 val: 1 clips in {tmp_path}/val are not in val.csv'


def test_whole_videos_are_cut_by_the_times(put, tmp_path, caplog):
    put('annotations/train.csv', VAL.replace(',val,', ',train,') + 'zumba,6wx_FxoIzOo,1,2,train,0\n')
    put('videos/6wx_FxoIzOo.mp4')
    caplog.set_level(logging.ERROR)
    data = build_dataset('kinetics400', 'train', tmp_path)
    assert data.records == (('videos/6wx_FxoIzOo.mp4', 399, 0, 1), ('videos/6wx_FxoIzOo.mp4', 399, 1, 2))
    shown = [[read_number(frame) for frame in data[i][0]] for i in range(2)]
    assert shown == [list(range(25)), list(range(25, 40))]


def test_test_lists_have_no_labels_and_frames_may_be_in_folders(put, tmp_path):
    put('annotations/test.csv', TEST)
    put('rawframes_test/--8YXc8iCt8_000002_000012/img_00001.jpg', '')
    put('replacement/replacement_for_corrupted_k400/--6bJUbfpnQ_000017_000027.mp4', '')
    put('rawframes_test/--6bJUbfpnQ_000017_000027.mp4', '')
    assert named(build_dataset('kinetics400', 'test', tmp_path)) == [
        ('replacement/replacement_for_corrupted_k400/--6bJUbfpnQ_000017_000027.mp4', None),
        ('rawframes_test/--8YXc8iCt8_000002_000012', None),
    ]


@pytest.mark.parametrize('size', [400, 600, 700])
@pytest.mark.parametrize('spell', [str, lambda name: name.replace(' ', '_'), gluoncv_name])
def test_a_tree_of_a_few_classes_is_a_subset_in_known_order(put, tmp_path, size, spell):
    names = ['yoga', 'passing American football (in game)', 'waxing legs', 'hurling (sport)']
    for name in names:
        put(f'videos_train/{spell(name)}/x y.mp4', '')
    put(f'videos_val/{spell(names[0])}/1.mp4', '')
    train, val = (build_dataset(f'kinetics{size}', split, tmp_path) for split in ('train', 'val'))
    known = label_set(f'kinetics{size}')
    order = sorted(known.find(name) for name in names)
    assert train.labels.classes == val.labels.classes == tuple(known.classes[label] for label in order)
    assert named(val) == [(f'videos_val/{spell("yoga")}/1.mp4', 'yoga')] and val.records[0].label == 3
    assert sorted(record.label for record in train.records) == [0, 1, 2, 3]
    groups = ('racquet + bat sports', 'ball sports', 'waxing', EXERCISE)
    assert train.labels.groups == (groups if size == 400 else None)


def test_classes_txt_names_a_subset_of_the_lists(put, tmp_path):
    put('val.csv', VAL)
    put('classes.txt', 'zumba\nhurling (sport)\n')
    for clip in ('0wR5jVB-WPk_000417_000427', '3yaoNwz99xM_000062_000072', '6wx_FxoIzOo_000000_000001'):
        put(f'val/{clip}.mp4', '')
    data = build_dataset('kinetics400', 'val', tmp_path)
    assert data.labels.classes == ('hurling_-sport-', 'zumba') and data.labels.groups == (
        'racquet + bat sports',
        'dancing',
    )
    assert [record.label for record in data.records] == [0, 1]
    put('classes.txt', 'zumba\nhurlin\n')
    with pytest.raises(UserError, match=r"classes.txt line 2: unknown class 'hurlin'; did you mean 'hurdling'"):
        build_dataset('kinetics400', 'val', tmp_path)


def test_lists_of_other_projects(put, tmp_path):
    put('kinetics400_train_list_videos.txt', 'hurling_(sport)/a_000001_000011.mp4 161\nabseiling/b.mp4 0\n')
    put('videos_train/abseiling/b.mp4', '')
    data = build_dataset('kinetics400', 'train', tmp_path)  # mmaction2's: paths start from the split's videos
    assert data.path(1) == str(tmp_path / 'videos_train/abseiling/b.mp4')
    assert named(data)[0] == ('hurling_(sport)/a_000001_000011.mp4', 'hurling_-sport-')
    put('kinetics400_test_list_rawframes.txt', 'zumba/b_000001_000011 300 399\n')
    put('rawframes_test/zumba/b_000001_000011/img_00001.jpg', '')
    data = build_dataset('kinetics400', 'test', tmp_path)
    assert data.path(0) == str(tmp_path / 'rawframes_test/zumba/b_000001_000011') and data.records[0].label == 399
    put('val.txt', 'val_256/zumba/c.mp4 250 399\n')  # GluonCV's
    assert named(build_dataset('kinetics400', 'val', tmp_path)) == [('val_256/zumba/c.mp4', 'zumba')]
    put('mine.csv', 'path,label,start,end\nlong.mp4,air drumming,3,9.5\n')
    assert build_dataset('kinetics400', str(tmp_path / 'mine.csv'), tmp_path).records == (('long.mp4', 1, 3, 9.5),)


@pytest.mark.parametrize(
    ('files', 'split', 'message'),
    [
        ({}, 'val', 'no list and no folder for split .val. of kinetics400; expected annotations/val.csv as it is pub'),
        ({}, 'dev', "unknown split of kinetics400 'dev'; choose from test, train, val"),
        (
            {'val.csv': VAL},
            'val',
            'none of its 4 videos is in .*; the first should be 0wR5jVB-WPk_000417_000427.mp4, or th',
        ),
        (
            {'val.csv': VAL.replace('zumba', 'zumbaa')},
            'val',
            "val.csv line 5: unknown class 'zumbaa'; did you mean 'zumb",
        ),
        ({'val.csv': VAL.replace('62', 'x')}, 'val', "val.csv line 4: time_start 'x' is not a time in seconds"),
        (
            {'val.csv': VAL.replace('427', '417')},
            'val',
            'val.csv line 2: .* names no video, or a clip that ends before',
        ),
        ({'val.csv': VAL.replace(',36', '')}, 'val', 'val.csv line 3: 5 columns, the header has 6: label, youtube_id'),
        ({'val.csv': VAL.split('\n')[0]}, 'val', 'val.csv: lists no clip'),
        ({'val.csv': VAL}, 'train', 'no list and no folder for split .train.'),
        ({'val.csv': VAL.replace(',val,', ',train,')}, 'val', "val.csv: lists no clip of split 'val'"),
        ({'train/zumbaa/x.mp4': ''}, 'train', "train: unknown class 'zumbaa'; did you mean 'zumba'"),
        ({'train/zumba/x.txt': ''}, 'train', 'train: no video of the 1 classes in its class folders'),
    ],
)
def test_what_is_wrong_is_named(put, tmp_path, files, split, message):
    for name, text in files.items():
        put(name, text)
    with pytest.raises(UserError, match=message):
        build_dataset('kinetics400', split, tmp_path)


def test_a_column_of_groups_is_kept_for_known_classes(put, tmp_path):
    rows = [
        f'{i}.mp4,{name},{"even" if i % 2 == 0 else "odd"}' for i, name in enumerate(label_set('kinetics700').classes)
    ]
    put('train.csv', '\n'.join(['path,label,group', *rows]))
    labels = build_dataset('kinetics700', 'train', tmp_path).labels
    assert labels.groups[:3] == ('even', 'odd', 'even') and labels.classes == label_set('kinetics700').classes
    put('val.csv', '\n'.join(['path,label,group', *rows[:5]]))  # of some classes alone: there are none
    assert build_dataset('kinetics700', 'val', tmp_path).labels.groups is None
    put('val.csv', 'path,label,group\na.mp4,yoga,x\nb.mp4,yoga,y\n')
    with pytest.raises(UserError, match="val.csv line 3: label yoga is in group 'y' here, 'x' before"):
        build_dataset('kinetics400', 'val', tmp_path)


def test_a_folder_of_classes_without_splits_is_all_of_each(put, tmp_path, caplog):
    put('zumba/a.mp4', '')
    put('yoga/b.mp4', '')
    assert named(build_dataset('kinetics600', 'val', tmp_path)) == [('yoga/b.mp4', 'yoga'), ('zumba/a.mp4', 'zumba')]
    assert 'no folder for a split (train, val, test)' in caplog.text


@pytest.mark.parametrize('model', ['i3d_tiny_custom', 'i3d_tiny_custom_dfb'])
def test_a_subset_trains_with_its_own_classes(put, tmp_path, model):
    names = ['yoga', 'zumba', 'waxing legs', 'hurling (sport)']
    for split in ('train', 'val'):
        for name in names:
            put(f'k400/{split}/{name}/{split}.mp4')
    config = load_config(
        None,
        [
            f'model.name={model}',
            'model.start=none',
            'data.dataset=kinetics400',
            f'data.root={tmp_path / "k400"}',
            'data.workers=1',
            'data.frames=8',
            'data.short_side=48',
            'data.crop_size=48',
            'train.epochs=2',
            'train.lr_epochs=[]',
            'train.warmup_epochs=0',
            'train.batch_size=4',
            'test.val_protocol=1x1',
        ],
    )
    summary = loop.train(config, tmp_path / 'run', progress=False)
    classes = ('hurling_-sport-', 'waxing_legs', 'yoga', 'zumba')
    assert (tmp_path / 'run/classes.txt').read_text().split('\n')[:4] == list(classes)
    assert np.isfinite(summary['best']['top1'])


def test_a_manifest_keeps_what_is_gone(put, tmp_path, caplog):
    put('annotations/val.csv', VAL)
    put('val/6wx_FxoIzOo.mp4')
    put('val/zumba/0wR5jVB-WPk_000417_000427.mp4')
    listed = build_dataset('kinetics400', 'val', tmp_path)
    assert [name[:25] for name in listed.gone] == ['3caPS4FHFF8_000036_000046', '3yaoNwz99xM_000062_000072']
    prepare('kinetics400', tmp_path, ['val'], workers=0)
    caplog.clear()
    again = build_dataset('kinetics400', 'val', tmp_path)
    assert (again.records, again.labels, again.gone) == (listed.records, listed.labels, listed.gone)
    [message] = caplog.messages  # once more, as it is of fewer clips than the list
    assert message.startswith('kinetics400 val: 2 videos of its list are not on disk, such as 3caPS4FHFF8')
    made = prepare('kinetics400', tmp_path, ['val'], workers=0)
    write_report(made.folder, made.manifest, find(made.manifest))
    assert (made.folder / 'gone.csv').read_text().splitlines() == [
        'split,video',
        f'val,"{listed.gone[0]}"',
        f'val,"{listed.gone[1]}"',
    ]
