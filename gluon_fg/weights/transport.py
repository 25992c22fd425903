"""Reading one source, http(s):// or file://, block by block; every trouble is told as a short reason."""

from __future__ import annotations

import contextlib
import dataclasses
import http
import os
import re
import warnings
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterable, Iterator, Optional, Tuple
from urllib.parse import unquote, urlsplit

import requests
import urllib3

BLOCK = 1 << 14  # bytes: what a cut connection loses at most
CONNECT = 10  # seconds at most until a server takes the connection


class SourceError(Exception):
    """Why a source does not give the file, in a few words.

    Parameters
    ----------
    reason
        one line
    passes
        it may work at another try: a timeout, a server's 5xx, a cut connection
    """

    def __init__(self, reason: str, passes: bool = False):
        super().__init__(reason)
        self.passes = passes


@dataclasses.dataclass(frozen=True)
class Access:
    """How servers are reached, where it is not as the system and its environment say.

    Parameters
    ----------
    certificates, client
        files with the certificates that a server's must be signed by, and with our own
    proxy
        address of a server in between, for all addresses
    trusted
        hosts (`host` or `host:port`) whose certificates are not checked; files are verified by hash all the same
    """

    certificates: Optional[str] = None
    client: Optional[str] = None
    proxy: Optional[str] = None
    trusted: Tuple[str, ...] = ()

    def settings(self, url: str) -> Dict[str, Any]:
        """What `requests` is to be told for an address."""
        parts = urlsplit(url)
        trusted = parts.hostname in self.trusted or parts.netloc.rpartition('@')[2] in self.trusted
        return {
            'verify': not trusted and (self.certificates or True),
            'cert': self.client,
            'proxies': {'http': self.proxy, 'https': self.proxy} if self.proxy else None,
        }


PLAIN = Access()


@dataclasses.dataclass
class Reply:
    """What a source sends: `blocks` of bytes from position `start`, of a file of `total` bytes (None: not said)."""

    start: int
    total: Optional[int]
    blocks: Iterable[bytes]

    def check_length(self, received: int) -> None:
        """Raise SourceError where fewer bytes than the whole file have arrived."""
        if self.total is not None and received < self.total:
            raise SourceError(f'the connection was cut after {received} of {self.total} bytes', passes=True)


@contextlib.contextmanager
def opened(
    url: str, start: int, timeout: float, access: Access = PLAIN, accept: Optional[str] = None
) -> Iterator[Reply]:
    """The rest of a file from byte `start` on, or all of it (`Reply.start` is 0) where the source gives no parts.

    Parameters
    ----------
    timeout
        seconds to wait for the next bytes, and (10 at most) for a connection
    access
        proxy, certificates
    accept
        kinds of content that are asked for; None: any

    Raises
    ------
    SourceError
        here, or while the blocks are read
    """
    scheme = urlsplit(url).scheme
    if scheme == 'file':
        with _local(url, start) as reply:
            yield reply
        return
    if scheme not in ('http', 'https'):
        raise SourceError('no http://, https:// or file:// address')
    # Parts are counted in bytes of the file, which a compressed transfer would not keep.
    headers = {'Accept-Encoding': 'identity'}
    if accept:
        headers['Accept'] = accept
    if start:
        headers['Range'] = f'bytes={start}-'
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', urllib3.exceptions.InsecureRequestWarning)  # of hosts that the user trusts
            response = requests.get(
                url, headers=headers, stream=True, timeout=(min(timeout, CONNECT), timeout), **access.settings(url)
            )
        with response:
            yield _reply(response, start)
    except (requests.exceptions.SSLError, requests.exceptions.ProxyError) as error:
        raise SourceError(_line(error)) from None
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        # What lies beneath, as requests tells a stall by one class before the answer and by another within it.
        cause = error.args[0] if error.args else error
        cause = getattr(cause, 'reason', None) or cause
        if isinstance(cause, urllib3.exceptions.NewConnectionError):
            raise SourceError('cannot be reached (offline?)') from None
        if isinstance(error, requests.Timeout) or isinstance(cause, urllib3.exceptions.TimeoutError):
            raise SourceError('no answer in time', passes=True) from None
        raise SourceError('the connection was cut', passes=True) from None
    except (requests.RequestException, OSError) as error:  # an address that is none, endless redirects, no certificates
        raise SourceError(_line(error)) from None


def _reply(response: requests.Response, start: int) -> Reply:
    code = response.status_code
    length = response.headers.get('Content-Length', '')
    total = int(length) if length.isdigit() and 'Content-Encoding' not in response.headers else None
    blocks = response.iter_content(BLOCK)
    if code == 200:
        return Reply(0, total, blocks)
    if code == 206:
        sent = re.match(r'bytes (\d+)-\d+/(\d+|\*)', response.headers.get('Content-Range', ''))
        if sent is None or int(sent.group(1)) != start:
            raise SourceError('sends another part than was asked for')
        return Reply(start, None if sent.group(2) == '*' else int(sent.group(2)), blocks)
    if code == 416 and start:  # nothing follows the bytes that we have
        return Reply(start, start, ())
    phrase = http.HTTPStatus(code).phrase if code in set(http.HTTPStatus) else 'unknown status'
    raise SourceError(f'HTTP {code} {phrase}', passes=code >= 500 or code in (408, 429))


@contextlib.contextmanager
def _local(url: str, start: int) -> Iterator[Reply]:
    parts = urlsplit(url)
    if parts.netloc not in ('', 'localhost'):
        raise SourceError(f'names a host; write file:///{parts.netloc}{parts.path}')
    path = Path(unquote(parts.path))
    try:
        stream = open(path, 'rb')
    except OSError as error:
        raise SourceError(error.strerror or str(error)) from None
    with stream:
        total = os.fstat(stream.fileno()).st_size
        start = stream.seek(start if start <= total else 0)
        yield Reply(start, total, _blocks(stream))


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while True:
        try:
            block = stream.read(BLOCK)
        except OSError as error:  # the disk, or a network drive that has gone
            raise SourceError(error.strerror or str(error), passes=True) from None
        if not block:
            return
        yield block


def shown(url: str) -> str:
    """An address, or a text with addresses, for messages: without the user names and passwords that they may hold."""
    return re.sub(r'(?<=://)[^/\s]*@', '', url)


def _line(error: Exception) -> str:
    return shown(' '.join(str(error).split()))[:160]
