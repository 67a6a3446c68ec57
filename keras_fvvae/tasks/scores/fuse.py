"""Fusion of finished runs and of other methods' scores or features, with its gain."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.errors import DataError, RunError
from keras_fvvae.evaluation.bootstrap import RESAMPLES
from keras_fvvae.evaluation.evaluate import compare_scores, plain_metrics
from keras_fvvae.evaluation.fusion import best_weights, choose_weights, late_fusion, weightings
from keras_fvvae.evaluation.score_tables import class_order, item_keys, read_features, read_scores, scores_csv
from keras_fvvae.svm.kernels import kernel_scores, out_of_fold_scores
from keras_fvvae.tasks.scores.streams import Stream, read_run, run_stream
from keras_fvvae.utils.files import write_atomically

METHODS = ("late", "kernel")
# Every weighting of kernels is a cross-validation of SVMs, so few are tried.
MAX_KERNEL_WEIGHTINGS = 21


def fuse(
    run_paths: Sequence[str | os.PathLike],
    weights: Sequence[float] | str | None = None,
    *,
    scores: Sequence[str | os.PathLike] = (),
    features: Sequence[str | os.PathLike] = (),
    method: str = "late",
    normalize: str = "none",
    folds: int = 5,
    seed: int = 0,
    out: str | os.PathLike | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Fuses streams on the same data, for example frames, optical flow and IDT, on their common test items.

    Items are matched by name (without video extensions where these stay unique), classes by name.

    Args:
        run_paths: one or more finished runs; the first gives labels and the order of classes. With `scores` and
            `features` there are at least two streams. Test items that one of them does not have are left out of all.
        weights: one number a stream (runs, then scores, then features), `None` for equal ones, or
            `"cross-validation"`: those of the highest accuracy on the TRAINING items, each scored by SVMs that have not
            seen it. Test items have no part in that.
        scores: files of other methods' scores of the test items, see
            `keras_fvvae.evaluation.score_tables.read_scores`. For cross-validation they must hold the training items
            too, with scores from a cross-validation.
        features: files of other methods' vectors of training and test items, see
            `keras_fvvae.evaluation.score_tables.read_features`. They are scaled to unit length, as a run's are, and
            one-vs-all SVMs with the first run's C are trained.
        method: `"late"`: the weighted mean of the scores; `"kernel"`: SVMs on the weighted sum of the streams'
            linear kernels, which is that of their vectors, scaled by the roots of the weights and concatenated.
        normalize: `"l2"` scales the scores of each item and stream to unit length before a late fusion.
        folds, seed: of the cross-validation.
        out: `.csv` file for the fused scores, in the format of `scores`.
        resamples: of the bootstrap of the gain; 0 for none.

    Returns:
        Dictionary: `items`: fused test items; `left_out`; `left_out_training`: training items that not all streams
        have, where they were used; `streams`: for every stream, by its folder or file, the results of
        `plain_metrics` on them; `fusion`: those of the fused scores; `weights` by stream;
        `training_accuracy`: of these weights in the cross-validation, else `None`; `gain`: of accuracy over the best
        stream; `gain_standard_error`: of that difference, from the paired right and wrong answers; `comparison`: best
        stream and fusion, see `keras_fvvae.evaluation.evaluate.compare_scores`; `method`; `normalize`; `notes`.

    Raises:
        RunError: for fewer than two streams, runs without test scores, of different classes or splits, or without
            common items.
        DataError: for files that cannot be used: see `keras_fvvae.evaluation.score_tables`.
        ValueError: for arguments that do not go together.
    """
    _check_arguments(run_paths, scores, features, method, normalize)
    runs = [read_run(path) for path in run_paths]
    class_names = runs[0].class_names
    streams, train, test, labels = _streams(runs, scores, features, class_names)
    cross_validated = isinstance(weights, str)
    if cross_validated and weights != "cross-validation":
        raise ValueError(f"`weights` must be numbers, None or 'cross-validation'. Received: weights={weights!r}")
    common = _common_items([s.has for s in streams], test, "test", streams)
    trains = cross_validated or method == "kernel" or any(stream.trains for stream in streams)
    common_train, train_labels = [], np.zeros(0, int)
    if trains:
        _require_training(streams, train, cross_validated, method)
        needed = [s.has_training for s in streams if s.has_vectors or cross_validated]
        common_train = _common_items(needed, train, "training", streams)
        train_labels = np.array([labels[item] for item in common_train])
    test_labels = np.array([labels[item] for item in common])
    count = len(class_names)
    parts = [stream.test_scores(common, common_train, train_labels, count) for stream in streams]
    chosen: Any = weights
    if method == "kernel":
        chosen, accuracy, fused = _fuse_kernels(
            streams, common, common_train, train_labels, count, chosen, cross_validated, runs[0].C, folds, seed
        )
    else:
        accuracy = None
        if cross_validated:
            held_out = [s.training_scores(common_train, train_labels, count, folds, seed) for s in streams]
            chosen, accuracy = choose_weights(held_out, train_labels, normalize)
        fused = late_fusion(parts, chosen, normalize)
    if out is not None:
        write_atomically(Path(out), scores_csv(common, class_names, fused).encode())
    shares = [1.0] * len(streams) if chosen is None else [float(weight) for weight in chosen]
    every = {item for stream in streams for item in test if stream.has(item)}
    return {
        "items": len(common),
        "left_out": len(every) - len(common),
        "left_out_training": len(train) - len(common_train) if trains else 0,
        **_results(streams, parts, fused, test_labels, class_names, resamples),
        "weights": {stream.name: weight / sum(shares) for stream, weight in zip(streams, shares, strict=True)},
        "training_accuracy": accuracy,
        "method": method,
        "normalize": normalize,
        "notes": _notes(runs, method, cross_validated, scores),
    }


