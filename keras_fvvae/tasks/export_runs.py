"""Trained models as a SavedModel, with what its options cost in accuracy, measured on the runs' test items."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.builders.encoders import build_classifier, load_model
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.errors import RunError
from keras_fvvae.evaluation.intervals import accuracy_text
from keras_fvvae.export import TOP_K, export_fused, export_saved_model
from keras_fvvae.layers import GramPCA
from keras_fvvae.models import Classifier
from keras_fvvae.serving.version_folders import require_export_folder
from keras_fvvae.svm import OneVsRestSVM
from keras_fvvae.tasks.fused_calibration import fused_calibration, held_out_scores
from keras_fvvae.training.calibration import FOLDS
from keras_fvvae.training.selection.components import MOST_LOST, components_of_run
from keras_fvvae.training.vectors import row_slices
from keras_fvvae.utils.files import sha256
from keras_fvvae.zoo.sources import TrainedFile, open_reading


def export_runs(
    sources: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    version: int | None = None,
    top_k: int = TOP_K,
    weights: Sequence[float] | None = None,
    half_svm: bool = False,
    valid_output: bool = False,
    pca_components: int | str | None = None,
    coverage: float | None = None,
) -> Path:
    """Writes a trained model as a SavedModel, or two, of frames and of optical flow, as one in which they are fused.

    The card in `assets.extra` holds the recipes, the accuracies measured by the runs, and by how much the options
    changed scores and accuracies on their test items, which packs and entries do not have.

    Args:
        sources: one or two finished runs, packs or entries with trained weights.
        out: parent of the version folders.
        version, top_k, half_svm, valid_output, coverage: as for `keras_fvvae.export.export_saved_model`.
        weights: of two models' scores, see `keras_fvvae.export.export_fused`.
        pca_components: compresses every run's representation to so many principal components of its training vectors,
            brought to unit length; its SVM is fitted anew on these, and calibrated anew by the run's method. `"auto"`:
            the fewest that cost at most 1 % of a run's held-out training items, see
            `keras_fvvae.training.selection.components`.

    The fused scores of two runs have probabilities where both runs are calibrated, see
    `keras_fvvae.tasks.fused_calibration`.

    Returns:
        Path of the version folder.

    Raises:
        RunError: if a run is not finished or they do not go together, for principal components of a pack or an
            entry, and for a `coverage` of fused scores without probabilities; see `keras_fvvae.export`.
        WeightsError: see `keras_fvvae.zoo.load_classifier`.
        ValueError: for more principal components than the training vectors have, and for wrong weights.
    """
    if len(sources) > 2:
        raise RunError(f"One run is exported, or one on frames and one on optical flow. Received: {len(sources)}")
    require_export_folder(out)
    models = [open_reading(source) for source in sources]
    if len(models) == 1 and weights is not None:
        raise RunError("Weights are for two runs, whose scores are fused.")
    if len(models) == 2 and any(model.kind != "video" for model in models):
        raise RunError("Two runs are fused as frames and optical flow of videos; these are of images.")
    ready, notes = [prepared(model, pca_components) for model in models], []
    for model, one in zip(models, ready, strict=True):
        notes += one.notes
        if half_svm:
            notes.append(half_note(model, one.classifier, pca_components is not None))
    views = [recipe_views(model.recipe, model.kind) for model in models]
    options: dict[str, Any] = {
        "version": version,
        "top_k": top_k,
        "notes": notes,
        "half_svm": half_svm,
        "valid_output": valid_output,
        "coverage": coverage,
    }
    if len(models) == 1:
        options |= digest_option(models[0], pca_components)
        classifier = ready[0].classifier
        return export_saved_model(classifier, out, views[0], models[0].kind, recipe=models[0].recipe, **options)
    classifiers = [one.classifier for one in ready]
    held_out = [
        None if model.run is None else held_out_scores(model.run, one.svm)
        for model, one in zip(models, ready, strict=True)
    ]
    calibration, said = fused_calibration(held_out, weights, classifiers[0].class_names)
    if coverage is not None and calibration is None:
        raise RunError(f"`coverage` needs probabilities. {said}")
    options |= {"notes": [*notes, said], "calibration": calibration, "recipes": [model.recipe for model in models]}
    return export_fused(classifiers, out, views, weights, **options)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What is exported.

    Attributes:
        classifier: with its compression.
        notes: paragraphs of its card: what its run measured, what compression changes.
        svm: of compressed vectors, fitted anew; `None`: the run's.
    """

    classifier: Classifier
    notes: list[str]
    svm: OneVsRestSVM | None = None


