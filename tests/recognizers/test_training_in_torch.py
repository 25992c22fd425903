"""The methods' whole training step equals an independent one: PyTorch's gradients and update of the network's graph."""

import json
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet.contrib.amp.loss_scaler import LossScaler

torch = pytest.importorskip('torch')

from campaigns import float16_gpu, recorded_graphs, torch_training  # noqa: E402

PLAN = torch_training.Plan(0.01, 3, 8)


@pytest.fixture(scope='module')
def stored():
    clips, labels = recorded_graphs.clips_and_labels(24)
    return {'clips': clips, 'labels': labels}


def inputs(graph, stored):
    """Clips as the network takes them, and labels."""
    mean, std = (np.array(graph[key], 'float32').reshape(1, 3, 1, 1, 1) for key in ('mean', 'std'))
    x = (stored['clips'].astype('float32') / 255 - mean) / std
    return torch.from_numpy(x), torch.from_numpy(stored['labels'])


@pytest.mark.parametrize('method', ['dfb', 'cidc', 'u2s'])
def test_three_updates_equal_those_of_pytorch(method, stored):
    net = recorded_graphs.started(method, 0, stored['clips'])
    graph = recorded_graphs.graph_of(net, (8, 3, 8, 48, 48))
    start = recorded_graphs.parameters_of(net)
    module = torch_training.TrainingGraph(json.loads(json.dumps(graph)), start)
    batches = torch_training.dealt(len(stored['labels']), PLAN, 0)
    theirs = torch_training.trained(module, inputs(graph, stored), batches, PLAN)
    ours = recorded_graphs.trained_by_mxnet(net, stored, PLAN, 'float32')
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=2e-5)
    learned, ends = module.by_name(), recorded_graphs.parameters_of(net)
    assert set(learned) == set(graph['trained'])
    for name, there in learned.items():
        moved = there.detach().numpy() - start[name]
        error = np.linalg.norm(ends[name] - start[name] - moved) / (np.linalg.norm(moved) + 1e-7)
        assert error < 0.05, (name, error)  # deep networks: a single flip of a ReLU shows


def test_each_loss_term_is_that_of_the_recognizer(stored):
    label = mx.nd.array(stored['labels'][:2])
    for method in ('dfb', 'cidc', 'u2s'):
        net = recorded_graphs.started(method, 1, stored['clips'])
        outputs = net.branches(mx.nd.random.normal(shape=(2, 3, 8, 48, 48)))
        module = torch_training.TrainingGraph(
            {'nodes': [], 'heads': [], 'trained': [], 'losses': recorded_graphs.losses_of(net)}
        )
        theirs = module.loss([torch.from_numpy(z.asnumpy()) for z in outputs], torch.from_numpy(stored['labels'][:2]))
        np.testing.assert_allclose(net.loss(outputs, label).asnumpy(), theirs.numpy(), rtol=1e-5)


@settings(deadline=None, max_examples=8)
@given(st.lists(st.booleans(), max_size=12), st.integers(0, 2))
def test_the_loss_scale_is_mxnets(overflows, long_runs):
    theirs, ours = LossScaler(), torch_training.LossScale(True)
    assert theirs._scale_seq_len == torch_training.GROWTH
    theirs._unskipped = ours._unskipped = torch_training.GROWTH - 5  # near the end of a long run without overflow

    class Parameter:
        def __init__(self, value):
            self._grad = [mx.nd.array([value])]

    for over in [*overflows, *[False] * (4 * long_runs)]:
        value = float('inf') if over else 1.0
        assert ours.now == theirs.loss_scale
        assert ours.overflowed([torch.tensor([value])]) == theirs.has_overflow([Parameter(value)]) == over
    assert ours.last == theirs._next_loss_scale


def test_a_term_that_grows_past_float16_leaves_its_update_out(stored):
    net = recorded_graphs.started('cidc', 0, stored['clips'])
    graph = recorded_graphs.graph_of(net, (8, 3, 8, 48, 48))
    module = torch_training.TrainingGraph(graph, recorded_graphs.parameters_of(net))
    batches = torch_training.dealt(len(stored['labels']), PLAN, 0)
    before = {name: p.detach().clone() for name, p in module.by_name().items()}
    course = torch_training.trained(module, inputs(graph, stored), batches, PLAN, left_out=(1, 2, 3))
    assert course.left_out == [1, 2, 3] and course.scale == 1
    assert all(torch.equal(p, before[name]) for name, p in module.by_name().items())


def test_rows_of_the_table_are_means_and_intervals_over_starts():
    def course(end, left_out=()):
        return {'losses': [9.0] * 10 + [end] * float16_gpu.LAST, 'left_out': list(left_out), 'scale': 1024.0}

    starts = [
        {'float32': course(1.0), 'tf32': course(1.0), 'float16': course(1.1 + 0.1 * n, (1, 2)), 'late': course(1.0)}
        for n in range(3)
    ]
    row = float16_gpu.compared(starts)
    mean, half, each = row['float16 over late']
    assert mean == pytest.approx(0.2) and each == pytest.approx([0.1, 0.2, 0.3])
    assert half == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)
    told = {'device': 'a GPU', 'torch': '2', 'seeds': 3, 'methods': {'dfb': row}}
    assert '| dfb | 2 | 1024 | 1.000 | 1.200 | 1.000 | +20.0 ± 24.8 % | +0.0 ± 0.0 % | +0.0 ± 0.0 % |' in (
        float16_gpu.table(told)
    )


def test_without_a_gpu_it_ends_with_a_line_before_anything_is_recorded(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    for step in ('check', 'run'):
        assert float16_gpu.main([step, str(tmp_path / 'graphs')]) == 2
        assert 'error: PyTorch sees no GPU' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_page_has_the_numbers_of_the_run_on_a_gpu():
    docs = Path(__file__).parents[2] / 'docs'
    told, page = json.loads((docs / 'float16_gpu.json').read_text()), (docs / 'training.md').read_text()
    for variant, row in told['methods'].items():
        cells = [f'{row[name]:.3f}' for name in ('float32', 'float16', 'late')]
        offs = (row[name] for name in ('float16 over late', 'late over float32'))
        cells += [f'{100 * mean:+.1f} ± {100 * half:.1f} %' for mean, half, _ in offs]
        assert f' | {" | ".join(cells)} |' in page, variant
    rows = float16_gpu.table(told).splitlines()
    timed = [row for row in rows if row.startswith(('| i3d_', '| topheavy_'))]
    assert len(timed) == len(told['full']) == 4
    assert all(row in (docs / 'gpu.md').read_text() for row in timed)
