"""From a recipe and images or videos to a run folder: train, encode, classify, evaluate."""

import contextlib
import csv
import io
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

from keras_fvvae import __version__
from keras_fvvae.builders.encoders import build_classifier
from keras_fvvae.builders.trainable import build_recipe_backbone
from keras_fvvae.data.collection import SPLITS, UNLABELLED
from keras_fvvae.errors import DataError, RecipeError, RunError
from keras_fvvae.evaluation.evaluate import evaluate_scores
from keras_fvvae.evaluation.metrics import classification_metrics
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.runs.initial import InitialRun
from keras_fvvae.svm import OneVsRestSVM
from keras_fvvae.training.fine_tune import fine_tune
from keras_fvvae.training.fit import OneProcess
from keras_fvvae.training.inputs import ActivationInputs, PixelInputs
from keras_fvvae.training.representation_training import RepresentationTraining, representation_title
from keras_fvvae.training.vectors import BLOCK_ROWS, encode_averages, encode_vectors
from keras_fvvae.utils.cache import cache_folder
from keras_fvvae.utils.files import reason, sha256

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
    init=None,
    verbose=1,
    source=None,
    workers=None,
    trained=None,
    tuned=None,
):
    """Trains a recipe on a collection of labelled images or videos.

    Stages: fine-tuning of the backbone where the recipe asks for it; activations of a frozen backbone (cached on disk,
    shared by all runs with the same settings); FV-VAE, or what the recipe's `representation` has to learn; vectors,
    with Fisher statistics from the training part;
    one-vs-all SVM; accuracies on the test part beside those of average pooling (AVE) on the same activations. Stopped
    anywhere, the same call continues. Without any labels there is no SVM: the run holds an encoder, from which another
    training can start (`init`).

    Args:
        recipe: a `Recipe`.
        collection: a `Collection`.
        out: the run folder.
        backbone_weights: `"imagenet"`, a path, or `None` for random weights.
        backbone: a model to use instead of building one; it stays frozen.
        cache: folder of the cached activations. Default: `activations` in `utils.cache.cache_folder()`.
        overwrite: whether to replace another run in that folder.
        max_unreadable: largest share of items that may be unreadable before the training is refused.
        init: path of a finished run of the same architecture whose backbone and FV-VAE this training starts from, for
            example one without labels on other data. `backbone_weights` is not used then.
        verbose: 1 for progress bars.
        source: text that tells a given backbone's weights from others, see `weights_source`.
        workers: `Workers` of `keras_fvvae.training.strategies`, where several devices or machines train together:
            each makes this call. They share out the activations (with a common `cache`) and every training step; the
            chief alone writes `out`, encodes and classifies, and the others wait for it. Default: one process.
        trained: path of a finished run whose FV-VAE, trained by the same recipe on the same frozen backbone and data,
            is taken as it is: only what comes afterwards is computed. Its seconds are added to this one's.
        tuned: path of a finished run whose backbone, fine-tuned by the same recipe on the same data, is taken instead
            of being fine-tuned again. The result is the same to the bit.

    Returns:
        The finished `RunFolder`; on workers other than the chief `None`.

    Raises:
        RunError: if the folder cannot be used, or the training diverges.
        DataError: if too many items cannot be read, or too few classes remain.
        WeightsError, RecipeError: for a backbone that cannot be built.
    """
    workers = workers or OneProcess()
    workers.require_divisible(recipe.batch_size)
    if recipe.fine_tune_steps:
        workers.require_divisible(recipe.fine_tune_batch_size)
    # Loaded before anything is drawn: a model draws weights even where it gets others.
    start = None if init is None else InitialRun(init)
    tuned = None if tuned is None else InitialRun(tuned)
    source = weights_source(backbone_weights, backbone, start) if source is None else source
    with contextlib.ExitStack() as stack:
        if workers.is_chief:
            run = RunFolder.create(out, recipe, collection, source, overwrite)
        else:
            run = RunFolder(stack.enter_context(tempfile.TemporaryDirectory()))
            verbose = 0
        workers.require_same({"version": __version__, "settings": recipe.to_yaml(), "backbone weights": source})
        if workers.share(np.array([run.is_finished()], "int64")).item():
            return RunFolder.open(out) if workers.is_chief else None
        try:
            _stages(
                run, recipe, collection, backbone_weights, backbone, cache, max_unreadable, start, verbose, workers,
                trained, tuned,
            )  # fmt: skip
        except OSError as error:
            raise RunError(
                f"Writing to {run.path} failed: {reason(error)}. What was computed is kept: repeat the call to "
                f"continue."
            ) from error
        workers.barrier()
    return run if workers.is_chief else None


