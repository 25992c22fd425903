"""`gluon-fg data flow` and `gluon-fg benchmark --flow` as a user asks for them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gluon_fg.data.flow import open_flow, speed
from gluon_fg.data.flow.gathering import gather
from gluon_fg.data.flow.listing import FILE
from gluon_fg.data.prepare import prepare
from gluon_fg.errors import UserError

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def films(write_video, tmp_path_factory):
    """A dataset 'folder' of two classes in two splits, with the same names in both."""
    root = tmp_path_factory.mktemp('films')
    for split, frames in (('train', 6), ('val', 5)):
        for name in ('a/1.mp4', 'b/2.mp4'):
            (root / split / name).parent.mkdir(parents=True)
            shutil.copy(write_video(f'flow {frames}.mp4', frames=frames), root / split / name)
    return root


def test_a_dataset_of_several_splits(films, tmp_path, command):
    out = tmp_path / 'flow'
    code, said, _ = command('data', 'flow', 'folder', '--root', films, '--out', out, '--workers', 0, '--bound', 16)
    assert code == 0 and 'flow of 4 of 4 videos, 18 fields; 4 computed now' in said and f'--flow {out}' in said
    assert (out / 'train' / 'a' / '1.zip').is_file()
    for split, fields in (('train', 5), ('val', 4)):
        with open_flow(out, films / split / 'a' / '1.mp4') as reader:  # as a dataset of that split knows it
            assert (len(reader), reader.settings) == (fields, ('dis', 16.0, 256))
    header = json.loads((out / FILE).read_text().splitlines()[0])
    assert header['layout'] == 'zip' and header['quality'] == 95
    code, said, _ = command('data', 'flow', 'folder', '--root', films, '--out', out, '--bound', 16)
    assert code == 0 and '0 computed now' in said


def test_a_broken_video_is_named_and_the_others_are_computed(films, tmp_path, command):
    shutil.copytree(films / 'val', tmp_path / 'v')
    for number in range(7):
        (tmp_path / 'v' / f'{number}.mp4').write_bytes(b'no film')
    words = ('data', 'flow', tmp_path / 'v', '--out', tmp_path / 'flow', '--workers', 0, '--layout', 'uv')
    code, said, err = command(*words)
    assert code == 2 and 'flow of 2 of 9 videos' in said and 'no flow: and 2 more' in err
    assert (tmp_path / 'flow' / 'v' / 'a' / '1' / 'frame000004.jpg').is_file()
    (tmp_path / 'v' / '0.mp4').unlink()
    assert command(*words)[0] == 2


def test_what_videos_may_be(films, tmp_path):
    """A folder, a list of either kind, a manifest, one film, a folder of frames of one film."""
    names = ['train/a/1.mp4', 'train/b/2.mp4', 'val/a/1.mp4', 'val/b/2.mp4']
    assert gather(str(films)).paths == names
    assert [os.path.relpath(path, films) for path in gather('folder', str(films), ['val']).paths] == names[2:]
    assert gather(str(films / names[0])) == (str(films / 'train' / 'a'), ['1.mp4'])
    (tmp_path / 'list.txt').write_text('\n'.join(names[:2]))
    assert gather(str(tmp_path / 'list.txt'), str(films)) == (str(films), names[:2])
    (tmp_path / 'list.csv').write_text(f'path,label\n{names[0]},0\n{names[0]},1\n')
    assert gather(str(tmp_path / 'list.csv'), str(films)).paths == [names[0]] * 2
    made = prepare('folder', films, out=tmp_path / 'made', workers=0)
    given = gather(str(made.folder / 'manifest.parquet'))
    assert os.path.samefile(given.root, films) and sorted(given.paths) == names
    frames = tmp_path / 'frames'
    for name in ('x', 'y/z'):
        (frames / name).mkdir(parents=True)
        (frames / name / 'img_00001.jpg').write_bytes(b'')
    assert gather(str(frames)).paths == ['x', 'y/z'] and gather(str(frames / 'x')) == (str(frames), ['x'])
    (frames / 'y' / FILE).write_text('')  # a folder of flow is no folder of films
    assert gather(str(frames)).paths == ['x']
    with pytest.raises(UserError, match='no video in it'):  # nor is the folder that flow goes to
        gather(str(frames), out=str(frames / 'x'))


@pytest.mark.parametrize(
    'words, line',
    [
        (['nothing_there'], 'nothing_there: no such folder, list or video, and no dataset of that name'),
        (['ucf101'], "dataset 'ucf101' needs a root folder"),
        (['folder', '--root', '{films}', '--split', 'tset'], 'tset'),
        (['{films}', '--split', 'val'], '--split goes with a dataset'),
        (['{films}', '--root', 'x'], '--root goes with a dataset or a list'),
        (['{films}', '--algorithm', 'farneback'], "unknown flow algorithm 'farneback'; choose from dis, tvl1"),
        (['{films}', '--layout', 'tar'], "unknown layout 'tar'; choose from pairs, uv, zip"),
        (['{films}', '--bound', '0'], '--bound is a number of pixels above 0, got 0'),
        (['{films}', '--short-side', '-1'], '--short-side is a number of pixels, or 0'),
        (['{films}', '--quality', '101'], '--quality is 1 to 100, got 101'),
        (['{films}', '--workers', '-1'], '--workers must be 0 or more'),
        (['{films}/train/a/none.mp4'], 'no such folder, list or video'),
        (['synthfg'], 'synthfg is rendered: gluon-fg data prepare synthfg --root FOLDER does it'),
        (['image_folder', '--root', '{films}'], 'image'),
    ],
)
def test_mistakes_are_one_line(films, tmp_path, error_line, words, line):
    out = tmp_path / 'flow'
    assert line in error_line('data', 'flow', *(word.format(films=films) for word in words), '--out', out)
    assert not out.exists() or not list(out.iterdir())


def test_flow_into_the_folder_of_other_flow(films, tmp_path, command, error_line):
    command('data', 'flow', films, '--out', tmp_path, '--workers', 0)
    line = error_line('data', 'flow', films, '--out', tmp_path, '--short-side', 32)
    assert line.endswith('holds flow of short side 256, not 32; choose another --out')


def test_the_command_is_killed_and_goes_on(films, tmp_path, command):
    """With two processes, killed once a video is done; nothing of it is left running."""
    words = ('data', 'flow', films, '--workers', '2', '--out')
    assert command('data', 'flow', films, '--workers', '0', '--out', tmp_path / 'whole')[0] == 0
    out = tmp_path / 'out'
    process = subprocess.Popen(
        [sys.executable, '-m', 'gluon_fg', *map(str, words), str(out)],
        cwd=REPO,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not list(out.rglob('*.zip')) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1.2)  # the processes look for their parent twice a second
    left = (out / FILE).read_bytes()
    assert command('data', 'flow', films, '--workers', '0', '--out', out)[0] == 0
    assert left != (out / FILE).read_bytes()
    for path in (tmp_path / 'whole').rglob('*.*'):
        assert (out / path.relative_to(tmp_path / 'whole')).read_bytes() == path.read_bytes()
    assert len(list(out.rglob('*'))) == len(list((tmp_path / 'whole').rglob('*')))


def test_speed_beside_opencv(films, tmp_path, monkeypatch, error_line):
    monkeypatch.setattr(speed, 'FRAMES', {'dis': 3, 'tvl1': 2})
    monkeypatch.setattr(speed, 'ProcessPoolExecutor', lambda count, *_: ThreadPoolExecutor(count))
    results = speed.measure(tmp_path, str(films), True, 1)
    text = speed.tables(results)
    assert '| dis | 2 processes |' in text and '| JPEG 95 |' in text and 'tvl1' in text
    timed = [each for each in results if isinstance(each, speed.Speed)]
    assert timed[0].ratio == 1 and all(each.frames_per_second > 0 for each in timed)
    assert max(each.pixels for each in results if isinstance(each, speed.Error)) < 0.25
    costs = {each.format: each for each in results if isinstance(each, speed.Cost)}
    assert costs['JPEG 75'].bytes < costs['JPEG 95'].bytes and costs['PNG'].pixels <= costs['JPEG 75'].pixels
    assert 'leave out --loader' in error_line('benchmark', '--flow', '--loader')
    assert '--memory goes with --loader' in error_line('benchmark', '--flow', '--memory', 3)
