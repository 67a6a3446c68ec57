import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers import FisherMaclaurin, FisherNormalization, FisherVectorHead, FVVAELayer
from keras_fvvae.layers.fisher_maclaurin import _separable_fit
from tests.support.layer_harness import check_layer
from tests.support.numpy_reference import randomize


def _descriptors(images=3, count=6, seed=0):
    """Images that differ in everything, one descriptor all zero."""
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(images, count, 4)) * np.geomspace(0.3, 4.0, images)[:, np.newaxis, np.newaxis]
    descriptors[0, min(2, count - 1)] = 0.0
    return descriptors


def _fvvae(dead=(), dtype="float64", **arguments):
    layer = FVVAELayer(latent_dim=5, dtype=dtype, **arguments)
    layer.build((None, None, 4))
    randomize(layer)
    kernel, bias = layer.decoder.get_weights()
    bias[list(dead)] = -1e3
    layer.decoder.set_weights([kernel, bias])
    return layer


def _layer(output_dim=7, information="none", fvvae=None, **arguments):
    layer = FisherMaclaurin(fvvae or _fvvae(), output_dim, information, **{"dtype": "float64", **arguments})
    return _adapt(layer, _descriptors(20, seed=5))


def _adapt(layer, data):
    if layer.information != "none":
        layer.adapt(data)
    return layer


def _raw(fvvae, descriptors, mask=None):
    return np.array(FisherVectorHead(fvvae, dtype="float64")(descriptors, mask=mask))


@pytest.mark.parametrize(("information", "output_dim"), [("none", 600), ("separable", 70)])
def test_harness(information, output_dim):
    data = np.abs(_descriptors()).astype("float32")
    check_layer(
        lambda **kwargs: _adapt(
            FisherMaclaurin(FVVAELayer(latent_dim=3, **kwargs), output_dim, information, **kwargs),
            data,
        ),
        data,
        without_gradient=["z_log_variance"],
        half_precision=5,  # a unit at its threshold, on or off, is a tenth of a vector
    )


@pytest.mark.parametrize("count", [1, 6])
@pytest.mark.parametrize("information", ["none", "separable"])
def test_is_a_projection_of_the_scaled_fisher_vector(information, count):
    """Entry m is `m^(-1/2) W1_m' a G b W2_m`, taken from the Fisher vector that the layer never sees."""
    layer, data = _layer(information=information), _descriptors(count=count)
    vectors = layer(data)
    rows, columns = layer.row_signs.numpy().astype("float64"), layer.column_signs.numpy().astype("float64")
    a, b = np.ones(4), np.ones(6)
    if information == "separable":
        a, b = layer.row_scale.numpy().astype("float64"), layer.column_scale.numpy().astype("float64")
        assert a.std() > 0.01 * a.mean() > 0
    expected = np.zeros((3, 7))
    for image, raw in enumerate(_raw(layer.fvvae, data)):
        for m in range(7):
            expected[image, m] = (rows[:, m] * a) @ raw @ (columns[:, m] * b) / np.sqrt(7)
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    assert layer.output_dim == 7


@pytest.mark.parametrize(
    "arguments", [{"attention": True, "num_classes": 2}, {"decoder_units": (6,)}], ids=["attention", "deeper"]
)
def test_follows_the_head(arguments):
    fvvae = _fvvae(**arguments)
    layer = _layer(fvvae=fvvae)
    vectors = layer(_descriptors())
    rows, columns = layer.row_signs.numpy(), layer.column_signs.numpy()
    expected = np.einsum("cm,ncd,dm->nm", rows, _raw(fvvae, _descriptors()), columns) / np.sqrt(7)
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_inner_products_are_unbiased():
    fvvae, data = _fvvae(), _descriptors(2)
    data[1] = data[0] + 0.2 * data[1]  # nearly parallel: the kernel is large against the spread of its estimates
    raw = _raw(fvvae, data)
    kernel = np.sum(raw[0] * raw[1])
    # 300 vectors of 16 features each, drawn independently: parts of one long vector.
    one, other = np.array(_layer(16 * 300, fvvae=fvvae)(data)).reshape(2, 300, 16) * np.sqrt(300)
    estimates = np.sum(one * other, axis=1)
    error = estimates.std() / np.sqrt(len(estimates))
    assert error < 0.2 * abs(kernel) / 4
    assert abs(estimates.mean() - kernel) < 4 * error


