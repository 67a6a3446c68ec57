"""Memory that is given back: the pages of memory maps, and what the C library keeps."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_fvvae.utils.memory import release_pages, return_freed_memory

MB = 2**20


def _resident(kind):
    """Bytes of this process that are resident, `RssFile` or `RssAnon`."""
    return 1024 * int(re.search(rf"{kind}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_pages_of_a_memory_map_are_given_back(tmp_path):
    np.save(tmp_path / "values.npy", np.arange(4 * MB))
    values = np.load(tmp_path / "values.npy", mmap_mode="r")
    total = int(values.sum())
    before = _resident("RssFile")
    release_pages(values.reshape(2, -1)[1:])  # a view will do
    assert before - _resident("RssFile") > 24 * MB
    assert int(values.sum()) == total


def test_what_is_no_shared_map_is_left_alone(tmp_path):
    np.save(tmp_path / "values.npy", np.zeros(9))
    private = np.load(tmp_path / "values.npy", mmap_mode="c")
    private[0] = 1.0
    for values in (private, np.ones(9)):
        release_pages(values)
        assert values[0] == 1.0


def test_freed_memory_is_returned_wherever_that_is_possible(monkeypatch):
    return_freed_memory()
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())  # another C library
    return_freed_memory()
