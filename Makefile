# Each target alone does everything on a fresh clone: it finds a Python, makes .venv, then runs.
# PYTHON=/path/to/python picks the interpreter; HOROVOD=0 leaves Horovod out (one process only).
# `make gpu-setup` makes .venv for NVIDIA GPUs instead: MXNet for CUDA, Horovod over NCCL. HOROVOD_CUDA_HOME names the CUDA 11 toolkit.
.PHONY: setup gpu-setup docker-cpu docker-gpu demo test bench lint fuzz kill-test float16-test float16-gpu rank-curves rank-bits

# The tests' numbers depend on how many threads share a sum, and jobs of several ranks must not fight for cores.
test: export OMP_NUM_THREADS ?= 1
# Some shells forbid Python to keep what it compiled: the tests start hundreds of processes, of which each would compile anew.
test: export PYTHONDONTWRITEBYTECODE :=
demo test bench fuzz kill-test rank-curves rank-bits: export PATH := $(CURDIR)/.venv/bin:$(PATH)

setup:
	@sh scripts/setup_env.sh

gpu-setup:
	@GPU=1 sh scripts/setup_env.sh

docker-cpu docker-gpu:
	docker build --file docker/Dockerfile.$(@:docker-%=%) --tag gluon-fg:$(@:docker-%=%) .

demo: setup
	@.venv/bin/gluon-fg demo

test: setup
	.venv/bin/python -m pytest tests -q -n 2 --dist loadfile

# Some 3,200 damaged files, each read as the commands read it: docs/robustness.md. SEED=1 gives others.
fuzz: setup
	OMP_NUM_THREADS=1 .venv/bin/python tests/campaigns/fuzz.py --seed $(or $(SEED),0) --out fuzz.json

# Commands killed at their changes to the disk and started again: docs/robustness.md. SEED=1 hits other moments.
kill-test: export PYTHONPATH := $(CURDIR):$(CURDIR)/tests
kill-test: setup
	OMP_NUM_THREADS=1 .venv/bin/python -m campaigns.kills --jobs 2 --seed $(or $(SEED),0) --out kills.json

# The tiny networks of the methods in emulated float16 beside float32: docs/training.md.
float16-test: export PYTHONPATH := $(CURDIR):$(CURDIR)/tests
float16-test: setup
	OMP_NUM_THREADS=1 .venv/bin/python -m campaigns.float16 --out float16.json

# The graphs of AMP in real float16, by PyTorch on a GPU (pip install torch with CUDA): docs/training.md.
float16-gpu: export PYTHONPATH := $(CURDIR):$(CURDIR)/tests
float16-gpu: setup
	@.venv/bin/python -m campaigns.float16_gpu check runs/float16_gpu
	OMP_NUM_THREADS=1 .venv/bin/python -m campaigns.float16_gpu record runs/float16_gpu
	.venv/bin/python -m campaigns.float16_gpu run runs/float16_gpu --out float16_gpu.json

# The tiny networks on 1, 2, 4 and 8 ranks beside one process, some minutes: docs/scaling.md.
rank-curves: export PYTHONPATH := $(CURDIR):$(CURDIR)/tests
rank-curves: setup
	OMP_NUM_THREADS=1 .venv/bin/python -m campaigns.rank_curves --out ranks.json

# Jobs of 3 and 4 ranks that are repeated, and stopped and resumed, bit for bit: docs/training.md.
rank-bits: export PYTHONPATH := $(CURDIR):$(CURDIR)/tests
rank-bits: setup
	OMP_NUM_THREADS=1 .venv/bin/python -m campaigns.rank_bits

# I3D ResNet-50 and the methods: minutes. `gluon-fg benchmark` alone times the pairs of configs/benchmark.yaml.
bench: setup
	@.venv/bin/gluon-fg benchmark --promises

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
