# Each target alone does everything on a fresh clone: it finds a Python, makes .venv, then runs.
# PYTHON=/path/to/python picks the interpreter; HOROVOD=0 leaves Horovod out (one process only).
.PHONY: setup demo test bench lint

# The tests' numbers depend on how many threads share a sum, and jobs of several ranks must not fight for cores.
test: export OMP_NUM_THREADS ?= 1
demo test bench: export PATH := $(CURDIR)/.venv/bin:$(PATH)

setup:
	@sh scripts/setup_env.sh

demo: setup
	@.venv/bin/gluon-fg demo

test: setup
	.venv/bin/python -m pytest tests -q -n 2 --dist loadfile

bench: setup
	@.venv/bin/gluon-fg benchmark

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
