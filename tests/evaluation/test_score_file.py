"""Score files that are damaged, changed or made to harm: one line, or the right numbers."""

import dataclasses
import io
import json
import struct
import zipfile

import numpy as np
import pytest

from gluon_fg.errors import UserError
from gluon_fg.evaluation.score import Scores
from gluon_fg.npz import NpzError, are_finite, read_npz

RNG = np.random.default_rng(0)
SCORES = Scores(
    ids=tuple(f'v{i}.mp4' for i in range(6)),
    labels=np.array([0, 1, 2, 0, -1, 2]),
    probabilities=RNG.dirichlet(np.ones(3), (6, 2)).astype(np.float32),
    branch_names=('fused', 'other'),
    classes=('left', 'right', 'up'),
    groups=('side', 'side', 'height'),
    protocol='5x3',
    failed={'broken.mp4': 'cut short'},
    model='net',
    dataset='mine val',
    logits=RNG.normal(size=(6, 3)).astype(np.float32),
    seconds=np.array([0.1, 1 / 3, 2e-6, 0, 12345.678, 0.25], np.float32),
)


@pytest.fixture
def path(tmp_path):
    SCORES.save(tmp_path / 's.npz')
    return tmp_path / 's.npz'


def same(a, b):
    values = [(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(Scores)]
    return all(type(x) is type(y) and np.array_equal(x, y) for x, y in values)


def parts(path):
    with np.load(path, allow_pickle=False) as arrays:
        return json.loads(str(arrays['meta'])), {name: arrays[name] for name in arrays if name != 'meta'}


def rewritten(path, meta, arrays):
    """Write as a version without checksums did: such a file knows of its classes alone."""
    meta.pop('checksums', None)
    np.savez_compressed(path, meta=np.array(json.dumps(meta)), **arrays)


def refused(path, message=''):
    with pytest.raises(UserError, match=message) as caught:
        Scores.load(path)
    text = str(caught.value)
    assert text.startswith(str(path)) and text.isprintable() and len(text) < len(str(path)) + 300
    return True


def test_every_wrong_byte_is_a_line_or_harmless(path):
    whole = path.read_bytes()
    told = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            scores = Scores.load(path)
        except UserError as error:
            told += str(error).startswith(str(path))
        else:
            assert same(scores, SCORES), f'byte {place} changes what is read'
            told += 1
    assert told == len(whole) > 1500


def test_every_cut_is_a_line(path):
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert refused(path, 'not a score file')


@pytest.mark.parametrize(
    'name, value, message',
    [
        ('probabilities', np.full((6, 2, 3), np.nan, np.float32), 'not finite'),
        ('probabilities', np.full((6, 2, 3), np.inf, np.float32), 'not finite'),
        ('probabilities', np.full((6, 2, 3), 7, np.float32), 'go from 7 to 7'),
        ('probabilities', np.full((6, 2, 3), -0.5, np.float32), 'go from -0.5'),
        ('probabilities', np.ones((6, 2, 3), np.int64), 'probabilities is int64'),
        ('probabilities', np.ones((6, 2, 3), np.complex64), 'probabilities is complex64'),
        ('probabilities', np.full((6, 2, 3), '0.3'), 'probabilities is str'),
        ('probabilities', np.ones((6, 2, 3), bool), 'probabilities is bool'),
        ('probabilities', np.ones((6, 2, 3), 'M8[s]'), 'not a score file'),
        ('probabilities', np.ones((6, 2, 4), np.float32), 'for 6 videos, 2 branches and 3 classes'),
        ('probabilities', np.float32(1), 'for 6 videos'),
        ('labels', np.array([0, 1, 2, 0, 1, 3]), 'labels go from 0 to 3, with 3 classes'),
        ('labels', np.array([0, 1, 2, 0, -2, 1]), 'labels go from -2'),
        ('labels', np.array([0, 1, 2, 0, 2**62, 1]), 'labels go from 0 to'),
        ('labels', np.zeros(6, np.float32), 'labels is float32'),
        ('labels', np.zeros(5, np.int64), 'for 6 videos'),
        ('logits', np.full((6, 3), np.nan, np.float32), 'logits hold a number that is not finite'),
        ('logits', np.ones((6, 3), np.int32), 'logits is int32'),
        ('targets', np.ones((6, 3), bool), 'format 1 goes without targets'),
        ('more', np.ones(3), 'holds something else'),
        ('labels', None, 'it has no labels'),
    ],
)
def test_arrays_that_cannot_be_are_told(path, name, value, message):
    meta, arrays = parts(path)
    arrays[name] = value
    rewritten(path, meta, {name: value for name, value in arrays.items() if value is not None})
    assert refused(path, message)


@pytest.mark.parametrize(
    'key, value',
    [
        *[(key, value) for key in ('ids', 'branch_names', 'classes') for value in (None, 3, 'abc', [1, 2], ['a'], {})],
        *[(key, value) for key in ('protocol', 'model', 'dataset', 'fingerprint') for value in (None, 3, [])],
        *[('seconds', value) for value in (3, [], 'text', [0.1] * 5, [0.1] * 5 + [-1], [0.1] * 5 + ['1'])],
        *[('seconds', [0.1] * 5 + [value]) for value in (float('nan'), float('inf'), None, True, 10**400, {})],
        *[('failed', value) for value in (None, [], {'a': 3}, 'text')],
        *[('groups', value) for value in (3, 'abc', ['a'], [1, 2, 3])],
        ('ids', ['a'] * 6),
        ('classes', ['left', 'right', 'up\x1b]0;owned\x07']),
        ('classes', ['left', 'right', '']),
        ('classes', ['up', 'right', 'left']),
        *[('format', value) for value in (None, 2, 3, '1', [1], 'x' * 10000)],
        ('kind', 'logits'),
    ],
)
def test_texts_that_cannot_be_are_told(path, key, value):
    meta, arrays = parts(path)
    rewritten(path, {**meta, key: value}, arrays)
    assert refused(path)
    del meta[key]
    rewritten(path, meta, arrays)
    assert key == 'seconds' or refused(path)


@pytest.mark.parametrize('text', ['[' * 100_000, '1' * 5000, '{', '', 'null', '[]', '"a"', '{"kind": 1}', '\ud800'])
def test_a_meta_that_is_no_mapping_is_told(path, text):
    _, arrays = parts(path)
    np.savez_compressed(path, meta=np.array(text), **arrays)
    assert refused(path, 'not a score file')


def test_a_changed_number_does_not_fit_its_checksum(path):
    meta, arrays = parts(path)
    for name, change in (('probabilities', 0.01), ('labels', 0), ('logits', 0.5)):
        changed = {**arrays, name: arrays[name].copy()}
        changed[name].flat[0] = change if name != 'labels' else 1
        np.savez_compressed(path, meta=np.array(json.dumps(meta)), **changed)
        assert refused(path, f'its {name} do not fit their checksum')
    np.savez_compressed(path, meta=np.array(json.dumps({**meta, 'model': 'another'})), **arrays)
    assert refused(path, 'its names do not fit their checksum')
    np.savez_compressed(path, meta=np.array(json.dumps({**meta, 'seconds': [0.5] * 6})), **arrays)
    assert refused(path, 'its seconds do not fit their checksum')
    np.savez_compressed(path, meta=np.array(json.dumps({**meta, 'checksums': 3})), **arrays)
    assert refused(path, 'do not fit')
    rewritten(path, meta, arrays)  # a former version's file
    assert same(Scores.load(path), SCORES)


def test_readers_from_before_seconds_read_them(path):
    """They refuse arrays that they do not know, and look at no other key of `meta` than theirs."""
    meta, arrays = parts(path)
    assert sorted(arrays) == ['labels', 'logits', 'probabilities'] and meta['format'] == 1
    without = dataclasses.replace(SCORES, seconds=None)
    without.save(path)
    before = parts(path)[0]
    assert same(Scores.load(path), without) and 'seconds' not in before
    assert {key: value for key, value in meta['checksums'].items() if key != 'seconds'} == before['checksums']
    with pytest.raises(ValueError, match=r'seconds \(2,\) for 6 videos'):
        dataclasses.replace(SCORES, seconds=np.zeros(2, np.float32))


def header(descr, shape):
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(text)) + text


