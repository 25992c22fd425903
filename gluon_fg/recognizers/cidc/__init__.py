"""CIDC: the multi-scale network of directional temporal units, and the entries of the zoo."""

from . import entries  # noqa: F401  (registers them)
from .network import CIDCNetwork

__all__ = ['CIDCNetwork']
