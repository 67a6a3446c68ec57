"""Two trainings in one folder."""

import os
import signal
import subprocess
import sys

import pytest

from keras_fvvae.errors import RunError
from keras_fvvae.runs import lock

HOLDER = """
import sys, time
from pathlib import Path
from keras_fvvae.runs import lock
with lock.held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_second_is_told_and_the_kernel_frees_what_a_killed_process_held(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match="Another training is writing to .*: wait until it has ended, or choose"):
            lock.held(tmp_path).__enter__()
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with lock.held(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_one_after_the_other(tmp_path):
    for _ in range(2):
        with lock.held(tmp_path / "new" / "run"), pytest.raises(RunError), lock.held(tmp_path / "new" / "run"):
            pass
    assert list((tmp_path / "new" / "run").iterdir()) == []


def test_a_place_that_cannot_be_written_is_left_to_the_writer(tmp_path):
    (tmp_path / "file").write_text("")
    with lock.held(tmp_path / "file" / "run"), lock.held(tmp_path / "file"):
        pass
