"""Indexes of vectors: the nearest by brute force, whitening, the graph, measures, duplicates, and what is refused."""

import json

import numpy as np
import pytest
from sklearn.decomposition import PCA

from keras_fvvae.errors import DataError
from keras_fvvae.search import Index, approximate, duplicates, nearest, retrieval_metrics, whitening
from keras_fvvae.search.folder import write_manifest

COUNT, LENGTH = 60, 12


def _vectors(count=COUNT, seed=0):
    """Not of unit norm, not centred, with a vector that is there three times and one of zeros."""
    vectors = np.random.default_rng(seed).normal(size=(count, LENGTH)) * np.arange(1, LENGTH + 1) + 1
    if seed == 0:
        vectors[[7, 41]] = vectors[3]
        vectors[11] = 0
    return vectors.astype("float32")


def _cosines(queries, vectors):
    norms = [np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-30) for one in (queries, vectors)]
    return (queries / norms[0]) @ (vectors / norms[1]).T


def _build(path, vectors, **options):
    count = len(vectors) if isinstance(vectors, np.ndarray) else COUNT
    labels = [f"class {number % 3}" for number in range(count)]
    return Index.build(path, vectors, [f"{number}.jpg" for number in range(count)], labels, **options)


@pytest.mark.parametrize(("numbers", "dtype"), [(2**23, "float32"), (40, "float32"), (40, "float16")])
def test_the_nearest_whatever_the_blocks(numbers, dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(nearest, "BLOCK_NUMBERS", numbers)
    monkeypatch.setattr(nearest, "MAX_QUERIES", 4)
    vectors = _vectors()
    index = _build(tmp_path / "index", (vectors[start : start + 7] for start in range(0, COUNT, 7)), dtype=dtype)
    queries = np.concatenate([vectors[3:4], _vectors(8, seed=1)])
    for k in (1, 5, 100):
        found = index.search(queries, k)
        expected = _cosines(queries, vectors)
        order = np.argsort(-expected, axis=1, kind="stable")[:, :k]
        tolerance = 1e-6 if dtype == "float32" else 2e-3
        cosines = np.take_along_axis(expected, order, axis=1)
        np.testing.assert_allclose(found.similarities, cosines, atol=tolerance)
        np.testing.assert_allclose(np.take_along_axis(expected, found.positions, axis=1), cosines, atol=tolerance)
        assert found.positions[0, : min(k, 3)].tolist() == [3, 7, 41][:k]  # of equal ones the first
        assert all(len(set(row)) == min(k, COUNT) for row in found.positions.tolist())


def test_whitening_is_that_of_scikit_learn(tmp_path, monkeypatch):
    vectors = _vectors()
    index = _build(tmp_path / "index", vectors, whiten=True, dimension=5)
    unit = whitening.unit(vectors)
    expected = PCA(5, whiten=True).fit(unit).transform(unit)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(index.vectors), np.abs(expected), atol=1e-4)
    found = index.search(vectors[20:22], k=1)  # queries are whitened too
    assert found.positions.tolist() == [[20], [21]]
    assert (index.query_length, index.vectors.shape) == (LENGTH, (COUNT, 5))
    with pytest.raises(ValueError, match="at most 12 principal components"):
        _build(tmp_path / "other", vectors, whiten=True, dimension=13)
    assert not (tmp_path / "other").exists()
    monkeypatch.setattr(whitening, "LARGEST_COVARIANCE", LENGTH - 1)  # as of long vectors, of all and of a sample
    again = whitening.Whitening.fit(unit, 5).apply(unit)
    np.testing.assert_allclose(np.abs(again), np.abs(index.vectors), atol=1e-4)
    monkeypatch.setattr(whitening, "SAMPLE", 30)
    assert whitening.Whitening.fit(unit, 5, seed=1).apply(unit).shape == (COUNT, 5)


