"""The FV-VAE weights that the paper's authors released, as an `FVVAELayer` and as packs of the zoo."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np

from keras_fvvae.builders.trainable import build_fvvae
from keras_fvvae.errors import WeightsError
from keras_fvvae.layers import FVVAELayer
from keras_fvvae.models import FVVAE
from keras_fvvae.recipes import Recipe, load_recipe
from keras_fvvae.recipes.released import ENTRY, LICENCE
from keras_fvvae.zoo import publishing
from keras_fvvae.zoo.manifests import FVVAE_ONLY

FILES = "caffe_vae_weights_*.mat"
# Of VGG19's pool5 at 224x224, which the release was trained on; its norm there, sqrt(7 * 7 * 512), rounded down.
RELEASE_MAP = (7, 7, 512)
RELEASE_SCALE = 158.0


def load_release(path: str | Path) -> FVVAELayer:
    """Reads a released MATLAB file (`caffe_vae_weights_*.mat`).

    The released auto-encoders have a single linear encoder layer (512 -> 256) and a ReLU decoder (256 -> 512); they
    expect descriptors from `DescriptorNormalization("map", scale=158.0)` and `SpatialPyramidPooling()` on VGG19's
    `pool5`. They come without `sigma_z` and class scores, which encoding does not need.

    Args:
        path: the `.mat` file (MATLAB 5 format; data only, nothing in it is executed).

    Returns:
        A built `keras_fvvae.layers.FVVAELayer`.

    Raises:
        WeightsError: if the file cannot be read or does not hold these weights.
    """
    import scipy.io
    from scipy.io.matlab import MatReadError

    try:
        weights = scipy.io.loadmat(path, squeeze_me=True, struct_as_record=False)["caffe_vae_weights"]
        arrays = (weights.encoder.w, weights.encoder.b, weights.decoder.w.T, weights.decoder.b, weights.decoder_sigma)
        encoder_kernel, encoder_bias, decoder_kernel, decoder_bias, sigma = (np.asarray(a, "float64") for a in arrays)
        if not (np.isfinite(sigma).all() and (sigma > 0).all()):
            raise ValueError("sigma must be positive")
        channels, latent_dim = encoder_kernel.shape
        layer = FVVAELayer(latent_dim=latent_dim, hidden_units=())
        layer.build((None, None, channels))
        layer.encoder[-1].set_weights([encoder_kernel, encoder_bias])
        layer.decoder.set_weights([decoder_kernel, decoder_bias])
        layer.x_log_variance.assign(2.0 * np.log(sigma))
    except (OSError, ValueError, KeyError, AttributeError, TypeError, NotImplementedError, MatReadError) as error:
        raise WeightsError(f"{path} is not a released FV-VAE weight file ({error}).") from error
    return layer


def import_release(paths: list[str | Path], to: str | Path | None = None) -> list[str | Path]:
    """Publishes released MATLAB files as versions of the zoo's entry `ucf101_pool5`.

    The release has no backbone, statistics, SVM and class scores: such a pack holds `fvvae.keras`, an `FVVAE` on
    activation maps, and its recipe, with the split of UCF101 from the file's name. `keras_fvvae.zoo.load` puts it on
    VGG19:

        zoo.load("ucf101_pool5", weights=PACK, backbone_weights="imagenet" | None | PATH)
        zoo.load("ucf101_pool5", dataset_options={"split": 2})      where it was published locally

    Args:
        paths: the `.mat` files, or folders in which they are looked for, such as a checkout of the authors' code.
        to: a folder or an http(s) URL, the root of a zoo. Default: the local one.

    Returns:
        List of the paths or URLs of the versions, in the order of the files.

    Raises:
        WeightsError: if a file does not hold these weights (then none is published), or `to` cannot be written.
    """
    files = [file for path in paths for file in _release_files(Path(path))]
    models = [release_model(file) for file in files]
    published = []
    with tempfile.TemporaryDirectory(prefix="keras_fvvae-") as folder:
        for model, recipe in models:
            saved = Path(folder, FVVAE_ONLY)
            model.save(saved)
            published.append(publishing.publish(recipe, {FVVAE_ONLY: saved}, to))
    return published


def _release_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.rglob(FILES))
    if not files:
        raise WeightsError(f"There are no released weights ({FILES}) in {path}. Pass the files themselves.")
    return files


def release_model(path: Path) -> tuple[FVVAE, Recipe]:
    """The `FVVAE` on activation maps of a released file, and its recipe."""
    layer = load_release(path)
    if layer.decoder.units != RELEASE_MAP[-1]:
        raise WeightsError(
            f"{path} is for descriptors of {layer.decoder.units} channels, not for the {RELEASE_MAP[-1]} of VGG19's "
            f"pool5. Use `keras_fvvae.zoo.release.load_release` for it."
        )
    split = re.search(r"split(\d+)", path.name)
    recipe = load_recipe(
        ENTRY,
        dataset_options={"split": int(split[1])} if split else {},
        latent_dim=layer.latent_dim,
        hidden_units=[],
        normalization_scale=RELEASE_SCALE,
        weights={},
        measured=[],
        licence=LICENCE,
    )
    model = build_fvvae(recipe, None, None, RELEASE_MAP)
    model.fvvae.set_weights(layer.get_weights())
    return model, recipe
