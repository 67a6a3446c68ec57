"""How few principal components vectors can be compressed to, by held-out items."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import normalize

from keras_fvvae.data import load_folder
from keras_fvvae.data.validation import validation_items
from keras_fvvae.errors import RunError
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.svm import OneVsRestSVM
from keras_fvvae.tasks.export_runs import export_runs
from keras_fvvae.training import train as task_train
from keras_fvvae.training.selection import components as components_module
from keras_fvvae.training.selection.components import Judged, components_of_run, judge_components
from tests.support.small_data import TINIEST, write_digits

LABELS = np.repeat(np.arange(12), 8)


@pytest.fixture(scope="module")
def vectors():
    """Twelve classes in eleven directions, with noise in all of 500."""
    generator = np.random.default_rng(0)
    rows = 0.6 * np.eye(12)[LABELS] @ generator.normal(size=(12, 500)) / 20 + generator.normal(size=(96, 500)) / 20
    return normalize(rows + 0.5).astype("float32")


def test_accuracies_are_those_of_the_vectors_themselves(vectors):
    """By scikit-learn's PCA of the long vectors, split by split."""
    splits = list(StratifiedKFold(4, shuffle=True, random_state=0).split(vectors, LABELS))
    judged = judge_components(vectors, LABELS, splits, C=10.0)
    wanted = dict.fromkeys([0, 4, 8, 16, 32, 64, 71], 0)
    for train, test in splits:
        for number in wanted:
            rows = vectors
            if number:
                rows = normalize(PCA(number, svd_solver="full").fit(vectors[train]).transform(vectors))
            svm = OneVsRestSVM(10.0).fit(rows[train], LABELS[train])
            wanted[number] += np.mean(svm.predict(rows[test]) == LABELS[test]) / 4
    assert judged.before == pytest.approx(wanted.pop(0))
    assert judged.after == pytest.approx(wanted, abs=1.1 / 96)  # a sample on the border
    assert judged.items == 96
    assert judged.after[4] < judged.before - 0.01 < judged.after[8]
    assert judged.enough == [8, 16, 32, 64, 71]


def test_a_lucky_number_is_not_taken():
    assert Judged(0.9, {4: 0.8, 8: 0.9, 16: 0.85, 32: 0.9, 64: 0.895}, 100, "").enough == [32, 64]
    assert Judged(0.9, {4: 0.9, 8: 0.8}, 100, "").enough == []


def test_few_vectors_have_few_components(vectors):
    few = judge_components(vectors[:4], np.array([0, 0, 1, 1]), [(np.array([0, 2]), np.array([1, 3]))], C=10.0)
    assert (few.after, few.enough) == ({}, [])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """With a validation part, and without."""
    folder = tmp_path_factory.mktemp("runs")
    data = load_folder(write_digits(folder / "data", count=30))
    for name, validation in (("with", 0.2), ("without", None)):
        recipe = TINIEST.replace(validation=validation)
        task_train.train(recipe, data, folder / name, backbone_weights=None, cache=folder / "cache", verbose=0)
    return {name: RunFolder.open(folder / name) for name in ("with", "without")}, data


def test_a_validation_part_decides_too_where_there_was_one(runs, monkeypatch):
    opened, data = runs
    asked = []

    def noted(vectors, labels, splits, C, how):
        asked.append((splits, how))
        # Of training items eight components are enough, of validation items four.
        return Judged(1.0, {4: 0.5 if len(splits) > 1 else 1.0, 8: 1.0}, len(labels), how)

    monkeypatch.setattr(components_module, "judge_components", noted)
    for name, number in (("with", 2), ("without", 1)):
        components, judged = components_of_run(opened[name], "image")
        assert (components, len(judged)) == (8, number)
    (folds, _), (((learnt, held_out),), how), (_, other) = asked
    names = opened["with"].vectors().names
    assert [names[row] for row in held_out] == [data.names[index] for index in validation_items(data, 5, TINIEST.seed)]
    assert len(learnt) + len(held_out) == opened["with"].vectors().labelled
    assert "which the representation has not learnt from" in how
    assert sorted(row for _, test in folds for row in test) == list(range(opened["with"].vectors().labelled))
    assert "though the representation has seen them" in other
    monkeypatch.setattr(components_module, "MOST_LOST", -1.0)
    with pytest.raises(RunError, match="no number of principal components costs at most .* Export it without --pca"):
        components_of_run(opened["with"], "image")


def test_the_card_says_how_it_was_chosen(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(components_module, "MOST_LOST", 1.0)
    path = export_runs([runs[0]["with"].path], tmp_path, pca_components="auto")
    card = (path / "assets.extra" / "card.md").read_text()
    assert "The number of principal components, 4, is the smallest tried that costs at most 1%, as all larger" in card
    assert card.count("% are right by whole vectors, ") == 2
    assert " numbers by PCA (what follows the whole vector has " in card
