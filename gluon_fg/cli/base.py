"""How every command is read and how it ends: options of several values, examples, one line for a mistake."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from typing import Any, Dict, List, Optional, Sequence, Tuple

import click
from click.shell_completion import shell_complete

from .. import errors, interrupts
from .terminal import plain_output

_OPTION = re.compile(r'--|-[A-Za-z]')  # neither a lone '-' nor a negative number

COMPLETION = '_GLUON_FG_COMPLETE'

# Scripts of former versions -> the command that does their work.
REPLACED = {
    'activation_maps': 'explain activation',
    'audit_filters': 'explain filters',
    'category_masks': 'explain masks',
    'class_similarity': 'explain similarity',
    'fuse_scores': 'fuse',
    'plot_accuracy_over_n': 'study chart',
    'plot_confusion': 'explain confusion',
    'plot_similarity': 'explain similarity',
    'plot_tsne': 'explain tsne',
    'plot_weight_similarity': 'explain weights',
    'prepare_data': 'data prepare',
    'publish': 'zoo publish',
    'convert': 'zoo convert',
    'visualize': 'explain localize',
}


class Several(click.Option):
    """An option that takes all words up to the next option: `--set train.lr=0.1 train.epochs=3`; it may be repeated.

    Parameters
    ----------
    none_allowed
        whether it may stand without a value, which gives an empty list where its absence gives None
    """

    def __init__(self, *args: Any, none_allowed: bool = False, **attributes: Any):
        attributes['multiple'] = True
        super().__init__(*args, **attributes)
        self.none_allowed = none_allowed


class Renamed(click.Option):
    """An option whose first name is shown; the others are former ones, which go on working."""

    def get_help_record(self, ctx: click.Context) -> Optional[Tuple[str, str]]:
        names, self.opts = self.opts, self.opts[:1]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = names


class Command(click.Command):
    """A command whose help ends with an example, and which loads MXNet only when it runs.

    Parameters
    ----------
    example
        command lines that work, without `gluon-fg` before them, for the end of its help
    light
        whether it starts without MXNet
    """

    def __init__(self, *args: Any, example: str = '', light: bool = False, **attributes: Any):
        lines = [f'  gluon-fg {line}' for line in example.strip().splitlines()]
        if lines:
            attributes['epilog'] = '\n'.join(['\b', f'Example{"s" if len(lines) > 1 else ""}:', *lines])
        super().__init__(*args, **attributes)
        self.light = light

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        given = {name: option for option in self.params if isinstance(option, Several) for name in option.opts}
        words, empty = _repeated(args, given)
        rest = super().parse_args(ctx, words)
        for option in dict.fromkeys(given.values()):
            name = str(option.name)
            values = ctx.params[name]
            ctx.params[name] = list(values) if values or option in empty or not option.none_allowed else None
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        if not self.light:
            load_package()
        interrupts.raise_again()
        return super().invoke(ctx)


def _repeated(args: Sequence[str], several: Dict[str, Several]) -> Tuple[List[str], List[Several]]:
    """`--set a b` as `--set a --set b`, as click reads it; and the options that stand without a value and may."""
    words: List[str] = []
    empty: List[Several] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == '--':
            return [*words, word, *rest], empty
        if word not in several:
            words.append(word)
            continue
        count = next((i for i, value in enumerate(rest) if _OPTION.match(value)), len(rest))
        values, rest = rest[:count], rest[count:]
        if values:
            words += [part for value in values for part in (word, value)]
        elif several[word].none_allowed:
            empty.append(several[word])
        else:
            raise errors.UserError(f'{word} needs a value, or several')
    return words, empty


class Group(click.Group):
    """Commands that stand in files of their own, imported when they are named; a mistake is one line and exit code 2.

    Parameters
    ----------
    places
        name of a command -> module that holds it under that name; one whose module is not there is left out
    """

    command_class = Command

    def __init__(self, *args: Any, places: Optional[Dict[str, str]] = None, **attributes: Any):
        super().__init__(*args, **attributes)
        self.places = places or {}

    def list_commands(self, ctx: click.Context) -> List[str]:
        there = [name for name, module in self.places.items() if importlib.util.find_spec(module)]
        return [*self.commands, *there]

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        return super().parse_args(ctx, args or ['--help'])

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        if cmd_name in self.places and importlib.util.find_spec(self.places[cmd_name]):
            return getattr(importlib.import_module(self.places[cmd_name]), cmd_name.replace('-', '_'))
        return self.commands.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: List[str]
    ) -> Tuple[Optional[str], Optional[click.Command], List[str]]:
        name = args[0]
        if not name.startswith('-') and self.get_command(ctx, name) is None:
            script = os.path.splitext(os.path.basename(name))[0]
            replacement = REPLACED.get(script, script if script in self.list_commands(ctx) else None)
            if replacement:
                raise errors.UserError(f'{name} is now gluon-fg {replacement}; see gluon-fg {replacement} --help')
            raise errors.unknown(f'command of {ctx.command_path}', name, self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def main(self, args: Optional[Sequence[str]] = None, prog_name: Optional[str] = None, **extra: Any) -> Any:  # type: ignore[override]
        """Run the command that the words name, and exit with its code."""
        words = list(sys.argv[1:] if args is None else args)
        if os.environ.get(COMPLETION):
            sys.exit(shell_complete(self, {}, 'gluon-fg', COMPLETION, os.environ[COMPLETION]))

        def run() -> int:
            try:
                with plain_output(), self.make_context('gluon-fg', words) as ctx:
                    return self.invoke(ctx) or 0
            except click.exceptions.Exit as end:
                return end.exit_code
            except click.ClickException as error:
                where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else 'gluon-fg'
                raise errors.UserError(f'{error.format_message().rstrip(".")}; see {where} --help') from None

        errors.run(run)


def load_package() -> None:
    """Load MXNet and all that `import gluon_fg` brings, which the command's start left out."""
    import gluon_fg

    from .. import _runtime

    if _runtime.LATER:
        _runtime.load()
        _runtime.LATER = False
        importlib.reload(gluon_fg)  # its last lines, which were skipped
