import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers.vlad import VLAD
from keras_fvvae.ops import codebooks
from tests.support.backends import dtype_of
from tests.support.layer_harness import check_layer

NORMALIZATIONS = (None, "improved", "l2", ("l2", "square_root"), ("components",), ("mass", "components", "l2"))


def _descriptors(images=4, count=30, offset=0.0, seed=0):
    """Images that differ, of channels of unequal scales; one descriptor is all zero."""
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(images, count, 3)) * np.array([0.3, 1.0, 4.0]) + offset
    descriptors += 2 * rng.normal(size=(images, 1, 3))
    descriptors[0, 2] = 0.0
    return descriptors


def _adapted(normalization=None, num_centroids=5, data=None, **arguments):
    return _adapt(VLAD(num_centroids, normalization, **arguments), _descriptors() if data is None else data)


def _adapt(layer, data):
    layer.adapt(data)
    return layer


def _with_centroids(centroids, normalization=None, dtype="float64"):
    layer = VLAD(len(centroids), normalization, dtype=dtype)
    layer.build((None, None, centroids.shape[1]))
    layer.set_weights([centroids, np.array(1)])
    return layer


def _vlad_in_numpy(descriptors, centroids, normalization=None):
    """One descriptor and one centroid at a time, in VLFeat's order."""
    steps = {None: (), "improved": ("square_root", "components", "l2")}.get(normalization, normalization)
    steps = (steps,) if isinstance(steps, str) else steps
    rows, counts = np.zeros_like(centroids, dtype="float64"), np.zeros(len(centroids))
    for descriptor in descriptors:
        nearest = int(np.argmin([np.sum((descriptor - centroid) ** 2) for centroid in centroids]))
        rows[nearest] += descriptor - centroids[nearest]
        counts[nearest] += 1
    for k, row in enumerate(rows):
        if "mass" in steps and counts[k]:
            row /= counts[k]
        if "square_root" in steps:
            row[:] = np.sign(row) * np.sqrt(np.abs(row))
        if "components" in steps:
            row /= max(np.sqrt(np.sum(row**2)), 1e-12)
    vector = rows.reshape(-1)
    return vector / max(np.sqrt(np.sum(vector**2)), 1e-12) if "l2" in steps else vector


@pytest.mark.parametrize("normalization", [None, "improved"])
def test_harness(normalization):
    # Not the data that it is fitted on: a residual that is zero but for rounding has a random direction.
    data, others = (_descriptors(seed=seed).astype("float32") for seed in (0, 1))
    check_layer(lambda **kwargs: _adapt(VLAD(5, normalization, **kwargs), data), others)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_is_a_loop_over_descriptors(normalization):
    layer, data = _adapted(normalization, dtype="float64"), _descriptors(seed=1)
    expected = [_vlad_in_numpy(image, layer.centroids.numpy(), normalization) for image in data]
    vectors = layer(data)
    assert dtype_of(vectors) == "float64"
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_some_centroids_have_no_descriptors_in_the_fixture():
    """What the test above rests on."""
    vectors = np.array(_adapted(dtype="float64")(_descriptors(seed=1))).reshape(4, 5, 3)
    assert 0 < (~vectors.any(axis=-1)).sum() < 15


def test_float32_at_a_large_offset():
    data = _descriptors(offset=1000.0).astype("float32")
    layer = _adapted(data=data)
    expected = np.array([_vlad_in_numpy(image.astype("float64"), layer.centroids.numpy()) for image in data])
    np.testing.assert_allclose(layer(data), expected, rtol=0, atol=2e-3 * np.abs(expected).max())


def test_assigns_to_the_nearest_and_to_the_first_of_equals():
    descriptors = np.array([[[1.0, 0.0], [9.0, 0.0], [5.0, 0.0], [0.0, 0.0]]])
    assignments = codebooks.hard_assignments(descriptors, np.array([[0.0, 0.0], [10.0, 0.0]]))
    np.testing.assert_array_equal(assignments, [[[1, 0], [0, 1], [1, 0], [1, 0]]])


