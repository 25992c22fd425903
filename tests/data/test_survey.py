"""Checking all files: what is seen of each, in several processes, stopped and gone on with."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from crashing import crash_on_bad

from gluon_fg.data import health, prepare, survey
from gluon_fg.data.health import FileHealth, check_file, look
from gluon_fg.data.manifest import FILE, FOLDER
from gluon_fg.data.survey import Journal
from gluon_fg.errors import UserError

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def clip(write_video):
    return write_video('survey.mp4', frames=10, bf='2')


@pytest.fixture
def folder(clip, tmp_path):
    """24 clips of two classes, of which one is broken and one empty."""
    root = tmp_path / 'set'
    for number in range(24):
        place = root / 'train' / ('even', 'odd')[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, place / f'{number}.mp4')
    (root / 'train/odd/3.mp4').write_bytes(b'')
    (root / 'train/even/4.mp4').write_bytes(clip.read_bytes()[:700])
    return root


def test_what_is_seen_of_a_film(clip):
    seen = check_file(str(clip))
    assert (seen.kind, seen.frames, seen.fps, seen.width, seen.height, seen.turns, seen.problem) == (
        'video', 10, 25.0, 64, 48, 0, '',
    )  # fmt: skip
    assert (seen.bytes, seen.mtime_ns) == (os.path.getsize(clip), os.stat(clip).st_mtime_ns)
    assert seen.sha256 == health.sha256(clip) and len(set(seen.looks)) == 3


def test_what_is_wrong_is_said(clip, tmp_path):
    def problem(name, content):
        (tmp_path / name).write_bytes(content)
        return check_file(str(tmp_path / name)).problem

    assert check_file(str(tmp_path / 'none.mp4')).problem == 'missing'
    assert problem('empty.mp4', b'') == 'broken: is an empty file'
    assert problem('cut.mp4', clip.read_bytes()[:700]).startswith('broken: cannot be read as a video')
    assert problem('text.mp4', b'It was a dark and stormy night. ' * 90).startswith('broken: ')
    assert problem('word.png', b'no picture') == 'broken: is not an image that can be read'
    (tmp_path / 'nothing').mkdir()
    assert check_file(str(tmp_path / 'nothing')).problem.startswith('broken: this folder holds no image')


SOUND = """
import sys
import av, numpy as np
with av.open(sys.argv[1], 'w') as container:
    stream = container.add_stream('aac', rate=16000)
    cover = None
    if sys.argv[2] == 'cover':
        cover = container.add_stream('mjpeg', rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, 'yuvj420p'
        picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 99, np.uint8), format='rgb24')
        container.mux(cover.encode(picture.reformat(format='yuvj420p')))
        container.mux(cover.encode())
    for number in range(4):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format='fltp', layout='mono')
        frame.sample_rate, frame.pts = 16000, 1024 * number
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
"""


@pytest.mark.parametrize('kind, said', [('alone', 'sound alone'), ('cover', 'sound and a cover picture')])
def test_sound_is_no_video(tmp_path, kind, said):
    path = tmp_path / 'song.mp4'
    subprocess.run([sys.executable, '-c', SOUND, path, kind], check=True, timeout=60)
    assert check_file(str(path)).problem == f'no video: it has {said}'


def test_folders_of_frames_and_images_are_checked(tmp_path):
    folder = tmp_path / 'frames'
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f'{number}.png'), np.full((20, 30, 3), 80 * number, np.uint8))
    seen = check_file(str(folder))
    assert (seen.kind, seen.frames, seen.width, seen.height, seen.problem) == ('frames', 3, 30, 20, '')
    assert seen.bytes == sum(file.stat().st_size for file in folder.iterdir())
    shutil.copy(folder / '1.png', tmp_path / 'other.png')
    assert check_file(str(folder / '1.png')).sha256 == check_file(str(tmp_path / 'other.png')).sha256
    (folder / '2.png').write_bytes(b'cut')
    broken = check_file(str(folder))
    assert broken.problem.endswith('is not an image that can be read') and broken.sha256 != seen.sha256


def test_looks_survive_scaling_and_compression():
    rng = np.random.default_rng(0)
    pictures = [cv2.resize(rng.integers(0, 256, (9, 12, 3), np.uint8), (320, 240)) for _ in range(20)]
    looks = [look(picture) for picture in pictures]
    for picture, before in zip(pictures, looks):
        code = cv2.imencode('.jpg', cv2.resize(picture, (200, 150)), [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
        assert bin(look(cv2.imdecode(code, 1)) ^ before).count('1') <= 4
    others = [bin(a ^ b).count('1') for i, a in enumerate(looks) for b in looks[:i]]
    assert min(others) > 10 and all(0 < value < 2**63 for value in looks)
    assert look(np.full((40, 40, 3), 17, np.uint8)) == 0


def test_a_stopped_check_goes_on(folder, monkeypatch):
    """Ctrl-C at any file: what was checked is not checked again, and the manifest is that of an undisturbed check."""
    out = folder / FOLDER / 'folder'
    whole = prepare.prepare('folder', folder, workers=0)
    wanted = (out / FILE).read_bytes()
    checked = []

    def stop(path):
        if len(checked) in (5, 6, 17):
            checked.append(None)
            raise KeyboardInterrupt
        checked.append(path)
        return check_file(path)

    monkeypatch.setattr(survey.survey, '__defaults__', (*survey.survey.__defaults__[:-1], stop))
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            prepare.prepare('folder', folder, workers=0, again=not checked)
        assert (out / prepare.JOURNAL).exists() and not (out / FILE).exists()
    again = prepare.prepare('folder', folder, workers=0)
    assert (out / FILE).read_bytes() == wanted and not (out / prepare.JOURNAL).exists()
    assert len([path for path in checked if path]) == 24 and again.manifest.rows() == whole.manifest.rows()


def test_killed_at_any_moment_it_ends_with_the_same_manifest(folder):
    out = folder / FOLDER / 'folder'
    prepare.prepare('folder', folder, workers=0)
    wanted = (out / FILE).read_bytes()
    os.unlink(out / FILE)
    journal = out / prepare.JOURNAL
    words = [sys.executable, '-m', 'gluon_fg', 'data', 'prepare', 'folder', folder, '--workers', '2']
    process = subprocess.Popen(list(map(str, words)), cwd=REPO, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b'\n') >= 3) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = journal.read_bytes()
    assert left.count(b'\n') >= 3 and not (out / FILE).exists()
    journal.write_bytes(left[:-9])  # as a machine that lost its power may leave it
    made = prepare.prepare('folder', folder, workers=0)
    assert sum(bool(row.problems) for row in made.manifest.rows()) == 2
    assert (out / FILE).read_bytes() == wanted and not journal.exists()


def test_a_file_that_ends_its_process_costs_itself_alone(tmp_path):
    names = [f'{number}.mp4' for number in range(8)] + ['bad.mp4']
    for name in names:
        (tmp_path / name).write_bytes(b'film')
    with Journal(tmp_path / 'journal') as journal:
        seen = survey.survey(str(tmp_path), names, journal, {}, 2, check=crash_on_bad)
        assert journal.entries().keys() == set(names)
    assert list(seen) == names and [seen[name].frames for name in names] == [7] * 8 + [0]
    assert seen['bad.mp4'].problem == 'broken: decoding it ends the process'


def test_only_one_check_writes_to_a_journal(tmp_path):
    with Journal(tmp_path / 'journal'):
        with pytest.raises(UserError, match='another check writes there now'):
            with Journal(tmp_path / 'journal'):
                pass
    with Journal(tmp_path / 'journal') as journal:
        journal.add('a', FileHealth(frames=3))
        assert journal.entries() == {'a': FileHealth(frames=3)}


def test_an_unchanged_file_is_not_checked_again_a_changed_one_is(folder, clip, monkeypatch):
    prepare.prepare('folder', folder, workers=0)
    shutil.copy(clip, folder / 'train/odd/3.mp4')
    checked = []
    record = lambda path: checked.append(os.path.basename(path)) or check_file(path)  # noqa: E731
    monkeypatch.setattr(survey.survey, '__defaults__', (*survey.survey.__defaults__[:-1], record))
    made = prepare.prepare('folder', folder, workers=0)
    assert checked == ['3.mp4'] and sum(bool(row.problems) for row in made.manifest.rows()) == 1
    with pytest.raises(UserError, match='workers must be 0 or more, got -1'):
        prepare.prepare('folder', folder, workers=-1)
    prepare.prepare('folder', folder, workers=0, again=True)
    assert len(checked) == 25
