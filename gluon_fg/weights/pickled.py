"""Reading pickles without unpickling: nothing that a file names is ever imported, looked up or called.

A pickle is a program for a small stack machine, and Python's `pickle` runs it with Python's own objects: a file may
name any function of any module and have it called. Here the machine is our own. A name stays a pair of texts that has
to be in the reader's table, a call is answered by the table's function, and everything else in a file is plain data.
"""

from __future__ import annotations

import dataclasses
import pickletools
from typing import Any, BinaryIO, Callable, Dict, List, Mapping, Optional, Tuple

from ..errors import printable

Name = Tuple[str, str]  # module, and the name in it, as the file has them

_OPERATIONS = 2_000_000  # more is no file of arrays: the largest networks have some ten thousand
_KEYS = (str, int, float, bool, bytes, type(None))


class Refused(Exception):
    """Why a pickle is not read, in a few words."""


class Foreign(Refused):
    """It names something that is no array; `name` is what, with its module."""

    def __init__(self, module: str, name: str):
        self.name = printable(f'{module}.{name}'[:80])
        super().__init__(f'names {self.name}, which is no array')


@dataclasses.dataclass(frozen=True)
class Global:
    """What a file calls by module and name: the two texts, and nothing behind them."""

    module: str
    name: str


Calls = Mapping[Name, Optional[Callable[..., Any]]]


