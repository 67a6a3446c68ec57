"""Data sets of TensorFlow Datasets, written once as the files that everything else here works on."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.data.collection import Collection
from keras_fvvae.errors import DataError
from keras_fvvae.utils.files import reason, write_atomically, write_json
from keras_fvvae.utils.labels import UNLABELLED
from keras_fvvae.utils.text import parse_json

# Written last: a folder that has it is whole.
COMPLETE = "collection.json"
_SIGNATURES = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"GIF8": "gif", b"BM": "bmp", b"RIFF": "webp"}


def load_tfds(
    builder: Any,
    directory: str | os.PathLike,
    train: str = "train",
    test: str = "test",
    image: str | None = None,
    label: str | None = None,
    data_dir: str | None = None,
) -> Collection:
    """Collects a data set of TensorFlow Datasets.

    Its images are written below `directory` as they are encoded, its videos as folders of encoded frames; nothing is
    decoded. A second call only lists them. An interrupted call is continued by the next.

    Args:
        builder: a builder of `tensorflow_datasets`, or a name such as `"caltech_birds2011"`, which is downloaded.
        directory: where the files go, in a sub-folder per data set, version and choice of splits.
        train: the split for training, such as `"train"` or `"train[:80%]"`.
        test: the split for testing, or None.
        image: name of the feature with the image or video; by default the supervised one, or the only one.
        label: name of the feature with the label or the labels; by default the supervised one, or `"label"`.
        data_dir: where `tensorflow_datasets` keeps a data set that is given by name.

    Returns:
        A `Collection` of the files.

    Raises:
        DataError: if `tensorflow_datasets` is not installed, or the data set cannot be had, read or written.
    """
    tfds = _import_tfds()
    builder = _prepared(tfds, builder, data_dir)
    image, label = _features(tfds, builder, image, label)
    kind = "video" if isinstance(builder.info.features[image], tfds.features.Video) else "image"
    parts = {"train": train} | ({} if test is None else {"test": test})
    choice = {"dataset": builder.info.full_name, "splits": parts, "image": image, "label": label}
    digest = hashlib.sha256(json.dumps(choice, sort_keys=True).encode()).hexdigest()[:8]
    folder = Path(directory) / f"{builder.info.full_name.replace('/', '-')}-{digest}"
    rows = _rows_on_disk(folder)
    if rows is None:
        try:
            rows = [row for part, split in parts.items() for row in _write(tfds, builder, part, split, choice, folder)]
            write_json(folder / COMPLETE, choice | {"rows": rows})
        except OSError as error:
            raise DataError(f"{choice['dataset']} cannot be written to {folder}: {reason(error)}.") from error
    feature = builder.info.features[label] if label else None
    known = getattr(getattr(feature, "feature", feature), "names", None)  # None but for class labels.
    class_names = list(known or sorted({name for _, names, _ in rows for name in names}))
    numbers = {name: number for number, name in enumerate(class_names)}
    label_sets = [tuple(numbers[name] for name in names) for _, names, _ in rows]
    return Collection(
        [folder / file for file, _, _ in rows],
        [file for file, _, _ in rows],
        np.array([labels[0] if labels else UNLABELLED for labels in label_sets]),
        [part for *_, part in rows],
        class_names,
        kind=kind,
        label_sets=label_sets if any(len(labels) > 1 for labels in label_sets) else None,
    )


def load_tfds_below(
    directory: str | os.PathLike,
    builder: str,
    train: str = "train",
    test: str = "test",
    image: str | None = None,
    label: str | None = None,
    data_dir: str | None = None,
) -> Collection:
    """`load_tfds` with the path first, as every loader of a recipe's data takes it."""
    return load_tfds(builder, directory, train, test, image, label, data_dir)


def _import_tfds():
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise DataError(
            f"Data sets of TensorFlow Datasets need tensorflow_datasets ({error}): pip install keras_fvvae[tfds]"
        ) from error
    return tensorflow_datasets


