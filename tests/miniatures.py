"""Small datasets in the exact forms of the official archives: tiny films, and the lists that go with them.

A builder a dataset: `ucf101(root)` writes the files and returns the root. Formats are those of the published files, as
read in public repositories that carry or parse them (MMAction2 4d6c934 tools/data/parse_file_list.py, TSM
tools/gen_label_*.py, GluonCV scripts/datasets/*.py); the videos are drawn here.
"""

import json
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from gluon_fg.data import label_set

_HOME = tempfile.TemporaryDirectory(prefix='gluon_fg-films-')
_CODES = {'.avi': 'XVID', '.mp4': 'mp4v', '.webm': 'VP90', '.mkv': 'XVID'}  # as the datasets have them


def film(path, number=0, frames=12, size=(64, 48), fps=12):
    """Write a film of a bright square that moves, another for each number; names with any suffix of `_CODES`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*_CODES[path.suffix.lower()]), fps, size)
    assert writer.isOpened(), path
    for picture in pictures(number, frames, size):
        writer.write(picture)
    writer.release()
    return path


def pictures(number=0, frames=12, size=(64, 48)):
    """(frames, height, width, 3) uint8, a bright square that moves on a ground of the number's own."""
    width, height = size
    out = np.empty((frames, height, width, 3), np.uint8)
    out[:] = np.random.RandomState(number).randint(0, 120, 3)
    for at, picture in enumerate(out):
        x, y = (5 * at + 7 * number) % (width - 12), (3 * at + 11 * number) % (height - 12)
        picture[y : y + 12, x : x + 12] = 240
    return out


def put(path, number=0):
    """Put one of a few films or pictures, the same for the same number and suffix, at a place."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    source = Path(_HOME.name) / f'{number % 4}{path.suffix}'
    if not source.exists():
        if path.suffix == '.jpg':
            cv2.imwrite(str(source), pictures(number % 4, 1)[0])
        else:
            film(source, number % 4)
    shutil.copyfile(source, path)
    return path


def put_frames(folder, number=0, frames=8, pattern='{:05d}.jpg'):
    """Put a folder of JPEG frames, counted from 1, at a place."""
    Path(folder).mkdir(parents=True)
    for at, picture in enumerate(pictures(number % 4, frames), 1):
        source = Path(_HOME.name) / f'{number % 4}-{frames}-{at}.jpg'
        if not source.exists():
            cv2.imwrite(str(source), picture)
        shutil.copyfile(source, Path(folder) / pattern.format(at))
    return Path(folder)


def write(path, lines, end='\n'):
    """Write a text file of lines."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((end.join(lines) + end).encode())
    return path


# The lists' numbers of groups: those of a test list are 7 groups of 25, split 1 has 1 to 7 (THUMOS' and UCF101's rule).
UCF101_TEST_GROUPS = {1: 1, 2: 8, 3: 15}


def ucf101(root):
    """UCF-101/<class>/v_<class>_g01_c01.avi, and ucfTrainTestlist/: three videos of each of the 101 classes."""
    root, classes = Path(root), label_set('ucf101').classes
    lists = root / 'ucfTrainTestlist'
    # the archive's files end their lines as Windows does
    write(lists / 'classInd.txt', [f'{number} {name}' for number, name in enumerate(classes, 1)], '\r\n')
    for split, tested in UCF101_TEST_GROUPS.items():
        train, test = [], []
        for number, name in enumerate(classes, 1):
            stem = name.replace('HandstandPushups', 'HandStandPushups')  # as its files are called
            for group in UCF101_TEST_GROUPS.values():
                video = f'{name}/v_{stem}_g{group:02d}_c01.avi'
                if group == tested:
                    test.append(video)
                else:
                    train.append(f'{video} {number}')
                if split == 1:
                    put(root / 'UCF-101' / video, number + group)
        write(lists / f'trainlist{split:02d}.txt', train, '\r\n')
        write(lists / f'testlist{split:02d}.txt', test, '\r\n')
    return root


# video of a class -> its codes in the three splits: 1 training, 2 testing, 0 neither
HMDB51_CODES = {'_u_nm_np1_ba_goo_0.avi': '112', '_u_cm_np1_fr_med_1.avi': '121', '_f_cm_np2_le_bad_2.avi': '201'}


def hmdb51(root):
    """videos/<class>/<film>.avi, and testTrainMulti_7030_splits/: three videos of each of the 51 classes."""
    root = Path(root)
    for number, name in enumerate(label_set('hmdb51').classes):
        videos = {f'#{number}_April_{name}{end}': codes for end, codes in HMDB51_CODES.items()}
        for place, video in enumerate(videos):
            put(root / 'videos' / name / video, number + place)
        for split in (1, 2, 3):
            lines = [f'{video} {codes[split - 1]} ' for video, codes in videos.items()]  # lines end with a blank
            write(root / f'testTrainMulti_7030_splits/{name}_test_split{split}.txt', lines)
    return root


