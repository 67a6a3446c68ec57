"""Which of many unlabelled files to label next: those that a run is least sure of, and that are not alike."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from keras import ops

from keras_fvvae.data.items import item_collection
from keras_fvvae.errors import DataError, RunError
from keras_fvvae.evaluation.diversity import spread_out
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.runs.vectors import RunVectors
from keras_fvvae.tasks.files import input_files
from keras_fvvae.tasks.seen import SeenItems
from keras_fvvae.training.vectors import BLOCK_ROWS
from keras_fvvae.utils.files import reason, write_atomically
from keras_fvvae.utils.progress import progress_bar
from keras_fvvae.utils.text import to_bytes
from keras_fvvae.zoo.loading import load_classifier

# Of so many times as many files as are suggested, those with the smallest margins, the most diverse are taken: the
# vectors of these are in memory.
CANDIDATES = 4


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """A file to label.

    Attributes:
        file: its path.
        predicted: the run's label.
        second: the second best.
        margin: the difference of their decision values; small: not sure.
    """

    file: str
    predicted: str
    second: str
    margin: float


@dataclasses.dataclass(frozen=True)
class Suggestions:
    """What was found in a folder of files.

    Attributes:
        chosen: `Suggestion`s, the most useful first.
        files: how many were looked at.
        seen: of these, how many the run was trained on.
        failed: by path why files could not be used.
    """

    chosen: list[Suggestion]
    files: int
    seen: int
    failed: dict[str, str]


def suggest(
    run_path: str | os.PathLike, paths: Iterable[str | os.PathLike], count: int = 50, verbose: int = 1
) -> Suggestions:
    """Suggests files to label: of those with the smallest margins the ones that differ most in the run's kernel.

    All files are classified, a batch at a time. Of four times as many as are asked for, those with the smallest
    difference between the two best decision values, one after the other is taken that is farthest from the run's
    labelled training items and from those taken before, in the inner products of the vectors. Files that the run was
    trained on are passed over. Memory does not grow with the number of files.

    Args:
        run_path: a finished run with labels.
        paths: files, folders, patterns and lists, see `keras_fvvae.tasks.files.input_files`.
        count: how many to suggest.
        verbose: 1 for a progress bar.

    Raises:
        RunError: if the run cannot be used.
        DataError: if no file is left that could be suggested.

    Reference:
        Zhdanov, "Diverse mini-batch Active Learning", 2019 (uncertain ones first, diverse ones of these); Sener,
        Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", ICLR 2018 (the greedy
        choice).
    """
    run = RunFolder.open(run_path)
    if len(run.class_names) < 2:
        raise RunError(f"The run {run_path} was trained without labels: it cannot tell what it is unsure of.")
    failed: dict[str, str] = {}
    seen, usable, total = SeenItems.of_run(run), [], 0
    for path, objection in input_files(paths, run.kind):
        total += 1
        if objection:
            failed[path] = objection
        elif not seen.how(path):
            usable.append(path)
    known = total - len(failed) - len(usable)
    pool = _Pool(CANDIDATES * count)
    if usable:
        for position, margin, best, vector, objection in _judged(run_path, usable, verbose):
            if objection:
                failed[usable[position]] = objection
            else:
                pool.add(position, margin, best, vector)
    if not pool.entries:
        raise DataError(f"No {run.kind} is left to suggest: {known} were trained on, {len(failed)} cannot be used.")
    pool.cut()
    vectors = np.stack([entry.vector for entry in pool.entries])
    chosen = spread_out(vectors @ vectors.T, _nearest(vectors, run.vectors()), count)
    names = run.class_names
    found = [
        Suggestion(usable[entry.position], names[entry.best[0]], names[entry.best[1]], entry.margin)
        for entry in (pool.entries[index] for index in chosen)
    ]
    return Suggestions(found, total, known, failed)


def write_suggestions(suggestions: Suggestions, path: str | os.PathLike) -> None:
    """Writes a CSV list to be filled in: `file` (relative to the list), an empty `label`, and what the run says.

    `keras-fvvae train --add-labels` reads it; lines that stay without a label are passed over there.

    Raises:
        DataError: if it cannot be written.
    """
    path = Path(path)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "label", "predicted", "second", "margin"])
    for one in suggestions.chosen:
        name = os.path.relpath(one.file, path.parent)
        writer.writerow([name, "", one.predicted, one.second, f"{one.margin:.4f}"])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, to_bytes(text.getvalue()))
    except OSError as error:
        raise DataError(f"The list {path} cannot be written: {reason(error)}.") from error


@dataclasses.dataclass(frozen=True, eq=False)
class _Entry:
    position: int
    margin: float
    best: tuple[int, int]
    vector: np.ndarray


class _Pool:
    """The candidates with the smallest margins; at most twice as many are held in between."""

    def __init__(self, size: int) -> None:
        self.size, self.entries = size, list[_Entry]()

    def add(self, position: int, margin: float, best: tuple[int, int], vector: np.ndarray) -> None:
        """Takes a candidate."""
        self.entries.append(_Entry(position, margin, best, vector))
        if len(self.entries) >= 2 * self.size:
            self.cut()

    def cut(self) -> None:
        """Keeps the best."""
        self.entries.sort(key=lambda entry: (entry.margin, entry.position))
        del self.entries[self.size :]


def _judged(
    run: str | os.PathLike, files: list[str], verbose: int
) -> Iterator[tuple[int, float, tuple[int, int], np.ndarray, str]]:
    """Of every file its position, margin, two best classes and vector, or why it cannot be used."""
    classifier = load_classifier(run)
    encoder, reader = classifier.encoder, classifier.encoder.reader
    batches = reader.vector_batches(encoder, item_collection(files, reader.kind))
    with progress_bar("Looking for what to label", len(files), enabled=bool(verbose)) as update:
        for vectors, positions in batches:
            rows = iter(zip(vectors, ops.convert_to_numpy(classifier.svm(vectors)), strict=True))
            for position, objection in positions:
                if objection:
                    yield position, 0.0, (0, 0), vectors[:0], objection
                    continue
                vector, scores = next(rows)
                first, second = np.argsort(-scores)[:2].tolist()
                yield position, float(scores[first] - scores[second]), (first, second), np.array(vector), ""
            update(positions[-1][0] + 1)


def _nearest(vectors: np.ndarray, items: RunVectors) -> np.ndarray:
    """Of every vector the largest inner product with a labelled training item's; these are read a block at a time."""
    nearest = np.full(len(vectors), -np.inf)
    for start in range(0, items.labelled, BLOCK_ROWS):
        block = np.array(items.values[start : min(start + BLOCK_ROWS, items.labelled)])
        nearest = np.maximum(nearest, (vectors @ block.T).max(axis=1))
    return nearest
