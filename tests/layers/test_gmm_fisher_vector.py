import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers.gmm_fisher_vector import GMMFisherVector
from tests.support.backends import dtype_of
from tests.support.layer_harness import check_layer

NORMALIZATIONS = (None, "improved", "square_root", ("l2",))
# Unequal priors, variances that are not one, in components that overlap.
PRIORS = np.array([0.5, 0.05, 0.3, 0.15])
MEANS = np.array([[0.0, 0.0, 0.0], [1.0, -1.0, 2.0], [-0.2, 0.4, -3.0], [0.3, 1.5, 4.0]])
VARIANCES = np.array([[0.2, 1.0, 9.0], [0.1, 2.0, 4.0], [0.3, 0.5, 25.0], [0.05, 3.0, 1.0]])


def _descriptors(images=4, count=30, offset=0.0, seed=0):
    """Images that differ, of channels of unequal scales; one descriptor is all zero."""
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(images, count, 3)) * np.array([0.3, 1.0, 4.0]) + offset
    descriptors += 0.5 * rng.normal(size=(images, 1, 3))
    descriptors[0, 2] = 0.0
    return descriptors


def _layer(normalization=None, priors=PRIORS, means=MEANS, variances=VARIANCES, **arguments):
    return _set(
        GMMFisherVector(len(priors), normalization, **{"dtype": "float64", **arguments}), priors, means, variances
    )


def _set(layer, priors=PRIORS, means=MEANS, variances=VARIANCES):
    layer.set_mixture(priors, means, variances)
    return layer


def _adapted(normalization=None, num_components=4, data=None, **arguments):
    layer = GMMFisherVector(num_components, normalization, **arguments)
    layer.adapt(_descriptors() if data is None else data)
    return layer


def _posteriors_in_numpy(descriptor, priors, means, variances):
    logarithms = np.array(
        [
            np.log(prior) - 0.5 * np.sum(np.log(variance)) - 0.5 * np.sum((descriptor - mean) ** 2 / variance)
            for prior, mean, variance in zip(priors, means, variances, strict=True)
        ]
    )
    exponentials = np.exp(logarithms - logarithms.max())
    return exponentials / exponentials.sum()


def _fisher_vector_in_numpy(descriptors, normalization=None, priors=PRIORS, means=MEANS, variances=VARIANCES):
    """One descriptor and one component at a time: [u_1..u_K, v_1..v_K]."""
    by_mean, by_deviation = np.zeros_like(means), np.zeros_like(means)
    for descriptor in descriptors:
        posteriors = _posteriors_in_numpy(descriptor, priors, means, variances)
        for k in range(len(priors)):
            z = (descriptor - means[k]) / np.sqrt(variances[k])
            by_mean[k] += posteriors[k] * z / (len(descriptors) * np.sqrt(priors[k]))
            by_deviation[k] += posteriors[k] * (z**2 - 1) / (len(descriptors) * np.sqrt(2 * priors[k]))
    vector = np.concatenate([by_mean.reshape(-1), by_deviation.reshape(-1)])
    steps = ("square_root", "l2") if normalization == "improved" else normalization or ()
    if "square_root" in steps:
        vector = np.sign(vector) * np.sqrt(np.abs(vector))
    return vector / np.sqrt(np.sum(vector**2)) if "l2" in steps else vector


@pytest.mark.parametrize("normalization", [None, "improved"])
def test_harness(normalization):
    data = _descriptors().astype("float32")
    check_layer(lambda **kwargs: _set(GMMFisherVector(4, normalization, **kwargs)), data)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_is_a_loop_over_descriptors(normalization):
    expected = np.array([_fisher_vector_in_numpy(image, normalization) for image in _descriptors()])
    vectors = _layer(normalization)(_descriptors())
    assert dtype_of(vectors) == "float64"
    assert vectors.shape == (4, 2 * 4 * 3)
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_is_the_gradient_of_the_log_likelihood_scaled_by_the_fisher_information():
    """F = pi / s^2 for the means, 2 pi / s^2 for the standard deviations (Perronnin and Dance, 2007)."""
    means, deviations = tf.Variable(MEANS), tf.Variable(np.sqrt(VARIANCES))
    for image, vector in zip(_descriptors(), np.array(_layer()(_descriptors())), strict=True):
        with tf.GradientTape() as tape:
            z = (image[:, np.newaxis] - means) / deviations
            densities = PRIORS * tf.reduce_prod(tf.exp(-(z**2) / 2) / (deviations * np.sqrt(2 * np.pi)), axis=-1)
            likelihood = tf.reduce_mean(tf.math.log(tf.reduce_sum(densities, axis=-1)))
        by_mean, by_deviation = (np.array(gradient) for gradient in tape.gradient(likelihood, [means, deviations]))
        priors = PRIORS[:, np.newaxis]
        u = by_mean / np.sqrt(priors / VARIANCES)
        v = by_deviation / np.sqrt(2 * priors / VARIANCES)
        np.testing.assert_allclose(vector, np.concatenate([u, v]).reshape(-1), rtol=1e-9, atol=1e-11)


