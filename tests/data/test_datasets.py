"""Lists are read as they stand, wrong ones are named by file, line and value."""

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon
from numbered import read_number

from gluon_fg.data import datasets
from gluon_fg.data.catalog import build_dataset
from gluon_fg.data.datasets import VideoDataset, VideoRecord
from gluon_fg.data.labels import LabelSet
from gluon_fg.data.readers import from_csv, from_folder
from gluon_fg.errors import UserError, VideoError

AB = LabelSet(('a', 'b'))


@pytest.fixture
def put(tmp_path):
    """put(name, text) -> path of a text file."""

    def put(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding='utf-8')
        return path

    return put


def test_csv_keeps_odd_paths_and_reads_classes_and_groups(put):
    path = put(
        'train.csv',
        '\ufeffPath,label,class,group\n'
        'drinking (31).mp4,1,drink,mouth\n'
        '"a, b/c  d.mp4",0,eat,mouth\n'
        '\n'
        "übung '1'.avi,2,wave,hand\n",
    )
    data = from_csv(path)
    assert [r[:2] for r in data.records] == [('drinking (31).mp4', 1), ('a, b/c  d.mp4', 0), ("übung '1'.avi", 2)]
    assert data.labels.classes == ('eat', 'drink', 'wave') and data.labels.groups == ('mouth', 'mouth', 'hand')
    assert data.path(1) == str(path.parent / 'a, b/c  d.mp4') and data.counts.tolist() == [1, 1, 1]
    assert from_csv(path, root='/elsewhere').path(0) == '/elsewhere/drinking (31).mp4'
    assert from_csv(path, root='/elsewhere').fingerprint == data.fingerprint


def test_labels_may_be_names_and_classes_may_come_from_outside(put):
    path = put('train.csv', 'label,path\nwave,x.mp4\neat,y.mp4\n')
    assert [r.label for r in from_csv(path).records] == [1, 0]
    assert [r.label for r in from_csv(path, classes=['wave', 'sit', 'eat']).records] == [0, 2]
    put('classes.txt', 'eat\nsit\nwave\n')
    assert [r.label for r in from_csv(path).records] == [2, 0]
    with pytest.raises(UserError, match="train.csv line 2: unknown class 'wave'; did you mean 'wade'"):
        from_csv(path, classes=['wade', 'eat'])


def test_gluoncv_lists(put):
    path = put('list.txt', 'some where/drinking (31).mp4 250 1\nb.mp4 17 0\n\nc d.mp4 2\n')
    data = from_csv(path)
    assert [r[:2] for r in data.records] == [('some where/drinking (31).mp4', 1), ('b.mp4', 0), ('c d.mp4', 2)]
    assert data.labels.classes == ('0', '1', '2')


@pytest.mark.parametrize(
    'text, message',
    [
        ('', 'train.csv: lists no video'),
        ('path,label\n', 'train.csv: lists no video'),
        ('path,note\na,b\n', 'train.csv line 1: no column label; the header has path, note'),
        ('x.mp4,0,good\ny.mp4,1,bad\n', "train.csv line 1: 'x.mp4,0,good' is neither .* header path,label"),
        ('x.mp4,\n', 'line 1: .* header path,label'),
        ('five x.mp4\nx.mp4 five\n', 'line 2'),
        ('path,label\nx.mp4,0\na, b.mp4,1\n', r'train.csv line 3: 3 columns, the header has 2 \(a path with a comma'),
        ('path,label\nx.mp4,\n', 'train.csv line 2: an empty path or label'),
        ('path,label\nx.mp4,0\ny.mp4,1.5\n', "train.csv line 3: label '1.5' is not a number from 0"),
        ('path,label\nx.mp4,-3\n', "train.csv line 2: label '-3' is not a number from 0"),
        ('path,label\nx.mp4,-1\n', 'no video has a label and no class is named'),
        ('path,label,class\nx,0,a\ny,0,b\n', "train.csv line 3: label 0 is class 'b' here, 'a' before"),
        ('path,label,class\nx,0,a\ny,1,a\n', "class 'a' stands twice"),
        ('path,label,group\nx,0,g\ny,0,h\n', "train.csv line 3: label 0 is in group 'h' here, 'g' before"),
        ('path,label\n"x.mp4,0\n', 'train.csv line 2: unexpected end of data'),
    ],
)
def test_wrong_lists_are_named_by_line(put, text, message):
    path = put('train.csv', text)
    with pytest.raises(UserError, match=message) as error:
        from_csv(path)
    assert '\n' not in str(error.value)


