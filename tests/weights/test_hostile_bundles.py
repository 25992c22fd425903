"""Bundles whose headers claim what cannot be: one line, nothing imported, and no copying without end."""

import os
import struct
import tarfile
import time

import pytest
from test_bundle import ENTRY_A, FILES, A, put, refused, tar, zoos  # noqa: F401  # a fixture

from gluon_fg.errors import UserError
from gluon_fg.weights import bundle
from gluon_fg.weights.bundle import import_bundle

FILE = ENTRY_A.file


def header(name=FILE, size=1000, kind=tarfile.REGTYPE, raw_size=None, **fields):
    """512 bytes, with their checksum; `raw_size` stands where the size does, as it is."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    for key, value in fields.items():
        setattr(info, key, value)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if raw_size is not None:
        block[124:136] = raw_size
    block[148:156] = b' ' * 8
    block[148:156] = f'{sum(block):06o}\0 '.encode()
    return bytes(block)


def padded(data):
    return data + bytes(-len(data) % 512)


def pax(text, kind=tarfile.XHDTYPE):
    body = text if isinstance(text, bytes) else record(*text.split('=', 1))
    return header('pax', len(body), kind) + padded(body)


def record(key, value):
    line = f' {key}={value}\n'.encode()
    length = len(line) + 1
    while len(str(length)) + len(line) != length:
        length += 1
    return str(length).encode() + line


FILE_OF_A = header() + padded(A)
BASE_256 = struct.pack('>BxxxQ', 0x80, 2**63)
HOSTILE = {
    'a sparse size that is none': pax('GNU.sparse.size=abc') + FILE_OF_A,
    'a sparse map that is none': pax('GNU.sparse.map=1,2,x') + FILE_OF_A,
    'a sparse map of one number': pax('GNU.sparse.map=1') + FILE_OF_A,
    'a sparse map in the file': pax(record('GNU.sparse.major', '1') + record('GNU.sparse.minor', '0')) + FILE_OF_A,
    'a sparse file of an exabyte': pax('GNU.sparse.size=' + '9' * 18) + FILE_OF_A,
    'the former sparse kind': header(kind=tarfile.GNUTYPE_SPARSE) + padded(A),
    'a size of 2^63': header(raw_size=BASE_256) + padded(A),
    'a size below zero': header(raw_size=b'\xff' * 11 + b'\x00') + padded(A),
    'a size that goes back for ever': header(raw_size=b'\xff' * 10 + b'\xfc\x00') + padded(A),
    'a size below zero in pax': pax('size=-1024') + FILE_OF_A,
    'a size that is none in pax': pax('size=abc') + FILE_OF_A,
    'a size of 500 digits in pax': pax('size=' + '9' * 500) + FILE_OF_A,
    'a size that is not there': header(size=1 << 40) + padded(A),
    'pax of no length': pax(b'0 a=b\n') + FILE_OF_A,
    'pax of a length beyond all': pax(b'9' * 400 + b' a=b\n') + FILE_OF_A,
    'pax of a path that leads out': pax('path=../../' + FILE) + FILE_OF_A,
    'pax of a path with a null byte': pax('path=a\0' + FILE) + FILE_OF_A,
    'pax of pax': b''.join([pax('comment=x')] * 2000) + FILE_OF_A,
    'long names of long names': (header('x', 5, tarfile.GNUTYPE_LONGNAME) + padded(b'name\0')) * 2000 + FILE_OF_A,
    'a long name below zero': header('x', 0, tarfile.GNUTYPE_LONGNAME, b'\xff' * 10 + b'\xfc\x00') + FILE_OF_A,
    'an unknown kind': header(kind=b'Z') + padded(A) + header(FILE, 3) + padded(b'abc'),
    'a pipe': header(kind=tarfile.FIFOTYPE, size=0),
    'a block device': header(kind=tarfile.BLKTYPE, size=0),
    'a contiguous file that is short': header(kind=tarfile.CONTTYPE, size=5000) + padded(A),
    'a name that a terminal obeys': header('\x1b]0;owned\x07.params') + padded(A),
    'a name with a null byte': header('x.params\0y') + padded(A) + header('../' + FILE) + padded(A),
}  # fmt: skip


@pytest.mark.parametrize('kind', HOSTILE)
def test_headers_are_not_believed(kind, zoos, tmp_path):  # noqa: F811
    path, root = tmp_path / 'b.tar', put(tmp_path / 'root')
    path.write_bytes(HOSTILE[kind] + bytes(1024))
    start = time.process_time()
    text = refused(import_bundle, path, root)
    assert text.startswith(str(path)) and len(text) < len(str(path)) + 250
    assert os.listdir(root) == [] and time.process_time() - start < 5


def test_a_tar_of_files_without_end_is_left(zoos, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(bundle, '_MEMBERS', 20)
    path = tar(tmp_path / 'b.tar', [(f'{i}.txt', b'') for i in range(20)] + [(FILE, A)])
    assert 'over 20 files' in refused(import_bundle, path, tmp_path / 'root')


def test_every_wrong_byte_is_a_line_or_harmless(zoos, tmp_path):  # noqa: F811
    path = tar(tmp_path / 'b.tar', [(FILE, A)])
    whole = path.read_bytes()
    headers = [*range(0, 512, 3), *range(512, 1536, 64), *range(1536, 2048, 32)]
    outcomes = {'line': 0, 'imported': 0}
    for place in headers:
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        root = tmp_path / 'root'
        try:
            imported = import_bundle(path, root)
        except UserError as error:
            assert str(error).startswith(str(path)) or str(root) in str(error)
            outcomes['line'] += 1
        else:
            assert imported.new == [FILE] and (root / FILE).read_bytes() == FILES[FILE]
            (root / FILE).unlink()
            outcomes['imported'] += 1
    assert outcomes['line'] > 150 and sum(outcomes.values()) == len(headers)
