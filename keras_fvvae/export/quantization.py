"""Smaller numbers in exported files: what can be asked for, and what of a model becomes smaller."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_fvvae.errors import RunError, unknown_name
from keras_fvvae.export.formats import FORMATS

if TYPE_CHECKING:  # the command line reads this table before it loads anything
    import numpy as np

# From a mode to what it does.
MODES = {
    "float16": "weights are kept in float16, and computed with in float32",
    "int8": "all matrices and kernels are 8-bit; the network computes in integers, with ranges from calibration images",
    "dynamic": "all matrices and kernels are 8-bit; the network computes in integers, with ranges found at each call",
}
# The modes of formats that can be quantised.
QUANTIZED = {"onnx": ("float16", "int8"), "litert": tuple(MODES), "openvino": ("float16",)}
# Of so many images int8 takes the ranges of activations: the birds of docs/formats.md lose no accuracy by it.
CALIBRATION_IMAGES = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Quantization:
    """What is asked for, and the pictures that it is done and checked with.

    Attributes:
        mode: of `MODES`.
        calibration: uint8 `(n, *resize_to, 3)`: pictures of the training; empty where there are none.
        checked: uint8 `(m, *resize_to, 3)`: pictures on which best labels are compared with Keras's; empty: those of
            the check of every export.
        labels: integers `(m,)`, the classes of these; `None` where they are not known.
        title: what those pictures are, such as `"387 test images of the run birds"`.
        best: integers `(m,)`, Keras's best labels of these; `None` until they are computed.
    """

    mode: str
    calibration: np.ndarray
    checked: np.ndarray
    labels: np.ndarray | None
    title: str
    best: np.ndarray | None = None


def require_quantization(mode: str, formats: Sequence[str]) -> None:
    """Refuses what cannot be quantised, before anything is computed.

    Args:
        mode: of `MODES`.
        formats: of `keras_fvvae.export.formats.FORMATS`.

    Raises:
        ValueError: for an unknown mode.
        RunError: for a format that is not quantised, or not so; and naming a missing package.

    Example:
        >>> require_quantization("float16", ["onnx"])
    """
    if mode not in MODES:
        raise ValueError(unknown_name("quantisation", mode, MODES))
    for format in formats:
        title = FORMATS[format].title
        if format not in QUANTIZED:
            raise RunError(
                f"{title} is not quantised: export it without --quantize, ONNX, LiteRT and OpenVINO with it."
            )
        if format == "openvino" and mode not in QUANTIZED[format]:
            raise RunError(f"OpenVINO's {mode} is not written: choose --quantize float16, or another format.")
        if format == "onnx" and mode not in QUANTIZED[format]:
            raise RunError(
                "ONNX Runtime's convolutions with dynamic ranges answer otherwise: choose --quantize int8 or float16."
            )
        if format == "litert" and mode != "float16" and importlib.util.find_spec("ai_edge_quantizer") is None:
            raise RunError(f"LiteRT's {mode} needs the package ai_edge_quantizer: pip install 'keras_fvvae[quantize]'")


@contextlib.contextmanager
def quantizing(format: str, mode: str, path: Path) -> Iterator[None]:
    """Turns whatever a quantizer raises, beside `OSError`, into a `RunError` of one sentence."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # progress bars
            yield
    except OSError:
        raise
    except Exception as error:
        why = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
        raise RunError(
            f"{path.name} cannot be quantised ({FORMATS[format].title}, {mode}): {why}. Export it without --quantize."
        ) from error