def sthsthv1(root):
    """20bn-something-something-v1/<number>/00001.jpg, and its lists: a video of each class to train, 3 to validate."""
    root, classes = Path(root), label_set('sthsthv1').classes
    title = 'something-something-v1'
    write(root / f'{title}-labels.csv', classes)
    lists = {'train': [*enumerate(classes, 100)], 'validation': [(7, classes[173]), (8, classes[2]), (9, classes[0])]}
    for part, entries in lists.items():
        write(root / f'{title}-{part}.csv', [f'{video};{name}' for video, name in entries])
        for video, _ in entries:
            put_frames(root / f'20bn-{title}' / str(video), video)
    write(root / f'{title}-test.csv', ['1420', '21'])
    for video in (1420, 21):
        put_frames(root / f'20bn-{title}' / str(video), video)
    return root


def sthsthv2(root, second_release=False):
    """20bn-something-something-v2/<number>.webm, and its lists: a video of each class to train, 3 to validate.

    The second release has labels/train.json and so on, and the answers of the test list.
    """
    root, classes = Path(root), label_set('sthsthv2').classes
    title = 'something-something-v2'
    name = 'labels/{}' if second_release else f'{title}-{{}}'
    write_json(root / name.format('labels.json'), {name: str(number) for number, name in enumerate(classes)})
    lists = {'train': [*enumerate(classes, 100)], 'validation': [(7, classes[173]), (8, classes[2]), (9, classes[0])]}
    for part, entries in lists.items():
        write_json(root / name.format(f'{part}.json'), [template_entry(video, text) for video, text in entries])
    write_json(root / name.format('test.json'), [{'id': '1420'}, {'id': '21'}])
    if second_release:
        write(root / 'labels/test-answers.csv', [f'21;{classes[5]}', f'1420;{classes[1]}'])
    for video in (*(video for entries in lists.values() for video, _ in entries), 1420, 21):
        put(root / f'20bn-{title}' / f'{video}.webm', video)
    return root


def template_entry(video, template):
    """An entry of V2's lists: its template has brackets, its label names the things."""
    gaps = template.lower().count('something')
    bracketed = template.replace('something', '[something]').replace('Something', '[Something]')
    label = template.lower().replace('something', 'a potato')
    return {'id': str(video), 'label': label, 'template': bracketed, 'placeholders': ['a potato'] * gaps}


def write_json(path, content):
    """Write a JSON file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def kinetics400(root):
    """train/<class>/<video>_<start>_<end>.mp4, and kinetics_train.csv, _val.csv: a video of each class of both."""
    root, classes = Path(root), label_set('kinetics400').classes
    for part in ('train', 'val'):
        lines = ['label,youtube_id,time_start,time_end,split,is_cc']
        for number, name in enumerate(classes):
            video = f'{part[0]}{number:010d}'  # names have 11 letters
            quoted = f'"{name}"' if '(' in name else name.replace('_', ' ')
            lines.append(f'{quoted},{video},{number},{number + 10},{part},0')
            put(root / part / name.replace('_', ' ') / f'{video}_{number:06d}_{number + 10:06d}.mp4', number)
        write(root / f'kinetics_{part}.csv', lines)
    return root


def minikinetics(root):
    """Kinetics-400's, and classes.txt: a list of 213 of its classes, as Quo Vadis has so many."""
    root = kinetics400(root)
    write(root / 'classes.txt', label_set('kinetics400').classes[:213])
    return root


def stanfordcars(root):
    """cars_train/00001.jpg, cars_test/ and devkit/: two images of each of 196 makes of cars to train, one to test."""
    root = Path(root)
    names = [f'Make {number} Sedan 2012' for number in range(1, 197)]
    (root / 'devkit').mkdir(parents=True)
    savemat(root / 'devkit/cars_meta.mat', {'class_names': np.array(names, object)[None]})
    for part, file in (('train', 'devkit/cars_train_annos.mat'), ('test', 'cars_test_annos_withlabels.mat')):
        labels = [*range(1, 197)] * (2 if part == 'train' else 1)
        rows = np.empty((1, len(labels)), [('class', object), ('fname', object)])
        for at, label in enumerate(labels):
            rows['class'][0, at], rows['fname'][0, at] = np.array([[label]], np.uint8), f'{at + 1:05d}.jpg'
            put(root / f'cars_{part}' / f'{at + 1:05d}.jpg', at)
        savemat(root / file, {'annotations': rows})
    return root


def stanforddogs(root):
    """Images/n02085620-Chihuahua/<image>.jpg and the lists: two images of each of 120 breeds to train, one to test."""
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    breeds = [f'n{number:08d}-Breed_{number}' for number in range(1, 121)]
    for part, numbers in (('train', (1, 2)), ('test', (3,))):
        files = [f'{breed}/{breed[:9]}_{number}.jpg' for breed in breeds for number in numbers]
        column = np.empty((len(files), 1), object)
        column[:, 0] = files
        labels = np.repeat(np.arange(1.0, 121), len(numbers))[:, None]
        savemat(root / f'{part}_list.mat', {'file_list': column, 'labels': labels})
        for at, file in enumerate(files):
            put(root / 'Images' / file, at)
    return root
