"""Labels for image or video files from a trained run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data.collection import UNLABELLED, Collection
from keras_fvvae.data.pipeline import view_batches
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training.inputs.batch_sizes import items_per_batch
from keras_fvvae.training.vectors import mean_raw_vectors


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
    folder = RunFolder.open(run)
    views, kind = recipe_views(folder.recipe), folder.kind
    classifier = folder.classifier()
    encoder = classifier.encoder
    names = np.array(classifier.class_names)
    unlabelled, test = [UNLABELLED] * len(files), ["test"] * len(files)
    collection = Collection(files, files, unlabelled, test, names, kind=kind)
    for batch in view_batches(collection, range(len(files)), views, items_per_batch(views, kind)):
        readable = batch["count"].numpy() > 0
        if readable.any():
            raw = mean_raw_vectors(encoder, batch["views"].numpy(), batch["count"].numpy()[readable])
            scores = iter(ops.convert_to_numpy(classifier.svm(encoder.normalize_on_batch(raw))))
        for index, reason in zip(batch["index"].numpy(), batch["reason"].numpy(), strict=True):
            if reason:
                yield {"file": str(files[index]), "error": reason.decode()}
                continue
            row = next(scores)
            best = np.argsort(-row)[:top_k]
            yield {"file": str(files[index]), "labels": names[best].tolist(), "scores": row[best].tolist()}
