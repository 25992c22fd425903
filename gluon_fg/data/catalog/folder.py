"""Videos of your own, root/<split>/<class>/<video>."""

from __future__ import annotations

from .entry import DatasetInfo, register_dataset
from .openers import open_folders

register_dataset(DatasetInfo('folder', None, open_folders))
