"""Folders of videos as people have them: splits by other names, links, circles, what systems leave behind."""

import logging
import os
import unicodedata

import pytest

from gluon_fg.data import build_dataset
from gluon_fg.data.datasets import VIDEO_SUFFIXES
from gluon_fg.data.own_videos import find_videos
from gluon_fg.errors import UserError


@pytest.fixture
def put(tmp_path):
    """put(names...): empty files below the test's folder."""

    def put(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    return put


def opened(root, split='train'):
    data = build_dataset('folder', split, root)
    return data.labels.classes, [(record.path, record.label) for record in data.records]


@pytest.mark.parametrize('train, val', [('Train', 'Val'), ('training', 'validation'), ('TRAIN ', 'valid')])
def test_splits_by_other_names(put, tmp_path, train, val):
    """Capital letters made 'Train' and 'Val' two classes before."""
    put(f'{train}/run/a.mp4', f'{train}/sit/b.mp4', f'{val}/sit/c.mp4')
    assert opened(tmp_path) == (('run', 'sit'), [('run/a.mp4', 0), ('sit/b.mp4', 1)])
    assert opened(tmp_path, 'val') == (('run', 'sit'), [('sit/c.mp4', 1)])
    with pytest.raises(UserError, match="unknown split of .*: 'test'; choose from train, val"):
        opened(tmp_path, 'test')


def test_two_folders_of_a_split_and_of_a_class_are_refused(put, tmp_path):
    put('val/run/a.mp4', 'Valid/run/b.mp4')
    with pytest.raises(UserError, match='Valid and val would both be val'):
        opened(tmp_path)
    accents = [unicodedata.normalize(form, 'café') for form in ('NFC', 'NFD')]
    put(*(f'more/train/{name}/a.mp4' for name in accents))
    with pytest.raises(UserError, match='differ in how an accent is written alone'):
        opened(tmp_path / 'more')
    with pytest.raises(UserError, match='differ in how an accent is written alone'):
        find_videos(tmp_path / 'more')


def test_a_class_is_one_however_its_accent_is_written(put, tmp_path):
    """Archives of macOS take letters apart."""
    put('train/café/a.mp4', 'train/sit/b.mp4', f'val/{unicodedata.normalize("NFD", "café")}/c.mp4')
    assert opened(tmp_path, 'val')[0] == ('café', 'sit') and opened(tmp_path, 'val')[1][0][1] == 0


def test_a_folder_above_the_classes_is_no_class(put, tmp_path):
    put('UCF-101/run/a.mp4', 'UCF-101/sit/b.mp4', '__MACOSX/UCF-101/run/._a.mp4')
    for open_it in (opened, find_videos):
        with pytest.raises(UserError, match='the only folder in it is UCF-101, .* give .*/UCF-101'):
            open_it(tmp_path)


def test_links_are_followed_and_circles_are_not(put, tmp_path):
    put('data/train/run/a.mp4', 'data/train/sit/b.mp4', 'elsewhere/deep/c.mp4')
    run = tmp_path / 'data/train/run'
    for name, target in {
        'more': '../../../elsewhere',
        'self': '.',
        'up': '..',
        'top': str(tmp_path),
        'away': '../../../elsewhere',
    }.items():
        (run / name).symlink_to(target)
    (tmp_path / 'elsewhere/back').symlink_to(run)
    (tmp_path / 'data/train/jump').symlink_to('../../elsewhere/deep')
    classes, videos = opened(tmp_path / 'data')
    assert classes == ('jump', 'run', 'sit')
    assert videos == [('jump/c.mp4', 0), ('run/a.mp4', 1), ('run/away/deep/c.mp4', 1), ('sit/b.mp4', 2)]


def test_what_systems_leave_is_not_counted_and_all_else_is(put, tmp_path, caplog):
    left = ['Thumbs.db', 'desktop.ini', '.DS_Store', '._a.mp4', '@eaDir/a.mp4', '#recycle/b.mp4', '__MACOSX/c.mp4']
    put('run/a.mp4', 'sit/b.mp4', 'run/a.srt', 'run/a.mp4.part', 'run/noise', *(f'run/{name}' for name in left))
    put('c.mp4', '.d.mp4')
    with caplog.at_level(logging.WARNING):
        data = build_dataset('folder', 'train', tmp_path)
    assert [r.path for r in data.records] == ['run/a.mp4', 'sit/b.mp4']
    assert data.left_out == {'.srt': 1, '.part': 1, '': 1}
    assert f'1 files beside the class folders are left out, such as {tmp_path}/c.mp4' in caplog.text


def test_classes_that_may_be_one_are_told(put, tmp_path, caplog):
    put('train/Run/a.mp4', 'train/run/b.mp4', 'val/run/c.mp4')
    with caplog.at_level(logging.WARNING):
        assert opened(tmp_path, 'val') == (('Run', 'run'), [('run/c.mp4', 1)])
    assert "classes 'Run' and 'run' differ in capitals, blanks or signs alone" in caplog.text


def test_names_of_any_digits_have_an_order(put, tmp_path):
    put('run/²', 'run/1².mp4', 'run/٣.mp4', 'run/10.mp4', 'run/2.mp4')
    assert [path for path, _ in opened(tmp_path)[1]] == [f'run/{name}.mp4' for name in ('1²', '2', '٣', '10')]


def test_names_of_any_bytes(tmp_path):
    os.makedirs(os.fsencode(tmp_path) + b'/run')
    open(os.fsencode(tmp_path) + b'/run/caf\xe9.mp4', 'wb').close()
    assert opened(tmp_path)[1] == [('run/caf\udce9.mp4', 0)]


@pytest.mark.parametrize('suffix', ['.F4V', '.mxf', '.divx', '.3g2', '.m2v', '.mod', '.tod', '.rm', '.y4m', '.wmv'])
def test_films_by_their_suffix(put, tmp_path, suffix):
    assert suffix.lower() in VIDEO_SUFFIXES
    put(f'run/a{suffix}')
    assert opened(tmp_path)[1] == [(f'run/a{suffix}', 0)]