@pytest.mark.parametrize(
    'content',
    [
        header('<f4', '(1000000000, 2, 3)'),
        header('<f4', '(9223372036854775807, 9223372036854775807)'),
        header('<f4', '(' + '9' * 399 + ',)'),
        header('<U999999999', '()'),
        header('<U0', '(1000000000,)'),
        header('|O', '()') + b'\x80\x04N.',
        header('|V8', '(1,)') + bytes(8),
        header([('a', '<f4')], '(1,)') + bytes(4),
        header('<f4', '(-1,)'),
        header('<f4', '(' + '(' * 5000 + ')'),
        header('<f4', '(2,)') + bytes(7),
        header('<f4', '(2,)') + bytes(9),
        b'\x93NUMPY\x02\x00' + struct.pack('<I', 0xFFFFFFF0),
        b'\x93NUMPY\x09\x00\x10\x00',
        b'\x93NUMP',
        b'',
    ],
)
@pytest.mark.parametrize('packing', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_no_header_is_believed(tmp_path, content, packing):
    """150 bytes that claim 10^9 videos would ask for 11 GB."""
    with zipfile.ZipFile(tmp_path / 's.npz', 'w', packing) as archive:
        archive.writestr('labels.npy', content)
    with pytest.raises(NpzError):
        read_npz(tmp_path / 's.npz', {'labels': 'fiub' + 'U'})


def test_an_archive_cannot_claim_more_than_it_holds(tmp_path, monkeypatch):
    """A central directory that says gigabytes, a member that unpacks to more than any scores, members that overlap."""
    path = tmp_path / 's.npz'
    np.savez_compressed(path, labels=np.zeros(3 << 20, np.uint8))  # 3 kB
    assert read_npz(path, {'labels': 'u'})['labels'].size == 3 << 20
    monkeypatch.setattr('gluon_fg.npz._FREE', 1 << 20)
    with pytest.raises(NpzError, match='larger than the file can hold'):
        read_npz(path, {'labels': 'u'})
    np.savez(path, labels=np.zeros(10, np.uint8))
    data = path.read_bytes()
    place = data.index(b'PK\x01\x02')
    for size in (1 << 31, 0xFFFFFFFF, 139):
        path.write_bytes(data[: place + 24] + struct.pack('<I', size) + data[place + 28 :])
        with pytest.raises(NpzError):
            read_npz(path, {'labels': 'u'})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive, pytest.warns(UserWarning, match='Duplicate'):
        for _ in range(2):
            archive.writestr('labels.npy', header('<f4', '(2,)') + bytes(8))
    path.write_bytes(buffer.getvalue())
    with pytest.raises(NpzError, match='labels twice'):
        read_npz(path, {'labels': 'f'})


@pytest.mark.parametrize(
    'array',
    [
        np.arange(6, dtype='>f8').reshape(2, 3),
        np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4)),
        np.zeros((0, 5), np.int32),
        np.array('ein Text'),
        np.array([True, False]),
    ],
)
@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read(tmp_path, save, array):
    save(tmp_path / 'a.npz', a=array, b_1=array)
    arrays = read_npz(tmp_path / 'a.npz', {'a': 'fiubU', 'b_*': 'fiubU', 'c': 'f'}, optional='c')
    for read in (arrays['a'], arrays['b_1']):
        np.testing.assert_array_equal(read, array)
        assert read.dtype == array.dtype.newbyteorder('=')


def test_what_cannot_be_opened_is_told(tmp_path):
    for place, message in ((tmp_path, 'directory'), (tmp_path / 'none', 'No such file')):
        with pytest.raises(NpzError, match=message):
            read_npz(place, {'a': 'f'})


@pytest.mark.parametrize('kind', [np.float16, np.float32, np.float64])
def test_numbers_that_are_not_finite_are_seen(kind):
    array = np.array([[0, -1, 1], [np.finfo(kind).max, np.finfo(kind).tiny, np.finfo(kind).min]], kind)
    assert are_finite(array) and are_finite(array[:0])
    for value in (np.nan, np.inf, -np.inf):
        array[1, 1] = value
        assert not are_finite(array)
