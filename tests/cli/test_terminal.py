"""Names that come from others: what a terminal would obey is shown, not sent."""

import io
import sys

import numpy as np
import pytest

from gluon_fg.cli.terminal import plain_output
from gluon_fg.evaluation.score import Scores

OWNED = '\x1b]0;owned\x07'


@pytest.mark.parametrize(
    'text, shown',
    [
        ('plain\ttext\n', 'plain\ttext\n'),
        (f'a{OWNED}b\n', 'a\\x1b]0;owned\\x07b\n'),
        ('a\rb', 'a\\rb'),
        ('\x1b[A', '\\x1b[A'),
        ('\x9b31m', '\\x9b31m'),
        ('gpj.\u202eexe', 'gpj.\\u202eexe'),
        ('a\u2028b', 'a\\u2028b'),
        ('Größe 走路 \U0001f600 \xa0', 'Größe 走路 \U0001f600 \xa0'),
    ],
)
def test_what_a_terminal_obeys_is_shown(text, shown, monkeypatch):
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, 'stdout', out)
    monkeypatch.setattr(sys, 'stderr', err)
    with plain_output():
        print(text, end='')
        sys.stderr.writelines([text])
        assert sys.stdout.getvalue() == out.getvalue()  # all else is the stream's own
    assert out.getvalue() == shown and sys.stdout is out
    bars = text in ('a\rb', '\x1b[A')  # which progress bars say
    assert err.getvalue() == (text if bars else shown)


def test_a_video_named_so_is_told(command, tiny_synthfg, tmp_path):
    """By its path in tables, in messages, in logs, and as the name of a model in a score file."""
    (tmp_path / f'{OWNED}.mp4').write_bytes((tiny_synthfg / 'test' / '00000.mp4').read_bytes())
    (tmp_path / f'broken{OWNED}.mp4').write_bytes(b'no film')
    code, out, err = command('predict', tmp_path, '--model', 'i3d_tiny_synthfg_dfb')
    assert code == 2 and '\\x1b]0;owned\\x07.mp4' in out and 'broken\\x1b]0;owned\\x07.mp4' in err
    assert not {'\x1b', '\x07'} & set(out + err)


def test_a_score_file_that_names_so_is_told(command, tmp_path):
    p = np.full((2, 1, 2), 0.5, np.float32)
    for name, model in (('a', f'one{OWNED}'), ('b', 'two')):
        ids = (f'{OWNED}.mp4', 'b.mp4')
        Scores(ids, np.array([0, 1]), p, ('avg',), ('x', 'y'), None, f'p{OWNED}', {}, model, 'set').save(
            tmp_path / f'{name}.npz'
        )
    code, out, err = command('compare', tmp_path / 'a.npz', tmp_path / 'b.npz')
    assert code == 0 and 'one\\x1b]0;owned\\x07' in out
    assert not {'\x1b', '\x07'} & set(out + err)
