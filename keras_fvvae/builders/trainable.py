"""Models that are trained, built and compiled from recipes."""

from __future__ import annotations

import os
from typing import Any

import keras

from keras_fvvae.backbones import BACKBONES, build_backbone, set_trainable
from keras_fvvae.backbones.several_taps import build_tapped_backbone
from keras_fvvae.builders.precision import computing_in, require_precision
from keras_fvvae.builders.representations import build_descriptors
from keras_fvvae.errors import RecipeError
from keras_fvvae.layers import FVVAELayer
from keras_fvvae.models import FVVAE, FisherEncoder, SoftmaxClassifier
from keras_fvvae.optimizers import OPTIMIZERS, RELEASE_MULTIPLIERS
from keras_fvvae.recipes import Recipe, SoftmaxStage

# x and y of ten pairs of frames (Simonyan and Zisserman, NIPS 2014); `keras_fvvae.data.Views` makes them.
STACK_CHANNELS = 20


def build_recipe_backbone(recipe: Recipe, backbone_weights: str | os.PathLike | None) -> keras.Model:
    """The backbone of a recipe with its trainable part set; `"imagenet"` is no weights where there are none.

    Of a recipe with branches it gives the map of each, see `keras_fvvae.backbones.several_taps`. It computes in the
    recipe's `precision`; `"auto"`, which `with_known_precision` decides before, means float32 here.
    """
    require_precision(recipe)
    info = BACKBONES.get(recipe.backbone)
    if backbone_weights == "imagenet" and info is not None and not info.has_imagenet_weights:
        backbone_weights = None
    options = (
        tuple(recipe.input_size),
        backbone_weights,
        recipe.backbone_options,
        STACK_CHANNELS if recipe.modality == "flow_stack" else 3,
    )
    with computing_in(recipe.precision):
        if recipe.branches:
            taps = [branch.tap for branch in recipe.branch_recipes.values()]
            backbone = build_tapped_backbone(recipe.backbone, taps, *options)
        else:
            backbone = build_backbone(recipe.backbone, recipe.tap, *options)
    set_trainable(backbone, recipe.trainable_from)
    return backbone


def build_fvvae(
    recipe: Recipe,
    backbone: keras.Model | None,
    num_classes: int | None,
    activations_shape: tuple[int, ...] | None = None,
) -> FVVAE:
    """The compiled FV-VAE of a recipe; with its `precision` bfloat16, products of training steps are.

    Args:
        recipe: a `Recipe`.
        backbone: from `build_recipe_backbone`; `None` to train on activation maps of `activations_shape`.
        num_classes: `None` for a model without a classification loss; not used with `lambda3 = 0`.
        activations_shape: `(H, W, C)` where there is no backbone.
    """
    shape = tuple(activations_shape or ()) if backbone is None else tuple(backbone.output.shape[1:])
    fvvae = FVVAELayer(
        latent_dim=recipe.latent_dim,
        hidden_units=recipe.hidden_units,
        hidden_activation=recipe.hidden_activation,
        dropout=recipe.dropout,
        stop_target_gradient=recipe.stop_target_gradient,
        num_classes=num_classes if recipe.lambda3 else None,
        seed=recipe.seed,
        decoder_units=recipe.decoder_units,
        attention=recipe.attention,
        product_dtype="bfloat16" if recipe.precision == "bfloat16" else None,
        name="fvvae",
    )
    model = FVVAE(build_descriptors(recipe, shape), fvvae, backbone, recipe.loss_weights, recipe.loss_reduction)
    model.build((None, *(shape if backbone is None else backbone.input.shape[1:])))
    return compile_fvvae(model, recipe)


def compile_fvvae(model: FVVAE, recipe: Recipe) -> FVVAE:
    """Compiles an `FVVAE` with the optimizer of a recipe, and returns it."""
    multipliers = recipe.learning_rate_multipliers
    multipliers = RELEASE_MULTIPLIERS if multipliers is None else multipliers
    optimizer = OPTIMIZERS[recipe.optimizer](recipe.learning_rate, learning_rate_multipliers=multipliers)
    model.compile(optimizer)
    return model


def build_softmax(
    recipe: Recipe, encoder: FisherEncoder, num_classes: int, activations_shape: tuple[int, ...] | None = None
) -> SoftmaxClassifier:
    """The `SoftmaxClassifier` of a recipe around an encoder, compiled for the first stage of its training.

    Args:
        recipe: a `Recipe`.
        encoder: a `FisherEncoder` of its representation.
        num_classes: of the data.
        activations_shape: `(H, W, C)` where the encoder has no backbone.
    """
    shape = tuple(activations_shape or ()) if encoder.backbone is None else encoder.backbone.input.shape[1:]
    model = SoftmaxClassifier(encoder, num_classes, recipe.dropout, recipe.seed, name="softmax")
    model.build((None, *shape) if recipe.views_per_step == 1 else (None, None, *shape))
    compile_stage(model, recipe, recipe.softmax_stages[0])
    return model


def compile_stage(model: SoftmaxClassifier, recipe: Recipe, stage: SoftmaxStage) -> None:
    """Makes trainable what a `SoftmaxStage` trains, and compiles the model with its optimizer."""
    encoder = model.encoder
    encoder.trainable = stage.train == "all"
    if encoder.trainable and encoder.backbone is not None:
        set_trainable(encoder.backbone, recipe.trainable_from)
    rate = stage.learning_rate
    if stage.decay_steps is not None:
        rate = keras.optimizers.schedules.ExponentialDecay(rate, stage.decay_steps, stage.decay, staircase=True)
    options: dict[str, Any] = {"weight_decay": stage.weight_decay or None, "global_clipnorm": stage.clip_norm}
    if stage.epsilon is not None:
        if stage.optimizer == "sgd":
            raise RecipeError("The key `epsilon` of a stage is for adam and adadelta; leave it out with sgd.")
        options["epsilon"] = stage.epsilon
    optimizer = OPTIMIZERS[stage.optimizer](rate, **options)
    if stage.weight_decay:
        of_head = {id(variable) for variable in encoder.head.variables}
        variables = model.trainable_variables
        kept = [v for v in variables if id(v) in of_head or not v.path.endswith("kernel")]
        optimizer.exclude_from_weight_decay(kept)
    model.compile(optimizer)
