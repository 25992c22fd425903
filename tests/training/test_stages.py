"""U2S in three stages: one command, killed and resumed in each of them; its CSM; what cannot be trained so."""

import json
import signal
import sys

import mxnet as mx
import numpy as np
import pytest
from said import Lines
from test_jobs import HOROVODRUN, REPO, finish, needs_horovod, start, wait_for_update

from gluon_fg import checking, get_model
from gluon_fg.backbones import Backbone
from gluon_fg.data import build_dataset
from gluon_fg.deploy.execution import REFERENCE
from gluon_fg.errors import UserError
from gluon_fg.evaluation.gates import as_dict, describe, gate_effects
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.score import score_dataset
from gluon_fg.evaluation.views import dataset_views
from gluon_fg.recognizers import PrepareContext
from gluon_fg.recognizers.u2s import prepare as preparing
from gluon_fg.recognizers.u2s.prepare import build_csm
from gluon_fg.training import config as C
from gluon_fg.training import loop, preparation, stages
from gluon_fg.training.log import read_metrics
from gluon_fg.training.publish import publish
from gluon_fg.training.run import Interrupted, load_run
from gluon_fg.weights.entries import load_index

NAMES = ('universal', 'specific', 'joint')
STAGES = (
    'stages={universal: {model: {name: topheavy_tiny_synthfg}}, specific: {train: {stage: specific}}, '
    'joint: {train: {stage: joint, lr: 0.001}}}'
)
SMALL = (
    'data.augment=random_crop',
    'data.workers=1',
    'data.sizes={train: 48, val: 24, test: 24}',
    'data.cache=memory',
    'train.epochs=1',
    'train.lr_epochs=[]',
    'train.batch_size=8',
    'train.lr=0.01',
    'train.log_steps=1',
    'model.options={csm_n: 4}',
)


@pytest.fixture(scope='module')
def settings(tiny_synthfg):
    def make(*overrides, model='topheavy_tiny_synthfg_u2s'):
        return [f'model.name={model}', f'data.root={tiny_synthfg}', *SMALL, *overrides]

    return make


def run(settings, path):
    with Lines() as said:
        summary = stages.train(C.load_config(None, settings), path, progress=False)
    return summary, '\n'.join(said)


@pytest.fixture(scope='module')
def finished(settings, tmp_path_factory):
    """A whole run of three stages: its folder, its summary, what it said."""
    folder = tmp_path_factory.mktemp('stages') / 'run'
    return (folder, *run(settings(STAGES), folder))


def parameters(path):
    return {name: value.asnumpy() for name, value in mx.nd.load(str(path)).items()}


def test_a_run_of_stages_is_a_run(finished):
    folder, summary, said = finished
    assert list(summary['stages']) == list(NAMES)
    assert summary['updates'] == 18 and summary['epochs'] == 1
    assert summary['seconds'] == pytest.approx(sum(s['seconds'] for s in summary['stages'].values()))
    assert json.loads((folder / 'summary.json').read_text()) == summary
    final = parameters(folder / 'final.params')
    assert all(np.array_equal(v, final[n]) for n, v in parameters(folder / 'joint/final.params').items())
    stages = [record['stage'] for record in read_metrics(folder / 'metrics.jsonl')]
    assert sorted(set(stages), key=stages.index) == list(NAMES)
    net, config = load_run(folder, folder / 'final.params')
    assert net.name == 'topheavy_tiny_synthfg_u2s' and list(config.stages) == list(NAMES)
    np.testing.assert_array_equal(net.csm.data().asnumpy(), np.load(folder / 'specific/csm.npz')['csm'])
    with pytest.raises(UserError, match='another config .*stages'):
        run([*given_to(folder), 'stages.joint.train.epochs=2'], folder)


def test_a_run_says_what_its_gate_is_good_for(finished, tmp_path, monkeypatch):
    """On the validation split, at the end of each stage that has a gate; published on the test split."""
    folder, summary, said = finished
    assert 'flat_gate' not in summary['stages']['universal'] and said.count('validation: a flat gate changes') == 2
    net, config = load_run(folder, folder / 'final.params')
    data = build_dataset('synthfg', 'val', config.data.root)
    effects = gate_effects(net, lambda: score_dataset(net, data, get_protocol('train_time')))
    assert summary['flat_gate'] == as_dict(effects) == summary['stages']['joint']['flat_gate']
    assert effects[0].branch == 'fused' and effects[0].videos == 24 and effects[0].top1 == summary['top1']
    assert effects[1].branch == 'specific'
    assert f'validation: {describe(effects)}' in said
    entry = publish(folder, tmp_path / 'zoo', 'MIT', 'a test', checkpoint='final')
    data = build_dataset('synthfg', 'test', config.data.root)
    (fused, _) = gate_effects(net, lambda: score_dataset(net, data, get_protocol('train_time'), execution=REFERENCE))
    share = entry.metrics['synthfg']['flat_gate']
    assert share == round(100 * fused.changed, 2)
    card = (tmp_path / 'zoo' / 'README.md').read_text()
    assert f'a flat gate changes {share:.1f} % of the predictions' in card
    assert load_index(tmp_path / 'zoo' / 'index.yaml')[entry.name].metrics == entry.metrics


