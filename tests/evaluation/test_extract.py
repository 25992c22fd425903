"""Features on disk are those of the views beside them; extraction goes on, and one bad video ends nothing."""

import json
import shutil

import mxnet as mx
import numpy as np
import pytest
from networks import randomize_norms

from gluon_fg import get_model
from gluon_fg.data import build_dataset, transforms
from gluon_fg.data.features import FeatureDataset, Manifest, file_names, file_of, load_views
from gluon_fg.data.readers import from_paths, plain_list
from gluon_fg.data.transforms import to_input, to_view
from gluon_fg.errors import UserError
from gluon_fg.evaluation import extract
from gluon_fg.evaluation.extract import Request, extract_features, keep_network, settings_of, view_shape, write_vectors
from gluon_fg.evaluation.protocol import get_protocol


@pytest.fixture(scope='module')
def net():
    return get_model('i3d_tiny_synthfg', pretrained=True)


@pytest.fixture
def videos(tiny_synthfg, tmp_path):
    """SynthFG's validation split, a copy that may be broken."""
    shutil.copytree(tiny_synthfg, tmp_path / 'synthfg')
    return build_dataset('synthfg', 'val', tmp_path / 'synthfg')


def make(net, videos, folder, batch_size=8, workers=1, **request):
    wanted = Request(**request)
    settings = settings_of(net, wanted, videos.labels, videos.name)
    return extract_features(net, videos, folder, wanted, settings, batch_size=batch_size, workers=workers)


def layers(net, stage, x):
    for block in net.branches.backbone.path(stage):
        x = block(x)
    return x