def _prepared(tfds, builder, data_dir):
    """A builder whose records are on disk."""
    try:
        if isinstance(builder, str):
            builder = tfds.builder(builder, data_dir=data_dir)
        builder.download_and_prepare()
    except tfds.core.DatasetNotFoundError as error:
        raise DataError(f"TensorFlow Datasets has no data set {builder!r}; see `tfds.list_builders()`.") from error
    except ImportError as error:  # Some data sets need packages of their own to be prepared.
        raise DataError(f"The data set {builder!r} needs a package that is not installed: {error}.") from error
    except (OSError, tfds.download.DownloadError) as error:
        name = builder if isinstance(builder, str) else builder.info.full_name
        raise DataError(f"The data set {name} cannot be downloaded or prepared: {_first_line(error)}.") from error
    return builder


def _features(tfds, builder, image, label):
    """Names of the feature with the image or video, and of that with the label or None."""
    features = builder.info.features
    keys = builder.info.supervised_keys or (None, None)
    media = [
        name for name, feature in features.items() if isinstance(feature, tfds.features.Image | tfds.features.Video)
    ]
    for name in filter(None, (image, label)):
        if name not in features:
            raise DataError(f"{builder.info.full_name} has no feature {name!r}; it has {', '.join(features)}.")
    if image is None:
        image = keys[0] if keys[0] in media else media[0] if len(media) == 1 else None
    if image not in media:
        raise DataError(
            f"{builder.info.full_name} needs `image`, one of its features with an image or video: "
            f"{', '.join(media) or 'it has none'}."
        )
    if label is None:
        label = next((name for name in (keys[1], "label") if isinstance(name, str) and name in features), None)
    return image, label


def _write(tfds, builder, part, split, choice, folder):
    """Writes the files of a part that are not there yet; yields rows of file, names of the labels, part."""
    image, label = choice["image"], choice["label"]
    wanted = {name: builder.info.features[name] for name in (image, label) if name}
    decoders = tfds.decode.PartialDecoding(wanted, decoders={image: tfds.decode.SkipDecoding()})
    # One file after the other: the same order, and so the same names, in every call.
    config = tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1)
    try:
        dataset = builder.as_dataset(split=split, decoders=decoders, shuffle_files=False, read_config=config)
    except ValueError as error:
        known = ", ".join(builder.info.splits)
        raise DataError(f"{choice['dataset']} has no split {split!r}; it has {known}.") from error
    (folder / part).mkdir(parents=True, exist_ok=True)
    for number, example in enumerate(dataset.as_numpy_iterator()):
        content, name = example[image], f"{part}/{number:08d}"
        if isinstance(content, bytes):
            name = f"{name}.{_extension(content, name, choice)}"
            _write_once(folder / name, content)
        else:
            (folder / name).mkdir(exist_ok=True)
            for position, frame in enumerate(content, start=1):
                _write_once(folder / name / f"img_{position:05d}.{_extension(frame, name, choice)}", frame)
        yield [name, _label_names(builder.info.features[label], example[label]) if label else [], part]


def _write_once(path, content):
    if not path.is_file() or path.stat().st_size != len(content):
        write_atomically(path, content)


def _extension(content, name, choice):
    for signature, extension in _SIGNATURES.items():
        if content.startswith(signature):
            return extension
    raise DataError(f"{choice['dataset']}: {name} is not a JPEG, PNG, GIF, BMP or WebP image; choose another `image`.")


def _label_names(feature, value):
    """The labels of an example as texts: one, several, or none where the label is hidden (-1)."""
    names = getattr(getattr(feature, "feature", feature), "names", None)
    found = []
    for each in np.atleast_1d(value).tolist():
        if isinstance(each, bytes):
            found.append(each.decode())
        elif each != UNLABELLED:
            found.append(names[each] if names else str(each))
    return list(dict.fromkeys(found))


def _rows_on_disk(folder):
    """The rows of a folder that is whole, or None."""
    try:
        rows = parse_json((folder / COMPLETE).read_bytes())["rows"]
    except (OSError, ValueError, KeyError):
        return None
    return rows if all(os.path.exists(folder / file) for file, *_ in rows) else None


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
