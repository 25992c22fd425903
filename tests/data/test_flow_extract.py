"""Extraction of flow: what is stored, under which names, and that it survives kills."""

import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from crashing import stop_or_sleep

from gluon_fg.data.flow import FlowSettings, compute, open_flow, restore
from gluon_fg.data.flow.extract import UNFINISHED, _names, extract_flow
from gluon_fg.data.flow.gathering import gather
from gluon_fg.data.flow.listing import FILE, LAYOUTS, Entry, Header, Recording, entry_line
from gluon_fg.data.flow.scenes import MOTIONS, moving
from gluon_fg.data.flow.stored import READERS
from gluon_fg.data.flow.writing import WRITERS
from gluon_fg.data.pool import in_processes
from gluon_fg.data.video import open_video
from gluon_fg.errors import UserError, VideoError

REPO = Path(__file__).resolve().parents[2]
DIS = Header('dis', 20.0, None, 'zip', 95)


def run(root, paths, out, workers=0, **header):
    return extract_flow(root, paths, out, DIS._replace(**header), workers)


def write_frames(folder, frames):
    """A folder of lossless frames, img_00001.png and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, start=1):
        cv2.imwrite(str(folder / f'img_{number:05d}.png'), frame[..., ::-1])
    return folder


def files_of(folder):
    """Everything in a folder: path -> bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


@pytest.fixture(scope='module')
def film(tmp_path_factory):
    """A folder of seven frames, and their flow."""
    frames, flow = moving(MOTIONS['all three'], 7)
    return write_frames(tmp_path_factory.mktemp('films') / 'a film', frames), flow


@pytest.mark.parametrize('layout', LAYOUTS)
def test_stored_flow_is_the_films(film, tmp_path, layout):
    folder, flow = film
    made = run(folder.parent, [folder.name], tmp_path, layout=layout)
    assert made.computed == 1 and made.left_out == {}
    with open_flow(tmp_path, folder.name) as reader, open_video(folder) as frames:
        assert (len(reader), reader.size) == (len(frames) - 1, frames.size)
        assert reader.settings == FlowSettings('dis', 20.0, None)
        stored = restore(reader.get_batch(range(6)))
        pictures = frames.get_batch(range(7))
    exact = np.stack([compute(a, b) for a, b in zip(pictures, pictures[1:])])
    # 8 bits are right to 0.078 pixels; JPEG at 95 moves one in ten thousand values by more than another step
    assert np.abs(stored - exact).mean() < 0.06 and (np.abs(stored - exact) <= 1.5 * 40 / 255).mean() > 0.999
    assert np.linalg.norm(stored - flow, axis=-1).mean() < 0.25
    shown = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob('*.*'))
    assert shown[0] in ('a film.zip', 'a film/flow_x_00001.jpg', 'flow.jsonl')
    if layout == 'zip':
        with zipfile.ZipFile(tmp_path / 'a film.zip') as archive:
            assert archive.namelist()[:2] == ['flow_x_00001.jpg', 'flow_y_00001.jpg'] and archive.testzip() is None
    elif layout == 'uv':
        assert shown[1:] == [f'{tree}/a film/frame{n:06d}.jpg' for tree in 'uv' for n in range(1, 7)]


@pytest.mark.parametrize('quality, error', [(100, 0.06), (75, 0.12)])
def test_quality_costs_bytes(film, tmp_path, quality, error):
    folder, _ = film
    run(folder.parent, [folder.name], tmp_path, quality=quality)
    run(folder.parent, [folder.name], tmp_path / '95')
    size, usual = [(path / 'a film.zip').stat().st_size for path in (tmp_path, tmp_path / '95')]
    assert (size > usual) == (quality > 95)
    with open_flow(tmp_path, folder.name) as reader, open_video(folder) as frames:
        pictures = frames.get_batch([0, 1])
        assert np.abs(restore(reader.get_batch([0]))[0] - compute(*pictures)).mean() < error


@pytest.mark.parametrize('short_side', [None, 48, 33, 256])
def test_a_short_side_scales_frames_first(film, tmp_path, short_side):
    folder, flow = film
    run(folder.parent, [folder.name], tmp_path, short_side=short_side)
    height = 96 if short_side in (None, 256) else short_side  # a smaller film keeps its size
    with open_flow(tmp_path, folder.name) as reader:
        assert reader.size == (round(128 * height / 96), height) and reader.settings.short_side == short_side
        stored = restore(reader.get_batch([2]))[0]
    small = cv2.resize(flow, reader.size) * height / 96
    assert np.linalg.norm(stored - small, axis=-1).mean() < 0.25


