"""Videos with several labels: the loss, training, scores, predictions, and a run that remembers."""

import json

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import randomized

from gluon_fg import load_model, predict
from gluon_fg.data.catalog import build_dataset
from gluon_fg.data.datasets import VideoDataset, VideoRecord
from gluon_fg.data.labels import LabelSet
from gluon_fg.data.loader import TrainLoader
from gluon_fg.data.transforms import TrainTransform
from gluon_fg.errors import UserError
from gluon_fg.evaluation.metrics import summarize
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.score import score_dataset
from gluon_fg.evaluation.threshold import FILE
from gluon_fg.recognizers.losses import binary_cross_entropy
from gluon_fg.training import loop, publish
from gluon_fg.training.config import load_config
from gluon_fg.training.log import read_metrics
from gluon_fg.training.run import load_run
from gluon_fg.weights.entries import load_index

# Loss -----------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 5))
def test_the_loss_is_the_mean_cross_entropy_of_the_classes_sigmoids(seed, clips, classes):
    rng = np.random.default_rng(seed)
    z, t = rng.normal(0, 3, (clips, classes)), rng.random((clips, classes))
    p = 1 / (1 + np.exp(-z))
    expected = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(axis=1)
    ours = binary_cross_entropy(mx.nd.array(z), mx.nd.array(t)).asnumpy()
    np.testing.assert_allclose(ours, expected, rtol=2e-5, atol=1e-6)
    gluon = mx.gluon.loss.SigmoidBinaryCrossEntropyLoss()(mx.nd.array(z), mx.nd.array(t)).asnumpy()
    np.testing.assert_allclose(ours, gluon, rtol=2e-5, atol=1e-6)


def test_the_loss_stays_finite_and_takes_single_labels():
    z = mx.nd.array([[500.0, -500.0], [-500.0, 500.0]])
    wrong, right = mx.nd.array([[0, 1], [1, 0]]), mx.nd.array([[1, 0], [0, 1]])
    assert binary_cross_entropy(z, wrong).asnumpy().tolist() == [500.0, 500.0]
    assert binary_cross_entropy(z, right).asnumpy().tolist() == [0.0, 0.0]
    assert binary_cross_entropy(z, mx.nd.array([0, 1])).asnumpy().tolist() == [0.0, 0.0]
    with pytest.raises(UserError, match='targets have shape'):
        binary_cross_entropy(z, mx.nd.zeros((2, 3)))


@pytest.mark.parametrize(
    'name', ['i3d_tiny_custom_dfb', 'i3d_tiny_custom_cidc', 'i3d_tiny_custom', 'tsn_tiny_custom', 'c3d_tiny_custom']
)
def test_every_branch_is_trained_by_it(name):
    net = randomized(name)
    net.multi_label = True
    shape = (2, 3, net.input_spec.frames, 48, 48) if net.input_spec.ndim == 3 else (2 * net.num_segments, 3, 48, 48)
    outputs = [z / 100 for z in net.branches(mx.nd.random.normal(shape=shape))]
    target = mx.nd.array([[1, 0, 1, 0, 0], [0, 0, 0, 0, 0]])
    losses = net.named_losses(outputs, target)
    for branch, z in zip(net.branch_names, outputs):
        np.testing.assert_allclose(losses[branch].asnumpy(), binary_cross_entropy(z, target).asnumpy(), rtol=1e-6)
        np.testing.assert_allclose(net.to_probabilities(z).asnumpy(), 1 / (1 + np.exp(-z.asnumpy())), rtol=1e-5)
    assert net.loss(outputs, target).shape == (2,)


def test_a_method_that_needs_a_single_class_refuses():
    net = randomized('topheavy_tiny_custom_u2s')
    with pytest.raises(
        UserError, match='topheavy_tiny_custom_u2s .* cannot give videos several labels; choose its base'
    ):
        net.multi_label = True
    net.multi_label = False


# Batches --------------------------------------------------------------------------------------------------------------


def test_batches_hold_the_targets_of_their_clips_mirrored_where_these_are(tiny_synthfg):
    labels = LabelSet(('moves left', 'moves right', 'spins', 'lifts its left hand'))
    whole = build_dataset('synthfg', 'train', tiny_synthfg)
    rows = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 1], [1, 1, 0, 0]] * 4, bool)
    records = [VideoRecord(record.path, 0) for record in whole.records[:16]]
    dataset = VideoDataset(records, labels, whole.root, targets=rows)
    spec = randomized('i3d_tiny_custom').input_spec
    loader = TrainLoader(dataset, spec, TrainTransform(spec, 'random_crop', flip=0.5), 8)
    seen = {0: set(), 1: set(), 2: set(), 3: set()}
    for epoch in range(3):
        for batch in loader.batches(epoch):
            assert batch.labels.dtype == np.float32 and batch.labels.shape == (8, 4)
            for index, row in zip(batch.indices, batch.labels):
                seen[index % 4].add(tuple(row.astype(int)))
    assert seen == {0: {(1, 0, 1, 0), (0, 1, 1, 0)}, 1: {(0,) * 4}, 2: {(1, 0, 0, 1)}, 3: {(1, 1, 0, 0)}}


# A run ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def lists(tiny_synthfg, tmp_path_factory):
    """Lists of SynthFG's clips whose labels are both parts of their class: 'disc: plus' shows 'disc' and 'plus'."""
    root = tmp_path_factory.mktemp('lists')
    for split in ('train', 'val'):
        dataset = build_dataset('synthfg', split, tiny_synthfg)
        lines = ['path,labels']
        for i, record in enumerate(dataset.records):
            parts = [part.strip() for part in dataset.labels.classes[record.label].split(':')]
            lines.append(f'{dataset.path(i)},{"|".join(parts) if i else ""}')  # the first shows none
        (root / f'{split}.csv').write_text('\n'.join(lines) + '\n')
    return root