def test_labels_outside_the_classes_are_named_by_line(put):
    path = put('train.csv', 'path,label,class\n' + ''.join(f'{i}.mp4,{i},c{i}\n' for i in range(31)))
    with pytest.raises(UserError, match=r'train.csv line 26: label 24 is outside 0..23'):
        from_csv(path, classes=[f'c{i}' for i in range(24)])
    with pytest.raises(UserError, match=r"train.csv line 3: label 1 is class 'd', not 'c1'"):
        from_csv(path, classes=['c0', 'd'])
    with pytest.raises(UserError, match=r'dataset, video 1 \(y\): label 2 is outside 0..1'):
        VideoDataset([VideoRecord('x', 0), VideoRecord('y', 2)], AB)


def test_missing_and_binary_lists(put, tmp_path):
    with pytest.raises(UserError, match='nothing.csv: no such list'):
        from_csv(tmp_path / 'nothing.csv')
    with pytest.raises(UserError, match='is a folder, not a list'):
        from_csv(tmp_path)
    (tmp_path / 'video.mp4').write_bytes(b'\xff\xfe\x00\x81' * 9)
    with pytest.raises(UserError, match='not a text file'):
        from_csv(tmp_path / 'video.mp4')


def test_one_folder_per_class(tmp_path):
    for name in ('b/2.mp4', 'b/10.MP4', 'a a/deep/x.webm', 'b/.hidden.mp4', 'b/notes.txt', '.git/y.mp4', 'loose.mp4'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / 'c').mkdir()
    data = from_folder(tmp_path)
    assert data.labels.classes == ('a a', 'b', 'c')
    assert [r[:2] for r in data.records] == [('a a/deep/x.webm', 0), ('b/2.mp4', 1), ('b/10.MP4', 1)]
    assert [r.label for r in from_folder(tmp_path, classes=['c', 'b', 'a a']).records] == [2, 1, 1]
    with pytest.raises(UserError, match=f"unknown class folder in {tmp_path}: 'c'; choose from a a, b"):
        from_folder(tmp_path, classes=['a a', 'b'])
    with pytest.raises(UserError, match='no video in its class folders'):
        (tmp_path / 'd' / 'e').mkdir(parents=True)
        from_folder(tmp_path / 'd')
    with pytest.raises(UserError, match='no class folder in it'):
        from_folder(tmp_path / 'c')
    with pytest.raises(UserError, match='no such folder'):
        from_folder(tmp_path / 'nothing')
    with pytest.raises(UserError, match='is not a folder'):
        from_folder(tmp_path / 'loose.mp4')


