"""Set-up for GPUs and the images, with stand-ins for CUDA, NCCL and .venv's Python: nothing is fetched or built."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]

# Makes NCCL's package on installing the gpu extra, notes the variables of Horovod's build, and has what `has` says.
PYTHON = """#!/bin/sh
[ "$*" = "-c " ] && exit 0
cd "$(dirname "$0")/../.." || exit 9
echo "$*" >>calls
case "$*" in
    *uninstall*) rm -f built ;;
    *-e\\ .\\[gpu*) mkdir -p $NCCL/lib $NCCL/include && : >$NCCL/lib/libnccl.so.2 && : >$NCCL/include/nccl.h ;;
    *install*horovod) [ -f fails ] && cat fails && exit 1; env >variables; : >built ;;
    *nccl_built*) [ -f built ] && [ ! -f without-nccl ] && echo "$LD_LIBRARY_PATH" >loaded ;;
    *hvd*) [ -f built ] ;;
esac
"""
NCCL = '.venv/lib/python3.11/site-packages/nvidia/nccl'


@pytest.fixture
def toolkit(tmp_path):
    """Make a stand-in CUDA toolkit of a version; returns its folder."""

    def made(version):
        home = tmp_path / f'cuda-{version}'
        (home / 'bin').mkdir(parents=True)
        (home / 'lib64' / 'stubs').mkdir(parents=True)
        (home / 'lib64' / 'stubs' / 'libcuda.so').touch()
        nvcc = home / 'bin' / 'nvcc'
        nvcc.write_text(f'#!/bin/sh\necho "Cuda compilation tools, release {version}, V{version}.89"\n')
        nvcc.chmod(0o755)
        return str(home)

    return made


@pytest.fixture
def project(tmp_path, monkeypatch):
    """`setup_env` of a copy of the project in which environments are stand-ins and no other toolkit is in sight."""
    root = tmp_path / 'project'
    (root / 'scripts').mkdir(parents=True)
    for name in ('setup.py', 'constraints.txt', 'scripts/setup_env.py', 'scripts/setup_gpu.py'):
        shutil.copy(REPO / name, root / name)
    monkeypatch.syspath_prepend(str(root / 'scripts'))
    modules = []
    for name in ('setup_gpu', 'setup_env'):
        spec = importlib.util.spec_from_file_location(name, root / 'scripts' / f'{name}.py')
        modules.append(importlib.util.module_from_spec(spec))
        monkeypatch.setitem(sys.modules, name, modules[-1])
        spec.loader.exec_module(modules[-1])
    gpu, env = modules
    run = subprocess.run

    def venv(command, **options):
        if command[1:3] != ['-m', 'venv']:
            return run(command, **options)
        (root / '.venv' / 'bin').mkdir(parents=True)
        env.PYTHON.write_text(PYTHON.replace('$NCCL', NCCL))
        env.PYTHON.chmod(0o755)
        with (root / 'calls').open('a') as stream:
            stream.write('venv\n')
        return subprocess.CompletedProcess(command, 0, b'')

    monkeypatch.setattr(env.subprocess, 'run', venv)
    monkeypatch.setattr(env, 'horovod_obstacle', lambda: '')
    monkeypatch.setattr(gpu.glob, 'glob', lambda pattern: [])
    monkeypatch.setattr(gpu, 'driver_loads', lambda: False)
    real = gpu.toolkit_folders
    monkeypatch.setattr(gpu, 'toolkit_folders', lambda e: [f for f in real(e) if f.startswith(str(tmp_path))])
    for name in ('PYTHON', 'HOROVOD', 'HOROVOD_CUDA_HOME', 'CUDA_HOME', 'CUDA_PATH', 'GPU', 'LD_LIBRARY_PATH'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('DEPLOY', '0')
    monkeypatch.setenv('TORCH', '0')
    monkeypatch.chdir(root)
    return env


def stamp(project):
    return json.loads(project.STAMP.read_text())


def test_gpu_set_up_links_nccl_and_builds_horovod_with_it(project, toolkit, monkeypatch):
    home = toolkit('11.8')
    monkeypatch.setenv('GPU', '1')
    monkeypatch.setenv('CUDA_HOME', toolkit('12.4'))
    monkeypatch.setenv('PATH', f'{home}/bin{os.pathsep}{os.environ["PATH"]}')
    assert project.main() == 0
    calls = Path('calls').read_text()
    assert '-e .[gpu,flow,dev]' in calls and '.[cpu' not in calls and '-c constraints.txt' in calls
    nccl = Path.cwd() / NCCL
    assert os.readlink(nccl / 'lib' / 'libnccl.so') == 'libnccl.so.2', 'the link must survive a move of .venv'
    variables = dict(line.split('=', 1) for line in Path('variables').read_text().splitlines() if '=' in line)
    assert {name: variables[name] for name in variables if name.startswith(('HOROVOD_GPU', 'HOROVOD_NCCL'))} == {
        'HOROVOD_GPU': 'CUDA',
        'HOROVOD_GPU_OPERATIONS': 'NCCL',
        'HOROVOD_NCCL_HOME': str(nccl),
        'HOROVOD_NCCL_LINK': 'SHARED',
    }
    assert variables['HOROVOD_CUDA_HOME'] == home and variables['HOROVOD_WITH_MXNET'] == '1'
    assert variables['LD_LIBRARY_PATH'] == f'{nccl}/lib{os.pathsep}{Path.cwd()}/.venv/cuda-stub'
    assert Path('loaded').read_text().strip() == variables['LD_LIBRARY_PATH'], "the check needs the driver's stub too"
    assert os.readlink('.venv/cuda-stub/libcuda.so.1') == f'{home}/lib64/stubs/libcuda.so'
    assert (stamp(project)['gpu'], stamp(project)['horovod']) == (True, 'built')


def test_an_environment_for_gpus_stays_one_until_the_other_is_asked_for(project, toolkit, monkeypatch):
    monkeypatch.setenv('HOROVOD_CUDA_HOME', toolkit('11.2'))
    monkeypatch.setenv('GPU', '1')
    assert project.main() == 0
    monkeypatch.delenv('GPU')
    Path('calls').unlink()
    assert project.main() == 0 and not Path('calls').exists(), '`make test` must not undo it'
    with open('constraints.txt', 'a') as stream:
        stream.write('six==1.17.0\n')
    assert project.main() == 0 and '.[gpu,flow,dev]' in Path('calls').read_text()
    monkeypatch.setenv('GPU', '0')
    Path('calls').unlink()
    assert project.main() == 0
    calls = Path('calls').read_text()
    assert calls.startswith('venv') and '.[cpu,flow,dev]' in calls and not stamp(project)['gpu']


@pytest.mark.parametrize('version, said', [('12.4', 'the toolkit is 12.4 in '), (None, 'no nvcc runs in /nowhere/bin')])
def test_another_toolkit_is_one_line_before_anything_is_fetched(project, toolkit, monkeypatch, capsys, version, said):
    monkeypatch.setenv('GPU', '1')
    monkeypatch.setenv('HOROVOD_CUDA_HOME', toolkit(version) if version else '/nowhere')
    assert project.main() == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and error.startswith('error: no CUDA 11 toolkit found') and said in error
    assert 'HOROVOD=0' in error and not Path('calls').exists()
    monkeypatch.setenv('HOROVOD', '0')
    assert project.main() == 0 and stamp(project)['horovod'] == 'left out'


def test_horovod_without_nccl_is_not_taken(project, toolkit, monkeypatch, capsys):
    monkeypatch.setenv('GPU', '1')
    monkeypatch.setenv('HOROVOD_CUDA_HOME', toolkit('11.8'))
    Path('without-nccl').touch()
    assert project.main() == 2
    assert 'Horovod with NCCL could not be built' in capsys.readouterr().err.splitlines()[-1]
    assert 'uninstall -y -q horovod' in Path('calls').read_text() and stamp(project)['horovod'] is None
    Path('without-nccl').unlink()
    assert project.main() == 0 and stamp(project)['horovod'] == 'built', 'the packages are kept'


def test_a_compiler_too_new_for_cuda_is_named(project, toolkit, monkeypatch, capsys):
    monkeypatch.setenv('GPU', '1')
    monkeypatch.setenv('HOROVOD_CUDA_HOME', toolkit('11.8'))
    Path('fails').write_text(
        'Building wheel for horovod\nerror: -- unsupported GNU version! gcc versions later than 11\n'
    )
    assert project.main() == 2
    assert 'make gpu-setup CXX=g++-11' in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.skipif(not shutil.which('cmake'), reason='CMake is not installed')
def test_cmake_finds_nccl_by_the_link_alone(project, tmp_path):
    """The search that Horovod's FindNCCL.cmake makes: the package's own libnccl.so.2 is not enough for it."""
    import setup_gpu

    home = Path.cwd() / NCCL
    for folder, name in (('lib', 'libnccl.so.2'), ('include', 'nccl.h')):
        (home / folder).mkdir(parents=True)
        (home / folder / name).touch()
    script = tmp_path / 'find.cmake'
    script.write_text(
        f'list(APPEND CMAKE_PREFIX_PATH {home})\n'
        'set(CMAKE_FIND_LIBRARY_PREFIXES lib)\nset(CMAKE_FIND_LIBRARY_SUFFIXES .so .a)\n'
        'find_library(LIBRARY NAMES nccl NO_SYSTEM_ENVIRONMENT_PATH NO_CMAKE_SYSTEM_PATH)\n'
        'find_path(HEADER NAMES nccl.h NO_SYSTEM_ENVIRONMENT_PATH NO_CMAKE_SYSTEM_PATH)\n'
        'message("${LIBRARY} ${HEADER}")\n'
    )

    def search():
        return subprocess.run(['cmake', '-P', str(script)], capture_output=True, text=True, check=True).stderr.split()

    assert search() == ['LIBRARY-NOTFOUND', f'{home}/include']
    assert setup_gpu.link_nccl('.venv') == Path('.venv') / home.relative_to(Path.cwd() / '.venv')
    assert search() == [f'{home}/lib/libnccl.so', f'{home}/include']
    (home / 'lib' / 'libnccl.so.2').unlink()
    assert setup_gpu.link_nccl('.venv') is None


# Images ------------------------------------------------------------------------------------------------------------


def instructions(name):
    """(word, rest) of each instruction of a Dockerfile, continued lines joined."""
    text = re.sub(r'^\s*#.*\n', '', (REPO / 'docker' / name).read_text(), flags=re.M)
    lines = re.sub(r'\\\n\s*', ' ', text).splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


@pytest.mark.parametrize('name', ['Dockerfile.cpu', 'Dockerfile.gpu'])
def test_an_image_is_made_as_the_project_says(name):
    steps = instructions(name)
    assert {word for word, _ in steps} <= {'FROM', 'RUN', 'ENV', 'WORKDIR', 'COPY', 'USER', 'CMD'}
    makefile = (REPO / 'Makefile').read_text()
    for word, rest in steps:
        if word == 'FROM':
            assert re.search(r':\d+\.\d+\.\d+-', rest), f'{rest} is not pinned'
        if word == 'RUN' and 'apt-get' in rest:
            assert '--no-install-recommends' in rest and 'rm -rf /var/lib/apt/lists/*' in rest
        if word == 'COPY' and '--from' not in rest:
            assert all((REPO / source).exists() for source in rest.split()[:-1])
        for target in re.findall(r'\bmake ([\w-]+)(?= |$)', rest if word == 'RUN' and 'apt-get' not in rest else ''):
            assert re.search(rf'^{target}\b.*:', makefile, re.M), f'make {target}'
    words = dict(steps)
    assert words['USER'] == '1000' and json.loads(words['CMD'])[2] == 'gluon_fg.doctor'
    assert ('ENV', 'PIP_NO_CACHE_DIR=1') in steps
    ours = [rest for word, rest in steps if word == 'RUN' and 'make ' in rest and 'apt-get' not in rest]
    assert len(ours) == 1 and ('gpu-setup' in ours[0]) == name.endswith('gpu')


def test_the_gpu_image_is_of_the_toolkit_that_set_up_asks_for(project):
    import setup_gpu

    bases = [rest for word, rest in instructions('Dockerfile.gpu') if word == 'FROM']
    assert [int(re.search(r'cuda:(\d+)', base).group(1)) for base in bases] == [setup_gpu.CUDA] * 2
    assert '-devel-' in bases[0] and '-base-' in bases[1], 'nvcc is in the first alone'
    [tags] = {re.search(r'ubuntu\S+', base).group(0) for base in bases}
    assert tags == 'ubuntu22.04', 'its Python 3.10 makes .venv in the one and runs it in the other'


def test_the_context_keeps_what_an_image_is_made_of():
    patterns = (REPO / '.dockerignore').read_text().splitlines()
    left = [line.strip('/') for line in patterns if line and not line.startswith('#')]
    assert {'.git', '.venv', 'runs', 'data'} <= set(left)
    for name in ('gluon_fg', 'scripts', 'setup.py', 'constraints.txt', 'Makefile', 'README.md', 'configs'):
        assert name not in left and (REPO / name).exists()
    assert '**/data' not in left, 'gluon_fg/data is code'


@pytest.mark.parametrize('kind', ['cpu', 'gpu'])
@pytest.mark.skipif(not shutil.which('make'), reason='make is not installed')
def test_make_builds_an_image_by_its_file(kind):
    clean = {name: value for name, value in os.environ.items() if not name.startswith('MAKE')}
    command = ['make', '-n', f'docker-{kind}']
    done = subprocess.run(command, cwd=REPO, env=clean, capture_output=True, text=True, check=True)
    assert done.stdout == f'docker build --file docker/Dockerfile.{kind} --tag gluon-fg:{kind} .\n'
