"""A web server on loopback whose faults can be switched, request by request."""

import contextlib
import http.server
import re
import threading

import pytest

from gluon_fg.weights import index

LONG = 120.0  # seconds: beyond any patience that a test gives


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` (path -> bytes); `plan` says what becomes of the next requests, 'ok' where it has run out.

    A status (404), 'html' (a page with status 200), 'cut' (half of what was asked for, then the connection closes),
    'stall' (half, then nothing), 'silent' (no answer), 'no_range' (the whole file whatever was asked for), 'chunked'
    (no length given), 'wrong_range' (another part than was asked for).
    `leads`: path -> the address that it leads to. `seen` lists (path, first byte asked for) of each request.
    """

    daemon_threads = True
    files, plan, seen, leads = {}, [], [], {}

    def url(self, name=''):
        return f'http://127.0.0.1:{self.server_port}/{name}'

    def handle_error(self, request, client_address):
        """A client that has gone is what the tests are about."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args):
        """Silent."""

    def do_GET(self):
        server, name = self.server, self.path.lstrip('/')
        asked = re.fullmatch(r'bytes=(\d+)-', self.headers.get('Range', ''))
        start = int(asked.group(1)) if asked else 0
        server.seen.append((name, start))
        fault = server.plan.pop(0) if server.plan else 'ok'
        data = server.files.get(name)
        self.close_connection = True
        if name in server.leads:
            return self.reply(302, b'see there', headers={'Location': server.leads[name]})
        if fault == 'silent':
            server.leave.wait(LONG)
            return
        if fault == 'html':
            return self.reply(200, b'\n<!DOCTYPE html><title>Please log in</title>', kind='text/html')
        if isinstance(fault, int) or data is None:
            return self.reply(fault if isinstance(fault, int) else 404, b'<html>sorry</html>', kind='text/html')
        if fault == 'no_range' or not asked:
            start, code, headers = 0, 200, {}
        elif start >= len(data):
            return self.reply(416, b'', headers={'Content-Range': f'bytes */{len(data)}'})
        else:
            start += fault == 'wrong_range'
            code, headers = 206, {'Content-Range': f'bytes {start}-{len(data) - 1}/{len(data)}'}
        self.reply(code, data[start:], fault, headers)

    def reply(self, code, body, fault='ok', headers=None, kind='application/octet-stream'):
        self.send_response(code)
        for key, value in {'Content-Type': kind, 'Connection': 'close', **(headers or {})}.items():
            self.send_header(key, value)
        if fault == 'chunked':
            self.send_header('Transfer-Encoding', 'chunked')
            self.end_headers()
            self.wfile.write(b'%x\r\n%s\r\n0\r\n\r\n' % (len(body), body))
            return
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if fault in ('cut', 'stall') else body)
        self.wfile.flush()
        if fault == 'stall':
            self.server.leave.wait(LONG)


@contextlib.contextmanager
def serving():
    server = Server(('127.0.0.1', 0), Handler)
    server.files, server.plan, server.seen, server.leave = {}, [], [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.leave.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch, tmp_path):
    """No proxy between us and the server, no repository and no weights of the person who runs the tests."""
    for name in ('http_proxy', 'https_proxy', 'all_proxy'):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ('GLUON_FG_REPO', 'MXNET_GLUON_REPO'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('MXNET_HOME', str(tmp_path / 'mxnet-home'))
    index._remote_text.cache_clear()  # of a repository that stood at the same address


@pytest.fixture
def server():
    with serving() as one:
        yield one


@pytest.fixture
def mirror():
    """A second server."""
    with serving() as one:
        yield one


@pytest.fixture
def nowhere():
    """An address where nothing listens."""
    with serving() as gone:
        url = gone.url()
    return url
