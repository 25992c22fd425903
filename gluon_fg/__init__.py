"""gluon_fg: fine-grained action recognition in video, as an extension of the GluonCV model zoo.

net = gluon_fg.get_model('i3d_resnet50_v1_kinetics400_dfb')
gluon_fg.predict('clip.mp4', model='i3d_tiny_synthfg_dfb', params='final.params', topk=3)
"""

from . import _runtime  # isort: skip  (first: fixes the order in which MXNet and decord are loaded)

__version__ = '0.1.0'
__all__ = ['get_model', 'list_models', 'model_info', 'predict', 'register_model']

if not _runtime.LATER:  # the doctor never comes here; the command does once it needs a network (cli/base.py)
    from .evaluation.predict import predict
    from .factory import add_to_gluoncv, get_model, list_models, model_info, register_model

    add_to_gluoncv()
