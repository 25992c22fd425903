"""A user's own videos: what is found, what is left out, and the lists of the split."""

import csv
import os
import shutil
from pathlib import Path

import gluon_fg  # noqa: F401  isort: skip
import numpy as np
import pytest
from own_films import CLASSES, render_own, write

from gluon_fg.data.catalog import build_dataset
from gluon_fg.data.own_lists import Parting, dataset_name, link, part_videos, read_parting, write_lists
from gluon_fg.data.own_videos import find_videos
from gluon_fg.data.video import open_video
from gluon_fg.errors import UserError


@pytest.fixture(scope='module')
def own(tmp_path_factory):
    return render_own(tmp_path_factory.mktemp('own') / 'my videos')


def names(records):
    return sorted(Path(record.path).name for record in records)


def test_every_file_is_used_or_named(own):
    videos = find_videos(own, workers=2)
    assert videos.classes == tuple(sorted(CLASSES)) and set(videos.clips) == {''}
    assert len(videos.clips['']) == 3 * 6 + 3 == len(videos.frames)
    assert {'LOUD.MP4', 'portrait.mp4', 'Ünïcode 日本 ✓.mp4'} <= set(names(videos.clips['']))
    assert videos.left_out['opening a door/empty.mp4'] == 'is empty' and len(videos.left_out) == 2
    assert 'cannot be read' in videos.left_out['opening a door/broken.mp4']
    assert videos.other == {'.txt': 1}
    with open_video(own / 'opening a door/portrait.mp4') as turned:
        assert turned.size == (54, 48)


def test_the_lists_are_read_as_the_split_was_made(own, tmp_path):
    videos = find_videos(own)
    parts = part_videos(videos, Parting(0.3, seed=1))
    write_lists(tmp_path / 'lists', videos, parts, Parting(0.3, seed=1))
    assert read_parting(tmp_path / 'lists') == Parting(0.3, seed=1)
    films = {}
    for split, records in parts.clips.items():
        read = build_dataset('csv', split, str(tmp_path / 'lists'))
        assert [r.path for r in read.records] == [f'videos/{r.path}' for r in records]
        assert [r.label for r in read.records] == [r.label for r in records] and read.labels.classes == videos.classes
        with open(tmp_path / f'lists/{split}.csv', encoding='utf-8', newline='') as stream:
            films[split] = {row['source'] for row in csv.DictReader(stream)}
        assert len(read.probe(30)) == 0
    assert films['train'] and films['val'] and not films['train'] & films['val']
    assert part_videos(find_videos(own), Parting(0.3, seed=1)) == parts  # the same for the same seed
    with open(tmp_path / 'lists/left_out.csv', encoding='utf-8', newline='') as stream:
        assert {row['path'] for row in csv.DictReader(stream)} == set(videos.left_out)


def test_folds_validate_every_film_once(own):
    videos = find_videos(own)
    held = [names(part_videos(videos, Parting(folds=3, fold=fold)).clips['val']) for fold in (1, 2, 3)]
    assert sorted(sum(held, [])) == names(videos.clips[''])


def test_a_split_that_the_user_made_stays(own, tmp_path):
    for split, films in (('train', '01'), ('Validation', '2'), ('test', '1')):
        for name in CLASSES:
            (tmp_path / split / name).mkdir(parents=True)
            for path in own.glob(f'{name}/*film[{films}]_part*'):
                shutil.copy(path, tmp_path / split / name / path.name)
    videos = find_videos(tmp_path)
    parts = part_videos(videos, Parting())
    assert {split: len(records) for split, records in parts.clips.items()} == {'train': 12, 'val': 6, 'test': 6}
    assert parts.notes == [
        '6 of 6 videos of test look like cuts of films that are trained on (for example clos film1): their accuracy '
        'will look better than it is'
    ]
    shutil.rmtree(tmp_path / 'Validation')
    parts = part_videos(find_videos(tmp_path), Parting(0.5))
    assert {split: len(records) for split, records in parts.clips.items()} == {'train': 6, 'val': 6, 'test': 6}
    (tmp_path / 'test/singing').mkdir()
    write(tmp_path / 'test/singing/a.mp4', 1, 1)
    with pytest.raises(UserError, match="class 'singing' is in test, but has no video in train"):
        find_videos(tmp_path)


