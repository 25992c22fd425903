"""Import rules, with stand-ins for the libraries that crash: each case runs `_runtime` in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gluon_fg import _runtime

# `_runtime` in a package of its own, as importing gluon_fg would load everything
FOLDER = Path(_runtime.__file__).parent
ALONE = f"""
import runpy, sys, types
package = sys.modules['alone'] = types.ModuleType('alone')
package.__path__ = [{str(FOLDER)!r}]
m = runpy.run_module('alone._runtime')
"""


@pytest.fixture
def fakes(tmp_path):
    """A folder of stand-ins; each module says on stdout that it is loaded, and may run a line more."""

    def add(name, code=''):
        path = tmp_path.joinpath(*name.split('.'))
        path.mkdir(parents=True)
        (path / '__init__.py').write_text(f'print("loaded {name}")\n{code}\n')

    add.folder = tmp_path
    add('numpy', '__version__ = "1.23.5"')
    add('mxnet')
    add('decord')
    return add


def load(fakes, before='', after='print("safe", m["DECORD_SAFE"])'):
    """Run `before`, then `_runtime`, then `after`; returns the lines of stdout, those of stderr, and the exit code."""
    code = f'{before}\n{ALONE}\n{after}'
    done = subprocess.run(
        [sys.executable, '-S', '-c', code],
        env={**os.environ, 'PYTHONPATH': str(fakes.folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.splitlines(), done.stderr.splitlines(), done.returncode


def test_mxnet_then_decord_and_silence(fakes):
    assert load(fakes) == (['loaded numpy', 'loaded mxnet', 'loaded decord', 'safe True'], [], 0)


def test_decord_before_mxnet_is_refused_before_mxnet_loads(fakes):
    out, err, code = load(fakes, before='import decord')
    assert code == 1 and 'loaded mxnet' not in out
    assert err[-1].startswith('ImportError: decord was imported before MXNet') and 'import gluon_fg' in err[-1]


def test_horovod_first_keeps_decord_out_and_says_so(fakes):
    fakes('horovod.mxnet', 'import mxnet')
    (fakes.folder / 'horovod' / '__init__.py').write_text('')
    out, err, code = load(fakes, before='import horovod.mxnet')
    assert (code, out[-1]) == (0, 'safe False') and 'loaded decord' not in out
    assert len(err) == 1 and 'horovod.mxnet was imported before decord' in err[0] and 'PyAV' in err[0]
    out, err, code = load(fakes, before='import horovod.mxnet, decord')  # loaded, but crashing once it decodes
    assert (code, out[-1], len(err)) == (0, 'safe False', 1)


def test_horovod_after_decord_is_fine(fakes):
    fakes('horovod.mxnet')
    (fakes.folder / 'horovod' / '__init__.py').write_text('')
    out, err, code = load(fakes, before='import mxnet, decord, horovod.mxnet')
    assert (code, out[-1], err) == (0, 'safe True', [])


def test_without_decord_pyav_reads_and_nothing_is_said(fakes):
    (fakes.folder / 'decord' / '__init__.py').unlink()
    (fakes.folder / 'decord').rmdir()
    assert load(fakes) == (['loaded numpy', 'loaded mxnet', 'safe False'], [], 0)


REFUSES = 'try:\n import torch\nexcept ImportError:\n pass\nelse:\n raise RuntimeError("Legacy torch==2.13.0 detected")'


@pytest.mark.parametrize('before', ['', 'import torch'])
def test_gluoncv_does_not_see_a_pytorch_that_it_would_refuse(fakes, before):
    fakes('torch')
    fakes('gluoncv', REFUSES)
    out, err, code = load(fakes, before, 'import gluoncv, torch; print(torch.__name__)')
    assert (code, err) == (0, []) and out[-1] == 'torch'
    assert out.count('loaded torch') == out.count('loaded gluoncv') == 1


def test_without_pytorch_gluoncv_waits_until_it_is_needed(fakes):
    fakes('gluoncv', REFUSES)
    assert 'loaded gluoncv' not in load(fakes)[0]


@pytest.mark.parametrize('error', ['OSError("libavcodec.so: not found")', 'RuntimeError("no library")'])
def test_a_broken_decord_is_named(fakes, error):
    (fakes.folder / 'decord' / '__init__.py').write_text(f'raise {error}')
    out, err, code = load(fakes)
    assert (code, out[-1], len(err)) == (0, 'safe False', 1) and 'decord cannot be loaded' in err[0]


@pytest.mark.parametrize('version', ['1.24.0', '1.26.4'])
def test_newer_numpy_gets_the_name_mxnet_uses(fakes, version):
    (fakes.folder / 'numpy' / '__init__.py').write_text(f'__version__ = "{version}"')
    (fakes.folder / 'mxnet' / '__init__.py').write_text('import numpy; print(numpy.bool)')
    out, err, code = load(fakes)
    assert code == 0 and out[0] == "<class 'bool'>"
    assert len(err) == 1 and version in err[0] and 'numpy==1.23.5' in err[0]


def test_numpy_2_is_refused_in_one_line(fakes):
    (fakes.folder / 'numpy' / '__init__.py').write_text('__version__ = "2.0.1"')
    out, err, code = load(fakes)
    assert code == 1 and 'loaded mxnet' not in out
    assert err[-1] == 'ImportError: MXNet 1.9.1 cannot run with NumPy 2.0.1; pip install numpy==1.23.5'


@pytest.mark.parametrize(
    'code, said',
    [
        ('raise ModuleNotFoundError("No module", name="mxnet")', 'MXNet is not installed; pip install'),
        ('raise OSError("libcuda.so.1: cannot open")', 'install the NVIDIA driver'),
        ('raise OSError("libcudnn.so.8: cannot open")', "gluon_fg's extra"),
    ],
)
def test_an_mxnet_that_does_not_load_says_what_to_install(fakes, code, said):
    (fakes.folder / 'mxnet' / '__init__.py').write_text(code)
    _, err, status = load(fakes)
    assert status == 1 and err[-1].startswith('ImportError: MXNet') and said in err[-1]


def test_a_module_missing_inside_mxnet_is_not_taken_for_mxnet(fakes):
    (fakes.folder / 'mxnet' / '__init__.py').write_text('import graphviz_of_old')
    assert load(fakes)[1][-1] == "ModuleNotFoundError: No module named 'graphviz_of_old'"


def cuda_packages(folder, names=_runtime.CUDA_LIBRARIES, build='mxnet_cu112'):
    """Lay out the files of MXNet's CUDA build and of the nvidia packages, each library in a package of its own."""
    (folder / f'{build}-1.9.1.dist-info').mkdir()
    for number, name in enumerate(reversed(names)):  # so that folder order differs from load order
        library = folder / 'nvidia' / f'part{number}' / 'lib' / name
        library.parent.mkdir(parents=True)
        library.write_bytes(b'')