@pytest.mark.parametrize("information", ["none", "separable"])
def test_kernel_converges_to_that_of_the_scaled_fisher_vectors(information):
    data, errors = _descriptors(8), []
    for output_dim in (64, 1024, 16384):
        squared = []
        for seed in range(3):
            layer = _layer(output_dim, information, seed=seed)
            vectors = np.array(layer(data))
            raw = _raw(layer.fvvae, data)
            if information == "separable":
                raw = layer.row_scale.numpy()[:, np.newaxis] * raw * layer.column_scale.numpy()
            raw = raw.reshape(8, -1)
            scale = np.linalg.norm(raw, axis=1)
            squared.append(np.square((vectors @ vectors.T - raw @ raw.T) / np.outer(scale, scale)).mean())
        errors.append(np.sqrt(np.mean(squared)))
    slopes = np.diff(np.log(errors)) / np.log(16)
    np.testing.assert_allclose(slopes, -0.5, atol=0.15)
    assert errors[-1] < 0.02


def test_separable_scale_gives_every_row_and_column_a_mean_square_of_one():
    data = _descriptors(20, seed=5)
    layer = _layer(information="separable", fvvae=_fvvae(dead=(1,)))
    raw = _raw(layer.fvvae, data)
    scaled = layer.row_scale.numpy()[:, np.newaxis] * raw * layer.column_scale.numpy()
    np.testing.assert_allclose(np.square(scaled).mean(axis=(0, 2)), [1, 0, 1, 1], rtol=1e-5)
    np.testing.assert_allclose(np.square(scaled[:, [0, 2, 3]]).mean(axis=(0, 1)), np.ones(6), rtol=1e-5)
    assert np.abs(np.square(scaled).mean(axis=0)[[0, 2, 3]] - 1).max() > 0.01  # and that is not the diagonal


def test_separable_information_is_the_diagonal_where_that_is_an_outer_product():
    rng = np.random.default_rng(0)
    r, s = rng.uniform(0.1, 9.0, 4), rng.uniform(0.1, 9.0, 6)
    rows, columns = _separable_fit(np.outer(r, s))
    np.testing.assert_allclose(np.outer(rows, columns), np.outer(r, s), rtol=1e-8)


def test_separable_fit_has_the_largest_likelihood():
    mean_square = np.random.default_rng(0).gamma(0.5, size=(4, 6))

    def likelihood(rows, columns):
        variances = np.outer(rows, columns)
        return -np.sum(mean_square / variances + np.log(variances))

    rows, columns = _separable_fit(mean_square)
    best = likelihood(rows, columns)
    for seed in range(50):
        rng = np.random.default_rng(seed)
        assert likelihood(rows * np.exp(0.1 * rng.normal(size=4)), columns * np.exp(0.1 * rng.normal(size=6))) < best


def test_separable_fit_with_dead_rows_columns_and_entries():
    mean_square = np.random.default_rng(0).gamma(2.0, size=(5, 6))
    mean_square[1], mean_square[:, 3], mean_square[2, 2] = 0.0, 0.0, 0.0
    rows, columns = _separable_fit(mean_square)
    assert (rows > 0).tolist() == [True, False, True, True, True]
    assert (columns > 0).tolist() == [True, True, True, False, True, True]
    for weight in _separable_fit(np.zeros((5, 6))):
        assert not weight.any()


@pytest.mark.parametrize(
    "stream",
    [
        lambda data: data,
        lambda data: [data[:3], data[3:]],
        lambda data: iter([(data, np.arange(20))]),
        lambda data: tf.data.Dataset.from_tensor_slices((data, np.arange(20))).batch(7),
    ],
    ids=["array", "list", "with labels", "tf.data"],
)
def test_adapt_takes_any_stream(stream):
    fvvae = _fvvae()
    whole, streamed = (
        _layer(information="separable", fvvae=fvvae),
        FisherMaclaurin(fvvae, 7, "separable", dtype="float64"),
    )
    streamed.adapt(stream(_descriptors(20, seed=5)))
    assert int(streamed.seen) == 20
    for name in ("row_scale", "column_scale"):
        np.testing.assert_allclose(getattr(streamed, name), getattr(whole, name), rtol=1e-6)


