"""Bundles carry weights to where no network is: whole, verified, and nothing half imported."""

import dataclasses
import hashlib
import io
import os
import tarfile

import mxnet as mx
import pytest

import gluon_fg
from gluon_fg.errors import UserError
from gluon_fg.weights import bundle, index, zoo
from gluon_fg.weights.bundle import import_bundle, write_bundle
from gluon_fg.weights.entries import Entry, dump_index, load_index, save_index

OURS, THEIRS = 'i3d_tiny_synthfg', 'i3d_tiny_synthfg_dfb'
GLUONCVS = b'published by GluonCV' * 99


def entry_of(name, data, **changes):
    entry = Entry(name, f'{name}-{hashlib.sha256(data).hexdigest()[:8]}.params', hashlib.sha256(data).hexdigest(),
                  len(data), 1, 'float32', '0' * 64, 'train_time', 'Apache-2.0', 'a test', 'synthfg')  # fmt: skip
    return dataclasses.replace(entry, **changes)


A, B = b'A' * 1000, b'B' * 2000
ENTRY_A, ENTRY_B = entry_of(OURS, A, log='logs/a.jsonl', config='a.yaml'), entry_of(THEIRS, B, log='logs/b.jsonl')


@pytest.fixture
def zoos(tmp_path, monkeypatch):
    """Call with entries: from then on they are those of our index. GluonCV has published `tiny`."""
    from gluoncv.model_zoo import model_store

    monkeypatch.setitem(model_store._model_sha1, 'tiny', hashlib.sha1(GLUONCVS).hexdigest())
    (tmp_path / 'zoo').mkdir()

    def publish(*entries):
        save_index({entry.name: entry for entry in entries}, tmp_path / 'zoo' / 'index.yaml')
        monkeypatch.setattr(index, '_REPO_ZOO', tmp_path / 'zoo')

    publish(ENTRY_A)
    return publish


TINY = f'tiny-{hashlib.sha1(GLUONCVS).hexdigest()[:8]}.params'
FILES = {ENTRY_A.file: A, ENTRY_B.file: B, TINY: GLUONCVS}
INDEX = dump_index({OURS: ENTRY_A, THEIRS: ENTRY_B}).encode()


def tar(path, members):
    """A tar of (TarInfo or name, bytes) pairs."""
    with tarfile.open(path, 'w') as out:
        for member, data in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


