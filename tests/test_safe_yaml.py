"""YAML from outside: whatever it claims, it is read in bounded time and memory, or refused in one line."""

import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg import safe_yaml
from gluon_fg.errors import UserError


def named(levels, each, merge=False):
    """Text of a few hundred bytes whose values, each counted as often as it is named, are each ** levels."""
    lines = ['a0: &a0 {' + ', '.join(f'k{i}: 1' for i in range(each)) + '}']
    for level in range(1, levels):
        names = ', '.join([f'*a{level - 1}'] * each)
        lines.append(f'a{level}: &a{level} ' + (f'{{<<: [{names}]}}' if merge else f'[{names}]'))
    return '\n'.join(lines)


HOSTILE = {
    'aliases': named(12, 9),
    'merge keys': named(12, 9, merge=True),
    'within itself': 'a: &a [*a]',
    'merges itself': 'a: &a {<<: *a}',
    'brackets': '[' * 100_000,
    'mappings': '{a: ' * 3000,
    'dashes': '- ' * 3000,
    'keys of keys': '? ' * 3000,
    'digits': 'a: ' + '1' * 5000,
    'an exponent': 'a: 1' + '0' * 400,
    'sixties': 'a: 1' + ':1' * 100_000,
    'values': '[' + 'a,' * 300_000,
    'keys': ''.join(f'{i}: \n' for i in range(110_000)),
    'long': '#' * (1 << 20) + ' ',
    'a tag': 'a: !!python/object/apply:os.system [x]',
    'a set': 'a: !!set {a, b}',
    'a time': 'a: !!timestamp x',
    'no key': '? [a]\n: 1',
    'no name': '*a',
    'a tab': 'a:\n\t- 1',
    'a null byte': 'a: \0',
    'an escape': 'a: "\x1b]0;owned\x07"',
    'no digits': 'a: 0b_',
    'twice': 'a: 1\na: 2',
}


@pytest.mark.parametrize(
    'kind, by_hand',
    [(kind, hand) for kind in HOSTILE for hand in (True, False) if hand or kind not in ('values', 'keys')],
)
def test_hostile_text_is_one_line_soon(kind, by_hand):
    start = time.process_time()
    with pytest.raises(UserError, match='^x.yaml: ') as caught:
        safe_yaml.parse(HOSTILE[kind], 'x.yaml', by_hand)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300
    assert time.process_time() - start < 10  # without bounds, hours


def test_people_may_name_values_and_programs_may_not():
    text = 'base: &b {lr: 1e-4, day: 2026-01-02}\nmore: {<<: *b, epochs: 3}\nlist: [*b, *b]'
    base = {'lr': 1e-4, 'day': '2026-01-02'}
    assert safe_yaml.parse(text, 'x', by_hand=True) == {
        'base': base,
        'more': {**base, 'epochs': 3},
        'list': [base, base],
    }
    for part in ('a: &a 1\nb: *a', '{<<: {a: 1}}'):
        with pytest.raises(UserError, match=r'x: not valid YAML: .* not read here; write the values? \(line \d'):
            safe_yaml.parse(part, 'x')


def test_references_are_told_as_what_they_are():
    for text in ('a: ${b}', 'a: "x${oc.env:HOME}"', '${a}: 1'):
        with pytest.raises(UserError, match='is a reference; write the value itself'):
            safe_yaml.parse(text, 'x', by_hand=True)
    assert safe_yaml.parse('a: ${b}', 'x') == {'a': '${b}'}  # nothing reads it there


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_a_file_may_have_a_mark_of_its_encoding(tmp_path, encoding):
    (tmp_path / 'c.yaml').write_bytes('name: Ärmel\r\n'.encode(encoding))
    assert safe_yaml.load(tmp_path / 'c.yaml') == {'name': 'Ärmel'}


@pytest.mark.parametrize('data', ['name: Ärmel'.encode('latin-1'), b'\xff\xfea', b'\x80'])
def test_a_file_in_another_encoding_is_one_line(tmp_path, data):
    (tmp_path / 'c.yaml').write_bytes(data)
    with pytest.raises(UserError, match='c.yaml: is not a text in UTF-8'):
        safe_yaml.load(tmp_path / 'c.yaml')
    with pytest.raises(UserError, match='cannot be read'):
        safe_yaml.load(tmp_path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_what_a_program_writes_is_read_back(value):
    assert safe_yaml.parse(yaml.safe_dump(value, allow_unicode=True), 'x') == value


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60) | st.text(alphabet=' \n\t-:?[]{}&*!|>%@`"\'#<1e.a$', max_size=60), st.booleans())
def test_any_text_is_a_value_or_one_line(text, by_hand):
    try:
        safe_yaml.parse(text, 'x', by_hand)
    except UserError as error:
        assert str(error).startswith('x: ') and str(error).isprintable()
