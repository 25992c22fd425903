"""Lists and folders as people have them: each is read right, or one line says what is wrong with it.

The lists of MMAction2 are those of its own tests (open-mmlab/mmaction2 4d6c934, tests/data/annotations).
"""

import logging
import os
import re
import tracemalloc

import miniatures
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from readings import pairs, refused

from gluon_fg.data import build_dataset, from_csv, from_folder, label_set, open_video
from gluon_fg.errors import UserError, VideoError, printable
from gluon_fg.evaluation.load import name_classes

# Labels ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('text', ['a.mp4 1\nb.mp4 2\n', 'path,label\na.mp4,2\nb.mp4,1\n', 'a.mp4 9 1\nb.mp4 8 2\n'])
def test_labels_from_1_are_refused_with_the_shift(put, text):
    assert 'labels run from 1 to 2 and none is 0; classes are counted from 0 here: subtract 1' in refused(
        from_csv, put('train.txt', text)
    )


def test_labels_from_1_are_read_where_names_say_what_they_mean(put):
    data = from_csv(put('train.csv', 'path,label,class\na.mp4,1,run\nb.mp4,2,sit\n'))
    assert pairs(data) == [('a.mp4', 1), ('b.mp4', 2)] and data.labels.classes == ('0', 'run', 'sit')


def test_a_split_without_class_0_is_no_shift(put, tmp_path):
    put('train.txt', 'a.mp4 0\nb.mp4 1\nc.mp4 2\n')
    put('val.txt', 'd.mp4 1\ne.mp4 2\n')
    assert pairs(build_dataset('csv', 'val', tmp_path)) == [('d.mp4', 1), ('e.mp4', 2)]
    put('test.txt', 'd.mp4 1\ne.mp4 2\nf.mp4 3\n')
    assert 'test.txt line 3: label 3 is outside 0..2; labels are counted from 0, these run from 1' in refused(
        build_dataset, 'csv', 'test', tmp_path
    )


def test_gaps_are_told_and_names_of_classes_fill_them(put, caplog):
    path = put('train.txt', 'a.mp4 0\nb.mp4 3\nc.mp4 5\n')
    with caplog.at_level(logging.WARNING):
        assert from_csv(path).nclass == 6
    assert 'train.txt: no video has label 1, 2, 4, but others have up to 5' in caplog.text
    caplog.clear()
    put('classes.txt', 'a\nb\nc\nd\ne\nf\n')
    with caplog.at_level(logging.WARNING):
        assert from_csv(path).labels.classes[5] == 'f' and not caplog.text


@pytest.mark.parametrize('label', ['300000000', '10000', '9' * 18, '9' * 5000, '-5000000'])
def test_huge_labels_take_no_memory(put, label):
    path = put('train.csv', f'path,label\nx.mp4,0\ny.mp4,{label}\n')
    tracemalloc.start()
    message = refused(from_csv, path)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()
    assert 'train.csv line 3: label' in message
    refused(from_csv, put('train.txt', f'x.mp4 0\ny.mp4 {label}\n'))


def test_many_classes_are_no_fault_of_a_long_list(put):
    assert from_csv(put('long.txt', ''.join(f'{i}.mp4 {i}\n' for i in range(12000)))).nclass == 12000


@pytest.mark.parametrize('label', ['1_0', '٣', '1.0', '0x1', '１'])
def test_what_is_no_decimal_number_is_no_label(put, label):
    assert 'is not a number from 0' in refused(from_csv, put('t.csv', f'path,label\na.mp4,0\nb.mp4,{label}\n'))


# Lists of known datasets ----------------------------------------------------------------------------------------------

UCF101 = (('ApplyEyeMakeup', 1), ('ApplyLipstick', 2), ('Archery', 3))  # as in trainlist01.txt


def test_the_official_list_of_ucf101_is_not_taken_one_label_off(put, tmp_path):
    """Accepted with ApplyEyeMakeup as ApplyLipstick before; only a list with YoYo was refused, without a reason."""
    for name, number in UCF101:
        assert label_set('ucf101').classes[number - 1] == name
    lines = [f'{name}/v_{name}_g08_c0{i}.avi {number}' for name, number in UCF101 for i in (1, 2)]
    path = put('lists/trainlist01.txt', '\n'.join(lines))
    message = refused(build_dataset, 'ucf101', str(path), tmp_path)
    assert "label 1 of ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi is 'ApplyLipstick', not 'ApplyEyeMakeup'" in message
    assert '6 of 6 labels contradict the folders; the list counts classes from 1, not from 0' in message
    path = put('flat.txt', 'x.avi 1\ny.avi 2\nz.avi 3\n')
    assert 'labels run from 1 to 3 and none is 0' in refused(build_dataset, 'ucf101', str(path), tmp_path)
    right = put('from_zero.txt', '\n'.join(f'{line[:-1]}{int(line[-1]) - 1}' for line in lines))
    assert [r.label for r in build_dataset('ucf101', str(right), tmp_path).records] == [0, 0, 1, 1, 2, 2]
    subset = put('subset.txt', '\n'.join(f'{line[:-1]}{int(line[-1]) - 1}' for line in lines[2:]))
    assert {r.label for r in build_dataset('ucf101', str(subset), tmp_path).records} == {1, 2}  # its folders say so


