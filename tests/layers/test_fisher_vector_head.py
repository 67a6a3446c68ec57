import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers import (
    DescriptorNormalization,
    FisherNormalization,
    FisherVectorHead,
    FVVAELayer,
    SpatialPyramidPooling,
)
from keras_fvvae.zoo.release import load_release
from tests.support.layer_harness import check_layer
from tests.support.numpy_reference import NumpyFVVAE, randomize


def _descriptors(seed=0):
    """Images that differ in everything, one descriptor all zero."""
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(3, 6, 4)) * np.array([0.3, 1.0, 4.0])[:, np.newaxis, np.newaxis]
    descriptors[0, 2] = 0.0
    return descriptors


def _fvvae(hidden_units=None, seed=0, dead=(), dtype="float64", **arguments):
    """A layer with random weights, non-unit variances and, at will, decoder units that never fire."""
    layer = FVVAELayer(latent_dim=5, hidden_units=hidden_units, dtype=dtype, **arguments)
    layer.build((None, None, 4))
    randomize(layer, seed)
    kernel, bias = layer.decoder.get_weights()
    bias[list(dead)] = -1e3
    layer.decoder.set_weights([kernel, bias])
    return layer


def _gradients_of_the_reconstruction_loss(layer, descriptors, mask):
    """Automatic differentiation: dL/dW' and dL/db of the sum of L_rec over the descriptors, image by image."""
    vectors = []
    for image, keep in zip(descriptors, mask, strict=True):
        kept = image[np.newaxis, keep]
        with tf.GradientTape() as tape:
            loss = layer(kept)["reconstruction_loss"] * kept.shape[1]  # the layer reports a mean
        kernel, bias = tape.gradient(loss, [layer.decoder.kernel, layer.decoder.bias])
        vectors.append(np.concatenate([np.transpose(kernel), np.array(bias)[:, np.newaxis]], axis=1))
    return np.array(vectors)


def _assert_equal(actual, expected, tolerance):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("hidden_units", [None, (5,)])
def test_harness(hidden_units):
    check_layer(
        lambda **kwargs: FisherVectorHead(FVVAELayer(latent_dim=3, hidden_units=hidden_units, **kwargs), **kwargs),
        np.abs(_descriptors()).astype("float32"),
        without_gradient=["z_log_variance"],
    )


