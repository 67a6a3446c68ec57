import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers import net_vlad
from keras_fvvae.layers.net_vlad import NetVLAD
from keras_fvvae.ops import residuals
from tests.support.layer_harness import check_layer
from tests.support.numpy_reference import randomize


def _descriptors(shape=(3, 6, 4), seed=0):
    """Asymmetric images, one descriptor all zero."""
    descriptors = np.random.default_rng(seed).normal(0.3, 1.0, size=shape)
    descriptors[0, 1] = 0.0
    return descriptors


def _random(num_centroids=3, normalize_descriptors=True):
    """A layer in float64 whose kernel, bias and centroids have nothing to do with one another."""
    layer = NetVLAD(num_centroids, 1.0, normalize_descriptors, dtype="float64")
    layer.build((None, None, 4))
    randomize(layer)
    return layer


def _unit(x):
    norm = np.linalg.norm(x)
    return x / norm if norm else x


def _loop(layer, descriptors):
    """The definition for one image, one descriptor and one centroid at a time; also the residuals before norms."""
    kernel, bias, centroids = (weight.numpy() for weight in (layer.kernel, layer.bias, layer.centroids))
    aggregated = np.zeros_like(centroids)
    for x in descriptors:
        x = _unit(x) if layer.normalize_descriptors else x
        scores = [math.exp(kernel[:, k] @ x + bias[k]) for k in range(len(centroids))]
        for k, centroid in enumerate(centroids):
            aggregated[k] += scores[k] / sum(scores) * (x - centroid)
    return _unit(np.concatenate([_unit(residual) for residual in aggregated])), aggregated


def _hard_vlad(centroids, descriptors):
    """VLAD: the residual of every descriptor from its nearest centroid."""
    aggregated = np.zeros_like(centroids)
    for x in descriptors:
        nearest = np.argmin([np.sum((x - centroid) ** 2) for centroid in centroids])
        aggregated[nearest] += x - centroids[nearest]
    return _unit(np.concatenate([_unit(residual) for residual in aggregated]))


def _clusters(seed=0, batches=4):
    """Batches of descriptors of unit length around three directions, in shares 1:2:5."""
    rng = np.random.default_rng(seed)
    directions = np.eye(3, 5)
    chosen = directions[rng.choice(3, p=[0.125, 0.25, 0.625], size=(batches, 10, 20))]
    descriptors = chosen + 0.05 * rng.normal(size=chosen.shape)
    descriptors /= np.linalg.norm(descriptors, axis=-1, keepdims=True)
    return directions, list(descriptors.astype("float32"))


@pytest.mark.parametrize("normalize_descriptors", [False, True])
def test_harness(normalize_descriptors):
    """Without the unit norm: under it the harness's loss, a mean square, is constant and trains nothing."""
    settings = {"alpha": 2.0, "normalize_descriptors": normalize_descriptors, "normalization": None}
    check_layer(lambda **kwargs: NetVLAD(3, **settings, **kwargs), _descriptors().astype("float32"))


def test_harness_adapted():
    _, batches = _clusters()

    def build(**kwargs):
        layer = NetVLAD(3, normalization=None, **kwargs)
        layer.adapt(batches)
        return layer

    check_layer(build, batches[0][:3])


@pytest.mark.parametrize("normalize_descriptors", [False, True])
def test_is_a_loop_over_descriptors_and_centroids(normalize_descriptors):
    layer = _random(normalize_descriptors=normalize_descriptors)
    expected = [_loop(layer, image)[0] for image in _descriptors()]
    np.testing.assert_allclose(layer(_descriptors()), expected, atol=1e-12)
    assert layer.output_dim == 12


def test_without_normalisation_is_the_sum_of_residuals():
    layer = _random()
    layer.normalization = None
    np.testing.assert_allclose(layer(_descriptors()), [_loop(layer, x)[1].ravel() for x in _descriptors()], atol=1e-12)


