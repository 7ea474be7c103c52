# `make demo` and `make test` need nothing but make and a Python >= 3.11: the rest is installed into .venv.
#
#   PYTHON=...         the Python to use (otherwise tools/find-python chooses)
#   VENV=...           where the environment goes (.venv)
#   PYTEST_ARGS=...    more arguments for pytest: make test PYTEST_ARGS='-k radiometry -x'
#   CONSTRAINTS=none   the newest versions instead of those in requirements/constraints.txt
#   TEST_PROCESSES=... processes that make test runs tests in (2)
#   FUZZ_SECONDS=...   how long make fuzz runs (60)
#   FAULTS=small       some of each kind of fault that make test-faults injects, instead of all (full)
#   FAULTS_SEED=...    other faults of the same kinds (1)
#   FAULTS_TABLE=...   file that make test-faults writes its table to

VENV ?= .venv
VENV_SYSTEM ?= .venv-system
VENV_CLIENTS ?= .venv-clients
VENV_TORCH ?= .venv-torch
VENV_SCALE ?= .venv-scale
VENV_DOCS ?= .venv-docs
DEMO_OUTPUT ?= demo-output
FUZZ_SECONDS ?= 60
TEST_PROCESSES ?= 2
FAULTS ?= full
FAULTS_SEED ?= 1
export CONSTRAINTS FAULTS FAULTS_SEED FAULTS_TABLE

# pytest's exit code 5 means that it found no test, which is a failure that deserves a word.
run_pytest = -m pytest -q -n $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS) || { code=$$?; \
	[ $$code -ne 5 ] || echo "pytest found no test to run, which counts as a failure" >&2; exit $$code; }

.DEFAULT_GOAL := help
.PHONY: help setup setup-system setup-clients setup-torch setup-scale setup-docs demo test test-quick test-system-gdal test-clients test-torch test-scale test-report test-faults test-benchmarks fuzz fuzz-atheris bench docs lint format types check dist constraints clean

help: ## List these targets
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | awk -F ':.*## ' '{ printf "  make %-18s %s\n", $$1, $$2 }'

setup: ## Make the environment .venv, unless it is there already
	@python=$$(sh tools/find-python) && "$$python" tools/setup_venv.py $(VENV)

# Python 3.11 first: GDAL's wheel does not exist for it, so this is the set-up its users have.
setup-system: ## Make .venv-system, with bindings built for the system's libgdal
	@python=$$(sh tools/find-python 3.11 3.12 3.13 3.14) && \
		"$$python" tools/setup_venv.py $(VENV_SYSTEM) --gdal system

# cdsetool and eodag bring much of their own (geopandas, boto3), in versions that the constraints do not allow.
# eopf carries the JSON Schemas of STAC's extensions; nothing of its code runs, so what that needs is left out.
setup-clients:
	@python=$$(sh tools/find-python) && CONSTRAINTS=none "$$python" tools/setup_venv.py $(VENV_CLIENTS) --extras clients,test
	@$(VENV_CLIENTS)/bin/python -m pip -q --disable-pip-version-check install --no-deps 'eopf==2.8.1'

# The pinned PyTorch is a build for CPUs, and there is one for Python 3.11 only.
setup-torch:
	@python=$$(sh tools/find-python 3.11) && \
		"$$python" tools/setup_venv.py $(VENV_TORCH) --gdal system --extras torch,lightning,test

# s3 needs versions of botocore and of what it needs that the constraints do not allow.
setup-scale:
	@python=$$(sh tools/find-python) && CONSTRAINTS=none "$$python" tools/setup_venv.py $(VENV_SCALE) --extras dask,s3,s3-server,workflows,test

setup-docs:
	@python=$$(sh tools/find-python) && "$$python" tools/setup_venv.py $(VENV_DOCS) --extras docs,test

demo: setup ## Synthesise two products and run the whole pipeline on them
	@$(VENV)/bin/s2pipe demo --out $(DEMO_OUTPUT)

test: setup ## Run the tests
	@$(VENV)/bin/python $(run_pytest)

test-quick: setup ## Run the tests that take no more than a few seconds each
	@$(VENV)/bin/python -m pytest -q -m "not slow and not faults and not benchmarks" $(PYTEST_ARGS)

