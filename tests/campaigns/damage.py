"""What happens to files: bits that flip, ends that are missing, headers that lie, texts edited by others."""

import re
import struct

EXTREMES = [b'\xff' * 4, b'\x7f\xff\xff\xff', b'\xff\xff\xff\x7f', b'\0' * 4, b'\x80\0\0\0', b'\0\0\0\x80', b'\xff' * 8]
EXTREMES += [struct.pack('<Q', 1 << 40), struct.pack('>Q', 1 << 40), struct.pack('<q', -1), struct.pack('<I', 30000)]
EXTREMES += [struct.pack('>I', 65535), struct.pack('>I', 30000), struct.pack('<I', 1 << 20), b'\0\0\0\1']

TOKENS = [
    b'\0', b'\xff\xfe', b'\xef\xbb\xbf', b'\x1b]0;owned\x07', b'\t', b'\r', b'"', b"'", b'- ', b': ', b'{', b'}',
    b'[' * 3000, b'{a: ' * 400, b'${nowhere}', b'${train.lr}', b'&a [*a]', b'*a', b'<<: *a',
    b'!!python/object/apply:os.system [true]', b'nan', b'.inf', b'-1', b'0', b'1e999', b'9' * 400, b'9' * 6000,
    b'300000000', b'-9223372036854775809', b'0x10', b'1_000', b'null', b'true', b'~', b'../../../../etc/passwd',
    b'/dev/zero', b'a' * 70000, b' ', b'\n\n', b',', b';', b'\xe9', b'\xe2\x80\xae', b'#', b'|', b'>', b'%', b'\\',
    b'1.0', b'1e5', b'\xf0\x9f\x8e\xac', b'\xed\xa0\x80',
]  # fmt: skip


def flip_bit(data, rng, _):
    """One bit."""
    return flip_bits(data, rng, _, 1)


def flip_bits(data, rng, _, count=None):
    """Several bits, anywhere or close together."""
    out = bytearray(data)
    count = count or int(rng.integers(2, 33))
    first = int(rng.integers(len(out)))
    width = len(out) if rng.random() < 0.5 else 64
    for _ in range(count):
        place = first if count == 1 else (first + int(rng.integers(width))) % len(out)
        out[place] ^= 1 << int(rng.integers(8))
    return bytes(out)


def cut(data, rng, _):
    """The end is missing."""
    return data[: int(rng.integers(len(data)))]


def cut_few(data, rng, _):
    """The last bytes are missing."""
    return data[: max(0, len(data) - int(rng.integers(1, 64)))]


def cut_start(data, rng, _):
    """The start is missing."""
    return data[int(rng.integers(1, len(data) + 1)) :]


def lie(data, rng, _):
    """A number of the header, or behind a tag of four letters, is another."""
    out = bytearray(data)
    tags = [match.end() for match in re.finditer(rb'[A-Za-z0-9]{4}', data[: 1 << 16])]
    near = rng.random() < 0.5 and tags
    place = (
        tags[int(rng.integers(len(tags)))] + int(rng.integers(-8, 17))
        if near
        else int(rng.integers(min(len(out), 600)))
    )
    value = EXTREMES[int(rng.integers(len(EXTREMES)))]
    place = max(0, min(place, len(out) - 1))
    out[place : place + len(value)] = value[: max(len(out) - place, 0)]
    return bytes(out)


def insert(data, rng, _):
    """Something was put in."""
    place = int(rng.integers(len(data) + 1))
    return data[:place] + rng.bytes(int(rng.integers(1, 200))) + data[place:]


def remove(data, rng, _):
    """Something was taken out."""
    place = int(rng.integers(len(data)))
    return data[:place] + data[place + int(rng.integers(1, 200)) :]


def blank(data, rng, _):
    """A part was never written."""
    place, size = int(rng.integers(len(data))), int(rng.integers(1, 4096))
    size = min(size, len(data) - place)
    return data[:place] + bytes(size) + data[place + size :]


def swap(data, rng, _):
    """Two parts changed places."""
    places = sorted(int(p) for p in rng.integers(0, len(data) + 1, 4))
    a, b, c, d = places
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def double(data, rng, _):
    """A part stands there twice."""
    a, b = sorted(int(p) for p in rng.integers(0, len(data) + 1, 2))
    return data[:b] + data[a:b] + data[b:]


def splice(data, rng, others):
    """The start of this file and the end of another."""
    other = others[int(rng.integers(len(others)))]
    return data[: int(rng.integers(len(data) + 1))] + other[int(rng.integers(len(other) + 1)) :]


def junk(data, rng, _):
    """Bytes without sense, behind the file's own first ones."""
    return data[: int(rng.integers(0, 64))] + rng.bytes(int(rng.integers(0, 3000)))


def other(data, rng, others):
    """A whole other file under this name."""
    return others[int(rng.integers(len(others)))]


def empty(data, rng, _):
    """Nothing."""
    return b''


def token(data, rng, _):
    """A text has something else in place of a word, or beside it."""
    words = list(re.finditer(rb'[^\s,:;\[\]{}"]+', data)) or [re.match(rb'', data)]
    word = words[int(rng.integers(len(words)))]
    value = TOKENS[int(rng.integers(len(TOKENS)))]
    start = word.start() if rng.random() < 0.6 else word.end()
    return data[:start] + value + data[word.end() :]


def lines(data, rng, _):
    """A text's lines are doubled, left out, joined, moved or moved in."""
    parts = data.split(b'\n')
    a, b = (int(p) for p in rng.integers(len(parts), size=2))
    how = int(rng.integers(6))
    if how == 0:
        parts.insert(b, parts[a])
    elif how == 1:
        del parts[a]
    elif how == 2:
        parts[a : a + 2] = [b' '.join(parts[a : a + 2])]
    elif how == 3:
        parts[a], parts[b] = parts[b], parts[a]
    elif how == 4:
        parts[a] = b'    ' + parts[a]
    return (b'\r\n' if how == 5 else b'\n').join(parts)


def encoding(data, rng, _):
    """A text in the encoding of another system."""
    code = ('utf-16', 'utf-16-be', 'utf-8-sig', 'utf-32', 'cp037')[int(rng.integers(5))]
    return (data.decode('utf-8', 'replace') + 'é').encode(code, 'replace')


BINARY = [
    flip_bit, flip_bit, flip_bits, flip_bits, cut, cut, cut_few, cut_start, lie, lie, lie, insert, remove, blank, swap,
    double, splice, junk, other, empty,
]  # fmt: skip
TEXT = [
    token, token, token, token, lines, lines, encoding, flip_bit, flip_bits, cut, cut_few, insert, swap, double, junk,
    empty,
]  # fmt: skip


def damaged(data, others, rng, text=False):
    """(name of the damage, a file's bytes after it); `others` are bytes of other files."""
    kinds = TEXT if text else BINARY
    for _ in range(20):
        kind = kinds[int(rng.integers(len(kinds)))]
        out = kind(data, rng, others) if data or kind in (junk, other, empty, encoding) else junk(data, rng, others)
        if out != data:
            return kind.__name__, out
    return 'empty', b''
