"""gluon_fg: fine-grained action recognition in video, as an extension of the GluonCV model zoo."""

from . import _runtime  # noqa: F401  (first: fixes the order in which mxnet and decord are loaded)

__version__ = '0.1.0'
