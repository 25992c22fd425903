"""Optical flow: computed from frames, stored beside them in the usual layouts, and read back."""

from .fields import ALGORITHMS, FlowSettings, compute, quantize, resize_flow, restore
from .stored import FlowReader, open_flow

__all__ = ['ALGORITHMS', 'FlowReader', 'FlowSettings', 'compute', 'open_flow', 'quantize', 'resize_flow', 'restore']
