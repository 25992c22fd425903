"""Every command with a network on optical flow, and with one on both streams: it works, or one line says why not."""

import json

import cv2
import mxnet as mx
import numpy as np
import pytest

import gluon_fg
from gluon_fg.analysis.activation import seen_clips
from gluon_fg.data import open_video
from gluon_fg.data.synthfg import write_video
from gluon_fg.data.transforms import to_input
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.score import Scores
from gluon_fg.training import stages
from gluon_fg.training.config import load_config
from gluon_fg.training.run import load_run

CLASSES = {'down': (0, 2), 'left': (-2, 0), 'right': (2, 0)}
FLOW, BOTH = 'i3d_tiny_flow_custom', 'twostream_i3d_tiny_custom'
BRANCHES = {FLOW: ('avg',), BOTH: ('fused', 'rgb', 'flow')}


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """Texture that moves by two pixels from frame to frame, to the side that its class says."""
    root, rng = tmp_path_factory.mktemp('moving'), np.random.default_rng(0)
    for split in ('train', 'val'):
        for name, (x, y) in CLASSES.items():
            (root / split / name).mkdir(parents=True)
            for number in range(3):
                image = cv2.GaussianBlur(rng.integers(0, 256, (110, 126, 3), np.uint8), (5, 5), 0)
                frames = [image[27 - y * i : 83 - y * i, 31 - x * i : 95 - x * i] for i in range(-5, 6)]
                write_video(root / split / name / f'{number}.mp4', np.stack(frames))
    return root


@pytest.fixture(scope='module')
def trained(videos, tmp_path_factory):
    """trained(name) -> the folder of a run of two updates or so; each made once."""
    made = {}

    def run(name):
        if name not in made:
            given = [
                f'model.name={name}', 'model.start=none', 'data.dataset=folder', f'data.root={videos}',
                'data.frame_stride=1', 'data.workers=1', 'data.flow=dis', 'train.epochs=1', 'train.batch_size=4',
                'train.lr_epochs=[]', 'train.device=cpu',
            ]  # fmt: skip
            if name.startswith('twostream_tiny'):
                given = [key for key in given if not key.startswith(('data.frame_stride', 'data.flow'))]
            made[name] = tmp_path_factory.mktemp('runs') / name
            stages.train(load_config(None, given), made[name], progress=False)
        return made[name]

    return run


@pytest.fixture(params=[FLOW, BOTH])
def run(request, trained):
    return trained(request.param)


def done(command, *words):
    code, out, err = command(*words)
    assert code == 0, err
    return out


def test_scores_are_fused_and_compared_and_averaged(command, error_line, run, tmp_path):
    out = done(command, 'evaluate', '--run', run, '--split', 'val', '--out', tmp_path / 'one.npz')
    done(command, 'evaluate', '--run', run, '--split', 'val', '--protocol', '2x3-flips', '--out', tmp_path / 'six.npz')
    one, six = (Scores.load(tmp_path / f'{name}.npz') for name in ('one', 'six'))
    assert one.branch_names == BRANCHES[run.name] and len(one.ids) == 9 and 'top1' in out
    assert one.logits.shape == (9, 3) and np.abs(one.probabilities - six.probabilities).max() > 1e-4
    code, out, err = command('fuse', tmp_path / 'one.npz', tmp_path / 'six.npz', '--out', tmp_path / 'both.npz')
    assert code == 0 and 'fused on logits' in out
    assert 'was scored by train_time' in err and '--protocol train_time' in err and 'no logits' not in err
    assert 'only A right' in done(command, 'compare', tmp_path / 'one.npz', tmp_path / 'both.npz')
    done(command, 'explain', 'confusion', tmp_path / 'one.npz', '--out', tmp_path / 'confusion.png')
    assert (tmp_path / 'confusion.png').stat().st_size > 5000
    assert 'of the same split' in error_line('mean', tmp_path / 'one.npz', tmp_path / 'one.npz')
    assert 'sthsthv1, sthsthv2' in error_line('submission', tmp_path / 'one.npz', '--out', tmp_path / 'x.csv')


