import numpy as np
import pytest

from keras_fvvae.svm import gram
from keras_fvvae.svm.gram import cross_gram, decision_values, gram_matrix, normalize_gram, primal_weights
from keras_fvvae.svm.row_blocks import ColumnReader, RowBlocks


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(gram, "MIRROR_ROWS", 4)


def _values(samples=11, features=300, dtype="float32"):
    return np.random.default_rng(0).normal(size=(samples, features)).astype(dtype)


def _reader(values, block_columns=64, **settings):
    return ColumnReader(RowBlocks([values]), block_columns=block_columns, **settings)


def _kept(reader, folder):
    return gram_matrix(reader, checkpoint=folder, key=reader.digest(), checkpoint_seconds=0)


@pytest.mark.parametrize("samples", [1, 4, 11])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_gram_matrix(samples, dtype):
    values = _values(samples, dtype=dtype)
    wide = values.astype("float64")
    got = gram_matrix(_reader(values))
    np.testing.assert_allclose(got, wide @ wide.T, rtol=1e-12, atol=1e-11)
    np.testing.assert_array_equal(got, got.T)
    assert got.flags.c_contiguous


def test_digits_that_float32_loses():
    values = _values(dtype="float64") + 1000.0
    exact = values.astype("longdouble") @ values.T.astype("longdouble")
    single = values.astype("float32") @ values.T.astype("float32")
    assert np.abs(gram_matrix(_reader(values)) - exact).max() < 1e-6
    assert np.abs(single - exact).max() > 1.0


def test_normalised_gram_matrix_is_that_of_unit_rows():
    values = _values()
    values[3] = 0.0
    matrix = gram_matrix(_reader(values))
    factors = normalize_gram(matrix)
    norms = np.linalg.norm(values.astype("float64"), axis=1)
    norms[3] = np.inf
    np.testing.assert_allclose(factors, 1 / norms, rtol=1e-12)
    unit = values / norms[:, np.newaxis]
    np.testing.assert_allclose(matrix, unit @ unit.T, atol=1e-12)


def test_weights_and_decisions():
    values = _values()
    values[3] = 0.0
    duals = np.random.default_rng(1).normal(size=(5, 11))
    weights = primal_weights(duals, _reader(values))
    np.testing.assert_allclose(weights, duals @ values.astype("float64"), atol=1e-12)
    expected = values @ weights.T + np.arange(5)
    np.testing.assert_allclose(decision_values(_reader(values), weights, np.arange(5)), expected, atol=1e-4)
    norms = np.linalg.norm(values.astype("float64"), axis=1)
    norms[3] = np.inf
    expected = (values @ weights.T) / norms[:, np.newaxis] + np.arange(5)
    np.testing.assert_allclose(decision_values(_reader(values), weights, np.arange(5), True), expected, atol=1e-5)


def test_some_rows_and_others():
    values = _values()
    values[3] = 0.0
    wide = values.astype("float64")
    rows, others = np.array([8, 3, 1]), np.array([3, 1, 0, 10])
    np.testing.assert_allclose(gram_matrix(_reader(values), rows), wide[rows] @ wide[rows].T, atol=1e-11)
    np.testing.assert_allclose(cross_gram(_reader(values), rows, others), wide[rows] @ wide[others].T, atol=1e-11)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    unit = np.divide(wide, norms, out=np.zeros_like(wide), where=norms > 0)
    np.testing.assert_allclose(cross_gram(_reader(values), rows, others, True), unit[rows] @ unit[others].T, atol=1e-12)


def test_squares_that_overflow():
    values = _values(dtype="float64")
    values[6, 2] = 1e200
    with pytest.raises(ValueError, match="squares overflow, first in row 6"):
        gram_matrix(_reader(values))


class _InterruptedError(Exception):
    pass


def _interrupting(monkeypatch, after):
    """The next reads: `after` blocks go well, then comes an interruption. Returns the columns that were read."""
    read, seen = ColumnReader._read, []

    def counted(self, columns, values):
        if len(seen) == after:
            raise _InterruptedError
        seen.append(columns.start)
        read(self, columns, values)

    monkeypatch.setattr(ColumnReader, "_read", counted)
    return seen


def test_an_interrupted_sum_goes_on_and_is_the_same_to_the_bit(monkeypatch, tmp_path):
    values = _values()
    expected = gram_matrix(_reader(values))
    with monkeypatch.context() as context:
        _interrupting(context, after=3)
        with pytest.raises(_InterruptedError):
            _kept(_reader(values), tmp_path)
    with monkeypatch.context() as context:
        seen = _interrupting(context, after=100)
        np.testing.assert_array_equal(_kept(_reader(values), tmp_path), expected)
        assert seen == [192, 256], "300 columns in blocks of 64, of which three were done"
        np.testing.assert_array_equal(_kept(_reader(values), tmp_path), expected)
        assert len(seen) == 2, "all were done"


@pytest.mark.parametrize("change", ["row", "scale", "square root", "blocks"])
def test_other_data_and_settings_do_not_meet_the_checkpoint(tmp_path, change):
    values = _values()
    _kept(_reader(values), tmp_path)
    settings = {}
    if change == "row":
        values[8] *= 2
    elif change == "scale":
        settings["column_scale"] = np.linspace(1, 2, 300)
    elif change == "square root":
        settings["signed_sqrt"] = True
    else:
        settings["block_columns"] = 32
    expected = gram_matrix(_reader(values, **settings))
    np.testing.assert_array_equal(_kept(_reader(values, **settings), tmp_path), expected)


def test_progress(capsys):
    gram_matrix(_reader(_values()), verbose=1)
    assert "Gram matrix" in capsys.readouterr().err