def test_sharp_assignment_is_vlad():
    descriptors, centroids = _descriptors((3, 50, 4), seed=1), np.random.default_rng(2).normal(0.3, 1.0, size=(5, 4))
    layer = NetVLAD(5, normalize_descriptors=False, alpha=1.0, dtype="float64")
    layer.build((None, None, 4))
    expected, errors = [_hard_vlad(centroids, image) for image in descriptors], []
    for alpha in (1.0, 10.0, 1e6):
        layer.set_weights([*residuals.assignment_weights(centroids, alpha), centroids, np.int64(0)])
        vectors = np.array(layer(descriptors))
        errors.append(np.abs(vectors - expected).max())
    assert errors[0] > 0.05
    assert errors[1] < errors[0]
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("normalize_descriptors", [False, True])
def test_gradients_are_those_of_finite_differences(normalize_descriptors):
    layer, images = _random(normalize_descriptors=normalize_descriptors), _descriptors((2, 3, 4), seed=3)
    images[0, 1] = [0.5, -1.0, 0.2, 0.1]
    direction = np.random.default_rng(1).normal(size=(2, 12))
    inputs, weights = tf.Variable(images), layer.trainable_variables

    @tf.function
    def loss():
        return tf.reduce_sum(layer(inputs) * direction)

    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, [inputs, *weights])
    assert [weight.name for weight in weights] == ["kernel", "bias", "centroids"]
    for variable, gradient in zip([inputs, *weights], gradients, strict=True):
        values = variable.numpy()
        numeric = np.zeros_like(values)
        for index in np.ndindex(*values.shape):
            for sign in (1, -1):
                moved = values.copy()
                moved[index] += sign * 1e-6
                variable.assign(moved)
                numeric[index] += sign * loss().numpy() / 2e-6
        variable.assign(values)
        assert np.abs(numeric).max() > 1e-3
        np.testing.assert_allclose(gradient, numeric, atol=1e-7)


def test_mask_drops_descriptors():
    layer, descriptors = _random(), _descriptors()
    mask = np.array([[1, 1, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0]], bool)
    expected = [_loop(layer, image[keep])[0] for image, keep in zip(descriptors, mask, strict=True)]
    descriptors[~mask] = np.nan
    inputs = tf.constant(descriptors)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        vectors = layer(inputs, mask=mask)
    np.testing.assert_allclose(vectors, expected, atol=1e-12)
    assert not np.array(vectors)[2].any()
    gradients = tape.gradient(vectors, [inputs, *layer.trainable_variables])
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert not gradients[0].numpy()[~mask].any()


@pytest.mark.parametrize("alpha", [1.0, 1e4])
@pytest.mark.parametrize("case", ["zero", "one", "repeated", "on a centroid", "masked"])
def test_degenerate_images_have_finite_vectors_and_gradients(case, alpha):
    layer = NetVLAD(3, alpha=alpha)
    layer.build((None, None, 4))
    descriptors = _descriptors((2, 5, 4), seed=4).astype("float32")
    if case == "zero":
        descriptors[:] = 0.0
    elif case == "one":
        descriptors = descriptors[:, :1]
    elif case == "repeated":
        descriptors[:] = descriptors[:1, :1]
    elif case == "on a centroid":
        unit = layer.centroids.numpy() / np.linalg.norm(layer.centroids, axis=1, keepdims=True)
        layer.centroids.assign(unit)
        descriptors[:] = unit[1]
    inputs = tf.constant(descriptors)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        vectors = layer(inputs, mask=np.full(descriptors.shape[:2], case != "masked"))
    assert np.isfinite(vectors).all()
    gradients = tape.gradient(vectors, [inputs, *layer.trainable_variables])
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_rounding_noise_is_not_blown_up():
    """Descriptors on their centroid leave residuals of 1e-8, not vectors of unit length."""
    layer = NetVLAD(2, alpha=1e4)
    layer.build((None, None, 4))
    centroids = np.array([[0.1, 0.7, 0.5, 0.5], [-1.0, 0.0, 0.0, 0.0]])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    layer.set_weights([*residuals.assignment_weights(centroids, 1e4), centroids, np.int64(0)])
    assert np.linalg.norm(layer(np.tile(centroids[:1], (1, 3, 1)))) < 0.5