def test_clips_of_long_films_stay_with_their_film(own, tmp_path):
    films = sorted(own.glob('closing a door/*_part0.mp4'))
    rows = ['path,label,start,end']
    for film in films:
        rows += [f'{film},up,0,0.2', f'{film},down,0.2,0.4', f'{film},down,0.3,']
    (tmp_path / 'clips.csv').write_text('\n'.join(rows) + '\n')
    videos = find_videos(tmp_path / 'clips.csv')
    parts = part_videos(videos, Parting(0.25))
    assert videos.classes == ('down', 'up') and len(videos.frames) == 3
    assert [len(parts.clips[split]) for split in ('train', 'val')] == [6, 3]
    assert len({record.path for record in parts.clips['val']}) == 1
    write_lists(tmp_path / 'lists', videos, parts, Parting(0.25))
    read = build_dataset('csv', 'val', str(tmp_path / 'lists'))
    assert not read.probe() and [r[2:] for r in read.records] == [(0.0, 0.2), (0.2, 0.4), (0.3, None)]


def test_videos_with_several_labels(own, tmp_path):
    rows = ['path,labels,start,end']
    shown = {}
    for number, film in enumerate(sorted(own.glob('*/*film*_part0.mp4'))):
        for part, (start, end) in enumerate(((0, 0.2), (0.2, ''))):
            name = ('run|jump', 'jump', '', 'sing')[(number + part) % 4]
            rows.append(f'{film},{name},{start},{end}')
            shown[str(film), start] = name
    (tmp_path / 'clips.csv').write_text('\n'.join([*rows, 'gone.mp4,run,,']) + '\n')
    videos = find_videos(tmp_path / 'clips.csv')
    assert videos.classes == ('jump', 'run', 'sing') and list(videos.left_out) == ['gone.mp4']
    parts = part_videos(videos, Parting(0.34))
    write_lists(tmp_path / 'lists', videos, parts, Parting(0.34))
    assert dataset_name(tmp_path / 'lists') == 'multilabel'
    held = {record.path for record in parts.clips['val']}
    assert held and not held & {record.path for record in parts.clips['train']}
    for split in ('train', 'val'):
        read = build_dataset('multilabel', split, str(tmp_path / 'lists'))
        assert read.labels.classes == videos.classes and len(read) == len(parts.clips[split])
        for record, target in zip(read.records, read.targets):
            names_here = '|'.join(sorted(np.array(videos.classes)[target]))
            assert names_here == '|'.join(sorted(filter(None, shown[record.path, record.start].split('|'))))


def test_lists_mean_the_videos_that_they_were_made_of(own, tmp_path):
    moved, lists = tmp_path / 'moved', tmp_path / 'lists'
    shutil.copytree(own, tmp_path / 'here')
    videos = find_videos(tmp_path / 'here')
    write_lists(lists, videos, part_videos(videos, Parting()), Parting())
    link(lists, tmp_path / 'here')
    with pytest.raises(UserError, match='splits the videos of .*here; choose another --out'):
        link(lists, own)
    (tmp_path / 'here').rename(moved)
    link(lists, moved)
    assert os.path.realpath(lists / 'videos') == str(moved) and not build_dataset('csv', 'val', str(lists)).probe()


def test_copies_of_a_file_stay_together(own, tmp_path):
    shutil.copytree(own, tmp_path / 'own')
    for number in range(3):
        film = tmp_path / f'own/wérfen/wérf film{number}_part0.mp4'
        shutil.copy(film, tmp_path / f'own/wérfen/copy of {number}.mp4')
    videos = find_videos(tmp_path / 'own')
    for seed in range(6):
        for clips in part_videos(videos, Parting(0.4, seed)).clips.values():
            inside = set(names(clips))
            for number in range(3):
                pair = {f'wérf film{number}_part0.mp4', f'copy of {number}.mp4'}
                assert len(pair & inside) in (0, 2)


