"""Scores of single views: the frames of videos and the crops of images, each classified by itself."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from keras import ops

from keras_fvvae.data.batch_sizes import backbone_batch_size
from keras_fvvae.errors import DataError, RunError
from keras_fvvae.evaluation.score_tables import ScoreTable
from keras_fvvae.models import FisherEncoder
from keras_fvvae.runs.datasets import recipe_collection
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.tasks.scores.streams import read_run
from keras_fvvae.training.inputs.activations import ActivationInputs
from keras_fvvae.training.vectors import MAX_VIEWS
from keras_fvvae.utils.cache import activations_folder
from keras_fvvae.utils.progress import progress_bar
from keras_fvvae.utils.text import normal_name


def view_scores(
    run: str | os.PathLike,
    data: str | os.PathLike | None = None,
    cache: str | os.PathLike | None = None,
    dataset_options: dict[str, Any] | None = None,
    verbose: int = 1,
) -> ScoreTable:
    """Scores of every view of a run's test items.

    An item's score in a run is that of the mean of its views' raw vectors, normalised once (Section 4); here each
    view's raw vector is normalised and classified alone. Activations that are cached are not computed again.

    Args:
        run: path of a finished run.
        data: the folder or list that it was trained on; `None` for embedded data sets.
        cache: folder of the cached activations. Default: as for `train`.
        dataset_options: arguments of the data set's loader, before those that the run was trained with: where its
            annotations lie here.
        verbose: 1 for progress bars.

    Returns:
        `ScoreTable` with one row a view, of the test items in the run's order.

    Raises:
        RunError: if there is no finished run with test items.
        DataError: if the data cannot be used, or lacks a test item.
    """
    names = read_run(run).test.ids
    folder = RunFolder(run)  # opened and checked by `read_run`
    recipe = folder.recipe.replace(dataset_options={**folder.recipe.dataset_options, **(dataset_options or {})})
    if recipe.branches:
        raise RunError(
            f"{run} has branches at several taps, whose views are not scored alone: score those of a branch."
        )
    items = _items(recipe_collection(recipe, data), names, run, data)
    classifier = folder.classifier()
    encoder = classifier.encoder
    inputs = ActivationInputs(items, folder.recipe, encoder.backbone, activations_folder(cache))
    if skipped := inputs.prepare(verbose):
        index = min(skipped)
        raise DataError(f"{len(skipped)} test items cannot be read; the first is {names[index]}: {skipped[index]}.")
    head = FisherEncoder(encoder.descriptors, encoder.head, encoder.normalization, compression=encoder.compression)
    size = min(MAX_VIEWS, backbone_batch_size(inputs.shape[:2]))
    counts: list[int] = []
    values: list[np.ndarray] = []
    with progress_bar("Views", len(items), enabled=bool(verbose)) as update:
        for maps, owned in inputs.batches(np.arange(len(items))):
            for start in range(0, len(maps), size):
                raw = head.predict_raw_on_batch(maps[start : start + size])
                values.append(ops.convert_to_numpy(classifier.svm(head.normalize_on_batch(raw))))
            counts.extend(owned)
            update(len(counts))
    ids = np.repeat(names, counts).tolist()
    return ScoreTable(str(run), ids, np.concatenate(values), list(classifier.class_names), views=True)


def _items(collection, names, run, data):
    places = {normal_name(str(name)): index for index, name in enumerate(collection.names)}
    missing = [name for name in names if name not in places]
    if missing:
        raise DataError(
            f"{len(missing)} of the {len(names)} test items of {run} are not in {data or 'its data set'}, such as "
            f"{missing[0]!r}: give the data that it was trained on."
        )
    return collection.subset([places[name] for name in names])
