"""Encoders and classifiers, built from recipes and loaded from files."""

from __future__ import annotations

from pathlib import Path

import keras

from keras_fvvae.backbones import hub
from keras_fvvae.backbones.weights import require_finite
from keras_fvvae.builders.representations import build_descriptors, build_head, build_normalization
from keras_fvvae.errors import RecipeError, WeightsError, first_line
from keras_fvvae.layers import GramPCA
from keras_fvvae.models import FVVAE, Classifier, Encoder, FisherEncoder, SoftmaxClassifier
from keras_fvvae.recipes import Recipe
from keras_fvvae.recipes.registry import REPRESENTATIONS
from keras_fvvae.utils.saved_files import require_known_classes


def build_encoder(
    recipe: Recipe,
    backbone: keras.Model | None,
    fvvae: FVVAE | None = None,
    activations_shape: tuple[int, ...] | None = None,
) -> FisherEncoder:
    """The (not yet adapted) encoder of a recipe's representation.

    Args:
        recipe: a `Recipe`.
        backbone: model from pixels to activation maps; `None` to encode maps of `activations_shape`.
        fvvae: the trained `FVVAE` whose layers it shares, for the representations that are made with one.
        activations_shape: `(H, W, C)` where there is no backbone.

    Raises:
        RecipeError: for a representation that the recipe's map or options do not suit.
    """
    shape = tuple(activations_shape or ()) if backbone is None else tuple(backbone.output.shape[1:])
    descriptors = build_descriptors(recipe, shape) if fvvae is None else fvvae.descriptors
    head = build_head(recipe, None if fvvae is None else fvvae.fvvae)
    compression = None
    if recipe.pca_components is not None:
        compression = GramPCA(recipe.pca_components, normalization="l2", name="compression")
    normalization = build_normalization(recipe, head, shape)
    encoder = FisherEncoder(descriptors, head, normalization, backbone, compression)
    try:
        encoder.build((None, *(shape if backbone is None else backbone.input.shape[1:])))
    except ValueError as error:
        raise RecipeError(f"`representation` {recipe.representation!r} on maps {shape}: {error}") from error
    return encoder


def build_classifier(encoder: Encoder, class_names: list[str]) -> Classifier:
    """The (not yet fitted) classifier on a built encoder."""
    classifier = Classifier(encoder, class_names)
    classifier.build((None, *encoder.backbone.input.shape[1:]))
    return classifier


def load_model(
    path: str | Path, kinds: tuple[type[keras.Model], ...] = (Classifier, Encoder, FVVAE, SoftmaxClassifier)
) -> keras.Model:
    """Loads a saved model of this library; no code in the file is executed.

    Args:
        path: a `.keras` file.
        kinds: classes that are accepted.

    Raises:
        WeightsError: if the file is missing, damaged or something else, or a weight is NaN or infinite.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"There is no model at {path}.")
    for representation in REPRESENTATIONS.values():
        _ = representation.layer_class  # Keras knows the classes of what is imported
    require_known_classes(path)
    try:
        model = keras.models.load_model(path, hub.custom_objects(), compile=False, safe_mode=True)
    except Exception as error:  # zipfile, h5py, json and Keras raise many kinds for one fact: the file is damaged
        raise WeightsError(f"The model {path} is damaged or of another version: {first_line(error)}") from error
    if not isinstance(model, kinds):
        names = ", ".join(kind.__name__ for kind in kinds[:-1]) + " or " * (len(kinds) > 1) + kinds[-1].__name__
        raise WeightsError(f"{path} holds a {type(model).__name__}, not a keras_fvvae {names}.")
    require_finite(model, f"The weights {path}")
    return model


def load_encoder(path: str | Path) -> Encoder:
    """The encoder of a `model.keras` file, be it a classifier's or alone.

    Raises:
        WeightsError: as `load_model`.
    """
    model = load_model(path, (Classifier, Encoder))
    return model.encoder if isinstance(model, Classifier) else model
