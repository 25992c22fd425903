"""Files of answers: whole after each, in the videos' order at the end, and subtitles that players read."""

import csv
import errno
import json

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluon_fg.errors import VideoError
from gluon_fg.evaluation.answers import Merging, ResultFile, stretches
from gluon_fg.evaluation.predict import Prediction


def window(start, end, label='run', p=0.5, path='a.mp4'):
    return Prediction(path, [(label, p), ('rest', 1 - p)], None, start, end)


def read(path):
    text = path.read_text(encoding='utf-8')
    if path.suffix == '.csv':
        return [(row['path'], row['label_1'], row['error']) for row in csv.DictReader(text.splitlines())]
    records = json.loads(text) if path.suffix == '.json' else [json.loads(line) for line in text.splitlines()]
    return [(r['path'], r['predictions'][0]['label'] if r['predictions'] else '', r.get('error', '')) for r in records]


@pytest.mark.parametrize('suffix', ['.csv', '.json', '.jsonl'])
def test_a_file_is_whole_after_each_answer_and_in_order_at_the_end(tmp_path, suffix):
    path = tmp_path / f'r{suffix}'
    path.write_text('what was there before, which is longer than what comes' * 99)
    results = ResultFile(str(path), 2, 'net', '1x1', 'openvino bfloat16')
    given_in = [
        (0, window(0, 1, path='a, "b".mp4')),
        (0, window(1, 2, 'jump', path='a, "b".mp4')),
        (2, window(0, 1, 'ü', path='c.mp4')),
        (3, Prediction('d.mp4', [('run', 1.0)])),
        (0, Prediction('a, "b".mp4', [], VideoError('a, "b".mp4', 'frame 7'), 2, 3)),
        (1, Prediction('b.mp4', [], VideoError('b.mp4', 'is no video'))),
    ]
    expected = []
    for number, answer in given_in:
        results.add(number, answer)
        label = answer.predictions[0][0] if answer.predictions else ''
        expected.append((number, (answer.path, label, answer.error.reason if answer.error else '')))
        assert read(path) == [row for _, row in expected]
    results.close()
    results.close()
    assert read(path) == [row for _, row in sorted(expected, key=lambda numbered: numbered[0])]
    assert list(tmp_path.iterdir()) == [path]


def test_a_table_as_it_stands(tmp_path):
    results = ResultFile(str(tmp_path / 'r.csv'), 2, 'net', '1x1', 'openvino bfloat16')
    results.add(0, window(0, 1.5, p=0.75))
    results.close()
    assert (tmp_path / 'r.csv').read_text().splitlines() == [
        'path,start,end,label_1,probability_1,label_2,probability_2,error,model,protocol,execution',
        'a.mp4,0.000,1.500,run,0.750000,rest,0.250000,,net,1x1,openvino bfloat16',
    ]


def test_subtitles_are_those_that_a_player_reads(tmp_path):
    """FFmpeg reads them: times in milliseconds, a text of one line, though a class has an arrow and two lines."""
    path = tmp_path / 'r.srt'
    results, seen = ResultFile(str(path), 1, 'net', '1x1', 'openvino bfloat16'), []
    odd = 'left --> right\nand back'
    for start, label in ((0, 'run'), (2, 'run'), (4, odd), (6, odd), (3600, 'run')):
        results.add(0, window(start, start + 4, label))
        with av.open(str(path)) as subtitles:
            packets = [packet for packet in subtitles.demux() if packet.size]
        seen.append([(p.pts / 1000, (p.pts + p.duration) / 1000, bytes(p).decode()) for p in packets])
    results.close()
    shown = 'left -> right and back (50 %)'
    assert seen[0] == [(0, 4, 'run (50 %)')] and seen[1] == [(0, 6, 'run (50 %)')]
    assert seen[2] == [(0, 5, 'run (50 %)'), (5, 8, shown)]
    assert seen[4] == [(0, 5, 'run (50 %)'), (5, 10, shown), (3600, 3604, 'run (50 %)')]
    assert path.read_text().startswith('1\n00:00:00,000 --> 00:00:05,000\nrun (50 %)\n\n2\n')


@pytest.mark.parametrize('suffix', ['.csv', '.json', '.srt'])
def test_where_the_disk_is_full_the_answers_before_stay(tmp_path, suffix):
    path = tmp_path / f'r{suffix}'
    results = ResultFile(str(path), 2, 'net', '1x1', 'openvino bfloat16')
    results.add(0, window(0, 1))
    results.add(0, window(1, 2, 'jump'))
    before = path.read_bytes()
    real = results._file

    class Full:
        """Takes ten bytes of the next text, and then nothing until it is asked to write less than it took."""

        def __init__(self):
            self.taken = 0

        def write(self, data):
            self.taken += 1
            if self.taken == 1:
                return real.write(bytes(data[:10]))
            if self.taken == 2:
                raise OSError(errno.ENOSPC, 'No space left on device')
            return real.write(data)

        def __getattr__(self, name):
            return getattr(real, name)

    results._file = Full()
    with pytest.raises(OSError, match='No space left') as error:
        results.add(0, window(2, 3, 'a long name that does not fit on the disk'))
    assert error.value.filename == str(path) and path.read_bytes() == before
    real.close()


@given(st.lists(st.tuples(st.sampled_from('ab'), st.integers(1, 9)), max_size=12), st.integers(1, 6), st.integers(1, 6))
def test_stretches_that_grow_are_those_of_all_windows(labeled, seconds, stride):
    answers = [window(stride * n, stride * n + seconds, label, p / 10) for n, (label, p) in enumerate(labeled)]
    merging, done = Merging(), []
    for place, answer in enumerate(answers):
        done += merging.add(answer)
        assert done + merging.rest() == stretches(answers[: place + 1])
    parts = stretches(answers)
    ends = [
        stride * n + (seconds + stride) / 2 if seconds > stride else stride * n + seconds for n in range(len(answers))
    ]
    own = list(zip([0.0, *ends], ends)) if seconds >= stride else [(a.start, a.end) for a in answers]
    for part in parts:
        inside = [p / 10 for (label, p), (start, end) in zip(labeled, own) if part.start <= start < part.end]
        assert part.probability == pytest.approx(np.mean(inside))
    assert all(a.end <= b.start for a, b in zip(parts, parts[1:]))
    assert all(a.label != b.label or a.end < b.start for a, b in zip(parts, parts[1:]))