def _stages(
    run, recipe, collection, backbone_weights, backbone, cache, max_unreadable, start, verbose, workers, trained, tuned
):  # fmt: skip
    keras.utils.set_random_seed(recipe.seed)
    frozen = backbone is not None or recipe.trainable_from is None
    # Built before anything is computed: settings that do not go together must not cost an hour first.
    if backbone is None:
        backbone = build_recipe_backbone(recipe, None if start else backbone_weights)
        if start:
            start.copy_backbone(backbone)
        if tuned:
            tuned.copy_backbone(backbone)
        to_tune = bool(recipe.fine_tune_steps) and tuned is None
    else:
        backbone.trainable, to_tune = False, False
    training = RepresentationTraining(recipe, backbone, frozen, len(collection.class_names) or None)
    if start:
        training.start_from(start)
    donor = None if trained is None else InitialRun(trained)
    if donor:
        training.take_over(donor)

    labelled = np.count_nonzero(collection.labels[collection.indices("train")] != UNLABELLED)
    if recipe.pca_components is not None and recipe.pca_components >= max(labelled, 1):
        raise RecipeError(
            f"`pca_components` {recipe.pca_components} must be below the number of labelled training "
            f"{collection.kind}s, {labelled}."
        )
    if to_tune:
        readable = _usable(collection, PixelInputs(collection, recipe).prepare(verbose), max_unreadable, run)
        run.write_json("fine_tuning.json", fine_tune(backbone, readable, recipe, run, verbose, workers))

    if frozen:
        cache = Path(cache or cache_folder() / "activations")
        if workers.count > 1:
            # Each worker's part; of another machine's, in a common cache, the rest is found, otherwise computed below.
            share = collection.subset(np.arange(workers.index, len(collection), workers.count))
            ActivationInputs(share, recipe, backbone, cache).prepare(verbose)
            workers.barrier()
        everything = ActivationInputs(collection, recipe, backbone, cache)
    else:
        everything = PixelInputs(collection, recipe)
    skipped = everything.prepare(verbose)
    _write_reasons(run, "skipped.csv", collection, skipped)
    usable = _usable(collection, skipped, max_unreadable, run)
    if damage := {index: what for index, what in everything.damage().items() if index not in skipped}:
        _write_reasons(run, "damaged.csv", collection, damage)
        usable.notes.append(f"{len(damage)} damaged {usable.kind}s are used as far as they decode; see damaged.csv.")
    if workers.replicas > 1:
        usable.notes.append(f"Trained on {workers.replicas} devices of {workers.count} processes.")
    inputs = everything.on(usable)
    train_indices = usable.indices("train")

    seconds = {"fit": donor.seconds_of_fit} if donor else {}
    with _timed(seconds, "fit"):
        history = training.run(inputs, train_indices, run, verbose, workers)
    if not workers.is_chief:
        return
    run.write_json("history.json", history)

    encoder = training.encoder
    with run.partial("vectors.npy") as partial, _timed(seconds, "encode"):
        encode_vectors(encoder, inputs, len(train_indices), partial, verbose)
    run.write_json("vectors.json", {"names": usable.names, "labels": usable.labels.tolist()})
    whole = training.whole_encoder()

    results = {"protocol": _protocol(recipe, usable), "skipped": len(skipped), "notes": usable.notes}
    if usable.class_names:
        averages = encode_averages(None if frozen else backbone, inputs)
        with _timed(seconds, "classify"):
            whole, results = _classify(run, recipe, whole, usable, averages, results, verbose)
    run.write_json("seconds.json", {what: round(value, 2) for what, value in seconds.items()})
    run.write_json("metrics.json", results)
    with run.partial("model.keras") as partial:
        whole.save(partial)
    run.finish()


