"""SynthFG: 24 fine-grained classes in 6 groups, rendered here (`gluon_fg.data.synthfg`)."""

from __future__ import annotations

from .. import synthfg
from .entry import DatasetInfo, register_dataset
from .rendered import open_rendered

register_dataset(
    DatasetInfo(
        'synthfg',
        24,
        open_rendered,
        classes=synthfg.CLASSES,
        groups=synthfg.GROUPS,
        symmetric=True,  # see `synthfg`: all glyphs are symmetric, ways are left or right at random
        rendered=True,
    )
)
