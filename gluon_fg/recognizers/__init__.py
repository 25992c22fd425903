"""Papers as networks: each file is paper, class, entries of the zoo."""

from .base import Branches, Recognizer
from .baseline import Baseline
from .dfb import DFB

__all__ = ['Baseline', 'Branches', 'DFB', 'Recognizer']