def test_numbers_mean_what_the_classes_file_beside_the_list_says(put, tmp_path, caplog):
    """TSM (tools/gen_label_sthv1.py) sorts the classes of Something-Something-V1, whose order is another."""
    names = sorted(label_set('sthsthv1').classes)
    put('category.txt', '\n'.join(names))
    put('train.txt', '20bn/1 30 0\n20bn/2 40 173\n')
    data = build_dataset('sthsthv1', 'train', tmp_path)
    assert [data.labels.classes[r.label] for r in data.records] == [names[0], names[173]]
    assert data.labels.classes == label_set('sthsthv1').classes
    put('category.txt', 'other\nnames\n')
    with caplog.at_level(logging.WARNING):
        assert [r.label for r in build_dataset('sthsthv1', 'train', tmp_path).records] == [0, 173]
    assert 'category.txt: names other classes than are known; it is not used' in caplog.text


def test_a_test_list_with_zeros_for_labels_is_told(put, tmp_path, caplog):
    """TSM (tools/gen_label_sthv2.py) gives every video of the test list, which has no labels, the label 0."""
    put('test.txt', ''.join(f'{i} 40 0\n' for i in range(60)))
    with caplog.at_level(logging.WARNING):
        build_dataset('sthsthv2', 'test', tmp_path)
    assert 'sthsthv2 test: all 60 videos have label 0; a list without labels?' in caplog.text


def test_kinetics_own_header_is_named(put):
    path = put('train.csv', 'label,youtube_id,time_start,time_end,split\nabseiling,_4YTwq0-73Y,5,15,train\n')
    assert 'line 1: this is an official list of Kinetics; set data.dataset=kinetics400' in refused(from_csv, path)


def test_a_list_of_hmdb51_has_codes_and_no_labels(put, tmp_path):
    path = put('brush_hair_test_split1.txt', 'a.avi 1 \nb.avi 2 \nc.avi 0 \n')
    message = refused(build_dataset, 'hmdb51', str(path), tmp_path)
    assert 'is an official list of HMDB51, with 1 for training and 2 for testing; set data.dataset=hmdb51' in message


# The lines of lists ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'text, expected',
    [
        ('imgs 5 127\nimgs 5 127\n', [('imgs', 127), ('imgs', 127)]),  # rawframe_test_list.txt
        ('78687 50 3\n42326 41 0\n', [('78687', 3), ('42326', 0)]),  # TSM's of Something-Something-V2: folders
        ('test.mp4 0\ntest.mp4 0\n', [('test.mp4', 0), ('test.mp4', 0)]),  # video_test_list.txt
        ('some/path/000.mp4 0\nsome/path/003.mp4 1\n', [('some/path/000.mp4', 0), ('some/path/003.mp4', 1)]),
        ('a b/x (1).MP4 250 1\nb.mp4 17 0\nc d.mp4 1\n', [('a b/x (1).MP4', 1), ('b.mp4', 0), ('c d.mp4', 1)]),
        ('label, path\n0, a.mp4\n1, b c.mp4 \n', [('a.mp4', 0), ('b c.mp4', 1)]),
        ('path,label\nrun\\a.mp4,0\nrun/b\\c.mp4,1\n', [('run/a.mp4', 0), ('run/b\\c.mp4', 1)]),
        ('run\\a.mp4 0\nsit\\b.mp4 1\n', [('run/a.mp4', 0), ('sit/b.mp4', 1)]),
        ('\ufeffa.mp4 0\r\n\r\nb.mp4 1\r\n', [('a.mp4', 0), ('b.mp4', 1)]),
    ],
)
def test_lists_that_are_read(put, text, expected):
    names = 'class {}\n' * 128
    put('classes.txt', names.format(*range(128)))
    assert pairs(from_csv(put('list.txt', text))) == expected


