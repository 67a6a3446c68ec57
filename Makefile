# `make demo` and `make test` need Python 3.11 to 3.13 and a package index, nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed
# Processes that share the tests; `auto`: one for each usable core.
JOBS ?= auto
# A file's tests stay in one process, which makes what they share once; in the order of the folders, as long ones lie early.
PYTEST = $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder
# What Python, TensorFlow and codecs of another version could break.
PORTABLE = tests/data tests/layers tests/models tests/export tests/serving tests/compatibility
# What runs on every backend of Keras.
ON_BACKENDS = tests/layers tests/ops tests/models/test_compiled_encoding.py
# What the suite skips where a package is missing.
OPTIONAL = tests/backbones/test_hub.py tests/zoo/test_hub.py tests/encoding/test_beam.py tests/layers/test_vlad.py \
    tests/layers/test_gmm_fisher_vector.py tests/features tests/export/test_formats.py \
    tests/export/test_quantization.py tests/encoding/test_ray.py tests/test_site.py

.PHONY: demo test test-system test-slow test-backends test-portable test-optional lint format benchmark weights cards gallery docs clean

demo: $(INSTALLED)  ## Train, encode, classify, export and report on embedded data (3 to 7 minutes on 2 cores)
	$(BIN)/keras-fvvae demo --overwrite

test: $(INSTALLED)  ## Run the test suite
	$(PYTEST) -m "not system and not slow and not gpu"

test-system: $(INSTALLED)  ## Go whole ways as users do: every command of the pages, the demo, the entries, several processes
	$(PYTEST) -m "system and not slow and not gpu" tests

test-slow: $(INSTALLED)  ## Run the tests that take over a minute each, all of a kind where the suite has one, and every check of every variant of a layer
	$(PYTEST) -m slow
	KERAS_FVVAE_ALL=1 $(PYTEST) -q tests/layers -k harness

test-portable: $(INSTALLED)  ## Run the tests that another Python or TensorFlow could break
	$(PYTEST) -q -m "not slow and not gpu and not once" $(PORTABLE)

test-optional: $(INSTALLED)  ## Run what needs more packages: KerasHub, the Hub, Beam, Ray, Lance, ONNX, LiteRT, OpenVINO, the site, parity with VLFeat and scikit-image
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable ".[test,beam,hub,lance,onnx,litert,openvino,quantize,ray,docs]" scikit-image
	$(BIN)/python -c "import ai_edge_litert, ai_edge_quantizer, apache_beam, huggingface_hub, keras_hub, lance, onnxruntime, openvino, ray, skimage"
	$(BIN)/python -m pip install --disable-pip-version-check --quiet cyvlfeat || \
		echo "cyvlfeat cannot be built here: parity with VLFeat is not tested (it needs libvlfeat-dev, Cython and -Icyvlfeat)"
	$(PYTEST) -q -m "not slow and not gpu" $(OPTIONAL)

test-backends: $(INSTALLED)  ## Run tests of layers and encoding on Keras's JAX and PyTorch backends
	$(BIN)/python -m pip install --disable-pip-version-check --quiet jax torch==2.13.0
	# XLA optimises little: what a test compiles runs a few times.
	KERAS_BACKEND=jax XLA_FLAGS=--xla_backend_optimization_level=0 $(PYTEST) -q -m "not once" $(ON_BACKENDS)
	KERAS_BACKEND=torch $(PYTEST) -q -m "not once" $(ON_BACKENDS)

lint: $(INSTALLED)  ## Check style and types
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(INSTALLED)  ## Mend style
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

benchmark: $(INSTALLED)  ## Measure everything against its peer or the bare backbone
	$(BIN)/keras-fvvae benchmark
	$(BIN)/python -m keras_fvvae.benchmarks.long.video --memory-items 1000
	$(BIN)/python -m keras_fvvae.benchmarks.long.svm
	$(BIN)/python -m keras_fvvae.benchmarks.long.serving

weights: $(INSTALLED)  ## Train the weights that ship with entries of the zoo, and record their SHA-256 and results
	$(BIN)/python zoo/weights/make.py

cards: $(INSTALLED)  ## Write docs/zoo/ and the table of entries in docs/zoo.md from the recipes
	$(BIN)/python docs/make_cards.py

gallery: $(INSTALLED)  ## Make the pictures of docs/gallery.md
	$(BIN)/python docs/make_gallery.py

docs: $(INSTALLED)  ## Build the site into site/; a warning is an error
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable ".[docs]"
	$(BIN)/python docs/make_site.py

# Made anew when the requirements change.
$(INSTALLED): setup.py requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable ".[test]"
	touch $@

clean:  ## Remove the environment and what the demo wrote
	rm -rf $(VENV) .ci-venv* .mypy_cache runs
