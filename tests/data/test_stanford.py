"""Stanford Cars and Dogs, from files as their archives have them, written here with a few images."""

import os

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from gluon_fg.data import build_dataset
from gluon_fg.data.catalog import matlab_lists
from gluon_fg.data.loader import TrainLoader
from gluon_fg.data.transforms import TrainTransform
from gluon_fg.errors import UserError
from gluon_fg.input_spec import InputSpec

CARS = ('AM General Hummer SUV 2000', 'Acura RL Sedan 2012', 'Turn Left Coupe 2011')
DOGS = ('n02085620-Chihuahua', 'n02085782-Japanese_spaniel', 'n02098105-soft-coated_wheaten_terrier')


def cells(values):
    """A MATLAB cell array, one column as in the files."""
    out = np.empty((len(values), 1), object)
    out[:, 0] = values
    return out


def annotations(rows, with_class=True):
    """The struct array of the cars' devkit: boxes, class (uint8, from 1), file name."""
    fields = ['bbox_x1', 'bbox_y1', 'bbox_x2', 'bbox_y2', *(['class'] if with_class else []), 'fname']
    out = np.empty((1, len(rows)), [(field, object) for field in fields])
    for i, (name, label) in enumerate(rows):
        for field in fields[:4]:
            out[field][0, i] = np.array([[30 + i]], np.uint16)
        if with_class:
            out['class'][0, i] = np.array([[label]], np.uint8)
        out['fname'][0, i] = name
    return out


def write_images(root, names):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((40 + number, 50, 3), (0, 0, 10 * number), np.uint8))  # BGR: red


@pytest.fixture
def cars(tmp_path):
    root = tmp_path / 'cars'
    (root / 'devkit').mkdir(parents=True)
    savemat(root / 'devkit/cars_meta.mat', {'class_names': np.array([*CARS], object)[None]})
    train = [('00001.jpg', 3), ('00002.jpg', 1), ('00003.jpg', 2), ('00004.jpg', 1)]
    test = [('00001.jpg', 2), ('00002.jpg', 3)]
    savemat(root / 'devkit/cars_train_annos.mat', {'annotations': annotations(train)})
    savemat(root / 'devkit/cars_test_annos.mat', {'annotations': annotations(test, with_class=False)})
    savemat(root / 'cars_test_annos_withlabels.mat', {'annotations': annotations(test)})
    write_images(root, [f'cars_train/{name}' for name, _ in train] + [f'cars_test/{name}' for name, _ in test])
    return root


def write_dogs(root, split, files, labels=None):
    labels = [DOGS.index(file.split('/')[0]) + 1 for file in files] if labels is None else labels
    lists = {'file_list': cells(files), 'annotation_list': cells([file[:-4] for file in files])}
    savemat(root / f'{split}_list.mat', {**lists, 'labels': np.array(labels, float)[:, None]})


@pytest.fixture
def dogs(tmp_path):
    root = tmp_path / 'dogs'
    root.mkdir()
    train = [f'{DOGS[k]}/{DOGS[k][:9]}_{i}.jpg' for k in (0, 2) for i in (10074, 5)]
    test = [f'{DOGS[1]}/{DOGS[1][:9]}_7.jpg', f'{DOGS[0]}/{DOGS[0][:9]}_8.jpg']
    write_dogs(root, 'train', train)
    write_dogs(root, 'test', test)
    write_images(root, [f'Images/{name}' for name in train + test])
    return root


def test_cars_have_their_names_labels_and_pixels(cars):
    train, test = build_dataset('stanfordcars', 'train', cars), build_dataset('stanfordcars', 'test', cars)
    assert train.labels.classes == CARS == test.labels.classes and train.labels.flip_allowed
    assert [r[:2] for r in train.records] == [(f'cars_train/0000{i + 1}.jpg', (2, 0, 1, 0)[i]) for i in range(4)]
    assert [r[:2] for r in test.records] == [('cars_test/00001.jpg', 1), ('cars_test/00002.jpg', 2)]
    with train.open(3) as reader:
        assert len(reader) == 1 and reader.size == (50, 43)
        red = reader.get_batch([0])[0, 20, 20]
    assert abs(int(red[0]) - 30) < 5 and red[1:].max() < 5
    assert train.probe() == []


def test_the_tests_labels_may_also_lie_in_the_devkit(cars):
    (cars / 'cars_test_annos_withlabels.mat').rename(cars / 'devkit/cars_test_annos_withlabels.mat')
    assert len(build_dataset('stanfordcars', 'test', cars)) == 2


def test_dogs_are_named_like_their_folders(dogs):
    train, test = build_dataset('stanforddogs', 'train', dogs), build_dataset('stanforddogs', 'test', dogs)
    assert train.labels.classes == ('Chihuahua', 'Japanese_spaniel', 'soft-coated_wheaten_terrier')
    assert train.labels == test.labels  # though neither list has all of them
    assert [r.label for r in train.records] == [0, 0, 2, 2] and [r.label for r in test.records] == [1, 0]
    assert train.path(0) == f'{dogs}/Images/n02085620-Chihuahua/n02085620_10074.jpg'
    assert train.probe(9) == test.probe(9) == []


def test_images_are_trained_on_as_videos_of_one_frame(dogs):
    spec = InputSpec(frames=1, frame_stride=1, crop_size=24, short_side=32, layout='NCHW')
    loader = TrainLoader(build_dataset('stanforddogs', 'train', dogs), spec, TrainTransform(spec, 'random_crop'), 2)
    for batch in loader.batches(0):
        assert batch.clips.shape == (2, 3, 24, 24) and batch.clips.dtype == np.uint8


def without_field(root):
    savemat(root / 'cars_test_annos_withlabels.mat', {'annotations': annotations([('00001.jpg', 1)], False)})


