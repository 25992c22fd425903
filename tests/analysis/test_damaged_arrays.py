"""Other .npz files of ours, damaged: similarities of classes, what training counted, stored features."""

import json
import random
from types import SimpleNamespace

import numpy as np
import pytest

from gluon_fg.analysis.similarity import ClassSimilarity, Similarity, training_similarity
from gluon_fg.data.features import load_views
from gluon_fg.errors import UserError

NET = SimpleNamespace(nclass=2, global_branch='avg', labels=None, classes=('a', 'b'), name='net')
READERS = {
    'similarity': ClassSimilarity.load,
    'training': lambda path: training_similarity(NET, path),
    'views': load_views,
}


@pytest.fixture
def path(request, tmp_path):
    path = tmp_path / 'file.npz'
    if request.param == 'similarity':
        kinds = (Similarity('clips', None, np.eye(2)), Similarity('own', 'avg', np.ones((2, 2))))
        ClassSimilarity('net', 'set', ('a', 'b'), None, kinds).save(path)
    elif request.param == 'training':
        np.savez_compressed(path, sparsity=np.ones((2, 5)), videos=7)
    else:
        cut = {'resized': np.ones((2, 2), np.int32), 'window': np.ones((2, 4), np.int32), 'mirrored': np.zeros(2, bool)}
        np.savez(path, features=np.ones((2, 4, 2, 3, 3), np.float16), frames=np.zeros((2, 2), np.int64), **cut)
    return path, READERS[request.param]


@pytest.mark.parametrize('path', READERS, indirect=True)
def test_damage_is_one_line(path):
    path, read = path
    whole, draw, told = path.read_bytes(), random.Random(3), 0
    assert read(path)
    for number in range(150):
        damaged = bytearray(whole)
        if number % 3:
            damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        else:
            del damaged[draw.randrange(len(whole)) :]
        path.write_bytes(damaged)
        try:
            read(path)
        except UserError as error:
            assert str(path) in str(error) and '\n' not in str(error)
            told += 1
    assert told > 100  # the rest hit what says nothing, such as times


@pytest.mark.parametrize('path', ['similarity'], indirect=True)
@pytest.mark.parametrize(
    'changes',
    [
        {'kinds': 3}, {'kinds': []}, {'kinds': [['a']]}, {'kinds': [['a', None]] * 3},
        {'kinds': [[1, None], ['b', None]]},
        {'classes': None}, {'classes': ['a']}, {'classes': 'ab'}, {'classes': [1, 2]}, {'groups': ['g']}, {'groups': 3},
        {'model': None}, {'source': []}, {'format': 9}, {'kind': 'x' * 5000}, {'kind': None},
    ],
)  # fmt: skip
def test_names_that_cannot_be_are_one_line(path, changes):
    path, read = path
    with np.load(path) as arrays:
        meta = {**json.loads(str(arrays['meta'])), **changes}
        np.savez(path, meta=np.array(json.dumps(meta)), **{name: arrays[name] for name in arrays if name != 'meta'})
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(path) in str(caught.value) and len(str(caught.value)) < len(str(path)) + 250


@pytest.mark.parametrize('path', ['views'], indirect=True)
@pytest.mark.parametrize('name, value', [
    ('features', np.full((2, 4, 2, 3, 3), np.nan, np.float16)), ('features', np.ones((2, 4), np.float64)),
    ('features', np.ones((2, 4), np.int32)), ('frames', np.zeros((3, 2), np.int64)), ('resized', np.zeros(2, np.int32)),
    ('window', np.zeros((2, 3), np.int32)), ('mirrored', np.zeros(2, np.int64)), ('more', np.zeros(2)),
])  # fmt: skip
def test_features_that_cannot_be_are_one_line(path, name, value):
    path, read = path
    with np.load(path) as arrays:
        np.savez(path, **{**arrays, name: value})
    with pytest.raises(UserError, match='not a file of features'):
        read(path)
