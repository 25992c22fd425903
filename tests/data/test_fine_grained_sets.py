"""MiniKinetics, FineGym and Diving48 are read from the files that are published; facts are of these."""

import json
import shutil

import pytest
from numbered import read_number

from gluon_fg.data import build_dataset
from gluon_fg.data.catalog import label_set
from gluon_fg.errors import UserError

CSV = """label,youtube_id,time_start,time_end,split,is_cc
abseiling,0wR5jVB-WPk,417,427,{split},0
zumba,6wx_FxoIzOo,0,10,{split},0
yoga,3caPS4FHFF8,36,46,{split},0
"""


@pytest.fixture
def put(tmp_path, plain_video):
    """Write a file below the root: a text, what becomes JSON, or a copy of a film of 40 numbered frames."""

    def write(path, content=None):
        path = tmp_path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            shutil.copy(plain_video, path)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def clips(put, split):
    put(f'annotations/{split}.csv', CSV.format(split=split))
    for clip in ('0wR5jVB-WPk_000417_000427', '6wx_FxoIzOo_000000_000010', '3caPS4FHFF8_000036_000046'):
        put(f'{split}/{clip}.mp4', '')


def test_minikinetics_by_its_classes(put, tmp_path):
    clips(put, 'val')
    with pytest.raises(UserError, match='no list that says what minikinetics is; put its classes, one a'):
        build_dataset('minikinetics', 'val', tmp_path)
    put('classes.txt', 'zumba\n\nabseiling\n')
    data = build_dataset('minikinetics', 'val', tmp_path)
    assert data.labels.classes == ('abseiling', 'zumba') and data.labels.groups == ('heights', 'dancing')
    assert [record.label for record in data.records] == [0, 1] and data.name == 'minikinetics val'


def test_minikinetics_by_its_videos(put, tmp_path):
    """As Xie et al. publish it: videos of the training and of the validation set, without classes."""
    for split in ('train', 'val'):
        clips(put, split)
    put('train_ytid_list.txt', '6wx_FxoIzOo\n3caPS4FHFF8\nAAAAAAAAAAA\n')
    put('val_ytid_list.txt', '3caPS4FHFF8\n')
    train, val = (build_dataset('minikinetics', split, tmp_path) for split in ('train', 'val'))
    assert train.labels.classes == val.labels.classes == ('yoga', 'zumba')
    assert [(r.path, r.label) for r in val.records] == [('val/3caPS4FHFF8_000036_000046.mp4', 0)]
    assert sorted(record.label for record in train.records) == [0, 1]
    assert build_dataset('kinetics400', 'val', tmp_path).nclass == 400  # whose root it is


GYM = '0LtLS9wROrk_E_002407_002435'
TIMES = {
    '0LtLS9wROrk': {
        'E_002407_002435': {
            'event': 1,
            'timestamps': [[0.2, 1.6]],
            'segments': {
                'A_0000_0001': {'stages': 1, 'timestamps': [[0.0, 0.4]]},
                'A_0001_0002': {'stages': 2, 'timestamps': [[0.4, 0.6], [0.6, 1.0]]},
            },
        },
        'E_003000_003010': {'event': 7, 'timestamps': [[0.0, 1.0]], 'segments': None},
    }
}
LIST = f'{GYM}_A_0000_0001 3\n{GYM}_A_0001_0002 98\n'


def shown(data, index):
    return [read_number(frame) for frame in data[index][0]]


def test_gym99_has_the_published_names():
    """As in mmaction2's tools/data/gym/label_map.txt; that two are the same is issue 100 of kennymckormick/pyskl."""
    labels = label_set('gym99')
    first = '(VT) round-off, flic-flac with 0.5 turn on, stretched salto forward with 0.5 turn off'
    assert len(labels) == 99 and labels.classes[0] == first
    assert labels.classes[98] == '(UB) (swing forward) double salto backward stretched'
    assert (labels.classes[58], labels.classes[70]) == (
        '(BB) salto backward tucked',
        '(BB) salto backward tucked [70]',
    )
    sizes = {name: labels.groups.count(name) for name in labels.group_names}
    assert sizes == {'vault': 6, 'floor exercise': 35, 'balance beam': 33, 'uneven bars': 25}


