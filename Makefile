# Everything that a developer or the CI does. Needs Python 3.11 to 3.13 and make; the rest comes with `make setup`.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.stamp
STAMP_GPU := .venv/.stamp-gpu

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup setup-gpu lock lint types check test web test-embed test-mcu test-nightly demo build clean

help:  ## What there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS=$$'\t' read -r name text; do \
		printf '  make %-10s %s\n' "$$name" "$$text"; done

setup: $(STAMP)  ## Create .venv with the exact versions of constraints.txt

setup-gpu: $(STAMP_GPU)  ## As setup, with the CUDA libraries (Linux on x86-64)

# pip is the last thing that venv writes, so a half-made environment is made again.
$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "error: there is no python3.11 or python3 here; install Python 3.11, 3.12 or 3.13." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else "error: " + sys.executable + " is Python %d.%d; edgecifar needs 3.11, 3.12 or 3.13: make PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	@"$(PYTHON)" -c 'import ensurepip, venv' || { echo "error: $(PYTHON) cannot create environments; install its venv package (Debian: python3-venv)." >&2; exit 1; }
	"$(PYTHON)" -m venv .venv

$(STAMP): constraints.txt pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --no-deps --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --no-deps --no-build-isolation -e .
	touch $@

$(STAMP_GPU): constraints-gpu.txt $(STAMP)
	$(BIN)/python -m pip install --no-deps --require-hashes -r constraints-gpu.txt
	touch $@

# Keeps the versions that are pinned already; `make lock UPGRADE=--upgrade` takes the newest.
lock: export UV_CUSTOM_COMPILE_COMMAND := make lock
lock: $(STAMP)  ## Resolve the versions and hashes in constraints.txt and constraints-gpu.txt
	$(BIN)/uv pip compile $(UPGRADE) --quiet --universal --generate-hashes --no-annotate --group dev --extra openvino --extra tflm --extra vela pyproject.toml -o constraints.txt
	$(BIN)/uv pip compile $(UPGRADE) --quiet --universal --generate-hashes --no-annotate --group dev --extra openvino --extra tflm --extra vela --extra gpu pyproject.toml -o constraints-gpu.txt

lint: $(STAMP)  ## Style, formatting, and which module may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)  ## Static types
	$(BIN)/mypy

check: lint types  ## lint and types

# The environment variable EDGECIFAR_DATA_DIR tells tests where all of CIFAR-10 lies; those that need it are skipped
# without.
test: check  ## check, then the tests with coverage, without those of test-embed and test-mcu
	$(BIN)/pytest -m 'not embed and not mcu' --cov --cov-report=term

web: $(STAMP)  ## Build the pages of the browser engines in the user's cache folder (needs npm)
	$(BIN)/python -m edgecifar.runtimes.web

test-embed: web  ## Tests that need Chromium, npm packages, emulators or cross-compilers
	$(BIN)/pytest -m embed

# Random networks, many more than `make test` takes, beside everything else: two cores have work.
RANDOM_TESTS := tests/microcontroller/test_random_networks.py
MCU_TESTS := tests/microcontroller tests/runtimes/test_generated_c.py tests/runtimes/test_boards.py \
	tests/pipeline/test_translating.py tests/exporting/targets/test_mcu.py \
	tests/benchmarks/test_benchmarks.py::test_microcontroller
RANDOM_NETWORKS := 200
MCU_IMAGES := 1000
test-mcu: export EDGECIFAR_RANDOM_NETWORKS = $(RANDOM_NETWORKS)
test-mcu: export EDGECIFAR_MCU_IMAGES = $(MCU_IMAGES)
test-mcu: $(STAMP)  ## Generated C against the engines, here and on emulated boards (needs clang, Arm's gcc, qemu)
	@log=$$(mktemp); status=0; \
	$(BIN)/pytest -p no:cacheprovider $(RANDOM_TESTS) > "$$log" 2>&1 & random=$$!; \
	$(BIN)/pytest -m mcu $(MCU_TESTS) --ignore $(RANDOM_TESTS) || status=1; \
	wait $$random || status=1; cat "$$log"; rm "$$log"; exit $$status

test-nightly: RANDOM_NETWORKS := 1000
test-nightly: MCU_IMAGES := 10000
test-nightly: test-mcu  ## test-mcu over all test images (EDGECIFAR_DATA_DIR) and 1,000 random networks: takes long

demo: $(STAMP)  ## The whole job on the data in the package: train, compress, export, verify
	$(BIN)/edgecifar train --recipe demo --out runs/demo --force
	$(BIN)/edgecifar export runs/demo --format all --out runs/demo-bundle --force
	$(BIN)/edgecifar verify runs/demo-bundle

build: $(STAMP)  ## The wheel and the source archive, in dist/
	$(BIN)/python -m build --no-isolation

clean:  ## Remove what tools and builds left; keeps .venv, runs and exported
	rm -rf build dist *.egg-info .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
