"""Entries are loaded: the model of the recipe, with what is overridden, and with the weights of a file."""

import warnings

import keras
import numpy as np
import pytest

from keras_fvvae import recipes, zoo
from keras_fvvae.builders.encoders import build_classifier, build_encoder
from keras_fvvae.builders.trainable import build_fvvae, build_recipe_backbone
from keras_fvvae.errors import RecipeError, WeightsError
from keras_fvvae.layers import (
    DescriptorNormalization,
    DescriptorSampling,
    SpatialPyramidPooling,
)
from keras_fvvae.models import FVVAE
from keras_fvvae.optimizers import RELEASE_MULTIPLIERS, SGD, Adadelta
from tests.support.pack_files import save_model_with_code
from tests.support.small_data import noise_images

SMALL = {"latent_dim": 3, "backbone_options": {"filters": 4}}


def _load(**overrides):
    """A small version of the embedded entry, untrained."""
    overrides = {"weights": None, **SMALL, **overrides}
    return zoo.load("digits_conv", **overrides)


def _saved_classifier(path):
    """A run's `model.keras`, untrained but complete."""
    recipe = recipes.load_recipe("digits_conv", latent_dim=3, backbone_options={"filters": 4})
    backbone = build_recipe_backbone(recipe, None)
    encoder = build_encoder(recipe, backbone, build_fvvae(recipe, backbone, 3))
    classifier = build_classifier(encoder, ["a", "b", "c"])
    classifier.encoder.normalization.adapt(classifier.encoder.encode_raw(noise_images()))
    classifier.save(path)
    return classifier


def test_entries():
    assert zoo.list_entries() == recipes.list_recipes()
    assert zoo.list_entries("image_*") == ["image_folder"]
    assert zoo.list_entries("nothing*") == []


def test_card():
    assert zoo.card("digits_conv").startswith("# digits_conv\n")


def test_model_is_that_of_the_recipe():
    model = zoo.load("digits_conv", weights=None)
    recipe = recipes.load_recipe("digits_conv")
    assert isinstance(model, FVVAE)
    assert (model.fvvae.latent_dim, model.fvvae.num_classes, model.fvvae.dropout) == (31, 10, recipe.dropout)
    assert model.loss_weights == (1.0, 1.0, 6400.0)
    assert model.fvvae.stop_target_gradient
    assert isinstance(model.optimizer, Adadelta)
    assert model.optimizer.learning_rate_multipliers == RELEASE_MULTIPLIERS
    assert float(model.optimizer.learning_rate) == 1.0
    assert model.backbone.name == "DigitsConvNet"
    assert all(layer.trainable for layer in model.backbone.get_layer("trunk").layers)


def test_overrides_reach_the_model():
    model = _load(
        tap="conv2",
        trainable_from=None,
        descriptors="spp",
        spp_levels=[2, 1],
        spp_pooling="average",
        normalization_scale=12.5,
        sampled_descriptors=3,
        hidden_units=[6],
        dropout=0.25,
        lambda1=0.5,
        lambda2=2,
        lambda3=7.0,
        optimizer="sgd",
        learning_rate=0.125,
        learning_rate_multipliers={"bias$": 3.0},
        num_classes=4,
    )
    kinds = {type(layer): layer for layer in model.descriptors.layers}
    assert kinds[DescriptorNormalization].scale == 12.5
    assert (kinds[SpatialPyramidPooling].levels, kinds[SpatialPyramidPooling].pooling) == ((2, 1), "average")
    assert kinds[DescriptorSampling].num_descriptors == 3
    assert (model.fvvae.hidden_units, model.fvvae.dropout, model.fvvae.num_classes) == ((6,), 0.25, 4)
    assert model.loss_weights == (0.5, 2.0, 7.0)
    assert isinstance(model.optimizer, SGD)
    assert (float(model.optimizer.learning_rate), model.optimizer.multiplier("bias")) == (0.125, 3.0)
    assert not model.backbone.trainable_variables
    assert model.backbone.output.shape == (None, 8, 8, 4)


def test_dense_descriptors_are_the_positions_of_the_map():
    model = _load(normalization="none")
    maps = model.backbone(noise_images())
    np.testing.assert_allclose(model.compute_descriptors(noise_images()), np.reshape(maps, (8, 64, 4)), rtol=1e-6)


def test_without_lambda3_there_is_no_classifier():
    assert _load(lambda3=0).fvvae.num_classes is None


def test_loaded_model_trains():
    model = _load(sampled_descriptors=5)
    labels = np.array([0, 1, 2, 3, 4, -1, -1, -1])
    history = model.fit(noise_images(), labels, epochs=2, verbose=0).history
    assert set(history) == {"loss", "reconstruction", "regularization", "classification", "accuracy"}
    assert np.isfinite(list(history.values())).all()


def test_seed_fixes_the_fvvae_noise():
    outputs = [_load(seed=seed).fvvae.seed for seed in (3, 4)]
    assert outputs == [3, 4]


def test_warns_where_there_are_no_trained_weights():
    with pytest.warns(UserWarning, match="no trained weights for 'digits_conv'.*`keras-fvvae train digits_conv`"):
        _load(weights="auto")


def test_does_not_warn_where_none_are_asked_for():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _load()


