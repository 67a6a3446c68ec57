"""Trained weights as a model that can be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from keras_fvvae.backbones import set_trainable
from keras_fvvae.builders.trainable import build_recipe_backbone, build_softmax, compile_fvvae, compile_stage
from keras_fvvae.errors import WeightsError
from keras_fvvae.layers import DescriptorSampling, FVVAELayer
from keras_fvvae.models import FVVAE, Classifier, FisherEncoder, SoftmaxClassifier
from keras_fvvae.recipes import Recipe
from keras_fvvae.zoo.trained import Trained

Model = FVVAE | SoftmaxClassifier


def continued(trained: Trained, recipe: Recipe, wanted: dict[str, Any], backbone_weights: str | Path | None) -> Model:
    """The model of trained weights, compiled, changed in what the caller wants of its training.

    Args:
        trained: the weights; the recipe they were trained with rules, if known.
        recipe: of the entry, with what the caller wants.
        wanted: what that is: values for keys of the recipe, and `num_classes`.
        backbone_weights: as of `keras_fvvae.zoo.load`, where the trained weights have no backbone.

    Raises:
        WeightsError: where weights without a backbone are for maps of another shape.
        ValueError: if the number of classes is not known.
    """
    overrides = {key: value for key, value in wanted.items() if key != "num_classes"}
    recipe = recipe if trained.recipe is None else trained.recipe.replace(**overrides)
    backbone = trained.encoder.backbone
    if backbone is None:
        backbone = build_recipe_backbone(recipe, backbone_weights)
        _check_map(trained.encoder.descriptors, recipe, backbone)
    elif "trainable_from" in overrides:
        set_trainable(backbone, recipe.trainable_from)
    num_classes = wanted.get("num_classes", trained.num_classes)
    if trained.fvvae is None:
        require_classes(recipe, num_classes)
        encoder = trained.encoder
        if encoder.backbone is None:
            encoder = FisherEncoder(
                encoder.descriptors, encoder.head, encoder.normalization, backbone, encoder.compression
            )
            encoder.build((None, *backbone.input.shape[1:]))
        return compiled_softmax(recipe, encoder, num_classes)
    if num_classes is None and "lambda3" in overrides:
        num_classes = len(trained.model.class_names) if isinstance(trained.model, Classifier) else None
        require_classes(recipe, num_classes)
    changes = {key: overrides[key] for key in ("dropout", "stop_target_gradient", "seed") if key in overrides}
    fvvae = _changed(trained.fvvae, {**changes, "num_classes": num_classes if recipe.lambda3 else None})
    descriptors = trained.encoder.descriptors
    if "sampled_descriptors" in overrides:
        descriptors = _resampled(descriptors, recipe)
    model = FVVAE(descriptors, fvvae, backbone, recipe.loss_weights)
    model.build((None, *backbone.input.shape[1:]))
    return compile_fvvae(model, recipe)


def compiled_softmax(recipe: Recipe, encoder: FisherEncoder, num_classes: int) -> SoftmaxClassifier:
    """The `SoftmaxClassifier` of an encoder, compiled for the recipe's last stage: there all learns that may."""
    model = build_softmax(recipe, encoder, num_classes)
    compile_stage(model, recipe, recipe.softmax_stages[-1])
    return model


def require_classes(recipe: Recipe, num_classes: int | None) -> None:
    """Raises a `ValueError` where a recipe learns from labels and the number of classes is not known."""
    softmax = not recipe.of_fv_vae
    if num_classes is None and (recipe.lambda3 or softmax):
        raise ValueError(
            f"The entry {recipe.name!r} does not say how many classes your data has: pass `num_classes`"
            + ("." if softmax else ", or `lambda3=0` for FV-VAE minus, which learns without labels.")
        )


def _check_map(descriptors, recipe, backbone):
    """Raises where weights without a backbone are for maps of another shape."""
    expected, shape = descriptors.input_shape[1:], backbone.output.shape[1:]
    if expected != shape:
        raise WeightsError(
            f"The weights are for activation maps {expected}, but {recipe.backbone} at tap {recipe.tap} and input size "
            f"{recipe.input_size} gives {shape}. Choose what they were trained with."
        )


def _resampled(descriptors, recipe):
    """The same descriptors, of which another number is drawn while training."""
    layers = [layer for layer in descriptors.layers if not isinstance(layer, DescriptorSampling)]
    if recipe.sampled_descriptors is not None:
        layers.append(DescriptorSampling(recipe.sampled_descriptors, seed=recipe.seed))
    return keras.Sequential([keras.Input(descriptors.input_shape[1:]), *layers], name="descriptors")


def _changed(fvvae, changes):
    """The layer with other settings of its training and the same weights; new class scores start fresh."""
    config = fvvae.get_config()
    if all(config[key] == value for key, value in changes.items()):
        return fvvae
    changed = FVVAELayer.from_config({**config, **changes})
    changed.build((None, None, fvvae.decoder.units))
    for one, other in zip(fvvae.coder_layers, changed.coder_layers, strict=True):
        other.set_weights(one.get_weights())
    changed.x_log_variance.assign(fvvae.x_log_variance)
    changed.z_log_variance.assign(fvvae.z_log_variance)
    if changed.num_classes is not None and changed.num_classes == fvvae.num_classes:
        changed.classifier.set_weights(fvvae.classifier.get_weights())
    return changed