@pytest.mark.parametrize('name', ['i3d_tiny_synthfg', 'tsn_tiny_synthfg'])
@pytest.mark.parametrize(
    'request_', [dict(protocol='2x5-flips'), dict(random=3, seed=5), dict(random=2, augment='multiscale')]
)
def test_features_are_those_of_the_frames_and_window_beside_them(name, request_, videos, tmp_path):
    net = randomize_norms(get_model(name))
    done = make(net, videos, tmp_path / 'out', batch_size=7, stage=4, dtype='float32', **request_)
    assert done == (24, 0, {})
    spec, data = net.input_spec, FeatureDataset(tmp_path / 'out')
    for index in (0, 17):
        stored = data.open(index).views
        assert len(stored) == (20 if 'protocol' in request_ else request_['random'])
        with videos.open(index) as reader:
            for view in stored[:: max(len(stored) // 3, 1)]:
                frames = transforms.apply(reader.get_batch(view.frames), view.cut, spec.crop_size)
                pixels = to_view(frames, spec)
                x = to_input(pixels[None] if spec.ndim == 3 else pixels, spec)
                expected = layers(net, 4, x).asnumpy()
                np.testing.assert_allclose(
                    view.pixels, expected[0] if spec.ndim == 3 else expected, rtol=1e-4, atol=1e-4 * expected.max()
                )
    assert {view.cut.mirrored for index in range(24) for view in data.open(index).views} == {True, False}


def test_random_views_depend_on_seed_and_video_alone(net, videos, tmp_path):
    make(net, videos, tmp_path / 'a', stage=5, random=2, seed=1)
    make(net, videos, tmp_path / 'b', stage=5, random=2, seed=1, batch_size=3, workers=0)
    make(net, videos, tmp_path / 'c', stage=5, random=2, seed=2)
    a, b, c = (FeatureDataset(tmp_path / name) for name in 'abc')
    for index in range(0, 24, 5):
        views = [data.open(index).views for data in (a, b, c)]
        np.testing.assert_allclose(views[0][1].pixels, views[1][1].pixels, rtol=2e-3, atol=2e-3)
        assert views[0][1].cut == views[1][1].cut != views[2][1].cut and views[0][0].cut != views[0][1].cut


def test_it_goes_on_where_it_was_killed_and_keeps_what_is_there(net, videos, tmp_path, monkeypatch):
    save, saved = extract.save_views, []

    def killed(path, views):
        saved.append(path)
        if len(saved) == 6:
            raise KeyboardInterrupt
        save(path, views)

    monkeypatch.setattr(extract, 'save_views', killed)
    with pytest.raises(KeyboardInterrupt):
        make(net, videos, tmp_path / 'out', stage=5)
    with pytest.raises(UserError, match='has features of 5 of 24 videos; start the gluon-fg features that made them'):
        FeatureDataset(tmp_path / 'out')
    before = {path: path.stat().st_mtime_ns for path in saved[:5]}
    monkeypatch.setattr(extract, 'save_views', save)
    assert make(net, videos, tmp_path / 'out', stage=5) == (19, 5, {})
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(FeatureDataset(tmp_path / 'out')) == 24
    monkeypatch.setattr(extract, 'save_views', None)
    assert make(net, videos, tmp_path / 'out', stage=5) == (0, 24, {})  # nothing is read again


def test_a_folder_of_other_settings_or_other_things_is_refused(net, videos, tmp_path):
    make(net, videos, tmp_path / 'out', stage=5)
    before = sorted(path.stat().st_mtime_ns for path in (tmp_path / 'out').rglob('*.npz'))
    for request, message in (
        (dict(stage=4), 'stage: 5 -> 4'),
        (dict(stage=5, dtype='float32'), 'dtype: float16 -> float32'),
        (dict(stage=5, random=2), "views: {'protocol': 'train_time'} -> {'random': 2"),
    ):
        with pytest.raises(UserError, match='holds features of other settings .*' + message.replace('{', r'\{')):
            make(net, videos, tmp_path / 'out', **request)
    with pytest.raises(UserError, match=r'other settings \(other weights\)'):
        make(get_model('i3d_tiny_synthfg'), videos, tmp_path / 'out', stage=5)
    assert sorted(path.stat().st_mtime_ns for path in (tmp_path / 'out').rglob('*.npz')) == before
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/thesis.tex').write_text('precious')
    with pytest.raises(UserError, match='exists and holds no features'):
        make(net, videos, tmp_path / 'mine', stage=5)
    keep_network(net, tmp_path / 'out')
    with pytest.raises(UserError, match='a network with other weights'):
        keep_network(get_model('i3d_tiny_synthfg'), tmp_path / 'out')
    assert not [path.name for path in (tmp_path / 'out').iterdir() if path.name.startswith('.')]


def test_bad_videos_are_counted_and_listed_and_end_nothing(net, videos, tmp_path):
    bad = videos.records[3].path
    whole = (tmp_path / 'synthfg' / bad).read_bytes()
    (tmp_path / 'synthfg' / bad).write_bytes(b'cut')
    done = make(net, videos, tmp_path / 'out', stage=5)
    assert (done.made, done.kept, list(done.failed)) == (23, 0, [bad])
    data = FeatureDataset(tmp_path / 'out')
    assert len(data) == 23 and bad not in [r.path for r in data.records] and bad in Manifest.load(data.root).failed
    (tmp_path / 'synthfg' / bad).write_bytes(whole)  # mended: tried again
    assert make(net, videos, tmp_path / 'out', stage=5) == (1, 23, {})
    for record in videos.records:
        (tmp_path / 'synthfg' / record.path).write_bytes(b'')
    with pytest.raises(UserError, match='none of the 24 videos'):
        make(net, videos, tmp_path / 'none', stage=5)


def test_vectors_are_what_the_classifier_reads(net, videos, tmp_path):
    make(net, videos, tmp_path / 'out', stage=5, pooled=True, protocol='3x1', dtype='float32')
    vectors = np.load(write_vectors(tmp_path / 'out'))
    assert vectors.shape == (24, 64) and view_shape(net, Request(5, pooled=True)) == (64,)
    rows = (tmp_path / 'out/features.csv').read_text().splitlines()
    assert rows[0] == 'path,label,class' and len(rows) == 25
    assert rows[1].startswith(f'{videos.records[0].path},{videos.records[0].label},')
    views = load_views(file_of(tmp_path / 'out', videos.records[0].path))
    np.testing.assert_allclose(vectors[0], np.mean([view.pixels for view in views], axis=0), rtol=1e-5)
    dense = net.branches.classifier
    with videos.open(0) as reader:
        x = to_input(np.stack(get_protocol('3x1').views(reader, net.input_spec)[0]), net.input_spec)
    np.testing.assert_allclose(
        dense(mx.nd.array(np.stack([view.pixels for view in views]))).asnumpy(), net(x).asnumpy(), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize('value, message', [(1e6, 'choose --dtype float32'), (np.nan, 'of a run that diverged')])
def test_features_too_large_for_float16_or_not_finite_are_refused(value, message, net, videos, tmp_path, monkeypatch):
    monkeypatch.setattr(extract, 'layers_forward', lambda *_: lambda x: (mx.nd.full((len(x), 2, 1, 1, 1), value),))
    with pytest.raises(UserError, match=message):
        make(net, videos, tmp_path / 'out', stage=5)
    assert not list((tmp_path / 'out').rglob('*.npz'))


def test_the_shape_is_known_beforehand(net, videos, tmp_path):
    for stage in (3, 4, 5):
        make(net, videos, tmp_path / f'{stage}', stage=stage)
        views = load_views(file_of(tmp_path / f'{stage}', videos.records[0].path))
        assert views[0].pixels.shape == view_shape(net, Request(stage)) and views[0].pixels.dtype == np.float16


def test_files_stay_in_the_folder_and_differ():
    names = file_names(['a/b.mp4', '../b.mp4', '/x/b.mp4', 'x/b.mp4', 'b.mp4'])
    assert names == ['a/b.mp4', 'b.mp4', 'x/b.mp4', 'x/b.mp4#2', 'b.mp4#2']


def test_lists_of_bare_paths_are_known_from_others(tmp_path):
    for text, expected in (
        ('a b.mp4\nsub/c.mp4\n', ['a b.mp4', 'sub/c.mp4']),
        ('path\na.mp4\n', ['a.mp4']),
        ('path,label\na.mp4,3\n', None),
        ('a.mp4 30 2\nb.mp4 20 1\n', None),
    ):
        (tmp_path / 'list.txt').write_text(text)
        got = plain_list(tmp_path / 'list.txt')
        assert got == (None if expected is None else [str(tmp_path / name) for name in expected])
    (tmp_path / 'list.txt').write_text('\n')
    with pytest.raises(UserError, match='lists no video'):
        plain_list(tmp_path / 'list.txt')
    data = from_paths([str(tmp_path / 'x/a.mp4'), str(tmp_path / 'y/b.mp4')])
    assert [r.path for r in data.records] == ['x/a.mp4', 'y/b.mp4'] and {r.label for r in data.records} == {-1}


@pytest.mark.parametrize(
    'values, message',
    [
        (dict(stage=5, protocol='10corp'), "unknown protocol '10corp'"),
        (dict(stage=5, dtype='float8'), 'dtype must be float16 or float32'),
        (dict(stage=5, random=-1), 'must be 0 or more'),
        (dict(stage=5, random=2, augment='resized'), "unknown transform 'resized'"),
        (dict(stage=2), 'of stage 3, 4 or 5, got 2'),
    ],
)
def test_wrong_requests_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        Request(**values)


def test_a_manifest_says_everything(net, videos, tmp_path):
    make(net, videos, tmp_path / 'out', stage=3)
    values = json.loads((tmp_path / 'out/manifest.json').read_text())
    assert values['settings']['input']['frames'] == 8 and values['settings']['stage'] == 3
    assert len(values['settings']['weights']) == 64 and values['records'][0][0] == videos.records[0].path
    assert Manifest.load(tmp_path / 'out').settings.labels == videos.labels
