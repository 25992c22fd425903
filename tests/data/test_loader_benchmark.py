"""The comparison of loaders reads the same frames with each; memory does not grow with the videos read."""

import json

import numpy as np
import pytest

from gluon_fg.data import loader_benchmark
from gluon_fg.data.datasets import VideoDataset, VideoRecord
from gluon_fg.data.labels import LabelSet
from gluon_fg.input_spec import InputSpec

SPEC = InputSpec(frames=4, frame_stride=3, crop_size=32, short_side=36)
ROWS = [
    loader_benchmark.RAW,
    'gluon_fg, first epoch',
    'gluon_fg, later epochs',
    'gluon_fg, later epochs, to float32',
    "GluonCV's VideoClsCustom and DataLoader",
]


@pytest.fixture
def films(plain_video, write_video, tmp_path):
    broken = tmp_path / 'broken.mp4'
    broken.write_bytes(b'no film')
    paths = [plain_video, write_video('second.mp4', frames=30), broken, write_video('third.mp4', bf='2')]
    return VideoDataset([VideoRecord(str(path), -1) for path in paths], LabelSet(('film',)), name='films')


def test_every_variant_reads_what_the_loader_reads(films, monkeypatch):
    given = []
    real = loader_benchmark._decord
    monkeypatch.setattr(loader_benchmark, '_decord', lambda asked: given.append(asked) or real(asked))
    results = loader_benchmark.compare(films, SPEC, rounds=1)
    assert [result.name for result in results] == ROWS and results[0].ratio == 1
    assert all(result.videos_per_second > 0 and result.ratio > 0 for result in results)
    assert len(films) == 4, 'the broken one is left out of the comparison alone'
    paths = {films.path(i) for i in (0, 1, 3)}
    assert len(given) == 6 and {path for path, _ in given} == paths
    for _, frames in given:
        assert len(frames) == 4 and set(np.diff(frames)) == {3}
    lines = loader_benchmark.table(results).splitlines()
    assert [line.split(' | ')[0][2:] for line in lines[2:]] == ROWS


def test_memory_does_not_grow_with_the_videos_read(films):
    """A clip kept for each of 150 videos would be 2 MB, a reader more, each time; what the system keeps varies."""
    films.records = films.records[:2]
    films.records = tuple(record._replace(label=0) for record in films.records)
    grown = [loader_benchmark.memory_growth(films, 150, SPEC, workers=0)[1] for _ in range(3)]
    assert min(grown) < 1, grown


def test_the_command_takes_a_folder_and_says_what_is_wrong(films, command, error_line, tmp_path, plain_video, caplog):
    (tmp_path / 'deep').mkdir()
    for number in range(3):
        (tmp_path / 'deep' / f'{number} x.MP4').symlink_to(plain_video)
    out = tmp_path / 'out.json'
    code, said, err = command('benchmark', '--loader', '--root', tmp_path, '--videos', 4, '--rounds', 1, '--out', out)
    assert code == 0 and 'broken.mp4' in caplog.text, err
    assert [record['name'] for record in json.loads(out.read_text())] == ROWS and ROWS[-1] in said
    code, said, _ = command('benchmark', '--loader', '--root', tmp_path / 'deep', '--memory', 3)
    assert code == 0 and said.startswith('3 videos opened: ')
    assert '--root goes with --loader' in error_line('benchmark', '--root', tmp_path)
    assert 'leave out --flops and --only' in error_line('benchmark', '--loader', '--only', 'x')
    assert '--workers must be at least 1, got 0' in error_line('benchmark', '--loader', '--workers', 0)
    (tmp_path / 'empty').mkdir()
    assert 'no videos there' in error_line('benchmark', '--loader', '--root', tmp_path / 'empty')
    assert 'no such folder' in error_line('benchmark', '--loader', '--root', tmp_path / 'none')


def test_rendered_films_are_as_long_as_asked(tmp_path):
    films = loader_benchmark.rendered(tmp_path, 2, 0.4, sizes=((64, 48), (80, 60)))
    sizes = []
    for number in range(2):
        with films.open(number) as reader:
            sizes.append((len(reader), reader.fps, reader.size))
    assert sizes == [(10, 25, (64, 48)), (10, 25, (80, 60))]
