"""Vectors in every format: written a part at a time, read as one object, refused where they are damaged."""

import importlib.util
import json
import shutil

import numpy as np
import pytest

from keras_fvvae import features
from keras_fvvae.errors import DataError
from keras_fvvae.features import FeatureStore
from keras_fvvae.features import formats as formats_module
from keras_fvvae.features.encoded_folder import read_labels, write_labels
from keras_fvvae.features.formats import FORMATS

COUNT, WIDTH = 700, 12
IDS = [f"a/{number:03d}.jpg" for number in range(COUNT - 1)] + ["caf\udce9.jpg"]  # the last is no Unicode
LABELS = ["" if number % 3 else f"c{number % 5}" for number in range(COUNT)]


def _vectors(dtype="float32"):
    return np.random.default_rng(0).normal(size=(COUNT, WIDTH)).astype(dtype)


def _parts(vectors, rows=300):
    for start in range(0, COUNT, rows):
        yield IDS[start : start + rows], LABELS[start : start + rows], vectors[start : start + rows]


def _installed(name):
    missing = [package for package in FORMATS[name].packages if importlib.util.find_spec(package) is None]
    return pytest.param(name, marks=pytest.mark.skipif(bool(missing), reason=f"needs {missing}"))


ALL = [_installed(name) for name in FORMATS]


def _path(folder, name):
    return folder / f"vectors{FORMATS[name].suffixes[0]}"


def _write_store(folder, vectors):
    folder.mkdir()
    settings = {"model": "x", "dtype": "float32"}
    (folder / "encoding.json").write_text(json.dumps(settings))
    store = FeatureStore(folder, settings, "float32", shard_bytes=100 * WIDTH * 4)
    for name, vector in zip(IDS, vectors, strict=True):
        store.add(f"{name}:123", vector.reshape(1, 3, 4))
    store.flush()
    write_labels(folder, {name: label for name, label in zip(IDS, LABELS, strict=True) if label})
    return folder


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", ["npy", *ALL])
def test_what_is_written_is_read(name, dtype, tmp_path):
    expected = _vectors(dtype)
    if name == "npy":
        path = _write_store(tmp_path / "out", expected)
    else:
        path = _path(tmp_path, name)
        features.write(path, _parts(expected + 1))
        features.write(path, _parts(expected), {"model": "x"})  # in place of the first
    vectors = features.open(path)
    assert (len(vectors), vectors.shape) == (COUNT, expected.shape)
    assert vectors.dtype == ("float32" if name == "npy" else dtype)
    assert vectors.labels == LABELS
    assert vectors.ids[:-1] == IDS[:-1]
    assert vectors.ids[-1] in (IDS[-1], "caf\\xe9.jpg")
    np.testing.assert_array_equal(np.asarray(vectors), expected)
    scattered = np.random.default_rng(1).integers(-COUNT, COUNT, 100)
    rows = [slice(290, 610), slice(5, 1, -1), slice(9, 9), scattered, np.arange(COUNT) % 2 == 0, -1, [3], []]
    for wanted in rows:
        np.testing.assert_array_equal(vectors[wanted], expected[np.arange(COUNT)[wanted]])
    blocks = list(vectors.blocks(256))
    assert [start for start, _ in blocks] == [0, 256, 512]
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), expected)
    with pytest.raises(IndexError):
        vectors[COUNT]


@pytest.mark.parametrize("name", ALL)
def test_a_write_that_fails_leaves_what_was_there(name, tmp_path):
    def broken():
        yield IDS[:5], LABELS[:5], _vectors()[:5]
        raise OSError(28, "No space left on device")

    path = _path(tmp_path, name)
    for present in (False, True):
        with pytest.raises((DataError, OSError), match="No space left"):
            features.write(path, broken())
        if present:
            np.testing.assert_array_equal(features.open(path)[:], _vectors())
        else:
            with pytest.raises(DataError):
                features.open(path)
            features.write(path, _parts(_vectors()))


@pytest.mark.parametrize("name", ALL)
def test_damaged_files_are_refused(name, tmp_path):
    """Cut off, or with another byte among the numbers."""
    path = _path(tmp_path, name)
    vectors = _vectors()
    features.write(path, _parts(vectors))
    (file,) = [*path.rglob("*.lance")] if path.is_dir() else [path]
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"vectors.* cannot be read|damaged"):
        features.open(path)[:]
    if name == "lance":
        return  # it has no checksums
    place = content.index(vectors[400].tobytes())
    file.write_bytes(content[:place] + b"?" + content[place + 1 :])
    with pytest.raises(DataError, match=r"vectors.* cannot be read"):
        features.open(path)[:]


