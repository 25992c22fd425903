"""SynthFG motion: 12 classes of motion in 3 groups, which no single frame tells apart, rendered here."""

from __future__ import annotations

from .. import synthfg
from .entry import DatasetInfo, register_dataset
from .rendered import open_rendered

register_dataset(
    DatasetInfo(
        'synthfg_motion',
        12,
        open_rendered,
        classes=synthfg.MOTION_CLASSES,  # whose names say what a mirror makes of them
        groups=synthfg.MOTION_GROUPS,
        rendered=True,
    )
)
