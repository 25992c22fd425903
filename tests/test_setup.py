"""Set-up and packaging, with a stand-in for .venv's Python: nothing is downloaded or built."""

import contextlib
import fcntl
import importlib.util
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.version import Version

REPO = Path(__file__).resolve().parents[1]
NEEDED = ('setup.py', 'constraints.txt', 'scripts/setup_env.py', 'scripts/setup_gpu.py', 'scripts/setup_env.sh')

# Notes each call it gets; fails where a file in the project's folder says so, with that file's text.
STAND_IN = """#!/bin/sh
[ "$*" = "-c " ] && exit 0
cd "$(dirname "$0")/../.." || exit 9
echo "$*" >> calls
case "$*" in
    *uninstall*) ;;
    *install*horovod) [ -f fail-horovod ] && cat fail-horovod && exit 1; touch horovod-is-there ;;
    *install*torch*) [ -f fail-torch ] && cat fail-torch && exit 1 ;;
    *install*openvino*) [ -f fail-deploy ] && cat fail-deploy && exit 1 ;;
    *install*) [ -f fail-install ] && cat fail-install && exit 1 ;;
    *hvd*) [ -f horovod-is-there ] || exit 1 ;;
esac
exit 0
"""


@pytest.fixture
def setup_env(tmp_path, monkeypatch):
    """`scripts/setup_env.py` of a copy of the project that makes stand-in environments. `calls()`: what it did."""
    for name in NEEDED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPO / name, tmp_path / name)
    monkeypatch.syspath_prepend(str(tmp_path / 'scripts'))
    monkeypatch.delitem(sys.modules, 'setup_gpu', raising=False)
    spec = importlib.util.spec_from_file_location('setup_env', tmp_path / 'scripts' / 'setup_env.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def venv(command, **options):
        if command[1:3] != ['-m', 'venv']:
            return run(command, **options)
        (tmp_path / '.venv' / 'bin').mkdir(parents=True)
        module.PYTHON.write_text(STAND_IN)
        module.PYTHON.chmod(0o755)
        with (tmp_path / 'calls').open('a') as stream:
            stream.write('venv\n')
        return subprocess.CompletedProcess(command, 0, b'')

    def calls():
        with contextlib.suppress(FileNotFoundError):
            lines = (tmp_path / 'calls').read_text().splitlines()
            (tmp_path / 'calls').unlink()
            return lines
        return []

    run = subprocess.run
    monkeypatch.setattr(module.subprocess, 'run', venv)
    monkeypatch.setattr(module, 'horovod_obstacle', lambda: '')
    for name in ('PYTHON', 'HOROVOD', 'DEPLOY', 'TORCH', 'GPU'):
        monkeypatch.delenv(name, raising=False)
    module.calls, module.stamp = calls, lambda: json.loads(module.STAMP.read_text())
    return module


def test_everything_once_and_then_nothing(setup_env, capsys):
    assert setup_env.main() == 0
    calls = setup_env.calls()
    installs = [call for call in calls if 'pip install' in call]
    assert calls[0] == 'venv' and '-e .[cpu,flow,dev]' in installs[1] and installs[-1].endswith(' horovod')
    assert all('-c constraints.txt' in call for call in installs), 'NumPy must be held in every call'
    assert [setup_env.stamp()[name] for name in ('horovod', 'deploy', 'torch')] == ['built', 'installed', 'installed']
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()] == [
        'creating', 'installing', 'installing', 'building', '.venv',
    ]  # fmt: skip
    assert setup_env.main() == 0
    assert setup_env.calls() == [] and capsys.readouterr().out == ''


@pytest.mark.parametrize('stage', ['pip setuptools', '.[cpu,flow,dev]'])
def test_an_interrupted_set_up_starts_over(setup_env, monkeypatch, stage):
    real = setup_env.pip_install

    def interrupted(log, *what, **options):
        if stage in ' '.join(what):
            raise KeyboardInterrupt
        return real(log, *what, **options)

    monkeypatch.setattr(setup_env, 'pip_install', interrupted)
    assert setup_env.main() == 130
    monkeypatch.setattr(setup_env, 'pip_install', real)
    (setup_env.VENV / 'half-installed').touch()
    setup_env.calls()
    assert setup_env.main() == 0
    assert setup_env.calls()[0] == 'venv' and not (setup_env.VENV / 'half-installed').exists()


