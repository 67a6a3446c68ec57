"""The model zoo: recipes become Keras models."""

import warnings
from importlib import resources
from pathlib import Path

import keras

from keras_fvvae import recipes
from keras_fvvae.backbones import BACKBONES, build_backbone, set_trainable
from keras_fvvae.errors import WeightsError
from keras_fvvae.files import sha256
from keras_fvvae.layers import (
    DescriptorNormalization,
    DescriptorSampling,
    FisherNormalization,
    FisherVectorHead,
    FVVAELayer,
    SpatialPyramidPooling,
)
from keras_fvvae.models import FVVAE, Classifier, FisherEncoder
from keras_fvvae.optimizers import OPTIMIZERS, RELEASE_MULTIPLIERS

# x and y of ten pairs of frames (Simonyan and Zisserman, NIPS 2014); `keras_fvvae.data.Views` makes them.
STACK_CHANNELS = 20


def list_entries(pattern="*"):
    """Names of the zoo's entries that match a shell pattern.

    Example:
        >>> list_entries("digits*")
        ['digits_conv']
    """
    from fnmatch import fnmatch

    return [name for name in recipes.list_recipes() if fnmatch(name, pattern)]


def load(name, weights="auto", backbone_weights="imagenet", num_classes=None, **overrides):
    """Builds and compiles the FV-VAE of a zoo entry, ready for `model.fit` on tf.data.

    Args:
        name: an entry of `list_entries()`, or the path of a recipe in YAML.
        weights: `"auto"`: the trained weights that ship with the entry, else fresh FV-VAE layers with a warning;
            `None`: fresh layers, no warning; a path: a `model.keras` written by training.
        backbone_weights: `"imagenet"` (downloaded by Keras Applications), a path, or `None` for random weights. Not
            used where trained weights are loaded: they hold the backbone's.
        num_classes: classes of the data. Default: those of the trained weights, else of the entry's data set.
        **overrides: values for any key of the recipe.

    Returns:
        A compiled `keras_fvvae.models.FVVAE`: inputs are RGB images 0 to 255 of the recipe's `input_size`, labels
        integers, -1 for unlabelled.

    Raises:
        RecipeError: for an unknown entry, key or value.
        WeightsError: for weights that are missing, damaged, of another architecture, or cannot be downloaded.
        ValueError: if the number of classes is not known.

    Example:
        >>> model = load("digits_conv", weights=None)
        >>> model.fvvae.latent_dim, model.fvvae.num_classes
        (31, 10)
    """
    recipe = recipes.load_recipe(name, **overrides)
    if weights == "auto":
        weights = _embedded_weights(recipe) if recipe.weights and not overrides else None
        if weights is None:
            warnings.warn(
                f"There are no trained weights for {recipe.name!r} as asked for: its FV-VAE layers start fresh. Train "
                f"them with model.fit, or with `keras-fvvae train {recipe.name}`.",
                stacklevel=2,
            )
    if weights is not None:
        classifier = load_classifier(weights)
        encoder = classifier.encoder
        _check_contradictions(encoder.head.fvvae, {"num_classes": num_classes, **overrides})
        return _compiled(FVVAE(encoder.descriptors, encoder.head.fvvae, encoder.backbone, recipe.loss_weights), recipe)
    if num_classes is None and recipe.dataset == "digits":
        num_classes = 10
    backbone = build_recipe_backbone(recipe, backbone_weights)
    if num_classes is None and recipe.lambda3:
        raise ValueError(
            f"The entry {recipe.name!r} does not say how many classes your data has: pass `num_classes`, or "
            f"`lambda3=0` for FV-VAE minus, which learns without labels."
        )
    return build_fvvae(recipe, backbone, num_classes)


def _check_contradictions(fvvae, wanted):
    """Raises where the caller asked for another architecture than the weights have."""
    for key in ("num_classes", "latent_dim", "hidden_units"):
        value = wanted.get(key)
        have = getattr(fvvae, key)
        if value is not None and value != (list(have) if isinstance(have, tuple) else have):
            raise WeightsError(
                f"The weights have `{key}` = {have}, not {value} as asked for. Leave it out, or pass `weights=None` "
                f"and train anew."
            )


