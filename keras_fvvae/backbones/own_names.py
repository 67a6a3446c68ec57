"""Names of backbones that are not of the table: files, presets of KerasHub, models. Needs no TensorFlow."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path

from keras_fvvae.backbones.table import BACKBONES
from keras_fvvae.errors import RecipeError, WeightsError, unknown_name
from keras_fvvae.recipes.own_models import MODEL
from keras_fvvae.utils.files import reason, sha256
from keras_fvvae.utils.saved_files import HUB as HUB_PACKAGE
from keras_fvvae.utils.saved_files import HUB_EXTRA

HUB = "hub:"
FILE = ".keras"
# A name of these is a folder, not a preset that KerasHub knows.
_PATHS = ("/", "./", "../", "~")


def is_own(name: str) -> bool:
    """Whether a backbone is not of the table.

    Example:
        >>> [is_own(name) for name in ("VGG19", "nets/mine.keras", "hub:dinov2_small", "model:mine-0123456789abcdef")]
        [False, True, True, True]
    """
    return name not in BACKBONES and (name.endswith(FILE) or name.startswith((HUB, MODEL)))


def local_preset(name: str) -> Path | None:
    """The folder that `hub:FOLDER` names; `None` for a preset that KerasHub downloads.

    Example:
        >>> local_preset("hub:dinov2_small"), str(local_preset("hub:./mine"))
        (None, 'mine')
    """
    preset = name.removeprefix(HUB)
    is_path = preset.startswith(_PATHS) or ("://" not in preset and Path(preset).is_dir())
    return Path(preset).expanduser() if is_path else None


def require_backbone(name: str) -> None:
    """Refuses a backbone that is neither of the table nor there, before anything slow is imported.

    Raises:
        RecipeError: for an unknown name, a file or a preset's folder that is not there, and where KerasHub is missing.
    """
    if name in BACKBONES or name.startswith(MODEL):
        return
    if not is_own(name):
        raise RecipeError(f"{unknown_name('backbone', name, BACKBONES)} Or give a {FILE} file, or {HUB}PRESET.")
    if name.endswith(FILE) and not name.startswith(HUB):
        if not Path(name).is_file():
            raise RecipeError(
                f"The backbone {name} is not a file. A finished run holds it; a training needs it: check `backbone`."
            )
        return
    if importlib.util.find_spec(HUB_PACKAGE) is None:
        raise RecipeError(f"The backbone {name} needs KerasHub: {HUB_EXTRA}")
    folder = local_preset(name)
    if folder is not None and not (folder / "config.json").is_file():
        raise RecipeError(f"The backbone {name} is not a preset's folder: {folder} has no config.json.")


def own_identity(name: str) -> str:
    """Text that changes with the content of one's own backbone: the SHA-256 of a file, or of all files of a folder.

    Args:
        name: for which `is_own`. A preset that is downloaded and a program's model are told by their names.

    Raises:
        RecipeError: as `require_backbone`.
        WeightsError: if a file cannot be read.
    """
    require_backbone(name)
    try:
        if name.startswith(HUB) and (folder := local_preset(name)) is not None:
            return f"sha256 {_folder_digest(folder)}"
        return name if name.startswith((HUB, MODEL)) else f"sha256 {sha256(name)}"
    except OSError as error:
        raise WeightsError(f"The backbone {name} cannot be read: {reason(error)}.") from error


def _folder_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for directory, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            path = Path(directory, file)
            digest.update(f"{path.relative_to(folder)} {sha256(path)}\n".encode())
    return digest.hexdigest()
