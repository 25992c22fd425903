"""Whose folder it is: what a kill leaves is taken up, what is another's is not."""

import dataclasses
import json

import pytest

from gluon_fg.data.datasets import VideoDataset, VideoRecord
from gluon_fg.data.labels import LabelSet
from gluon_fg.errors import UserError
from gluon_fg.training import claim
from gluon_fg.training.claim import RunData, check_run_dir, claim_run_dir, list_digest, read_data
from gluon_fg.training.config import load_config
from gluon_fg.training.distributed import World

DATA = RunData(('apple', 'banana'), {'train': (4, 'a' * 64), 'val': (2, 'b' * 64)}, 1, 6)
FILES = ('data.json', 'start.json', 'classes.txt', 'config.yaml')


def config(*overrides):
    return load_config(None, ['model.name=i3d_tiny_custom', 'train.lr_epochs=[]', 'train.epochs=3', *overrides])


def claimed(folder, data=DATA, *overrides):
    return claim_run_dir(config(*overrides), folder, World(), data, '{}')


def trained(folder):
    """A run with a checkpoint."""
    claimed(folder)
    (folder / 'checkpoint-00000006').mkdir()
    return folder


@pytest.mark.parametrize('written', range(len(FILES) + 1))
def test_a_start_that_was_cut_off_anywhere_is_taken_up(written, tmp_path):
    claimed(tmp_path / 'whole')
    run = tmp_path / 'run'
    run.mkdir()
    for name in FILES[:written]:
        (run / name).write_bytes((tmp_path / 'whole' / name).read_bytes())
    for name in ('.lock', '.gluon-fg-0a1b2c-0a1b2c3d.yaml', '.config.yaml.ab12_c9d.yaml', 'split'):
        (run / name).touch()
    claimed(run)
    for name in FILES:
        assert (run / name).read_bytes() == (tmp_path / 'whole' / name).read_bytes()


def test_what_a_former_version_left_of_its_start_is_taken_up_and_a_users_file_is_not(tmp_path):
    (tmp_path / 'classes.txt').write_text('apple\nbanana\n')  # which it wrote first
    claimed(tmp_path)
    assert (tmp_path / 'config.yaml').is_file()
    for number, (name, text) in enumerate(
        [('classes.txt', 'apple\nbanana\nplum\n'), ('thesis.tex', ''), ('.gitignore', '')]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / name).write_text(text)
        with pytest.raises(UserError, match='exists and holds no training run; choose another --out'):
            claimed(folder)
        assert [path.name for path in folder.iterdir()] == [name] and (folder / name).read_text() == text
    with pytest.raises(UserError, match='exists and holds no training run'):
        claimed(tmp_path / '1' / 'thesis.tex')


@pytest.mark.parametrize(
    'change, reason',
    [
        ({'classes': ('banana', 'apple')}, 'on other classes .the same in another order.'),
        ({'classes': ('apple', 'pear')}, "they are now without 'banana' and with 'pear'"),
        ({'classes': ('apple', 'banana', 'c', 'd', 'e', 'f')}, "they are now with 'c', 'd', 'e' and 1 more"),
        ({'lists': {'train': (5, 'c' * 64)}}, 'a training list of 4 videos, not 5; .*model.start=.*/best.params'),
        ({'lists': {'val': (2, 'c' * 64)}}, 'a validation list of 2 other videos'),
        ({'ranks': 2}, 'is a run on 1 rank, not 2; resume it on 1 rank, or choose another --out'),
        ({'updates': 12}, 'is a run of 6 updates an epoch, not 12'),
    ],
)
def test_what_a_run_is_trained_on_does_not_change(change, reason, tmp_path):
    run = trained(tmp_path / 'run')
    with pytest.raises(UserError, match=reason):
        claimed(run, dataclasses.replace(DATA, **change))
    assert claimed(run) == [] and read_data(run) == DATA


def test_ranks_may_change_where_nothing_was_trained(tmp_path):
    claimed(tmp_path / 'run')
    assert claimed(tmp_path / 'run', dataclasses.replace(DATA, ranks=2, updates=3)) == []


def test_classes_that_are_some_of_the_networks_are_told_apart_later(tmp_path):
    run = trained(tmp_path / 'run')
    check_run_dir(config(), run, World(), dataclasses.replace(DATA, classes=('banana',), partly=True))
    with pytest.raises(UserError, match="without 'apple', 'banana' and with 'pear'"):
        check_run_dir(config(), run, World(), dataclasses.replace(DATA, classes=('pear',), partly=True))


def test_a_former_run_tells_its_ranks_and_updates_by_its_other_files(tmp_path):
    run = trained(tmp_path / 'run')
    (run / 'data.json').unlink()
    assert read_data(run) == RunData()
    (run / 'environment.json').write_text('{"ranks": 2}')
    (run / 'metrics.jsonl').write_text(
        '{"event": "train", "step": 4, "epoch": 0.6666666666}\n{"event": "epoch"}\nnull\n'
    )
    assert read_data(run) == RunData(ranks=2, updates=6)
    with pytest.raises(UserError, match='is a run on 2 ranks, not 1; resume it on 2 ranks'):
        claimed(run)
    claimed(run, dataclasses.replace(DATA, ranks=2))
    assert read_data(run) == dataclasses.replace(DATA, ranks=2)  # from now on it knows more


