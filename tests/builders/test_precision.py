"""A frozen backbone computes in bfloat16 where that is asked for, or faster; everything behind it stays float32."""

import json

import keras
import numpy as np
import pytest

from keras_fvvae import zoo
from keras_fvvae.builders import precision
from keras_fvvae.builders.precision import with_known_precision
from keras_fvvae.builders.trainable import build_recipe_backbone
from keras_fvvae.data import load_folder
from keras_fvvae.errors import RecipeError
from keras_fvvae.training.train import train


def _build(recipe):
    keras.utils.set_random_seed(0)
    return build_recipe_backbone(recipe, None)


def test_it_computes_in_bfloat16_with_weights_of_float32(recipe):
    images = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 3)).astype("float32")
    full, half = (_build(recipe.replace(precision=one)) for one in ("float32", "bfloat16"))
    assert keras.config.dtype_policy().name == "float32"
    assert half.output.dtype == "bfloat16"
    assert half.get_layer("preprocessing").compute_dtype == "float32"
    assert {weight.dtype for weight in half.weights} == {"float32"}
    expected, found = full.predict_on_batch(images), half.predict_on_batch(images).astype("float32")
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert 0 < error < 0.02


def test_trained_in_bfloat16(recipe, folder, tmp_path):
    """Its activations are kept apart from those of float32, and the run's model computes as it was trained."""
    collection = load_folder(folder)
    for one in ("bfloat16", "float32"):
        run = train(
            recipe.replace(precision=one, steps=2),
            collection,
            tmp_path / one,
            backbone_weights=None,
            cache=tmp_path / "cache",
            verbose=0,
        )
        assert run.recipe.precision == one
        encoder = zoo.load_encoder(run.path)
        assert encoder.backbone.output.dtype == one
        assert encoder.head.fvvae.product_dtype == (one if one == "bfloat16" else None)
        vectors = run.vectors()
        found = encoder.encode([folder / name for name in vectors.names[:3]])
        assert found.dtype == "float32"
        np.testing.assert_allclose(found, vectors.values[:3], atol=1e-3)
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize(("seconds", "faster"), [((1.0, 0.5), "bfloat16"), ((1.0, 0.95), "float32")])
def test_auto_measures_once_and_keeps_what_is_worth_it(recipe, tmp_path, monkeypatch, seconds, faster):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    auto = recipe.replace(precision="auto")
    times = iter(seconds)
    monkeypatch.setattr(precision, "_seconds", lambda backbone, recipe: next(times))
    for _ in range(2):  # the second finds the record: there are no more times
        assert with_known_precision(auto, _build) == recipe.replace(precision=faster)
    record = tmp_path / "keras_fvvae" / "precision.json"
    assert list(json.loads(record.read_text()).values()) == [faster]
    # Another input is measured anew, and so is what a damaged record told.
    times = iter((1.0, 2.0, 1.0, 0.1))
    assert with_known_precision(auto.replace(input_size=[16, 16]), _build).precision == "float32"
    record.write_text("[" * 9)
    assert with_known_precision(auto, _build).precision == "bfloat16"


def test_it_is_really_measured(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert with_known_precision(recipe.replace(precision="auto"), _build).precision in ("float32", "bfloat16")


@pytest.mark.parametrize("one", ["bfloat16", "auto"])
def test_only_frozen_networks_of_the_table(recipe, one):
    for changes, said in (
        ({"trainable_from": "all"}, "is for frozen backbones"),
        ({"fine_tune_steps": 3}, "is for frozen backbones"),
        ({"backbone": "hub:dinov2_small"}, "is for networks of the table. hub:dinov2_small computes as"),
    ):
        with pytest.raises(RecipeError, match=said):
            with_known_precision(recipe.replace(precision=one, **changes), _build)
