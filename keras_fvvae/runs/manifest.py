"""The manifest of a finished run: its format, and the SHA-256 of every file."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

from keras_fvvae.errors import RunError
from keras_fvvae.runs import files
from keras_fvvae.utils.files import reason, sha256, write_atomically
from keras_fvvae.utils.text import parse_json

# Of format 1, written by keras_fvvae 0.1, metrics.json held results, facts and scores side by side, and the manifest
# did not list the vectors; `keras_fvvae.runs.format1` reads it.
FORMAT = 2
# Names become parts of paths.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a finished run is made of.

    Attributes:
        format: of the run's files.
        sha256: hexadecimal digests by name of the file.
    """

    format: int
    sha256: dict[str, str]

    def check(self, folder: Path, name: str) -> None:
        """Compares a file with its digest; of format 1, one that the manifest does not list is taken as it is.

        Raises:
            RunError: if it is missing, cannot be read, or holds other bytes than the training wrote.
        """
        expected = self.sha256.get(name)
        if expected is None and self.format == 1:
            return
        if expected is None or not (folder / name).is_file():
            raise RunError(f"{folder} is incomplete: {name} is missing; restore it, or train again.")
        try:
            found = sha256(folder / name)
        except OSError as error:
            raise RunError(f"{folder / name} cannot be read: {reason(error)}.") from error
        if found != expected:
            raise RunError(
                f"{folder / name} was altered after the training: its SHA-256 has changed; restore it, or train again "
                f"with --overwrite."
            )


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished run.

    Raises:
        RunError: if it is damaged or of a newer format.
    """
    try:
        content = parse_json((folder / files.MANIFEST).read_bytes())
        manifest = Manifest(int(content["format"]), content["sha256"])
        for name, digest in manifest.sha256.items():
            if not _NAME.fullmatch(name) or not _DIGEST.fullmatch(digest):
                raise ValueError(f"{name!r} is no file of a run")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{folder / files.MANIFEST} is damaged; train again with --overwrite.") from error
    if manifest.format > FORMAT:
        raise RunError(f"{folder} was written by a newer keras_fvvae (format {manifest.format}); upgrade it.")
    return manifest


def write_manifest(folder: Path) -> None:
    """Lists the files of a run that are there, and thereby finishes it."""
    digests = {name: sha256(folder / name) for name in files.ARTIFACTS if (folder / name).is_file()}
    content = json.dumps({"format": FORMAT, "sha256": digests}, indent=2)
    write_atomically(folder / files.MANIFEST, content.encode())
