"""The encoder's compiled functions, on whichever backend."""

import keras
import numpy as np
import pytest

from keras_fvvae.layers import FisherNormalization, FisherVectorHead, FVVAELayer, GramPCA, SpatialPyramidPooling
from keras_fvvae.models import FisherEncoder
from tests.support import forked
from tests.support.backends import on_tensorflow

to_numpy = keras.ops.convert_to_numpy


def _maps(*leading, seed=0):
    return np.random.default_rng(seed).normal(scale=2.0, size=(*leading, 4, 5, 3)).astype("float32")


def _encoder(compression=None):
    head = FisherVectorHead(FVVAELayer(latent_dim=2))
    return FisherEncoder(SpatialPyramidPooling((2, 1)), head, FisherNormalization(), compression=compression)


def _many_encoders():
    for _ in range(6):
        encoder = _encoder()
        encoder.build((None, 4, 5, 3))
        for count in (4, 3):
            encoder.predict_raw_on_batch(_maps(count))


@pytest.mark.once
@pytest.mark.skipif(not on_tensorflow(), reason="the warning is TensorFlow's")
def test_many_encoders_are_not_many_traces(tmp_path):
    """TensorFlow warns of a function that it traces again and again; twice in all, so this is a process of its own."""
    process = forked.start(_many_encoders, stem=tmp_path / "encoders")
    code, _, errors = forked.end(process, tmp_path / "encoders", 300)
    assert code == 0, errors[-2000:]
    assert "retracing" not in errors


def test_raw_vectors():
    encoder = _encoder()
    encoder.build((None, 4, 5, 3))
    for shape in ((4,), (3,), (2, 6), (5,), (3, 2)):  # images and videos in turn
        raw = encoder.predict_raw_on_batch(_maps(*shape))
        assert isinstance(raw, np.ndarray)
        np.testing.assert_allclose(raw, to_numpy(encoder.encode_raw(_maps(*shape))), rtol=1e-4, atol=1e-6)


def test_normalised_vectors():
    encoder = _encoder()
    encoder.build((None, 4, 5, 3))
    raw = encoder.predict_raw_on_batch(_maps(9))
    with pytest.raises(ValueError, match="call `adapt` on raw vectors first"):
        encoder.normalize_on_batch(raw)
    encoder.normalization.adapt(raw)
    vectors = encoder.normalize_on_batch(raw)
    assert isinstance(vectors, np.ndarray)
    assert vectors.shape == (9, 9)
    np.testing.assert_allclose(vectors, to_numpy(encoder(_maps(9))), rtol=1e-4, atol=1e-6)


def test_compressed_vectors():
    encoder = _encoder(GramPCA(2))
    encoder.build((None, 4, 5, 3))
    raw = encoder.predict_raw_on_batch(_maps(9))
    encoder.normalization.adapt(raw)
    assert encoder.normalize_on_batch(raw, compress=False).shape == (9, 9)
    with pytest.raises(ValueError, match="adapt"):
        encoder.normalize_on_batch(raw)
    encoder.compression.adapt(encoder.normalize_on_batch(raw, compress=False))
    vectors = encoder.normalize_on_batch(raw)
    assert vectors.shape == (9, 2)
    np.testing.assert_allclose(vectors, to_numpy(encoder(_maps(9))), rtol=1e-3, atol=1e-5)


def test_weights_that_change_are_seen():
    """They are not compiled in."""
    encoder = _encoder()
    encoder.build((None, 4, 5, 3))
    raw = encoder.predict_raw_on_batch(_maps(9))
    encoder.normalization.adapt(raw)
    vectors = encoder.normalize_on_batch(raw)
    encoder.head.fvvae.decoder.bias.assign(np.ones(3))
    changed = encoder.predict_raw_on_batch(_maps(9))
    assert not np.allclose(changed, raw)
    encoder.normalization.adapt(changed**2)
    assert not np.allclose(encoder.normalize_on_batch(raw), vectors, atol=1e-3)
