import numpy as np
import pytest
import tensorflow as tf
from sklearn.decomposition import PCA

from keras_fvvae.fitting import principal_components
from keras_fvvae.layers.gram_pca import GramPCA
from tests.support.layer_harness import check_layer


def _vectors(count=9, length=40, seed=0):
    """Fewer than they are long, far from the origin, along directions of unequal variances."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, length)) * np.geomspace(0.1, 5.0, length) + rng.normal(size=length) * 10


def _adapt(layer, data):
    layer.adapt(data)
    return layer


def _adapted(data=None, components=4, **arguments):
    return _adapt(GramPCA(components, **arguments), _vectors() if data is None else data)


@pytest.mark.parametrize(("whiten", "normalization"), [(False, None), (True, "l2")])
def test_harness(whiten, normalization):
    data = _vectors().astype("float32") / 10
    check_layer(lambda **kwargs: _adapt(GramPCA(4, whiten, normalization, **kwargs), data), data)


@pytest.mark.parametrize("components", [1, 4, 8])
@pytest.mark.parametrize("whiten", [False, True])
def test_is_scikit_learns_pca(components, whiten):
    data, others = _vectors(), _vectors(seed=1)
    layer = _adapted(data, components, whiten=whiten, dtype="float64")
    pca = PCA(components, whiten=whiten, svd_solver="full").fit(data)
    np.testing.assert_allclose(layer.directions.numpy().T, pca.components_, atol=1e-12)
    np.testing.assert_allclose(layer.mean, pca.mean_, atol=1e-12)
    np.testing.assert_allclose(layer.variances, pca.explained_variance_, rtol=1e-10)
    for vectors in (data, others):
        expected = pca.transform(vectors)
        np.testing.assert_allclose(layer(vectors), expected, atol=1e-6 * np.abs(expected).max())
    assert layer.output_dim == components
    assert not layer.trainable_variables


def test_more_vectors_than_dimensions():
    data = _vectors(60, 6)
    expected = PCA(5, svd_solver="full").fit_transform(data)
    np.testing.assert_allclose(_adapted(data, 5, dtype="float64")(data), expected, atol=1e-5)


def test_unit_norm_and_whitening():
    data = _vectors(30)
    white = np.array(_adapted(data, whiten=True, dtype="float64")(data))
    np.testing.assert_allclose(white.T @ white / 29, np.eye(4), atol=1e-6)
    unit = np.array(_adapted(data, whiten=True, normalization="l2", dtype="float64")(data))
    np.testing.assert_allclose(unit, white / np.linalg.norm(white, axis=1, keepdims=True), rtol=1e-10)


def test_all_components_keep_the_distances():
    data = _vectors()
    projected = np.array(_adapted(data, 8, dtype="float64")(data))
    np.testing.assert_allclose(
        np.linalg.norm(projected[1:] - projected[0], axis=1), np.linalg.norm(data[1:] - data[0], axis=1), rtol=1e-6
    )


def test_the_mean_and_a_single_vector():
    data = _vectors()
    layer = _adapted(data, normalization="l2", dtype="float64")
    inputs = tf.constant(layer.mean.numpy()[np.newaxis])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        vector = layer(inputs)
    np.testing.assert_array_equal(vector, np.zeros((1, 4)))
    assert np.isfinite(tape.gradient(vector, inputs)).all()
    np.testing.assert_allclose(layer(data[3:4]), layer(data)[3:4], rtol=1e-10)


@pytest.mark.parametrize(
    "stream",
    [
        lambda data, folder: [data[:2], data[2:3], data[3:]],
        lambda data, folder: (row[np.newaxis] for row in data),
        lambda data, folder: [(data, np.arange(9))],
        lambda data, folder: tf.data.Dataset.from_tensor_slices((data, np.arange(9))).batch(4),
        lambda data, folder: tf.constant(data),
        lambda data, folder: _memory_map(data, folder),
    ],
    ids=["list", "generator", "with labels", "tf.data", "tensor", "memory map"],
)
def test_adapt_takes_any_stream(stream, tmp_path):
    data = _vectors().astype("float32")
    layer = _adapted(stream(data, tmp_path))
    for one, other in zip(layer.get_weights(), _adapted(data).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def _memory_map(data, folder):
    np.save(folder / "vectors.npy", data)
    return np.load(folder / "vectors.npy", mmap_mode="r")


def test_blocks_of_columns_give_the_same(monkeypatch):
    data = _vectors()
    whole = _adapted(data).get_weights()
    monkeypatch.setattr(principal_components, "BLOCK_ENTRIES", 7 * len(data))  # 40 columns in six blocks, the last of 5
    assert len(principal_components._blocks(9, 40)) == 6
    for one, other in zip(_adapted(data).get_weights(), whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_reads_no_more_than_a_block_of_the_data(monkeypatch):
    class Watched(np.ndarray):
        """A view that tells the largest part of it that was taken."""

        largest = 0

        def __getitem__(self, key):
            part = np.asarray(super().__getitem__(key))
            Watched.largest = max(Watched.largest, part.size)
            return part

        def __array__(self, *args, **kwargs):
            raise AssertionError("the whole of the data was copied")

    monkeypatch.setattr(principal_components, "BLOCK_ENTRIES", 7 * 9)
    _adapted(_vectors().view(Watched))
    assert Watched.largest == 7 * 9


def test_half_precision_vectors():
    data = (_vectors() / 100).astype("float16")
    pca = PCA(4, svd_solver="full").fit(data.astype("float64"))
    np.testing.assert_allclose(_adapted(data)(data), pca.transform(data.astype("float64")), atol=1e-5)


def test_too_many_components():
    with pytest.raises(
        ValueError, match="9 vectors have at most 8 principal components, one less than vectors. Received"
    ):
        _adapted(components=9)
    repeated = np.repeat(_vectors(4), 3, axis=0)
    assert _adapted(repeated, 3).is_adapted
    with pytest.raises(
        ValueError, match=r"vary in 3 directions only \(of 11 possible\), as repeated .* ask for at most 3"
    ):
        _adapted(repeated, 4)
    with pytest.raises(ValueError, match="vary in 0 directions only"):
        _adapted(np.ones((5, 6)), 1)
    with pytest.raises(ValueError, match="1 vectors have at most 0"):
        _adapted(_vectors(1), 1)


def test_failed_adapt_keeps_what_was_there():
    layer = _adapted()
    before = layer.get_weights()
    broken = _vectors()
    broken[3, 17] = np.inf
    for bad, message in (
        (broken, r"1 of 9 vectors hold NaN or infinite values \(first at position 3 of its batch\)"),
        ([], "The data set is empty: there is nothing to adapt to"),
        ([_vectors(), _vectors(length=39)], r"vectors \(N, D\) with D = 40. Received: shape=\(9, 39\)"),
        (_vectors().reshape(9, 8, 5), r"vectors \(N, D\). Received: shape=\(9, 8, 5\)"),
    ):
        with pytest.raises(ValueError, match=message):
            layer.adapt(bad)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_calling_before_adapt():
    layer = GramPCA(4)
    with pytest.raises(ValueError, match="`GramPCA` has no principal components yet: call `adapt`"):
        layer(_vectors())
    assert not layer.is_adapted


def test_wrong_arguments_and_shapes():
    with pytest.raises(ValueError, match="`num_components` must be a positive integer. Received: num_components=0"):
        GramPCA(0)
    with pytest.raises(ValueError, match=r"expects vectors \(batch, D\) of known length"):
        GramPCA(4).build((None, 16, 4))
    with pytest.raises(ValueError, match="incompatible with the layer"):
        _adapted()(_vectors(length=41))


def test_progress_is_shown(capsys):
    layer = GramPCA(2)
    layer.adapt(_vectors(), verbose=1)
    assert "Gram matrix" in capsys.readouterr().err
    layer.adapt(_vectors())
    assert not capsys.readouterr().err


def test_covariance_of_parts_is_scikit_learns():
    rows = _vectors(50, 6)
    covariance = principal_components.Covariance()
    for part in (rows[:0], rows[:1], rows[1:30], rows[30:]):
        covariance.update(part)
    found, pca = covariance.components(6), PCA(6).fit(rows)
    np.testing.assert_allclose(covariance.scatter / 49, np.cov(rows.T), rtol=1e-10)
    np.testing.assert_allclose(found.directions.T, pca.components_, atol=1e-6)
    np.testing.assert_allclose(found.variances, pca.explained_variance_)
    np.testing.assert_allclose(found.mean, pca.mean_)
    with pytest.raises(ValueError, match="Expected rows of length 6. Received"):
        covariance.update(rows[:, :5])
