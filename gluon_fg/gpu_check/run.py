"""All sections of `gluon-fg gpu-check`, one after another, and the report that a user can send."""

from __future__ import annotations

import importlib
import json
import logging
import time
import traceback
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from ..errors import UserError, unknown
from ..files import atomic_write
from .outcome import Outcome, Target

logger = logging.getLogger(__name__)

SECTIONS = {
    'libraries': 'libraries and versions',
    'operators': 'operators, beside the CPU',
    'dropout': 'dropout',
    'training': 'training below float32 beside float32',
    'resume': 'stopping and going on',
    'ranks': 'two ranks',
    'full_size': 'the 64-frame network at full size',
}


def chosen(names: Sequence[str]) -> List[str]:
    """The sections of these names in order; all where none is named. Raises UserError for a name that there is not."""
    for name in names:
        if name not in SECTIONS:
            raise unknown('section', name, SECTIONS)
    return [name for name in SECTIONS if not names or name in names]


def run(target: Target, names: Sequence[str]) -> Iterator[Tuple[str, Outcome, Dict[str, Any]]]:
    """Check section by section; one that breaks is a wrong outcome, and the others go on.

    Returns
    -------
    Of each outcome the section, the outcome, and what the report keeps of it.
    """
    for name in names:
        began = time.perf_counter()
        for outcome, trace in _outcomes(name, target):
            seconds = time.perf_counter() - began
            record = {'section': name, **outcome._asdict(), 'seconds': round(seconds, 3)}
            if trace:
                record['traceback'] = trace
            yield name, outcome, record
            began = time.perf_counter()


def _outcomes(name: str, target: Target) -> Iterator[Tuple[Outcome, Optional[str]]]:
    try:
        module = importlib.import_module(f'.{name}', __package__)
        for outcome in module.checks(target):
            yield outcome, None
    except UserError as error:
        yield Outcome(SECTIONS[name], False, str(error)), None
    except Exception as error:  # of a library or a driver: what is checked here is whether they work
        text = ' '.join(f'{type(error).__name__}: {error}'.split())[:300]
        yield Outcome(SECTIONS[name], False, f'ended with {text}', 'send the report'), traceback.format_exc()


def write_report(path: Path, target: Target, records: List[Dict[str, Any]]) -> None:
    """Write everything that was seen as JSON."""
    wrong = sum(not record['ok'] for record in records)
    content = {'device': str(target.ctx), 'quick': target.quick, 'checks': len(records), 'wrong': wrong}
    with atomic_write(path) as stream:
        json.dump({**content, 'records': records}, stream, indent=1)
