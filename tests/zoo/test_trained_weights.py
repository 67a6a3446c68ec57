"""Weights of a run, a pack, a server: which are taken, and which overrides rule them out."""

import hashlib
import json
import warnings

import numpy as np
import pytest

from keras_fvvae import recipes, zoo
from keras_fvvae.builders.encoders import build_encoder
from keras_fvvae.builders.trainable import build_fvvae, build_recipe_backbone
from keras_fvvae.data import load_digits
from keras_fvvae.errors import WeightsError
from keras_fvvae.layers import (
    FisherVectorHead,
)
from keras_fvvae.optimizers import SGD
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training.train import train
from keras_fvvae.utils.cache import cache_folder
from keras_fvvae.zoo import packs, publishing
from tests.support.pack_files import save_model_with_code
from tests.support.small_data import noise_images

SMALL = {"latent_dim": 3, "backbone_options": {"filters": 4}}
# Of the digits, in the order of the data set.
TRAINING, TEST = range(40), range(898, 928)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """`digits_conv`, small, trained for two steps."""
    recipe = recipes.load_recipe("digits_conv", **SMALL, steps=2, batch_size=16)
    digits = load_digits().subset([*TRAINING, *TEST])
    return train(recipe, digits, tmp_path_factory.mktemp("trained") / "run", backbone_weights=None, verbose=0)


def _vectors(model):
    """Raw Fisher vectors of some images, by the model's own layers."""
    return np.array(FisherVectorHead(model.fvvae)(model.compute_descriptors(noise_images())))


def _same(one, other):
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-6 * np.abs(other).max())


def _is_trained(model, run):
    """Whether the model has the run's weights: all but class scores, which an override may remove."""
    trained = zoo.load_classifier(run.path / "model.keras").encoder.head.fvvae
    pairs = zip([*model.fvvae.encoder, model.fvvae.decoder], [*trained.encoder, trained.decoder], strict=True)
    weights = [(a, b) for one, other in pairs for a, b in zip(one.get_weights(), other.get_weights(), strict=True)]
    weights += [(getattr(model.fvvae, name), getattr(trained, name)) for name in ("x_log_variance", "z_log_variance")]
    return all(np.array_equal(one, other) for one, other in weights)