def test_adapt_finds_the_clusters():
    directions, batches = _clusters()
    layer = NetVLAD(3, dtype="float64")
    layer.adapt(tf.data.Dataset.from_tensor_slices(np.array(batches)))
    found = layer.centroids.numpy()
    order = np.argmax(found @ directions.T, axis=1)
    assert sorted(order) == [0, 1, 2]
    np.testing.assert_allclose(found, directions[order], atol=0.02)
    assert layer.is_adapted
    assert int(layer.seen) == 800


def test_adapt_takes_alpha_from_the_gap_to_the_second_centroid():
    _, batches = _clusters()
    layer = NetVLAD(3, dtype="float64")
    layer.adapt(batches)
    centroids, x = layer.centroids.numpy(), np.reshape(batches, (-1, 5)).astype("float64")
    squared = np.sort(((x[:, None] - centroids) ** 2).sum(axis=-1), axis=1)
    alpha = math.log(100) / np.mean(squared[:, 1] - squared[:, 0])
    np.testing.assert_allclose(layer.kernel, 2 * alpha * centroids.T, rtol=1e-4)
    np.testing.assert_allclose(layer.bias, -alpha * (centroids**2).sum(axis=1), rtol=1e-4)
    shares = np.sort(residuals.soft_assignment(x[None], layer.kernel, layer.bias)[0], axis=1)
    np.testing.assert_allclose(np.exp(np.mean(np.log(shares[:, -1] / shares[:, -2]))), 100, rtol=1e-3)


def test_adapt_keeps_a_given_alpha():
    _, batches = _clusters()
    layer = NetVLAD(3, alpha=7.0)
    layer.adapt(batches)
    np.testing.assert_allclose(layer.kernel, 14.0 * layer.centroids.numpy().T, rtol=1e-5)


def test_adapt_scales_descriptors_as_the_call_does():
    _, batches = _clusters()
    rng = np.random.default_rng(0)
    scaled = [batch * rng.uniform(0.1, 100, size=(10, 20, 1)) for batch in batches]
    first, second = NetVLAD(3), NetVLAD(3)
    first.adapt(batches)
    second.adapt(scaled)
    np.testing.assert_allclose(second.centroids, first.centroids, atol=1e-4)


def test_adapt_repeats():
    _, batches = _clusters()
    first, second = NetVLAD(3), NetVLAD(3)
    first.adapt(batches)
    second.adapt(iter(batches))
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_adapt_leaves_masked_descriptors_out():
    _, batches = _clusters()
    mask = np.random.default_rng(1).random((4, 10, 20)) < 0.5
    masked = np.where(mask[..., None], batches, np.nan)
    layer = NetVLAD(3)
    layer.adapt({"inputs": one, "mask": keep} for one, keep in zip(masked, mask, strict=True))
    assert int(layer.seen) == mask.sum()
    assert np.isfinite(layer.centroids).all()


def test_adapt_samples_a_bounded_number(monkeypatch):
    monkeypatch.setattr(net_vlad, "SAMPLES_PER_CENTROID", 20)
    directions, batches = _clusters()
    layer = NetVLAD(3)
    layer.adapt(batches)
    found = layer.centroids.numpy()
    np.testing.assert_allclose(found, directions[np.argmax(found @ directions.T, axis=1)], atol=0.1)
    assert int(layer.seen) == 800


def test_needs_adapt():
    with pytest.raises(
        ValueError,
        match="This `NetVLAD` has no centroids yet: call `adapt` .* or give `alpha` to start",
    ):
        NetVLAD(3)(_descriptors())


def test_fewer_descriptors_than_centroids():
    with pytest.raises(
        ValueError, match="A codebook of 64 entries needs at least as many descriptors. Received: 18 desc"
    ):
        NetVLAD().adapt(_descriptors())
    with pytest.raises(ValueError, match="The data set is empty: there is nothing to adapt to"):
        NetVLAD().adapt([])


