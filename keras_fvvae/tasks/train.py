"""From a recipe and images or videos to a run folder: train, encode, classify, evaluate."""

import csv
import io
from pathlib import Path

import keras
import numpy as np

from keras_fvvae.data.collection import SPLITS, UNLABELLED
from keras_fvvae.errors import DataError, RunError
from keras_fvvae.files import reason, sha256
from keras_fvvae.metrics import classification_metrics
from keras_fvvae.models import FisherEncoder
from keras_fvvae.svm import OneVsRestSVM
from keras_fvvae.tasks.encode import BLOCK_ROWS, encode_averages, encode_fisher_vectors
from keras_fvvae.tasks.fit import fit
from keras_fvvae.tasks.inputs import ActivationInputs, PixelInputs
from keras_fvvae.tasks.run_folder import RunFolder
from keras_fvvae.zoo import build_classifier, build_fvvae, build_recipe_backbone

DEFAULT_CACHE = Path("~/.cache/keras_fvvae/activations")
DEFAULT_MAX_UNREADABLE = 0.1


def train(
    recipe,
    collection,
    out,
    backbone_weights="imagenet",
    backbone=None,
    cache=None,
    overwrite=False,
    max_unreadable=DEFAULT_MAX_UNREADABLE,
    verbose=1,
):
    """Trains a recipe on a collection of labelled images or videos.

    Stages: activations of a frozen backbone (cached on disk, shared by all runs with the same settings), FV-VAE,
    Fisher vectors with statistics from the training part, one-vs-all SVM, accuracies on the test part beside those of
    average pooling (AVE) on the same activations. Stopped anywhere, the same call continues.

    Args:
        recipe: a `Recipe`.
        collection: a `Collection`.
        out: the run folder.
        backbone_weights: `"imagenet"`, a path, or `None` for random weights.
        backbone: a model to use instead of building one; it stays frozen.
        cache: folder of the cached activations. Default: `~/.cache/keras_fvvae/activations`.
        overwrite: whether to replace another run in that folder.
        max_unreadable: largest share of items that may be unreadable before the training is refused.
        verbose: 1 for progress bars.

    Returns:
        The finished `RunFolder`.

    Raises:
        RunError: if the folder cannot be used, or the training diverges.
        DataError: if too many items cannot be read, or too few classes remain.
        WeightsError, RecipeError: for a backbone that cannot be built.
    """
    run = RunFolder.create(out, recipe, collection, _weights_source(backbone_weights, backbone), overwrite)
    if run.is_finished():
        return RunFolder.open(out)
    try:
        _stages(run, recipe, collection, backbone_weights, backbone, cache, max_unreadable, verbose)
    except OSError as error:
        raise RunError(
            f"Writing to {run.path} failed: {reason(error)}. What was computed is kept: repeat the call to continue."
        ) from error
    return run


def _stages(run, recipe, collection, backbone_weights, backbone, cache, max_unreadable, verbose):
    keras.utils.set_random_seed(recipe.seed)
    frozen = backbone is not None or recipe.trainable_from is None
    if backbone is None:
        backbone = build_recipe_backbone(recipe, backbone_weights)
    else:
        backbone.trainable = False

    def inputs_of(items):
        if frozen:
            return ActivationInputs(items, recipe, backbone, Path(cache or DEFAULT_CACHE).expanduser())
        return PixelInputs(items, recipe)

    # Built before anything is computed: settings that do not go together must not cost an hour first.
    shape = tuple(backbone.output.shape[1:]) if frozen else None
    model = build_fvvae(recipe, None if frozen else backbone, len(collection.class_names), shape)

    skipped = inputs_of(collection).prepare(verbose)
    _write_skipped(run, collection, skipped)
    usable = _usable(collection, skipped, max_unreadable, run)
    inputs = inputs_of(usable)
    train_indices, test_indices = (usable.indices(split) for split in SPLITS)

    history = fit(model, inputs, train_indices, recipe, run, verbose)
    run.write_json("history.json", history)

    classifier = build_classifier(recipe, model, backbone, usable.class_names)
    encoder = classifier.encoder
    if frozen:
        encoder = FisherEncoder(encoder.descriptors, encoder.head, encoder.normalization)
    with run.partial("vectors.npy") as partial:
        encode_fisher_vectors(encoder, inputs, len(train_indices), partial, verbose)
    run.write_json("vectors.json", {"names": usable.names, "labels": usable.labels.tolist()})
    vectors = np.load(run.path / "vectors.npy", mmap_mode="r")
    vectors = vectors.reshape(len(vectors), -1)

    svm = _fit_svm(recipe, vectors, usable, verbose)
    classifier.set_svm(svm)
    averages = encode_averages(None if frozen else backbone, inputs)
    results = {"protocol": _protocol(recipe, usable), "skipped": len(skipped), "notes": usable.notes}
    if len(test_indices):
        average_svm = _fit_svm(recipe, averages, usable, verbose=0)
        results["AVE"] = _evaluate(average_svm, averages, usable)
        results["FV-VAE" if recipe.lambda3 else "FV-VAE minus"] = _evaluate(svm, vectors, usable)
    run.write_json("metrics.json", results)
    with run.partial("model.keras") as partial:
        classifier.save(partial)
    run.finish()


