"""Make .venv with everything the project needs; called by setup_env.sh, with the standard library alone.

A finished environment carries a stamp with a hash of what it was made from, so a later call returns at once. Without a
stamp whatever is in .venv is the rest of an interrupted set-up, and is made anew. HOROVOD=0 leaves Horovod out,
DEPLOY=0 the runtimes besides MXNet, TORCH=0 PyTorch, which `gluon-fg zoo convert` alone needs. GPU=1 (`make gpu-setup`)
takes MXNet's build for CUDA and Horovod over NCCL, GPU=0 the one for CPUs; without it a finished environment stays
what it is.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import setup_gpu

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / '.venv'
STAMP, LOG, HOROVOD_LOG = VENV / 'setup.json', VENV / 'setup.log', VENV / 'horovod-build.log'
PYTHON = VENV / 'bin' / 'python'
THIS_PYTHON = '{}.{}'.format(*sys.version_info)
MADE_FROM = ('setup.py', 'constraints.txt', 'scripts/setup_env.py', 'scripts/setup_gpu.py')
DISK_GB = 4.5  # the environment takes 3, pip's downloads and Horovod's build the rest
BUILD_TOOLS = ('cffi', 'cloudpickle', 'packaging', 'psutil')
# What loads and saves checkpoints with PyTorch; the rest of what it asks for compiles and traces networks.
TORCH = ('torch', 'typing_extensions')
DEPLOY = ('onnx', 'onnxruntime', 'openvino', 'nncf')  # the extra of that name

# What pip says -> what to do. The first that matches is printed after the end of the log.
CAUSES = (
    (r'No space left on device|Disk quota exceeded', f'the disk is full; set-up needs about {DISK_GB} GB in {ROOT}'),
    (
        r'NewConnectionError|name resolution|ConnectTimeout|is unreachable|ProxyError',
        "the package index cannot be reached; check the network or pip's settings (pip config list), then run it again",
    ),
    (
        r'CERTIFICATE_VERIFY_FAILED|SSLError',
        "the index's certificate is not trusted; set PIP_CERT to your certificates",
    ),
    (
        r'No matching distribution found for (\S+)',
        r'no \1 for this system and Python; use Linux and Python 3.8 to 3.11',
    ),
    (r'DO NOT MATCH THE HASHES|BadZipFile', 'a download was damaged; run it again'),
)


class SetupError(Exception):
    """Set-up cannot go on; the text is one line that says why and what to do."""


def fingerprint():
    """Hash of the files an environment is made from."""
    digest = hashlib.sha256()
    for name in MADE_FROM:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def read_stamp():
    """What is known of the finished environment in .venv; {} when there is none, or it no longer starts.

    made_from: the fingerprint; python: '3.11', say; horovod: 'built', 'failed', 'left out', or None while undecided;
    torch, deploy: 'installed' or 'left out'; gpu: whether MXNet is its build for CUDA
    """
    try:
        stamp = json.loads(STAMP.read_text())
        if os.environ.get('PYTHON') and stamp['python'] != THIS_PYTHON:
            return {}  # another Python was asked for by name
        stamp.setdefault('gpu', False)
        if os.environ.get('GPU') in ('0', '1') and stamp['gpu'] != (os.environ['GPU'] == '1'):
            return {}  # the two builds of MXNet cannot share an environment
        return stamp if subprocess.call([str(PYTHON), '-c', '']) == 0 else {}
    except (OSError, ValueError, KeyError):
        return {}


def write_stamp(stamp):
    """Declare the packages installed."""
    temporary = STAMP.with_suffix('.tmp')
    temporary.write_text(json.dumps(stamp))
    os.replace(temporary, STAMP)


def clean_environment(**more):
    """This process's environment without what would send pip or the build elsewhere."""
    drop = ('PYTHONPATH', 'PYTHONHOME', 'PIP_USER', 'PIP_TARGET', 'PIP_PREFIX', 'MAKELEVEL', 'MFLAGS')
    kept = {name: value for name, value in os.environ.items() if name not in drop}
    path = f'{VENV / "bin"}{os.pathsep}{kept.get("PATH", os.defpath)}'
    return {**kept, 'PATH': path, 'PYTHONNOUSERSITE': '1', 'PIP_DISABLE_PIP_VERSION_CHECK': '1', **more}


def pip_install(log, *what, **environment):
    """Run pip with the pinned versions, its output appended to `log`; True when it succeeded."""
    command = [str(PYTHON), '-m', 'pip', 'install', '--no-input', '-c', 'constraints.txt', *what]
    with open(log, 'a') as stream:
        stream.write(f'$ {" ".join(command)}\n')
        stream.flush()
        return (
            subprocess.call(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=clean_environment(**environment),
            )
            == 0
        )


