"""Parameter files on a disk that takes only a part of them: an error that names the file, and nothing left."""

import errno
import os
import resource

import mxnet as mx
import numpy as np
import pytest

from gluon_fg import files
from gluon_fg.weights import torch_convert
from gluon_fg.weights.params_file import read_params
from gluon_fg.weights.saving import save_params, whole


@pytest.fixture
def limit():
    """Sets how large files may be, in bytes, until the test is over."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


ARRAYS = {'weight': mx.nd.arange(6000).reshape((60, 100)), 'bias': mx.nd.ones((7,), dtype='float16')}


def test_the_bytes_are_mxnets(tmp_path):
    mx.nd.save(str(tmp_path / 'theirs'), ARRAYS)
    save_params(tmp_path / 'ours', ARRAYS)
    assert (tmp_path / 'ours').read_bytes() == (tmp_path / 'theirs').read_bytes()


@pytest.mark.parametrize('missing', [1, 8, 100, 4000, 4096, 20000])
def test_a_file_that_cannot_be_whole_is_an_error(tmp_path, limit, missing):
    """Where less than 4 kB is missing, MXNet itself says nothing."""
    save_params(tmp_path / 'whole.params', ARRAYS)
    size = (tmp_path / 'whole.params').stat().st_size
    limit(size - missing)
    with pytest.raises(OSError) as caught:
        torch_convert.save(ARRAYS, tmp_path / 'x.params')
    assert caught.value.errno == errno.EFBIG and caught.value.filename == str(tmp_path / 'x.params')
    with pytest.raises(OSError) as caught, files.atomic_folder(tmp_path / 'checkpoint') as folder:
        with whole(folder / 'net.params'):
            mx.nd.save(str(folder / 'net.params'), ARRAYS)
    assert caught.value.filename == str(tmp_path / 'checkpoint' / 'net.params')
    assert os.listdir(tmp_path) == ['whole.params'] and len(read_params(tmp_path / 'whole.params')) == 2


def test_numpy_does_not_say_why_either(tmp_path, limit):
    limit(100_000)
    with pytest.raises(OSError) as caught, files.atomic_path(tmp_path / 'x.npy') as temporary:
        np.save(temporary, np.zeros(1_000_000))
    assert caught.value.errno == errno.EFBIG and caught.value.filename == str(tmp_path / 'x.npy')
    assert not os.listdir(tmp_path)


def test_other_errors_pass(tmp_path):
    with pytest.raises(mx.MXNetError), whole(tmp_path / 'x.params'):
        mx.nd.load(str(tmp_path / 'nothing'))
    assert not os.listdir(tmp_path)
