"""What was predicted, as people keep it: a table or JSON file, and the stretches of a film with one answer."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from ..files import atomic_write
from .predict import Prediction

SUFFIXES = ('.csv', '.json')
_SAVED_EVERY = 5.0  # seconds


class Stretch(NamedTuple):
    """A part of a film, `start` to `end` in seconds, in which one class is the likeliest: its mean probability."""

    label: str
    probability: float
    start: float
    end: float


def stretches(answers: Sequence[Prediction]) -> List[Stretch]:
    """Merge the windows of one film, in order, where neighbors have the same likeliest class.

    Of windows that overlap, each has the time up to the middle of what it shares with the next.
    """
    if not answers:
        return []
    starts = [float(answer.start or 0) for answer in answers]
    ends = [float(answer.end or 0) for answer in answers]
    for place in range(len(answers) - 1):
        if starts[place + 1] < ends[place]:
            starts[place + 1] = ends[place] = (starts[place + 1] + ends[place]) / 2
    merged: List[Stretch] = []
    shares: List[float] = []
    for answer, start, end in zip(answers, starts, ends):
        label, p = answer.predictions[0]
        if merged and merged[-1].label == label and merged[-1].end == start:
            shares.append(p)
            merged[-1] = Stretch(label, float(np.mean(shares)), merged[-1].start, end)
        else:
            shares = [p]
            merged.append(Stretch(label, p, start, end))
    return merged


def as_record(answer: Prediction, model: str, protocol: str) -> Dict[str, Any]:
    """A video's answer, or that of a window of it, as plain data."""
    return {
        'path': answer.path,
        'model': model,
        'protocol': protocol,
        **({} if answer.end is None else {'start': answer.start, 'end': answer.end}),
        'predictions': [{'label': label, 'probability': p} for label, p in answer.predictions],
        **({'error': answer.error.reason} if answer.error else {}),
    }


class ResultFile:
    """A file of answers, .csv or .json, that is whole at any time: it is written anew every few seconds.

    The CSV has a row for each video or window: path, start, end (seconds; empty for whole videos), label_1,
    probability_1, label_2, ..., error, model, protocol. The JSON has the records of `as_record`.

    Parameters
    ----------
    path
        ends in .csv or .json; '' keeps the answers without a file
    topk
        labels of an answer
    model, protocol
        names of both, which every row has
    """

    def __init__(self, path: str, topk: int, model: str, protocol: str):
        self.path, self.topk, self.model, self.protocol = path, topk, model, protocol
        self._taken: List[Tuple[int, Prediction]] = []
        self._saved = time.monotonic()

    @property
    def answers(self) -> List[Prediction]:
        """All that were taken, in the order of the videos."""
        return [answer for _, answer in sorted(self._taken, key=lambda numbered: numbered[0])]

    def add(self, number: int, answer: Prediction) -> None:
        """Take an answer of the video with a number; the file has it within seconds."""
        self._taken.append((number, answer))
        if time.monotonic() - self._saved > _SAVED_EVERY:
            self.save()

    def save(self) -> None:
        """Write all answers that were taken."""
        if not self.path or not self._taken:
            return
        is_table = os.path.splitext(self.path)[1].lower() == '.csv'
        text = self._table() if is_table else json.dumps(self.records(), indent=1) + '\n'
        with atomic_write(self.path, 'wb') as stream:
            stream.write(text.encode('utf-8', 'surrogateescape'))
        self._saved = time.monotonic()

    def records(self) -> List[Dict[str, Any]]:
        """All answers as plain data."""
        return [as_record(answer, self.model, self.protocol) for answer in self.answers]

    def _table(self) -> str:
        numbers = range(1, self.topk + 1)
        ranked = [name for n in numbers for name in (f'label_{n}', f'probability_{n}')]
        out = io.StringIO()
        table = csv.writer(out, lineterminator='\n')
        table.writerow(['path', 'start', 'end', *ranked, 'error', 'model', 'protocol'])
        for answer in self.answers:
            cells = [cell for label, p in answer.predictions for cell in (label, f'{p:.6f}')]
            cells += [''] * (len(ranked) - len(cells))
            times = ['', ''] if answer.end is None else [f'{answer.start:.3f}', f'{answer.end:.3f}']
            error = answer.error.reason if answer.error else ''
            table.writerow([answer.path, *times, *cells, error, self.model, self.protocol])
        return out.getvalue()
