"""The commands' engine as estimators of scikit-learn: from a folder or a list of pictures to a served model.

    classifier = FVVAEClassifier().fit("photos")      one sub-folder per class
    classifier.predict(["a.jpg", "b.jpg"])
    classifier.export("served/photos")                for `keras-fvvae serve` and TensorFlow Serving

`FisherVectorTransformer` gives vectors to other estimators of a pipeline.
"""

from keras_fvvae.utils.lazy import lazy_attributes

_HOMES = {
    "FVVAEClassifier": "keras_fvvae.estimators.classifier",
    "FisherVectorTransformer": "keras_fvvae.estimators.transformer",
}

__all__ = ["FVVAEClassifier", "FisherVectorTransformer"]

__getattr__, __dir__ = lazy_attributes(__name__, _HOMES)
