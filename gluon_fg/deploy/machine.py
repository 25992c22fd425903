"""Facts about the machine that a measurement belongs to: processor, instruction sets, cores, memory, versions."""

from __future__ import annotations

import os
import platform
import re
import time
from importlib import metadata
from typing import Any, Dict, Optional, Tuple

# What oneDNN, OpenVINO and ONNX Runtime choose their kernels by.
_FEATURES = (
    'avx2',
    'avx_vnni',
    'avx512f',
    'avx512_vnni',
    'avx512_bf16',
    'amx_bf16',
    'amx_int8',
    'asimd',
    'bf16',
    'i8mm',
    'sve',
)
_RUNTIMES = ('onnx', 'onnxruntime', 'onnxruntime-gpu', 'openvino', 'nncf')
_PACKAGES = ('gluon_fg', 'mxnet', 'gluoncv', 'numpy', 'torch', *_RUNTIMES)


def facts() -> Dict[str, Any]:
    """Describe this machine, as plain values for JSON.

    Returns
    -------
    dict
        'processor', 'features' (its instruction sets that matter here), 'cores' (that this process may use),
        'memory_gb' (10**9 bytes; None: unknown), 'system', 'python', 'packages' (name -> version of those installed),
        'time' (UTC)
    """
    model, features = processor()
    return {
        'processor': model,
        'features': [name for name in _FEATURES if name in features],
        'cores': cores(),
        'memory_gb': _memory(),
        'system': f'{platform.system()} {platform.machine()}',
        'python': platform.python_version(),
        'packages': {name: version for name in _PACKAGES for version in [_version(name)] if version},
        'time': time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime()),
    }


def describe(known: Dict[str, Any]) -> str:
    """`facts` as two lines."""
    memory = f', {known["memory_gb"]:.0f} GB' if known['memory_gb'] else ''
    packages = ', '.join(f'{name} {version}' for name, version in known['packages'].items())
    return (
        f'{known["processor"]}, {known["cores"]:g} cores{memory}; {" ".join(known["features"])}\n'
        f'Python {known["python"]}, {packages}'
    )


def cores() -> float:
    """How many cores this process may use: those it is bound to, and no more than a container's share."""
    affinity = getattr(os, 'sched_getaffinity', None)
    count = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    try:
        with open('/sys/fs/cgroup/cpu.max', encoding='ascii') as stream:
            quota = re.match(r'(\d+) (\d+)', stream.read())
    except OSError:
        quota = None
    return min(count, int(quota.group(1)) / int(quota.group(2))) if quota else count


def processor() -> Tuple[str, frozenset]:
    """The processor's name and all its flags; of a system that does not tell, no flags."""
    try:
        with open('/proc/cpuinfo', encoding='utf-8', errors='replace') as stream:
            text = stream.read()
    except OSError:
        text = ''
    model = re.search(r'^model name\s*:\s*(.*)$', text, re.M)
    flags = re.search(r'^(?:flags|Features)\s*:(.*)$', text, re.M)
    name = model.group(1) if model else platform.processor() or platform.machine()
    return name, frozenset(flags.group(1).split() if flags else ())


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself."""
    return not processor()[1].isdisjoint({'avx512_bf16', 'amx_bf16', 'bf16'})


def _version(package: str) -> Optional[str]:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _memory() -> Optional[float]:
    try:
        return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9
    except (AttributeError, ValueError, OSError):
        return None
