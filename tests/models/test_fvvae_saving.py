"""A model is saved, loaded and made from its configuration."""

import json
import warnings

import keras
import numpy as np
import pytest

from keras_fvvae.backbones import set_trainable
from keras_fvvae.layers import SpatialPyramidPooling
from keras_fvvae.models import FVVAE
from keras_fvvae.optimizers import Adadelta
from tests.support.small_fvvae import (
    LABELS,
    LEVELS,
    build_model,
    compile_model,
    draw_maps,
    tiny_backbone,
)


def test_takes_a_layer_that_is_built():
    """The weights of the release, or of a loaded classifier, can be evaluated and trained further."""
    layer = build_model().fvvae
    before = layer.get_weights()
    model = compile_model(FVVAE(SpatialPyramidPooling(LEVELS), layer))
    model.evaluate(draw_maps(), LABELS, verbose=0)
    assert model.fvvae is layer
    for one, other in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("with_backbone", [False, True])
def test_saved_and_loaded_it_trains_on_identically(tmp_path, with_backbone):
    backbone = None
    if with_backbone:
        # Without dropout: Keras does not save the state of its random generators.
        inputs = keras.Input((4, 5, 3))
        x = keras.layers.BatchNormalization()(keras.layers.Conv2D(3, 1)(inputs))
        backbone = keras.Model(inputs, x)
    model = compile_model(build_model(backbone=backbone), Adadelta(0.5, learning_rate_multipliers={"bias$": 4.0}))
    model.fit(draw_maps(), LABELS, verbose=0)
    model.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.loss_weights == (2.0, 0.5, 7.0)
    assert loaded.compiled
    assert not loaded.jit_compile
    assert loaded.optimizer.learning_rate_multipliers == {"bias$": 4.0}
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    histories = [one.fit(draw_maps(), LABELS, verbose=0).history for one in (model, loaded)]
    for name, values in histories[0].items():
        assert values == pytest.approx(histories[1][name])
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_saved_without_compiling(tmp_path):
    model = build_model()
    expected = model.predict(draw_maps(), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for name, value in loaded.predict(draw_maps(), verbose=0).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-6)


def test_frozen_layers_stay_frozen_when_loaded(tmp_path):
    backbone = tiny_backbone()
    set_trainable(backbone, "conv2")
    model = build_model(backbone=backbone)
    model(draw_maps())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert len(loaded.trainable_variables) == len(model.trainable_variables)
    assert len(loaded.backbone.trainable_variables) == 4  # kernel, bias, gamma, beta


def test_config_round_trip():
    model = build_model()
    clone = FVVAE.from_config(json.loads(json.dumps(model.get_config())))
    assert clone.loss_weights == model.loss_weights
    assert clone.fvvae.get_config() == model.fvvae.get_config()
    assert clone.descriptors.levels == LEVELS
    assert clone.backbone is None
    model.trainable = False
    assert not FVVAE.from_config(model.get_config()).trainable
