"""Something-Something-V2 (Goyal et al. 2017, arXiv:1706.04261): 174 things done to things, left told from right.

Read as its archives unpack, under one root (the lists may lie in labels/ or annotations/, too):

    20bn-something-something-v2/1.webm ...   something-something-v2-labels.json
    something-something-v2-train.json   something-something-v2-validation.json   something-something-v2-test.json

or, as in the second release, labels/train.json and so on. Entries are {"id": "78687", "template": "Holding [something]
next to [something]", ...}, with brackets or without; those of the test list have an id alone, but their answers are
taken from test-answers.csv where it is there. The split `val` is validation. Lists of your own, root/train.csv or .txt,
come first.

The lists have 168913, 24777 and 27157 videos.
"""

from __future__ import annotations

from ..datasets import VideoDataset
from .entry import DatasetInfo, Request, register_dataset
from .gluoncv_classes import gluoncv_classes
from .templates import Layout, open_templates, verb_groups

LAYOUT = Layout('something-something-v2', 'json', '.webm')
_classes = gluoncv_classes('SomethingSomethingV2Attr')


def open_sthsthv2(info: DatasetInfo, asked: Request) -> VideoDataset:
    """Open a split: see `open_templates`."""
    return open_templates(info, asked, LAYOUT, _classes())


register_dataset(DatasetInfo('sthsthv2', 174, open_sthsthv2, _classes, groups=verb_groups))
