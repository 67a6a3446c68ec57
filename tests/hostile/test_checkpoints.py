"""Checkpoints, of trainings and of SVMs, and saved models that were altered: never taken for whole."""

import io
import json
import shutil
import zipfile

import keras
import numpy as np
import pytest

from keras_fvvae.builders.encoders import load_model
from keras_fvvae.errors import WeightsError
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training.checkpoints import TrainingCheckpoints
from keras_fvvae.utils.checkpoints import Checkpoint
from tests.support.hostile import check_sentence

SUMS = {"sums": np.arange(12.0).reshape(3, 4), "count": np.int64(3)}


def replaced(change):
    return lambda path: path.write_bytes(change(path.read_bytes()))


def rewritten(**arrays):
    """The same archive with other arrays."""

    def apply(path):
        with np.load(path, allow_pickle=True) as content:
            whole = {**dict(content), **arrays}
        buffer = io.BytesIO()
        np.savez(buffer, **{name: array for name, array in whole.items() if array is not None})
        path.write_bytes(buffer.getvalue())

    return apply


SOLVERS = {
    "a bit of a value": replaced(lambda c: c.replace(SUMS["sums"].tobytes(), (SUMS["sums"] * 2).tobytes())),
    "half": replaced(lambda c: c[: len(c) // 2]),
    "nothing": replaced(lambda c: b""),
    "text": replaced(lambda c: b"text"),
    "an empty archive": replaced(lambda c: b"PK\x05\x06" + b"\0" * 18),
    "another value": rewritten(sums=SUMS["sums"] + 1),
    "another shape": rewritten(sums=SUMS["sums"].T),
    "another dtype": rewritten(sums=SUMS["sums"].astype("float32")),
    "an array less": rewritten(count=None),
    "an array more": rewritten(further=np.zeros(2)),
    "objects": rewritten(sums=np.array([{}])),
}


def test_an_untouched_one_of_a_solver(tmp_path):
    checkpoint = Checkpoint(tmp_path, "sums", "key")
    checkpoint.save(**SUMS)
    assert {name: array.tolist() for name, array in checkpoint.load().items()} == {
        name: array.tolist() for name, array in SUMS.items()
    }
    assert Checkpoint(tmp_path, "sums", "another key").load() == {}


@pytest.mark.parametrize("name", SOLVERS)
def test_solvers(tmp_path, name):
    checkpoint = Checkpoint(tmp_path, "sums", "key")
    checkpoint.save(**SUMS)
    SOLVERS[name](checkpoint.path)
    with pytest.warns(UserWarning, match=r"The checkpoint .* is damaged; its part is computed anew\.$"):
        assert checkpoint.load() == {}


class Trained:
    """Stands where several processes would write their weights back."""

    def write_back(self):
        """There is one process."""


def opened(folder):
    """A new model and its checkpoints in a run's folder."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile("sgd", "mse", run_eagerly=True)
    return model, TrainingCheckpoints(model, Trained(), RunFolder(folder), "checkpoints", enabled=True, seconds=0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run's folder with checkpoints after the first and the second step."""
    folder = tmp_path_factory.mktemp("run")
    model, checkpoints = opened(folder)
    history = {"loss": []}
    for _ in range(2):
        history["loss"].append(float(model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))))
        checkpoints.save(history)
    return folder


@pytest.fixture
def training(trained, tmp_path):
    """A copy of it."""
    return shutil.copytree(trained, tmp_path / "run")


def listed(change):
    def apply(path):
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return apply


