"""The FV-VAE weights that the paper's authors released, as an `FVVAELayer`."""

import numpy as np
import scipy.io
from scipy.io.matlab import MatReadError

from keras_fvvae.errors import WeightsError
from keras_fvvae.layers import FVVAELayer


def load_release(path):
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
