"""ActivityNet: untrimmed videos with labelled segments, in the three forms in which its annotations are passed on."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from keras_fvvae.data.collection import Collection
from keras_fvvae.data.datasets.folder import note_untrained
from keras_fvvae.data.datasets.places import (
    index_videos,
    numbered_lines,
    places_of_lists,
    present_rows,
    read_json,
    read_table,
    stem_key,
)
from keras_fvvae.errors import DataError
from keras_fvvae.utils.labels import UNLABELLED
from keras_fvvae.utils.text import is_number

# What is looked for in the data folder, in this order; the last by name is the newest version.
ANNOTATIONS = (
    "activity_net*.json",
    "anet_anno_action.json",
    "anet_anno_full.json",
    "anet_anno_train.json",
    "anet_train_video.txt",
)
# MMAction2 keeps a subset to a file.
_SUBSET_FILES = {"training": "train", "validation": "val", "testing": "test"}
_ID_LENGTH = 11  # of YouTube


def load_activitynet(
    directory: str | os.PathLike,
    annotations: str | os.PathLike | None = None,
    test_subset: str = "validation",
    training_subset: str = "training",
) -> Collection:
    """Collects the videos of ActivityNet for the classification of untrimmed videos.

    Annotations may be the official JSON (`activity_net.v1-3.min.json`), `anet_anno_action.json` with
    `video_info_new.csv` beside it, or MMAction2's `anet_anno_{train,val,test,full}.json` or
    `anet_{train,val}_video.txt`. Videos lie anywhere below the data folder, named by their identifier with or without
    `v_`, as files of any video extension or as folders of frames. A video's label is the one with the longest total
    annotated duration; `label_sets` holds all of them. Videos without annotations have the label -1.

    Args:
        directory: the data folder.
        annotations: the annotation file or its folder; by default it is looked for in the data folder, in its
            `annotations`, and beside it.
        test_subset: name of the subset that is tested.
        training_subset: name of the subset that is trained; other subsets are passed over.

    Returns:
        A `Collection` of videos; what is annotated and not on disk is in `missing`.

    Raises:
        DataError: if annotations or videos are not found, or the annotations cannot be understood.

    Example:
        >>> import json, tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> segments = [{"label": "Surfing", "segment": [1.5, 9]}]
        >>> subsets = {"-x": "training", "y": "validation"}
        >>> database = {name: {"subset": subset, "annotations": segments} for name, subset in subsets.items()}
        >>> _ = (folder / "activity_net.json").write_text(json.dumps({"database": database, "taxonomy": []}))
        >>> _ = (folder / "v_-x.mp4").write_bytes(b"")
        >>> collection = load_activitynet(folder)
        >>> collection.names, collection.missing, collection.class_names
        (['-x'], ['y'], ['Surfing'])
    """
    if training_subset == test_subset:
        raise ValueError(f"`test_subset` must not be the training subset. Received: test_subset={test_subset!r}")
    directory = Path(directory)
    path = find_activitynet_annotations(directory, annotations)
    if path is None:
        raise DataError(
            f"No annotations of ActivityNet in {annotations if annotations is not None else directory}; pass "
            f"`annotations`, one of {', '.join(ANNOTATIONS)}."
        )
    notes: list[str] = []
    entries, class_names = read_annotations(path)
    rows: dict[str, tuple[str, str, dict[str, float]]] = {}  # identifier -> (listed name, subset, {label: seconds})
    repeated = 0
    for name, subset, durations in entries:
        repeated += identifier(name) in rows
        rows.setdefault(identifier(name), (name, subset, durations))
    if repeated:
        notes.append(f"{repeated} videos are annotated twice in {path.name}; the first entry counts.")
    parts = {training_subset: "train", test_subset: "test"}
    class_names = _with_all_labels(rows, class_names, path, notes)
    rows = _of_subsets(rows, parts, (training_subset, test_subset), path, notes)
    # An identifier may itself begin with `v_`: the exact one counts, also where both names are there.
    wanted = {f"v_{identifier}": identifier for identifier in rows} | {identifier: identifier for identifier in rows}
    found, several = index_videos(directory, set(wanted))
    found = {wanted[stem]: path for stem, path in sorted(found.items(), key=lambda pair: pair[0] in rows)}
    if several:
        notes.append(f"{several} videos are there more than once below {directory}; one of each is taken.")
    present, missing = present_rows(rows, found, f"videos of {path.name}", directory, notes)
    numbers = {name: number for number, name in enumerate(class_names)}
    shares = [{numbers[label]: seconds for label, seconds in row[2].items()} for row, _ in present]
    labels = np.array([max(each, key=each.__getitem__) if each else UNLABELLED for each in shares])
    splits = np.array([parts[subset] for (_, subset, _), _ in present])
    note_untrained(labels, splits, class_names, notes, "video")
    return Collection(
        [source for _, source in present],
        [name for (name, *_), _ in present],
        labels,
        splits,
        class_names,
        notes,
        kind="video",
        label_sets=[tuple(sorted(each)) for each in shares],
        missing=missing,
    )


def find_activitynet_annotations(
    directory: str | os.PathLike, annotations: str | os.PathLike | None = None
) -> Path | None:
    """The annotation file, or None: the given one, or the first of `ANNOTATIONS` in, below or beside a folder."""
    if annotations is not None and not Path(annotations).is_dir():
        return Path(annotations)
    directory = Path(directory)
    folders = [directory, directory / "annotations", directory.parent, directory.parent / "annotations"]
    for folder in folders if annotations is None else [Path(annotations)]:
        for pattern in ANNOTATIONS:
            paths = sorted(folder.glob(pattern))
            if paths:
                return paths[-1]
    return None


def is_activitynet(directory: str | os.PathLike) -> bool:
    """Whether a folder has annotations of ActivityNet."""
    places = places_of_lists(directory)
    folders = [folder for place in places for folder in (place, place / "annotations") if folder.is_dir()]
    return any(find_activitynet_annotations(directory, folder) for folder in folders)


def identifier(name: str) -> str:
    """A video's identifier without the `v_` that some annotations put before it."""
    name = stem_key(name)
    return name.removeprefix("v_") if len(name) != _ID_LENGTH else name


