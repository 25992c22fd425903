"""SynthFG order: the 16 classes of SynthFG whose groups differ in the order of events, from the same files."""

from __future__ import annotations

from .. import synthfg
from ..datasets import VideoDataset, VideoRecord
from .entry import DatasetInfo, Request, dataset_info, register_dataset
from .rendered import open_rendered

CLASSES = [synthfg.CLASSES[label] for label in synthfg.ORDER_LABELS]


def open_order(info: DatasetInfo, asked: Request) -> VideoDataset:
    """Open SynthFG's split, and keep the clips of the classes that differ in order."""
    whole, labels = open_rendered(dataset_info('synthfg'), asked), synthfg.ORDER_LABELS
    kept = [VideoRecord(record.path, labels[record.label]) for record in whole.records if record.label in labels]
    return VideoDataset(
        kept,
        info.labels_of(CLASSES),
        whole.root,
        f'{info.name} {asked.split}',
        asked.cache,
    )


register_dataset(
    DatasetInfo(
        'synthfg_order',
        16,
        open_order,
        classes=CLASSES,
        groups=[synthfg.GROUPS[label] for label in synthfg.ORDER_LABELS],
        symmetric=True,
        rendered=True,
    )
)
