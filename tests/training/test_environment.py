"""What environment.json says of a run's libraries: numbers as NVIDIA's libraries count them, and the commit."""

import subprocess

import mxnet as mx
import pytest

import gluon_fg
from gluon_fg.training import environment
from gluon_fg.training.distributed import World


class Library:
    """A library of NVIDIA's, with the number of its version."""

    def __init__(self, number, failing=0):
        def write(pointer):
            pointer._obj.value = number
            return failing

        def tell():
            return number

        self.cudaRuntimeGetVersion = self.ncclGetVersion = write
        self.cudnnGetVersion = tell


@pytest.mark.parametrize('function, number, version', [
    ('cudaRuntimeGetVersion', 11080, '11.8'),
    ('cudaRuntimeGetVersion', 11020, '11.2'),
    ('cudnnGetVersion', 8906, '8.9.6'),
    ('ncclGetVersion', 21803, '2.18.3'),  # as of 2.9
    ('ncclGetVersion', 2708, '2.7.8'),
])  # fmt: skip
def test_versions_are_read_as_each_library_counts(function, number, version, monkeypatch):
    monkeypatch.setattr(environment.ctypes, 'CDLL', lambda name: Library(number))
    assert environment.library_version('libany.so', function) == version


def test_what_is_not_there_is_none(monkeypatch):
    monkeypatch.setattr(environment.ctypes, 'CDLL', lambda name: Library(11080, failing=35))
    assert environment.library_version('libcudart.so.11.0', 'cudaRuntimeGetVersion') is None
    monkeypatch.undo()
    assert environment.library_version('libgluon_fg_has_no_such.so', 'ncclGetVersion') is None


def test_the_driver_is_told_by_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, '_DRIVER', tmp_path / 'version')
    assert environment.driver() is None
    text = 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  525.60.13  Wed Nov 30 06:39:21 UTC 2022\n'
    (tmp_path / 'version').write_text(text)
    assert environment.driver() == '525.60.13'


def test_a_checkout_has_a_commit_and_says_whether_files_differ(tmp_path):
    def git(*words):
        done = ('git', '-C', str(tmp_path), '-c', 'user.name=a', '-c', 'user.email=a@b', *words)
        return subprocess.run(done, check=True, capture_output=True, text=True).stdout.strip()

    assert environment.commit(tmp_path) is None
    git('init')
    assert environment.commit(tmp_path) is None  # without a commit
    (tmp_path / 'file').write_text('a')
    git('add', 'file')
    git('commit', '-m', 'A file')
    head = git('rev-parse', 'HEAD')
    assert environment.commit(tmp_path) == head
    (tmp_path / 'file').write_text('b')
    assert environment.commit(tmp_path) == head + '+'


def test_a_run_on_a_cpu_names_its_precision_and_no_gpu():
    known = environment.environment(World(), mx.cpu(), 'bfloat16')
    assert (known['gluon_fg'], known['mxnet']) == (gluon_fg.__version__, mx.__version__)
    assert (known['precision'], known['device'], known['ranks']) == ('bfloat16', 'cpu(0)', 1)
    assert [known[name] for name in ('gpu', 'driver', 'cuda_runtime', 'cudnn', 'nccl')] == [None] * 5
