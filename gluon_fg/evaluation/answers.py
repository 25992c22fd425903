"""What was predicted, as people keep it: tables, JSON and subtitles that grow, and stretches with one answer."""

from __future__ import annotations

import contextlib
import copy
import csv
import io
import json
import os
import textwrap
from typing import IO, Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from ..files import atomic_write, naming
from .predict import Prediction

SUFFIXES = ('.csv', '.json', '.jsonl', '.srt')


class Stretch(NamedTuple):
    """A part of a film, `start` to `end` in seconds, in which one class is the likeliest: its mean probability."""

    label: str
    probability: float
    start: float
    end: float


class Merging:
    """Merges the windows of one film as they come, in order, where neighbors have the same likeliest class.

    Of windows that overlap, each has the time up to the middle of what it shares with the next.
    """

    def __init__(self) -> None:
        self._last: Optional[Stretch] = None  # the window before, whose end the next one decides
        self._merged: Optional[Stretch] = None
        self._windows, self._sum = 0, 0.0  # in it

    def add(self, answer: Prediction) -> List[Stretch]:
        """Take the next window; returns the stretches that it ends."""
        start, done = float(answer.start or 0), []  # type: float, List[Stretch]
        if self._last is not None:
            last = self._last
            if start < last.end:
                start = (start + last.end) / 2
                last = last._replace(end=start)
            done = self._merge(last)
        self._last = Stretch(*answer.predictions[0], start, float(answer.end or 0))
        return done

    def rest(self) -> List[Stretch]:
        """The stretches that are not ended, as they would be if no window came."""
        if self._last is None or self._merged is None:
            return [] if self._last is None else [self._last]
        end = copy.copy(self)
        return [*end._merge(self._last), end._merged or self._last]

    def _merge(self, window: Stretch) -> List[Stretch]:
        merged = self._merged
        if merged is not None and merged.label == window.label and merged.end == window.start:
            self._windows, self._sum = self._windows + 1, self._sum + window.probability
            self._merged = Stretch(merged.label, self._sum / self._windows, merged.start, window.end)
            return []
        self._windows, self._sum, self._merged = 1, window.probability, window
        return [] if merged is None else [merged]


def stretches(answers: Iterable[Prediction]) -> List[Stretch]:
    """Merge the windows of one film, in order (`Merging`)."""
    merging = Merging()
    done = [stretch for answer in answers for stretch in merging.add(answer)]
    return done + merging.rest()


def as_record(answer: Prediction, model: str, protocol: str, execution: str) -> Dict[str, Any]:
    """A video's answer, or that of a window of it, as plain data."""
    return {
        'path': answer.path,
        'model': model,
        'protocol': protocol,
        'execution': execution,
        **({} if answer.end is None else {'start': answer.start, 'end': answer.end}),
        'predictions': [{'label': label, 'probability': p} for label, p in answer.predictions],
        **({'error': answer.error.reason} if answer.error else {}),
    }


class _Form:
    """How answers are written: `head`, records with `between` between them, and `tail`.

    Every record has the `facts`: names of network, views, and what computed them.
    """

    head, between, tail = '', '', ''

    def __init__(self, topk: int, *facts: str):
        self.topk, self.facts = topk, facts

    def record(self, answer: Prediction) -> str:
        """The text of an answer."""
        raise NotImplementedError


class _Table(_Form):
    def __init__(self, topk: int, *facts: str):
        super().__init__(topk, *facts)
        ranked = [name for n in range(1, topk + 1) for name in (f'label_{n}', f'probability_{n}')]
        self.head = _row(['path', 'start', 'end', *ranked, 'error', 'model', 'protocol', 'execution'])

    def record(self, answer: Prediction) -> str:
        cells = [cell for label, p in answer.predictions for cell in (label, f'{p:.6f}')]
        cells += [''] * (2 * self.topk - len(cells))
        times = ['', ''] if answer.end is None else [f'{answer.start:.3f}', f'{answer.end:.3f}']
        error = answer.error.reason if answer.error else ''
        return _row([answer.path, *times, *cells, error, *self.facts])


class _Json(_Form):
    head, between, tail = '[\n', ',\n', '\n]\n'

    def record(self, answer: Prediction) -> str:
        return textwrap.indent(json.dumps(as_record(answer, *self.facts), indent=1), ' ')


class _JsonLines(_Form):
    def record(self, answer: Prediction) -> str:
        return json.dumps(as_record(answer, *self.facts)) + '\n'