def load_classifier(path):
    """Loads a saved `Classifier`; no code in the file is executed.

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
    if not isinstance(model, Classifier):
        raise WeightsError(f"{path} holds a {type(model).__name__}, not a keras_fvvae Classifier.")
    return model


def build_recipe_backbone(recipe, backbone_weights):
    """The backbone of a recipe with its trainable part set; `"imagenet"` is for Keras Applications' models only."""
    if backbone_weights == "imagenet" and recipe.backbone in BACKBONES and BACKBONES[recipe.backbone].build:
        backbone_weights = None
    backbone = build_backbone(
        recipe.backbone,
        recipe.tap,
        tuple(recipe.input_size),
        backbone_weights,
        recipe.backbone_options,
        STACK_CHANNELS if recipe.modality == "flow_stack" else 3,
    )
    set_trainable(backbone, recipe.trainable_from)
    return backbone


def build_fvvae(recipe, backbone, num_classes, activations_shape=None):
    """The compiled FV-VAE of a recipe.

    Args:
        recipe: a `Recipe`.
        backbone: from `build_recipe_backbone`; `None` to train on activation maps of `activations_shape`.
        num_classes: `None` for a model without a classification loss; not used with `lambda3 = 0`.
        activations_shape: `(H, W, C)` where there is no backbone.
    """
    shape = activations_shape if backbone is None else backbone.output.shape[1:]
    fvvae = FVVAELayer(
        latent_dim=recipe.latent_dim,
        hidden_units=recipe.hidden_units,
        hidden_activation=recipe.hidden_activation,
        dropout=recipe.dropout,
        stop_target_gradient=recipe.stop_target_gradient,
        num_classes=num_classes if recipe.lambda3 else None,
        seed=recipe.seed,
        name="fvvae",
    )
    model = FVVAE(_descriptors(recipe, shape), fvvae, backbone, recipe.loss_weights)
    model.build((None, *(shape if backbone is None else backbone.input.shape[1:])))
    return _compiled(model, recipe)


def build_classifier(recipe, fvvae, backbone, class_names):
    """The (not yet fitted) classifier around a trained FV-VAE; shares its layers and takes the backbone given."""
    normalization = FisherNormalization(recipe.information, recipe.damping, name="normalization")
    encoder = FisherEncoder(fvvae.descriptors, FisherVectorHead(fvvae.fvvae, name="head"), normalization, backbone)
    classifier = Classifier(encoder, class_names)
    classifier.build((None, *backbone.input.shape[1:]))
    return classifier


def _descriptors(recipe, shape):
    layers = [keras.Input(shape), DescriptorNormalization(recipe.normalization, recipe.normalization_scale)]
    if recipe.descriptors == "spp":
        layers.append(SpatialPyramidPooling(tuple(recipe.spp_levels), recipe.spp_pooling))
    else:
        layers.append(keras.layers.Reshape((-1, shape[-1])))
    if recipe.sampled_descriptors is not None:
        layers.append(DescriptorSampling(recipe.sampled_descriptors, seed=recipe.seed))
    return keras.Sequential(layers, name="descriptors")


def _compiled(model, recipe):
    multipliers = recipe.learning_rate_multipliers
    multipliers = RELEASE_MULTIPLIERS if multipliers is None else multipliers
    optimizer = OPTIMIZERS[recipe.optimizer](recipe.learning_rate, learning_rate_multipliers=multipliers)
    model.compile(optimizer)
    return model


def _embedded_weights(recipe):
    path = Path(str(resources.files(recipes.ENTRIES) / "weights" / recipe.weights["file"]))
    if not path.is_file() or sha256(path) != recipe.weights["sha256"]:
        raise WeightsError(
            f"The weights of {recipe.name!r} that ship with the package ({path}) are missing or altered; reinstall "
            f"keras_fvvae."
        )
    return path
