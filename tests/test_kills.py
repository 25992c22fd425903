"""A short form of `make kill-test`, and whether its parts see what they are to see."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from campaigns.contents import contents, differences, halves

TESTS = Path(__file__).resolve().parent
WRITER = """
import os, sys
from pathlib import Path
from campaigns.dying import Blow, Watch

watch = Watch(Path('.'), Blow(*eval(sys.argv[1])))
with open('a.txt', 'w', buffering=1) as stream:
    stream.write('a' * 100 + chr(10))
os.replace('a.txt', 'b.txt')
os.makedirs('folder', exist_ok=True)
os.makedirs('folder', exist_ok=True)
Path('../beside.txt').write_text('not watched')
Path('folder/c.txt').write_text('c')
print(watch.seen)
"""


def python(*words, cwd):
    path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, capture_output=True, text=True, env={**os.environ, 'PYTHONPATH': path}
    )


@pytest.mark.parametrize(
    'blow, code, left',
    [
        ((9,), 0, {'b.txt': 101, 'folder/c.txt': 1}),
        ((1,), -signal.SIGKILL, {}),
        ((2,), -signal.SIGKILL, {'a.txt': 101}),
        ((3,), -signal.SIGKILL, {'b.txt': 101}),
        ((4, 'SIGTERM'), -signal.SIGTERM, {'b.txt': 101}),
        ((2, 'SIGKILL', 0), -signal.SIGKILL, {'a.txt': range(101)}),  # in the middle of writing it
        ((3, 'SIGKILL', 0), -signal.SIGKILL, {'b.txt': 101}),  # complete: it had its name before
    ],
)
def test_a_process_dies_before_the_change_that_was_chosen(blow, code, left, tmp_path):
    folder = tmp_path / 'work'
    folder.mkdir()
    done = python('-c', WRITER, repr(blow), cwd=folder)
    sizes = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob('*.txt')}
    assert done.returncode == code, done.stderr
    assert list(sizes) == list(left)
    assert all(size == left[n] or (isinstance(left[n], range) and size in left[n]) for n, size in sizes.items())
    if code == 0:  # a folder that is there already is no change, and the file beside is not watched
        assert done.stdout == str(['open a.txt', 'os.rename a.txt', 'os.mkdir folder', 'open folder/c.txt']) + '\n'


def test_what_is_left_is_compared_without_times(tmp_path):
    for name, seconds, loss in (('a', 1.0, 0.5), ('b', 2.0, 0.5), ('c', 1.0, 0.25)):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'metrics.jsonl').write_text(json.dumps({'loss': loss, 'seconds': seconds}) + '\n')
        (tmp_path / name / 'where.txt').write_text(f'in {tmp_path / name}')
    a, b, c = (contents(tmp_path / name) for name in 'abc')
    assert differences(a, b) == '' and 'metrics.jsonl is another' in differences(a, c)
    assert differences(a, {}) == 'metrics.jsonl is missing; where.txt is missing'
    (tmp_path / 'b' / 'summary.json').write_text('{"top1": 0.')
    (tmp_path / 'b' / '.hidden.json').write_text('{"top1": 0.')
    assert halves(tmp_path / 'b', False, a) == 'summary.json'
    (tmp_path / 'b' / 'where.txt').write_text('in')
    assert halves(tmp_path / 'b', True, a) == 'summary.json, where.txt'


def test_a_run_that_is_killed_ends_as_one_that_is_not(tmp_path):
    words = ('--only', 'train', '--kinds', 'killed', 'cut', '--kills', '1', '--out', 'kills.json')
    done = python('-m', 'campaigns.kills', *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / 'kills.json').read_text())
    counts = result['commands']['train']
    assert (counts['killed'], counts['cut'], counts['stuck'], counts['different']) == (1, 1, 0, 0)
    assert counts['changes'] > 30 and result['failed'] == []
    assert '| all |' in done.stdout
