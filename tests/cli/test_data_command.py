"""`gluon-fg data check`: what is listed, what is there, what can be decoded."""

import hashlib
import json
import re
import shutil

from gluon_fg.data import films, synthfg


def test_a_whole_set_is_counted(command, tiny_synthfg):
    code, out, err = command('data', 'check', 'synthfg', '--root', tiny_synthfg, '--split', 'val', '--probe', 2)
    first, *counts = out.splitlines()
    assert (code, err) == (0, '') and first == '  val      24 videos of 24 classes, 24 there, 2 decoded'
    assert [line.split('  ')[2].strip() for line in counts] == list(synthfg.CLASSES)
    assert all(line.endswith('    1') for line in counts)


def test_the_missing_and_the_broken_are_named(command, tiny_synthfg, tmp_path):
    for split, files in (('train', ('a.mp4', 'cut.mp4')), ('val', ('b.mp4',))):
        folder = tmp_path / split / 'open'
        folder.mkdir(parents=True)
        for name in files:
            shutil.copy(next(iter((tiny_synthfg / 'test').glob('*.mp4'))), folder / name)
    (tmp_path / 'train' / 'open' / 'cut.mp4').write_bytes(b'cut')
    code, out, err = command('data', 'check', 'folder', '--root', tmp_path, '--json')
    reports = json.loads(out)
    assert code == 2 and [(r['split'], r['listed'], r['there'], r['decoded']) for r in reports] == [
        ('train', 2, 2, 2),
        ('val', 1, 1, 1),
    ]
    assert reports[0]['classes'] == {'open': 2}
    assert len(reports[0]['errors']) == 1 and 'cut.mp4' in err and 'note: ' in err and 'test' in err
    (tmp_path / 'list.csv').write_text('path,label\ntrain/open/a.mp4,open\nnone.mp4,close\nmore.mp4,close\n')
    code, out, err = command('data', 'check', 'csv', '--root', tmp_path, '--split', tmp_path / 'list.csv')
    assert code == 2 and '3 videos of 2 classes, 1 there, 1 decoded' in out
    assert err == f'error: {tmp_path / "none.mp4"} is missing, and 1 more\n'


def test_films_are_fetched_and_verified(command, error_line, tmp_path, monkeypatch):
    """From a stand-in for the web; what is another file, or not there, gets one line."""
    (tmp_path / 'there').write_bytes(b'a film')
    digest = hashlib.sha256(b'a film').hexdigest()
    film = films.Film('arm_wrestling.mp4', digest, 6, f'file://{tmp_path}/there', 'somebody (a license)')
    monkeypatch.setattr(films, 'FILMS', (film,))
    code, out, _ = command('data', 'prepare', 'films', '--root', tmp_path / 'films')
    assert code == 0 and (tmp_path / 'films/arm_wrestling.mp4').read_bytes() == b'a film'
    assert 'somebody (a license)' in out and 'next: gluon-fg predict' in out and 'arm_wrestling.mp4 --model' in out
    monkeypatch.setattr(films, 'FILMS', (film._replace(sha256='0' * 64),))
    line = error_line('data', 'prepare', 'films', '--root', tmp_path / 'other')
    assert 'arm_wrestling.mp4' in line and 'by hand' in line and not list((tmp_path / 'other').glob('*.mp4'))


def test_the_films_that_are_named_are_of_one_commit_each():
    for film in films.FILMS:
        assert re.fullmatch('[0-9a-f]{64}', film.sha256) and 0 < film.bytes < 1 << 20
        assert re.match(r'https://[^/]+/[^/]+/[^/]+/[0-9a-f]{40}/', film.url) and film.source
