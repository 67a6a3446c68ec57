"""HDF5 on full disks: one error, no message of HDF5's own, and no crash at the end of the process."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_fvvae.utils.hdf5 import save_weights, writing

# In a process of its own, since the crash would come at its end.
WRITING = """
import pathlib, sys
import numpy as np
from keras_fvvae.utils.hdf5 import writing

try:
    with writing(pathlib.Path(sys.argv[1])) as file:
        data = file.create_dataset("v", (0, 1000), "f4", maxshape=(None, 1000), chunks=(16, 1000), fletcher32=True)
        for end in range(16, 800, 16):
            data.resize(end, axis=0)
            data[end - 16 :] = np.ones((16, 1000))
except OSError as error:
    print(error.strerror)
"""
WEIGHTS = """
import pathlib, sys
import keras
from keras_fvvae.utils.hdf5 import save_weights

try:
    save_weights(keras.Sequential([keras.layers.Input((512,)), keras.layers.Dense(512)]), pathlib.Path(sys.argv[1]))
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.system
@pytest.mark.parametrize(("program", "name"), [(WRITING, "v.h5"), (WEIGHTS, "m.weights.h5")])
def test_full_disk(small_disk, program, name):
    disk = small_disk(900)
    path = disk / name
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.strip()) == (0, "No space left on device")
    assert "HDF5" not in done.stderr
    assert "h5py" not in done.stderr
    small_disk(9000)
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "")
    assert path.stat().st_size > 1_000_000


def test_enough_room_is_asked_for(tmp_path, monkeypatch):
    """What a file of weights takes is never more than what was looked for, for few weights and for many."""
    asked = []
    monkeypatch.setattr("keras_fvvae.utils.hdf5._require_room", lambda path, size: asked.append(size))
    for units in ([1], [4] * 30, [300, 300]):
        model = keras.Sequential([keras.layers.Input((8,)), *map(keras.layers.Dense, units)])
        model.compile("adam", "mse")
        model.fit(np.zeros((2, 8)), np.zeros((2, units[-1])), verbose=0)
        path = tmp_path / "m.weights.h5"
        save_weights(model, path)
        assert path.stat().st_size <= asked[-1] < path.stat().st_size + 100_000 + 4096 * 4 * 60


def test_what_failed_within_is_told(tmp_path):
    with pytest.raises(ValueError, match="of the block"), writing(tmp_path / "a.h5"):
        raise ValueError("of the block")