@pytest.mark.parametrize("information", ["none", "separable"])
@pytest.mark.parametrize("normalization", [None, "improved"])
def test_masked_descriptors_are_as_if_they_were_not_there(information, normalization):
    layer, data = _layer(information=information, normalization=normalization), _descriptors()
    mask = np.array([[1, 1, 0, 1, 0, 1], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0]], bool)
    expected = np.concatenate([layer(image[keep][np.newaxis]) for image, keep in zip(data, mask, strict=True)])
    data[~mask] = np.nan
    vectors = layer(data, mask=mask)
    np.testing.assert_allclose(vectors, expected, rtol=1e-9, atol=1e-12)
    assert not np.array(vectors)[2].any()


@pytest.mark.parametrize("data", [np.zeros((2, 3, 4)), np.ones((2, 1, 4)), np.zeros((2, 1, 4))])
@pytest.mark.parametrize("dead", [(), (0, 1, 2, 3)])
def test_degenerate_descriptors_have_finite_vectors_and_gradients(data, dead):
    layer = FisherMaclaurin(_fvvae(dead, "float32"), 7, "separable", normalization="improved")
    layer.adapt(data)
    inputs = tf.constant(data, "float32")
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        vectors = layer(inputs)
    assert np.isfinite(vectors).all()
    assert np.isfinite(tape.gradient(vectors, inputs)).all()
    assert np.array(vectors).any() == (not dead)


def test_is_a_sum_over_descriptors():
    layer = _layer(information="separable")
    once, twice = layer(_descriptors()), layer(np.concatenate([_descriptors()] * 2, axis=1))
    np.testing.assert_allclose(twice, 2 * np.array(once), rtol=1e-12)


def test_normalize_is_signed_square_root_and_unit_norm():
    fvvae = _fvvae()
    raw, vectors = _layer(fvvae=fvvae)(_descriptors()), _layer(fvvae=fvvae, normalization="improved")(_descriptors())
    np.testing.assert_allclose(vectors, FisherNormalization("none", dtype="float64")(raw), rtol=1e-10)


def test_shares_the_layer_it_is_given_and_survives_saving(tmp_path):
    inputs = keras.Input((None, 4))
    fvvae = _fvvae(dtype="float32")
    layer = FisherMaclaurin(fvvae, 600, "separable")
    layer.adapt(_descriptors(20, seed=5))
    assert layer.fvvae is fvvae
    assert len(layer.weights) == len({weight.path for weight in layer.weights})
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    loaded, data = keras.saving.load_model(tmp_path / "model.keras"), _descriptors().astype("float32")
    assert loaded.layers[-1].is_adapted
    np.testing.assert_array_equal(loaded(data), model(data))


def test_calling_before_adapt():
    layer = FisherMaclaurin(_fvvae(), 7, "separable", dtype="float64")
    with pytest.raises(ValueError, match="`FisherMaclaurin` has no statistics yet: call `adapt`"):
        layer(_descriptors())
    with pytest.raises(ValueError, match="The data set is empty: there is nothing to adapt to"):
        layer.adapt([])
    with pytest.raises(ValueError, match="hold NaN or infinite values"):
        layer.adapt(_descriptors() * np.nan)
    assert not layer.is_adapted


def test_wrong_arguments():
    with pytest.raises(TypeError, match="`fvvae` must be an `FVVAELayer`. Received: FisherNormalization"):
        FisherMaclaurin(FisherNormalization(), 7)
    with pytest.raises(ValueError, match="`output_dim` must be a positive integer. Received: output_dim=0"):
        FisherMaclaurin(_fvvae(), 0)
    with pytest.raises(ValueError, match="`information` must be one of .* Received: information='diagonal'"):
        FisherMaclaurin(_fvvae(), 7, "diagonal")
