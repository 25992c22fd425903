"""Configurations that come with the package, found by name: `dfb/i3d_tiny_synthfg` is a file below `configs`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List

from .errors import unknown

_REPO_CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
_PACKAGED_CONFIGS = Path(__file__).resolve().parent / 'configs'


def config_folder() -> Path:
    """Return `configs` of the repository, or the copy in an installed package."""
    return _PACKAGED_CONFIGS if _PACKAGED_CONFIGS.is_dir() else _REPO_CONFIGS


def config_names(section: str = '') -> List[str]:
    """List the names of the configurations, or of those in one section such as 'studies'.

    Files that others are built on (`_kinetics400_3d.yaml`) are left out.
    """
    folder = config_folder()
    paths = (
        path.relative_to(folder) for path in folder.glob(f'{section or "*"}/*.yaml') if not path.name.startswith('_')
    )
    return sorted(path.with_suffix('').as_posix() for path in paths)


def find_config(name: str, section: str = '') -> str:
    """Return the path of a configuration.

    Parameters
    ----------
    name
        a path that exists, or a name such as 'dfb/i3d_tiny_synthfg', with or without 'configs/' before it and '.yaml'
        behind it
    section
        where a name may leave out its first part: 'studies' makes 'dfb_synthfg' the name of 'studies/dfb_synthfg'

    Raises
    ------
    UserError
        neither is there; it says the nearest names
    """
    if os.path.isfile(name):
        return str(name)
    short = str(name)[: -len('.yaml')] if str(name).endswith('.yaml') else str(name)
    short = short[len('configs/') :] if short.startswith('configs/') else short
    for candidate in (short, f'{section}/{short}' if section else short):
        path = config_folder() / f'{candidate}.yaml'
        if os.path.isfile(path) and config_folder() in path.parents and '..' not in path.parts:
            return str(path)
    known = config_names(section)
    raise unknown('config', name, [*known, *(text[len(section) + 1 :] for text in known if section)])