@pytest.mark.parametrize("text", [b"a/333.jpg", b"c3"])
def test_an_altered_id_or_label_of_hdf5_is_found(text, tmp_path):
    """Texts lie outside of the chunks, which alone have checksums of their own."""
    path = _path(tmp_path, "hdf5")
    features.write(path, _parts(_vectors()))
    content = path.read_bytes()
    assert text in content
    path.write_bytes(content.replace(text, text[:-1] + bytes([text[-1] ^ 1]), 1))
    with pytest.raises(DataError, match="cannot be read: their ids or labels were altered"):
        features.open(path)


def test_numbers_and_ids_are_checked(tmp_path):
    path = tmp_path / "vectors.h5"
    vectors = _vectors()
    vectors[300, 4] = np.nan
    features.write(path, _parts(vectors))
    opened = features.open(path)
    assert opened[299].shape == (WIDTH,)
    with pytest.raises(DataError, match="a vector of rows 256 to 512 is NaN or infinite"):
        list(opened.blocks(256))
    features.write(path, [(["a", "a"], ["", ""], vectors[:2])])
    with pytest.raises(DataError, match="an id is there more than once"):
        features.open(path)


def test_what_are_no_vectors(tmp_path):
    h5py = pytest.importorskip("h5py")
    features.write(tmp_path / "other.h5", _parts(_vectors()))
    with h5py.File(tmp_path / "vectors.h5", "w") as file:
        for key in ("ids", "labels"):
            file.create_dataset(key, (0,), h5py.string_dtype())
        file["vectors"] = h5py.ExternalLink("other.h5", "vectors")
    with pytest.raises(DataError, match="no data set `vectors` of its own"):
        features.open(tmp_path / "vectors.h5")
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "a.h5").write_text("")
    (tmp_path / "encoding.json").write_text("{}")
    for name, message in (
        ("absent.h5", "There are no vectors at"),
        ("a.txt", "pass its --out, or a file of it"),
        ("a.h5", "a.h5 cannot be read"),
        (".", "encoding.json is damaged"),
    ):
        with pytest.raises(DataError, match=message):
            features.open(tmp_path / name)
    (tmp_path / "encoding.json").write_text('{"dtype": "float32"}')
    with pytest.raises(DataError, match="holds no vectors yet"):
        features.open(tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]  # who reads writes nothing


def test_altered_settings_are_not_an_empty_folder(tmp_path):
    settings = {"dtype": "float32", "crops": 10}
    (tmp_path / "encoding.json").write_text(json.dumps(settings))
    store = features.FeatureStore(tmp_path, settings, "float32")
    store.add("a.png:1", np.ones((1, 4), "float32"))
    store.flush()
    assert list(features.open(tmp_path).ids) == ["a.png"]
    (tmp_path / "encoding.json").write_text(json.dumps({**settings, "crops": 1}))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DataError, match="encoding.json was altered: no vectors there are of its settings"):
        features.open(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_other_columns(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": ["a"], "vector": [[1.0]]}), tmp_path / "vectors.parquet")
    with pytest.raises(DataError, match="columns `id`, `label`"):
        features.open(tmp_path / "vectors.parquet")


def test_parts_that_do_not_go_together(tmp_path):
    ones = np.ones((2, 3), "float32")
    for parts, error, message in (
        ([], DataError, "There are no vectors"),
        ([(["a"], [""], ones)], ValueError, "as many ids, labels and rows"),
        ([(["a", "b"], ["", ""], ones), (["c"], [""], np.ones((1, 4), "float32"))], ValueError, "all of 3 numbers"),
        ([(["a", "b"], ["", ""], ones.astype("int32"))], ValueError, "Vectors must be one of"),
    ):
        with pytest.raises(error, match=message):
            features.write(tmp_path / "vectors.h5", parts)
        assert not (tmp_path / "vectors.h5").exists()
    with pytest.raises(ValueError, match=r"must be one of .parquet, .lance, .h5, .hdf5"):
        features.write(tmp_path / "vectors.csv", [])


def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(formats_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"as lance need the package pyarrow: pip install 'keras_fvvae\[lance\]'"):
        features.write(tmp_path / "vectors.lance", [])


def test_labels_of_several_calls(tmp_path):
    write_labels(tmp_path, {"a,b.jpg": "x", "caf\udce9": "y"})
    write_labels(tmp_path, {"c": "z", "caf\udce9": "w"})
    assert read_labels(tmp_path) == {"a,b.jpg": "x", "caf\udce9": "w", "c": "z"}
    shutil.copy(tmp_path / "labels.csv", tmp_path / "kept")
    for content in ("file;label\n", "file,label\na\n", 'file,label\n"a'):
        (tmp_path / "labels.csv").write_text(content)
        with pytest.raises(DataError, match=r"labels.csv is damaged"):
            read_labels(tmp_path)
