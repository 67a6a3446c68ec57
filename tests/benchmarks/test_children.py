import sys

import pytest

from keras_fvvae.benchmarks.harness.children import call_in_child, peak_memory_mb

JOBS = """
def allocate(megabytes):
    return len(b"x" * (megabytes * 2**20))


def fail(message):
    print("working")
    raise ValueError(message)


def backend():
    import os

    return os.environ["KERAS_BACKEND"]
"""


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    (tmp_path / "benchmark_jobs.py").write_text(JOBS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.usefixtures("jobs")
def test_peak_is_that_of_the_child():
    small, large = (call_in_child("benchmark_jobs:allocate", {"megabytes": size}) for size in (1, 150))
    assert large.value == 150 * 2**20
    assert large.reason == ""
    assert large.peak_mb - small.peak_mb > 140
    # Not that of this process, which has TensorFlow.
    assert small.peak_mb < 100 < peak_memory_mb()


@pytest.mark.usefixtures("jobs")
def test_exception_is_the_reason_and_the_output_is_kept(tmp_path):
    outcome = call_in_child("benchmark_jobs:fail", {"message": "no luck"}, tmp_path / "log")
    assert outcome.reason == "ValueError: no luck"
    assert (outcome.value, outcome.peak_mb) == (None, None)
    assert outcome.seconds > 0
    assert (tmp_path / "log").read_text().startswith("working\nTraceback")


@pytest.mark.usefixtures("jobs")
def test_always_on_tensorflow(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert call_in_child("benchmark_jobs:backend", {}).value == "tensorflow"


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_crash_is_named():
    assert call_in_child("os:abort", {}).reason == "killed by SIGABRT"


def test_exit_without_a_word():
    assert call_in_child("os:_exit", {"status": 3}).reason == "exit code 3"
