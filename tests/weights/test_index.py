"""What an index may say, which entry a file is, and which networks it is refused for."""

import copy
import dataclasses
from pathlib import Path
from types import SimpleNamespace

import mxnet as mx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import gluon_fg
from gluon_fg import factory, files
from gluon_fg.data.labels import LabelSet
from gluon_fg.errors import UserError
from gluon_fg.evaluation.load import load_network
from gluon_fg.weights import index
from gluon_fg.weights.entries import Entry, dump_index, load_index, parse_index, save_index
from gluon_fg.weights.warm_start import warm_start

REPO = Path(__file__).resolve().parents[2]
DIGEST = '0123456789abcdef' * 4
ENTRY = {
    'weights': {'file': 'a-01234567.params', 'sha256': DIGEST, 'bytes': 12, 'params': 3, 'dtype': 'float32'},
    'config': 'configs/a.yaml',
    'input': {'frames': 8, 'frame_stride': 2, 'mean': [0.5, 0.5, 0.5], 'layout': 'NCTHW'},
    'protocol': 'dfb_3d',
    'metrics': {'ucf101': {'top1': 81.25, 'protocol': 'dfb_3d', 'split': 'test', 'videos': 3783, 'seeds': 1}},
    'classes': {'dataset': 'ucf101', 'fingerprint': DIGEST[::-1]},
    'origin': {'licence': 'Apache-2.0', 'source': 'trained', 'log': 'logs/a.jsonl'},
}


def changed(path, value):
    """ENTRY with one key set, or removed where the value is None."""
    entry = copy.deepcopy(ENTRY)
    *parents, last = path.split('.')
    place = entry
    for key in parents:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return entry


def test_an_index_is_read_into_entries_and_written_back():
    own = {**changed('classes', {'fingerprint': DIGEST, 'names': ['nod', 'shake']}), 'config': 'b.yaml'}
    text = yaml.safe_dump({'a': ENTRY, 'b': own})
    entries = parse_index(text, 'x')
    assert entries['a'] == Entry(
        'a', 'a-01234567.params', DIGEST, 12, 3, 'float32', DIGEST[::-1], 'dfb_3d', 'Apache-2.0', 'trained', 'ucf101',
        None, {'frames': 8, 'frame_stride': 2, 'mean': (0.5, 0.5, 0.5), 'layout': 'NCTHW'}, ENTRY['metrics'],
        'configs/a.yaml', 'logs/a.jsonl',
    )  # fmt: skip
    assert (entries['b'].dataset, entries['b'].classes) == (None, ('nod', 'shake'))
    assert parse_index(dump_index(entries), 'x') == entries
    assert parse_index('# nothing yet\n', 'x') == {}


def test_what_may_be_left_out_is_left_out():
    entry = ENTRY
    for path in ('config', 'input', 'metrics', 'origin.log'):
        *parents, last = path.split('.')
        entry = {k: {**v} if isinstance(v, dict) else v for k, v in entry.items()}
        del (entry[parents[0]] if parents else entry)[last]
    entries = parse_index(yaml.safe_dump({'a': entry}), 'x')
    assert (entries['a'].config, entries['a'].log, entries['a'].input, entries['a'].metrics) == (None, None, {}, {})
    assert parse_index(dump_index(entries), 'x') == entries


