"""Every representation of an image's descriptors as a table: its layer, and what normalises its raw vectors."""

import dataclasses
import inspect
from collections.abc import Callable

from keras_fvvae import layers
from keras_fvvae.builders.descriptors import DESCRIPTORS, MAP, PAIR, DescriptorPlan
from keras_fvvae.errors import RecipeError, unknown_name

FVVAE_TRAINING = "fvvae"
SOFTMAX_TRAINING = "softmax"


@dataclasses.dataclass(frozen=True)
class Representation:
    """What must be known of a representation.

    Attributes:
        title: its name in tables.
        layer: class of its layer; the recipe's `representation_options` are arguments of it.
        options: the paper's settings of these, and those that make the layer's output a raw vector.
        steps: of `VectorNormalization`; `None` where `FisherNormalization` follows.
        blocks: function of the layer and the map's shape: how many equal parts of a vector are normalised each.
        takes: `"descriptors"`, a `"map"`, or a `"pair"` of maps that a tap such as `conv5_3+conv5_4` joins.
        training: `"fvvae"` (Eq. 8), `"softmax"`, or `None` where nothing but the classifier is trained.
    """

    title: str
    layer: Callable
    options: dict = dataclasses.field(default_factory=dict)
    steps: tuple | None = ("square_root", "l2")
    blocks: Callable = lambda layer, shape: 1
    takes: str = DESCRIPTORS
    training: str | None = None


# Arguments of the layers that are not a recipe's to choose.
_DECIDED = ("fvvae", "kwargs", "normalize", "normalization", "decoder_layers")
_RESIDUALS = ("blocks", "l2")
_GUIDED = ("blocks", "square_root", "l2")
_UNNORMALISED = {"normalize": False}


def _centroids(layer, shape):
    return layer.num_centroids


REPRESENTATIONS = {
    "fv_vae": Representation("FV-VAE", layers.FisherVectorHead, steps=None, training=FVVAE_TRAINING),
    "fv_vae_maclaurin": Representation(
        "FV-VAE, random Maclaurin", layers.FisherMaclaurin, {"dimension": 8192, "information": "separable"},
        training=FVVAE_TRAINING,
    ),
    "ave": Representation("AVE", layers.AveragePooling),
    "global_activations": Representation("GA", layers.GlobalActivations, takes=MAP),
    "concatenation": Representation("Concatenation", layers.Concatenation, takes=MAP),
    "vlad": Representation("VLAD", layers.VLAD, steps=("square_root", "blocks", "l2"), blocks=_centroids),
    "gmm_fisher_vector": Representation("FV (GMM)", layers.GMMFisherVector),
    "bilinear": Representation("BP", layers.BilinearPooling),
    "random_maclaurin": Representation("BP, random Maclaurin", layers.RandomMaclaurin, {"dimension": 8192}),
    "tensor_sketch": Representation("BP, tensor sketch", layers.TensorSketch, {"dimension": 8192}),
    "net_vlad": Representation(
        "NetVLAD", layers.NetVLAD, _UNNORMALISED, _RESIDUALS, _centroids, training=SOFTMAX_TRAINING
    ),
    # The sum over frames comes before any normalisation, in the encoder as in the `ActionVLAD` layer, so a frame's part
    # of it is a NetVLAD sum.
    "action_vlad": Representation(
        "ActionVLAD", layers.NetVLAD, {**_UNNORMALISED, "alpha": 1000.0}, _RESIDUALS, _centroids,
        training=SOFTMAX_TRAINING,
    ),
    "cross_layer": Representation(
        "Cross-layer pooling", layers.CrossLayerPooling, _UNNORMALISED, _GUIDED, lambda layer, shape: shape[-1] // 2,
        takes=PAIR,
    ),
    "cross_layer_learnt": Representation(
        "Cross-layer pooling, learnt guidance", layers.LearntGuidancePooling, _UNNORMALISED, _GUIDED,
        lambda layer, shape: layer.guidance_channels, training=SOFTMAX_TRAINING,
    ),
}  # fmt: skip


def representation_title(recipe):
    """The name of a recipe's representation in tables.

    Example:
        >>> from keras_fvvae.recipes import Recipe
        >>> representation_title(Recipe()), representation_title(Recipe(lambda3=0.0))
        ('FV-VAE', 'FV-VAE minus')
    """
    name = REPRESENTATIONS[recipe.representation].title
    return name if recipe.lambda3 or recipe.representation != "fv_vae" else f"{name} minus"


def build_head(recipe, fvvae=None):
    """The layer of a recipe's representation, not adapted yet.

    Args:
        recipe: a `Recipe`.
        fvvae: the trained `FVVAELayer`, where the representation is made with it.

    Raises:
        RecipeError: for `representation_options` that the layer does not have, or does not accept.
    """
    info = REPRESENTATIONS[recipe.representation]
    options = {**info.options, **recipe.representation_options}
    known = [name for name in inspect.signature(info.layer).parameters if name not in _DECIDED]
    for name in recipe.representation_options:
        if name not in known:
            raise RecipeError(unknown_name(f"option of the representation {recipe.representation!r}:", name, known))
    if "seed" in known:
        options.setdefault("seed", recipe.seed)
    if info.training == FVVAE_TRAINING:
        options["fvvae"] = fvvae
    if recipe.representation == "fv_vae":
        options["decoder_layers"] = recipe.decoder_layers
    try:
        return info.layer(**options, name="head")
    except (TypeError, ValueError) as error:
        raise RecipeError(f"`representation_options` of {recipe.representation!r}: {error}") from error


def build_normalization(recipe, head, shape):
    """The layer that normalises a head's raw vectors of activation maps `(batch, *shape)`."""
    info = REPRESENTATIONS[recipe.representation]
    if info.steps is None:
        return layers.FisherNormalization(recipe.information, recipe.damping, name="normalization")
    return layers.VectorNormalization(info.steps, info.blocks(head, shape), name="normalization")


def descriptor_plan(recipe):
    """The `DescriptorPlan` of a recipe: what its representation takes, and how that is made of activation maps."""
    return DescriptorPlan(
        takes=REPRESENTATIONS[recipe.representation].takes,
        scheme=recipe.normalization,
        scale=recipe.normalization_scale,
        levels=tuple(recipe.spp_levels) if recipe.descriptors == "spp" else None,
        pooling=recipe.spp_pooling,
        count=recipe.sampled_descriptors,
        seed=recipe.seed,
    )


def build_descriptors(recipe, shape):
    """The model from activation maps `(batch, *shape)` to what the recipe's representation takes."""
    return descriptor_plan(recipe).build(shape)