def explain(log):
    """Show the end of `log` and name the likely cause, in one line."""
    text = log.read_text(errors='replace') if log.exists() else ''
    print('\n'.join('    ' + line for line in text.splitlines()[-15:]), file=sys.stderr)
    for pattern, advice in (*setup_gpu.CAUSES, *CAUSES):
        found = re.search(pattern, text)
        if found:
            return found.expand(advice)
    return f'a package could not be installed; see {log}'


def create(gpu):
    """An empty .venv from the Python that runs this."""
    free, needed = shutil.disk_usage(ROOT).free / 1e9, setup_gpu.DISK_GB if gpu else DISK_GB
    if free < needed:
        raise SetupError(f'set-up needs about {needed} GB in {ROOT}, and {free:.1f} GB are free; make room')
    print(f'creating .venv with Python {sys.version.split()[0]}', flush=True)
    if VENV.exists():
        shutil.rmtree(VENV)
    done = subprocess.run(
        [sys.executable, '-m', 'venv', str(VENV)],
        stdout=subprocess.PIPE,  # noqa: UP022
        stderr=subprocess.STDOUT,
        env=clean_environment(),
    )
    if done.returncode:
        said = ' '.join(done.stdout.decode(errors='replace').split())
        raise SetupError(
            f'{sys.executable} cannot make an environment ({said[:200]}); '
            'install its venv module (Debian, Ubuntu: apt-get install python3-venv)'
        )


def install_packages(gpu):
    """Everything but Horovod, and this project as an editable package."""
    print(f'installing packages ({"some 3 GB of CUDA libraries" if gpu else "about a minute"})', flush=True)
    extras = f'.[{"gpu" if gpu else "cpu"},flow,dev]'
    # Our own build tools, not pip's isolated ones: what is built from source is then built the same next year.
    for what in (['pip', 'setuptools', 'wheel'], ['--no-build-isolation', *BUILD_TOOLS, '-e', extras]):
        if not pip_install(LOG, *what):
            raise SetupError(explain(LOG))


def add_deploy():
    """Install the runtimes besides MXNet unless told not to; returns what the stamp keeps."""
    if os.environ.get('DEPLOY') == '0':
        return 'left out'
    print('installing OpenVINO and ONNX Runtime (about a minute)', flush=True)
    if pip_install(LOG, '--no-build-isolation', *DEPLOY):
        return 'installed'
    print(
        f'OpenVINO and ONNX Runtime are left out: pip cannot install them, see {LOG.relative_to(ROOT)}. MXNet computes '
        'then, more slowly; DEPLOY=1 tries again.',
        flush=True,
    )
    return 'left out'


def add_torch():
    """Install PyTorch unless told not to; returns what the stamp keeps.

    constraints.txt asks for the CPU build by its full version, which the common package index does not have: where pip
    is not told of an index that does, nothing is found, and gigabytes of CUDA libraries are never fetched.
    """
    if os.environ.get('TORCH') == '0':
        return 'left out'
    # Without its dependencies: it asks for a newer setuptools than Horovod is built with.
    if pip_install(LOG, '--no-deps', *TORCH):
        return 'installed'
    print(
        'PyTorch is left out: pip finds no CPU build of it. Only scripts/convert.py needs one: see CONTRIBUTING.md, '
        '"PyTorch"; TORCH=1 tries again.',
        flush=True,
    )
    return 'left out'


OPTIONAL = {'deploy': add_deploy, 'torch': add_torch}


