"""Which file a name's weights come from, what becomes of bad ones, and what a network takes."""

import hashlib
import io
import os
import pickle
import struct
import zipfile

import mxnet as mx
import numpy as np
import pytest

import gluon_fg
from gluon_fg import files
from gluon_fg.errors import UserError
from gluon_fg.weights import gluoncv_store, index, zoo
from gluon_fg.weights.entries import Entry, save_index
from gluon_fg.weights.params_file import read_params

NAME = 'i3d_tiny_synthfg'


def entry_for(path, net):
    return Entry(NAME, path.name, files.sha256(path), path.stat().st_size, 1, 'float32', net.labels.fingerprint,
                 net.protocol, 'Apache-2.0', 'a test', 'synthfg')  # fmt: skip


@pytest.fixture(scope='module')
def network():
    return gluon_fg.get_model(NAME)


@pytest.fixture
def zoo_folder(tmp_path, monkeypatch, network):
    """A `model_zoo/` whose index has one entry, and its file's bytes; the file itself is not there."""
    folder = tmp_path / 'zoo'
    folder.mkdir()
    path = folder / 'tiny-0.params'
    network.save_parameters(str(path))
    save_index({NAME: entry_for(path, network)}, folder / 'index.yaml')
    data = path.read_bytes()
    path.unlink()
    monkeypatch.setattr(index, '_REPO_ZOO', folder)
    return folder, data


