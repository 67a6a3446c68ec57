"""A classifier with random weights, and what its export's signatures must answer."""

import numpy as np
import tensorflow as tf

from keras_fvvae import zoo
from keras_fvvae.builders.encoders import build_classifier, build_encoder
from keras_fvvae.explanations import descriptor_contributions
from keras_fvvae.recipes import load_recipe

SIGNATURES = [
    "classify_pixels",
    "classify_raw",
    "encode",
    "encode_raw",
    "explain",
    "explain_match",
    "serving_default",
]


def random_classifier(seed=0, class_names=None):
    """An untrained classifier of digits with an SVM of random weights."""
    recipe = load_recipe("digits_conv", information="none")
    model = zoo.load("digits_conv", weights=None)
    encoder = build_encoder(recipe, model.backbone, model)
    result = build_classifier(encoder, class_names or [f"digit {i}" for i in range(10)])
    generator = np.random.default_rng(seed)
    result.svm.set_weights([generator.normal(size=w.shape) for w in result.svm.get_weights()])
    return result


def outputs_by_keras(classifier, pixels, mask=None):
    vectors = classifier.encoder(pixels, mask=mask)
    scores = classifier.svm(vectors).numpy()
    order = np.argsort(-scores, axis=1)[:, :3]
    raw = classifier.encoder.encode_raw(pixels, mask=mask).numpy()
    count = np.ones(len(pixels), "float32") if mask is None else mask.sum(axis=1).astype("float32")
    contributions = tf.function(descriptor_contributions)(classifier, pixels, mask=mask).numpy()
    names = np.array(classifier.class_names, object)
    classified = {"scores": scores, "labels": names[order], "label_scores": np.take_along_axis(scores, order, axis=1)}
    return {
        "serving_default": classified,
        "encode": {"fisher_vector": vectors.numpy()},
        "encode_raw": {"raw_sum": raw * count[:, None, None], "count": count},
        "classify_raw": classified,
        "explain": {
            "contributions": contributions.reshape(*contributions.shape[:-1], 8, 8),
            "label": names[order[:, 0]],
            "score": scores.max(axis=1),
            "bias": classifier.svm.bias.numpy()[order[:, 0]],
        },
    }


def assert_outputs(outputs, expected):
    """Numbers agree to 1e-5 of the largest, strings exactly.

    For contributions that takes Keras's own graph (`tf.function`, as in `predict`) and the same batch, whose kernels
    round alike: a part is no better conditioned than the smallest entry of the raw vector, in which large parts of both
    signs cancel. Activations that differ by rounding (1e-6) give single parts that differ by 2e-3 of the largest here,
    while their sum stays exact; where nothing cancels, so does every part, see below.
    """
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        if value.dtype == object:
            assert np.array_equal(np.vectorize(bytes.decode)(outputs[name]), value), name
        else:
            scale = np.abs(value).max()
            np.testing.assert_allclose(outputs[name], value, rtol=1e-5, atol=1e-5 * scale, err_msg=name)
    if "contributions" in expected:
        served = outputs["contributions"].reshape(len(expected["score"]), -1).sum(axis=1) + expected["bias"]
        np.testing.assert_allclose(served, expected["score"], rtol=1e-5, atol=1e-5)


def call_signature(model, name, **inputs):
    outputs = model.signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
    return {key: value.numpy() for key, value in outputs.items()}