def test_interrupted_while_horovod_is_built_keeps_the_packages(setup_env, monkeypatch):
    def interrupted(gpu):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(setup_env, 'build_horovod', interrupted)
        assert setup_env.main() == 130
    setup_env.calls()
    assert setup_env.main() == 0
    assert [call for call in setup_env.calls() if 'pip install' in call][0].endswith(' horovod')


def test_changed_versions_update_in_place(setup_env):
    setup_env.main()
    setup_env.calls()
    with (setup_env.ROOT / 'constraints.txt').open('a') as stream:
        stream.write('six==1.17.0\n')
    assert setup_env.main() == 0
    calls = setup_env.calls()
    assert 'venv' not in calls and [call for call in calls if '.[cpu,flow,dev]' in call]
    assert not [call for call in calls if call.endswith(' horovod')], 'the Horovod that is there still loads'


def test_a_venv_whose_python_is_gone_or_other_than_asked_for_is_made_anew(setup_env, monkeypatch):
    setup_env.main()
    setup_env.calls()
    setup_env.PYTHON.unlink()
    assert setup_env.main() == 0 and setup_env.calls()[0] == 'venv'
    setup_env.STAMP.write_text(json.dumps({**setup_env.stamp(), 'python': '3.7'}))
    assert setup_env.main() == 0 and setup_env.calls() == []
    monkeypatch.setenv('PYTHON', sys.executable)
    assert setup_env.main() == 0 and setup_env.calls()[0] == 'venv'


def test_horovod_is_left_alone_when_told_and_added_later(setup_env, monkeypatch):
    monkeypatch.setenv('HOROVOD', '0')
    assert setup_env.main() == 0
    assert not [call for call in setup_env.calls() if 'horovod' in call or 'hvd' in call]
    assert setup_env.main() == 0 and setup_env.calls() == []
    monkeypatch.delenv('HOROVOD')
    assert setup_env.main() == 0
    assert [call.split()[-1] for call in setup_env.calls() if 'pip install' in call] == ['horovod']


def test_a_missing_compiler_is_said_each_time_in_one_line(setup_env, monkeypatch, capsys):
    monkeypatch.setattr(setup_env, 'horovod_obstacle', lambda: 'CMake not found; install cmake')
    for _ in range(2):
        assert setup_env.main() == 0
        said = [line for line in capsys.readouterr().out.splitlines() if 'CMake' in line]
        assert said == ['Horovod is left out: CMake not found; install cmake. Everything still runs in one process.']
    monkeypatch.setattr(setup_env, 'horovod_obstacle', lambda: '')
    assert setup_env.main() == 0 and setup_env.stamp()['horovod'] == 'built'


def test_a_failing_build_is_not_repeated_until_asked_for(setup_env, monkeypatch, capsys):
    (setup_env.ROOT / 'fail-horovod').write_text('Building wheel for horovod\nerror: no such header\n')
    for _ in range(2):
        assert setup_env.main() == 0
        assert 'Horovod could not be built, see .venv/horovod-build.log' in capsys.readouterr().out
    assert len([call for call in setup_env.calls() if 'pip install' in call and call.endswith(' horovod')]) == 1
    assert 'no such header' in setup_env.HOROVOD_LOG.read_text()
    (setup_env.ROOT / 'fail-horovod').unlink()
    monkeypatch.setenv('HOROVOD', '1')
    assert setup_env.main() == 0 and setup_env.stamp()['horovod'] == 'built'


def test_pytorch_that_is_not_to_be_had_is_left_out_in_one_line_until_asked_for(setup_env, monkeypatch, capsys):
    (setup_env.ROOT / 'fail-torch').write_text('ERROR: No matching distribution found for torch\n')
    for number in range(2):
        assert setup_env.main() == 0
        said = [line for line in capsys.readouterr().out.splitlines() if 'PyTorch' in line]
        assert len(said) == 1 - number and all('pip finds no CPU build of it' in line for line in said)
    assert setup_env.stamp()['torch'] == 'left out'
    assert len([call for call in setup_env.calls() if 'torch' in call]) == 1
    (setup_env.ROOT / 'fail-torch').unlink()
    monkeypatch.setenv('TORCH', '1')
    assert setup_env.main() == 0 and setup_env.stamp()['torch'] == 'installed'
    assert setup_env.main() == 0 and len([call for call in setup_env.calls() if 'torch' in call]) == 1


