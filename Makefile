# make help says what there is. Set-up is one virtual environment in .venv; second runs take seconds.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := train,serve,synth,horovod,dev
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONDONTWRITEBYTECODE  # tests start a hundred interpreters, and each would compile the package

.DEFAULT_GOAL := help
.PHONY: help setup system demo test test-long test-fast lint bench clean

help:  ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

# The script itself sees whether there is anything to do: another torch or patch, MPI or an NVIDIA driver come or gone.
setup: $(VENV)/.installed  ## .venv with the package and a Horovod built for its torch (first time: about 5 minutes)
	@scripts/install_system_packages.sh --before-build $(BIN)/python
	@scripts/build_horovod.sh $(BIN)/python

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is missing or older than 3.11; install python3, or name another: make setup PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments; install the Debian package python3-venv" >&2; exit 2; }
	@scripts/build_horovod.sh --check $(PYTHON)
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed: pyproject.toml | $(VENV)/.made
	$(BIN)/python -m pip install -e '.[$(EXTRAS)]'
	@touch $@

# Before the Horovod build, so that MPI is built in. Never fails: tests that miss a package are skipped, with the reason.
system:
	@scripts/install_system_packages.sh

demo: setup  ## render words, shard them, train on 2 ranks or one a GPU, evaluate: the whole path (3 minutes on 2 free cores, at most 6 on slow ones)
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/demo.sh

test: system  ## lint and every test (half an hour on 2 slow cores); as root also installs what tests need from Debian
	@$(MAKE) --no-print-directory setup
	@$(MAKE) --no-print-directory lint
	@$(call run_tests,)

test-long: system  ## every test, random faults and fuzzing repeated more often (OPTIONS=--seed=7 repeats a run's draws)
	@$(MAKE) --no-print-directory setup
	@$(call run_tests,--long)

# The unit tests on all cores; then the tests that start ranks, hosts and commands of their own, from two files at a time:
# one waits for timeouts while the other computes. Long files of few tests are not left for the end.
define run_tests
PATH="$(CURDIR)/$(BIN):$$PATH"; status=0; \
	echo "== unit tests"; \
	$(BIN)/python -m pytest -rs -n auto --dist worksteal $(1) $(OPTIONS) tests/unit || status=$$?; \
	echo "== tests that start processes"; \
	$(BIN)/python -m pytest -rs -n 2 --dist loadfile --no-loadscope-reorder $(1) $(OPTIONS) \
		tests/e2e tests/fault tests/hosts tests/ranks || status=$$?; \
	exit $$status
endef

test-fast: setup  ## the unit tests except the slow ones, under a minute
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -rs -n auto --dist worksteal -m "not slow" tests/unit

lint: $(VENV)/.installed  ## ruff (checks and format), mypy, codespell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

bench: setup  ## every benchmark; ends with 1 if a stated bar does not hold (OPTIONS="--record FOLDER" keeps the figures)
	$(BIN)/python -m pip install --quiet -e '.[$(EXTRAS),bench]'
	@status=0; for script in benchmarks/*.py; do \
		echo "== $$script"; PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python $$script $(OPTIONS) || status=1; done; exit $$status

clean:  ## remove what make made (.venv, demo/, caches); Horovod's wheel stays in its cache
	rm -rf $(VENV) demo build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
