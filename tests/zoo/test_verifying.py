"""Packs, runs and models looked at before they are loaded."""

import json
import shutil
import zipfile

import numpy as np
import pytest

from keras_fvvae.errors import RunError, WeightsError
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training.train import train
from keras_fvvae.zoo.publishing import publish_run
from keras_fvvae.zoo.verifying import verify
from tests.support.small_data import write_digits


@pytest.fixture(scope="module")
def made(tmp_path_factory, recipe):
    """A run and its pack."""
    from keras_fvvae.data import load_folder

    folder = tmp_path_factory.mktemp("made")
    collection = load_folder(write_digits(folder / "data", classes=(0, 1), count=4))
    settings = {"backbone_weights": None, "cache": folder / "cache", "verbose": 0}
    run = train(recipe.replace(steps=1), collection, folder / "run", **settings)
    publish_run(RunFolder.open(run.path), folder / "zoo", "tiny")
    return folder


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made / "zoo", tmp_path / "zoo")
    shutil.copytree(made / "run", tmp_path / "run")
    return tmp_path


def _with_lambda(path):
    """Puts a layer that runs code into the configuration of a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files["config.json"])
    config["config"]["encoder"]["config"]["descriptors"] = {
        "module": "keras.layers", "class_name": "Lambda", "registered_name": None, "config": {"function": None},
    }  # fmt: skip
    files["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("zoo/tiny/1", "zoo/tiny/1: a pack of 'tiny', 5 files as published, of known classes."),
        ("zoo/tiny", "zoo/tiny/1: a pack of 'tiny', 5 files as published, of known classes."),
        ("run", "run: a finished run of 'tiny', "),
        ("run/model.keras", "run/model.keras: a model of known classes."),
    ],
)
def test_what_is_as_it_was(made, path, sentence):
    (found,) = verify(made / path)
    assert sentence in found


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        ("zoo/tiny/1", lambda p: (p / "model.keras").write_bytes(b"x"), "model.keras has 1 bytes instead of"),
        ("zoo/tiny/1", lambda p: (p / "labels.json").unlink(), "is incomplete: labels.json is missing"),
        ("zoo/tiny/1", lambda p: (p / "evil.py").write_text(""), "evil.py is not in the manifest: remove it"),
        ("zoo/tiny/1", lambda p: (p / "manifest.json").write_text("{}"), "is damaged|no finished|not finished|is not"),
        ("zoo/tiny/1", lambda p: (p / "manifest.json").unlink(), "is neither a pack nor"),
        ("zoo/tiny", lambda p: (p / "index.json").write_text("[]"), "index.json is damaged"),
        ("run", lambda p: np.save(p / "vectors.npy", np.zeros(3)), "vectors.npy"),
        ("run", lambda p: (p / "manifest.json").write_text("["), "manifest.json is damaged"),
        ("run/model.keras", _with_lambda, "it names Lambda, which runs code of the file"),
        ("run/recipe.yaml", lambda p: None, "recipe.yaml is damaged or of another version: File is not a zip file"),
        ("data", lambda p: None, "There is nothing at .*data"),
        ("zoo", lambda p: None, "zoo is neither a pack nor an entry's folder of packs"),
    ],
)
def test_what_is_not(copy, path, change, message):
    change(copy / path)
    with pytest.raises((WeightsError, RunError), match=message) as caught:
        verify(copy / path)
    assert "\n" not in str(caught.value)


def test_a_pack_whose_publisher_put_code_into_it(copy):
    """Its manifest is right, and it is not loaded all the same."""
    import hashlib

    folder = copy / "zoo" / "tiny" / "1"
    _with_lambda(folder / "model.keras")
    content = (folder / "model.keras").read_bytes()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["model.keras"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(WeightsError, match="it names Lambda, which runs code of the file"):
        verify(folder)
