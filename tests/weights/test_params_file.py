"""Parameter files by every version of MXNet, damaged or made to harm: arrays, or one line."""

import struct

import mxnet as mx
import numpy as np
import pytest

import gluon_fg
from gluon_fg.errors import UserError
from gluon_fg.evaluation.load import load_network
from gluon_fg.weights.params_file import read_params

MARKS = {'first': None, 'V1': 0xF993FAC8, 'V2': 0xF993FAC9}
WEIGHT, MEAN = np.arange(6, dtype='<f4').reshape(2, 3), np.array([0.5, -1], '<f2')
TYPES = {'<f4': 0, '<f8': 1, '<f2': 2, '|u1': 3}


def stored(version, array, shape=None):
    """An array as that version of MXNet wrote it."""
    shape = array.shape if shape is None else shape
    if version == 'first':
        start = struct.pack(f'<I{len(shape)}I', len(shape), *shape)
    else:
        storage = struct.pack('<i', 0) if version == 'V2' else b''
        start = struct.pack('<I', MARKS[version]) + storage + struct.pack(f'<i{len(shape)}q', len(shape), *shape)
    return start + struct.pack('<iii', 1, 0, TYPES[array.dtype.str]) + array.tobytes()


def file_of(arrays, names):
    ends = b''.join(struct.pack('<Q', len(name)) + name for name in names)
    return struct.pack('<QQQ', 0x112, 0, len(arrays)) + b''.join(arrays) + struct.pack('<Q', len(names)) + ends


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'w.params'


def refused(path, data=None):
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        read_params(path)
    text = str(caught.value)
    assert text.startswith(str(path)) and text.isprintable() and len(text) < len(str(path)) + 250
    return text


@pytest.mark.parametrize('version', MARKS)
def test_every_version_is_read(path, version):
    path.write_bytes(file_of([stored(version, WEIGHT), stored(version, MEAN)], [b'arg:a.weight', b'aux:b.mean']))
    arrays = read_params(path)
    assert list(arrays) == ['a.weight', 'b.mean']
    np.testing.assert_array_equal(arrays['a.weight'].asnumpy(), WEIGHT)
    np.testing.assert_array_equal(arrays['b.mean'].asnumpy(), MEAN)


@pytest.mark.parametrize('version', MARKS)
def test_every_wrong_byte_is_a_line_or_a_number(path, version):
    """The format has no checksum: what can be told is told, and numbers stay numbers."""
    whole = file_of([stored(version, WEIGHT), stored(version, MEAN)], [b'a.weight', b'b.mean'])
    told = 0
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 0xFF
        path.write_bytes(data)
        try:
            arrays = read_params(path)
        except UserError as error:
            assert str(error).startswith(str(path)) and str(error).isprintable()
            told += 1
        else:
            assert sum(array.size for array in arrays.values()) == 8
    assert told > len(whole) / 2
    for length in range(len(whole)):
        assert 'not an MXNet parameter file' in refused(path, whole[:length])
    assert 'not an MXNet parameter file' in refused(path, whole + b'\0')


@pytest.mark.parametrize('version', MARKS)
@pytest.mark.parametrize('shape', [(), (-1,), (0,), (2**31, 2**31), (2**32 - 1,) * 4, (7,), (2,), (1,) * 33])
def test_no_shape_is_believed(path, version, shape):
    """(-1,) in V1 is the former_version.params of the reports: MXNet makes an array of no storage type of it."""
    if version == 'first' and min(shape, default=0) < 0:
        shape = tuple(2**32 + size for size in shape)
    arrays = [stored(version, WEIGHT.reshape(-1)), stored(version, WEIGHT.reshape(-1), shape)]
    assert 'not an MXNet parameter file' in refused(path, file_of(arrays, [b'a', b'b']))


@pytest.mark.parametrize(
    'names', [[b'a'], [b'a', b'a'], [b'a', b''], [b'a', b'x' * 5000], [b'a', b'\x1b]0;b'], [b'a', b'\xff'], [b'a'] * 3]
)
def test_names_that_are_none_are_told(path, names):
    arrays = [stored('V2', WEIGHT), stored('V2', MEAN)]
    assert 'not an MXNet parameter file' in refused(path, file_of(arrays, names))


def test_one_name_with_two_prefixes_is_told(path):
    arrays = [stored('V2', WEIGHT), stored('V2', MEAN)]
    assert 'holds a parameter twice' in refused(path, file_of(arrays, [b'arg:a', b'aux:a']))


def test_arrays_of_numpy_semantics_are_told(path):
    with mx.util.np_shape(True):
        mx.nd.save(str(path), {'a': mx.nd.ones((2, 3))})
    assert 'was saved under npx.set_np()' in refused(path)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('kind', ['float16', 'float32', 'float64'])
def test_a_number_that_is_not_finite_is_told(path, kind, value):
    array = np.ones((2, 3), kind)
    array[1, 2] = value
    mx.nd.save(str(path), {'a': mx.nd.ones(3), 'b.weight': mx.nd.array(array, dtype=kind)})
    assert ': b.weight holds values that are not finite' in refused(path)


def test_no_network_predicts_with_such_numbers(path):
    net = gluon_fg.get_model('i3d_tiny_synthfg')
    name, parameter = sorted(net._collect_params_with_prefix().items())[0]
    values = parameter.data()
    values[:] = float('nan')
    net.save_parameters(str(path))
    with pytest.raises(UserError, match=f'{name} holds values that are not finite'):
        load_network('i3d_tiny_synthfg', str(path))