def test_entry_run_and_pack_give_the_same_vectors(run, server, tmp_path, monkeypatch):
    """Run folder -> pack -> folder, server, mirror, local zoo, and offline what came from there."""
    classifier = zoo.load_classifier(run.path / "model.keras")
    expected = np.array(classifier.encoder.encode_raw(noise_images()))
    pack = publishing.publish_run(RunFolder.open(run.path), server.folder)
    url = f"{server.url}/digits_conv/1"
    for source in (run.path, run.path / "model.keras", pack, pack.parent, server.folder, url, server.url):
        model = zoo.load("digits_conv", weights=source)
        _same(_vectors(model), expected)
        assert model.loss_weights == (1.0, 1.0, 6400.0)
    monkeypatch.setenv(packs.MIRROR_VARIABLE, server.url)
    _same(_vectors(zoo.load("digits_conv")), expected)
    server.shutdown()
    server.server_close()
    with pytest.warns(UserWarning, match="Connection refused.* is used"):
        _same(_vectors(zoo.load("digits_conv", weights=url)), expected)
    with pytest.warns(UserWarning, match="Connection refused.* is used"):
        _same(_vectors(zoo.load("digits_conv")), expected)
    monkeypatch.delenv(packs.MIRROR_VARIABLE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _same(_vectors(zoo.load("digits_conv")), expected)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
        publishing.publish_run(run)
        _same(_vectors(zoo.load("digits_conv")), expected)


def test_what_is_published_is_the_whole_classifier(run, tmp_path):
    pack = publishing.publish_run(run, tmp_path / "zoo")
    one, other = (zoo.load_classifier(folder / "model.keras") for folder in (run.path, pack))
    np.testing.assert_array_equal(one(noise_images()), other(noise_images()))
    assert other.class_names == [str(digit) for digit in range(10)]


def test_published_model_trains_on(run):
    publishing.publish_run(run)
    history = zoo.load("digits_conv").fit(noise_images(), np.arange(8), verbose=0).history
    assert set(history) == {"loss", "reconstruction", "regularization", "classification", "accuracy"}
    assert np.isfinite(list(history.values())).all()


def test_recipe_of_the_weights_rules(run):
    publishing.publish(run.recipe.replace(lambda1=0.25, optimizer="sgd"), {"model.keras": run.path / "model.keras"})
    model = zoo.load("digits_conv", lambda2=0.5)
    assert model.loss_weights == (0.25, 0.5, 6400.0)
    assert isinstance(model.optimizer, SGD)


def test_overrides_of_the_training_keep_the_weights(run):
    publishing.publish_run(run)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = zoo.load(
            "digits_conv", steps=7, learning_rate=0.125, optimizer="sgd", lambda3=5.0, lambda1=0.5, batch_size=3,
            dropout=0.25, stop_target_gradient=False, seed=9, sampled_descriptors=6, trainable_from=None, svm_c=1.0,
            crops="ten", latent_dim=3, input_size=(8, 8), spp_levels=(6, 3, 2, 1), backbone_options={"filters": 4},
        )  # fmt: skip
    assert _is_trained(model, run)
    trained = zoo.load("digits_conv", weights=run.path).fvvae
    np.testing.assert_array_equal(model.fvvae.classifier.kernel, trained.classifier.kernel)
    assert isinstance(model.optimizer, SGD)
    assert float(model.optimizer.learning_rate) == 0.125
    assert model.loss_weights == (0.5, 1.0, 5.0)
    assert (model.fvvae.dropout, model.fvvae.stop_target_gradient, model.fvvae.seed) == (0.25, False, 9)
    assert not model.backbone.trainable_variables
    assert model.compute_descriptors(noise_images(), training=True).shape == (8, 6, 4)
    assert model.compute_descriptors(noise_images()).shape == (8, 64, 4)
    _same(_vectors(model), np.array(zoo.load_classifier(run.path / "model.keras").encoder.encode_raw(noise_images())))
    assert np.isfinite(model.fit(noise_images(), np.arange(8), verbose=0).history["loss"][0])


def test_sampling_can_be_changed_and_removed(run, tmp_path):
    zoo.load("digits_conv", weights=run.path, sampled_descriptors=6).save(tmp_path / "mine.keras")
    for count, expected in ((5, 5), (None, 64)):
        model = zoo.load("digits_conv", weights=tmp_path / "mine.keras", sampled_descriptors=count)
        assert model.compute_descriptors(noise_images(), training=True).shape == (8, expected, 4)


def test_without_lambda3_published_scores_are_dropped(run):
    publishing.publish_run(run)
    model = zoo.load("digits_conv", lambda3=0)
    assert _is_trained(model, run)
    assert model.fvvae.num_classes is None


def test_scores_are_added_to_weights_without_them(run, tmp_path):
    minus = zoo.load("digits_conv", weights=run.path, lambda3=0)
    minus.save(tmp_path / "minus.keras")
    assert zoo.load("digits_conv", weights=tmp_path / "minus.keras").fvvae.num_classes is None
    model = zoo.load("digits_conv", weights=tmp_path / "minus.keras", num_classes=4)
    assert _is_trained(model, run)
    assert model.fvvae.num_classes == 4
    with pytest.raises(ValueError, match="does not say how many classes your data has: pass `num_classes`"):
        zoo.load("digits_conv", weights=tmp_path / "minus.keras", lambda3=5.0)


@pytest.mark.parametrize(
    "override",
    [
        {"latent_dim": 5}, {"hidden_units": [3]}, {"hidden_activation": "tanh"}, {"normalization": "none"},
        {"normalization_scale": 3.0}, {"descriptors": "spp"}, {"tap": "conv2"}, {"input_size": [16, 16]},
        {"backbone_options": {"filters": 5}}, {"num_classes": 7}, {"spp_levels": [2]}, {"spp_pooling": "average"},
    ],
    ids=lambda override: next(iter(override)),
)  # fmt: skip
def test_overrides_of_the_architecture_rule_weights_out(run, override):
    """With a warning that says which, or an error where the weights were named."""
    publishing.publish_run(run)
    (key,) = override
    with pytest.warns(UserWarning, match=f"'digits_conv' as asked for .the published ones have `{key}` = .*, not "):
        model = zoo.load("digits_conv", **override)
    assert model.fvvae.latent_dim == override.get("latent_dim", 31)
    with pytest.raises(WeightsError, match=f"run have `{key}` = .*, not .* Leave it out, or pass `weights=None`"):
        zoo.load("digits_conv", weights=run.path, **override)


@pytest.mark.parametrize(
    "override",
    [
        {"hidden_activation": "tanh"}, {"normalization": "none"}, {"normalization_scale": 3.0}, {"descriptors": "spp"},
        {"input_size": [16, 16]}, {"backbone": "VGG19"},
    ],
    ids=lambda override: next(iter(override)),
)  # fmt: skip
def test_what_contradicts_a_model_file(run, override):
    (key,) = override
    with pytest.raises(WeightsError, match=f"`{key}` = "):
        zoo.load("digits_conv", weights=run.path / "model.keras", **override)


def test_older_pack_that_fits_is_taken(run, tmp_path):
    recipe = run.recipe.replace(latent_dim=5)  # its model is not opened
    publishing.publish_run(run)
    publishing.publish(recipe, {"model.keras": run.path / "model.keras"})
    assert _is_trained(zoo.load("digits_conv", latent_dim=3), run)


def test_split_that_was_trained_on(run):
    """Weights of one split have seen the test part of another."""
    recipe = run.recipe.replace(name="mine", dataset_options={"split": 2}, weights={})
    publishing.publish(recipe, {"model.keras": run.path / "model.keras"})
    assert _is_trained(zoo.load("mine"), run)
    assert _is_trained(zoo.load("mine", dataset_options={"split": 2, "annotations": "x"}), run)
    with pytest.warns(UserWarning, match="`split` = 2, not 1"):
        assert not _is_trained(zoo.load("mine", dataset_options={"split": 1}), run)
    publishing.publish(recipe.replace(dataset_options={}), {"model.keras": run.path / "model.keras"})
    assert _is_trained(zoo.load("mine", dataset_options={"split": 1}), run)
    with pytest.warns(UserWarning, match="`split` = 1, not 3"):
        zoo.load("digits_conv", dataset_options={"split": 3})  # the shipped weights
    named = cache_folder() / "zoo" / "mine" / "1"
    assert _is_trained(zoo.load("mine", weights=named, dataset_options={"split": 1}), run)


def test_entry_of_ones_own(run):
    publishing.publish_run(run, name="mine")
    model = zoo.load("mine")
    assert _is_trained(model, run)
    assert zoo.load("mine", weights=None).fvvae.latent_dim == 3
    with pytest.raises(WeightsError, match="of a pack of 'mine', not of 'digits_conv'"):
        zoo.load("digits_conv", weights=cache_folder() / "zoo" / "mine" / "1")


def test_weights_by_the_url_of_a_recipe(run, server, tmp_path):
    content = (run.path / "model.keras").read_bytes()
    (server.folder / "model.keras").write_bytes(content)
    weights = {"url": f"{server.url}/model.keras", "sha256": hashlib.sha256(content).hexdigest()}
    (tmp_path / "mine.yaml").write_text(run.recipe.replace(weights=weights).to_yaml())
    for _ in range(2):
        assert _is_trained(zoo.load(tmp_path / "mine.yaml"), run)
    assert len(server.requests) == 1
    (kept,) = (cache_folder() / "weights").iterdir()
    kept.write_bytes(content[:-1] + b"x")  # is seen, and repaired
    assert _is_trained(zoo.load(tmp_path / "mine.yaml"), run)
    assert len(server.requests) == 2


def test_shipped_weights_are_checked(monkeypatch, tmp_path):
    """The recipe's SHA-256 is that of another file."""
    recipe = recipes.load_recipe("digits_conv")
    (tmp_path / "mine.yaml").write_text(recipe.replace(weights={**recipe.weights, "sha256": "0" * 64}).to_yaml())
    with pytest.raises(WeightsError, match="The weights of 'digits_conv' that ship with the package .* altered"):
        zoo.load(tmp_path / "mine.yaml")


def test_damaged_pack_is_not_passed_over(run):
    path = publishing.publish_run(run)
    content = (path / "model.keras").read_bytes()
    (path / "model.keras").write_bytes(content[:-1] + b"x")
    for source in ("auto", path):
        with pytest.raises(WeightsError, match="model.keras was altered"):
            zoo.load("digits_conv", weights=source)


def test_pack_of_another_library_version_is_one_sentence(run):
    path = publishing.publish_run(run)
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(WeightsError, match="written by a newer keras_fvvae .format 99.; upgrade it"):
        zoo.load("digits_conv")


def test_code_in_a_pack_is_not_run(tmp_path):
    """Its hashes are right, its model has a Lambda layer."""
    trace = save_model_with_code(tmp_path / "model.keras")
    publishing.publish(recipes.load_recipe("digits_conv"), {"model.keras": tmp_path / "model.keras"})
    with pytest.raises(WeightsError, match="model.keras is damaged or of another version"):
        zoo.load("digits_conv")
    assert not trace.exists()


def test_run_without_labels(tmp_path):
    """Its model is an encoder without an SVM."""
    recipe = recipes.load_recipe("digits_conv", **SMALL, lambda3=0)
    backbone = build_recipe_backbone(recipe, None)
    encoder = build_encoder(recipe, backbone, build_fvvae(recipe, backbone, None))
    encoder.normalization.adapt(encoder.encode_raw(noise_images()))
    encoder.save(tmp_path / "model.keras")
    publishing.publish(recipe, {"model.keras": tmp_path / "model.keras"})
    _same(_vectors(zoo.load("digits_conv")), np.array(encoder.encode_raw(noise_images())))
    assert zoo.load("digits_conv", lambda3=5.0, num_classes=2).fvvae.num_classes == 2


def test_url_that_is_none():
    with pytest.raises(WeightsError, match="abfs and memory are, not ftp"):
        zoo.load("digits_conv", weights="ftp://a/zoo")
