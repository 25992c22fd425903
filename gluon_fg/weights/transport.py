"""Reading one source, http(s):// or file://, block by block; every trouble is told as a short reason."""

from __future__ import annotations

import contextlib
import dataclasses
import http
import http.client
import os
import re
import warnings
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterable, Iterator, Optional, Tuple
from urllib.parse import unquote, urljoin, urlsplit

import requests
import urllib3

from ..errors import printable
from .patience import Watch, within

BLOCK = 1 << 14  # bytes: what a cut connection loses at most
CONNECT = 10  # seconds at most until a server takes the connection
SLOW = 3  # times as long as for the next bytes, at most, for a whole block
_REDIRECTS = 10
_COUNT = re.compile('[0-9]{1,18}')  # of bytes


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
    url: str,
    start: int,
    timeout: float,
    access: Access = PLAIN,
    accept: Optional[str] = None,
    whole: Optional[float] = None,
) -> Iterator[Reply]:
    """The rest of a file from byte `start` on, or all of it (`Reply.start` is 0) where the source gives no parts.

    Parameters
    ----------
    timeout
        seconds to wait for the next bytes, and (10 at most) for a connection; each block has to come within SLOW times
        as long, which a server that sends a byte now and then does not keep
    access
        proxy, certificates
    accept
        kinds of content that are asked for; None: any
    whole
        seconds for all of it; None: any time

    Raises
    ------
    SourceError
        here, or while the blocks are read
    """
    if _scheme(url) == 'file':
        with _local(url, start) as reply:
            yield reply
        return
    # Parts are counted in bytes of the file, which a compressed transfer would not keep.
    headers = {'Accept-Encoding': 'identity'}
    if accept:
        headers['Accept'] = accept
    if start:
        headers['Range'] = f'bytes={start}-'
    for _ in range(_REDIRECTS):
        response = _answer(url, headers, timeout, access)
        with response:
            if not response.is_redirect:
                yield _reply(response, start, SLOW * timeout, whole)
                return
            try:
                url = urljoin(url, response.headers['Location'].encode('latin-1').decode('utf-8', 'replace'))
            except ValueError as error:
                raise _source_error(error) from None
        if _scheme(url) not in ('http', 'https'):
            raise SourceError(f'leads to {_line(url)}, which is no http:// or https:// address')
    raise SourceError(f'leads from address to address, more than {_REDIRECTS} times')


def _scheme(url: str) -> str:
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise _source_error(error) from None
    if scheme not in ('http', 'https', 'file'):
        raise SourceError('no http://, https:// or file:// address')
    return scheme


class _Session(requests.Session):
    """Follows no address: requests would read all of an answer that leads to one, however long it is."""

    def get_redirect_target(self, resp: requests.Response) -> Optional[str]:
        return None


def _answer(url: str, headers: Dict[str, str], timeout: float, access: Access) -> requests.Response:
    """The beginning of a server's answer; an address that it leads to is not asked yet."""

    def ask() -> requests.Response:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', urllib3.exceptions.InsecureRequestWarning)  # of hosts that the user trusts
            patience = (min(timeout, CONNECT), timeout)
            with _Session() as session:
                return session.get(url, headers=headers, stream=True, timeout=patience, **access.settings(url))

    try:
        return within(CONNECT + SLOW * timeout, ask)
    except _TROUBLE as error:
        raise _source_error(error) from None


def _reply(response: requests.Response, start: int, each: float, whole: Optional[float]) -> Reply:
    code = response.status_code
    if response.headers.get('Content-Encoding', 'identity') not in ('identity', 'gzip', 'x-gzip', 'deflate'):
        raise SourceError('sends it compressed')  # many times over, perhaps
    length = response.headers.get('Content-Length', '')
    total = int(length) if _COUNT.fullmatch(length) and 'Content-Encoding' not in response.headers else None
    blocks = _received(response, each, whole)
    if code == 200:
        return Reply(0, total, blocks)
    if code == 206:
        sent = re.fullmatch(r'bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18}|\*)', response.headers.get('Content-Range', ''))
        if sent is None or int(sent.group(1)) != start:
            raise SourceError('sends another part than was asked for')
        return Reply(start, None if sent.group(2) == '*' else int(sent.group(2)), blocks)
    if code == 416 and start:  # nothing follows the bytes that we have
        return Reply(start, start, ())
    phrase = http.HTTPStatus(code).phrase if code in set(http.HTTPStatus) else 'unknown status'
    raise SourceError(f'HTTP {code} {phrase}', passes=code >= 500 or code in (408, 429))


def _received(response: requests.Response, each: float, whole: Optional[float]) -> Iterator[bytes]:
    with Watch(response.raw.fileno, each, whole) as watch:
        try:
            for block in response.iter_content(BLOCK):
                watch.passed()
                yield block
                watch.passed()  # what we do with it is no matter of the server's
        except _TROUBLE as error:
            raise _too_slow() if watch.expired else _source_error(error) from None
        if watch.expired:  # a connection that is shut looks like the end of a file of any length
            raise _too_slow()


def _too_slow() -> SourceError:
    return SourceError('it comes too slowly, a few bytes at a time')


# What comes up from requests, and what it lets through from below: of urllib3, http.client and urllib.parse.
_TROUBLE = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)


def _source_error(error: BaseException) -> SourceError:
    """What went wrong, in a few words."""
    if isinstance(error, (requests.exceptions.SSLError, requests.exceptions.ProxyError)):
        return SourceError(_line(error))
    connection = (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
        urllib3.exceptions.ProtocolError,
        http.client.HTTPException,
        TimeoutError,
    )
    if isinstance(error, connection):
        # What lies beneath, as requests tells a stall by one class before the answer and by another within it.
        cause = error.args[0] if error.args else error
        cause = getattr(cause, 'reason', None) or cause
        if isinstance(cause, urllib3.exceptions.NewConnectionError):
            return SourceError('cannot be reached (offline?)')
        timeouts = (requests.Timeout, TimeoutError)
        if isinstance(error, timeouts) or isinstance(cause, (urllib3.exceptions.TimeoutError, TimeoutError)):
            return SourceError('no answer in time', passes=True)
        return SourceError('the connection was cut', passes=True)
    return SourceError(_line(error))  # an address that is none, no certificates


@contextlib.contextmanager
def _local(url: str, start: int) -> Iterator[Reply]:
    parts = urlsplit(url)
    if parts.netloc not in ('', 'localhost'):
        raise SourceError(f'names a host; write file:///{parts.netloc}{parts.path}')
    path = Path(unquote(parts.path))
    if path.exists() and not (path.is_file() or path.is_dir()):  # a device gives bytes without end, a pipe none
        raise SourceError('is no plain file')
    try:
        stream = open(path, 'rb')
    except (OSError, ValueError) as error:  # the latter for a path with a null byte
        raise SourceError(getattr(error, 'strerror', None) or str(error)) from None
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
    return printable(re.sub(r'(?<=://)[^/\s]*@', '', url))


def _line(error: object) -> str:
    return shown(' '.join(str(error).split()))[:160]