test-system-gdal: setup-system ## Run the tests against the system's GDAL
	@$(VENV_SYSTEM)/bin/python $(run_pytest)

test-clients: setup-clients ## Let other tools read what is written and search the local test service
	@$(VENV_CLIENTS)/bin/python -m pytest -q tests/clients tests/docs/test_code_blocks.py $(PYTEST_ARGS)

test-torch: setup-torch ## Read patches with PyTorch: batches, shuffling, resuming, samplers, a small U-Net, the docs' examples
	@$(VENV_TORCH)/bin/python -m pytest -q tests/torch tests/readers tests/docs/test_code_blocks.py $(PYTEST_ARGS)

test-scale: setup-scale ## Run one dataset on Dask's workers and as shards of a job array, and from object storage (moto), and compare every byte
	@$(VENV_SCALE)/bin/python -m pytest -q tests/scale $(PYTEST_ARGS)

test-report: setup ## Open reports in headless Chromium (apt install chromium): controls, colours, names for screen readers
	@S2PIPE_BROWSER=1 $(VENV)/bin/python -m pytest -q tests/report $(PYTEST_ARGS)

test-faults: setup ## Kill, starve, damage and attack every step (FAULTS=small, FAULTS_SEED=1, FAULTS_TABLE=FILE)
	@$(VENV)/bin/python -m pytest -q -m faults tests/faults tests/download/test_kill.py $(PYTEST_ARGS)

test-benchmarks: setup ## Run every benchmark on sizes that take seconds, and check what it runs
	@$(VENV)/bin/python -m pytest -q -m benchmarks tests/benchmarks $(PYTEST_ARGS)

fuzz: setup ## Feed damaged and hostile files to every reader (FUZZ_SECONDS=60, FUZZ_TARGET=...)
	@$(VENV)/bin/python -m tests.fuzz --seconds $(FUZZ_SECONDS) $(if $(FUZZ_TARGET),--target $(FUZZ_TARGET))

# Atheris follows the branches that an input takes. It has wheels for some Pythons on Linux only.
fuzz-atheris: setup ## The same with Atheris, for one target (FUZZ_TARGET=product_xml)
	@$(VENV)/bin/python -m pip -q install 'atheris>=2.3'
	@$(VENV)/bin/python -m tests.fuzz.atheris_runner $(or $(FUZZ_TARGET),product_xml) -max_total_time=$(FUZZ_SECONDS)

bench: setup ## Run the benchmarks
	@$(VENV)/bin/python -m pytest benchmarks --benchmark-only $(PYTEST_ARGS)

docs: setup-docs ## Build the documentation's site into site/, strictly, and run its notebooks
	@NO_MKDOCS_2_WARNING=1 $(VENV_DOCS)/bin/mkdocs build
	@$(VENV_DOCS)/bin/python -m pytest -q tests/docs $(PYTEST_ARGS)

lint: setup ## Check style and formatting
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check

format: setup ## Put style and formatting right
	@$(VENV)/bin/ruff check --fix
	@$(VENV)/bin/ruff format

types: setup ## Check the types
	@$(VENV)/bin/mypy

check: lint types test ## All of lint, types and test

dist: setup ## Build source archives and wheels of s2pipe and s2kernels into dist/ and try them in empty environments
	@rm -rf build kernels/build dist
	@$(VENV)/bin/python -m build --outdir dist kernels >/dev/null
	@S2PIPE_KERNELS=by-name $(VENV)/bin/python -m build --outdir dist . >/dev/null
	@$(VENV)/bin/python tools/check_dist.py dist

constraints: ## Take the newest versions into requirements/constraints.txt
	@python=$$(sh tools/find-python) && "$$python" tools/refresh_constraints.py

clean: ## Remove environments, caches and everything built
	rm -rf .venv .venv.lock .venv-system .venv-system.lock .venv-clients .venv-clients.lock .venv-torch .venv-torch.lock .venv-scale .venv-scale.lock .venv-docs .venv-docs.lock build dist site *.egg-info kernels/build kernels/*.egg-info $(DEMO_OUTPUT)
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find s2pipe kernels tests benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
