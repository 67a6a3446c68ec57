import resource
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest

from keras_fvvae.errors import DataError
from keras_fvvae.utils.checkpoints import Checkpoint


def test_what_was_saved_is_found_by_the_same_key_only(tmp_path):
    Checkpoint(tmp_path / "new" / "folder", "sums", (1, "a")).save(x=np.arange(4.0), y=np.array(3))
    again = Checkpoint(tmp_path / "new" / "folder", "sums", (1, "a")).load()
    assert sorted(again) == ["x", "y"]
    np.testing.assert_array_equal(again["x"], np.arange(4.0))
    assert Checkpoint(tmp_path / "new" / "folder", "sums", (1, "b")).load() == {}
    assert Checkpoint(tmp_path / "new" / "folder", "others", (1, "a")).load() == {}


def test_no_folder():
    checkpoint = Checkpoint(None, "sums", 1)
    checkpoint.save(x=np.zeros(2))
    assert checkpoint.load() == {}
    assert not checkpoint.is_due


def test_is_due_some_time_after_the_last_save(tmp_path):
    assert not Checkpoint(tmp_path, "sums", 1).is_due
    assert Checkpoint(tmp_path, "sums", 1, seconds=0).is_due


@pytest.mark.parametrize("damage", ["bit", "end", "empty", "text"])
def test_a_damaged_file_counts_as_missing(tmp_path, damage):
    checkpoint = Checkpoint(tmp_path, "sums", 1)
    checkpoint.save(x=np.arange(1000.0))
    content = bytearray(checkpoint.path.read_bytes())
    content[4000] ^= 1
    damaged = {"bit": content, "end": content[:3000], "empty": b"", "text": b"no archive"}[damage]
    checkpoint.path.write_bytes(damaged)
    with pytest.warns(UserWarning, match=r"sums-.*\.npz is damaged; its part is computed anew"):
        assert checkpoint.load() == {}


def test_no_bit_can_change_what_is_loaded(tmp_path):
    """Every single bit of a small file: loaded as it was saved, or not at all."""
    arrays = {"sums": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "done": np.array(4)}
    checkpoint = Checkpoint(tmp_path, "sums", 1)
    checkpoint.save(**arrays)
    content, ignored = checkpoint.path.read_bytes(), 0
    for bit in range(0, 8 * len(content), 7):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        checkpoint.path.write_bytes(changed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = checkpoint.load()
        ignored += not loaded
        for name in loaded:
            np.testing.assert_array_equal(loaded[name], arrays[name])
    assert ignored > len(content) / 7


def test_an_archive_without_its_digest_counts_as_missing(tmp_path):
    checkpoint = Checkpoint(tmp_path, "sums", 1)
    np.savez(checkpoint.path, sums=np.arange(3))
    with pytest.warns(UserWarning, match="is damaged"):
        assert checkpoint.load() == {}


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"checkpoint .*file.*sums-.*\.npz cannot be written: .+; free space or give"):
        Checkpoint(tmp_path / "file" / "folder", "sums", 1)


def test_a_disk_that_takes_no_more(tmp_path):
    """A limit on the size of files fails in the middle of writing, as a full disk does."""
    checkpoint = Checkpoint(tmp_path, "sums", 1)
    checkpoint.save(x=np.zeros(10))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(DataError, match="cannot be written: File too large"):
            checkpoint.save(x=np.zeros(2**19))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    np.testing.assert_array_equal(checkpoint.load()["x"], np.zeros(10))
    assert list(tmp_path.iterdir()) == [checkpoint.path]


KILLED_WHILE_SAVING = """
import os, signal, sys
import numpy as np
from keras_fvvae.utils.checkpoints import Checkpoint

checkpoint = Checkpoint(sys.argv[1], "sums", 1)
checkpoint.save(x=np.zeros(10))
os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
checkpoint.save(x=np.ones(10))
"""


def test_killed_before_the_new_file_is_in_place(tmp_path):
    result = subprocess.run([sys.executable, "-c", KILLED_WHILE_SAVING, str(tmp_path)], check=False)
    assert result.returncode == -signal.SIGKILL
    checkpoint = Checkpoint(tmp_path, "sums", 1)
    np.testing.assert_array_equal(checkpoint.load()["x"], np.zeros(10))
    checkpoint.save(x=np.full(10, 2.0))
    assert list(tmp_path.iterdir()) == [checkpoint.path], "what the kill left is gone"