@pytest.mark.parametrize(
    ('file', 'first', 'second'),
    [
        ('videos/0LtLS9wROrk.mp4', (0.2, 0.6, range(5, 15)), (0.6, 1.2, range(15, 30))),
        (f'events/{GYM}.mp4', (0.0, 0.4, range(10)), (0.4, 1.0, range(10, 25))),
    ],
)
def test_gym99_cuts_elements_of_events_of_videos(put, tmp_path, file, first, second):
    put('annotations/gym99_train_element_v1.0.txt', LIST)
    put('annotations/annotation.json', TIMES)
    put(file)
    data = build_dataset('gym99', 'train', tmp_path)
    assert [record.label for record in data.records] == [3, 98] and {record.path for record in data.records} == {file}
    for index, (start, end, frames) in enumerate((first, second)):
        assert data.records[index][2:] == (pytest.approx(start), pytest.approx(end))
        assert shown(data, index) == list(frames)


def test_gym99_takes_clips_before_longer_videos_and_counts_what_is_gone(put, tmp_path, caplog):
    put('gym99_val_element.txt', LIST + 'E-1hTCGUCts_E_004631_004714_A_0033_0034 5\n')
    put('finegym_annotation_info_v1.1.json', TIMES)
    put(f'subactions/{GYM}_A_0000_0001.mp4')
    put(f'subaction_frames/{GYM}_A_0001_0002/img_00001.jpg', '')
    put('videos/0LtLS9wROrk.mp4', '')
    data = build_dataset('gym99', 'test', tmp_path)
    assert [r.path for r in data.records] == [
        f'subactions/{GYM}_A_0000_0001.mp4',
        f'subaction_frames/{GYM}_A_0001_0002',
    ]
    assert [r[2:] for r in data.records] == [(None, None)] * 2 and len(shown(data, 0)) == 40
    [message] = caplog.messages
    assert message.startswith('gym99 val: 1 of 3 videos in gym99_val_element.txt are not in')
    assert message.endswith(
        'such as E-1hTCGUCts_E_004631_004714_A_0033_0034.mp4 in subactions, or E-1hTCGUCts.mp4 in videos'
    )


def test_gym288_reads_its_names(put, tmp_path):
    put('gym288_train_element_v1.1.txt', f'{GYM}_A_0000_0001 216\n')
    put(f'subactions/{GYM}_A_0000_0001.mp4', '')
    numbered = build_dataset('gym288', 'train', tmp_path)
    assert numbered.labels.classes == tuple(map(str, range(288))) and numbered.labels.groups is None
    names = [f'(FX) element {label}' for label in range(288)]
    names[180] = names[216] = '(BB) salto backward tucked with 1 twist'  # so in the published file
    lines = [f'Clabel: {label:3}; set:  21; Glabel: {label:3}; {name}' for label, name in enumerate(names)]
    put('categories/gym288_categories.txt', '\n'.join(lines))
    data = build_dataset('gym288', 'train', tmp_path)
    assert data.labels.classes[180] == names[180] and data.labels.classes[216] == f'{names[180]} [216]'
    assert data.labels.groups[216] == 'balance beam' and data.records[0].label == 216
    put('categories/gym288_categories.txt', '\n'.join(lines[:-1]))
    with pytest.raises(UserError, match='has 287 categories, gym288 has 288'):
        build_dataset('gym288', 'train', tmp_path)
    put('categories/gym288_categories.txt', '\n'.join(lines[1:]))
    with pytest.raises(UserError, match="line 1: 'Clabel:   1; set: .* is not the category with Clabel 0"):
        build_dataset('gym288', 'train', tmp_path)


@pytest.mark.parametrize(
    ('files', 'message'),
    [
        ({}, "no list for split 'train' of gym99; expected gym99_train_element_v1.1.txt"),
        (
            {'gym99_train_org.txt': LIST},
            'none of its 2 videos is in .*; the first should be 0LtLS9wROrk_E_002407_002',
        ),
        ({'gym99_train_org.txt': 'x 3\n'}, "line 1: 'x 3' is not an element and its label"),
        ({'gym99_train_org.txt': LIST.replace(' 98', ' 99')}, 'line 2: label 99 is outside 0..98'),
        (
            {'gym99_train_org.txt': LIST, 'videos/0LtLS9wROrk.mp4': ''},
            '0LtLS9wROrk: cutting it takes finegym_annotation_info_v1.1.json, which does not lie beside the lists',
        ),
        (
            {
                'gym99_train_org.txt': LIST.replace('E_002407_002435', 'E_003000_003010'),
                'annotation.json': TIMES,
                'videos/0LtLS9wROrk.mp4': '',
            },
            'annotation.json: has no times of 0LtLS9wROrk_E_003000_003010_A_0000_0001',
        ),
    ],
)
def test_what_is_wrong_with_gym99_is_named(put, tmp_path, files, message):
    for name, content in files.items():
        put(name, content)
    with pytest.raises(UserError, match=message):
        build_dataset('gym99', 'train', tmp_path)


