import json
import shutil

import numpy as np
import pytest
import scipy.io

from keras_fvvae import zoo
from keras_fvvae.errors import WeightsError
from keras_fvvae.layers import FisherVectorHead
from keras_fvvae.zoo import packs
from keras_fvvae.zoo.release import import_release, load_release


def _release(shared, split):
    return shared / "weights" / "fv_vae_release" / f"caffe_vae_weights_ucf101_split{split}_vgg19.mat"


def _write(path, **replaced):
    """A file as the authors wrote them, for five channels and three latent variables."""
    rng = np.random.default_rng(0)
    weights = {
        "encoder": {"w": rng.normal(size=(5, 3)), "b": rng.normal(size=3)},
        "decoder": {"w": rng.normal(size=(5, 3)), "b": rng.normal(size=5)},
        "decoder_sigma": np.array([0.5, 1.0, 2.0, 3.0, 4.0]),
        **replaced,
    }
    scipy.io.savemat(path, {"caffe_vae_weights": weights})
    return weights


@pytest.mark.parametrize("split", [1, 2, 3])
def test_released_weights_load(shared, split):
    layer = load_release(_release(shared, split))
    assert (layer.latent_dim, layer.hidden_units, layer.decoder.units) == (256, (), 512)
    for weight in (*layer.encoder[-1].get_weights(), *layer.decoder.get_weights(), layer.x_log_variance.numpy()):
        assert np.isfinite(weight).all()
        assert np.ptp(weight) > 0
    outputs = layer(np.ones((1, 50, 512), "float32"))
    assert outputs["z_mean"].shape == (1, 50, 256)


def test_released_splits_differ(shared):
    kernels = [load_release(_release(shared, split)).decoder.kernel.numpy() for split in (1, 2, 3)]
    assert not np.allclose(kernels[0], kernels[1])
    assert not np.allclose(kernels[1], kernels[2])


def test_what_goes_where(tmp_path):
    weights = _write(tmp_path / "weights.mat")
    layer = load_release(tmp_path / "weights.mat")
    x = np.random.default_rng(1).normal(size=5)
    z = x @ weights["encoder"]["w"] + weights["encoder"]["b"]
    mean = np.maximum(weights["decoder"]["w"] @ z + weights["decoder"]["b"], 0)
    outputs = layer(x.reshape(1, 1, 5).astype("float32"))
    np.testing.assert_allclose(outputs["z_mean"][0, 0], z, rtol=1e-5)
    np.testing.assert_allclose(outputs["reconstruction"][0, 0], mean, rtol=1e-5)
    variance = weights["decoder_sigma"] ** 2
    loss = 0.5 * np.sum(np.log(2 * np.pi * variance) + (x - mean) ** 2 / variance)
    np.testing.assert_allclose(outputs["reconstruction_loss"][0], loss, rtol=1e-5)


@pytest.mark.parametrize("path", ["missing.mat", "."])
def test_no_file(tmp_path, path):
    with pytest.raises(WeightsError, match="is not a released FV-VAE weight file"):
        load_release(tmp_path / path)


@pytest.mark.parametrize("content", [b"", b"hello", b"hello" * 100], ids=["empty", "short", "text"])
def test_not_a_matlab_file(tmp_path, content):
    (tmp_path / "weights.mat").write_bytes(content)
    with pytest.raises(WeightsError, match="is not a released FV-VAE weight file"):
        load_release(tmp_path / "weights.mat")


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_truncated_file(tmp_path, shared, share):
    content = _release(shared, 1).read_bytes()
    (tmp_path / "weights.mat").write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match="is not a released FV-VAE weight file"):
        load_release(tmp_path / "weights.mat")


def test_damaged_file(tmp_path, shared):
    content = bytearray(_release(shared, 1).read_bytes())
    content[5000:5010] = bytes(10)
    (tmp_path / "weights.mat").write_bytes(bytes(content))
    with pytest.raises(WeightsError, match="is not a released FV-VAE weight file"):
        load_release(tmp_path / "weights.mat")


def test_another_matlab_file(tmp_path):
    scipy.io.savemat(tmp_path / "weights.mat", {"x": np.ones(3)})
    with pytest.raises(WeightsError, match="is not a released FV-VAE weight file"):
        load_release(tmp_path / "weights.mat")


