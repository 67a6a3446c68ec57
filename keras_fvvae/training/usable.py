"""Which items of a collection a training uses, and the lists of those that it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_fvvae.data import Collection
from keras_fvvae.data.collection import SPLITS, UNLABELLED
from keras_fvvae.data.reasons import reasons_csv
from keras_fvvae.errors import DataError
from keras_fvvae.runs.folder import RunFolder


def usable_items(collection: Collection, skipped: dict[int, str], max_unreadable: float, listing: Path) -> Collection:
    """The readable items: labelled training items, unlabelled ones, test items; test items without label are dropped.

    The order does not depend on what was skipped.

    Args:
        collection: all items.
        skipped: by position the reason of those that cannot be used.
        max_unreadable: the largest share of them that is allowed.
        listing: the file that names them all, for messages.

    Raises:
        DataError: if more cannot be used, or too few classes remain.
    """
    share = len(skipped) / len(collection)
    if share > max_unreadable:
        example = min(skipped)
        raise DataError(
            f"{len(skipped)} of {len(collection)} {collection.kind}s cannot be used ({share:.0%}, allowed are "
            f"{max_unreadable:.0%}); the first is {collection.names[example]}: {skipped[example]}. All are listed in "
            f"{listing}; repair or remove them, or raise --max-unreadable."
        )
    train, test = ([i for i in collection.indices(split) if i not in skipped] for split in SPLITS)
    labelled = collection.labels != UNLABELLED
    kept = [i for i in train if labelled[i]] + [i for i in train if not labelled[i]] + [i for i in test if labelled[i]]
    if not kept:
        raise DataError(f"None of the {len(collection)} {collection.kind}s can be used; the reasons are in {listing}.")
    usable = collection.subset(kept)
    unscored = np.count_nonzero((collection.labels == UNLABELLED) & (collection.splits == "test"))
    if unscored:
        usable.notes.append(f"{unscored} test {collection.kind}s have no label and are not scored.")
    if usable.class_names and len(set(usable.labels[usable.indices("train")].tolist()) - {UNLABELLED}) < 2:
        raise DataError(f"Fewer than two classes have readable training {collection.kind}s.")
    return usable


def write_reasons(run: RunFolder, name: str, collection: Collection, reasons: dict[int, str]) -> None:
    """Writes a `.csv` file of items, given by their positions, and what is wrong with each."""
    run.write(name, reasons_csv(collection, reasons))
