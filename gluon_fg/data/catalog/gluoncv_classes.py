"""Class names that GluonCV has, in its order: that of its published weights."""

from __future__ import annotations

import functools
from typing import Callable, Tuple


def gluoncv_classes(attribute: str) -> Callable[[], Tuple[str, ...]]:
    """Return a function that reads the names from a class of `gluoncv.data`, such as 'Kinetics400Attr', when called."""
    return functools.partial(_read, attribute)


def _read(attribute: str) -> Tuple[str, ...]:
    import gluoncv.data  # slow: only for those who ask

    return tuple(getattr(gluoncv.data, attribute)().classes)


def imagenet_folders() -> Tuple[str, ...]:
    """Return the names of ImageNet's 1000 folders ('n01440764', ...), in the order of the labels."""
    import gluoncv.data

    return tuple(gluoncv.data.ImageNet1kAttr().synset)
