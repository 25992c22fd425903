"""What is said before the first update, or once after an epoch; and what is refused before the run's folder exists."""

import os
import re

import cv2
import numpy as np
import pytest
from said import Lines

from gluon_fg.data.datasets import VideoDataset, VideoRecord
from gluon_fg.data.labels import LabelSet
from gluon_fg.data.readers import from_folder
from gluon_fg.errors import UserError
from gluon_fg.evaluation.score import Scores
from gluon_fg.input_spec import InputSpec
from gluon_fg.training import guards, loop
from gluon_fg.training.config import load_config
from gluon_fg.training.log import read_metrics
from gluon_fg.training.sections import DataConfig


def dataset(labels, classes='abc', name='set', root='', paths=None):
    paths = paths or [f'{name}/{i}.mp4' for i in range(len(labels))]
    records = [VideoRecord(path, label) for path, label in zip(paths, labels)]
    return VideoDataset(records, LabelSet(tuple(classes)), root, name)


def files(folder, contents):
    """Files of these bytes in a folder, which is returned."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


# Classes --------------------------------------------------------------------------------------------------------------


def test_classes_are_counted_and_those_with_no_or_one_video_named():
    train = dataset([0] * 9 + [1] + [3] * 4, 'abcd')
    val = dataset([0, 1], 'abcd')
    assert guards.class_lines(train, val) == [
        '4 classes: a, b, c, d',
        'training videos of a class: a 9, b 1, c 0, d 4; validation: a 1, b 1, c 0, d 0',
        'warning: 1 of 4 classes have no training video: c',
        'warning: 1 of 4 classes have one training video alone: b',
        'warning: 1 of 4 classes have no validation video: d',
    ]


def test_a_subset_of_a_large_dataset_is_told_in_few_words():
    names = [f'class {i:03}' for i in range(400)]
    lines = guards.class_lines(dataset([3, 3, 5, 5], names), dataset([3, 5], names))
    assert lines[0] == '400 classes: class 000, class 001, class 002, class 003, class 004, ... (395 more)'
    assert lines[2:] == [
        'warning: 398 of 400 classes have no training video: class 000, class 001, class 002, class 004, class 006, '
        '... (393 more)'
    ]
    assert max(map(len, lines)) < 160


def test_the_smallest_and_the_largest_of_many_classes_are_named():
    classes = 'abcdefg'
    few = dataset([0] * 9 + [1] * 2 + [3] * 4 + [4, 4], classes)
    assert guards.class_lines(few, dataset([1], classes))[1] == (
        'training videos of a class: 2 (b) to 9 (a), median 3; validation: 1'
    )
    names = [f'{i} Pretending to put something into something else and then taking it out again' for i in range(9)]
    first, second = (f'{name[:57]}...' for name in names[:2])
    line = guards.class_lines(dataset([0, 0, 1, 1, 1], names), dataset([0], names))[1]
    assert line == f'training videos of a class: 2 ({first}) to 3 ({second}), median 2.5; validation: 1'


def test_a_single_class_is_refused():
    with pytest.raises(UserError, match="set: 'a' is the only class, so that nothing can be told apart"):
        guards.class_lines(dataset([0, 0], 'a'), dataset([0], 'a'))


def test_a_video_with_another_label_in_each_list_is_told(tmp_path):
    root = files(tmp_path, {f'{i}.mp4': bytes([i]) for i in range(5)})
    train = dataset([0, 1, 2], root=root, paths=['0.mp4', '1.mp4', '2.mp4'], name='train')
    val = dataset([1, 0, 0], root=root, paths=['1.mp4', '2.mp4', '3.mp4'], name='val')
    lines = guards.check_data(DataConfig(), train, val)
    assert "warning: 1 videos have another label in train than in val, for example 2.mp4: 'c' and 'a'" in lines


def test_videos_that_are_listed_more_than_once_are_counted(tmp_path):
    root = files(tmp_path, {f'{i}.mp4': bytes([i]) for i in range(4)})
    (root / 'link.mp4').symlink_to('0.mp4')
    train = dataset([0, 1, 0, 1], root=root, paths=['0.mp4', '1.mp4', './0.mp4', 'link.mp4'], name='train')
    lines = guards.check_data(DataConfig(), train, dataset([1, 0], root=root, paths=['2.mp4', '3.mp4'], name='val'))
    assert [line for line in lines if 'listed before' in line] == [
        'warning: train: 2 of 4 videos are listed before, or links to such'
    ]


def test_names_of_files_cannot_talk_to_the_terminal(tmp_path):
    odd = dataset([0, 1], root=tmp_path, paths=['\x1b]0;owned\x07.mp4', 'b\n.mp4'], name='\x1b[2J')
    lines = guards.check_data(DataConfig(), odd, dataset([0], paths=['c.mp4'], root=tmp_path))
    assert '\\x1b]0;owned\\x07.mp4' in ''.join(lines) and all(line.isprintable() for line in lines)


def test_training_videos_of_a_single_class_are_said_to_be_so():
    lines = guards.class_lines(dataset([1, 1, 1]), dataset([0, 1, 2]))
    assert any("every training video is of class 'b': the network can only learn to say so" in line for line in lines)


def test_names_that_forbid_mirroring_are_shown_where_clips_are_mirrored():
    sides = dataset([0, 1, 2], ('turn left', 'turn right', 'wave the left hand'))
    val = dataset([0], sides.labels.classes, name='other')
    shown = 'turn left -> turn right, turn right -> turn left, wave the left hand -> never mirrored'
    assert [line for line in guards.check_data(DataConfig(flip=0.5), sides, val) if shown in line]
    assert not [line for line in guards.check_data(DataConfig(flip=0.0), sides, val) if 'mirror' in line]


def test_of_many_names_that_say_a_side_those_that_forbid_mirroring_are_told_apart():
    swapped = [f'{verb} {side}' for verb in ('turn', 'look', 'go', 'step') for side in ('left', 'right')]
    sides = dataset([0] * 11, (*swapped, 'wave the left hand', 'sit', 'run clockwise'))
    lines = guards.mirror_lines(sides)
    assert lines[0].startswith('names that say a side: turn left -> turn right, ') and '... (5 more)' in lines[0]
    assert lines[1:] == ['2 classes are never mirrored, by their names: wave the left hand, run clockwise']


def test_files_left_out_by_their_suffix_are_counted(tmp_path):
    root = files(tmp_path, {f'{c}/{i}.mp4': b'.' for c in 'ab' for i in range(2)})
    files(root, {'a/notes.txt': b'', 'a/more/read.me': b'', 'b/old.TXT': b'', 'b/LICENSE': b'', 'b/.hidden.txt': b''})
    data = from_folder(root, name='own train')
    assert data.left_out == {'.txt': 2, '.me': 1, '': 1} and len(data) == 4
    assert guards.left_out_lines(data) == [
        'own train: files left out by their suffix: 1 without a suffix, 1 .me, 2 .txt'
    ]


def test_a_validation_list_without_labels_is_refused():
    with pytest.raises(UserError, match='none of its 2 videos has a label'):
        guards.check_data(DataConfig(), dataset([0, 1]), dataset([-1, -1], name='val'))


# Labels and folders ---------------------------------------------------------------------------------------------------

# The first classes of UCF101's classInd.txt ("1 ApplyEyeMakeup", ...), and lines as in its trainlist01.txt.
UCF101 = ('ApplyEyeMakeup', 'ApplyLipstick', 'Archery', 'BabyCrawling')
TRAINLIST = 'ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\nApplyLipstick/v_ApplyLipstick_g08_c01.avi 2\n'


def test_labels_that_count_from_1_are_told_by_the_folders_of_the_videos(tmp_path):
    (tmp_path / 'trainlist01.txt').write_text(TRAINLIST)
    records = [VideoRecord(line.split()[0], int(line.split()[1])) for line in TRAINLIST.splitlines()]
    shifted = VideoDataset(records, LabelSet(UCF101), tmp_path, 'ucf101 train')
    with pytest.raises(UserError, match='2 of 2 videos .* label 1 is .ApplyLipstick.; the list counts classes from 1'):
        guards.folder_lines(shifted)
    right = VideoDataset([r._replace(label=r.label - 1) for r in records], LabelSet(UCF101), tmp_path, 'ucf101 train')
    assert guards.folder_lines(right) == []


def test_single_videos_in_the_folder_of_another_class_are_a_warning():
    paths = [f'data/Apply_Eye_Makeup/{i}.avi' for i in range(3)]  # written otherwise, and the same
    (line,) = guards.folder_lines(dataset([0, 0, 2], UCF101, paths=paths))
    assert '1 of 3 videos lie in the folder of another class' in line and "label 2 is 'Archery'" in line
    with pytest.raises(UserError, match="label 2 is 'Archery', not 'ApplyEyeMakeup'"):
        guards.folder_lines(dataset([2, 2, 0], UCF101, paths=paths))


@pytest.mark.parametrize(
    'classes, paths, labels',
    [
        (UCF101, ['x/1.avi', 'y/2.avi'], [1, 2]),  # folders that are no classes say nothing
        (('0', '1', '2'), ['1/a.avi', '2/b.avi'], [0, 1]),  # nor do bare numbers
        (('apple', 'pear'), ['apple/pear/a.avi', 'pear/apple/b.avi'], [0, 1]),  # the folder of its own class is enough
    ],
)
def test_folders_that_say_nothing_of_the_class_are_left_alone(classes, paths, labels):
    assert guards.folder_lines(dataset(labels, classes, paths=paths)) == []


# Files of both splits -------------------------------------------------------------------------------------------------


def test_videos_of_both_splits_are_told_by_path_link_and_bytes(tmp_path):
    root = files(tmp_path, {f'{i}.mp4': bytes([i]) * 100 for i in range(8)})
    large = os.urandom(100_000)
    files(root, {'large.mp4': large, 'copy.mp4': large, 'other.mp4': large[:-1] + bytes([large[-1] ^ 1])})
    os.symlink(root / '2.mp4', root / 'link.mp4')
    train = dataset([0] * 4, root=root, paths=['0.mp4', '1.mp4', '2.mp4', 'large.mp4'])

    def lines(*paths):
        return guards.overlap_lines(DataConfig(), train, dataset([0] * len(paths), root=root, paths=list(paths)))

    assert lines('3.mp4', '4.mp4') == []
    assert lines('other.mp4', '4.mp4') == []  # as long, the same beginning, another end
    (path,) = lines('1.mp4', '4.mp4', '5.mp4')
    assert '1 of 3 validation videos are training videos, too, for example' in path and str(root / '1.mp4') in path
    assert '1 of 2 validation videos are training videos' in lines('link.mp4', '4.mp4')[0]
    (same,) = lines('copy.mp4', '4.mp4')
    assert f'the same bytes as training videos: {root / "copy.mp4"} and {root / "large.mp4"}' in same
    assert lines('gone.mp4', '4.mp4') == [f'warning: set: 1 of 2 videos are not there, for example {root / "gone.mp4"}']


def test_two_stretches_of_a_film_are_two_videos(tmp_path):
    root = files(tmp_path, {'film.mp4': b'film'})
    labels = LabelSet(('a', 'b'))
    train = VideoDataset([VideoRecord('film.mp4', 0, 0.0, 5.0)], labels, root)
    assert (
        guards.overlap_lines(DataConfig(), train, VideoDataset([VideoRecord('film.mp4', 0, 5.0, 9.0)], labels, root))
        == []
    )
    with pytest.raises(UserError, match='all 1 validation videos are training videos'):
        guards.overlap_lines(DataConfig(), train, VideoDataset([VideoRecord('film.mp4', 0, 0.0, 5.0)], labels, root))


def test_no_copy_is_missed_and_none_made_up_in_any_mix_of_files(tmp_path):
    rng = np.random.default_rng(0)
    contents = {
        f'{s}{i}.mp4': bytes([int(v)]) * int(n) for s in 'tv' for i, (v, n) in enumerate(rng.integers(1, 4, (12, 2)))
    }
    root = files(tmp_path, contents)
    sets = [dataset([0] * 12, root=root, paths=[n for n in contents if n[0] == s]) for s in 'tv']
    copies = [v for v in contents if v[0] == 'v' and any(contents[v] == contents[t] for t in contents if t[0] == 't')]
    lines = guards.overlap_lines(DataConfig(), *sets)
    assert 0 < len(copies) < 12 and f'{len(copies)} of 12 validation videos have the same bytes' in lines[0]


def test_a_flat_folder_is_validated_on_what_is_held_out_and_else_refused(tmp_path):
    root = files(tmp_path, {f'{c}/{i}.mp4': (c + str(i)).encode() for c in 'ab' for i in range(10)})
    whole, again = from_folder(root, name='own train'), from_folder(root, name='own val')
    with pytest.raises(UserError, match='gluon-fg finetune .* data.hold_out=0.2'):
        guards.check_data(DataConfig(), whole, again)
    knowing = guards.check_data(DataConfig(val_split='train'), whole, again)
    assert knowing[-1] == 'warning: train is the validation split, too: its accuracy is no measure'
    train, held_out = whole.parted(0.3)
    val = guards.validation_videos(DataConfig(hold_out=0.3), train, held_out, again)
    assert val is held_out and not [
        line for line in guards.check_data(DataConfig(), train, val) if 'no measure' in line
    ]
    other = from_folder(files(tmp_path / 'val', {'a/x.mp4': b'x', 'b/y.mp4': b'y'}))
    assert guards.validation_videos(DataConfig(hold_out=0.3), train, held_out, other) is other


def test_an_evaluation_says_which_videos_the_run_was_trained_on(tmp_path):
    root = files(tmp_path / 'own', {f'{c}/{i}.mp4': (c + str(i)).encode() for c in 'ab' for i in range(10)})
    own = ['data.dataset=folder', f'data.root={root}', 'model.name=i3d_tiny_custom']
    whole, config = from_folder(root, name='own test'), load_config(None, [*own, 'data.hold_out=0.3'])
    train, held_out = whole.parted(0.3)
    said = f'warning: the run was trained on {len(train)} of these 20 videos; the accuracy on them is no measure'
    assert guards.learned_line(config, whole, 'test') == said
    assert guards.learned_line(config, held_out, 'val') is None
    assert guards.learned_line(config, train, 'train') is None  # asked for
    assert guards.learned_line(None, whole, 'test') is None
    gone = load_config(None, [*own, f'data.root={tmp_path / "gone"}'])
    assert guards.learned_line(gone, whole, 'test') is None


# Lengths --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    """Folders of frames: 'long' of 12, 'short' of 3, 'still' of 1."""
    root = tmp_path_factory.mktemp('pictures')
    for name, count in (('long', 12), ('short', 3), ('still', 1)):
        (root / name).mkdir()
        for i in range(count):
            cv2.imwrite(str(root / name / f'{i:03}.png'), np.full((16, 16, 3), i * 20, np.uint8))
    return root


@pytest.mark.parametrize(
    'spec, paths, expected',
    [
        (InputSpec(frames=4, frame_stride=2), ['long', 'long'], None),
        (InputSpec(frames=4, frame_stride=2), ['long', 'short'], None),  # some are longer
        (
            InputSpec(frames=4, frame_stride=2),
            ['short', 'short'],
            r'2 of 2 videos looked at \(3 to 3 frames\) .* the 7 ',
        ),
        (
            InputSpec(frames=4, frame_stride=2),
            ['short', 'short', 'long'],
            '2 of 3 .* lower data.frames or data.frame_str',
        ),
        (InputSpec(frames=4, sampling='spread'), ['short', 'still'], 'the 4 frames .* lower data.frames$'),
        (
            InputSpec(frames=1, frame_stride=1, segments=8, layout='NCHW'),
            ['short'],
            'the 8 frames .* lower data.segments',
        ),
        (InputSpec(frames=1, frame_stride=1, layout='NCHW'), ['still'], None),
        (InputSpec(frames=1, frame_stride=1, segments=2, layout='NCHW'), ['still'], r'\(1 to 1 frames\)'),
        (InputSpec(frames=4, frame_stride=2, fps=200), ['short', 'short'], None),  # at this rate they are long enough
        (InputSpec(frames=2, frame_stride=1), ['gone', 'long'], None),  # what cannot be read is told elsewhere
    ],
)
def test_videos_shorter_than_what_the_network_takes_are_said(spec, paths, expected, pictures):
    lines = guards.length_lines(dataset([0] * len(paths), root=pictures, paths=paths), spec)
    assert len(lines) == (expected is not None)
    if expected:
        assert re.search(expected, lines[0]), lines


def test_single_pictures_are_refused_by_a_network_on_clips(pictures):
    with pytest.raises(UserError, match=r'are single pictures, .* clips of 8 frames; choose a model for images'):
        guards.length_lines(dataset([0, 1], root=pictures, paths=['still', 'still/000.png']), InputSpec(frames=8))


# Predictions ----------------------------------------------------------------------------------------------------------


def scores(predicted, labels, classes=3):
    p = np.full((len(labels), 1, classes), 0.1, np.float32)
    p[np.arange(len(labels)), 0, predicted] = 0.8
    names = tuple('abcdef'[:classes])
    return Scores(tuple(map(str, range(len(labels)))), np.array(labels), p, ('avg',), names, None, 'train_time', {})


def test_constant_predictions_are_told_from_right_ones():
    assert "all 4 validation videos are taken for class 'c'" in guards.constant_prediction(
        scores([2] * 4, [0, 1, 2, 0])
    )
    assert guards.constant_prediction(scores([2] * 4, [2] * 4)) is None  # and right
    assert guards.constant_prediction(scores([2, 2, 2, 1], [0, 1, 2, 0])) is None
    assert guards.constant_prediction(scores([2, 2, 2, 1], [0, 1, 2, -1])) is not None  # of those with a label


# In a run -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def lists(tiny_synthfg, tmp_path):
    """`lists(train=..., val=...)` -> settings of a run on lists of (video, label) of SynthFG's 24 training clips."""

    def make(*overrides, **splits):
        for split, videos in splits.items():
            text = ''.join(f'{tiny_synthfg}/train/{number:05}.mp4,{label}\n' for number, label in videos)
            (tmp_path / f'{split}.csv').write_text(f'path,label\n{text}')
        return load_config(
            None,
            [
                'model.name=i3d_tiny_custom',
                'data.dataset=csv',
                f'data.root={tmp_path}',
                'data.augment=random_crop',
                'data.workers=1',
                'train.epochs=2',
                'train.lr_epochs=[]',
                'train.batch_size=2',
                'train.lr=1e-6',
                *overrides,
            ],
        )

    return make