def _weights_source(backbone_weights, backbone):
    """Text that changes with the backbone's weights."""
    if backbone is not None:
        return "given"
    path = Path(backbone_weights or "none")
    return f"sha256 {sha256(path)}" if path.is_file() else str(path)


def _usable(collection, skipped, max_unreadable, run):
    """The readable items: labelled training items, unlabelled ones, test items; test items without label are dropped.

    The order does not depend on what was skipped.
    """
    share = len(skipped) / len(collection)
    if share > max_unreadable:
        example = min(skipped)
        raise DataError(
            f"{len(skipped)} of {len(collection)} {collection.kind}s cannot be used ({share:.0%}, allowed are "
            f"{max_unreadable:.0%}); the first is {collection.names[example]}: {skipped[example]}. All are listed in "
            f"{run.path}/skipped.csv; repair or remove them, or raise --max-unreadable."
        )
    train, test = ([i for i in collection.indices(split) if i not in skipped] for split in SPLITS)
    labelled = collection.labels != UNLABELLED
    kept = [i for i in train if labelled[i]] + [i for i in train if not labelled[i]] + [i for i in test if labelled[i]]
    if not kept:
        raise DataError(
            f"None of the {len(collection)} {collection.kind}s can be used; the reasons are in {run.path}/skipped.csv."
        )
    usable = collection.subset(kept)
    unscored = np.count_nonzero((collection.labels == UNLABELLED) & (collection.splits == "test"))
    if unscored:
        usable.notes.append(f"{unscored} test {collection.kind}s have no label and are not scored.")
    if len(set(usable.labels[usable.indices("train")].tolist()) - {UNLABELLED}) < 2:
        raise DataError(f"Fewer than two classes have readable training {collection.kind}s.")
    return usable


def _write_skipped(run, collection, skipped):
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["file", "reason"])
    writer.writerows([collection.names[index], reason] for index, reason in sorted(skipped.items()))
    run.write("skipped.csv", text.getvalue().encode(errors="backslashreplace"))


def _fit_svm(recipe, vectors, collection, verbose):
    count = np.count_nonzero(collection.labels[collection.indices("train")] != UNLABELLED)  # they come first
    return OneVsRestSVM(recipe.svm_c, verbose=verbose).fit(vectors[:count], collection.labels[:count])


def _evaluate(svm, vectors, collection):
    test = collection.indices("test")
    kernel, bias = svm.dense_weights(len(collection.class_names))
    blocks = (vectors[rows] @ kernel + bias for rows in np.array_split(test, -(-len(test) // BLOCK_ROWS)))
    scores = np.concatenate(list(blocks))
    metrics = classification_metrics(scores, collection.labels[test], collection.class_names)
    return {"dimension": vectors.shape[1], **metrics, "scores": np.round(scores, 5).tolist()}


def _protocol(recipe, collection):
    train, test = (len(collection.indices(split)) for split in SPLITS)
    kind = collection.kind
    height, width = recipe.input_size
    size = f"{height}x{width}"
    if recipe.resize_to:
        size += f" of {recipe.resize_to[0]}x{recipe.resize_to[1]}"
    tap = f" {recipe.tap}" if recipe.tap else ""
    return (
        f"{train} training and {test} test {kind}s of {len(collection.class_names)} classes; {_what(recipe, kind)}"
        f"{recipe.backbone}{tap}, {size} ({recipe.resize}), {'ten crops' if recipe.crops == 'ten' else 'one crop'}; "
        f"Fisher statistics and SVM (C = {recipe.svm_c:g}) from the training {kind}s only"
    )


def _what(recipe, kind):
    if kind == "image":
        return ""
    modality = {"rgb": "RGB", "flow": "optical flow", "flow_stack": "stacked optical flow"}[recipe.modality]
    frames = f"every {recipe.frame_step}. frame" if recipe.frame_step else f"{recipe.frames} frames"
    method = "" if recipe.modality == "rgb" else f" ({recipe.flow_method}, +-{recipe.flow_bound:g} pixels)"
    return f"{modality}{method}, {frames} a video; "