def test_a_mirrored_film_has_mirrored_flow(tmp_path):
    frames, _ = moving(MOTIONS['all three'], 3)
    write_frames(tmp_path / 'a', frames)
    write_frames(tmp_path / 'b', frames[:, :, ::-1])
    run(tmp_path, ['a', 'b'], tmp_path / 'out')
    with open_flow(tmp_path / 'out', 'a') as a, open_flow(tmp_path / 'out', 'b') as b:
        plain, mirrored = a.get_batch([0, 1]).astype(int), b.get_batch([0, 1])[:, :, ::-1].astype(int)
    mirrored[..., 0] = 255 - mirrored[..., 0]
    assert np.abs(plain - mirrored).mean() < 1 and np.percentile(np.abs(plain - mirrored), 99) <= 2


# Files of every kind ---------------------------------------------------------------------------------------------


def test_films_of_every_kind(write_video, tmp_path):
    """Sub-folders, blanks, other scripts, two suffixes, a film and a folder of one name, a cut and a short film."""
    root, out = tmp_path / 'videos', tmp_path / 'flow'
    plain, other = write_video('flow.mp4', frames=6), write_video('flow.avi', codec='mpeg4', frames=5)
    upright = write_video('flow upright.mp4', frames=4, size=(64, 48))
    single, cut = write_video('single.mp4', frames=1), write_video('cut.mp4', frames=40)
    (root / 'sub folder' / 'größe').mkdir(parents=True)
    for source, name in (
        (plain, 'a.mp4'),
        (other, 'a.avi'),
        (plain, 'sub folder.mp4'),
        (plain, 'sub folder/größe/手 .mp4'),
        (upright, 'sub folder/a.MP4'),
        (single, 'single.mp4'),
        (plain, 'v1.5'),
    ):
        shutil.copy(source, root / name)
    (root / 'cut.mp4').write_bytes(cut.read_bytes()[:-3000])
    (root / 'empty.mp4').touch()
    given = gather(str(root), out=str(out))
    assert len(given.paths) == 8  # v1.5 does not end like a video
    made = run(given.root, [*given.paths, './a.mp4', 'not there.mp4'], out)
    assert set(made.left_out) == {'single.mp4', 'cut.mp4', 'empty.mp4', 'not there.mp4'} and made.computed == 5
    assert 'one frame' in made.left_out['single.mp4'] and 'no such file' in made.left_out['not there.mp4']
    lengths = {
        'a.mp4': (5, (64, 48)),
        'a.avi': (4, (64, 48)),
        'sub folder.mp4': (5, (64, 48)),
        'sub folder/größe/手 .mp4': (5, (64, 48)),
        'sub folder/a.MP4': (3, (48, 64)),
    }
    for path, expected in lengths.items():
        with open_flow(out, path) as reader:
            assert (len(reader), reader.size) == expected
            reader.get_batch(range(len(reader)))
        assert len(open_flow(out, root / path)) == expected[0]
    archives = {str(path.relative_to(out)) for path in out.rglob('*.zip')}
    assert archives == {'a.mp4.zip', 'a.avi.zip', 'sub folder.mp4.zip', 'sub folder/größe/手 .zip', 'sub folder/a.zip'}
    for path in made.left_out:
        with pytest.raises(VideoError, match='has no flow'):
            open_flow(out, path)
    before = files_of(out)
    again = run(given.root, [*given.paths, 'not there.mp4'], out)
    assert again.computed == 0 and set(again.left_out) == set(made.left_out) and files_of(out) == before


def test_frames_that_change_size_are_that_films_alone(tmp_path):
    frames, _ = moving(MOTIONS['zoom'], 4)
    write_frames(tmp_path / 'good', frames)
    write_frames(tmp_path / 'bad', frames)
    cv2.imwrite(str(tmp_path / 'bad' / 'img_00003.png'), frames[0, :50])
    made = run(tmp_path, ['bad', 'good'], tmp_path / 'out')
    assert list(made.left_out) == ['bad'] and 'is 128x50, the first frame 128x96' in made.left_out['bad']
    assert not (tmp_path / 'out' / 'bad.zip').exists() and len(open_flow(tmp_path / 'out', 'good')) == 3