def test_a_validation_set_smaller_than_a_batch_is_scored_whole(lists, tmp_path):
    config = lists('test.batch_size=16', train=[(i, i % 3) for i in range(4)], val=[(5, 0), (6, 1), (7, 2)])
    summary = loop.train(config, tmp_path / 'run', progress=False)
    records = read_metrics(tmp_path / 'run' / 'metrics.jsonl')
    vals = [r for r in records if r['event'] == 'val']
    assert [r['scored'] for r in vals] == [3, 3] and summary['scored'] == 3
    assert all(np.isfinite(r['top1']) and (3 * r['top1']) % 1 == pytest.approx(0) for r in vals)
    assert all(np.isfinite(r['loss']) for r in records if r['event'] == 'epoch')


def test_what_the_data_are_is_said_once_before_training_and_constant_answers_once(lists, tmp_path):
    config = lists(train=[(i, i % 3) for i in range(5)], val=[(5, 0), (6, 1), (1, 1)])
    early = []
    with Lines(lambda line: early.append(line) if not (tmp_path / 'run/config.yaml').exists() else None) as said:
        loop.train(config, tmp_path / 'run', progress=False)
    assert '3 classes: 0, 1, 2' in early  # a line each, so that a command may leave some out
    assert [line for line in early if line.startswith('warning: 1 of 3 validation videos are training videos')]
    text = '\n'.join(said)
    assert text.index('3 classes: 0, 1, 2') < text.index('epoch 1/2: validation')
    for line in (
        'random weights',
        'training videos of a class: 0 2, 1 2, 2 1; validation: 0 1, 1 2, 2 0',
        'classes have one training video alone: 2',
        'classes have no validation video: 2',
        '1 of 3 validation videos are training videos, too',
        'are taken for class',  # after both epochs: nothing is learned at this rate
    ):
        assert text.count(line) == 1, line


