# All set-up is here: `make figures` and `make test` work on a fresh machine that has python3 and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FIGURES := $(BIN)/landscape figures figures --out figures/out --formats png,pdf --check
NEURON := dark_minimum no_minimum bernoulli conventions o_rings

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv figures figures-all test test-slow lint bench clean FORCE

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "  PYTHON=...        the Python (3.11 or newer) to build on; now: $(PYTHON)"

venv: $(READY) ## Create .venv and install everything that is needed, as pinned in constraints.txt

figures: $(READY) ## Draw the neuron's figures into figures/out and check their claims
	$(FIGURES) $(foreach name,$(NEURON),--only $(name))

figures-all: $(READY) ## Draw all figures, those of networks too, and check their claims
	$(FIGURES)

test: $(READY) ## Run the tests, on all cores
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile --doctest-modules landscape tests

test-slow: $(READY) ## Kill fifty runs at random moments and go on with each (make test: five)
	LANDSCAPE_KILLS=50 $(BIN)/python -m pytest -n auto --maxprocesses 8 tests/test_interruptions.py

lint: $(READY) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(READY) ## Measure speed against NumPy, C, plain JAX and (if installed: '.[peers]') PyTorch
	$(BIN)/python -m benchmarks neuron
	$(BIN)/python -m benchmarks compression
	$(BIN)/python -m benchmarks planes
	$(BIN)/python -m benchmarks interpolation
	$(BIN)/python -m benchmarks minima
	$(BIN)/python -m benchmarks curvature
	$(BIN)/python -m benchmarks many_starts
	$(BIN)/python -m benchmarks trainability
	$(BIN)/python -m benchmarks scaling

clean: ## Remove what the other targets made
	rm -rf $(VENV) .cache .hypothesis .pytest_cache .ruff_cache build dist figures/out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(READY) is written last, so an interrupted installation leaves none. It holds what the environment was made by and for:
# another PYTHON makes a new one, and so does another place, since programs in .venv know where they were installed.
MADE_BY := $(PYTHON) in $(CURDIR)
ifneq ($(MADE_BY),$(shell cat $(READY) 2>/dev/null))
$(READY): FORCE
endif

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo >&2 \
	  "make: '$(PYTHON)' is missing or older than Python 3.11. Install one, then: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@if test "$(MADE_BY)" != "$$(cat $@ 2>/dev/null)" || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  rm -rf $(VENV); \
	  if $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then $(PYTHON) -m venv $(VENV); \
	  elif $(PYTHON) -m venv --without-pip $(VENV) 2>/dev/null && \
	    $(PYTHON) -m pip --python $(BIN)/python install --quiet pip 2>/dev/null; then :; \
	  else rm -rf $(VENV); echo >&2 \
	    "make: '$(PYTHON)' cannot make virtual environments. Install what it lacks (Debian, Ubuntu: apt install python3-venv)."; exit 1; fi; \
	fi
	@rm -f $@
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@echo '$(MADE_BY)' > $@
