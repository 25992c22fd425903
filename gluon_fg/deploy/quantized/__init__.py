"""Networks in INT8: made from float ones by calibration, kept beside their weights, loaded for a runtime."""

from .store import Loaded, load

__all__ = ['Loaded', 'load']
