"""Groups of classes in a file of their own, and where they are taken from."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg.data import build_dataset
from gluon_fg.data.class_groups import read_groups, with_groups_beside, write_groups
from gluon_fg.data.datasets import VideoRecord
from gluon_fg.data.labels import LabelSet
from gluon_fg.data.own_lists import Parting, Parts, write_lists
from gluon_fg.data.own_videos import OwnVideos
from gluon_fg.errors import UserError

CLASSES = ('open door', 'close door', 'wave')
GROUPS = ('door', 'door', 'hand, "raised"')


def test_groups_are_read_as_they_were_written(tmp_path):
    write_groups(tmp_path / 'groups.csv', CLASSES, GROUPS)
    assert (tmp_path / 'groups.csv').read_text().splitlines()[0] == 'class,group'
    assert read_groups(tmp_path / 'groups.csv', CLASSES) == GROUPS
    assert read_groups(tmp_path / 'groups.csv', CLASSES[::-1]) == GROUPS[::-1]


NAME = st.text(st.characters(categories=('L', 'N', 'P', 'S')), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(NAME, NAME, min_size=1, max_size=6))
def test_any_names_come_back(tmp_path_factory, groups):
    path = tmp_path_factory.mktemp('any') / 'groups.csv'
    write_groups(path, list(groups), list(groups.values()))
    assert read_groups(path, list(groups)) == tuple(groups.values())


@pytest.mark.parametrize(
    'text',
    [
        'group;class\r\nA;Open_Door\r\nA; close door\r\n\r\nB;wave\r\n',
        '\ufeffclass\tgroup\topen\nopen door\tA\t1\nclose door\tA\t1\nwave\tB\t\nanother\tC\t1\n',
        '# made by hand\nclass, group\nwave, B\nopen door, A\nclose door, A\n',
    ],
)
def test_tables_as_spreadsheets_and_hands_write_them(tmp_path, text):
    path = tmp_path / 'groups.csv'
    path.write_text(text, encoding='utf-8', newline='')
    assert read_groups(path, CLASSES) == ('A', 'A', 'B')


@pytest.mark.parametrize(
    'text, said',
    [
        ('', "its first line is '', not a header with the columns class and group"),
        ('open door,A\n', "its first line is 'open door,A', not a header"),
        ('class,group\nopen door,A\nclose door,A\n', "1 of 3 classes have no group, such as 'wave'; give each class"),
        ('class,group\nopen door,A\nclose door,A\nwav,B\n', "unknown class 'wav'; did you mean 'wave'?"),
        ('class,group\nopen door,A\nopen door,B\n', "line 3: class 'open door' is in group 'B' here, 'A' before"),
        ('class,group\nopen door\n', 'line 2: no group'),
        ('class,group\n,A\n', 'line 2: no class'),
        ('class,group\nopen door,A\x1b[2J\n', r"group 'A\x1b[2J' has a control character"),
        ('class,group\n"open door,A\n', 'line 2: unexpected end of data'),
    ],
)
def test_a_mistake_is_told_in_a_line(tmp_path, text, said):
    path = tmp_path / 'groups.csv'
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_groups(path, CLASSES)
    assert said in str(error.value) and str(path) in str(error.value) and '\n' not in str(error.value)


def test_what_is_no_text_is_told_in_a_line(tmp_path):
    (tmp_path / 'groups.csv').write_bytes(b'class,group\nopen door,\xff\xfe\n')
    with pytest.raises(UserError, match='not a text file in UTF-8'):
        read_groups(tmp_path / 'groups.csv', CLASSES)
    with pytest.raises(UserError, match='No such file'):
        read_groups(tmp_path / 'others.csv', CLASSES)


def test_classes_with_groups_keep_them(tmp_path):
    write_groups(tmp_path / 'groups.csv', CLASSES, GROUPS)
    own = LabelSet(CLASSES, ('x', 'y', 'y'))
    assert with_groups_beside(own, tmp_path) is own
    assert with_groups_beside(LabelSet(CLASSES), None, tmp_path / 'nowhere', tmp_path).groups == GROUPS


@pytest.fixture
def folder(tmp_path):
    """A dataset as a list of videos, which nobody opens."""
    (tmp_path / 'test.csv').write_text('path,label,class\na.mp4,0,open door\nb.mp4,1,close door\nc.mp4,2,wave\n')
    return tmp_path


def test_a_folder_is_opened_with_the_groups_beside_its_classes(folder, caplog):
    plain = build_dataset('csv', 'test', folder)
    write_groups(folder / 'groups.csv', CLASSES, GROUPS)
    with caplog.at_level(logging.WARNING):
        videos = [build_dataset('csv', 'test', folder) for _ in range(2)][-1]
    assert plain.labels.groups is None and videos.labels.groups == GROUPS
    assert plain.fingerprint == videos.fingerprint
    said = [record.message for record in caplog.records]
    assert said == [f'{folder}/groups.csv: 2 groups of 3 classes are taken']  # once, not for each opening


def test_groups_of_other_classes_do_not_stop_a_dataset(folder, caplog):
    (folder / 'groups.csv').write_text('name,team\nAnna,red\n')
    with caplog.at_level(logging.WARNING):
        videos = build_dataset('csv', 'test', folder)
    assert videos.labels.groups is None
    assert 'not a header with the columns class and group; the classes stay without groups' in caplog.text


def test_lists_of_a_run_keep_the_groups_of_its_videos(tmp_path):
    videos, lists = tmp_path / 'videos', tmp_path / 'run' / 'split'
    videos.mkdir()
    write_groups(videos / 'groups.csv', (*CLASSES, 'a class without videos'), (*GROUPS, 'none'))
    clips = [VideoRecord(f'{i}.mp4', i) for i in range(3)]
    own = OwnVideos(videos, CLASSES, {'': clips}, {clip.path: 9 for clip in clips}, {}, {})
    parts = Parts({'train': clips}, {'train': ['film'] * 3}, [])
    write_lists(lists, own, parts, Parting())
    assert build_dataset('csv', 'train', lists).labels.groups == GROUPS
