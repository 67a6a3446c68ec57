"""FV-VAE: encoding convolutional activations with a deep generative model, as a Keras model zoo.

Submodules are imported at first use, so that `import keras_fvvae` and the command line's help do not wait for
TensorFlow.

Reference:
    Qiu, Yao, Mei: "Deep Quantization: Encoding Convolutional Activations with Deep Generative Model", CVPR 2017.
"""

import importlib

__version__ = "0.1.0"

_SUBMODULES = (
    "average_precision",
    "backbones",
    "bootstrap",
    "building",
    "cards",
    "challenge",
    "clustering",
    "data",
    "distributed",
    "downloads",
    "encoders",
    "errors",
    "evaluation",
    "experiments",
    "explanations",
    "export",
    "features",
    "fully_convolutional",
    "fusion",
    "gaussian_mixture",
    "layers",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "packs",
    "publishing",
    "recipes",
    "release",
    "representations",
    "scores",
    "serving",
    "statistics",
    "svm",
    "tasks",
    "trajectories",
    "zoo",
)

__all__ = [*_SUBMODULES, "__version__"]


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f"keras_fvvae.{name}")
    raise AttributeError(f"module 'keras_fvvae' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
