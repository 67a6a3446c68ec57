"""The formats of exports, and whether what they need is installed. The table needs no other package."""

from __future__ import annotations

import dataclasses
import importlib.util
import platform
from collections.abc import Sequence

from keras_fvvae.errors import RunError, unknown_name


@dataclasses.dataclass(frozen=True)
class Format:
    """A format that a classifier is exported to.

    Attributes:
        title: its name in texts.
        folder: where the versions lie below the export's folder. A server of SavedModels looks at folders named by
            numbers only, and passes over all others.
        file: the model's name in a version's folder; empty where the folder is the model.
        packages: that write it and check it, by the names that they are imported by.
        extra: of this package, that brings them.
        weights: the name of a second file, which has the weights; empty where the model is one file or a folder.
    """

    title: str
    folder: str
    file: str
    packages: tuple[str, ...] = ()
    extra: str = ""
    weights: str = ""


FORMATS = {
    "savedmodel": Format("SavedModel", "", ""),
    "onnx": Format("ONNX", "onnx", "model.onnx", ("tf2onnx", "onnx", "onnxruntime"), "onnx"),
    "litert": Format("LiteRT", "litert", "model.tflite", ("ai_edge_litert",), "litert"),
    "openvino": Format("OpenVINO", "openvino", "model.xml", ("openvino",), "openvino", "model.bin"),
    "keras": Format("Keras", "keras", "model.keras"),
}


def require_formats(names: Sequence[str]) -> None:
    """Refuses formats that are unknown, or whose packages are not installed, before anything is computed.

    Raises:
        ValueError: for an unknown format.
        RunError: naming the missing package and the command that installs it.

    Example:
        >>> require_formats(["savedmodel", "keras"])
    """
    for name in names:
        if name not in FORMATS:
            raise ValueError(unknown_name("format", name, FORMATS))
        form = FORMATS[name]
        missing = [package for package in form.packages if importlib.util.find_spec(package) is None]
        if missing and name == "litert" and platform.system() == "Windows":
            raise RunError("LiteRT's runtime has no package for Windows: export to LiteRT on Linux or macOS.")
        if missing:
            raise RunError(f"{form.title} needs the package {missing[0]}: pip install 'keras_fvvae[{form.extra}]'")
