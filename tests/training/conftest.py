"""What several tests of trainings need: `train` to make one, `finished` where any finished run will do."""

import shutil

import pytest

from keras_fvvae.data import load_folder
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training import train as task_train
from tests.support.shared_runs import SharedRuns
from tests.support.small_data import write_digits


@pytest.fixture
def train(tmp_path, recipe):
    """`train` with the fixture's recipe, random backbone weights and a cache of its own; keywords change the recipe."""

    def run(
        directory,
        out="run",
        overwrite=False,
        max_unreadable=0.1,
        backbone=None,
        cache="cache",
        checkpoint_seconds=10,
        **changes,
    ):
        return task_train.train(
            recipe.replace(**changes),
            load_folder(directory),
            tmp_path / out,
            backbone_weights=None,
            backbone=backbone,
            cache=tmp_path / cache,
            overwrite=overwrite,
            max_unreadable=max_unreadable,
            verbose=0,
            checkpoint_seconds=checkpoint_seconds,
        )

    return run


@pytest.fixture
def train_videos(tmp_path, video_recipe):
    """The same for collections of videos."""

    def run(collection, out="run", max_unreadable=0.1, cache="cache", **changes):
        return task_train.train(
            video_recipe.replace(**changes),
            collection,
            tmp_path / out,
            backbone_weights=None,
            cache=tmp_path / cache,
            max_unreadable=max_unreadable,
            verbose=0,
        )

    return run


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """The images of `folder`, for tests that change none of them."""
    return write_digits(tmp_path_factory.mktemp("digits") / "data")


@pytest.fixture(scope="session")
def shared_runs(tmp_path_factory):
    return SharedRuns(tmp_path_factory.mktemp("shared_runs"))


@pytest.fixture
def finished(shared_runs, recipe, digits):
    """What `train(digits)` gives, trained once for all tests and to be read only; keywords change the recipe."""
    return lambda **changes: shared_runs.of(recipe.replace(**changes), load_folder(digits))


@pytest.fixture
def finished_copy(finished, tmp_path):
    """A finished run to be changed: `train(digits)` finds it in its folder."""
    return RunFolder(shutil.copytree(finished().path, tmp_path / "run"))


@pytest.fixture
def finished_videos(shared_runs, video_recipe, videos):
    """What `train_videos(videos)` gives, trained once for all tests and to be read only; keywords change the recipe."""
    return lambda **changes: shared_runs.of(video_recipe.replace(**changes), videos)
