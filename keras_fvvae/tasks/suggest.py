"""Which of many unlabelled files to label next: of those that a run is unsure of, the ones that stand for many."""

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
from keras_fvvae.evaluation.diversity import representative
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.runs.vectors import RunVectors
from keras_fvvae.tasks.files import input_files
from keras_fvvae.tasks.seen import SeenItems
from keras_fvvae.training.vectors import row_slices
from keras_fvvae.utils.files import reason, write_atomically
from keras_fvvae.utils.progress import progress_bar
from keras_fvvae.utils.text import to_bytes
from keras_fvvae.zoo.loading import load_classifier

# Of so many times as many files as are suggested, those with the smallest margins, the most representative are taken,
# of a larger sample of all files: the vectors of both are in memory. On birds 4 and 10 in place of these were worse
# (docs/labelling.md).
CANDIDATES, SAMPLED = 10, 40


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
    run_path: str | os.PathLike, paths: Iterable[str | os.PathLike], count: int = 50, seed: int = 0, verbose: int = 1
) -> Suggestions:
    """Suggests files to label: of those with the smallest margins the ones that stand for most others.

    All files are classified, a batch at a time. Of ten times as many as are asked for, those with the smallest
    difference between the two best decision values, one after the other is taken that is nearest to most of a sample of
    all files, as far as these are not near to the run's labelled training items or to one taken before; near in the
    inner products of the vectors. So a suggestion is uncertain, no outlier, and unlike the others. Files that the run
    was trained on are passed over. Memory does not grow with the number of files.

    Args:
        run_path: a finished run with labels.
        paths: files, folders, patterns and lists, see `keras_fvvae.tasks.files.input_files`.
        count: how many to suggest.
        seed: of the sample.
        verbose: 1 for a progress bar.

    Raises:
        RunError: if the run cannot be used.
        DataError: if no file is left that could be suggested.

    Reference:
        Wei, Iyer, Bilmes, "Submodularity in Data Subset Selection and Active Learning", ICML 2015 ("filtered active
        submodular selection" by facility location).
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
    pool, sample = _Pool(CANDIDATES * count), _Sample(SAMPLED * count, seed)
    if usable:
        for position, margin, best, vector, objection in _judged(run_path, usable, verbose):
            if objection:
                failed[usable[position]] = objection
            else:
                pool.add(position, margin, best, vector)
                sample.add(vector)
    if not pool.entries:
        first = next((f" (the first: {path}: {why})" for path, why in failed.items()), "")
        raise DataError(
            f"No {run.kind} is left to suggest: {known} were trained on, {len(failed)} cannot be used{first}."
        )
    pool.cut()
    candidates = np.stack([entry.vector for entry in pool.entries])
    items, similarities, covered = run.vectors(), [], []
    for rows in row_slices(len(sample.vectors), candidates[:1].nbytes):
        part = np.stack(sample.vectors[rows]).astype("float32")
        similarities.append(part @ candidates.T)
        covered.append(_nearest(part, items))
    chosen = representative(np.concatenate(similarities), np.concatenate(covered), count)
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


class _Sample:
    """So many of all vectors, each with the same probability (reservoir sampling)."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.vectors, self._count = size, list[np.ndarray](), 0
        self._rng = np.random.default_rng(seed)

    def add(self, vector: np.ndarray) -> None:
        """Takes a vector, or leaves it; three decimal digits of its numbers do."""
        vector = vector.astype("float16")
        self._count += 1
        if len(self.vectors) < self.size:
            self.vectors.append(vector)
        elif (place := int(self._rng.integers(self._count))) < self.size:
            self.vectors[place] = vector


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
    """Of every vector the largest inner product with a labelled training item's, 0 at least, read by blocks."""
    nearest = np.zeros(len(vectors))
    for rows in row_slices(items.labelled, items.values[:1].nbytes):
        block = np.array(items.values[rows])
        nearest = np.maximum(nearest, (vectors @ block.T).max(axis=1))
    return nearest
