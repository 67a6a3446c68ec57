"""Every representation beside each other: FV-VAE, its variants, and what the paper compares it with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keras_fvvae.backbones.table import BACKBONES, OWN_SIZE
from keras_fvvae.errors import RecipeError, unknown_name
from keras_fvvae.experiments.row import Row
from keras_fvvae.recipes import Recipe

# Changes of a recipe, by the name of a variant. The sizes are the paper's where it gives them: 128 components, 256
# centroids; 64 centroids for NetVLAD and ActionVLAD as in theirs.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ave": ("AVE", {"representation": "ave"}),
    "ga": ("GA", {"representation": "global_activations"}),
    "concatenation": ("Concatenation", {"representation": "concatenation"}),
    "fv": ("FV (GMM)", {"representation": "gmm_fisher_vector", "representation_options": {"num_components": 128}}),
    "vlad": ("VLAD", {"representation": "vlad", "representation_options": {"num_centroids": 256}}),
    "bilinear": ("BP", {"representation": "bilinear"}),
    "maclaurin": ("BP, random Maclaurin", {"representation": "random_maclaurin"}),
    "tensor_sketch": ("BP, tensor sketch", {"representation": "tensor_sketch"}),
    "net_vlad": ("NetVLAD", {"representation": "net_vlad", "representation_options": {"num_centroids": 64}}),
    "action_vlad": ("ActionVLAD", {"representation": "action_vlad", "representation_options": {"num_centroids": 64}}),
    "cross_layer": ("Cross-layer pooling", {"representation": "cross_layer"}),
    "cross_layer_learnt": (
        "Cross-layer pooling, learnt guidance",
        {"representation": "cross_layer_learnt", "representation_options": {"guidance_channels": 64}},
    ),
    "fv_vae_minus": ("FV-VAE minus", {"lambda3": 0.0}),
    "fv_vae": ("FV-VAE", {}),
    "fv_vae_attention": ("FV-VAE, attention", {"attention": True}),
    "fv_vae_deeper": ("FV-VAE, deeper decoder", {"decoder_units": [255]}),
    "fv_vae_deeper_all": ("FV-VAE, deeper decoder, all layers", {"decoder_units": [255], "decoder_layers": "all"}),
    "fv_vae_7": ("FV-VAE, 7 latent", {"latent_dim": 7}),
    "fv_vae_maclaurin": ("FV-VAE, random Maclaurin", {"representation": "fv_vae_maclaurin"}),
    "fv_vae_pca": ("FV-VAE, PCA", {"pca_components": 256}),
}  # fmt: skip
# A network that starts from random weights is fine-tuned at a higher rate than one from ImageNet.
SCRATCH_LEARNING_RATE = 0.05


def variant_rows(recipe: Recipe, names: Iterable[str] | None = None) -> list[Row]:
    """The rows of a comparison on a recipe's data and backbone.

    All are compared on one frozen backbone. Where the recipe trains its backbone together with the FV-VAE, it is
    fine-tuned with a softmax first instead, for as many steps: no representation then has a network made for itself.

    Args:
        recipe: a `Recipe`.
        names: keys of `VARIANTS`; all by default.

    Raises:
        RecipeError: for an unknown name, and a recipe with branches.
    """
    if recipe.branches:
        raise RecipeError(f"{recipe.name!r} has `branches`; what is compared is one representation: set `branches=[]`.")
    for name in names or ():
        if name not in VARIANTS:
            raise RecipeError(unknown_name("representation to compare", name, VARIANTS))
    frozen: dict[str, Any] = {}
    if recipe.trainable_from is not None:
        frozen = {"trainable_from": None, "fine_tune_from": recipe.trainable_from, "fine_tune_batch_size": 64}
        if not recipe.fine_tune_steps:
            frozen |= {"fine_tune_steps": recipe.steps, "fine_tune_learning_rate": SCRATCH_LEARNING_RATE}
    rows = []
    for name in names or VARIANTS:
        title, changes = VARIANTS[name]
        row = Row(title, recipe.replace(name=f"{recipe.name}_{name}", **{**frozen, **changes}))
        if name == "cross_layer":
            row = _with_two_taps(row)
        elif name == "ga":
            row = _with_global_tap(row)
        elif name in ("net_vlad", "action_vlad"):
            row = _with_stages(row, name)
        rows.append(row)
    return rows


def _with_stages(row, name):
    """ActionVLAD's two stages, its rates, each of the recipe's steps; and its bags of all of a video's frames."""
    recipe = row.recipe
    if name == "action_vlad" and not recipe.of_videos:
        return Row(row.name, reason="it aggregates over frames; of images it is NetVLAD")
    steps = recipe.steps
    common = {"optimizer": "adam", "epsilon": 1e-4, "clip_norm": 5.0, "steps": steps}
    first = {"train": "classifier", "learning_rate": 0.01, "decay_steps": max(1, steps // 2), **common}
    stages = [first, {"train": "all", "learning_rate": 1e-4, "weight_decay": 4e-5, **common}]
    views = recipe.frames if name == "action_vlad" and recipe.frame_step is None else 1
    return Row(row.name, recipe.replace(stages=stages, views_per_step=views))


def _with_two_taps(row):
    backbone = row.recipe.backbone
    info = BACKBONES.get(backbone)
    if info is None or info.consecutive_taps is None:
        return Row(row.name, reason=f"no two consecutive layers of {backbone} are named here; set `tap`")
    return Row(row.name, row.recipe.replace(tap=info.consecutive_taps))


def _with_global_tap(row):
    """GA is fc7 of VGG, pool5 of ResNet; other networks have no layer that the paper would call so."""
    backbone = row.recipe.backbone
    taps = BACKBONES[backbone].vector_taps if backbone in BACKBONES else {}
    if "fc7" in taps:  # its weights are for one size
        return Row(row.name, row.recipe.replace(tap="fc7", input_size=[OWN_SIZE, OWN_SIZE]))
    if "pool5" in taps:
        return Row(row.name, row.recipe.replace(tap="pool5"))
    return Row(row.name, reason=f"{backbone} has no fully-connected layer before its classes")