def test_folders_that_are_called_like_splits(own, tmp_path):
    for name, source in (('train', 'opening a door'), ('bus', 'closing a door')):
        shutil.copytree(own / source, tmp_path / name)
    videos = find_videos(tmp_path)  # a vehicle
    assert videos.classes == ('bus', 'train') and list(videos.clips) == ['']
    split = tmp_path / 'split'
    shutil.copytree(own, split / 'train')
    (split / 'val').mkdir()
    (split / 'raw').mkdir()
    videos = find_videos(split)
    assert list(videos.clips) == ['train'] and videos.other == {'.txt': 1, 'folder beside train and val: raw': 1}
    assert set(part_videos(videos, Parting()).clips) == {'train', 'val'}
    shutil.copytree(own, split / 'Validation')
    with pytest.raises(UserError, match='Validation and val would both be val'):
        find_videos(split)


def test_the_folder_of_the_run_is_no_class(own, tmp_path):
    shutil.copytree(own, tmp_path / 'own')
    shutil.copytree(own / 'opening a door', tmp_path / 'own/runs/mine/explained')
    assert find_videos(tmp_path / 'own', out=tmp_path / 'own/runs/mine').classes == tuple(sorted(CLASSES))
    assert 'runs' in find_videos(tmp_path / 'own').classes


def beside(root):
    write(root / 'a.mp4', 1, 1)


def deserted(root):
    for path in (root / 'closing a door').iterdir():
        path.write_bytes(b'')
    shutil.rmtree(root / 'wérfen')


def no_train(root):
    (root / 'val').mkdir()


@pytest.mark.parametrize(
    'spoil, message',
    [
        (shutil.rmtree, 'no such folder'),
        (beside, 'a.mp4: a video beside the class folders; put it into the folder of its class'),
        (deserted, r'of 1 classes \(opening a door\); two at least.*; closing a door/.*: is empty'),
        (no_train, 'has a folder val, but none named train'),
    ],
)
def test_a_folder_that_cannot_be_used(own, tmp_path, spoil, message):
    shutil.copytree(own, tmp_path / 'own')
    spoil(tmp_path / 'own')
    with pytest.raises(UserError, match=message):
        find_videos(tmp_path / 'own')


def test_no_videos_and_no_pattern(tmp_path, own):
    (tmp_path / 'class').mkdir()
    (tmp_path / 'class/a.txt').write_text('')
    with pytest.raises(UserError, match=r'no video in class folders; expected.*files that end in \.mp4, .*[a-z0-9]$'):
        find_videos(tmp_path)
    (tmp_path / 'class/a.PNG').write_bytes(b'')
    with pytest.raises(UserError, match='Its 1 pictures are trained by gluon-fg train --config custom/mobilenetv2'):
        find_videos(tmp_path)
    with pytest.raises(UserError, match=r'--source-pattern \(: '):
        part_videos(find_videos(own), Parting(pattern='('))
    videos = find_videos(own)
    assert len(part_videos(videos, Parting(pattern='.*')).sources['val']) == np.sum(
        [record.label >= 0 for record in part_videos(videos, Parting(pattern='.*')).clips['val']]
    )


def test_names_that_are_no_text_are_named(own, tmp_path):
    shutil.copytree(own, tmp_path / 'own')
    folder = os.fsencode(tmp_path / 'own/wérfen')
    for name in (b'caf\xe9.mp4', b'two\nlines.mp4'):
        shutil.copy(own / 'opening a door/LOUD.MP4', os.path.join(folder, name))
    videos = find_videos(tmp_path / 'own')
    assert sum('rename it' in reason for reason in videos.left_out.values()) == 2
    write_lists(tmp_path / 'lists', videos, part_videos(videos, Parting()), Parting())
    assert r'caf\udce9.mp4' in (tmp_path / 'lists/left_out.csv').read_text(encoding='utf-8')
