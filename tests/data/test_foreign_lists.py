"""Lists as spreadsheets, scripts and other projects write them: each is read right, or one line says what is wrong.

Forms seen in public: MMAction2 issues 378 and 525 (AUTSL: 'signer0_sample1,41'), SlowFast issues 94 and 489,
pytorchvideo issues 161 and 218 ('path_name, label'), TSM issue 191, Kaggle's UCF101 (clip_name,clip_path,label), lists
for C3D with the first frames of clips (CHI-YU-SUNG/C3D-Action-Recognition 3efeb0c, train_list.txt).
"""

import json
import logging
import os
import unicodedata

import miniatures
import pytest
from readings import pairs, refused

from gluon_fg.data import build_dataset, from_csv, label_set, list_labels, text_files
from gluon_fg.data.label_lists import from_label_list
from gluon_fg.data.readers import plain_list
from gluon_fg.errors import UserError

PLAIN = [('a.mp4', 0), ('b c.mp4', 1)]


@pytest.mark.parametrize(
    'text',
    [
        'path;label\na.mp4;0\nb c.mp4;1\n',
        'sep=;\r\npath;label\r\na.mp4;0\r\nb c.mp4;1\r\n',
        'path\tlabel\na.mp4\t0\nb c.mp4\t1\n',
        'Path , Label\n a.mp4 , 0\n "b c.mp4", 1\n',
        'path,label,\na.mp4,0,\nb c.mp4,1,,\n',
        'path,label\ra.mp4,0\rb c.mp4,1\r',
        '# written by a script\n#path,label\na.mp4,0\nb c.mp4,1\n',
        ',video_path,label\n0,a.mp4,0\n1,b c.mp4,1\n',
        'filename,label\na.mp4,0\nb c.mp4,1\n',
        '"path","label"\n"a.mp4","0"\n"b c.mp4","1"\n',
        'a.mp4,0\nb c.mp4,1\n',
        'a.mp4;0\nb c.mp4;1\n',
        'a.mp4 , 0\n"b c.mp4", 1\n',
        'a.mp4\t0\nb c.mp4\t1\n',
        'a.mp4,31,0\nb c.mp4,25,1\n',
        '0,a.mp4\n1,b c.mp4\n',
        '0\ta.mp4\n1\tb c.mp4\n',
        '"a.mp4" 0\n"b c.mp4" 1\n',
        '# train\na.mp4 0\n\n#\nb c.mp4 1\n',
        'a.mp4 0\rb c.mp4 1',
        '\ufeff\ufeffa.mp4 0\nb c.mp4 1\n',
    ],
)
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-16'])
def test_one_list_in_many_forms(put, text, encoding):
    data = from_csv(put('list.csv', text.encode(encoding)))
    assert pairs(data) == PLAIN and data.labels.classes == ('0', '1')


@pytest.mark.parametrize(
    'text',
    [
        'path,label\na.mp4,run\nb c.mp4,sit down\n',
        'video_name,tag\na.mp4,run\nb c.mp4,sit down\n',
        'path,class\na.mp4,run\nb c.mp4,sit down\n',
        'path,class_id,class_name\na.mp4,0,run\nb c.mp4,1,sit down\n',
        'video_path,label,label_id\na.mp4,run,0\nb c.mp4,sit down,1\n',
        'a.mp4,run\nb c.mp4,sit down\n',
        'a.mp4\trun\nb c.mp4\tsit down\n',
        'a.mp4 run\nb c.mp4 sit down\n',
    ],
)
def test_names_in_place_of_numbers(put, text):
    data = from_csv(put('list.csv', text))
    assert pairs(data) == PLAIN and data.labels.classes == ('run', 'sit down')


def test_lines_end_where_systems_end_them_and_nowhere_else(put):
    """Titles of films have U+2028 and U+0085, at which str.splitlines splits."""
    data = from_csv(put('list.txt', 'a\u2028b.mp4 0\r\nc\x85d\x0b.mp4 1\r'))
    assert pairs(data) == [('a\u2028b.mp4', 0), ('c\x85d\x0b.mp4', 1)]


