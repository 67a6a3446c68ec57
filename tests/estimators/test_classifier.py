"""The classifier as an estimator: what it takes, and that it is the commands' engine."""

import copy
import pickle

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.utils import estimator_checks

from keras_fvvae.data import load_folder
from keras_fvvae.errors import DataError, RunError
from keras_fvvae.estimators import FVVAEClassifier
from keras_fvvae.recipes import load_recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.tasks.predict import predict
from keras_fvvae.training.train import train
from keras_fvvae.zoo import load_classifier
from tests.estimators.conftest import SMALL
from tests.support.small_data import write_digits


@pytest.fixture(scope="module")
def classifier(cache):
    return FVVAEClassifier("digits_conv", settings=SMALL, backbone_weights=None, cache=cache)


@pytest.fixture(scope="module")
def fitted(classifier, pictures):
    return clone(classifier).fit(*pictures)


def test_labels_and_scores(fitted, pictures):
    images, labels = pictures
    assert fitted.classes_.tolist() == ["one", "seven", "zero"]
    scores = fitted.decision_function(images)
    assert scores.shape == (24, 3)
    assert fitted.predict(images).tolist() == fitted.classes_[scores.argmax(axis=1)].tolist()
    assert fitted.score(images, labels) > 0.9  # of what it has learnt
    probabilities = fitted.predict_proba(images)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert np.array_equal(probabilities.argmax(axis=1), scores.argmax(axis=1))
    assert hasattr(FVVAEClassifier(), "predict_proba")
    np.testing.assert_allclose(fitted.decision_function([Image.fromarray(one) for one in images]), scores, atol=1e-5)


@pytest.mark.system
def test_a_folder_is_trained_as_by_the_command(classifier, tmp_path, cache):
    """To the same weights, with the same test part; what it saves, exports and loads is a run."""
    folder = write_digits(tmp_path / "data")
    fitted = clone(classifier).fit(folder)
    recipe = load_recipe("digits_conv", dataset="auto", **SMALL)
    run = train(recipe, load_folder(folder), tmp_path / "run", backbone_weights=None, cache=cache, verbose=0)
    for own, other in zip(fitted.model_.get_weights(), load_classifier(run.path).get_weights(), strict=True):
        np.testing.assert_array_equal(own, other)
    assert fitted.run_.results.own["accuracy"] == run.results.own["accuracy"]
    files = sorted(folder.glob("*/*.png"))[::5]
    best = [result["labels"][0] for result in predict(run.path, files)]
    assert fitted.predict(files).tolist() == best
    loaded = FVVAEClassifier.load(run.path)
    assert loaded.predict(files).tolist() == best
    saved = tf.saved_model.load(str(loaded.export(tmp_path / "served")))
    contents = tf.constant([file.read_bytes() for file in files])
    served = saved.signatures["serving_default"](image=contents)["labels"].numpy()[:, 0]
    assert [label.decode() for label in served] == best


def test_of_two_classes_a_score_is_that_of_the_second(classifier, pictures):
    images, labels = pictures
    fitted = clone(classifier).fit(images[:16], (labels[:16] == "one").astype(int))
    scores = fitted.decision_function(images)
    assert scores.shape == (24,)
    assert fitted.classes_.tolist() == [0, 1]
    np.testing.assert_array_equal(fitted.predict(images), (scores > 0).astype(int))


def test_labelled_datasets(classifier, fitted, pictures):
    """Of a `tf.data.Dataset` of pairs labels are its second part."""
    images, labels = pictures
    dataset = tf.data.Dataset.from_tensor_slices((np.stack(images), labels)).batch(5)
    other = clone(classifier).fit(dataset)
    assert other.classes_.tolist() == fitted.classes_.tolist()
    np.testing.assert_array_equal(other.decision_function(images), fitted.decision_function(images))


def test_explanations_add_up(fitted, pictures):
    image = pictures[0][3]
    for label in (None, "one"):
        explanation = fitted.explain(image, label)
        assert explanation.label == (label or fitted.predict(image)[0])
        column = fitted.classes_.tolist().index(explanation.label)
        assert explanation.score == pytest.approx(fitted.decision_function(image)[0, column], abs=1e-4)
        assert explanation.maps.sum() + explanation.bias == pytest.approx(explanation.score, abs=1e-4)
    with pytest.raises(DataError, match="Unknown class 'on'; did you mean 'one'"):
        fitted.explain(image, "on")
    with pytest.raises(DataError, match="One image is explained at a time. Received: 2"):
        fitted.explain(pictures[0][:2])
    with pytest.raises(DataError, match="/nowhere.png cannot be used: No such file"):
        fitted.explain("/nowhere.png")


def test_saving_and_pickling(classifier, pictures, tmp_path):
    images, labels = pictures
    fitted = clone(classifier).fit(images, labels)
    expected, temporary = fitted.decision_function(images), fitted.run_.path
    with pytest.raises(RunError, match=r"keep it by `save\(RUN\)` before pickling"):
        pickle.dumps(fitted)
    assert fitted.save(tmp_path / "run") == tmp_path / "run"
    assert not temporary.exists()
    assert RunFolder.open(tmp_path / "run").class_names == ["one", "seven", "zero"]
    for one in (fitted, pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(one.decision_function(images), expected)
    with pytest.raises(RunError, match="cannot be saved to .*run: .*Choose another folder"):
        fitted.save(tmp_path / "run")
    with pytest.raises(RunError, match="holds another training"):
        fitted.set_params(run=tmp_path / "run").fit(images[:16], labels[:16])
    assert fitted.fit(images, labels).run_.path == tmp_path / "run"  # finished before
    fitted.set_params(overwrite=True).fit(images[:16], labels[:16])
    assert fitted.predict(images[:3]).tolist() == ["zero"] * 3


def test_what_is_skipped_is_told(classifier, pictures, tmp_path):
    images, labels = pictures
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match="1 images could not be used; see .*skipped.csv"):
        fitted = clone(classifier).fit([*images, tmp_path / "broken.png"], [*labels, "one"])
    assert "not a JPEG" in (fitted.run_.path / "skipped.csv").read_text()


def test_cross_validation(classifier, pictures):
    """Twelve images are learnt from; chance is a third."""
    assert cross_val_score(classifier, *pictures, cv=2).mean() > 0.4


def test_what_is_refused(classifier, pictures, tmp_path):
    images, labels = pictures
    for arguments, error, message in (
        ((images,), ValueError, "Give labels `y`, or a folder"),
        ((images, labels[:3]), ValueError, "24 images and 3 labels"),
        ((images, np.linspace(0, 1, 24)), ValueError, "Unknown label type: continuous"),
        ((tmp_path / "absent",), DataError, "absent does not exist"),
        ((images, ["same"] * 24), DataError, "Fewer than two classes"),
        ((tf.data.Dataset.from_tensor_slices(np.stack(images)),), ValueError, "pairs of items and labels"),
    ):
        with pytest.raises(error, match=message):
            clone(classifier).fit(*arguments)


# Those of scikit-learn's checks that give an estimator nothing to fit: the others fit tables of numbers.
CHECKS = ("estimator_cloneable", "estimator_tags_renamed", "valid_tag_types", "estimator_repr", "mixin_order",
          "no_attributes_set_in_init", "parameters_default_constructible", "get_params_invariance",
          "set_params", "do_not_raise_errors_in_init_or_set_params")  # fmt: skip


@pytest.mark.parametrize("check", CHECKS)
def test_checks_of_scikit_learn(check, classifier):
    getattr(estimator_checks, f"check_{check}")("FVVAEClassifier", clone(classifier))