@pytest.mark.parametrize('path, value, message', [
    ('weights', None, 'weights is missing'),
    ('weights', [1], r'weights is \[1\]; it must be a mapping with the keys file, sha256'),
    ('weights.file', None, 'weights.file is missing'),
    ('weights.file', '../a.params', "weights.file is '../a.params'; it must be the plain name of a .params file"),
    ('weights.file', 'b/a.params', 'weights.file is .* must be the plain name of a .params file, without a folder'),
    ('weights.file', '/a.params', 'weights.file is .* must be the plain name'),
    ('weights.file', '..\\a.params', 'weights.file is .* must be the plain name'),
    ('weights.file', 'C:a.params', 'weights.file is .* must be the plain name'),
    ('weights.file', '.params', 'weights.file is .* must be the plain name'),
    ('weights.file', 'a.zip', "weights.file is 'a.zip'; it must be the plain name"),
    ('weights.sha256', DIGEST[1:], 'weights.sha256 is .* must be 64 hexadecimal digits'),
    ('weights.sha256', 'g' * 64, 'weights.sha256 is .* must be 64 hexadecimal digits'),
    ('weights.sha256', DIGEST + '\n', 'weights.sha256 is .* must be 64 hexadecimal digits'),
    ('weights.bytes', '12', "weights.bytes is '12'; it must be a whole number of at least 1"),
    ('weights.bytes', 12.0, 'weights.bytes is 12.0; it must be a whole number'),
    ('weights.params', True, 'weights.params is True; it must be a whole number'),
    ('weights.dtype', 'float64', "weights.dtype is 'float64'; it must be float32 or float16"),
    ('weights.sha265', DIGEST, 'unknown key weights.sha265; did you mean weights.sha256?'),
    ('metric', {}, 'unknown key metric; did you mean metrics?'),
    ('config', '/etc/passwd', "config is '/etc/passwd'; it must be a path below the index, without .."),
    ('config', 'a/../../b.yaml', 'config is .* must be a path below the index'),
    ('config', 'C:\\a.yaml', 'config is .* must be a path below the index'),
    ('config', 3, 'config is 3; it must be a path below the index'),
    ('origin.log', 'logs//a', 'origin.log is .* must be a path below'),
    ('origin.licence', None, 'origin.licence is missing'),
    ('origin.source', ' ', "origin.source is ' '; it must be a line of text"),
    ('protocol', None, 'protocol is missing'),
    ('classes.fingerprint', None, 'classes.fingerprint is missing'),
    ('classes.dataset', None, 'classes.names is missing'),
    ('classes.names', ['a', 'a'], r"classes.names is \['a', 'a'\]; it must be a list of class names, each once"),
    ('classes.names', ['a', 1], r'classes.names\[1\] is 1; it must be text'),
    ('classes.names', 'ab', "classes.names is 'ab'; it must be a list of class names"),
    ('input.frames', 0, 'input.frames is 0; it must be a whole number of at least 1'),
    ('input.mean', [0.5], r'input.mean is \[0.5\]; it must be three numbers'),
    ('input.mean', [float('inf')] * 3, 'input.mean is .* must be three numbers'),
    ('input.mean', [0.5] * 4, 'input: mean .* and std .* need one value for each channel'),
    ('input.layout', 'NHWC', "input.layout is 'NHWC'; it must be NCTHW or NCHW"),
    ('input.sampling', 'dense', "input.sampling is 'dense'; it must be clip or spread"),
    ('input.frame_strid', 2, 'unknown key input.frame_strid; did you mean input.frame_stride?'),
    ('metrics', {3: {}}, 'a name in metrics is 3; it must be a line of text'),
    ('metrics.ucf101.top1', 181.25, 'metrics.ucf101.top1 is 181.25; it must be a percentage, 0 to 100'),
    ('metrics.ucf101.top1', float('nan'), 'metrics.ucf101.top1 is nan; it must be a percentage'),
    ('metrics.ucf101.top1', True, 'metrics.ucf101.top1 is True; it must be a percentage'),
    ('metrics.ucf101.top1', None, 'metrics.ucf101 holds no accuracy; give top1 or'),
    ('metrics.ucf101.protocol', None, 'metrics.ucf101.protocol is missing'),
    ('metrics.ucf101.topp1', 3, 'unknown key metrics.ucf101.topp1; did you mean metrics.ucf101.top1?'),
])  # fmt: skip
def test_what_is_wrong_is_named_with_file_entry_and_key(path, value, message, tmp_path):
    (tmp_path / 'index.yaml').write_text(yaml.safe_dump({'good': ENTRY, 'bad': changed(path, value)}))
    with pytest.raises(UserError, match=f'index.yaml: bad: {message}') as caught:
        load_index(tmp_path / 'index.yaml')
    assert '\n' not in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize('text, message', [
    ('a: [1', 'not valid YAML'),
    ('<html>\n<body>404: not found', 'not valid YAML'),
    ('<html>not found</html>', 'must map names of models to entries, is a str'),
    ('- a\n- b', 'must map names of models to entries, is a list'),
    ('a: !!python/object/apply:os.getcwd []', 'not valid YAML'),
    ('a: {}\na: {}', "'a' stands twice"),
    ('a: 3', 'a is 3; it must be a mapping with the keys weights, package, config'),
    ('{[1]: 2}', 'not valid YAML'),
    ('&a [*a]', 'names of values are not read here'),
    ('a: ' + '[' * 3000, 'not valid YAML'),
    ('3: {}', '3: the name is 3; it must be a line of text'),
])  # fmt: skip
def test_what_is_no_index_is_one_line(text, message):
    with pytest.raises(UserError, match=message) as caught:
        parse_index(text, 'http://zoo/index.yaml')
    assert '\n' not in str(caught.value) and str(caught.value).startswith('http://zoo/index.yaml: ')