@pytest.mark.parametrize(
    "replaced",
    [
        {"decoder": {"w": np.ones((6, 3)), "b": np.ones(6)}},
        {"encoder": {"w": np.ones((5, 4)), "b": np.ones(3)}},
        {"encoder": {"w": np.ones(5), "b": np.ones(3)}},
        {"decoder_sigma": np.ones(4)},
        {"decoder_sigma": np.array([1.0, 1.0, 0.0, 1.0, 1.0])},
        {"decoder_sigma": np.array([1.0, 1.0, -1.0, 1.0, 1.0])},
    ],
    ids=["decoder", "encoder", "vector", "short sigma", "zero sigma", "negative sigma"],
)
def test_weights_that_do_not_fit_together(tmp_path, replaced):
    _write(tmp_path / "weights.mat", **replaced)
    with pytest.raises(WeightsError):
        load_release(tmp_path / "weights.mat")


def test_imported_release_gives_the_authors_vectors(tmp_path, shared):
    """On their activation maps, within 1e-5 of the largest value; from folders with blanks in their names."""
    folder = tmp_path / "their checkout"
    folder.mkdir()
    shutil.copy(_release(shared, 1), folder)
    (pack,) = import_release([folder / _release(shared, 1).name], tmp_path / "my zoo")
    assert pack == tmp_path / "my zoo" / "ucf101_pool5" / "1"
    model = zoo.load("ucf101_pool5", weights=pack, backbone_weights=None)
    with np.load(shared / "golden" / "fv_vae_release_split1.npz") as golden:
        activations, expected = golden["activations"], golden["raw_fv"]
    vectors = np.array(FisherVectorHead(model.fvvae)(model.descriptors(activations)))[: len(expected)]
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5 * np.abs(expected).max())

    assert (model.fvvae.latent_dim, model.fvvae.hidden_units, model.fvvae.num_classes) == (256, (), None)
    assert model.backbone.output.shape == (None, 7, 7, 512)
    assert not model.backbone.trainable_variables
    images = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3)).astype("float32")
    assert np.isfinite(model.fit(images, verbose=0).history["loss"][0])


def test_imported_packs(tmp_path, shared):
    """One version for each split, of the entry that they are for; found by the split."""
    published = import_release([shared / "weights" / "fv_vae_release"])
    assert [path.name for path in published] == ["1", "2", "3"]
    for split, path in zip((1, 2, 3), published, strict=True):
        manifest = json.loads((path / "manifest.json").read_text())
        assert set(manifest["files"]) == {"fvvae.keras", "recipe.yaml"}
        recipe = packs.open_weights(path, "ucf101_pool5").recipe
        assert recipe.dataset_options == {"split": split}
        assert (recipe.latent_dim, recipe.hidden_units, recipe.normalization_scale) == (256, [], 158.0)
    model = zoo.load("ucf101_pool5", backbone_weights=None, dataset_options={"split": 2}, num_classes=101)
    expected = load_release(_release(shared, 2))
    np.testing.assert_array_equal(model.fvvae.decoder.kernel, expected.decoder.kernel)
    np.testing.assert_array_equal(model.fvvae.x_log_variance, expected.x_log_variance)
    assert model.fvvae.num_classes == 101  # its layer is fresh


def test_backbone_that_imported_weights_do_not_fit(tmp_path, shared):
    (pack,) = import_release([_release(shared, 1)], tmp_path)
    saved = tmp_path / "fvvae.keras"
    shutil.copy(pack / "fvvae.keras", saved)
    with pytest.raises(
        WeightsError, match=r"for activation maps \(7, 7, 512\), but VGG19 at tap conv5_4 .* \(14, 14, 512"
    ):
        zoo.load("ucf101_pool5", weights=saved, backbone_weights=None, tap="conv5_4")
    with pytest.raises(WeightsError, match="`tap` = pool5, not conv5_4"):
        zoo.load("ucf101_pool5", weights=pack, backbone_weights=None, tap="conv5_4")


def test_nothing_is_published_if_one_file_is_wrong(tmp_path, shared):
    _write(tmp_path / "small.mat")
    (tmp_path / "text.mat").write_text("hello")
    for name, message in (
        ("small.mat", "small.mat is for descriptors of 5 channels, not for the 512"),
        ("text.mat", "text.mat is not a released FV-VAE weight file"),
        ("absent.mat", "absent.mat is not a released FV-VAE weight file"),
        (".", "There are no released weights .* in "),
    ):
        with pytest.raises(WeightsError, match=message):
            import_release([_release(shared, 1), tmp_path / name], tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()


def test_file_that_does_not_tell_its_split(tmp_path, shared):
    shutil.copy(_release(shared, 1), tmp_path / "weights.mat")
    (pack,) = import_release([tmp_path / "weights.mat"], tmp_path / "zoo")
    assert packs.open_weights(pack, "ucf101_pool5").recipe.dataset_options == {}
