"""Weights: files, where they are looked for, ImageNet's, and the inflation of others."""

from .index import model_root
from .inflate import inflate, inflate_stem, inflate_time

__all__ = ['inflate', 'inflate_stem', 'inflate_time', 'model_root']