RECORD = (
    'import ctypes, os; load = ctypes.CDLL\n'
    'def record(path, mode=0, **_): print("library", os.path.basename(path), mode == ctypes.RTLD_GLOBAL)\n'
    'ctypes.CDLL = record'
)


def test_cuda_libraries_are_loaded_globally_in_order_before_mxnet(fakes):
    cuda_packages(fakes.folder)
    out, err, code = load(fakes, before=RECORD)
    expected = [f'library {name} True' for name in _runtime.CUDA_LIBRARIES]
    assert (out[1:-3], err, code) == (expected, [], 0)
    assert out[-3:-1] == ['loaded mxnet', 'loaded decord']


def test_the_cpu_build_loads_no_cuda(fakes):
    cuda_packages(fakes.folder, build='mxnet')
    assert not [line for line in load(fakes, before=RECORD)[0] if line.startswith('library')]


def test_a_damaged_cuda_library_is_named(fakes):
    cuda_packages(fakes.folder, names=('libcudart.so.11.0',))
    out, err, code = load(fakes)
    assert code == 1 and 'loaded mxnet' not in out
    assert (
        err[-1].startswith('ImportError') and 'libcudart.so.11.0 cannot be loaded' in err[-1] and 'nvidia-' in err[-1]
    )


def test_the_real_libraries_loaded_horovod_first(tmp_path):
    pytest.importorskip('horovod', reason='Horovod is not installed')
    code = 'import horovod.mxnet, gluon_fg, sys\nprint(gluon_fg._runtime.DECORD_SAFE, "decord" in sys.modules)'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120, cwd=FOLDER.parent)
    assert done.stdout.split() == ['False', 'False'], done.stderr
    assert 'horovod.mxnet was imported before decord' in done.stderr


CHILD = """
import os, sys, time
sys.argv[0] = 'gluon-fg'  # else the package's import loads MXNet
from gluon_fg._runtime import end_with
end_with(int(sys.argv[1]), lambda: (print('alone', flush=True), os._exit(0)))
print('began', flush=True)
time.sleep(60)
"""


def test_a_process_ends_with_the_one_that_began_it():
    parent = f'import os, subprocess, sys; subprocess.run([sys.executable, "-c", {CHILD!r}, str(os.getpid())])'
    process = subprocess.Popen([sys.executable, '-c', parent], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == 'began\n'
        process.kill()
        assert process.stdout.read() == 'alone\n'  # it has the same output, whose end is the child's
    finally:
        process.kill()
        process.communicate()
