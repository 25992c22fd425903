"""Reading JSON that may be damaged or made to harm: one kind of error, and no number that takes minutes to read."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Dict, Union

from .errors import UserError

_DIGITS = 400  # of a number: a float has 309 before the point at most
SIZE = 1 << 28  # bytes of a file


def parse(text: Union[str, bytes]) -> Any:
    """Read the value of a JSON text.

    Raises
    ------
    ValueError
        it is no JSON, no text in UTF-8, nested too deeply or has a number of hundreds of digits
    """
    try:
        return json.loads(text, parse_int=_whole, parse_float=_number)
    except RecursionError:
        raise ValueError('brackets within brackets, beyond all bounds') from None


def load(path: Union[str, os.PathLike], advice: str) -> Any:
    """Read a JSON file of ours.

    Parameters
    ----------
    path
        the file, which is there
    advice
        what to do about a damaged one, in words that go on after a semicolon

    Raises
    ------
    UserError
        one line: it cannot be read or is damaged, and `advice`
    """
    try:
        with open(path, 'rb') as stream:
            data = stream.read(SIZE + 1)
        if len(data) > SIZE:
            raise UserError(f'{path}: longer than {SIZE} bytes; {advice}')
        return parse(data)
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error.strerror or error}') from None
    except UserError:
        raise
    except ValueError as error:
        raise damaged(path, str(error), advice) from None


def load_mapping(path: Union[str, os.PathLike], advice: str) -> Any:
    """As `load`, of a file that holds names and values; UserError for any other value, too."""
    values = load(path, advice)
    if not isinstance(values, dict):
        raise damaged(path, f'it holds a {type(values).__name__}', advice)
    return values


def sealed(values: Dict[str, Any]) -> str:
    """Write names and values as JSON with a checksum of them, `sha256`."""
    return json.dumps({**values, 'sha256': digest(values)}, indent=1)


def digest(values: Dict[str, Any]) -> str:
    """Hexadecimal SHA-256 of names and values, whatever their order and the blanks between them."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def damaged(path: Union[str, os.PathLike, Path], reason: str, advice: str) -> UserError:
    """Make the error for a file that does not hold what it should."""
    return UserError(f'{path} is damaged ({" ".join(reason.split())[:120]}); {advice}')


def _whole(text: str) -> int:
    return int(_bounded(text))


def _number(text: str) -> float:
    return float(_bounded(text))


def _bounded(text: str) -> str:
    if len(text) > _DIGITS:
        raise ValueError(f'a number of {len(text)} digits')
    return text
