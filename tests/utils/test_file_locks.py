"""Locks of files where the system has other ones: by a stand-in of Windows' module, which is not here."""

import os

import pytest

from keras_fvvae.utils import file_locks


class Windows:
    """`msvcrt.locking` as its documentation has it: of bytes at the file's position, refused by PermissionError."""

    LK_NBLCK = 2

    def __init__(self):
        self.held, self.refused = set(), 0

    def locking(self, descriptor, mode, count):
        assert (mode, count) == (self.LK_NBLCK, 1)
        status = os.fstat(descriptor)
        byte = (status.st_ino, os.lseek(descriptor, 0, os.SEEK_CUR))
        assert byte[1] >= status.st_size  # or nobody could read it
        if byte in self.held:
            self.refused += 1
            raise PermissionError(13, "Permission denied")
        self.held.add(byte)


@pytest.fixture
def windows(monkeypatch):
    windows = Windows()
    monkeypatch.setattr(file_locks, "fcntl", None)
    monkeypatch.setattr(file_locks, "msvcrt", windows, raising=False)
    return windows


def test_one_at_a_time(windows, tmp_path):
    with open(tmp_path / "a", "ab") as first, open(tmp_path / "a", "ab") as second:
        first.write(b"1234")
        first.flush()
        file_locks.lock_file(first.fileno(), wait=False)
        assert first.tell() == 4
        with pytest.raises(BlockingIOError):
            file_locks.lock_file(second.fileno(), wait=False)


def test_waiting(windows, tmp_path, monkeypatch):
    with open(tmp_path / "a", "ab") as first, open(tmp_path / "a", "ab") as second:
        file_locks.lock_file(first.fileno(), wait=True)
        monkeypatch.setattr(file_locks.time, "sleep", lambda seconds: windows.held.clear())
        file_locks.lock_file(second.fileno(), wait=True)
    assert windows.refused == 1
