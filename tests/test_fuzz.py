"""A short part of `make fuzz`, in this process; and that the campaign sees what it is there to see."""

import shutil

import numpy as np
import pytest
from campaigns import damage, fuzz, kinds

from gluon_fg.errors import UserError

# inputs of each kind; those that take a run or a prepared folder first are for the whole campaign
SHORT = {
    'films': 20, 'PNG pictures': 14, 'JPEG pictures': 14, 'other pictures': 9, 'folders of frames': 8,
    'weights (.params)': 12, 'weights of others': 20, 'score files': 16, 'lists of videos': 20, 'class files': 10,
    'lists of several labels': 8, 'studies and their results': 8, 'class similarities': 8,
    'configs (YAML)': 16, 'indexes (YAML)': 16, 'bundles': 8, 'features': 8,
}  # fmt: skip


@pytest.fixture(scope='module')
def inputs(tmp_path_factory):
    made = fuzz.Inputs(tmp_path_factory.mktemp('fuzz'), seed=1)
    made.make(SHORT)
    return made


@pytest.mark.parametrize('name', SHORT)
def test_no_damaged_file_does_more_than_be_refused(inputs, name, tmp_path):
    results = [inputs.run(name, number, tmp_path) for number in range(SHORT[name])]
    assert [result for result in results if result[0] in fuzz.FAULTS] == []
    assert 'refused' in {outcome for outcome, *_ in results}


def test_the_same_seed_gives_the_same_inputs_and_another_others(inputs, tmp_path):
    kind, home = inputs.kinds['configs (YAML)'], inputs.folder('configs (YAML)')

    def written(seed):
        out = []
        for number in range(12):
            rng = fuzz.generator(seed, kind.name, number)
            done = fuzz.write_damaged(kind, home / 'run.yaml', [b'a: 1'], tmp_path / 'x.yaml', rng)
            out.append((done, (tmp_path / 'x.yaml').read_bytes()))
        return out

    assert written(3) == written(3) != written(4)
    assert all(content != (home / 'run.yaml').read_bytes() for _, content in written(3))


@pytest.mark.parametrize('kind', [*damage.BINARY, *damage.TEXT])
def test_every_damage_takes_any_bytes(kind):
    rng = np.random.default_rng(0)
    for data in (b'a', b'\xff\0', bytes(range(256)) * 20, b'key: [1, 2]\nother: text\n'):
        changed = {kind(data, rng, [b'another file', data]) for _ in range(30)}
        assert all(isinstance(each, bytes) for each in changed)
        assert changed - {data} or len(data) < 3


def refuse(path, home):
    raise UserError('x: is no file of this kind')


def fail(path, home):
    return {}['missing']


@pytest.mark.parametrize(
    'use, checked, outcome',
    [
        (refuse, True, 'refused'),
        (fail, True, 'traceback'),
        (lambda path, home: 'as before', True, 'same'),
        (lambda path, home: 'otherwise', False, 'other'),
        (lambda path, home: 'otherwise', True, 'silent'),
    ],
)
def test_what_comes_of_an_input_is_told_apart(use, checked, outcome, tmp_path):
    kind = kinds.Kind('any', 1, None, use, checked=checked)
    assert fuzz.outcome_of(kind, tmp_path, tmp_path, 'as before', 'flip_bit')[0] == outcome


def test_a_frame_that_is_another_when_asked_for_alone_is_seen(inputs, tmp_path, monkeypatch):
    film = next(inputs.folder('films').glob('*.mkv'))
    shutil.copyfile(film, tmp_path / 'film.mkv')
    whole = kinds.use_film(tmp_path / 'film.mkv', tmp_path)
    assert whole[0] == 16
    opened = kinds.open_video

    def shifted(path):
        reader = opened(path)
        batch = reader.get_batch
        reader.get_batch = lambda asked: batch([max(asked[0] - 1, 0)] if len(asked) == 1 else asked)
        return reader

    monkeypatch.setattr(kinds, 'open_video', shifted)
    with pytest.raises(kinds.Inconsistent):
        kinds.use_film(tmp_path / 'film.mkv', tmp_path)
