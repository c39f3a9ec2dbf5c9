# make quickstart   train a small language model on real text, evaluate it, let it write
# make test         the suite, on JAX with TensorFlow blocked and on TensorFlow
# make check        format, lint, types, import layers
# make test-long    what takes minutes: whole runs, meshes, every command of the README
# Each makes .venv when it is missing. Another Python: make PYTHON=python3.12 quickstart

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
REFERENCES := $(VENV)/installed-references
INSTALL = $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check install --quiet \
	-c constraints/$$($(BIN)/python -c '$(TAG)').txt

# Where tests find local data sets; without any, tests that need one are skipped.
export LM_DATA_DIR ?= $(abspath $(wildcard ../shared/data))

RUN := runs/quickstart
PROMPT := "Return a new list containing "

# A process for each core, at most four: each loads the frameworks.
PYTEST := $(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal

QUICK := -m "not slow and not parity"

# What runs on every engine; the rest of lm/ is TensorFlow's, JAX's or plain Python.
NEUTRAL := $(wildcard $(foreach part,nn models objectives decode optim,tests/$(part) lm/$(part)) \
	tests/engines tests/test_catalogue.py)

# Programs of a test run once or twice, and LLVM's passes would take longer than they do. Those of
# `make test-long` are compiled as users compile them.
HASTY := --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true

WITH_JAX := KERAS_BACKEND=jax $(PYTEST) --block-tensorflow
WITH_TENSORFLOW := KERAS_BACKEND=tensorflow $(PYTEST)

# The pages of the API reference: all modules but commands and those that need another extra. pdoc
# finds what lies in a package without `__all__` by itself, and warns of what it has found twice.
MODULES = $(subst /,.,$(patsubst %/__init__,%,$(basename $(sort $(filter-out \
	lm/__main__.py lm/cli/%,$(shell find lm tasks -name '*.py')))))) \
	'!lm\.cli' '!lm\.bench\.against_' '!lm\.bench\.torch_' '!lm\..*onnx' '!lm\.inference\.harness'

.PHONY: quickstart test test-long check reliability parity golden docs tasks format clean

quickstart: $(INSTALLED)
	$(BIN)/lm train --gin_file=gin/quickstart.gin --workdir=$(RUN)
	$(BIN)/lm eval --workdir=$(RUN)
	$(BIN)/python tools/gzip_and_xz.py
	$(BIN)/lm generate --workdir=$(RUN) --prompt=$(PROMPT) --gin_file=decode/sample.gin

test: $(INSTALLED)
	XLA_FLAGS="$(HASTY) --xla_cpu_use_fusion_emitters=false $$XLA_FLAGS" $(WITH_JAX) $(QUICK) $(NEUTRAL)
	XLA_FLAGS="$(HASTY) $$XLA_FLAGS" $(WITH_TENSORFLOW) $(QUICK)

test-long: $(INSTALLED)
	$(WITH_JAX) -m slow $(NEUTRAL)
	$(WITH_TENSORFLOW) -m slow

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy lm tasks
	$(BIN)/lint-imports

# All bars of reliability in long form; prints the table of docs/reliability.md.
reliability: $(INSTALLED)
	$(BIN)/python -m tests.reliability

# Against other libraries, on the same random weights.
parity: $(REFERENCES)
	$(PYTEST) -m parity
	$(PYTEST) tests/inference/test_export_onnx.py

# Rewrites the golden files from these libraries: read the diff like code.
golden: $(REFERENCES)
	$(BIN)/python tools/golden.py

# The API reference as pages, from the docstrings: build/docs/index.html.
docs: $(INSTALLED)
	@$(INSTALL) -e ".[test,docs]"
	@echo "make: writing build/docs"
	@PYTHONWARNINGS=ignore $(BIN)/pdoc --docformat google --output-directory build/docs $(MODULES)

# The list of tasks that `lm list tasks` prints: after a task is added.
tasks: $(INSTALLED)
	$(BIN)/python tools/task_index.py

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

TAG = import sys; print("py%d%d" % sys.version_info[:2])
SUPPORTED = import sys; v = sys.version_info; \
	sys.exit(None if (3, 11) <= v < (3, 14) else "make: $(PYTHON) is Python %d.%d; seqlm needs \
	3.11 to 3.13: make PYTHON=python3.12 $(MAKECMDGOALS)" % v[:2])

# pip works from outside, so that a Python without ensurepip (Debian's) can do this too.
$(INSTALLED): setup.py pyproject.toml $(wildcard constraints/*.txt)
	@$(PYTHON) -c '$(SUPPORTED)'
	@echo "make: installing into $(VENV); the first time it fetches about 1 GB"
	@test -x $(BIN)/python || $(PYTHON) -m venv --without-pip $(VENV)
	@$(INSTALL) pip -e ".[test]"
	@touch $@

$(REFERENCES): $(INSTALLED)
	@echo "make: installing torch, transformers, ctranslate2 and ONNX Runtime"
	@$(INSTALL) -e ".[test,parity]"
	@touch $@
