"""How fast a list is evaluated, beside a plain loop over GluonCV's network and loader: the same views, the same scores.

Both compute the mean over views of each view's probabilities. The loop is that of GluonCV's script for tests, over its
dataset, transform and DataLoader; where the clips of a video begin is ours, for GluonCV puts them elsewhere.
"""

from __future__ import annotations

import re
import statistics
import time
import warnings
from pathlib import Path
from typing import Any, Callable, List, NamedTuple, Optional, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..data.datasets import VideoDataset
from ..data.loader_benchmark import rendered
from ..deploy.execution import Execution
from ..deploy.flops import input_shape
from ..deploy.predictor import Predictor
from ..errors import UserError
from ..factory import setting
from ..files import temporary_folder
from ..input_spec import InputSpec
from ..registry import model_entry
from .load import load_network
from .protocol import Protocol, get_protocol
from .score import score_dataset
from .views import segments_as

MODEL, PROTOCOL = 'i3d_resnet50_v1_kinetics400', '10x1'
SIZES = ((340, 256), (1280, 720), (1920, 1080))  # (W, H) of films: Kinetics as it is stored, and as cameras make them
_SPREAD = 2.0  # standard deviation of the logits: random weights answer all alike, and so would any error


class Compared(NamedTuple):
    """What came of it: videos and views of each, seconds of both (medians over rounds), those that both networks alone
    take for as many views, the median of the rounds' own ratio, and the largest difference of a probability.
    """

    model: str
    protocol: str
    execution: str
    size: Tuple[int, int]
    videos: int
    views: int
    seconds: float
    gluoncv_seconds: float
    network_seconds: float
    gluoncv_network_seconds: float
    times_faster: float
    largest_difference: float

    def __str__(self) -> str:
        width, height = self.size
        return (
            f'{self.model}, {self.videos} videos of {width}x{height}, {self.views} views of each ({self.protocol}): '
            f'{self.seconds:.1f} s with {self.execution} (the network alone {self.network_seconds:.1f} s), '
            f"GluonCV's network and loader {self.gluoncv_seconds:.1f} s ({self.gluoncv_network_seconds:.1f} s), "
            f'{self.times_faster:.2f} times as long; probabilities differ by at most {self.largest_difference:.1e}'
        )


def compare(
    model: str = MODEL,
    protocol: str = PROTOCOL,
    videos: int = 3,
    seconds: float = 10,
    size: Tuple[int, int] = SIZES[-1],
    rounds: int = 1,
    batch_size: int = 8,
    workers: int = 2,
    execution: Optional[Execution] = None,
) -> Compared:
    """Evaluate rendered films both ways, in turn, by one network with random weights.

    Parameters
    ----------
    model
        an entry whose network GluonCV has, too
    protocol
        which views; their crops are squares
    videos, seconds, size
        how many films, how long each is, and its (W, H) pixels
    rounds
        timed rounds; one before them warms up files and networks
    batch_size, workers
        views in a forward pass, and threads (GluonCV's: processes) that read, of both
    execution
        what computes ours; None: the fastest

    Raises
    ------
    UserError
        GluonCV has no such network, or the protocol has views that it cannot cut
    """
    views, wanted = get_protocol(protocol), execution or Execution()
    name, nclass = model_entry(model).gluoncv, setting(model).nclass
    if name is None or nclass is None:
        raise UserError(f'{model}: GluonCV has no such network; choose one that it has, for example {MODEL}')
    if views.crops == 'whole' or views.flips == 'alternate':
        raise UserError(f'protocol {views.name}: GluonCV cuts no such views; choose 10x1, 10x3 or 20x5-flips')
    with temporary_folder() as folder:
        films = rendered(folder, videos, seconds, (size,))
        theirs = _network(name, nclass, folder / 'theirs.params')
        ours = load_network(model, str(folder / 'theirs.params'))
        computed = Predictor(ours, wanted.runtime, wanted.precision, batch_size, wanted.threads)  # compiled once
        shown = views.shown(ours.input_spec)
        films.labels = ours.labels or films.labels
        plain = _loop(theirs, films, views, shown, folder, batch_size, workers)
        scored: List[Tuple[np.ndarray, np.ndarray]] = []
        taken = []
        for number in range(rounds + 1):
            began = time.perf_counter()
            got = score_dataset(
                ours, films, views, None, batch_size, workers, progress=False, execution=computed
            ).branch()
            between = time.perf_counter()
            expected = plain()
            scored.append((got, expected))
            if number:
                taken.append((between - began, time.perf_counter() - between))
        shape = (videos * views.count(ours.labels), *input_shape(shown)[1:])
        with segments_as(ours, views):
            together = batch_size * (ours.num_segments if len(shape) == 4 else 1)
            alone = _alone(computed, shape, together)
        their_alone = _alone(lambda x: theirs(mx.nd.array(x)).wait_to_read(), shape, batch_size)
    return Compared(
        model,
        views.name,
        computed.text,
        size,
        videos,
        views.count(ours.labels),
        statistics.median(own for own, _ in taken),
        statistics.median(other for _, other in taken),
        alone,
        their_alone,
        statistics.median(other / own for own, other in taken),
        max(float(np.abs(a - b).max()) for a, b in scored),
    )


