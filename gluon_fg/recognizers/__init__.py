"""Papers as networks: each file is paper, class, entries of the zoo."""

from . import tsm  # noqa: F401  (its entries)
from .base import Branches, Recognizer
from .baseline import Baseline
from .cidc import CIDCNetwork
from .dfb import DFB
from .temporal_heads import LSTMHead, SelfAttentionHead
from .u2s import U2S

__all__ = ['Baseline', 'Branches', 'CIDCNetwork', 'DFB', 'LSTMHead', 'Recognizer', 'SelfAttentionHead', 'U2S']