def test_a_video_that_cannot_be_decoded_is_named_once_in_a_run_and_counted_in_every_validation(lists, tmp_path):
    config = lists('train.epochs=3', train=[(i, i % 2) for i in range(4)], val=[(5, 0), (6, 1)])
    (tmp_path / 'broken.mp4').write_bytes(b'no video')
    with open(tmp_path / 'val.csv', 'a') as stream:
        stream.write('broken.mp4,1\n')
    with Lines() as said:
        loop.train(config, tmp_path / 'run', progress=False)
    assert sum('broken.mp4' in line and 'not scored' in line for line in said) == 1
    assert said.count('3 videos listed = 2 scored + 1 failed') == 1
    vals = [r for r in read_metrics(tmp_path / 'run' / 'metrics.jsonl') if r['event'] == 'val']
    assert [(r['scored'], r['failed']) for r in vals] == [(2, 1)] * 3


@pytest.mark.parametrize(
    'val, overrides, message',
    [
        ([(5, -1), (6, -1)], (), 'none of its 2 videos has a label'),
        ([(0, 0), (1, 1)], (), 'all 2 validation videos are training videos'),
        ([(5, 0), (6, 1)], ('train.freeze=[stem]', 'model.start=none'), 'stem has random weights'),
    ],
)
def test_a_run_that_cannot_be_right_is_refused_before_its_folder_exists(val, overrides, message, lists, tmp_path):
    config = lists(*overrides, train=[(i, i % 2) for i in range(4)], val=val)
    with pytest.raises(UserError, match=message):
        loop.train(config, tmp_path / 'run', progress=False)
    assert not (tmp_path / 'run').exists()