def refused(function, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        function(*args, **kwargs)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_root_then_the_zoo_then_the_repositories(zoo_folder, tmp_path, server, mirror, monkeypatch):
    folder, data = zoo_folder
    root = tmp_path / 'root'
    text = refused(zoo.weights_file, NAME, root)
    assert f'put tiny-0.params into {root} or {folder}' in text and 'GLUON_FG_REPO' in text
    monkeypatch.setenv('GLUON_FG_REPO', f'{server.url()}, {mirror.url("deep/zoo")}')
    text = refused(zoo.weights_file, NAME, root)
    for place in (server.url('tiny-0.params'), mirror.url('deep/zoo/tiny-0.params')):
        assert f'{place}: HTTP 404 Not Found' in text
    mirror.files['deep/zoo/tiny-0.params'] = data
    assert zoo.weights_file(NAME, root) == root / 'tiny-0.params'  # by the second one
    requests = len(server.seen), len(mirror.seen)
    (folder / 'tiny-0.params').write_bytes(data)
    assert zoo.weights_file(NAME, root) == root / 'tiny-0.params'
    (root / 'tiny-0.params').unlink()
    assert zoo.weights_file(NAME, root) == folder / 'tiny-0.params'
    assert (len(server.seen), len(mirror.seen)) == requests  # nothing is asked for what is there


def test_root_is_mxnets_own_folder(zoo_folder, tmp_path, monkeypatch):
    _, data = zoo_folder
    monkeypatch.setenv('MXNET_HOME', str(tmp_path / 'mxnet'))
    (tmp_path / 'mxnet' / 'models').mkdir(parents=True)
    (tmp_path / 'mxnet' / 'models' / 'tiny-0.params').write_bytes(data)
    assert zoo.weights_file(NAME) == tmp_path / 'mxnet' / 'models' / 'tiny-0.params'
    monkeypatch.setenv('MXNET_HOME', '')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert index.model_root() == tmp_path / '.mxnet' / 'models'


def test_a_repository_may_be_a_folder(zoo_folder, tmp_path, monkeypatch):
    _, data = zoo_folder
    (tmp_path / 'a share').mkdir()
    (tmp_path / 'a share' / 'tiny-0.params').write_bytes(data)
    monkeypatch.setenv('GLUON_FG_REPO', (tmp_path / 'a share').as_uri())
    assert zoo.weights_file(NAME, tmp_path / 'root').read_bytes() == data


@pytest.mark.parametrize('damage, reason', [
    (lambda data: data[:-7], 'it is cut short'), (lambda data: b'', 'it is empty'),
    (lambda data: b'<!doctype html>', 'it is a web page (HTML), not the file'),
    (lambda data: data[:-1] + b'?', 'its SHA-256 is'),
], ids=range(4))  # fmt: skip
def test_a_damaged_file_is_named_and_replaced_by_a_good_one_alone(
    damage, reason, zoo_folder, tmp_path, server, monkeypatch, caplog
):
    folder, data = zoo_folder
    root, bad = tmp_path / 'root', damage(data)
    root.mkdir()
    path = root / 'tiny-0.params'
    path.write_bytes(bad)
    text = refused(zoo.weights_file, NAME, root)
    assert text.startswith(f'{path} is damaged: {reason}') and 'replace the file' in text
    monkeypatch.setenv('GLUON_FG_REPO', server.url())
    server.files['tiny-0.params'] = b'worse'
    text = refused(zoo.weights_file, NAME, root)
    assert text.startswith(f'{path} is damaged: {reason}') and f'{server.url("tiny-0.params")}: it is cut short' in text
    assert path.read_bytes() == bad
    server.files['tiny-0.params'] = data
    caplog.clear()
    assert zoo.weights_file(NAME, root) == path and path.read_bytes() == data
    assert [r.getMessage() for r in caplog.records if r.levelname == 'WARNING'][0].startswith(f'{path}: {reason}')


def test_a_name_that_only_the_repository_publishes(zoo_folder, tmp_path, server, monkeypatch, network):
    _, data = zoo_folder
    theirs = tmp_path / 'w.params'
    theirs.write_bytes(data)
    entry = Entry('i3d_tiny_synthfg_dfb', 'w.params', files.sha256(theirs), len(data), 1, 'float32',
                  network.labels.fingerprint, network.protocol, 'Apache-2.0', 'a test', 'synthfg')  # fmt: skip
    save_index({entry.name: entry}, tmp_path / 'theirs.yaml')
    monkeypatch.setenv('GLUON_FG_REPO', server.url())
    server.files.update({'index.yaml': (tmp_path / 'theirs.yaml').read_bytes(), 'w.params': data})
    assert zoo.weights_file(entry.name, tmp_path / 'root').read_bytes() == data
    text = refused(zoo.weights_file, 'i3d_resnet50_v1_kinetics400', tmp_path / 'root')
    assert 'published: i3d_tiny_synthfg, i3d_tiny_synthfg_dfb.' in text


def saved(path, **arrays):
    mx.nd.save(str(path), arrays)
    return path.read_bytes()


def as_bytes(write, *args):
    stream = io.BytesIO()
    write(stream, *args)
    return stream.getvalue()


class Bomb:
    """Unpickled, it leaves a trace."""

    def __reduce__(self):
        return os.mkdir, ('exploded',)


def archive(stream):
    with zipfile.ZipFile(stream, 'w') as opened:
        opened.writestr('archive/data.pkl', pickle.dumps(Bomb()))


@pytest.mark.parametrize('data, reason', [
    (as_bytes(np.savez, np.ones(3)), 'a zip archive, as PyTorch and NumPy write'),
    (as_bytes(archive), 'a zip archive'), (as_bytes(np.save, np.ones(3)), 'a NumPy array'),
    (pickle.dumps(Bomb()), 'a Python pickle; gluon-fg zoo convert'), (b'\x1f\x8b123', 'a gzip archive'),
    (b'\n<HTML>', 'a web page (HTML)'), (b'', 'empty'), (b'\x12\x01\0\0', 'something else'),
], ids=range(8))  # fmt: skip
def test_another_format_is_refused_unread(data, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'w.params').write_bytes(data)
    with monkeypatch.context() as patch:
        patch.setattr(mx.nd, 'load', lambda path: pytest.fail('was handed to MXNet'))
        text = refused(read_params, tmp_path / 'w.params')
    assert text.startswith(f'{tmp_path / "w.params"}: not an MXNet parameter file, but {reason}')
    assert not (tmp_path / 'exploded').exists()


def test_a_damaged_parameter_file_gives_one_line(tmp_path):
    path = tmp_path / 'w.params'
    good = saved(path, **{'a.weight': mx.nd.ones((2, 3)), 'b.weight': mx.nd.ones(4)})
    assert set(read_params(path)) == {'a.weight', 'b.weight'}
    shape = good.index(struct.pack('<qq', 2, 3))
    broken = [good[:cut] for cut in range(8, len(good), 9)]
    broken += [good[:shape] + struct.pack('<qq', *dims) + good[shape + 16 :] for dims in ((1 << 40, 3), (-5, 3))]
    broken.append(good[:16] + struct.pack('<Q', 1 << 50) + good[24:])
    broken.append(good.replace(b'a.weight', b'\xff\xfeweight'))
    names = good.index(struct.pack('<QQ', 2, 8))  # two names, the first of eight letters
    broken += [good[:names] + struct.pack('<QQ', *sizes) + good[names + 16 :] for sizes in ((2, 1 << 62), (1 << 60, 8))]
    for at, wrong in ((4, 1), (4, -1), (8, 77), (8, -2), (36, 99)):  # storage, number of dimensions, type of a value
        at += good.index(struct.pack('<I', 0xF993FAC9))
        broken.append(good[:at] + struct.pack('<i', wrong) + good[at + 4 :])
    for data in broken:
        path.write_bytes(data)
        assert refused(read_params, path) == f'{path}: not an MXNet parameter file, or cut short'
    assert refused(read_params, tmp_path) == f'no parameter file {tmp_path}'


def test_only_named_floating_point_arrays_are_parameters(tmp_path):
    path = tmp_path / 'w.params'
    saved(path, w=mx.nd.ones(3, dtype='int8'))
    assert refused(read_params, path) == f'{path}: w is int8; parameters are float16, float32 or float64'
    saved(path, w=mx.nd.ones((3, 2)).tostype('row_sparse'))
    assert 'not an MXNet parameter file' in refused(read_params, path)
    mx.nd.save(str(path), [mx.nd.ones(3)])
    assert 'no named parameters' in refused(read_params, path)
    saved(path, **{'arg:w': mx.nd.ones(3, dtype='float16'), 'aux:v': mx.nd.ones(2, dtype='float64')})
    assert set(read_params(path)) == {'w', 'v'}


@pytest.mark.parametrize('dtype', ['float16', 'float64'])
def test_another_precision_on_disk_becomes_the_networks(dtype, zoo_folder, network):
    folder, data = zoo_folder
    path = folder / 'tiny-0.params'
    path.write_bytes(data)
    arrays = read_params(path)
    saved(path, **{name: array.astype(dtype) for name, array in arrays.items()})
    save_index({NAME: entry_for(path, network)}, folder / 'index.yaml')
    net = gluon_fg.get_model(NAME, pretrained=True)
    for name, p in net._collect_params_with_prefix().items():
        assert np.dtype(p.dtype) == np.dtype(p.data().dtype) == np.float32
        np.testing.assert_array_equal(p.data().asnumpy(), arrays[name].astype(dtype).asnumpy().astype('float32'))
    assert np.isfinite(net(mx.nd.ones((1, 3, 8, 48, 48))).asnumpy()).all()


def test_a_file_of_another_network_leaves_the_network_as_it_was(zoo_folder, network):
    folder, data = zoo_folder
    path = folder / 'tiny-0.params'
    path.write_bytes(data)
    arrays, net = read_params(path), gluon_fg.get_model(NAME)
    before = {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}
    first = sorted(arrays)[0]
    for change in ({first: None}, {'other.weight': mx.nd.ones(1)}, {first: mx.nd.ones((1, 2))}):
        saved(path, **{n: a for n, a in {**arrays, **change}.items() if a is not None})
        assert 'does not fit' in refused(zoo.load, net, path, entry_for(path, net), mx.cpu())
    for name, p in net._collect_params_with_prefix().items():
        np.testing.assert_array_equal(p.data().asnumpy(), before[name])


@pytest.fixture
def gluoncvs(monkeypatch):
    """A file that GluonCV has published under the name `tiny`, as its store packs it."""
    from gluoncv.model_zoo import model_store

    data = b'parameters' * 1000
    digest = hashlib.sha1(data).hexdigest()
    monkeypatch.setitem(model_store._model_sha1, 'tiny', digest)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, 'w') as opened:
        opened.writestr(f'tiny-{digest[:8]}.params', data)
    return f'tiny-{digest[:8]}', data, packed.getvalue()