@pytest.mark.parametrize('data', ['synthfg', 'custom'])
@pytest.mark.parametrize('start', [(), ('model.start=imagenet',)])
def test_the_specific_stage_starts_from_the_pretrained_weights_of_the_first(
    data, start, settings, tmp_path, monkeypatch
):
    """ImageNet's are stood in for; updates are kept from changing anything. Left open, they are the default of both."""
    loads = []

    def imagenet(backbone, root=None, attempts=4):
        loads.append(backbone)
        for p in backbone.collect_params().values():
            if p.grad_req != 'null':
                p.set_data(mx.nd.random.normal(0.5, 0.1, shape=p.shape))

    monkeypatch.setattr('gluon_fg.weights.imagenet.load', imagenet)
    monkeypatch.setattr(
        Backbone, 'imagenet', property(lambda self: 'a stand-in', lambda self, value: None), raising=False
    )
    options = ('train.lr=1e-12', 'model.options={csm_n: 4, specific_init: pretrained}', *start)
    stages = STAGES.replace('synthfg', data)
    _, said = run(settings(stages, *options, model=f'topheavy_tiny_{data}_u2s'), tmp_path / 'run')
    assert f'topheavy_tiny_{data} starts from ImageNet weights' in said
    assert len(loads) == 2  # the universal stage and the specific one; not the joint one
    own = parameters(tmp_path / 'run/specific/final.params')
    specific, universal = (own[f'branches.{part}.res5.0.conv2.weight'] for part in ('specific', 'backbone'))
    assert abs(specific.mean() - 0.5) < 0.02 and not np.array_equal(specific, universal)


