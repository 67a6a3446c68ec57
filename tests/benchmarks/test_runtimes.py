"""Programs that compare runtimes: the bare graph is the network's, and items are what Keras and runtimes both take."""

import argparse

import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae import zoo
from keras_fvvae.benchmarks.long import formats, runtimes
from keras_fvvae.data import Collection, Views, load_digits
from keras_fvvae.errors import RunError
from keras_fvvae.export.portable import PixelModel


def test_the_bare_graph_averages_the_activations():
    classifier = zoo.load_classifier("digits_conv")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype("uint8")
    model = PixelModel(runtimes.BareBackbone(classifier), Views((8, 8)), "image", any_size=False)
    outputs = model(tf.constant(pixels))
    wanted = np.mean(classifier.encoder.backbone(pixels.astype("float32")), axis=(1, 2))
    assert outputs.keys() == {"scores", "vector"}
    np.testing.assert_allclose(outputs["vector"], wanted, rtol=1e-5, atol=1e-5)


def test_both_graphs_are_timed_in_every_round(monkeypatch):
    monkeypatch.setattr(runtimes, "TURNS", 2)
    timings = runtimes.measure("digits_conv", ["savedmodel"], [1, 2], rounds=2)
    assert list(timings) == [("savedmodel", 1), ("savedmodel", 2)]
    turns = {batch: {len(one.seconds) for one in pair.values()} for (_, batch), pair in timings.items()}
    assert turns == {1: {4}, 2: {2}}
    row = runtimes._row("savedmodel", 2, timings["savedmodel", 2])
    assert row.startswith("| SavedModel | 2 | ")
    with pytest.raises(RunError, match="moving_digits_rgb is not of single crops of images"):
        runtimes.measure("moving_digits_rgb", ["savedmodel"], [1], rounds=1)


def test_items_of_embedded_data():
    arguments = argparse.Namespace(data=None, dataset="auto", split="test", limit=None)
    cases, scores = formats.read_examples("digits_conv", arguments)
    assert scores.shape == (len(load_digits().indices("test")), 10)
    assert scores.shape[0] == sum(len(case["pixels"]) for case in cases.values())
    arguments.limit = 20
    some, few = formats.read_examples("digits_conv", arguments)
    assert [len(case["pixels"]) for case in some.values()] == [16, 4]
    np.testing.assert_allclose(few[0], scores[0], atol=1e-5)
    np.testing.assert_allclose(few[-1], scores[-1], atol=1e-5)


def test_short_videos_are_padded():
    videos = [np.full((count, 8, 8, 3), 10 * count, "uint8") for count in (2, 4)]
    items = Collection(videos, ["a", "b"], [0, 1], ["train", "test"], ["x", "y"], kind="video")
    case = formats.inputs(items, np.array([0, 1]), Views((8, 8), frames=3))
    assert case["num_frames"].tolist() == [2, 3]
    assert case["pixels"].shape == (2, 3, 8, 8, 3)
    assert not case["pixels"][0, 2].any()
    assert (case["pixels"][0, :2] == 20).all()
