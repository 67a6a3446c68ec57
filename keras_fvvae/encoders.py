"""Encoders and classifiers, built from recipes and loaded from files."""

from pathlib import Path

import keras

from keras_fvvae.errors import WeightsError
from keras_fvvae.layers import FisherNormalization, FisherVectorHead
from keras_fvvae.models import FVVAE, Classifier, FisherEncoder


def build_encoder(recipe, fvvae, backbone):
    """The (not yet adapted) encoder around a trained `FVVAE`; shares its layers and takes the backbone given."""
    encoder = FisherEncoder(
        fvvae.descriptors,
        FisherVectorHead(fvvae.fvvae, name="head"),
        FisherNormalization(recipe.information, recipe.damping, name="normalization"),
        backbone,
    )
    encoder.build((None, *backbone.input.shape[1:]))
    return encoder


def build_classifier(encoder, class_names):
    """The (not yet fitted) classifier on a built encoder."""
    classifier = Classifier(encoder, class_names)
    classifier.build((None, *encoder.backbone.input.shape[1:]))
    return classifier


def load_model(path, kinds=(Classifier, FisherEncoder, FVVAE)):
    """Loads a saved model of this library; no code in the file is executed.

    Args:
        path: a `.keras` file.
        kinds: classes that are accepted.

    Raises:
        WeightsError: if the file is missing, damaged or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"There is no model at {path}.")
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # zipfile, h5py, json and Keras raise many kinds for one fact: the file is damaged
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"The model {path} is damaged or of another version: {reason}") from error
    if not isinstance(model, kinds):
        names = ", ".join(kind.__name__ for kind in kinds[:-1]) + " or " * (len(kinds) > 1) + kinds[-1].__name__
        raise WeightsError(f"{path} holds a {type(model).__name__}, not a keras_fvvae {names}.")
    return model


def load_encoder(path):
    """The encoder of a `model.keras` file, be it a classifier's or alone.

    Raises:
        WeightsError: as `load_model`.
    """
    model = load_model(path, (Classifier, FisherEncoder))
    return model.encoder if isinstance(model, Classifier) else model