def horovod_obstacle():
    """What keeps Horovod from being built here, with the remedy; '' when nothing does."""
    missing = [
        name
        for name, program in (('CMake', 'cmake'), ('g++', os.environ.get('CXX', 'g++')), ('make', 'make'))
        if not shutil.which(program)
    ]
    if missing:
        return f'{" and ".join(missing)} not found; install (Debian, Ubuntu: apt-get install cmake g++ make)'
    said = subprocess.run(['cmake', '--version'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    found = re.search(r'version (\d+)\.(\d+)', said)
    if not found or tuple(map(int, found.groups())) < (3, 13):
        return f'CMake is {found.group(0) if found else "unable to start"}; install 3.13 or newer'
    return ''


def horovod_works(gpu, **environment):
    """Whether Horovod in .venv loads beside this MXNet and can run several processes without MPI, on GPUs over NCCL."""
    code = 'import mxnet, horovod.mxnet as hvd; assert hvd.gloo_built()'
    if gpu:
        code += ', "no Gloo"; assert hvd.nccl_built(), "Horovod was built without NCCL"'
    env = clean_environment(**environment)
    with open(HOROVOD_LOG, 'a') as stream:
        return subprocess.call([str(PYTHON), '-c', code], stdout=stream, stderr=stream, env=env) == 0


def build_horovod(gpu=False):
    """Build Horovod against the MXNet in .venv, on GPUs with NCCL; True when it works in the end."""
    HOROVOD_LOG.write_text('')
    for_gpus, loading, obstacle = setup_gpu.for_horovod(VENV, os.environ) if gpu else ({}, {}, '')
    if obstacle:
        raise SetupError(obstacle)
    if horovod_works(gpu, **loading):  # kept from before, when only the other packages changed
        return True
    print('building Horovod (about two minutes)', flush=True)
    flags = {
        'HOROVOD_WITH_MXNET': '1',
        'HOROVOD_WITH_GLOO': '1',
        'HOROVOD_WITHOUT_MPI': '1',
        'HOROVOD_WITHOUT_TENSORFLOW': '1',
        'HOROVOD_WITHOUT_PYTORCH': '1',
        'MAKEFLAGS': f'-j{os.cpu_count() or 1}',
        **for_gpus,
        **loading,
        # Horovod carries an old gloo: CMake 4 and GCC 13 would stop at it without these two.
        'CMAKE_POLICY_VERSION_MINIMUM': '3.5',
        'CXXFLAGS': f'{os.environ.get("CXXFLAGS", "")} -include cstdint'.strip(),
    }
    # A wheel that pip kept from an earlier build may be for another MXNet: it is tried, and built afresh if it fails.
    for more in ([], ['--no-cache-dir', '--force-reinstall']):
        built = pip_install(HOROVOD_LOG, '--no-build-isolation', '--no-deps', *more, 'horovod', **flags)
        if built and horovod_works(gpu, **loading):
            return True
        if 'Building wheel' in HOROVOD_LOG.read_text(errors='replace'):
            break  # it was built just now, the second time would end alike
    subprocess.call(
        [str(PYTHON), '-m', 'pip', 'uninstall', '-y', '-q', 'horovod'],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environment(),
    )
    return False


def add_horovod(before, gpu=False):
    """Build Horovod unless told not to. Returns what the stamp keeps; `before` is what it kept last time, or None.

    Raises SetupError where an environment for GPUs is asked for by name and Horovod cannot be built for them.
    """
    if os.environ.get('HOROVOD') == '0':
        return 'left out'
    asked = os.environ.get('GPU') == '1'
    if before != 'failed' or asked or os.environ.get('HOROVOD') == '1':
        obstacle = horovod_obstacle() or (setup_gpu.find_toolkit(os.environ)[1] if gpu else '')
        if obstacle:
            print(f'Horovod is left out: {obstacle}. Everything still runs in one process.', flush=True)
            return 'left out'
        if build_horovod(gpu):
            return 'built'
        if asked:
            raise SetupError(f'Horovod with NCCL could not be built: {explain(HOROVOD_LOG)}')
    print(
        f'Horovod could not be built, see {HOROVOD_LOG.relative_to(ROOT)}; HOROVOD=1 tries again. '
        'Everything still runs in one process.',
        flush=True,
    )
    return 'failed'


def set_up():
    """Bring .venv to what the files ask for, doing only what is missing."""
    wanted, stamp, started = fingerprint(), read_stamp(), time.time()
    current = stamp.get('made_from') == wanted
    gpu = stamp.get('gpu', os.environ.get('GPU') == '1')
    if os.environ.get('GPU') == '1' and os.environ.get('HOROVOD') != '0' and stamp.get('horovod') != 'built':
        obstacle = horovod_obstacle() or setup_gpu.find_toolkit(os.environ)[1]
        if obstacle:  # said before gigabytes are fetched
            raise SetupError(f'{obstacle}; one GPU does without: make gpu-setup HOROVOD=0')
    if not current:
        if STAMP.exists():
            STAMP.unlink()  # from here on .venv counts as half made
        if not stamp:
            create(gpu)
        install_packages(gpu)
        stamp = {'made_from': wanted, 'python': stamp.get('python', THIS_PYTHON), 'horovod': None, 'gpu': gpu}
        stamp.update((name, add()) for name, add in OPTIONAL.items())
        write_stamp(stamp)
    else:
        for name, add in OPTIONAL.items():
            if stamp[name] != 'installed' and os.environ.get(name.upper()) == '1':
                stamp = {**stamp, name: add()}
                write_stamp(stamp)
    if stamp['horovod'] != 'built':
        horovod = add_horovod(stamp['horovod'], gpu)
        if horovod != stamp['horovod']:
            write_stamp({**stamp, 'horovod': horovod})
    if not current:
        print(f'.venv is ready ({time.time() - started:.0f} s)', flush=True)


@contextlib.contextmanager
def alone():
    """One set-up of this folder at a time: of two `make` at once the second waits, and then finds the work done."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print('waiting for another set-up of this folder to end', flush=True)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def main():
    """Set up; 0 when .venv is ready, 2 and one line on stderr when it cannot be, 130 when interrupted."""
    try:
        with alone():
            set_up()
    except SetupError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, a folder that cannot be written
        print(f'error: set-up stopped: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted; the next call takes it up again', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
