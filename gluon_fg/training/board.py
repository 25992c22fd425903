"""A run's numbers for TensorBoard.

An event file is TensorFlow's: records of a length, its checksum, an Event as a protocol buffer, and its checksum. The
few kinds that a run has are written here: tensorboardX loads PyTorch where there is one, which takes seconds of a run.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import time
from ctypes import c_float
from pathlib import Path
from typing import List, Mapping, Union

from ..files import naming

VERSION = b'brain.Event:2'
SESSION_START = b'\x08\x01'  # of a SessionLog: its field 1, `status`, is 1


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
        self.folder = Path(folder)
        with naming(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f'events.out.tfevents.{time.time_ns() // 1000 / 1e6:.6f}.{socket.gethostname()}.{os.getpid()}'
            self._file = open(self.folder / name, 'xb')  # another one of the same microsecond is not written over
            self._write(_message(3, VERSION))
            if first:
                self._write(_number(2, first) + _message(3, VERSION))
                self._write(_number(2, first) + _message(7, SESSION_START))
            self._file.flush()

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Write numbers by their names, such as 'train/loss', of an update."""
        with naming(self.folder):
            for name, value in values.items():
                tag = re.sub(r'[^-/\w.]', '_', name).lstrip('/').encode()
                number = b'\x15' + struct.pack('<f', c_float(value).value)  # field 2, four bytes; infinite beyond them
                self._write(_number(2, step) + _message(5, _message(1, _message(1, tag) + number)))
            self._file.flush()

    def _write(self, fields: bytes) -> None:
        event = b'\x09' + struct.pack('<d', time.time()) + fields  # field 1, eight bytes
        length = struct.pack('<Q', len(event))
        self._file.write(length + _checksum(length) + event + _checksum(event))

    def close(self) -> None:
        """Close the file."""
        with naming(self.folder):
            self._file.close()


def _number(field: int, value: int) -> bytes:
    return bytes([field << 3]) + _varint(value) if value else b''  # a 0 is left out


def _message(field: int, content: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all bytes but the last have the eighth set."""
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _crc_table() -> List[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC = _crc_table()


def _checksum(data: bytes) -> bytes:
    """CRC-32C, turned by 15 bits and shifted, as TensorFlow's records have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack('<I', ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
