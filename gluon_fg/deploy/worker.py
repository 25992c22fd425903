"""A process of its own that makes one thing and runs it when asked: requests and answers are lines of JSON.

{"make": {fields of a Contender}} -> {"seconds": to be ready, "outputs": of the network, or null}
{"quantize": {fields}} -> {"done": true}, the INT8 form is in the contender's folder
{"run": milliseconds} -> {"times": of calls in ms, as many as fit, at least one}
{"facts": true} -> {"peak_mb": the most memory it ever held}
A mistake of the user's is {"problem": "one line"}.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from typing import Any, Callable, Dict, List, Optional

from ..errors import UserError
from .contender import Contender, make, quantize


def timed(run: Callable[[], Any], budget: float) -> List[float]:
    """Times in ms of one call after another, until `budget` ms are over; at least one.

    Before them it runs once without being timed: other processes had the processor and its caches, and a network is
    the slower then the more weights it has (a twentieth of a call of 0.5 s).
    """
    run()
    times: List[float] = []
    began = time.perf_counter()
    while not times or 1000 * (time.perf_counter() - began) + times[-1] < budget:
        times.append(_call(run))
    return times


def _call(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - began)


def peak_mb() -> Optional[float]:
    """The most memory that this process ever held, in MB (10**6 bytes); None where the system does not say."""
    try:
        with open('/proc/self/status', encoding='ascii') as stream:
            peak = re.search(r'^VmHWM:\s*(\d+) kB', stream.read(), re.M)
    except OSError:
        return None
    return int(peak.group(1)) * 1024 / 1e6 if peak else None


def _contender(fields: Dict[str, Any]) -> Contender:
    return Contender(**{**fields, 'shape': tuple(fields['shape'])})


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    run: Callable[[], Any] = lambda: None  # noqa: E731
    for line in sys.stdin:
        request: Dict[str, Any] = json.loads(line)
        try:
            if 'make' in request:
                began = time.perf_counter()
                run, outputs = make(_contender(request['make']))
                for _ in range(2):
                    run()
                answer: Dict[str, Any] = {'seconds': time.perf_counter() - began, 'outputs': outputs}
            elif 'quantize' in request:
                quantize(_contender(request['quantize']))
                answer = {'done': True}
            elif 'run' in request:
                answer = {'times': timed(run, request['run'])}
            else:
                answer = {'peak_mb': peak_mb()}
        except UserError as error:
            answer = {'problem': str(error)}
        answers.write(json.dumps(answer) + '\n')
        answers.flush()
