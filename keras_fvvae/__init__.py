"""FV-VAE: encoding convolutional activations with a deep generative model, as a Keras model zoo.

What `__all__` names is public: the parts of the package, whose contents keep their names within a major version, and
the estimators and `load`, which is `zoo.load`, at hand. All are imported at first use, so that `import keras_fvvae` and
the command line's help do not wait for TensorFlow.

Reference:
    Qiu, Yao, Mei: "Deep Quantization: Encoding Convolutional Activations with Deep Generative Model", CVPR 2017.
"""

from keras_fvvae.utils.lazy import lazy_attributes

__version__ = "0.2.0"

_PARTS = (
    "backbones",
    "builders",
    "data",
    "errors",
    "estimators",
    "evaluation",
    "explanations",
    "export",
    "features",
    "layers",
    "models",
    "ops",
    "optimizers",
    "recipes",
    "search",
    "serving",
    "svm",
    "zoo",
)

_HOMES = {
    **dict.fromkeys(_PARTS),
    "FVVAEClassifier": "keras_fvvae.estimators",
    "FisherVectorTransformer": "keras_fvvae.estimators",
    "load": "keras_fvvae.zoo",
}

__all__ = [*_HOMES, "__version__"]

__getattr__, _ = lazy_attributes("keras_fvvae", _HOMES)


def __dir__():
    return sorted(__all__)
