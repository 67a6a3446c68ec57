"""The two ideas of the paper's conclusion: deeper decoders, and attention over descriptors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers import FisherNormalization, FisherVectorHead, FVVAELayer
from tests.support.layer_harness import check_layer
from tests.support.numpy_reference import randomize


def _descriptors(seed=0, shape=(3, 6, 4)):
    return np.random.default_rng(seed).normal(size=shape)


def _layer(seed=0, **arguments):
    layer = FVVAELayer(latent_dim=3, dtype="float64", **arguments)
    layer.build((None, None, 4))
    randomize(layer, seed)
    return layer


def _tape_gradients(layer, descriptors, weights):
    """Per image, by `tf.vectorized_map` over a tape: dL/dW' and dL/db of all decoder layers, last layer first."""
    dense = [*layer.decoder_hidden, layer.decoder][::-1]

    def gradients(arguments):
        image, shares = arguments
        with tf.GradientTape() as tape:
            mean = layer.decode(layer.encode(image[None]))
            variance = tf.exp(tf.convert_to_tensor(layer.x_log_variance))
            loss = tf.reduce_sum(shares[:, None] * tf.square(image[None] - mean) / variance) / 2
        flat = []
        for kernel, bias in tape.gradient(loss, [[one.kernel.value, one.bias.value] for one in dense]):
            flat.append(tf.reshape(tf.concat([tf.transpose(kernel), bias[:, None]], axis=1), (-1,)))
        return tf.concat(flat, axis=0)

    return tf.vectorized_map(gradients, (tf.constant(descriptors), tf.constant(weights))).numpy()


