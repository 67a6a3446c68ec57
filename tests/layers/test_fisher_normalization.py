import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.fitting.fisher_statistics import FisherStatistics
from keras_fvvae.layers import FisherNormalization
from tests.support.layer_harness import check_layer

INFORMATION = ("diagonal", "kronecker", "none")


def _raw_vectors(dead=True):
    """Raw vectors `(14, 4, 3)` of very unequal scales, with a dead row (unit that never fires) and a dead entry."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(loc=0.3, size=(14, 4, 3)) * np.array([1e-3, 1.0, 50.0, 7.0])[:, np.newaxis]
    if dead:
        vectors[:, 1] = 0.0
        vectors[:, 3, 2] = 0.0
    return vectors.astype("float32")


def _adapt(layer, data=None):
    layer.adapt(_raw_vectors() if data is None else data)
    return layer


def _adapted(information="diagonal", data=None, **arguments):
    return _adapt(FisherNormalization(information, **arguments), data)


def _root_and_length(vectors):
    """Signed square root and L2 norm, image by image."""
    rooted = np.sign(vectors) * np.sqrt(np.abs(vectors))
    norms = np.array([np.sqrt(np.sum(one**2)) for one in rooted])
    return rooted / norms.reshape(-1, *[1] * (rooted.ndim - 1))


def _diagonal_in_numpy(vectors, data):
    data, vectors = data.astype("float64"), vectors.astype("float64")
    scaled = np.zeros_like(vectors)
    for position in np.ndindex(data.shape[1:]):
        information = np.mean(data[(slice(None), *position)] ** 2)
        if information > 0:
            scaled[(slice(None), *position)] = vectors[(slice(None), *position)] / np.sqrt(information)
    return _root_and_length(scaled)


def _damped_inverse_root_in_numpy(moment, damping):
    """(M + damping * mean eigenvalue * I)^(-1/2) on the live rows and columns, zero on the others."""
    live = np.flatnonzero(np.diag(moment))
    values, vectors = np.linalg.eigh(moment[np.ix_(live, live)])
    root = np.zeros_like(moment)
    for value, vector in zip(values, vectors.T, strict=True):
        root[np.ix_(live, live)] += np.outer(vector, vector) / np.sqrt(value + damping * np.mean(values))
    return root


def _kronecker_in_numpy(vectors, data, damping):
    data, vectors = data.astype("float64"), vectors.astype("float64")
    left = _damped_inverse_root_in_numpy(np.mean([one @ one.T for one in data], axis=0), damping)
    right = _damped_inverse_root_in_numpy(np.mean([one.T @ one for one in data], axis=0), damping)
    return _root_and_length(np.array([left @ one @ right for one in vectors]))


@pytest.mark.parametrize("information", INFORMATION)
def test_harness(information):
    check_layer(lambda **kwargs: _adapt(FisherNormalization(information, **kwargs)), _raw_vectors(dead=False))


@pytest.mark.parametrize("shape", [(14, 4, 3), (14, 12)])
def test_diagonal(shape):
    data = _raw_vectors().reshape(shape)
    np.testing.assert_allclose(_adapted(data=data)(data), _diagonal_in_numpy(data, data), rtol=1e-5, atol=1e-7)


def test_diagonal_of_other_vectors_than_it_was_adapted_on():
    train, test = _raw_vectors()[:9], _raw_vectors()[9:]
    np.testing.assert_allclose(_adapted(data=train)(test), _diagonal_in_numpy(test, train), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("damping", [0.0, 0.1, 2.0])
@pytest.mark.parametrize("dead_row", [False, True])
def test_kronecker(damping, dead_row):
    data = _raw_vectors(dead=False)
    data[:, 1] *= not dead_row
    layer = _adapted("kronecker", data, damping=damping)
    np.testing.assert_allclose(layer(data), _kronecker_in_numpy(data, data, damping), rtol=1e-3, atol=1e-5)


def test_kronecker_whitens_both_sides():
    data = np.random.default_rng(0).normal(size=(200, 4, 3)) @ np.array([[2.0, 1, 0], [0, 1, 0], [0, 0.5, 0.1]])
    layer = _adapted("kronecker", data.astype("float32"), damping=0.0)
    left, right = (weight.numpy().astype("float64") for weight in (layer.left, layer.right))
    np.testing.assert_allclose(left @ np.mean([g @ g.T for g in data], axis=0) @ left, np.eye(4), atol=1e-4)
    np.testing.assert_allclose(right @ np.mean([g.T @ g for g in data], axis=0) @ right, np.eye(3), atol=1e-4)


def test_none_needs_no_adapt():
    layer = FisherNormalization("none")
    assert layer.is_adapted
    vectors = _raw_vectors(dead=False)
    np.testing.assert_allclose(layer(vectors), _root_and_length(vectors), rtol=1e-5)


@pytest.mark.parametrize("information", INFORMATION)
def test_vectors_have_unit_length_and_zero_vectors_stay_zero(information):
    layer = _adapted(information)
    vectors = _raw_vectors()
    vectors[3] = 0.0
    norms = np.linalg.norm(np.reshape(layer(vectors), (14, -1)), axis=1)
    np.testing.assert_allclose(norms, np.arange(14) != 3, atol=1e-6)


@pytest.mark.parametrize("information", ["diagonal", "kronecker"])
def test_dead_entries_become_zero_in_every_later_vector(information):
    """A row that is zero for all of the training set, and not for a test image."""
    vectors = np.full((2, 4, 3), 7.0, "float32")
    outputs = np.array(_adapted(information)(vectors))
    assert np.isfinite(outputs).all()
    assert not outputs[:, 1].any()
    assert outputs[:, [0, 2]].all()
    if information == "diagonal":
        assert not outputs[:, 3, 2].any()


@pytest.mark.parametrize("information", ["diagonal", "kronecker"])
def test_training_set_of_zeros_gives_zeros(information):
    layer = _adapted(information, np.zeros((5, 4, 3), "float32"))
    np.testing.assert_array_equal(layer(_raw_vectors()), np.zeros((14, 4, 3)))


@pytest.mark.parametrize("information", ["diagonal", "kronecker"])
@pytest.mark.parametrize(
    "stream",
    [
        lambda vectors: [vectors[:3], vectors[3:10], vectors[10:]],
        lambda vectors: (vectors[i : i + 1] for i in range(len(vectors))),
        lambda vectors: iter([vectors[9:], vectors[:9]]),
        lambda vectors: tf.data.Dataset.from_tensor_slices(vectors).batch(4),
        lambda vectors: tf.constant(vectors),
        lambda vectors: vectors.astype("float64"),
    ],
    ids=["list", "generator", "reordered", "tf.data", "tensor", "float64"],
)
def test_adapt_takes_any_stream_once(information, stream):
    # Small integers: sums of them and of their products are exact in any order.
    vectors = np.random.default_rng(0).integers(-9, 9, (14, 4, 3)).astype("float32")
    whole, streamed = _adapted(information, vectors), FisherNormalization(information)
    streamed.adapt(stream(vectors))
    assert streamed.is_adapted
    for one, other in zip(streamed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("information", ["diagonal", "kronecker"])
def test_statistics_of_workers_merge(information):
    vectors = np.random.default_rng(0).integers(-9, 9, (14, 4, 3)).astype("float32")
    parts = [FisherStatistics(information == "kronecker").update(part) for part in (vectors[:1], vectors[1:])]
    layer = FisherNormalization(information)
    layer.set_statistics(parts[1].merge(parts[0]))
    for one, other in zip(layer.get_weights(), _adapted(information, vectors).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_float16_vectors_are_accumulated_without_overflow():
    vectors = _raw_vectors(dead=False) * 300  # the squares of most exceed 65,504
    layer = FisherNormalization()
    layer.adapt(vectors.astype("float16"))
    np.testing.assert_allclose(layer.scale, 1 / np.sqrt(np.mean(vectors.astype("float64") ** 2, axis=0)), rtol=2e-3)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("information", INFORMATION)
def test_raw_vectors_are_not_narrowed_under_mixed_precision(information, policy):
    """`FisherVectorHead` gives float32: sums over descriptors, divided by variances, that exceed float16."""
    vectors = _raw_vectors(dead=False) * 1e5
    layer = _adapt(FisherNormalization(information, dtype=policy), vectors)
    np.testing.assert_allclose(layer(vectors), _adapted(information, vectors)(vectors), rtol=1e-5)


def test_adapting_again_forgets_the_first_set():
    layer = _adapted()
    layer.adapt(_raw_vectors() * 3)
    np.testing.assert_array_equal(layer.scale, _adapted(data=_raw_vectors() * 3).scale)


def test_progress_is_shown(capsys):
    layer = FisherNormalization()
    layer.adapt([_raw_vectors()], verbose=1)
    assert "Fisher statistics" in capsys.readouterr().err
    layer.adapt([_raw_vectors()])
    captured = capsys.readouterr()
    assert not captured.err + captured.out


@pytest.mark.parametrize("information", INFORMATION)
def test_is_saved_with_its_statistics(information, tmp_path):
    inputs = keras.Input((4, 3))
    model = keras.Model(inputs, _adapted(information)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].is_adapted
    np.testing.assert_array_equal(loaded(_raw_vectors()), model(_raw_vectors()))


@pytest.mark.parametrize("information", ["diagonal", "kronecker"])
def test_calling_before_adapt(information):
    layer = FisherNormalization(information)
    layer.build((None, 4, 3))
    assert not layer.is_adapted
    with pytest.raises(ValueError, match="adapt"):
        layer(_raw_vectors())


@pytest.mark.parametrize("information", ["diagonal", "kronecker"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(information, bad):
    vectors = _raw_vectors()
    vectors[5, 2, 1] = bad
    layer = FisherNormalization(information)
    with pytest.raises(ValueError, match=r"1 of 10 Fisher vectors hold NaN or infinite values \(first at position 1 "):
        layer.adapt([vectors[:4], vectors[4:]])
    assert not layer.is_adapted


def test_failed_adapt_keeps_what_was_there():
    layer = _adapted()
    before = layer.get_weights()
    with pytest.raises(ValueError, match="NaN"):
        layer.adapt([_raw_vectors() * 2, np.full((1, 4, 3), np.nan)])
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("empty", "message"),
    [
        ([], "The data set is empty"),
        (iter(()), "The data set is empty"),
        (np.zeros((0, 4, 3), "float32"), "No Fisher vectors were given"),
    ],
    ids=["list", "iterator", "array"],
)
def test_empty_training_set(empty, message):
    with pytest.raises(ValueError, match=message):
        FisherNormalization().adapt(empty)


def test_batches_of_different_shapes():
    with pytest.raises(ValueError, match=r"vectors of shape \(4, 3\). Received: shape=\(14, 3, 4\)"):
        FisherNormalization().adapt([_raw_vectors(), _raw_vectors().swapaxes(1, 2)])


def test_kronecker_needs_matrices():
    with pytest.raises(ValueError, match=r"needs raw vectors \(batch, C, D \+ 1\). Received: shape=\(None, 12\)"):
        FisherNormalization("kronecker").build((None, 12))
    with pytest.raises(ValueError, match=r"needs vectors \(batch, C, D \+ 1\). Received: shape=\(14, 12\)"):
        FisherNormalization("kronecker").adapt(_raw_vectors().reshape(14, 12))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("full",), "`information` must be one of .* Received: information='full'"),
        (("kronecker", -0.1), "`damping` must not be negative. Received: damping=-0.1"),
        (("kronecker", float("nan")), "`damping` must not be negative"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        FisherNormalization(*arguments)


@pytest.mark.parametrize("information", INFORMATION)
def test_gradients_at_zero_are_finite(information):
    """A layer below may be trained through the vectors of images that are partly zero."""
    layer = _adapted(information)
    vectors = tf.constant(_raw_vectors())
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        loss = tf.reduce_sum(layer(vectors) ** 3)
    assert np.isfinite(tape.gradient(loss, vectors)).all()
