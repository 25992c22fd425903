"""A run published, found by its name, and what must not be: see gluon_fg/training/publish.py."""

import dataclasses
import functools
import http.server
import json
import os
import re
import shutil
import threading

import mxnet as mx
import numpy as np
import pytest

import gluon_fg
from gluon_fg import files
from gluon_fg.data import build_dataset
from gluon_fg.errors import UserError
from gluon_fg.evaluation.metrics import summarize
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.score import score_dataset
from gluon_fg.training import loop, publish, record
from gluon_fg.training.config import load_config, save_config
from gluon_fg.training.log import read_metrics
from gluon_fg.training.run import load_run
from gluon_fg.weights import index, repository
from gluon_fg.weights.entries import load_index, save_index

NAME = 'i3d_tiny_synthfg'
SAFE = {'licence': 'Apache-2.0'}


@pytest.fixture(scope='module')
def trained(tiny_synthfg, tmp_path_factory):
    """`trained(*settings)`: the folder of a run of one epoch, from a warm start."""

    @functools.lru_cache(maxsize=None)
    def train(*settings):
        start = tmp_path_factory.mktemp('start') / 'start.params'
        run = tmp_path_factory.mktemp('secret-place') / 'run'
        config = ['data.augment=random_crop', 'data.workers=1', f'data.root={tiny_synthfg}', 'train.epochs=1',
                  'train.lr_epochs=[]', 'train.batch_size=24', f'model.name={NAME}', *settings]  # fmt: skip
        if not any(s.startswith('model.name') for s in settings):
            gluon_fg.get_model(NAME).save_parameters(str(start))
            config.append(f'model.params={start}')
        loop.train(load_config(None, config), run, progress=False)
        return run

    return train


@pytest.fixture(scope='module')
def run(trained):
    return trained()


