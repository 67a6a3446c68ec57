"""UCF101: 13,320 clips of 101 actions in three official splits, as files or as folders of frames."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from keras_fvvae.data.collection import Collection
from keras_fvvae.data.datasets.folder import note_untrained
from keras_fvvae.data.datasets.places import (
    index_videos,
    numbered_lines,
    places_of_lists,
    present_rows,
    stem_key,
)
from keras_fvvae.data.readers.media import is_video
from keras_fvvae.errors import DataError
from keras_fvvae.utils.text import is_number, normal_name

UCF101_SPLITS = (1, 2, 3)
# Names of the training and the test list, and how many numbers follow a video's name in each.
LISTS = (
    (("trainlist{:02d}.txt", 1), ("testlist{:02d}.txt", 0)),
    (("ucf101_train_split_{}_videos.txt", 1), ("ucf101_val_split_{}_videos.txt", 1)),
    (("ucf101_train_split_{}_rawframes.txt", 2), ("ucf101_val_split_{}_rawframes.txt", 2)),
)
_LIST_FOLDERS = ("ucfTrainTestlist", "annotations", "annotations/ucfTrainTestlist", ".")
_NAME = re.compile(r"^v_(?P<action>.+)_(?P<group>g\d+)_c\d+$", re.IGNORECASE)


def load_ucf101(
    directory: str | os.PathLike, split: int = 1, annotations: str | os.PathLike | None = None
) -> Collection:
    """Collects the videos of UCF101 by one of its official splits.

    Understood are the official lists (`ucfTrainTestlist/classInd.txt`, `trainlist01.txt`, `testlist01.txt`) and
    MMAction2's (`ucf101_train_split_1_videos.txt` or `..._rawframes.txt`, and `val`), in the data folder, in its
    `annotations`, or beside it. Videos may be files of any video extension or folders of frames, in class folders or
    not, anywhere below the data folder. A video's group is the scene it was cut from.

    Args:
        directory: the data folder.
        split: 1, 2 or 3.
        annotations: folder of the lists, where they are elsewhere.

    Returns:
        A `Collection` of videos; what is listed and not on disk is in `missing`.

    Raises:
        DataError: if lists or videos are not found, or a list cannot be understood.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "classInd.txt").write_text("1 Archery\\n")
        >>> for part, name in (("train", "v_Archery_g08_c01.avi"), ("test", "v_Archery_g01_c01.avi")):
        ...     _ = (folder / f"{part}list01.txt").write_text(f"Archery/{name}" + " 1" * (part == "train"))
        ...     _ = (folder / name).write_bytes(b"")
        >>> load_ucf101(folder).groups
        ['Archery/g08', 'Archery/g01']
    """
    if split not in UCF101_SPLITS:
        raise ValueError(f"`split` must be one of {UCF101_SPLITS}. Received: split={split!r}")
    directory = Path(directory)
    notes = []
    paths, numbers, official = _find_lists(directory, annotations, split)
    index_file = paths[0].with_name("classInd.txt")
    if official and not index_file.is_file():
        raise DataError(f"{index_file} is missing; it numbers the classes of {paths[0].name}.")
    named = _read_classes(index_file) if official else {}
    rows: dict[str, tuple[str, str, str, str]] = {}  # stem -> (name, action, split, place), in the order of the lists
    seen: dict[str, tuple[int, str]] = {}  # of MMAction2's lists: class in lower case -> (number, class)
    repeated = 0
    for part, path, count in zip(("train", "test"), paths, numbers, strict=True):
        for line_number, line in numbered_lines(path):
            name, number = _parse(line, line_number, path, count)
            action = _action(name, line_number, path)
            known = _known_action(action, number, named, seen, f"Line {line_number} of {path}")
            key = stem_key(name.rsplit("/", 1)[-1], fold=True)
            first = rows.setdefault(key, (name, known, part, f"line {line_number} of {path}"))
            repeated += first[3] != f"line {line_number} of {path}"
            if first[1] != known:
                raise DataError(
                    f"Line {line_number} of {path} and {first[3]} contradict each other about {name!r}: {known!r} and "
                    f"{first[1]!r}; drop one of them."
                )
    if repeated:
        notes.append(f"{repeated} videos are listed more than once in split {split}; the first line counts.")
    class_names = [name for _, name in sorted((named or seen).values())]
    folders_first = "rawframes" in paths[0].name
    found, several = index_videos(directory, set(rows), fold=True, folders_first=folders_first)
    if several:
        kind = "folder of frames" if folders_first else "file"
        notes.append(f"{several} videos are there more than once below {directory}; one {kind} each is taken.")
    present, missing = present_rows(rows, found, f"videos of UCF101's split {split}", directory, notes)
    indices = {name: index for index, name in enumerate(class_names)}
    labels = np.array([indices[action] for (_, action, *_), _ in present])
    splits = np.array([part for (*_, part, _), _ in present])
    note_untrained(labels, splits, class_names, notes, "video")
    return Collection(
        [path for _, path in present],
        [name for (name, *_), _ in present],
        labels,
        splits,
        class_names,
        notes,
        kind="video",
        groups=[_group(name, action) for (name, action, *_), _ in present],
        missing=missing,
    )


def find_ucf101_lists(
    directory: str | os.PathLike, annotations: str | os.PathLike | None = None, split: int = 1
) -> tuple[list[Path], list[int], bool] | None:
    """The two lists of a split, how many numbers their lines hold, and whether they are the official ones; or None."""
    if annotations is None:
        bases = [Path(directory), Path(directory).parent]
    else:
        bases = [Path(annotations).parent if Path(annotations).is_file() else Path(annotations)]
    folders = [base / name for base in bases for name in _LIST_FOLDERS]
    for official, pair in zip((True, False, False), LISTS, strict=True):
        for folder in folders:
            paths = [folder / name.format(split) for name, _ in pair]
            if all(path.is_file() for path in paths):
                return paths, [numbers for _, numbers in pair], official
    return None


def is_ucf101(directory: str | os.PathLike) -> bool:
    """Whether a folder has the lists of a split of UCF101."""
    places = places_of_lists(directory)
    return any(find_ucf101_lists(directory, place, split) for place in places for split in UCF101_SPLITS)


def _find_lists(directory, annotations, split):
    found = find_ucf101_lists(directory, annotations, split)
    if found is None:
        where = annotations if annotations is not None else f"{directory}, its ucfTrainTestlist or annotations"
        pairs = "; ".join(" and ".join(name.format(split) for name, _ in pair) for pair in LISTS)
        raise DataError(f"No lists of UCF101's split {split} in {where}; pass `annotations`, the folder with {pairs}.")
    return found


def _read_classes(path):
    """Dictionary from class name in lower case to (number, name)."""
    named = {}
    for line_number, line in numbered_lines(path):
        number, _, name = line.partition(" ")
        if not is_number(number) or not name.strip():
            raise DataError(f"Line {line_number} of {path} must be a number and a class. Found: {line!r}.")
        named[name.strip().lower()] = (int(number), name.strip())
    return named


def _parse(line, line_number, path, numbers):
    """Name and label of a line; the official test lists have no label, though some copies add one."""
    if not numbers:
        head, _, tail = line.rpartition(" ")
        numbers = int(tail.isdecimal() and is_video(head.rstrip()))
    name, *rest = line.rsplit(maxsplit=numbers) if numbers else [line]
    if len(rest) != numbers or not all(text.isdecimal() for text in rest):
        what = ("a video", "a video and its label", "a video, its number of frames and its label")[numbers]
        raise DataError(f"Line {line_number} of {path} must be {what}. Found: {line!r}.")
    return normal_name(name.replace("\\", "/")), int(rest[-1]) if rest else None


def _action(name, line_number, path):
    """The class of a video: the folder part of its name, or what the name says."""
    folder, _, file = name.rpartition("/")
    match = _NAME.match(stem_key(file))
    if not folder and not match:
        raise DataError(
            f"Line {line_number} of {path} names no class: {name!r} should be like Archery/v_Archery_g01_c01."
        )
    return folder.rsplit("/", 1)[-1] or match["action"]


def _known_action(action, number, named, seen, where):
    """The class as `classInd.txt` or an earlier line writes it; a contradicting label is an error."""
    key = action.lower()
    if named and key not in named:
        raise DataError(f"{where}: the class {action!r} is not in classInd.txt.")
    if not named and key not in seen:
        if any(number == other for other, _ in seen.values()):
            raise DataError(f"{where}: the label {number} of {action!r} is that of another class.")
        seen[key] = (number, action)
    expected, name = (named or seen)[key]
    if number is not None and number != expected:
        raise DataError(f"{where}: the label {number} contradicts that of the class {action!r}, {expected}.")
    return name


def _group(name, action):
    match = _NAME.match(stem_key(name.rsplit("/", 1)[-1]))
    return f"{action}/{match['group'].lower() if match else stem_key(name)}"