def test_labeled_videos_that_all_fail_end_the_run_with_a_line(lists, tmp_path):
    config = lists(train=[(i, i % 2) for i in range(4)], val=[(5, -1), (6, -1)])
    (tmp_path / 'broken.mp4').write_bytes(b'no video')
    with open(tmp_path / 'val.csv', 'a') as stream:
        stream.write('broken.mp4,1\n')
    with pytest.raises(UserError, match=r'none of the labeled videos of split val can be decoded \(1 failed\)'):
        loop.train(config, tmp_path / 'run', progress=False)


@pytest.mark.parametrize('mode', ['partial', 'frozen'])
def test_statistics_that_were_never_loaded_are_not_frozen(mode, lists, tmp_path):
    """Frozen at a mean of 0 and a variance of 1, a network with random weights diverges within a few updates."""
    videos = {'train': [(i, i % 2) for i in range(4)], 'val': [(5, 0), (6, 1)]}
    losses = {}
    for given in (mode, 'train'):
        config = lists(f'train.batch_norm={given}', 'model.pretrained_base=false', 'train.lr=0.01', **videos)
        with Lines() as said:
            loop.train(config, tmp_path / given, progress=False)
        losses[given] = [r['loss'] for r in read_metrics(tmp_path / given / 'metrics.jsonl') if r['event'] == 'epoch']
        noted = [line for line in '\n'.join(said).splitlines() if 'keeps nothing' in line]
        assert len(noted) == (given != 'train')
    assert losses[mode] == losses['train'] and np.isfinite(losses[mode]).all()
    assert len(losses[mode]) == 2
