"""Labels for image or video files from a trained model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_fvvae.data.items import item_collection
from keras_fvvae.zoo.loading import load_classifier
from keras_fvvae.zoo.sources import TrainedFile


def predict(
    source: str | os.PathLike | TrainedFile,
    files: Sequence[str | os.PathLike],
    top_k: int = 5,
    coverage: float | None = None,
) -> Iterator[dict[str, Any]]:
    """Classifies files.

    Args:
        source: a finished run, a pack or an entry with trained weights, see `keras_fvvae.zoo.load_classifier`.
        files: paths of images, or of videos (files or folders of frames) for a model of videos.
        top_k: labels per file.
        coverage: answer "none of these" where the best label's probability is below the threshold that so many
            items of its classes reach, see `keras_fvvae.svm.calibration.Calibration.threshold`. Default: never.

    Yields:
        For every file in order a dictionary: `file` and either `labels` and `scores` (decision values, best first), of
        a calibrated model `probabilities` of these labels, and with `coverage` `answer`, the best label or `None`; or
        `error`, the reason why the file could not be used.

    Raises:
        RunError, WeightsError: if the model cannot be used, or has no probabilities for a `coverage`.
        ValueError: for a `coverage` that is no share.
    """
    classifier = load_classifier(source)
    encoder, reader = classifier.encoder, classifier.encoder.reader
    names = np.array(classifier.class_names)
    calibration = classifier.calibration
    threshold = None if coverage is None else classifier.require_calibration().threshold(coverage)
    for vectors, positions in reader.vector_batches(encoder, item_collection(files, reader.kind)):
        scores = iter(ops.convert_to_numpy(classifier.svm(vectors)))
        for index, reason in positions:
            if reason:
                yield {"file": str(files[index]), "error": reason}
                continue
            row = next(scores)
            best = np.argsort(-row)[:top_k]
            result = {"file": str(files[index]), "labels": names[best].tolist(), "scores": row[best].tolist()}
            if calibration is not None:
                result["probabilities"] = calibration.probabilities(row[np.newaxis])[0, best].tolist()
            if threshold is not None:
                result["answer"] = result["labels"][0] if result["probabilities"][0] >= threshold else None
            yield result