@pytest.mark.parametrize(
    'content', [b'', b'{', b'[]', b'{"classes": 5}', b'\xff', b'[' * 10**5, b'{"lists": {"train": [1]}}']
)
def test_damage_of_what_is_known_is_one_line(content, tmp_path):
    run = trained(tmp_path / 'run')
    (run / 'data.json').write_bytes(content)
    with pytest.raises(UserError, match='data.json is damaged; remove it to resume without what it says') as caught:
        claimed(run)
    assert '\n' not in str(caught.value)


def test_epochs_may_be_added_where_the_rate_falls_in_steps(tmp_path):
    run = trained(tmp_path / 'run')
    (run / 'summary.json').write_text('{}')
    for overrides in (('train.epochs=2',), ('train.epochs=5', 'train.lr_epochs=[4]'), ('train.epochs=5', 'train.lr=1')):
        with pytest.raises(UserError, match='holds a run with another config'):
            claimed(run, DATA, *overrides)
    assert (run / 'summary.json').exists()
    assert claimed(run, DATA, 'train.epochs=5') == [f'{run} goes on to 5 epochs; it was for 3']
    assert load_config(str(run / 'config.yaml'), saved=True) == config('train.epochs=5')
    assert not (run / 'summary.json').exists()
    cosine = ('train.schedule=cosine', 'train.epochs=3')
    claimed(tmp_path / 'cosine', DATA, *cosine)
    with pytest.raises(
        UserError, match=r'\(train.epochs: 3 -> 5\); choose another --out \(model.start=.*/final.params'
    ):
        claimed(tmp_path / 'cosine', DATA, *cosine[:1], 'train.epochs=5')


def test_a_config_is_told_where_its_data_are_now_and_not_how_else_they_are_written(monkeypatch, tmp_path):
    (tmp_path / 'link').symlink_to(tmp_path)
    run, root = tmp_path / 'run', f'data.root={tmp_path}/own'
    claimed(run, DATA, root)
    monkeypatch.chdir(tmp_path)
    for same in ('data.root=own', f'data.root={tmp_path}/link/own', root):
        assert claimed(run, DATA, same) == []
    assert claimed(run, DATA, 'data.root=other') == [f'data.root was {tmp_path}/own, and is other']
    assert load_config(str(run / 'config.yaml'), saved=True).data.root == 'other'


def test_a_list_is_the_same_wherever_it_lies_and_no_other(tmp_path):
    labels = LabelSet(('apple', 'banana'))

    def digest(records, root='', labels=labels):
        return list_digest(VideoDataset([VideoRecord(*record) for record in records], labels, root))

    first = digest([('a.mp4', 0), ('b.mp4', 1, 1.0, 2.0)])
    assert digest([('/here/a.mp4', 0), ('/here/b.mp4', 1, 1.0, 2.0)], '/here') == first
    assert digest([('a.mp4', 1), ('b.mp4', 2, 1.0, 2.0)], '/there', LabelSet(('x', 'apple', 'banana'))) == first
    others = [
        [('a.mp4', 0), ('b.mp4', 0, 1.0, 2.0)],
        [('a.mp4', 0), ('b.mp4', 1, 1.0, 3.0)],
        [('a.mp4', 0), ('c.mp4', 1, 1.0, 2.0)],
        [('b.mp4', 1, 1.0, 2.0), ('a.mp4', 0)],
        [('a.mp4', -1), ('b.mp4', 1, 1.0, 2.0)],
        [('a.mp4", ["apple"], null, null]\n["b.mp4', 1, 1.0, 2.0)],
        [('a.mp4', 0), ('b\udce9.mp4', 1, 1.0, 2.0)],
    ]
    assert len({first, *map(digest, others)}) == len(others) + 1


def test_a_run_is_known_by_the_first_file_that_is_written(monkeypatch, tmp_path):
    """Wherever the disk gives up, the same command can begin again."""
    plain, run = claim.atomic_write, tmp_path / 'run'
    run.mkdir()
    for number in range(3):
        written = []

        def write(path, mode='w', number=number, written=written):
            if len(written) == number:
                raise OSError(28, 'No space left on device', str(path))
            written.append(path)
            return plain(path, mode)

        monkeypatch.setattr(claim, 'atomic_write', write)
        with pytest.raises(OSError, match='No space left'):
            claimed(run)
        monkeypatch.setattr(claim, 'atomic_write', plain)
        check_run_dir(config(), run, World(), DATA)
    claimed(run)
    assert json.loads((run / 'data.json').read_text())['ranks'] == 1
