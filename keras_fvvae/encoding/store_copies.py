"""An encoding's output folder in an object store: copied there, and taken over from there."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from keras_fvvae.encoding.output import FAILED_LIST, Output
from keras_fvvae.encoding.plan import PLAN
from keras_fvvae.errors import RunError, WeightsError
from keras_fvvae.features.encoded_folder import ENCODING, LABELS, read_labels
from keras_fvvae.utils.text import parse_json
from keras_fvvae.zoo.remote import filesystems
from keras_fvvae.zoo.remote.addresses import STORES, require_scheme

# Of this machine alone: lists of what is left to do, and of its own failures for people.
_LEFT = (PLAN, FAILED_LIST)


def require_same_encoding(output: Output, url: str) -> None:
    """Refuses a folder of a store that holds the vectors of another encoding.

    Args:
        output: what is to be copied there.
        url: of the folder, which need not be there.

    Raises:
        RunError: if it does, or cannot be read.
    """
    with _as_run_errors(url):
        if f"{url.rstrip('/')}/{ENCODING}" not in filesystems.find(f"{url.rstrip('/')}/{ENCODING}"):
            return
        with filesystems.opened(f"{url.rstrip('/')}/{ENCODING}") as file:
            content = file.read()
    try:
        same = parse_json(content) == output.encoding.settings
    except ValueError:
        same = False
    if not same:
        raise RunError(f"{url} holds vectors of another encoder; choose another --copy-to.")


def copy_to(output: Output, url: str) -> int:
    """Copies what a folder of a store does not have yet; vectors before the listing that names them.

    Several machines may copy their folders to one: files have names of their own, and lists of labels are joined.

    Args:
        output: the folder, which stays.
        url: of the folder in the store.

    Returns:
        How many files were copied.

    Raises:
        RunError: if it cannot be written, or holds vectors of another encoder. What was copied stays.
    """
    require_same_encoding(output, url)
    with _as_run_errors(url):
        there = filesystems.find(url)
        if f"{url.rstrip('/')}/{LABELS}" in there:
            with taken_over(url, (LABELS,)) as others:
                output.note_labels(read_labels(others))
        paths = [path for path in output.path.rglob("*") if path.is_file()]
        names = {path.relative_to(output.path).as_posix(): path for path in paths}
        wanted = [name for name in names if not any(part.startswith(".") or part in _LEFT for part in name.split("/"))]
        copied = 0
        for name in sorted(wanted, key=lambda name: (name.endswith(".json"), name)):
            target = f"{url.rstrip('/')}/{name}"
            if there.get(target) != names[name].stat().st_size or name == LABELS:
                filesystems.write(target, names[name])
                copied += 1
    return copied


@contextlib.contextmanager
def taken_over(url: str, patterns: tuple[str, ...] = ("**",)) -> Iterator[Path]:
    """A copy of an output folder in a store on this machine's disk, for as long as the block lasts.

    Args:
        url: of the folder.
        patterns: of the files that are wanted beside `encoding.json`.

    Raises:
        RunError: if it cannot be read, or is not there.
    """
    base = url.rstrip("/")
    with tempfile.TemporaryDirectory(prefix="keras_fvvae-") as folder, _as_run_errors(url):
        found = [one for pattern in (ENCODING, *patterns) for one in filesystems.find(f"{base}/{pattern}")]
        if not found:
            raise RunError(f"{url} is not the output folder of an encoding: it holds no {ENCODING}.")
        for one in dict.fromkeys(found):
            path = Path(folder, one.removeprefix(f"{base}/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            with filesystems.opened(one) as file, open(path, "wb") as copy:
                shutil.copyfileobj(file, copy)
        yield Path(folder)


@contextlib.contextmanager
def _as_run_errors(url):
    try:
        require_scheme(url, tuple(STORES), "The folder")
        yield
    except WeightsError as error:
        raise RunError(str(error)) from error
