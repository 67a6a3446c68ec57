"""A folder of images with one sub-folder per class."""

import os
from pathlib import Path

import numpy as np

from keras_fvvae.data.collection import SPLITS, Collection
from keras_fvvae.errors import DataError
from keras_fvvae.files import reason

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
# Names under which data sets keep their parts; validation images are test images where a data set has no other.
SPLIT_FOLDERS = {"train": ("train", "training"), "test": ("test", "val", "validation", "valid")}
DEFAULT_TEST_FRACTION = 0.25


def load_image_folder(directory, test_fraction=DEFAULT_TEST_FRACTION, seed=0):
    """Collects the images of a folder.

    Two layouts are understood: `DIR/<class>/**/<image>`, split at random with every class in the same proportion, and
    `DIR/train/<class>/**/<image>` beside `DIR/test/...` (or `val`), taken as it is. Hidden files are passed over;
    classes and images are in sorted order, so that the same folder always gives the same collection.

    Args:
        directory: the folder.
        test_fraction: share of every class that is held out for testing in the first layout; 0 holds out nothing.
        seed: of the random split.

    Returns:
        A `Collection`; its `notes` name what was passed over.

    Raises:
        DataError: if the folder is missing or unreadable, or holds fewer than two classes with images.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise DataError(f"The data folder {directory} does not exist or is not a folder.")
    if not 0 <= test_fraction < 1:
        raise ValueError(f"`test_fraction` must be in [0, 1). Received: test_fraction={test_fraction}")
    notes = []
    parts = _split_folders(directory)
    rows = []  # (path, class name, split or None)
    for split, folder in parts.items() or {None: directory}.items():
        for class_folder in _subfolders(folder):
            paths = _images(class_folder, notes)
            if not paths:
                notes.append(f"The class folder {class_folder} holds no images and is left out.")
            rows += [(path, class_folder.name, split) for path in paths]
    class_names = sorted({name for _, name, _ in rows})
    if len(class_names) < 2:
        raise DataError(
            f"{directory} holds images of {len(class_names)} class{'es' * (len(class_names) != 1)}; at least two are "
            f"needed: one sub-folder with images ({', '.join(EXTENSIONS)}) per class."
        )
    labels = np.array([class_names.index(name) for _, name, _ in rows])
    splits = [split for *_, split in rows] if parts else _random_split(labels, class_names, test_fraction, seed, notes)
    _check_splits(labels, np.asarray(splits), class_names, directory, notes)
    names = [str(path.relative_to(directory)) for path, *_ in rows]
    return Collection([path for path, *_ in rows], names, labels, splits, class_names, notes)


def _split_folders(directory):
    """The folders of the training and test part where the layout has them; both or none."""
    by_name = {folder.name.lower(): folder for folder in _subfolders(directory)}
    parts = {}
    for split in SPLITS:
        found = [by_name[name] for name in SPLIT_FOLDERS[split] if name in by_name]
        if found:
            parts[split] = found[0]
    return parts if len(parts) == len(SPLITS) else {}


def _subfolders(directory):
    try:
        return sorted(path for path in directory.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"The folder {directory} cannot be read: {reason(error)}.") from error


def _images(directory, notes):
    """Image files below a folder, sorted; symbolic links are followed, loops are entered once."""
    found, others, visited = [], 0, set()
    for root, folders, files in os.walk(directory, followlinks=True):
        real = os.path.realpath(root)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        visible = [name for name in files if not name.startswith(".")]
        images = [name for name in visible if name.lower().endswith(EXTENSIONS)]
        others += len(visible) - len(images)
        found += [Path(root, name) for name in images]
    if others:
        notes.append(f"{others} file{'s' * (others != 1)} below {directory} are not images by their names.")
    return sorted(found)


def _random_split(labels, class_names, test_fraction, seed, notes):
    """Every class is split alone, by a generator of its own: a new class does not move the others."""
    splits = np.full(len(labels), "train", dtype="<U5")
    for label, name in enumerate(class_names):
        members = np.flatnonzero(labels == label)
        held_out = round(len(members) * test_fraction)
        if test_fraction and not held_out:
            notes.append(f"The class {name!r} has too few images ({len(members)}) to hold one out: it is not tested.")
        generator = np.random.default_rng([seed, *name.encode()])
        splits[generator.permutation(members)[:held_out]] = "test"
    return splits


def _check_splits(labels, splits, class_names, directory, notes):
    trained = set(labels[splits == "train"])
    if len(trained) < 2:
        raise DataError(f"{directory} leaves fewer than two classes with training images.")
    for label in sorted(set(labels[splits == "test"]) - trained):
        notes.append(f"The class {class_names[label]!r} has test images but no training images.")