def test_splits_of_a_folder_share_the_classes_of_training(tmp_path, caplog):
    for name in ('train/a/1.mp4', 'train/b/1.mp4', 'train/c/1.mp4', 'val/a/1.mp4', 'val/c/1.mp4'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    val = build_dataset('folder', 'val', tmp_path)
    assert val.labels.classes == ('a', 'b', 'c') and [r.label for r in val.records] == [0, 2]
    with pytest.raises(UserError, match="unknown split of .* 'test'; choose from train, val"):
        build_dataset('folder', 'test', tmp_path)
    with caplog.at_level(logging.WARNING):
        assert build_dataset('folder', 'test', tmp_path / 'train').nclass == 3
    assert 'test is all of it' in caplog.text


def test_splits_of_a_list_share_the_classes_of_training(put, tmp_path):
    put('train.csv', 'path,label\nx.mp4,sit\ny.mp4,run\nz.mp4,eat\n')
    put('val.txt', 'x.mp4 10 2\n')
    path = put('test.csv', 'path,label\nx.mp4,sit\ny.mp4,eat\n')
    assert [r.label for r in build_dataset('csv', 'test', tmp_path).records] == [2, 0]
    assert build_dataset('csv', 'val', tmp_path).labels.classes == ('eat', 'run', 'sit')
    assert build_dataset('csv', str(path)).labels.classes == ('eat', 'sit')  # a list by itself
    with pytest.raises(UserError, match="no list for split 'dev'; expected dev.csv or dev.txt"):
        build_dataset('csv', 'dev', tmp_path)


def test_lists_of_known_datasets_have_their_classes(put, tmp_path):
    put('val.txt', 'a/x.webm 40 173\n')
    data = build_dataset('sthsthv2', 'val', tmp_path)
    assert (
        data.nclass == 174
        and data.records == (VideoRecord('a/x.webm', 173),)
        and not np.array_equal(data.labels.flip_map, np.arange(174))
    )
    with pytest.raises(UserError, match='val.txt line 1: label 173 is outside 0..100'):
        build_dataset('ucf101', 'val', tmp_path)


def test_what_does_not_exist_is_refused(tmp_path):
    with pytest.raises(UserError, match="unknown dataset 'synthfgg'; did you mean 'synthfg'"):
        build_dataset('synthfgg', 'train')
    with pytest.raises(UserError, match="unknown split 'trian'"):
        build_dataset('synthfg', 'trian', tmp_path)
    with pytest.raises(UserError, match='needs a root folder; set data.root'):
        build_dataset('csv', 'train')
    with pytest.raises(UserError, match='sizes are for the dataset synthfg'):
        build_dataset('folder', 'train', tmp_path, sizes={'train': 24})
    with pytest.raises(UserError, match='lists no video'):
        VideoDataset([], AB)
    with pytest.raises(UserError, match="unknown cache 'ram'; choose from memory, none"):
        VideoDataset([VideoRecord('x', 0)], AB, cache='ram')
    with pytest.raises(UserError, match='the model has 3 classes, dataset has 2; choose nclass=2'):
        VideoDataset([VideoRecord('x', 0)], AB).require_classes(3)


def test_the_fingerprint_sees_every_change():
    base = [VideoRecord('x', 0), VideoRecord('y', 1)]
    variants = [base, base[::-1], base[:1], [base[0], VideoRecord('y', 0)], [base[0], VideoRecord('z', 1)]]
    prints = {VideoDataset(records, AB).fingerprint for records in variants}
    prints.add(VideoDataset(base, LabelSet(('b', 'a'))).fingerprint)
    assert len(prints) == 6


def test_a_share_that_is_held_out_is_the_same_for_every_order_and_root():
    records = [VideoRecord(f'{name}/{number}.mp4', label) for label, name in enumerate('ab') for number in range(500)]
    data, turned = VideoDataset(records, AB, '/here', 'set'), VideoDataset(records[::-1], AB, '/there')
    kept, held = data.parted(0.1)
    paths = {record.path for record in held.records}
    assert kept.name == 'set' and held.name == 'set, held out' and len(data) == 1000
    assert 70 <= len(paths) <= 130 and set(kept.records) | set(held.records) == set(records)
    assert len(kept) + len(held) == 1000 and kept.path(0) == '/here/' + kept.records[0].path
    assert {record.path for record in turned.parted(0.1)[1].records} == paths  # by the path alone
    assert paths < {record.path for record in data.parted(0.2)[1].records}
    assert [record.label for record in kept.records] == sorted(record.label for record in kept.records)  # in order
    assert data.parted(0) == (data, None)
    few = VideoDataset(records[:2], AB, name='few')
    with pytest.raises(UserError, match='few: a share of 0.001 of its 2 videos, by a hash of their paths, is none of'):
        few.parted(0.001)
    with pytest.raises(UserError, match='few: a share of 0.999 of its 2 videos, .* is all of them; choose another'):
        few.parted(0.999)


def test_memory_keeps_decoded_frames_for_all_threads(plain_video, tmp_path, monkeypatch):
    shutil.copy(plain_video, tmp_path / 'x.mp4')
    data = VideoDataset([VideoRecord('x.mp4', 0)], AB, tmp_path, cache='memory')
    opened = []
    real = datasets.open_isolated
    monkeypatch.setattr(datasets, 'open_isolated', lambda path, **kept: opened.append(path) or real(path, **kept))

    def number(at):
        with data.open(0) as reader:
            return read_number(reader.get_batch([at])[0]), reader.backend, len(reader), reader.fps

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(number, range(40)))
    assert answers == [(at, 'memory', 40, 25) for at in range(40)]
    assert 1 <= len(opened) <= 4  # only threads that came before the first had begun to decode
    (tmp_path / 'x.mp4').unlink()
    assert number(7)[0] == 7
    plain = VideoDataset([VideoRecord('x.mp4', 0)], AB, tmp_path)
    with pytest.raises(VideoError, match='no such file'):
        plain.open(0)


