"""Covering what a network needs costs it its answer: at the known detail of SynthFG, and more than elsewhere."""

import json

import mxnet as mx
import numpy as np
import pytest
from scipy import stats

from gluon_fg.analysis.covers import places_of, square_around
from gluon_fg.analysis.evidence import evidence
from gluon_fg.analysis.place_prober import Probe, ProbeOptions, answers_of, clip_of
from gluon_fg.analysis.place_probes import PlaceProbes, place_probes, probed_videos
from gluon_fg.analysis.place_summary import MEASURES, area, as_dict, by_group, findings, format_probes, numbers
from gluon_fg.data.catalog import build_dataset
from gluon_fg.data.datasets import VideoDataset
from gluon_fg.data.synthfg import read_truth
from gluon_fg.errors import UserError
from gluon_fg.factory import get_model
from gluon_fg.training.named import load_model


@pytest.fixture(scope='module')
def net():
    return load_model('i3d_tiny_synthfg_dfb').net


@pytest.fixture(scope='module')
def dataset(tiny_synthfg):
    return build_dataset('synthfg', 'test', tiny_synthfg)


@pytest.fixture(scope='module')
def truth(tiny_synthfg):
    return read_truth(tiny_synthfg, 'test')


@pytest.fixture(scope='module')
def probes(net, dataset, truth):
    """A third of the videos, of all groups."""
    some = {path: boxes for n, (path, boxes) in enumerate(sorted(truth.items())) if n % 3 == 1}
    return place_probes(net, dataset, ProbeOptions(('responses',), steps=3), some)


def test_covering_the_true_detail_hurts_more_than_random_places_and_the_middle(probes):
    assert list(probes.probes) == ['truth', 'responses', 'random', 'center'] and len(probes.paths) == 8
    assert (probes.whole[:, 0] > 0.9).mean() > 0.9  # the network is sure of the whole clips
    every = {row.source: row for row in numbers(probes)}
    drop = {source: row.means['drop'].mean for source, row in every.items()}
    assert drop['truth'] > 0.5 > drop['center'] and drop['random'] < 0.1
    assert every['truth'].gains['random']['drop'].p_holm < 0.05
    for key in ('deletion', 'insertion', 'drop_logit', 'kept'):
        assert every['truth'].gains['random'][key].low > 0, key
    assert every['truth'].means['deletion'].mean < every['random'].means['deletion'].mean
    assert findings(probes)[0].level == 'good' and 'needs the true detail' in findings(probes)[0].text


def test_answers_are_those_to_clips_covered_by_hand(net, dataset, probes):
    at = 3
    index, target = int(probes.indices[at]), int(probes.targets[at])
    with dataset.open(index) as reader:
        clip, x = clip_of(net, reader)
        shown = evidence(net, reader, target, 'responses').maps
    assert probes.paths[at] == dataset.records[index].path and x.shape == (3, 8, 54, 54)
    seen = shown.placement._replace(size=shown.placement.seen)
    covered = x.copy()
    for t, frame in enumerate(clip):  # here every frame has a map of its own
        cells = shown.maps[shown.frames.tolist().index(frame)]
        x0, y0, x1, y1 = square_around(seen.point(np.unravel_index(cells.argmax(), cells.shape)), 14, (54, 54))
        covered[:, t, y0:y1, x0:x1] = x.mean(axis=(1, 2, 3))[:, None, None]
    logits = net.branches(mx.nd.array(np.stack([x, covered])))[0].asnumpy().astype(np.float64)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = (p / p.sum(axis=1, keepdims=True))[:, target]
    np.testing.assert_allclose(probes.whole[at], [p[0], logits[0, target]], rtol=1e-4)
    np.testing.assert_allclose(
        probes.probes['responses'].covers[at, 0], [p[1], logits[1, target]], rtol=1e-3, atol=1e-6
    )
    assert probes.probes['responses'].covered[at, 0] == pytest.approx((14 / 54) ** 2)


def test_curves_begin_and_end_alike_for_every_source(probes):
    first, *others = probes.probes.values()
    np.testing.assert_array_equal(first.deletion[:, 0], probes.whole[:, 0])
    np.testing.assert_array_equal(first.insertion[:, -1], probes.whole[:, 0])
    for other in others:
        for curve, end in (('deletion', -1), ('deletion', 0), ('insertion', 0), ('insertion', -1)):
            np.testing.assert_array_equal(getattr(other, curve)[:, end], getattr(first, curve)[:, end])
    assert first.deletion.shape == (8, 4)


def test_random_places_are_the_same_in_each_run_and_others_in_each_video(net, dataset):
    maps = []
    for index in (0, 0, 1):
        with dataset.open(index) as reader:
            shown = evidence(net, reader, 0, 'random', seed=index)
            maps.append(places_of(shown.maps, shown.maps.frames, 14, 2).hidden[0])
    np.testing.assert_array_equal(maps[0], maps[1])
    assert (maps[0] != maps[2]).any()


def test_any_execution_and_batch_gives_the_same(net, dataset):
    with dataset.open(0) as reader:
        _, x = clip_of(net, reader)
    clips = [x, x[:, ::-1], 0 * x]
    together, alone = (answers_of(net, None, size)(clips) for size in (8, 1))
    for a, b in zip(together, alone):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert together[0].sum(axis=1) == pytest.approx([1, 1, 1])