def _alone(network: Callable[[np.ndarray], Any], shape: Tuple[int, ...], batch_size: int) -> float:
    """Seconds that a network takes for random views, behind a batch of each size that is not timed."""
    rng = np.random.default_rng(0)
    sizes = [min(batch_size, shape[0] - at) for at in range(0, shape[0], batch_size)]
    batches = {size: rng.standard_normal((size, *shape[1:]), 'float32') for size in sizes}
    for batch in batches.values():
        network(batch)
    began = time.perf_counter()
    for size in sizes:
        network(batches[size])
    return time.perf_counter() - began


def _network(name: str, nclass: int, path: Path) -> HybridBlock:
    """GluonCV's network with random weights, hybridized as its script does it; they are written to `path`."""
    from gluoncv.model_zoo import get_model
    from gluoncv.model_zoo.action_recognition.actionrec_resnetv1b import ActionRecResNetV1b

    match = re.fullmatch(r'resnet(\d+)_v1b_.*', name)
    if match:  # get_model fetches ImageNet's weights for these, whatever it is told
        net = ActionRecResNetV1b(int(match[1]), nclass, pretrained_base=False)
    else:
        net = get_model(name, nclass=nclass, pretrained=False, pretrained_base=False)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # its classifier has numbers already
        net.initialize(mx.init.MSRAPrelu('in', 0))
    shape = (2, 3, 224, 224) if name.startswith(('resnet', 'inception', 'vgg')) else (2, 3, 16, 112, 112)
    spread = float(net(mx.nd.random.normal(shape=shape)).asnumpy().std())
    last = next(p for key, p in reversed(list(net.collect_params().items())) if key.endswith('weight'))
    last.set_data(last.data() * (_SPREAD / spread))
    net.save_parameters(str(path))
    net.hybridize(static_alloc=True, static_shape=True)
    return net


def _loop(
    net: HybridBlock,
    films: VideoDataset,
    protocol: Protocol,
    spec: InputSpec,
    folder: Path,
    batch_size: int,
    workers: int,
) -> Callable[[], np.ndarray]:
    """A function that gives (videos, M) probabilities by GluonCV's loader and network."""
    loader = mx.gluon.data.DataLoader(
        _dataset(films, protocol, spec, folder), 1, shuffle=False, num_workers=workers, last_batch='keep'
    )

    def run() -> np.ndarray:
        out = []
        for x, _ in loader:
            x = x.as_in_context(mx.cpu()).reshape((-1, *x.shape[2:]))
            parts = [net(x[at : at + batch_size].copy()) for at in range(0, len(x), batch_size)]
            out.append(mx.nd.concat(*parts, dim=0).softmax().mean(axis=0).asnumpy())
        return np.stack(out)

    return run


def _dataset(films: VideoDataset, protocol: Protocol, spec: InputSpec, folder: Path) -> Any:
    from gluoncv.data import VideoClsCustom
    from gluoncv.data.transforms import video as transforms

    rescale, to_tensor = transforms.ShortSideRescale(spec.short_side), transforms.VideoToTensor()
    normalize = transforms.VideoNormalize(spec.mean, spec.std)

    class Placed(VideoClsCustom):
        """GluonCV's dataset, with clips that begin where ours do."""

        def _sample_test_indices(self, num_frames: int) -> Tuple[np.ndarray, np.ndarray]:
            starts = protocol._indices(num_frames, spec)[:, 0]
            return starts + 1, np.zeros(self.new_length, int)

        def _video_TSN_decord_batch_loader(self, directory: Any, reader: Any, duration: int, *rest: Any) -> Any:
            # else a clip that ends with the video shows its last frame but one twice
            return super()._video_TSN_decord_batch_loader(directory, reader, duration + self.new_step, *rest)

    def cut(frames: Any) -> List[np.ndarray]:
        """Our crops, whose middle GluonCV rounds otherwise."""
        height, width = frames[0].shape[:2]
        windows = protocol._windows(height, width, spec)
        crops = [f[w.top : w.top + w.height, w.left : w.left + w.width] for w in windows for f in frames]
        mirrored = protocol.count(films.labels) > len(windows) * protocol.clips
        return crops + [crop[:, ::-1] for crop in crops] if mirrored else crops

    frames = spec.frames if spec.ndim == 3 else 1
    side = spec.short_side if protocol.crops == 'three' else spec.crop_size
    setting = folder / 'list.txt'
    setting.write_text(''.join(f'{Path(record.path).name} 0 0\n' for record in films.records))
    return Placed(
        str(folder),
        str(setting),
        train=False,
        test_mode=True,
        num_segments=protocol.clips,
        num_crop=protocol.count(films.labels) // protocol.clips,
        new_length=frames,
        new_step=spec.frame_stride if spec.ndim == 3 else 1,
        target_width=side,
        target_height=side,
        video_loader=True,
        use_decord=True,
        data_aug='v2',  # frames as they are, not squeezed to 340x256
        transform=lambda frames: normalize(to_tensor(cut(rescale(frames)))),
    )