def load(stream: BinaryIO, calls: Calls, persistent: Optional[Callable[[Any], Any]] = None) -> Any:
    """Read the value of a pickle without unpickling it; the stream is left behind its end.

    Parameters
    ----------
    stream
        a file in memory (`io.BytesIO`): a length in the file can then not ask for more than there is
    calls
        (module, name) -> function that answers a call of it, or None where it is only named
    persistent
        answers what the file keeps outside of the pickle; None: there is none

    Raises
    ------
    Refused
        it is cut short or no pickle, names what is not in `calls` (`Foreign`), or asks for more than plain data
    """
    machine = _Machine(calls, persistent)
    try:
        for count, (operation, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= _OPERATIONS:
                raise Refused(f'has more than {_OPERATIONS} operations')
            machine.step(operation.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError):
        raise Refused('is no whole pickle') from None
    return machine.result


class _Machine:
    """The stack, its marks and the memo of one pickle."""

    def __init__(self, calls: Calls, persistent: Optional[Callable[[Any], Any]]):
        self.calls, self.persistent = calls, persistent
        self.stack: List[Any] = []
        self.below: List[List[Any]] = []  # stacks that a mark set aside
        self.memo: Dict[int, Any] = {}
        self.result: Any = None

    def step(self, operation: str, argument: Any) -> None:
        """Do one operation; raises Refused, or what Python raises where the stack does not hold what it needs."""
        if operation in _NOTHING:
            return
        if operation in _LITERALS:
            self.stack.append(argument)
        elif operation in _CONSTANTS:
            self.stack.append(_CONSTANTS[operation]())
        elif operation in _PUTS:
            self.memo[len(self.memo) if operation == 'MEMOIZE' else argument] = self.stack[-1]
        elif operation in _GETS:
            self.stack.append(self.memo[argument])
        elif operation in _ACTIONS:
            _ACTIONS[operation](self, argument)
        else:
            raise Refused(f'holds objects ({operation}), not only arrays')

    def mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> List[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def pop_mark(self, _: Any) -> None:
        self.since_mark()

    def pop(self, _: Any) -> None:
        self.stack.pop() if self.stack else self.since_mark()

    def to_tuple(self, count: Optional[int]) -> None:
        if count is None:
            items = self.since_mark()
        else:
            items = [self.stack.pop() for _ in range(count)][::-1]
        self.stack.append(tuple(items))

    def to_list(self, _: Any) -> None:
        items = self.since_mark()
        self.stack.append(items)

    def append(self, _: Any) -> None:
        value = self.stack.pop()
        _of(list, self.stack[-1]).append(value)

    def appends(self, _: Any) -> None:
        items = self.since_mark()
        _of(list, self.stack[-1]).extend(items)

    def to_dict(self, _: Any) -> None:
        items = self.since_mark()
        self.stack.append({})
        self.set_all(items)

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_all([key, value])

    def set_items(self, _: Any) -> None:
        self.set_all(self.since_mark())

    def set_all(self, items: List[Any]) -> None:
        target = _of(dict, self.stack[-1])
        for key, value in zip(items[::2], items[1::2]):
            # Hashing a tuple goes as deep as the file says, which may be deeper than C's stack.
            if not all(isinstance(part, _KEYS) for part in (key if isinstance(key, tuple) else (key,))):
                raise Refused('has a key that is no name')
            target[key] = value

    def name(self, argument: Any) -> None:
        """GLOBAL has 'module name' beside it, STACK_GLOBAL both on the stack."""
        if argument is None:
            name, module = self.stack.pop(), self.stack.pop()
        else:
            module, _, name = argument.partition(' ')
        if (_of(str, module), _of(str, name)) not in self.calls:
            raise Foreign(module, name)
        self.stack.append(Global(module, name))

    def call(self, _: Any) -> None:
        given, called = _of(tuple, self.stack.pop()), _of(Global, self.stack.pop())
        answer = self.calls[called.module, called.name]
        if answer is None:
            raise Foreign(called.module, called.name)
        self.stack.append(answer(*given))

    def new(self, _: Any) -> None:
        """Make an object without calling what made it: only where the reader has a class of its own for it."""
        called = self.stack[-2] if len(self.stack) > 1 else None
        if not isinstance(called, Global) or not isinstance(self.calls[called.module, called.name], type):
            raise Refused('holds objects (NEWOBJ), not only arrays')
        self.call(_)

    def build(self, _: Any) -> None:
        """Of a mapping, the attributes beside its items are no arrays of it: they are passed over."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], dict):
            if not hasattr(self.stack[-1], 'set_state'):
                raise Refused('holds objects (BUILD), not only arrays')
            self.stack[-1].set_state(state)

    def outside(self, _: Any) -> None:
        if self.persistent is None:
            raise Refused('keeps something outside of the pickle')
        self.stack.append(self.persistent(self.stack.pop()))

    def stop(self, _: Any) -> None:
        self.result = self.stack.pop()
        if self.stack or self.below:
            raise Refused('is no whole pickle')


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise Refused('is no whole pickle')
    return value


_NOTHING = {'PROTO', 'FRAME'}
_LITERALS = {
    *('INT', 'BININT', 'BININT1', 'BININT2', 'LONG', 'LONG1', 'LONG4', 'FLOAT', 'BINFLOAT'),
    *('STRING', 'BINSTRING', 'SHORT_BINSTRING', 'UNICODE', 'SHORT_BINUNICODE', 'BINUNICODE', 'BINUNICODE8'),
    *('BINBYTES', 'SHORT_BINBYTES', 'BINBYTES8', 'BYTEARRAY8'),
}
_CONSTANTS: Dict[str, Callable[[], Any]] = {
    'NONE': lambda: None,
    'NEWTRUE': lambda: True,
    'NEWFALSE': lambda: False,
    'EMPTY_TUPLE': tuple,
    'EMPTY_LIST': list,
    'EMPTY_DICT': dict,
}
_PUTS = {'PUT', 'BINPUT', 'LONG_BINPUT', 'MEMOIZE'}
_GETS = {'GET', 'BINGET', 'LONG_BINGET'}
_ACTIONS: Dict[str, Callable[[_Machine, Any], None]] = {
    'MARK': _Machine.mark,
    'POP_MARK': _Machine.pop_mark,
    'POP': _Machine.pop,
    'TUPLE': _Machine.to_tuple,
    'TUPLE1': lambda machine, _: machine.to_tuple(1),
    'TUPLE2': lambda machine, _: machine.to_tuple(2),
    'TUPLE3': lambda machine, _: machine.to_tuple(3),
    'LIST': _Machine.to_list,
    'APPEND': _Machine.append,
    'APPENDS': _Machine.appends,
    'DICT': _Machine.to_dict,
    'SETITEM': _Machine.set_item,
    'SETITEMS': _Machine.set_items,
    'GLOBAL': _Machine.name,
    'STACK_GLOBAL': _Machine.name,
    'REDUCE': _Machine.call,
    'NEWOBJ': _Machine.new,
    'BUILD': _Machine.build,
    'BINPERSID': _Machine.outside,
    'STOP': _Machine.stop,
}