def read_annotations(path: Path) -> tuple[list[tuple[str, str, dict[str, float]]], list[str] | None]:
    """Entries (name, subset, seconds by label) of an annotation file, and the names of the classes or None."""
    named = path.with_name("action_name.csv")
    class_names = [line for _, line in numbered_lines(named)][1:] if named.is_file() else None
    if path.suffix.lower() == ".txt":
        return _read_lists(path, class_names)
    content = _json(path)
    if isinstance(content.get("database"), dict):
        return _entries(path, content["database"]), _leaves(content.get("taxonomy")) or class_names
    if not content or not all(isinstance(entry, dict) and "annotations" in entry for entry in content.values()):
        raise DataError(
            f"{path} holds no annotations of ActivityNet: it has neither a `database` nor videos with `annotations`."
        )
    table = path.with_name("video_info_new.csv")
    if table.is_file():
        return _entries(path, content, _subsets(table)), class_names
    if all("subset" in entry for entry in content.values()):
        return _entries(path, content), class_names
    entries = []
    for subset, part in _SUBSET_FILES.items():
        file = path.with_name(f"anet_anno_{part}.json")
        if file.is_file():
            content = _json(file)
            entries += _entries(file, content, dict.fromkeys(content, subset))
    if not entries:
        raise DataError(f"{path} does not say which videos are for training; put video_info_new.csv beside it.")
    return entries, class_names


def _json(path):
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no annotations of ActivityNet: it must be a JSON object of videos.")
    return content


def _entries(path, database, subsets=None):
    entries = []
    for name, entry in database.items():
        try:
            subset = entry["subset"] if subsets is None else subsets[name]
        except (KeyError, TypeError) as error:
            raise DataError(f"{path} (with the tables beside it) names no subset for the video {name!r}.") from error
        durations = {}
        try:
            for annotation in entry.get("annotations") or ():
                start, end = annotation["segment"]
                durations[annotation["label"]] = durations.get(annotation["label"], 0.0) + float(end) - float(start)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f'{path}: each annotation of the video {name!r} must be {{"label": TEXT, "segment": [START, END]}}.'
            ) from error
        if not all(math.isfinite(seconds) for seconds in durations.values()):
            raise DataError(f"{path}: a segment of the video {name!r} is not finite.")
        entries.append((name, subset, durations))
    return entries


def _subsets(path):
    """Subset by video of `video_info_new.csv`."""
    rows = [row for _, row in read_table(path, "video", "subset")]
    return {row["video"].strip(): row["subset"].strip() for row in rows if row["video"]}


def _leaves(taxonomy):
    """Names of the nodes that are nobody's parent, sorted; none if there is no taxonomy."""
    parents = {node.get("parentName") for node in taxonomy or ()}
    return sorted({node["nodeName"] for node in taxonomy or () if node.get("nodeName")} - parents)


def _read_lists(path, class_names):
    """MMAction2's `anet_train_video.txt` and `anet_val_video.txt`: lines of video, number of frames, label."""
    rows = []
    for subset, part in _SUBSET_FILES.items():
        file = path.with_name(f"anet_{part}_video.txt")
        for number, line in numbered_lines(file) if file.is_file() else ():
            fields = line.rsplit(maxsplit=2)
            if len(fields) != 3 or not is_number(fields[1]) or not is_number(fields[2]):
                raise DataError(f"Line {number} of {file} must be a video, its frames and its label. Found: {line!r}.")
            rows.append((fields[0], subset, int(fields[2])))
    if not rows:
        raise DataError(f"{path} lists no videos; the lists are named anet_train_video.txt and anet_val_video.txt.")
    labels = {label for *_, label in rows}
    # Older versions of the script counted the heading of action_name.csv as label 0.
    first = int(bool(class_names) and 0 not in labels and len(class_names) in labels)
    class_names = class_names or [str(label) for label in range(max(labels) + 1)]
    if max(labels) - first >= len(class_names):
        raise DataError(f"{path} has the label {max(labels)}; action_name.csv names {len(class_names)} classes.")
    return [(name, subset, {class_names[label - first]: 1.0}) for name, subset, label in rows], class_names


def _with_all_labels(rows, class_names, path, notes):
    found = sorted({label for *_, durations in rows.values() for label in durations})
    if not class_names:
        return found
    names = list(dict.fromkeys(class_names))
    unknown = [label for label in found if label not in set(names)]
    if unknown:
        notes.append(f"{len(unknown)} labels of {path.name} are not among its classes, such as {unknown[0]!r}.")
    return names + unknown


def _of_subsets(rows, parts, wanted, path, notes):
    """The videos of the wanted subsets; a subset that nothing belongs to is an error."""
    counts = {}
    for _, subset, _ in rows.values():
        counts[subset] = counts.get(subset, 0) + 1
    for subset in wanted:
        if subset not in counts:
            raise DataError(f"No video of {path} is of the subset {subset!r}; it has {', '.join(map(repr, counts))}.")
    others = {subset: count for subset, count in counts.items() if subset not in parts}
    if others:
        listed = ", ".join(f"{count:,} of {subset!r}" for subset, count in others.items())
        notes.append(f"Videos of other subsets are passed over: {listed}.")
    return {key: row for key, row in rows.items() if row[1] in parts}