WEIGHTS = {
    "a bit of the weights": replaced(lambda c: c[:-100] + bytes([c[-100] ^ 4]) + c[-99:]),
    "half of the weights": replaced(lambda c: c[: len(c) // 2]),
    "no weights": replaced(lambda c: b""),
    "text for weights": replaced(lambda c: b"these are no weights"),
    "zeros for weights": replaced(lambda c: b"\0" * len(c)),
}
HISTORIES = {
    "another loss": listed(lambda c: c["history"]["loss"].__setitem__(0, 0.0)),
    "a loss more": listed(lambda c: c["history"]["loss"].append(0.0)),
    "a loss less": listed(lambda c: c["history"]["loss"].pop()),
    "no history": listed(lambda c: c.pop("history")),
    "a history that is a list": listed(lambda c: c.update(history=[1, 2])),
    "another digest": listed(lambda c: c.update(sha256="0" * 64)),
    "a digest that is none": listed(lambda c: c.update(sha256=None)),
    "nothing in the listing": replaced(lambda c: b""),
    "half of the listing": replaced(lambda c: c[: len(c) // 2]),
    "a list for the listing": replaced(lambda c: b"[]"),
    "NaN for a loss": replaced(lambda c: c.replace(b"[", b"[NaN, ", 1)),
    "a listing that is gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("name", [*WEIGHTS, *HISTORIES])
def test_trainings(training, name):
    """The one before is taken, with one warning."""
    folder = training / "checkpoints"
    file = "step-00000002.weights.h5" if name in WEIGHTS else "step-00000002.json"
    {**WEIGHTS, **HISTORIES}[name](folder / file)
    model, checkpoints = opened(training)
    with pytest.warns(UserWarning, match="checkpoint .*step-00000002.weights.h5 is damaged; .* goes on from step 1"):
        history = checkpoints.restore()
    assert len(history["loss"]) == 1
    assert int(model.optimizer.iterations) == 1
    assert not (folder / "step-00000002.weights.h5").exists()


def test_an_untouched_training(training):
    model, checkpoints = opened(training)
    assert len(checkpoints.restore()["loss"]) == 2
    assert int(model.optimizer.iterations) == 2


def archive(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as content:
        for name, text in files.items():
            content.writestr(name.replace("_", "."), text)
    return buffer.getvalue()


def configured(**config):
    return archive(config_json=json.dumps(config), metadata_json="{}", model_weights_h5=b"")


def layer(**description):
    return configured(module="keras", class_name="Sequential", config={"layers": [description]}, registered_name=None)


MODELS = {
    "nothing": (b"", "is damaged or of another version: File is not a zip file"),
    "text": (b"this is no model", "is damaged or of another version: File is not a zip file"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "is damaged or of another version"),
    "a pickle": (b"\x80\x04}\x94.", "is damaged or of another version: File is not a zip file"),
    "an empty archive": (archive(), "it has no config.json"),
    "no configuration": (archive(other="{}"), "it has no config.json"),
    "a configuration that is no JSON": (archive(config_json="{"), "config.json: Expecting property name"),
    "100,000 brackets": (archive(config_json="[" * 100_000), "config.json: "),
    "300 models in each other": (
        archive(config_json='{"config":' * 300 + "1" + "}" * 300),
        "nested more than 100 deep",
    ),
    "65 MB of blanks": (archive(config_json=" " * (65 << 20)), "its config.json has too many bytes"),
    "a list": (archive(config_json="[]"), "is damaged or of another version"),
    "a Lambda": (
        layer(module="keras.layers", class_name="Lambda", config={}),
        "it names Lambda, which runs code of the file",
    ),
    "a function of Python": (
        layer(module="keras.layers", class_name="Dense", config={"units": {"class_name": "__lambda__", "config": {}}}),
        "it names __lambda__, which runs code of the file",
    ),
    "a SavedModel": (
        layer(module="keras.layers", class_name="TFSMLayer", config={"filepath": "/tmp/x"}),
        "it names TFSMLayer, which runs code of the file",
    ),
    "a command": (layer(module="os", class_name="system", config={"command": "true"}), "it names system of os"),
    "a command as a function": (
        layer(module="os", class_name="function", config="system", registered_name="system"),
        "it names system of os",
    ),
    "a class by a registered name": (
        layer(module="subprocess", class_name="Popen", config={}, registered_name="x>Popen"),
        "names Popen of subprocess",
    ),
    "a function of Keras that is no layer": (
        layer(module="keras.utils", class_name="get_file", config={"origin": "http://127.0.0.1:1/"}),
        "is damaged or of anot",
    ),
    "a layer that is none": (
        layer(module="keras.layers", class_name="Dens", config={}),
        "is damaged or of another version",
    ),
    "another model": (configured(module="keras", class_name="Sequential", config={"layers": []}), "Sequential|damaged"),
}


@pytest.mark.parametrize("name", MODELS)
def test_models(tmp_path, name):
    """Nothing of it is run: no connection is made, no command starts, no layer is built."""
    content, message = MODELS[name]
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        load_model(path)
    check_sentence(str(caught.value), f"model.keras.*{message}")
