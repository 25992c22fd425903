"""Fine-tuning on a processor from Kinetics-400 weights: what is frozen is computed once."""

import json

import numpy as np
import pytest
from own_films import render_own
from test_start import NAME, home, publish, sibling  # noqa: F401

from gluon_fg.data.features import FeatureDataset
from gluon_fg.training import frozen
from gluon_fg.training.config import load_config
from gluon_fg.weights.params_file import read_params

WORDS = ('--model', NAME, '--epochs', '2', '--set', 'data.short_side=56', 'data.crop_size=48')


@pytest.fixture(scope='module')
def own(tmp_path_factory):
    return render_own(tmp_path_factory.mktemp('own') / 'films')


def test_features_are_made_once_and_the_network_is_whole(command, own, home, tmp_path, monkeypatch):  # noqa: F811
    weights = publish(home)
    monkeypatch.chdir(tmp_path)
    code, out, err = command('finetune', own, '--out', 'mine', *WORDS)
    assert code == 0, err
    assert 'starts from Kinetics-400 weights' in out and 'without a GPU stem to res4 stay as they are' in out
    config = load_config(str(tmp_path / 'mine/config.yaml'), saved=True)
    assert config.model.start == 'kinetics400' and config.data.features == str(tmp_path / 'mine/features')
    train, val = (FeatureDataset(tmp_path / 'mine/features' / split) for split in ('train', 'val'))
    assert len(train) + len(val) == 21 and train.manifest.settings.views['random'] == frozen.views_of(len(train)) == 4
    trained = read_params(str(tmp_path / 'mine/best.params'))
    kept = [name for name in weights if name.startswith(('branches.backbone.stem', 'branches.backbone.res4'))]
    assert kept and all(np.array_equal(trained[name].asnumpy(), weights[name]) for name in kept)
    moved = [name for name in weights if name.startswith('branches.backbone.res5') and name.endswith('weight')]
    assert moved and not any(np.array_equal(trained[name].asnumpy(), weights[name]) for name in moved)
    code, again, err = command('evaluate', '--run', 'mine', '--split', 'val', '--json')  # of videos
    assert code == 0, err
    ours = json.loads(next((tmp_path / 'mine/report').glob('*.metrics.json')).read_text())
    assert json.loads(again)['correct'] == ours['correct']
    words = ('--repo', 'zoo', '--name', 'mine', '--split', 'val', '--licence', 'none', '--protocol', 'train_time')
    code, _, err = command('zoo', 'publish', 'mine', *words)
    assert code == 0, err
    published = next((tmp_path / 'zoo/configs').glob('*.yaml')).read_text()
    assert str(tmp_path) not in published and 'it was trained from features of its own start' in published


def test_a_dry_run_says_how_long_the_features_take(command, own, home, tmp_path, monkeypatch):  # noqa: F811
    publish(home)
    monkeypatch.chdir(tmp_path)
    code, out, err = command('finetune', own, *WORDS, '--dry-run')
    assert code == 0, err
    assert 'computed once:' in out and not list(tmp_path.glob('runs'))


def test_the_whole_network_is_trained_where_that_is_asked(command, own, home, tmp_path, monkeypatch):  # noqa: F811
    weights = publish(home)
    monkeypatch.chdir(tmp_path)
    code, _, err = command('finetune', own, '--out', 'whole', *WORDS, 'train.epochs=1', '--whole')
    assert code == 0, err
    trained = read_params(str(tmp_path / 'whole/best.params'))
    assert not (tmp_path / 'whole/features').exists()
    first = next(name for name in weights if name.startswith('branches.backbone.stem') and name.endswith('weight'))
    assert not np.array_equal(trained[first].asnumpy(), weights[first])


def test_folds_share_the_features(command, own, home, tmp_path, monkeypatch):  # noqa: F811
    publish(home)
    monkeypatch.chdir(tmp_path)
    made = []
    extract = frozen.extract_features

    def counted(*args, **options):
        done = extract(*args, **options)
        made.append(done.made)
        return done

    monkeypatch.setattr(frozen, 'extract_features', counted)
    monkeypatch.setattr(frozen, 'seconds_of_extraction', lambda *_: (1.0, 0.1))
    code, _, err = command('finetune', own, '--out', 'all', *WORDS, 'train.epochs=1', '--folds', '3')
    assert code == 0, err
    train, val = made[::2], made[1::2]
    assert sum(val) == sum(train) == 21 and train[2] == 0  # each video once as each


def test_few_videos_are_seen_more_often():
    assert [frozen.views_of(count) for count in (10, 60, 61, 600, 601, 10**5)] == [4, 4, 2, 2, 1, 1]
