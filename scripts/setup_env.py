"""Make .venv with everything the project needs; called by setup_env.sh, with the standard library alone.

A finished environment carries a stamp with a hash of what it was made from, so a later call returns at once. Without a stamp
whatever is in .venv is the rest of an interrupted set-up, and is made anew. HOROVOD=0 in the environment leaves Horovod out.
"""

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

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / '.venv'
STAMP, LOG, HOROVOD_LOG = VENV / 'setup.json', VENV / 'setup.log', VENV / 'horovod-build.log'
PYTHON = VENV / 'bin' / 'python'
MADE_FROM = ('setup.py', 'constraints.txt', 'scripts/setup_env.py')
DISK_GB = 2.5                                            # the environment takes 1.2, pip's downloads and builds the rest
BUILD_TOOLS = ('cffi', 'cloudpickle', 'packaging', 'psutil')

# What pip says -> what to do. The first that matches is printed after the end of the log.
CAUSES = (
    (r'No space left on device|Disk quota exceeded', f'the disk is full; set-up needs about {DISK_GB} GB in {ROOT}'),
    (r'Failed to establish a new connection|NewConnectionError|name resolution|ConnectTimeout|Network is unreachable|ProxyError',
     'the package index cannot be reached; check the network or pip\'s own settings (pip config list), then run it again'),
    (r'CERTIFICATE_VERIFY_FAILED|SSLError', 'the package index\'s certificate is not trusted; set PIP_CERT to your certificates'),
    (r'No matching distribution found for (\S+)', r'there is no \1 for this system and Python; use Linux and Python 3.8 to 3.11'),
    (r'THESE PACKAGES DO NOT MATCH THE HASHES', 'a download was damaged; run it again'),
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
    """What the finished environment in .venv was made from; {} when there is none, or it no longer starts."""
    try:
        stamp = json.loads(STAMP.read_text())
        wanted = '{}.{}'.format(*sys.version_info)
        if os.environ.get('PYTHON') and stamp['python'] != wanted:
            return {}                                    # another Python was asked for by name
        return stamp if subprocess.call([str(PYTHON), '-c', '']) == 0 else {}
    except (OSError, ValueError, KeyError):
        return {}


def write_stamp(horovod):
    """Declare the environment finished."""
    stamp = {'made_from': fingerprint(), 'python': '{}.{}'.format(*sys.version_info), 'horovod': horovod}
    temporary = STAMP.with_suffix('.tmp')
    temporary.write_text(json.dumps(stamp))
    os.replace(temporary, STAMP)


def clean_environment(**more):
    """This process's environment without what would send pip or the build elsewhere."""
    drop = ('PYTHONPATH', 'PYTHONHOME', 'PIP_USER', 'PIP_TARGET', 'PIP_PREFIX', 'MAKELEVEL', 'MFLAGS', '__PYVENV_LAUNCHER__')
    kept = {name: value for name, value in os.environ.items() if name not in drop}
    path = f'{VENV / "bin"}{os.pathsep}{kept.get("PATH", os.defpath)}'
    return {**kept, 'PATH': path, 'PYTHONNOUSERSITE': '1', 'PIP_DISABLE_PIP_VERSION_CHECK': '1', **more}


def pip_install(log, *what, **environment):
    """Run pip with the pinned versions, its output appended to `log`; True when it succeeded."""
    command = [str(PYTHON), '-m', 'pip', 'install', '--no-input', '-c', 'constraints.txt', *what]
    with open(log, 'a') as stream:
        stream.write(f'$ {" ".join(command)}\n')
        stream.flush()
        return subprocess.call(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
                               env=clean_environment(**environment)) == 0


def explain(log):
    """Show the end of `log` and name the likely cause, in one line."""
    text = log.read_text(errors='replace') if log.exists() else ''
    print('\n'.join('    ' + line for line in text.splitlines()[-15:]), file=sys.stderr)
    for pattern, advice in CAUSES:
        found = re.search(pattern, text)
        if found:
            return found.expand(advice)
    return f'a package could not be installed; see {log}'


def create():
    """An empty .venv from the Python that runs this."""
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < DISK_GB:
        raise SetupError(f'set-up needs about {DISK_GB} GB in {ROOT}, and {free:.1f} GB are free; make room')
    print(f'creating .venv with Python {sys.version.split()[0]}', flush=True)
    if VENV.exists():
        shutil.rmtree(VENV)
    done = subprocess.run([sys.executable, '-m', 'venv', str(VENV)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_environment())
    if done.returncode:
        lines = done.stdout.decode(errors='replace').split('\n')
        raise SetupError(f'{sys.executable} cannot make an environment ({" ".join(" ".join(lines).split())[:200]}); '
                         'install its venv module (Debian, Ubuntu: apt-get install python3-venv)')


def install_packages():
    """Everything but Horovod, and this project as an editable package."""
    print('installing packages (about a minute)', flush=True)
    # Our own build tools, not pip's isolated ones: what is built from source is then built the same next year.
    for what in (['pip', 'setuptools', 'wheel'], ['--no-build-isolation', *BUILD_TOOLS, '-e', '.[cpu,dev]']):
        if not pip_install(LOG, *what):
            raise SetupError(explain(LOG))


def horovod_obstacle():
    """What keeps Horovod from being built here, with the remedy; '' when nothing does."""
    missing = [name for name, program in (('CMake', 'cmake'), ('g++', os.environ.get('CXX', 'g++')), ('make', 'make'))
               if not shutil.which(program)]
    if missing:
        return f'{" and ".join(missing)} not found; install (Debian, Ubuntu: apt-get install cmake g++ make)'
    version = subprocess.run(['cmake', '--version'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True).stdout
    found = re.search(r'version (\d+)\.(\d+)', version)
    if not found or tuple(map(int, found.groups())) < (3, 13):
        return f'CMake 3.13 or newer is needed, not {found.group(0) if found else "one that does not start"}; install a newer one'
    return ''


def horovod_works():
    """Whether Horovod in .venv loads beside this MXNet and can run several processes without MPI."""
    code = 'import mxnet, horovod.mxnet as hvd; assert hvd.gloo_built()'
    with open(HOROVOD_LOG, 'a') as stream:
        return subprocess.call([str(PYTHON), '-c', code], stdout=stream, stderr=stream, env=clean_environment()) == 0


def build_horovod():
    """Build Horovod against the MXNet in .venv. Returns what the stamp keeps: 'built', or 'failed'."""
    print('building Horovod (about two minutes)', flush=True)
    HOROVOD_LOG.write_text('')
    flags = {
        'HOROVOD_WITH_MXNET': '1', 'HOROVOD_WITH_GLOO': '1', 'HOROVOD_WITHOUT_MPI': '1', 'HOROVOD_WITHOUT_TENSORFLOW': '1',
        'HOROVOD_WITHOUT_PYTORCH': '1',
        'MAKEFLAGS': f'-j{os.cpu_count() or 1}',
        'CMAKE_POLICY_VERSION_MINIMUM': '3.5',           # CMake 4 refuses the age of the gloo that Horovod carries without this
        'CXXFLAGS': f'{os.environ.get("CXXFLAGS", "")} -include cstdint'.strip(),    # so does GCC 13, which includes less by itself
    }
    # A wheel that pip kept from an earlier build may be for another MXNet or other flags: so it is tried, then built afresh.
    for more in ([], ['--no-cache-dir', '--force-reinstall']):
        if pip_install(HOROVOD_LOG, '--no-build-isolation', '--no-deps', *more, 'horovod', **flags) and horovod_works():
            return 'built'
        if 'Building wheel' in HOROVOD_LOG.read_text(errors='replace'):
            break                                        # it was built just now, the second time would end alike
    subprocess.call([str(PYTHON), '-m', 'pip', 'uninstall', '-y', '-q', 'horovod'], stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL, env=clean_environment())
    return 'failed'


def set_up():
    """Bring .venv to what the files ask for, doing only what is missing."""
    stamp = read_stamp()
    current = stamp.get('made_from') == fingerprint()
    horovod = stamp.get('horovod') if current else None
    if current and (horovod == 'built' or os.environ.get('HOROVOD') == '0'):
        return
    started = time.time()
    if STAMP.exists():
        STAMP.unlink()                                   # from here to the end .venv counts as half made
    if not stamp:
        create()
    if not current:
        install_packages()
        horovod = None
    if os.environ.get('HOROVOD') == '0':
        horovod = 'left out'
    elif horovod != 'failed' or os.environ.get('HOROVOD') == '1':
        obstacle = horovod_obstacle()
        horovod = build_horovod() if not obstacle else 'left out'
        if obstacle:
            print(f'Horovod is left out: {obstacle}. Everything still runs in one process.', flush=True)
    if horovod == 'failed':
        print(f'Horovod could not be built, see {HOROVOD_LOG.relative_to(ROOT)}; HOROVOD=1 tries again. '
              'Everything still runs in one process.', flush=True)
    write_stamp(horovod)
    if time.time() - started > 5:
        print(f'.venv is ready ({time.time() - started:.0f} s)', flush=True)


def main():
    root = os.open(ROOT, os.O_RDONLY)                    # two `make` at once: the second waits, then finds it done
    try:
        fcntl.flock(root, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print('waiting for another set-up of this folder to end', flush=True)
        fcntl.flock(root, fcntl.LOCK_EX)
    try:
        set_up()
    except SetupError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except OSError as error:                             # a full disk, a folder that cannot be written
        print(f'error: set-up stopped: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted; the next call begins anew', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