def test_runtimes_that_are_not_to_be_had_are_left_out_in_one_line_until_asked_for(setup_env, monkeypatch, capsys):
    (setup_env.ROOT / 'fail-deploy').write_text('ERROR: No matching distribution found for openvino\n')
    for number in range(2):
        assert setup_env.main() == 0
        said = [line for line in capsys.readouterr().out.splitlines() if 'left out' in line]
        assert len(said) == 1 - number and all('ONNX Runtime are left out: pip cannot install' in line for line in said)
    assert setup_env.stamp()['deploy'] == 'left out' and setup_env.stamp()['torch'] == 'installed'
    setup_env.calls()
    (setup_env.ROOT / 'fail-deploy').unlink()
    monkeypatch.setenv('DEPLOY', '1')
    assert setup_env.main() == 0 and setup_env.stamp()['deploy'] == 'installed'
    [call] = [call for call in setup_env.calls() if 'openvino' in call]
    assert '-c constraints.txt' in call and not [name for name in setup_env.DEPLOY if name not in call]
    setup_env.STAMP.unlink()
    monkeypatch.setenv('DEPLOY', '0')
    assert setup_env.main() == 0 and setup_env.stamp()['deploy'] == 'left out'
    assert not [call for call in setup_env.calls() if 'openvino' in call]


def test_pytorch_brings_no_libraries_of_cuda(setup_env, monkeypatch):
    setup_env.main()
    [call] = [call for call in setup_env.calls() if 'torch' in call]
    assert '-c constraints.txt' in call and '--no-deps' in call
    pins = re.findall(r'^torch==(\S+) ; (.*)$', (REPO / 'constraints.txt').read_text(), re.M)
    assert [condition for _, condition in pins] == ['python_version >= "3.10"', 'python_version < "3.10"']
    assert all(version.endswith('+cpu') for version, _ in pins), 'any other is the build for CUDA'
    setup_env.STAMP.unlink()
    monkeypatch.setenv('TORCH', '0')
    assert setup_env.main() == 0 and setup_env.stamp()['torch'] == 'left out'
    assert not [call for call in setup_env.calls() if 'torch' in call]


@pytest.mark.parametrize(
    'tool, present',
    [
        ('CMake', ('g++', 'make')),
        ('g++', ('cmake', 'make')),
        ('CMake and g++ and make', ()),
    ],
)
def test_missing_build_tools_are_named(setup_env, monkeypatch, tool, present):
    monkeypatch.undo()
    monkeypatch.delenv('CXX', raising=False)
    monkeypatch.setattr(setup_env.shutil, 'which', lambda name: f'/bin/{name}' if name in present else None)
    said = setup_env.horovod_obstacle()
    assert said.startswith(f'{tool} not found; install') and '\n' not in said


@pytest.mark.parametrize(
    'said, advice',
    [
        ('NewConnectionError(...)\nERROR: No matching distribution found for numpy', 'package index cannot be reached'),
        ('OSError: [Errno 28] No space left on device', 'the disk is full'),
        ('ERROR: No matching distribution found for mxnet==1.9.1', 'no mxnet==1.9.1 for this system'),
        ('SSLError(SSLCertVerificationError)', 'PIP_CERT'),
        ('something else', 'setup.log'),
    ],
)
def test_a_failing_install_ends_with_its_cause_in_one_line(setup_env, capsys, said, advice):
    (setup_env.ROOT / 'fail-install').write_text(said)
    assert setup_env.main() == 2
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith('error: ') and advice in error[-1]
    assert f'    {said.splitlines()[-1]}' in error, "the end of pip's own words is shown"
    assert not setup_env.STAMP.exists()


def test_a_full_disk_is_noticed_before_anything_is_made(setup_env, monkeypatch, capsys):
    monkeypatch.setattr(setup_env.shutil, 'disk_usage', lambda path: types.SimpleNamespace(free=10**6))
    assert setup_env.main() == 2
    assert re.match(
        r'error: set-up needs about [\d.]+ GB in .*, and 0.0 GB are free; make room\n$', capsys.readouterr().err
    )
    assert setup_env.calls() == []


