"""Where the user's own pip would look for a package, and the file of it that is wanted there.

`pip download` runs a source archive's setup.py to learn what it depends on, and nothing of a package may be run here.
So pip is asked for its configuration alone (`pip config list`, which knows its files, its environment and their order),
and the pages of the indices that it names (PEP 503 in HTML, PEP 691 in JSON) are read here. Used are index-url,
extra-index-url, find-links, no-index, cert, client-cert, proxy, trusted-host and cache-dir, a netrc file, and user
names and passwords in addresses, which no message shows. A keyring is not asked.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import hashlib
import html.parser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from .. import safe_json
from ..errors import UserError
from .download import read_text, shown
from .entries import Package
from .transport import Access

_SECONDS = 60  # for pip to answer
_PAGE_BYTES = 1 << 25  # a page of a package with many files
_SIMPLE = 'application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1'


@dataclasses.dataclass(frozen=True)
class Configuration:
    """What pip's configuration says of where packages are.

    Parameters
    ----------
    indexes, links
        addresses of indices, and of pages or folders with links (find-links), in the order to look in them
    access
        certificates, proxy and trusted hosts
    cache
        pip's folder of downloads; None where it keeps none
    """

    indexes: Tuple[str, ...]
    links: Tuple[str, ...]
    access: Access
    cache: Optional[Path]

    def places(self, name: str) -> List[str]:
        """List the addresses of the pages that may name a package's files."""
        plain = re.sub('[-_.]+', '-', name).lower()
        pages = [f'{index.rstrip("/")}/{plain}/' for index in self.indexes]
        return [*map(_as_page, pages), *map(_as_page, self.links)]


def configuration() -> Configuration:
    """Ask pip (the one beside this Python or, where there is none, on PATH) what it is configured to use.

    Raises
    ------
    UserError
        there is no pip, or it cannot read its own configuration: the line that it says
    """
    values: Dict[str, str] = {}
    rank: Dict[str, int] = {}
    for line in _pip('config', 'list').splitlines():
        key, _, value = line.partition('=')
        section, _, option = key.partition('.')
        if section in _SECTIONS and rank.get(option, -1) <= _SECTIONS.index(section):
            rank[option] = _SECTIONS.index(section)
            values[option] = _text(value)
    words = {key: tuple(values.get(key, '').split()) for key in ('extra-index-url', 'find-links', 'trusted-host')}
    indexes: Tuple[str, ...] = ()
    if not _is_true(values.get('no-index', '')):
        indexes = (values.get('index-url', '').strip() or _default_index(), *words['extra-index-url'])
    access = Access(
        values.get('cert') or None,
        values.get('client-cert') or None,
        values.get('proxy') or None,
        words['trusted-host'],
    )
    try:
        cache: Optional[Path] = Path(_pip('cache', 'dir').strip())
    except UserError:  # it is told to keep none
        cache = None
    return Configuration(indexes, words['find-links'], access, cache)


# The later ones win; a command's own section is that of `pip download`.
_SECTIONS = ('global', 'download', ':env:')


def _is_true(value: str) -> bool:
    return value.strip().lower() in ('1', 'true', 'yes', 'on', 't', 'y')


def _text(shown_value: str) -> str:
    """A value as `pip config list` shows it, a text in quotes."""
    try:
        return str(ast.literal_eval(shown_value))
    except (ValueError, SyntaxError):
        return shown_value


def _default_index() -> str:
    """The index that pip uses where it is told none, as its own help says: a distribution may have changed it."""
    told = re.search(r'--index-url.*?\(default\s+(\S+?)\)', _pip('download', '--help'), re.DOTALL)
    if told is None:
        raise UserError('pip does not say which index it uses; set PIP_INDEX_URL to the address of one')
    return told.group(1)


