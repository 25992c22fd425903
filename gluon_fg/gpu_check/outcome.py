"""What is checked on which device, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, NamedTuple

import mxnet as mx


class Target(NamedTuple):
    """The device that is checked.

    `ctx`: the first GPU, or the CPU where there is none; `precision`: below float32, what trains there: float16, or
    float16_emulated on a CPU; `quick`: fewer updates and smaller arrays; `folder`: for files that are thrown away.
    """

    ctx: mx.Context
    precision: str
    quick: bool
    folder: Path

    @property
    def on_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.ctx.device_type == 'gpu'


class Outcome(NamedTuple):
    """A line of the report: what was checked, whether it is right, what was seen, what to do; and all numbers."""

    name: str
    ok: bool
    said: str
    advice: str = ''
    facts: Mapping[str, Any] = {}

    def __str__(self) -> str:
        line = f'{"ok" if self.ok else "WRONG":<7}{self.name}: {self.said}'
        return line if self.ok or not self.advice else f'{line}; {self.advice}'
