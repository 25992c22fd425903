"""What the benchmark times beside this package: the same network in PyTorch, ONNX Runtime and OpenVINO, and bare gemm.

Each runs in a process of its own (`deploy.worker`), without MXNet, from files that `graph_files` writes.
"""
