"""Runs that are stopped, cut off or gone wrong on the disk, and go on: to the same bits, or not without a line."""

import contextlib
import json
import os
import shutil
import signal

import pytest
from said import Lines

from gluon_fg.errors import UserError
from gluon_fg.training import checkpoint, loop
from gluon_fg.training.config import load_config
from gluon_fg.training.log import read_metrics
from gluon_fg.training.run import Interrupted

TIMES = {'seconds', 'cpu_seconds', 'data_seconds', 'clips_per_second'}
UPDATES = 3  # in an epoch


@pytest.fixture(scope='session')
def own_videos(tiny_synthfg, tmp_path_factory):
    """Three classes of four training and two validation clips each, one of them broken."""
    root = tmp_path_factory.mktemp('own')
    clips = sorted((tiny_synthfg / 'train').rglob('*.mp4')) or sorted(tiny_synthfg.rglob('*.mp4'))
    for name in ('apple', 'banana', 'cherry'):
        for split, count in (('train', 4), ('val', 2)):
            folder = root / split / name
            folder.mkdir(parents=True)
            for _ in range(count):
                clip = clips.pop()
                os.symlink(clip, folder / clip.name)
    broken = next((root / 'train' / 'banana').iterdir())
    broken.unlink()
    broken.write_bytes(b'no film')
    return root


def config(root, *overrides):
    return load_config(
        None,
        [
            *('model.name=i3d_tiny_custom', 'data.dataset=folder', f'data.root={root}', 'data.augment=random_crop'),
            *('data.workers=1', 'data.frames=8', 'data.crop_size=32', 'data.short_side=36', 'model.start=none'),
            *('train.epochs=2', 'train.lr_epochs=[]', 'train.batch_size=4', 'train.lr=0.02', 'train.log_steps=1'),
            *('test.batch_size=6', *overrides),
        ],
    )


