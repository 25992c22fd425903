"""`gluon-fg doctor`: what this machine can do."""

from __future__ import annotations

import click

from .base import Command


@click.command(cls=Command, light=True, example='doctor')
def doctor() -> int:
    """Say what this machine can do, and what is wrong.

    It starts where MXNet is broken. python -m gluon_fg.doctor is the same, and needs nothing but the standard library.
    The exit code is 0 when all essential parts work, 2 otherwise.
    """
    from .. import doctor as report

    return report.main()