def _pip(*words: str) -> str:
    commands = [[sys.executable, '-m', 'pip']]
    other = shutil.which('pip')
    if other:
        commands.append([other])
    said = ''
    for command in commands:
        try:
            done = subprocess.run(
                [*command, *words, '--disable-pip-version-check'],
                cwd=os.path.abspath(os.sep),  # where no pip.py of the current folder is taken for it
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            said = str(error)
            continue
        if done.returncode == 0:
            return done.stdout
        said = (done.stderr.strip().splitlines() or ['it says nothing'])[-1]
        if 'No module named pip' not in said:
            break
    raise UserError(f'pip cannot be asked where packages are ({shown(said[:160])}); repair it, or install pip')


# Pages ----------------------------------------------------------------------------------------------------------------


class Link(NamedTuple):
    """A file that a page names, and its SHA-256 where the page says so."""

    name: str
    url: str
    sha256: Optional[str]


class Found(NamedTuple):
    """What a place has: the address of an archive, or why it has none."""

    url: str
    wrong: str = ''


def find(package: Package, where: Configuration, timeout: float = 10) -> Iterator[Found]:
    """Look for a package's archive in each place, in turn; a place is asked when its turn comes."""
    for page in where.places(package.name):
        try:
            links = links_of(page, where.access, timeout)
        except UserError as error:
            yield Found('', str(error))
            continue
        own = [link for link in links if link.name == package.archive]
        if not own:
            yield Found('', f'{shown(page)} has no {package.archive}{_others(links, package)}')
        elif own[0].sha256 not in (None, package.archive_sha256):
            theirs, ours = str(own[0].sha256)[:12], package.archive_sha256[:12]
            yield Found('', f'SHA-256 of {package.archive} at {shown(page)} is {theirs}..., not {ours}...')
        else:
            yield Found(own[0].url)


def _others(links: List[Link], package: Package) -> str:
    stem = re.sub('[-_.]+', '[-_.]+', package.name)
    names = [link.name for link in links if re.match(stem, link.name, re.IGNORECASE)]
    return f' but {", ".join(names[-3:])}' if names else ''


def links_of(page: str, access: Access, timeout: float = 10) -> List[Link]:
    """Read which files a page of an index, a page of links, or a folder names.

    Raises
    ------
    UserError
        it cannot be read, or is no such page
    """
    try:
        parts = urlsplit(page)
    except ValueError as error:
        raise UserError(f'{shown(page)}: {error}') from None
    folder = Path(unquote(parts.path))
    if parts.scheme == 'file' and folder.is_dir():
        return [Link(path.name, path.as_uri(), None) for path in sorted(folder.iterdir())]
    text = read_text(page, _PAGE_BYTES, timeout, access, _SIMPLE)
    files = _of_json(text, page) if text.lstrip().startswith('{') else _of_html(text)
    links = []
    for name, url, digest in files:
        with contextlib.suppress(ValueError):  # an address that is none, among those of other files
            links.append(Link(name, _with_login(urljoin(page, url), page), digest))
    return links


def _of_json(text: str, page: str) -> List[Link]:
    try:
        return [
            Link(str(file['filename']), str(file['url']), dict(file.get('hashes') or {}).get('sha256'))
            for file in safe_json.parse(text)['files']
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f'{shown(page)} is no page of a package index') from None


def _of_html(text: str) -> List[Link]:
    reader = _Anchors()
    reader.feed(text)
    reader.close()
    links = []
    for href in reader.hrefs:
        url, _, fragment = href.partition('#')
        digest = re.match('sha256=([0-9a-f]{64})', fragment)
        with contextlib.suppress(ValueError):  # an address that is none
            links.append(Link(unquote(urlsplit(url).path.rpartition('/')[2]), url, digest and digest.group(1)))
    return links


class _Anchors(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hrefs: List[str] = []

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        if tag == 'a':
            self.hrefs += [value for key, value in attrs if key == 'href' and value]


def _as_page(place: str) -> str:
    """The address of a place: a path is one of this machine; the page of a folder that has one is its index.html."""
    try:
        parts = urlsplit(place)
    except ValueError:  # no address, which is told where it is asked
        return place
    path = Path(unquote(parts.path) if parts.scheme == 'file' else place).expanduser()
    if parts.scheme not in ('', 'file') and not re.fullmatch('[A-Za-z]', parts.scheme):
        return place
    return (path / 'index.html' if (path / 'index.html').is_file() else path.absolute()).absolute().as_uri()


def _with_login(url: str, page: str) -> str:
    """An address with the user name and password of the page's, where it is of the same host and has none."""
    ours, theirs = urlsplit(url), urlsplit(page)
    login, at, host = theirs.netloc.rpartition('@')
    if at and ours.netloc == host and ours.scheme == theirs.scheme:
        return urlunsplit(ours._replace(netloc=f'{login}@{host}'))
    return url


# Pip's cache ----------------------------------------------------------------------------------------------------------


def cached(url: str, cache: Optional[Path]) -> List[str]:
    """Name the files in which pip may have kept what it once downloaded from `url`.

    Where pip keeps it is its own affair and may change: what is not there, or is not the file, is no loss.
    """
    if cache is None:
        return []
    parts = urlsplit(url)
    plain = urlunsplit((parts.scheme.lower(), parts.netloc.rpartition('@')[2].lower(), parts.path, parts.query, ''))
    key = hashlib.sha224(plain.encode()).hexdigest()
    path = cache.joinpath('http-v2', *key[:5], f'{key}.body')
    return [path.as_uri()] if path.is_file() else []
