"""What a `.keras` file would build, read from its configuration without building it."""

from __future__ import annotations

import importlib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_fvvae.errors import WeightsError
from keras_fvvae.utils.files import reason
from keras_fvvae.utils.text import TextError, parse_json

CONFIG = "config.json"
# The configuration of the largest networks has one or two megabytes.
MOST_CONFIG_BYTES = 64 << 20
# They run code or graphs that a file brings along, or load them from elsewhere.
RUNS_CODE = frozenset({"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"})
# Packages of which a configuration may name classes; others only where the caller has registered them with Keras.
PACKAGES = ("keras", "keras_fvvae", "builtins")
# Of KerasHub only layers: its tokenizers and converters read files that a configuration names.
HUB = "keras_hub"
HUB_EXTRA = 'pip install "keras_fvvae[hub]"'


def foreign_classes(path: str | Path) -> list[str]:
    """Classes and functions in the configuration of a `.keras` file that are neither Keras's nor this library's.

    Args:
        path: the file. It is read, nothing in it is built.

    Returns:
        Sorted list of texts such as `"system of os"`.

    Raises:
        WeightsError: if it is no `.keras` file, or damaged; or if it has layers of KerasHub, which is not installed.
    """
    found = set()
    for item in _objects(_configuration(Path(path))):
        name, module, registered = (item.get(key) for key in ("class_name", "module", "registered_name"))
        name = item["config"] if name == "function" and isinstance(item.get("config"), str) else name
        if name in RUNS_CODE or str(registered).rpartition(">")[2] in RUNS_CODE:
            found.add(f"{name}, which runs code of the file")
        elif module is not None and str(module).partition(".")[0] not in PACKAGES:
            of_hub = str(module).partition(".")[0] == HUB
            if not (_is_hub_layer(path, str(module), name, registered) if of_hub else _is_registered(registered)):
                found.add(f"{name} of {module}")
    return sorted(found)


def require_known_classes(path: str | Path) -> None:
    """Refuses a `.keras` file that names others.

    Raises:
        WeightsError: naming them; or as `foreign_classes`.
    """
    if found := foreign_classes(path):
        raise WeightsError(
            f"The model {path} is damaged or of another version: it names {'; '.join(found[:5])}; classes of your own "
            f"must be registered with `keras.saving.register_keras_serializable` before it is loaded."
        )


def _configuration(path):
    try:
        with zipfile.ZipFile(path) as archive, archive.open(CONFIG) as file:
            content = file.read(MOST_CONFIG_BYTES + 1)
    except (OSError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError) as error:
        why = f"it has no {CONFIG}" if isinstance(error, KeyError) else reason(error)
        raise WeightsError(f"The model {path} is damaged or of another version: {why}") from error
    if len(content) > MOST_CONFIG_BYTES:
        raise WeightsError(f"The model {path} is damaged or of another version: its {CONFIG} has too many bytes")
    try:
        return parse_json(content, finite=False, unicode=False)
    except TextError as error:
        raise WeightsError(f"The model {path} is damaged or of another version: {CONFIG}: {error}") from error


def _objects(value: Any) -> Iterator[dict]:
    """Every object in a configuration that names a class; its depth is bounded by `parse_json`."""
    if isinstance(value, dict):
        if isinstance(value.get("class_name"), str):
            yield value
        # What a training was compiled with is not loaded.
        yield from (one for key, item in value.items() if key != "compile_config" for one in _objects(item))
    elif isinstance(value, list):
        yield from (one for item in value for one in _objects(item))


def _is_registered(name):
    import keras  # here: what only reads a file needs no TensorFlow until then

    return isinstance(name, str) and keras.saving.get_registered_object(name) is not None


def _is_hub_layer(path, module, name, registered):
    """Whether a module of KerasHub has a layer of this name, other than those that prepare data."""
    try:
        hub = importlib.import_module(HUB)
    except ModuleNotFoundError as error:
        raise WeightsError(f"The model {path} has layers of KerasHub, which needs {error.name}: {HUB_EXTRA}") from error
    try:
        found = [getattr(importlib.import_module(module), name, None)]
    except ImportError:
        return False
    import keras

    if _is_registered(registered):  # Keras takes it instead
        found.append(keras.saving.get_registered_object(registered))
    readers = (hub.layers.ImageConverter, hub.models.Preprocessor, hub.tokenizers.Tokenizer)
    return all(
        isinstance(one, type) and issubclass(one, keras.layers.Layer) and not issubclass(one, readers) for one in found
    )