def test_the_pictures_are_of_the_network_that_evaluates(command, run, videos, tmp_path):
    """Maps of whole frames, of the clip that the protocol with whole frames shows."""
    net, _ = load_run(run)
    path = videos / 'val/left/1.mp4'
    with open_video(path) as reader:
        view = get_protocol('1xwhole').cuts(reader, net.input_spec)[0]
        (clip,) = seen_clips(net, reader, [view.frames])
    x = to_input(view.pixels[None], net.input_spec, mx.cpu())
    expected = [net.to_probabilities(z).asnumpy()[0] for z in net.branches(x)]
    np.testing.assert_allclose(clip.probabilities, expected, rtol=1e-4, atol=1e-6)
    for name in ('maps.png', 'maps.mp4'):
        out = done(command, 'explain', 'activation', path, '--models', run, '--out', tmp_path / name)
        shown = BRANCHES[run.name][1:] or ('F5',)
        assert all(f'  {part}: ' in out for part in shown) and out.count(' maps, att ') == len(shown)
        assert (tmp_path / name).stat().st_size > 2000


def test_pictures_are_of_the_flow_that_is_named(command, error_line, run, videos, trained, tmp_path):
    video = videos / 'val/left/0.mp4'
    words = ['explain', 'activation', video, '--models', run, '--out', tmp_path / 'a.png', '--force']
    done(command, *words, '--flow', 'dis')
    line = error_line(*words, '--flow', tmp_path / 'nowhere')
    assert str(tmp_path / 'nowhere') in line
    done(command, 'data', 'flow', videos / 'val', '--out', tmp_path / 'half', '--bound', 10)
    line = error_line(*words, '--flow', tmp_path / 'half')
    assert 'holds flow of up to 10 pixels, the network was trained on 20' in line
    words[4] = trained('twostream_tiny_rgb_custom')
    line = error_line(*words, '--flow', 'dis')
    assert 'twostream_tiny_rgb_custom sees no optical flow' in line


def test_flow_of_pictures_at_another_rate_is_from_one_shown_frame_to_the_next(trained, videos):
    """Half the frames a second: twice the displacement, in pictures as in views."""
    net, _ = load_run(trained(FLOW))
    net.input_spec = net.input_spec.replace(fps=4, frames=4)
    with open_video(videos / 'val/left/1.mp4') as reader:
        assert reader.fps == 8
        view = get_protocol('1xwhole').cuts(reader, net.input_spec)[0]
        (clip,) = seen_clips(net, reader, [view.frames])
    moved = (view.pixels[0, :, 12:-12, 12:-12] - 127.5) * 20 / 127.5
    assert abs(moved.mean() + 4) < 0.5
    x = to_input(view.pixels[None], net.input_spec, mx.cpu())
    np.testing.assert_allclose(clip.probabilities[0], mx.nd.softmax(net(x)).asnumpy()[0], rtol=1e-4, atol=1e-6)


def test_features_of_a_stage_are_trained_on_and_vectors_written(command, run, videos, tmp_path):
    folder = tmp_path / 'features'
    done(command, 'features', '--run', run, '--stage', 4, '--out', folder)
    words = ['train', '--out', tmp_path / 'again', '--set', f'model.name={run.name}', f'model.params={run}/best.params',
             'data.dataset=folder', f'data.root={videos}', f'data.features={folder}', 'train.epochs=1', 'data.flip=0',
             'train.batch_size=4', 'train.lr_epochs=[]', 'data.augment=random_crop', 'train.device=cpu']  # fmt: skip
    done(command, *words)
    before, after = (mx.nd.load(str(path / 'best.params')) for path in (run, tmp_path / 'again'))
    kept = [name for name in before if '.stem.' in name or '.res2.' in name or '.res4.' in name]
    assert kept and all(np.array_equal(before[n].asnumpy(), after[n].asnumpy()) for n in kept)
    assert any(not np.array_equal(before[n].asnumpy(), after[n].asnumpy()) for n in before if '.res5.' in n)
    done(command, 'features', videos / 'val/left', '--run', run, '--stage', 5, '--pool', '--out', tmp_path / 'vectors')
    width = load_run(run)[0].branches.backbone.channels[5]
    assert np.load(tmp_path / 'vectors/features.npy').shape == (3, width)


