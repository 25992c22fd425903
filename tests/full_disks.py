"""Commands on disks that take little or nothing: run in a process of its own, in a mount namespace that ends with it.

python full_disks.py FOLDER: a JSON list comes in, of [bytes of the disk, whether it is read-only, words of the
command]; one goes out, of [exit code, what stands on stderr, temporary files that were left].
"""

import ctypes
import json
import os
import sys
from pathlib import Path

sys.argv = ['gluon-fg', *sys.argv[1:]]  # what happens to a command of its own
from gluon_fg import files  # noqa: E402
from gluon_fg.cli import main  # noqa: E402

LIBC = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUSER, RDONLY, REMOUNT, PRIVATE = 0x20000, 0x10000000, 1, 32, 0x44000


def checked(result):
    if result:
        print(json.dumps(os.strerror(ctypes.get_errno())))  # no right to mount anything here
        sys.exit(0)


def mount(folder, size, flags):
    checked(LIBC.mount(b'tmpfs', os.fsencode(folder), b'tmpfs', flags, f'size={size}'.encode()))


def told(words, folder):
    """Exit code and stderr of a command, in this process."""
    sys.stdout.flush()
    stderr, out = os.dup(2), os.dup(1)
    with open(folder / 'stderr', 'w+b') as stream, open(os.devnull, 'wb') as nothing:
        os.dup2(stream.fileno(), 2)
        os.dup2(nothing.fileno(), 1)
        try:
            main(words)
        except SystemExit as stop:
            code = stop.code
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.dup2(out, 1)
        stream.seek(0)
        return code, stream.read().decode()


def run():
    folder = Path(sys.argv[1])
    disk = folder / 'disk'
    disk.mkdir()
    checked(LIBC.unshare(NEWNS | (0 if os.getuid() == 0 else NEWUSER)))
    checked(LIBC.mount(b'none', b'/', None, PRIVATE, None))
    results = []
    for size, readonly, words in json.load(sys.stdin):
        mount(disk, size, 0)
        if readonly:
            mount(disk, size, RDONLY | REMOUNT)
        code, err = told(words, folder)
        left = [path.name for path in disk.rglob('.*') if files.is_temporary(path.name)]
        results.append([code, err, left])
        LIBC.umount2(os.fsencode(disk), 2)
    print(json.dumps(results))


run()
