"""Weights: files, where they are looked for, ImageNet's, and the inflation of others."""

from .inflate import inflate, inflate_stem, inflate_time
from .zoo import model_root

__all__ = ['inflate', 'inflate_stem', 'inflate_time', 'model_root']