def refused(function, *args):
    with pytest.raises(UserError) as caught:
        function(*args)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def put(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(FILES[name])
    return folder


def test_there_and_back(zoos, tmp_path):
    zoos(ENTRY_A, ENTRY_B)
    here = put(tmp_path / 'here', *FILES)
    out = tmp_path / 'deep' / 'b.tar'
    assert write_bundle(out, [OURS, THEIRS, 'tiny', OURS], here) == sorted(FILES)
    again = tmp_path / 'again.tar'
    write_bundle(again, [OURS, THEIRS, 'tiny'], here)
    assert out.read_bytes() == again.read_bytes()
    with tarfile.open(out) as opened:
        assert opened.getnames() == ['index.yaml', *sorted(FILES)]
    zoos(ENTRY_A)  # the other side knows less
    there = tmp_path / 'there'
    done = import_bundle(out, there)
    assert done == bundle.Imported(there, sorted(FILES), [], [THEIRS])
    assert {name: (there / name).read_bytes() for name in FILES} == FILES
    assert sorted(os.listdir(there)) == sorted([*FILES, 'index.yaml'])
    assert load_index(there / 'index.yaml') == {THEIRS: dataclasses.replace(ENTRY_B, log=None)}
    assert zoo.weights_file(THEIRS, there) == there / ENTRY_B.file
    before = {name: (there / name).stat() for name in FILES}
    assert import_bundle(out, there) == bundle.Imported(there, [], sorted(FILES), [THEIRS])
    assert {name: (there / name).stat() for name in FILES} == before  # good copies are not touched


def test_imported_weights_are_what_get_model_finds(tmp_path, zoos):
    net = gluon_fg.get_model(THEIRS)
    path = tmp_path / 'w.params'
    net.save_parameters(str(path))
    data = path.read_bytes()
    entry = entry_of(THEIRS, data, fingerprint=net.labels.fingerprint, protocol=net.protocol)
    folder = tmp_path / 'stick'
    folder.mkdir()
    (folder / entry.file).write_bytes(data)
    save_index({THEIRS: entry}, folder / 'index.yaml')
    import_bundle(folder, tmp_path / 'root')
    loaded = gluon_fg.get_model(THEIRS, pretrained=True, root=str(tmp_path / 'root'))
    x = mx.nd.random.normal(shape=(1, 3, 8, 48, 48))
    assert (loaded(x).asnumpy() == net(x).asnumpy()).all()


def test_a_folder_put_together_by_hand(zoos, tmp_path):
    """Without an index: what our own and GluonCV's know by name."""
    folder = put(tmp_path / 'stick', ENTRY_A.file, TINY)
    (folder / 'notes.txt').write_text('from Ada')
    (folder / 'logs').mkdir()
    done = import_bundle(folder, tmp_path / 'root')
    assert done == bundle.Imported(tmp_path / 'root', sorted([ENTRY_A.file, TINY]), [], [])
    assert sorted(os.listdir(tmp_path / 'root')) == sorted([ENTRY_A.file, TINY])


def test_a_tar_of_a_folder(zoos, tmp_path):
    """As `tar cf b.tar model_zoo` makes it."""
    folder = put(tmp_path / 'model_zoo', ENTRY_A.file, ENTRY_B.file)
    (folder / 'index.yaml').write_bytes(INDEX)
    (folder / 'logs').mkdir()
    (folder / 'logs' / 'a.jsonl').write_text('{}')
    with tarfile.open(tmp_path / 'b.tar', 'w') as out:
        out.add(folder, 'model_zoo')
    done = import_bundle(tmp_path / 'b.tar', tmp_path / 'root')
    assert done.new == sorted([ENTRY_A.file, ENTRY_B.file]) and done.noted == [THEIRS]


def test_a_damaged_file_in_root_is_replaced(zoos, tmp_path):
    root = put(tmp_path / 'root', ENTRY_A.file)
    (root / ENTRY_A.file).write_bytes(b'damaged')
    assert import_bundle(put(tmp_path / 'stick', ENTRY_A.file), root).new == [ENTRY_A.file]
    assert (root / ENTRY_A.file).read_bytes() == A


def test_a_bundle_renews_what_one_has_brought_but_not_our_index(zoos, tmp_path):
    def stick(name, data):
        entry = entry_of(name, data)
        return tar(tmp_path / 'b.tar', [('index.yaml', dump_index({name: entry}).encode()), (entry.file, data)]), entry

    root = tmp_path / 'root'
    for data in (b'old', b'new'):
        path, entry = stick(THEIRS, data)
        assert import_bundle(path, root).noted == [THEIRS]
        assert zoo.weights_file(THEIRS, root).read_bytes() == data
    path, entry = stick(OURS, b'forged')
    text = refused(import_bundle, path, root)
    assert f'{entry.file} (SHA-256 {entry.sha256[:12]}...) is another version of {OURS} than {ENTRY_A.file}' in text
    assert not (root / entry.file).exists()


def link(kind):
    info = tarfile.TarInfo(ENTRY_A.file)
    info.type, info.linkname = kind, '/etc/passwd'
    return info


WRONG = {
    'parent': ([('../w.params', A)], "'../w.params' leads out of the folder"),
    'hidden parent': ([(f'a/../../{ENTRY_A.file}', A)], 'leads out of the folder'),
    'absolute': ([('/tmp/w.params', A)], "'/tmp/w.params' leads out of the folder"),
    'symbolic link': ([(link(tarfile.SYMTYPE), b'')], 'is a link or no plain file'),
    'hard link': ([(link(tarfile.LNKTYPE), b'')], 'is a link or no plain file'),
    'device': ([(link(tarfile.CHRTYPE), b'')], 'is a link or no plain file'),
    'twice': ([(ENTRY_A.file, A), ('a/' + ENTRY_A.file, B)], f'holds {ENTRY_A.file} twice'),
    'unknown': ([('other.params', A)], 'no index knows other.params'),
    'incomplete': ([('index.yaml', INDEX), (ENTRY_A.file, A)], f'lacks {ENTRY_B.file}, which its index.yaml names'),
    'ours damaged': ([(ENTRY_A.file, A[:-1] + b'?')], f'{ENTRY_A.file} is damaged: its SHA-256 is'),
    'theirs damaged': ([('index.yaml', INDEX), (ENTRY_A.file, A), (ENTRY_B.file, b'<html>')],
                       f'{ENTRY_B.file} is damaged: it is a web page (HTML)'),
    "GluonCV's damaged": ([(ENTRY_A.file, A), (TINY, A)], f'{TINY} is damaged: its SHA-1 is'),
    'nothing': ([('readme.txt', A)], 'holds no .params files'),
    'no YAML': ([('index.yaml', b'a: [')], 'index.yaml: not valid YAML'),
    'no text': ([('index.yaml', b'\xff\xff')], 'index.yaml is no text in UTF-8'),
    'endless index': ([('index.yaml', b'#' * (1 << 20) + b'#')], 'is longer than 1048576 bytes'),
    'file with a folder': ([('index.yaml', INDEX.replace(ENTRY_B.file.encode(), b'../b.params'))],
                           "weights.file is '../b.params'; it must be"),
}  # fmt: skip


@pytest.mark.parametrize('case', WRONG)
def test_nothing_of_a_wrong_bundle_is_imported(case, zoos, tmp_path):
    members, reason = WRONG[case]
    path = tar(tmp_path / 'b.tar', members)
    root = put(tmp_path / 'root')
    text = refused(import_bundle, path, root)
    assert reason in text and text.startswith(str(path))
    assert os.listdir(root) == []


def test_a_link_beside_good_files_spoils_them(zoos, tmp_path):
    path = tar(tmp_path / 'b.tar', [(ENTRY_A.file, A), ('logs/../../../x', b'')])
    assert 'leads out' in refused(import_bundle, path, tmp_path / 'root')
    assert not (tmp_path / 'root').exists()


def test_what_is_no_bundle(zoos, tmp_path):
    good = tar(tmp_path / 'b.tar', [(ENTRY_A.file, A), (TINY, GLUONCVS)]).read_bytes()
    root, path = put(tmp_path / 'root'), tmp_path / 'c.tar'
    for data, reason in ((good[:700], 'no whole, uncompressed tar'), (good[:3000], 'no whole, uncompressed tar'),
                         (b'', 'no whole, uncompressed tar'), (b'<html>', 'no whole, uncompressed tar')):  # fmt: skip
        path.write_bytes(data)
        assert reason in refused(import_bundle, path, root)
    assert 'No such file' in refused(import_bundle, tmp_path / 'absent', root)
    assert os.listdir(root) == []


def test_a_full_disk_imports_nothing(zoos, tmp_path, monkeypatch):
    root = put(tmp_path / 'root')
    path = tar(tmp_path / 'b.tar', [(ENTRY_A.file, A), (TINY, GLUONCVS)])
    written = []

    def append(out, block):
        written.append(len(block))
        if len(written) == 2:
            raise OSError(28, 'No space left on device')
        out.write(block)

    monkeypatch.setattr('gluon_fg.weights.disk.append', append)
    assert 'no space left' in refused(import_bundle, path, root)
    assert len(written) == 2 and os.listdir(root) == []
    (tmp_path / 'file').write_bytes(b'')
    assert 'choose a folder' in refused(import_bundle, path, tmp_path / 'file')


def test_what_cannot_be_bundled(zoos, tmp_path):
    text = refused(write_bundle, tmp_path / 'b.tar', ['i3d_tiny_synthgf'], tmp_path)
    assert "unknown weights 'i3d_tiny_synthgf'; did you mean 'i3d_tiny_synthfg'?" in text
    assert f'put {ENTRY_A.file} into' in refused(write_bundle, tmp_path / 'b.tar', [OURS], tmp_path)
    put(tmp_path / 'here', ENTRY_A.file)
    (tmp_path / 'file').write_bytes(b'')
    assert 'choose a folder' in refused(write_bundle, tmp_path / 'file' / 'b.tar', [OURS], tmp_path / 'here')
    assert not (tmp_path / 'b.tar').exists()
