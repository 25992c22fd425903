"""Making a network's INT8 form from videos, and measuring what it costs: the work behind `gluon-fg quantize`."""

from __future__ import annotations

import dataclasses
import logging
import os
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..data.datasets import VideoDataset
from ..data.loader import ordered_map
from ..data.readers import from_csv, from_paths, plain_list
from ..data.transforms import to_input
from ..deploy.execution import REFERENCE, Execution
from ..deploy.fused import fuse
from ..deploy.quantized import onednn, openvino, store
from ..deploy.quantized.search import agreement, search
from ..errors import UserError, VideoError, unknown
from ..input_spec import InputSpec
from ..weights.fingerprint import weights_sha256
from .clips import files_of
from .metrics import summarize
from .protocol import Protocol
from .score import Scores, known_to, score_dataset
from .views import segments_as

logger = logging.getLogger(__name__)

LEAST = 16  # videos that calibration takes at least
_HELD_BACK = 4  # every fourth one tells how well the scores agree, and calibrates nothing
_QUANTIZERS: Dict[str, Any] = {'mxnet': onednn.Quantizer, 'openvino': openvino.Quantizer}


@dataclasses.dataclass(frozen=True)
class Request:
    """What is wanted of an INT8 form.

    Parameters
    ----------
    runtime
        'mxnet' or 'openvino'
    protocol
        whose views calibrate
    clips
        views at most, each of a video of its own
    target
        agreement of scores from which on no layer need stay in float32
    excluded
        layers that stay in float32 in any case

    Raises
    ------
    UserError
        a value that cannot be, or a runtime whose packages are missing
    """

    runtime: str
    protocol: Protocol
    clips: int = 64
    target: float = 0.99
    excluded: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.runtime not in _QUANTIZERS:
            raise unknown('runtime for int8', self.runtime, _QUANTIZERS)
        if self.clips < LEAST:
            raise UserError(f'--clips must be at least {LEAST}, got {self.clips}')
        if not 0 <= self.target <= 1:
            raise UserError(f'--agreement must be from 0 to 1, got {self.target}')
        if self.runtime == 'openvino':
            openvino.check_installed()


def listed_videos(paths: Sequence[str], net: HybridBlock) -> VideoDataset:
    """Take a list of videos (.csv, .txt), or videos and folders of them, as a dataset; raises UserError."""
    missing = next((path for path in paths if not os.path.lexists(path)), None)
    if missing is not None:
        raise UserError(f'{missing}: no such video, folder or list')
    if len(paths) == 1 and Path(paths[0]).suffix.lower() in ('.csv', '.txt') and Path(paths[0]).is_file():
        plain = plain_list(paths[0])
        videos = from_csv(paths[0]) if plain is None else from_paths(plain, net.labels, paths[0])
    else:
        videos = from_paths(files_of(list(paths), net.input_spec), net.labels, ', '.join(paths[:3]))
    return known_to(net, videos)


class Clips(Sequence[np.ndarray]):
    """Network inputs of single videos, float32, each made of its pixels when it is asked for."""

    def __init__(self, pixels: Sequence[np.ndarray], spec: InputSpec):
        self._pixels, self._spec = pixels, spec

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, at: Any) -> Any:
        pixels = self._pixels[at]
        return to_input(pixels[None] if self._spec.ndim == 3 else pixels, self._spec).asnumpy()

    def parted(self) -> Tuple[Clips, Clips]:
        """Those that calibrate, and those that are held back."""
        held = [i % _HELD_BACK == _HELD_BACK - 1 for i in range(len(self))]
        return self._of([not h for h in held]), self._of(held)

    def _of(self, taken: Sequence[bool]) -> Clips:
        return Clips([pixels for pixels, take in zip(self._pixels, taken) if take], self._spec)


def calibration_clips(net: HybridBlock, videos: VideoDataset, request: Request, workers: int = 2) -> Clips:
    """Read views of videos spread evenly over a list, of each another one in turn; a video that fails is named.

    Views of whole frames, whose sizes differ, are replaced by crops of the network's own size.

    Raises
    ------
    UserError
        fewer than `LEAST` videos can be read
    """
    if len(videos) < LEAST:
        raise UserError(f'{videos.name} lists {len(videos)} videos; calibration takes at least {LEAST}')
    protocol = request.protocol
    if protocol.crops not in ('center', 'five'):
        protocol = dataclasses.replace(protocol, crops='center')
    picked = np.unique(np.linspace(0, len(videos) - 1, min(request.clips, len(videos))).round().astype(int))

    def read(job: Tuple[int, int]) -> Any:
        number, index = job
        try:
            with videos.open(int(index)) as reader:
                views, _ = protocol.views(reader, net.input_spec, videos.labels)
                return views[number % len(views)]
        except VideoError as error:
            return error

    pixels: List[np.ndarray] = []
    for result in ordered_map(read, enumerate(picked), workers, prefetch=max(workers, 2)):
        if isinstance(result, VideoError):
            logger.warning('left out: %s', result)
        else:
            pixels.append(result)
    if len(pixels) < LEAST:
        raise UserError(
            f'{videos.name}: {len(pixels)} of {len(picked)} videos can be read; calibration takes at least {LEAST}'
        )
    return Clips(pixels, protocol.shown(net.input_spec))