def test_the_graph_finds_most(tmp_path, monkeypatch):
    pytest.importorskip("usearch", reason=approximate.INSTALL)
    vectors = _vectors(300)
    index = _build(tmp_path / "index", vectors, approximate=True)
    queries = _vectors(20, seed=1)
    exact, found = index.search(queries, 5), index.search(queries, 5, approximate=True)
    shares = [len(set(one) & set(other)) / 5 for one, other in zip(exact.positions, found.positions, strict=True)]
    assert np.mean(shares) > 0.9
    expected = np.take_along_axis(_cosines(queries, vectors), found.positions, axis=1)
    np.testing.assert_allclose(found.similarities, expected, atol=1e-6)
    with pytest.raises(DataError, match="has no graph"):
        _build(tmp_path / "plain", vectors).search(queries, approximate=True)
    (tmp_path / "index" / approximate.GRAPH).write_bytes(b"no graph")
    write_manifest(tmp_path / "index")
    with pytest.raises(DataError, match="Build the index again"):
        Index.open(tmp_path / "index").search(queries, approximate=True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match="needs usearch: pip install"):
        _build(tmp_path / "another", vectors, approximate=True)


def test_measures_by_a_loop(tmp_path):
    vectors = _vectors()
    labels = [None if number % 10 == 9 else f"class {number % 4}" for number in range(COUNT)]
    labels[5] = "alone"
    index = Index.build(tmp_path / "index", vectors, [str(number) for number in range(COUNT)], labels)
    hits, precisions = {1: [], 4: []}, []
    cosines = _cosines(vectors, vectors)
    for query in range(COUNT):
        if labels[query] is None or query == 5 or query == 11:
            continue
        order = [other for other in np.argsort(-cosines[query], kind="stable") if other != query]
        right = np.array([labels[other] == labels[query] for other in order])
        for k, found in hits.items():
            found.append(right[:k].any())
        precisions.append(np.mean((np.cumsum(right) / np.arange(1, COUNT))[right]))
    found = retrieval_metrics(index, ks=(1, 4), resamples=50)
    # The vector of zeros is as similar to all: whichever comes first is chance, and it is one query of 53.
    assert found["queries"] == len(precisions) + 1
    for k, expected in hits.items():
        assert found["recall"][str(k)]["value"] == pytest.approx(np.mean(expected), abs=0.02)
    assert found["map"]["value"] == pytest.approx(np.mean(precisions), abs=0.01)
    assert found["map"]["low"] < found["map"]["value"] < found["map"]["high"]
    assert retrieval_metrics(index, most_queries=9, resamples=0)["queries"] == 9
    with pytest.raises(DataError, match="no class of two items"):
        retrieval_metrics(Index.build(tmp_path / "unlabelled", vectors, [str(n) for n in range(COUNT)]))


def test_pairs_that_are_nearly_the_same(tmp_path, monkeypatch):
    vectors = _vectors()
    expected = np.triu(_cosines(vectors, vectors) >= 0.8, k=1)
    digests = ["a" * 64 if number in (3, 41) else f"{number:064d}" for number in range(COUNT)]
    index = _build(tmp_path / "index", vectors, digests=digests)
    monkeypatch.setattr("keras_fvvae.search.pairs.ROWS", 13)
    pairs = duplicates(index, 0.8)
    assert sorted((pair.first, pair.second) for pair in pairs) == list(map(tuple, np.argwhere(expected).tolist()))
    assert [(pair.first, pair.second) for pair in pairs if pair.same_file] == [(3, 41)]
    assert len(duplicates(index, 1.0)) == 3  # 3, 7 and 41: their products can miss 1 by rounding
    with pytest.raises(DataError, match="has more than 2 pairs above its threshold of 0.8: raise it"):
        duplicates(index, 0.8, most=2)
    with pytest.raises(ValueError, match="`threshold` must lie"):
        duplicates(index, 1.5)