def test_of_two_at_once_the_second_waits(setup_env, capsys):
    folder = os.open(setup_env.ROOT, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    second = threading.Thread(target=setup_env.main)
    second.start()
    second.join(0.5)
    assert second.is_alive() and setup_env.calls() == []
    os.close(folder)
    second.join(30)
    assert not second.is_alive() and setup_env.stamp()['horovod'] == 'built'
    assert capsys.readouterr().out.startswith('waiting for another set-up')


# Finding a Python: the shell part ----------------------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path):
    """Run setup_env.sh where only the Pythons given exist; each is a program that exits as its check would."""
    (tmp_path / 'scripts').mkdir()
    (tmp_path / 'bin').mkdir()
    shutil.copy(REPO / 'scripts' / 'setup_env.sh', tmp_path / 'scripts')
    for tool in ('dirname', 'mkdir'):
        os.symlink(shutil.which(tool), tmp_path / 'bin' / tool)

    def python(path, status):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\nif [ "$1" = -c ]; then exit {status}; fi\necho "{path.name} runs $1"\n')
        path.chmod(0o755)

    def run(statuses, **environment):
        for name, status in statuses.items():
            python(tmp_path / name, status)
        variables = {'PATH': str(tmp_path / 'bin'), 'HOME': str(tmp_path), **environment}
        done = subprocess.run(
            ['/bin/sh', 'scripts/setup_env.sh'], cwd=tmp_path, env=variables, capture_output=True, text=True
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.parametrize(
    'statuses, chosen',
    [
        ({'bin/python3.11': 0, 'bin/python3.9': 0}, 'python3.11'),
        ({'bin/python3.11': 127, 'bin/python3.9': 0}, 'python3.9'),  # a pyenv shim without a version behind it
        ({'bin/python3.11': 3, 'bin/python3.8': 0}, 'python3.8'),  # no venv module there
        ({'bin/python3': 4, 'bin/python': 0}, 'python'),
        ({'bin/python3': 4, '.pyenv/versions/3.10.13/bin/python': 0}, 'python'),
    ],
)
def test_the_first_python_that_works_is_taken(shell, statuses, chosen):
    assert shell(statuses) == (0, f'{chosen} runs scripts/setup_env.py\n', '')


@pytest.mark.parametrize(
    'statuses, environment, said',
    [
        ({}, {}, 'no Python 3.8 to 3.11 found'),
        ({'bin/python3': 4}, {}, 'make setup PYTHON=/path/to/python3.11'),
        ({'bin/python3': 3}, {}, 'python3 lacks the modules that make an environment; install them'),
        (
            {'bin/python3': 0, 'bin/python3.13': 4},
            {'PYTHON': 'python3.13'},
            'PYTHON=python3.13 is not a Python 3.8 to 3.11',
        ),
        ({'bin/python3': 0}, {'PYTHON': '/no/such python'}, 'PYTHON=/no/such python is not'),
    ],
)
def test_a_missing_python_is_one_line(shell, statuses, environment, said):
    code, out, err = shell(statuses, **environment)
    assert (code, out, err.count('\n')) == (2, '', 1) and err.startswith('error: ') and said in err


UV = """#!/bin/sh
echo "uv in $UV_PYTHON_INSTALL_DIR: $*" >>{calls}
[ -e {refuses} ] && echo 'error: no route to the Pythons' && exit 2
while [ $# -gt 1 ]; do shift; done
mkdir -p "$1/bin"
printf '#!/bin/sh\\n[ "$1" = -c ] || echo "python of uv runs $1"\\n' >"$1/bin/python"
{chmod} +x "$1/bin/python"
"""


@pytest.fixture
def uv(tmp_path):
    """Text of a stand-in for uv that notes how it is called and makes a Python; fails where the file `refuses` is."""
    names = {name: tmp_path / name for name in ('calls', 'refuses')}
    return UV.format(chmod=shutil.which('chmod'), **names)


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_where_no_python_fits_uv_makes_one_once(shell, tmp_path, uv):
    program(tmp_path / 'bin' / 'uv', uv)
    made = 'python of uv runs scripts/setup_env.py\n'
    code, out, err = shell({'bin/python3': 4})
    assert (code, err) == (0, '') and out == f'no Python 3.8 to 3.11 found: uv makes a 3.11 in .uv\n{made}'
    [call] = (tmp_path / 'calls').read_text().splitlines()
    assert call == f'uv in {tmp_path}/.uv/pythons: venv --no-project --python 3.11 .uv/python3.11'
    assert shell({'bin/python3': 4}) == (0, made, '')  # the next call finds it
    assert len((tmp_path / 'calls').read_text().splitlines()) == 1
    assert shell({'bin/python3.9': 0}) == (0, 'python3.9 runs scripts/setup_env.py\n', '')


@pytest.mark.parametrize('way', ['pip', 'venv'])
def test_uv_is_installed_from_the_index_by_a_python_that_does_not_fit(shell, tmp_path, uv, way):
    """A Python without pip makes an environment for it; the version is the pinned one."""
    (tmp_path / 'constraints.txt').write_text('uv==0.13.9\n')
    program(tmp_path / 'uv-to-be', uv)
    pip = f'echo "$0 $*" >>{tmp_path}/calls; {shutil.which("cp")} {tmp_path}/uv-to-be .uv/bin/uv; exit'
    program(tmp_path / 'venv-pip', f'#!/bin/sh\n{pip}\n')
    venv = f'mkdir -p .uv/bin && {shutil.which("cp")} {tmp_path}/venv-pip .uv/bin/python; exit'
    cases = {'pip': f'"-m pip"*) mkdir -p .uv/bin; {pip};;', 'venv': f'"-m venv .uv") {venv};;'}
    program(tmp_path / 'bin' / 'python3.12', f'#!/bin/sh\ncase "$*" in {cases[way]} esac\nexit 1\n')
    code, out, err = shell({})
    assert (code, err) == (0, '') and out.endswith('python of uv runs scripts/setup_env.py\n')
    install, made = (tmp_path / 'calls').read_text().splitlines()
    assert '-m pip install' in install and install.endswith('-c constraints.txt uv') and made.startswith('uv in ')
    assert install.startswith({'pip': str(tmp_path / 'bin' / 'python3.12'), 'venv': '.uv/bin/python'}[way])


def test_where_uv_can_make_none_either_one_line_gives_the_ways(shell, tmp_path, uv):
    program(tmp_path / 'bin' / 'uv', uv)
    (tmp_path / 'refuses').touch()
    code, out, err = shell({'bin/python3': 4})
    assert code == 2 and err.count('\n') == 1
    assert all(
        way in err for way in ('apt-get install python3.11', 'conda', 'uv python', 'pyenv', 'PYTHON=', '.uv/log')
    )
    assert 'no route' in (tmp_path / '.uv' / 'log').read_text()


def test_uv_is_left_alone_where_an_interpreter_is_named(shell, tmp_path, uv):
    program(tmp_path / 'bin' / 'uv', uv)
    code, _, err = shell({'bin/python3.13': 4}, PYTHON='python3.13')
    assert code == 2 and 'PYTHON=python3.13' in err and not (tmp_path / 'calls').exists()


def test_uv_is_pinned():
    assert re.search(r'^uv==\d+\.\d+\.\d+$', (REPO / 'constraints.txt').read_text(), re.M)


def test_an_active_environment_is_not_what_it_is_made_from(shell, tmp_path):
    path = f'{tmp_path}/.venv/bin:{tmp_path}/bin'
    code, out, err = shell({'.venv/bin/python3.11': 0, '.venv/bin/python3': 0, 'bin/python3.9': 0}, PATH=path)
    assert (code, out, err) == (0, 'python3.9 runs scripts/setup_env.py\n', '')


def test_the_check_itself_on_this_python(shell, tmp_path):
    os.symlink(sys.executable, tmp_path / 'bin' / 'python3')
    (tmp_path / 'scripts' / 'setup_env.py').write_text('import sys; print(sys.version_info[:2])')
    assert shell({}) == (0, f'{sys.version_info[:2]}\n', '')


# Metadata ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def metadata():
    """What setup.py hands to setuptools."""
    given = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, 'setup', given.update)
        patch.chdir(REPO)
        runpy.run_path('setup.py')
    return given


def requirements(metadata):
    return [Requirement(text) for text in sum(metadata['extras_require'].values(), metadata['install_requires'])]


def test_every_python_has_one_version_of_each_runtime(metadata):
    lines = (REPO / 'constraints.txt').read_text().splitlines()
    pins = [Requirement(line) for line in lines if line.startswith(('onnx', 'openvino', 'nncf', 'networkx', 'pymoo'))]
    wanted = {r.name: r.specifier for r in map(Requirement, metadata['extras_require']['deploy'])}
    for version in ('3.8', '3.9', '3.10', '3.11'):
        held = [pin for pin in pins if not pin.marker or pin.marker.evaluate({'python_version': version})]
        assert sorted(pin.name for pin in held) == ['networkx', 'nncf', 'onnx', 'onnxruntime', 'openvino', 'pymoo']
        for pin in held:
            [exact] = pin.specifier
            assert exact.version in wanted.get(pin.name, pin.specifier)


def test_numpy_is_capped_where_mxnet_needs_it(metadata):
    allowed = {r.name: r.specifier for r in requirements(metadata)}['numpy']
    assert '1.23.5' in allowed and '1.24.0' not in allowed


def test_pinned_versions_lie_in_the_ranges(metadata):
    pins = dict(re.findall(r'^([\w.-]+)==(\S+)$', (REPO / 'constraints.txt').read_text(), re.M))
    ours = [r for r in requirements(metadata) if r.name in pins]
    assert len(ours) >= 18
    assert [str(r) for r in ours if Version(pins[r.name]) not in r.specifier] == []


def test_the_two_builds_of_mxnet_and_of_onnx_runtime_are_never_asked_for_together(metadata):
    extras = {extra: {Requirement(text).name for text in texts} for extra, texts in metadata['extras_require'].items()}
    assert 'mxnet' in extras['cpu'] and 'mxnet-cu112' in extras['gpu']
    assert not [extra for extra, names in extras.items() if {'mxnet', 'mxnet-cu112'} <= names]
    assert 'mxnet' not in {r.name for r in map(Requirement, metadata['install_requires'])}
    assert 'onnxruntime-gpu' in extras['deploy-gpu'] and 'onnxruntime' in extras['deploy']
    assert not [extra for extra, names in extras.items() if {'onnxruntime', 'onnxruntime-gpu'} <= names]


def test_every_folder_of_code_is_packaged(metadata):
    folders = {path.parent.relative_to(REPO) for path in (REPO / 'gluon_fg').rglob('*.py')}
    assert {str(folder).replace(os.sep, '.') for folder in folders} == set(metadata['packages'])


@pytest.mark.skipif(not shutil.which('make'), reason='make is not installed')
@pytest.mark.parametrize('target', ['setup', 'demo', 'test', 'bench', 'lint'])
def test_every_target_sets_up_first(target):
    clean = {name: value for name, value in os.environ.items() if not name.startswith('MAKE')}
    done = subprocess.run(['make', '-n', target], cwd=REPO, env=clean, capture_output=True, text=True, check=True)
    commands = done.stdout.splitlines()
    assert commands[0] == 'sh scripts/setup_env.sh' and (target == 'setup' or '.venv/bin/' in commands[1])


@pytest.mark.parametrize('lint, ran, status', [(0, ['lint', 'test'], 3), (2, ['lint'], 2)])
def test_continuous_integration_names_the_processor_then_lints_then_tests(tmp_path, lint, ran, status):
    fake = tmp_path / 'make'
    fake.write_text(f'#!/bin/sh\necho "$PWD make $*"\n[ "$*" = lint ] && exit {lint}\nexit 3\n')
    fake.chmod(0o755)
    path = f'{tmp_path}{os.pathsep}{os.environ["PATH"]}'
    environment = {**os.environ, 'PATH': path, 'DNNL_MAX_CPU_ISA': 'AVX2'}
    done = subprocess.run([str(REPO / '.ci' / 'run')], cwd=tmp_path, env=environment, capture_output=True, text=True)
    first, *rest = done.stdout.splitlines()
    assert first.startswith('processor: ') and first.endswith('; oneDNN held to: AVX2')
    flags = Path('/proc/cpuinfo').read_text().split()
    for flag, name in (('avx2', ' AVX2'), ('avx512f', ' AVX-512'), ('amx_tile', ' AMX')):
        assert (name in first.split(';')[0]) == (flag in flags)
    assert (done.returncode, rest) == (status, [f'{REPO} make {target}' for target in ran])
