"""A local zoo of their own, a server, and packs whose models are not opened, for the tests of the zoo."""

import pytest

from keras_fvvae.recipes import load_recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.runs.results import RunResults
from keras_fvvae.zoo import publishing
from tests.support.pack_files import ENTRY, own_cache  # noqa: F401  (a fixture)
from tests.zoo.test_downloads import serving


@pytest.fixture
def server(tmp_path):
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as server:
        yield server


@pytest.fixture
def publish(tmp_path):
    """Publishes a pack whose model is the given text; keywords change the recipe."""

    def call(to=None, model="model", **changes):
        (tmp_path / "model.keras").write_text(model)
        recipe = load_recipe(ENTRY).replace(**changes)
        return publishing.publish(recipe, {"model.keras": tmp_path / "model.keras"}, to)

    return call


@pytest.fixture
def unopened_run(tmp_path):
    """A finished run of which only the files are there."""
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.write("recipe.yaml", load_recipe(ENTRY, latent_dim=7).to_yaml().encode())
    folder.write_json("labels.json", {"class_names": ["a", "b"], "data": {"kind": "image"}})
    folder.write("model.keras", b"model")
    folder.write_results(RunResults("2 training images", "FV-VAE", {"FV-VAE": {"accuracy": 0.123456}}), {})
    folder.write_json("history.json", {"loss": []})
    folder.finish()
    return RunFolder.open(folder.path)
