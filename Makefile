# `make demo` and `make test` need Python 3.11 to 3.13 and a package index, nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed

.PHONY: demo test test-slow test-backends lint format benchmark weights cards clean

demo: $(INSTALLED)  ## Train, encode, classify, export and report on embedded data (under 3 minutes on 2 cores)
	$(BIN)/keras-fvvae demo --overwrite

test: $(INSTALLED)  ## Run the test suite
	$(BIN)/python -m pytest -m "not slow and not gpu"

test-slow: $(INSTALLED)  ## Run the tests that take over a minute each
	$(BIN)/python -m pytest -m slow

test-backends: $(INSTALLED)  ## Run tests of layers and encoding on Keras's JAX and PyTorch backends
	$(BIN)/python -m pip install --disable-pip-version-check --quiet jax torch==2.13.0
	KERAS_BACKEND=jax $(BIN)/python -m pytest -q tests/layers tests/ops tests/models/test_compiled_encoding.py
	KERAS_BACKEND=torch $(BIN)/python -m pytest -q tests/layers tests/ops tests/models/test_compiled_encoding.py

lint: $(INSTALLED)  ## Check style
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: $(INSTALLED)  ## Mend style
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

benchmark: $(INSTALLED)  ## Measure everything against its peer or the bare backbone
	$(BIN)/keras-fvvae benchmark
	$(BIN)/python -m keras_fvvae.benchmarks.long.video --memory-items 1000
	$(BIN)/python -m keras_fvvae.benchmarks.long.svm
	$(BIN)/python -m keras_fvvae.benchmarks.long.serving

weights: $(INSTALLED)  ## Train the weights that ship with digits_conv, and record their SHA-256
	$(BIN)/python zoo/weights/make.py

cards: $(INSTALLED)  ## Write docs/zoo/ and the README's table of entries from the recipes
	$(BIN)/python docs/make_cards.py

# Made anew when the requirements change.
$(INSTALLED): setup.py requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable ".[test]"
	touch $@

clean:  ## Remove the environment and what the demo wrote
	rm -rf $(VENV) runs
