# make demo | test | board | lint | clean.  Python 3.11+ and make are all that is needed.

PYTHON ?= python3
# What pip is asked for first and alone, so that its own configuration decides between CPU and CUDA
# builds, or this variable does: make test TORCH="torch --index-url ADDRESS".
TORCH ?= torch
LOGDIR ?= runs
# Threads that wait for one another spin only briefly: kinder where other processes want the cores.
export GOMP_SPINCOUNT ?= 20000
# The products of the theory are small: several threads of NumPy's BLAS only slow them.
export OPENBLAS_NUM_THREADS ?= 1

BIN := .venv/bin
INSTALLED := .venv/.stamp-installed

.PHONY: demo test board lint clean

demo: $(INSTALLED)
	$(BIN)/spectrain demo

# Two processes of one thread each: the tests are many and small.
test: $(INSTALLED)
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile

board: $(INSTALLED)
	$(BIN)/spectrain board $(LOGDIR)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What can be made again; runs and figures are kept.
clean:
	rm -rf .venv build dist src/*.egg-info *.egg-info .coverage coverage.xml
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("PYTHON: expected Python 3.11 or newer, got " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt $(TORCH)
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	touch $@