def test_repeated_descriptors_say_nothing_about_alpha():
    repeated = np.ones((2, 10, 4), "float32")
    with pytest.raises(ValueError, match="`alpha` cannot be taken from the data"):
        NetVLAD(3).adapt(repeated)
    layer = NetVLAD(3, alpha=1.0)
    layer.adapt(repeated)
    assert np.isfinite(layer(_descriptors())).all()


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis -1")
def test_one_centroid():
    layer = NetVLAD(1)
    layer.adapt(_descriptors())
    assert np.isfinite(layer(_descriptors())).all()


def test_adapt_refuses_what_is_not_finite():
    descriptors = _descriptors()
    descriptors[1, 2, 3] = np.inf
    with pytest.raises(ValueError, match=r"1 of 18 descriptors hold NaN or infinite values \(first at position 8 "):
        NetVLAD(3).adapt([descriptors])


def test_adapt_leaves_labels_aside():
    with_labels, without = NetVLAD(3), NetVLAD(3)
    with_labels.adapt([(_descriptors(), np.array([0, 1, 2]))])
    without.adapt([_descriptors()])
    np.testing.assert_array_equal(with_labels.centroids, without.centroids)


def test_adapt_refuses_another_mask():
    with pytest.raises(ValueError, match=r"must have its first axes.* Received: shapes \(3, 5\) and \(3, 6, 4\)"):
        NetVLAD(3).adapt({"inputs": _descriptors(), "mask": np.ones((3, 5), bool)})


def test_adapted_layer_survives_saving(tmp_path):
    _, batches = _clusters()
    layer = NetVLAD(3)
    layer.adapt(batches)
    inputs = keras.Input((None, 5))
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[-1]
    np.testing.assert_allclose(loaded(batches[0]), layer(batches[0]), atol=1e-6)


def test_training_lowers_a_loss():
    """Kernel, bias and centroids learn together, in a graph, from an adapted start."""
    directions, batches = _clusters()
    images = np.concatenate([np.tile(batches[0][:, :1], (1, 4, 1)), np.tile(batches[0][:, 1:2], (1, 4, 1))])
    labels = np.argmax(images[:, 0] @ directions.T, axis=1)
    layer = NetVLAD(3)
    layer.adapt(batches)
    model = keras.Sequential([keras.Input((None, 5)), layer, keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), loss)
    before = [weight.numpy() for weight in layer.trainable_variables]
    history = model.fit(images, labels, epochs=10, batch_size=10, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]
    assert all(np.abs(w.numpy() - old).max() > 1e-4 for w, old in zip(layer.trainable_variables, before, strict=True))


def test_dynamic_number_of_descriptors():
    layer = NetVLAD(3, alpha=2.0)
    traced = tf.function(layer, input_signature=[tf.TensorSpec((None, None, 4))])
    for count in (1, 6):
        descriptors = _descriptors((2, 6, 4))[:, :count].astype("float32")
        np.testing.assert_allclose(traced(descriptors), layer(descriptors), atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 3, 4)])
def test_wrong_rank(shape):
    with pytest.raises(ValueError, match="`NetVLAD` expects descriptors .* Received: shape="):
        NetVLAD(3, alpha=1.0)(np.zeros(shape))
    with pytest.raises(ValueError, match="`NetVLAD` expects descriptors .* Received: shape="):
        NetVLAD(3).adapt(np.zeros(shape))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_centroids": 0}, "`num_centroids` must be a positive integer. Received: num_centroids=0"),
        ({"num_centroids": 2.5}, "`num_centroids` must be a positive integer. Received: num_centroids=2.5"),
        ({"alpha": 0.0}, "`alpha` must be positive, or `None` to take it from the data. Received: alpha=0.0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        NetVLAD(**arguments)


def test_output_dim_before_build():
    with pytest.raises(ValueError, match="`output_dim` depends on the channels of the input"):
        _ = NetVLAD().output_dim
