"""Imports gluon_fg before anything else: mxnet, decord and horovod crash in any other order."""
import gluon_fg  # noqa: F401
