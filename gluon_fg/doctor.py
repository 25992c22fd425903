"""What this machine can do for gluon_fg, and one line for each thing that is wrong: `python -m gluon_fg.doctor`.

Starts where nothing else does: it needs the standard library alone, and what may crash is tried in a process of its
own, step by step, so that the step that ended it is named. `python gluon_fg/doctor.py` is the same. Exit code 0 when
all essential parts work, 2 otherwise. Horovod, a GPU, decord and
sources of weights are not essential.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, List

if TYPE_CHECKING or __package__:
    from .doctor_probes import HERE, Row, installed, one_line, read, run_probes
else:  # `python gluon_fg/doctor.py`, which does not import the package
    from doctor_probes import HERE, Row, installed, one_line, read, run_probes

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
    match = re.search(r'^(?:flags|Features)\s*:(.*)$', cpuinfo, re.M)
    flags = set(match.group(1).split()) if match else set()
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
    size = min(size, int(limit)) if limit.isdecimal() else size
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
    rows, other = [], 'use the CPU, or to predict --runtime onnxruntime_cuda'
    for line in done.stdout.strip().splitlines():
        name, capability, memory, driver = (re.split(r'\s*,\s*', line.strip()) + ['?'] * 4)[:4]
        problem = capability_problem(capability)
        text = f'{name}, compute capability {capability}, {memory}, driver {driver}'
        rows.append(
            Row('note' if problem else 'ok', 'gpu', text, problem and f'MXNet cannot use it ({problem}); {other}')
        )
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
    sys.exit(main())
