"""Whatever a server, a disk or another process does: the right file or one clear line; a good copy is never touched."""

import errno
import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import pytest

from gluon_fg.errors import UserError
from gluon_fg.weights import disk, download
from gluon_fg.weights.download import fetch, read_text

REPO = Path(__file__).resolve().parents[2]
GOOD = bytes(range(256)) * 1024  # 16 blocks of a transfer
DIGEST = hashlib.sha256(GOOD).hexdigest()
OTHER = GOOD[::-1]
QUICK = {'timeout': 10, 'wait': 0.01}
IMPATIENT = 0.5  # seconds, for servers that fall silent


def zipped(name='w.params', data=GOOD):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w', zipfile.ZIP_STORED) as archive:
        archive.writestr(name, data)
    return stream.getvalue()


def message(*args, **kwargs):
    """The error of a fetch, which is one line."""
    with pytest.raises(UserError) as caught:
        fetch(*args, **{**QUICK, **kwargs})
    text = str(caught.value)
    assert '\n' not in text
    return text


@pytest.fixture
def folder(tmp_path):
    return tmp_path / 'models'


def fetched(folder, *sources, **kwargs):
    path = fetch('w.params', DIGEST, folder, sources, **{**QUICK, **kwargs})
    assert path == folder / 'w.params' and path.read_bytes() == GOOD
    assert os.listdir(folder) == ['w.params']  # no part, no lock is left behind
    return path


def test_a_file_is_fetched_once(server, folder):
    server.files['w.params'] = GOOD
    path = fetched(folder, server.url('w.params'), size=len(GOOD))
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    before = path.stat()
    fetched(folder, server.url('w.params'))
    assert server.seen == [('w.params', 0)] and path.stat() == before


def test_a_folder_is_a_source_too(folder, tmp_path):
    source = tmp_path / 'a folder' / 'w.params'
    source.parent.mkdir()
    source.write_bytes(GOOD)
    fetched(folder, source.as_uri())
    text = message('x', DIGEST, folder, [(tmp_path / 'absent').as_uri(), f'file://host{source}', tmp_path.as_uri()])
    assert 'No such file' in text and 'write file:///host/' in text and 'Is a directory' in text


