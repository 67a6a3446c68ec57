"""The weights of a backbone: from a file, from Keras Applications, or carried over to other channels."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from keras_fvvae.errors import WeightsError


def require_finite(model: keras.Model, what: str) -> None:
    """Refuses weights that hold NaN or infinite values: a ReLU can turn these into zeros, and nothing would show.

    Args:
        model: with weights from a file.
        what: how the weights are called in the message, such as `"The weights a.h5"`.

    Raises:
        WeightsError: naming the first of them.
    """
    for variable in model.weights:
        # Counters and seeds are integers.
        if keras.backend.is_float_dtype(variable.dtype) and not bool(ops.all(ops.isfinite(variable))):
            raise WeightsError(
                f"{what} hold NaN or infinite values, first in {variable.path}: a training diverged, or the file is "
                f"damaged; take another."
            )


@contextlib.contextmanager
def quiet_about_containers() -> Iterator[None]:
    """Within it Keras 3.15 does not warn that a file lacks a private copy of a network's list of layers.

    Files of older versions and presets do; the weights themselves are all found under `layers`, or the load fails.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Skipping nested container at '_operations_by_depth")
        yield


def load_weights(trunk: keras.Model, name: str, path: str | os.PathLike) -> None:
    """Gives a trunk the weights of a file.

    Raises:
        WeightsError: if the file is damaged or of another network, or a weight is NaN or infinite.
    """
    try:
        with quiet_about_containers():
            trunk.load_weights(path)
    except Exception as error:  # h5py and Keras raise many kinds for one fact: this file does not fit
        reason = str(error).splitlines()[0].split(" Example error")[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"The weights {path} do not fit {name} (without its top, but for fc6 and fc7), or are damaged: "
            f"{reason.rstrip('.')}. Check the backbone, its options (such as alpha) and the file."
        ) from error
    require_finite(trunk, f"The weights {path}")


def with_imagenet_weights(build: Callable[..., keras.Model], name: str, arguments: dict[str, Any]) -> keras.Model:
    """A network with its ImageNet weights: Keras Applications downloads them, other functions have them installed.

    Raises:
        WeightsError: if they cannot be downloaded, or are not installed.
    """
    try:
        return build(weights="imagenet", **arguments)
    except WeightsError:  # of a function of this library, which says more
        raise
    except Exception as error:  # keras.utils.get_file raises a bare Exception for any failed download
        raise WeightsError(
            f"The ImageNet weights of {name} could not be downloaded ({str(error).splitlines()[0]}). Pass the path of "
            f"a weight file for include_top=False as `backbone_weights` (--backbone-weights PATH), or None for random "
            f"weights."
        ) from error


def across_modalities(rgb: keras.Model, other: keras.Model) -> keras.Model:
    """Gives a model for another number of channels the weights of one for RGB, and returns it."""
    channels = other.input_shape[-1]
    for source, target in zip(rgb.weights, other.weights, strict=True):
        value = keras.ops.convert_to_numpy(source)
        if value.shape != target.shape:  # a kernel (height, width, channels, filters), or a statistic (channels,)
            axis = 2 if value.ndim == 4 else 0
            value = value.mean(axis=axis, keepdims=True).repeat(channels, axis=axis)
        target.assign(value)
    return other
