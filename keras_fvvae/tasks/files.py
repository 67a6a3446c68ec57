"""The files that a user names for a trained model: folders are searched, the wrong kind is told by name or content."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from keras_fvvae.data.datasets.folder import find_images, find_videos
from keras_fvvae.data.datasets.listing import LISTS, listed_files
from keras_fvvae.data.datasets.places import find_file
from keras_fvvae.data.readers.media import is_image, is_video_file
from keras_fvvae.errors import DataError
from keras_fvvae.utils.progress import track

# Images that may as well be animated: FFmpeg reads them as videos.
_ANIMATED = (".gif", ".webp")


def input_files(paths: Iterable[str | os.PathLike], kind: str) -> Iterator[tuple[str, str]]:
    """The images or videos that paths stand for, in order; what lies in a folder is sorted.

    Args:
        paths: files; folders, which are searched in depth (a folder of numbered frames is a video); patterns such as
            `photos/**/*.jpg`, where there is no file of that name; and lists: of text (`.txt`, a path a line), CSV or
            JSON lines as `train` reads them. Listed paths are relative to the list, else to the working folder.
        kind: what the model takes, `"image"` or `"video"`.

    Yields:
        Pairs of a path and why it cannot be used, empty where nothing is known against it. Of files whose names do not
        tell whether they are videos the beginning is read.

    Raises:
        DataError: for a list that cannot be read, or is empty.

    Example:
        >>> list(input_files(["a.jpg", "b.avi"], "image"))
        [('a.jpg', ''), ('b.avi', 'this model takes images, and this is a video')]
    """
    for path in itertools.chain.from_iterable(map(_expanded, paths)):
        if Path(path).is_dir():
            found, _ = (find_videos if kind == "video" else find_images)(path)
            if not found:
                yield str(path), f"there are no {kind}s in this folder, and this model takes {kind}s"
            for file in found:
                yield str(file), ""
        else:
            yield str(path), objection(str(path), kind)


def results_of(
    paths: Iterable[str | os.PathLike], kind: str, judge: Callable[[list[str]], Iterable[dict]], verbose: int = 0
) -> Iterator[dict]:
    """What a model says of the files that paths stand for, in their order.

    Args:
        paths, kind: see `input_files`.
        judge: from the files that can be used to a dictionary for each, in order.
        verbose: 1 for a progress bar.

    Yields:
        What `judge` gives; for other files a dictionary of `file` and `error`.
    """
    entries = list(input_files(paths, kind))
    usable = [path for path, why in entries if not why]
    results = iter(judge(usable)) if usable else iter(())
    for path, why in track(entries, f"{kind.capitalize()}s", enabled=bool(verbose)):
        yield {"file": path, "error": why} if why else next(results)


def _expanded(path: str | os.PathLike) -> Iterable[str | os.PathLike]:
    """What a pattern or a list stands for; anything else stands for itself."""
    text = os.fspath(path)
    if not os.path.lexists(text) and glob.has_magic(text):
        return sorted(glob.glob(text, recursive=True)) or [path]
    if os.path.isfile(text) and text.lower().endswith(LISTS):
        names = listed_files(text)
        if not names:
            raise DataError(f"{text} lists no files.")
        return [_listed(text, name) for name in names]
    return [path]


def _listed(path: str, name: str) -> str:
    """A listed path: relative to its list where it is there, else as it is written."""
    found = find_file(Path(path).parent, name)
    return name if found is None else str(found)


def objection(path: str, kind: str) -> str:
    """Why a file is not of the kind that a model takes, `"image"` or `"video"`; empty where nothing tells."""
    if kind == "image" and is_video_file(path):
        return "this model takes images, and this is a video"
    if kind == "video" and is_image(path) and not path.lower().endswith(_ANIMATED):
        return "this model takes videos, and this is an image"
    return ""
