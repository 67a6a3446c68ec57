"""Adding a representation, a data set, a backbone or a command takes one new file and one line of a registry.

Each test writes that file, adds that line, and uses the addition through the public door: CONTRIBUTING's checklists.
"""

import importlib
import sys

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from keras_fvvae.backbones import BACKBONES, build_backbone
from keras_fvvae.backbones.table import BackboneInfo
from keras_fvvae.builders.encoders import build_encoder, load_encoder
from keras_fvvae.data.catalogue import load_dataset, recognize
from keras_fvvae.errors import RecipeError
from keras_fvvae.recipes import DATASETS, REPRESENTATIONS, Recipe, recipe_from_yaml
from keras_fvvae.recipes.registry import Dataset, Representation
from keras_fvvae.runs.datasets import recipe_collection


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes the one new file; it can be imported while the test lasts."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    written = []

    def write(name, text):
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
        importlib.invalidate_caches()
        written.append(name)

    yield write
    for name in written:
        sys.modules.pop(name, None)


@pytest.fixture
def line(monkeypatch):
    """Adds the one line, before all others."""

    def add(registry, name, entry):
        others = dict(registry)
        for other in others:
            monkeypatch.delitem(registry, other)
        registry |= {name: entry, **others}

    yield add
    for registry, name in ((REPRESENTATIONS, "toy"), (DATASETS, "toy"), (BACKBONES, "ToyNet")):
        registry.pop(name, None)


TOY_LAYER = '''
import keras
from keras import ops

from keras_fvvae.layers import AveragePooling


@keras.saving.register_keras_serializable(package="toys")
class Largest(AveragePooling):
    """The largest value of every channel."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs, mask=None):
        return self.factor * ops.max(inputs, axis=1)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}
'''


def test_a_representation(module, line, tmp_path):
    module("toy_layer", TOY_LAYER)
    line(REPRESENTATIONS, "toy", Representation("Toy", "toy_layer:Largest", {"factor": 2.0}))
    recipe = recipe_from_yaml(
        "{representation: toy, dataset: digits, backbone: DigitsConvNet, input_size: [8, 8], descriptors: dense}",
        "here",
    )
    backbone = build_backbone(recipe.backbone, None, (8, 8), options={"filters": 4})
    encoder = build_encoder(recipe, backbone)
    images = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3)).astype("float32")
    largest = keras.ops.max(backbone(images), axis=(1, 2))
    assert encoder.head.factor == 2.0
    vectors = np.array(encoder(images))
    assert vectors.shape == (3, 4)
    expected = np.sqrt(largest) / np.linalg.norm(np.sqrt(largest), axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    with pytest.raises(RecipeError, match="'factr'; did you mean 'factor'"):
        build_encoder(recipe.replace(representation_options={"factr": 1}), backbone)
    encoder.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.array(load_encoder(tmp_path / "model.keras")(images)), vectors)


TOY_DATA = """
from pathlib import Path

import numpy as np

from keras_fvvae.data import Collection


def load_toys(directory, gray=0):
    names = Path(directory, "toys.txt").read_text().split()
    images = [np.full((4, 4, 3), gray, "uint8")] * len(names)
    return Collection(images, names, [0, 1], ["train", "test"], ["ball", "doll"])


def has_toys(directory):
    return Path(directory, "toys.txt").is_file()
"""


def test_a_data_set(module, line, tmp_path):
    module("toy_data", TOY_DATA)
    line(DATASETS, "toy", Dataset("toy_data:load_toys", "two toys", "has_toys", "image", 2))
    (tmp_path / "toys.txt").write_text("one two")
    recipe = recipe_from_yaml("{dataset: toy, dataset_options: {gray: 7}}", "here")
    for chosen in (recipe, recipe.replace(dataset="auto")):
        collection = recipe_collection(chosen, tmp_path)
        assert collection.names == ["one", "two"]
        assert collection.read(0).mean() == 7
    assert recognize(tmp_path) == "toy"
    assert load_dataset(tmp_path).class_names == ["ball", "doll"]
    with pytest.raises(ValueError, match="option of the data set 'toy': 'grey'; did you mean 'gray'"):
        load_dataset(tmp_path, grey=7)


TOY_NETWORK = """
import keras


def toy_net(input_shape, weights=None, include_top=False, width=2):
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, keras.layers.Conv2D(width, 3, activation="relu", name="only")(inputs))
"""


def test_a_backbone(module, line):
    module("toy_network", TOY_NETWORK)
    line(BACKBONES, "ToyNet", BackboneInfo("tf", {"first": "only"}, build="toy_network:toy_net"))
    assert build_backbone("ToyNet", "first", (8, 8), options={"width": 5}).output.shape == (None, 6, 6, 5)
    recipe = Recipe(backbone="ToyNet", input_size=[8, 8], descriptors="dense", representation="ave")
    encoder = build_encoder(recipe, build_backbone(recipe.backbone, recipe.tap, tuple(recipe.input_size)))
    assert encoder(np.zeros((1, 8, 8, 3))).shape == (1, 2)


TOY_COMMAND = '''
import click


@click.command()
def command():
    """Says hello."""
    click.echo("hello")
'''


def test_a_command(tmp_path, monkeypatch):
    from keras_fvvae.tools import main

    from keras_fvvae import tools

    (tmp_path / "toy_command.py").write_text(TOY_COMMAND)
    monkeypatch.setattr(tools, "__path__", [*tools.__path__, str(tmp_path)])
    monkeypatch.setattr(main, "COMMANDS", (*main.COMMANDS, "toy_command"))
    importlib.invalidate_caches()
    try:
        assert "Says hello" in CliRunner().invoke(main.cli, ["--help"]).output
        assert CliRunner().invoke(main.cli, ["toy_command"]).output == "hello\n"
    finally:
        sys.modules.pop("keras_fvvae.tools.toy_command", None)


def test_nothing_is_left_of_the_toys():
    assert "toy" not in {*REPRESENTATIONS, *DATASETS, *BACKBONES}
    assert list(DATASETS)[-1] == "folder"  # takes what no other takes
