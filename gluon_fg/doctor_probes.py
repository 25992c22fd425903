"""What the doctor has to try: libraries are imported and used in a process of their own, since they may end it.

Needs the standard library alone, and is run as a file by the doctor, so that the package itself is tried as well.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Dict, List, NamedTuple, Optional

if TYPE_CHECKING:
    import numpy as np

HERE = Path(__file__).resolve().parent
INSTALL = "run `make setup`, or pip install -c constraints.txt -e '.[cpu]'"
LIBRARIES = ('click', 'omegaconf', 'yaml', 'scipy', 'matplotlib', 'tqdm', 'requests', 'portalocker')
PROBE_SECONDS = 180


class Row(NamedTuple):
    """One line of the report.

    status: 'ok', 'note' (something optional is missing) or 'WRONG'; advice: what to do about it, '' when all is well
    """

    status: str
    name: str
    text: str
    advice: str = ''


def read(path: str) -> str:
    """A system file's text, '' where there is none."""
    try:
        return Path(path).read_text(errors='replace')
    except OSError:
        return ''


def probe_numpy() -> Row:
    """NumPy in the range that MXNet can be imported with."""
    import numpy as np

    minor = tuple(int(part) for part in np.__version__.split('.')[:2])
    if minor < (1, 24):
        return Row('ok', 'numpy', np.__version__)
    status = 'WRONG' if minor >= (2, 0) else 'note'
    return Row(status, 'numpy', np.__version__, 'MXNet 1.9.1 wants NumPy below 1.24; pip install numpy==1.23.5')


def probe_mxnet() -> Row:
    """MXNet imports by our rules; its version and features."""
    importlib.import_module('gluon_fg')  # first: its rules of import apply
    import mxnet as mx
    import numpy as np

    x, w = np.random.rand(1, 2, 3, 4, 4).astype('f'), np.random.rand(5, 2, 3, 4, 4).astype('f')
    y = mx.nd.Convolution(mx.nd.array(x), mx.nd.array(w), kernel=(3, 4, 4), num_filter=5, no_bias=True).asnumpy()
    features = [name for name in mx.runtime.Features() if mx.runtime.Features().is_enabled(name)]
    text = f'{mx.__version__}; {" ".join(name for name in features if not name.startswith("CPU_"))}'
    if not np.allclose(y.ravel(), (x * w).sum((1, 2, 3, 4)), rtol=1e-4):
        return Row('WRONG', 'mxnet', text, f'a small convolution comes out wrong; {INSTALL}')
    if 'MKLDNN' not in features:
        return Row('note', 'mxnet', text, "this build has no oneDNN (MKLDNN), which makes it slow; install the wheel's")
    return Row('ok', 'mxnet', text)


def probe_gpu() -> Optional[Row]:
    """How many GPUs this build of MXNet can use; it computes on the first to be sure."""
    import mxnet as mx

    if not mx.runtime.Features().is_enabled('CUDA'):
        return Row('ok', 'mxnet on gpu', "not in this build; a GPU needs gluon_fg's gpu extra")
    try:
        count = mx.context.num_gpus()
        if count:
            mx.nd.ones((2, 2), ctx=mx.gpu(0)).asnumpy()
    except mx.MXNetError as error:
        return Row(
            'note', 'mxnet on gpu', one_line(error), 'MXNet cannot use the GPU; use the CPU, or see the gpu line'
        )
    return Row('ok', 'mxnet on gpu', f'{count} usable')


def probe_runtimes() -> Row:
    """What computes trained networks besides MXNet: each computes a small model, and the one that `auto` takes."""
    from gluon_fg.deploy import execution

    there = [name for name in execution.ON_PROCESSOR[1:] if execution.installed(name)]
    if not there:
        return Row('ok', 'runtimes', "mxnet; faster ones would need pip install -c constraints.txt -e '.[deploy]'")
    for name in there:
        if not _computes(name):
            return Row('note', 'runtimes', f'{name} computes a small model wrong', 'choose another: --runtime mxnet')
    said = [f'{name} {installed(name)}' for name in (*there, 'onnxruntime-gpu', 'nncf') if installed(name)]
    able = [precision for precision in execution.PRECISIONS if execution.chosen(precision)]
    best = ', '.join(f'{execution.chosen(precision)} in {precision}' for precision in able)
    return Row('ok', 'runtimes', f'{", ".join(said)}; auto: {best}')


def _computes(runtime: str) -> bool:
    import numpy as np
    from onnx import TensorProto, helper

    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ['N', 3])] for name in ('data', 'y')]
    graph = helper.make_graph([helper.make_node('Relu', ['data'], ['y'])], 'relu', *ends)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8).SerializeToString()
    x = np.array([[-1, 0, 2]], 'f')
    opened = importlib.import_module(f'gluon_fg.deploy.runtimes.{runtime}').opened
    return np.array_equal(opened(model, 'float32', 1)((1, 3))(x)[0], np.maximum(x, 0))