def test_classes_are_set_beside_each_other(command, run, tmp_path):
    out = done(command, 'explain', 'order', '--models', run, '--split', 'val', '--orders', 2)
    assert run.name in out and '9 videos, 2 random orders' in out
    done(command, 'explain', 'similarity', '--run', run, '--split', 'val', '--out', tmp_path / 's.npz')
    words = ['explain', 'tsne', '--models', run, '--split', 'val', '--classes', *CLASSES, '--out', tmp_path / 't.png']
    out = done(command, *words)
    kinds = BRANCHES[run.name][1:]
    assert all(f'{run.name}: {kind}' in out for kind in kinds) and (tmp_path / 't.png').stat().st_size > 5000


@pytest.mark.parametrize(
    'words, reason',
    [
        (['localize', 'VIDEO', '--run', 'RUN', '--out', 'OUT'], 'no class filters to localize'),
        (['filters', '--run', 'RUN', '--out', 'OUT/f.csv'], 'no class filters'),
        (['masks', 'VIDEO', '--run', 'RUN', '--out', 'OUT/m.png'], 'no masks of classes'),
        (['weights', '--models', 'RUN', '--out', 'OUT/w.png'], 'no masks of classes'),
        (['gate', '--run', 'RUN'], 'no gate over its features'),
        (['similarity', '--run', 'RUN', '--own', '--out', 'OUT/s.npz'], 'no matrix that relates its classes'),
    ],
)
def test_what_the_network_does_not_have_is_said_in_one_line(error_line, run, videos, tmp_path, words, reason):
    given = {'VIDEO': videos / 'val/left/0.mp4', 'RUN': run, 'OUT': tmp_path}
    line = error_line('explain', *(str(given.get(w, w)).replace('OUT/', f'{tmp_path}/') for w in words))
    assert run.name in line and reason in line


def test_it_is_counted_described_and_published(command, run, videos, tmp_path):
    record = json.loads(done(command, 'benchmark', '--flops', run.name, '--nclass', 3, '--json'))[0]
    assert record['input_shape'] == [1, load_run(run)[0].input_spec.channels, 8, 48, 48]
    if run.name == BOTH:  # of three channels and of two, in a stem of 16 filters of 5x5 at 24x24 places of 8 frames
        parts = record['macs_by_part']
        assert parts['backbone.rgb'] - parts['backbone.flow'] == 16 * 25 * 24 * 24 * 8
    assert f'name: {run.name}' in done(command, 'zoo', 'info', run.name)
    repo = tmp_path / 'repo'
    done(command, 'zoo', 'publish', run, '--licence', 'MIT', '--repo', repo, '--name', 'mine', '--split', 'val')
    video = videos / 'val/right/0.mp4'
    answers = [
        json.loads(done(command, 'predict', video, '--model', given, '--json')) for given in (run, repo / 'mine')
    ]
    assert answers[0][0]['predictions'] == answers[1][0]['predictions']
    net = gluon_fg.load_model(str(repo / 'mine'))
    assert net.input_spec == load_run(run)[0].input_spec and net.input_spec.flow == 'dis'


def test_the_color_stream_of_single_frames_takes_videos(command, trained, videos, tmp_path):
    """It is a network on images, of which a folder may hold none."""
    run = trained('twostream_tiny_rgb_custom')
    answers = json.loads(done(command, 'predict', videos / 'val/left', '--run', run, '--json'))
    assert [answer['path'].rsplit('/', 1)[1] for answer in answers] == ['0.mp4', '1.mp4', '2.mp4']
    assert all(answer['predictions'] for answer in answers)
