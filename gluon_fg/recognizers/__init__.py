"""Papers as networks: each file is paper, class, entries of the zoo."""

from . import tsm  # noqa: F401  (its entries)
from .base import Recognizer
from .baseline import Baseline
from .branches import Branches, View
from .c3d import C3DNetwork
from .cidc import CIDCNetwork
from .contract import ClassRelation, FeatureKind, MapInfo, PrepareContext, Trunk
from .convlstm import ConvNetLSTM
from .dfb import DFB
from .fused3d import Fused3D
from .temporal_heads import LSTMHead, SelfAttentionHead
from .twostream import TwoStream
from .u2s import U2S

__all__ = [
    'Baseline',
    'Branches',
    'C3DNetwork',
    'CIDCNetwork',
    'ClassRelation',
    'ConvNetLSTM',
    'DFB',
    'FeatureKind',
    'Fused3D',
    'LSTMHead',
    'MapInfo',
    'PrepareContext',
    'Recognizer',
    'SelfAttentionHead',
    'Trunk',
    'TwoStream',
    'U2S',
    'View',
]
