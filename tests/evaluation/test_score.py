import contextlib
import dataclasses
import io
import json
import threading

import mxnet as mx
import numpy as np
import pytest

from gluon_fg.data.catalog import label_set
from gluon_fg.data.datasets import VideoDataset, VideoRecord
from gluon_fg.data.labels import LabelSet
from gluon_fg.data.video import ArrayReader
from gluon_fg.deploy.execution import REFERENCE
from gluon_fg.errors import UserError
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.score import Scores, check_classes, known_to, score_dataset, video_ids
from gluon_fg.evaluation.views import merge_views
from gluon_fg.factory import get_model

LABELS = LabelSet(('turn left', 'turn right', 'raise', 'lower', 'wave'), ('turn', 'turn', 'lift', 'lift', 'wave'))


@pytest.fixture(scope='module')
def dataset(tools, tmp_path_factory):
    """Seven videos of three sizes and of 3 to 20 frames; the fifth is broken, the last has no label."""
    root = tmp_path_factory.mktemp('set')
    sizes = [(40, 56), (40, 56), (64, 36), (40, 56), None, (64, 36), (34, 34)]
    records = []
    for i, size in enumerate(sizes):
        path = root / f'clip ({i}).mp4'
        if size is None:
            path.write_bytes(b'not a video')
        else:
            tools.write_video(path, tools.random_frames(i, [12, 3, 20, 9, 0, 12, 5][i], *size))
        records.append(VideoRecord(path.name, i % 5 if i < 6 else -1))
    return VideoDataset(records, LABELS, root, 'seven')


def score(net, dataset, protocol, **options):
    return score_dataset(net, dataset, get_protocol(protocol), progress=False, **options)


