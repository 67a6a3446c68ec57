"""A folder of images or videos with one sub-folder per class."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_fvvae.data.collection import KINDS, SPLITS, Collection
from keras_fvvae.data.readers.media import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS, is_image, is_video_file
from keras_fvvae.errors import DataError
from keras_fvvae.utils.files import reason
from keras_fvvae.utils.labels import UNLABELLED

# Names under which data sets keep their parts; validation images are test images where a data set has no other.
SPLIT_FOLDERS = {"train": ("train", "training"), "test": ("test", "val", "validation", "valid")}
DEFAULT_TEST_FRACTION = 0.25
# Names that nobody gives to anything but frames; plain numbers may as well be separate images.
_NAMED_FRAME = re.compile(r"^(?:img|image|frame|flow_?[xy]|rgb)[_-]?\d+\.(?:jpg|jpeg|png|bmp|webp)$", re.IGNORECASE)
_NUMBERED = re.compile(r"^(?P<stem>.*?)\d+\.(?:jpg|jpeg|png|bmp|webp)$", re.IGNORECASE)


def load_folder(
    directory: str | os.PathLike,
    test_fraction: float = DEFAULT_TEST_FRACTION,
    seed: int = 0,
    kind: str = "auto",
    unlabelled: bool = False,
) -> Collection:
    """Collects the images or videos of a folder.

    Two layouts are understood: `DIR/<class>/**/<item>`, split at random with every class in the same proportion, and
    `DIR/train/<class>/**/<item>` beside `DIR/test/...` (or `val`), taken as it is. Hidden files are passed over;
    classes and items are in sorted order, so that the same folder always gives the same collection. A video is a video
    file, or a folder that directly holds numbered frames (`img_00001.jpg`, `flow_x_00001.jpg`, `000001.jpg`).

    Args:
        directory: the folder.
        test_fraction: share of every class that is held out for testing in the first layout; 0 holds out nothing.
        seed: of the random split.
        kind: `"image"`, `"video"`, or `"auto"`: videos if any video file lies below the class folders, or any folder of
            frames that are named as such (`img_`, `frame_`, `flow_x_`); else images, also where their names are
            plain numbers.
        unlabelled: whether to take everything below the folder as training items without labels, for FV-VAE minus.

    Returns:
        A `Collection`; its `notes` name what was passed over.

    Raises:
        DataError: if the folder is missing or unreadable, or holds fewer than two classes with items (no items, if they
            are unlabelled).

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("cat/1.jpg", "dog/2.jpg"):
        ...     (folder / name).parent.mkdir()
        ...     _ = (folder / name).write_bytes(b"")
        >>> load_folder(folder, test_fraction=0).class_names
        ['cat', 'dog']
    """
    if kind not in (*KINDS, "auto"):
        raise ValueError(f"`kind` must be one of {(*KINDS, 'auto')}. Received: kind={kind!r}")
    check_test_fraction(test_fraction)
    directory = Path(directory)
    if not directory.is_dir():
        raise DataError(f"The data folder {directory} does not exist or is not a folder.")
    if unlabelled:
        return _unlabelled(directory, kind)
    notes: list[str] = []
    parts = _split_folders(directory, notes)
    class_folders = [
        (split, path) for split, part in (parts or {None: directory}).items() for path in _subfolders(part)
    ]
    if kind == "auto":
        kind = "video" if any(_shows_videos(path) for _, path in class_folders) else "image"
    rows = []  # (path, class name, split or None)
    for split, class_folder in class_folders:
        paths, others = (find_videos if kind == "video" else find_images)(class_folder)
        if others:
            what = "images" if kind == "image" else "videos or frames of one"
            notes.append(f"{others} file{'s' * (others != 1)} below {class_folder} are not {what} by their names.")
        if not paths:
            notes.append(f"The class folder {class_folder} holds no {kind}s and is left out.")
        rows += [(path, class_folder.name, split) for path in paths]
    class_names = sorted({name for _, name, _ in rows})
    if len(class_names) < 2:
        extensions = ", ".join(IMAGE_EXTENSIONS if kind == "image" else VIDEO_EXTENSIONS)
        raise DataError(
            f"{directory} holds {kind}s of {len(class_names)} class{'es' * (len(class_names) != 1)}; at least two are "
            f"needed: one sub-folder with {kind}s ({extensions}{', folders of frames' * (kind == 'video')}) per class."
        )
    numbers = {name: number for number, name in enumerate(class_names)}
    labels = np.array([numbers[name] for _, name, _ in rows])
    splits = np.array([split for *_, split in rows])
    if not parts:
        splits = random_split(labels, class_names, test_fraction, seed, notes, kind)
    if len(set(labels[splits == "train"])) < 2:
        raise DataError(f"{directory} leaves fewer than two classes with training {kind}s.")
    note_untrained(labels, splits, class_names, notes, kind)
    names = [path.relative_to(directory).as_posix() for path, *_ in rows]
    return Collection([path for path, *_ in rows], names, labels, splits, class_names, notes, kind=kind)


def is_folder(path: str | os.PathLike) -> bool:
    """Whether a path can be a folder of files: any that is not a file."""
    return not Path(path).is_file()


def _unlabelled(directory, kind):
    if kind == "auto":
        kind = "video" if _shows_videos(directory) else "image"
    paths, others = (find_videos if kind == "video" else find_images)(directory)
    if not paths:
        raise DataError(f"{directory} holds no {kind}s.")
    notes = [f"{others} other file{'s' * (others != 1)} below {directory}: passed over."] if others else []
    names = [path.relative_to(directory).as_posix() for path in paths]
    return Collection(paths, names, [UNLABELLED] * len(paths), ["train"] * len(paths), [], notes, kind=kind)


def walk(directory: str | os.PathLike[str]) -> Iterator[tuple[Path, list[str], list[str]]]:
    """`os.walk` in sorted order without what is hidden; symbolic links are followed, loops are entered once."""
    visited = set()
    for root, folders, files in os.walk(directory, followlinks=True):
        real = os.path.realpath(root)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(root), folders, [name for name in files if not name.startswith(".")]


def find_images(directory: str | os.PathLike) -> tuple[list[Path], int]:
    """Image files below a folder, sorted, and the number of other files."""
    found, others = [], 0
    for root, _, files in walk(directory):
        images = [root / name for name in files if is_image(name)]
        found += images
        others += len(files) - len(images)
    return sorted(found), others


def find_videos(directory: str | os.PathLike) -> tuple[list[Path], int]:
    """Video files and folders of frames below a folder, sorted, and the number of files that belong to none.

    The folder itself is a video only if there is none below it.
    """
    directory = Path(directory)
    found, others, own_frames = [], 0, False
    for root, folders, files in walk(directory):
        videos = [root / name for name in files if is_video_file(root / name)]
        if not videos and _are_frames(files):
            if root == directory:
                own_frames = True
            else:
                folders.clear()
                found.append(root)
                continue
        found += videos
        others += len(files) - len(videos)
    return ([directory], 0) if own_frames and not found else (sorted(found), others)


def check_test_fraction(test_fraction: float) -> None:
    """Raises `ValueError` unless `test_fraction` is in [0, 1)."""
    if not 0 <= test_fraction < 1:
        raise ValueError(f"`test_fraction` must be in [0, 1). Received: test_fraction={test_fraction}")


def random_split(
    labels: np.ndarray, class_names: list[str], test_fraction: float, seed: int, notes: list[str], kind: str = "image"
) -> np.ndarray:
    """Every class is split alone, by a generator of its own: a new class does not move the others."""
    splits = np.full(len(labels), "train", dtype="<U5")
    for label, name in enumerate(class_names):
        members = np.flatnonzero(labels == label)
        held_out = round(len(members) * test_fraction)
        if test_fraction and not held_out:
            notes.append(f"The class {name!r} has too few {kind}s ({len(members)}) to hold one out: it is not tested.")
        generator = np.random.default_rng([seed, *name.encode(errors="surrogateescape")])
        splits[generator.permutation(members)[:held_out]] = "test"
    return splits


def note_untrained(
    labels: np.ndarray, splits: np.ndarray, class_names: list[str], notes: list[str], kind: str = "image"
) -> None:
    """Notes the classes that are tested without having been trained."""
    untrained = sorted(set(labels[splits == "test"]) - set(labels[splits == "train"]) - {UNLABELLED})
    if untrained:
        names = ", ".join(repr(class_names[label]) for label in untrained)
        what = "class has" if len(untrained) == 1 else "classes have"
        notes.append(f"{len(untrained)} {what} test {kind}s but no training {kind}s: {names}.")


def _split_folders(directory, notes):
    """The folders of the training and test part where the layout has them; both or none."""
    folders = _subfolders(directory)
    by_name = {folder.name.lower(): folder for folder in folders}
    parts = {}
    for split in SPLITS:
        found = [by_name[name] for name in SPLIT_FOLDERS[split] if name in by_name]
        if found:
            parts[split] = found[0]
    if len(parts) < len(SPLITS):
        return {}
    notes += [
        f"The folder {path} is neither the training nor the test part."
        for path in folders
        if path not in parts.values()
    ]
    return parts


def _subfolders(directory):
    try:
        return sorted(path for path in directory.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"The folder {directory} cannot be read: {reason(error)}.") from error


def _shows_videos(directory):
    """Whether a class folder holds a video file, or below it a folder of frames that are named as such."""
    for root, _, files in walk(directory):
        if any(is_video_file(root / name) for name in files) or (
            root != directory and any(map(_NAMED_FRAME.match, files))
        ):
            return True
    return False


def _are_frames(files):
    """Whether a folder's images are a video's frames: named as such, or numbered after one common stem."""
    if any(map(_NAMED_FRAME.match, files)):
        return True
    images = [name for name in files if is_image(name)]
    matches = [_NUMBERED.match(name) for name in images]
    stems = {match and match["stem"] for match in matches}
    # One image with some name and a number is no video yet; one with nothing but a number is.
    return len(stems) == 1 and stems != {None} and (len(images) > 1 or stems == {""})