def _check_arguments(run_paths, scores, features, method, normalize):
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {METHODS}. Received: method={method!r}")
    if len(run_paths) + len(scores) + len(features) < 2:
        raise RunError("Fusion needs at least two finished runs.")
    if not run_paths:
        raise RunError("Fusion needs at least one finished run: it gives the labels of the test items.")
    if len({Path(path).resolve() for path in run_paths}) < len(run_paths):
        raise RunError("One run is named twice.")
    files = [Path(path).resolve() for path in (*scores, *features)]
    if len(set(files)) < len(files):
        raise DataError("One file of scores or features is named twice.")
    if method == "kernel" and scores:
        raise ValueError("Kernel fusion needs vectors: give `features` instead of `scores`, or use late fusion.")
    if method == "kernel" and normalize != "none":
        raise ValueError("`normalize` is for the scores of a late fusion; kernels are of unit vectors already.")


def _streams(runs, score_files, feature_files, class_names):
    """The streams; all runs' training items and test items, in order; and their labels in the first run's order."""
    tables = [(read_scores(path), True) for path in score_files]
    tables += [(read_features(path), False) for path in feature_files]
    own = [run.train_names + run.test.ids for run in runs]
    keys = item_keys([*own, *(table.ids for table, _ in tables)])
    names = ", ".join(run.path for run in runs)
    streams, labels, train, test = [], {}, {}, {}
    for run, run_keys in zip(runs, keys, strict=False):
        if set(run.class_names) != set(class_names):
            raise RunError(f"The runs {names} were trained on different classes and cannot be fused.")
        columns = class_order(run.test, class_names)
        numbers = np.argsort(columns)  # of its classes in the common order
        ends = len(run.train_names)
        for item, label in zip(run_keys, numbers[[*run.train_labels, *run.test_labels]].tolist(), strict=True):
            if labels.setdefault(item, label) != label:
                raise RunError(f"The runs {names} disagree about the labels of their test items, such as {item!r}.")
        train |= dict.fromkeys(run_keys[:ends])
        test |= dict.fromkeys(run_keys[ends:])
        streams.append(run_stream(run, columns, run_keys[:ends], run_keys[ends:]))
    if both := train.keys() & test.keys():
        raise RunError(
            f"{min(both)!r} is a training item of one of the runs {names} and a test item of another: they have "
            f"different splits, and a fusion would be tested on what it was trained on."
        )
    for (table, are_scores), table_keys in zip(tables, keys[len(runs) :], strict=True):
        rows = {key: row for row, key in enumerate(table_keys)}
        if are_scores:
            values = table.values[:, class_order(table, class_names)]
            streams.append(Stream(table.name, scores=values, scored=rows))
        else:
            vectors = table.values
            stream = Stream(table.name, rows=rows, vectors=lambda array=vectors: array, C=runs[0].C, normalize=True)
            streams.append(stream)
    return streams, train, test, labels


