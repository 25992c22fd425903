"""Files of arrays from elsewhere: what they hold is read as NumPy or PyTorch would, and nothing in them is ever run."""

import collections
import io
import os
import pickle
import random
import struct
import subprocess
import zipfile

import numpy as np
import pytest
from checkpoints import MAGIC, content, jax_pickle, number, numbers, text, torch_former, torch_zip

from gluon_fg.errors import UserError
from gluon_fg.weights.array_files import read_arrays

RANDOM = np.random.RandomState(0)
ARRAYS = {
    'conv.weight': RANDOM.standard_normal((4, 3, 5)).astype('float32'),
    'bn.running_var': RANDOM.standard_normal(7),
    'half': RANDOM.standard_normal((2, 2)).astype('float16'),
    'bn.num_batches_tracked': np.array(3),
}


def same(got, expected):
    assert list(got) == list(expected)
    for name, array in expected.items():
        kept = array if array.dtype.kind != 'f' else array.astype('float32')
        assert got[name].dtype == kept.dtype and got[name].shape == kept.shape
        np.testing.assert_array_equal(got[name], kept)


@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
def test_pickles_of_numpy_arrays(protocol):
    nested = {
        'params': {'a': np.asfortranarray(ARRAYS['conv.weight'][0]), 'b': ARRAYS['half'].astype('>f4')},
        'stats': collections.OrderedDict({('x', 'y'): ARRAYS['conv.weight'][:, ::2], 'n': np.float64(2.5)}),
    }
    got = read_arrays(pickle.dumps(nested, protocol), 'it')
    expected = {'params/a': nested['params']['a'], 'params/b': ARRAYS['half'].astype('float32')}
    expected.update({'stats/x/y': ARRAYS['conv.weight'][:, ::2], 'stats/n': np.array(2.5)})
    same(got, expected)


@pytest.mark.parametrize('core', [b'numpy.core', b'numpy._core'])
def test_pickles_of_numpy_1_and_2(core):
    data = pickle.dumps({'a': ARRAYS['half']}, 0)
    data = pickle.dumps({'a': ARRAYS['half']}, 2).replace(b'numpy.core', core).replace(b'numpy._core', core)
    same(read_arrays(data, 'it'), {'a': ARRAYS['half']})


@pytest.mark.parametrize('write', [torch_former, torch_zip])
def test_both_of_pytorchs_formats(write):
    same(read_arrays(write(ARRAYS), 'it'), ARRAYS)


@pytest.mark.parametrize('former', [True, False])
def test_what_pytorch_itself_writes(former, tmp_path):
    torch = pytest.importorskip('torch', reason='PyTorch is not installed: CONTRIBUTING.md, "PyTorch"')
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {
        'whole': base,
        'transposed': base.t(),
        'part': base[1:3, ::2],
        'none': torch.zeros(0, 3),
        'one': torch.tensor(5),
        'half': base.half(),
        'brain': (base / 7).bfloat16(),
        'flags': base > 3,
        'parameter': torch.nn.Parameter(base + 1),
    }
    given = {'epoch': 3, 'model': collections.OrderedDict(tensors), 'optimizer': {'lr': [0.1], 'size': base.shape}}
    torch.save(given, tmp_path / 'it.pth', _use_new_zipfile_serialization=not former)
    got = read_arrays((tmp_path / 'it.pth').read_bytes(), 'it')
    assert list(got) == list(tensors)
    for name, tensor in tensors.items():
        kept = tensor.detach().float() if tensor.is_floating_point() else tensor
        np.testing.assert_array_equal(got[name], kept.numpy(), err_msg=name)
    (tmp_path / 'ours.pth').write_bytes((torch_former if former else torch_zip)(ARRAYS))
    same({n: t.numpy() for n, t in torch.load(tmp_path / 'ours.pth')['state_dict'].items() if n[0] == 'c'},
         {n: a for n, a in ARRAYS.items() if n[0] == 'c'})  # fmt: skip


# Nothing is run -------------------------------------------------------------------------------------------------------


