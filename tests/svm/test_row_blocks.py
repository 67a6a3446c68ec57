import sys
from pathlib import Path

import numpy as np
import pytest

from keras_fvvae.features import FeatureStore
from keras_fvvae.svm import row_blocks
from keras_fvvae.svm.row_blocks import ColumnReader, RowBlocks


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(row_blocks, "CHUNK_ROWS", 2)


def _values(shape=(7, 10, 15), dtype="float32"):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def _read(reader, start=0):
    return np.concatenate([block.copy() for _, block in reader.blocks(start)], axis=1)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_blocks_are_the_stacked_values_in_float64(dtype):
    values = _values(dtype=dtype)
    reader = ColumnReader(RowBlocks([values[:1], values[1:1], values[1:4], values[4:]]), block_columns=64)
    assert reader.shape == (7, 150)
    assert reader.rows.dtype == dtype
    assert [(columns.start, columns.stop) for columns, _ in reader.blocks()] == [(0, 64), (64, 128), (128, 150)]
    assert _read(reader).dtype == np.float64
    np.testing.assert_array_equal(_read(reader), values.reshape(7, 150).astype("float64"))
    np.testing.assert_array_equal(_read(reader, 64), values.reshape(7, 150)[:, 64:].astype("float64"))


def test_items_of_a_feature_store(tmp_path):
    values = _values(dtype="float16")
    store = FeatureStore(tmp_path, {})
    for row in range(7):
        store.add(f"{row}.avi", values[row : row + 1])
        if row % 3 == 0:
            store.flush()
    store.flush()
    np.testing.assert_array_equal(_read(ColumnReader(RowBlocks([store[key] for key in store]))), values.reshape(7, -1))


def test_columns_are_scaled_and_square_rooted():
    values = _values().reshape(7, 150)
    values[2, 5] = 0.0
    scale = np.random.default_rng(1).uniform(0, 3, 150)
    scale[9] = 0.0
    got = _read(ColumnReader(RowBlocks([values]), scale, signed_sqrt=True, block_columns=64))
    scaled = values.astype("float64") * scale
    np.testing.assert_allclose(got, np.sign(scaled) * np.sqrt(np.abs(scaled)), rtol=1e-15)
    np.testing.assert_array_equal(_read(ColumnReader(RowBlocks([values]), scale)), scaled)


def test_raw_vectors_are_left_as_they_are():
    values = _values(dtype="float64")
    before = values.copy()
    _read(ColumnReader(RowBlocks([values]), np.full(150, 2.0), signed_sqrt=True))
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_row_of_a_value_that_is_not_finite(bad):
    values = _values()
    values[5, 7, 3] = bad  # column 108
    with pytest.raises(ValueError, match="NaN or infinity: row 5 is the first that does among columns 64 to 127"):
        _read(ColumnReader(RowBlocks([values[:3], values[3:]]), signed_sqrt=True, block_columns=64))


@pytest.mark.parametrize(
    ("blocks", "error", "message"),
    [
        ([], ValueError, "at least one array"),
        ([np.zeros((0, 3))], ValueError, "at least one row and one column"),
        ([np.zeros((3, 0))], ValueError, "at least one row and one column"),
        ([np.zeros(3)], ValueError, r"shape=\(3,\) at 0"),
        ([np.zeros((1, 3)), np.zeros((1, 4))], ValueError, r"shape=\(1, 4\) at 1"),
        ([np.zeros((1, 3), int)], TypeError, "int64 at 0"),
        ([[[1.0, 2.0]]], TypeError, "list at 0"),
        ([np.zeros((2, 3, 4)).transpose(0, 2, 1)], TypeError, "contiguous beyond its first dimension"),
    ],
)
def test_blocks_that_cannot_be_stacked(blocks, error, message):
    with pytest.raises(error, match=message):
        RowBlocks(blocks)


def _resident_kilobytes(path):
    """Of a mapped file, over all of its mappings."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    return sum(int(next(line for line in lines if line.startswith("Rss:")).split()[1]) for row in lines if path in row)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_pages_of_a_memory_map_are_given_back(tmp_path):
    path = tmp_path / "vectors.npy"
    np.save(path, np.ones((64, 16384), "float32"))
    mapped = np.load(path, mmap_mode="r")
    assert mapped.sum() == 64 * 16384
    before = _resident_kilobytes(str(path))
    assert before >= 4096
    for _, block in ColumnReader(RowBlocks([np.asarray(mapped).reshape(64, -1)]), block_columns=64).blocks(16384 - 64):
        assert block.sum() == 64 * 64
    assert _resident_kilobytes(str(path)) < before / 8


def test_changes_of_a_private_memory_map_survive(tmp_path):
    path = tmp_path / "vectors.npy"
    np.save(path, np.ones((4, 200), "float32"))
    mapped = np.load(path, mmap_mode="c")
    mapped[1, 3] = 5.0
    reader = ColumnReader(RowBlocks([mapped]))
    assert reader.rows.digest() == reader.rows.digest()
    assert _read(reader)[1, 3] == _read(reader)[1, 3] == 5.0


def test_digests_tell_data_and_normalisations_apart():
    values = _values(dtype="float64")
    swapped = values[[1, 0, 2, 3, 4, 5, 6]]
    scale = np.linspace(1, 2, 150)
    readers = [
        ColumnReader(RowBlocks([values])),
        ColumnReader(RowBlocks([swapped])),
        ColumnReader(RowBlocks([values[:-1]])),
        ColumnReader(RowBlocks([values.astype("float32")])),
        ColumnReader(RowBlocks([values]), signed_sqrt=True),
        ColumnReader(RowBlocks([values]), scale),
        ColumnReader(RowBlocks([values]), 2 * scale),
    ]
    assert len({reader.digest() for reader in readers}) == len(readers)
    assert ColumnReader(RowBlocks([values[:3], values[3:]])).digest() == readers[0].digest()


def test_the_digest_is_of_every_value(monkeypatch):
    monkeypatch.setattr(row_blocks, "DIGEST_BYTES", 1500)  # two rows and a half
    values = _values().reshape(7, 150)
    digests = {RowBlocks([values]).digest(), RowBlocks([values[:4], values[4:]]).digest()}
    assert len(digests) == 1
    for place in np.ndindex(values.shape):
        before, values[place] = values[place], np.nextafter(values[place], np.float32(np.inf))
        digests.add(RowBlocks([values]).digest())
        values[place] = before
    assert len(digests) == 1 + values.size


def test_the_digest_of_views_that_are_not_contiguous():
    values = _values().reshape(7, 150)
    for view in (values[:, ::3], np.asfortranarray(values), values[::2]):
        assert RowBlocks([view]).digest() == RowBlocks([view.copy()]).digest()


@pytest.mark.parametrize(
    ("count", "wanted", "columns"), [(3, 4096, 4096), (7_500, 4096, 1024), (10**6, 4096, 1024), (9, 64, 64)]
)
def test_of_many_rows_fewer_columns_are_read_at_a_time(count, wanted, columns):
    values = np.broadcast_to(np.zeros((1, 1), "float16"), (count, 1))
    assert ColumnReader(RowBlocks([values]), block_columns=wanted).block_columns == columns
