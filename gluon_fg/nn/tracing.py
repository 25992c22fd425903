"""Tracing graphs of a network that several threads use: one at a time."""

from __future__ import annotations

import contextlib
import threading
import warnings
from typing import Any, Iterator

from mxnet.gluon import HybridBlock

# Held while a network is traced: MXNet keeps the scope of names that is open on the block itself, and what a graph has
# baked in (segments, lengths) is the network's. It may be entered again by the thread that has it.
TRACING = threading.RLock()


class TracedOnce(HybridBlock):
    """A block that several threads may call: the first traces its graph, which may leave out parameters."""

    def _build_cache(self, *args: Any) -> None:
        with TRACING, unused_parameters_allowed():
            if self._cached_op is None:
                super()._build_cache(*args)

    def _call_cached_op(self, *args: Any) -> Any:
        with TRACING:  # its plan of memory serves one call after another; what is held up is the queuing alone
            return super()._call_cached_op(*args)


@contextlib.contextmanager
def unused_parameters_allowed() -> Iterator[None]:
    """Keep MXNet from listing, in one long warning, the parameters that a graph does not read."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', r'Parameter .* is not (used by any computation|found in the graph)')
        yield
