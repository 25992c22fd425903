"""The kernels over time that networks show of themselves, against what their parameters say."""

import numpy as np
import pytest
import reference
from networks import parameters, randomized

from gluon_fg.analysis.kernels import FLAT, describe, kernel_facts, unlike
from gluon_fg.errors import UserError


def test_kernels_are_those_of_eq_5_in_the_order_of_the_clip():
    net = randomized('r2d_tiny_synthfg_cidc', frames=4, units=(2, 1, 1))
    found, given = net.kernels(), parameters(net)
    units = [(3, 1), (3, 2), (4, 1), (5, 1)]
    assert [kernel.title for kernel in found] == [
        f'stage {stage}, unit {number}, {way}' for way in ('forward', 'backward') for stage, number in units
    ]
    for kernel, (stage, number) in zip(found, units * 2):
        way = kernel.title.split()[-1]
        raw = given[f'branches.cidc.{way}_stack.units{stage}.{number - 1}.{way}_weight']
        turned = way == 'backward'
        expected = reference.effective(raw[:, ::-1, ::-1] if turned else raw, reference.triangle(4, 4))
        expected = expected[:, ::-1, ::-1] if turned else expected
        np.testing.assert_allclose(kernel.weights, expected, rtol=1e-4, atol=1e-5)
        assert kernel.seen.tolist() == (np.triu if turned else np.tril)(np.ones((4, 4), bool)).tolist()
        assert not kernel.weights[:, ~kernel.seen].any()


@pytest.mark.parametrize(
    'direction, titles', [('none', ['full']), ('mean', ['mean']), ('chained', ['forward', 'backward'])]
)
def test_other_ways_to_look_at_a_clip(direction, titles):
    net = randomized('r2d_tiny_synthfg_cidc', direction=direction, scales=(5,), units=(1,))
    found = net.kernels()
    assert [kernel.title for kernel in found] == [f'stage 5, unit 1, {title}' for title in titles]
    for kernel in found:
        assert kernel.weights.shape[1:] == kernel.seen.shape == ((4, 8) if direction == 'chained' else (8, 8))
        assert kernel.seen.all() == (direction != 'chained')
    (first, *_) = kernel_facts(net)
    assert (first.flat == 64 and not first.spread.any()) if direction == 'mean' else first.spread.mean() > FLAT


def test_spread_is_that_of_rows_over_what_they_see():
    net = randomized('r2d_tiny_synthfg_cidc', frames=4, direction='backward', scales=(5,), units=(1,))
    (kernel,), (facts,) = net.kernels(), kernel_facts(net)
    rows = [np.std(kernel.weights[7, row, row:]) for row in range(3)]  # the last row sees one frame alone
    assert facts.spread[7] == pytest.approx(np.mean(rows), rel=1e-5)
    (line,) = describe([facts])
    assert line.startswith('stage 5, unit 1, backward: 64 kernels of 4 outputs x 4 frames, weights in a row differ by')


def test_the_channels_shown_are_those_that_differ():
    weights = np.zeros((9, 2, 2), np.float32)
    weights[3], weights[5], weights[6] = 5, -3, 4.9
    assert unlike(weights, 2) == [3, 5]  # 6 is far from the mean, too, but much like 3
    assert sorted(unlike(weights, 99)) == list(range(9))


def test_a_network_without_kernels_over_time_is_refused():
    net = randomized('tsn_tiny_synthfg')
    assert net.kernels() == ()
    with pytest.raises(UserError, match='has no kernels that span a clip in time; choose a network such as'):
        kernel_facts(net)
