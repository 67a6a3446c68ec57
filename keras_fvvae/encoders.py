"""Encoders from recipes and from files."""

import keras

from keras_fvvae.errors import WeightsError
from keras_fvvae.layers import FisherNormalization, FisherVectorHead
from keras_fvvae.models import Classifier, FisherEncoder


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


def load_encoder(path):
    """The encoder of a `model.keras` file, be it a classifier's or alone; no code in the file is executed.

    Raises:
        WeightsError: if the file is missing, damaged or something else.
    """
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # zipfile, h5py, json and Keras raise many kinds for one fact: the file is damaged
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"The model {path} is missing, damaged or of another version: {reason}") from error
    encoder = model.encoder if isinstance(model, Classifier) else model
    if not isinstance(encoder, FisherEncoder):
        raise WeightsError(f"{path} holds a {type(model).__name__}, not an encoder or classifier of keras_fvvae.")
    return encoder