class Calls:
    """Pickled as a call of any function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def named(module, name, arguments=b')', protocol=b'\x80\x02'):
    """A pickle that calls a function by its names, whether or not there is one."""
    return protocol + f'c{module}\n{name}\n'.encode() + arguments + b'R.'


STRANGERS = {
    'os.system': lambda: Calls(os.system, 'touch RUN'),
    'builtins.eval': lambda: Calls(eval, "open('RUN', 'w')"),
    'builtins.exec': lambda: Calls(exec, "open('RUN', 'w')"),
    'builtins.getattr': lambda: Calls(getattr, 'a', 'upper'),
    'subprocess.Popen': lambda: Calls(subprocess.Popen, ['touch', 'RUN']),
    'numpy.load': lambda: Calls(np.load, 'other.npy'),
    'numpy.fromfile': lambda: Calls(np.fromfile, 'other.npy'),
    'numpy.save': lambda: Calls(np.save, 'RUN', 1),
}


@pytest.fixture
def nowhere_else(tmp_path, monkeypatch):
    """A folder of its own, in which nothing may appear."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def refused(data, message=''):
    with pytest.raises(UserError, match=message) as caught:
        read_arrays(data, 'FILE')
    assert '\n' not in str(caught.value) and str(caught.value).startswith('FILE') and len(str(caught.value)) < 300
    return str(caught.value)


@pytest.mark.parametrize('name', STRANGERS)
@pytest.mark.parametrize('protocol', [2, 4])
def test_functions_are_not_called(name, protocol, nowhere_else):
    bare = pickle.dumps({'a': ARRAYS['half'], 'b': STRANGERS[name]()}, protocol)
    module, _, function = name.partition('.')
    known_as = f'(posix|commands|numpy|numpy.core.multiarray|{module}|__builtin__|_io).{function}'
    for data in (bare, torch_zip({}, pickled=bare)):
        refused(data, f'holds more than tensors \\({known_as}\\)')
    heads = b''.join(pickle.dumps(value, 2) for value in (MAGIC, 1001, {'little_endian': True}))
    refused(heads + bare, f'holds more than tensors \\({known_as}\\)')
    refused(pickle.dumps(STRANGERS[name](), protocol), 'holds more than tensors')


@pytest.mark.parametrize('module, name', [
    ('numpy', 'load'), ('numpy', 'ndarray.tofile'), ('numpy.core.multiarray', 'fromfile'), ('numpy.core', 'multiarray'),
    ('numpy.core.multiarray', '_reconstruct.__globals__'), ('numpy.core.multiarray', 'datetime_data'),
    ('torch', 'load'), ('torch.hub', 'load'), ('torch._utils', '_rebuild_tensor'), ('torch.jit', 'load'),
    ('torch._utils', '__builtins__'), ('torch.storage', '_load_from_bytes'), ('collections', 'namedtuple'),
    ('_codecs', 'decode'), ('no such module', 'x'), ('', ''), ('numpy\r', 'ndarray'), ('Numpy', 'ndarray'),
])  # fmt: skip
def test_only_exact_names_are_known(module, name, nowhere_else):
    for data in (named(module, name), b'\x80\x04' + text(module) + text(name) + b'\x93)R.'):
        refused(data)
        refused(torch_zip({}, pickled=data))


def test_what_is_known_is_not_called_otherwise(nowhere_else):
    for data in (
        named('numpy', 'ndarray', b'(' + number(9) + b't'),  # named as a type, never called
        named('torch', 'FloatStorage', b'(' + number(9) + b't'),
        named('numpy', 'dtype', b'(' + text('O8') + b't'),
        named('numpy', 'dtype', b'(' + text('f4,f4') + b't'),
        named('_codecs', 'encode', b'(' + text('uryyb') + text('rot13') + b't'),
        named('numpy.core.multiarray', 'scalar', b')'),
        b'\x80\x02(' + text('touch RUN') + b'ios\nsystem\n.',  # INST
        b'\x80\x02(cos\nsystem\n' + text('touch RUN') + b'o.',  # OBJ
        b'\x80\x02ccollections\nOrderedDict\n)\x81.',  # NEWOBJ
        b'\x80\x02}' + text('a') + b'}sb.',  # BUILD of a mapping that is not there
        b'\x80\x02\x82\x01.',  # EXT1
        b'\x80\x02' + text('key') + b'Q.',  # BINPERSID without a file around it
        b'\x80\x02Pkey\n.',
    ):
        refused(data)
        refused(torch_zip({}, pickled=data))


# Nothing grows --------------------------------------------------------------------------------------------------------


