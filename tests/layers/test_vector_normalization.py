import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers import VLAD, BilinearPooling, GMMFisherVector, NetVLAD, VectorNormalization
from tests.support.layer_harness import check_layer


def _vectors(shape=(3, 12), seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_harness():
    check_layer(lambda **kwargs: VectorNormalization(("square_root", "blocks", "l2"), 3, **kwargs), _vectors())


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (("square_root",), [[1.0, -2.0, 0.0, 3.0]]),
        (("l2",), [[0.1010, -0.4041, 0.0, 0.9091]]),
        (("blocks",), [[0.2425, -0.9701, 0.0, 1.0]]),
        (("square_root", "blocks"), [[0.4472, -0.8944, 0.0, 1.0]]),
        (("blocks", "square_root"), [[0.4925, -0.9849, 0.0, 1.0]]),
        ((), [[1.0, -4.0, 0.0, 9.0]]),
    ],
)
def test_steps_are_taken_in_their_order(steps, expected):
    vectors = VectorNormalization(steps, num_blocks=2)(np.array([[1.0, -4.0, 0.0, 9.0]], "float32"))
    np.testing.assert_allclose(vectors, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("raw", "normalized", "steps", "blocks"),
    [
        (VLAD(4), VLAD(4, "improved"), ("square_root", "blocks", "l2"), 4),
        (GMMFisherVector(4), GMMFisherVector(4, "improved"), ("square_root", "l2"), 1),
        (BilinearPooling(), BilinearPooling(normalization="improved"), ("square_root", "l2"), 1),
        (NetVLAD(4, normalization=None), NetVLAD(4), ("blocks", "l2"), 4),
    ],
    ids=["VLAD", "GMM", "bilinear", "NetVLAD"],
)
def test_raw_layers_with_it_are_the_normalised_layers(raw, normalized, steps, blocks):
    descriptors = np.random.default_rng(0).random((3, 30, 5)).astype("float32")
    for layer in (raw, normalized):
        if hasattr(layer, "adapt"):
            layer.adapt(descriptors)
    np.testing.assert_allclose(
        VectorNormalization(steps, blocks)(raw(descriptors)), normalized(descriptors), rtol=0, atol=2e-6
    )


def test_zeros_stay_zeros_with_finite_gradients():
    vectors = tf.zeros((2, 4))
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        normalized = VectorNormalization(("square_root", "blocks", "l2"), 2)(vectors)
    np.testing.assert_array_equal(normalized, np.zeros((2, 4)))
    np.testing.assert_array_equal(tape.gradient(normalized, vectors), np.zeros((2, 4)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: VectorNormalization("root"), "`steps` must be names of .*Received: 'root'"),
        (lambda: VectorNormalization(num_blocks=0), "`num_blocks` must be a positive integer"),
        (lambda: VectorNormalization(num_blocks=5)(_vectors()), "a multiple of `num_blocks=5`"),
        (lambda: VectorNormalization()(np.zeros((2, 3, 4), "float32")), r"expects vectors \(batch, n\)"),
    ],
)
def test_errors(build, message):
    with pytest.raises(ValueError, match=message):
        build()
