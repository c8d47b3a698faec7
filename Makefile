# All set-up is here: `make figures` and `make test` work on a fresh machine that has python3 and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := .venv-peers
PEERS_PYTHON ?= $(BIN)/python
PEERS_READY := $(PEERS)/.ready
PINNED := benchmarks/peers/requirements.txt benchmarks/peers/no-deps.txt
FIGURES := $(BIN)/landscape figures figures --out figures/out --formats png,pdf --check
NEURON := dark_minimum no_minimum bernoulli conventions o_rings

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv figures figures-all test test-slow lint bench bench-full bench-peers clean FORCE

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "  PYTHON=...        the Python (3.11 or newer) to build on; now: $(PYTHON)"

venv: $(READY) ## Create .venv and install everything that is needed, as pinned in constraints.txt

figures: $(READY) ## Draw the neuron's figures into figures/out and check their claims
	$(FIGURES) $(foreach name,$(NEURON),--only $(name))

figures-all: $(READY) ## Draw all figures, those of networks too, and check their claims
	$(FIGURES)

test: $(READY) ## Run the tests, on all cores
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder --doctest-modules landscape tests

test-slow: $(READY) ## Kill fifty runs at random moments and go on with each (make test: five)
	LANDSCAPE_KILLS=50 $(BIN)/python -m pytest -n auto --maxprocesses 8 tests/test_interruptions.py

lint: $(READY) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(READY) ## Measure speed at small sizes (beside PyTorch after bench-peers)
	$(BIN)/python -m benchmarks --quick

bench-full: $(READY) $(PEERS_READY) ## Measure everything, keep the results, write the README's tables from them
	$(BIN)/python -m benchmarks all --full
	$(BIN)/python -m benchmarks report

bench-peers: $(PEERS_READY) ## Create .venv-peers with PyTorch and other tools, as pinned, to compare with

clean: ## Remove what the other targets made
	rm -rf $(VENV) $(PEERS) .cache .hypothesis .pytest_cache .ruff_cache build dist figures/out
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

# The peers' environment is made in the same way, by the pip of .venv; Landscaper runs on no newer Python than 3.12.
PEERS_MADE_BY := $(PEERS_PYTHON) in $(CURDIR)
ifneq ($(PEERS_MADE_BY),$(shell cat $(PEERS_READY) 2>/dev/null))
$(PEERS_READY): FORCE
endif

$(PEERS_READY): $(PINNED) | $(READY)
	@$(PEERS_PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || { echo >&2 \
	  "make: '$(PEERS_PYTHON)' is not Python 3.11 or 3.12, which the peers need. Install one, then: make bench-peers PEERS_PYTHON=python3.12"; exit 1; }
	rm -rf $(PEERS)
	$(PEERS_PYTHON) -m venv --without-pip $(PEERS)
	$(BIN)/python -m pip --python $(PEERS)/bin/python install --quiet --disable-pip-version-check -r $(word 1,$(PINNED))
	$(BIN)/python -m pip --python $(PEERS)/bin/python install --quiet --disable-pip-version-check --no-deps -r $(word 2,$(PINNED))
	@echo '$(PEERS_MADE_BY)' > $@
