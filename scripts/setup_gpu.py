"""What setup_env.py needs to know besides for GPUs: the CUDA 11 toolkit, NCCL, and how Horovod is built with both.

Needs the standard library alone. Tested with stand-ins for the toolkit and the packages; never run on a machine with a
GPU that MXNet 1.9.1 can use.
"""

import ctypes
import glob
import os
import re
import shutil
import subprocess
from pathlib import Path

CUDA = 11  # of the MXNet build: a toolkit of another major version brings other symbols of the same names
DISK_GB = 13  # CUDA's libraries are 2.8 GB packed; they, MXNet and pip's downloads lie side by side for a while

# What the compilers say of a GPU build -> what to do, as CAUSES of setup_env.py.
CAUSES = (
    (
        r'unsupported GNU version',
        'this g++ is too new for the CUDA toolkit (11.8 takes up to 11); install an older one and name it: '
        'make gpu-setup CXX=g++-11',
    ),
    (r'Could NOT find NCCL', "Horovod's build does not find NCCL; remove .venv and run make gpu-setup again"),
    (
        r'libcuda\.so[.\d]*: cannot open',
        "there is neither the driver's libcuda.so.1 nor the toolkit's stub of it; install the NVIDIA driver",
    ),
)


def toolkit_version(home):
    """Version of the CUDA toolkit in the folder `home`, '11.8' say, as its compiler tells; '' where none runs."""
    try:
        done = subprocess.run(
            [str(Path(home) / 'bin' / 'nvcc'), '--version'],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ''
    match = re.search(r'\brelease (\d+\.\d+)', done.stdout)
    return match.group(1) if match else ''


def toolkit_folders(environ):
    """Where a CUDA toolkit may lie, the likeliest first; where HOROVOD_CUDA_HOME names one, that alone.

    A toolkit of CUDA 11 need not be the first on PATH, where Horovod's own build looks
    (https://github.com/horovod/horovod/issues/2408 is such a mix-up).
    """
    if environ.get('HOROVOD_CUDA_HOME'):
        return [environ['HOROVOD_CUDA_HOME']]
    folders = [environ.get('CUDA_HOME'), environ.get('CUDA_PATH')]
    nvcc = shutil.which('nvcc', path=environ.get('PATH'))
    folders.append(nvcc and str(Path(nvcc).resolve().parent.parent))
    folders += [*sorted(glob.glob('/usr/local/cuda-11*'), reverse=True), '/usr/local/cuda']
    return list(dict.fromkeys(folder for folder in folders if folder))


def find_toolkit(environ):
    """The folder of a CUDA 11 toolkit and '', or '' and one line that says what there is instead and what to do."""
    others = []
    for folder in toolkit_folders(environ):
        version = toolkit_version(folder)
        if version.split('.')[0] == str(CUDA):
            return folder, ''
        if version:
            others.append(f'{version} in {folder}')
    named = environ.get('HOROVOD_CUDA_HOME')
    there = f'the toolkit is {" and ".join(others)}' if others else f'no nvcc runs in {named}/bin' if named else ''
    return '', (
        f'no CUDA {CUDA} toolkit found, which Horovod is compiled with for MXNet 1.9.1{there and f" ({there})"}; '
        f'install CUDA 11.8 beside what is there and name it: make gpu-setup HOROVOD_CUDA_HOME=/usr/local/cuda-11.8'
    )


def packages(venv):
    """The folder `nvidia` of an environment, in which its CUDA libraries lie."""
    return next(iter(sorted(Path(venv).glob('lib/python3.*/site-packages/nvidia'))), Path(venv) / 'nvidia')


def link_nccl(venv):
    """Make `libnccl.so` beside the package's libnccl.so.2, and return NCCL's folder; None where NCCL is missing.

    The package holds the versioned name alone, and CMake's find_library looks for the plain one.
    """
    home = packages(venv) / 'nccl'
    if not (home / 'lib' / 'libnccl.so.2').exists() or not (home / 'include' / 'nccl.h').exists():
        return None
    link = home / 'lib' / 'libnccl.so'
    if not link.exists():
        if link.is_symlink():
            link.unlink()
        link.symlink_to('libnccl.so.2')
    return home


def driver_loads():
    """Whether the NVIDIA driver's library is here, as it is not while a container image is built."""
    try:
        ctypes.CDLL('libcuda.so.1')
    except OSError:
        return False
    return True


def library_path(venv, toolkit, environ):
    """LD_LIBRARY_PATH with which a plain `import mxnet` finds its CUDA libraries, as Horovod's build does it.

    Where there is no driver the toolkit's stub stands in under the driver's name: enough to link and to import.
    """
    folders = [str(folder) for folder in sorted(packages(venv).glob('*/lib'))]
    stub = Path(toolkit) / 'lib64' / 'stubs' / 'libcuda.so'
    if stub.exists() and not driver_loads():
        own = Path(venv) / 'cuda-stub'
        own.mkdir(exist_ok=True)
        link = own / 'libcuda.so.1'
        if link.is_symlink():
            link.unlink()
        link.symlink_to(stub)
        folders.append(str(own))
    return os.pathsep.join([*folders, *filter(None, [environ.get('LD_LIBRARY_PATH')])])


def for_horovod(venv, environ):
    """(flags of Horovod's build over NCCL, variables with which MXNet for CUDA is imported, '') of an environment.

    The last is one line where something is missing, and the others then are empty.
    """
    toolkit, obstacle = find_toolkit(environ)
    nccl = link_nccl(venv)
    if obstacle or nccl is None:
        return {}, {}, obstacle or f'NCCL is not in {venv}; remove it and run make gpu-setup again'
    flags = {
        'HOROVOD_GPU': 'CUDA',
        'HOROVOD_GPU_OPERATIONS': 'NCCL',
        'HOROVOD_NCCL_HOME': str(nccl),
        'HOROVOD_NCCL_LINK': 'SHARED',
        'HOROVOD_CUDA_HOME': str(toolkit),
        'CUDAToolkit_ROOT': str(toolkit),
    }
    return flags, {'LD_LIBRARY_PATH': library_path(venv, toolkit, environ)}, ''
