"""SynthFG images: single frames of the 8 classes of SynthFG that a still tells apart, rendered here."""

from __future__ import annotations

from .. import synthfg
from .entry import DatasetInfo, register_dataset
from .rendered import open_rendered

register_dataset(
    DatasetInfo(
        'synthfg_images',
        8,
        open_rendered,
        classes=[synthfg.CLASSES[label] for label in synthfg.DETAIL_LABELS],
        groups=[synthfg.GROUPS[label] for label in synthfg.DETAIL_LABELS],
        symmetric=True,
        rendered=True,
    )
)
