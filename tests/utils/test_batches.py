import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.utils.batches import one_array, read_arrays, read_batches, require_finite, whole_array

ROWS = np.arange(24.0, dtype="float32").reshape(6, 4)
LABELS = np.arange(6)


class Batches(keras.utils.PyDataset):
    """Three batches with labels; like any `PyDataset` it does not end by itself."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return ROWS[2 * index : 2 * index + 2], LABELS[2 * index : 2 * index + 2]


def _generator():
    yield from (ROWS[:2], ROWS[2:])


@pytest.mark.parametrize(
    "data",
    [
        lambda: ROWS,
        lambda: tf.constant(ROWS),
        lambda: (ROWS, LABELS),
        lambda: {"inputs": ROWS},
        lambda: [ROWS[:4], ROWS[4:]],
        lambda: [(ROWS[:4], LABELS[:4]), (ROWS[4:], LABELS[4:])],
        _generator,
        lambda: tf.data.Dataset.from_tensor_slices((ROWS, LABELS)).batch(4),
        lambda: tf.data.Dataset.from_generator(_generator, output_signature=tf.TensorSpec((None, 4))),
        Batches,
        lambda: [ROWS.tolist()],
    ],
    ids=[
        "array", "tensor", "tuple", "dictionary", "list", "with labels", "generator", "tf.data", "unknown length",
        "PyDataset", "numbers",
    ],
)  # fmt: skip
@pytest.mark.parametrize("verbose", [0, 1])
def test_whatever_holds_the_batches(data, verbose):
    batches = list(read_batches(data(), "Reading", verbose))
    assert all(batch.mask is None for batch in batches)
    np.testing.assert_array_equal(np.concatenate([batch.inputs for batch in batches]), ROWS)


def test_masks_and_parts():
    mask = np.array([1, 0, 1, 1, 0, 1])
    (batch,) = read_batches([({"inputs": [ROWS, -ROWS], "mask": mask}, LABELS)])
    assert batch.mask.dtype == bool
    np.testing.assert_array_equal(batch.mask, mask)
    assert isinstance(batch.inputs, list)
    np.testing.assert_array_equal(batch.inputs[1], -ROWS)
    (batch,) = read_batches(tf.data.Dataset.from_tensors(((ROWS, -ROWS), LABELS)))
    np.testing.assert_array_equal(batch.inputs[1], -ROWS)


def test_a_tuple_starts_with_the_inputs():
    (batch,) = read_batches([(ROWS, -ROWS)])
    np.testing.assert_array_equal(batch.inputs, ROWS)


def test_half_precision():
    (batch,) = read_batches(tf.cast(ROWS, "bfloat16"))
    assert batch.inputs.dtype == np.float32


@pytest.mark.parametrize("empty", [[], iter(()), tf.data.Dataset.from_tensor_slices(ROWS).take(0)])
def test_empty(empty):
    with pytest.raises(ValueError, match="The data set is empty"):
        list(read_batches(empty))


def test_without_end():
    with pytest.raises(ValueError, match="takes a data set that ends"):
        next(read_batches(tf.data.Dataset.from_tensors(ROWS).repeat()))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"images": ROWS}, r'has the keys "inputs" and "mask". Received: \[\'images\'\]'),
        ((), "a tuple starts with the inputs"),
        (np.array(["a", "b"]), "must be numbers. Received: shape=\\(2,\\), dtype=<U1"),
        (np.float32(1), r"must be numbers. Received: shape=\(\)"),
    ],
)
def test_what_is_no_batch(batch, message):
    with pytest.raises(ValueError, match=message):
        list(read_batches([batch]))


def test_layers_of_one_array():
    with pytest.raises(ValueError, match="`VLAD` adapts to batches that are one array.* Received: a list of 2"):
        list(read_arrays([[ROWS, ROWS]], "VLAD"))
    with pytest.raises(ValueError, match="`GramPCA` adapts to data without a mask"):
        list(read_arrays({"inputs": ROWS, "mask": LABELS}, "GramPCA"))
    assert one_array(ROWS, "VLAD") is ROWS


def test_memory_maps_stay_what_they_are(tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert whole_array(rows) is rows
    assert whole_array([ROWS]) is None


def test_not_finite():
    broken = ROWS.copy()
    broken[2, 1] = np.inf
    broken[4] = np.nan
    with pytest.raises(ValueError, match=r"2 of 6 rows hold NaN or infinite values \(first at position 2 of its batch"):
        require_finite(broken, "rows")
    require_finite(ROWS[:0], "rows")