@pytest.mark.parametrize(
    'text, message',
    [
        ('a.mp4 1.0\nb.mp4 0.0\n', "line 1: label '1.0' is neither a whole number, such as 1, nor the name of a class"),
        ('path,label\na.mp4,0.0\nb.mp4,1e5\n', "line 2: label '0.0' is neither a whole number"),
        ('path,label\na.mp4,0\nb.mp4,1e5\n', "line 3: label '1e5' is not a number from 0"),
        ('path,label\na.mp4,-5\nb.mp4,1\n', "line 2: label '-5' is not a number from 0"),
        ('path,label,label\na.mp4,0,1\n', 'line 1: the column label stands twice in the header'),
        ('path,etikett\na.mp4,0\n', 'line 1: no column label; the header has path, etikett'),
        ('path,labels\na.mp4,0\n', 'the header has path, labels, or set data.dataset=multilabel'),
        (
            'path,label,split\na.mp4,0,train\nb.mp4,1,val\n',
            'line 3: the list has videos of the splits train, val',
        ),
        (
            'path,start_frame,label\na.mp4,3,0\n',
            'line 1: the column start_frame counts frames; give seconds',
        ),
        ('path,label\na.mp4,0\nb.mp4,1,2\n', 'line 3: 3 columns, the header has 2'),
        ('file:///data/a.mp4 0\n', "line 1: 'file:///data/a.mp4' is an address; write paths of files on this machine"),
        ('path,label\ns3://data/a.mp4,0\n', "line 2: 's3://data/a.mp4' is an address"),
        ('{"a": {"subset": "train"}}', 'line 1: JSON is no list; write CSV with the header path,label'),
        ('a.mp4,0\nb.mp4 1\n', "line 2: 'b.mp4 1' is neither"),
        ('0,a.mp4\nb.mp4,1\n', "line 2: 'b.mp4,1' is neither"),
        ('Shot_g16_c02 1 0\nShot_g16_c02 17 0\nTai_g22_c01 1 1\n', 'line 2: .* was listed with 1 frames, now with 17'),
        (
            '0\t70\tPunch/a.avi\n1\t86\tSumo/b.avi\n',
            "no video has a label .* \\(it lists '0.t70.tPunch/a.avi' and so on",
        ),
        ('run,a.mp4\nsit,b.mp4\n', "no video has a label .* \\(it lists 'run,a.mp4' and so on\\)"),
        ('narration_id,video_id,verb\nP01_1,P01_01,take\n', 'line 1: this is an official list of EPIC-KITCHENS'),
        ('path,label\n' + 'a' * 140000 + ',0\n', 'line 2: field larger than field limit'),
        ('1 ' * 30000 + 'x\n', 'line 1: .* is neither'),  # in time that grows with its length alone
        ('a' * 140000 + ',0\n', 'line 1: .* is neither'),
    ],
    ids=lambda text: text[:30],
)
def test_one_line_says_what_is_wrong(put, text, message):
    with pytest.raises(UserError, match=message):
        from_csv(put('list.csv', text))


def test_a_film_given_as_a_list_is_not_read_whole(put, monkeypatch):
    monkeypatch.setattr(text_files, 'MAX_BYTES', 100_000)
    assert 'is not a text file' in refused(from_csv, put('film.mp4', b'\0\1' * 60_000))
    assert 'has 0 MB; a list has 0 MB at most' in refused(from_csv, put('list.txt', 'a.mp4 0\n' * 20_000))


# Paths ----------------------------------------------------------------------------------------------------------------


def test_paths_of_other_systems_are_found(put, tmp_path):
    for name in ('run/a.mp4', 'café/b.mp4', 'odd\\name.mp4', '~/c.mp4'):
        put(name)
    away = unicodedata.normalize('NFD', 'café')
    text = '/run/a.mp4 0\nrun\\a.mp4 0\ngone/x\\y.mp4 0\nrun/..\\run/a.mp4 0\n'
    text += f'{away}/b.mp4 1\nodd\\name.mp4 0\n~/c.mp4 1\n'
    assert [record.path for record in from_csv(put('list.txt', text)).records] == [
        *('run/a.mp4', 'run/a.mp4', 'gone/x\\y.mp4', 'run/../run/a.mp4', 'café/b.mp4', 'odd\\name.mp4', '~/c.mp4')
    ]
    place = tmp_path / 'run/a.mp4'
    assert pairs(from_csv(put('list.txt', f'{place} 0\n/run/a.mp4 1\n'))) == [(str(place), 0), ('run/a.mp4', 1)]
    rows = from_label_list(put('list.csv', 'path,labels\nrun\\a.mp4,0|1\n'))
    assert pairs(rows) == [('run/a.mp4', 0)]


def test_a_missing_path_stays_as_it_is_listed(put):
    text = 'gone/é.mp4 0\n/gone/x.mp4 1\n../up.mp4 0\n'
    assert [r.path for r in from_csv(put('l.txt', text)).records] == ['gone/é.mp4', '/gone/x.mp4', '../up.mp4']


def test_plain_paths_are_told_from_lists_with_labels(put, tmp_path):
    put('a, b.mp4')
    assert plain_list(put('l.txt', 'a, b.mp4\nwalk/film\n')) == [
        str(tmp_path / name) for name in ('a, b.mp4', 'walk/film')
    ]
    assert plain_list(put('l.csv', 'path\na.mp4\n')) == [str(tmp_path / 'a.mp4')]
    for text in ('a.mp4,0\n', 'a.mp4 run\n', 'a.mp4 0\n', 'file,tag\na.mp4,run\n', 'path;label\na;0\n'):
        assert plain_list(put('l.txt', text)) is None


# Labels ---------------------------------------------------------------------------------------------------------------


def test_two_labels_of_one_video_are_told(put, caplog):
    with caplog.at_level(logging.WARNING):
        from_csv(put('l.txt', 'a.mp4 0\nb.mp4 1\na.mp4 1\na.mp4 0\n'))
    assert 'l.txt: 1 videos are listed with two labels, such as a.mp4 with 0 in line 1 and 1 in line 3' in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        from_csv(put('l.csv', 'path,label,start,end\na.mp4,run,0,1\na.mp4,sit,1,2\n'))
    assert not caplog.text  # clips of one film


