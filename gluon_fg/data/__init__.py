"""From a video file to a batch of uint8 views: decoding, sampling, transforms, labels, datasets, loader."""

from .datasets import VideoDataset, VideoRecord, build_dataset, from_csv, from_folder
from .label_sets import label_set
from .labels import LabelSet, flip_map_from_names
from .loader import Batch, TrainLoader, ordered_map
from .transforms import TrainTransform, to_input, to_view
from .video import open_video

__all__ = [
    'Batch',
    'LabelSet',
    'TrainLoader',
    'TrainTransform',
    'VideoDataset',
    'VideoRecord',
    'build_dataset',
    'flip_map_from_names',
    'from_csv',
    'from_folder',
    'label_set',
    'open_video',
    'ordered_map',
    'to_input',
    'to_view',
]
