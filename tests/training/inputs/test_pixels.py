"""Pixels: in order, and refused once they are gone."""

import numpy as np
import pytest

from keras_fvvae.data import Collection
from keras_fvvae.errors import DataError
from keras_fvvae.training.inputs.pixels import PixelInputs
from tests.support.small_data import videos_in_memory
from tests.support.video_files import numbered_frames, write_video


def test_batches_are_in_order(video_recipe):
    collection = videos_in_memory([5, 1, 3, 2, 6])
    inputs = PixelInputs(collection, video_recipe.replace(frames=4))
    views, counts = zip(*inputs.batches([4, 0, 1]), strict=True)
    assert np.concatenate(counts).tolist() == [4, 4, 1]
    expected = [collection.sources[4][[0, 2, 3, 5]], collection.sources[0][[0, 1, 3, 4]], collection.sources[1]]
    assert np.array_equal(np.concatenate(views), np.concatenate(expected))


def test_a_file_that_vanishes_is_named(video_recipe, tmp_path):
    files = [write_video(tmp_path / f"{name}.avi", numbered_frames(4)) for name in "ab"]
    collection = Collection(files, ["a.avi", "b.avi"], [0, 1], ["train"] * 2, ["x", "y"], kind="video")
    inputs = PixelInputs(collection, video_recipe)
    assert inputs.prepare(verbose=0) == {}
    files[1].unlink()
    with pytest.raises(DataError, match="b.avi changed while it was used: cannot be opened: No such file"):
        list(inputs.batches([0, 1]))
