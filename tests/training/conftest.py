"""What several tests of trainings on images need."""

import pytest

from keras_fvvae.data import load_folder
from keras_fvvae.training import train as task_train


@pytest.fixture
def train(tmp_path, recipe):
    """`train` with the fixture's recipe, random backbone weights and a cache of its own; keywords change the recipe."""

    def run(directory, out="run", overwrite=False, max_unreadable=0.1, backbone=None, checkpoint_seconds=10, **changes):
        return task_train.train(
            recipe.replace(**changes),
            load_folder(directory),
            tmp_path / out,
            backbone_weights=None,
            backbone=backbone,
            cache=tmp_path / "cache",
            overwrite=overwrite,
            max_unreadable=max_unreadable,
            verbose=0,
            checkpoint_seconds=checkpoint_seconds,
        )

    return run
