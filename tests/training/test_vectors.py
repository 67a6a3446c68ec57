"""A video's vector is the mean over its views, however they are put into batches."""

import numpy as np
import pytest

from keras_fvvae.builders.trainable import build_recipe_backbone
from keras_fvvae.data import Collection
from keras_fvvae.fitting.fisher_statistics import FisherStatistics
from keras_fvvae.layers import FisherNormalization, FisherVectorHead, FVVAELayer, SpatialPyramidPooling
from keras_fvvae.models import FisherEncoder
from keras_fvvae.training import vectors as encode
from keras_fvvae.training.inputs.activations import ActivationInputs
from keras_fvvae.training.inputs.pixels import PixelInputs
from keras_fvvae.training.vectors import encode_averages, encode_vectors, mean_raw_vectors

MAP = (5, 4, 6)


def build_encoder(backbone=None):
    layer = FVVAELayer(latent_dim=3, seed=1)
    pooling = SpatialPyramidPooling((2, 1))
    encoder = FisherEncoder(pooling, FisherVectorHead(layer), FisherNormalization("diagonal"), backbone)
    encoder.build((None, *(MAP if backbone is None else backbone.input.shape[1:])))
    return encoder


def maps(count, seed=0):
    """Activation maps whose sizes differ from view to view, so that a mean over others is another one."""
    generator = np.random.default_rng(seed)
    return (generator.random((count, *MAP)) * generator.uniform(0.1, 3, (count, 1, 1, 1))).astype("float32")


@pytest.mark.parametrize("counts", [[1, 1], [3], [2, 5, 1], [70, 3, 1, 64, 30], [130, 1], [63, 1, 1]], ids=str)
def test_mean_of_every_view_alone(counts):
    encoder, views = build_encoder(), maps(sum(counts))
    found = mean_raw_vectors(encoder, views, np.array(counts))
    alone = np.concatenate([encoder.predict_raw_on_batch(view[np.newaxis]) for view in views])
    expected = [part.mean(axis=0) for part in np.split(alone, np.cumsum(counts)[:-1])]
    assert found.shape == (len(counts), 6, 4)
    assert np.abs(expected).max() > 0.1
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_same_as_a_video_given_to_the_encoder():
    encoder, views = build_encoder(), maps(3 * 40)
    whole = encoder.encode_raw(views.reshape(3, 40, *MAP)).numpy()
    assert np.allclose(mean_raw_vectors(encoder, views, np.full(3, 40)), whole, rtol=1e-4, atol=1e-5)


def test_large_images_go_through_the_backbone_in_the_memory_it_has(videos, video_recipe, monkeypatch):
    monkeypatch.setattr(encode, "backbone_batch_size", lambda size: {(32, 32): 5}[tuple(size)])
    backbone = build_recipe_backbone(video_recipe, None)
    encoder, sizes = build_encoder(backbone), []
    original = encoder.predict_raw_on_batch
    encoder.predict_raw_on_batch = lambda views: sizes.append(len(views)) or original(views)
    views = np.random.default_rng(0).uniform(0, 255, (12, 32, 32, 3)).astype("float32")
    mean_raw_vectors(encoder, views, np.array([11, 1]))
    assert sizes == [5, 5, 2]
    inputs = PixelInputs(videos.subset([0, 1, 2]), video_recipe)
    original_predict, sizes[:] = backbone.predict_on_batch, []
    backbone.predict_on_batch = lambda views: sizes.append(len(views)) or original_predict(views)
    encode_averages(backbone, inputs)
    assert sizes == [5, 4]


@pytest.mark.parametrize("frozen", [True, False])
def test_averages(videos, video_recipe, tmp_path, frozen, monkeypatch):
    """Of videos of different lengths, in batches that end inside one."""
    recipe = video_recipe.replace(frame_step=2)
    lengths = [6, 1, 3]
    arrays = [np.random.default_rng(i).integers(0, 256, (n, 32, 32, 3), "uint8") for i, n in enumerate(lengths)]
    collection = Collection(arrays, ["a", "b", "c"], [0, 1, 0], ["train"] * 3, ["x", "y"], kind="video")
    backbone = build_recipe_backbone(recipe, None)
    monkeypatch.setattr(encode, "backbone_batch_size", lambda size: 2)
    inputs = ActivationInputs(collection, recipe, backbone, tmp_path) if frozen else PixelInputs(collection, recipe)
    inputs.prepare(verbose=0)
    found = encode_averages(None if frozen else backbone, inputs)
    for row, array in zip(found, arrays, strict=True):
        mean = backbone.predict_on_batch(array[::2].astype("float32")).astype("float64").mean(axis=(0, 1, 2))
        expected = np.sign(mean) * np.sqrt(np.abs(mean))
        assert np.allclose(row, expected / np.linalg.norm(expected), atol=2e-3 if frozen else 1e-5)


def test_vectors_of_a_collection(videos, video_recipe, tmp_path):
    """Written in order, normalised with the information of the first videos alone."""
    backbone = build_recipe_backbone(video_recipe, None)
    inputs = ActivationInputs(videos, video_recipe, backbone, tmp_path / "cache")
    assert inputs.prepare(verbose=0) == {}
    head = FisherVectorHead(FVVAELayer(latent_dim=2, seed=3))
    encoder = FisherEncoder(SpatialPyramidPooling((2, 1)), head, FisherNormalization("diagonal"))
    encoder.build((None, *inputs.shape))
    encode_vectors(encoder, inputs, 16, tmp_path / "vectors.npy", verbose=0)
    found = np.load(tmp_path / "vectors.npy")

    raw = np.concatenate([
        encoder.encode_raw(inputs.store[key][np.newaxis].astype("float32")) for key in inputs.keys
    ])  # fmt: skip
    normalization = FisherNormalization("diagonal")
    normalization.build(raw.shape)
    normalization.set_statistics(FisherStatistics().update(raw[:16]))
    assert found.shape == (24, 4, 3)
    assert np.allclose(found, np.array(normalization(raw)), atol=1e-4)
    normalization.set_statistics(FisherStatistics().update(raw))
    assert not np.allclose(found, np.array(normalization(raw)), atol=1e-4)
