"""What a command line completes and lists needs no TensorFlow."""

import subprocess
import sys

import pytest

from keras_fvvae import zoo
from keras_fvvae.recipes import list_recipes


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
    assert dir(zoo) == ["card", "list_entries", "load", "load_classifier"]
