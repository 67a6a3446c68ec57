"""Scores of runs and of files, each matched with the labels of its items."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from keras_fvvae.data.datasets.places import contradiction, read_table
from keras_fvvae.errors import DataError, RunError
from keras_fvvae.evaluation.activitynet import read_label_sets
from keras_fvvae.evaluation.score_tables import ScoreTable, item_keys, read_scores
from keras_fvvae.svm.calibration import Calibration
from keras_fvvae.tasks.scores.streams import read_run
from keras_fvvae.utils.text import normal_name


@dataclasses.dataclass(eq=False)
class Source:
    """Scores of items with labels, in the order of the scores.

    Attributes:
        name: of the run or file.
        representation: of the run; `"scores"` of a file.
        class_names: in the order of the scores' columns.
        items: ids of the items.
        scores: `(items, classes)`, or `(views, classes)`.
        labels: of every item, its classes as integers.
        notes: what did not go together, in sentences.
        calibration: of a run: how its scores become probabilities; else `None`.
        owners: of scores of views, the index of every view's item; else `None`.
    """

    name: str
    representation: str
    class_names: list[str]
    items: list[str]
    scores: np.ndarray
    labels: list[list[int]]
    notes: list[str]
    owners: np.ndarray | None = None
    calibration: Calibration | None = None


def read_sources(
    run_paths: Sequence[str | os.PathLike] = (),
    score_files: Sequence[str | os.PathLike] = (),
    *,
    labels: str | os.PathLike | None = None,
    annotations: str | os.PathLike | None = None,
    subset: str = "validation",
    views: bool = False,
) -> list[Source]:
    """Reads the scores of runs and files, and finds the labels of their items.

    Args:
        run_paths, score_files, labels, annotations, subset, views: see `keras_fvvae.tasks.scores.evaluate.evaluate`.

    Returns:
        A `Source` for every run, then for every file.

    Raises:
        RunError: for runs that cannot be read, or none and no scores.
        DataError: for files that cannot be used, or if no scored item has a label.
        ValueError: for two sources of labels.
    """
    if not run_paths and not score_files:
        raise RunError("There is nothing to evaluate: give a run or a file of scores.")
    if labels is not None and annotations is not None:
        raise ValueError("`labels` and `annotations` both say what is right: give one.")
    runs = [read_run(path) for path in run_paths]
    tables = [read_scores(path, views) for path in score_files]
    given = None
    if annotations is not None:
        given = read_label_sets(annotations, subset)
        given = {f"v_{name}": own for name, own in given.items()} | given  # scores may have either form
    sources = []
    for run in runs:
        names = [run.class_names[label] for label in run.test_labels]
        own = {name: [label] for name, label in zip(run.test.ids, names, strict=True)}
        source = labelled(run.test, run.representation, own if given is None else given)
        source.calibration = run.calibration
        tested = set(run.test_labels.tolist())
        if unseen := [run.class_names[label] for label in run.unseen if label in tested]:
            source.notes.append(f"{len(unseen)} classes have no training items, such as {unseen[0]!r}: always wrong.")
        sources.append(source)
    if tables:
        if given is None and labels is not None:
            given = _read_labels(labels)
        if given is None and runs:
            first = runs[0]
            given = {
                name: [first.class_names[label]] for name, label in zip(first.test.ids, first.test_labels, strict=True)
            }
        if given is None:
            raise DataError(f"{score_files[0]} has no labels to be compared with: give labels, annotations or a run.")
        sources += [labelled(table, "scores", given) for table in tables]
    return sources


def labelled(table: ScoreTable, representation: str, labels: dict[str, list[str]]) -> Source:
    """The rows of a table whose items have labels, and what did not go together as notes.

    Args:
        table: scores of items, or of views that repeat their item's id.
        representation: of the scores.
        labels: class names by id; ids are matched without video extensions where these stay unique.

    Raises:
        DataError: if no item has a label.
    """
    keys, label_keys = item_keys([table.ids, list(labels)])
    by_key = dict(zip(label_keys, labels.values(), strict=True))
    numbers = {name: number for number, name in enumerate(table.class_names)}
    unknown = {label for key in set(keys) & by_key.keys() for label in by_key[key] if label not in numbers}
    known = {key: [numbers[label] for label in own if label in numbers] for key, own in by_key.items()}
    rows = [row for row, key in enumerate(keys) if known.get(key)]
    if not rows:
        raise DataError(
            f"No item of {table.name} has a label of its classes: the scores begin with {keys[0]!r}, the labels with "
            f"{next(iter(labels), None)!r}."
        )
    items = list(dict.fromkeys(keys[row] for row in rows))
    notes = []
    if left_out := len(set(keys)) - len(items):
        notes.append(f"{left_out} scored items have no label of these classes and are left out.")
    scored, listed = ({key.removeprefix("v_") for key in each} for each in (keys, by_key))
    if unscored := len(listed - scored):
        notes.append(f"{unscored} labelled items have no scores and are left out.")
    if unknown:
        notes.append(
            f"{len(unknown)} labels are no classes of the scores, such as {min(unknown)!r}; they are left out."
        )
    places = {item: place for place, item in enumerate(items)}
    owners = np.array([places[keys[row]] for row in rows])
    return Source(
        table.name,
        representation,
        table.class_names,
        items,
        np.asarray(table.values[rows], "float64"),
        [known[item] for item in items],
        notes,
        owners if table.views else None,
    )


def _read_labels(path: str | os.PathLike) -> dict[str, list[str]]:
    """Labels by id of a `.csv` file with the columns `id` and `label`."""
    labels: dict[str, list[str]] = {}
    lines: dict[str, int] = {}
    for number, row in read_table(path, "id", "label"):
        name = normal_name(row["id"])
        if labels.setdefault(name, [row["label"]]) != [row["label"]]:
            raise contradiction(path, name, lines[name], number, (labels[name][0], row["label"]))
        if lines.setdefault(name, number) != number:
            raise DataError(f"{path} has the id {name!r} more than once (lines {lines[name]} and {number}).")
    return labels