def test_embedded_weights_load_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = zoo.load("digits_conv")
    assert model.fvvae.num_classes == 10
    assert np.isfinite(model.evaluate(noise_images(), np.arange(8), verbose=0)).all()


def test_weights_of_a_run(tmp_path):
    """The saved vectors come back, and the loaded model can be evaluated and trained further."""
    classifier = _saved_classifier(tmp_path / "model.keras")
    model = zoo.load("digits_conv", weights=tmp_path / "model.keras")
    assert isinstance(model, FVVAE)
    for one, other in zip(model.fvvae.get_weights(), classifier.encoder.head.fvvae.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(model.backbone(noise_images()), classifier.encoder.backbone(noise_images()))
    labels = np.array([0, 1, 2, -1] * 2)
    before = model.evaluate(noise_images(), labels, verbose=0, return_dict=True)
    assert np.isfinite(list(before.values())).all()
    history = model.fit(noise_images(), labels, verbose=0).history
    assert np.isfinite(list(history.values())).all()


@pytest.mark.parametrize("contradiction", [{"num_classes": 7}, {"latent_dim": 5}, {"hidden_units": [3]}])
def test_what_contradicts_the_weights_is_not_silently_ignored(tmp_path, contradiction):
    """These weights are of three classes, three latent variables and one hidden layer of four units."""
    _saved_classifier(tmp_path / "model.keras")
    (key,) = contradiction
    with pytest.raises((RecipeError, ValueError, WeightsError), match=f"`{key}`"):
        zoo.load("digits_conv", weights=tmp_path / "model.keras", **contradiction)


def test_classifier_round_trip(tmp_path):
    classifier = _saved_classifier(tmp_path / "model.keras")
    loaded = zoo.load_classifier(tmp_path / "model.keras")
    assert loaded.class_names == ["a", "b", "c"]
    np.testing.assert_allclose(loaded(noise_images()), classifier(noise_images()), rtol=1e-5, atol=1e-6)


def test_missing_weights(tmp_path):
    with pytest.raises(WeightsError, match="There is no model at .*no.keras"):
        zoo.load("digits_conv", weights=tmp_path / "no.keras")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_damaged_weights(tmp_path, share):
    _saved_classifier(tmp_path / "model.keras")
    content = (tmp_path / "model.keras").read_bytes()
    (tmp_path / "model.keras").write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match="model.keras is damaged or of another version"):
        zoo.load_classifier(tmp_path / "model.keras")


def test_weights_of_something_else(tmp_path):
    inputs = keras.Input((3,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(tmp_path / "model.keras")
    with pytest.raises(WeightsError, match="model.keras holds a Functional, not a keras_fvvae Classifier"):
        zoo.load("digits_conv", weights=tmp_path / "model.keras")


def test_code_in_a_file_is_not_run(tmp_path):
    """A model with a Lambda layer, whose Python code Keras would run to rebuild it."""
    trace = save_model_with_code(tmp_path / "model.keras")
    with pytest.raises(WeightsError, match="model.keras is damaged or of another version"):
        zoo.load_classifier(tmp_path / "model.keras")
    assert not trace.exists()


def test_unknown_entry_and_key(tmp_path):
    with pytest.raises(RecipeError, match="Unknown zoo entry 'digits'"):
        zoo.load("digits")
    with pytest.raises(RecipeError, match="is a folder, not an entry. .*, load its entry with `weights='/"):
        zoo.load(tmp_path)
    with pytest.raises(RecipeError, match="Unknown recipe key 'dropuot'; did you mean 'dropout'?"):
        _load(dropuot=0.1)
    with pytest.raises(RecipeError, match="Unknown backbone 'VGG18'; did you mean 'VGG1[69]'?"):
        zoo.load("image_folder", weights=None, backbone_weights=None, backbone="VGG18")


def test_map_too_small_for_the_pyramid():
    with pytest.raises((RecipeError, ValueError), match="smaller than the finest level 9 .*height 8"):
        _load(descriptors="spp", spp_levels=[9])


def test_recipe_file_of_ones_own(tmp_path):
    recipe = recipes.load_recipe("digits_conv", latent_dim=2, backbone_options={"filters": 4})
    (tmp_path / "mine.yaml").write_text(recipe.to_yaml())
    assert zoo.load(tmp_path / "mine.yaml", weights=None).fvvae.latent_dim == 2


def test_backbone_weights_that_cannot_be_used_are_refused(tmp_path):
    """Not silently replaced by random ones."""
    with pytest.raises(WeightsError):
        _load(backbone_weights=tmp_path / "missing.weights.h5")


def test_real_backbone_weights(shared):
    weights = shared / "weights" / "mobilenetv2_0.35_224_notop.weights.h5"
    model = zoo.load(
        "image_folder",
        weights=None,
        backbone_weights=weights,
        num_classes=3,
        backbone="MobileNetV2",
        backbone_options={"alpha": 0.35},
        tap="block_3_expand_relu",
        input_size=[64, 32],
        latent_dim=3,
    )
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 32, 3)).astype("float32")
    assert model.backbone.output.shape[1:3] == (16, 8)
    assert not model.backbone.trainable_variables
    assert model.predict(images, verbose=0)["class_scores"].shape == (2, 3)
