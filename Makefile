# The README's commands. Everything is idempotent and quick the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# More workers than cores only make servers wait for each other.
PYTEST_ARGS ?= -n 2 --dist loadgroup

.PHONY: run test test-long check format lock bench conformance clean

run: $(VENV)/.runtime
	@$(BIN)/pacs-gateway viewer install || echo "going on without the viewer"
	@$(BIN)/python -m sample_dicom sample_dicom/generated
	@$(BIN)/pacs-gateway serve --demo

test: $(VENV)/.test
	@deploy/install-peers.sh
	@$(BIN)/pacs-gateway viewer install || echo "going on without the viewer"
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

test-long: $(VENV)/.test
	@deploy/install-peers.sh
	@$(BIN)/pacs-gateway viewer install || echo "going on without the viewer"
	@$(BIN)/python -m pytest --long $(PYTEST_ARGS)

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell README.md CHANGELOG.md docs pacs_gateway viewer_api sample_dicom benchmarks deploy tests

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:
	$(BIN)/pip install --quiet uv
	$(BIN)/python deploy/lock.py

bench: $(VENV)/.test
	@deploy/install-peers.sh
	@$(BIN)/python -m benchmarks all --markdown

conformance: $(VENV)/.runtime
	@$(BIN)/pacs-gateway conformance > docs/conformance.md
	@$(BIN)/python -m viewer_api.description > docs/dicomweb.md

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/pip
	@sed '/^# --- /,$$d' requirements.lock > $(VENV)/runtime.lock
	@command -v npm >/dev/null || sed '1,/^# --- viewer/d; /^# --- test/,$$d' requirements.lock >> $(VENV)/runtime.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/runtime.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: requirements.lock pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.runtime
