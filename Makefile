# make demo        measure and draw the circuit of the bundled model
# make test        everything that has to hold before a change lands
# make test-long   the same with 2,000 instead of 200 random examples on which both executors have to agree
# make browser     Debian's chromium, in which the tests of the report run; without it they are skipped
# make docs        what pages show and the pictures on them, made anew by their commands
# make site        the pages as a site: site/index.html
# make bench       times beside TransformerLens' own, how they grow, and memory: a quarter of an hour
#
# Both make .venv if there is none and install from the pins in constraints.txt. To install PyTorch from
# another index (a CUDA or a CPU build), name it: make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
JOBS ?= 2

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO := ioi-mini
ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: demo test test-long lint docs site browser bench clean

demo: $(VENV)/.installed
	$(BIN)/circuitgraph run specs/$(DEMO).yaml --out runs/$(DEMO) --force
	$(BIN)/circuitgraph render runs/$(DEMO) -o runs/$(DEMO).png
	@echo "the picture: runs/$(DEMO).png (and runs/$(DEMO)/circuit.svg)"

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --cov --cov-fail-under=90 --durations=20

test-long: $(VENV)/.installed-dev
	$(BIN)/python -m pytest tests/test_fast.py --hypothesis-profile=long --hypothesis-show-statistics -s

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/.installed-dev
	$(BIN)/python docs/make_reference.py
	$(BIN)/python docs/make_methods.py
	$(BIN)/python docs/make_diagrams.py
	$(BIN)/python docs/make_plots.py
	$(BIN)/python docs/make_compare.py
	$(BIN)/python docs/make_gallery.py
	$(BIN)/python docs/make_specs.py
	$(BIN)/python docs/make_api.py
	$(BIN)/python docs/make_pictures.py
	$(BIN)/python docs/make_report.py
	$(BIN)/python docs/make_notebooks.py
	$(BIN)/python -m tests.matrix

browser:
	@command -v chromium >/dev/null || { $(ROOT) apt-get update -qq && $(ROOT) apt-get install -y --no-install-recommends chromium fonts-dejavu-core; }
	@chromium --version

site: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "open site/index.html"

bench: $(VENV)/.installed
	$(BIN)/python -m tests.benchmarks --speed --growth --memory --estimates --drawing

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("circuitgraph needs Python 3.11 or newer; name one with PYTHON=") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.torch: $(BIN)/python constraints.txt
	$(if $(TORCH_INDEX),$(PIP) install -c constraints.txt --index-url $(TORCH_INDEX) torch)
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml constraints.txt
	$(PIP) install -q -c constraints.txt -e '.[plots]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.torch pyproject.toml constraints.txt
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) runs site dist .pytest_cache .ruff_cache .hypothesis .coverage
