import logging

import mxnet as mx
import numpy as np
import pytest

from gluon_fg import predict
from gluon_fg.data.datasets import VideoDataset, VideoRecord
from gluon_fg.data.labels import LabelSet
from gluon_fg.errors import UserError, VideoError
from gluon_fg.evaluation.load import load_network, load_parameters, parse_options
from gluon_fg.evaluation.predict import predict_videos
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.score import score_dataset
from gluon_fg.factory import get_model

MODEL = 'i3d_tiny_custom_dfb'


@pytest.fixture(scope='module')
def net():
    return get_model(MODEL, nclass=5, pretrained_base=False)


@pytest.fixture(scope='module')
def files(tools, tmp_path_factory):
    root = tmp_path_factory.mktemp('videos')
    for i, size in enumerate(((40, 56), (64, 36))):
        tools.write_video(root / f'{i}.mp4', tools.random_frames(i, 10 + i, *size))
    (root / 'broken.mp4').write_bytes(b'\0' * 100)
    return [str(root / name) for name in ('0.mp4', 'broken.mp4', '1.mp4')]


@pytest.fixture(scope='module')
def params(net, tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'net.params'
    net.save_parameters(str(path))
    return str(path)


@pytest.mark.parametrize('protocol', [None, 'dfb_3d'])
def test_prediction_and_evaluation_of_a_file_agree(net, files, protocol):
    labels = LabelSet(tuple(f'class {i}' for i in range(5)))
    dataset = VideoDataset([VideoRecord(path, 0) for path in files], labels)
    scores = score_dataset(net, dataset, get_protocol(protocol or net.protocol), progress=False).branch()
    answers = predict(files, net, topk=3, protocol=protocol)
    assert answers[1] == [] and [len(a) for a in answers] == [3, 0, 3]
    for answer, p in zip((answers[0], answers[2]), scores):
        order = np.argsort(-p)[:3]
        assert [label for label, _ in answer] == [f'class {i}' for i in order]
        if protocol is None:  # dfb_3d mirrors only where the classes are known
            np.testing.assert_allclose([v for _, v in answer], p[order], rtol=1e-4)
    every = predict(files[0], net, topk=99, protocol=protocol)
    assert [label for label, _ in every[:3]] == [label for label, _ in answers[0]]
    assert len(every) == 5 and sum(p for _, p in every) == pytest.approx(1, abs=1e-5)


def test_a_bad_video_is_named_and_stops_no_other(net, files, caplog):
    first, bad, last = predict_videos(files, net)
    assert isinstance(bad.error, VideoError) and 'broken.mp4' in str(bad.error) and bad.path == files[1]
    assert first.error is last.error is None and len(first.predictions) == len(last.predictions) == 5
    with caplog.at_level(logging.WARNING):
        predict(files, net)
    assert 'broken.mp4' in caplog.text
    for video in (files[1], [files[1]]):
        with pytest.raises(VideoError, match='broken.mp4'):
            predict(video, net)


def test_weights_from_a_file_and_class_names(net, files, params):
    by_name = predict(files[0], MODEL, params=params, nclass=5)
    assert [label for label, _ in by_name] == [label for label, _ in predict(files[0], net)]
    np.testing.assert_allclose([p for _, p in by_name], [p for _, p in predict(files[0], net)], rtol=1e-5)
    named = load_network(MODEL, params, nclass=5)
    named.labels = LabelSet(('open', 'close', 'pretend to open', 'turn left', 'turn right'))
    assert {label for label, _ in predict(files[0], named)} == set(named.classes)


def test_arguments_that_do_not_fit(net, files, params, tmp_path):
    for call, message in (
        (lambda: predict([], net), 'no video given'),
        (lambda: predict(files[0], net, topk=0), 'topk must be at least 1, got 0'),
        (lambda: predict(files[0], net, protocol='dfb3d'), "unknown protocol 'dfb3d'; did you mean 'dfb_3d'"),
        (lambda: predict(files[0], 'i3d_tiny_synthfg_dbf', params=params), 'unknown model .*did you mean'),
        (lambda: predict(files[0], 'resnet18_v1'), "unknown model 'resnet18_v1'"),
        (lambda: predict(files[0], MODEL, nclass=5), 'no weights are published for'),
        (lambda: predict(files[0], net, params=params), 'go with the name of a model'),
        (lambda: predict(files[0], MODEL, params=params, nclass=5, filters=3), 'unknown option'),
        (lambda: predict(files[0], MODEL, params=str(tmp_path / 'no.params'), nclass=5), 'no parameter file'),
    ):
        with pytest.raises(UserError, match=message):
            call()


def test_parameter_files_that_do_not_fit(params, tmp_path):
    fresh = get_model(MODEL, nclass=5, pretrained_base=False)

    def refused(path, message, model=fresh):
        before = {name: p.data().asnumpy() for name, p in model.collect_params().items()}
        with pytest.raises(UserError, match=message) as error:
            load_parameters(model, str(path), mx.cpu())
        assert '\n' not in str(error.value) and str(path) in str(error.value)
        for name, p in model.collect_params().items():
            np.testing.assert_array_equal(p.data().asnumpy(), before[name])  # nothing half-loaded

    refused(
        params,
        'was trained for 5 classes, i3d_tiny_custom_dfb has 7',
        get_model(MODEL, nclass=7, pretrained_base=False),
    )
    refused(
        params,
        'does not fit i3d_tiny_custom: .* parameters that i3d_tiny_custom lacks',
        get_model('i3d_tiny_custom', nclass=5, pretrained_base=False),
    )
    refused(params, 'has shape', get_model('tsn_tiny_custom_dfb', nclass=5, pretrained_base=False))
    refused(params, 'has shape', get_model(MODEL, nclass=5, pretrained_base=False, filters_per_class=2))
    whole = open(params, 'rb').read()
    for name, content in (('empty.params', b''), ('cut.params', whole[: len(whole) // 2]), ('text.params', b'hello\n')):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, 'not an MXNet parameter file')
    arrays = mx.nd.load(params)
    arrays.pop('branches.classifier.bias')
    mx.nd.save(str(tmp_path / 'less.params'), arrays)
    refused(tmp_path / 'less.params', '1 parameters missing, for example branches.classifier.bias')


def test_options_from_the_command_line():
    assert parse_options(['nclass=8', 'local_branch=false', 'skip=concat']) == {
        'nclass': 8,
        'local_branch': False,
        'skip': 'concat',
    }
    for text in ('nclass', '=3', 'a b=1', 'x=[1', 'params=x'):
        with pytest.raises(UserError, match='option'):
            parse_options([text])


def test_a_network_on_spread_clips_predicts_as_it_is_evaluated(files):
    """U2S sec. IV-B: frames from the whole video, ten crops of them."""
    net = get_model('topheavy_tiny_custom', nclass=5)
    net.input_spec, net.protocol = net.input_spec.replace(sampling='spread'), '10crop'
    dataset = VideoDataset([VideoRecord(path, 0) for path in files], LabelSet(tuple(f'class {i}' for i in range(5))))
    scores = score_dataset(net, dataset, get_protocol('5x1'), progress=False).branch()
    for answer, p in zip(predict(files, net, protocol='5x1')[::2], scores):
        assert [label for label, _ in answer] == [f'class {i}' for i in np.argsort(-p)]
        np.testing.assert_allclose([v for _, v in answer], np.sort(p)[::-1], rtol=1e-4)
    spread = predict(files[2], net)
    net.input_spec = net.input_spec.replace(sampling='clip')
    assert spread != predict(files[2], net), '8 of its 11 frames: other ones than those in a row'
