"""What a training would meet in a data set: everything is read once, nothing is trained."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.data.collection import SPLITS, UNLABELLED, Collection
from keras_fvvae.data.content import content_digest
from keras_fvvae.data.readers.flow import FlowFolder, has_flow
from keras_fvvae.data.readers.video import DecodedVideo, read_video
from keras_fvvae.data.views import read_image
from keras_fvvae.errors import DataError
from keras_fvvae.utils.files import reason as reason_of
from keras_fvvae.utils.progress import progress_bar


@dataclasses.dataclass(frozen=True)
class Item:
    """What was found out about one file.

    Attributes:
        problem: why it cannot be used; "" if it can.
        warning: what a user should know although it can be used.
        size: `(height, width)` in pixels.
        frames: frames that decode; 1 for an image.
        digest: of the content.
    """

    problem: str = ""
    warning: str = ""
    size: tuple = (0, 0)
    frames: int = 0
    digest: str = ""


def check_collection(collection: Collection, workers: int | None = None, verbose: int = 1) -> dict[str, Any]:
    """Reads every file of a collection once, in parallel.

    Args:
        collection: a `Collection`.
        workers: threads. Default: as `concurrent.futures` chooses, at most one a core and four more.
        verbose: 1 for a progress bar.

    Returns:
        Dictionary, JSON-serialisable: `kind`; `items`; `usable`; `classes`: by name the usable items of each split;
        `sizes`: the most frequent `height x width` with their counts; `frames`: smallest, median, largest; `unusable`
        and `warnings`: by name the reason; `duplicates`: lists of names with equal content, and whether they lie in
        different splits; `missing`: names that are listed but not on disk; `notes`.
    """
    with (
        progress_bar("Reading", len(collection), enabled=bool(verbose)) as update,
        ThreadPoolExecutor(workers) as pool,
    ):
        found = []
        for item in pool.map(lambda index: check_item(collection, index), range(len(collection))):
            found.append(item)
            update(len(found))
    usable = [i for i, item in enumerate(found) if not item.problem]
    return {
        "kind": collection.kind,
        "items": len(collection),
        "usable": len(usable),
        "classes": _classes(collection, usable),
        "sizes": [[*size, count] for size, count in Counter(found[i].size for i in usable).most_common(10)],
        "frames": _spread([found[i].frames for i in usable]) if collection.kind == "video" else None,
        "unusable": {collection.names[i]: item.problem for i, item in enumerate(found) if item.problem},
        "warnings": {collection.names[i]: item.warning for i, item in enumerate(found) if item.warning},
        "duplicates": _duplicates(collection, found),
        "missing": collection.missing,
        "notes": collection.notes,
    }


def check_item(collection: Collection, index: int) -> Item:
    """Reads one item whole; returns an `Item`."""
    try:
        if collection.kind == "image":
            pixels = read_image(collection, index)
            return Item(size=pixels.shape[:2], frames=1, digest=content_digest(collection.sources[index]))
        video = _read_whole(collection.sources[index])
        digest = content_digest(collection.sources[index])
    except OSError as error:
        return Item(problem=f"cannot be opened: {reason_of(error)}")
    except (ValueError, DataError) as error:
        return Item(problem=str(error))
    single = "a single frame: it has no optical flow" if video.total == 1 else ""
    size = next(iter(video.frames.values()))
    return Item("", "; ".join(filter(None, (video.damage, single))), size, video.total, digest)


def _read_whole(source):
    """A `DecodedVideo` with the size of the first frame."""
    if isinstance(source, np.ndarray) or not Path(source).is_dir():
        # Of a file all frames are decoded, and the first is looked at.
        return read_video(source, lambda total: [0], lambda pixels: pixels.shape[:2])
    if not has_flow(source):
        return read_video(source, range, lambda pixels: pixels.shape[:2])
    stored = FlowFolder(source)
    flows = {position: stored.read(position) for position in range(stored.pairs)}
    sizes = {position: flow.shape[:2] for position, flow in flows.items() if flow is not None}
    if not sizes:
        raise DataError("none of its flow frames can be decoded")
    return DecodedVideo(sizes, stored.pairs + 1, stored.pairs + 1, stored.pairs - len(sizes))


def _classes(collection, usable):
    counts = {name: dict.fromkeys(SPLITS, 0) for name in collection.class_names}
    for index in usable:
        label = collection.labels[index]
        name = "(unlabelled)" if label == UNLABELLED else collection.class_names[label]
        counts.setdefault(name, dict.fromkeys(SPLITS, 0))[str(collection.splits[index])] += 1
    return counts


def _spread(values):
    return [int(f(values)) for f in (np.min, np.median, np.max)] if values else None


def _duplicates(collection, found):
    groups = defaultdict(list)
    for index, item in enumerate(found):
        if item.digest:
            groups[item.digest].append(index)
    return [
        {
            "names": [collection.names[i] for i in group],
            "across_splits": len({str(collection.splits[i]) for i in group}) > 1,
            "across_classes": len({int(collection.labels[i]) for i in group}) > 1,
        }
        for group in groups.values()
        if len(group) > 1
    ]
