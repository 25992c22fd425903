"""Lists of videos with several labels: CSV, and MMAction2's."""

import numpy as np
import pytest

from gluon_fg.data.catalog import build_dataset
from gluon_fg.data.datasets import VideoDataset, VideoRecord
from gluon_fg.data.label_lists import from_label_list
from gluon_fg.data.labels import LabelSet
from gluon_fg.data.lists import read_rows
from gluon_fg.errors import UserError

# The multi-class annotation of MMAction2's RawframeDataset documentation: folder, frames, labels.
MMACTION2 = """\
some/directory-1 163 1 3 5
some/directory-2 122 1 2
some/directory-3 258 2
some/directory-4 234 2 4 6 8
some/directory-5 295 3
some/directory-6 121 3
"""


def shown(dataset):
    return [np.flatnonzero(row).tolist() for row in dataset.targets]


def test_mmaction2s_lists_are_read(tmp_path):
    (tmp_path / 'train.txt').write_text(MMACTION2)
    dataset = from_label_list(tmp_path / 'train.txt')
    assert shown(dataset) == [[1, 3, 5], [1, 2], [2], [2, 4, 6, 8], [3], [3]] and dataset.nclass == 9
    assert dataset.records[3] == VideoRecord('some/directory-4', 2)
    assert dataset.counts.tolist() == [0, 2, 3, 3, 1, 1, 1, 0, 1]
    (tmp_path / 'videos.txt').write_text('some/path/000.mp4 1 3 5\nwith blanks/my film.MP4 2\n')  # no frames of videos
    videos = from_label_list(tmp_path / 'videos.txt')
    assert shown(videos) == [[1, 3, 5], [2]] and videos.records[1].path == 'with blanks/my film.MP4'


def test_csv_lists_name_classes_and_may_name_none(tmp_path):
    (tmp_path / 'train.csv').write_text(
        'path,labels,start,end\na.mp4,run|jump,,\n"b, c.mp4",jump | wave | jump,1.5,4\nd.mp4,,,\n'
    )
    dataset = from_label_list(tmp_path / 'train.csv')
    assert dataset.labels.classes == ('jump', 'run', 'wave') and shown(dataset) == [[0, 1], [0, 2], []]
    assert dataset.records == (
        VideoRecord('a.mp4', 0),
        VideoRecord('b, c.mp4', 0, 1.5, 4.0),
        VideoRecord('d.mp4', -1),
    )


def test_every_split_has_the_classes_of_the_training_split_or_of_the_file_beside(tmp_path):
    (tmp_path / 'train.csv').write_text('path,labels\na.mp4,run|jump\nb.mp4,wave\n')
    (tmp_path / 'val.csv').write_text('path,labels\nc.mp4,wave\n')
    val = build_dataset('multilabel', 'val', tmp_path)
    assert shown(val) == [[2]] and val.labels.classes == ('jump', 'run', 'wave') and val.name == 'multilabel val'
    (tmp_path / 'classes.txt').write_text('wave\nrun\njump\nsit\n')
    assert shown(build_dataset('multilabel', 'val', tmp_path)) == [[0]]
    assert build_dataset('multilabel', 'train', tmp_path).targets.shape == (2, 4)
    with pytest.raises(UserError, match="no list for split 'test'; expected test.csv or test.txt"):
        build_dataset('multilabel', 'test', tmp_path)