@contextlib.contextmanager
def before_update(monkeypatch, number, act):
    """While open something happens in front of an update, counted from 1; None: of each."""
    plain = loop.one_update

    def update(run, state, *rest):
        if number is None or state.updates == number - 1:
            act()
        return plain(run, state, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(loop, 'one_update', update)
        yield


def ask_to_stop():
    os.kill(os.getpid(), signal.SIGTERM)


def records(folder):
    return [{k: v for k, v in r.items() if k not in TIMES} for r in read_metrics(folder / 'metrics.jsonl')]


def assert_same_run(folder, other):
    for name in ('best.params', 'final.params', 'classes.txt', 'data.json', 'start.json'):
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    assert records(folder) == records(other)
    summaries = [json.loads((path / 'summary.json').read_text()) for path in (folder, other)]
    assert summaries[0].keys() == summaries[1].keys()
    assert len(summaries[0]['failed_videos']) == 1
    for name in summaries[0].keys() - TIMES:
        assert summaries[0][name] == summaries[1][name], name


@pytest.fixture(scope='session')
def whole(own_videos, tmp_path_factory):
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp('whole') / 'run'
    loop.train(config(own_videos), folder, progress=False)
    return folder


def test_a_run_stopped_at_every_update_ends_as_one_that_was_not(own_videos, whole, monkeypatch, tmp_path):
    """The last update of an epoch, and of the run, included: their validation is done by the next start."""
    run = tmp_path / 'run'
    for number in (1, 3, 4, 6):
        with before_update(monkeypatch, number, ask_to_stop), pytest.raises(Interrupted):
            loop.train(config(own_videos), run, progress=False)
        assert checkpoint.latest_checkpoint(run).name.endswith(f'{number:08d}')
        assert not (run / 'summary.json').exists()
    loop.train(config(own_videos), run, progress=False)
    assert_same_run(run, whole)
    assert sorted(path.name for path in run.iterdir() if path.name.startswith('.')) == []


@pytest.mark.parametrize('override', ['train.epochs=1', 'test.val_epochs=0'])
def test_a_run_stopped_in_its_last_update_can_be_finished(override, own_videos, monkeypatch, tmp_path):
    """There is no validation yet that its summary could be of."""
    settings = config(own_videos, override)
    last = UPDATES * settings.train.epochs
    with before_update(monkeypatch, last, ask_to_stop), pytest.raises(Interrupted):
        loop.train(settings, tmp_path / 'run', progress=False)
    assert not any(record['event'] == 'val' for record in records(tmp_path / 'run'))
    summary = loop.train(settings, tmp_path / 'run', progress=False)
    assert summary['epochs'] == settings.train.epochs and summary['best']['top1'] == summary['top1']
    assert [r['step'] for r in records(tmp_path / 'run') if r['event'] in ('val', 'epoch')][-2:] == [last, last]


def test_what_a_former_version_stopped_before_its_validation_is_validated(own_videos, whole, monkeypatch, tmp_path):
    """Its checkpoints have neither metrics nor a count of records nor checksums."""
    with before_update(monkeypatch, UPDATES, ask_to_stop), pytest.raises(Interrupted):
        loop.train(config(own_videos), tmp_path / 'run', progress=False)
    path = checkpoint.latest_checkpoint(tmp_path / 'run') / 'state.json'
    state = json.loads(path.read_text())
    assert state['sums'] and state['records'] == UPDATES
    for name in ('metrics', 'records', 'files', 'sha256', 'optimizer_updates'):
        state.pop(name)
    monkeypatch.setattr(checkpoint, '_read_state', lambda _: {**state, 'optimizer_updates': UPDATES})
    (tmp_path / 'run' / 'data.json').unlink()
    loop.train(config(own_videos), tmp_path / 'run', progress=False)
    assert_same_run(tmp_path / 'run', whole)


def test_a_validation_that_breaks_down_is_made_up_for_and_nothing_is_trained_twice(
    own_videos, whole, monkeypatch, tmp_path
):
    run, again, plain = tmp_path / 'run', [], loop.validate

    def break_down(run, state, epoch):
        if epoch == 1:
            raise RuntimeError('out of memory')
        return plain(run, state, epoch)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(loop, 'validate', break_down)
        loop.train(config(own_videos), run, progress=False)
    with before_update(monkeypatch, None, lambda: again.append(1)):
        loop.train(config(own_videos), run, progress=False)
    assert again == []
    assert_same_run(run, whole)


def test_more_epochs_of_a_finished_run_are_those_of_a_longer_one(own_videos, whole, tmp_path):
    loop.train(config(own_videos, 'train.epochs=1'), tmp_path / 'run', progress=False)
    with Lines() as said:
        loop.train(config(own_videos), tmp_path / 'run', progress=False)
    assert any(line.endswith('goes on to 2 epochs; it was for 1') for line in said)
    assert_same_run(tmp_path / 'run', whole)
    assert load_config(str(tmp_path / 'run/config.yaml'), saved=True).train.epochs == 2
    with pytest.raises(UserError, match=r'another config \(train.epochs: 2 -> 1\)'):
        loop.train(config(own_videos, 'train.epochs=1'), tmp_path / 'run', progress=False)
    for path in (tmp_path / 'run').glob('checkpoint-*'):
        shutil.rmtree(path)
    with pytest.raises(UserError, match='no checkpoint left to go on from'):
        loop.train(config(own_videos, 'train.epochs=3'), tmp_path / 'run', progress=False)
    assert (tmp_path / 'run/summary.json').is_file()


def test_a_summary_that_is_lost_or_damaged_is_written_anew_from_the_last_checkpoint(own_videos, whole, tmp_path):
    shutil.copytree(whole, tmp_path / 'run')
    summary = tmp_path / 'run/summary.json'
    for content in (b'', b'{"top1": 0.5', b'[]', b'\xff', b'[' * 10**5):
        summary.write_bytes(content)
        with pytest.raises(UserError, match='summary.json is damaged .*; remove it'):
            loop.train(config(own_videos), tmp_path / 'run', progress=False)
    summary.unlink()
    loop.train(config(own_videos), tmp_path / 'run', progress=False)
    assert_same_run(tmp_path / 'run', whole)


def test_a_record_that_was_cut_short_is_told_of(own_videos, whole, tmp_path):
    shutil.copytree(whole, tmp_path / 'run')
    (tmp_path / 'run/summary.json').unlink()
    path = tmp_path / 'run/metrics.jsonl'
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(''.join([lines[0], '{"event": "tra\n', 'null\n', *lines[4:-1], lines[-1][:20]]))
    with Lines() as said:
        loop.train(config(own_videos), tmp_path / 'run', progress=False)
    assert any(f'metrics.jsonl lacks 4 of the {len(lines)} lines that it had at update 6' in line for line in said)
    assert len(read_metrics(path)) == len(lines) - 4  # what came behind the damage is still there


@pytest.mark.parametrize('moved', [False, True])
def test_a_run_whose_folder_is_gone_stops_and_writes_nothing(moved, own_videos, monkeypatch, tmp_path):
    run, elsewhere = tmp_path / 'runs' / 'run', tmp_path / 'elsewhere'
    run.parent.mkdir()

    def remove():
        run.rename(elsewhere)
        None if moved else shutil.rmtree(elsewhere)

    with before_update(monkeypatch, 2, remove), pytest.raises(UserError, match='was deleted or moved while it was in'):
        loop.train(config(own_videos), run, progress=False)
    assert list((tmp_path / 'runs').iterdir()) == []
    if moved:  # back at its place it goes on
        elsewhere.rename(run)
        assert loop.train(config(own_videos), run, progress=False)['epochs'] == 2


def changed_videos(root, place, change):
    shutil.copytree(root, place, symlinks=True)
    change(place)
    return place


def renamed(root):
    for split in ('train', 'val'):
        (root / split / 'apple').rename(root / split / 'zebra')


def doubled(root):
    for path in list((root / 'train').rglob('*.mp4')):
        path.with_name(f'again_{path.name}').symlink_to(path.resolve())


def exchanged(root):
    for name in ('apple', 'banana'):
        path = sorted((root / 'val' / name).iterdir())[0]
        path.rename(path.with_name('other.mp4'))


@pytest.mark.parametrize('finished', [True, False])
def test_other_data_are_refused_before_and_after_the_end_and_moved_ones_are_not(finished, own_videos, whole, tmp_path):
    run = tmp_path / 'run'
    shutil.copytree(whole, run)
    (run / 'summary.json').unlink() if not finished else None
    before = {path: path.read_bytes() for path in run.rglob('*') if path.is_file()}
    for change, reason in (
        (renamed, "is a run on other classes (they are now without 'apple' and with 'zebra'); choose another --out"),
        (doubled, 'is a run with a training list of 12 videos, not 24; choose another --out'),
        (exchanged, 'is a run with a validation list of 6 other videos; choose another --out'),
    ):
        other = changed_videos(own_videos, tmp_path / change.__name__, change)
        with pytest.raises(UserError) as caught:
            loop.train(config(other), run, progress=False)
        assert reason in str(caught.value) and '\n' not in str(caught.value)
        assert before == {path: path.read_bytes() for path in run.rglob('*') if path.is_file()}
    moved = changed_videos(own_videos, tmp_path / 'moved', lambda root: None)
    assert loop.train(config(moved), run, progress=False)['epochs'] == 2
    saved = load_config(str(run / 'config.yaml'), saved=True)
    assert saved.data.root == str(own_videos if finished else moved)