@pytest.mark.parametrize(
    'text, message',
    [
        (
            'test.mp4 0 3\ntest.mp4 0 2 4\n',
            'line 1: several labels, 0, 3; set data.dataset=multilabel',
        ),  # ..._multi_label.txt
        ('imgs 5 1\nimgs 5 3 5\n', 'line 2: several labels, 3, 5'),  # rawframe_test_list_multi_label.txt
        ('a.mp4 1\nb.mp4 0 1\n', 'line 2: several labels, 0, 1'),
        ('imgs 2 5 127\nimgs 2 5 127\n', 'line 1: three numbers behind every path, as of clips with an offset'),
        ('a.mp4 0\nb.mp4\n', 'line 2: no label behind the path, but other lines have one'),
        ('imgs 5\nimgs 5 3 5\n', 'line 1: no label behind the count of frames'),
        ('a.mp4\nb.mp4\n', 'no video has a label and no class is named'),
        ('path,label\nC:\\videos\\a.mp4,0\n', r'line 2: .* is a path on another machine; write paths from the root'),
        ('path,label\n\\\\server\\a.mp4,0\n', 'line 2: .* is a path on another machine'),
        ('path,label\n ,0\n', 'line 2: an empty path or label'),
    ],
)
def test_lists_that_are_refused_by_line(put, text, message):
    assert re.search(message, refused(from_csv, put('list.txt', text)))


def test_of_two_numbers_it_is_said_which_is_the_label(put, caplog):
    with caplog.at_level(logging.WARNING):
        assert [r.label for r in from_csv(put('a.txt', 'a.mp4 1 2\nb.mp4 3 0\nc.mp4 2 1\n')).records] == [2, 0, 1]
    assert caplog.text.count('a.txt: of two numbers behind each path the first is taken as the count of frames') == 1
    caplog.clear()
    from_csv(put('b.txt', 'a.mp4 250 1\nb.mp4 300 0\n'))
    assert not caplog.text


def test_a_list_of_paths_has_no_labels(put, tmp_path):
    """testlist01.txt of UCF101, and MMAction2's lists for prediction."""
    put('test.txt', 'YoYo/v_YoYo_g01_c01.avi\nArchery/v_Archery_g01_c01.avi\n')
    assert [r.label for r in build_dataset('ucf101', 'test', tmp_path).records] == [-1, -1]


# Files and folders ----------------------------------------------------------------------------------------------------


def test_text_files_in_another_encoding_are_named(put, tmp_path):
    latin = 'gehen\nfröhlich\n'.encode('latin-1')
    put('train.txt', 'a.mp4 0\nb.mp4 1\n')
    path = put('classes.txt', latin)
    line = f"{path}: is not a text file in UTF-8 (line 2: 'fr\\udcf6'); save it in UTF-8"
    assert refused(build_dataset, 'csv', 'train', tmp_path) == line == refused(name_classes, None, path)
    path.unlink()
    path = put('train.txt', 'gehen.mp4 0\nfröhlich.mp4 1\n'.encode('latin-1'))
    assert refused(build_dataset, 'csv', 'train', tmp_path) == (
        "train.txt line 2: 'fr\\udcf6hlich.mp4' is not UTF-8, and no file is called by these bytes; save the list in "
        'UTF-8'
    )
    open(os.fsencode(tmp_path) + b'/fr\xf6hlich.mp4', 'wb').close()
    assert pairs(build_dataset('csv', 'train', tmp_path))[1] == (os.fsdecode(b'fr\xf6hlich.mp4'), 1)
    path = put('train.txt', 'fröhlich.mp4 0\n'.encode('utf-16-le'))  # without its mark
    assert refused(build_dataset, 'csv', 'train', tmp_path) == f'{path}: is not a text file in UTF-8'


def test_what_archives_leave_is_no_class_and_blanks_are_no_part_of_one(put, tmp_path):
    for name in (
        'train/ run /a.mp4',
        'train/sit/b.mp4',
        'train/sit/__MACOSX/c.mp4',
        'train/__MACOSX/sit/._b.mp4',
        'train/@eaDir/x.mp4',
        'train/$RECYCLE.BIN/y.mp4',
        'val/run/d.mp4',
        'val/sit /e.mp4',
    ):
        put(name)
    train, val = (build_dataset('folder', split, tmp_path) for split in ('train', 'val'))
    assert train.labels.classes == val.labels.classes == ('run', 'sit')
    assert pairs(train) == [(' run /a.mp4', 0), ('sit/b.mp4', 1)] and pairs(val) == [
        ('run/d.mp4', 0),
        ('sit /e.mp4', 1),
    ]
    put('train/run/f.mp4')
    assert "the folders ' run ' and 'run' differ in blanks alone" in refused(build_dataset, 'folder', 'train', tmp_path)


