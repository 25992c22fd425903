"""From a video file to a batch of uint8 views: decoding, sampling, transforms, labels, catalog of datasets, loader."""

from .._runtime import running_decoder

if not running_decoder():  # which needs none of it
    from .augment import Augment
    from .catalog import (
        DatasetInfo,
        build_dataset,
        dataset_info,
        label_set,
        list_datasets,
        open_folders,
        open_lists,
        register_dataset,
    )
    from .datasets import VideoDataset, VideoRecord
    from .dealing import Dealing, Mixing
    from .labels import LabelSet, flip_map_from_names
    from .loader import Batch, TrainLoader, ordered_map
    from .readers import from_csv, from_folder
    from .transforms import TrainTransform, to_input, to_view
    from .video import open_video

__all__ = [
    'Augment',
    'Batch',
    'DatasetInfo',
    'Dealing',
    'LabelSet',
    'Mixing',
    'TrainLoader',
    'TrainTransform',
    'VideoDataset',
    'VideoRecord',
    'build_dataset',
    'dataset_info',
    'flip_map_from_names',
    'from_csv',
    'from_folder',
    'label_set',
    'list_datasets',
    'open_folders',
    'open_lists',
    'open_video',
    'ordered_map',
    'register_dataset',
    'to_input',
    'to_view',
]
