"""The authors' weights by name, from a server that has their files, whole and broken."""

import hashlib
import shutil

import numpy as np
import pytest

from keras_fvvae import zoo
from keras_fvvae.errors import WeightsError
from keras_fvvae.layers import FisherVectorHead
from keras_fvvae.recipes.cards import card
from keras_fvvae.recipes.released import BASE_URL, RELEASED
from keras_fvvae.zoo.release import load_release
from keras_fvvae.zoo.released_weights import RELEASE_VARIABLE, released_file
from keras_fvvae.zoo.remote.errors import MissingError, NetworkError


@pytest.fixture
def authors(shared, server, monkeypatch):
    """A server with the authors' files."""
    for file in RELEASED.values():
        shutil.copy(shared / "weights" / "fv_vae_release" / file.name, server.folder)
    monkeypatch.setenv(RELEASE_VARIABLE, f"{server.url}/")
    return server


def test_the_address_is_that_of_a_commit():
    assert BASE_URL.startswith("https://raw.githubusercontent.com/fv-vae/fv-vae/49d9a9cf")


def test_released_weights_by_name(authors, shared):
    """The split that is named, else that of the data, else the first; downloaded once, with the authors' vectors."""
    with np.load(shared / "golden" / "fv_vae_release_split1.npz") as golden:
        activations, expected = golden["activations"], golden["raw_fv"]
    model = zoo.load("ucf101_pool5", weights="release", backbone_weights=None)
    vectors = np.array(FisherVectorHead(model.fvvae)(model.descriptors(activations)))[: len(expected)]
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    for split, weights, options in ((2, "release:2", {}), (3, "release", {"dataset_options": {"split": 3}})):
        kernel = load_release(authors.folder / RELEASED[split].name).decoder.kernel
        model = zoo.load("ucf101_pool5", weights=weights, backbone_weights=None, **options)
        np.testing.assert_array_equal(model.fvvae.decoder.kernel, kernel)
    before = len(authors.requests)
    assert before == 3
    zoo.load("ucf101_pool5", weights="release:2", backbone_weights=None)
    assert len(authors.requests) == before


def test_encoder_of_released_weights(authors):
    """Without statistics of anything: normalised by singular values at once, else after `adapt`."""
    frames = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3)).astype("float32")
    spectral = zoo.load_encoder(
        "ucf101_pool5", weights="release:2", backbone_weights=None, vector_normalization="spectral"
    )
    kernel = load_release(authors.folder / RELEASED[2].name).decoder.kernel
    np.testing.assert_array_equal(spectral.head.fvvae.decoder.kernel, kernel)
    assert spectral.reader.kind == "video"
    raw = spectral.predict_raw_on_batch(frames)
    vectors = spectral.normalize_on_batch(raw)
    assert vectors.shape == (1, 512 * 257)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-4)
    usual = zoo.load_encoder("ucf101_pool5", weights="release:2", backbone_weights=None)
    with pytest.raises(ValueError, match="adapt"):
        usual.normalize_on_batch(raw)
    usual.normalization.adapt(raw)
    np.testing.assert_allclose(np.linalg.norm(usual.normalize_on_batch(raw)), 1, rtol=1e-4)


def test_wrong_files_on_the_server(authors):
    file = authors.folder / RELEASED[1].name
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"!")
    with pytest.raises(WeightsError, match="is not the file that was published"):
        released_file(1)
    file.write_bytes(content + b"!")
    with pytest.raises(WeightsError, match="bytes on the server"):
        released_file(1)
    file.unlink()
    with pytest.raises(MissingError, match="does not exist"):
        released_file(1)
    file.write_bytes(content)
    authors.breaks = [300_000, 0]
    with pytest.raises(NetworkError, match="broke off .* try again"):
        released_file(1)
    assert hashlib.sha256(released_file(1).read_bytes()).hexdigest() == RELEASED[1].sha256
    assert authors.requests[-1][2] == "bytes=300000-"  # where it broke off


def test_files_in_a_folder(authors, monkeypatch):
    monkeypatch.setenv(RELEASE_VARIABLE, str(authors.folder))
    assert released_file(3) == authors.folder / RELEASED[3].name
    (authors.folder / RELEASED[3].name).write_bytes(b"")
    with pytest.raises(WeightsError, match="0 bytes instead of 979375"):
        released_file(3)


@pytest.mark.parametrize(
    ("name", "weights", "options", "message"),
    [
        ("ucf101_res5c", "release", {}, "weights of 'ucf101_pool5', none of 'ucf101_res5c'"),
        ("ucf101_pool5", "release:4", {}, "for the splits 1, 2, 3 of UCF101. Received: split 4"),
        ("ucf101_pool5", "release:", {}, "named 'release' or 'release:SPLIT'"),
        (
            "ucf101_pool5",
            "release:2",
            {"dataset_options": {"split": 1}},
            "are of split 2, and `dataset_options` ask for split 1",
        ),
        ("ucf101_pool5", "release:2", {"latent_dim": 255}, "have `latent_dim` = 256, not 255"),
    ],
)
def test_released_weights_that_there_are_not(authors, name, weights, options, message):
    for load in (zoo.load, zoo.load_encoder):
        with pytest.raises(WeightsError, match=message):
            load(name, weights=weights, backbone_weights=None, **options)


def test_the_card_tells_whose_figures_they_are():
    text = " ".join(card("ucf101_pool5").split())
    for part in ("83.55, 83.77, 84.57 percent", "these figures are theirs", "states no licence", "KERAS_FVVAE_RELEASE"):
        assert part in text
