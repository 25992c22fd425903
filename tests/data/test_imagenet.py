"""ImageNet as its archives unpack, a few of the folders."""

import cv2
import numpy as np
import pytest

from gluon_fg.data import build_dataset, label_set
from gluon_fg.errors import UserError

FILES = (
    'train/n01440764/n01440764_18.JPEG',
    'train/n07920052/n07920052_1.JPEG',
    'val/n07920052/ILSVRC2012_val_00000293.JPEG',
)


@pytest.fixture
def root(tmp_path):
    for number, file in enumerate(FILES):
        (tmp_path / file).parent.mkdir(parents=True)
        cv2.imwrite(str(tmp_path / file), np.full((20, 30, 3), 60 * number, np.uint8))
    return tmp_path


def test_a_few_folders_keep_the_labels_of_all(root):
    train, val = build_dataset('imagenet1k', 'train', root), build_dataset('imagenet1k', 'val', root)
    assert [r.label for r in train.records] == [0, 967] and [r.label for r in val.records] == [967]
    assert val.nclass == 1000 and val.name == 'imagenet1k val'
    assert (train.labels.classes[0], val.labels.classes[967]) == ('tench', 'espresso')
    frames, label = val[0]
    assert frames.shape[-3:] == (20, 30, 3) and label == 967


def test_every_class_has_a_name_of_its_own_and_may_be_mirrored():
    labels = label_set('imagenet1k')
    plain = [''.join(c for c in name.lower() if c.isalnum()) for name in labels.classes]
    assert len(set(plain)) == 1000  # as checkpoints' lists are compared
    assert labels.classes[134] == 'crane (bird)' and labels.classes[517] == 'crane (machine)'
    assert labels.classes[263] == 'Pembroke' and labels.classes[264] == 'Cardigan Welsh corgi'
    assert labels.classes[638] == 'maillot' and labels.classes[639] == 'tank suit'
    assert labels.flip_map.tolist() == list(range(1000))


@pytest.mark.parametrize('spoil, message', [
    (lambda root: (root / 'val' / 'espresso').mkdir(), "unknown class folder in .*val: 'espresso'"),
    (lambda root: (root / 'val' / 'n07920052').rename(root / 'elsewhere'), 'val: no class folders; images lie in'),
    (lambda root: (root / 'val').rename(root / 'elsewhere'), 'val: no such folder'),
])  # fmt: skip
def test_another_layout_is_refused_in_one_line(root, spoil, message):
    spoil(root)
    with pytest.raises(UserError, match=message) as caught:
        build_dataset('imagenet1k', 'val', root)
    assert '\n' not in str(caught.value)


def test_a_split_that_it_lacks_is_refused(root):
    with pytest.raises(UserError, match="unknown split of imagenet1k 'test'; choose from train, val"):
        build_dataset('imagenet1k', 'test', root)
    with pytest.raises(UserError, match='needs a root folder'):
        build_dataset('imagenet1k', 'val')
