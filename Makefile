# Two commands do all the set-up on a fresh machine: `make benchmark` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?=
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help benchmark campaign test test-all dashboard bench lint docs screenshots clean
.DEFAULT_GOAL := help

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# Where the interpreter already has a torch (a CUDA build on a GPU host), the virtual environment
# sees the system's packages and that torch is kept. Elsewhere constraints/cpu.txt gives the CPU one.
$(BIN)/python:
	@$(PYTHON) tools/make_venv.py $(VENV)

$(VENV)/.benchmark: $(BIN)/python pyproject.toml constraints/cpu.txt
	$(BIN)/python tools/install.py torch
	@touch $@

$(VENV)/.dashboard: $(BIN)/python pyproject.toml constraints/cpu.txt
	$(BIN)/python tools/install.py dashboard
	@touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml constraints/cpu.txt
	$(BIN)/python tools/install.py torch dashboard figures dev
	@touch $@ $(VENV)/.benchmark $(VENV)/.dashboard

benchmark: $(VENV)/.benchmark  ## measure on this machine and store the answer (ARGS="--model …")
	$(BIN)/run-benchmark $(ARGS)

campaign: $(VENV)/.benchmark  ## the GPU campaign, in pieces under ten minutes (ARGS=--dry-run)
	$(BIN)/run-benchmark campaign results/campaigns/gpu.yaml $(ARGS)

dashboard: $(VENV)/.dashboard  ## look at the database in a browser
	$(BIN)/observatory dashboard --published $(ARGS)

test: $(VENV)/.test  ## run the tests
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile $(ARGS)

test-all: $(VENV)/.test  ## run the slow tests too
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(VENV)/.test  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.test  ## measure the tool itself (performance is never asserted in a test)
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.test  ## write the pages that are made from the code
	$(BIN)/python tools/reference.py
	$(BIN)/python tools/run_benchmark_help.py

screenshots: $(VENV)/.test  ## pictures of every page for docs/ (ARGS="--db FILE"; needs chromium)
	$(BIN)/python -m tools.screenshots $(ARGS)

clean:  ## remove the virtual environment and caches; never results
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis
