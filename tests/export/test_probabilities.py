"""Probabilities of a SavedModel, and its answer, which may be none."""

import json

import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.data import Views
from keras_fvvae.errors import WeightsError
from keras_fvvae.export import export_fused, export_saved_model
from keras_fvvae.models import Classifier
from keras_fvvae.serving.engine.signatures import read_signatures
from keras_fvvae.svm.calibration import Calibration
from tests.support.c_api import run_signatures

KNOTS = {"knots": [[-9.0, 0.0, 0.5 + k] for k in range(10)], "values": [[0.01 * k, 0.1, 0.9] for k in range(10)]}
# Of the seven images' best probabilities some are on either side of the threshold, the one confidence.
CALIBRATIONS = [
    Calibration("temperature", {"temperature": 2.0}, [0.5]),
    Calibration("isotonic", KNOTS, [0.2]),
]


@pytest.mark.parametrize("calibration", CALIBRATIONS, ids=[one.method for one in CALIBRATIONS])
def test_through_the_c_api(calibration, classifier, images, expected, tmp_path):
    """The graph gives what NumPy gives, in TensorFlow Serving's loader."""
    calibrated = Classifier(classifier.encoder, classifier.class_names, calibration)
    calibrated.build((None, 8, 8, 3))
    calibrated.svm.set_weights(classifier.svm.get_weights())
    path = export_saved_model(calibrated, tmp_path / "export", top_k=3, valid_output=True, coverage=0.5)
    contents = [*images[0], b"no image"]
    (outputs,) = run_signatures(path, [("serving_default", {"image": contents})], tmp_path)
    scores = expected["serving_default"]["scores"]
    probabilities = calibration.probabilities(scores.astype("float64"))
    order = np.argsort(-scores, axis=1)[:, :3]
    np.testing.assert_allclose(outputs["probabilities"][:7], probabilities, atol=1e-5)
    best = np.take_along_axis(probabilities, order, axis=1)
    np.testing.assert_allclose(outputs["label_probabilities"][:7], best, atol=1e-5)
    known = best[:, 0] >= calibration.confidences[0]
    wanted = np.where(known, np.array(classifier.class_names)[order[:, 0]], "")
    assert [one.decode() for one in outputs["answer"]] == [*wanted, ""]
    assert np.isnan(outputs["probabilities"][7]).all()
    told = json.loads(read_signatures(path)["__calibration__"].method_name)
    assert told == {"method": calibration.method, "coverage": 0.5, "threshold": calibration.confidences[0]}
    assert "50.0% of items of these classes" in (path / "assets.extra" / "card.md").read_text()


def test_without_calibration(classifier, loaded, tmp_path):
    assert "probabilities" not in loaded.signatures["serving_default"].structured_outputs
    with pytest.raises(WeightsError, match="scores and no probabilities"):
        export_saved_model(classifier, tmp_path, coverage=0.9)
    views = [Views((8, 8)), Views((8, 8), modality="flow")]
    with pytest.raises(ValueError, match="`coverage` needs a `calibration` of the fused scores"):
        export_fused([classifier, classifier], tmp_path, views, coverage=0.9)
    assert not list(tmp_path.iterdir())


def test_they_are_tensors_in_a_graph(classifier):
    calibrated = Classifier(classifier.encoder, classifier.class_names, CALIBRATIONS[0].get_config())
    scores = np.random.default_rng(0).normal(size=(2, 10)).astype("float32")
    graph = tf.function(calibrated.probabilities)
    np.testing.assert_allclose(graph(tf.constant(scores)), calibrated.probabilities(scores), atol=1e-6)
