"""Servers that never end, lead astray or say what cannot be: one line each, in bounded time and memory."""

import contextlib
import gzip
import itertools
import os
import resource
import socket
import threading
import time

import pytest

from gluon_fg.errors import UserError
from gluon_fg.weights import download, index
from gluon_fg.weights.download import fetch, read_text

PATIENCE = 0.1  # seconds
OK = b'HTTP/1.1 200 OK\r\n'


def drip(first, rest, pause=0.05):
    """`first` at once, then a byte of `rest` now and then, without end."""
    yield first
    for byte in itertools.cycle(rest):
        time.sleep(pause)
        yield bytes([byte])


def flood(first, rest):
    """`first`, then `rest` as fast as it is taken, without end."""
    yield first
    while True:
        yield rest


@pytest.fixture
def answering():
    """Answer each request with the blocks of a call, whatever was asked; gives the server's address."""
    with contextlib.ExitStack() as stack:

        def start(blocks):
            listening = stack.enter_context(socket.create_server(('127.0.0.1', 0)))
            listening.settimeout(20)
            address = f'http://127.0.0.1:{listening.getsockname()[1]}/index.yaml'

            def serve():
                with contextlib.suppress(OSError):
                    while True:
                        connection, _ = listening.accept()
                        threading.Thread(target=answer, args=(connection,), daemon=True).start()

            def answer(connection):
                with connection, contextlib.suppress(OSError):
                    connection.recv(65536)
                    for block in blocks(address):
                        connection.sendall(block)

            threading.Thread(target=serve, daemon=True).start()
            return address

        yield start


def leading(place):
    return lambda address: [b'HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ' + place + b'\r\n\r\n']


ANSWERS = {
    'a body by drops': (lambda _: drip(OK + b'Content-Length: 1000\r\n\r\n', b'a'), 'too slowly'),
    'a body of no length by drops': (lambda _: drip(OK + b'\r\n', b'a'), 'too slowly'),
    'chunks by drops': (lambda _: drip(OK + b'Transfer-Encoding: chunked\r\n\r\n', b'1\r\na\r\n'), 'too slowly'),
    'headers by drops': (lambda _: drip(OK, b'a: b\r\n'), 'no answer in time'),
    'a status by drops': (lambda _: drip(b'HTTP/1.1 ', b'2'), 'no answer in time'),
    'interim answers': (lambda _: flood(b'', b'HTTP/1.1 100 Continue\r\n\r\n' * 9), 'no answer in time'),
    'headers without end': (lambda _: flood(OK, b'a: b\r\n' * 1000), 'the connection was cut'),
    'a line without end': (lambda _: flood(OK, b'a' * 65536), 'the connection was cut'),
    'a body without end': (lambda _: flood(OK + b'\r\n', b'a: 1\n' * 9999), 'longer than 1048576 bytes'),
    'a gzip without end': (lambda _: [OK + b'Content-Encoding: gzip\r\n\r\n' + BOMB], 'longer than 1048576 bytes'),
    'gzip in gzip': (lambda _: [OK + b'Content-Encoding: gzip, gzip, gzip\r\n\r\n' + BOMB], 'sends it compressed'),
    'no gzip': (lambda _: [OK + b'Content-Encoding: gzip\r\n\r\n' + b'a' * 100], 'gzip'),
    'a length that is none': (lambda _: [OK + b'Content-Length: \xb2\r\n\r\na: 1'], ''),
    'a length below zero': (lambda _: [OK + b'Content-Length: -5\r\n\r\na: 1'], ''),
    'two lengths': (lambda _: [OK + b'Content-Length: 4\r\nContent-Length: 5\r\n\r\na: 1'], ''),
    'a length beyond all': (lambda _: [OK + b'Content-Length: ' + b'9' * 5000 + b'\r\n\r\na: 1'], ''),
    'a chunk that is none': (lambda _: [OK + b'Transfer-Encoding: chunked\r\n\r\nzz\r\na'], 'cut'),
    'a chunk beyond all': (lambda _: [OK + b'Transfer-Encoding: chunked\r\n\r\n' + b'f' * 40 + b'\r\na'], ''),
    'no status': (lambda _: [b'HTTP/1.1 abc OK\r\n\r\n'], 'cut'),
    'no HTTP': (lambda _: [b'\x1b]0;owned\x07\r\n\r\n'], 'cut'),
    'nothing': (lambda _: [b''], 'cut'),
    'no address': (leading(b'http://['), 'Invalid IPv6 URL'),
    'no port': (leading(b'http://127.0.0.1:99999/'), ''),
    'no host': (leading(b'http:///a'), ''),
    'a file': (leading(b'file:///etc/passwd'), 'which is no http:// or https:// address'),
    'another scheme': (leading(b'ftp://127.0.0.1/a'), 'no http://, https:// or file:// address'),
    'a null byte': (leading(b'http://a\0b/'), ''),
    'bytes that are no text': (leading(b'http://\xff\xfe/'), ''),
    'a label beyond all': (leading(b'http://' + b'a' * 300 + b'.example/'), ''),
    'itself': (lambda address: leading(address.encode())(address), 'more than 10 times'),
    'a redirect without end': (lambda _: flood(ASTRAY, b'a' * 65536), 'IPv6'),
}  # fmt: skip
BOMB, ASTRAY = gzip.compress(bytes(32 << 20)), b'HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n'


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr('gluon_fg.weights.transport.CONNECT', 0.5)


