"""The benchmark's PyTorch networks give what MXNet gives: in a process without MXNet, as the benchmark has them."""

import json
import subprocess
import sys
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

from gluon_fg import factory
from gluon_fg.deploy.flops import input_shape
from gluon_fg.deploy.fused import fuse
from gluon_fg.deploy.peers import graph_files

pytest.importorskip('torch')
# Between them they have nearly all operators of the zoo's networks.
NAMES = (
    'i3d_tiny_synthfg_dfb',
    'i3d_tiny_synthfg_cidc',
    'i3d_tiny_synthfg_lstm',
    'i3d_tiny_synthfg_attention',
    'topheavy_tiny_synthfg_u2s',
    'tsn_tiny_synthfg_dfb',
    'fused3d_tiny_synthfg_motion',
    'lstm_tiny_custom',
    'twostream_i3d_tiny_custom',
    'c3d_tiny_custom',
)
RUN = """
import json, sys
from pathlib import Path
import numpy as np
from gluon_fg.deploy.peers import direct
for folder in sys.argv[2:]:
    print(json.dumps(direct.make('PyTorch', 'float32', Path(folder), 1)[1]))
print(json.dumps('mxnet' in sys.modules))
"""


def written(name, folder):
    """A network with random weights and statistics in a folder that it makes; returns its own outputs."""
    net = factory.build(name, 7 if 'custom' in name else None)
    net.initialize(mx.init.MSRAPrelu('in', 0))
    for p in net.collect_params('.*running_mean').values():
        p.set_data(mx.nd.random.normal(0, 0.1, p.shape))
    for p in net.collect_params('.*running_var').values():
        p.set_data(mx.nd.random.uniform(0.5, 1.5, p.shape))
    x = np.random.default_rng(1).uniform(-1, 1, input_shape(net.input_spec)).astype('float32')
    folder.mkdir()
    graph_files.write(net, x, folder)
    return [z.asnumpy() for z in fuse(net)(mx.nd.array(x))]


@pytest.fixture(scope='module')
def outputs(tmp_path_factory):
    """Name of a network -> its outputs by MXNet, and by PyTorch."""
    root = tmp_path_factory.mktemp('networks')
    mx.random.seed(3)
    ours = {name: written(name, root / name) for name in NAMES}
    folders = [str(root / name) for name in NAMES]
    done = subprocess.run(
        [sys.executable, '-c', RUN, 'gluon_fg.deploy.worker', *folders],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    *theirs, loaded = map(json.loads, done.stdout.splitlines())
    assert loaded is False
    return {name: (ours[name], result) for name, result in zip(NAMES, theirs)}


@pytest.mark.parametrize('name', NAMES)
def test_the_same_weights_give_the_same_logits(name, outputs):
    ours, theirs = outputs[name]
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a.ravel(), b, rtol=0, atol=3e-6 * np.abs(a).max())
