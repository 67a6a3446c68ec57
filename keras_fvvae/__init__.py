"""FV-VAE: encoding convolutional activations with a deep generative model, as a Keras model zoo.

The parts in `__all__` are public; what they hold keeps its name within a major version. They are imported at first use,
so that `import keras_fvvae` and the command line's help do not wait for TensorFlow.

Reference:
    Qiu, Yao, Mei: "Deep Quantization: Encoding Convolutional Activations with Deep Generative Model", CVPR 2017.
"""

from keras_fvvae.utils.lazy import lazy_attributes

__version__ = "0.2.0.dev0"

_PUBLIC = (
    "backbones",
    "builders",
    "data",
    "errors",
    "evaluation",
    "explanations",
    "export",
    "features",
    "layers",
    "models",
    "ops",
    "optimizers",
    "recipes",
    "serving",
    "svm",
    "zoo",
)

__all__ = [*_PUBLIC, "__version__"]

__getattr__, _ = lazy_attributes("keras_fvvae", dict.fromkeys(_PUBLIC))


def __dir__():
    return sorted(__all__)
