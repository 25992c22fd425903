"""`gluon-fg demo`: its steps exist, go on where a film is not to be had, and resume the training that they stop."""

import json

import pytest
from test_command import COMMANDS

from gluon_fg.cli import demo
from gluon_fg.errors import UserError


@pytest.fixture
def steps(monkeypatch, tmp_path):
    """What the demo would start, its options and titles; the real film's steps fail where `missing` names a word."""
    started, missing = [], set()

    def step(title, *words, **how):
        started.append((words, how))
        assert title.strip()
        return None if how.get('may_fail') and missing & set(words) else ''

    monkeypatch.setattr(demo, 'step', step)
    (tmp_path / 'synthfg').mkdir()
    rows = ['path,label,group', *(f'test/{i}.mp4,{i % 4},{"ab"[i % 4 // 2]}' for i in range(8))]
    (tmp_path / 'synthfg/test.csv').write_text('\n'.join(rows))
    return started, missing


def test_it_asks_for_what_there_is(command, monkeypatch, steps, tmp_path):
    """Its steps, started with commands that do nothing, name options that exist."""
    started, called = steps[0], []
    code, out, err = command('demo', '--out', tmp_path, '--epochs', 3)
    assert code == 0 and f'pictures: {tmp_path}/pictures' in out and 'my_videos' in out, err
    for words, leaf in COMMANDS.items():
        monkeypatch.setattr(leaf, 'callback', lambda words=words, **given: called.append(words))
    for words, _ in started:
        code, _, err = command(*words)
        assert code == 0, err
    prepare, predict, train = ('data', 'prepare'), ('predict',), ('train',)
    assert called == [
        (*prepare, 'films'), predict, (*prepare, 'synthfg'), predict, ('explain', 'localize'), train, train,
    ]  # fmt: skip
    assert started[1][0][1] == f'{tmp_path}/films/arm_wrestling.mp4'
    assert [w for w in started[3][0] if w.endswith('.mp4')] == [f'{tmp_path}/synthfg/test/{i}.mp4' for i in (0, 1)]
    assert started[-1][0] == started[-2][0] and started[-1][1] == {'ranks': 2}


# The film may be any file: nothing opens it here.
@pytest.mark.parametrize('given, missing', [((), 'films'), (('--film', __file__), demo.KINETICS)])
def test_it_goes_on_without_film_or_weights(given, missing, command, steps, tmp_path):
    started, lacking = steps
    lacking.add(missing)
    code, out, _ = command('demo', '--out', tmp_path, *given)
    assert code == 0 and ' goes on' in out and [words[0] for words, _ in started[:2]] != ['data', 'predict']
    assert [words[0] for words, _ in started[1:]] == ['data', 'predict', 'explain', 'train', 'train']


@pytest.mark.parametrize('words, message', [
    (('--film', 'no_such_film.mp4'), '--film no_such_film.mp4: no such file'),
    (('--epochs', 1), '--epochs'),
])  # fmt: skip
def test_what_cannot_be_done_is_one_line_before_anything_starts(words, message, error_line, steps, tmp_path):
    assert message in error_line('demo', '--out', tmp_path, *words)
    assert steps[0] == []


def test_a_step_says_what_it_starts_and_what_failed(capfd):
    assert demo.step('A title', 'zoo', 'info', 'no_such_model', may_fail=True) is None
    out, err = capfd.readouterr()
    assert out == '\n== A title\n$ gluon-fg zoo info no_such_model\n'
    assert err.startswith('error: ') and err.count('\n') == 1
    with pytest.raises(UserError, match='the demo stopped: zoo ended with exit code 2'):
        demo.step('A title', 'zoo', 'info', 'no_such_model')


def test_the_training_is_stopped_and_goes_on(tiny_synthfg, tmp_path, capfd):
    sizes = {'train': 48, 'val': 24, 'test': 24}
    demo._train_in_two_goes(tmp_path / 'run', tiny_synthfg, sizes, 10)
    out = capfd.readouterr().out
    first, second = out.split('\n== The same command goes on where it was\n')
    assert '^C\n' in first and 'epoch 1/10: validation ' in first and 'epoch 10/10' not in first
    assert '\nresumes from ' in second and 'epoch 1/10' not in second and '\ntrained 20 updates in ' in second
    assert [line for line in first.splitlines() if line[:1] == '$'] == [second.splitlines()[0]]
    assert json.loads((tmp_path / 'run/summary.json').read_text())['updates'] == 20