def test_names_never_meet():
    paths = ['a.mp4', 'a.avi', 'A.webm', 'a.avi.mp4', 'b/c.mp4', 'b.mp4', 'b', 'd.mp4', '/far/d.mp4', 'x.y', 'e.mp4']
    names = _names(paths, {})
    assert len({name.lower() for name in names.values()}) >= len(paths) - 1 and len(set(names.values())) == len(paths)
    assert (names['d.mp4'], names['x.y'], names['b/c.mp4']) == ('d', 'x.y', 'b/c')
    assert names['a.mp4'] == 'a.mp4' and names['b.mp4'] == 'b.mp4' and names['/far/d.mp4'].startswith('outside/')
    assert _names(paths, names) == names
    later = _names(['e.avi', 'e.mp4'], {'e.mp4': 'e'})  # another list, into the same folder
    assert later == {'e.mp4': 'e', 'e.avi': 'e.avi'}


def test_clips_listed_by_times_share_their_film(write_video, tmp_path):
    shutil.copy(write_video('flow.mp4', frames=6), tmp_path / 'film.mp4')
    rows = ['path,label,start,end', 'film.mp4,0,0,0.1', 'film.mp4,1,0.1,0.2', f'{tmp_path}/film.mp4,1,,']
    (tmp_path / 'clips.csv').write_text('\n'.join(rows))
    given = gather(str(tmp_path / 'clips.csv'))
    made = run(given.root, given.paths, tmp_path / 'out')
    assert list(made.entries) == ['film.mp4'] and len(open_flow(tmp_path / 'out', 'film.mp4')) == 5


def test_fields_beside_frames(tmp_path):
    """TSN's layout: img_00001.jpg and flow_x_00001.jpg in one folder, which stays one film of as many frames."""
    frames, _ = moving(MOTIONS['all three'], 4)
    write_frames(tmp_path / 'v', frames)
    given = gather(str(tmp_path), out=str(tmp_path))
    assert given.paths == ['v']
    run(given.root, given.paths, tmp_path, layout='pairs')
    assert len(open_flow(tmp_path, 'v')) == 3
    with open_video(tmp_path / 'v') as reader:
        np.testing.assert_array_equal(reader.get_batch(range(4)), frames)
    before = files_of(tmp_path)
    assert run(given.root, gather(str(tmp_path), out=str(tmp_path)).paths, tmp_path, layout='pairs').computed == 0
    assert files_of(tmp_path) == before


# What is there already -------------------------------------------------------------------------------------------


def test_flow_of_others_is_never_replaced(film, tmp_path):
    folder, _ = film
    (tmp_path / 'a film').mkdir()
    (tmp_path / 'a film' / 'flow_x_00001.jpg').write_text('mine')
    (tmp_path / 'a film.zip').write_text('mine')
    before = files_of(tmp_path)
    for layout in ('pairs', 'zip'):
        with pytest.raises(UserError, match='a film.* is there already, and no flow that was computed here'):
            run(folder.parent, [folder.name], tmp_path, layout=layout)
        assert files_of(tmp_path) == before


@pytest.mark.parametrize(
    'other, line',
    [
        (dict(bound=16.0), 'holds flow of bound 20.0, not 16.0'),
        (dict(short_side=64), 'holds flow of short side None, not 64'),
        (dict(layout='uv'), 'holds flow of layout zip, not uv'),
        (dict(quality=90), 'holds flow of quality 95, not 90'),
    ],
)
def test_one_folder_has_one_setting(film, tmp_path, other, line):
    folder, _ = film
    run(folder.parent, [folder.name], tmp_path)
    with pytest.raises(UserError, match=f'{line}; choose another --out'):
        run(folder.parent, [folder.name], tmp_path, **other)


def test_a_video_that_has_changed_is_computed_again(write_video, tmp_path):
    shutil.copy(write_video('flow.mp4', frames=6), tmp_path / 'a.mp4')
    run(tmp_path, ['a.mp4'], tmp_path / 'out')
    shutil.copy(write_video('flow.avi', codec='mpeg4', frames=5), tmp_path / 'a.mp4')
    assert run(tmp_path, ['a.mp4'], tmp_path / 'out').computed == 1
    assert len(open_flow(tmp_path / 'out', 'a.mp4')) == 4


def test_a_second_process_is_refused(film, tmp_path):
    folder, _ = film
    run(folder.parent, [folder.name], tmp_path)
    with Recording(tmp_path, DIS), pytest.raises(UserError, match='another process computes flow there now'):
        run(folder.parent, [folder.name], tmp_path)


# Kills -----------------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from gluon_fg.data.flow.extract import extract_flow
from gluon_fg.data.flow.listing import Header

EVENTS = {'open', 'os.rename', 'os.remove', 'os.mkdir', 'os.rmdir', 'os.chmod', 'shutil.rmtree', 'fcntl.flock'}
root, *all_outs = sys.argv[1:]


