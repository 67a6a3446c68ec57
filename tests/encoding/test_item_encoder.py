"""An item's vector: what the encoder gives, and the same whatever is encoded beside it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from keras_fvvae.builders.encoders import load_encoder
from keras_fvvae.data.datasets.folder import load_folder
from keras_fvvae.data.views import read_resized
from keras_fvvae.encoding.item_encoder import ItemEncoder, open_encoding
from keras_fvvae.encoding.items import Item, list_items
from keras_fvvae.errors import RunError, WeightsError
from keras_fvvae.models import FisherEncoder
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.utils.files import sha256
from keras_fvvae.zoo.publishing import publish_run
from tests.encoding.conftest import write_run


def _encode(encoding, items, size=None):
    encoder = ItemEncoder(encoding)
    size = size or encoding.chunk_items
    chunks = [items[start : start + size] for start in range(0, len(items), size)]
    return {result.key: result for chunk in chunks for result in encoder.results(encoder.submit(chunk))}


@pytest.mark.parametrize("kind", ["image", "video"])
def test_vectors_are_the_encoders(run, images, videos, kind):
    collection = load_folder(images if kind == "image" else videos, unlabelled=True)
    items = list_items(collection)
    encoding = open_encoding(run, kind)
    results = _encode(encoding, items)
    encoder = load_encoder(run / "model.keras")
    failed = [result for result in results.values() if result.vector is None]
    assert len(failed) == 1
    assert "broken" in failed[0].key
    assert failed[0].reason
    for index, item in enumerate(items):
        if "broken" not in item.name:
            (pixels,) = read_resized(collection, index, [encoding.views])
            views = encoding.views.crop(pixels)
            expected = encoder(views if kind == "image" else views[np.newaxis])
            # Another batch size: the network rounds otherwise, and the square root magnifies it.
            np.testing.assert_allclose(results[item.key].vector, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["image", "video"])
def test_what_is_encoded_beside_it_changes_nothing(run, images, videos, kind):
    items = list_items(load_folder(images if kind == "image" else videos, unlabelled=True))
    encoding = open_encoding(run, kind, raw=True)
    together, alone = _encode(encoding, items), _encode(encoding, items[::-1], size=1)
    assert together.keys() == alone.keys()
    for key, result in together.items():
        assert result.reason == alone[key].reason
        if result.vector is not None:
            np.testing.assert_array_equal(result.vector, alone[key].vector)


def test_raw_vectors_become_the_normalised_ones(run, videos):
    items = [item for item in list_items(load_folder(videos, unlabelled=True)) if "broken" not in item.name]
    raw, final = (_encode(open_encoding(run, "video", raw=raw), items) for raw in (True, False))
    encoder = load_encoder(run / "model.keras")
    for item in items:
        assert raw[item.key].vector.shape == (1, 4, 4)
        np.testing.assert_allclose(encoder.normalize(raw[item.key].vector), final[item.key].vector, atol=1e-6)


def test_compression_and_float16(tmp_path, images):
    run = write_run(tmp_path / "run", pca_components=5)
    items = list_items(load_folder(images, unlabelled=True))[:4]
    full = _encode(open_encoding(run, "image"), items)
    half = _encode(open_encoding(run, "image", dtype="float16"), items)
    vectors = [result.vector for result in half.values() if result.vector is not None]
    assert {(vector.shape, vector.dtype.name) for vector in vectors} == {((1, 5), "float16")}
    for key, result in half.items():
        if result.vector is not None:
            np.testing.assert_allclose(result.vector, full[key].vector, atol=1e-3)


def test_what_float16_cannot_hold_fails(run, images):
    items = list_items(load_folder(images, unlabelled=True))[1:2]
    encoder = ItemEncoder(open_encoding(run, "image", raw=True, dtype="float16"))
    for layer in encoder.encoder.head.fvvae.coder_layers:
        layer.set_weights([weight * 1e5 for weight in layer.get_weights()])
    (result,) = encoder.results(encoder.submit(items))
    assert result.vector is None
    assert result.reason == "its vector holds NaN, or values beyond float16"


def test_damage_is_noted(run, tmp_path):
    from tests.support.video_files import broken_videos

    broken_videos(tmp_path)
    item = Item("truncated.avi:1", "truncated.avi", str(tmp_path / "truncated.avi"))
    (result,) = _encode(open_encoding(run, "video"), [item]).values()
    assert result.vector is not None
    assert result.note


def test_an_unexpected_error_is_one_items(run):
    """What is no file at all, such as a text where pixels should be, raises what nobody foresaw."""
    encoder = ItemEncoder(open_encoding(run, "image"))
    (result,) = encoder.results(encoder.submit([Item("a:1", "a", 3.5)]))
    assert result.vector is None
    assert result.reason.startswith("TypeError: ")


def test_packs(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KERAS_FVVAE_ZOO", raising=False)
    with pytest.raises(WeightsError, match="Unknown zoo entry 'tiny'"):
        open_encoding("tiny", "image")
    published = Path(publish_run(RunFolder.open(run), tmp_path / "zoo"))
    expected = open_encoding(run, "image").settings
    for source in (published, published.parent):
        assert open_encoding(source, "image").settings == expected
    monkeypatch.setenv("KERAS_FVVAE_ZOO", str(tmp_path / "zoo"))
    assert open_encoding("tiny", "image").settings == expected


def test_refused(run, tmp_path):
    with pytest.raises(ValueError, match="`dtype` must be one of"):
        open_encoding(run, "image", dtype="int8")
    with pytest.raises(RunError, match="is not a run"):
        open_encoding(tmp_path, "image")
    with pytest.raises(WeightsError, match="is a model alone"):
        open_encoding(run / "model.keras", "image")
    encoding = open_encoding(run, "image")
    with pytest.raises(WeightsError, match="is not the model that the encoding began with"):
        ItemEncoder(dataclasses.replace(encoding, digest="0" * 64))
    assert open_encoding(write_run(tmp_path / "other", seed=1), "image").settings != encoding.settings
    encoder = load_encoder(run / "model.keras")
    maps = FisherEncoder(encoder.descriptors, encoder.head, encoder.normalization)
    maps.build((None, *encoder.backbone.output.shape[1:]))
    maps.save(tmp_path / "maps.keras")
    model = str(tmp_path / "maps.keras")
    with pytest.raises(WeightsError, match="has no backbone"):
        ItemEncoder(dataclasses.replace(encoding, model=model, digest=sha256(model)))
