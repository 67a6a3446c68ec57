import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.errors import WeightsError
from keras_fvvae.layers import FisherNormalization, FisherVectorHead, FVVAELayer, SpatialPyramidPooling
from keras_fvvae.models import Classifier, FisherEncoder
from keras_fvvae.svm import UNSEEN_SCORE, OneVsRestSVM
from tests.support.numpy_reference import randomize

NAMES = ["ant", "bee", "cow", "hen"]


def _maps(*leading, seed=0):
    return np.random.default_rng(seed).normal(scale=2.0, size=(*leading, 4, 5, 3)).astype("float32")


def _classifier(class_names=NAMES, build=True):
    layer = FVVAELayer(latent_dim=2)
    layer.build((None, None, 3))
    randomize(layer, seed=83)  # every unit fires for some descriptors
    encoder = FisherEncoder(SpatialPyramidPooling((2, 1)), FisherVectorHead(layer), FisherNormalization())
    encoder.normalization.adapt(encoder.encode_raw(_maps(9, seed=5)))
    classifier = Classifier(encoder, class_names)
    if build:
        classifier.build((None, 4, 5, 3))
    return classifier


def _images(labels, seed=0):
    """Images of which the brightest channel, or none, tells the class."""
    return _maps(len(labels), seed=seed) + 9 * np.eye(4, 3, dtype="float32")[labels][:, np.newaxis, np.newaxis]


def _fitted(classifier, labels):
    return OneVsRestSVM().fit(np.array(classifier.encoder(_images(labels % 4))), labels)


LABELS = np.array([0, 1, 2, 3, 0, 1, 2, 3, 1])