def test_a_file_that_is_none_or_no_text_is_one_line(tmp_path):
    (tmp_path / 'binary').write_bytes(b'\xff\xfe\x00')
    for name, message in (
        ('none', 'no index'),
        ('binary', 'is not a text in UTF-8|not valid YAML'),
        ('', 'cannot be read'),
    ):
        with pytest.raises(UserError, match=message):
            load_index(tmp_path / name)


def paths(value, here=()):
    yield here
    if isinstance(value, dict):
        for key, below in value.items():
            yield from paths(below, (*here, key))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([p for p in paths({'a': ENTRY}) if p]), JUNK, st.booleans())
def test_whatever_stands_at_any_place_is_read_or_named_in_one_line(path, junk, beside):
    loaded = copy.deepcopy({'a': ENTRY})
    place = loaded
    for key in path[:-1]:
        place = place[key]
    place['junk' if beside else path[-1]] = junk
    try:
        entries = parse_index(yaml.safe_dump(loaded), 'x')
    except UserError as error:
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 600 and str(error).startswith('x: ')
    else:
        assert parse_index(dump_index(entries), 'x') == entries


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_no_text_does_harm(data):
    try:
        parse_index(data.decode('utf-8', 'replace'), 'x')
    except UserError as error:
        assert str(error).startswith('x: ')


# Whose classes


def net_of(dataset, names=None, protocol='ssv1', name='net'):
    labels = LabelSet(names) if names else None
    return SimpleNamespace(name=name, dataset=dataset, labels=labels, classes=names, protocol=protocol)


V1, V2 = (tuple(f'{version} {i}' for i in range(174)) for version in ('v1', 'v2'))


def entry_of(dataset, names, protocol='ssv1'):
    written = changed('classes', {'dataset': dataset, 'fingerprint': LabelSet(names).fingerprint})
    return parse_index(yaml.safe_dump({'theirs': {**written, 'protocol': protocol}}), 'x')['theirs']


@pytest.mark.parametrize('theirs, ours, refused', [
    (('sthsthv1', V1), ('sthsthv1', V1), None),
    (('sthsthv1', V1), ('sthsthv1', None), None),  # names not known here: the same dataset
    (('sthsthv1', V1), ('sthsthv2', V2), 'predicts the classes of sthsthv1 .* net the classes of sthsthv2'),
    (('sthsthv2', V2), ('sthsthv1', None), 'predicts the classes of sthsthv2 .* net the classes of sthsthv1'),
    (('sthsthv2', V2), ('sthsthv2', V2[::-1]), r"sthsthv2 \[\w{8}\], net .* \(174 classes, 'v2 173' first"),
    (('sthsthv2', V2), (None, V1), 'net the classes of its own list'),  # a *_custom network that met other data
    (('sthsthv2', V2), (None, None), None),  # a *_custom network that knows nothing
    (('sthsthv2', V2), (None, None, '30view'), None),
    (('sthsthv2', V2), ('sthsthv2', V2, '30view'), 'made for protocol ssv1, net for 30view'),
])  # fmt: skip
def test_weights_of_other_classes_or_another_protocol_are_refused(theirs, ours, refused):
    if refused is None:
        index.check_fits(entry_of(*theirs), net_of(*ours))
        return
    with pytest.raises(UserError, match=refused) as caught:
        index.check_fits(entry_of(*theirs), net_of(*ours))
    assert 'theirs' in str(caught.value) and '\n' not in str(caught.value)


@pytest.fixture
def zoo_of(tmp_path, monkeypatch):
    """`zoo_of(name, **changes)`: a zoo whose one file is of a random network; returns the file."""

    def make(name, **changes):
        path = tmp_path / 'zoo' / f'{name}-0.params'
        path.parent.mkdir(exist_ok=True)
        net = gluon_fg.get_model(name)
        net.save_parameters(str(path))
        size = sum(p.data().size for p in net.collect_params().values())
        entry = Entry(name, path.name, files.sha256(path), path.stat().st_size, size, 'float32',
                      net.labels.fingerprint, net.protocol, 'Apache-2.0', 'a test', net.dataset)  # fmt: skip
        save_index({name: dataclasses.replace(entry, **changes)}, path.parent / 'index.yaml')
        monkeypatch.setattr(index, '_REPO_ZOO', path.parent)
        return path

    return make


