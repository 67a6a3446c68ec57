"""What tests of packs read and change of their files."""

import json

import pytest

from keras_fvvae.zoo import packs

ENTRY = "digits_conv"


def content_of(pack):
    return pack.model.read_text()


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache folder for each test, and no mirror; where it is imported."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(packs.MIRROR_VARIABLE, raising=False)


def save_model_with_code(path):
    """A model with a Lambda layer, whose Python code Keras would run to rebuild it; returns the file that it writes."""
    import keras

    trace = path.with_name("trace")
    written = str(trace)
    inputs = keras.Input((3,))
    layer = keras.layers.Lambda(lambda x: (open(written, "w").close(), x)[1])
    keras.Model(inputs, layer(inputs)).save(path)
    trace.unlink()
    return trace
