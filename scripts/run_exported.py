"""Say what happens in a film, with a file that `gluon-fg export` wrote: no MXNet, no gluon_fg.

    pip install numpy av onnxruntime        # or openvino
    python run_exported.py i3d_tiny_synthfg_dfb.onnx film.mp4
    python run_exported.py i3d_tiny_synthfg_dfb.xml film.mp4 --runtime openvino --clips 10

The file says what the network takes and what its classes are called. The answers are those of
`gluon-fg predict FILM --protocol CLIPSx1`: clips spread evenly over the film, the center of each frame, the mean of the
clips' probabilities. Copy this file into your own program; it reads from top to bottom.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Callable, Dict, Iterator, List, Tuple

import av
import numpy as np

Run = Callable[[np.ndarray], np.ndarray]


def open_model(path: str, runtime: str, threads: int) -> Tuple[Run, Dict[str, Any]]:
    """Open an exported file: a function from a batch to the logits of the prediction, and what the file says."""
    if runtime == 'openvino':
        import openvino

        core = openvino.Core()
        model = core.read_model(path)
        known = {key: value.astype(str) for key, value in model.get_rt_info(['framework']).astype(dict).items()}
        # By itself it computes in bfloat16 where the processor can, which is faster and less exact
        settings = {'INFERENCE_PRECISION_HINT': 'f32', 'INFERENCE_NUM_THREADS': threads}
        compiled = core.compile_model(model, 'CPU', settings)
        return lambda x: compiled([x])[0], known
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    return lambda x: session.run(None, {'data': x})[0], session.get_modelmeta().custom_metadata_map


def pictures(path: str) -> Iterator[av.VideoFrame]:
    """The frames of a film, in order, as they are stored: a film that is stored turned stays so."""
    with av.open(path) as container:
        container.streams.video[0].thread_type = 'AUTO'
        yield from container.decode(video=0)


def rgb(frame: av.VideoFrame) -> np.ndarray:
    """Red, green and blue, uint8 (H, W, 3), by the frame's own color matrix and range."""
    full, bt601 = int(frame.color_range) == 2, int(frame.colorspace) in (2, 5, 6)
    colors = {}
    if not bt601 or (full and not frame.format.name.startswith('yuvj')):
        # Source and target must differ in their range, or FFmpeg is not told of either
        colors = {'dst_colorspace': 5, 'src_color_range': 2 if full else 1, 'dst_color_range': 1 if full else 2}
    return frame.reformat(format='rgb24', interpolation='BICUBIC', **colors).to_ndarray()


def taken(size: int, new: int) -> Tuple[np.ndarray, ...]:
    """Along one axis: the two positions that each new one lies between, and their weights of 2048."""
    at = (np.arange(new) + 0.5) * (size / new) - 0.5
    first = np.clip(np.floor(at), 0, size - 1).astype(int)
    share = np.where((at < 0) | (first == size - 1), 0, at - first).astype('float32')
    return first, np.minimum(first + 1, size - 1), np.rint((1 - share) * 2048), np.rint(share * 2048)


def resized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture in another size, linear, in whole numbers as OpenCV's INTER_LINEAR has it."""
    if picture.shape[:2] == (height, width):
        return picture
    columns, rows = taken(picture.shape[1], width), taken(picture.shape[0], height)
    left, right, *shares = (each.astype('int32') for each in columns)
    top, bottom, *weights = (each.astype('int32') for each in rows)
    wide = picture[:, left] * shares[0][:, None] + picture[:, right] * shares[1][:, None]
    parts = [(weight[:, None, None] * (wide[row] >> 4)) >> 16 for weight, row in zip(weights, (top, bottom))]
    return ((parts[0] + parts[1] + 2) >> 2).astype('uint8')


def center(picture: np.ndarray, short_side: int, size: int) -> np.ndarray:
    """The square in the middle of a picture whose shorter side is brought to so many pixels."""
    height, width = picture.shape[:2]
    short, long = min(height, width), max(height, width)
    other = (2 * long * short_side + short) // (2 * short)
    height, width = (short_side, other) if height <= width else (other, short_side)
    top, left = (height - size) // 2, (width - size) // 2
    return resized(picture, height, width)[top : top + size, left : left + size]