def test_files_that_would_fill_the_memory_or_never_end(nowhere_else):
    end = {}
    end['a'] = end
    laughs = {'a': ARRAYS['half']}
    for _ in range(40):
        laughs = {str(i): laughs for i in range(10)}
    wide = {str(i): ARRAYS['half'] for i in range(1000)}
    wide = {str(i): wide for i in range(1000)}
    model = {}
    model['model'] = model
    for content_ in (end, laughs, wide, model):
        data = pickle.dumps(content_, 4)
        refused(data)
        refused(torch_zip({}, pickled=data))
    deep = b'\x80\x02}(' + b')' + b'\x85' * 1_000_000 + text('a') + b'u.'  # hashing such a key would end the process
    refused(deep, 'key')
    refused(b'\x80\x02}r\xff\xff\xff\xff.')  # a memo of 2**32 places
    refused(b'\x80\x05\x96' + struct.pack('<Q', 1 << 40) + b'abc.')  # a terabyte
    refused(b'\x80\x04\x8e' + struct.pack('<Q', 1 << 40) + b'abc.')
    refused(b'\x80\x02' + b'}' * 3_000_000 + b'.', 'more than 2000000 operations')
    shared = ARRAYS['half'].repeat(1000, 0)
    refused(pickle.dumps({str(i): shared for i in range(1000)}), 'more numbers than it has room for')


def former_with(items):
    heads = [pickle.dumps(value, 2) for value in (MAGIC, 1001, {'little_endian': True})]
    keys = pickle.dumps(['0'], 2)
    return b''.join([*heads, items, keys, struct.pack('<q', 4), bytes(16)])


def one_tensor(offset, shape, strides, count=4):
    storage = b'(' + text('storage') + b'ctorch\nFloatStorage\n' + text('0') + text('cpu') + number(count) + b'NtQ'
    call = b'ctorch._utils\n_rebuild_tensor_v2\n(' + storage + number(offset) + numbers(shape) + numbers(strides)
    return b'\x80\x02}' + text('a') + call + b'\x89NtRs.'


def test_tensors_stay_inside_their_storage():
    good = read_arrays(former_with(one_tensor(0, (2, 2), (2, 1))), 'it')
    np.testing.assert_array_equal(good['a'], np.zeros((2, 2)))
    for case in (
        (1, (2, 2), (2, 1)), (0, (2, 2), (3, 1)), (0, (1 << 30,), (0,)), (0, (5,), (1,)), (-1, (2,), (1,)),
        (0, (2,), (-1,)), (0, (-2,), (1,)), (0, (2,), (1, 1)), (4, (1,), (1,)), (1 << 30, (1,), (1,)),
    ):  # fmt: skip
        refused(former_with(one_tensor(*case)))
    refused(former_with(one_tensor(0, (5,), (1,), count=5)))  # another count than stands before the numbers


def test_archives_that_pytorch_does_not_write():
    refused(torch_zip(ARRAYS, compression=zipfile.ZIP_DEFLATED), 'compressed')
    out = io.BytesIO(torch_zip(ARRAYS))
    with zipfile.ZipFile(out, 'a') as archive:
        archive.writestr('other/data.pkl', content({}, False))
    refused(out.getvalue())
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w') as archive:
        archive.writestr('archive/data.pkl', content(ARRAYS, False))
    refused(out.getvalue(), 'no whole archive')  # its storages are missing


# Anything else is one line --------------------------------------------------------------------------------------------


@pytest.mark.parametrize('data, message', [
    (b'', 'of another kind'),
    (b'<html>', 'of another kind'),
    (b'\x80', 'no whole pickle'),
    (b'PK\x03\x04', 'no whole archive'),
    (pickle.dumps({'a': 3}), 'a is no array but a int'),
    (pickle.dumps(ARRAYS['half']), 'the whole is no array but a'),
    (pickle.dumps({'a': np.array(['x'])}), 'something that is no number'),
    (pickle.dumps({'a': np.array([1j])}), 'something that is no number'),
    (pickle.dumps({'a': np.array([None])}), 'something that is no number'),
    (pickle.dumps({'a': np.zeros(2, 'f4,i4')}), 'something that is no number'),
    (pickle.dumps({'a': np.array([np.nan])}), 'a holds a number that is not finite'),
    (pickle.dumps({}), 'holds no arrays'),
    (pickle.dumps({3: ARRAYS['half']}), 'a key that is no name'),
])  # fmt: skip
def test_what_holds_no_arrays_is_one_line(data, message):
    refused(data, message)


@pytest.mark.parametrize('whole', [jax_pickle({'a/b': ARRAYS['half']}), torch_former(ARRAYS), torch_zip(ARRAYS)])
def test_cut_or_damaged_files_are_one_line(whole, nowhere_else):
    for length in range(0, len(whole) - 1, max(1, len(whole) // 150)):
        refused(whole[:length])
    chance = random.Random(0)
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            read_arrays(bytes(data), 'FILE')  # a changed number is no damage that can be seen
        except UserError as error:
            assert '\n' not in str(error)