@pytest.mark.parametrize('name', ['a\nb', 'tab\there', '\x1b]0;owned\x07', 'del\x7f', 'next\x85line'])
def test_class_names_with_control_characters_are_refused(put, tmp_path, name):
    """('a\\nb', 'c') and ('a', 'b\\nc') had one fingerprint, and a name could talk to the terminal."""
    put(f'{name}/a.mp4')
    message = refused(from_folder, tmp_path)
    assert 'class name' in message and 'control character' in message and message.isprintable()


def test_folders_whose_names_are_no_text_are_refused(tmp_path):
    folder = os.fsencode(tmp_path) + b'/caf\xe9'
    os.mkdir(folder)
    open(folder + b'/a.mp4', 'wb').close()
    assert 'is not a name in UTF-8' in refused(from_folder, tmp_path)


def test_names_of_files_are_printed_without_control_characters(error_line, tmp_path):
    assert printable('\x1b]0;owned\x07 caf\udce9 ü') == '\\x1b]0;owned\\x07 caf\\udce9 ü'
    assert printable('\ufeffa\u202egpj.b') == '\\ufeffa\\u202egpj.b'
    assert str(VideoError('\x1b[2J.mp4', 'no such file')) == '\\x1b[2J.mp4: no such file'
    line = error_line('data', 'check', 'csv', '--root', tmp_path / '\x1b]0;owned\x07')
    assert line.isprintable() and '\\x1b]0;owned\\x07' in line


@pytest.mark.parametrize('suffix', ['.mts', '.M2TS', '.ogv', '.gif', '.vob', '.asf'])
def test_cameras_and_the_web_have_more_kinds_of_films(put, tmp_path, suffix):
    put(f'run/a{suffix}')
    put('run/notes.doc')
    data = from_folder(tmp_path)
    assert pairs(data) == [(f'run/a{suffix}', 0)] and data.left_out == {'.doc': 1}
    assert pairs(from_csv(put('l.txt', f'run/a{suffix} 30 0\n')))[0] == (f'run/a{suffix}', 0)


def test_flow_beside_the_frames_is_no_part_of_the_film(tmp_path):
    """The layout of MMAction2's rawframes (tools/data/ucf101/README.md, sthv1/README.md): read as one film before."""
    for pattern in ('img_{:05d}.jpg', 'flow_x_{:05d}.jpg', 'flow_y_{:05d}.jpg'):
        miniatures.put_frames(tmp_path / pattern[:6], pattern=pattern, number=len(pattern))
        for file in (tmp_path / pattern[:6]).iterdir():
            (tmp_path / 'film').mkdir(exist_ok=True)
            file.rename(tmp_path / 'film' / file.name)
    with open_video(str(tmp_path / 'film')) as reader:
        assert len(reader) == 8
        shown = reader.get_batch([0, 7])
    for at, frame in zip((0, 7), shown):
        assert np.abs(frame[..., ::-1].astype(int) - miniatures.pictures(len('img_{:05d}.jpg') % 4, 8)[at]).mean() < 3
    for file in (tmp_path / 'film').glob('img*'):
        file.unlink()
    with pytest.raises(VideoError, match=r'holds several series of images \(flow_x_0000\d.jpg, flow_y_0000\d.jpg\)'):
        open_video(str(tmp_path / 'film'))
    for file in (tmp_path / 'film').glob('flow_y*'):
        file.unlink()
    with open_video(str(tmp_path / 'film')) as reader:
        assert len(reader) == 8  # one series, whatever it is called


PIECES = ['a.mp4', 'b c.mp4', 'x', 'path', 'label', 'class', 'group', 'start', ',', ';', ' ', '\t', '\n', '\r\n', '"']
PIECES += [
    '0',
    '1',
    '2',
    '-1',
    '30000000',
    '9' * 30,
    '\\',
    'C:\\a',
    '\ufeff',
    'é',
    '\0',
    '\x1b',
    '/',
    'YoYo/v.avi',
    'YoYo',
]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([',', '\ufeff', 'YoYo/v.avi', ' ', '0'], 'ucf101', False)
@given(st.lists(st.sampled_from(PIECES), max_size=40), st.sampled_from(['csv', 'ucf101', 'multilabel']), st.booleans())
def test_any_text_is_a_list_or_one_line(tmp_path, pieces, dataset, plain):
    for name in ('train.csv', 'train.txt'):
        (tmp_path / name).write_text('')
        (tmp_path / name).unlink()
    (tmp_path / ('train.txt' if plain else 'train.csv')).write_bytes(''.join(pieces).encode())
    try:
        data = build_dataset(dataset, 'train', tmp_path)
    except UserError as error:
        assert printable(str(error)).isprintable()
    else:
        assert len(data) and all(-1 <= record.label < data.nclass <= 10_000 for record in data.records)
