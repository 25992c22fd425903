"""Networks that see optical flow, from stored or computed fields to predictions; what a run remembers of its flow."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import pytest
import yaml

from gluon_fg import predict
from gluon_fg.data.flow import FlowSettings, open_flow
from gluon_fg.data.flow.extract import extract_flow
from gluon_fg.data.flow.gathering import gather
from gluon_fg.data.flow.listing import Header
from gluon_fg.data.flow.sources import settings_of
from gluon_fg.data.kept import MemoryCache
from gluon_fg.data.readers import from_csv, from_folder
from gluon_fg.data.synthfg import write_video
from gluon_fg.errors import UserError, VideoError
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.input_spec import InputSpec
from gluon_fg.training.config import load_config
from gluon_fg.training.flow import check_flow, know_flow
from gluon_fg.training.run import build_network, load_run

FLOW = InputSpec(frames=4, frame_stride=1, crop_size=48, short_side=54, mean=(0.5,) * 2, std=(0.5,) * 2)
BOTH = FLOW.replace(mean=(0.5,) * 5, std=(0.5,) * 5)


def moving(seed, step, frames=14, size=(54, 72)):
    """Texture that moves `step` pixels to the right each frame."""
    big = np.random.default_rng(seed).integers(0, 256, (size[0], 240, 3), np.uint8)
    big = cv2.normalize(cv2.GaussianBlur(big, (5, 5), 0), None, 0, 255, cv2.NORM_MINMAX)
    return np.stack([big[:, 84 - step * i : 84 - step * i + size[1]] for i in range(frames)])


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """Videos of two classes, left and right, and their flow by DIS, in a folder of its own."""
    root = tmp_path_factory.mktemp('moving')
    for part, count in (('train', 3), ('val', 2)):
        for name, step in (('left', -2), ('right', 2)):
            folder = root / part / name
            folder.mkdir(parents=True)
            for seed in range(count):
                write_video(folder / f'{seed}.mp4', moving(10 * seed + len(part), step))
    given = gather(str(root))
    flow = root.parent / f'{root.name}_flow'
    extract_flow(given.root, given.paths, flow, Header('dis', 20.0, 256, 'zip', 95), workers=0)
    return root, flow


def dataset(videos, flow=None, **options):
    made = from_folder(videos[0] / 'train', **options)
    made.flow = None if flow is None else str(flow)
    return made


def view(reader, spec=FLOW, protocol='train_time'):
    with reader:
        return get_protocol(protocol).cuts(reader, spec)[0].pixels.astype(int)


def test_stored_flow_and_flow_computed_on_the_way_are_the_same_but_for_jpeg(videos):
    for index in (0, 3):
        stored = view(dataset(videos, videos[1]).open(index), BOTH)
        computed = view(dataset(videos, 'dis').open(index), BOTH)
        assert np.array_equal(stored[:3], computed[:3])
        assert np.abs(stored[3:] - computed[3:]).mean() < 1.5  # of 255: 0.25 pixels are 1.6
        moved = (stored[3, :, 8:-8, 8:-8] - 127.5) * 20 / 127.5
        assert abs(moved.mean() - (-2, 2)[index // 3]) < 0.3


def test_flow_is_looked_for_beside_the_frames_then_in_the_folder_of_the_dataset(videos, tmp_path, caplog):
    root, flow = videos
    film = tmp_path / 'a' / 'film'
    film.mkdir(parents=True)
    with dataset(videos).open(0) as reader, open_flow(flow, reader.path) as stored:
        for number, frame in enumerate(reader.get_batch(np.arange(len(reader))), start=1):
            cv2.imwrite(str(film / f'img_{number:05d}.png'), frame[..., ::-1])
        for number, field in enumerate(stored.get_batch(np.arange(len(stored))), start=1):
            for axis, name in enumerate('xy'):
                cv2.imwrite(str(film / f'flow_{name}_{number:05d}.png'), field[..., axis])
    (tmp_path / 'list.csv').write_text('path,label\na/film,left\n')
    beside = from_csv(tmp_path / 'list.csv', tmp_path)
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(view(beside.open(0), BOTH), view(dataset(videos, flow).open(0), BOTH))
        with beside.open(0) as reader:
            assert settings_of(reader.film) == FlowSettings(None)  # nobody says how these were made
        inside = dataset(videos)
        (root / 'flow').symlink_to(flow, target_is_directory=True)  # beside train and val
        try:
            assert np.array_equal(view(inside.open(0)), view(dataset(videos, flow).open(0)))
            assert settings_of(inside.open(0).film) == FlowSettings('dis', 20.0, 256)
        finally:
            (root / 'flow').unlink()
    assert 'computed' not in caplog.text


def test_clips_by_their_times_take_the_fields_of_the_film(videos, tmp_path):
    root, flow = videos
    (tmp_path / 'list.csv').write_text('path,label,start,end\ntrain/right/0.mp4,right,0.3,1.1\n')
    part = from_csv(tmp_path / 'list.csv', root)
    part.flow = str(flow)
    with part.open(0) as reader:
        first, count = reader.film_frames(np.arange(1))[0], len(reader)
    assert (first, count) == (3, 6)  # at 8 a second
    whole = dataset(videos, flow)
    with whole.open(3) as reader, open_flow(flow, reader.path) as fields:
        taken = fields.get_batch(np.arange(3 + 0, 3 + 4), (54, 72))[:, 3:51, 12:60]
    for cache in ('none', 'memory'):
        part.cache = cache
        assert np.array_equal(view(part.open(0)), taken.transpose(3, 0, 1, 2))


@pytest.mark.parametrize('source', ['stored', 'dis'])
def test_fields_of_videos_in_memory_are_kept_there(videos, source, monkeypatch):
    source = str(videos[1]) if source == 'stored' else source
    plain = [view(dataset(videos, source).open(i), spec) for i in (0, 3) for spec in (FLOW, BOTH)]
    kept = dataset(videos, source, cache='memory')
    fields, frames = 13 * 54 * 72 * 2, 14 * 54 * 72 * 3
    kept.keeps_frames = False
    first = [view(kept.open(i), spec) for i in (0, 3) for spec in (FLOW, BOTH)]
    assert kept.kept.bytes == 2 * fields  # flow alone needs no frames in memory
    kept.keeps_frames = True
    for _ in range(2):
        again = [view(kept.open(i), spec) for i in (0, 3) for spec in (FLOW, BOTH)]
        assert kept.kept.bytes == 2 * (fields + frames)
        assert all(np.array_equal(a, b) and np.array_equal(a, c) for a, b, c in zip(plain, first, again))
    monkeypatch.setattr('gluon_fg.data.video.open_video', None)  # nothing is read again
    assert all(
        np.array_equal(a, view(kept.open(i), spec))
        for a, (i, spec) in zip(plain, [(0, FLOW), (0, BOTH), (3, FLOW), (3, BOTH)])
    )
    monkeypatch.undo()
    full = dataset(videos, source, cache='memory')
    full.kept = MemoryCache(limit=frames + 10)  # the first video's frames fit, nothing else
    assert np.array_equal(view(full.open(0), BOTH), plain[1]) and np.array_equal(view(full.open(3), BOTH), plain[3])
    assert len(full.kept) == 1


# What is refused


def test_flow_of_another_making_is_refused(videos):
    known = FLOW.replace(flow='tvl1')
    with pytest.raises(UserError, match='holds flow by dis, the network was trained on tvl1; give a folder that gluon'):
        view(dataset(videos, videos[1]).open(0), known)
    with pytest.raises(UserError, match='holds flow of up to 20 pixels, the network was trained on 15; give a folder'):
        view(dataset(videos, videos[1]).open(0), FLOW.replace(flow_bound=15.0))
    with pytest.raises(
        UserError, match='only dis is computed on the way; run gluon-fg data flow with --algorithm tvl1'
    ):
        view(dataset(videos, 'dis').open(0), known)
    view(dataset(videos, videos[1]).open(0), FLOW.replace(flow='dis'))
    with pytest.raises(UserError, match=r'nowhere: no such folder of flow; gluon-fg data flow makes one'):
        view(dataset(videos, 'nowhere').open(0))


def test_flow_that_is_not_of_the_video_is_refused_and_named(videos, tmp_path):
    root, flow = videos
    folder = tmp_path / 'flow' / 'train' / 'left'
    for name, count, size in (('0', 12, (54, 72)), ('1', 13, (72, 54)), ('2', 13, (27, 36))):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            for axis in 'xy':
                cv2.imwrite(str(folder / name / f'flow_{axis}_{number:05d}.jpg'), np.full(size, 128, np.uint8))
    wrong = dataset(videos, tmp_path / 'flow')
    with pytest.raises(
        VideoError, match='0.mp4: has 14 frames, its flow .* 12 fields where 13 are expected; compute it'
    ):
        view(wrong.open(0))
    with pytest.raises(
        VideoError, match='1.mp4: is 72x54, its flow .* 54x72, which is another shape; compute it again'
    ):
        view(wrong.open(1))
    view(wrong.open(2))  # half the size is the same shape
    with pytest.raises(VideoError, match='0.mp4: has no flow in .*; gluon-fg data flow computes it'):
        view(wrong.open(3))
    with pytest.raises(UserError, match='the first 2 videos have no optical flow to be read; .*0.mp4: has 14 frames'):
        part = dataset(videos, tmp_path / 'flow')
        part.records = part.records[:2]
        check_flow(part, FLOW)
    check_flow(wrong, FLOW)


def test_a_video_too_short_for_a_stack_is_left_out_and_named(videos, tmp_path):
    write_video(tmp_path / 'short.mp4', moving(0, 1)[:3])
    (tmp_path / 'list.csv').write_text('path,label\nshort.mp4,left\n')
    with pytest.raises(VideoError, match='short.mp4: has 3 frames; 6 are needed for 5 fields of optical flow'):
        view(from_csv(tmp_path / 'list.csv', tmp_path).open(0), FLOW.replace(mean=(0.5,) * 10, std=(0.5,) * 10))


@pytest.mark.parametrize('setting', ['data.flow=dis', 'data.flow_algorithm=dis', 'data.center_flow=true'])
def test_keys_about_flow_are_refused_for_networks_that_see_none(videos, setting):
    config = load_config(None, ['model.name=i3d_tiny_custom', setting])
    with pytest.raises(UserError, match='is for networks that see optical flow; i3d_tiny_custom sees none'):
        know_flow(config, dataset(videos))


# Runs


def settings(videos, flow, name='i3d_tiny_flow_custom', *more):
    return [
        f'model.name={name}', 'model.start=none', 'data.dataset=folder', f'data.root={videos[0]}', 'train.epochs=1',
        'train.batch_size=2', 'train.device=cpu', f'data.flow={flow}', *more,
    ]  # fmt: skip


@pytest.fixture(scope='module')
def run(videos, tmp_path_factory):
    """A run on stored flow."""
    from gluon_fg.training import distributed
    from gluon_fg.training.stages import train

    folder = tmp_path_factory.mktemp('runs') / 'flow'
    train(load_config(None, settings(videos, videos[1])), folder, distributed.World(), False)
    return folder


def test_a_run_remembers_its_flow_and_predicts_by_it(run, videos):
    root, flow = videos
    written = yaml.safe_load((run / 'config.yaml').read_text())['data']
    assert (written['flow'], written['flow_algorithm'], written['flow_bound']) == (str(flow), 'dis', 20.0)
    net, _ = load_run(run)
    assert (net.input_spec.flow, net.input_spec.flow_bound) == ('dis', 20.0)
    film = str(root / 'val' / 'right' / '0.mp4')
    stored, computed = (dict(predict(film, net, flow=source)) for source in (str(flow), 'dis'))
    assert all(abs(stored[name] - computed[name]) < 0.02 for name in stored)
    with pytest.raises(UserError, match='holds flow of up to 20 pixels, the network was trained on 10'):
        net.input_spec = net.input_spec.replace(flow_bound=10.0)
        predict(film, net, flow=str(flow))


def test_predict_takes_windows_arrays_and_folders_of_frames(run, videos, tmp_path):
    net, _ = load_run(run)
    frames = moving(3, 2, frames=40)
    write_video(tmp_path / 'long.mp4', frames)
    whole = predict(frames, net)
    assert len(whole) == 2 and abs(sum(p for _, p in whole) - 1) < 1e-6
    assert len(predict(str(tmp_path / 'long.mp4'), net, window=1.2)) == 4
    folder = tmp_path / 'film'
    folder.mkdir()
    for number, frame in enumerate(frames):
        cv2.imwrite(str(folder / f'img_{number:05d}.png'), frame[..., ::-1])
    assert dict(predict(str(folder), net)) == pytest.approx(dict(whole), abs=1e-6)
    with pytest.raises(VideoError, match='frames 0: has 1 frames; 2 are needed for 1 fields'):
        predict(frames[:1], net)
    from gluon_fg import get_model

    colors = get_model('i3d_tiny_custom', nclass=2)
    with pytest.raises(UserError, match='flow dis: i3d_tiny_custom sees no optical flow; leave it out'):
        predict(frames, colors, flow='dis')


def test_a_run_goes_on_with_flow_of_the_same_making_alone(run, videos, tmp_path):
    from gluon_fg.training.claim import changed_settings

    again = load_config(None, settings(videos, tmp_path))  # moved
    assert changed_settings(again, run) == []
    other = load_config(None, settings(videos, videos[1], 'i3d_tiny_flow_custom', 'data.flow_algorithm=tvl1'))
    assert changed_settings(other, run) == ['data.flow_algorithm: dis -> tvl1']


def test_a_config_may_say_how_the_flow_of_others_was_made(videos):
    import mxnet as mx

    config = load_config(
        None, settings(videos, 'x', 'i3d_tiny_flow_custom', 'data.flow_algorithm=tvl1', 'data.flow_bound=15')
    )
    config.data.center_flow, config.data.short, config.model.nclass = True, 'loop', 2
    spec = build_network(config, mx.cpu()).input_spec
    assert (spec.flow, spec.flow_bound, spec.center_flow, spec.short) == ('tvl1', 15.0, True, 'loop')


def test_evaluate_takes_flow_from_a_folder_or_computes_it(
    run, videos, command, error_line, tmp_path, monkeypatch, caplog
):
    root, flow = videos
    evaluate = ['evaluate', '--run', str(run), '--split', 'val', '--device', 'cpu']
    for source in ([], ['--flow', flow], ['--flow', 'dis']):
        code, out, err = command(*evaluate, '--out', tmp_path / 'scores.npz', '--force', *source)
        assert code == 0 and 'on 4 videos' in out and not err  # without a folder the run's own is taken
    monkeypatch.setattr('gluon_fg.data.flow.sources._told', set())
    code, out, err = command('predict', root / 'val', '--run', run, '--device', 'cpu')
    assert (code, out.count('.mp4')) == (0, 4) and caplog.text.count('optical flow is computed on the way (DIS)') == 1
    wrong = ['--out', tmp_path / 'scores.npz', '--force', '--flow', tmp_path / 'none']
    assert 'no such folder of flow' in error_line(*evaluate, *wrong)


def test_a_network_of_several_stages_remembers_its_flow(videos, tmp_path):
    """U2S: each stage is a run of its own, and the folder of all of them has the last one's network."""
    from gluon_fg.training import distributed
    from gluon_fg.training.stages import train

    config = load_config(None, settings(videos, videos[1], 'topheavy_tiny_flow_custom_u2s', 'model.start=null'))
    config.model.start, config.train.batch_size = None, 4
    config.stages = {
        'universal': {'model': {'name': 'topheavy_tiny_flow_custom', 'start': 'none'}},
        'joint': {'train': {'stage': 'joint'}},
    }
    train(config, tmp_path / 'run', distributed.World(), False)
    for folder in (tmp_path / 'run', tmp_path / 'run' / 'universal', tmp_path / 'run' / 'joint'):
        spec = load_run(folder)[0].input_spec
        assert (spec.flow, spec.flow_bound, spec.fields) == ('dis', 20.0, 5)