@pytest.mark.parametrize(
    ("vectors", "options", "message"),
    [
        (_vectors()[:, 0], {}, "must be rows of numbers"),
        (_vectors()[:-1], {}, "60 names and 59 vectors"),
        ([_vectors()[:30], _vectors()[30:, :5]], {}, "must be of one length"),
        (np.full((COUNT, 3), np.nan), {}, "hold NaN or infinite"),
        (_vectors(), {"dtype": "int8"}, "`dtype` must be one of"),
        (_vectors(), {"dimension": 3}, "needs `whiten=True`"),
    ],
)
def test_what_cannot_be_built_leaves_nothing(vectors, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        Index.build(tmp_path / "index", vectors, [str(number) for number in range(COUNT)], **options)
    assert not list(tmp_path.iterdir())


def test_queries_that_are_refused(tmp_path):
    index = _build(tmp_path / "index", _vectors())
    for queries, message in (
        (np.ones((1, 3)), "are of 12 numbers"),
        (np.full((1, LENGTH), np.inf), "hold NaN or infinite"),
    ):
        with pytest.raises(ValueError, match=message):
            index.search(queries)
    with pytest.raises(ValueError, match="`k` must be positive"):
        index.search(_vectors(2, seed=1), k=0)
    with pytest.raises(DataError, match="is there already"):
        _build(tmp_path / "index", _vectors())


def _settings(path, content):
    (path / "settings.json").write_text(content)
    write_manifest(path)


def _listed(path, **changes):
    items = json.loads((path / "items.json").read_text())
    (path / "items.json").write_text(json.dumps({**items, **changes}))
    write_manifest(path)


def _other_vectors(path, vectors):
    np.save(path / "vectors.npy", vectors, allow_pickle=True)
    write_manifest(path)


HOSTILE = {
    "no index": (lambda path: [file.unlink() for file in path.iterdir()], "is no index: make one"),
    "no manifest": (lambda path: (path / "manifest.json").unlink(), "manifest.json is damaged"),
    "a newer format": (
        lambda path: (path / "manifest.json").write_text((path / "manifest.json").read_text().replace("1", "2", 1)),
        "newer keras_fvvae",
    ),
    "a path in the manifest": (
        lambda path: (path / "manifest.json").write_text('{"format": 1, "sha256": {"../x": "' + "0" * 64 + '"}}'),
        "manifest.json is damaged",
    ),
    "a flipped bit": (
        lambda path: (path / "vectors.npy").write_bytes((path / "vectors.npy").read_bytes()[:-1] + b"\x7f"),
        "vectors.npy was altered",
    ),
    "a missing file": (lambda path: (path / "items.json").unlink(), "items.json cannot be read"),
    "settings of something else": (lambda path: _settings(path, '{"encoding": {}, "model": 3}'), "settings.json is"),
    "a kind that is none": (
        lambda path: _settings(path, '{"encoding": {"model": "a", "kind": 5, "views": {}}, "model": "b"}'),
        "settings.json is damaged",
    ),
    "names that are one text": (lambda path: _listed(path, names="x" * COUNT), "items.json is damaged"),
    "names that are numbers": (lambda path: _listed(path, names=[1] * COUNT), "items.json is damaged"),
    "settings too deep": (lambda path: _settings(path, "[" * 5000), "settings.json is damaged"),
    "labels that are no texts": (lambda path: _listed(path, labels=[[1]] * COUNT), "items.json is damaged"),
    "fewer labels": (lambda path: _listed(path, labels=["a"]), "items.json is damaged"),
    "an unknown list": (lambda path: _listed(path, code=["a"] * COUNT), "items.json is damaged"),
    "fewer vectors": (lambda path: _other_vectors(path, np.eye(3, dtype="float32")), "vectors.npy is damaged"),
    "vectors of another type": (lambda path: _other_vectors(path, np.zeros((COUNT, 3), "int64")), "vectors.npy is dam"),
    "a pickle": (lambda path: _other_vectors(path, np.array([{}] * COUNT)), "vectors.npy is damaged"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_damaged_index(case, tmp_path):
    _build(tmp_path / "index", _vectors())
    change, message = HOSTILE[case]
    change(tmp_path / "index")
    with pytest.raises(DataError, match=message):
        Index.open(tmp_path / "index")
