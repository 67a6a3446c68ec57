"""What a command line completes and lists needs no TensorFlow."""

import subprocess
import sys

import pytest

from keras_fvvae import zoo
from keras_fvvae.recipes import list_recipes
from keras_fvvae.zoo import packs

# What `make weights` made.
SHIPPED = ["digits_conv", "moving_digits_flow", "moving_digits_rgb", "textiles_lite2"]


@pytest.mark.parametrize(
    "code",
    [
        "keras_fvvae.zoo.list_entries('digits*')",
        "dir(keras_fvvae.zoo)",
        "keras_fvvae.zoo.card('digits_conv')",
        "list(keras_fvvae.recipes.REPRESENTATIONS)",
        "keras_fvvae.recipes.DATASETS['cub'].num_classes",
        "keras_fvvae.recipes.load_recipe('digits_conv').of_fv_vae",
        "list(keras_fvvae.backbones.BACKBONES)",
        "dir(keras_fvvae.backbones)",
    ],
)
def test_without_tensorflow(code):
    code = f"import sys, keras_fvvae; assert {code}; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert not {"tensorflow", "keras", "numpy", "sklearn"} & set(result.stdout.split())


def test_patterns():
    assert zoo.list_entries() == list_recipes()
    assert zoo.list_entries("digits*") == ["digits_conv"]
    assert dir(zoo) == ["card", "list_entries", "load", "load_classifier", "load_encoder"]


def test_packs_are_listed_and_what_is_installed(publish, tmp_path, monkeypatch):
    assert zoo.list_entries(installed=True) == SHIPPED
    publish(name="mine", dataset="ucf101")
    publish(tmp_path / "mirror", name="theirs")
    assert zoo.list_entries(installed=True) == sorted([*SHIPPED, "mine"])
    monkeypatch.setenv("KERAS_FVVAE_ZOO", str(tmp_path / "mirror"))
    assert zoo.list_entries("*i[nr]*", installed=True) == ["mine", "moving_digits_flow", "moving_digits_rgb", "theirs"]
    assert set(zoo.list_entries()) == {*list_recipes(), "mine", "theirs"}
    assert zoo.list_entries(installed=False) == [name for name in list_recipes() if name not in SHIPPED]
    assert zoo.list_entries("m*", kind="video") == ["mine", "moving_digits_flow", "moving_digits_rgb"]
    assert "mine" not in zoo.list_entries(kind="image")
    with pytest.raises(ValueError, match="`kind` must be one of"):
        zoo.list_entries(kind="sound")


def test_downloaded_packs_are_installed(publish, server, monkeypatch):
    """What a mirror has counts once it is here."""
    publish(server.folder, name="theirs")
    monkeypatch.setenv("KERAS_FVVAE_ZOO", server.url)
    assert "theirs" not in zoo.list_entries()
    packs.find("theirs")
    assert "theirs" in zoo.list_entries(installed=True)
    publish(server.folder, name="theirs", latent_dim=7)
    packs.find("theirs", lambda recipe: False)  # the newer version is known here, and not downloaded
    assert "theirs" in zoo.list_entries(installed=True)
