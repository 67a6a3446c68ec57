"""Writes the files of this folder with version 0.1 (commit c2cdb38): what everybody has on disk who used it.

In a checkout of that commit, with its requirements and pytest installed: `python PATH/make.py`.
"""

import inspect
import json
import os
import shutil
import tempfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import pytest
from keras_fvvae.building import build_fvvae, build_recipe_backbone
from keras_fvvae.distributed.extraction import Extraction
from keras_fvvae.publishing import publish_run
from keras_fvvae.tasks.evaluate import evaluate
from keras_fvvae.tasks.fuse import fuse
from keras_fvvae.tasks.train import train
from PIL import Image

import keras_fvvae
from keras_fvvae.data import Collection, load_digits
from keras_fvvae.recipes import Recipe
from keras_fvvae.tasks.predict import predict
from tests import layer_harness

HERE = Path(__file__).parent
FILES = HERE / "files"
DIGITS = (0, 1, 7)
SMALL = {"backbone": "DigitsConvNet", "backbone_options": {"filters": 4}, "input_size": [8, 8], "batch_size": 8}
TINY = Recipe(name="tiny", descriptors="dense", latent_dim=3, steps=4, sampled_descriptors=20, **SMALL)
NET_VLAD = Recipe(name="net", representation="net_vlad", representation_options={"num_centroids": 2}, steps=2, **SMALL)


def main():
    assert keras_fvvae.__version__ == "0.1.0"
    shutil.rmtree(FILES, ignore_errors=True)
    FILES.mkdir()
    record_layers()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        expected = write_runs()
    (FILES / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def digits_in_memory():
    """Eight images of each of three digits, six to train on: the keys of arrays are the same on every machine."""
    digits = load_digits()
    sources, names, labels, splits = [], [], [], []
    for position, label in enumerate(DIGITS):
        for number, index in enumerate(np.flatnonzero(digits.labels == label)[:8]):
            sources.append(np.asarray(digits.read(index), "uint8"))
            names.append(f"{label}/{number}.png")
            labels.append(position)
            splits.append("test" if number > 5 else "train")
    return Collection(sources, names, labels, splits, [str(label) for label in DIGITS], kind="image")


def write_runs():
    """A run, its stores of activations and vectors, a pack, an FV-VAE; returns what 0.1 makes of them."""
    collection = digits_in_memory()
    images = []
    for index in collection.indices("test"):
        path = FILES / "digits" / collection.names[index]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(collection.sources[index]).save(path)
        images.append(path)
    run = train(TINY, collection, FILES / "run", None, cache=FILES / "activations", verbose=0)
    other = train(NET_VLAD, collection, "net", None, cache="cache", verbose=0)
    publish_run(other, FILES / "zoo")
    Extraction(str(run.path), FILES / "digits", FILES / "vectors").run()
    fvvae = build_fvvae(TINY, build_recipe_backbone(TINY, None), len(DIGITS))
    fvvae.save(FILES / "fvvae.keras")
    pixels = np.stack([collection.sources[index] for index in collection.indices("test")]).astype("float32")
    return {
        "scores": scores(run, images),
        "pack_scores": scores(other, images),
        "fvvae": {name: values.tolist() for name, values in fvvae.predict(pixels, verbose=0).items()},
        "accuracy": evaluate([run.path], resamples=0)["results"][0]["accuracy"]["value"],
        "fusion": fuse([run.path, other.path], method="kernel", resamples=0)["fusion"]["accuracy"],
    }


def scores(run, images):
    """For every image its classes' scores in the order of the classes."""
    classes = run.read_json("labels.json")["class_names"]
    rows = [dict(zip(row["labels"], row["scores"], strict=True)) for row in predict(run.path, images)]
    return [[row[name] for name in classes] for row in rows]


def record_layers():
    """The config, weights, inputs and outputs of every layer that goes through the harness."""
    configs, arrays = [], {}

    def record(build, inputs, **options):
        layer = build()
        inputs = [inputs[:2]]
        if hasattr(layer, "pooling") and isinstance(layer.pooling, keras.Layer):  # the tests' `OfOneMap`
            layer, inputs = layer.pooling, [inputs[0], inputs[0][..., 1:3]]
        outputs = keras.tree.flatten(layer(inputs if len(inputs) > 1 else inputs[0]))
        number = len(configs)
        configs.append(keras.saving.serialize_keras_object(layer))
        for kind, values in (("inputs", inputs), ("weights", layer.get_weights()), ("outputs", outputs)):
            arrays.update({f"{number}/{kind}/{i}": np.asarray(value) for i, value in enumerate(values)})

    layer_harness.check_layer = record
    checkout = Path(inspect.getfile(layer_harness)).parents[1]
    assert not pytest.main(
        ["-q", "-p", "no:cacheprovider", "-k", "harness", f"--rootdir={checkout}", str(checkout / "tests/layers")]
    )
    (FILES / "layers.json").write_text(json.dumps(configs))
    np.savez_compressed(FILES / "layers.npz", **arrays)


if __name__ == "__main__":
    main()