def test_probe_tells_wrong_roots_early(plain_video, tmp_path):
    good, bad = VideoRecord(str(plain_video), 0), VideoRecord('nowhere/x.mp4', 0)
    assert VideoDataset([good, bad], AB).probe(1) == []
    (error,) = VideoDataset([bad, good], AB, tmp_path).probe()
    assert error.path == str(tmp_path / 'nowhere/x.mp4')
    with pytest.raises(UserError, match=f'none of the first 2 .*x.mp4: no such file .*start from {tmp_path}'):
        VideoDataset([bad, bad, good], AB, tmp_path).probe(2)


def test_synthfg_by_name(tiny_synthfg):
    train, test = (build_dataset('synthfg', split, tiny_synthfg) for split in ('train', 'test'))
    assert len(train) == 48 and len(test) == 24 and train.labels == test.labels and train.labels.groups
    assert np.array_equal(train.counts, np.full(24, 2)) and train.name == 'synthfg train'
    with train.open(0) as reader:
        assert reader.backend == 'pyav' and reader.get_batch([0]).shape == (1, 54, 54, 3)
    assert train.probe() == []


def test_a_dataset_is_gluons(plain_video, write_video):
    short = write_video('short.mp4', frames=12)
    data = VideoDataset([VideoRecord(str(plain_video), 1), VideoRecord(str(short), 0), VideoRecord(str(short))], AB)
    assert isinstance(data, gluon.data.Dataset)
    frames, label = data[0]
    assert frames.shape == (40, 48, 64, 3) and frames.dtype == np.uint8 and label == 1
    assert [read_number(frame) for frame in frames] == list(range(40))
    assert [(len(frames), label) for frames, label in data] == [(40, 1), (12, 0), (12, -1)]  # it ends
    assert data[-1][1] == -1 and data[np.int64(1)][1] == 0
    with pytest.raises(IndexError):
        data[3]
    with pytest.raises(VideoError, match='no such file'):
        VideoDataset([VideoRecord('nowhere.mp4', 0)], AB)[0]


def test_gluons_loader_batches_it(plain_video, write_video):
    short = write_video('short.mp4', frames=12)
    data = VideoDataset([VideoRecord(str(plain_video), 1), VideoRecord(str(short), 0)], AB)

    def batchify(samples):
        clips = mx.nd.array(np.stack([frames[:8] for frames, _ in samples]), dtype='uint8')
        return clips, mx.nd.array([label for _, label in samples])

    [(clips, labels)] = gluon.data.DataLoader(data, batch_size=2, batchify_fn=batchify, num_workers=0)
    assert clips.shape == (2, 8, 48, 64, 3) and clips.dtype == np.uint8 and labels.asnumpy().tolist() == [1, 0]


def test_gluoncvs_transforms_and_loop_take_it(plain_video):
    """As in GluonCV's train_recognizer.py: a transform of the frames, Gluon's own batches, (data, label)."""
    from gluoncv.data.transforms.video import VideoGroupValTransform

    data = VideoDataset([VideoRecord(str(plain_video), 1)] * 3, AB)
    to_input = VideoGroupValTransform(size=32, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])

    def transform(frames):
        return np.stack(to_input(list(frames[:4])), axis=1)  # (3, T, H, W)

    loader = gluon.data.DataLoader(data.transform_first(transform), batch_size=2, last_batch='keep')
    shapes = [(clips.shape, labels.asnumpy().tolist()) for clips, labels in loader]
    assert shapes == [((2, 3, 4, 32, 32), [1, 1]), ((1, 3, 4, 32, 32), [1])]