def test_names_that_may_be_one_class_are_told(put, caplog):
    with caplog.at_level(logging.WARNING):
        from_csv(put('l.csv', 'path,label\na.mp4,Sit down\nb.mp4,run\nc.mp4,sit_down\n'))
    assert "classes 'Sit down' and 'sit_down' differ in capitals, blanks or signs alone" in caplog.text


def test_numbers_and_classes_called_by_numbers_are_not_mixed_up(put):
    put('classes.txt', '1\n2\n3\n')
    message = refused(from_csv, put('l.txt', 'a.mp4 1\nb.mp4 2\n'))
    assert 'l.txt line 1: classes are called 1, 2, 3, ...: label 1 may be the name of one or its place' in message
    assert pairs(from_csv(put('l.csv', 'path,label,class\na.mp4,0,1\nb.mp4,2,3\n'))) == [('a.mp4', 0), ('b.mp4', 2)]
    put('classes.txt', '0\n1\n2\n')
    assert pairs(from_csv(put('l.txt', 'a.mp4 1\nb.mp4 2\n'))) == [('a.mp4', 1), ('b.mp4', 2)]


def test_a_file_of_classes_with_numbers_is_in_their_order(put):
    """As UCF101's classInd.txt, '1 ApplyEyeMakeup', and label maps of MMAction2, '0: aerobic_push_up'."""
    path = put('l.txt', 'a.mp4 0\nb.mp4 1\n')
    put('classes.txt', '2 sit\n1 run\n')
    assert 'classes.txt: its lines begin with numbers, which are not in order' in refused(from_csv, path)
    for names in ('1 run\n2 sit\n', '0: run\n1: sit\n', '3 times\n2 times\n'):
        put('classes.txt', names)
        assert list(from_csv(path).labels.classes) == names.split('\n')[:2]


def test_several_labels_take_no_gigabytes(put, monkeypatch):
    monkeypatch.setattr(list_labels, 'MAX_TARGETS', 1000)
    text = 'path,labels\n' + ''.join(f'{i}.mp4,{i % 9}\n' for i in range(100))
    assert from_label_list(put('l.csv', text)).targets.shape == (100, 9)
    assert '101 videos of 10 classes take' in refused(from_label_list, put('l.csv', text + 'x.mp4,9\n'))


@pytest.mark.parametrize(
    'text, expected',
    [
        ('video_path,label_indices\na.mp4,"0,2"\nb.mp4,"[1, 2]"\nc.mp4,\n', [[0, 2], [1, 2], []]),
        ('a.mp4,0,2\nb.mp4,1\n', [[0, 2], [1]]),
        ('imgs 5 1\nimgs 5 0 2\n', [[1], [0, 2]]),
        ('a.mp4 run|sit\nb.mp4 jump\n', [[1, 2], [0]]),
    ],
)
def test_several_labels_in_many_forms(put, text, expected):
    data = from_label_list(put('l.csv', text))
    assert data.labels.classes in (('0', '1', '2'), ('jump', 'run', 'sit'))
    assert [row.nonzero()[0].tolist() for row in data.targets] == expected


def test_ucf101_files_name_their_class(put, tmp_path):
    """Flat lists with labels from 1 and without the last class, which nothing else gives away."""
    names = label_set('ucf101').classes
    lines = [f'v_{names[i]}_g01_c01.avi {i + 1}' for i in (0, 4, 7)]
    message = refused(build_dataset, 'ucf101', str(put('l.txt', '\n'.join(lines))), tmp_path)
    assert '3 of 3 labels contradict the folders; the list counts classes from 1' in message


# Kinetics in JSON -----------------------------------------------------------------------------------------------------


def test_kinetics_lists_in_json(tmp_path):
    names = label_set('kinetics400').classes
    clips = {f'v{number:010d}': (names[number].replace('_', ' '), number * 10.0) for number in range(3)}
    for video, (_, start) in clips.items():
        miniatures.put(tmp_path / f'train/{video}_{int(start):06d}_{int(start) + 10:06d}.mp4')
    content = {
        video: {'annotations': {'label': name, 'segment': [start, start + 10]}, 'subset': 'train', 'url': '...'}
        for video, (name, start) in clips.items()
    }
    (tmp_path / 'train.json').write_text(json.dumps(content))
    data = build_dataset('kinetics400', 'train', tmp_path)
    assert [(os.path.basename(r.path)[:11], r.label) for r in data.records] == [(v, n) for n, v in enumerate(clips)]
    for wrong in ({'v': {'annotations': {'label': 'x'}}}, {'v': 3}, {'database': {'labels': [], 'v': {}}}):
        (tmp_path / 'train.json').write_text(json.dumps(wrong))
        assert 'train.json, entry 1' in refused(build_dataset, 'kinetics400', 'train', tmp_path)
