"""The sections of a training config: every key with its type, its default and what it may be.

`config` reads files into them. Defaults are what a run without the key has always done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from ..checking import Rule, above, at_least, count, one_of, setting, share, within
from ..input_spec import FLOW_ALGORITHMS, SHORT_RULES

# Annotations are read at run time by OmegaConf, so these classes use typing's Optional, List and Dict.


_PROBABILITY = within(0, 1, 'a probability, 0 to 1')
_SHARE_BELOW_1 = Rule('0 or more, below 1', lambda v: 0 <= v < 1)
STARTS = ('kinetics400', 'imagenet', 'none')  # what `model.start` may say in place of a file, the best first
TRANSFERS = ('original', 'fixed', 'full')


@dataclass
class ModelConfig:
    """Which recognizer, and what it starts from."""

    name: str = 'i3d_tiny_synthfg_dfb'
    nclass: Optional[int] = None  # None: the entry's own, or the dataset's for `*_custom` entries
    # kinetics400: weights of the same backbone from Kinetics-400; imagenet: the backbone's from ImageNet; none: random
    # ones; or a .params file, of gluon_fg or GluonCV. None: as the three keys below say; where they say nothing, too,
    # the first of kinetics400, imagenet and none that is to be had for `*_custom` entries, imagenet for others
    start: Optional[str] = None
    # original: without weights of other videos, model.start imagenet where there are such, else none; fixed: a network
    # trained on Kinetics-400, or model.start's file, of which only a new classifier is trained; full: the same start,
    # all of it trained. None: as the other keys say
    transfer: Optional[str] = setting(None, one_of(*TRANSFERS))
    pretrained: bool = False  # published weights for this name, else GluonCV's for the network within it
    pretrained_base: Optional[bool] = None  # ImageNet weights for the backbone; None: the entry's default
    params: Optional[str] = None  # as `start`; new branches stay random
    options: Dict[str, Any] = field(default_factory=dict)  # builder options, e.g. {local_branch: false, dropout: 0.5}


@dataclass
class DataConfig:
    """Which videos, and how a training clip is cut from them. None: the model entry's own value."""

    dataset: str = 'synthfg'
    root: Optional[str] = None
    # A folder of gluon-fg features: train on those in place of videos, everything behind their stage
    features: Optional[str] = None
    # Where optical flow comes from, for networks that see it: a folder that gluon-fg data flow wrote, or dis to compute
    # it on the way; None: what lies beside the frames or in the dataset's folder, else computed
    flow: Optional[str] = None
    train_split: str = 'train'
    val_split: str = 'val'
    # share of the training videos, by a hash of their paths, that is not trained on: what a method has to read from
    # labeled videos that the network has not learned, it reads from these
    hold_out: float = setting(0.0, _SHARE_BELOW_1)
    frames: Optional[int] = setting(None, count(1, 10000))  # frames in a clip
    frame_stride: Optional[int] = setting(None, count(1, 10000))  # decoded frames from one taken frame to the next
    # frames per second at which every video is shown: strides then mean the same time in each; None: each at its own
    fps: Optional[float] = setting(None, above(0))
    segments: Optional[int] = setting(None, count(1, 1000))  # TSN segments (2-D networks)
    # How that flow was made, which weights remember; None: as its folder says
    flow_algorithm: Optional[str] = setting(None, one_of(*FLOW_ALGORITHMS))
    flow_bound: Optional[float] = setting(None, above(0))  # pixels that its 8 bits reach
    center_flow: Optional[bool] = None  # subtract each field's mean displacement
    # what fills a clip up that is longer than its video: the last frame, or the video from its start
    short: Optional[str] = setting(None, one_of(*SHORT_RULES))
    short_side: Optional[int] = setting(None, count(1, 8192))  # pixels
    crop_size: Optional[int] = setting(None, count(1, 8192))  # pixels
    augment: str = setting('random_resized', one_of('random_resized', 'multiscale', 'random_crop'))
    # random_crop only: the shorter side is drawn from short_side .. jitter * short_side
    jitter: float = setting(1.0, within(1, 100, 'a finite number, 1 or more, at most 100'))
    flip: float = setting(0.5, _PROBABILITY)  # only where the labels allow a mirror image
    # What else changes a clip (the same in all of its frames) and its label; see `gluon_fg.data.augment` and `dealing`
    color_jitter: float = setting(0.0, within(0, 1, '0 (off) to 1'))  # brightness, contrast, saturation: 1 +- this
    randaugment: float = setting(0.0, within(0, 10, '0 (off) to 10, the strongest'))  # magnitude of two operations
    erase: float = setting(0.0, _PROBABILITY)  # of erasing a rectangle
    mixup: float = setting(0.0, at_least(0, '0 (off) or more'))  # alpha of Beta(alpha, alpha), which shares come from
    cutmix: float = setting(0.0, at_least(0, '0 (off) or more'))  # alpha; with mixup a batch gets either, by a coin
    # Which videos make up a batch
    sampling: str = setting('shuffled', one_of('shuffled', 'balanced'))  # balanced: every class equally often
    repeat: int = setting(1, count(1, 1000))  # clips of the same video in a batch, drawn apart (repeated augmentation)
    # Videos may have several labels: sigmoid in place of softmax. None: where the dataset has targets (multilabel)
    multi_label: Optional[bool] = None
    workers: int = setting(2, count(0, 256))  # decoding threads per rank
    cache: str = setting('none', one_of('none', 'memory'))  # memory: decoded once, until `cache_gb` are full
    cache_gb: Optional[float] = setting(None, above(0))  # 10**9 bytes for each rank, of all splits; None: no limit
    sizes: Dict[str, int] = field(default_factory=dict)  # synthfg only: clips generated per split


