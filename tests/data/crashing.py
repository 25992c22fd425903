"""Checks of files for the tests of processes: slow ones, and one that ends its process on some names."""

import os
import signal
import time

from gluon_fg.data.health import FileHealth


def crash_on_bad(path):
    """As a decoder that is killed on a damaged file."""
    if 'bad' in os.path.basename(path):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    return FileHealth(frames=7, bytes=os.path.getsize(path), sha256='0')


def stop_or_sleep(job):
    """Raises on the job 'stop', as on a full disk; any other lasts for minutes."""
    if job == 'stop':
        raise OSError('the disk is full')
    time.sleep(300)