def probe_runtime_gpu() -> Optional[Row]:
    """Whether ONNX Runtime can use a GPU, where it is built for one: it computes a small model there."""
    from gluon_fg.deploy import execution

    if not execution.installed('onnxruntime_cuda'):
        return None  # the line of runtimes says so
    from gluon_fg.deploy.runtimes import onnxruntime_cuda

    row, advice = 'onnx on gpu', 'ONNX Runtime cannot use the GPU; mend what the line says, or use the CPU'
    if onnxruntime_cuda.problem():
        return Row('ok', row, "not in this ONNX Runtime; a GPU needs gluon_fg's deploy-gpu extra in its place")
    try:
        said = '' if _computes('onnxruntime_cuda') else 'it computes a small model wrong'
    except ValueError as error:
        said = one_line(error)
    return Row('note', row, said, advice) if said else Row('ok', row, 'usable by --runtime onnxruntime_cuda')


def probe_gluoncv() -> Row:
    """GluonCV imports; its version."""
    from gluon_fg import _runtime

    _runtime.load_gluoncv()
    import gluoncv

    return Row('ok', 'gluoncv', f'{installed("gluoncv") or gluoncv.__version__}')


def probe_opencv() -> Row:
    """OpenCV imports; its version and threads."""
    import cv2
    import numpy as np

    shape = cv2.resize(np.zeros((4, 6, 3), np.uint8), (3, 2)).shape
    return Row('ok' if shape == (2, 3, 3) else 'WRONG', 'opencv', f'{cv2.__version__}, {cv2.getNumThreads()} threads')


def probe_flow() -> Row:
    """Optical flow: OpenCV always has DIS, TV-L1 only in its contrib build, whose files the plain one overwrites."""
    import cv2

    there = installed('opencv-contrib-python')
    if hasattr(getattr(cv2, 'optflow', None), 'DualTVL1OpticalFlow_create'):
        return Row('ok', 'flow', f'DIS and TV-L1 (opencv-contrib-python {there or "built by hand"})')
    if there:
        text = f'DIS; opencv-contrib-python {there} is overwritten by opencv-python'
        mend = f'for TV-L1 flow: pip install --force-reinstall --no-deps opencv-contrib-python=={there}'
        return Row('note', 'flow', text, mend)
    return Row('ok', 'flow', 'DIS; TV-L1 would need pip install -c constraints.txt opencv-contrib-python')


def probe_libraries() -> Row:
    """The other libraries are installed."""
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        return Row('WRONG', 'libraries', f'missing: {", ".join(missing)}', INSTALL)
    versions = [f'{name} {installed("pyyaml" if name == "yaml" else name)}' for name in LIBRARIES]
    return Row('ok', 'libraries', ', '.join(versions))


def write_clip(path: str) -> np.ndarray:
    """A small video, H.264 where there is that encoder, made with PyAV; returns its decoded frames (T, H, W, 3)."""
    import av
    import numpy as np

    codec = 'libx264' if 'libx264' in av.codecs_available else 'mpeg4'
    with av.open(path, 'w') as target:
        stream = target.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for t in range(12):
            image = np.zeros((48, 64, 3), np.uint8)
            image[:, 5 * t : 5 * t + 6] = 255
            target.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        target.mux(stream.encode())
    with av.open(path) as source:
        return np.stack([frame.to_ndarray(format='rgb24') for frame in source.decode(video=0)])


def probe_pyav() -> Row:
    """PyAV decodes a small film made on the spot."""
    import av

    with tempfile.TemporaryDirectory() as folder:
        frames = write_clip(os.path.join(folder, 'clip.mp4'))
    if frames.shape != (12, 48, 64, 3):
        return Row('WRONG', 'pyav', f'{av.__version__}, wrong frames {frames.shape}', f'reinstall it: {INSTALL}')
    return Row('ok', 'pyav', f'{av.__version__}, decodes (no ffmpeg program is needed)')


def probe_decord() -> Row:
    """decord may be used here, and gives the same frames as PyAV."""
    from gluon_fg import _runtime

    if not _runtime.DECORD_SAFE:
        return Row(
            'note', 'decord', 'not used', 'PyAV reads all videos; for decord: pip install decord==0.6.0 (x86-64)'
        )
    import decord
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'clip.mp4')
        expected = write_clip(path)
        frames = decord.VideoReader(path, num_threads=1).get_batch(range(len(expected))).asnumpy()
    if not np.array_equal(frames, expected):
        return Row('note', 'decord', f'{decord.__version__}, other frames than PyAV', 'ask for PyAV: backend pyav')
    return Row('ok', 'decord', f'{decord.__version__}, decodes the same frames as PyAV')


def mxnet_for_gpus() -> bool:
    """Whether this MXNet is its build for CUDA."""
    import mxnet as mx

    return bool(mx.runtime.Features().is_enabled('CUDA'))


