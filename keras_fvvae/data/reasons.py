"""What is wrong with items of a collection, as a file for those who repair them."""

from __future__ import annotations

import csv
import io

from keras_fvvae.data.collection import Collection


def reasons_csv(collection: Collection, reasons: dict[int, str]) -> bytes:
    """The content of a `.csv` file of items, given by their positions, and what is wrong with each.

    Example:
        >>> import numpy as np
        >>> collection = Collection([np.zeros((2, 2, 3), "uint8")] * 2, ["a.png", "b.png"], [0, 0], ["test"] * 2, ["x"])
        >>> reasons_csv(collection, {1: "the file is empty"})
        b'file,reason\\r\\nb.png,the file is empty\\r\\n'
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["file", "reason"])
    writer.writerows([collection.names[index], reason] for index, reason in sorted(reasons.items()))
    return text.getvalue().encode(errors="backslashreplace")  # names of files may be no Unicode
