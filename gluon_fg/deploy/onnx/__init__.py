"""Networks in ONNX, which runtimes without MXNet run: see `to_onnx` and `network_onnx`."""

from .convert import NetworkGraph, network_graph, network_onnx, to_onnx, view_names

__all__ = ['NetworkGraph', 'network_graph', 'network_onnx', 'to_onnx', 'view_names']
