"""Saved models that are whole and yet of no use: refused in one sentence, whoever opens them."""

import json
import zipfile

import keras
import numpy as np
import pytest

from keras_fvvae import zoo
from keras_fvvae.builders.encoders import build_classifier, build_encoder, load_encoder, load_model
from keras_fvvae.builders.trainable import build_fvvae, build_recipe_backbone
from keras_fvvae.errors import WeightsError
from keras_fvvae.models import Classifier, SoftmaxClassifier


@pytest.fixture
def classifier(recipe):
    backbone = build_recipe_backbone(recipe, None)
    return build_classifier(build_encoder(recipe, backbone, build_fvvae(recipe, backbone, 2)), ["a", "b"])


def _edit(path, change):
    """Changes the configuration that a `.keras` file rebuilds its model from."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files["config.json"])
    change(config["config"])
    files["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(("value", "place"), [(np.nan, 0), (np.inf, -2), (-np.inf, -1)])
def test_weights_that_are_not_finite(classifier, tmp_path, value, place):
    """In the backbone, in the kernel of the SVM, in its bias: an encoder of it is refused for what it does not use."""
    variable = classifier.weights[place]
    values = np.array(variable)
    values.flat[-1] = value
    variable.assign(values)
    classifier.save(tmp_path / "model.keras")
    sentence = r"model.keras hold NaN or infinite values, first in .*; take another"
    for open_model in (zoo.load_classifier, load_encoder, lambda path: zoo.load("digits_conv", path)):
        with pytest.raises(WeightsError, match=sentence) as e:
            open_model(tmp_path / "model.keras")
        assert variable.path.split("/")[-1] in str(e.value)


def test_half_precision_is_finite_or_not(classifier, tmp_path):
    """bfloat16 is no dtype of NumPy's own."""
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2, dtype=keras.DTypePolicy("bfloat16"))(inputs))
    from keras_fvvae.backbones.weights import require_finite

    require_finite(model, "x")
    model.layers[1].bias.assign([0.0, np.nan])
    with pytest.raises(WeightsError, match="first in .*bias"):
        require_finite(model, "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda config: config.update(encoder=None),
            "`encoder` of `Classifier` must be an Encoder. Received: None",
        ),
        (lambda config: config.pop("encoder"), "`encoder` of `Classifier` must be an Encoder. Received: None"),
        (lambda config: config.update(encoder=3), "`encoder` of `Classifier` must be an Encoder. Received: 3"),
        (lambda config: config["encoder"]["config"].update(head=None), "`head` of `FisherEncoder` must be a Layer"),
        (
            lambda config: config["encoder"]["config"].update(descriptors="x"),
            "`descriptors` of `FisherEncoder` must be",
        ),
        (
            lambda config: config["encoder"]["config"].update(normalization=[]),
            "`normalization` of `FisherEncoder` must",
        ),
        (lambda config: config.update(class_names="ab"), "`class_names` must be a list of texts. Received: 'ab'"),
        (lambda config: config.update(class_names=[0, 1]), "`class_names` must be a list of texts. Received: [0, 1]"),
        (lambda config: config.update(class_names=["a", None]), "`class_names` must be a list of texts"),
        (lambda config: config.update(class_names=None), "`class_names` must be a list of texts. Received: None"),
        (lambda config: config.update(class_names={"a": 0, "b": 1}), "`class_names` must be a list of texts"),
        (lambda config: config.update(class_names=["a", "a"]), "`class_names` must be at least two different names"),
        (lambda config: config.update(class_names=["a"]), "`class_names` must be at least two different names"),
        (lambda config: config.update(class_names=["a", "b", "c"]), "damaged"),  # its weights are of two
    ],
)
def test_configurations_that_cannot_be(classifier, tmp_path, change, message):
    path = tmp_path / "model.keras"
    classifier.save(path)
    _edit(path, change)
    with pytest.raises(WeightsError, match="model.keras is damaged or of another version: ") as caught:
        zoo.load_classifier(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["descriptors", "fvvae"])
def test_training_models_without_a_part(recipe, tmp_path, name):
    model = build_fvvae(recipe, build_recipe_backbone(recipe, None), 2)
    path = tmp_path / "model.keras"
    model.save(path)
    _edit(path, lambda config: config.update({name: None}))
    with pytest.raises(WeightsError, match=f"damaged or of another version: `{name}` of `FVVAE` must be a"):
        load_model(path)


def test_constructors():
    with pytest.raises(TypeError, match="`encoder` of `Classifier` must be an Encoder"):
        Classifier(None, ["a", "b"])
    with pytest.raises(TypeError, match="`encoder` of `SoftmaxClassifier` must be a FisherEncoder"):
        SoftmaxClassifier(keras.layers.Flatten(), 2)