@pytest.mark.parametrize('fault, reason', [
    (404, 'HTTP 404 Not Found'), (403, 'HTTP 403 Forbidden'), (599, 'HTTP 599 unknown status'),
    ('html', 'it is a web page (HTML), not the file'),
    ('cut', r'the connection was cut'), ('stall', 'no answer in time'), ('silent', 'no answer in time'),
])  # fmt: skip
def test_trouble_is_told_in_one_line(fault, reason, server, folder):
    server.files['w.params'] = GOOD
    server.plan = [fault] * 2
    url = server.url('w.params')
    text = message('w.params', DIGEST, folder, [url], attempts=2, timeout=IMPATIENT)
    assert f'cannot fetch w.params ({url}: {reason}' in text
    assert f'put the file (SHA-256 {DIGEST}) into {folder} by hand' in text
    passes = fault in (599, 'cut', 'stall', 'silent')
    assert len(server.seen) == 1 + passes  # what will not pass is not tried again
    # What has arrived is kept for the next call, which goes on there; nothing else is left.
    kept = [len(GOOD) // 2 + len(GOOD) // 4] if fault in ('cut', 'stall') else []
    assert [path.stat().st_size for path in folder.glob('*')] == kept
    server.plan.clear()
    fetched(folder, url)
    assert server.seen[-1] == ('w.params', sum(kept))


@pytest.mark.parametrize('wrong, reason', [
    (OTHER, f'its SHA-256 is {hashlib.sha256(OTHER).hexdigest()[:12]}..., not {DIGEST[:12]}...'),
    (GOOD[:-7], f'it is cut short, {len(GOOD) - 7} of {len(GOOD)} bytes'),
    (GOOD + b'x', 'its SHA-256 is'), (b'', 'it is empty'),
], ids=range(4))  # fmt: skip
def test_a_wrong_file_never_appears(wrong, reason, server, folder):
    server.files['w.params'] = wrong
    text = message('w.params', DIGEST, folder, [server.url('w.params')], size=len(GOOD))
    assert reason in text and len(server.seen) == 1 and os.listdir(folder) == []
    # nor does it take the place of a damaged one, which only a good one does
    (folder / 'w.params').write_bytes(b'damaged')
    message('w.params', DIGEST, folder, [server.url('w.params')], size=len(GOOD))
    assert (folder / 'w.params').read_bytes() == b'damaged'
    server.files['w.params'] = GOOD
    fetched(folder, server.url('w.params'))


def test_a_source_without_end_fills_no_disk(server, folder, monkeypatch):
    server.files['w.params'] = GOOD * 20
    written, append = [], download.append
    monkeypatch.setattr(download, 'append', lambda part, block: (append(part, block), written.append(len(block))))
    assert 'its SHA-256 is' in message('w.params', DIGEST, folder, [server.url('w.params')], size=len(GOOD))
    assert len(GOOD) < sum(written) <= len(GOOD) + (1 << 14)


def test_a_server_in_trouble_is_asked_again_and_waits_grow(server, folder, monkeypatch):
    server.files['w.params'] = GOOD
    server.plan = [500, 503, 429]
    waits = []
    monkeypatch.setattr(download.time, 'sleep', waits.append)
    fetched(folder, server.url('w.params'), wait=1)
    assert waits == [1, 2, 4] and len(server.seen) == 4


def test_a_cut_download_goes_on_where_it_was_cut(server, folder):
    server.files['w.params'] = GOOD
    server.plan = ['cut', 'stall']
    fetched(folder, server.url('w.params'), size=len(GOOD), timeout=2 * IMPATIENT)
    assert server.seen == [('w.params', start) for start in (0, len(GOOD) // 2, len(GOOD) * 3 // 4)]


def test_a_server_without_ranges_starts_over(server, folder):
    server.files['w.params'] = GOOD
    server.plan = ['cut', 'no_range']
    fetched(folder, server.url('w.params'))
    assert server.seen == [('w.params', 0), ('w.params', len(GOOD) // 2)]


@pytest.mark.parametrize('left', [OTHER[:5000], OTHER, GOOD + b'more', b'x'], ids=range(4))
@pytest.mark.parametrize('size', [None, len(GOOD)])
def test_a_part_of_other_content_is_discarded_once(left, size, server, folder):
    folder.mkdir()
    (folder / 'w.params.part').write_bytes(left)
    server.files['w.params'] = GOOD
    fetched(folder, server.url('w.params'), size=size)
    assert server.seen[-1] == ('w.params', 0) and len(server.seen) <= 2
    # ... and where the server's file is no better, that is the end of it
    (folder / 'w.params').unlink()
    (folder / 'w.params.part').write_bytes(left)
    server.files['w.params'], server.seen[:] = OTHER + b'!', []
    assert 'its SHA-256 is' in message('w.params', DIGEST, folder, [server.url('w.params')], size=size)
    assert len(server.seen) <= 2 and os.listdir(folder) == []


def test_a_complete_part_is_taken(server, folder):
    """A process was killed between the last byte and the renaming."""
    folder.mkdir()
    (folder / 'w.params.part').write_bytes(GOOD)
    fetched(folder, server.url('w.params'), size=len(GOOD))
    assert server.seen == []  # its size tells; without one the server is asked what follows
    (folder / 'w.params').rename(folder / 'w.params.part')
    server.files['w.params'] = GOOD
    fetched(folder, server.url('w.params'))
    assert server.seen == [('w.params', len(GOOD))]


def test_another_part_than_asked_for_is_refused(server, folder):
    server.files['w.params'] = GOOD
    server.plan = ['cut', 'wrong_range']
    assert 'another part than was asked for' in message('w.params', DIGEST, folder, [server.url('w.params')])


def test_a_length_is_not_needed(server, folder):
    server.files['w.params'] = GOOD
    server.plan = ['chunked']
    fetched(folder, server.url('w.params'))
    assert server.seen == [('w.params', 0)]  # one answer without a length, not asked for again


def test_mirrors_are_tried_in_turn_and_share_what_has_arrived(server, mirror, nowhere, folder):
    server.files['w.params'] = mirror.files['w.params'] = GOOD
    server.plan = ['cut']
    began = time.monotonic()
    fetched(folder, nowhere + 'w.params', server.url('w.params'), mirror.url('w.params'), wait=5)
    assert time.monotonic() - began < 4  # the second is asked before the first is waited for
    assert server.seen == [('w.params', 0)] and mirror.seen == [('w.params', len(GOOD) // 2)]
    (folder / 'w.params').unlink()
    server.files['w.params'] = OTHER
    fetched(folder, server.url('absent'), server.url('w.params'), mirror.url('w.params'))
    assert mirror.seen[-1] == ('w.params', 0)


def test_every_source_is_named_and_no_password(server, mirror, folder):
    secret = server.url('a').replace('//', '//me:secret@')
    mirror.files['b'] = OTHER
    text = message('w.params', DIGEST, folder, [secret, mirror.url('b'), 'ftp://x/c', 'http://'])
    assert f'{server.url("a")}: HTTP 404 Not Found; {mirror.url("b")}: its SHA-256 is' in text and 'secret' not in text
    assert 'ftp://x/c: no http://, https:// or file:// address' in text


def test_offline(nowhere, folder):
    began = time.monotonic()
    text = message('w.params', DIGEST, folder, [nowhere + 'w.params'], wait=5)
    assert f'{nowhere}w.params: cannot be reached (offline?)' in text and f'into {folder} by hand' in text
    assert time.monotonic() - began < 4  # no use in waiting
    assert 'no source is known' in message('w.params', DIGEST, folder, [])
    (folder / 'w.params').write_bytes(GOOD)
    fetched(folder, nowhere + 'w.params')


NO_NAMES = ('../w.params', 'a/w.params', '/etc/w', '..', '.', '', 'a\\b', 'a\nb', 'w\0', 'c:w', 'x' * 300)


@pytest.mark.parametrize('name', NO_NAMES)
def test_a_name_with_a_folder_is_refused(name, server, folder):
    assert 'no plain file name' in message(name, DIGEST, folder, [server.url('w.params')])
    assert server.seen == [] and not folder.exists()


class _Full:
    """A file on a disk that is full after `room` bytes."""

    def __init__(self, stream, room, code):
        self._stream, self._room, self._code = stream, room, code

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self._stream.close()

    def write(self, data):
        taken = self._stream.write(data[: self._room])
        self._room -= taken
        if not taken:
            raise OSError(self._code, os.strerror(self._code))
        return taken


@pytest.mark.parametrize('unpack', [False, True])
@pytest.mark.parametrize('code, reason', [(errno.ENOSPC, 'no space left'), (errno.EIO, 'Input/output error')])
def test_a_full_disk(unpack, code, reason, server, folder, monkeypatch):
    folder.mkdir()
    (folder / 'w.params').write_bytes(b'damaged')
    server.files['w'] = zipped() if unpack else GOOD
    with monkeypatch.context() as patch:
        # With a zip, there is room for it, but not for what it holds.
        patch.setattr(disk if unpack else download, 'open', lambda path, mode, **k:
                      _Full(open(path, mode, **k), 5000, code) if set(mode) & set('wa') else open(path, mode, **k),
                      raising=False)  # fmt: skip
        text = message('w.params', DIGEST, folder, [server.url('w')] * 2, unpack=unpack)
    assert reason in text and str(folder) in text and len(server.seen) == 1
    assert (folder / 'w.params').read_bytes() == b'damaged'
    if code == errno.ENOSPC:  # the space is given back
        assert os.listdir(folder) == ['w.params']
    fetched(folder, server.url('w'), unpack=unpack)


@pytest.mark.skipif(os.geteuid() != 0 and os.geteuid() == os.stat('/').st_uid, reason='needs an ordinary user')
def test_no_permission(server):
    server.files['w.params'] = GOOD
    with tempfile.TemporaryDirectory() as top:  # pytest's own folders are closed to other users
        os.chmod(top, 0o755)
        closed, good, secret = (Path(top) / name for name in ('closed', 'good', 'secret'))
        for folder in (closed, good, secret):
            folder.mkdir()
            (folder / 'w.params').write_bytes(GOOD if folder == good else b'damaged')
            folder.chmod(0o555)
        (secret / 'w.params').chmod(0)
        root = os.geteuid() == 0
        if root:  # may write anywhere
            os.seteuid(65534)
        try:
            text = message('w.params', DIGEST, closed, [server.url('w.params')])
            assert text == f'{closed}: Permission denied; choose a folder that can be written'
            text = message('w.params', DIGEST, secret, [server.url('w.params')])
            assert text == f'{secret / "w.params"} cannot be read: Permission denied'
            assert 'Permission denied' in message('w.params', DIGEST, closed / 'new', [server.url('w.params')])
            assert fetch('w.params', DIGEST, good, []) == good / 'w.params'  # nothing to write
        finally:
            if root:
                os.seteuid(0)
            for folder in (closed, good, secret):
                folder.chmod(0o755)
    assert server.seen == []


def test_a_file_in_place_of_the_folder(server, tmp_path):
    (tmp_path / 'models').write_bytes(b'')
    assert 'choose a folder' in message('w.params', DIGEST, tmp_path / 'models', [server.url('w.params')])
    (tmp_path / 'w.params').mkdir()
    assert 'cannot be read: Is a directory' in message('w.params', DIGEST, tmp_path, [server.url('w.params')])


def test_a_zip_is_unpacked(server, folder):
    server.files['w.zip'] = zipped()
    server.plan = ['cut']
    sha1 = hashlib.sha1(GOOD).hexdigest()
    fetched(folder, server.url('w.zip'), unpack=True)
    (_, first), (_, second) = server.seen
    assert first == 0 < second <= len(zipped()) // 2
    (folder / 'w.params').write_bytes(OTHER)
    assert fetch('w.params', sha1, folder, [server.url('w.zip')], unpack=True).read_bytes() == GOOD


def broken_zips():
    good = zipped()
    middle = len(good) // 2
    yield good[:middle], 'it is no whole zip'
    yield good[:-1], 'it is no whole zip'
    yield good[:middle] + b'\0\0\0\0' + good[middle + 4 :], 'it is no whole zip'
    yield good[:30] + bytes(20) + good[50:], 'it is no whole zip'
    yield b'', 'it is no whole zip'
    yield b'<html>Sign in', 'it is a web page (HTML), not the zip'
    yield zipped('other.params'), 'the zip does not hold w.params'
    yield zipped('../w.params'), 'the zip does not hold w.params'
    yield zipped(data=OTHER), 'in the zip, its SHA-256 is'
    yield zipped(data=GOOD[:100]), 'in the zip, it is cut short, 100 of 262144 bytes'


@pytest.mark.parametrize('data, reason', broken_zips(), ids=range(10))
def test_a_broken_zip(data, reason, server, folder):
    server.files['w.zip'] = data
    (folder / 'sub').mkdir(parents=True)
    text = message('w.params', DIGEST, folder / 'sub', [server.url('w.zip')], unpack=True, size=len(GOOD))
    assert reason in text and not list((folder / 'sub').iterdir()) and os.listdir(folder) == ['sub']


def test_an_interrupt_keeps_what_has_arrived(server, folder, monkeypatch):
    server.files['w.params'] = GOOD
    append = download.append

    def interrupted(part, block):
        append(part, block)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(download, 'append', interrupted)
        fetch('w.params', DIGEST, folder, [server.url('w.params')])
    kept = (folder / 'w.params.part').read_bytes()
    assert kept and GOOD.startswith(kept) and os.listdir(folder) == ['w.params.part']
    fetched(folder, server.url('w.params'))
    assert server.seen[-1] == ('w.params', len(kept))


# A process that knows only the file under test: importing MXNet takes longer than all of this.
PROCESS = f"""
import logging, sys, types
for name in ('gluon_fg', 'gluon_fg.weights'):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [{str(REPO)!r} + '/' + name.replace('.', '/')]
logging.basicConfig(level=logging.INFO, format='%(message)s')
from gluon_fg.weights.download import fetch
print('ready', flush=True)
sys.stdin.readline()
print(fetch('w.params', {DIGEST!r}, sys.argv[1], [sys.argv[2]], timeout=60, wait=0.01), flush=True)
"""


def start(folder, url):
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT, 'text': True}
    process = subprocess.Popen([sys.executable, '-c', PROCESS, str(folder), url], **pipes)
    assert process.stdout.readline() == 'ready\n'
    return process


def wait_until(condition):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError('waited for too long')


def test_two_processes_share_one_download(server, folder):
    server.files['w.params'] = GOOD
    server.plan = ['stall']  # the first one stays in the middle until the second one waits
    first, second = (start(folder, server.url('w.params')) for _ in range(2))
    first.stdin.write('go\n')
    first.stdin.flush()
    wait_until(lambda: server.seen and (folder / 'w.params.part').stat().st_size)
    second.stdin.write('go\n')
    second.stdin.flush()
    assert second.stdout.readline() == f'{folder / "w.params"}: another process is fetching it; waiting\n'
    server.leave.set()  # the first one's connection ends half way: it goes on
    for process in (first, second):
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0 and out.endswith(f'{folder / "w.params"}\n'), out
    assert server.seen == [('w.params', 0), ('w.params', len(GOOD) // 2)]
    fetched(folder)


def test_a_killed_process_leaves_what_has_arrived_and_no_lock(server, folder):
    server.files['w.params'] = GOOD
    server.plan = ['stall']
    process = start(folder, server.url('w.params'))
    process.stdin.write('go\n')
    process.stdin.flush()
    wait_until(lambda: server.seen and (folder / 'w.params.part').stat().st_size == len(GOOD) // 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    fetched(folder, server.url('w.params'))
    assert server.seen == [('w.params', 0), ('w.params', len(GOOD) // 2)]


def test_many_at_once_from_an_unsteady_server(server, folder):
    server.files['w.params'] = GOOD
    server.plan = ['cut', 500, 'html', 'no_range']
    failed = []

    def one():
        try:
            fetch('w.params', DIGEST, folder, [server.url('w.params')], attempts=6, **QUICK)
        except UserError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fetched(folder)
    assert len(failed) <= 1 and len(server.seen) <= 5  # the web page ends one's hope; the file itself comes once


def test_progress_is_for_terminals(server, folder, monkeypatch, capsys):
    server.files['w.params'] = GOOD
    fetched(folder, server.url('w.params'))
    assert capsys.readouterr().err == ''
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True, raising=False)
    (folder / 'w.params').unlink()
    server.plan = ['cut']
    fetched(folder, server.url('w.params'))
    shown = capsys.readouterr().err
    assert 'w.params' in shown and re.search(r'100%\|.*262k/262k', shown)


def test_small_texts(server, nowhere, tmp_path):
    server.files.update({'a': 'naïve: 1\n'.encode(), 'b': b'x' * 101, 'c': b'\xff\xfe', 'd': b'<html>'})
    assert read_text(server.url('a')) == 'naïve: 1\n'
    (tmp_path / 'a').write_bytes(server.files['a'])
    assert read_text((tmp_path / 'a').as_uri()) == 'naïve: 1\n'
    for url, reason in ((server.url('b'), 'longer than 100 bytes'), (server.url('c'), 'no text in UTF-8'),
                        (server.url('d'), 'a web page (HTML)'), (server.url('e'), 'HTTP 404 Not Found'),
                        (nowhere, 'cannot be reached (offline?)')):  # fmt: skip
        with pytest.raises(UserError, match=re.escape(f'cannot read {url}: {reason}')):
            read_text(url, limit=100)
    for fault, reason in (('cut', 'cut'), ('silent', 'no answer in time'), (500, 'HTTP 500')):
        server.plan = [fault]
        with pytest.raises(UserError, match=reason):
            read_text(server.url('b'), timeout=IMPATIENT)


def test_an_address_that_leads_to_another_is_followed(server, mirror, folder):
    server.files['w.params'] = GOOD
    mirror.leads = {'w.params': server.url('there/../w.params'), 'again': '/w.params'}
    server.files['there/../w.params'] = GOOD
    fetched(folder, mirror.url('again'))
    assert [name for name, _ in mirror.seen] == ['again', 'w.params'] and len(server.seen) == 1
