"""Messages from a process that decodes to the one that asked: a length in 8 bytes, little endian, then that much JSON.

Nothing is pickled: what comes out of a decoder that a file has taken over is numbers and pixels.
"""

from __future__ import annotations

import json
import os
import select
from typing import IO, Any, Dict


class Ended(Exception):
    """A process ended before it answered; the text says how."""


class Hung(Ended):
    """A process did not answer in time."""


class Hearing:
    """The end of a pipe that is listened to.

    Parameters
    ----------
    file
        its descriptor, which others close
    """

    def __init__(self, file: int):
        self._file = file
        self._poll = select.poll()
        self._poll.register(file, select.POLLIN)

    def message(self, patience: float) -> Dict[str, Any]:
        """The next message; raises `Hung` where no byte comes in so many seconds, `Ended` where none will come."""
        length = bytearray(8)
        self.fill(memoryview(length), patience)
        data = bytearray(int.from_bytes(length, 'little'))
        self.fill(memoryview(data), patience)
        message: Dict[str, Any] = json.loads(data)
        return message

    def fill(self, target: memoryview, patience: float) -> None:
        """Read as many bytes as fit; raises as `message`."""
        while len(target):
            if not self._poll.poll(1000 * patience):
                raise Hung(f'no answer in {patience:.0f} s')
            count = os.readv(self._file, [target])
            if not count:
                raise Ended
            target = target[count:]


def say(stream: IO[bytes], message: Dict[str, Any]) -> None:
    """Send a message."""
    data = json.dumps(message).encode('ascii')
    stream.write(len(data).to_bytes(8, 'little') + data)
    stream.flush()
