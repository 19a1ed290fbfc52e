# make demo: everything, on the bundled data. make test: the tests. Both make .venv first where there is none.
PYTHON ?= python3
VENV := .venv
# relative, as in recipes the shell would take apart a path with a space, a quote or a dollar
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# two at a time, since most of a test's time is one core at work; a file stays together for its fixtures
TWO := -n 2 --dist loadfile

export PATH := $(CURDIR)/$(BIN):$(PATH)
# many images set it: without bytecode, each process compiles all that it imports anew, which doubles its time
unexport PYTHONDONTWRITEBYTECODE
# uv does not read pip's settings: hand its links and index on
pip_setting = $(shell $(BIN)/python -m pip config get $(1) 2>/dev/null)

.PHONY: demo server test test-slow soak lint docs audit bench install clean

demo: install
	dnapair run

# MLflow's own variables say what is served where (docs/team.md); without them, this folder's records on 127.0.0.1:5000
ifndef MLFLOW_BACKEND_STORE_URI
server: export MLFLOW_BACKEND_STORE_URI := sqlite:///mlflow.db
# where runs that log without a server put theirs
server: export MLFLOW_DEFAULT_ARTIFACT_ROOT := $(CURDIR)/mlruns
endif
server: export MLFLOW_WORKERS ?= 1
# the job runner is for generative models: 13 processes more
server: export MLFLOW_SERVER_ENABLE_JOB_EXECUTION ?= false
server: export MLFLOW_DISABLE_TELEMETRY ?= true
server: install
	mlflow server $(if $(MLFLOW_AUTH_CONFIG_PATH),--app-name basic-auth)

test: install
	pytest $(TWO)

# in the order of tests/conftest.py: xdist's own leaves the longest files for the end, as they have few tests
test-slow: install
	pytest -m 'slow and not soak' $(TWO) --no-loadscope-reorder

soak: install
	pytest -m soak

lint: install
	ruff check .
	ruff check --preview --select PLW1514 src benchmarks
	ruff format --check .
	mypy
	lint-imports
	check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/idea.yml
	check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	hadolint Dockerfile

docs: install
	python docs/build.py

audit: install
	.ci/audit

bench: install
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[bench]'
	python benchmarks/embedding.py

install: $(STAMP)

$(STAMP): requirements.txt constraints.txt pyproject.toml
	@echo "== Installing the pinned packages into $(VENV) (about a minute, 4 GB)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@links="$${PIP_FIND_LINKS:-$(call pip_setting,global.find-links)}"; \
	index="$${PIP_INDEX_URL:-$(call pip_setting,global.index-url)}"; \
	[ -z "$$links" ] || export UV_FIND_LINKS="$$links"; \
	[ -z "$$index" ] || export UV_DEFAULT_INDEX="$$index"; \
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) artifacts data build site