def settings(lists, *overrides, model='i3d_tiny_custom_dfb'):
    common = ['data.dataset=multilabel', f'data.root={lists}', 'data.augment=random_crop', 'data.workers=1']
    train = ['train.epochs=2', 'train.lr_epochs=[]', 'train.batch_size=8', 'train.lr=0.02', 'train.log_steps=1']
    return load_config(None, [f'model.name={model}', *common, 'data.cache=memory', *train, *overrides])


@pytest.fixture(scope='module')
def run(lists, tmp_path_factory):
    folder = tmp_path_factory.mktemp('runs') / 'run'
    return folder, loop.train(settings(lists), folder, progress=False)


def test_a_run_on_several_labels_is_chosen_by_map(run):
    folder, summary = run
    vals = [r for r in read_metrics(folder / 'metrics.jsonl') if r['event'] == 'val']
    assert summary['best']['map'] == max(r['map'] for r in vals) and summary['map'] == vals[-1]['map']
    assert all(0 < r['map'] < 1 and r['scored'] == 24 for r in vals)
    first, last = [r for r in read_metrics(folder / 'metrics.jsonl') if r['event'] == 'epoch']
    assert last['loss'] < first['loss'] and 0 < first['loss_comb']
    assert 0 <= last['top1_comb'] <= 1
    assert json.loads((folder / 'summary.json').read_text()) == summary


def test_the_run_remembers_and_predicts_by_sigmoids(run, lists):
    folder, summary = run
    net, config = load_run(folder)
    assert net.multi_label and config.data.multi_label is True
    val = build_dataset('multilabel', 'val', lists)
    scores = score_dataset(net, val, get_protocol('train_time'), progress=False)
    np.testing.assert_array_equal(scores.targets, val.targets)
    assert scores.probabilities.sum(axis=2).std() > 1e-3  # of softmax each sum is 1
    answers = predict(val.path(0), net, topk=100, protocol='train_time')
    by_name = dict(answers)
    expected = dict(zip(val.labels.classes, scores.branch()[0].tolist()))
    assert by_name == {name: pytest.approx(p, abs=1e-5) for name, p in expected.items()}


def test_a_finished_run_is_known_again_and_one_of_single_labels_is_another(run, lists):
    folder, summary = run
    assert loop.train(settings(lists), folder, progress=False) == summary
    with pytest.raises(UserError, match='data.multi_label: True -> False'):
        loop.train(settings(lists, 'data.multi_label=false'), folder, progress=False)


@pytest.mark.parametrize(
    'overrides, message',
    [
        (('data.multi_label=false',), 'its videos have several labels; set data.multi_label=true, or leave it out'),
        (('train.class_weights=balanced',), 'train.class_weights is balanced, which needs videos of a single label'),
        (('data.sampling=balanced',), 'data.sampling is balanced, which needs'),
    ],
)
def test_settings_for_single_labels_are_refused_before_the_run_exists(overrides, message, lists, tmp_path):
    with pytest.raises(UserError, match=message):
        loop.train(settings(lists, *overrides), tmp_path / 'run', progress=False)
    assert not (tmp_path / 'run').exists()


def test_a_method_that_needs_a_single_class_is_refused_before_the_run_exists(lists, tmp_path):
    with pytest.raises(UserError, match='cannot give videos several labels'):
        loop.train(settings(lists, model='topheavy_tiny_custom_u2s'), tmp_path / 'run', progress=False)
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('name', ['my_labels_v1', None])
def test_a_published_network_remembers(name, run, lists, tmp_path):
    (run[0] / FILE).write_text(json.dumps({'value': 0.25, 'refused': 0, 'videos': 24, 'dataset': '', 'protocol': ''}))
    measured = publish.Measurement(split='val', protocol='train_time')
    entry = publish.publish(run[0], tmp_path / 'zoo', 'Apache-2.0', name=name, measurement=measured)
    assert entry.answers == {'multi_label': True, 'threshold': 0.25}
    assert load_index(tmp_path / 'zoo' / 'index.yaml') == {entry.name: entry}
    net = load_model(tmp_path / 'zoo')
    assert net.multi_label and net.threshold == 0.25 and net.classes == entry.classes
    scores = score_dataset(net, build_dataset('multilabel', 'val', lists), get_protocol('train_time'), progress=False)
    assert entry.metrics['multilabel']['map'] == round(100 * summarize(scores)['map'], 2)
    (run[0] / FILE).unlink()


def test_single_labels_can_be_trained_by_sigmoids(tiny_synthfg, tmp_path):
    overrides = ['model.name=i3d_tiny_synthfg', f'data.root={tiny_synthfg}', 'data.multi_label=true', 'train.epochs=1']
    overrides += ['data.sizes={train: 48, val: 24, test: 24}', 'train.lr_epochs=[]', 'data.augment=random_crop']
    summary = loop.train(load_config(None, overrides), tmp_path / 'run', progress=False)
    assert 'map' not in summary and 0 <= summary['top1'] <= 1
    assert load_run(tmp_path / 'run')[0].multi_label
    (epoch,) = [r for r in read_metrics(tmp_path / 'run/metrics.jsonl') if r['event'] == 'epoch']
    assert epoch['loss'] < 1.5  # of 24 classes' sigmoids; softmax begins at log 24 = 3.2