def test_a_published_file_is_known_whatever_it_is_called(zoo_of, tmp_path):
    path = zoo_of('i3d_tiny_synthfg')
    other = tmp_path / 'mine.params'
    other.write_bytes(path.read_bytes())
    assert index.entry_of_file(other).name == 'i3d_tiny_synthfg'
    other.write_bytes(path.read_bytes()[:-1] + b'\x07')
    assert index.entry_of_file(other) is None


def test_other_classes_are_refused_by_name_and_by_file(zoo_of, tmp_path):
    """The file's shapes fit each of these networks."""
    path = zoo_of('i3d_tiny_synthfg', dataset='synthfg2', fingerprint=DIGEST)
    with pytest.raises(UserError, match='the classes of synthfg2 .* the classes of synthfg '):
        gluon_fg.get_model('i3d_tiny_synthfg', pretrained=True, root=str(tmp_path))
    with pytest.raises(UserError, match='the classes of synthfg2 .* the classes of synthfg '):
        load_network('i3d_tiny_synthfg', str(path))
    assert load_network('i3d_tiny_custom', str(path), nclass=24).classes is None  # knows of nothing it contradicts


def test_another_protocol_is_refused_by_name_and_by_file(zoo_of, tmp_path):
    path = zoo_of('i3d_tiny_synthfg', protocol='dfb_3d')
    for load in (
        lambda: gluon_fg.get_model('i3d_tiny_synthfg', pretrained=True, root=str(tmp_path)),
        lambda: load_network('i3d_tiny_synthfg', str(path)),
    ):
        with pytest.raises(UserError, match='protocol dfb_3d, i3d_tiny_synthfg for train_time'):
            load()


def test_a_published_file_names_the_classes_of_a_network_that_knows_none(zoo_of):
    path = zoo_of('i3d_tiny_synthfg')
    net = load_network('i3d_tiny_custom', str(path), nclass=24)
    assert net.classes == gluon_fg.get_model('i3d_tiny_synthfg').classes
    given = mx.nd.load(str(path))['branches.classifier.weight'].asnumpy()
    assert (net.branches.classifier.weight.data().asnumpy() == given).all()


# What is listed and told


def test_names_are_listed_by_where_their_weights_come_from(zoo_of):
    zoo_of('i3d_tiny_synthfg')
    assert gluon_fg.list_models(pretrained=True) == ['i3d_tiny_synthfg']
    theirs = gluon_fg.list_models('*resnet50*', pretrained='gluoncv')
    assert {'i3d_resnet50_v1_kinetics400_dfb', 'i3d_resnet50_dfb'} <= set(theirs)
    assert not [name for name in theirs if 'custom' in name or 'sthsthv1' in name]
    assert gluon_fg.list_models('*dfb*', pretrained=True) == []
    with pytest.raises(UserError, match="must be True, False or 'gluoncv', got 'torch'"):
        gluon_fg.list_models(pretrained='torch')


def test_a_models_facts_hold_what_is_published_or_where_it_starts(zoo_of):
    metrics = {'synthfg': {'top1': 90.5, 'protocol': 'train_time', 'split': 'test', 'videos': 960, 'seeds': 1}}
    path = zoo_of('i3d_tiny_synthfg', input={'frame_stride': 2}, metrics=metrics, log='logs/a.jsonl')
    info = gluon_fg.model_info('i3d_tiny_synthfg')
    assert (info['pretrained'], info['gluoncv'], info['input']['frame_stride']) == (True, None, 2)
    assert (info['input']['frames'], info['input']['crop_size']) == (8, 48)  # the entry's, where the index says nothing
    weights = info['weights']
    assert (weights['file'], weights['sha256'], weights['bytes']) == (
        path.name, files.sha256(path), path.stat().st_size,
    )  # fmt: skip
    assert (weights['metrics'], weights['licence'], weights['log']) == (metrics, 'Apache-2.0', 'logs/a.jsonl')
    assert weights['fingerprint'] == gluon_fg.get_model('i3d_tiny_synthfg').labels.fingerprint
    info = gluon_fg.model_info('i3d_resnet50_dfb')
    assert info['name'] == 'i3d_resnet50_v1_kinetics400_dfb'
    assert (info['pretrained'], info['gluoncv'], info['weights']) == ('gluoncv', 'i3d_resnet50_v1_kinetics400', None)
    assert gluon_fg.model_info('i3d_tiny_custom')['pretrained'] is False