def _classify(run, recipe, encoder, collection, averages, results, verbose):
    """Fits the SVMs; returns the classifier, and the results with the accuracies of both representations."""
    vectors = np.load(run.path / "vectors.npy", mmap_mode="r")
    vectors = vectors.reshape(len(vectors), -1)
    svm = _fit_svm(recipe, vectors, collection, verbose)
    classifier = build_classifier(encoder, collection.class_names)
    classifier.set_svm(svm)
    if len(collection.indices("test")):
        average_svm = _fit_svm(recipe, averages, collection, verbose=0)
        results["AVE"] = _evaluate(average_svm, averages, collection)
        results[representation_title(recipe)] = _evaluate(svm, vectors, collection)
    return classifier, results


@contextlib.contextmanager
def _timed(seconds, what):
    start = time.perf_counter()
    yield
    seconds[what] = seconds.get(what, 0.0) + time.perf_counter() - start


def weights_source(backbone_weights, backbone=None, start=None):
    """Text that changes with the weights that a training starts from."""
    if backbone is not None:
        return "given"
    if start is not None:
        return f"run {sha256(start.path / 'model.keras')}"
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
    if usable.class_names and len(set(usable.labels[usable.indices("train")].tolist()) - {UNLABELLED}) < 2:
        raise DataError(f"Fewer than two classes have readable training {collection.kind}s.")
    return usable


def _write_reasons(run, name, collection, reasons):
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["file", "reason"])
    writer.writerows([collection.names[index], reason] for index, reason in sorted(reasons.items()))
    run.write(name, text.getvalue().encode(errors="backslashreplace"))


def _fit_svm(recipe, vectors, collection, verbose):
    count = np.count_nonzero(collection.labels[collection.indices("train")] != UNLABELLED)  # they come first
    return OneVsRestSVM(recipe.svm_c, verbose=verbose).fit(vectors[:count], collection.labels[:count])


def _evaluate(svm, vectors, collection):
    test = collection.indices("test")
    kernel, bias = svm.dense_weights(len(collection.class_names))
    blocks = (vectors[rows] @ kernel + bias for rows in np.array_split(test, -(-len(test) // BLOCK_ROWS)))
    scores = np.concatenate(list(blocks))
    metrics = classification_metrics(scores, collection.labels[test], collection.class_names)
    labels = collection.labels[test]
    if collection.label_sets is not None:  # a hit is any of an item's labels, as ActivityNet counts it
        labels = [collection.label_sets[i] or (collection.labels[i],) for i in test]
    evaluated = evaluate_scores(scores, labels, collection.class_names, resamples=0)
    metrics["mean_average_precision"] = evaluated["mean_average_precision"]["value"]
    if collection.label_sets is not None:
        metrics["accuracy"] = accuracy = evaluated["accuracy"]["value"]
        metrics["standard_error"] = float(np.sqrt(accuracy * (1 - accuracy) / len(test)))
        if "top3_accuracy" in metrics:
            metrics["top3_accuracy"] = evaluated["top3_accuracy"]["value"]
    return {"dimension": vectors.shape[1], **metrics, "scores": np.round(scores, 5).tolist()}


def _protocol(recipe, collection):
    train, test = (len(collection.indices(split)) for split in SPLITS)
    kind = collection.kind
    height, width = recipe.input_size
    size = f"{height}x{width}"
    if recipe.resize_to:
        size += f" of {recipe.resize_to[0]}x{recipe.resize_to[1]}"
    tap = f" {recipe.tap}" if recipe.tap else ""
    network = f"{_what(recipe, kind)}{recipe.backbone}{tap}"
    if recipe.fine_tune_steps:
        network += f" fine-tuned for {recipe.fine_tune_steps} steps"
    network += f", {size} ({recipe.resize}), {'ten crops' if recipe.crops == 'ten' else 'one crop'}"
    if not collection.class_names:
        return f"{train} training {kind}s without labels; {network}; Fisher statistics from them"
    return (
        f"{train} training and {test} test {kind}s of {len(collection.class_names)} classes; {network}; Fisher "
        f"statistics and SVM (C = {recipe.svm_c:g}) from the training {kind}s only"
    )


def _what(recipe, kind):
    if kind == "image":
        return ""
    modality = {"rgb": "RGB", "flow": "optical flow", "flow_stack": "stacked optical flow"}[recipe.modality]
    frames = f"every {recipe.frame_step}. frame" if recipe.frame_step else f"{recipe.frames} frames"
    method = "" if recipe.modality == "rgb" else f" ({recipe.flow_method}, +-{recipe.flow_bound:g} pixels)"
    return f"{modality}{method}, {frames} a video; "