def test_a_network_of_both_streams_is_trained_evaluated_and_published(videos, tmp_path):
    """Its published weights say what flow they are of, and neither they nor their config say where it lay."""
    from gluon_fg import load_model
    from gluon_fg.training import distributed, publish
    from gluon_fg.training.stages import train

    train(load_config(None, settings(videos, videos[1], 'twostream_tiny_custom')), tmp_path / 'run',
          distributed.World(), False)  # fmt: skip
    net, _ = load_run(tmp_path / 'run')
    assert net.input_spec.sees_rgb and net.input_spec.fields and net.input_spec.flow == 'dis'
    entry = publish.publish(tmp_path / 'run', tmp_path / 'zoo', licence='Apache-2.0', name='mine')
    assert (entry.input['flow'], entry.input.get('flow_bound')) == ('dis', None)  # 20 pixels go without saying
    assert next(iter(entry.metrics.values()))['videos'] == 4
    for path in (tmp_path / 'zoo').rglob('*.yaml'):
        assert str(videos[1]) not in path.read_text()
    theirs = load_model(str(tmp_path / 'zoo'))
    assert theirs.input_spec == net.input_spec
    film = str(videos[0] / 'val' / 'left' / '1.mp4')
    assert dict(predict(film, theirs, flow=str(videos[1]))) == pytest.approx(
        dict(predict(film, net, flow=str(videos[1]))), abs=1e-5
    )
    with pytest.raises(UserError, match='the network was trained on dis'):
        other = tmp_path / 'tvl1'
        other.mkdir()
        lines = (videos[1] / 'flow.jsonl').read_text().replace('"dis"', '"tvl1"')
        (other / 'flow.jsonl').write_text(lines)
        for path in videos[1].rglob('*.zip'):
            (other / path.relative_to(videos[1])).parent.mkdir(parents=True, exist_ok=True)
            (other / path.relative_to(videos[1])).write_bytes(path.read_bytes())
        predict(film, theirs, flow=str(other))


def test_a_video_much_shorter_than_a_clip_is_told_of_once(caplog):
    from gluon_fg import get_model
    from gluon_fg.evaluation.predict import predict_videos

    net = get_model('i3d_tiny_custom', nclass=2)
    net.input_spec = net.input_spec.replace(frames=64)
    with caplog.at_level(logging.WARNING):
        predict_videos([moving(0, 1)[:3], moving(1, 1)[:4], np.repeat(moving(2, 1), 3, axis=0)], net, workers=0)
    assert [r.getMessage() for r in caplog.records] == [
        'frames 0: has 3 frames, the network takes clips of 64: frames are shown more than once, of this and of other '
        'videos as short'
    ]
