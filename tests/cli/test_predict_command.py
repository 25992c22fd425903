import csv
import itertools
import json
import os
import re
import threading

import av
import cv2
import numpy as np
import pytest

from gluon_fg import predict
from gluon_fg.data.streams import Moment
from gluon_fg.errors import UserError
from gluon_fg.factory import get_model
from gluon_fg.training.config import Config, save_config

MODEL = 'i3d_tiny_synthfg_dfb'


@pytest.fixture(scope='module')
def params(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'net.params'
    get_model(MODEL).save_parameters(str(path))
    return path


@pytest.fixture(scope='module')
def good(tiny_synthfg):
    return sorted((tiny_synthfg / 'test').glob('*.mp4'))[:2]


def test_bad_videos_do_not_stop_the_others(run_command, params, good, tmp_path):
    folder = tmp_path / 'my videos (2)'
    (folder / 'deeper').mkdir(parents=True)
    whole = good[0].read_bytes()
    (folder / 'a.mp4').write_bytes(whole)
    (folder / 'cut.mp4').write_bytes(whole[: len(whole) // 2])
    (folder / 'empty.mp4').write_bytes(b'')
    (folder / 'text.mp4').write_text('not a video')
    (folder / 'notes.txt').write_text('no video, and does not say so')
    (folder / 'deeper' / 'b.mp4').write_bytes(good[1].read_bytes())
    done = run_command(
        'predict', folder, tmp_path / 'missing.mp4', '--model', MODEL, '--params', params, '--json', '--topk', '3'
    )
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    bad = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert [re.search(r'(\w+)\.mp4', line).group(1) for line in bad] == ['cut', 'empty', 'text', 'missing']
    answers = json.loads(done.stdout)
    fine = [answer for answer in answers if 'error' not in answer]
    assert [answer['path'].rsplit('/', 1)[1] for answer in fine] == ['a.mp4', 'b.mp4']
    assert [re.search(r'(\w+)\.mp4', a['path']).group(1) for a in answers] == [
        'a',
        'cut',
        'b',
        'empty',
        'text',
        'missing',
    ]
    assert len(answers) == 6 and {(a['model'], a['protocol'], a['execution']) for a in answers} == {
        (MODEL, 'train_time', 'mxnet float32')
    }
    for answer, path in zip(fine, good):
        expected = predict(str(path), MODEL, params=str(params), topk=3)
        assert [p['label'] for p in answer['predictions']] == [label for label, _ in expected]
        shown = [p['probability'] for p in answer['predictions']]
        np.testing.assert_allclose(shown, [p for _, p in expected], rtol=1e-4)


def test_printed_list(command, params, good):
    code, out, err = command('predict', *good, '--model', MODEL, '--params', params, '--topk', '99')
    assert code == 0 and 'has 24 classes; all of them are listed' in err
    lines = out.splitlines()
    assert len(lines) == 2 * 25 and lines[0] == str(good[0]) and lines[25] == str(good[1])
    shown = [float(re.match(r' +([\d.]+) %  \S', line).group(1)) for line in lines[1:25]]
    assert shown == sorted(shown, reverse=True) and sum(shown) == pytest.approx(100, abs=1.3)


def test_a_run_of_ones_own_classes(command, error_line, good, tmp_path):
    run = tmp_path / 'run'
    config = Config()
    config.model.name, config.model.nclass = 'i3d_tiny_custom_dfb', 2
    save_config(config, run / 'config.yaml')
    get_model('i3d_tiny_custom_dfb', nclass=2).save_parameters(str(run / 'best.params'))
    names = tmp_path / 'names.txt'
    names.write_text('open\nclose\n')
    for arguments, shown in (([], {'class 0', 'class 1'}), (['--classes', names], {'open', 'close'})):
        code, out, _ = command('predict', good[0], '--run', run, '--topk', '2', *arguments)
        assert code == 0 and {line.split('%  ')[1] for line in out.splitlines()[1:]} == shown
    (run / 'classes.txt').write_text('open\nclose\n')
    assert 'close' in command('predict', good[0], '--run', run)[1]
    names.write_text('open\n')
    assert 'has 1 class names' in error_line('predict', good[0], '--run', run, '--classes', names)


def test_bad_input_is_one_line(error_line, params, good, tmp_path):
    video, known = good[0], ['--model', MODEL, '--params', params]
    whole = params.read_bytes()
    (tmp_path / 'cut.params').write_bytes(whole[: len(whole) // 2])
    (tmp_path / 'empty').mkdir()
    for arguments, message in (
        ([video, '--model', MODEL, '--run', tmp_path], 'give either --model NAME or --run FOLDER'),
        ([video, '--params', params], '--params and --options go with --model NAME or --run FOLDER'),
        ([video, '--model', tmp_path], 'no config.yaml there, as a training run has, and no index.yaml'),
        ([video, '--model', 'i3d_tiny_synthfg_fdb', '--params', params], "did you mean 'i3d_tiny_synthfg_dfb'"),
        ([video, '--model', 'i3d_tiny_custom_dfb', '--params', params], 'needs the number of classes; give nclass'),
        (
            [video, '--model', 'i3d_tiny_custom_dfb', '--params', params, '--options', 'nclass=7'],
            'trained for 24 classes, i3d_tiny_custom_dfb has 7',
        ),
        ([video, '--model', MODEL, '--params', tmp_path / 'cut.params'], 'not an MXNet parameter file, or cut short'),
        ([video, *known, '--protocol', '30views'], "unknown protocol '30views'; did you mean '30view'"),
        ([video, *known, '--topk', '0'], '--topk must be at least 1, got 0'),
        ([video, *known, '--options', 'nclass'], 'write it as key=value'),
        ([tmp_path / 'empty', *known], 'no video in this folder'),
        ([tmp_path / 'no.mp4', *known], r'no\.mp4: '),
        ([video, '--run', tmp_path], 'no config.yaml there'),
        (
            [video, *known, '--out', tmp_path / 'a.txt'],
            r'a\.txt: choose a name that ends in \.csv or \.json or \.jsonl or \.srt',
        ),
        ([video, *known, '--out', video], 'choose a name that ends in|is one of the given files'),
        ([video, *known, '--window', '0'], 'windows must be a number of seconds above 0, got 0'),
        ([video, *known, '--hop', '2'], '--stride 2 is from window to window; give their length with --windows'),
        ([video, *known, '--window', '1', '--hop', 'nan'], 'stride must be a number of seconds above 0, got nan'),
        ([video, *known, '--timeline', tmp_path / 't.png'], 'give their length with --windows'),
        ([video, *known, '--film', video, '--force'], 'is one of the given files; choose another --film'),
        ([video, good[1], *known, '--film', tmp_path / 'a.mp4'], 'there are 2 videos; give a folder for their films'),
        (['-', *known, '--film', tmp_path / 'a.mp4'], r'a\.mp4 is drawn over a film that is there; record the stream'),
        ([video, '0', *known], '0 is a stream, which has no end to come to; give it alone'),
        (['gopher://a', *known], "unknown kind of address in gopher://a: 'gopher'; choose from http"),
        ([video, *known, '--out', tmp_path / 'a.srt'], 'subtitles show windows of a film; give their length'),
        ([video, good[1], *known, '--out', tmp_path / 'a.srt', '--windows', '1'], 'subtitles are of one film; choose'),
        ([video, *known, '--film', tmp_path / 'a.avi'], r'a\.avi: choose a name that ends in \.mp4, or a folder'),
    ):
        line = error_line('predict', *arguments)
        assert re.search(message, line), line


@pytest.fixture
def long(good, tmp_path):
    """A film of two classes: one clip for its first second and a half, the other for the rest."""
    from gluon_fg.data.video import open_video

    parts = []
    for path, count in zip(good, (15, 25)):
        with open_video(str(path)) as reader:
            parts += [reader.get_batch([i % len(reader)])[0] for i in range(count)]
    return write_film(tmp_path / 'long.mp4', parts, 10)


def write_film(path, frames, fps):
    import av

    with av.open(str(path), 'w') as target:
        stream = target.add_stream('mpeg4', rate=fps)
        stream.height, stream.width = frames[0].shape[:2]
        for frame in frames:
            target.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        target.mux(stream.encode())
    return path


def rows_of(path):
    with open(path, newline='', encoding='utf-8') as stream:
        return list(csv.DictReader(stream))


def test_windows_are_predicted_as_the_cut_film_is(command, params, long, tmp_path):
    """Each window is what the same protocol says of its frames alone (where MMAction2's differed: its issue 2911)."""
    known = ['--model', MODEL, '--params', params, '--protocol', '2x1', '--topk', '2']
    code, out, err = command('predict', long, *known, '--window', '1.5', '--hop', '1', '--out', tmp_path / 'w.csv',
                             '--timeline', tmp_path / 't.png')  # fmt: skip
    assert code == 0, err
    rows = rows_of(tmp_path / 'w.csv')
    assert [(row['start'], row['end']) for row in rows] == [
        ('0.000', '1.500'), ('1.000', '2.500'), ('2.000', '3.500'), ('3.000', '4.000')
    ]  # fmt: skip
    from gluon_fg.data.video import open_video

    with open_video(str(long)) as reader:
        frames = reader.get_batch(range(40))
    for row in rows:
        first, last = round(10 * float(row['start'])), round(10 * float(row['end']))
        expected = predict(frames[first:last], MODEL, params=params, protocol='2x1', topk=2)
        assert [row['label_1'], row['label_2']] == [label for label, _ in expected]
        assert float(row['probability_1']) == pytest.approx(expected[0][1], abs=2e-4)
        assert (row['path'], row['model'], row['protocol']) == (str(long), MODEL, '2x1')
    lines = out.splitlines()
    assert lines[0] == str(long) and re.match(r' +0\.00 - +\d\.\d\d s +[\d.]+ %  \S', lines[1])
    assert cv2.imread(str(tmp_path / 't.png')).shape[1] > 500
    program = predict(long, MODEL, params=params, protocol='2x1', topk=2, window=1.5, hop=1)
    assert [(start, end) for start, end, _ in program] == [(0, 1.5), (1, 2.5), (2, 3.5), (3, 4)]
    assert [answer[0][0] for _, _, answer in program] == [row['label_1'] for row in rows]


def test_a_film_shows_the_answer_of_each_moment(command, params, good, long, tmp_path):
    from gluon_fg.data.video import open_video

    known = ['--model', MODEL, '--params', params]
    code, _, err = command('predict', long, *known, '--window', '2', '--film', tmp_path / 'out.mp4')
    assert code == 0, err
    with open_video(str(long)) as before, open_video(str(tmp_path / 'out.mp4')) as after:
        assert (len(after), after.fps) == (40, 10) and min(after.size) >= 240
        shown = after.get_batch(range(40)).astype(int)
        height, width = shown.shape[1:3]
        original = cv2.resize(before.get_batch([5])[0], (width, height), interpolation=cv2.INTER_CUBIC)
    top, bottom = slice(0, height // 2), slice(height - 40, height)
    assert np.abs(shown[5][top] - original[top]).mean() < 12  # the picture is the film's
    assert np.abs(shown[5][bottom, :60] - original[bottom, :60]).mean() > 30  # but for the words below
    assert 'is there already' in command('predict', long, *known, '--film', tmp_path / 'out.mp4')[2]
    code, out, _ = command('predict', *good, *known, '--film', tmp_path / 'films', '--topk', '1')
    assert code == 0 and sorted(p.name for p in (tmp_path / 'films').iterdir()) == [f'{p.stem}.mp4' for p in good]


def test_a_table_and_a_json_of_a_folder(command, params, good, tmp_path):
    folder = tmp_path / 'films'
    folder.mkdir()
    for path, name in zip(good, ('a, b.mp4', 'ü.MP4')):
        (folder / name).write_bytes(path.read_bytes())
    (folder / 'broken.mp4').write_bytes(b'no')
    known = ['--model', MODEL, '--params', params, '--topk', '2']
    for name in ('r.csv', 'r.json'):
        code, out, _ = command('predict', folder, *known, '--out', tmp_path / name)
        assert code == 2 and out.splitlines()[-1] == f'wrote {tmp_path / name}'
    rows, records = rows_of(tmp_path / 'r.csv'), json.loads((tmp_path / 'r.json').read_text())
    assert [row['path'] for row in rows] == [r['path'] for r in records]
    assert {row['path'].rsplit('/', 1)[1]: bool(row['error']) for row in rows} == {
        'a, b.mp4': False, 'ü.MP4': False, 'broken.mp4': True
    }  # fmt: skip
    for row, record in zip(rows, records):
        assert (row['start'], row['end']) == ('', '') and 'start' not in record
        assert [row[f'label_{n}'] for n in (1, 2)] == [p['label'] for p in record['predictions']] or row['error']
    before = (tmp_path / 'r.csv').read_bytes()
    assert 'is there already; use --force' in command('predict', folder, *known, '--out', tmp_path / 'r.csv')[2]
    assert (tmp_path / 'r.csv').read_bytes() == before
    by_file = predict(folder, MODEL, params=params, topk=2)
    assert list(by_file) == sorted(str(p) for p in folder.iterdir()) and by_file[str(folder / 'broken.mp4')] == []
    for row in rows:
        assert [label for label, _ in by_file[row['path']]] == [row[f'label_{n}'] for n in (1, 2) if row[f'label_{n}']]


def test_answers_so_far_are_kept_when_it_is_stopped(command, params, good, tmp_path, monkeypatch):
    from gluon_fg.evaluation import predict as predicting

    def interrupted(*args, **options):
        for number, result in enumerate(real(*args, **options)):
            if number == 1:
                raise KeyboardInterrupt
            yield result

    real = predicting.merge_views
    monkeypatch.setattr(predicting, 'merge_views', interrupted)
    code, _, err = command('predict', *good, '--model', MODEL, '--params', params, '--out', tmp_path / 'r.csv')
    assert code == 130 and [row['path'] for row in rows_of(tmp_path / 'r.csv')] == [str(good[0])]


def test_without_a_model_a_line_says_which_is_taken(command, good, monkeypatch, caplog):
    from gluon_fg.training import named

    def nowhere(name, *rest, **options):
        if name == 'i3d_inceptionv1_same_kinetics400':
            raise UserError('no network; put it there')
        return real(name, *rest, **options)

    real = named.zoo.weights_file
    monkeypatch.setattr(named.zoo, 'weights_file', nowhere)
    code, out, _ = command('predict', good[0], '--topk', '1')
    assert code == 0 and 'i3d_tiny_synthfg_dfb is taken, which knows the drawn shapes' in caplog.text
    assert '(no network)' in caplog.text
    loaded = []
    monkeypatch.setattr(named.zoo, 'weights_file', lambda name, attempts: 'there')
    monkeypatch.setattr(named, 'load_model', lambda name, *rest: loaded.append(name) or named.Named(name, net, None))
    net = get_model(MODEL)
    assert predict(good[0])[0][0] in net.classes
    assert loaded == ['i3d_inceptionv1_same_kinetics400'] and 'the 400 human actions of Kinetics-400' in caplog.text


def test_a_picture_for_a_network_on_videos_is_said(command, params, tmp_path, caplog):
    cv2.imwrite(str(tmp_path / 'one.png'), np.zeros((60, 80, 3), np.uint8))
    known = ['--model', MODEL, '--params', params]
    code, _, _ = command('predict', tmp_path / 'one.png', *known)
    assert code == 0 and 'one.png: a single picture, where i3d_tiny_synthfg_dfb was trained on 8 frames' in caplog.text
    caplog.clear()
    code, out, _ = command('predict', tmp_path, *known)  # a folder of images is the frames of one video
    assert code == 0 and out.splitlines()[0] == str(tmp_path) and 'single picture' not in caplog.text


def test_a_stream_gives_the_table_of_its_film(command, params, long, tmp_path):
    """Through a pipe, whose frames come once; the windows are printed one by one."""
    known = ['--model', MODEL, '--params', params, '--windows', '1.5', '--stride', '1', '--topk', '2']
    stream, pipe = tmp_path / 'long.mkv', tmp_path / 'pipe'
    with av.open(str(long)) as source, av.open(str(stream), 'w') as target:
        copy = target.add_stream(template=source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(stream.read_bytes()))
    writer.start()
    code, out, err = command('predict', pipe, *known, '--out', tmp_path / 'p.csv')
    writer.join()
    assert code == 0, err
    assert [line[:19] for line in out.splitlines()[1:5]] == [
        f'  {start:7.2f} - {min(start + 1.5, 4):7.2f}' for start in range(4)
    ]
    assert command('predict', long, *known, '--out', tmp_path / 'f.csv')[0] == 0
    for row, other in zip(rows_of(tmp_path / 'p.csv'), rows_of(tmp_path / 'f.csv')):
        assert (row['start'], row['end'], row['label_1']) == (other['start'], other['end'], other['label_1'])
        assert float(row['probability_1']) == pytest.approx(float(other['probability_1']), abs=1e-4)
    assert len(rows_of(tmp_path / 'f.csv')) == len(rows_of(tmp_path / 'p.csv')) == 4


class Endless:
    """A camera that is stopped by Ctrl-C with its fourth window."""

    path, fps, live, size = 'camera 0', 10.0, False, (60, 54)

    def __init__(self, source, short_side):
        self.source = source

    def __iter__(self):
        for number in itertools.count():
            yield Moment(number / 10, np.full((54, 60, 3), number % 256, np.uint8))

    def stop(self):
        pass

    def close(self):
        pass


def test_a_camera_is_watched_until_it_is_stopped(command, params, tmp_path, monkeypatch):
    from gluon_fg.evaluation import predict as predicting

    def interrupted(*args, **options):
        for number, result in enumerate(real(*args, **options)):
            if number == 3:
                raise KeyboardInterrupt
            yield result

    real = predicting.merge_views
    monkeypatch.setattr(predicting, 'merge_views', interrupted)
    monkeypatch.setattr(predicting, 'FrameStream', Endless)
    code, out, err = command(
        'predict', '0', '--model', MODEL, '--params', params, '--out', tmp_path / 'r.srt', '--json'
    )
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and 'stopped' in err and 'note: in windows of 1 s' in err
    assert [(r['path'], r['start'], r['end']) for r in records] == [('camera 0', n, n + 1) for n in range(3)]
    last = (tmp_path / 'r.srt').read_text().strip().split('\n\n')[-1].splitlines()
    assert last[1].endswith('--> 00:00:03,000')


def test_former_names_of_the_windows_go_on(command, params, long):
    known = ['--model', MODEL, '--params', params, '--topk', '1']
    assert (
        command('predict', long, *known, '--window', '2', '--hop', '1')[1]
        == (command('predict', long, *known, '--windows', '2', '--stride', '1')[1])
    )
    shown = command('predict', '--help')[1]
    assert '--windows' in shown and '--hop' not in shown and '--window ' not in shown
