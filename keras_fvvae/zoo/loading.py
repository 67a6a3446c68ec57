"""The model zoo: recipes become Keras models."""

import dataclasses
import warnings
from importlib import resources
from pathlib import Path

import keras

from keras_fvvae import recipes
from keras_fvvae.backbones import set_trainable
from keras_fvvae.builders.encoders import build_encoder, load_model
from keras_fvvae.builders.representations import FVVAE_TRAINING, REPRESENTATIONS
from keras_fvvae.builders.trainable import (
    build_fvvae,
    build_recipe_backbone,
    build_softmax,
    compile_fvvae,
    compile_stage,
)
from keras_fvvae.errors import RecipeError, WeightsError
from keras_fvvae.layers import (
    DescriptorNormalization,
    DescriptorSampling,
    FVVAELayer,
    SpatialPyramidPooling,
)
from keras_fvvae.models import FVVAE, Classifier, FisherEncoder, SoftmaxClassifier
from keras_fvvae.utils.cache import cache_folder
from keras_fvvae.utils.files import sha256
from keras_fvvae.zoo import packs
from keras_fvvae.zoo.downloads import download, is_url

# Keys of a recipe that decide the architecture or what its input means: trained weights go with one value only.
ARCHITECTURE = (
    "backbone", "backbone_options", "tap", "input_size", "modality", "descriptors", "spp_levels", "spp_pooling",
    "normalization", "normalization_scale", "latent_dim", "hidden_units", "hidden_activation", "decoder_units",
    "decoder_layers", "attention", "representation", "representation_options", "pca_components",
)  # fmt: skip
# Where a recipe does not name the split, its data set's loader takes this one.
DEFAULT_SPLIT = 1


def list_entries(pattern="*"):
    """Names of the zoo's entries that match a shell pattern.

    Example:
        >>> list_entries("digits*")
        ['digits_conv']
    """
    from fnmatch import fnmatch

    return [name for name in recipes.list_recipes() if fnmatch(name, pattern)]


def load(name, weights="auto", backbone_weights="imagenet", num_classes=None, **overrides):
    """Builds and compiles the model of a zoo entry, ready for `model.fit` on tf.data.

    With trained weights, the recipe they were trained with rules, changed by the overrides. Overrides of the training
    (`steps`, `learning_rate`, `lambda3`, `dropout`, `batch_size`, ...) go with any weights; those of the architecture
    or the input (`ARCHITECTURE`), and the data's split, only where they say what the weights have.

    Args:
        name: an entry of `list_entries()`, the name of a published pack, or the path of a recipe in YAML.
        weights: `"auto"`: the newest fitting pack of the entry in `$KERAS_FVVAE_ZOO` (a folder or a URL), else in the
            local cache, else the weights that ship with the entry, else those that it names by a URL; where there are
            none as asked for, fresh FV-VAE layers with a warning that says so.
            `None`: fresh layers, no warning.
            A path: of a pack, of the folder of an entry's packs (the latest), of a zoo, of a finished run, of a
            `model.keras` written by training, or of a saved `FVVAE`.
            A URL (http or https): of a pack, of an entry's packs, or of a zoo. It is kept in the local cache.
        backbone_weights: `"imagenet"` (downloaded by Keras Applications), a path, or `None` for random weights. Not
            used where the trained weights hold the backbone's, as all but the authors' released ones do.
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
        RecipeError: for an unknown entry, key or value.
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
    wanted = dict(overrides) if num_classes is None else {**overrides, "num_classes": num_classes}
    trained = None
    if weights == "auto":
        trained, differences = _find(entry, wanted)
        if trained is None:
            found = f" (the published ones have {differences})" if differences else ""
            warnings.warn(
                f"There are no trained weights for {recipe.name!r} as asked for{found}: what it learns starts fresh. "
                f"Train them with model.fit, or with `keras-fvvae train {recipe.name}`.",
                stacklevel=2,
            )
    elif weights is not None:
        trained = _open(weights, entry.name)
        if differences := _differences(trained, wanted):
            raise WeightsError(
                f"The weights {weights} have {differences}. Leave it out, or pass `weights=None` and train anew."
            )
    if trained is not None:
        return _continued(trained, recipe, wanted, backbone_weights)
    if num_classes is None:
        num_classes = recipes.DATASET_CLASSES.get(recipe.dataset)
    backbone = build_recipe_backbone(recipe, backbone_weights)
    _require_classes(recipe, num_classes)
    if REPRESENTATIONS[recipe.representation].training == FVVAE_TRAINING:
        return build_fvvae(recipe, backbone, num_classes)
    return _softmax(recipe, build_encoder(recipe, backbone), num_classes)


def load_classifier(path):
    """Loads a saved `Classifier`; no code in the file is executed.

    Raises:
        WeightsError: if the file is missing, damaged or something else.
    """
    return load_model(path, (Classifier,))


@dataclasses.dataclass(frozen=True)
class _Trained:
    """A loaded model and the recipe it was trained with, if known."""

    model: Classifier | SoftmaxClassifier | FisherEncoder | FVVAE
    recipe: recipes.Recipe | None = None

    @property
    def encoder(self):
        """What holds the backbone and the descriptors."""
        return self.model.encoder if isinstance(self.model, Classifier | SoftmaxClassifier) else self.model

    @property
    def fvvae(self):
        """The `FVVAELayer`; `None` where another representation was trained."""
        return self.encoder.fvvae if isinstance(self.encoder, FVVAE) else getattr(self.encoder.head, "fvvae", None)

    @property
    def num_classes(self):
        """Classes that were trained, if any."""
        if self.fvvae is not None:
            return self.fvvae.num_classes
        if isinstance(self.model, Classifier):
            return len(self.model.class_names)
        return self.model.num_classes if isinstance(self.model, SoftmaxClassifier) else None


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


def _softmax(recipe, encoder, num_classes):
    """Compiled for the last stage of the recipe's training, in which all is trained that is trainable."""
    model = build_softmax(recipe, encoder, num_classes)
    compile_stage(model, recipe, recipe.softmax_stages[-1])
    return model