@pytest.mark.parametrize("units", [(), (5,), (5, 7)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_layers_are_the_gradient_of_the_reconstruction_loss(units, seed):
    layer, descriptors = _layer(seed, decoder_units=units), _descriptors(seed)
    expected = _tape_gradients(layer, descriptors, np.ones((3, 6)))
    head = FisherVectorHead(layer, "all", dtype="float64")
    vectors = head(descriptors).numpy()
    assert vectors.shape == expected.shape == (3, head.output_dim)
    assert (np.abs(expected).max(axis=0) > 0).mean() > 0.2  # the test is about something
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


def test_last_layer_is_the_first_part_of_all():
    layer = _layer(decoder_units=(5,))
    last, everything = (FisherVectorHead(layer, which, dtype="float64")(_descriptors()) for which in ("last", "all"))
    assert last.shape == (3, 4, 6)  # C x (width of the hidden layer + 1)
    np.testing.assert_array_equal(np.reshape(last, (3, -1)), everything[:, :24])


def test_masked_descriptors_count_nowhere():
    layer, descriptors, mask = _layer(decoder_units=(5, 7)), _descriptors(), np.ones((3, 6), bool)
    mask[:, 4:] = False
    head = FisherVectorHead(layer, "all", dtype="float64")
    expected = head(descriptors[:, :4])
    descriptors[:, 4:] = np.nan
    np.testing.assert_allclose(head(descriptors, mask=mask), expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_descriptors_of_zeros_and_one_descriptor():
    head = FisherVectorHead(_layer(decoder_units=(5,)), "all", dtype="float64")
    assert np.isfinite(head(np.zeros((2, 1, 4)))).all()


def test_raw_vectors_of_all_layers_are_normalised_by_the_diagonal_information():
    raw = FisherVectorHead(_layer(decoder_units=(5,)), "all", dtype="float64")(_descriptors())
    normalization = FisherNormalization()
    normalization.adapt(raw)
    np.testing.assert_allclose(np.linalg.norm(normalization(raw), axis=1), 1, rtol=1e-6)


def test_a_deeper_decoder_learns():
    layer = FVVAELayer(latent_dim=2, decoder_units=(8,), dropout=0.0, seed=0)
    descriptors = np.abs(_descriptors()).astype("float32")
    outputs = layer(descriptors)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(layer(descriptors, training=True)["reconstruction_loss"])
    gradients = tape.gradient(loss, [v.value for dense in layer.decoder_hidden for v in dense.weights])
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)
    assert outputs["reconstruction"].shape == (3, 6, 4)


@pytest.mark.parametrize(
    ("arguments", "idle"),
    [
        ({"decoder_units": (5,)}, ["z_log_variance"]),
        ({"attention": True, "num_classes": 3}, ["z_log_variance", "kernel", "bias"]),  # those of the classifier
    ],
    ids=["decoder", "attention"],
)
@pytest.mark.parametrize("layers", ["last", "all"])
def test_harness(arguments, idle, layers):
    def build(**kwargs):
        keras.utils.set_random_seed(3)  # no hidden unit so near to zero that rounding switches it
        return FisherVectorHead(FVVAELayer(latent_dim=3, seed=1, **arguments, **kwargs), layers, **kwargs)

    check_layer(build, np.abs(_descriptors()).astype("float32"), without_gradient=idle)


def test_attention_starts_at_weights_of_one():
    layer = FVVAELayer(latent_dim=3, num_classes=2, attention=True, seed=0)
    plain = FVVAELayer(latent_dim=3, num_classes=2, seed=0)
    descriptors = _descriptors().astype("float32")
    layer(descriptors), plain(descriptors)
    for one, other in zip([*plain.encoder, plain.decoder], [*layer.encoder, layer.decoder], strict=True):
        one.set_weights(other.get_weights())
    np.testing.assert_allclose(layer.descriptor_weights(descriptors), 1.0, rtol=1e-6)
    np.testing.assert_allclose(
        FisherVectorHead(layer)(descriptors), FisherVectorHead(plain)(descriptors), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("layers", ["last", "all"])
def test_attention_multiplies_the_terms_of_eq_11(layers):
    layer, descriptors = _layer(attention=True, num_classes=2), _descriptors()
    weights = layer.descriptor_weights(descriptors).numpy().astype("float64")
    assert weights.std() > 0.1
    np.testing.assert_allclose(weights.sum(axis=1), 6, rtol=1e-6)
    expected = _tape_gradients(layer, descriptors, weights)
    vectors = np.reshape(FisherVectorHead(layer, layers, dtype="float64")(descriptors), (3, -1))
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.once
def test_attention_is_learnt_from_the_classification_loss():
    """Descriptors of the class lie among noise: their weights rise."""
    rng = np.random.default_rng(0)
    labels = np.arange(64) % 2
    descriptors = rng.normal(0, 0.1, (64, 8, 4)).astype("float32")
    descriptors[np.arange(64), rng.integers(8, size=64)] += np.eye(4, dtype="float32")[labels] * 3
    layer = FVVAELayer(latent_dim=3, num_classes=2, attention=True, dropout=0.0, seed=0)
    optimizer = keras.optimizers.Adam(0.03)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            scores = layer(descriptors, training=True)["class_scores"]
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, scores, from_logits=True))
        variables = [v.value for v in layer.trainable_variables]
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        optimizer.apply(gradients, layer.trainable_variables)

    layer.build(descriptors.shape)
    optimizer.build(layer.trainable_variables)
    for _ in range(60):
        step()
    weights = layer.descriptor_weights(descriptors).numpy()
    informative = np.abs(descriptors).max(axis=-1) > 1.5
    assert weights[informative].mean() > 2 > 1 > weights[~informative].mean()


def test_masked_descriptors_take_no_attention():
    layer, descriptors, mask = _layer(attention=True, num_classes=2), _descriptors(), np.ones((3, 6), bool)
    mask[1, 2:] = False
    mask[2] = False
    descriptors[~mask] = np.nan
    head = FisherVectorHead(layer, dtype="float64")
    vectors = np.array(head(descriptors, mask=mask))
    assert np.isfinite(vectors).all()
    assert not vectors[2].any()
    np.testing.assert_allclose(vectors[1], head(descriptors[1:2, :2])[0], rtol=1e-6)
    scores = np.array(layer(descriptors, mask=mask)["class_scores"])
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FVVAELayer(decoder_units=(0,)), "`decoder_units` must be"),
        (lambda: FVVAELayer(attention=True), "give `num_classes`"),
        (lambda: FisherVectorHead(FVVAELayer(), "first"), "`decoder_layers` must be one of"),
    ],
)
def test_errors(build, message):
    with pytest.raises(ValueError, match=message):
        build()