def test_scores_are_the_decisions_of_the_svm():
    classifier = _classifier()
    svm = _fitted(classifier, LABELS)
    classifier.set_svm(svm)
    images = _maps(6, seed=1)
    scores = classifier(images)
    assert scores.shape == classifier.compute_output_shape(images.shape) == (6, 4)
    decisions = svm.decision_function(np.array(classifier.encoder(images)))
    np.testing.assert_allclose(scores, decisions, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(classifier.predict(images, verbose=0), scores)


@pytest.mark.parametrize("seen", [(0, 3), (1, 2), (0, 2, 3)])
def test_classes_without_samples_are_never_predicted(seen):
    """The SVM numbers two classes 0 and 1 inside; their scores must land on the right names."""
    classifier = _classifier()
    labels = np.array([seen[i % len(seen)] for i in range(9)])
    svm = _fitted(classifier, labels)
    classifier.set_svm(svm)
    scores = np.array(classifier(_images(labels)))
    missing = [i for i in range(4) if i not in seen]
    np.testing.assert_array_equal(scores[:, missing], UNSEEN_SCORE)
    np.testing.assert_array_equal(scores.argmax(axis=1), labels)


def test_videos_and_masks():
    classifier = _classifier()
    classifier.set_svm(_fitted(classifier, LABELS))
    videos = _maps(2, 5)
    mask = np.array([[True, True, False, False, False], [False, True, True, True, True]])
    expected = [classifier(video[np.newaxis, keep])[0] for video, keep in zip(videos, mask, strict=True)]
    videos[~mask] = np.nan
    np.testing.assert_allclose(classifier(videos, mask=mask), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("built_on", [(None, 4, 5, 3), (None, 7, 4, 5, 3)])
def test_saved_and_loaded(tmp_path, built_on):
    classifier = _classifier(build=False)
    classifier.build(built_on)
    classifier.set_svm(_fitted(classifier, LABELS))
    expected = [classifier(_maps(3)), classifier(_maps(2, 5))]
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras", safe_mode=True)
    assert loaded.class_names == NAMES
    assert loaded.encoder.normalization.is_adapted
    for scores, inputs in zip(expected, (_maps(3), _maps(2, 5)), strict=True):
        np.testing.assert_allclose(loaded(inputs), scores, rtol=1e-5, atol=1e-5)


def test_exported(tmp_path):
    classifier = _classifier()
    classifier.set_svm(_fitted(classifier, LABELS))
    archive = keras.export.ExportArchive()
    archive.track(classifier)
    signature = [tf.TensorSpec((None, 4, 5, 3), name="images")]
    archive.add_endpoint("serve", lambda images: {"scores": classifier(images)}, input_signature=signature)
    archive.write_out(str(tmp_path), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path))
    for count in (1, 5):
        scores = loaded.serve(_maps(count))["scores"]
        np.testing.assert_allclose(scores, classifier(_maps(count)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_scores_are_float32_under_mixed_precision(policy):
    """Float16 has no room for the score of a class that was never seen."""
    keras.config.set_dtype_policy(policy)
    classifier = _classifier()
    classifier.set_svm(_fitted(classifier, np.array([0, 1, 2] * 3)))
    scores = classifier(_maps(3))
    symbolic = classifier(keras.Input((4, 5, 3)))
    assert scores.dtype == symbolic.dtype == "float32"
    assert np.isfinite(scores).all()


def test_config_round_trip():
    classifier = _classifier()
    clone = Classifier.from_config(json.loads(json.dumps(classifier.get_config())))
    assert clone.class_names == NAMES
    assert clone.encoder.head.fvvae.latent_dim == 2


def test_calibration_is_saved(tmp_path):
    classifier = _classifier()
    labels = np.array([0, 1, 2] * 6)  # the fourth class has no sample
    vectors = np.array(classifier.encoder(_images(labels)))
    classifier.set_svm(OneVsRestSVM(probability="sigmoid", cv=3).fit(vectors, labels))
    scores = np.array(classifier(_images(labels)))
    expected = classifier.probabilities(scores)
    np.testing.assert_allclose(expected.sum(axis=1), 1.0, rtol=1e-5)
    assert (expected[:, 3] == 0).all()
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras", safe_mode=True)
    assert loaded.calibration == classifier.calibration
    np.testing.assert_array_equal(loaded.probabilities(scores), expected)
    classifier.set_svm(OneVsRestSVM().fit(vectors, labels))
    assert classifier.calibration is None
    with pytest.raises(WeightsError, match="scores and no probabilities"):
        classifier.probabilities(scores)


def test_calibration_of_something_else():
    config = {"method": "sigmoid", "parameters": {"slopes": [1.0, 2.0], "offsets": [0.0, 0.0]}, "confidences": []}
    encoder = _classifier(build=False).encoder
    with pytest.raises(ValueError, match="is of 2 classes, and the classifier of 4"):
        Classifier(encoder, NAMES, config)
    with pytest.raises(ValueError, match="no calibration of scores: `temperature` must be a positive number"):
        Classifier(encoder, NAMES, {"method": "temperature", "parameters": {"temperature": -1.0}, "confidences": []})
    with pytest.raises(TypeError, match="must be a Calibration"):
        Classifier(encoder, NAMES, "temperature")


@pytest.mark.parametrize("names", [[], ["one"], ["a", "b", "a"]])
def test_wrong_class_names(names):
    with pytest.raises(ValueError, match="`class_names` must be at least two different names. Received: "):
        _classifier(names, build=False)


@pytest.mark.parametrize("names", [[1, "1"], [0, 1], "ab", None, {"a": 0, "b": 1}])
def test_class_names_that_are_no_texts(names):
    with pytest.raises(TypeError, match="`class_names` must be a list of texts. Received: "):
        _classifier(names, build=False)


def test_svm_of_other_classes():
    classifier = _classifier()
    with pytest.raises(ValueError, match=r"fitted to labels outside 0 \.\. 3: \[7\]"):
        classifier.set_svm(_fitted(classifier, np.array([0, 1, 7] * 3)))


def test_svm_of_other_vectors():
    classifier = _classifier()
    with pytest.raises(ValueError, match="shape"):
        classifier.set_svm(OneVsRestSVM().fit(np.random.default_rng(0).random((4, 5)), [0, 1, 2, 3]))


def test_set_svm_before_build():
    classifier = _classifier(build=False)
    svm = _fitted(classifier, LABELS)
    with pytest.raises(ValueError, match=r"\bbuil[dt]\b"):
        classifier.set_svm(svm)


def test_wrong_rank():
    with pytest.raises(ValueError, match=r"expects images .* or videos .* Received: shape=\(2, 5, 3\)"):
        _classifier(build=False)(np.zeros((2, 5, 3), "float32"))