@dataclass
class TrainConfig:
    """Optimizer, schedule and bookkeeping."""

    epochs: int = setting(100, count(1, 1000000))
    batch_size: int = setting(8, count(1, 65536))  # clips per rank and forward pass
    accumulate: int = setting(1, count(1, 1000000))  # forward passes per update
    optimizer: str = setting('sgd', one_of('sgd', 'adamw'))  # sgd: with momentum; adamw: decoupled weight decay
    lr: float = setting(0.01, above(0), synonyms=('learning_rate',))  # for `lr_batch_size` clips an update
    lr_backbone: float = setting(1.0, above(0))  # times lr: for the backbone
    lr_new: float = setting(1.0, above(0))  # times lr: for layers outside it that no loaded weights gave a value
    lr_batch_size: int = setting(0, at_least(0))  # 0: lr as it stands; else lr is scaled linearly to the real batch
    lr_scale: float = setting(1.0, above(0))  # times lr: for a stage that runs at a fraction of the rate of the others
    schedule: str = setting('step', one_of('step', 'cosine'))
    lr_factor: float = setting(0.1, share())  # step: multiplier at each of lr_epochs
    lr_epochs: List[int] = setting([40, 60, 80], synonyms=('lr_steps',))
    lr_final: float = setting(0.01, within(0, 1))  # cosine: last rate, as a fraction of lr
    warmup_epochs: float = setting(0.0, at_least(0))  # linear from lr / steps
    momentum: float = setting(0.9, _SHARE_BELOW_1)
    wd: float = setting(0.0001, at_least(0), synonyms=('weight_decay',))
    clip: float = setting(0.0, at_least(0, '0 (off) or more'))  # largest global L2 norm of the mean gradient
    label_smoothing: float = setting(0.0, _SHARE_BELOW_1)  # share of the target that all classes get alike
    class_weights: str = setting('none', one_of('none', 'balanced'))  # balanced: the loss of rare classes counts more
    ema: float = setting(0.0, _SHARE_BELOW_1)  # decay of a moving average of the weights, which is measured and saved
    # Training batches that batch norm's statistics are measured on before each validation; 0: they are as training
    # left them
    precise_bn: int = setting(0, at_least(0, '0 (off) or more'))
    early_stop: int = setting(0, at_least(0, '0 (off) or more'))  # epochs without a better validation; then it ends
    # frozen: layers whose statistics were loaded keep them; partial: so do all but the first; new layers always learn
    batch_norm: str = setting('train', one_of('train', 'partial', 'frozen'))
    freeze: List[str] = field(default_factory=list)  # stages of the backbone that stay as they are: stem, res2 .. res5
    stage: Optional[str] = None  # of a network that is trained part by part (`net.stages`); None: everything is trained
    # float16: GPU; bfloat16: CPU; float16_emulated: CPU, to see what float16 does to a training; slower than float32
    precision: str = setting('float32', one_of('float32', 'float16', 'bfloat16', 'float16_emulated'))
    device: str = setting('auto', one_of('auto', 'cpu', 'gpu'))
    without_nccl: bool = False  # whether ranks on GPUs may average gradients without NCCL, by the memory of the host
    # MB of gradients that ranks average at once; None: Horovod's. With 0 three ranks and more repeat every bit
    fusion_threshold_mb: Optional[int] = setting(None, count(0, 1 << 20))
    seed: int = setting(0, Rule('0 or more, below 2**31', lambda v: 0 <= v < 2**31))
    checkpoint_steps: int = setting(0, at_least(0, '0 (each epoch) or more'))  # updates between checkpoints
    keep_checkpoints: int = setting(2, count(1, 1000000))
    log_steps: int = setting(10, at_least(1))  # updates between lines in metrics.jsonl


@dataclass
class TestConfig:
    """How the network is measured. Protocols are those of gluon_fg.evaluation.protocol."""

    val_protocol: str = 'train_time'  # after epochs
    val_epochs: int = setting(1, at_least(0))  # epochs between validations; 0: only after the last
    protocol: Optional[str] = None  # how gluon-fg evaluate measures this run; None: the model entry's
    batch_size: int = setting(16, count(1, 65536))  # views per forward pass
    # 'None of these': the answer where the likeliest class is less likely than this; None: as `refuse` says
    threshold: Optional[float] = setting(None, _PROBABILITY)
    # The threshold that refuses at most this share of the validation videos, chosen with the best weights
    refuse: Optional[float] = setting(None, _SHARE_BELOW_1)


@dataclass
class Config:
    """One training run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    test: TestConfig = field(default_factory=TestConfig)
    # Several runs, one after another, each from the last weights of the one before: name -> the values of the sections
    # above that are its own, e.g. {universal: {model: {name: tsn_tiny_synthfg}}, joint: {train: {lr: 0.001}}}
    stages: Dict[str, Any] = field(default_factory=dict)