class Made(NamedTuple):
    """An INT8 form that was made: where it lies, and its facts."""

    folder: Path
    facts: Dict[str, Any]


def quantize(
    net: HybridBlock,
    videos: VideoDataset,
    request: Request,
    workers: int = 2,
    tell: Callable[[str], None] = lambda line: None,
) -> Made:
    """Calibrate a network on videos, choose the layers that stay in float32, and write it beside its weights.

    Parameters
    ----------
    net
        a recognizer with its weights, on the CPU
    videos
        that calibrate; a quarter of them is held back, and tells how well the scores agree
    request
        what is wanted
    workers
        threads that read videos
    tell
        takes a line on each trial

    Raises
    ------
    UserError
        too few videos, a network that cannot be quantized, or an unknown layer
    """
    if net.takes_labels:
        raise UserError(f"{net.name} cannot be quantized: it takes the true labels (select 'oracle')")
    calibrating, held = calibration_clips(net, videos, request, workers).parted()
    folder = store.folder_of(net, request.runtime)
    with segments_as(net, request.protocol):
        quantizer = _QUANTIZERS[request.runtime](net, calibrating)
        for name in request.excluded:
            if name not in quantizer.layers:
                raise unknown(f'layer of {net.name}', name, quantizer.layers)
        float32 = fuse(net)
        reference = _probabilities(net, lambda x: [z.asnumpy() for z in float32(mx.nd.array(x))], held)
        chosen = search(
            quantizer,
            lambda model: _probabilities(net, model.compute, held),
            reference,
            request.target,
            request.excluded,
            net.multi_label,
            tell,
        )
        facts = {
            'network': net.name,
            'runtime': request.runtime,
            'weights': weights_sha256(net),
            'protocol': request.protocol.name,
            'input': store.input_of(net, net.num_segments, calibrating[0].shape),
            'fixed_sizes': list(quantizer.fixed_sizes),
            'float32_bytes': 4 * sum(p.data().size for p in net.collect_params().values()),
            'calibration': {'videos': videos.name, 'clips': len(calibrating), 'held_back': len(held)},
            'layers': len(quantizer.layers),
            'float32_layers': list(chosen.excluded),
            'held_back': chosen.agreement._asdict(),
        }
        return Made(folder, store.save(chosen.model, folder, facts))


def check_free(net: HybridBlock, runtime: str, force: bool) -> None:
    """Refuse to replace a form that is there, unless asked to; raises UserError."""
    folder = store.folder_of(net, runtime)
    if folder.exists() and not force:
        raise UserError(f'{folder} is there already; use --force to replace it')


def note_report(folder: Path, report: Dict[str, Any]) -> Dict[str, Any]:
    """Add what `measure` found to the facts of a form; returns all of them."""
    return store.note(folder, report=report)


def _probabilities(net: HybridBlock, compute: Callable, clips: Clips) -> np.ndarray:
    """(clips, M) probabilities of the prediction."""
    logits = [compute(clip)[0] for clip in clips]
    return net.to_probabilities(mx.nd.array(np.concatenate(logits))).asnumpy()


def measure(
    net: HybridBlock,
    videos: VideoDataset,
    request: Request,
    batch_size: int = 8,
    workers: int = 2,
    progress: bool = False,
) -> Dict[str, Any]:
    """Score labeled videos in float32 and in INT8, as `store.load` finds it: accuracies before and after, agreement.

    Raises
    ------
    UserError
        as `score_dataset` and `store.load`
    """
    before, after = (
        score_dataset(net, videos, request.protocol, None, batch_size, workers, progress=progress, execution=execution)
        for execution in (REFERENCE, Execution(request.runtime, 'int8'))
    )
    return compared(before, after, net.multi_label)


def compared(before: Scores, after: Scores, multi_label: bool = False) -> Dict[str, Any]:
    """Accuracies of two score files of the same videos, and how well they agree."""
    if before.ids != after.ids:
        raise UserError(f'{before.dataset}: some videos could be read in one pass and not in the other; check them')
    alike = agreement(before.branch(), after.branch(), multi_label)
    kept = ('top1', 'top5', 'mAP')
    numbers = [{key: value for key, value in summarize(scores).items() if key in kept} for scores in (before, after)]
    return {
        'videos': len(before.ids),
        'dataset': before.dataset,
        'protocol': before.protocol,
        'before': {'execution': before.execution, **numbers[0]},
        'after': {'execution': after.execution, **numbers[1]},
        'agreement': alike._asdict(),
    }
