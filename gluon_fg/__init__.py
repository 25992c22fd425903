"""gluon_fg: fine-grained action recognition in video, as an extension of the GluonCV model zoo.

gluon_fg.predict('clip.mp4', model='runs/mine', topk=3)  # a training run of yours, or a name: i3d_tiny_synthfg_dfb
net = gluon_fg.load_model('runs/mine')  # a network with its weights: net.classes, net.input_spec, net.protocol
net = gluon_fg.get_model('i3d_resnet50_v1_kinetics400_dfb')  # one to train
"""

from . import _runtime  # isort: skip  (first: fixes the order in which MXNet and decord are loaded)

__version__ = '0.1.0'
__all__ = ['get_model', 'list_models', 'load_model', 'model_info', 'predict', 'register_model']

if not _runtime.LATER:  # the doctor never comes here; the command does once it needs a network (cli/base.py)
    from .api import load_model, predict
    from .factory import add_to_gluoncv, get_model, list_models, model_info, register_model

    add_to_gluoncv()