def _common_items(has, items, which, streams):
    common = [item for item in items if all(each(item) for each in has)]
    if not common:
        names = ", ".join(stream.name for stream in streams)
        raise RunError(f"The runs {names} have no {which} items in common.")
    return common


def _require_training(streams, train, cross_validated, method):
    for stream in streams:
        if (cross_validated or method == "kernel" or stream.trains) and not any(map(stream.has_training, train)):
            raise DataError(
                f"{stream.name} holds no training items of the runs: without them weights cannot be found and no SVM "
                f"trained. Give fixed weights, or a file with the training items (scores from a cross-validation)."
            )


def _fuse_kernels(streams, test, train, labels, count, weights, cross_validated, C, folds, seed):
    """Weights, their accuracy in the cross-validation, and scores of the test items."""
    grams = [stream.gram(train) for stream in streams]

    def combined(weights, matrices):
        return sum(weight * matrix for weight, matrix in zip(weights, matrices, strict=True))

    def accuracy(weights):
        held_out = out_of_fold_scores(combined(weights, grams), labels, count, C, folds, seed)
        return float(np.mean(held_out.argmax(axis=1) == labels))

    value = None
    if cross_validated:
        weights, value = best_weights(accuracy, weightings(len(streams), MAX_KERNEL_WEIGHTINGS))
    weights = np.ones(len(streams)) if weights is None else np.asarray(weights, "float64")
    if weights.shape != (len(streams),) or (weights < 0).any() or not weights.sum() > 0:
        raise ValueError(f"`weights` must be {len(streams)} numbers, none negative, not all 0. Received: {weights}")
    weights = weights / weights.sum()
    cross = combined(weights, [stream.gram(test, train) for stream in streams])
    return weights, value, kernel_scores(combined(weights, grams), labels, cross, count, C)


def _results(streams, parts, fused, labels, class_names, resamples):
    right = [one.argmax(axis=1) == labels for one in (*parts, fused)]
    best = int(np.argmax([each.mean() for each in right[:-1]]))
    difference = right[-1].astype(float) - right[best]
    comparison = compare_scores(parts[best], fused, labels, class_names, resamples=resamples)
    return {
        "streams": {
            stream.name: plain_metrics(one, labels, class_names) for stream, one in zip(streams, parts, strict=True)
        },
        "fusion": plain_metrics(fused, labels, class_names),
        "gain": float(difference.mean()),
        "gain_standard_error": float(difference.std() / np.sqrt(len(difference))),
        "comparison": {"best_stream": streams[best].name, **comparison},
    }


def _notes(runs, method, cross_validated, scores):
    notes = []
    if cross_validated and scores:
        notes.append(
            "Scores of training items in files are taken to be cross-validated; others would be sure of everything."
        )
    if method == "kernel" and len({run.C for run in runs}) > 1:
        notes.append(f"The runs' SVMs have different C; the kernels' has that of the first, {runs[0].C:g}.")
    tested = set(runs[0].test_labels.tolist())
    if unseen := [runs[0].class_names[label] for label in runs[0].unseen if label in tested]:
        notes.append(f"{len(unseen)} classes have test items and no training items, such as {unseen[0]!r}.")
    return notes