def probe_horovod() -> Row:
    """Horovod's build flags, and that the import order works."""
    again = 'one process works; for several: `HOROVOD=1 make setup` (needs cmake and g++)'
    try:
        import horovod
        import horovod.mxnet as hvd
    except ImportError as error:
        return Row('note', 'horovod', one_line(error), again)
    flags = {'gloo': hvd.gloo_built(), 'mpi': hvd.mpi_built(), 'nccl': hvd.nccl_built(), 'cuda': hvd.cuda_built()}
    text = f'{horovod.__version__}; built with mxnet {" ".join(name for name, on in flags.items() if on)}'
    if not (flags['gloo'] or flags['mpi']):
        return Row('note', 'horovod', text, f'it was built with neither Gloo nor MPI; {again}')
    if not flags['nccl'] and mxnet_for_gpus():
        gloo = 'gradients of several GPUs go through host memory (Gloo), slowly; `make gpu-setup` builds it with NCCL'
        return Row('note', 'horovod', f'{text}; without NCCL', gloo)
    launcher = Path(sys.executable).parent / 'horovodrun'
    if not launcher.exists() and not shutil.which('horovodrun'):
        return Row('note', 'horovod', f'{text}; no horovodrun', 'put the folder of horovodrun on PATH')
    return Row('ok', 'horovod', f'{text}; import order mxnet, decord, horovod works')


def probe_weights() -> Row:
    """Which sources of pretrained weights can be reached; nothing big is fetched."""
    importlib.import_module('gluon_fg')
    from gluon_fg.weights import reach
    from gluon_fg.weights.index import index

    entries = list(index().values())
    sources = reach.sources()
    good = [f'{source.name} ({source.has})' for source in sources if not source.wrong]
    text = (
        f'{sum(map(reach.here, entries))} of {len(entries)} published are here; reachable: {", ".join(good) or "none"}'
    )
    away = [f'{source.name} ({source.wrong})' for source in sources if source.wrong]
    if not away:
        return Row('ok', 'weights', text)
    advice = f'not reachable: {", ".join(away)}; `gluon-fg zoo bundle` brings weights from a machine that reaches them'
    return Row('note', 'weights', text, advice)


PROBES: Dict[str, Callable[[], Optional[Row]]] = {
    'numpy': probe_numpy,
    'mxnet': probe_mxnet,
    'mxnet on gpu': probe_gpu,
    'runtimes': probe_runtimes,
    'onnx on gpu': probe_runtime_gpu,
    'gluoncv': probe_gluoncv,
    'opencv': probe_opencv,
    'flow': probe_flow,
    'libraries': probe_libraries,
    'pyav': probe_pyav,
    'decord': probe_decord,
    'horovod': probe_horovod,
    'weights': probe_weights,
}
OPTIONAL = ('mxnet on gpu', 'runtimes', 'onnx on gpu', 'flow', 'decord', 'horovod', 'weights')


def one_line(problem: object) -> str:
    """An exception or a program's output on one line of bearable length."""
    text = ' '.join(str(problem).split())
    return f'{text[:200]}...' if len(text) > 200 else text or type(problem).__name__


def installed(name: str) -> str:
    """Version of an installed distribution, '' when it has none."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ''


def probe_all(results: str, names: List[str]) -> None:
    """Run probes one after the other, each announced and reported as a line of JSON in the file `results`."""
    if sys.path[0] == str(HERE):  # Python puts a script's folder there, but these are not top-level modules
        del sys.path[0]
    sys.path.insert(0, str(HERE.parent))
    with open(results, 'a') as stream:
        for name in names:
            print(json.dumps([name]), file=stream, flush=True)
            try:
                row = PROBES[name]()
            except Exception as error:  # whatever a broken library raises is the finding
                row = Row('note' if name in OPTIONAL else 'WRONG', name, one_line(error), INSTALL)
            print(json.dumps([name, row]), file=stream, flush=True)


def run_probes() -> List[Row]:
    """Run the probes in a process of their own; when one ends it, the rest run in another, without it."""
    names, rows = list(PROBES), []
    while names:
        with tempfile.TemporaryDirectory() as folder:
            results = os.path.join(folder, 'results')
            try:
                code = subprocess.call([sys.executable, __file__, results, *names], timeout=PROBE_SECONDS)
                ended = f'ended with {signal.Signals(-code).name if code < 0 else f"exit code {code}"}'
            except subprocess.TimeoutExpired:
                ended = f'hung for {PROBE_SECONDS} s'
            lines = [json.loads(line) for line in read(results).splitlines()]
        reported = [line for line in lines if len(line) == 2]
        rows += [Row(*row) for _, row in reported if row]
        names = names[len(reported) :]
        if names:
            name = names.pop(0)
            advice = f'trying {name} crashes Python; reinstall it: {INSTALL}'
            rows.append(Row('note' if name in OPTIONAL else 'WRONG', name, ended, advice))
    return rows


if __name__ == '__main__':
    probe_all(sys.argv[1], sys.argv[2:])