@pytest.mark.parametrize('kind', ANSWERS)
def test_an_index_from_anyone_is_read_or_one_line_soon(kind, answering):
    answer, message = ANSWERS[kind]
    address = answering(answer)
    start, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        told = read_text(address, timeout=PATIENCE)
    except UserError as error:
        told = str(error)
        assert told.startswith(f'cannot read {address}: ') and told.isprintable() and len(told) < 300
    assert message in told and ('a: 1' in told or 'cannot read' in told)
    assert time.monotonic() - start < 8
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 200_000  # kB


def slowly(first, block):
    yield first
    while True:
        time.sleep(0.1)
        yield block


def test_a_text_has_a_time_for_all_of_it(answering, monkeypatch):
    """Each block comes in time, and there are many."""
    monkeypatch.setattr(download, 'WHOLE', 0.4)
    block = b'#' * (1 << 14)
    address = answering(lambda _: slowly(OK + b'\r\n', block))
    start = time.monotonic()
    with pytest.raises(UserError, match='too slowly'):
        read_text(address, timeout=1)
    assert time.monotonic() - start < 4


def test_a_server_that_drips_weights_is_given_up(answering, tmp_path):
    address = answering(lambda _: drip(OK + b'Content-Length: 100000\r\n\r\n' + b'a' * 20000, b'a'))
    with pytest.raises(UserError, match=r'cannot fetch w.params \(.*: it comes too slowly'):
        fetch('w.params', '0' * 64, tmp_path, [address], timeout=PATIENCE, attempts=2, wait=0)
    assert [path.stat().st_size for path in tmp_path.iterdir()] == [1 << 14]  # to go on with


def test_a_file_of_unknown_size_fills_no_disk(answering, tmp_path, monkeypatch):
    monkeypatch.setattr(download, 'LARGEST', 1 << 20)
    address = answering(lambda _: flood(OK + b'\r\n', bytes(1 << 16)))
    with pytest.raises(UserError, match='is longer than 1048576 bytes'):
        fetch('w.params', '0' * 40, tmp_path, [address], timeout=1)
    assert os.listdir(tmp_path) == []


def test_devices_and_pipes_are_no_sources(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    for address in ('file:///dev/zero', (tmp_path / 'pipe').as_uri()):
        with pytest.raises(UserError, match='is no plain file'):
            read_text(address)
    with pytest.raises(UserError, match='cannot read file:'):
        read_text('file:///a%00b')


@pytest.mark.parametrize('address', ['http://[', 'http://a:b:c/', 'https://', 'gopher://a', 'http://\x1b[2J/'])
def test_a_repository_that_is_no_address_is_one_line(address, monkeypatch):
    monkeypatch.setenv('GLUON_FG_REPO', address)
    with pytest.raises(UserError, match='cannot read') as caught:
        index.find('no such name')
    assert str(caught.value).isprintable()


def test_a_repository_that_was_slow_to_fail_is_asked_once(answering, monkeypatch):
    asked = []

    def answer(address):
        asked.append(address)
        return drip(OK + b'Content-Length: 1000\r\n\r\n', b'a')

    address = answering(answer).rpartition('/')[0]
    monkeypatch.setattr(download, 'WHOLE', 0.2)
    monkeypatch.setattr(index, '_SLOW', 0.1)
    monkeypatch.setenv('GLUON_FG_REPO', address)
    for _ in range(3):
        with pytest.raises(UserError, match='too slowly'):
            index.find('no such name')
    assert len(asked) == 1
    monkeypatch.setattr(index, '_given_up', {address: (0.0, 'long ago')})
    with pytest.raises(UserError, match='too slowly'):
        index.find('no such name')
    assert len(asked) == 2