def test_an_impossible_stage_is_refused_before_the_first_is_trained(settings, tmp_path):
    given = settings(STAGES, 'model.options={csm_n: 4, specific_init: pretrained}')
    with pytest.raises(UserError, match="no weights are published for backbone topheavy_tiny; choose 'random'"):
        run(given, tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def given_to(folder):
    """The settings that a run was started with, from its config."""
    return [f'{k}={v}' for k, v in _flat(C.load_config(str(folder / 'config.yaml')))]


def _flat(config):
    default = C.Config()
    for key in checking.valid_keys(C.Config):
        value, usual = config, default
        for part in key.split('.'):
            value, usual = getattr(value, part), getattr(usual, part)
        if value != usual:
            yield key, json.dumps(value)


def test_each_stage_starts_from_the_one_before_and_trains_its_part(finished):
    folder, _, said = finished
    universal, specific, joint = (parameters(folder / name / 'final.params') for name in NAMES)
    assert all(np.array_equal(value, specific[name]) for name, value in universal.items())  # statistics too
    changed = [name for name, value in specific.items() if not np.array_equal(value, joint[name])]
    assert set(specific) - set(changed) == {'branches.masks.csm'}
    assert 'stage joint of universal, specific, joint' in said
    assert 'before training, by universal alone: validation' in said


def test_the_csm_is_shown_in_the_log(finished):
    folder, _, said = finished
    (record,) = [r for r in read_metrics(folder / 'specific/metrics.jsonl') if r['event'] == 'csm']
    kept = np.load(folder / 'specific/csm.npz')
    csm = kept['csm']
    assert record['n'] == 4 and record['average'] == csm.sum() / 24 and record['videos'] == 48
    assert 2 * len(record['pairs']) == csm.sum() - 24
    names = (folder / 'classes.txt').read_text().splitlines()
    first, second, likeness = record['pairs'][0]
    i, j = names.index(first), names.index(second)
    assert csm[i, j] == 1 and likeness == kept['similarity'][i, j] == np.max(kept['similarity'] - np.eye(24))
    np.testing.assert_array_equal(csm, (kept['similarity'] >= record['alpha']).astype('float32'))
    assert f'n 4, alpha {record["alpha"]:.4g}' in said and f'{first} / {second} {likeness:.3f}' in said


def context(net, dataset, batch_size=16, rank=0, size=1, add=lambda array: array):
    """What training offers to a network that makes its CSM, without a run around it."""

    def batches():
        mine = range(rank, len(dataset), size)
        for batch in dataset_views(dataset, net.input_spec, mine, batch_size=batch_size):
            yield batch.x, batch.labels

    nothing = [None] * 4  # validation, say, record, save
    return PrepareContext(frozenset(), dataset.labels.classes, batches, nothing[0], add, *nothing[1:])


def test_the_csm_of_two_ranks_is_that_of_one(finished, tiny_synthfg):
    """Rank 1 alone first, its counts kept; then rank 0, which gets them."""
    folder, *_ = finished
    dataset = build_dataset('synthfg', 'train', root=tiny_synthfg, sizes={'train': 48, 'val': 24, 'test': 24})
    net = load_run(folder, folder / 'final.params')[0]
    sent = []
    alone = build_csm(net, context(net, dataset), 4)
    build_csm(net, context(net, dataset, 5, 1, 2, add=lambda array: sent.append(array.copy()) or 2 * array), 4)
    both = build_csm(net, context(net, dataset, 7, 0, 2, add=lambda array: array + sent[0]), 4)
    for name, value in alone.arrays().items():
        np.testing.assert_array_equal(value, both.arrays()[name], err_msg=name)
    assert alone.videos == 48 and len(alone.pairs) > 0
    frames = get_model('tsn_tiny_synthfg_u2s', num_segments=2)
    matrix = build_csm(frames, context(frames, dataset), 4)
    assert matrix.videos == 48 and frames.csm.data().asnumpy().sum() > 24
    assert (matrix.sparsity >= 0).all() and (matrix.sparsity <= 1).all()


def test_asked_to_stop_while_the_csm_is_made_nothing_is_changed(finished, settings, tmp_path, monkeypatch):
    folder, *_ = finished
    overrides = (f'model.params={folder}/universal/final.params', 'train.stage=specific')
    batches, seen = preparation.training_batches, []

    def stopped_at_the_second(dataset, run, stopping):
        for number, batch in enumerate(batches(dataset, run, lambda: bool(seen))):
            seen.append(number)
            yield batch

    monkeypatch.setattr(preparation, 'training_batches', stopped_at_the_second)
    with pytest.raises(Interrupted, match='start the same command again'):
        run(settings(*overrides), tmp_path / 'run')
    assert seen == [0] and not (tmp_path / 'run/csm.npz').exists()
    monkeypatch.undo()
    run(settings(*overrides), tmp_path / 'run')
    csm = parameters(tmp_path / 'run/final.params')['branches.masks.csm']
    np.testing.assert_array_equal(csm, parameters(folder / 'specific/final.params')['branches.masks.csm'])


@needs_horovod
def test_two_ranks_make_the_same_csm_and_train(settings, finished, tmp_path):
    folder, *_ = finished
    common = settings(f'model.params={folder}/universal/final.params', 'train.stage=specific', 'train.batch_size=4')
    finish(
        [
            HOROVODRUN,
            '-np',
            '2',
            sys.executable,
            str(REPO / 'scripts/train.py'),
            '--out',
            str(tmp_path / 'two'),
            '--set',
            *common,
        ]
    )
    one, two = (np.load(path / 'csm.npz') for path in (folder / 'specific', tmp_path / 'two'))
    for name in one.files:
        np.testing.assert_array_equal(one[name], two[name])


def test_killed_and_interrupted_in_each_stage_it_ends_as_if_never(settings, tmp_path):
    """Mid-epoch, past a checkpoint; dropout and momentum are to come back as they were."""
    common = settings(STAGES, 'train.epochs=2', 'train.checkpoint_steps=4', 'model.options={dropout: 0.5}')

    def command(out):
        return [sys.executable, str(REPO / 'scripts/train.py'), '--out', str(out), '--set', *common]

    undisturbed = start(command(tmp_path / 'whole'))
    out = tmp_path / 'broken'
    for name, step, number in (('universal', 5, signal.SIGKILL), ('specific', 6, signal.SIGINT), ('joint', 5, 9)):
        process = start(command(out))
        wait_for_update(process, out / name, step)
        process.send_signal(number)
        text = process.communicate()[0]
        assert 'Traceback' not in text and not (out / name / 'summary.json').exists(), text[-2000:]
        assert process.returncode == (130 if number == signal.SIGINT else -9)
    text = finish(command(out))
    assert undisturbed.wait(240) == 0, undisturbed.communicate()[0][-3000:]
    assert 'resumes from' in text and text.count('already finished') == 2
    for name in NAMES:
        whole, broken = (parameters(path / name / 'final.params') for path in (tmp_path / 'whole', out))
        assert whole.keys() == broken.keys()
        assert all(np.array_equal(whole[n], broken[n]) for n in whole), name
    assert 'already finished' in finish(command(out))


def test_n_comes_from_the_validation_videos(settings, finished, tmp_path, monkeypatch):
    folder, *_ = finished
    seen = []
    monkeypatch.setattr(preparing.TrueRanks, 'smallest', lambda self, target: seen.append((target, self.state)) or 3)
    start_from = f'model.params={folder}/universal/final.params'
    _, said = run(settings(start_from, 'model.options={csm_n: null, csm_target: 0.9}'), tmp_path / 'run')
    ((target, clips),) = seen
    assert target == 0.9 and clips.sum() == 24
    record = next(r for r in read_metrics(tmp_path / 'run/metrics.jsonl') if r['event'] == 'csm')
    assert record['n'] == 3 and record['target'] == 0.9
    top1 = next(r for r in read_metrics(tmp_path / 'run/metrics.jsonl') if r['event'] == 'val')['top1']
    assert clips[0] / 24 == pytest.approx(top1)


def test_n_comes_from_training_videos_that_no_stage_before_the_csm_has_learned(
    settings, finished, tmp_path, monkeypatch
):
    """A third of the training videos is shown neither to the universal stage nor the specific one; the last has all."""
    seen, shown = [], {}
    monkeypatch.setattr(preparing.TrueRanks, 'smallest', lambda self, target: seen.append(self.state) or 3)
    begin = loop.set_up

    def set_up(config, run_dir, *rest):
        begun = begin(config, run_dir, *rest)
        shown[run_dir.name] = {record.path for record in begun.train_set.records}
        return begun

    monkeypatch.setattr(loop, 'set_up', set_up)
    apart = STAGES.replace('{train: {stage: joint', '{data: {hold_out: 0}, train: {stage: joint')
    _, said = run(settings('data.hold_out=0.33', 'model.options={csm_n: null}', apart), tmp_path / 'run')
    held = 48 - len(shown['universal'])
    assert shown['specific'] == shown['universal'] and len(shown['joint']) == 48 and 8 <= held <= 24
    assert len(seen) == 1 and seen[0].sum() == held
    records = {r['event']: r for r in read_metrics(tmp_path / 'run/specific/metrics.jsonl')}
    assert records['csm']['n_from'] == 'held_out' and records['csm']['videos'] == 48 - held
    assert records['held_out']['videos'] == held
    assert records['held_out']['top1'] == pytest.approx(seen[0][0] / held)
    assert f'{held} training videos are held out' in said


def test_n_may_come_from_the_validation_videos_where_others_are_held_out(settings, finished, tmp_path, monkeypatch):
    folder, *_ = finished
    seen = []
    monkeypatch.setattr(preparing.TrueRanks, 'smallest', lambda self, target: seen.append(self.state.sum()) or 3)
    start_from = f'model.params={folder}/universal/final.params'
    for name, options in (('val', '{csm_n: null, csm_from: val}'), ('given', '{csm_n: 5}')):
        run(settings(start_from, 'data.hold_out=0.33', f'model.options={options}'), tmp_path / name)
        (record,) = (r for r in read_metrics(tmp_path / name / 'metrics.jsonl') if r['event'] == 'csm')
        assert record['n_from'] == name
    assert seen == [24]
    with pytest.raises(
        UserError, match='csm_from is held_out, but no training videos are: set data.hold_out'
    ) as caught:
        run(settings(start_from, 'model.options={csm_n: null, csm_from: held_out}'), tmp_path / 'none')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('n, message', [(1, 'leaves no pair'), (24, 'makes all 276 pairs')])
def test_an_alpha_of_no_use_is_warned_of(n, message, settings, finished, tmp_path):
    folder, *_ = finished
    _, said = run(
        settings(f'model.params={folder}/universal/final.params', f'model.options={{csm_n: {n}}}'), tmp_path / 'run'
    )
    assert any(line.startswith('warning: alpha') and message in line for line in said.splitlines())


@pytest.mark.parametrize('select', ['oracle', 'soft'])
def test_variants_train_and_are_validated(select, settings, finished, tmp_path):
    folder, *_ = finished
    start_from = f'model.params={folder}/universal/final.params'
    summary, _ = run(settings(start_from, f'model.options={{select: {select}}}'), tmp_path / 'run')
    assert 0 <= summary['top1'] <= 1
    csm = parameters(tmp_path / 'run/final.params')['branches.masks.csm']
    assert bool(np.isin(csm, (0, 1)).all()) == (select == 'oracle')


def test_without_a_trained_universal_network(settings, tmp_path):
    with pytest.raises(UserError, match='no trained weights of it are loaded, for example branches.backbone') as caught:
        run(settings('train.stage=specific'), tmp_path / 'specific')
    assert '\n' not in str(caught.value)
    _, said = run(settings(), tmp_path / 'all')
    assert 'warning: topheavy_tiny_synthfg_u2s starts without a trained universal network' in said
    csm = parameters(tmp_path / 'all/final.params')['branches.masks.csm']
    np.testing.assert_array_equal(csm, np.eye(24))


@pytest.mark.parametrize(
    'overrides, message',
    [
        (('train.stage=specfic',), "unknown train.stage 'specfic'; did you mean 'specific'"),
        (('model.options={csm_n: 0.5}',), 'csm_n must be 1 or more, got 0.5'),
        (('model.options={csm_target: 85}',), 'csm_target must be a fraction above 0, at most 1, got 85'),
        (
            ('train.csm_n=4',),
            '--set train.csm_n=4: train.csm_n is an option of the model now; write model.options.csm_n',
        ),
        (('stages={a: {train: {csm_target: 0.9}}}',), 'train.csm_target is an option of the model now; write model.op'),
        (('stages={a: {train: {learning_rate: 1}}}',), r'stages\.a: unknown key train.learning_rate; did you mean'),
        (('stages={a: {train: {epochs: 0}}}',), r'stages\.a: train.epochs is 0'),
        (('stages={a: 3}',), r'stages\.a is 3; it must hold sections'),
        (('data.hold_out=1',), r'data.hold_out is 1.0; it must be 0 or more, below 1'),
        (
            ('stages={a: {}, b: {data: {hold_out: 0.1}}}',),
            'stages.b holds out 0.1 of the training .* stage a before it',
        ),
        (
            ('stages={a: {train: {precision: float16}}, b: {}}',),
            'stages.b trains in float32, stage a in float16: .* choose the same for all stages',
        ),
        (('model.options={csm_from: test}',), "unknown csm_from 'test'; choose from held_out, val"),
        (('stages={../a: {}}',), 'a stage is a folder of the run'),
        (('stages={a: {}, b: {model: {name: tsn_tiny_synthfg}}}',), 'do not exist|shape|no parameters'),
    ],
)
def test_what_cannot_be_is_refused_on_one_line(overrides, message, settings, tmp_path):
    with pytest.raises(UserError, match=message) as caught:
        run(settings(*overrides), tmp_path / 'run')
    assert '\n' not in str(caught.value)


def test_a_network_without_stages_has_none(settings, tmp_path):
    given = [s for s in settings('train.stage=joint', model='topheavy_tiny_synthfg') if 'options' not in s]
    with pytest.raises(UserError, match='is trained as a whole; leave it out'):
        run(given, tmp_path / 'run')


def test_n_beyond_the_classes_is_refused(settings, finished, tmp_path):
    folder, *_ = finished
    with pytest.raises(UserError, match='must be from 1 to 24, got 25'):
        run(settings(f'model.params={folder}/universal/final.params', 'model.options={csm_n: 25}'), tmp_path / 'run')


def test_a_stage_takes_the_configs_values_and_its_own():
    config = C.load_config(
        None,
        [
            'model.name=topheavy_tiny_synthfg_u2s',
            'model.params=start.params',
            'model.options={select: soft}',
            'train.lr=0.5',
            STAGES,
            'stages.specific.train.epochs=3',
            'train.lr_epochs=[]',
        ],
    )
    first, second, third = C.stage_configs(config).values()
    assert first.model.name == 'topheavy_tiny_synthfg' and first.model.options == {}
    assert first.model.params == 'start.params' and second.model.params is None
    assert second.model.options == third.model.options == {'select': 'soft'}
    assert (first.train.lr, second.train.lr, third.train.lr) == (0.5, 0.5, 0.001)
    assert (first.train.epochs, second.train.epochs) == (100, 3) and not third.stages
    assert C.stage_configs(C.Config()) == {}