def count(out, last):
    # A child extracts, and kills itself at its file operation number `last`; gives how many it has come to
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        seen = [0]

        def hook(event, args):
            if event in EVENTS:
                seen[0] += 1
                if seen[0] == last:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        extract_flow(root, sorted(os.listdir(root)), out, Header('dis', 20.0, None, layout, 95), 0)
        os.write(write, str(seen[0]).encode())
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert (os.WTERMSIG(status) == signal.SIGKILL) if last else status == 0, status
    os.close(write)
    return os.read(read, 20).decode()


for layout in ('zip', 'pairs', 'uv'):
    outs = [f'{out}/{layout}' for out in all_outs]
    events = int(count(outs[0], 0))
    for place, out in enumerate(outs[1:], start=1):
        count(out, place * events // len(outs))
    print(events)
"""


@pytest.fixture(scope='module')
def killed(tmp_path_factory):
    """Films, and 21 folders in each of which they were extracted in every layout; killed on the way but in the first.

    Killed at twenty operations on files, spread from the first to the last.
    """
    root = tmp_path_factory.mktemp('killed')
    for name in 'ab':
        write_frames(root / 'films' / name, moving(MOTIONS['rotation'], 3, 48, 64, ord(name))[0])
    outs = [root / f'out{number}' for number in range(21)]
    command = [sys.executable, '-c', KILLED, root / 'films', *outs]
    environment = {**os.environ, 'PYTHONPATH': str(REPO)}
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert min(map(int, done.stdout.split())) > 21
    return root / 'films', outs


@pytest.mark.parametrize('layout', LAYOUTS)
def test_twenty_kills_leave_nothing_that_passes_for_whole(killed, layout):
    films, outs = killed
    wanted = files_of(outs[0] / layout)
    assert len(wanted) == {'zip': 3, 'pairs': 9, 'uv': 9}[layout]
    stopped = 0
    for out in (path / layout for path in outs[1:]):
        for name in 'ab' if (out / FILE).exists() and (out / FILE).stat().st_size else '':
            try:
                with open_flow(out, name) as reader:
                    assert len(reader.get_batch(range(len(reader)))) == 2
            except VideoError as error:
                assert 'was stopped' in str(error)
                stopped += 1
        assert run(films, ['a', 'b'], out, layout=layout).left_out == {}
        assert files_of(out) == wanted
    assert stopped > 10


def test_a_manifest_that_was_torn_is_gone_on_with(film, tmp_path):
    """Its last line has no end where the power went; what lay under its name then without a line is computed again."""
    folder, _ = film
    out = tmp_path / 'out'
    for name in 'ab':
        shutil.copytree(folder, tmp_path / 'films' / name)
    run(tmp_path / 'films', ['a', 'b'], out)
    wanted = files_of(out)
    header, *done = wanted[FILE].decode().splitlines()
    begun = [entry_line(Entry(name, name, problem=UNFINISHED)) for name in 'ab']
    for lines, torn in ((['{"format": "gl'], True), ([header, *begun], True), ([header, *begun, *done], False)):
        text = '\n'.join(lines)
        for size in (0, 5, len(text)) if torn else range(len(text) - 40, len(text), 7):
            (out / FILE).write_text(text[:size])
            if torn:
                for name in 'ab':
                    (out / f'{name}.zip').unlink()
            run(tmp_path / 'films', ['a', 'b'], out)
            assert files_of(out) == wanted


def test_an_interrupted_pool_does_not_wait_for_what_is_under_way():
    """A film takes minutes, and others wait in the queue: all would be computed before the command ended."""
    began = time.monotonic()
    with pytest.raises(OSError, match='the disk is full'):
        list(in_processes(stop_or_sleep, {'long': 'sleep', 'full': 'stop', 'queued': 'sleep'}, 2, str))
    assert time.monotonic() - began < 120


def test_the_layouts_that_are_read_are_those_that_are_written():
    assert set(WRITERS) == set(READERS) == set(LAYOUTS)


@pytest.mark.parametrize('layout', LAYOUTS)
def test_fields_that_somebody_removed_are_computed_again(film, tmp_path, layout):
    folder, _ = film
    run(folder.parent, [folder.name], tmp_path, layout=layout)
    before = files_of(tmp_path)
    for place in [path for path in tmp_path.iterdir() if path.name != FILE]:
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    assert run(folder.parent, [folder.name], tmp_path, layout=layout).computed == 1
    assert files_of(tmp_path) == before
    assert run(folder.parent, [folder.name], tmp_path, layout=layout).computed == 0
