"""gluon-fg explain place, as users start it."""

import json
import shutil

import pytest

MODEL = ('--model', 'i3d_tiny_synthfg_dfb')


@pytest.fixture
def two(tiny_synthfg, tmp_path):
    """A folder of one's own with a video of two of the network's classes each, beside one that is broken."""
    for number, name in ((5, 'diamond: cross flashes'), (6, 'diamond: triangle flashes')):
        folder = tmp_path / 'mine' / 'test' / name
        folder.mkdir(parents=True)
        shutil.copy(tiny_synthfg / 'test' / f'{number:05d}.mp4', folder / f'{number}.mp4')
    (folder / 'broken.mp4').write_bytes(b'no film')
    return tmp_path / 'mine'


def test_a_folder_of_ones_own(command, two, tmp_path, caplog):
    page = tmp_path / 'place.html'
    words = ('explain', 'place', *MODEL, '--dataset', 'folder', '--root', two, '--sources', 'responses', '--steps', 2)
    code, text, err = command(*words, '--out', page, '--pictures', 1)
    assert code == 0, err
    first, head, _, *rows = text.splitlines()
    assert first == '3 videos, 21 passes of a clip for each; responses, random, center'
    assert head.split()[:4] == ['source', 'covered,', '%', 'drop']
    drops = {row.split()[0]: float(row.split()[2]) for row in rows[:3]}
    assert drops['responses'] > 40 > 5 > drops['random']  # its filters find the glyphs that flash
    assert 'peaks of responses' in text and text.splitlines()[-1] == f'wrote {page}'
    assert 'left out: 1 of 3 videos' in err and 'broken.mp4' in caplog.text + err
    assert page.read_text().count('<img') == 2  # a frame, and where responses point
    code, text, err = command(*words, '--out', tmp_path / 'place.png', '--json')
    told = json.loads(text)
    assert code == 0 and (tmp_path / 'place.png').read_bytes().startswith(b'\x89PNG')
    assert 100 * told['sources']['responses']['drop']['mean'] == pytest.approx(drops['responses'], abs=0.06)
    assert [video['video'].rsplit('/')[-1] for video in told['videos']] == ['5.mp4', '6.mp4']


def test_bad_input_is_one_line(error_line, tiny_synthfg, tmp_path):
    def line(*words):
        return error_line('explain', 'place', *MODEL, '--root', tiny_synthfg, *words)

    assert "unknown source of evidence of i3d_tiny_synthfg_dfb 'mask'" in line('--sources', 'mask')
    assert 'steps must be at least 2, got 1' in line('--steps', 1)
    assert 'limit must be at least 1, got 0' in line('--limit', 0)
    assert '.html or .png' in line('--out', tmp_path / 'place.gif')
    (tmp_path / 'there.html').write_text('mine')
    assert 'there.html' in line('--out', tmp_path / 'there.html') and (tmp_path / 'there.html').read_text() == 'mine'