def test_images_are_probed_as_clips_of_frames(tiny_synthfg, dataset):
    net = get_model('tsn_tiny_custom', nclass=24)
    every = read_truth(tiny_synthfg, 'test')
    some = {dataset.records[n].path: every[dataset.records[n].path] for n in (4, 9)}
    made = place_probes(net, dataset, ProbeOptions(('F5',), 'true', 'blur', steps=2), some, batch_size=3)
    assert made.targets.tolist() == made.labels.tolist() == [dataset.records[n].label for n in (4, 9)]
    assert np.isfinite(made.probes['F5'].deletion).all() and made.probes['F5'].deletion.shape == (2, 3)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(sources=('masks',)), "unknown source of evidence of i3d_tiny_synthfg_dfb 'masks'"),
        (dict(target='best'), "unknown target 'best'"),
        (dict(fill='black'), "unknown fill 'black'"),
        (dict(steps=1), 'steps must be at least 2, got 1'),
        (dict(size=1.0), 'between 0 and 1, got 1.0'),
    ],
)
def test_what_cannot_be_asked(net, options, message):
    with pytest.raises(UserError) as error:
        ProbeOptions(**options).sources_for(net)
    assert message in str(error.value)


def test_videos_that_cannot_be_probed_are_said(net, dataset, truth, tmp_path, caplog):
    broken = tmp_path / 'broken.mp4'
    broken.write_bytes(b'no film')
    records = [dataset.records[0]._replace(path=str(broken)), dataset.records[1]]
    some = VideoDataset(records, dataset.labels, dataset.root, 'some')
    boxes = {str(broken): truth[records[1].path], records[1].path: [truth[records[1].path][0]._replace(t=99)]}
    with pytest.raises(UserError, match='none of the 2 videos of some can be probed'):
        place_probes(net, some, ProbeOptions(('responses',), steps=2), boxes)
    assert 'broken.mp4' in caplog.text and 'has no box of the true detail' in caplog.text
    with pytest.raises(UserError, match='no video with a label and a box'):
        probed_videos(dataset, 1, {})
    with pytest.raises(UserError, match='limit must be at least 1, got 0'):
        probed_videos(dataset, 0)


def made_up(videos=6, name='<script>alert(1)</script>'):
    """Probes of numbers: covering the peaks of 'F5' takes 0.1 n of video n's probability, elsewhere nothing."""
    whole = np.stack([np.full(videos, 0.9), np.full(videos, 5.0)], axis=1)
    curve, n = np.array([[0.9, 0.5, 0.1]] * videos), np.arange(videos)

    def probe(lost):
        left = np.stack([0.9 - lost, 5 - 10 * lost], axis=1)
        return Probe(curve, curve[:, ::-1], np.stack([left, whole, left], axis=1), np.full((videos, 3), 0.25))

    sources = {'F5': probe(0.1 * n), 'random': probe(0.0 * n), 'center': probe(0.02 * n)}
    return PlaceProbes(
        'net',
        (name, 'other'),
        None,
        ProbeOptions(steps=2),
        n,
        [f'{name}/{i}.mp4' for i in n],
        n % 2,
        n % 2,
        whole,
        sources,
    )


def test_numbers_against_scipy():
    probes = made_up()
    row = numbers(probes)[0]
    gains = 0.1 * np.arange(6)
    interval = stats.t.interval(0.95, 5, gains.mean(), stats.sem(gains))
    assert row.means['drop'][:] == pytest.approx((0.25, *interval))
    assert row.gains['random']['drop'].p == pytest.approx(stats.ttest_1samp(gains, 0).pvalue)
    assert row.gains['center']['drop'].mean == pytest.approx(0.25 * 0.8)
    assert row.means['drop_once'].mean == 0 and row.means['kept'].mean == pytest.approx(0.65)
    assert row.means['drop_logit'].mean == pytest.approx(2.5) and row.means['deletion'].mean == pytest.approx(0.5)
    told = findings(probes)[0].text
    assert (
        f'+25.0 (+{100 * interval[0]:.1f} to +{100 * interval[1]:.1f}, p = 0.022)' in told
    )  # one source: Holm's is the same
    assert '25.0 points' in told and 'is more than what covering the middle' in told
    assert by_group(probes) == {} and format_probes(probes).splitlines()[2].split()[:4] == [
        'F5',
        '25.0',
        '25.0',
        '+25.0',
    ]


def test_findings_are_marked_by_what_is_shown():
    probes = made_up()
    levels = []
    for share in (0.1, 0.01, -0.1, 0.0):  # of the video's number; always the middle takes 0.02
        left = np.stack([0.9 - share * np.arange(6), 5 - share * np.arange(6)], axis=1)
        covers = np.stack([left] * 3, axis=1)
        source = probes.probes['F5']._replace(covers=covers)
        levels.append(findings(probes._replace(probes={**probes.probes, 'F5': source}))[0].level)
    assert levels == ['good', 'warn', 'bad', 'plain']


def test_areas_as_the_paper_has_them():
    """RISE: (sum - first / 2 - last / 2) / (steps)."""
    curves = np.random.RandomState(0).rand(3, 7)
    wanted = [(c.sum() - c[0] / 2 - c[-1] / 2) / 6 for c in curves]
    np.testing.assert_allclose(area(curves), wanted)


def test_a_single_video_says_nothing_of_others_and_is_plain_data():
    probes = made_up(1)
    plain = as_dict(probes)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain['sources']['F5']['drop'] == {'mean': 0, 'low': None, 'high': None}
    assert 'a single video says nothing of others' in findings(probes)[0].text
    assert set(plain['videos'][0]['sources']) == {'F5', 'random', 'center'} and set(MEASURES) < set(
        plain['sources']['F5']
    )
