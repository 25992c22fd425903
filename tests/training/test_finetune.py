"""Which network one's own videos get, with which settings, and what the estimate leaves behind: nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg.errors import UserError
from gluon_fg.training import finetune
from gluon_fg.training.config import load_config
from gluon_fg.training.finetune import Choice, Facts, choose_model, in_words, make_config, settings_for
from gluon_fg.training.loop import train

RESNET, INCEPTION, MOBILE, TINY = (recipe.config.split('/')[-1] for recipe in finetune.RECIPES)


def had(**starts):
    """Weights that are to be had: entry -> start; random ones for all others."""
    return lambda name: (starts.get(name, 'none'), f'starts from {starts.get(name, "none")}')


@pytest.mark.parametrize(
    'starts, videos, gpu, model',
    [
        ({RESNET: 'kinetics400', INCEPTION: 'kinetics400', MOBILE: 'imagenet'}, 9000, True, RESNET),
        ({RESNET: 'imagenet', INCEPTION: 'kinetics400', MOBILE: 'imagenet'}, 9000, True, INCEPTION),
        ({RESNET: 'kinetics400', INCEPTION: 'kinetics400', MOBILE: 'imagenet'}, 30, False, INCEPTION),
        ({RESNET: 'kinetics400', MOBILE: 'imagenet'}, 30, False, MOBILE),
        ({RESNET: 'imagenet', INCEPTION: 'imagenet', MOBILE: 'imagenet'}, 30, True, MOBILE),
        ({INCEPTION: 'kinetics400', MOBILE: 'imagenet'}, 10**6, False, TINY),
        ({}, 30, False, TINY),
        ({}, 30, True, TINY),
    ],
)
def test_the_best_network_whose_weights_are_to_be_had(starts, videos, gpu, model):
    choice = choose_model('auto', videos, gpu, had(**starts))
    assert choice.model == model and choice.config == f'custom/{model}' and choice.start == starts.get(model, 'none')
    if model == TINY:
        assert 'passed over' in choice.why
        assert ('would take long without a GPU' in choice.why) == (videos > 9000)


def test_a_network_that_is_named():
    assert choose_model(RESNET, 3, False, had()).config == f'custom/{RESNET}'
    # Without a config of its own: that of another with its backbone, without options that it lacks.
    choice = choose_model('i3d_inceptionv1_same_custom', 30, False, had())
    assert choice.config == f'custom/{INCEPTION}' and choice.model == 'i3d_inceptionv1_same_custom'
    config = make_config(choice, settings_for(choice, Facts([30, 30], [90])), [], 'lists')
    assert config.model.name == choice.model and (config.data.dataset, config.data.root) == ('csv', 'lists')
    for name in ('i3d_tiny_synthfg_dfb', 'mobilenetv2_custom_images'):
        with pytest.raises(
            UserError, match=f'--model {name} is not for videos of your own classes; choose from.*{TINY}'
        ):
            choose_model(name, 3, False, had())
    with pytest.raises(UserError, match='did you mean'):
        choose_model('i3d_tiny_custom_dbf', 3, False, had())


def test_random_weights_never_meet_frozen_statistics():
    """Offline, I3D ResNet-50 with frozen statistics of random weights went from a loss of 485 to 8.8e14."""
    for model in (RESNET, INCEPTION, MOBILE):
        choice = choose_model(model, 60, False, had())
        facts = Facts([30, 30], [90])
        assert load_config(finetune.find_config(choice.config)).train.batch_norm == 'partial'
        assert make_config(choice, settings_for(choice, facts), [], 'x').train.batch_norm == 'train'
        loaded = choice._replace(start='kinetics400')
        assert make_config(loaded, settings_for(loaded, facts), [], 'x').train.batch_norm == 'partial'


@settings(max_examples=30)
@given(
    st.sampled_from([RESNET, INCEPTION, MOBILE, TINY]),
    st.lists(st.integers(1, 5000), min_size=2, max_size=6),
    st.lists(st.integers(1, 400), max_size=4),
    st.one_of(st.none(), st.integers(1, 300)),
    st.sampled_from(['kinetics400', 'imagenet', 'none']),
)
def test_settings_make_a_config_for_any_videos(model, counts, frames, epochs, start):
    choice = Choice(f'custom/{model}', model, start, '')
    config = make_config(choice, settings_for(choice, Facts(counts, frames), epochs), [], 'lists')
    assert config.train.epochs == (epochs or config.train.epochs) and config.model.start == start
    assert 1 <= config.train.batch_size <= sum(counts)
    updates = config.train.epochs * (sum(counts) // config.train.batch_size)
    assert epochs or start != 'none' or updates >= 200


def test_short_clips_are_taken_more_densely_and_the_user_is_heard():
    choice = Choice(f'custom/{TINY}', TINY, 'none', '')
    dense = make_config(choice, settings_for(choice, Facts([8, 8], [16, 16, 20])), [], 'lists')
    assert dense.data.frame_stride == 2
    usual = make_config(choice, settings_for(choice, Facts([8, 8], [90])), [], 'lists')
    assert usual.data.frame_stride == 4
    sets = ['data.frame_stride=3', 'model.start=imagenet', 'train.batch_norm=frozen']
    mine = make_config(choice, settings_for(choice, Facts([8, 8], [16])), sets, 'lists')
    assert (mine.data.frame_stride, mine.model.start, mine.train.batch_norm) == (3, 'imagenet', 'frozen')


def test_uneven_classes_are_weighted_and_training_ends_early():
    choice = Choice(f'custom/{TINY}', TINY, 'none', '')
    uneven = settings_for(choice, Facts([30, 10], [90]))
    assert {'train.class_weights=balanced', 'train.early_stop=13'} <= set(uneven) and 'train.epochs=40' in uneven
    config = make_config(choice, uneven, [], 'lists')
    assert (config.train.class_weights, config.train.early_stop) == ('balanced', 13)
    assert not any('class_weights' in text for text in settings_for(choice, Facts([30, 25], [90])))
    assert not any('class_weights' in text for text in settings_for(choice, Facts([30, 10], [90], 35, 'multilabel')))
    assert not any('early_stop' in text for text in settings_for(choice, Facts([30, 10], [90]), epochs=5))
    # What a user sets in their place is not contradicted.
    mine = make_config(choice, uneven, ['data.sampling=balanced', 'test.val_epochs=0'], 'lists')
    assert (mine.train.class_weights, mine.train.early_stop) == ('none', 0)


def test_the_estimate_changes_nothing_of_the_training_after_it(tiny_synthfg, tmp_path):
    def config():
        sets = [f'data.root={tiny_synthfg}', 'data.sizes={train: 48, val: 24, test: 24}', 'train.epochs=1']
        return load_config(None, [*sets, 'train.lr_epochs=[]', 'train.warmup_epochs=0', 'train.batch_size=16'])

    train(config(), tmp_path / 'plain', progress=False)
    given = config()
    taken = finetune.estimate(given, evaluated=24)
    assert given == config() and list(tmp_path.iterdir()) == [tmp_path / 'plain']
    train(given, tmp_path / 'estimated', progress=False)
    assert (tmp_path / 'plain/final.params').read_bytes() == (tmp_path / 'estimated/final.params').read_bytes()
    # 48 clips of training, 24 passes of a third each; 3 updates of 16 clips
    assert taken.epoch == pytest.approx(taken.update * (48 + 24 / 3) / 16) and taken.training == taken.epoch
    assert np.isfinite(taken).all() and min(taken) > 0


def test_times_in_words():
    assert [in_words(s) for s in (0.2, 40, 100, 5000, 9000)] == ['1 s', '40 s', '2 min', '83 min', '2.5 h']