@pytest.fixture(scope='module')
def published(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp('public') / 'zoo'
    return folder, publish.publish(run, folder, **SAFE)


def expected_top1(run, tiny_synthfg, file='best.params'):
    net, _ = load_run(run, run / file)
    videos = build_dataset('synthfg', 'test', tiny_synthfg)
    return summarize(score_dataset(net, videos, get_protocol('train_time'), progress=False))


def everything_in(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def test_a_published_run_is_its_parameters_its_numbers_and_no_more(published, run, tiny_synthfg):
    folder, entry = published
    stem = f'{NAME}-{entry.sha256[:8]}'
    assert set(everything_in(folder)) == {
        'index.yaml', 'README.md', f'{stem}.params', f'configs/{stem}.yaml', f'logs/{stem}.jsonl',
    }  # fmt: skip
    assert load_index(folder / 'index.yaml') == {NAME: entry}
    path = folder / entry.file
    assert (files.sha256(path), path.stat().st_size, entry.dtype) == (entry.sha256, entry.bytes, 'float32')
    given, written = mx.nd.load(str(run / 'best.params')), mx.nd.load(str(path))
    assert set(given) == set(written) and entry.params == sum(a.size for a in given.values())
    for name in given:
        np.testing.assert_array_equal(given[name].asnumpy(), written[name].asnumpy())
    measured = expected_top1(run, tiny_synthfg)
    assert entry.metrics == {'synthfg': {
        **{key: round(100 * measured[key], 2) for key in ('top1', 'top5', 'mean_class', 'group_top1', 'within_group')},
        'protocol': 'train_time', 'split': 'test', 'videos': 24, 'seeds': 1,
    }}  # fmt: skip
    net = gluon_fg.get_model(NAME)
    assert (entry.dataset, entry.classes, entry.fingerprint) == ('synthfg', None, net.labels.fingerprint)
    assert entry.input == net.input_spec.as_dict()
    assert 'epoch 1 of 1' in entry.source and 'seed 0, warm start' in entry.source


def test_config_and_log_say_how_and_nothing_of_the_machine(published, run, tiny_synthfg):
    folder, entry = published
    config, theirs = load_config(str(folder / entry.config)), load_config(str(run / 'config.yaml'))
    start = theirs.model.params
    assert config.data.root is None and config.model.params is None
    theirs.data.root = theirs.model.params = None
    assert config == theirs
    assert f'start.params, SHA-256 {files.sha256(start)}' in (folder / entry.config).read_text()
    records, full = read_metrics(folder / entry.log), read_metrics(run / 'metrics.jsonl')
    assert records[0]['mxnet'] == mx.__version__ and 'command' not in records[0] and 'platform' not in records[0]
    assert records[1:] == [r for r in full if r['event'] != 'train'] and len(records) >= 3
    for name, content in everything_in(folder).items():
        for place in (tiny_synthfg, run.parent, os.path.expanduser('~'), '/tmp/', 'secret-place'):
            assert str(place).encode() not in content, (name, place)


@pytest.mark.parametrize(
    'start, said', [('FILE', 'warm start'), ('kinetics400', 'from Kinetics-400 weights'), ('none', '')]
)
def test_what_model_start_says_is_published_but_for_places(start, said, run, tmp_path):
    config = load_config(str(run / 'config.yaml'))
    file, config.model.params = config.model.params, None
    config.model.start = start.replace('FILE', file)
    save_config(config, tmp_path / 'config.yaml')
    (tmp_path / 'summary.json').write_text((run / 'summary.json').read_text())
    assert record.source(tmp_path, config, 'best').endswith(f'seed 0{", " if said else ""}{said}')
    text = record.public_config(tmp_path, 'a-stem')
    assert file not in text and f'  start: {"null" if start == "FILE" else start}\n' in text
    digest = f'model.start: it started from start.params, SHA-256 {files.sha256(file)}'
    assert (digest in text) == (start == 'FILE')


def test_equal_weights_make_equal_files(published, run, tmp_path):
    folder, _ = published
    publish.publish(run, tmp_path / 'again', **SAFE)
    assert everything_in(tmp_path / 'again') == everything_in(folder)


def test_half_precision_is_measured_as_published(run, tmp_path, published, monkeypatch):
    entry = publish.publish(run, tmp_path / 'zoo', float16=True, checkpoint='final', **SAFE)
    full = published[1]
    assert entry.dtype == 'float16' and entry.params == full.params and entry.bytes < 0.52 * full.bytes
    assert all(a.dtype == np.float16 for a in mx.nd.load(str(tmp_path / 'zoo' / entry.file)).values())
    monkeypatch.setattr(index, '_REPO_ZOO', tmp_path / 'zoo')
    net = gluon_fg.get_model(NAME, pretrained=True, root=str(tmp_path / 'empty'))
    given = mx.nd.load(str(run / 'final.params'))
    for name, p in net._collect_params_with_prefix().items():
        assert np.dtype(p.dtype) == np.float32
        np.testing.assert_array_equal(p.data().asnumpy(), given[name].asnumpy().astype('float16').astype('float32'))


def test_nothing_is_replaced_unasked(published, run, trained, tmp_path, error_line):
    folder = tmp_path / 'zoo'
    shutil.copytree(published[0], folder)
    before = everything_in(folder)
    line = error_line('zoo', 'publish', run, '--repo', folder, '--licence', 'MIT')
    assert f'has weights of {NAME} already' in line and '--replace' in line
    assert everything_in(folder) == before
    other = trained('train.seed=5')
    entry = publish.publish(other, folder, replace=True, **SAFE)
    assert entry.file != published[1].file and load_index(folder / 'index.yaml') == {NAME: entry}
    assert set(everything_in(folder)) == {'index.yaml', 'README.md', entry.file, entry.config, entry.log}
    # A file in the way that no entry names.
    shutil.rmtree(folder)
    (folder / 'logs').mkdir(parents=True)
    (folder / entry.log).write_text('mine')
    with pytest.raises(UserError, match='is there, in no entry, and another file'):
        publish.publish(other, folder, **SAFE)
    assert everything_in(folder) == {entry.log: b'mine'}


def test_a_publisher_killed_before_the_index_leaves_the_zoo_as_it_was(published, trained, tmp_path, monkeypatch):
    folder = tmp_path / 'zoo'
    shutil.copytree(published[0], folder)
    before = everything_in(folder)

    def kill(entries):
        raise KeyboardInterrupt

    monkeypatch.setattr(repository, 'dump_index', kill)
    with pytest.raises(KeyboardInterrupt):
        publish.publish(trained('train.seed=5'), folder, replace=True, **SAFE)
    after = everything_in(folder)
    assert {name: after[name] for name in before} == before  # beside it may lie files that no entry names
    assert not [name for name in after if name.startswith('.') or '/.' in name]


def test_saved_scores_are_taken_when_they_are_of_these_weights(published, run, trained, tiny_synthfg, tmp_path):
    net, _ = load_run(run)
    videos = build_dataset('synthfg', 'test', tiny_synthfg)
    scores = score_dataset(net, videos, get_protocol('2x1'), progress=False)
    scores.save(tmp_path / 'scores.npz')
    saved = publish.Measurement(scores=str(tmp_path / 'scores.npz'))
    entry = publish.publish(run, tmp_path / 'zoo', measurement=saved, **SAFE)
    row = entry.metrics['synthfg']
    assert (row['protocol'], row['top1']) == ('2x1', round(100 * summarize(scores)['top1'], 2))
    for options, folder, message in (
        ({}, trained('train.seed=5'), r'scores.npz: these weights score .*mp4 otherwise'),
        ({'split': 'val'}, run, 'scores of other videos than split val of synthfg'),
        ({'protocol': 'train_time'}, run, 'scored by protocol 2x1, not train_time'),
    ):
        wrong = publish.Measurement(scores=str(tmp_path / 'scores.npz'), **options)
        with pytest.raises(UserError, match=message):
            publish.publish(folder, tmp_path / 'none', measurement=wrong, **SAFE)
    assert not (tmp_path / 'none' / 'index.yaml').exists()


def test_what_the_name_does_not_build_is_refused(trained, tmp_path):
    dfb = 'model.name=i3d_tiny_synthfg_dfb'
    narrow = trained(dfb, 'model.options.local_branch=false')
    with pytest.raises(
        UserError, match='with local_branch=False is not i3d_tiny_synthfg_dfb as the zoo builds it: .*with --name'
    ):
        publish.publish(narrow, tmp_path, **SAFE)
    with pytest.raises(UserError, match='is not i3d_tiny_synthfg_dfb as the zoo builds it'):
        publish.publish(trained(), tmp_path, name='i3d_tiny_synthfg_dfb', **SAFE)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope='module')
def custom(trained):
    return trained('model.name=i3d_tiny_custom', 'data.dataset=csv', 'data.frames=4', 'test.protocol=2x1')


def test_own_classes_are_published_with_their_names(custom, tmp_path, monkeypatch):
    entry = publish.publish(custom, tmp_path / 'zoo', **SAFE)
    assert entry.name == 'i3d_tiny_custom' and entry.dataset is None and len(entry.classes) == 24
    assert entry.protocol == entry.metrics['csv']['protocol'] == '2x1' and entry.model is None
    monkeypatch.setattr(index, '_REPO_ZOO', tmp_path / 'zoo')
    for options in ({}, {'nclass': 24}):
        net = gluon_fg.get_model('i3d_tiny_custom', pretrained=True, root=str(tmp_path / 'empty'), **options)
        assert (net.classes, net.protocol, net.input_spec.frames) == (entry.classes, '2x1', 4)
    with pytest.raises(UserError, match='needs the number of classes'):
        gluon_fg.get_model('i3d_tiny_custom')


@pytest.fixture
def team(custom, trained, tmp_path, monkeypatch):
    """Two users' zoos: other weights of the same architecture, under names of their choice and under a common one."""
    other = trained('model.name=i3d_tiny_custom', 'data.dataset=csv', 'train.seed=3')
    entries = [publish.publish(custom, tmp_path / 'ours', name='our_actions.v1', **SAFE),
               publish.publish(custom, tmp_path / 'ours', name='shared', **SAFE),
               publish.publish(other, tmp_path / 'theirs', name='shared', **SAFE),
               publish.publish(other, tmp_path / 'theirs', name='their_actions', **SAFE)]  # fmt: skip
    monkeypatch.setenv('GLUON_FG_REPO', f'{(tmp_path / "ours").as_uri()},{tmp_path / "theirs"}')
    monkeypatch.setenv('MXNET_HOME', str(tmp_path / 'home'))
    return entries


def test_a_name_of_ones_own_loads_with_classes_input_and_protocol(team, custom, tiny_synthfg, command, tmp_path):
    ours, _, shared, theirs = team
    assert ours.model.name == 'i3d_tiny_custom' and ours.classes == theirs.classes and ours.protocol == '2x1'
    net = gluon_fg.get_model('our_actions.v1', pretrained=True)
    assert (net.name, net.classes, net.protocol, net.input_spec.frames) == (ours.name, ours.classes, '2x1', 4)
    clip = str(sorted((tiny_synthfg / 'test').glob('*.mp4'))[0])
    expected = gluon_fg.predict(clip, custom)
    assert gluon_fg.predict(clip, 'our_actions.v1') == gluon_fg.predict(clip, tmp_path / 'ours' / ours.name) == expected
    assert gluon_fg.predict(clip, 'their_actions') != expected
    file = tmp_path / 'ours' / ours.file
    assert gluon_fg.predict(clip, 'i3d_tiny_custom', params=file) == expected  # by the index beside it
    known = {'our_actions.v1', 'shared', 'their_actions'}
    assert known < set(gluon_fg.list_models(pretrained=True)) and not known & set(gluon_fg.list_models())
    info = gluon_fg.model_info('their_actions')
    assert (info['name'], info['nclass'], info['pretrained']) == ('their_actions', 24, True)
    untrained = gluon_fg.get_model('our_actions.v1', pretrained_base=False)
    assert untrained.classes == ours.classes and untrained.weights_source == 'random weights'
    code, out, err = command('evaluate', '--model', 'our_actions.v1', '--dataset', 'csv', '--root', tiny_synthfg,
                             '--out', tmp_path / 'scores.npz', '--json')  # fmt: skip
    assert code == 0 and round(100 * json.loads(out)['top1'], 2) == ours.metrics['csv']['top1'], err
    assert 'our_actions.v1' in command('zoo', 'list', 'our*')[1]
    assert command('zoo', 'fetch', 'their_actions')[1].strip() == str(tmp_path / 'home' / 'models' / theirs.file)
    with pytest.raises(UserError, match="unknown model 'our_action.v1'; did you mean 'our_actions.v1'"):
        gluon_fg.get_model('our_action.v1')


def test_two_users_models_of_one_name_do_not_collide(team, tiny_synthfg, tmp_path, monkeypatch):
    """The first repository that has a name gives it; the files keep apart by their hash."""
    _, ours, theirs, _ = team
    files_of = []
    for first, second in (('ours', 'theirs'), ('theirs', 'ours')):
        monkeypatch.setenv('GLUON_FG_REPO', f'{tmp_path / first} {tmp_path / second}')
        files_of.append(gluon_fg.get_model('shared', pretrained=True).weights_source)
    assert files_of == [f'published weights {entry.file}' for entry in (ours, theirs)]
    folder = tmp_path / 'ours'
    with pytest.raises(UserError, match=r'holds 2 models; name one, for example .*our_actions.v1'):
        gluon_fg.load_model(folder)
    with pytest.raises(UserError, match="unknown model of .*: 'shard'; did you mean 'shared'"):
        gluon_fg.load_model(folder / 'shard')


def test_options_of_a_run_are_kept_under_a_name_of_its_own(trained, tmp_path):
    narrow = trained('model.name=i3d_tiny_synthfg_dfb', 'model.options.local_branch=false')
    entry = publish.publish(narrow, tmp_path, name='narrow', **SAFE)
    assert entry.model.options == {'local_branch': False} and (entry.dataset, entry.classes) == ('synthfg', None)
    assert load_index(tmp_path / 'index.yaml')['narrow'] == entry
    net = gluon_fg.load_model(tmp_path)
    assert net.branch_names == load_run(narrow)[0].branch_names and net.dataset == 'synthfg' and len(net.classes) == 24
    for options, message in (
        ({'local_brunch': False}, "unknown option of narrow 'local_brunch'; did you mean 'local_branch'"),
        ({'dropout': 'much'}, 'narrow: i3d_tiny_synthfg_dfb cannot be built with the options of its index'),
    ):
        model = dataclasses.replace(entry.model, options=options)
        save_index({'narrow': dataclasses.replace(entry, model=model)}, tmp_path / 'index.yaml')
        with pytest.raises(UserError, match=message):
            gluon_fg.load_model(tmp_path)


def test_a_run_without_a_test_split_is_measured_on_val(custom, tiny_synthfg, tmp_path, command, caplog):
    data = tmp_path / 'data'
    shutil.copytree(tiny_synthfg, data)
    (data / 'test.csv').unlink()
    shutil.rmtree(data / 'test')
    words = ('zoo', 'publish', custom, '--repo', tmp_path / 'zoo', '--licence', 'MIT', '--name', 'mine', '--root', data)
    code, out, err = command(*words)
    assert code == 0 and f'{data} has no split test; val is taken' in caplog.text, err
    assert re.search(r'mine on csv: top1 [\d.]+, .*split val, videos 24', out)
    assert f'predict VIDEO --model {tmp_path}/zoo/mine' in out and f'GLUON_FG_REPO=file://{tmp_path}/zoo' in out
    assert '- built as `i3d_tiny_custom`' in (tmp_path / 'zoo' / 'README.md').read_text()


def test_weights_bring_the_segments_that_they_were_trained_with(trained, tmp_path, monkeypatch):
    frames = trained('model.name=tsn_tiny_synthfg', 'data.segments=4')
    entry = publish.publish(frames, tmp_path / 'zoo', **SAFE)
    assert entry.input['segments'] == 4 and gluon_fg.get_model('tsn_tiny_synthfg').num_segments == 8
    monkeypatch.setattr(index, '_REPO_ZOO', tmp_path / 'zoo')
    for options, segments in (({}, 4), ({'num_segments': 2}, 2)):
        net = gluon_fg.get_model('tsn_tiny_synthfg', pretrained=True, root=str(tmp_path / 'empty'), **options)
        assert net.num_segments == net.input_spec.segments == segments
        assert net(mx.nd.zeros((segments, 3, 48, 48))).shape == (1, 24)


def test_a_served_folder_gives_the_weights_by_name(published, tmp_path, monkeypatch):
    """Nothing but an address: the way of everybody who did not train the model."""
    folder, entry = published
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *args: None
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        monkeypatch.setattr(index, '_REPO_ZOO', tmp_path / 'no zoo here')
        monkeypatch.setenv('GLUON_FG_REPO', f'http://127.0.0.1:{server.server_port}')
        assert gluon_fg.list_models(pretrained=True) == [NAME]
        assert gluon_fg.model_info(NAME)['weights']['metrics'] == entry.metrics
        net = gluon_fg.get_model(NAME, pretrained=True, root=str(tmp_path / 'empty'))
    finally:
        server.shutdown()
        server.server_close()
    assert (tmp_path / 'empty' / entry.file).read_bytes() == (folder / entry.file).read_bytes()
    given = mx.nd.load(str(folder / entry.file))['branches.classifier.weight'].asnumpy()
    np.testing.assert_array_equal(net.branches.classifier.weight.data().asnumpy(), given)


def test_a_zoo_is_mirrored_whole_or_not_at_all(published, tmp_path, monkeypatch, command, error_line):
    zoo = tmp_path / 'zoo'
    shutil.copytree(published[0], zoo)
    monkeypatch.setattr(index, '_REPO_ZOO', zoo)
    code, out, err = command('zoo', 'publish', '--repo', tmp_path / 'served')
    assert code == 0 and f'1 models added ({NAME})' in out, err
    served = everything_in(tmp_path / 'served')
    own = everything_in(zoo)
    assert {k: v for k, v in served.items() if k != 'README.md'} == {k: v for k, v in own.items() if k != 'README.md'}
    assert 'all were there' in command('zoo', 'publish', '--repo', tmp_path / 'served')[1]
    (zoo / published[1].file).write_bytes(b'damaged')
    assert 'is missing or not what' in error_line('zoo', 'publish', '--repo', tmp_path / 'other')
    assert not (tmp_path / 'other').exists()


def test_the_command_publishes_and_its_mistakes_are_one_line(run, tmp_path, command, error_line):
    code, out, err = command('zoo', 'publish', run, '--repo', tmp_path / 'zoo', '--licence', 'CC-BY-4.0',
                                                  '--source', 'a study', '--float16')  # fmt: skip
    assert code == 0 and re.search(NAME + r' on synthfg: top1 [\d.]+, .*videos 24', out), err
    card = (tmp_path / 'zoo' / 'README.md').read_text()
    assert '- license: CC-BY-4.0; source: a study' in card and 'values in float16' in card
    unfinished = tmp_path / 'unfinished'
    shutil.copytree(run, unfinished)
    (unfinished / 'summary.json').unlink()
    broken = tmp_path / 'broken'
    shutil.copytree(run, broken)
    arrays = mx.nd.load(str(run / 'best.params'))
    arrays['branches.classifier.bias'][0] = np.nan
    mx.nd.save(str(broken / 'best.params'), arrays)
    large = tmp_path / 'large'
    shutil.copytree(run, large)
    arrays['branches.classifier.bias'][0] = 1e6
    mx.nd.save(str(large / 'best.params'), arrays)
    (tmp_path / 'file').write_text('')
    new = ['--repo', tmp_path / 'new', '--licence', 'MIT']
    for arguments, message in (
        ([], 'give the folder of a training run, --repo FOLDER or --tables'),
        ([run], '--licence is missing'),
        ([tmp_path, *new], 'no config.yaml there'),
        ([unfinished, *new], 'the run is not finished'),
        ([run, *new, '--checkpoint', 'last'], "unknown checkpoint 'last'; choose from best, final"),
        ([run, *new, '--name', 'our actions'], "--name 'our actions': a name has letters, digits"),
        ([run, *new, '--name', '../up'], "--name '../up': a name has letters, digits"),
        ([run, *new, '--name', 'resnet50_v1'], 'GluonCV has a network of that name'),
        ([run, *new, '--split', 'tets'], 'split'),
        ([run, *new, '--protocol', 'dfb3d'], "did you mean 'dfb_3d'"),
        ([run, *new, '--scores', tmp_path / 'none.npz'], 'no score file'),
        ([run, *new, '--scores', 'a.npz', '--float16'], 'leave out --float16 or --scores'),
        ([broken, *new], 'branches.classifier.bias holds values that are not finite'),
        ([large, *new, '--float16'], 'branches.classifier.bias reaches 1e.06, beyond float16'),
        ([run, '--licence', 'MIT', '--repo', tmp_path / 'file'], 'file: .*; choose another folder'),
    ):
        assert re.search(message, error_line('zoo', 'publish', *arguments)), arguments
    assert not (tmp_path / 'new' / 'index.yaml').exists()


def test_every_command_refuses_other_classes(published, tmp_path, monkeypatch, error_line, tiny_synthfg):
    """All shapes fit, and the file has another name: only its checksum tells."""
    folder, entry = published
    (tmp_path / 'mine.params').write_bytes((folder / entry.file).read_bytes())
    other = dataclasses.replace(entry, dataset='synthfg2', fingerprint='0' * 64)
    save_index({NAME: other}, tmp_path / 'zoo' / 'index.yaml')
    monkeypatch.setattr(index, '_REPO_ZOO', tmp_path / 'zoo')
    file, clip = tmp_path / 'mine.params', next((tiny_synthfg / 'test').glob('*.mp4'))
    for name, arguments in (
        ('evaluate', ['--model', NAME, '--params', file, '--root', tiny_synthfg, '--out', tmp_path / 's.npz']),
        ('predict', [clip, '--model', NAME, '--params', file]),
        ('train', ['--out', tmp_path / 'run', '--set', f'model.name={NAME}', f'model.params={file}',
                      f'data.root={tiny_synthfg}']),
    ):  # fmt: skip
        line = error_line(name, *arguments)
        assert re.search(f'predicts the classes of synthfg2 .*, {NAME} the classes of synthfg ', line), line
    assert {p.name for p in tmp_path.iterdir()} == {'mine.params', 'zoo'}


def test_the_page_of_the_zoo_is_the_generated_one():
    zoo = index.zoo_folder()
    assert (zoo / 'README.md').read_text() == publish.page(zoo), 'run gluon-fg zoo publish --tables'


def test_the_page_has_every_name_and_every_number(published):
    own = publish.page(index.zoo_folder())
    for name in gluon_fg.list_models():
        assert f'`{name}`' in own
    folder, entry = published
    page = (folder / 'README.md').read_text()
    for word in (entry.sha256, entry.fingerprint[:16], entry.config, entry.log, entry.source, f'{entry.bytes:,}'):
        assert word in page
    assert f'| {entry.metrics["synthfg"]["top1"]:.1f} |' in page and 'start from GluonCV' not in page
    assert json.dumps(entry.metrics)  # plain numbers, no NumPy ones
