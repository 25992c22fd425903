"""`gluon-fg explain`: see why a network answers as it does."""

from __future__ import annotations

from typing import Any, Sequence

import click

from ..errors import UserError
from .base import Command, Group
from .options import Output

_VIDEOS, _CLASSES = 'gluon_fg.cli.explain_videos', 'gluon_fg.cli.explain_classes'
_ORDER, _TIME = 'gluon_fg.cli.explain_order', 'gluon_fg.cli.explain_time'
_RELATION = 'gluon_fg.cli.explain_relation'


@click.group(
    'explain',
    cls=Group,
    places={
        'localize': _VIDEOS,
        'activation': _VIDEOS,
        'masks': _VIDEOS,
        'gradcam': 'gluon_fg.cli.explain_gradcam',
        'order': _ORDER,
        'time': _TIME,
        'kernels': _TIME,
        'place': 'gluon_fg.cli.explain_place',
        'filters': _CLASSES,
        'confusion': _CLASSES,
        'groups': 'gluon_fg.cli.explain_groups',
        'similarity': _RELATION,
        'relation': _RELATION,
        'weights': _CLASSES,
        'tsne': _CLASSES,
        'gate': _CLASSES,
    },
    epilog="""\b
Example:
  gluon-fg explain localize data/synthfg/test/00005.mp4 --model i3d_tiny_synthfg_dfb --out pictures
""",
)
def explain() -> None:
    """See why a network answers as it does: where it looks in videos, and which classes it confuses."""


class ExplainCommand(Command):
    """A command of this group; an unknown option is answered with what to use instead.

    Parameters
    ----------
    instead
        what serves in place of options of former versions
    """

    def __init__(self, *args: Any, instead: str = '', **attributes: Any):
        super().__init__(*args, **attributes)
        self.instead = instead

    def parse_args(self, ctx: click.Context, args: list) -> list:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if not self.instead:
                raise
            raise UserError(f'no option {error.option_name}; {self.instead}') from None


def path_of(output: Output) -> str:
    """The file or folder of a command that requires --out."""
    return str(output.out)


def say_predictions(title: str, predictions: Sequence) -> None:
    """Print a network's likeliest classes in a line."""
    click.echo(f'{title}: {", ".join(f"{label} {100 * p:.1f} %" for label, p in predictions)}')