def test_against_vlfeat():
    vlfeat = pytest.importorskip("cyvlfeat.vlad")
    centroids = np.random.default_rng(1).normal(size=(5, 3)).astype("float32")
    rooted = {"square_root": True, "normalize_components": True}
    for normalization, flags in ((None, {"unnormalized": True}), ("l2", {}), ("improved", rooted)):
        vectors = np.array(_with_centroids(centroids, normalization, "float32")(_descriptors().astype("float32")))
        for image, vector in zip(_descriptors().astype("float32"), vectors, strict=True):
            nearest = ((image[:, np.newaxis] - centroids) ** 2).sum(-1).argmin(-1)
            expected = vlfeat.vlad(image, centroids, np.eye(5, dtype="float32")[nearest], **flags)
            np.testing.assert_allclose(vector, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_masked_descriptors_are_as_if_they_were_not_there(normalization):
    layer, data = _adapted(normalization, dtype="float64"), _descriptors()
    mask = np.random.default_rng(0).random((4, 30)) < 0.6
    broken = np.where(mask[..., np.newaxis], data, np.nan)
    dropped = np.concatenate([layer(image[keep][np.newaxis]) for image, keep in zip(data, mask, strict=True)])
    np.testing.assert_allclose(layer(broken, mask=mask), dropped, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_nothing_to_encode(normalization):
    layer = _adapted(normalization)
    all_masked = layer(np.full((2, 6, 3), np.nan, "float32"), mask=np.zeros((2, 6), bool))
    np.testing.assert_array_equal(all_masked, np.zeros((2, 15)))
    np.testing.assert_array_equal(layer(np.zeros((2, 0, 3), "float32")), np.zeros((2, 15)))


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize(
    "data", [np.zeros((2, 6, 3)), np.ones((3, 4, 3)), np.full((5, 1, 3), 7.5)], ids=["zeros", "repeated", "one"]
)
def test_degenerate_descriptors(normalization, data):
    """Codebooks of a single place, and descriptors that lie exactly on their centroid."""
    layer = _adapted(normalization, data=data)
    for inputs in (data, data + 1, np.zeros((2, 1, 3))):
        inputs = tf.constant(inputs, "float32")
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            vectors = layer(inputs)
        assert np.isfinite(vectors).all()
        assert np.isfinite(tape.gradient(vectors, inputs)).all()


def test_is_differentiable_with_respect_to_descriptors():
    layer, data = _adapted("improved", dtype="float64"), tf.constant(_descriptors(images=1))
    direction = np.random.default_rng(0).normal(size=(1, 15))
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
@pytest.mark.parametrize("per_centroid", [None, 10, 1000])
def test_adapt_takes_any_stream(stream, per_centroid):
    whole, streamed = VLAD(5), VLAD(5)
    whole.adapt(_descriptors(), descriptors_per_centroid=per_centroid)
    streamed.adapt(stream(_descriptors()), descriptors_per_centroid=per_centroid)
    np.testing.assert_allclose(streamed.centroids, whole.centroids, rtol=1e-6, atol=1e-6)
    assert int(streamed.seen) == (50 if per_centroid == 10 else 120)


def test_adapt_draws_from_an_iterator_and_cannot_pass_over_it_again():
    layer = VLAD(5)
    layer.adapt(iter([_descriptors()]))
    np.testing.assert_array_equal(layer.centroids, _adapted().centroids)
    with pytest.raises(ValueError, match="passed over several times"):
        layer.adapt(iter([_descriptors()]), descriptors_per_centroid=None)


def test_maps_of_different_sizes_in_one_graph():
    layer = _adapted("improved")
    traced = tf.function(layer, input_signature=[tf.TensorSpec((None, None, 3), "float32")])
    for data in (_descriptors(2, 7), _descriptors(3, 11)):
        np.testing.assert_allclose(traced(tf.constant(data, "float32")), layer(data.astype("float32")), atol=1e-6)
    inputs = keras.Input((None, 3))
    assert keras.Model(inputs, layer(inputs)).output_shape == (None, 15)


def test_calling_before_adapt():
    layer = VLAD(5)
    with pytest.raises(ValueError, match="`VLAD` has no codebook yet: call `adapt`"):
        layer(_descriptors())
    assert not layer.is_adapted
    with pytest.raises(tf.errors.InvalidArgumentError, match="has no codebook yet"):
        tf.function(layer)(_descriptors())


def test_output_dim():
    layer = VLAD(5)
    with pytest.raises(ValueError, match="`output_dim` depends on the channels of the input"):
        _ = layer.output_dim
    layer.adapt(_descriptors())
    assert layer.output_dim == layer(_descriptors()).shape[1] == 15


def test_failed_adapt_keeps_what_was_there():
    layer = _adapted()
    before = layer.get_weights()
    for bad, message in (
        (np.full((2, 6, 3), np.nan), "12 of 12 descriptors hold NaN"),
        (_descriptors()[:1, :4], "codebook of 5 entries needs at least as many descriptors. Received: 4"),
        ([], "The data set is empty: there is nothing to adapt to"),
    ):
        with pytest.raises(ValueError, match=message):
            layer.adapt(bad)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_progress_is_shown(capsys):
    VLAD(3).adapt(_descriptors(), verbose=1)
    shown = capsys.readouterr().err
    assert "Drawing descriptors" in shown
    assert "K-means" in shown
    VLAD(3).adapt(_descriptors())
    captured = capsys.readouterr()
    assert not captured.err + captured.out


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"`normalization` must be None, 'improved' or .* Received: \['ssr'\]"):
        VLAD(normalization=("ssr", "l2"))
    with pytest.raises(ValueError, match="`num_centroids` must be a positive integer. Received: num_centroids=0"):
        VLAD(0)


def test_wrong_shapes():
    with pytest.raises(ValueError, match=r"`VLAD` expects descriptors .* Received: shape=\(4, 3\)"):
        VLAD(5).build((4, 3))
    for wrong in (_descriptors()[:, 0], _descriptors()[..., :2]):
        with pytest.raises(ValueError, match="incompatible with the layer: expected"):
            _adapted()(wrong)
