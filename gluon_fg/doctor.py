"""What this machine can do for gluon_fg, and one line for each thing that is wrong: `python -m gluon_fg.doctor`.

Starts where nothing else does: it needs the standard library alone, and what may crash is tried in a process of its
own, step by step, so that the step that ended it is named. `python gluon_fg/doctor.py` is the same. Exit code 0 when
all essential parts work, 2 otherwise. Horovod, a GPU and decord are not essential.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional

HERE = Path(__file__).resolve().parent
INSTALL = "run `make setup`, or pip install -c constraints.txt -e '.[cpu]'"
LIBRARIES = ('omegaconf', 'yaml', 'scipy', 'matplotlib', 'tqdm', 'tensorboardX', 'requests', 'portalocker')
PROBE_SECONDS = 180

# Flags of /proc/cpuinfo -> what speeds up oneDNN. In its int8 and bfloat16 paths VNNI, BF16 and AMX matter most.
INSTRUCTIONS = {
    'avx2': 'AVX2',
    'avx512f': 'AVX-512',
    'avx512_vnni': 'VNNI',
    'avx_vnni': 'VNNI',
    'avx512_bf16': 'BF16',
    'amx_int8': 'AMX',
    'asimd': 'NEON',
    'sve': 'SVE',
}


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


# What the standard library can tell ------------------------------------------------------------------------------


def check_python() -> Row:
    """The interpreter: 3.8 to 3.11, which NumPy 1.23 and MXNet 1.9.1 need."""
    text = f'{platform.python_version()}, {sys.executable}'
    if (3, 8) <= sys.version_info[:2] <= (3, 11):
        return Row('ok', 'python', text)
    advice = 'MXNet 1.9.1 needs Python 3.8 to 3.11; `make setup` takes one that it finds, or has uv make one'
    return Row('WRONG', 'python', text, advice)


def check_system() -> Row:
    """Kernel, machine and C library."""
    libc = ' '.join(platform.libc_ver()).strip()
    return Row('ok', 'system', f'{platform.system()} {platform.release()} {platform.machine()}{libc and ", " + libc}')


def instructions(cpuinfo: str) -> List[str]:
    """Names of the instruction sets that a /proc/cpuinfo text lists and oneDNN uses."""
    found = re.search(r'^(?:flags|Features)\s*:(.*)$', cpuinfo, re.M)
    flags = set(found.group(1).split()) if found else set()
    return list(dict.fromkeys(name for flag, name in INSTRUCTIONS.items() if flag in flags))


def check_cpu() -> Row:
    """Processor, cores, and the instruction sets that oneDNN uses."""
    cpuinfo = read('/proc/cpuinfo')
    model = re.search(r'^model name\s*:\s*(.*)$', cpuinfo, re.M)
    affinity = getattr(os, 'sched_getaffinity', None)
    cores = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    quota = re.match(r'(\d+) (\d+)', read('/sys/fs/cgroup/cpu.max'))  # a container's share
    if quota:
        cores = min(cores, int(quota.group(1)) / int(quota.group(2)))
    sets = instructions(cpuinfo)
    text = f'{model.group(1) if model else platform.processor() or platform.machine()}, {cores:g} cores'
    if platform.machine() in ('x86_64', 'AMD64') and cpuinfo and 'AVX2' not in sets:
        return Row('note', 'cpu', f'{text}; no AVX2', 'oneDNN is slow without AVX2; use a newer CPU to train')
    return Row('ok', 'cpu', f'{text}; {" ".join(sets) or "instruction set unknown"}')


def check_memory() -> Row:
    """Memory, and free disk in the current folder."""
    try:
        size = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    except (AttributeError, ValueError, OSError):
        return Row('ok', 'memory', 'unknown')
    limit = read('/sys/fs/cgroup/memory.max').strip()
    size = min(size, int(limit)) if limit.isdigit() else size
    disk = shutil.disk_usage(os.getcwd()).free
    return Row('ok', 'memory', f'{size / 1e9:.1f} GB; {disk / 1e9:.0f} GB of disk free here')


def capability_problem(capability: str) -> str:
    """Why MXNet's CUDA build cannot run on a GPU of this compute capability ('8.6'); '' when it can.

    The build holds machine code for sm_50, sm_60, sm_70, sm_80 and sm_86 and no PTX to compile for others.
    """
    match = re.match(r'(\d+)\.(\d+)$', capability)
    if not match:
        return ''
    if 5 <= int(match.group(1)) <= 8:  # code runs on GPUs of its own major version, from its minor version on
        return ''
    return f'compute capability {capability}, and MXNet 1.9.1 holds code for 5.0 to 8.9 alone'


def check_gpus(command: str = 'nvidia-smi') -> List[Row]:
    """One row a GPU, from the driver's own program."""
    query = [command, '--query-gpu=name,compute_cap,memory.total,driver_version', '--format=csv,noheader']
    try:
        done = subprocess.run(query, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    except FileNotFoundError:
        return [Row('ok', 'gpu', 'none (there is no nvidia-smi)')]
    except (OSError, subprocess.TimeoutExpired) as error:
        return [Row('note', 'gpu', one_line(error), 'nvidia-smi does not run; repair the NVIDIA driver to use a GPU')]
    if done.returncode:
        return [Row('note', 'gpu', one_line(done.stdout), 'nvidia-smi fails; repair or update the NVIDIA driver')]
    rows = []
    for line in done.stdout.strip().splitlines():
        name, capability, memory, driver = (re.split(r'\s*,\s*', line.strip()) + ['?'] * 4)[:4]
        problem = capability_problem(capability)
        text = f'{name}, compute capability {capability}, {memory}, driver {driver}'
        rows.append(
            Row('note' if problem else 'ok', 'gpu', text, problem and f'it cannot run here ({problem}); use the CPU')
        )
    return rows


# What has to be tried: these run in a process of their own, in this order -------------------------------------------


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


def probe_libraries() -> Row:
    """The other libraries are installed."""
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        return Row('WRONG', 'libraries', f'missing: {", ".join(missing)}', INSTALL)
    versions = [f'{name} {installed("pyyaml" if name == "yaml" else name)}' for name in LIBRARIES]
    return Row('ok', 'libraries', ', '.join(versions))


def write_clip(path: str):
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
    launcher = Path(sys.executable).parent / 'horovodrun'
    if not launcher.exists() and not shutil.which('horovodrun'):
        return Row('note', 'horovod', f'{text}; no horovodrun', 'put the folder of horovodrun on PATH')
    return Row('ok', 'horovod', f'{text}; import order mxnet, decord, horovod works')


PROBES: Dict[str, Callable[[], Optional[Row]]] = {
    'numpy': probe_numpy,
    'mxnet': probe_mxnet,
    'mxnet on gpu': probe_gpu,
    'gluoncv': probe_gluoncv,
    'opencv': probe_opencv,
    'libraries': probe_libraries,
    'pyav': probe_pyav,
    'decord': probe_decord,
    'horovod': probe_horovod,
}
OPTIONAL = ('mxnet on gpu', 'decord', 'horovod')


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
                code = subprocess.call([sys.executable, __file__, '--probe', results, *names], timeout=PROBE_SECONDS)
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


# The report --------------------------------------------------------------------------------------------------------


def check_pins() -> List[Row]:
    """Differences from the versions this was tested with, where the file that pins them is at hand."""
    pins = re.findall(r'^([\w.-]+)==(\S+)$', read(str(HERE.parent / 'constraints.txt')), re.M)
    if not pins:
        return []
    other = [f'{name} {installed(name)}, not {pin}' for name, pin in pins if installed(name) not in ('', pin)]
    more = f'; and {len(other) - 4} more' if len(other) > 4 else ''
    return [
        Row('ok', 'versions', f'other than tested: {"; ".join(other[:4])}{more}' if other else 'those that were tested')
    ]


def main() -> int:
    """Print the table; 0 when all essential parts work, 2 otherwise."""
    version = re.search(r"__version__ = '(.+)'", read(str(HERE / '__init__.py')))
    print(f'gluon_fg {version.group(1) if version else "?"}: what this machine can do\n', flush=True)
    rows = [check_python(), check_system(), check_cpu(), check_memory(), *check_gpus(), *run_probes(), *check_pins()]
    for row in rows:
        print(f'  {row.status:<6}{row.name:<14}{row.text}')
    print()
    faults = dict.fromkeys((row.status, row.advice) for row in rows if row.advice)
    for fault in faults:  # what has the same remedy stands on the same line
        names = dict.fromkeys(row.name for row in rows if (row.status, row.advice) == fault)
        print(f'{fault[0]}: {", ".join(names)}: {fault[1]}')
    wrong = any(row.status == 'WRONG' for row in rows)
    print(
        'gluon_fg cannot work here until the lines marked WRONG are mended.' if wrong else 'All essential parts work.'
    )
    return 2 if wrong else 0


if __name__ == '__main__':
    if sys.argv[1:2] == ['--probe']:
        sys.exit(probe_all(sys.argv[2], sys.argv[3:]))
    sys.exit(main())
