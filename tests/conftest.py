"""What every test shares: quiet TensorFlow, fixed seeds, float32, and the folder of research data where it exists."""

import gc
import os
from pathlib import Path

# Before the first import of TensorFlow, which reads them once.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A thread for each of the processes that share the cores; operations of tests are too small to be shared out.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
# Before the first import of JAX: closed forms are compared in float64.
os.environ.setdefault("JAX_ENABLE_X64", "1")

import pytest

from keras_fvvae.utils.cores import usable_cores
from tests.support.small_data import (  # noqa: F401  (fixtures of several folders)
    _video_files,
    folder,
    recipe,
    small_disk,
    video_recipe,
    videos,
)

# Keras is imported where it is used: pytest-xdist's first process only hands out tests, and need not wait for it.

SHARED = Path(os.environ.get("KERAS_FVVAE_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture
def shared():
    """The folder with the authors' released weights, their outputs, small backbones and the paper."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the research data of {SHARED}, which is not part of the repository (KERAS_FVVAE_SHARED)")
    return SHARED


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Of `-n auto`: with taskset or in a container fewer than the machine's cores."""
    return usable_cores()


@pytest.fixture(scope="module", autouse=True)
def _nothing_of_other_modules():
    """Keras's global state, such as counters of names, does not grow from module to module."""
    import keras

    yield
    keras.backend.clear_session()


@pytest.fixture(autouse=True)
def _precision(monkeypatch):
    from tests.support import backends

    if not backends.on_tensorflow():
        backends.compare_in_single_precision(monkeypatch)


@pytest.fixture(autouse=True)
def _same_start():
    """Every test starts from the same seeds and leaves no dtype policy behind."""
    import keras

    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


def pytest_collection_modifyitems(items):
    """The pages' walks, which take longest, come first; on another backend what uses TensorFlow itself is skipped."""
    import keras

    from tests.support import backends

    items.sort(key=lambda item: item.path.name != "test_docs.py")
    backends.prepare()
    if backends.on_tensorflow():
        return
    for item in items:
        if hasattr(item, "function") and backends.uses_tensorflow(item.function):
            item.add_marker(pytest.mark.skip(reason=f"uses TensorFlow itself, not {keras.backend.backend()}"))


def pytest_collection_finish():
    """What is imported and collected stays; the garbage collector, which Keras calls after every module, skips it."""
    gc.collect()
    gc.freeze()
