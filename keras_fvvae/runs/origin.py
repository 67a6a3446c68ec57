"""How a run came about: its data, its command, when it was finished, the weights it started from."""

from __future__ import annotations

import datetime
import importlib
import os
import platform
from typing import TYPE_CHECKING, Any

import keras_fvvae
from keras_fvvae.utils.command import called_command

if TYPE_CHECKING:
    from keras_fvvae.data import Collection


def origin(collection: Collection, backbone_digest: str) -> dict[str, Any]:
    """What a run notes for the reader of its report.

    Args:
        collection: what it was trained on.
        backbone_digest: SHA-256 of the values of the backbone's weights, before anything was trained.

    Returns:
        Dictionary of plain data: `data`, `command`, `finished` (UTC), `backbone_sha256`, `versions` and `machine`.
    """
    import keras

    backend = keras.backend.backend()
    now = datetime.datetime.now(datetime.UTC)
    return {
        "data": data_path(collection),
        "command": called_command(),
        "finished": now.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "backbone_sha256": backbone_digest,
        "versions": {
            "keras_fvvae": keras_fvvae.__version__,
            "keras": keras.__version__,
            backend: importlib.import_module(backend).__version__,
            "python": platform.python_version(),
        },
        "machine": f"{platform.system()} {platform.machine()}",
    }


def data_path(collection: Collection) -> str:
    """The folder that all files of a collection lie in; empty where its items are arrays.

    Example:
        >>> from keras_fvvae.data import Collection
        >>> names = ["cat/1.jpg", "dog/2.jpg"]
        >>> data_path(Collection([f"/photos/{name}" for name in names], names, [0, 1], ["train"] * 2, ["cat", "dog"]))
        '/photos'
    """
    paths = [source for source in collection.sources if isinstance(source, str | os.PathLike)]
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths}
    try:
        return os.path.commonpath(folders) if folders else ""
    except ValueError:  # on several drives of Windows
        return os.path.dirname(os.path.abspath(paths[0]))
