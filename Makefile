# The commands of this project. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BENCH := build/bench
LOCKED := --universal --python-version 3.11 --generate-hashes --no-config --quiet --custom-compile-command "make lock"
HUGGING := build/transformers
TORCH ?= torch==2.13.0
PEER_NAMES := mlserver bentoml litserve mlflow

.DEFAULT_GOAL := help
.PHONY: help install serve check test transformers bench wheel lock clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 10

install: $(INSTALLED) ## Make .venv with the locked dependencies and this project in it

$(INSTALLED): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("modeld needs Python 3.11 or newer, found " + sys.version.split()[0])'
	@echo "Installing into $(VENV); the first time takes a minute or two."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

serve: install ## Serve the models of this folder
	@exec $(BIN)/modeld serve

check: install ## Lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: install check ## The checks, then all tests
	$(BIN)/python -m pytest -n 2 -m "not gpu and not serial and not transformers"
	$(BIN)/python -m pytest -m "serial and not gpu"
	@$(MAKE) --no-print-directory transformers

# An environment of its own that sees what is installed in the first one: torch is large.
transformers: $(HUGGING)/.installed ## The tests of Hugging Face models
	$(HUGGING)/bin/python -m pytest -m "transformers and not gpu" tests/transformers

$(HUGGING)/.installed: $(INSTALLED)
	@echo "Installing torch and transformers into $(HUGGING)."
	@$(PYTHON) -m venv $(HUGGING)
	@$(BIN)/python -c "import sysconfig; print('import site; site.addsitedir(%r)' % sysconfig.get_path('purelib'))" \
		> "$$($(HUGGING)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/modeld.pth"
	@$(BIN)/python -m pip freeze --disable-pip-version-check --exclude-editable > $(HUGGING)/constraints.txt
	@$(HUGGING)/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint $(HUGGING)/constraints.txt $(TORCH) "transformers>=5,<6"
	@touch $@

bench: install $(BENCH)-modeld/.installed $(BENCH)/.installed $(BENCH)-columns/.installed $(if $(PEERS),$(PEER_NAMES:%=$(BENCH)-%/.installed)) ## Measure speed and memory beside other servers (PEERS=1 adds more of them, ARGS=--quick is short)
	@rm -rf build/wheel
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir build/wheel .
	@$(BENCH)-modeld/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall build/wheel/*.whl
	@$(BIN)/python -m benchmarks $(if $(PEERS),--peers) $(ARGS)

# modeld as it is installed to serve: what tests and checks need would be imported along with
# scikit-learn.
$(BENCH)-modeld/.installed: deploy/server.lock
	@$(PYTHON) -m venv $(BENCH)-modeld
	@$(BENCH)-modeld/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r deploy/server.lock
	@touch $@

# The versions of the lock as constraints: both sides predict with the same libraries.
$(BENCH)/.installed: benchmarks/requirements.txt requirements.lock
	@$(PYTHON) -m venv $(BENCH)
	@$(BIN)/python -m pip freeze --disable-pip-version-check --exclude-editable > $(BENCH)/constraints.txt
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint $(BENCH)/constraints.txt --requirement benchmarks/requirements.txt
	@touch $@

# What conflicts with modeld or would slow others down. Only what opens the model is constrained;
# where pip fails, the report says so in the server's row.
$(BENCH)-%/.installed: benchmarks/requirements-%.txt $(BENCH)/.installed
	@echo "Installing $* into $(BENCH)-$*."
	@$(PYTHON) -m venv $(BENCH)-$*
	@grep -E '^(joblib|scikit-learn)==' $(BENCH)/constraints.txt > $(BENCH)-$*/constraints.txt
	@rm -f $(BENCH)-$*/failed.txt
	@$(BENCH)-$*/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint $(BENCH)-$*/constraints.txt --requirement benchmarks/requirements-$*.txt \
		2> $(BENCH)-$*/pip.txt || cp $(BENCH)-$*/pip.txt $(BENCH)-$*/failed.txt
	@touch $@

wheel: install ## Build the wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

lock: ## Remake the locks with the newest versions that pyproject.toml allows
	@$(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	build/lock/bin/uv pip compile pyproject.toml --group dev $(LOCKED) --upgrade --output-file requirements.lock
	build/lock/bin/uv pip compile pyproject.toml $(LOCKED) --constraint requirements.lock --output-file deploy/server.lock
	build/lock/bin/uv pip compile --group build $(LOCKED) --constraint requirements.lock --output-file deploy/build.lock

clean: ## Remove what can be made again
	rm -rf $(VENV) build dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
