"""Weights: files, where they are looked for, ImageNet's, and the inflation of 2-D ones."""

from .inflate import inflate
from .zoo import model_root

__all__ = ['inflate', 'model_root']