ENTRIES = [
    {'vid_name': '_8Vy3dlHg2w_00000', 'label': 26, 'start_frame': 0, 'end_frame': 39},
    {'vid_name': '2x00lRzlTVQ_00001', 'label': 0, 'start_frame': 0, 'end_frame': 39},
]
VOCABULARY = [name.split() for name in label_set('diving48').classes]


def test_diving48_has_the_published_names():
    """As in mmaction2's tools/data/diving48/label_map.txt, which has + between the words."""
    labels = label_set('diving48')
    assert len(labels) == 48
    for label, name in {
        0: 'Back+15som+05Twis+FREE',
        16: 'Back+Dive+NoTwis+TUCK',
        17: 'Forward+15som+1Twis+FREE',
        30: 'Forward+Dive+NoTwis+STR',
        36: 'Inward+Dive+NoTwis+PIKE',
        47: 'Reverse+Dive+NoTwis+TUCK',
    }.items():
        assert labels.find(name) == label
    sizes = {name: labels.groups.count(name) for name in labels.group_names}
    assert sizes == {'Back': 17, 'Forward': 14, 'Inward': 6, 'Reverse': 11} and labels.flip_allowed


@pytest.mark.parametrize(('lists', 'videos'), [('', 'rgb'), ('annotations/', 'videos')])
def test_diving48(put, tmp_path, lists, videos):
    put(f'{lists}Diving48_V2_train.json', ENTRIES)
    put(f'{lists}Diving48_train.json', [])  # of the first version
    put(f'{lists}Diving48_V2_test.json', ENTRIES[:1])
    put(f'{lists}Diving48_vocab.json', VOCABULARY)
    for entry in ENTRIES:
        put(f'{videos}/{entry["vid_name"]}.mp4')
    train, val = (build_dataset('diving48', split, tmp_path) for split in ('train', 'val'))
    assert [(r.path, r.label) for r in train.records] == [
        (f'{videos}/_8Vy3dlHg2w_00000.mp4', 26),
        (f'{videos}/2x00lRzlTVQ_00001.mp4', 0),
    ]
    assert len(val) == 1 and val.name == 'diving48 test' and len(val[0][0]) == 40


@pytest.mark.parametrize(
    ('entries', 'vocabulary', 'message'),
    [
        (None, VOCABULARY, "no list for split 'train' of diving48; expected Diving48_V2_train.json"),
        ([{**ENTRIES[0], 'label': 48}], VOCABULARY, r'entry 1 \(_8Vy3dlHg2w_00000\): label 48 is outside 0..47'),
        ([{'label': 1}], VOCABULARY, 'entry 1: .* has no vid_name'),
        ({}, VOCABULARY, 'must be a JSON list'),
        ('[{', VOCABULARY, 'is not JSON that can be read'),
        ([], VOCABULARY, 'lists no video'),
        (ENTRIES, VOCABULARY[1:], "has 'Back 15som 15Twis FREE' as number 0, expected 'Back 15som 05Twis FREE'"),
        (ENTRIES, VOCABULARY + [['x']], "has 'x' as number 48, expected 'no more than 48 dives'"),
        (ENTRIES, VOCABULARY, 'no videos of diving48 train there; expected .*rgb/_8Vy3dlHg2w_00000.mp4'),
    ],
)
def test_what_is_wrong_with_diving48_is_named(put, tmp_path, entries, vocabulary, message):
    put('Diving48_vocab.json', vocabulary)
    if entries is not None:
        put('Diving48_V2_train.json', entries)
    with pytest.raises(UserError, match=message):
        build_dataset('diving48', 'train', tmp_path)