def test_a_repository_adds_names_and_the_zoo_here_wins(zoo_of, tmp_path, monkeypatch):
    zoo_of('i3d_tiny_synthfg')
    here = index.load_index(tmp_path / 'zoo' / 'index.yaml')['i3d_tiny_synthfg']
    there = {
        'i3d_tiny_synthfg': dataclasses.replace(here, source='elsewhere'),
        'i3d_tiny_synthfg_dfb': dataclasses.replace(here, name='i3d_tiny_synthfg_dfb'),
    }
    save_index(there, tmp_path / 'repo' / 'index.yaml')
    nowhere = (tmp_path / 'nowhere').as_uri()
    monkeypatch.setenv('GLUON_FG_REPO', f'{nowhere}, {(tmp_path / "repo").as_uri()}/')
    assert gluon_fg.list_models(pretrained=True) == ['i3d_tiny_synthfg', 'i3d_tiny_synthfg_dfb']
    assert index.find('i3d_tiny_synthfg') == here and index.find('i3d_tiny_synthfg_dfb').source == 'a test'
    (tmp_path / 'wrong').mkdir()
    (tmp_path / 'wrong' / 'index.yaml').write_text('i3d_tiny_synthfg_dfb: {}')
    monkeypatch.setenv('GLUON_FG_REPO', (tmp_path / 'wrong').as_uri())
    assert gluon_fg.list_models(pretrained=True) == ['i3d_tiny_synthfg']
    with pytest.raises(UserError, match='wrong/index.yaml: i3d_tiny_synthfg_dfb: weights is missing'):
        index.find('i3d_tiny_synthfg_dfb')
    monkeypatch.setenv('GLUON_FG_REPO', nowhere)
    assert index.find('i3d_tiny_synthfg') == here  # the repository is not asked
    assert gluon_fg.list_models(pretrained=True) == ['i3d_tiny_synthfg']
    with pytest.raises(UserError, match='nowhere/index.yaml'):
        index.find('i3d_tiny_synthfg_dfb')


# Starting from weights of other classes


def parameters(net):
    return {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}


@pytest.mark.parametrize('name', ['i3d_tiny_synthfg', 'i3d_tiny_synthfg_dfb', 'tsn_tiny_synthfg_dfb'])
def test_class_parameters_are_those_that_depend_on_the_number_of_classes(name):
    few, many = (
        {n: p.shape for n, p in factory.build(name, nclass=m)._collect_params_with_prefix().items()} for m in (5, 7)
    )
    assert factory.build(name).class_parameters() == [n for n in few if few[n] != many[n]]


@pytest.mark.parametrize('method', ['', '_dfb'])
def test_own_classes_keep_their_classifiers_and_take_the_rest(zoo_of, method):
    path = zoo_of(f'i3d_tiny_synthfg{method}')
    net = gluon_fg.get_model(f'i3d_tiny_custom{method}', nclass=24)
    net.labels = LabelSet(tuple(f'own {i}' for i in range(24)))
    before, given = parameters(net), {n: a.asnumpy() for n, a in mx.nd.load(str(path)).items()}
    report = warm_start(net, path)
    assert set(report.reclassed) == set(net.class_parameters()) and not report.resized and not report.new
    for name, value in parameters(net).items():
        assert (value == (before if name in report.reclassed else given)[name]).all(), name
    assert 'stay as initialized, of other classes in the file (branches.' in str(report)
    assert net.trained_branches == gluon_fg.get_model(f'i3d_tiny_custom{method}', nclass=24).trained_branches


def test_a_start_from_as_many_other_classes_is_refused_for_a_dataset(zoo_of):
    path = zoo_of('i3d_tiny_synthfg', dataset='synthfg2', fingerprint=DIGEST)
    for name in ('i3d_tiny_synthfg', 'i3d_tiny_synthfg_dfb'):
        net = gluon_fg.get_model(name)
        before = parameters(net)
        with pytest.raises(UserError, match=f'the classes of synthfg2 .*, {name} the classes of synthfg '):
            warm_start(net, path)
        assert all((before[n] == v).all() for n, v in parameters(net).items())


def test_another_number_of_classes_or_protocol_is_no_obstacle_to_training(zoo_of):
    path = zoo_of('i3d_tiny_synthfg', protocol='dfb_3d')
    report = warm_start(gluon_fg.get_model('i3d_tiny_synthfg'), path)
    assert not report.resized and not report.reclassed and not report.new
    net = gluon_fg.get_model('i3d_tiny_custom', nclass=5)
    net.labels = LabelSet(tuple('abcde'))
    report = warm_start(net, path)
    assert report.resized == ['branches.classifier.weight', 'branches.classifier.bias'] and not report.reclassed
