"""Labels that were added to a data set after it was made: a list such as `keras-fvvae suggest` writes to fill in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_fvvae.data.collection import UNLABELLED, Collection
from keras_fvvae.data.datasets.listing import load_list
from keras_fvvae.errors import DataError


def add_labels(collection: Collection, lists: Iterable[str | os.PathLike]) -> Collection:
    """A collection with the labelled items of some lists as further training items.

    Lines without a label are passed over: they are still to be labelled. An item that the collection has already is
    not taken twice (its file decides, not its name): without a label it gets one, in the test part it stays there.
    Classes that are new come after the others.

    Args:
        collection: a `Collection` of files.
        lists: paths of lists, see `keras_fvvae.data.datasets.listing.load_list`.

    Returns:
        A `Collection`; its notes say what was added.

    Raises:
        DataError: if a list cannot be used, has no labels yet, contradicts the collection, or the collection has boxes,
            which lists do not have.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in "abc":
        ...     (folder / f"{name}.jpg").touch()
        >>> _ = (folder / "labels.csv").write_text("file,label\\nc.jpg,bird\\n")
        >>> few = Collection([folder / "a.jpg", folder / "b.jpg"], ["a", "b"], [0, 1], ["train"] * 2, ["cat", "dog"])
        >>> more = add_labels(few, [folder / "labels.csv"])
        >>> more.names, more.class_names, more.labels.tolist()
        (['a', 'b', 'c.jpg'], ['cat', 'dog', 'bird'], [0, 1, 2])
    """
    for path in lists:
        collection = _with_list(collection, path)
    return collection


def _with_list(collection: Collection, path: str | os.PathLike) -> Collection:
    if collection.boxes is not None:
        raise DataError(f"Labels of {path} cannot be added to data with boxes, which lists do not have.")
    listed = load_list(path, kind=collection.kind, test_fraction=0)
    class_names = list(dict.fromkeys([*collection.class_names, *listed.class_names]))
    numbers = {name: number for number, name in enumerate(class_names)}
    known = {_identity(source): index for index, source in enumerate(collection.sources)}
    labels, label_sets = collection.labels.tolist(), _label_sets(collection)
    new: list[int] = []
    filled = repeated = tested = empty = 0
    for index, source in enumerate(listed.sources):
        if listed.labels[index] == UNLABELLED:
            empty += 1
            continue
        label = numbers[listed.class_names[listed.labels[index]]]
        present = known.get(_identity(source))
        if present is None:
            new.append(index)
        elif collection.splits[present] == "test":
            tested += 1
        elif labels[present] == UNLABELLED:
            labels[present], label_sets[present], filled = label, (label,), filled + 1
        elif labels[present] != label:
            raise DataError(
                f"{path} says that {listed.names[index]!r} is {class_names[label]!r}, and the data say "
                f"{class_names[labels[present]]!r}: correct one of them."
            )
        else:
            repeated += 1
    if empty == len(listed):
        raise DataError(f"{path} has no labels yet: fill in its column `label`.")
    sets = _label_sets(listed)
    label_sets += [tuple(numbers[listed.class_names[one]] for one in sets[index]) for index in new]
    labels += [label_sets[len(collection) + place][0] for place in range(len(new))]
    taken = set(map(str, collection.names))
    names = [name if (name := listed.names[index]) not in taken else str(listed.sources[index]) for index in new]
    counts = {
        "added": len(new) + filled,
        "without a label yet": empty,
        "in the data before": repeated,
        "in the test part, where they stay": tested,
    }
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count or what == "added")
    more: dict[str, Any] = {"kind": collection.kind, "missing": [*collection.missing, *listed.missing]}
    if collection.groups is not None:
        more["groups"] = [*collection.groups, *names]
    if any(len(one) > 1 for one in label_sets):
        more["label_sets"] = label_sets
    return Collection(
        [*collection.sources, *(listed.sources[index] for index in new)],
        [*collection.names, *names],
        labels,
        np.array([*collection.splits.tolist(), *["train"] * len(new)]),
        class_names,
        [*collection.notes, f"Training {collection.kind}s of {os.path.basename(path)}: {said}."],
        **more,
    )


def _label_sets(collection: Collection) -> list[tuple[int, ...]]:
    """Of every item all labels, the main one first."""
    if collection.label_sets is not None:
        return list(collection.label_sets)
    return [() if label == UNLABELLED else (label,) for label in collection.labels.tolist()]


def _identity(source: str | os.PathLike | np.ndarray) -> Any:
    """What two sources of one file have in common; an array is its own."""
    return id(source) if isinstance(source, np.ndarray) else os.path.realpath(source)
