"""Float16's loss scaling with float32 operators, which the CPU has: updates that overflow are left out and counted."""

import json

import numpy as np
import pytest
from mxnet.contrib.amp.loss_scaler import LossScaler

from gluon_fg.errors import UserError
from gluon_fg.training import guards, loop, precision
from gluon_fg.training.config import load_config

FIRST = 2.0**130  # the first updates overflow float32, as those of 2**16 do float16


@pytest.fixture
def scaled(monkeypatch):
    """Run as in float16, but for the operators; the loss scale begins at what is given."""

    def start(first):
        def init_trainer(trainer):
            trainer._amp_loss_scaler, trainer._amp_original_scale = LossScaler(), trainer._scale
            trainer._amp_loss_scaler._loss_scale = trainer._amp_loss_scaler._next_loss_scale = first

        monkeypatch.setattr(precision, 'enable', lambda *_: None)
        monkeypatch.setattr(precision.amp, 'init_trainer', init_trainer)

    return start


@pytest.fixture
def config(tiny_synthfg):
    def make(*overrides):
        fixed = ('data.augment=random_crop', 'data.workers=1', 'data.sizes={train: 48, val: 24, test: 24}')
        train = ('epochs=1', 'lr_epochs=[]', 'batch_size=4', 'lr=0.02', 'log_steps=1', 'precision=float16')
        named = ('model.name=i3d_tiny_synthfg', f'data.root={tiny_synthfg}', 'data.cache=memory')
        return load_config(None, [*named, *fixed, *(f'train.{text}' for text in train), *overrides])

    return make


def strict(path):
    """Records as a reader takes them that holds to the standard, in which there is no NaN and no Infinity."""

    def refuse(name):
        raise AssertionError(f'{name} is no JSON')

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def test_updates_that_overflow_are_counted_and_leave_the_log_and_its_means_alone(scaled, config, tmp_path):
    scaled(FIRST)
    loop.train(config('train.clip=1.0'), tmp_path, progress=False)
    records = strict(tmp_path / 'metrics.jsonl')
    train = [record for record in records if record['event'] == 'train']
    epoch = next(record for record in records if record['event'] == 'epoch')
    skipped = [record['skipped'] for record in train]
    total = skipped[-1]
    assert 3 <= total < len(train) == 12 and skipped[:total] == list(range(1, total + 1))
    assert [record['loss_scale'] for record in train[: total + 1]] == [
        FIRST / 2 ** min(i + 1, total) for i in range(total + 1)
    ]
    norms = [record['grad_norm'] for record in train if 'grad_norm' in record]
    assert len(norms) == 12 - total and not any('grad_norm' in record for record in train[:total])
    np.testing.assert_allclose(epoch['grad_norm'], np.mean(norms), rtol=1e-6)


def test_a_run_that_only_overflows_stops_with_a_line(scaled, config, tmp_path, monkeypatch):
    monkeypatch.setattr(guards, 'SKIPS', 3)
    scaled(FIRST)
    message = r'3 updates in a row were infinite, at a loss scale of 1.70141e\+38'
    with pytest.raises(UserError, match=message) as caught:
        loop.train(config(), tmp_path, progress=False)
    assert '\n' not in str(caught.value) and 'lower train.lr' in str(caught.value)


def test_a_scale_below_one_is_the_end(tmp_path):
    guards.check_loss_scale(0.5, 0, tmp_path)
    guards.check_loss_scale(1.0, 49, tmp_path)
    for scale, skipped in ((0.5, 1), (4.0, 50)):
        with pytest.raises(UserError, match='float16: the gradients of'):
            guards.check_loss_scale(scale, skipped, tmp_path)


def test_a_resumed_run_goes_on_counting(scaled, config, tmp_path):
    scaled(FIRST)
    settings = ('train.clip=1.0', 'train.checkpoint_steps=2')
    loop.train(config(*settings), tmp_path / 'whole', progress=False)

    class Asked(loop.StopFlag):
        """Is asked to stop in the third update."""

        asked = 0

        @property
        def set(self):
            Asked.asked += 1
            return Asked.asked == 3

        @set.setter
        def set(self, value):
            pass

    original, loop.StopFlag = loop.StopFlag, Asked
    try:
        with pytest.raises(loop.Interrupted):
            loop.train(config(*settings), tmp_path / 'parts', progress=False)
    finally:
        loop.StopFlag = original
    scaled(2.0**10)  # the checkpoint's counts
    loop.train(config(*settings), tmp_path / 'parts', progress=False)
    told = [
        [(r['step'], r['skipped'], r['loss_scale'], r.get('grad_norm')) for r in strict(path) if r['event'] == 'train']
        for path in (tmp_path / 'whole' / 'metrics.jsonl', tmp_path / 'parts' / 'metrics.jsonl')
    ]
    assert told[0] == told[1]
    assert (tmp_path / 'whole' / 'final.params').read_bytes() == (tmp_path / 'parts' / 'final.params').read_bytes()
