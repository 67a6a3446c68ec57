"""Labels for image or video files from a trained run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_fvvae.data.items import item_collection
from keras_fvvae.zoo.loading import load_classifier


def predict(run: str | os.PathLike, files: Sequence[str | os.PathLike], top_k: int = 5) -> Iterator[dict[str, Any]]:
    """Classifies files.

    Args:
        run: path of a finished run.
        files: paths of images, or of videos (files or folders of frames) for a run that was trained on videos.
        top_k: labels per file.

    Yields:
        For every file in order a dictionary: `file` and either `labels` and `scores` (decision values, best first) or
        `error`, the reason why the file could not be used.

    Raises:
        RunError, WeightsError: if the run cannot be used.
    """
    classifier = load_classifier(run)
    encoder, reader = classifier.encoder, classifier.encoder.reader
    names = np.array(classifier.class_names)
    for vectors, positions in reader.vector_batches(encoder, item_collection(files, reader.kind)):
        scores = iter(ops.convert_to_numpy(classifier.svm(vectors)))
        for index, reason in positions:
            if reason:
                yield {"file": str(files[index]), "error": reason}
                continue
            row = next(scores)
            best = np.argsort(-row)[:top_k]
            yield {"file": str(files[index]), "labels": names[best].tolist(), "scores": row[best].tolist()}
