"""Image files to measure with."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_fvvae.data import Collection
from keras_fvvae.errors import DataError

# An image of ImageNet's mean size. Detail of 16 pixels and noise, because a smooth picture decodes faster than a photo.
SIZE = (375, 500)
DETAIL = 16
NOISE = 12.0


def image_paths(
    data: str | Path | None, folder: str | Path | None, count: int, size: tuple[int, int] = SIZE
) -> list[str]:
    """Paths of images to measure with: evenly chosen ones of a data folder, or JPEG files made in another folder.

    Args:
        data: folder that is searched in depth for `.jpg` and `.jpeg`; `None`: files are made.
        folder: where they are made.
        count: how many at most (in `data` there can be fewer).
        size: `(height, width)` in pixels of made files.

    Raises:
        DataError: if there is no such file in `data`.
    """
    if data is not None:
        paths = sorted(path for path in Path(data).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
        if not paths:
            raise DataError(f"There are no .jpg files below {data}.")
        return [str(path) for path in paths[:: max(1, len(paths) // count)][:count]]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for index in range(count):
        coarse = generator.integers(0, 255, (*(side // DETAIL for side in size), 3)).astype("float32")
        image = tf.image.resize(coarse, size, method="bicubic") + generator.normal(0, NOISE, (*size, 3))
        content = tf.io.encode_jpeg(tf.saturate_cast(image, tf.uint8)).numpy()
        (folder / f"{index:04d}.jpg").write_bytes(content)
    return [str(path) for path in sorted(folder.glob("*.jpg"))]


def as_collection(paths: Sequence[str | Path]) -> Collection:
    """Image files as a `Collection` of test items; one path may occur several times."""
    names = [f"{number}" for number in range(len(paths))]
    return Collection(paths, names, [0] * len(paths), ["test"] * len(paths), ["a", "b"])
