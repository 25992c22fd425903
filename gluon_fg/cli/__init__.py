"""The command `gluon-fg`: one file a command, imported when it is named; shared options are in options.py."""

from __future__ import annotations

import click

from .. import __version__
from .base import Group

_FILES = {'fuse': 'compare', 'gpu-check': 'gpu_check'}  # command -> file, where that is not the same
_COMMANDS = (
    'finetune',
    'train',
    'transfer',
    'evaluate',
    'merge',
    'predict',
    'features',
    'quantize',
    'export',
    'report',
    'compare',
    'fuse',
    'join',
    'mean',
    'submission',
    'study',
    'benchmark',
    'doctor',
    'gpu-check',
    'demo',
    'zoo',
    'data',
    'explain',
)


@click.group(
    'gluon-fg',
    cls=Group,
    places={name: f'gluon_fg.cli.{_FILES.get(name, name)}' for name in _COMMANDS},
    context_settings={'help_option_names': ['-h', '--help'], 'max_content_width': 110},
    epilog="""\b
Examples:
  gluon-fg data prepare synthfg --root data/synthfg --train 48 --val 24 --test 24
  gluon-fg predict data/synthfg/test/00005.mp4 --model i3d_tiny_synthfg_dfb --topk 3
Completion of words, by a line in ~/.bashrc (zsh: zsh_source, fish: fish_source):
  eval "$(_GLUON_FG_COMPLETE=bash_source gluon-fg)"
""",
)
@click.version_option(__version__, prog_name='gluon-fg')
def main() -> None:
    """Recognize fine-grained actions in video: train networks, test them, apply them, see why they answer so."""