def prepared(model: TrainedFile, pca_components: int | str | None = None) -> Prepared:
    """The classifier that is exported, and what its card tells.

    Args:
        model: from `keras_fvvae.zoo.sources.open_reading`.
        pca_components: as for `export_runs`.

    Raises:
        RunError, WeightsError, ValueError: as `export_runs`.
    """
    classifier = load_model(model.model, (Classifier,))
    notes = [] if model.run is None else [_measured(model.run)]
    if pca_components is None:
        return Prepared(classifier, notes)
    if model.run is None:
        raise RunError(
            f"{model.recipe.name} has no training vectors, whose principal components these are: export its run."
        )
    if classifier.encoder.compression is not None:
        raise RunError("The run's representation is compressed by PCA already.")
    if isinstance(pca_components, str):
        pca_components, judged = components_of_run(model.run, model.kind)
        notes.append(
            f"The number of principal components, {pca_components}, is the smallest tried that costs at most "
            f"{MOST_LOST:.0%}, as all larger ones do: {'; '.join(one.text for one in judged)}."
        )
    classifier, svm, note = _compressed(classifier, model.run, pca_components)
    return Prepared(classifier, [*notes, note], svm)


def digest_option(model: TrainedFile, pca_components: int | str | None) -> dict[str, str]:
    """The option `model_digest` of `export_saved_model`; none where vectors are compressed, as no index has them."""
    return {} if pca_components is not None else {"model_digest": sha256(model.model)}


def half_note(model: TrainedFile, classifier: Classifier, compressed: bool) -> str:
    """A paragraph of the card: what float16 weights of the SVM change; `compressed`: whether `prepared` did that."""
    text = "The SVM's weights are kept in float16"
    vectors = None if model.run is None else model.run.vectors()
    if vectors is None or vectors.scores is None:
        return f"{text}; what that changes is not known without test items."
    kernel, bias = classifier.svm.get_weights()
    compression = classifier.encoder.compression if compressed else None
    before, after = (
        _test_scores(vectors, one, bias, compression) for one in (kernel, kernel.astype("float16").astype("float32"))
    )
    largest = np.abs(after - before).max()
    return f"{text}: scores change by at most {largest:.1e}, {_change(before, after, vectors.test_labels)}."


def _test_scores(vectors, kernel, bias, compression=None):
    """Scores of a run's test items; blocks of rows are read at a time."""
    rows = vectors.values[vectors.first_test_row :]
    blocks = (np.array(rows[some]) for some in row_slices(len(rows), rows[:1].nbytes))
    if compression is not None:
        blocks = (np.asarray(compression(block)) for block in blocks)
    return np.concatenate([block @ kernel + bias for block in blocks])


def _measured(run):
    results = run.results
    if results.own is None:
        return f"The run {run.path.name} has no test items: its accuracy is not known."
    return f"Accuracy of the run {run.path.name}: {accuracy_text(results.own)} % ({results.protocol})."


def _compressed(classifier, run, components):
    """The classifier on principal components, its SVM, and what that changes."""
    old, vectors = classifier.encoder, run.vectors()
    data = vectors.values
    compression = GramPCA(components, normalization="l2", name="compression")
    compression.adapt(data[: vectors.first_test_row])
    labelled = vectors.labelled
    blocks = (np.array(data[rows]) for rows in row_slices(labelled, data[:1].nbytes))
    compact = np.concatenate([np.asarray(compression(block)) for block in blocks])
    result = build_classifier(old.with_compression(compression), classifier.class_names)
    svm = _refitted(classifier.calibration, run, vectors).fit(compact, vectors.train_labels)
    result.set_svm(svm)
    numbers = [sum(weight.size for weight in one.svm.get_weights()) for one in (classifier, result)]
    numbers[1] += (components + 1) * old.output_dim
    note = (
        f"The representation is compressed from {old.output_dim:,} to {components:,} numbers by PCA (what follows the "
        f"whole vector has {numbers[1]:,} weights instead of {numbers[0]:,})"
    )
    if vectors.scores is None:
        return result, svm, f"{note}; what that changes is not known without test items."
    before = _test_scores(vectors, *classifier.svm.get_weights())
    after = _test_scores(vectors, *result.svm.get_weights(), compression)
    return result, svm, f"{note}: {_change(before, after, vectors.test_labels)}."


def _refitted(calibration, run, vectors):
    """An SVM that is calibrated as the run's, in its folds; a run of an older version has not kept these."""
    if calibration is None:
        return OneVsRestSVM(vectors.C)
    folds = run.calibration_splits() or min(FOLDS, int(np.unique(vectors.train_labels, return_counts=True)[1].min()))
    return OneVsRestSVM(vectors.C, probability=calibration.method, cv=folds)


def _change(before, after, labels):
    was, is_ = (np.mean(scores.argmax(axis=1) == labels) for scores in (before, after))
    return (
        f"accuracy on {len(labels)} test items {was:.2%} before and {is_:.2%} after ({100 * (is_ - was):+.2f} points)"
    )
