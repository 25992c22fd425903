"""Images of your own, root/<split>/<class>/<image>."""

from __future__ import annotations

import functools

from ..video import IMAGE_SUFFIXES
from .entry import DatasetInfo, register_dataset
from .openers import open_folders

open_images = functools.partial(open_folders, suffixes=IMAGE_SUFFIXES)

register_dataset(DatasetInfo('image_folder', None, open_images))