def test_has_mean_zero_and_unit_variance_where_the_components_are_apart():
    """What the Fisher information is for: over descriptors of the mixture itself, T = 1."""
    rng = np.random.default_rng(0)
    means = np.array([[0.0, 0.0], [100.0, 0.0], [0.0, 200.0]])
    variances, priors = np.array([[1.0, 4.0], [9.0, 0.25], [2.0, 1.0]]), np.array([0.2, 0.5, 0.3])
    component = rng.choice(3, size=40000, p=priors)
    rows = rng.normal(means[component], np.sqrt(variances[component]))[:, np.newaxis]
    vectors = np.array(_layer(None, priors, means, variances)(rows))
    np.testing.assert_allclose(vectors.mean(axis=0), 0.0, atol=0.03)
    np.testing.assert_allclose((vectors**2).mean(axis=0), 1.0, atol=0.1)


def test_against_scikit_image():
    """scikit-image has a block for the priors first and the sigma block negated."""
    feature = pytest.importorskip("skimage.feature")
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(4, covariance_type="diag")
    mixture.weights_, mixture.means_, mixture.covariances_ = PRIORS, MEANS, VARIANCES
    mixture.precisions_cholesky_ = 1 / np.sqrt(VARIANCES)
    for image, vector in zip(_descriptors(), np.array(_layer()(_descriptors())), strict=True):
        theirs = feature.fisher_vector(image, mixture)[4:]
        expected = np.concatenate([theirs[:12], -theirs[12:]])
        np.testing.assert_allclose(vector, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


def test_against_vlfeat():
    vlfeat = pytest.importorskip("cyvlfeat.fisher")
    mixture = [values.astype("float32") for values in (MEANS, VARIANCES, PRIORS)]
    for normalization, improved in ((None, False), ("improved", True)):
        vectors = np.array(_layer(normalization, dtype="float32")(_descriptors().astype("float32")))
        for image, vector in zip(_descriptors(), vectors, strict=True):
            expected = vlfeat.fisher(image.astype("float32"), *mixture, improved=improved)
            np.testing.assert_allclose(vector, expected, rtol=0, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_float32_is_close_to_float64(offset):
    """Without centring, the expanded square would be off by 0.17 at an offset of 50."""
    data = _descriptors(offset=offset)
    wide, narrow = (_layer(means=MEANS + offset, dtype=dtype)(data.astype(dtype)) for dtype in ("float64", "float32"))
    np.testing.assert_allclose(narrow, wide, rtol=0, atol=2e-4 * np.abs(wide).max())


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_masked_descriptors_are_as_if_they_were_not_there(normalization):
    layer, data = _layer(normalization), _descriptors()
    mask = np.random.default_rng(0).random((4, 30)) < 0.6
    broken = np.where(mask[..., np.newaxis], data, np.nan)
    dropped = np.concatenate([layer(image[keep][np.newaxis]) for image, keep in zip(data, mask, strict=True)])
    np.testing.assert_allclose(layer(broken, mask=mask), dropped, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_nothing_to_encode(normalization):
    layer = _layer(normalization)
    all_masked = layer(np.full((2, 6, 3), np.nan), mask=np.zeros((2, 6), bool))
    np.testing.assert_array_equal(all_masked, np.zeros((2, 24)))
    np.testing.assert_array_equal(layer(np.zeros((2, 0, 3))), np.zeros((2, 24)))


def test_empty_components_contribute_nothing():
    for prior in (0.0, 1e-7):
        priors = np.array([0.5 - prior, prior, 0.35, 0.15])
        vectors = np.array(_layer(priors=priors, dtype="float32")(_descriptors())).reshape(4, 2, 4, 3)
        assert not vectors[:, :, 1].any()
        assert vectors[:, :, [0, 2, 3]].all()


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize(
    "data", [np.zeros((2, 6, 3)), np.full((3, 4, 3), 50.0), np.full((5, 1, 3), 7.5)], ids=["zeros", "repeated", "one"]
)
def test_degenerate_descriptors(normalization, data):
    """Mixtures of a single place, and descriptors that lie on it, beside it and far away."""
    layer = _adapted(normalization, data=data)
    for inputs in (data, data + 1, np.zeros((2, 1, 3)), data + 1e4):
        inputs = tf.constant(inputs, "float32")
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            vectors = layer(inputs)
        assert np.isfinite(vectors).all()
        assert np.isfinite(tape.gradient(vectors, inputs)).all()


def test_is_differentiable_with_respect_to_descriptors():
    layer, data = _layer("improved"), tf.constant(_descriptors(images=1))
    direction = np.random.default_rng(0).normal(size=(1, 24))
    with tf.GradientTape() as tape:
        tape.watch(data)
        value = tf.reduce_sum(layer(data) * direction)
    gradient = np.array(tape.gradient(value, data))
    step = np.zeros_like(gradient)
    step[0, 7, 1] = 1e-6
    numeric = np.sum((np.array(layer(data + step)) - np.array(layer(data - step))) * direction) / 2e-6
    np.testing.assert_allclose(gradient[0, 7, 1], numeric, rtol=1e-5)


@pytest.mark.parametrize(
    "stream",
    [
        lambda data: [data[:1], data[1:]],
        lambda data: [(data, np.arange(4))],
        lambda data: tf.data.Dataset.from_tensor_slices((data, np.arange(4))).batch(3),
    ],
    ids=["list", "with labels", "tf.data"],
)
@pytest.mark.parametrize("per_component", [None, 20, 1000])
def test_adapt_takes_any_stream(stream, per_component):
    whole, streamed = GMMFisherVector(4), GMMFisherVector(4)
    whole.adapt(_descriptors(), descriptors_per_component=per_component)
    streamed.adapt(stream(_descriptors()), descriptors_per_component=per_component)
    for one, other in zip(streamed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert int(streamed.seen) == (80 if per_component == 20 else 120)


def test_adapt_finds_the_mixture():
    rng = np.random.default_rng(0)
    component = rng.choice(2, size=(10, 300), p=[0.8, 0.2])
    layer = GMMFisherVector(2)
    layer.adapt(
        rng.normal(np.array([[0.0, 0.0], [5.0, 8.0]])[component], np.array([[1.0, 0.5], [2.0, 1.0]])[component])
    )
    order = np.argsort(-layer.priors.numpy())
    np.testing.assert_allclose(layer.priors.numpy()[order], [0.8, 0.2], atol=0.03)
    np.testing.assert_allclose(layer.means.numpy()[order], [[0, 0], [5, 8]], atol=0.3)
    np.testing.assert_allclose(layer.variances.numpy()[order], [[1, 0.25], [4, 1]], rtol=0.2)


def test_the_training_set_has_a_vector_of_zero():
    """EM ends where the gradient of the likelihood vanishes."""
    data = _descriptors(images=1, count=800)
    layer = GMMFisherVector(3, dtype="float64")
    layer.adapt(data, max_iterations=1)
    early = np.abs(layer(data)).max()
    layer.adapt(data, max_iterations=400)
    assert np.abs(layer(data)).max() < min(0.02, early / 3)


def test_images_of_different_sizes_in_one_graph():
    layer = _layer("improved", dtype="float32")
    traced = tf.function(layer, input_signature=[tf.TensorSpec((None, None, 3), "float32")])
    for data in (_descriptors(2, 7), _descriptors(3, 11)):
        np.testing.assert_allclose(traced(tf.constant(data, "float32")), layer(data.astype("float32")), atol=1e-6)
    inputs = keras.Input((None, 3))
    assert keras.Model(inputs, layer(inputs)).output_shape == (None, 24)


def test_calling_before_adapt():
    layer = GMMFisherVector(4)
    with pytest.raises(ValueError, match="`GMMFisherVector` has no codebook yet: call `adapt`"):
        layer(_descriptors())
    assert not layer.is_adapted
    with pytest.raises(tf.errors.InvalidArgumentError, match="has no codebook yet"):
        tf.function(layer)(_descriptors())


def test_output_dim():
    layer = GMMFisherVector(4)
    with pytest.raises(ValueError, match="`output_dim` depends on the channels of the input"):
        _ = layer.output_dim
    layer.adapt(_descriptors())
    assert layer.is_adapted
    assert layer.output_dim == layer(_descriptors()).shape[1] == 24


def test_failed_adapt_keeps_what_was_there():
    layer = _adapted()
    before = layer.get_weights()
    for bad, message in (
        (np.full((2, 6, 3), np.nan), "12 of 12 descriptors hold NaN"),
        (_descriptors()[:1, :3], "codebook of 4 entries needs at least as many descriptors. Received: 3"),
        ([], "The data set is empty: there is nothing to adapt to"),
    ):
        with pytest.raises(ValueError, match=message):
            layer.adapt(bad)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_progress_is_shown(capsys):
    GMMFisherVector(2).adapt(_descriptors(), verbose=1)
    shown = capsys.readouterr().err
    assert all(words in shown for words in ("Drawing descriptors", "K-means", "EM"))
    GMMFisherVector(2).adapt(_descriptors())
    captured = capsys.readouterr()
    assert not captured.err + captured.out


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"`normalization` must be None, 'improved' or .* Received: \['components'\]"):
        GMMFisherVector(normalization="components")
    with pytest.raises(ValueError, match="`num_components` must be a positive integer. Received: num_components=1.5"):
        GMMFisherVector(1.5)
    with pytest.raises(ValueError, match=r"mixture of 3 components .* Received: shapes \(4,\), \(4, 3\) and \(4, 3\)"):
        GMMFisherVector(3).set_mixture(PRIORS, MEANS, VARIANCES)
    with pytest.raises(ValueError, match="positive variances"):
        GMMFisherVector(4).set_mixture(PRIORS, MEANS, -VARIANCES)
    for wrong in (_descriptors()[:, 0], _descriptors()[..., :2]):
        with pytest.raises(ValueError, match="incompatible with the layer: expected"):
            _layer()(wrong)
