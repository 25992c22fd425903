"""Each kind of file that once read wrong, end to end: what `gluon_fg.predict` and the commands make of it.

Each has tests of its own where it is read (`data/test_frame_numbers.py`, `data/test_containers.py` and others); here is
the whole way, by the right frames: a file must be answered as the frames that it was made of are.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from case_files import FLAT, WIDTH, number_of

import gluon_fg
from gluon_fg.data.decoding import load_decord
from gluon_fg.data.video import open_video
from gluon_fg.errors import UserError, VideoError
from gluon_fg.evaluation.load import load_network

MODEL = 'i3d_tiny_synthfg_dfb'


@pytest.fixture(scope='module')
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp('cases')
    drawn = subprocess.run(
        [sys.executable, Path(__file__).with_name('case_files.py'), folder], capture_output=True, text=True
    )
    assert drawn.returncode == 0, drawn.stderr
    return folder


@pytest.fixture(scope='module')
def net():
    return gluon_fg.load_model(MODEL)


def frames_of(path, backend='auto'):
    with open_video(str(path), backend) as reader:
        return reader.get_batch(range(len(reader)))


# file -> the numbers that its frames show
NUMBERED = {
    'h264.avi': range(100),  # decord seeks wrong in AVI: asked for 40 it gave 15
    'midgroup.ts': range(30, 90),  # the first 15 packets are missing: the frames of their group decode, or not
    'hidden.webm': [n for n in range(60) if n % 10 != 7],  # a packet that is not shown is no frame
    'joined.ts': range(24),  # times start anew with each part
    'whole.mpg': range(60),  # several frames in a packet of the file: only the first has a time of its own
    'whole.vob': range(60),
    'camera.mjpeg': range(20),  # pictures in a row, as some cameras send them: no seek
    'small.mp4': range(8),
}


@pytest.mark.parametrize('name', NUMBERED)
def test_frame_i_is_what_decoding_from_the_start_shows(cases, net, name):
    whole, shown = frames_of(cases / name), list(NUMBERED[name])
    numbers = [number_of(frame) for frame in whole]
    if name == 'midgroup.ts':  # what FFmpeg makes of the group without a beginning is no picture of ours
        whole, numbers = whole[15:], numbers[15:]
        assert len(numbers) == 60
    assert numbers == shown
    last = len(frames_of(cases / name)) - 1
    for asked in ([last], [last // 2, last // 2 + 1, 1], [0, last]):  # a fresh reader, wherever it begins
        with open_video(str(cases / name)) as reader:
            every = dict(enumerate(frames_of(cases / name)))
            np.testing.assert_array_equal(reader.get_batch(asked), [every[number] for number in asked])
    answer = gluon_fg.predict(str(cases / name), net, protocol='3x1')
    assert answer == gluon_fg.predict(frames_of(cases / name), net, protocol='3x1')


@pytest.mark.parametrize('backend', ['pyav', 'decord'])
@pytest.mark.parametrize('full', [False, True], ids=['limited', 'full'])
@pytest.mark.parametrize('matrix', ['bt709', 'smpte170m'])
def test_colors_are_those_of_the_files_own_matrix_and_range(cases, matrix, full, backend):
    if backend == 'decord' and not load_decord():
        pytest.skip('decord is not there')
    frame = frames_of(cases / f'{matrix}_{"full" if full else "limited"}.mp4', backend)[4]
    quarter = WIDTH // 4
    for number, color in enumerate(FLAT):
        seen = frame[12:-12, number * quarter + 6 : (number + 1) * quarter - 6].reshape(-1, 3).mean(0)
        assert np.abs(seen - color).max() < 4, (number, seen, color)


def test_a_front_cameras_film_is_seen_as_it_shows_it(cases, net):
    small, mirror = frames_of(cases / 'small.mp4'), frames_of(cases / 'mirrored.mp4')
    np.testing.assert_array_equal(mirror, small[:, :, ::-1])
    assert gluon_fg.predict(str(cases / 'mirrored.mp4'), net) == gluon_fg.predict(small[:, :, ::-1], net)


BAD = {
    'sound.mp4': 'cover',  # sound with a cover picture is no film of one frame
    'lost.mkv': '(decoder|video stream)',
    'huge.png': '60000x60000',
    'cut.mpg': '',
}


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(cases, net, tmp_path, command):
    files = [str(cases / name) for name in BAD]
    good = str(cases / 'small.mp4')
    expected = gluon_fg.predict(good, net, topk=2)
    answers = gluon_fg.predict([*files[:2], good, *files[2:]], net, topk=2)
    assert answers[:2] == [[], []] and answers[3] == []
    assert [label for label, _ in answers[2]] == [label for label, _ in expected]  # in a batch with another film
    np.testing.assert_allclose([p for _, p in answers[2]], [p for _, p in expected], rtol=1e-5)
    for name, reason in BAD.items():
        if answers[[*BAD, ''].index(name) + (name in list(BAD)[2:])]:
            continue  # of a film that is cut what is there may be answered
        with pytest.raises(VideoError, match=f'{name}: .*{reason}') as error:
            gluon_fg.predict(str(cases / name), net)
        assert '\n' not in str(error.value)
    code, out, err = command('predict', *files[:3], good, '--model', MODEL, '--json', '--topk', '2')
    told = [line for line in err.splitlines() if line.startswith('error: ')]
    assert code == 2 and len(told) == 3 and all(name in line for name, line in zip(BAD, told)), err
    (answer,) = [each for each in json.loads(out) if 'error' not in each]
    assert answer['path'] == good and [p['label'] for p in answer['predictions']] == [name for name, _ in expected]


@pytest.mark.skipif(sys.platform == 'darwin', reason='names of files are Unicode there')
def test_names_that_are_no_text_are_names(cases, net, tmp_path, caplog):
    """Of films and pictures, whole and not: a picture so called once ended the process."""
    shutil.copyfile(cases / 'small.mp4', os.fsencode(tmp_path) + b'/caf\xe9.mp4')
    with open(os.fsencode(tmp_path) + b'/cut\xe9.mp4', 'wb') as cut:
        cut.write((cases / 'small.mp4').read_bytes()[:500])
    expected = gluon_fg.predict(str(cases / 'small.mp4'), net)
    with caplog.at_level(logging.WARNING):
        answers = gluon_fg.predict(str(tmp_path), net)
    assert sorted(answers.values(), key=len) == [[], expected] and 'cut\\udce9.mp4' in caplog.text
    picture = os.path.join(str(tmp_path), 'bild\udce9.png')
    with pytest.raises(VideoError, match='no such file'):
        gluon_fg.predict(picture, net)
    shutil.copyfile(cases / 'huge.png', os.fsencode(picture))
    with pytest.raises(VideoError, match='60000x60000'):
        gluon_fg.predict(picture, net)


def test_weights_of_another_time_are_refused_in_a_line(cases, error_line):
    with pytest.raises(UserError, match='former.params'):
        load_network(MODEL, str(cases / 'former.params'))
    assert 'former.params' in error_line(
        'predict', cases / 'small.mp4', '--model', MODEL, '--params', cases / 'former.params'
    )
