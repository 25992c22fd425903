"""A run's numbers for TensorBoard."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Mapping, Union

from ..files import naming


class Board:
    """Writes numbers into an event file of TensorBoard, which it appends to at once.

    The SummaryWriter of tensorboardX leaves that to a thread. When the thread dies, on a full disk, the training waits
    for it without end as soon as ten numbers are waiting; and it needs semaphores, of which a container may have none.

    Parameters
    ----------
    folder
        made where there is none; each Board begins a file of its own there
    first
        the update from which on former files are not shown, as those of a run that was killed behind its checkpoint

    Raises
    ------
    OSError
        on every call: the disk refuses; it names the folder
    """

    def __init__(self, folder: Union[str, os.PathLike], first: int = 0):
        from tensorboardX.event_file_writer import EventsWriter  # heavy; only rank 0 of a training run needs it
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self.folder = Path(folder)
        with naming(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._events = EventsWriter(str(self.folder / 'events'))
            if first:
                self._events.write_event(Event(wall_time=time.time(), step=first, file_version='brain.Event:2'))
                begin = SessionLog(status=SessionLog.START)
                self._events.write_event(Event(wall_time=time.time(), step=first, session_log=begin))
            self._events.flush()

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Write numbers by their names, such as 'train/loss', of an update."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        with naming(self.folder):
            for name, value in values.items():
                self._events.write_event(Event(wall_time=time.time(), step=step, summary=scalar(name, value)))
            self._events.flush()

    def close(self) -> None:
        """Close the file."""
        with naming(self.folder):
            self._events.close()
