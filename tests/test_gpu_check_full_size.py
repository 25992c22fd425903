"""gpu-check's largest network, as a GPU would train it: its settings, its clips, and what it says where it fails."""

import mxnet as mx
import pytest

from gluon_fg.errors import UserError
from gluon_fg.gpu_check import full_size
from gluon_fg.gpu_check.outcome import Target
from gluon_fg.gpu_check.trained import words
from gluon_fg.named_configs import find_config
from gluon_fg.training.config import load_config
from gluon_fg.training.distributed import World
from gluon_fg.training.parts import make_loader, open_data
from gluon_fg.training.start import begin


@pytest.fixture
def on_gpu(tmp_path):
    return Target(mx.gpu(0), 'float16', True, tmp_path)


def test_a_gpu_trains_on_whole_clips_of_the_largest_network(on_gpu):
    """All but the graph itself: a pass of one such clip takes a minute and 12 GB of memory on a CPU."""
    config, *settings = full_size.trained_at(on_gpu)
    command = words(on_gpu, config, 'full', *settings)
    asked = load_config(find_config(config), command[command.index('--set') + 1 :])
    assert (asked.train.device, asked.train.precision) == ('gpu', 'float16')
    train_set, *_ = open_data(asked)
    net, start = begin(asked, mx.cpu(), train_set.labels, None, World(), None, None)
    assert (net.name, net.nclass, start.source) == ('i3d_resnet152_v1_custom_dfb', 24, 'random weights')
    loader = make_loader(asked, net, train_set, World())
    assert len(loader) // asked.train.accumulate >= 11  # the first sets up and does not count
    assert asked.train.batch_size * asked.train.accumulate == 8  # clips an update, by which the speed is told
    batches = loader.batches(0)
    clips = next(batches).clips
    batches.close()
    assert clips.shape == (2, 3, 64, 224, 224) and clips.std() > 10
    assert (clips[:, :, 0] != clips[:, :, 4]).any()


@pytest.mark.parametrize('done, said', [(None, 'out of memory'), (10, '9 updates were done'), (11, 'clips/s')])
def test_a_training_that_ends_early_is_wrong_and_says_what_to_lower(done, said, on_gpu, monkeypatch):
    def trained(command, folder, seconds):
        if done is None:
            raise UserError('ended with 1: out of memory')

    record = {'event': 'train', 'seconds': 1.0, 'data_seconds': 0.1}
    monkeypatch.setattr(full_size, 'called', trained)
    monkeypatch.setattr(full_size, 'words', lambda *args: [])
    monkeypatch.setattr(full_size, 'read_metrics', lambda path: [record] * (done or 0))
    (outcome,) = full_size.checks(on_gpu)
    assert outcome.ok == (done == 11) and said in str(outcome)
    assert ('lower train.batch_size or data.frames' in str(outcome)) != outcome.ok
