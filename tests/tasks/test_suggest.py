"""Suggestions: uncertain and not alike, nothing that was trained on, and a list that a training takes."""

import csv

import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.data import load_digits, load_folder
from keras_fvvae.data.added_labels import add_labels
from keras_fvvae.errors import DataError
from keras_fvvae.evaluation.diversity import representative
from keras_fvvae.recipes import load_recipe
from keras_fvvae.tasks.suggest import _Pool, _Sample, suggest, write_suggestions
from keras_fvvae.training.train import train

SMALL = {"latent_dim": 3, "backbone_options": {"filters": 4}, "steps": 2, "batch_size": 8, "validation": None}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A run of a few digits, and a pool of others, which holds a training image and a broken one too."""
    folder = tmp_path_factory.mktemp("suggest")
    digits = load_digits()
    for index in range(60):
        part = "train" if index < 20 else "pool"
        path = folder / part / (str(digits.labels[index] % 3) if index < 20 else "") / f"{index:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tf.io.encode_png(digits.read(index)).numpy())
    seen = next((folder / "train" / "0").iterdir())
    (folder / "pool" / "seen.png").write_bytes(seen.read_bytes())
    (folder / "pool" / "broken.png").write_bytes(b"")
    (folder / "pool" / "clip.avi").write_bytes(b"")
    recipe = load_recipe("digits_conv", dataset="folder", **SMALL)
    collection = load_folder(folder / "train", test_fraction=0)
    run = train(recipe, collection, folder / "run", backbone_weights=None, verbose=0)
    return folder, run, collection, suggest(run.path, [folder / "pool", folder / "pool" / "clip.avi"], 5, verbose=0)


def test_what_is_suggested(found):
    folder, run, _, suggestions = found
    assert (len(suggestions.chosen), suggestions.files, suggestions.seen) == (5, 43, 1)
    assert sorted(name.rsplit("/", 1)[1] for name in suggestions.failed) == ["broken.png", "clip.avi"]
    files = sorted(str(path) for path in (folder / "pool").glob("[0-9]*.png"))
    assert {one.file for one in suggestions.chosen} <= set(files)
    from keras_fvvae.zoo import load_classifier

    classifier = load_classifier(run.path)
    _, scores = classifier.classify(files)
    best = np.sort(scores, axis=1)
    margins = dict(zip(files, best[:, -1] - best[:, -2], strict=True))
    for one in suggestions.chosen:
        assert one.margin == pytest.approx(margins[one.file], abs=1e-3)
        order = np.argsort(-scores[files.index(one.file)])
        assert [one.predicted, one.second] == [run.class_names[i] for i in order[:2]]
    vectors = classifier.encoder.encode(files)  # fewer than the sample: all of them
    nearest = (vectors @ run.vectors().values.T).max(axis=1)
    expected = [files[index] for index in representative(vectors @ vectors.T, nearest, 5)]
    assert [one.file for one in suggestions.chosen] == expected


def test_the_list_is_filled_in_and_trained_on(found, tmp_path):
    _, _, collection, suggestions = found
    path = tmp_path / "deep" / "to_label.csv"
    write_suggestions(suggestions, path)
    with pytest.raises(DataError, match="no labels yet"):
        add_labels(collection, [path])
    rows = list(csv.reader(path.open()))
    assert rows[0] == ["file", "label", "predicted", "second", "margin"]
    for row, one in zip(rows[1:4], suggestions.chosen, strict=False):
        assert (path.parent / row[0]).samefile(one.file)
        row[1] = "2"
    csv.writer(path.open("w")).writerows(rows)
    more = add_labels(collection, [path])
    assert len(more) == len(collection) + 3
    assert more.labels[-3:].tolist() == [2, 2, 2]
    assert "3 added, 2 without a label yet" in more.notes[-1]


def test_nothing_is_left(found):
    folder, run, *_ = found
    with pytest.raises(DataError, match=r"No image is left to suggest: 1 were trained on, 1 cannot be used"):
        suggest(run.path, [folder / "pool" / "seen.png", folder / "pool" / "broken.png"], verbose=0)


def test_one_of_many_before_an_outlier():
    vectors = np.array([[1.0, 0, 0], [0.99, 0.14, 0], [0.98, 0.2, 0], [0, 1.0, 0], [0, 0, 1.0]])
    gram = vectors @ vectors.T
    chosen = representative(gram, np.zeros(5), 3)
    assert chosen[0] in (1, 2)  # one of three that are alike; then what is unlike it, not its neighbours
    assert set(chosen[1:]) == {3, 4}
    assert sorted(representative(gram, np.ones(5), 9)) == [0, 1, 2, 3, 4]


def test_the_pool_and_the_sample_stay_small():
    pool, sample = _Pool(3), _Sample(4, seed=0)
    counts = np.zeros(50)
    for number in np.random.default_rng(0).permutation(50):
        pool.add(int(number), float(number), (0, 1), np.zeros(1))
        assert len(pool.entries) <= 6
    pool.cut()
    assert [entry.position for entry in pool.entries] == [0, 1, 2]
    for seed in range(400):
        sample = _Sample(4, seed)
        for number in range(50):
            sample.add(np.array(number))
        counts[[int(one) for one in sample.vectors]] += 1
    assert 10 < counts.min() <= counts.max() < 60  # 32 each on average
