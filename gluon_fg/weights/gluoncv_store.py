"""GluonCV's published weight files."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ..errors import UserError
from .zoo import model_root


def gluoncv_has(name: str) -> bool:
    """Whether GluonCV has published weights under a name."""
    from gluoncv.model_zoo import model_store

    return name in model_store._model_sha1


def gluoncv_file(name: str, root: Optional[str] = None) -> Path:
    """The file of GluonCV's weights for a name, fetched where it is not in `root` (default: MXNet's folder) yet.

    Raises
    ------
    UserError
        nothing published under the name, or the file is neither there nor to be fetched
    """
    from gluoncv.model_zoo import model_store

    folder = model_root(root)
    try:
        return Path(model_store.get_model_file(name, root=str(folder)))
    except (OSError, RuntimeError, ValueError) as error:  # no network, a server's refusal, a damaged download
        file = f'{name}-{model_store.short_hash(name)}.params'
        reason = ' '.join(str(error).split())
        raise UserError(f'cannot fetch GluonCV weights {name} ({reason[:120]}); put {file} into {folder}') from error
