"""The backbone is trained with it as far as is asked for."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.backbones import set_trainable
from tests.support.small_fvvae import LABELS, build_model, compile_model, draw_maps, loss_and_gradients, tiny_backbone


def _state(backbone):
    layers = backbone.get_layer("trunk").layers
    return {layer.name: [weight.copy() for weight in layer.get_weights()] for layer in layers if layer.weights}


def _changed(before, after):
    """Names of the layers of which some weight, or statistic, is another."""
    pairs = {name: zip(before[name], after[name], strict=True) for name in before}
    return {name for name, weights in pairs.items() if any(not np.array_equal(*pair) for pair in weights)}


@pytest.mark.parametrize(
    ("trainable_from", "changed"),
    [
        (None, set()),
        ("conv2", {"conv2", "norm2"}),
        ("norm2", {"norm2"}),
        ("all", {"conv1", "norm1", "conv2", "norm2"}),
    ],
)
def test_backbone_is_trained_from_the_layer_that_is_named(trainable_from, changed):
    backbone = tiny_backbone()
    set_trainable(backbone, trainable_from)
    model = compile_model(build_model(backbone=backbone))
    before = _state(backbone)
    model.fit(draw_maps(), LABELS, epochs=2, verbose=0)
    assert _changed(before, _state(backbone)) == changed


def test_frozen_backbone_trains_as_if_its_activations_were_cached():
    """Neither its dropout nor the statistics of the batch have a part in it."""
    backbone = tiny_backbone()
    set_trainable(backbone, None)
    whole, cached = compile_model(build_model(backbone=backbone)), compile_model(build_model())
    whole.fit(draw_maps(), LABELS, epochs=2, shuffle=False, verbose=0)
    cached.fit(np.array(backbone(draw_maps(), training=False)), LABELS, epochs=2, shuffle=False, verbose=0)
    for one, other in zip(whole.fvvae.get_weights(), cached.fvvae.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_end_to_end_gradient_reaches_the_backbone():
    """The derivative of the whole loss by one entry of the first kernel, against finite differences."""
    backbone = tiny_backbone()
    set_trainable(backbone, "all")
    model = build_model(backbone=backbone)
    kernel = backbone.get_layer("trunk").get_layer("conv1").kernel

    def loss(shift):
        values = kernel.numpy()
        values[0, 0, 1, 2] += shift
        kernel.assign(values)
        result = float(model.compute_loss(draw_maps(), LABELS, model(draw_maps())))
        values[0, 0, 1, 2] -= shift
        kernel.assign(values)
        return result

    with tf.GradientTape() as tape:
        value = model.compute_loss(draw_maps(), LABELS, model(draw_maps()))
    gradient = np.array(tape.gradient(value, kernel))[0, 0, 1, 2]
    assert gradient == pytest.approx((loss(1e-3) - loss(-1e-3)) / 2e-3, rel=2e-2)


def test_regularisers_of_the_backbone_are_part_of_the_loss():
    inputs = keras.Input((4, 5, 3))
    convolution = keras.layers.Conv2D(3, 1, kernel_regularizer=keras.regularizers.L2(0.5))
    model = build_model(backbone=keras.Model(inputs, convolution(inputs)))
    loss, _ = loss_and_gradients(model, draw_maps(), LABELS)
    convolution.kernel.regularizer = None
    without, _ = loss_and_gradients(model, draw_maps(), LABELS)
    assert loss - without == pytest.approx(0.5 * np.sum(convolution.kernel.numpy() ** 2), rel=1e-3)