class _Subtitles(_Form):
    """Stretches of one film; the last ones, which may go on, are the tail."""

    def __init__(self, topk: int, *facts: str):
        super().__init__(topk, *facts)
        self._merging, self._count = Merging(), 0

    def record(self, answer: Prediction) -> str:
        done = [] if answer.error else self._merging.add(answer)
        text = self._entries(done)
        self._count += len(done)
        self.tail = self._entries(self._merging.rest())
        return text

    def _entries(self, parts: List[Stretch]) -> str:
        return ''.join(
            f'{self._count + place}\n{_clock(part.start)} --> {_clock(part.end)}\n{_caption(part)}\n\n'
            for place, part in enumerate(parts, 1)
        )


def _clock(seconds: float) -> str:
    """A time as subtitles have it: 00:01:02,345."""
    whole = round(1000 * seconds)
    return f'{whole // 3600000:02}:{whole // 60000 % 60:02}:{whole // 1000 % 60:02},{whole % 1000:03}'


def _caption(part: Stretch) -> str:
    """A line of text that neither ends its entry nor looks like the times of another."""
    label = ' '.join(part.label.split()).replace('-->', '->')
    return f'{label} ({100 * part.probability:.0f} %)'


def _row(cells: List[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator='\n').writerow(cells)
    return out.getvalue()


_FORMS = {'.csv': _Table, '.json': _Json, '.jsonl': _JsonLines, '.srt': _Subtitles}


class ResultFile:
    """A file of answers that has each as soon as it is known, and is whole at any time.

    .csv: a row for each video or window: path, start, end (seconds; empty for whole videos), label_1, probability_1,
    label_2, ..., error, model, protocol, execution. .json: the records of `as_record`, .jsonl one in each line. .srt:
    the stretches of one film as subtitles. Memory does not grow with the answers.

    Parameters
    ----------
    path
        ends in one of `SUFFIXES`; '' writes nothing
    topk
        labels of an answer
    model, protocol, execution
        names of network and views, and runtime and precision (`Execution.text`), which every record has
    """

    def __init__(self, path: str, topk: int, model: str, protocol: str, execution: str):
        self.path = path
        self._form = _FORMS[os.path.splitext(path)[1].lower() if path else '.csv'](topk, model, protocol, execution)
        self._file: Optional[IO[bytes]] = None
        self._end = 0  # of the records, in bytes
        self._runs: List[Tuple[int, int, int]] = []  # number of a video, where its records begin and end

    @property
    def written(self) -> bool:
        """Whether there is a file."""
        return bool(self._runs)

    def record(self, answer: Prediction) -> Dict[str, Any]:
        """An answer as plain data."""
        return as_record(answer, *self._form.facts)

    def add(self, number: int, answer: Prediction) -> None:
        """Write an answer of the video with a number.

        Raises
        ------
        OSError
            the disk refuses; the file has the answers before
        """
        if not self.path:
            return
        before = self._form.tail
        text, head = _bytes(self._form.record(answer)), _bytes(self._form.head)
        if self._file is None:
            with atomic_write(self.path, 'wb') as stream:
                stream.write(head + text + _bytes(self._form.tail))
            self._file = open(self.path, 'r+b', buffering=0)
            begin = len(head)
        else:
            between = _bytes(self._form.between)
            self._append(between + text + _bytes(self._form.tail), _bytes(before))
            begin = self._end + len(between)
        self._end = begin + len(text)
        if self._runs and self._runs[-1][0] == number:
            begin = self._runs.pop()[1]
        self._runs.append((number, begin, self._end))

    def close(self) -> None:
        """Bring the videos into their order, where errors came late; harmless when done twice."""
        if self._file is None:
            return
        ordered = sorted(self._runs, key=lambda run: run[0])
        with self._file as records:
            if ordered != self._runs:
                with atomic_write(self.path, 'wb') as stream:
                    stream.write(_bytes(self._form.head))
                    for place, (_, begin, end) in enumerate(ordered):
                        records.seek(begin)
                        stream.write(_bytes(self._form.between if place else '') + records.read(end - begin))
                    stream.write(_bytes(self._form.tail))
        self._file = None

    def _append(self, data: bytes, before: bytes) -> None:
        """Write behind the records; where that fails the file is as it was, with the tail of `before`."""
        assert self._file is not None
        with naming(self.path):
            try:
                self._file.seek(self._end)
                rest = memoryview(data)
                while len(rest):  # on a full disk the first part is taken, and the error comes with the next
                    rest = rest[self._file.write(rest) :]
                self._file.truncate(self._end + len(data))
            except OSError:
                with contextlib.suppress(OSError):
                    self._file.seek(self._end)
                    self._file.write(before)
                    self._file.truncate(self._end + len(before))
                raise


def _bytes(text: str) -> bytes:
    return text.encode('utf-8', 'surrogateescape')
