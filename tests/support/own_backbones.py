"""A backbone of one's own all the way: trained, explained, published, exported, and served through the C API."""

import numpy as np
import tensorflow as tf

from keras_fvvae import zoo
from keras_fvvae.data import load_digits
from keras_fvvae.recipes import Recipe
from keras_fvvae.serving.operations import verify_export
from keras_fvvae.tasks.explain import explain
from keras_fvvae.tasks.export_runs import export_runs
from keras_fvvae.training.train import train
from keras_fvvae.zoo.publishing import publish_run
from tests.support.c_api import run_signatures

SIZE = 32


def small_recipe(backbone, **keys):
    """A recipe that is trained in a second; images are digits, enlarged."""
    settings = {
        "name": "own",
        "backbone": backbone,
        "input_size": [SIZE, SIZE],
        "dataset": "digits",
        "descriptors": "dense",
        "latent_dim": 3,
        "batch_size": 8,
        "steps": 3,
    }
    return Recipe(**{**settings, **keys})


def few_digits(step=30):
    digits = load_digits()
    return digits.subset(np.arange(0, len(digits), step))


def trained_and_served(recipe, folder, without=lambda: None):
    """Trains a recipe, and compares what the served model answers with Keras.

    Args:
        recipe: of `small_recipe`.
        folder: to write to.
        without: called after the training; what the run does not hold may be gone from there on.

    Returns:
        The run.
    """
    digits = few_digits()
    run = train(recipe, digits, folder / "run", cache=folder / "cache", verbose=0)
    without()
    classifier = run.classifier()
    contents = [tf.io.encode_png(digits.read(index)).numpy() for index in range(3)]
    pixels = np.stack([tf.image.resize(tf.io.decode_png(one, 3), (SIZE, SIZE)) for one in contents])
    scores = np.array(classifier(pixels))
    assert scores.std() > 1e-3
    published = publish_run(run, folder / "zoo")
    model = zoo.load(run.path / "recipe.yaml", weights=published)
    np.testing.assert_allclose(model.backbone(pixels), classifier.encoder.backbone(pixels), atol=1e-5)
    exported = export_runs([run.path], folder / "export")
    verify_export(exported)
    requests = [("serving_default", {"image": contents}), ("explain", {"image": contents})]
    answers, parts = run_signatures(exported, requests, folder)
    np.testing.assert_allclose(answers["scores"], scores, atol=1e-4 * np.abs(scores).max())
    height, width = classifier.encoder.backbone.output.shape[1:3]
    assert parts["contributions"].shape == (3, height, width)
    # Entries of a network of random weights cancel to rounding, whose square root is up to 1e-3 of a score.
    np.testing.assert_allclose(parts["contributions"].sum(axis=(1, 2)) + parts["bias"], scores.max(axis=1), rtol=1e-2)
    (folder / "digit.png").write_bytes(contents[0])
    (result,) = explain(run.path, [folder / "digit.png"], folder / "explained")
    assert abs(result["score"] - scores[0].max()) < 1e-3
    return run