def label_4(root):
    rows = annotations([('00001.jpg', 1), ('00002.jpg', 4)])
    savemat(root / 'cars_test_annos_withlabels.mat', {'annotations': rows})


@pytest.mark.parametrize('damage, split, message', [
    (lambda root: (root / 'devkit/cars_meta.mat').unlink(), 'train',
     r'no devkit/cars_meta.mat; Stanford Cars lies there as its archives unpack'),
    (lambda root: (root / 'cars_test_annos_withlabels.mat').unlink(), 'test', 'no cars_test_annos_withlabels.mat'),
    (without_field, 'test', "withlabels.mat: its annotations have no field 'class'; take cars_test_annos_withlabels"),
    (label_4, 'test', r'withlabels.mat, image 2 \(cars_test/00002.jpg\): label 4 is not one of 1..3'),
    (lambda root: savemat(root / 'devkit/cars_train_annos.mat', {'x': 1}), 'train', "holds no variable 'annotations'"),
    (lambda root: savemat(root / 'devkit/cars_train_annos.mat', {'annotations': 1}), 'train', "no field 'fname'"),
    (lambda root: (root / 'devkit/cars_train_annos.mat').write_bytes(b'<html>not found'), 'train',
     'cars_train_annos.mat: is not a MATLAB file that can be read'),
    (lambda root: (root / 'devkit/cars_train_annos.mat').write_bytes(b''), 'train', 'is not a MATLAB file'),
    (lambda root: None, 'val', "unknown split of stanfordcars 'val'; choose from test, train .data.val_split=test"),
])  # fmt: skip
def test_what_is_wrong_with_cars_is_said_in_one_line(cars, damage, split, message):
    damage(cars)
    with pytest.raises(UserError, match=message) as caught:
        build_dataset('stanfordcars', split, cars)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('damage, message', [
    (lambda root: (root / 'test_list.mat').unlink(), 'no test_list.mat; Stanford Dogs lies there'),
    (lambda root: write_dogs(root, 'train', [f'{DOGS[0]}/a.jpg'], [0]), r'image 1 \(n02085620-C.*/a.jpg\): label 0'),
    (lambda root: write_dogs(root, 'train', [f'{DOGS[0]}/a.jpg'], [1.5]), 'label 1.5 is not one of 1..1'),
    (lambda root: write_dogs(root, 'train', [f'{DOGS[0]}/a.jpg', f'{DOGS[1]}/b.jpg'], [1]), '2 images and 1 labels'),
    (lambda root: write_dogs(root, 'train', [f'{DOGS[0]}/a.jpg', f'{DOGS[1]}/b.jpg'], [1, 1]),
     'label 1 is of n02085782-Japanese_spaniel here, of n02085620-Chihuahua before'),
    (lambda root: write_dogs(root, 'train', [f'{DOGS[k]}/{k}{i}.jpg' for k in (0, 2) for i in (1, 2)], [1, 1, 4, 4]),
     'no image has label 3, but others have 4'),
    (lambda root: write_dogs(root, 'train', ['a.jpg'], [1]), 'a.jpg'),
])  # fmt: skip
def test_what_is_wrong_with_dogs_is_said_in_one_line(dogs, damage, message):
    damage(dogs)
    with pytest.raises(UserError, match=message) as caught:
        build_dataset('stanforddogs', 'train', dogs)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('compressed', [False, True])
def test_a_download_that_was_cut_is_an_error_of_one_line(cars, compressed):
    path = cars / 'devkit/cars_train_annos.mat'
    rows = annotations([(f'{i:05}.jpg', 1 + i % 3) for i in range(40)])
    savemat(path, {'annotations': rows}, do_compression=compressed)
    whole = path.read_bytes()
    for length in np.linspace(0, len(whole) - 8, 40).astype(int):  # the last bytes are padding
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match='cars_train_annos.mat: ') as caught:
            build_dataset('stanfordcars', 'train', cars)
        assert '\n' not in str(caught.value)


def test_no_root_or_no_folder(tmp_path):
    with pytest.raises(UserError, match="dataset 'stanfordcars' needs a root folder"):
        build_dataset('stanfordcars', 'train')
    with pytest.raises(UserError, match='no such folder'):
        build_dataset('stanforddogs', 'train', tmp_path / 'nowhere')


def test_the_script_counts_what_is_there(cars, dogs, command_done):
    done = command_done('data', 'prepare', 'stanfordcars', cars, '--workers', 0)
    assert done.returncode == 0 and done.stdout.splitlines()[:2] == [
        '  train     4 images of 3 classes, 4 there, 4 usable', '  test      2 images of 3 classes, 2 there, 2 usable',
    ]  # fmt: skip
    os.remove(dogs / f'Images/{DOGS[1]}/{DOGS[1][:9]}_7.jpg')
    done = command_done('data', 'prepare', 'stanforddogs', '--root', dogs, '--workers', 0)
    assert done.returncode == 2 and '2 images of 3 classes, 1 there, 1 usable' in done.stdout
    assert done.stderr.strip().endswith('n02085782_7.jpg: missing') and 'Traceback' not in done.stderr


def test_a_file_that_ends_the_process_that_reads_it_is_an_error_of_one_line(cars, tmp_path, monkeypatch):
    """SciPy 1.x ends its process on some files with damaged bytes (found by flipping them at random)."""
    (tmp_path / 'child.py').write_text('import os; os.abort()')
    monkeypatch.setattr(matlab_lists.matlab_child, '__file__', str(tmp_path / 'child.py'))
    with pytest.raises(
        UserError, match='cars_meta.mat: is not a MATLAB file that can be read .reading it ends the proc'
    ):
        build_dataset('stanfordcars', 'train', cars)