@pytest.mark.parametrize('slash', ['', '/'])
def test_gluoncvs_files_come_from_its_store(slash, gluoncvs, tmp_path, server, monkeypatch):
    stem, data, packed = gluoncvs
    monkeypatch.setenv('MXNET_GLUON_REPO', server.url('copy') + slash)
    server.files[f'copy/gluon/models/{stem}.zip'] = packed
    path = gluoncv_store.gluoncv_file('tiny', tmp_path)
    assert path == tmp_path / f'{stem}.params' and path.read_bytes() == data
    path.write_bytes(data[:-1])  # a damaged one is fetched again
    assert gluoncv_store.gluoncv_file('tiny', tmp_path).read_bytes() == data
    assert gluoncv_store.gluoncv_file('tiny', tmp_path) == path and len(server.seen) == 2
    assert os.listdir(tmp_path) == [f'{stem}.params']


def test_gluoncvs_file_by_hand_or_a_line_that_names_it(gluoncvs, tmp_path, nowhere, monkeypatch):
    stem, data, _ = gluoncvs
    monkeypatch.setenv('MXNET_GLUON_REPO', nowhere)
    text = refused(gluoncv_store.gluoncv_file, 'tiny', tmp_path)
    assert f'cannot fetch {stem}.params' in text and f'into {tmp_path} by hand' in text and 'cannot be reached' in text
    (tmp_path / f'{stem}.params').write_bytes(data)
    assert gluoncv_store.gluoncv_file('tiny', tmp_path).read_bytes() == data
    assert "no weights for 'tinny'" in refused(gluoncv_store.gluoncv_file, 'tinny', tmp_path)
    assert gluoncv_store.gluoncv_has('tiny') and not gluoncv_store.gluoncv_has('tinny')


def test_gluoncvs_addresses_are_its_own(monkeypatch, tmp_path):
    """What GluonCV itself would ask for, name by name."""
    from gluoncv.model_zoo import model_store

    asked = []
    monkeypatch.setattr(gluoncv_store, 'fetch', lambda *args, **kwargs: asked.append((args, kwargs)))
    for name in ('resnet50_v1b', 'i3d_resnet50_v1_kinetics400', 'mobilenet0.25'):
        asked.clear()
        gluoncv_store.gluoncv_file(name, tmp_path)
        ((file, digest, folder, sources), options), hash8 = asked[0], model_store.short_hash(name)
        assert (file, folder, options) == (f'{name}-{hash8}.params', tmp_path, {'unpack': True, 'attempts': 4})
        assert sources == [f'{model_store.apache_repo_url}gluon/models/{name}-{hash8}.zip']
        assert digest == model_store._model_sha1[name] == gluoncv_store.gluoncv_digests()[file]
