"""What version 0.1 wrote opens: runs, packs, stores, models and layers, with the same numbers (`make.py` made them)."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_fvvae import layers  # noqa: F401  (registers them)
from keras_fvvae.features import FeatureStore
from keras_fvvae.tasks.scores.evaluate import evaluate
from keras_fvvae.tasks.scores.fuse import fuse

FILES = Path(__file__).with_name("files")
EXPECTED = json.loads((FILES / "expected.json").read_text())
LAYERS = json.loads((FILES / "layers.json").read_text())
# The digits in the order of the folders, and what is imported before them: nothing that registers a class.
PRELUDE = """
import json, sys
import numpy as np
from PIL import Image
from pathlib import Path
from keras_fvvae import zoo
files = sorted(Path("digits").rglob("*.png"))
pixels = np.stack([np.asarray(Image.open(file)) for file in files]).astype("float32")
answer = lambda values: print("ANSWER", json.dumps(np.asarray(values).tolist()))
"""


@pytest.fixture
def files(tmp_path):
    """A copy, since opening may write."""
    return shutil.copytree(FILES, tmp_path / "files")


def _fresh(code, folder):
    """What a process that has imported nothing else answers."""
    command = [sys.executable, "-c", PRELUDE + code]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return [
        json.loads(line.removeprefix("ANSWER ")) for line in result.stdout.splitlines() if line.startswith("ANSWER")
    ]


def _assert_close(actual, expected, tolerance=1e-3):
    """Another processor rounds otherwise, and the scores of few training items hang on it."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * max(np.abs(expected).max(), 1e-30))


def test_run_embedded_weights_and_pack(files):
    """In one process: what opens the classifier of a run, the first that is opened, opens the other files too."""
    code = """
classifier = zoo.load_classifier("run/model.keras")
answer(classifier.predict(pixels, verbose=0))
answer(zoo.load("digits_conv").fvvae.num_classes)
fvvae = zoo.load("run/recipe.yaml", weights="run")
answer([fvvae.fvvae.num_classes, fvvae.fvvae.latent_dim])
model = zoo.load("zoo/net/1/recipe.yaml", weights="zoo/net/1")
answer(type(model).__name__)
answer(zoo.load_classifier("zoo/net/1/model.keras").predict(pixels, verbose=0))
from keras_fvvae.tasks.predict import predict
rows = [dict(zip(row["labels"], row["scores"])) for row in predict("run", files)]
answer([[row[name] for name in classifier.class_names] for row in rows])
"""
    scores, embedded_classes, sizes, kind, pack_scores, predicted = _fresh(code, files)
    _assert_close(scores, EXPECTED["scores"])
    _assert_close(predicted, EXPECTED["scores"])
    _assert_close(pack_scores, EXPECTED["pack_scores"])
    assert embedded_classes == 10
    assert sizes == [3, 3]
    assert kind == "SoftmaxClassifier"


def test_fvvae_model(files):
    code = """
import keras
import keras_fvvae.models
outputs = keras.saving.load_model("fvvae.keras").predict(pixels, verbose=0)
for name in ("class_scores", "reconstruction_loss", "regularization_loss"):
    answer(outputs[name])
"""
    assert sorted(EXPECTED["fvvae"]) == ["class_scores", "reconstruction_loss", "regularization_loss"]
    for actual, name in zip(_fresh(code, files), sorted(EXPECTED["fvvae"]), strict=True):
        _assert_close(actual, EXPECTED["fvvae"][name], 1e-5)


def test_results_and_vectors_of_a_run(files):
    (result,) = evaluate([files / "run"], resamples=0)["results"]
    assert result["accuracy"]["value"] == EXPECTED["accuracy"]
    same = shutil.copytree(files / "run", files / "same")
    fused = fuse([files / "run", same], method="kernel", resamples=0)
    assert list(fused["streams"]) == [str(files / "run"), str(same)]
    assert fused["fusion"]["accuracy"] == EXPECTED["accuracy"]
    vectors = np.load(files / "run" / "vectors.npy")
    assert vectors.shape[0] == 24


@pytest.mark.parametrize(("name", "dtype", "items"), [("activations", "float16", 24), ("vectors", "float32", 6)])
def test_feature_store(files, name, dtype, items):
    (path,) = (path for path in (files / name).iterdir() if (path / "settings.json").is_file())
    settings = json.loads((path / "settings.json").read_text())
    assert settings.pop("dtype") == dtype
    store = FeatureStore(files / name, settings, dtype)
    assert store.path == path
    assert len(store) == items
    assert store.discard_damaged() == 0
    array = np.load(next(path.glob("*.npy")))
    assert sorted(tuple(store[key].ravel()) for key in store) == sorted(tuple(row.ravel()) for row in array)


@pytest.mark.parametrize("number", range(len(LAYERS)), ids=[config["class_name"] for config in LAYERS])
def test_layer(number):
    arrays = np.load(FILES / "layers.npz")

    def all_of(kind):
        count = sum(name.startswith(f"{number}/{kind}/") for name in arrays.files)
        return [arrays[f"{number}/{kind}/{i}"] for i in range(count)]

    layer = keras.saving.deserialize_keras_object(LAYERS[number])
    inputs, outputs = all_of("inputs"), all_of("outputs")
    inputs = inputs if len(inputs) > 1 else inputs[0]
    if not layer.built:
        layer(inputs)
    layer.set_weights(all_of("weights"))
    assert outputs
    for actual, expected in zip(keras.tree.flatten(layer(inputs)), outputs, strict=True):
        _assert_close(keras.ops.convert_to_numpy(actual), expected, 1e-5)


def test_every_layer_of_0_1_was_recorded():
    assert len({config["class_name"] for config in LAYERS}) == 22