@pytest.mark.parametrize("dead", [(), (1,), (0, 1, 2, 3)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("hidden_units", [None, (), (5, 4)])
def test_eq_11_is_the_gradient_of_the_reconstruction_loss(hidden_units, masked, dead):
    for seed in range(3):
        layer = _fvvae(hidden_units, seed, dead)
        descriptors, mask = _descriptors(seed), np.ones((3, 6), bool)
        if masked:
            mask[0, ::2] = mask[1, 1:] = False
        expected = _gradients_of_the_reconstruction_loss(layer, descriptors, mask)
        descriptors[~mask] = np.nan
        vectors = np.array(FisherVectorHead(layer, dtype="float64")(descriptors, mask=mask if masked else None))
        assert vectors.dtype == np.float64
        assert vectors.shape == (3, 4, 6)
        assert expected.any() == (len(dead) < 4)
        assert not vectors[:, list(dead)].any()
        _assert_equal(vectors, expected, 1e-10)


@pytest.mark.parametrize("hidden_units", [None, (), (5, 4)])
def test_eq_11_is_a_loop_over_descriptors_and_dimensions(hidden_units):
    layer = _fvvae(hidden_units, dead=(2,))
    reference = NumpyFVVAE(layer)
    expected = np.array([reference.fisher_vector(image) for image in _descriptors()])
    _assert_equal(FisherVectorHead(layer, dtype="float64")(_descriptors()), expected, 1e-12)


def test_random_tests_reach_both_sides_of_the_relu():
    """What the tests above rest on: decoder units fire for some descriptors and not for others."""
    reconstruction = np.array(_fvvae()(_descriptors())["reconstruction"])
    assert 0.1 < (reconstruction > 0).mean() < 0.9


def test_is_a_sum_over_descriptors():
    head = FisherVectorHead(_fvvae(), dtype="float64")
    once = head(_descriptors())
    twice = head(np.concatenate([_descriptors(), _descriptors()], axis=1))
    _assert_equal(twice, 2 * np.array(once), 1e-12)


def test_all_masked_is_zero():
    vectors = FisherVectorHead(_fvvae(), dtype="float64")(np.full((3, 6, 4), np.nan), mask=np.zeros((3, 6), bool))
    np.testing.assert_array_equal(vectors, np.zeros((3, 4, 6)))


def test_encodes_with_the_mean_even_while_training():
    head = FisherVectorHead(_fvvae(dropout=0.9), dtype="float64")
    np.testing.assert_array_equal(head(_descriptors(), training=True), head(_descriptors()))


def test_shares_the_layer_it_is_given():
    layer = _fvvae()
    head = FisherVectorHead(layer, dtype="float64")
    assert head.fvvae is layer
    before = np.array(head(_descriptors()))
    layer.x_log_variance.assign_add(np.full(4, np.log(2.0)))  # twice the variance halves Eq. 11
    _assert_equal(head(_descriptors()), before / 2, 1e-12)


def test_records_no_tape(monkeypatch):
    head = FisherVectorHead(_fvvae(), dtype="float64")

    def refuse(*args, **kwargs):
        raise AssertionError("a gradient tape was opened")

    monkeypatch.setattr(tf.GradientTape, "__init__", refuse)
    head(_descriptors())
    graph = tf.function(head).get_concrete_function(tf.TensorSpec((None, 6, 4), tf.float64)).graph
    kinds = [operation.type for operation in graph.get_operations()]
    assert not [kind for kind in kinds if kind.endswith("Grad")]
    # Two layers of the encoder, the decoder, and the product of Eq. 11.
    assert sum("MatMul" in kind for kind in kinds) == 4


def test_does_not_sample_or_drop_in_its_graph():
    graph = tf.function(FisherVectorHead(_fvvae(), dtype="float64")).get_concrete_function(_descriptors()).graph
    assert not [operation.type for operation in graph.get_operations() if "Random" in operation.type]


def test_needs_an_fvvae_layer():
    with pytest.raises(TypeError, match="`fvvae` must be an `FVVAELayer`. Received: FisherNormalization"):
        FisherVectorHead(FisherNormalization())


def _released_vectors(shared):
    """What this library makes of the activations in the golden file, and the two sets of vectors in the file."""
    with np.load(shared / "golden" / "fv_vae_release_split1.npz") as golden:
        activations, raw, normalized = (golden[name] for name in ("activations", "raw_fv", "fv"))
    weights = shared / "weights" / "fv_vae_release" / "caffe_vae_weights_ucf101_split1_vgg19.mat"
    descriptors = SpatialPyramidPooling()(DescriptorNormalization("map", scale=158.0)(activations))
    return np.array(FisherVectorHead(load_release(weights))(descriptors)), raw, normalized


def test_vectors_are_those_of_the_authors_release(shared):
    vectors, raw, normalized = _released_vectors(shared)
    assert vectors.shape == (12, 512, 257)
    _assert_equal(vectors[: len(raw)], raw, 1e-5)

    normalization = FisherNormalization("diagonal")
    normalization.adapt([vectors[:5], vectors[5:]])
    _assert_equal(normalization(vectors[: len(normalized)]), normalized, 1e-3)


@pytest.mark.parametrize("decoder", [{}, {"decoder_units": (5,), "num_classes": 2, "attention": True}])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 5e-3), ("bfloat16", 4e-2)])
def test_pure_half_precision(dtype, tolerance, decoder):
    """Policies that keep the weights in half precision, too; the sums are in float32 all the same."""
    descriptors = np.random.default_rng(0).random((2, 49, 8)).astype("float32")
    decoder_layers = "all" if decoder else "last"
    full, half = (
        FisherVectorHead(FVVAELayer(latent_dim=3, dtype=one, **decoder), decoder_layers, dtype=one)
        for one in ("float32", dtype)
    )
    expected = np.array(full(descriptors))
    half.build(descriptors.shape)
    half.set_weights([weight.astype("float32") for weight in full.get_weights()])
    vectors = half(descriptors)
    assert keras.backend.standardize_dtype(vectors.dtype) == "float32"
    assert expected.any()
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=tolerance * np.abs(expected).max())