def _find(entry, wanted):
    """The newest trained weights that fit, or `None`; and how the newest of all differ from those wanted, in words."""
    differences = []

    def fits(recipe):
        differences.append(_recipe_differences(recipe, wanted))
        return not differences[-1]

    trained = None
    pack = packs.find(entry.name, fits) if packs.is_entry_name(entry.name) else None
    if pack is not None:
        trained = _Trained(load_model(pack.model), pack.recipe)
    elif entry.weights and fits(entry):
        trained = _Trained(load_model(_entry_weights(entry)), entry)
    if trained is not None and (other := _differences(trained, wanted)):
        return None, other
    return trained, next(iter(differences), "")


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
        return _Trained(load_model(pack.model), pack.recipe)
    return _Trained(load_model(weights))


def _recipe_differences(recipe, wanted):
    """Where what is wanted of architecture, input or split is not what a recipe has, in words; else empty."""
    have = {key: getattr(recipe, key) for key in ARCHITECTURE}
    split = wanted.get("dataset_options", {}).get("split")
    if split is not None:
        have["split"], wanted = recipe.dataset_options.get("split", DEFAULT_SPLIT), {**wanted, "split": split}
    return _in_words(have, wanted)


def _differences(trained, wanted):
    """The same for loaded weights; what a file of unknown recipe does not tell is not compared."""
    have = {} if trained.recipe is None else {key: getattr(trained.recipe, key) for key in ARCHITECTURE}
    fvvae, encoder = trained.fvvae, trained.encoder
    if trained.recipe is None and fvvae is not None:
        hidden = None if fvvae.hidden_units is None else list(fvvae.hidden_units)
        have |= {"latent_dim": fvvae.latent_dim, "hidden_units": hidden}
        have |= {"hidden_activation": fvvae.get_config()["hidden_activation"]}
        have |= {"decoder_units": list(fvvae.decoder_units), "attention": fvvae.attention}
        if encoder.backbone is not None:
            have |= {"input_size": encoder.backbone.input.shape[1:3], "backbone": encoder.backbone.name}
        have |= _descriptor_settings(encoder.descriptors)
    if trained.num_classes is not None and not (fvvae is None and isinstance(trained.model, Classifier)):
        have["num_classes"] = trained.num_classes
    return _in_words(have, wanted)


def _descriptor_settings(descriptors):
    """The keys of a recipe that the layers from `build_descriptors` tell."""
    settings = {}
    for layer in getattr(descriptors, "layers", [descriptors]):
        if isinstance(layer, DescriptorNormalization):
            settings |= {"normalization": layer.scheme, "normalization_scale": layer.scale}
        elif isinstance(layer, SpatialPyramidPooling):
            settings |= {"descriptors": "spp", "spp_levels": layer.levels, "spp_pooling": layer.pooling}
        elif isinstance(layer, keras.layers.Reshape):
            settings["descriptors"] = "dense"
    return settings


def _in_words(have, wanted):
    keys = [key for key in wanted if key in have and _comparable(have[key]) != _comparable(wanted[key])]
    return ", ".join(f"`{key}` = {_comparable(have[key])}, not {wanted[key]}" for key in keys)


def _comparable(value):
    """Tuples as lists, as YAML reads them, at any depth."""
    if isinstance(value, dict):
        return {key: _comparable(item) for key, item in value.items()}
    return [_comparable(item) for item in value] if isinstance(value, list | tuple) else value


def _require_classes(recipe, num_classes):
    softmax = REPRESENTATIONS[recipe.representation].training != FVVAE_TRAINING
    if num_classes is None and (recipe.lambda3 or softmax):
        raise ValueError(
            f"The entry {recipe.name!r} does not say how many classes your data has: pass `num_classes`"
            + ("." if softmax else ", or `lambda3=0` for FV-VAE minus, which learns without labels.")
        )


def _continued(trained, recipe, wanted, backbone_weights):
    """The model of trained weights, changed in what the caller wants of its training."""
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
        _require_classes(recipe, num_classes)
        encoder = trained.encoder
        if encoder.backbone is None:
            encoder = FisherEncoder(
                encoder.descriptors, encoder.head, encoder.normalization, backbone, encoder.compression
            )
            encoder.build((None, *backbone.input.shape[1:]))
        return _softmax(recipe, encoder, num_classes)
    if num_classes is None and "lambda3" in overrides:
        num_classes = len(trained.model.class_names) if isinstance(trained.model, Classifier) else None
        _require_classes(recipe, num_classes)
    changes = {key: overrides[key] for key in ("dropout", "stop_target_gradient", "seed") if key in overrides}
    fvvae = _changed(trained.fvvae, {**changes, "num_classes": num_classes if recipe.lambda3 else None})
    descriptors = trained.encoder.descriptors
    if "sampled_descriptors" in overrides:
        descriptors = _resampled(descriptors, recipe)
    model = FVVAE(descriptors, fvvae, backbone, recipe.loss_weights)
    model.build((None, *backbone.input.shape[1:]))
    return compile_fvvae(model, recipe)


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
    changed.copy_weights(fvvae, classes=changed.num_classes == fvvae.num_classes)
    return changed
