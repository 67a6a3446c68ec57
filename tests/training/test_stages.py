"""Stages before the FV-VAE: fine-tuning of the backbone, and training that starts from another run."""

import numpy as np
import pytest

from keras_fvvae.builders.encoders import load_encoder
from keras_fvvae.data import load_folder
from keras_fvvae.errors import DataError, RecipeError, RunError, WeightsError
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.tasks.predict import predict
from keras_fvvae.training.inputs.pixels import PixelInputs
from keras_fvvae.training.train import train
from keras_fvvae.zoo import load_classifier
from tests.support.trained_runs import interrupted, stopped_before

# Of the last convolutions alone, so that the first is seen to stay.
TUNED = {"fine_tune_steps": 6, "fine_tune_from": "conv2"}


def _train(recipe, collection, out, **arguments):
    return train(recipe, collection, out, backbone_weights=None, cache=out.parent / "cache", verbose=0, **arguments)


def _kernels(run):
    """The kernels of the backbone's convolutions, by layer."""
    trunk = load_encoder(run.path / "model.keras").backbone.get_layer("trunk")
    return {layer.name: np.array(layer.kernel) for layer in trunk.layers if layer.name.startswith("conv")}


def _vectors(run):
    return np.load(run.path / "vectors.npy")


@pytest.fixture
def unlabelled(digits):
    return load_folder(digits, unlabelled=True)


@pytest.fixture
def first(shared_runs, recipe, unlabelled):
    """A finished run without labels, of a seed of its own, to be read only."""
    return shared_runs.of(recipe.replace(lambda3=0.0, seed=5), unlabelled)


def test_fine_tuning_changes_what_it_should(finished):
    plain, tuned = finished(), finished(**TUNED)
    before, after = _kernels(plain), _kernels(tuned)
    assert np.array_equal(before["conv1"], after["conv1"])
    assert not np.array_equal(before["conv2"], after["conv2"])
    history = tuned.read_json("fine_tuning.json")
    assert len(history["loss"]) == len(history["accuracy"]) == 6
    assert "fine-tuned for 6 steps" in tuned.results.protocol
    assert not (tuned.path / "fine_tuning").exists()
    assert np.abs(_vectors(plain) - _vectors(tuned)).max() > 1e-3


def test_fine_tuning_learns(recipe, digits, tmp_path):
    tuned = recipe.replace(fine_tune_steps=60, fine_tune_learning_rate=0.05, backbone_options={"filters": 16})
    with stopped_before("collect_inputs"):
        _train(tuned, load_folder(digits), tmp_path / "run")
    losses = RunFolder(tmp_path / "run").read_json("fine_tuning.json")["loss"]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])


def test_interrupted_fine_tuning_continues_with_the_same_result(recipe, digits, finished, tmp_path):
    recipe, whole = recipe.replace(**TUNED), finished(**TUNED)
    with interrupted(PixelInputs, 3):
        _train(recipe, load_folder(digits), tmp_path / "broken")
    assert len(list((tmp_path / "broken" / "fine_tuning").glob("*.h5"))) == 1
    continued = _train(recipe, load_folder(digits), tmp_path / "broken")
    assert continued.read_json("fine_tuning.json") == whole.read_json("fine_tuning.json")
    assert np.array_equal(_vectors(continued), _vectors(whole))


def test_unknown_layer(recipe, digits, tmp_path):
    with pytest.raises(RecipeError, match="conv9"):
        _train(recipe.replace(fine_tune_steps=1, fine_tune_from="conv9"), load_folder(digits), tmp_path / "run")


def test_without_labels_and_then_with_them(recipe, digits, unlabelled, first, finished, tmp_path):
    with pytest.raises(DataError, match="lambda3=0"):
        _train(recipe, unlabelled, tmp_path / "refused")
    assert "24 training images without labels" in first.results.protocol
    assert len(_vectors(first)) == 24
    with pytest.raises(WeightsError, match="not a keras_fvvae Classifier"):
        list(predict(first.path, unlabelled.sources))

    # One step of a learning rate that changes nothing: what the second training starts from is what the first made.
    still = recipe.replace(steps=1, learning_rate=1e-12)
    second = _train(still, load_folder(digits), tmp_path / "second", init=first.path)
    start, end = (load_encoder(run.path / "model.keras") for run in (first, second))
    for one, other in zip(start.backbone.weights, end.backbone.weights, strict=True):
        assert np.array_equal(one, other)
    for name in ("decoder", "encoder"):
        one, other = (getattr(encoder.head.fvvae, name) for encoder in (start, end))
        pairs = (
            zip(one.weights, other.weights, strict=True) if name == "decoder" else [(one[0].kernel, other[0].kernel)]
        )
        assert all(np.allclose(a, b, atol=1e-6) for a, b in pairs)
    assert load_classifier(second.path / "model.keras").class_names == ["0", "1", "7"]
    assert "FV-VAE" in second.results.metrics

    # Which is not what the seed of the second draws.
    heads = [load_encoder(run.path / "model.keras").head for run in (first, finished())]
    decoders = [np.array(head.fvvae.decoder.kernel) for head in heads]
    assert not np.allclose(*decoders, atol=1e-3)

    # Another start is another training.
    with pytest.raises(RunError, match="other backbone weights"):
        _train(still, load_folder(digits), second.path)


def test_start_of_another_architecture(recipe, digits, finished, tmp_path):
    init = finished().path
    for change, what in (({"latent_dim": 4}, "FV-VAE"), ({"backbone_options": {"filters": 4}}, "backbone")):
        with pytest.raises(WeightsError, match=f"The {what} of .*{init.name} has another architecture"):
            _train(recipe.replace(**change), load_folder(digits), tmp_path / f"other{what}", init=init)