def reference(net, dataset, protocol):
    """(videos, 2, M): each view on its own, softmax, mirrored classes put back, mean; and (videos, M) mean logits."""
    result, logits = [], []
    for i in range(len(dataset)):
        if i == 4:
            continue
        with dataset.open(i) as reader:
            views, flipped = get_protocol(protocol).views(reader, net.input_spec, LABELS)
        probabilities, of_views = [], []
        for view, flip in zip(views, flipped):
            x = view[None] if net.input_spec.ndim == 3 else view
            shape = (-1, 3) + (1,) * (x.ndim - 2)
            mean, std = (np.reshape(v, (1,) + shape[1:]) for v in (net.input_spec.mean, net.input_spec.std))
            before, net.num_segments = net.num_segments, get_protocol(protocol).num_segments(net.input_spec)
            outputs = net.branches(mx.nd.array((x / 255.0 - mean) / std))
            z = np.stack([o.asnumpy()[0] for o in outputs]).astype(np.float64)
            net.num_segments = before
            p = np.exp(z - z.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            probabilities.append(p[:, [1, 0, 2, 3, 4]] if flip else p)  # left and right change places
            of_views.append(z[0, [1, 0, 2, 3, 4]] if flip else z[0])
        result.append(np.mean(probabilities, axis=0))
        logits.append(np.mean(of_views, axis=0))
    return np.array(result), np.array(logits)


@pytest.mark.parametrize(
    'layout, protocol', [('NCTHW', 'dfb_3d'), ('NCTHW', '10crop'), ('NCHW', '4x5-flips'), ('NCHW', 'train_time')]
)
def test_merged_scores_equal_one_view_at_a_time(tools, dataset, layout, protocol):
    net = tools.Probe(layout, segments=3 if layout == 'NCHW' else 1)
    scores = score(net, dataset, protocol)
    probabilities, logits = reference(net, dataset, protocol)
    np.testing.assert_allclose(scores.probabilities, probabilities, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scores.logits, logits, rtol=1e-4, atol=1e-5)
    assert scores.ids == tuple(f'clip ({i}).mp4' for i in (0, 1, 2, 3, 5, 6))
    assert scores.labels.tolist() == [0, 1, 2, 3, 0, -1] and scores.groups == LABELS.groups
    assert list(scores.failed) == ['clip (4).mp4'] and scores.listed == 7


def test_ten_crops_of_something_something_have_their_mirrored_directions_put_back(tools):
    """A network that tells light on the right from light on the left: each crop and its mirror image agree, but only
    once left and right are swapped back.
    """
    labels, net = label_set('sthsthv2'), tools.Probe()
    left, right = (labels.classes.index(f'Pushing something from {way}') for way in ('right to left', 'left to right'))

    def branches(x):
        mean, z = x.asnumpy().mean(axis=(1, 2, 3)), np.zeros((len(x), 174), np.float32)
        z[:, right] = 3 * (mean[:, 12:] - mean[:, :12]).mean(1)
        z[:, left] = -z[:, right]
        return (mx.nd.array(z),)

    net.branches = branches
    frames = np.tile(np.arange(0, 224, 4, np.uint8)[None, None, :, None], (6, 40, 1, 3))  # brighter to the right
    source = [('clip', lambda: contextlib.nullcontext(ArrayReader('clip', frames)))]
    merged = {name: next(merge_views(net, source, get_protocol(name), labels)).result[0] for name in ('10crop', '1x5')}
    assert get_protocol('10crop').count(labels) == 10
    assert merged['1x5'][right] > 1.5 * merged['1x5'][left]
    np.testing.assert_allclose(merged['10crop'], merged['1x5'], rtol=1e-5)


@pytest.mark.parametrize('name', ['kinetics400', 'ucf101', 'hmdb51', 'sthsthv2'])
def test_protocols_with_mirror_images_show_them_on_every_known_dataset(name):
    labels = label_set(name)
    assert [get_protocol(protocol).count(labels) for protocol in ('10crop', 'dfb_2d', '2x3-flips')] == [10, 200, 12]


def test_views_of_one_size_fill_batches_across_videos_and_the_last_is_not_dropped(tools, dataset):
    net = tools.Probe()
    score(net, dataset, '3x1', batch_size=4)  # 6 videos x 3 views of 24x24
    assert [shape[0] for shape in net.batches] == [4, 4, 4, 4, 2]
    net = tools.Probe()
    score(net, dataset, '3xwhole', batch_size=4)  # sizes 45, 45, 32x57, 45, 32x57, 32 wide
    assert [shape[0] for shape in net.batches] == [4, 2, 3, 3, 3, 3]
    assert sum(shape[0] for shape in net.batches) == 18


@pytest.mark.parametrize('name, protocol', [('i3d_tiny_synthfg_dfb', 'dfb_3d'), ('tsn_tiny_synthfg_dfb', '4x5-flips')])
def test_networks_give_the_same_scores_for_any_batch_size_workers_and_ranks(tools, dataset, name, protocol):
    net = get_model(name.replace('synthfg', 'custom'), nclass=5, pretrained=False, pretrained_base=False)
    net.input_spec = net.input_spec.replace(short_side=34, crop_size=32)
    segments = net.num_segments
    base = score(net, dataset, protocol, batch_size=8, workers=0)
    assert np.ptp(base.probabilities[:, 0], axis=0).max() > 1e-4, 'videos must differ for this to test anything'
    for batch_size, workers, execution in ((1, 0, None), (3, 1, REFERENCE), (8, 4, REFERENCE)):
        other = score(net, dataset, protocol, batch_size=batch_size, workers=workers, execution=execution)
        np.testing.assert_allclose(other.probabilities, base.probabilities, rtol=1e-4, atol=1e-6)
        assert other.ids == base.ids and other.failed == base.failed
    assert net.num_segments == segments


@pytest.mark.parametrize('size', [2, 3, 8])
def test_ranks_share_the_videos_and_get_one_result(tools, dataset, size):
    alone = score(tools.Probe(), dataset, '2x3')
    barrier, parts, results = threading.Barrier(size), [None] * size, [None] * size

    def run(rank):
        def gather(part):
            parts[rank] = part
            barrier.wait()
            return list(parts)

        results[rank] = score(tools.Probe(), dataset, '2x3', rank=rank, size=size, gather=gather, workers=1)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        assert (result.ids, result.failed, result.labels.tolist()) == (alone.ids, alone.failed, alone.labels.tolist())
        np.testing.assert_allclose(result.probabilities, alone.probabilities, rtol=1e-6)


def test_a_lost_video_is_noticed(tools, dataset):
    with pytest.raises(RuntimeError, match='lists 7 videos, but 3'):
        score(tools.Probe(), dataset, '1x1', batch_size=2, rank=1, size=2, gather=lambda part: [part])


def test_two_hundred_passes(tools, dataset):
    net = tools.Probe('NCHW', segments=3)
    two = VideoDataset(dataset.records[:2], LABELS, dataset.root, 'two')
    scores = {size: score(net, two, 'dfb_2d', batch_size=size).probabilities for size in (7, 64)}
    assert sum(shape[0] for shape in net.batches) == 2 * 2 * 200
    np.testing.assert_allclose(scores[7], scores[64], rtol=1e-5)
    assert net.num_segments == 3


def test_num_segments_is_restored_after_an_error(tools, dataset):
    net = tools.Probe('NCHW', segments=3)
    net.branches = lambda x: [x * float('nan')] * 2
    with pytest.raises(UserError, match=r'clip \(0\).mp4: .*not finite'):
        score(net, dataset, 'dfb_2d')
    assert net.num_segments == 3


def test_undecodable_videos(tools, dataset):
    broken = VideoDataset([dataset.records[4]] * 2, LABELS, dataset.root, 'broken')
    with pytest.raises(UserError, match=r'none of the 2 videos of broken can be decoded; the first: clip \(4\).mp4'):
        score(tools.Probe(), broken, '1x1')
    assert video_ids(broken) == ['clip (4).mp4', 'clip (4).mp4#2']


def test_classes_must_agree(tools, dataset):
    net = tools.Probe()
    with pytest.raises(UserError, match='seven has 2 classes, the model probe has 5'):
        check_classes(net, LabelSet(('a', 'b')), 'seven')
    swapped = ('turn right', 'turn left', 'raise', 'lower', 'wave')
    with pytest.raises(UserError, match="'turn right' as number 0, the model probe has 'turn left'"):
        check_classes(net, LabelSet(swapped), 'seven')
    assert check_classes(net, LabelSet(('0', '1', '2')), 'numbers') is net.labels
    assert check_classes(net, LABELS, 'seven') is LABELS
    with pytest.raises(UserError, match='batch_size must be at least 1, got 0'):
        score(net, dataset, '1x1', batch_size=0)


def test_a_dataset_of_some_classes_is_scored_by_a_network_of_all(tools, dataset):
    """Its videos get the network's labels by the names of their classes."""
    net = tools.Probe()
    records = [VideoRecord(dataset.records[i].path, label) for i, label in ((0, 1), (1, 0), (6, -1))]
    some = VideoDataset(records, LabelSet(('raise', 'wave')), dataset.root, 'some')
    scores = score(net, some, '1x1')
    assert scores.labels.tolist() == [4, 2, -1] and scores.classes == LABELS.classes
    whole = score(net, dataset, '1x1')
    np.testing.assert_array_equal(scores.probabilities[0], whole.probabilities[0])
    assert known_to(net, dataset) is dataset and some.records[0].label == 1  # itself as it was
    other = VideoDataset(records, LabelSet(('raise', 'waves')), dataset.root, 'other')
    with pytest.raises(UserError, match='other has 2 classes, the model probe has 5'):
        score(net, other, '1x1')
    with pytest.raises(UserError, match="other: unknown class 'waves'; did you mean 'wave'"):
        other.relabeled(LABELS)


def test_saved_scores_come_back(tools, dataset, tmp_path):
    scores = score(tools.Probe(), dataset, '1x1')
    path = tmp_path / 'scores.npz'
    scores.save(path)
    again = Scores.load(path)
    for field in dataclasses.fields(Scores):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(scores, field.name))
    with np.load(path, allow_pickle=False) as arrays:
        assert json.loads(str(arrays['meta']))['kind'] == 'probabilities'
    assert scores.branch('other') is not None and np.array_equal(scores.branch(1), scores.branch('other'))


def test_files_that_are_no_scores(tools, dataset, tmp_path):
    path = tmp_path / 'scores.npz'
    with pytest.raises(UserError, match='no score file'):
        Scores.load(path)
    scores = score(tools.Probe(), dataset, '1x1')
    scores.save(path)
    whole = path.read_bytes()
    for text in (b'', b'hello', whole[: len(whole) // 2]):
        path.write_bytes(text)
        with pytest.raises(UserError, match='not a score file'):
            Scores.load(path)
    np.savez(path, probabilities=np.array([{}], object))  # needs unpickling
    with pytest.raises(UserError, match='not a score file'):
        Scores.load(path)
    with np.load(io.BytesIO(whole)) as arrays:
        meta = json.loads(str(arrays['meta']))
        backwards = {'classes': meta['classes'][::-1]}
        for change, message in (({'kind': 'logits'}, 'kind logits'), (backwards, 'fingerprint')):
            np.savez(
                path,
                probabilities=arrays['probabilities'],
                labels=arrays['labels'],
                meta=json.dumps({**meta, **change}),
            )
            with pytest.raises(UserError, match=message):
                Scores.load(path)