def numbers(total: int, spec: Dict[str, Any], clips: int) -> np.ndarray:
    """(clips, frames of a clip) numbers of frames, evenly over a film of so many."""
    if spec['layout'] == 'NCHW':  # images: the middle of each of so many equal parts
        parts = spec['segments'] if clips == 1 else clips
        middles = (2 * np.arange(parts) + 1) * total // (2 * parts)
        return middles[None] if clips == 1 else middles[:, None]
    frames = np.arange(spec['frames'])
    if spec['sampling'] == 'spread':
        place = 2 * clips * frames[None] + 2 * np.arange(clips)[:, None] + 1
        return place * total // (2 * clips * spec['frames'])
    last = max(total - 1 - (spec['frames'] - 1) * spec['frame_stride'], 0)
    starts = [last // 2] if clips == 1 else (2 * np.arange(clips) * last + clips - 1) // (2 * (clips - 1))
    wanted = np.asarray(starts)[:, None] + spec['frame_stride'] * frames[None]
    return wanted % total if spec['short'] == 'loop' else np.minimum(wanted, total - 1)


def batches(path: str, spec: Dict[str, Any], clips: int) -> Iterator[np.ndarray]:
    """The clips of a film as the network takes them, one by one: float32, normalized."""
    total = sum(1 for _ in pictures(path))
    chosen = numbers(total, spec, clips)
    kept = set(chosen.ravel().tolist())
    size = spec['short_side'], spec['crop_size']
    shown = {i: center(rgb(frame), *size) for i, frame in enumerate(pictures(path)) if i in kept}
    mean, std = (np.array(spec[key], 'float32') for key in ('mean', 'std'))
    for clip in chosen:
        x = (np.stack([shown[i] for i in clip]) / np.float32(255) - mean) / std  # (frames, H, W, 3)
        x = x.transpose(0, 3, 1, 2) if spec['layout'] == 'NCHW' else x.transpose(3, 0, 1, 2)[None]
        yield np.ascontiguousarray(x, 'float32')


def probabilities(logits: np.ndarray, kind: str) -> np.ndarray:
    """Of the classes, in float64."""
    logits = logits.astype('float64')
    if kind == 'sigmoid':
        return 1 / (1 + np.exp(-logits))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def predict(model: str, film: str, runtime: str = 'onnxruntime', clips: int = 1, threads: int = 0) -> List[float]:
    """The probability of each class, as the mean over the clips; of all of them the file tells the names."""
    run, known = open_model(model, runtime, threads)
    spec = json.loads(known['input'])
    if len(spec['mean']) != 3 or spec['fps']:
        raise SystemExit(f'{model}: this script shows films in color at their own rate; the network takes others')
    if clips > 1 and spec['segments'] > 1:
        raise SystemExit(f'{model} takes {spec["segments"]} frames of a film together; leave out --clips')
    answers = [probabilities(run(x), known['probabilities']) for x in batches(film, spec, clips)]
    return [float(p) for p in np.concatenate(answers).mean(axis=0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('model', help='an .onnx file, or an .xml for openvino')
    parser.add_argument('film')
    parser.add_argument('--runtime', choices=['onnxruntime', 'openvino'], default='onnxruntime')
    parser.add_argument('--clips', type=int, default=1, help='evenly over the film (default: 1, the center)')
    parser.add_argument('--threads', type=int, default=0, help='default: all cores')
    parser.add_argument('--topk', type=int, default=5)
    given = parser.parse_args()
    answers = predict(given.model, given.film, given.runtime, given.clips, given.threads)
    classes = json.loads(open_model(given.model, given.runtime, given.threads)[1]['classes'])
    for i in np.argsort(-np.array(answers), kind='stable')[: given.topk]:
        print(f'{100 * answers[i]:6.2f} %  {classes[i]}')


if __name__ == '__main__':
    sys.exit(main())
