"""Building blocks: one idea a file, none knows a model."""

from .batch_norm_lstm import BatchNormLSTM, StepNorm
from .cidc import CIDC
from .dropout import Dropout
from .filter_bank import DiscriminativeFilterBank
from .lstm import FrameLSTM
from .mask_gate import MaskedAvgPool, MaskGate
from .mask_network import MaskNetwork
from .non_local import NonLocal
from .norm import BatchNorm3D, batch_norms, deploy_mode, deploy_symbol, freeze, freeze_batch_norm
from .pooling import GlobalAvgPool, GlobalMaxPool
from .self_attention import SelfAttention
from .temporal_shift import TemporalShift, set_segments
from .upsample import BilinearUpsample

__all__ = [
    'CIDC',
    'BatchNorm3D',
    'BatchNormLSTM',
    'BilinearUpsample',
    'DiscriminativeFilterBank',
    'Dropout',
    'FrameLSTM',
    'GlobalAvgPool',
    'GlobalMaxPool',
    'MaskGate',
    'MaskNetwork',
    'MaskedAvgPool',
    'NonLocal',
    'SelfAttention',
    'StepNorm',
    'TemporalShift',
    'batch_norms',
    'deploy_mode',
    'deploy_symbol',
    'freeze',
    'freeze_batch_norm',
    'set_segments',
]
