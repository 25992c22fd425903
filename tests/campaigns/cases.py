"""The commands that are killed: what each is given, what it is asked, and what of its folder is written once."""

from __future__ import annotations

import dataclasses
import importlib
import os
import shutil
from pathlib import Path
from typing import Callable, Dict, List, Sequence, Tuple

from gluon_fg.data import synthfg
from gluon_fg.training import loop
from gluon_fg.training.config import load_config

# The films of `_films` in little: an epoch takes two updates, and the second one is the better.
SMALL = ['data.workers=1', 'data.short_side=40', 'data.crop_size=32', 'data.frames=4', 'train.batch_size=6']
SMALL += ['train.lr=0.1', 'train.lr_batch_size=0', 'train.lr_epochs=[]', 'train.warmup_epochs=0', 'train.epochs=2']


def _films(folder: Path) -> None:
    """A folder of short films of three classes, in two splits."""
    for split, films in (('train', 4), ('val', 2)):
        for label, name in ((2, 'disc'), (14, 'square'), (20, 'house')):
            (folder / split / name).mkdir(parents=True)
            for number in range(films):
                path = folder / split / name / f'film{number}.mp4'
                synthfg.write_video(path, synthfg.render_clip(label, 100 * films + number)[:8])


def _run(folder: Path) -> None:
    """A finished training run on the films."""
    settings = ['model.name=i3d_tiny_custom', 'data.dataset=folder', f'data.root={folder.parent / "films"}', *SMALL]
    loop.train(load_config(None, settings), folder, progress=False)


LOADED = ('gluon_fg.training.stages', 'gluon_fg.cli.train', 'matplotlib.pyplot', 'av')
INPUTS: Dict[str, Callable[[Path], None]] = {'films': _films, 'run': _run}
NEEDS: Dict[str, Tuple[str, ...]] = {'run': ('films',)}  # what has to be there before


def _train(config: str, *settings: str) -> List[str]:
    return ['train', '--config', config, '--out', 'run', '--set', 'data.root=films', *SMALL, *settings]


@dataclasses.dataclass(frozen=True)
class Case:
    """A command that writes.

    Parameters
    ----------
    name
        as in the table
    words
        its words; paths are relative to its folder
    inputs
        of `INPUTS`: they lie in its folder as links
    copied
        of them: those that it may change
    code
        its exit code when nothing disturbs it
    once
        whether each file takes its name complete, and never changes: none may ever be seen half
    anew
        the option by which it replaces what it has written before
    kills
        at most, of a command that takes long
    ranks
        of the job, through horovodrun
    """

    name: str
    words: List[str]
    inputs: Tuple[str, ...] = ()
    copied: Tuple[str, ...] = ()
    code: int = 0
    once: bool = True
    anew: str = '--force'
    kills: int = 1000
    ranks: int = 1

    def lay_out(self, folder: Path, base: Path) -> None:
        """Make the folder in which it runs."""
        folder.mkdir(parents=True)
        for name in self.inputs:
            if name in self.copied:
                shutil.copytree(base / name, folder / name)
            else:
                os.symlink(base / name, folder / name)


_RUN = ('--run', 'run', '--root', 'films')
_FULL = ('train.log_steps=1', 'train.checkpoint_steps=1', 'train.ema=0.5', 'train.clip=5.0', 'test.refuse=0.2')
_STAGES = (
    'model.name=topheavy_tiny_custom_u2s',
    'data.dataset=folder',
    'stages.universal.model.name=topheavy_tiny_custom',
)
_SHORT = ('train.epochs=1', 'stages.specific.train.epochs=1', 'stages.joint.train.epochs=1', 'train.checkpoint_steps=1')

_ALL = (
    Case('train', _train('custom/i3d_tiny_custom_dfb', *_FULL), ('films',), once=False),
    Case('train, two ranks', _train('custom/i3d_tiny_custom_dfb', *_FULL), ('films',), once=False, kills=6, ranks=2),
    Case(
        'train in stages',
        _train('u2s/topheavy_tiny_synthfg_u2s', *_STAGES, *_SHORT),
        ('films',),
        once=False,
        kills=6,
    ),
    Case(
        'finetune',
        ['finetune', 'films', '--model', 'i3d_tiny_custom', '--out', 'run', '--set', *SMALL],
        ('films',),
        once=False,
        kills=6,
    ),
    Case(
        'transfer',
        ['transfer', 'custom/i3d_tiny_custom', '--out', 'runs', '--set', 'data.root=films', *SMALL, 'train.epochs=1',
         'model.start=run/final.params'],
        ('films', 'run'),
        once=False,
        kills=6,
    ),
    Case('evaluate', ['evaluate', *_RUN, '--out', 'scores.npz'], ('run', 'films')),
    Case(
        'features',
        ['features', *_RUN, '--stage', '5', '--split', 'val', '--out', 'features'],
        ('run', 'films'),
        once=False,
        kills=8,
    ),
    Case(
        'data prepare',
        ['data', 'prepare', 'folder', 'films', '--workers', '0', '--out', 'there'],
        ('films',),
        once=False,
        kills=12,
    ),
    Case(
        'data flow',
        ['data', 'flow', 'folder', '--root', 'films', '--split', 'val', '--out', 'flow', '--workers', '0'],
        ('films',),
        once=False,
        kills=12,
    ),
    Case(
        'zoo publish',
        ['zoo', 'publish', 'run', '--repo', 'zoo', '--licence', 'CC0-1.0', '--root', 'films', '--name', 'mine'],
        ('run', 'films'),
        once=False,
        anew='--replace',
        kills=12,
    ),
)  # fmt: skip
CASES: Dict[str, Case] = {case.name: case for case in _ALL}


def set_up(base: Path, names: Sequence[str]) -> None:
    """Load what the commands load, once for all starts, and make the inputs of some cases, each in a fork.

    This process itself must not compute: MXNet's threads would be missing in its forks.
    """
    for module in LOADED:
        importlib.import_module(module)
    wanted = [part for case in names for name in CASES[case].inputs for part in (*NEEDS.get(name, ()), name)]
    for name in dict.fromkeys(wanted):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                INPUTS[name](base / name)
                code = 0
            finally:
                os._exit(code)
        if os.waitpid(child, 0)[1]:
            raise RuntimeError(f'{name} cannot be made')
