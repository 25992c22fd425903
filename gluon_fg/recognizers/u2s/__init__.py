"""U2S: the network, its category similarity matrix and how training makes it, and the entries of the zoo."""

from . import entries  # noqa: F401  (registers them)
from .network import U2S

__all__ = ['U2S']
