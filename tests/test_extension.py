"""A dataset and a model from outside the package: one file each, through the public functions alone."""

import json
import os
import subprocess
import sys

import pytest

DATASET = """
from gluon_fg.data import DatasetInfo, open_folders, register_dataset

register_dataset(DatasetInfo('toy_moves', 2, open_folders, classes=('turn left', 'turn right'), groups=('a', 'a')))
"""

MODEL = """
import gluon_fg
from gluon_fg.backbones import get_backbone
from gluon_fg.recognizers import Branches, Recognizer


class MaxBranches(Branches):
    def hybrid_forward(self, F, x):
        f5 = self.backbone(x)[3]
        return (self.classifier(F.max(f5, axis=(2, 3, 4))),)


class MaxNet(Recognizer):
    def __init__(self, trunk, options=None, **kwargs):
        super().__init__(MaxBranches(get_backbone(trunk.backbone), trunk), ('max',), trunk.nclass, **kwargs)


gluon_fg.register_model('i3d_tiny_toy_moves_max', MaxNet, 'toy_moves', 'tiny_clips', 'i3d_tiny', dropout=0.1)
"""

USE = """
import json
import sys

import gluon_fg
import gluoncv
import numpy as np
from gluon_fg.data import build_dataset, to_input
from gluon_fg.errors import UserError
from gluon_fg.evaluation.protocol import get_protocol

import toy_dataset
import toy_model


def error(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except UserError as caught:
        return str(caught)


data = build_dataset('toy_moves', 'val', sys.argv[1])
net = gluon_fg.get_model('i3d_tiny_toy_moves_max')
with data.open(0) as reader:
    views, _ = get_protocol(net.protocol).views(reader, net.input_spec, data.labels)
z = net(to_input(np.stack(views), net.input_spec))
info = gluon_fg.model_info(net.name)
register = gluon_fg.register_model
builder = toy_model.MaxNet
print(json.dumps({
    'videos': [len(data), data.records[0].label, data.labels.flip_map.tolist()],
    'shape': z.shape,
    'classes': net.classes,
    'info': [info[key] for key in ('method', 'dataset', 'nclass', 'protocol', 'pretrained')],
    'listed': gluon_fg.list_models('*toy*'),
    'gluoncv': type(gluoncv.model_zoo.get_model(net.name)).__name__,
    'errors': [
        error(build_dataset, 'toy_moved', 'val'),
        error(gluon_fg.get_model, 'i3d_tiny_toy_moves'),
        error(register, net.name, builder, 'toy_moves', 'tiny_clips', 'i3d_tiny'),
        error(register, 'new', builder, 'toy_mover', 'tiny_clips', 'i3d_tiny'),
        error(register, 'new', builder, 'toy_moves', 'tiny_clip', 'i3d_tiny'),
        error(register, 'new', builder, 'toy_moves', 'tiny_clips', 'i3d_tinny'),
        error(register, 'new', builder, 'toy_moves', 'tiny_clips', 'i3d_tiny', dropuot=0.1),
    ],
}))
"""


@pytest.fixture(scope='module')
def used(tmp_path_factory, tiny_synthfg):
    folder = tmp_path_factory.mktemp('toy')
    for name, text in (('toy_dataset', DATASET), ('toy_model', MODEL), ('use', USE)):
        (folder / f'{name}.py').write_text(text)
    for label, name in enumerate(('turn left', 'turn right')):
        (folder / 'data' / 'val' / name).mkdir(parents=True)
        video = sorted((tiny_synthfg / 'val').glob('*.mp4'))[label]
        (folder / 'data' / 'val' / name / 'x.mp4').write_bytes(video.read_bytes())
    command = [sys.executable, folder / 'use.py', folder / 'data']
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_toy_dataset_and_a_toy_model_work_together(used):
    assert used['videos'] == [2, 0, [1, 0]]
    assert used['shape'] == [1, 2] and used['classes'] == ['turn left', 'turn right']
    assert used['info'] == ['MaxNet', 'toy_moves', 2, 'train_time', False]
    assert used['listed'] == ['i3d_tiny_toy_moves_max'] and used['gluoncv'] == 'MaxNet'


def test_their_names_are_among_the_nearest_and_mistakes_get_one_line(used):
    expected = (
        "unknown dataset 'toy_moved'; did you mean 'toy_moves'?",
        "unknown model 'i3d_tiny_toy_moves'; did you mean 'i3d_tiny_toy_moves_max'",
        "model 'i3d_tiny_toy_moves_max' is registered already; choose another name",
        "unknown dataset 'toy_mover'; did you mean 'toy_moves'?",
        "unknown input 'tiny_clip'; did you mean 'tiny_clips'",
        "unknown backbone 'i3d_tinny'; did you mean 'i3d_tiny'",
        "unknown option of new 'dropuot'; did you mean 'dropout'?",
    )
    for line, start in zip(used['errors'], expected):
        assert line.startswith(start) and '\n' not in line
