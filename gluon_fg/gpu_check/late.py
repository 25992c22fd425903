"""A training that leaves out updates: `python -m gluon_fg.gpu_check.late '[1, 2]' CONFIG FOLDER SETTING...`.

Float16 leaves out its first updates, which overflow, and so begins to learn later. What it is held against is a
training in float32 that leaves out the same ones: of both the n-th loss is that after as many steps.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Collection, Sequence

from mxnet import gluon

from ..named_configs import find_config
from ..training import distributed, stages
from ..training.config import load_config


def train(left_out: Collection[int], config: str, folder: str, settings: Sequence[str]) -> None:
    """Train as `gluon-fg train` does, without the steps of some updates, counted from 1 over all stages.

    The process is of no use for another training: its optimizer goes on counting.
    """
    count, step = 0, gluon.Trainer._update

    def counted(self: gluon.Trainer, *args: Any, **options: Any) -> None:
        nonlocal count
        count += 1
        if count not in left_out:
            step(self, *args, **options)

    gluon.Trainer._update = counted
    asked = load_config(find_config(config), settings)
    stages.train(asked, folder, distributed.init(asked.train.fusion_threshold_mb), progress=False)


if __name__ == '__main__':
    train(json.loads(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