@pytest.mark.parametrize(
    'name, text, message',
    [
        ('l.csv', 'path,label_a\na.mp4,1\n', 'l.csv line 1: no column labels; the header has path, label_a'),
        ('l.csv', 'path,labels\n,run\n', 'l.csv line 2: an empty path'),
        ('l.csv', 'path,labels\na.mp4,run,1\n', 'l.csv line 2: 3 columns, the header has 2'),
        ('l.csv', 'path,labels\na.mp4,run|2\n', "'2' is a number and 'run' a name"),
        ('l.csv', 'path,labels\na.mp4,\n', 'no video has a label and no class is named'),
        ('l.csv', 'path,labels,start\na.mp4,1,soon\n', "line 2: start 'soon' is not a time in seconds"),
        ('l.csv', 'path,labels\na.mp4,1|300000000\n', 'label 300000000 in a list of 1 videos'),
        ('l.csv', 'path,labels\na.mp4,-1|1\n', r'line 2: label -1 is outside 0\.\.1'),
        ('l.txt', 'a.mp4\n', 'line 1: \'a.mp4\' is neither "path label label ..."'),
        ('l.txt', 'frames/a 3\n', "line 1: 'frames/a 3' is neither"),  # frames, and no label
        ('l.txt', '1 2\n', 'is neither'),
        ('l.txt', '\n', 'lists no video'),
    ],
)
def test_a_wrong_row_is_named(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        from_label_list(tmp_path / name)
    assert '\n' not in str(caught.value)


def test_a_class_that_is_not_known_is_named_by_its_line(tmp_path):
    (tmp_path / 'l.csv').write_text('path,labels\na.mp4,run\nb.mp4,run|wawe\n')
    with pytest.raises(UserError, match=r"l.csv line 3: unknown class 'wawe'; did you mean 'wave'\?"):
        from_label_list(tmp_path / 'l.csv', classes=['run', 'wave'])


# Datasets with targets ------------------------------------------------------------------------------------------------


def targets_of(videos=20, classes=4):
    targets = np.random.default_rng(0).random((videos, classes)) < 0.5
    records = [VideoRecord(f'{i}.mp4', int(row.argmax()) if row.any() else -1) for i, row in enumerate(targets)]
    return VideoDataset(records, LabelSet(tuple('abcdefgh'[:classes])), targets=targets)


def test_parts_keep_their_own_targets():
    dataset = targets_of()
    left, held = dataset.parted(0.4)
    rows = {record.path: row.tolist() for record, row in zip(dataset.records, dataset.targets)}
    for part in (left, held):
        assert [rows[record.path] for record in part.records] == part.targets.tolist()
    assert len(left) + len(held) == 20


def test_other_targets_are_another_list():
    dataset, other = targets_of(), targets_of()
    assert dataset.fingerprint == other.fingerprint
    other.targets[3, 3] ^= True  # no first class: the records stay what they are
    assert dataset.fingerprint != other.fingerprint
    plain = VideoDataset(dataset.records, dataset.labels)
    assert plain.targets is None and plain.fingerprint not in (dataset.fingerprint, other.fingerprint)


def test_targets_go_along_to_the_labels_of_a_larger_set():
    dataset = targets_of()
    other = dataset.relabeled(LabelSet(('x', 'd', 'c', 'b', 'a')))
    np.testing.assert_array_equal(other.targets, np.column_stack([np.zeros(20, bool), dataset.targets[:, ::-1]]))
    assert all(row[record.label] for row, record in zip(other.targets, other.records) if record.label >= 0)


def test_targets_of_another_shape_are_refused():
    with pytest.raises(UserError, match=r'targets have shape \(1, 3\), 1 videos of 2 classes take \(1, 2\)'):
        VideoDataset([VideoRecord('a.mp4', 0)], LabelSet(('a', 'b')), targets=np.zeros((1, 3)))


def test_mirrored_targets_change_sides_and_some_clips_may_not_be_mirrored():
    labels = LabelSet(('turn left', 'wave', 'turn right', 'lift the left hand'))
    np.testing.assert_array_equal(labels.mirrored_targets(np.array([1, 1, 0, 0])), [0, 1, 1, 0])
    np.testing.assert_array_equal(labels.mirrored_targets(np.array([1, 0, 1, 0])), [1, 0, 1, 0])
    np.testing.assert_array_equal(labels.mirrored_targets(np.zeros(4, bool)), [False] * 4)
    assert labels.mirrored_targets(np.array([0, 1, 0, 1])) is None


def test_plain_lists_are_read_as_before(tmp_path):
    (row,) = read_rows(tmp_path / 'l.csv', 'path,label,start,end\na.mp4,run|jump,1,2\n')
    assert (row.label, row.start, row.end) == ('run|jump', 1.0, 2.0)
